"""The rows of one row group, column by column and only those that somebody asks for.

In: a Parquet object, a row group, whom to look for. Out: candidates as entries. Owner columns are
decoded whole and compared as arrays; of all other columns only the candidates' values are kept.
Memory: one decoded column of one row group, and the candidates' values of the columns asked for.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import types

from connectors.s3.formats.entries import Several, Source, UnreadableError
from connectors.s3.formats.parquet.footer import Footer
from connectors.s3.formats.parquet.hybrid import Numbers
from connectors.s3.formats.parquet.shown import shown
from connectors.s3.formats.parquet.thrift import DAMAGED
from connectors.s3.formats.wanted import Wanted

_BLANKS = " \t\r\n"


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
        first = name.split(".", 1)[0]
        return first if first in self.names else None

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
        steps = [] if column == field else field.split(".")[1:]
        found = [np.zeros(0, np.int64)]
        start = 0
        array = columns.get(column)
        if array is None:
            array = self._file.column(self._group, column)
        if wanted.fields:  # few; their values are asked for again
            columns[column] = array
        for chunk in array.chunks:
            for place, leaf, parents in _leaves(chunk, column, steps, everything=not wanted.fields):
                hit = np.flatnonzero(_may_be(leaf, place, wanted))
                found.append(start + (hit if parents is None else parents[hit]))
            start += len(chunk)
        return np.concatenate(found)

    def _is_outside(self, field: str, wanted: Wanted) -> bool:
        """Whether the statistics of a flat column say that it holds none of the values.

        Only where values are compared as they are; texts and whole numbers, by whose order the
        bounds are. What is erased is looked for again without this.
        """
        if not (wanted.exact and wanted.values):
            return False
        leaf = next((leaf for leaf in self._file.footer.leaves if leaf.at(field)), None)
        if leaf is None or leaf.node.above is not None or leaf.max_repeated:
            return False
        told = self._file.parquet.metadata.row_group(self._group).column(leaf.number).statistics
        if told is None or not told.has_min_max:
            return False
        least, most = told.min, told.max
        if type(least) is int and type(most) is int:
            return not any(least <= number <= most for number in _whole(wanted))
        if isinstance(least, str) and isinstance(most, str):
            low, high = least.encode(), most.encode()
            return not any(low <= value.encode() <= high for value in _encodable(wanted))
        return False


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
        column = self._rows.top(name)
        if column is None:
            return None
        value = self._rows.values(column)[self._number]
        if column == name:
            return value
        return _one(_walked(value, name.split(".")[1:]))

    def scalars(self) -> Iterator[tuple[str, Any]]:
        """Every text and number with the path of its place."""
        for name in self._rows.names:
            yield from _scalars(self._rows.values(name)[self._number], name)

    def body(self, leave_out: frozenset[str]) -> bytes:
        """The row as JSON, without these fields."""
        document = {}
        for name in self._rows.names:
            if name not in leave_out:
                value = self._rows.values(name)[self._number]
                below = [n.split(".")[1:] for n in leave_out if n.split(".")[0] == name]
                document[name] = _without(value, below) if below else value
        return json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")

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


# ---- arrays


def _leaves(
    array: Any, place: str, steps: Sequence[str], *, everything: bool
) -> Iterator[tuple[str, Any, Numbers | None]]:
    """The columns of values behind a path: place, array, and the row of each value."""
    kind = array.type
    if isinstance(array, pa.ExtensionArray) and kind.extension_name != "arrow.uuid":
        array = array.storage
        kind = array.type
    if types.is_dictionary(kind):
        array = array.dictionary_decode()
        kind = array.type
    if types.is_fixed_size_list(kind):
        array = array.cast(pa.list_(kind.value_field))
        kind = array.type
    if types.is_struct(kind):
        for number, child in enumerate(array.flatten()):
            name = kind.field(number).name
            if everything or (steps and name == steps[0]):
                yield from _leaves(child, f"{place}.{name}", steps[1:], everything=everything)
    elif types.is_map(kind):
        rows = np.repeat(np.arange(len(array)), np.diff(array.offsets.to_numpy()))
        start, count = array.offsets[0].as_py(), len(rows)
        keys = array.keys.slice(start, count)
        values = array.items.slice(start, count)
        yield from _within(_map_leaves(keys, values, place, steps, everything=everything), rows)
    elif types.is_list(kind) or types.is_large_list(kind):
        if steps or everything:  # a list by itself names nobody
            rows = pc.list_parent_indices(array).to_numpy().astype(np.int64)
            inner = _leaves(pc.list_flatten(array), place, steps, everything=everything)
            yield from _within(inner, rows)
    elif not steps or everything:
        yield place, array, None


def _map_leaves(
    keys: Any, values: Any, place: str, steps: Sequence[str], *, everything: bool
) -> Iterator[tuple[str, Any, Numbers | None]]:
    if everything:
        yield from _leaves(keys, place, (), everything=True)
    named = np.array(shown(keys), dtype=object)
    for key in dict.fromkeys(named.tolist()):
        if everything or (steps and key == steps[0]):
            rows = np.flatnonzero(named == key)
            inner = values.take(pa.array(rows))
            yield from _within(
                _leaves(inner, f"{place}.{key}", steps[1:], everything=everything), rows
            )


def _within(
    found: Iterator[tuple[str, Any, Numbers | None]], rows: Numbers
) -> Iterator[tuple[str, Any, Numbers | None]]:
    for place, leaf, parents in found:
        yield place, leaf, rows if parents is None else rows[parents]


def _may_be(leaf: Any, place: str, wanted: Wanted) -> Any:
    """Which values of an array could be wanted; never too few."""
    if wanted.fields and wanted.exact and (quick := _equal(leaf, wanted)) is not None:
        return quick
    open_ = np.ones(len(leaf), bool)
    if wanted.fields and wanted.sound and (near := _near(leaf, wanted)) is not None:
        open_ = near
    if not open_.any():
        return open_
    rows = np.flatnonzero(open_)
    told = leaf.take(pa.array(rows)).dictionary_encode() if _hashes(leaf) else None
    if told is None:
        open_[rows] = [wanted.may_be(place, value) for value in shown(leaf.take(pa.array(rows)))]
        return open_
    verdicts = np.array([wanted.may_be(place, value) for value in shown(told.dictionary)], bool)
    places = told.indices.fill_null(-1).to_numpy()
    open_[rows] = np.append(verdicts, False)[places]
    return open_


def _equal(leaf: Any, wanted: Wanted) -> Any:
    """Values that are one of the wanted ones as they are written; None where that takes more."""
    kind = leaf.type
    if types.is_integer(kind):
        numbers = pa.array([n for n in _whole(wanted) if -(1 << 63) <= n < 1 << 63], pa.int64())
        if types.is_uint64(kind):
            return None
        return _told(pc.is_in(leaf.cast(pa.int64()), value_set=numbers))
    if types.is_string(kind) or types.is_large_string(kind):
        return _told(pc.is_in(leaf, value_set=pa.array(_encodable(wanted), kind)))
    return None


def _near(leaf: Any, wanted: Wanted) -> Any:
    """Texts that are one of the wanted ones in other letters, or have letters outside ASCII."""
    kind = leaf.type
    if not (types.is_string(kind) or types.is_large_string(kind)):
        return None
    folded = pc.ascii_lower(pc.ascii_trim(leaf, _BLANKS))
    values = pa.array([value.lower() for value in _encodable(wanted)], kind)
    near = pc.or_(pc.is_in(folded, value_set=values), pc.invert(pc.string_is_ascii(leaf)))
    return _told(near)


def _told(mask: Any) -> Any:
    return mask.fill_null(False).to_numpy(zero_copy_only=False).copy()


def _encodable(wanted: Wanted) -> list[str]:
    return [value for value in wanted.values if value.isascii() or _is_utf8(value)]


def _is_utf8(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _whole(wanted: Wanted) -> list[int]:
    """The wanted values that a whole number is written as."""
    found = []
    for value in wanted.values:
        digits = value.removeprefix("-")
        if digits.isascii() and digits.isdigit() and str(int(value)) == value:
            found.append(int(value))
    return found


def _hashes(leaf: Any) -> bool:
    return not (isinstance(leaf, pa.ExtensionArray) or types.is_nested(leaf.type))


# ---- values


def _walked(value: Any, steps: Sequence[str]) -> list[Any]:
    """The values behind a path, through lists."""
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


def _scalars(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _scalars(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from _scalars(inner, path)
    elif value is not None:
        yield path, value


def _without(value: Any, paths: Sequence[Sequence[str]]) -> Any:
    if isinstance(value, list):
        return [_without(inner, paths) for inner in value]
    if not isinstance(value, dict):
        return value
    kept = {}
    for name, inner in value.items():
        below = [path[1:] for path in paths if path and path[0] == name]
        if [] not in below:
            kept[name] = _without(inner, below) if below else inner
    return kept


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
