"""Parquet files in memory, and erasing in them by a plain decision, for tests. All is invented."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from connectors.s3.formats.entries import ERASE, KEEP, Broken, Change, Entry
from connectors.s3.formats.parquet.format import PARQUET
from connectors.s3.formats.wanted import Wanted


class Stored:
    """Bytes as an object; `reads` tells which ranges were asked for."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size_bytes = len(data)
        self.reads: list[tuple[int, int]] = []

    def first(self) -> bytes:
        """The first ones."""
        return self.data[:8]

    def stream(self) -> Iterator[bytes]:
        """All of them."""
        for start in range(0, len(self.data), 1000):
            yield self.data[start : start + 1000]

    def read(self, start: int, length: int) -> bytes:
        """Some of them; a range outside the object is the caller's fault."""
        assert length > 0
        assert 0 <= start <= start + length <= len(self.data)
        self.reads.append((start, length))
        return self.data[start : start + length]


class Written:
    """Edits put together; `new_bytes` counts those that were not stored before."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.out = bytearray()
        self.new_bytes = 0

    def keep(self, start: int, data: bytes | memoryview) -> None:
        """Stored bytes must be those that stand there."""
        assert self._data[start : start + len(data)] == data
        self.out += data

    def copy(self, start: int, length: int) -> None:
        """Stored bytes that nobody read."""
        assert 0 <= start <= start + length <= len(self._data)
        self.out += self._data[start : start + length]

    def write(self, data: bytes) -> None:
        """New bytes."""
        self.out += data
        self.new_bytes += len(data)


def rewritten(
    data: bytes, decide: Callable[[Entry], Change], wanted: Wanted | None = None
) -> bytes:
    """A file after each row was decided."""
    edits = Written(data)
    PARQUET.rewrite(Stored(data), wanted, decide, edits)
    return bytes(edits.out)


def without(
    data: bytes,
    field: str,
    gone: Sequence[object],
    masks: Mapping[object, Mapping[str, str | None]] | None = None,
) -> bytes:
    """A file without the rows that have one of these values in a field, others masked by it."""

    def decide(entry: Entry) -> Change:
        value = entry.value(field)
        if value in gone:
            return ERASE
        return Change(masks=masks[value]) if masks and value in masks else KEEP

    return rewritten(data, decide)


def entries(data: bytes, wanted: Wanted | None = None) -> list[Entry]:
    """The rows of a file."""
    found = list(PARQUET.entries(Stored(data), wanted))
    return [entry for entry in found if not isinstance(entry, Broken)]


def exactly(values: Sequence[str], *fields: str) -> Wanted:
    """Rows that have one of these texts in one of these fields."""
    known = frozenset(values)

    def may_be(_field: str, value: object) -> bool:
        return not isinstance(value, bool) and str(value) in known

    return Wanted(known, fields, may_be, exact=True, sound=True)


def file_of(table: Any, **options: Any) -> bytes:
    """A table as a Parquet file."""
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()


def table_of(data: bytes) -> Any:
    """A Parquet file as pyarrow reads it, checksums compared."""
    return pq.ParquetFile(io.BytesIO(data), page_checksum_verification=True).read()


def rows_of(data: bytes) -> list[dict[str, Any]]:
    """Its rows; instants and spans as whole numbers, since Python's have too few digits."""
    table = table_of(data)
    for number, field in enumerate(table.schema):
        if pa.types.is_temporal(field.type) and field.type.bit_width == 64:
            table = table.set_column(number, field.name, table.column(number).cast(pa.int64()))
    found: list[dict[str, Any]] = table.to_pylist()
    return found
