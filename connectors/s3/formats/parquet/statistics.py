"""The least and greatest value of pages and column chunks, which must not be an erased one.

In: a column's bounds, the values that went, the values that stay. Out: bounds from values that stay
only. A bound that no erased value could have made holds as it is; any other is computed anew, and
left out where Parquet defines no order (parquet.thrift, ColumnOrder).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors.s3.formats.parquet import values
from connectors.s3.formats.parquet.footer import (
    BOOLEAN,
    BYTE_ARRAY,
    DOUBLE,
    FIXED,
    FLOAT,
    INT32,
    INT64,
    Leaf,
)
from connectors.s3.formats.parquet.thrift import BINARY, BOOL, I64, Struct

Bounds = tuple[bytes, bytes]

_DECIMAL, _UINTS, _INTERVAL = 5, range(11, 15), 21  # ConvertedType
_LOGICAL_DECIMAL, _LOGICAL_INTEGER = 5, 10  # LogicalType, as are the following without an order
_UNORDERED = (15, 16, 17, 18)  # FLOAT16 (its own order), VARIANT, GEOMETRY, GEOGRAPHY
_MAX_BOUND_BYTES = 1024
_SHORTENED_BYTES = 16  # writers keep 64 bytes of a bound if nobody sets it, Iceberg's 16
_LETTER_BYTES = 4  # of UTF-8, at most
_FLAGS = ((2, 6, 8), (1, 5, 7))  # fields of Statistics: old bound, new bound, whether it is exact


@dataclass(frozen=True, slots=True)
class Order:
    """How the values of a column compare. `key` makes a stored value comparable."""

    leaf: Leaf
    numpy: str  # of fixed widths
    key: Callable[[bytes], Any]

    def of_stored(self, stored: Any) -> Bounds | None:
        """The bounds of an Arrow array of stored values; None where there are none."""
        if self.numpy:
            return self._of_numbers(values.numbers(stored, self.numpy))
        return self._of_bytes(stored)

    def _of_bytes(self, array: Any) -> Bounds | None:
        if not len(array):
            return None
        if self.key is not bytes:
            return self.of(array.to_pylist())
        found = pc.min_max(array)
        return found["min"].as_py(), found["max"].as_py()

    def _of_numbers(self, array: Any) -> Bounds | None:
        is_float = self.numpy[1] == "f"
        if is_float:
            array = array[~np.isnan(array)]
        if not len(array):
            return None
        least, most = array.min(), array.max()
        if is_float:  # zeros compare alike: -0.0 below, +0.0 above (parquet.thrift)
            least, most = (-0.0 if least == 0 else least), (0.0 if most == 0 else most)
        return np.array(least, self.numpy).tobytes(), np.array(most, self.numpy).tobytes()

    def of(self, found: Iterable[bytes]) -> Bounds | None:
        """The bounds of stored values; None where there are none."""
        kept = [value for value in found if self._counts(value)]
        return (min(kept, key=self.key), max(kept, key=self.key)) if kept else None

    def _counts(self, value: bytes) -> bool:
        return self.numpy[1:2] != "f" or not bool(np.isnan(np.frombuffer(value, self.numpy)[0]))


def order_of(leaf: Leaf) -> Order | None:
    """The order of a column; None where Parquet defines none, or an odd one."""
    logical: Struct = leaf.element.get(10, Struct())
    converted = leaf.element.get(6)
    if converted == _INTERVAL or any(kind in logical.fields for kind in _UNORDERED):
        return None
    integer = logical.get(_LOGICAL_INTEGER)
    signed = converted not in _UINTS and not (
        isinstance(integer, Struct) and integer.get(2, True) is False
    )
    decimal = converted == _DECIMAL or _LOGICAL_DECIMAL in logical.fields
    match leaf.physical:
        case physical if physical in (INT32, INT64):
            return _numbers(leaf, f"<{'i' if signed else 'u'}{leaf.width}")
        case physical if physical in (FLOAT, DOUBLE):
            return _numbers(leaf, f"<f{leaf.width}")
        case physical if physical == BOOLEAN:
            return Order(leaf, "", bytes)
        case physical if physical in (BYTE_ARRAY, FIXED):
            return Order(leaf, "", _signed if decimal else bytes)
        case _:
            return None


def may_show(bounds: Iterable[bytes | None], gone: Iterable[Any], leaf: Leaf) -> bool:
    """Whether a bound could be one of these values, or a shortened one.

    `gone` are Arrow arrays of stored values.
    """
    told = {bound for bound in bounds if bound is not None}
    return any(_shows(bound, stored, leaf) for stored in gone for bound in told)


def _shows(bound: bytes, stored: Any, leaf: Leaf) -> bool:
    if leaf.physical in (BYTE_ARRAY, FIXED):
        shown = pc.starts_with(stored.cast(pa.binary()), _stem(bound))
        return bool(pc.any(shown).as_py())
    if len(bound) != stored.type.byte_width:
        return False
    if leaf.physical in (FLOAT, DOUBLE) and not np.frombuffer(bound, f"<f{leaf.width}")[0]:
        return bool((values.numbers(stored, f"<f{leaf.width}") == 0).any())  # of either sign
    return bool(pc.any(pc.equal(stored, pa.scalar(bound, stored.type))).as_py())


def _stem(bound: bytes) -> bytes:
    """What a bound has in common with the value that it was shortened from.

    A raised last letter may differ in each of its bytes; raised bytes that were full are 0.
    """
    if len(bound) < _SHORTENED_BYTES:
        return bound[:-1]
    return bound.rstrip(b"\0")[:-_LETTER_BYTES]


def statistics_without(
    old: Struct,
    gone: Iterable[Any],
    leaf: Leaf,
    more_nulls: int,
    anew: Callable[[], Bounds | None],
    *,
    replaced: bool,
) -> Struct:
    """A chunk's statistics after values went, by what is left in it (`anew`, asked if need be)."""
    new = old.copy()
    new.drop(4, *(number for number in old.fields if number > 8))  # noqa: PLR2004 - unknown ones
    if old.get(3) is not None:
        new.put(3, I64, max(0, old.get(3) + more_nulls))
    bounds = [old.get(field) for fields in _FLAGS for field in fields[:2]]
    if not replaced and not may_show(bounds, gone, leaf):
        return new
    found = anew() if any(bound is not None for bound in bounds) else None
    new.drop(1, 2, 5, 6, 7, 8)
    if found is None or max(map(len, found)) > _MAX_BOUND_BYTES:
        return new
    for (older, newer, exact), bound in zip(_FLAGS, found, strict=True):
        if old.get(newer) is not None:
            new.put(newer, BINARY, bound)
            new.put(exact, BOOL, value=True)
        if old.get(older) is not None and _is_signed_number(leaf):
            new.put(older, BINARY, bound)
    return new


def _is_signed_number(leaf: Leaf) -> bool:
    """Whether the deprecated bounds, which compare by sign, are those of the order."""
    order = order_of(leaf)
    return order is not None and order.numpy[1:2] in ("i", "f")


def _numbers(leaf: Leaf, kind: str) -> Order:
    return Order(leaf, kind, lambda value: np.frombuffer(value, kind)[0])


def _signed(value: bytes) -> int:
    return int.from_bytes(value, "big", signed=True)
