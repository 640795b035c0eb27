"""A column chunk's dictionary: values that pages name by their place.

In: the dictionary page. Out: values by place, and the page again with places that nothing names any
more blanked, and with further values at its end; all other places stay what they are, so that pages
need no change.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from connectors.s3.formats.entries import UnreadableError
from connectors.s3.formats.parquet import hybrid, values
from connectors.s3.formats.parquet.footer import BYTE_ARRAY, Leaf
from connectors.s3.formats.parquet.hybrid import Numbers
from connectors.s3.formats.parquet.pages import Packing, Page, Part, closed
from connectors.s3.formats.parquet.statistics import Bounds, Order
from connectors.s3.formats.parquet.thrift import BOOL, DAMAGED, I32, STRUCT, Struct

Seen = npt.NDArray[np.bool_]

_DECIMAL, _LOGICAL_DECIMAL = 5, 5
_MAX_WIDTH = 32  # bits of a place


class Dictionary:
    """The dictionary of one column chunk."""

    def __init__(self, page: Page, leaf: Leaf, packing: Packing) -> None:
        self.page = page
        self._leaf = leaf
        self._packing = packing
        self._plain = packing.undone(page.body, page.header.need(2, I32))
        self._count = page.slots
        self._added: dict[bytes, int] = {}

    def named(self, encoded: bytes, count: int) -> Numbers:
        """The places that a page names. Raises UnreadableError."""
        if not count:
            return np.zeros(0, np.int64)
        if not encoded or encoded[0] > _MAX_WIDTH:
            raise UnreadableError(DAMAGED)
        found = hybrid.decode(memoryview(encoded)[1:], encoded[0], count)
        if int(found.max()) >= self._count:
            raise UnreadableError(DAMAGED)
        return found

    @staticmethod
    def naming(places: Numbers, encoded: bytes) -> bytes:
        """A page's values that name these places; as wide as `encoded`, or wider."""
        width = hybrid.width_of(int(places.max())) if len(places) else 0
        width = max(width, encoded[0] if encoded else 0)
        return bytes([width]) + hybrid.encode(places, width)

    def seen(self, places: Numbers) -> Seen:
        """For every place, whether it is among these."""
        found = np.zeros(self._count + len(self._added), bool)
        found[places] = True
        return found

    def values(self, places: Numbers) -> Any:
        """The stored values of places that were there before, as an Arrow array."""
        return self._stored.take(pa.array(places))

    def add(self, value: bytes) -> int:
        """A place for a value, at the end."""
        return self._added.setdefault(value, self._count + len(self._added))

    def bounds(self, seen: Seen, order: Order) -> Bounds | None:
        """The least and greatest value of the places seen."""
        found = order.of_stored(self.values(np.flatnonzero(seen[: self._count])))
        new = [v for v, place in self._added.items() if place < len(seen) and seen[place]]
        return order.of((*(found or ()), *new))

    def without(self, lost: Numbers) -> Part | None:
        """The page with these places blanked and what was added; None where it stays as it is."""
        if not len(lost) and not self._added:
            return None
        blanked = values.Edits(lost, dict.fromkeys(lost.tolist(), self._blank()))
        plain = values.cut(self._leaf, self._plain, self._stored, blanked)
        plain += values.joined(self._leaf, self._added)
        header, data = self.page.header.copy(), self.page.data.copy()
        data.put(1, I32, self._count + len(self._added))
        if data.get(3) is not None:
            data.put(3, BOOL, value=False)  # no longer sorted
        header.put(7, STRUCT, data)
        return closed(header, self._packing.done(plain), len(plain))

    @cached_property
    def _stored(self) -> Any:
        return values.array_of(self._leaf, self._plain, self._count)

    def _blank(self) -> bytes:
        if self._leaf.physical != BYTE_ARRAY:
            return bytes(self._leaf.width)
        logical = self._leaf.element.get(10, Struct())
        decimal = self._leaf.element.get(6) == _DECIMAL or _LOGICAL_DECIMAL in logical.fields
        return b"\0" if decimal else b""
