"""Rows of a table's data files, as records.

In: the stored bytes of one Parquet file, whom to look for. Out: entries. Columns that only the path
knows (`country=NL/`) are read from it. Memory: a page of each column and some rows; a file on disk
holds the object meanwhile.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from tempfile import NamedTemporaryFile
from typing import Any
from urllib.parse import unquote

from connectors.s3.formats.content import scalars_in, value_at, without
from connectors.s3.formats.entries import Source, UnreadableError
from connectors.s3.formats.wanted import Wanted
from dsr_worker.contract import Configuration, NeedsHuman

_ROWS_AT_ONCE = 8192
_PARSED_AT_ONCE = 32
_BUFFER_BYTES = 256 * 1024  # else each column of a row group is read whole
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"  # what Hive writes into a path for null


class Rows:
    """Some rows of a data file; `from_path` are columns that only its path knows."""

    def __init__(self, batch: Any, from_path: Mapping[str, str | None]) -> None:
        self._batch = batch
        self._from_path = from_path
        self._shown: dict[str, list[Any]] = {}
        self.names: list[str] = [*batch.schema.names, *from_path]

    def __iter__(self) -> Iterator[RowEntry]:
        return (RowEntry(self, number) for number in range(len(self._batch)))

    def shown(self, name: str, number: int) -> Any:
        """A top-level column of one row, as records have it."""
        if name in self._from_path:
            return self._from_path[name]
        if name not in self._shown:
            self._shown[name] = _shown(self._batch.column(name))
        return self._shown[name][number]

    def stored(self, name: str, number: int) -> Any:
        """A field of one row as its column holds it. Raises NeedsHuman where Python cannot."""
        if name in self._from_path:
            return self._from_path[name]
        column = _column(self._batch, name)
        try:
            return None if column is None else column[number].as_py()
        except (ValueError, OverflowError):
            feature = f"{name} holds an instant that is out of range, or finer than a microsecond"
            raise NeedsHuman("s3-table-unsupported", {"feature": feature}) from None


@dataclass(frozen=True, slots=True)
class RowEntry:
    """One row. A field is a column, or a dotted path into structs."""

    rows: Rows
    number: int

    def value(self, name: str) -> Any:
        """The field; None where it is null or missing."""
        first = name if name in self.rows.names else name.partition(".")[0]
        if first not in self.rows.names:
            return None
        return value_at({first: self.rows.shown(first, self.number)}, name)

    def stored(self, name: str) -> Any:
        """The field as its column holds it."""
        return self.rows.stored(name, self.number)

    def scalars(self) -> Iterator[tuple[str, Any]]:
        """Every text and number with its place."""
        return scalars_in(self._row())

    def body(self, leave_out: frozenset[str]) -> bytes:
        """The row as JSON, without these fields."""
        row = without(self._row(), leave_out)
        return json.dumps(row, ensure_ascii=False).encode("utf-8", "replace")

    def mark(self) -> bytes:
        """The row as JSON."""
        return self.body(frozenset())

    def _row(self) -> dict[str, Any]:
        return {name: self.rows.shown(name, self.number) for name in self.rows.names}


def library(name: str) -> Any:
    """A library of the extra `[tables]`. Raises Configuration where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise Configuration(
            f"tables need {name}: install the extra `tables` (pip install 'dsr-worker[tables]')"
        ) from None


def rows_of(source: Source, key: str, wanted: Wanted | None) -> Iterator[RowEntry]:
    """The rows of a data file that may be wanted. Raises UnreadableError."""
    parquet, arrow = library("pyarrow.parquet"), library("pyarrow")
    if not source.first().startswith(b"PAR1"):  # also one with an encrypted footer
        raise UnreadableError("not-parquet")
    with NamedTemporaryFile() as file:
        for chunk in source.stream():
            file.write(chunk)
        file.flush()
        try:
            opened = parquet.ParquetFile(
                file.name,
                buffer_size=_BUFFER_BYTES,
                pre_buffer=False,
                coerce_int96_timestamp_unit="us",  # as the tables' libraries do; else years wrap
            )
            yield from _rows(opened, _partition(key), wanted)
        except (arrow.ArrowException, OSError):
            raise UnreadableError("damaged-parquet") from None


def _rows(
    file: Any, partition: Mapping[str, str | None], wanted: Wanted | None
) -> Iterator[RowEntry]:
    for stored in file.iter_batches(batch_size=_ROWS_AT_ONCE):
        batch = stored.cast(_without_views(stored.schema))
        known = set(batch.schema.names)
        from_path = {name: value for name, value in partition.items() if name not in known}
        found = _candidates(batch, from_path, wanted)
        for start in range(0, len(found), _PARSED_AT_ONCE):
            yield from Rows(found.slice(start, _PARSED_AT_ONCE), from_path)


def _without_views(schema: Any) -> Any:
    """The schema without views of texts, which deltalake writes and few functions take."""
    arrow = library("pyarrow")
    return arrow.schema([field.with_type(_without_view(field.type)) for field in schema])


def _without_view(kind: Any) -> Any:
    arrow = library("pyarrow")
    if kind == arrow.string_view():
        return arrow.string()
    if kind == arrow.binary_view():
        return arrow.binary()
    if arrow.types.is_struct(kind):
        fields = [kind.field(at) for at in range(kind.num_fields)]
        return arrow.struct([f.with_type(_without_view(f.type)) for f in fields])
    if arrow.types.is_list(kind):
        return arrow.list_(kind.value_field.with_type(_without_view(kind.value_type)))
    if arrow.types.is_map(kind):
        return arrow.map_(_without_view(kind.key_type), _without_view(kind.item_type))
    return kind


def _candidates(batch: Any, from_path: Mapping[str, str | None], wanted: Wanted | None) -> Any:
    """The rows in which one of the values may stand, told by each column's distinct values."""
    if wanted is None or not wanted.fields:
        return batch
    arrow, compute = library("pyarrow"), library("pyarrow.compute")
    if any(wanted.may_be(name, from_path[name]) for name in wanted.fields if name in from_path):
        return batch
    chosen = arrow.array([False] * len(batch))
    for name in wanted.fields:
        column = _column(batch, name)
        if column is None:
            continue
        try:
            distinct = column.unique()
            meant = [wanted.may_be(name, value) for value in _shown(distinct)]
            hit = compute.is_in(column, value_set=distinct.filter(arrow.array(meant)))
        except (arrow.ArrowNotImplementedError, arrow.ArrowInvalid):
            return batch
        chosen = compute.or_(chosen, hit)
    return batch.filter(chosen)


def _column(batch: Any, name: str) -> Any:
    arrow, compute = library("pyarrow"), library("pyarrow.compute")
    first, *rest = [name] if name in batch.schema.names else name.split(".")
    if first not in batch.schema.names:
        return None
    column = batch.column(first)
    for step in rest:
        if not arrow.types.is_struct(column.type) or column.type.get_field_index(step) < 0:
            return None
        column = compute.struct_field(column, step)
    return column


def _partition(key: str) -> dict[str, str | None]:
    named = (step.partition("=") for step in key.split("/")[:-1] if "=" in step)
    values = ((unquote(name), unquote(value)) for name, _, value in named)
    return {name: None if value == _NO_VALUE else value for name, value in values}


def _shown(array: Any) -> list[Any]:
    """Values as records have them, those of Parquet objects alike."""
    found: list[Any] = library("connectors.s3.formats.parquet.shown").shown(array)
    return found
