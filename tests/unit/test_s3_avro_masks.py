"""A mask in an Avro record fits the field's type, and nothing else of the object changes."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import fastavro
import pytest

from connectors.s3.formats.avro import blocks
from connectors.s3.formats.avro.blocks import Container
from connectors.s3.formats.avro.records import AVRO
from connectors.s3.formats.entries import ERASE, Broken, Change, Entry, UnreadableError
from connectors.s3.formats.wanted import Wanted
from connectors.s3.reading.owners import clock_of

MOMENT = {"type": "long", "logicalType": "timestamp-micros"}
DAY = {"type": "int", "logicalType": "date"}
LEVEL = {"type": "enum", "name": "Level", "symbols": ["gold", "none"]}


class Out(bytearray):
    """Takes the object as it is to be."""

    def keep(self, _start: int, data: bytes | memoryview) -> None:
        """Bytes that stay."""
        self.extend(data)

    def write(self, data: bytes) -> None:
        """Other bytes."""
        self.extend(data)


def made(schema: Any, *values: Any, codec: str = "null") -> bytes:
    """An object of records with one field `f` beside others."""
    whole = {
        "type": "record",
        "name": "Row",
        "fields": [
            {"name": "before", "type": "string"},
            {"name": "f", "type": schema},
            {"name": "after", "type": ["null", "long", "string"]},
        ],
    }
    rows = [{"before": "b", "f": value, "after": "long ago"} for value in values]
    out = io.BytesIO()
    fastavro.writer(out, fastavro.parse_schema(whole), rows, codec=codec)
    return out.getvalue()


def masked(data: bytes, masks: Mapping[str, str | None], only: Any = ...) -> bytes:
    """The object with these masks in every record, or in those whose `f` is `only`."""

    def decide(entry: Entry) -> Change:
        return Change(masks=masks) if only is ... or entry.value("f") == only else Change()

    out = Out()
    AVRO.rewrite(iter([data]), None, decide, out)
    return bytes(out)


def read(data: bytes) -> list[Any]:
    """The field `f` as an independent reader finds it, with its neighbours unharmed."""
    rows: list[Any] = list(fastavro.reader(io.BytesIO(data)))
    assert all((row["before"], row["after"]) == ("b", "long ago") for row in rows)
    return [row["f"] for row in rows]


@pytest.mark.parametrize(
    ("schema", "value", "mask", "expected"),
    [
        ("string", "anna", "erased-0123", "erased-0123"),
        ("string", "anna", None, ""),
        ("bytes", b"anna", "gone", b"gone"),
        (["null", "string"], "anna", None, None),
        (["string", "null"], "anna", None, None),
        (["null", "string"], "anna", "gone", "gone"),
        (["null", "long"], 7, None, None),
        (["null", "long"], 7, "0", 0),
        (["long", "string"], 7, "gone", "gone"),
        ("int", 7, "0", 0),
        (LEVEL, "gold", "none", "none"),
        ({"type": "array", "items": "string"}, ["anna"], None, []),
        ({"type": "map", "values": "string"}, {"a": "anna"}, None, {}),
    ],
)
def test_a_mask_fits_the_type(schema: Any, value: Any, mask: str | None, expected: Any) -> None:
    """Texts go where texts may stand, null where it may; else something empty takes its place."""
    assert read(masked(made(schema, value), {"f": mask})) == [expected]


def test_a_year_stays_of_a_date_and_of_a_moment() -> None:
    """What `year` leaves of a logical type is read as the same type again."""
    days = masked(made(DAY, 19_000), {"f": "2022-01-01"})
    assert read(days)[0].isoformat() == "2022-01-01"
    moments = masked(made(MOMENT, 1_700_000_000_000_000), {"f": "2023-01-01T00:00:00+00:00"})
    assert read(moments)[0].isoformat() == "2023-01-01T00:00:00+00:00"


@pytest.mark.parametrize(
    ("schema", "value", "mask"),
    [
        ("long", 7, "erased-0123"),
        ("long", 7, None),
        ("int", 7, str(2**31)),
        ("boolean", True, None),
        ("double", 1.5, "0.0"),
        (LEVEL, "gold", "erased-0123"),
        ({"type": "fixed", "name": "Four", "size": 4}, b"anna", "gone"),
        (["null", "double"], 1.5, "gone"),
    ],
)
def test_a_mask_that_no_value_fits_stops(schema: Any, value: Any, mask: str | None) -> None:
    """A value that cannot be replaced is not replaced by something else."""
    with pytest.raises(UnreadableError, match="mask-does-not-fit"):
        masked(made(schema, value), {"f": mask})


def test_other_records_of_the_block_keep_their_bytes() -> None:
    """Only the masked value differs, whatever the unions around it hold."""
    data = made(["null", "string"], "anna", "bert", None)
    changed = masked(data, {"f": "gone"}, only="anna")
    assert read(changed) == ["gone", "bert", None]
    assert changed.replace(b"\x02\x08gone", b"\x02\x08anna") == data


def test_a_mask_within_a_map_and_one_around_it() -> None:
    """A path leads into a map; a mask of the whole takes those within along."""
    data = made({"type": "map", "values": "string"}, {"a": "anna", "b": "bert"})
    assert read(masked(data, {"f.a": "gone"})) == [{"a": "gone", "b": "bert"}]
    assert read(masked(data, {"f.a": "gone", "f": None})) == [{}]


@pytest.mark.parametrize("codec", ["null", "deflate", "snappy", "bzip2", "xz", "zstandard"])
def test_a_block_is_bounded(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory does not grow with a block that holds more than it may, compressed or not."""
    data = made("string", "anna" * 5000, codec=codec)
    assert read(masked(data, {"f": "gone"})) == ["gone"]
    monkeypatch.setattr(blocks, "MAX_BLOCK_BYTES", 4096)
    with pytest.raises(UnreadableError, match="block-too-long"):
        masked(data, {"f": "gone"})


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ({"type": "bytes", "logicalType": "decimal", "precision": 9}, Decimal(7), 7),
        ({"type": "string", "logicalType": "uuid"}, "0" * 36, "0" * 36),
        ({"type": "int", "logicalType": "never-heard-of"}, 7, 7),
        ({"type": "string", "avro.java.string": "String"}, "anna", "anna"),
    ],
)
def test_logical_types_are_read_as_what_they_mean(schema: Any, value: Any, expected: Any) -> None:
    """A customer number may be a decimal without a scale; an unknown type is the one below it."""
    (entry,) = AVRO.entries(iter([made(schema, value)]), None)
    assert not isinstance(entry, Broken)
    assert entry.value("f") == expected


@pytest.mark.parametrize("unit", ["iso", "epoch_s", "epoch_ms"])
def test_a_moment_is_a_clock_whatever_unit_the_map_names(unit: str) -> None:
    """The type says what the number means: no row is due for want of a date, nor stays for it."""
    (entry,) = AVRO.entries(iter([made(MOMENT, 1_700_000_000_000_000)]), None)
    assert not isinstance(entry, Broken)
    at = clock_of(entry.value("f"), unit)
    assert at is not None
    assert at.timestamp() == 1_700_000_000


def test_an_object_of_any_size_is_read_in_the_memory_of_a_block() -> None:
    """64 MiB of blocks take a few MiB, read and rewritten."""
    whole = made("string", *("anna" * 100 for _ in range(2000)))
    container = Container(iter([whole]))
    (block, *_) = container.blocks()
    repeated = (1 << 26) // len(block.raw)

    class Nothing:
        def keep(self, start: int, data: bytes | memoryview) -> None:
            """Take nothing."""

        def write(self, data: bytes) -> None:
            """Take nothing."""

    def object_bytes() -> Iterator[bytes]:
        yield container.header.raw
        for _ in range(repeated):
            yield block.raw

    wanted = Wanted(frozenset({"bert"}), ("f",), lambda _f, v: v == "bert", exact=True, sound=True)
    tracemalloc.start()
    try:
        assert not list(AVRO.entries(object_bytes(), wanted))
        AVRO.rewrite(object_bytes(), wanted, lambda _: ERASE, Nothing())
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert repeated > 50
    assert peak_bytes < 8 << 20
