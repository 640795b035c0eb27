"""What an object is its bytes say, under a codec as well; what is nothing known is never clean."""

from __future__ import annotations

import bz2
import gzip
import io
import random
from collections.abc import Iterator

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors.s3.config import SharedLayout
from connectors.s3.formats.detecting import format_of
from connectors.s3.formats.entries import Broken, UnreadableError
from connectors.s3.formats.leftover import Bytes
from connectors.s3.reading.owners import Owners
from dsr_worker.contract import Collection, Field, Identity, Subject, Taken
from dsr_worker.testing.context import TrialContext

WANTED = Owners(
    Collection(
        "events", ("id",), {"id": Field("id", "user")}, takes={"customer_number": Taken("id")}
    ),
    [Subject("a", (Identity("customer_number", "cus_7"),))],
    TrialContext(),
).wanted()
_CHANCE = random.Random(7)
NOISE = _CHANCE.randbytes(100_000)


class Sent(Bytes):
    """An object as a server sends it: its first piece says little."""

    def first(self) -> bytes:
        """The first piece."""
        return super().first()[:4096]

    def stream(self) -> Iterator[bytes]:
        """All of them."""
        data = super().first()
        return (data[at : at + 4096] for at in range(0, len(data), 4096))


def found(stored: bytes, format_: str) -> list[object]:
    """The ids of the records that may be the person's, in an object mapped as this format."""
    layout = SharedLayout.model_validate({"layout": "shared", "prefix": "", "format": format_})
    source = Sent(stored)
    entries = format_of(source, layout, ["id"]).entries(source, WANTED)
    return [entry.value("id") for entry in entries if not isinstance(entry, Broken)]


def avro() -> bytes:
    """A container whose blocks do not compress."""
    schema = {"type": "record", "name": "r", "fields": [{"name": "id", "type": "string"}]}
    rows = [{"id": _CHANCE.randbytes(40).hex()} for _ in range(3000)]
    file = io.BytesIO()
    fastavro.writer(file, schema, [*rows, {"id": "cus_7"}], sync_interval=10**6)
    return file.getvalue()


def parquet() -> bytes:
    """A file with the person in it."""
    file = io.BytesIO()
    pq.write_table(pa.table({"id": ["cus_7", "cus_8"]}), file)
    return file.getvalue()


@pytest.mark.parametrize(
    "body",
    [
        NOISE,
        b"\x04\x22\x4d\x18" + NOISE,
        b"id,mail\ncus_8,a@shop.example\n",
        b"<rows>\n<row>cus_8</row>\n</rows>\n",
    ],
    ids=["noise", "lz4", "csv", "xml"],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_what_is_no_json_is_not_searched_as_json(body: bytes, pack: type[bytes]) -> None:
    """Hard case 3: bytes in which no search could find anybody are refused, not told as clean."""
    with pytest.raises(UnreadableError, match="not-ndjson"):
        found(pack(body), "ndjson")


def test_damaged_records_alone_are_told_as_damage() -> None:
    """Hard case 11: what an erasure leaves of an object may be a damaged line and nothing else."""
    cut = b'{"id": "cus_7", "cut": "here\n'
    source, layout = Sent(cut), SharedLayout(layout="shared", prefix="", format="ndjson")
    for wanted in (None, WANTED):
        (entry,) = format_of(source, layout, ["id"]).entries(source, wanted)
        assert isinstance(entry, Broken)


def test_damage_before_the_first_record_is_read_over() -> None:
    """Hard case 11: damaged lines stand before records as they do between them."""
    damaged = b"\n".join([b"x" * 60_000, b'{"id":"cus', b"<x>", b""])
    assert found(damaged + b'{"id":"cus_7"}\n', "ndjson") == ["cus_7"]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress], ids=["no", "gzip", "bz2"])
@pytest.mark.parametrize("told", ["avro", "ndjson", "csv", "parquet"])
def test_avro_is_told_by_its_first_plain_bytes(pack: type[bytes], told: str) -> None:
    """Hard case 3: however much has to be read until a codec says anything at all."""
    assert "cus_7" in found(pack(avro()), told)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("told", ["avro", "ndjson", "csv", "parquet"])
def test_parquet_is_told_by_its_first_plain_bytes(pack: type[bytes], told: str) -> None:
    """Hard case 3: a compressed Parquet file is one, whatever the map takes it for."""
    assert found(pack(parquet()), told) == ["cus_7"]


@pytest.mark.parametrize("told", ["avro", "parquet"])
def test_what_the_map_takes_for_another_format_is_refused(told: str) -> None:
    """Hard case 3: lines in a collection of Avro or Parquet objects are a question, not clean."""
    for pack in (bytes, gzip.compress):
        with pytest.raises(UnreadableError, match=f"not-{told}"):
            found(pack(b'{"id":"cus_7"}\n'), told)
