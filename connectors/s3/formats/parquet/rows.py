"""The rows of one row group, column by column and only those that somebody asks for.

In: a Parquet object, a row group, whom to look for. Out: candidates as entries. Owner columns are
decoded whole and compared as arrays; of all other columns only the candidates' values are kept.
Memory: one decoded column of one row group, and the candidates' values of the columns asked for.
"""

from __future__ import annotations

import io
import json
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from connectors.s3.formats.content import EACH, scalars_in, without
from connectors.s3.formats.entries import Several, Source, UnreadableError
from connectors.s3.formats.parquet.columns import encodable, leaves, may_be, whole
from connectors.s3.formats.parquet.footer import Footer, steps_of
from connectors.s3.formats.parquet.hybrid import Numbers
from connectors.s3.formats.parquet.shown import shown
from connectors.s3.formats.parquet.thrift import DAMAGED
from connectors.s3.formats.wanted import Wanted


class File:
    """A Parquet object as pyarrow reads it: by ranges, the footer from memory."""

    def __init__(self, source: Source, footer: Footer) -> None:
        self.footer = footer
        try:
            ranges = pa.PythonFile(_Ranges(source, footer), mode="r")
            self.parquet = pq.ParquetFile(
                ranges, pre_buffer=False, coerce_int96_timestamp_unit="us"
            )
            self.names: list[str] = list(self.parquet.schema_arrow.names)
        except (OSError, pa.ArrowException, NotImplementedError):
            raise UnreadableError(DAMAGED) from None
        if len(set(self.names)) < len(self.names):
            raise UnreadableError("duplicate-column")

    def column(self, group: int, name: str) -> Any:
        """A top-level column of one row group. Raises UnreadableError."""
        try:
            table = self.parquet.read_row_group(group, columns=[name], use_threads=False)
            return table.column(table.schema.get_field_index(name))
        except (OSError, pa.ArrowException, NotImplementedError):
            raise UnreadableError(DAMAGED) from None


class Rows:
    """The candidates of one row group."""

    def __init__(self, file: File, group: int) -> None:
        self._file = file
        self._group = group
        self._candidates: Numbers | None = None  # None: all
        self._shown: dict[str, list[Any]] = {}
        self._fields: dict[str, tuple[list[Any], Sequence[str] | None]] = {}
        self.count: int = file.footer.groups[group].get(3, 0)

    def candidates(self, wanted: Wanted | None) -> Iterator[Row]:
        """The rows that may be wanted, in order."""
        if wanted is None:
            return (Row(self, row, row) for row in range(self.count))
        columns: dict[str, Any] = {}
        found = self._found(wanted, columns)
        self._candidates = found
        if wanted.fields and len(found):
            for name, array in columns.items():
                self._shown[name] = shown(array.take(pa.array(found)))
        return (Row(self, number, int(row)) for number, row in enumerate(found))

    @property
    def names(self) -> list[str]:
        """The top-level columns."""
        return self._file.names

    def top(self, name: str) -> str | None:
        """The top-level column that a field, or a dotted path, lies in."""
        if name in self.names:
            return name
        first = steps_of(name)[0]
        return first if first in self.names else None

    def field(self, name: str) -> tuple[list[Any], Sequence[str] | None]:
        """The column that a field lies in (without values where there is none), and the way on.

        No way: it is the column.
        """
        if name not in self._fields:
            column = self.top(name)
            values = [] if column is None else self.values(column)
            self._fields[name] = values, None if column in (name, None) else steps_of(name)[1:]
        return self._fields[name]

    def values(self, column: str) -> list[Any]:
        """The candidates' values of a top-level column."""
        if column not in self._shown:
            array = self._file.column(self._group, column)
            if self._candidates is not None:
                array = array.take(pa.array(self._candidates))
            self._shown[column] = shown(array)
        return self._shown[column]

    def _found(self, wanted: Wanted, columns: dict[str, Any]) -> Numbers:
        fields = wanted.fields or tuple(self.names)
        hits = [self._hits(field, wanted, columns) for field in fields]
        return np.unique(np.concatenate(hits)) if hits else np.zeros(0, np.int64)

    def _hits(self, field: str, wanted: Wanted, columns: dict[str, Any]) -> Numbers:
        column = self.top(field)
        if column is None or (wanted.fields and self._is_outside(field, wanted)):
            return np.zeros(0, np.int64)
        steps = [] if column == field else steps_of(field)[1:]
        found = [np.zeros(0, np.int64)]
        start = 0
        array = columns.get(column)
        if array is None:
            array = self._file.column(self._group, column)
        if wanted.fields:  # few; their values are asked for again
            columns[column] = array
        for chunk in array.chunks:
            for place, leaf, parents in leaves(chunk, column, steps, everything=not wanted.fields):
                named = field if wanted.fields else place  # as the map says it, with any `[]`
                hit = np.flatnonzero(may_be(leaf, named, wanted))
                found.append(start + (hit if parents is None else parents[hit]))
            start += len(chunk)
        return np.concatenate(found)

    def _is_outside(self, field: str, wanted: Wanted) -> bool:
        """Whether the statistics of a flat column say that it holds none of the values.

        Only where values are compared as they are; texts and whole numbers, by whose order the
        bounds are. What is erased is looked for again without this.
        """
        if not (wanted.as_written and wanted.values):
            return False
        leaf = next((leaf for leaf in self._file.footer.leaves if leaf.at(field)), None)
        if leaf is None or leaf.node.above is not None or leaf.max_repeated:
            return False
        told = self._file.parquet.metadata.row_group(self._group).column(leaf.number).statistics
        return told is not None and told.has_min_max and _excludes(told, wanted)


class Row:
    """A row as an entry. `number` is its place among the candidates, `row` in the row group."""

    __slots__ = ("_number", "_rows", "row")

    def __init__(self, rows: Rows, number: int, row: int) -> None:
        self._rows = rows
        self._number = number
        self.row = row

    def value(self, name: str) -> Any:
        """A field; None where it is null or missing. A dotted name is a path into structures.

        Behind a list of structures lie several values, each of which counts.
        """
        values, steps = self._rows.field(name)
        value = values[self._number] if values else None
        return value if steps is None else _one(_walked(value, steps))

    def scalars(self) -> Iterator[tuple[str, Any]]:
        """Every text and number with the path of its place."""
        for name in self._rows.names:
            yield from scalars_in(self._rows.values(name)[self._number], name)

    def body(self, leave_out: frozenset[str]) -> bytes:
        """The row as JSON, without these fields."""
        row = {name: self._rows.values(name)[self._number] for name in self._rows.names}
        return json.dumps(without(row, leave_out), ensure_ascii=False).encode("utf-8", "replace")

    def mark(self) -> bytes:
        """The whole row as JSON."""
        return self.body(frozenset())


def prunes(file: File, group: int, wanted: Wanted | None) -> bool:
    """Whether a row group has no rows, or none of the fields in which they could be wanted."""
    if not file.footer.groups[group].get(3, 0):
        return True
    if wanted is None or not wanted.fields:
        return False
    rows = Rows(file, group)
    return all(rows.top(field) is None for field in wanted.fields)


def _excludes(statistics: Any, wanted: Wanted) -> bool:
    try:
        least, most = statistics.min, statistics.max
    except (ValueError, OverflowError):  # shortened within a letter; an instant beyond Python's
        return False
    if type(least) is int and type(most) is int:
        numbers = wanted.made(("parquet", "by number"), lambda: sorted(whole(wanted)))
        return not _any_within(numbers, least, most)
    if isinstance(least, str) and isinstance(most, str):
        texts = wanted.made(
            ("parquet", "by bytes"), lambda: sorted(text.encode() for text in encodable(wanted))
        )
        return not _any_within(texts, least.encode(), most.encode())
    return False


def _any_within(ascending: Sequence[Any], least: Any, most: Any) -> bool:
    at = bisect_left(ascending, least)
    return at < len(ascending) and bool(ascending[at] <= most)


# ---- values


def _walked(value: Any, steps: Sequence[str]) -> list[Any]:
    """The values behind a path, through lists."""
    if steps and steps[0] == EACH:
        elements = value if isinstance(value, list) else []
        return [found for inner in elements for found in _walked(inner, steps[1:])]
    if isinstance(value, list) and (steps or not value or isinstance(value[0], list)):
        return [found for inner in value for found in _walked(inner, steps)]
    if not steps:
        return [value]
    return _walked(value.get(steps[0]), steps[1:]) if isinstance(value, dict) else []


def _one(found: list[Any]) -> Any:
    told = [value for value in found if value is not None]
    if not told or all(value == told[0] for value in told):
        return told[0] if told else None
    return Several(told)


class _Ranges(io.RawIOBase):
    """An object as a file that can be sought in; each read is one range."""

    def __init__(self, source: Source, footer: Footer) -> None:
        self._source = source
        self._footer = footer
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._source.size_bytes}
        self._at = base[whence] + offset
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        left = self._source.size_bytes - self._at
        size = left if size < 0 else min(size, left)
        start, self._at = self._at, self._at + max(size, 0)
        if size <= 0:
            return b""
        if start >= self._footer.tail_at:
            from_ = start - self._footer.tail_at
            return self._footer.tail[from_ : from_ + size]
        return self._source.read(start, size)
