"""What a decision about rows means for each column: which rows go, which values are others.

In: changes by row, with field names and texts. Out: an edit for each column that is touched. A mask
that a column's type cannot hold stops with a reason and changes nothing.
"""

from __future__ import annotations

import re
import struct
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation

import numpy as np

from connectors.s3.formats.entries import Change, UnreadableError
from connectors.s3.formats.parquet.footer import (
    BOOLEAN,
    BYTE_ARRAY,
    DOUBLE,
    FIXED,
    FLOAT,
    INT32,
    INT64,
    INT96,
    Leaf,
    Node,
)
from connectors.s3.formats.parquet.hybrid import Numbers
from connectors.s3.formats.parquet.slots import ColumnEdit
from connectors.s3.formats.parquet.thrift import Struct

UNFIT = "mask-does-not-fit"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_JULIAN_EPOCH = 2_440_588  # the Julian day of 1970-01-01
_CONVERTED_UNITS = {9: 10**3, 10: 10**6}  # TIMESTAMP_MILLIS, TIMESTAMP_MICROS: per second
_UNITS = {1: 10**3, 2: 10**6, 3: 10**9}  # TimeUnit
_DATE, _DECIMAL, _TIMESTAMP, _UUID, _DATE_LOGICAL, _TIME_LOGICAL = 6, 5, 8, 14, 6, 7
_TIMES = (7, 8)  # ConvertedType TIME_MILLIS, TIME_MICROS
_FRACTION = re.compile(r"\.([0-9]+)")


@dataclass(slots=True)
class _Column:
    leaf: Leaf
    cut: dict[int, int] = field(default_factory=dict)
    replaced: dict[int, bytes | None] = field(default_factory=dict)

    def mask(self, row: int, node: Node, new: str | None) -> None:
        leaf = self.leaf
        above = list(node.upwards())[1:]
        if any(at.makes_map for at in above):
            raise UnreadableError(UNFIT)
        if new is None and node is not leaf.node and not any(at.repeated for at in above):
            if not (node.optional or node.repeated):
                raise UnreadableError(UNFIT)
            self.cut[row] = node.defined - 1
        elif new is None and leaf.node.optional:
            self.replaced[row] = None
        elif new is None and leaf.node.repeated:
            self.cut[row] = leaf.node.defined - 1
        elif node is leaf.node:
            self.replaced[row] = stored(leaf, new or "")
        else:
            raise UnreadableError(UNFIT)


def edits_of(leaves: list[Leaf], changes: Mapping[int, Change]) -> list[ColumnEdit | None]:
    """The edit of each column, None where nothing in it changes. Raises UnreadableError."""
    removed = np.array(sorted(row for row, c in changes.items() if c.erases), np.int64)
    columns = [_Column(leaf) for leaf in leaves]
    for row, change in changes.items():
        if change.erases:
            continue
        for name, new in change.masks.items():
            for column, node in _meant(columns, name):
                column.mask(row, node, new)
    return [_edit(column, removed) for column in columns]


def _meant(columns: list[_Column], name: str) -> list[tuple[_Column, Node]]:
    found = [(column, node) for column in columns if (node := column.leaf.at(name)) is not None]
    if not found:
        raise UnreadableError(UNFIT)
    return found


def _edit(column: _Column, removed: Numbers) -> ColumnEdit | None:
    if not len(removed) and not column.cut and not column.replaced:
        return None
    return ColumnEdit(removed, column.cut, column.replaced)


def stored(leaf: Leaf, text: str) -> bytes:
    """A text as this column stores it. Raises UnreadableError where it cannot."""
    try:
        return _stored(leaf, text)
    except (ValueError, InvalidOperation, OverflowError, struct.error):
        raise UnreadableError(UNFIT) from None


def _stored(leaf: Leaf, text: str) -> bytes:  # noqa: PLR0911 - one for each physical type
    logical = leaf.element.get(10, Struct())
    converted = leaf.element.get(6)
    if converted == _DECIMAL or _DECIMAL in logical.fields:
        return _decimal(leaf, logical, text)
    match leaf.physical:
        case physical if physical == BYTE_ARRAY:
            return text.encode()
        case physical if physical == FIXED:
            value = uuid.UUID(text).bytes if _UUID in logical.fields else text.encode()
            if len(value) != leaf.width:
                raise ValueError(UNFIT)
            return value
        case physical if physical == BOOLEAN:
            return bytes([("false", "true").index(text)])
        case physical if physical in (FLOAT, DOUBLE):
            return struct.pack("<f" if physical == FLOAT else "<d", float(text))
        case physical if physical == INT96:
            days, nanos = divmod(_since_epoch(text, 10**9), 86_400 * 10**9)
            return struct.pack("<qi", nanos, days + _JULIAN_EPOCH)
        case physical if physical in (INT32, INT64):
            return _whole(leaf, logical, text).to_bytes(leaf.width, "little", signed=True)
        case _:
            raise ValueError(UNFIT)


def _whole(leaf: Leaf, logical: Struct, text: str) -> int:
    converted = leaf.element.get(6)
    timestamp = logical.get(_TIMESTAMP)
    if isinstance(timestamp, Struct):
        unit = timestamp.get(2, Struct())
        return _since_epoch(text, next(_UNITS[kind] for kind in unit.fields))
    if converted in _CONVERTED_UNITS:
        return _since_epoch(text, _CONVERTED_UNITS[converted])
    if converted == _DATE or _DATE_LOGICAL in logical.fields:
        return (date.fromisoformat(text) - _EPOCH.date()).days
    if converted in _TIMES or _TIME_LOGICAL in logical.fields:
        raise ValueError(UNFIT)
    return int(text)


def _decimal(leaf: Leaf, logical: Struct, text: str) -> bytes:
    told = logical.get(_DECIMAL)
    scale = told.get(1, 0) if isinstance(told, Struct) else leaf.element.get(7, 0)
    scaled = Decimal(text).scaleb(scale)
    if scaled != scaled.to_integral_value():
        raise ValueError(UNFIT)
    number = int(scaled)
    if leaf.physical in (INT32, INT64):
        return number.to_bytes(leaf.width, "little", signed=True)
    width = leaf.width or number.bit_length() // 8 + 1
    return number.to_bytes(width, "big", signed=True)


def _since_epoch(text: str, per_second: int) -> int:
    """An instant in units since 1970, all digits of its fraction counted."""
    fraction = _FRACTION.search(text)
    at = datetime.fromisoformat(_FRACTION.sub("", text, count=1))
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    seconds = (at - _EPOCH) // timedelta(seconds=1)
    digits = int(fraction[1][:9].ljust(9, "0")) if fraction else 0
    return seconds * per_second + digits * per_second // 10**9
