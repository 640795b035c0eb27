"""Text objects for the S3 benchmark: what is in them, and engines that take people out of them.

In: a folder. Out: processor time of our rewrite and of its baselines, each from a file into a new
file, in the same pieces. Orders as a shop's events have them: about 330 bytes, one id nested, some
letters outside ASCII, every fiftieth naming another customer as well.
"""

from __future__ import annotations

import csv
import json
import random
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from isal import isal_zlib

from connectors.s3.formats.codecs import codec_of
from connectors.s3.formats.csv import csv as csv_format
from connectors.s3.formats.csv_dialect import Dialect
from connectors.s3.formats.entries import ERASE, KEEP, Change, Entry
from connectors.s3.formats.json_document import json_of
from connectors.s3.formats.streamed import Plain, Streamed
from connectors.s3.reading.owners import Owners
from dsr_worker.contract import Collection, Field, Form, Identity, Subject, Taken
from dsr_worker.testing.context import TrialContext

PIECE_BYTES = 256 * 1024  # as they come from S3 (connectors/s3/server/reading.py)
CUSTOMERS = 700_000
FEW, MANY = 100, 10_000
_WORDS = ("Grüße", "Bestellung", "Lieferung", "Käse", "Paket", "gift", "order", "size", "colour")
_GZIP = 31  # of 32 KiB, with the header of gzip (zlib manual, deflateInit2)
KINDS: dict[str, Callable[[int], object]] = {
    "e-mails": lambda number: f"user{number}@shop.example",
    "bare integers": lambda number: number,
    "prefixed strings": lambda number: f"cus_{number:07d}",
}


# ---- objects


def records(kind: str, count: int) -> Iterator[dict[str, object]]:
    """Invented orders whose customers are named in this way; the same each time."""
    chance, name = random.Random(5), KINDS[kind]
    for number in range(count):
        customer, other = chance.randrange(CUSTOMERS), chance.randrange(CUSTOMERS)
        yield {
            "event_id": f"e{number:09d}",
            "at": f"2026-0{1 + number % 9}-1{number % 10}T08:15:00Z",
            "type": "order_placed",
            "user": {"customer": name(customer), "segment": "b2c", "lang": "de"},
            "items": [
                {"sku": f"s{chance.randrange(10**6)}", "qty": chance.randrange(9), "price": 1.25}
                for _ in range(2)
            ],
            "note": " ".join(chance.choices(_WORDS, k=9)),
            "referrer": name(other) if number % 50 == 0 else None,
        }


def write_lines(path: Path, kind: str, count: int) -> None:
    """An NDJSON object."""
    with path.open("wb") as file:
        for record in records(kind, count):
            file.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode())
            file.write(b"\n")


def write_list(path: Path, kind: str, count: int) -> None:
    """One JSON array of the same records."""
    with path.open("wb") as file:
        for number, record in enumerate(records(kind, count)):
            file.write(b"[\n  " if number == 0 else b",\n  ")
            file.write(json.dumps(record, ensure_ascii=False).encode())
        file.write(b"\n]\n")


def write_table(path: Path, kind: str, count: int) -> None:
    """A CSV object of such records, one text of ten with a newline in it."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["event_id", "at", "type", "customer", "segment", "lang", "note"])
        for number, record in enumerate(records(kind, count)):
            user = record["user"]
            assert isinstance(user, dict)
            note = f"{record['note']}" + (',\n"twice"' if number % 10 == 0 else "")
            row = (record["event_id"], record["at"], record["type"], *user.values(), note)
            writer.writerow(row)


def compress(path: Path, target: Path) -> None:
    """The same object as gzip, at zlib's usual level."""
    with path.open("rb") as source, target.open("wb") as file:
        deflate = zlib.compressobj(6, wbits=_GZIP)
        while piece := source.read(PIECE_BYTES):
            file.write(deflate.compress(piece))
        file.write(deflate.flush())


# ---- the engine, on files


class FileSource:
    """A file as a format reads an object, so many times over."""

    def __init__(self, path: Path, times: int = 1) -> None:
        self._path, self._times = path, times

    @property
    def size_bytes(self) -> int:
        """How many bytes it has."""
        return self._path.stat().st_size * self._times

    def first(self) -> bytes:
        """Its first bytes."""
        return self.read(0, PIECE_BYTES)

    def stream(self) -> Iterator[bytes]:
        """All of them."""
        for _ in range(self._times):
            with self._path.open("rb", buffering=0) as file:
                while piece := file.read(PIECE_BYTES):
                    yield piece

    def read(self, start: int, length: int) -> bytes:
        """A range of them."""
        with self._path.open("rb") as file:
            file.seek(start)
            return file.read(length)


class FileEdits:
    """An object as it is to be, in a file."""

    def __init__(self, source: FileSource, file: IO[bytes]) -> None:
        self._source, self._file = source, file

    def keep(self, _start: int, data: bytes | memoryview) -> None:
        """Stored bytes that stay."""
        self._file.write(data)

    def copy(self, start: int, length: int) -> None:
        """Stored bytes of a long member."""
        self._file.write(self._source.read(start, length))

    def write(self, data: bytes) -> None:
        """Other bytes."""
        self._file.write(data)


@dataclass(frozen=True, slots=True)
class Erasing:
    """Takes people out of one object."""

    owners: Owners
    plain: Plain

    def run(self, source: FileSource, target: Path) -> int:
        """Write the object without them; how many records went."""
        gone = 0

        def decided(entry: Entry) -> Change:
            nonlocal gone
            if not self.owners.of(entry):
                return KEEP
            gone += 1
            return ERASE

        with target.open("wb", buffering=2 * PIECE_BYTES) as file:
            codec = codec_of(source.first())
            edits = FileEdits(source, file)
            Streamed(self.plain, codec).rewrite(source, self.owners.wanted(), decided, edits)
        return gone


def erasing(kind: str, people: int, *, table: bool = False) -> Erasing:
    """So many of the customers are to go: 100 own 0.02 % of the records, 10,000 own 2 %."""
    share = 0.0002 if people <= FEW else 0.02
    step = round(1 / share)
    numbers = [n * step % CUSTOMERS for n in range(people)]
    mail = kind == "e-mails"
    name, field = (
        ("email" if mail else "customer_number"),
        ("customer" if table else "user.customer"),
    )
    collection = Collection(
        "events",
        ("event_id",),
        {"event_id": Field("event_id", "user")},
        takes={name: Taken(field, Form.ASCII_CASE if mail else Form.EXACT)},
        source={"format": "csv" if table else "ndjson"},
    )
    subjects = [Subject(str(n), (Identity(name, str(KINDS[kind](n))),)) for n in set(numbers)]
    plain: Plain = csv_format(Dialect(), ["customer"]) if table else json_of("", "utf-8")
    return Erasing(Owners(collection, subjects, TrialContext()), plain)


# ---- baselines


def copied(source: Path, target: Path) -> None:
    """Read and written, nothing more."""
    with source.open("rb", buffering=0) as stored, target.open("wb", buffering=0) as file:
        while piece := stored.read(PIECE_BYTES):
            file.write(piece)


def inflated_and_deflated(source: Path, target: Path, *, quick: bool) -> None:
    """Decompressed and compressed anew: by isal, or by zlib at its usual level."""
    inflate = isal_zlib.decompressobj(_GZIP) if quick else zlib.decompressobj(_GZIP)
    deflate = isal_zlib.compressobj(wbits=_GZIP) if quick else zlib.compressobj(6, wbits=_GZIP)
    with source.open("rb", buffering=0) as stored, target.open("wb", buffering=0) as file:
        while piece := stored.read(PIECE_BYTES):
            file.write(deflate.compress(inflate.decompress(piece)))
        file.write(deflate.flush())


def rewritten_by_stdlib(source: Path, target: Path, gone: frozenset[str]) -> None:
    """A CSV read and written by the standard library, without these customers."""
    with (
        source.open(newline="", encoding="utf-8") as stored,
        target.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerows(row for row in csv.reader(stored) if row[3].lower() not in gone)


def parsed_by_line(source: Path, target: Path, gone: frozenset[object]) -> None:
    """NDJSON by the standard library's parser, every line."""
    with source.open("rb") as stored, target.open("wb") as file:
        file.writelines(line for line in stored if json.loads(line)["user"]["customer"] not in gone)


def busy_s(work: Callable[[], object], target: Path) -> float:
    """Processor seconds that writing a new file takes."""
    target.unlink(missing_ok=True)
    before = time.process_time()
    work()
    return time.process_time() - before
