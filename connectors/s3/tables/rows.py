"""Rows of a table's data files, as records.

In: the stored bytes of one Parquet file, whom to look for. Out: entries. Columns that only the path
knows (`country=NL/`) are read from it. Memory: a page of each column and some rows; a file on disk
holds the object meanwhile.
"""

from __future__ import annotations

import base64
import importlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from tempfile import NamedTemporaryFile
from typing import Any
from urllib.parse import unquote

from connectors.s3.formats.entries import Source, UnreadableError, without
from connectors.s3.formats.wanted import Wanted
from dsr_worker.contract import Configuration

_ROWS_AT_ONCE = 8192
_PARSED_AT_ONCE = 32
_BUFFER_BYTES = 256 * 1024  # else each column of a row group is read whole
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"  # what Hive writes into a path for null


@dataclass(frozen=True, slots=True)
class RowEntry:
    """One row. A field is a column, or a dotted path into structs."""

    row: Mapping[str, Any]

    def value(self, name: str) -> Any:
        """The field; None where it is null or missing."""
        return plain(self.stored(name))

    def stored(self, name: str) -> Any:
        """The field as its column holds it."""
        if name in self.row:
            return self.row[name]
        at: Any = self.row
        for step in name.split("."):
            at = at.get(step) if isinstance(at, dict) else None
        return at

    def scalars(self) -> Iterator[tuple[str, Any]]:
        """Every text and number with its place."""
        return _scalars(plain(self.row), "")

    def body(self, leave_out: frozenset[str]) -> bytes:
        """The row as JSON, without these fields."""
        document = without(plain(self.row), leave_out)
        return json.dumps(document, ensure_ascii=False, default=_shown).encode("utf-8", "replace")

    def mark(self) -> bytes:
        """The row as JSON."""
        return self.body(frozenset())


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
            opened = parquet.ParquetFile(file.name, buffer_size=_BUFFER_BYTES, pre_buffer=False)
            yield from _rows(opened, _partition(key), wanted)
        except (arrow.ArrowException, OSError):
            raise UnreadableError("damaged-parquet") from None


def _rows(file: Any, partition: Mapping[str, str | None], wanted: Wanted | None) -> Any:
    for stored in file.iter_batches(batch_size=_ROWS_AT_ONCE):
        batch = stored.cast(_without_views(stored.schema))
        known = set(batch.schema.names)
        from_path = {name: value for name, value in partition.items() if name not in known}
        found = _candidates(batch, from_path, wanted)
        for start in range(0, len(found), _PARSED_AT_ONCE):
            for row in found.slice(start, _PARSED_AT_ONCE).to_pylist():
                yield RowEntry({**row, **from_path})


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
            meant = [wanted.may_be(name, plain(value)) for value in distinct.to_pylist()]
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


def plain(value: Any) -> Any:  # noqa: PLR0911 - one for each kind
    """A value as records have them: moments and dates as ISO 8601, bytes as the text they spell."""
    match value:
        case dict():
            return {name: plain(inner) for name, inner in value.items()}
        case list() | tuple():
            return [plain(inner) for inner in value]
        case datetime() | date() | time():
            return value.isoformat()
        case Decimal() if value == value.to_integral_value() and value.as_tuple().exponent == 0:
            return int(value)
        case float() if not math.isfinite(value):
            return str(value)
        case bytes():
            try:
                return value.decode()
            except UnicodeDecodeError:
                return value
        case _:
            return value


def _shown(value: Any) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _scalars(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _scalars(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for inner in value:
            yield from _scalars(inner, path)
    elif value is not None:
        yield path, value
