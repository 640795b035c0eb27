"""Which places of a data page stay, and which of its values change.

In: a page's levels, the rows that it holds, what is to become of rows. Out: the places that stay,
their definition levels, and the edits of its values. A place is a value or a null.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from connectors.s3.formats.parquet.footer import Leaf
from connectors.s3.formats.parquet.hybrid import Numbers
from connectors.s3.formats.parquet.pages import Opened
from connectors.s3.formats.parquet.values import Edits


@dataclass(frozen=True)
class ColumnEdit:
    """What changes in a column of one row group, by row.

    `removed` rows go, in ascending order. `cut` rows keep one place, defined at most up to this
    level. `replaced` rows get these bytes for each of their values (None: null).
    """

    removed: Numbers
    cut: Mapping[int, int] = field(default_factory=dict)
    replaced: Mapping[int, bytes | None] = field(default_factory=dict)

    @cached_property
    def masked(self) -> Numbers:
        """The rows that stay and change, ascending."""
        return np.unique(np.fromiter((*self.cut, *self.replaced), np.int64))

    @cached_property
    def touched(self) -> Numbers:
        """All rows in which anything changes, ascending."""
        return np.union1d(self.removed, self.masked) if len(self.masked) else self.removed


@dataclass(frozen=True, slots=True)
class Slots:
    """The places of one page after the change."""

    stays: Any  # for each place that was there
    repeated: Numbers | None
    defined: Numbers | None
    values: int  # that were there before
    edits: Edits  # of these


def slots_of(opened: Opened, slots: int, first: int, leaf: Leaf, edit: ColumnEdit) -> Slots:
    """The places of a page whose first new row is `first`."""
    return _Slots(opened, slots, first, leaf, edit).changed()


class _Slots:
    def __init__(
        self, opened: Opened, slots: int, first: int, leaf: Leaf, edit: ColumnEdit
    ) -> None:
        self._opened = opened
        self._edit = edit
        self._first, self._last = first, first + slots - 1
        self._rows: Numbers | None = None  # of each place; None: one after the other
        if opened.repeated is not None:
            self._rows = first - 1 + np.cumsum(opened.repeated == 0)
            self._first, self._last = int(self._rows[0]), int(self._rows[-1])
        self._is_value = np.ones(slots, bool)
        if opened.defined is not None:
            self._is_value = opened.defined == leaf.max_defined
        self._count = int(np.count_nonzero(self._is_value))
        self._defined = opened.defined
        self._stays = np.ones(slots, bool)
        self._changes = np.zeros(slots, bool)  # of values: whether it goes or becomes another one
        self._new: dict[int, bytes] = {}  # by place

    def changed(self) -> Slots:
        self._remove()
        self._mask(self._here(self._edit.masked))
        repeated, defined = self._opened.repeated, self._defined
        return Slots(
            self._stays,
            None if repeated is None else repeated[self._stays],
            None if defined is None else defined[self._stays],
            self._count,
            self._edits(),
        )

    def _here(self, rows: Numbers) -> Numbers:
        """Those of ascending rows that the page holds."""
        start, end = np.searchsorted(rows, [self._first, self._last + 1]).tolist()
        return rows[start:end]

    def _remove(self) -> None:
        removed = self._here(self._edit.removed)
        if self._rows is None:
            self._stays[removed - self._first] = False
        else:
            self._stays = ~np.isin(self._rows, removed)
        self._changes = self._is_value & ~self._stays

    def _mask(self, rows: Numbers) -> None:
        if len(rows) and self._defined is not None:
            self._defined = self._defined.copy()
        for row in rows.tolist():
            start, end = row - self._first, row - self._first + 1
            if self._rows is not None:
                start, end = np.searchsorted(self._rows, [row, row + 1]).tolist()
            if row in self._edit.cut:
                self._cut(start, end, self._edit.cut[row])
            if row in self._edit.replaced:
                self._replace(start, end, self._edit.replaced[row])

    def _cut(self, start: int, end: int, level: int) -> None:
        """A row keeps its first place, which says how far it is defined now."""
        if self._defined is None:
            return
        repeated = self._opened.repeated
        begins = repeated is None or repeated[start] == 0  # else it began on the page before
        self._stays[start + begins : end] = False
        if begins:
            self._defined[start] = min(int(self._defined[start]), level)
        self._changes[start:end] |= self._is_value[start:end]

    def _replace(self, start: int, end: int, new: bytes | None) -> None:
        for place in (start + np.flatnonzero(self._is_value[start:end])).tolist():
            self._changes[place] = True
            if new is not None:
                self._new[place] = new
            elif self._defined is not None:
                self._defined[place] -= 1

    def _edits(self) -> Edits:
        """The same by the numbers of values, which nulls are not among."""
        changes = self._changes
        if self._count < len(changes):
            changes = changes[self._is_value]
        if not self._new:
            return Edits(np.flatnonzero(changes), {})
        number_of = np.cumsum(self._is_value) - 1
        new = {int(number_of[place]): value for place, value in self._new.items()}
        return Edits(np.flatnonzero(changes), new)
