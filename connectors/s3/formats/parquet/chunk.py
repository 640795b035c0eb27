"""One column of one row group without some of its values: only the pages that held them are new.

In: a column chunk's stored bytes and which rows go or get other values. Out: its bytes again as
parts that stay and parts that are new, its metadata, and what its page index is to say. In a
dictionary, what no row refers to any more because of the change is blanked, so that every other
page may refer to it as before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from connectors.s3.formats.entries import UnreadableError
from connectors.s3.formats.parquet import hybrid, values
from connectors.s3.formats.parquet.footer import BYTE_ARRAY, Leaf
from connectors.s3.formats.parquet.hybrid import Numbers
from connectors.s3.formats.parquet.pages import (
    DATA_V2,
    DICTIONARIES,
    DICTIONARY,
    PLAIN,
    Opened,
    Packing,
    Page,
    close_page,
    closed,
    open_page,
    pages_of,
)
from connectors.s3.formats.parquet.statistics import (
    Bounds,
    Order,
    order_of,
    statistics_without,
)
from connectors.s3.formats.parquet.thrift import (
    BOOL,
    DAMAGED,
    I32,
    I64,
    LIST,
    STRUCT,
    Items,
    Struct,
)

_CONVERTED_DECIMAL, _LOGICAL_DECIMAL = 5, 5
_LOST_WITH_A_CHANGE = (10, 14, 15, 16, 17)  # index page, bloom filter, sizes, bounding boxes


@dataclass(frozen=True, slots=True)
class ColumnEdit:
    """What changes in a column of one row group, by row.

    `removed` rows go, in ascending order. `cut` rows keep one place, defined at most up to this
    level. `replaced` rows get these bytes for each of their values (None: null).
    """

    removed: Numbers
    cut: Mapping[int, int] = field(default_factory=dict)
    replaced: Mapping[int, bytes | None] = field(default_factory=dict)

    def touched(self) -> Numbers:
        """All rows in which anything changes, ascending."""
        others = np.fromiter((*self.cut, *self.replaced), np.int64)
        return np.union1d(self.removed, others)


@dataclass(slots=True)
class Part:
    """Bytes of a chunk: stored ones from `start` on that stay, or new ones."""

    data: bytes
    start: int | None = None


@dataclass(slots=True)
class PageNote:
    """What a page index says of a data page. `source`: its number before the change."""

    source: int
    at: int  # in the chunk
    size: int
    first_row: int
    changed: bool = False
    nulls: int = 0
    values: int = 0
    gone: list[bytes] = field(default_factory=list)


@dataclass(slots=True)
class NewChunk:
    """A column chunk after the change."""

    parts: list[Part]
    meta: Struct
    pages: list[PageNote]
    replaced: bool
    bounds: Callable[[PageNote], Bounds | None]  # of a changed page, by the values it has now

    @property
    def size(self) -> int:
        """Its bytes."""
        return sum(len(part.data) for part in self.parts)


def rewritten(chunk: bytes, meta: Struct, leaf: Leaf, edit: ColumnEdit) -> NewChunk:
    """A chunk as it is after `edit`. Raises UnreadableError."""
    return _Chunk(chunk, meta, leaf, edit).rewritten()


@dataclass(slots=True)
class _Kept:
    """A page as it is to be: as stored, or new."""

    page: Page
    note: PageNote
    new: bytes | None = None
    plain: bytes = b""  # of a changed page that is not of the dictionary
    used: Numbers | None = None  # of a changed page of the dictionary: its places


class _Chunk:
    def __init__(self, chunk: bytes, meta: Struct, leaf: Leaf, edit: ColumnEdit) -> None:
        self._chunk = chunk
        self._meta = meta
        self._leaf = leaf
        self._edit = edit
        self._packing = Packing(meta.need(4, I32))
        self._order: Order | None = order_of(leaf)
        self._touched = edit.touched()
        self._dictionary: Page | None = None
        self._plain_dictionary = b""
        self._entries: list[bytes] = []
        self._added: dict[bytes, int] = {}
        self._gone_places: set[int] = set()
        self._gone: list[bytes] = []  # of pages without the dictionary
        self._more_nulls = 0

    def rewritten(self) -> NewChunk:
        kept = list(self._pages())
        lost = self._lost_places(kept)
        parts = self._parts(kept, lost)
        meta = self._described(kept, parts, lost)
        by_source = {one.note.source: one for one in kept}
        return NewChunk(
            parts,
            meta,
            [one.note for one in kept],
            bool(self._edit.replaced),
            lambda note: self._bounds_of(by_source[note.source]),
        )

    # ---- pages

    def _pages(self) -> Iterator[_Kept]:
        row = first = number = 0  # the next row to begin: before the change, and after it
        for page in pages_of(self._chunk):
            if page.kind == DICTIONARY:
                self._open_dictionary(page)
                continue
            opened: Opened | None = None
            if self._leaf.max_repeated and page.kind != DATA_V2:
                opened = open_page(page, self._leaf, self._packing)
            starts = _rows_begun(page, opened, self._leaf)
            carried = opened is not None and _is_carried(opened)  # goes on in the row before
            hit = self._touches(row - carried, row + starts)
            kept = _Kept(page, PageNote(number, 0, 0, first))
            if hit:
                opened = opened or open_page(page, self._leaf, self._packing)
                kept = self._changed(kept, opened, row)
            if kept.new != b"":
                yield kept
            removed = self._edit.removed
            gone = np.searchsorted(removed, [row, row + starts])
            first += starts - int(gone[1] - gone[0])
            row += starts
            number += 1

    def _touches(self, start: int, end: int) -> bool:
        found = np.searchsorted(self._touched, [start, end])
        return bool(found[0] < found[1])

    def _open_dictionary(self, page: Page) -> None:
        if self._dictionary is not None:
            raise UnreadableError(DAMAGED)
        size = page.header.need(2, I32)
        self._dictionary = page
        self._plain_dictionary = self._packing.undone(page.body, size)

    def _places(self) -> list[bytes]:
        """The dictionary's values."""
        if not self._entries and self._dictionary is not None:
            count = self._dictionary.slots
            self._entries = values.each(self._leaf, self._plain_dictionary, count)
        return self._entries

    def _changed(self, kept: _Kept, opened: Opened, row: int) -> _Kept:
        page, leaf = kept.page, self._leaf
        slots = page.slots
        rows = np.arange(row, row + slots)
        if opened.repeated is not None:
            rows = row - 1 + np.cumsum(opened.repeated == 0)
        is_value = np.ones(slots, bool)
        if opened.defined is not None:
            is_value = opened.defined == leaf.max_defined
        stays, defined, edits = self._slots(opened, rows, is_value)
        count = int(is_value.sum())
        before = slots - count
        left = int(stays.sum())
        if not left:
            self._forget(page, opened, count)
            kept.new = b""
            self._more_nulls -= before
            return kept
        new_values = self._changed_values(kept, opened, count, edits)
        levels = Opened(
            None if opened.repeated is None else opened.repeated[stays],
            None if defined is None else defined[stays],
            new_values,
        )
        kept.note.changed = True
        kept.note.values = count - sum(new is None for new in edits.values())
        kept.note.nulls = left - kept.note.values
        self._more_nulls += kept.note.nulls - before
        kept.new = close_page(page, levels, leaf, self._packing, left)
        return kept

    def _slots(
        self, opened: Opened, rows: Numbers, is_value: Any
    ) -> tuple[Any, Numbers | None, dict[int, bytes | None]]:
        """Which places stay, how they are defined then, and which values change."""
        stays = ~np.isin(rows, self._edit.removed)
        defined = None if opened.defined is None else opened.defined.copy()
        number_of = np.cumsum(is_value) - 1
        edits: dict[int, bytes | None] = {}
        for row, level in self._edit.cut.items():
            start, end = np.searchsorted(rows, [row, row + 1])
            if start == end or defined is None:
                continue
            begins = opened.repeated is None or opened.repeated[start] == 0
            stays[start + begins : end] = False
            if begins:
                defined[start] = min(int(defined[start]), level)
                if is_value[start]:
                    edits[int(number_of[start])] = None
        for number in number_of[is_value & ~stays]:
            edits[int(number)] = None
        for row, new in self._edit.replaced.items():
            start, end = np.searchsorted(rows, [row, row + 1])
            for slot in start + np.flatnonzero(is_value[start:end]):
                edits[int(number_of[slot])] = new
                if new is None and defined is not None:
                    defined[slot] -= 1
        return stays, defined, edits

    def _changed_values(
        self, kept: _Kept, opened: Opened, count: int, edits: dict[int, bytes | None]
    ) -> bytes:
        if kept.page.encoding not in DICTIONARIES:
            encoding = kept.page.encoding
            changed = values.change(self._leaf, encoding, opened.values, count, edits)
            kept.plain, kept.note.gone = changed.plain, changed.gone
            self._gone += changed.gone
            return changed.encoded
        places = self._indices(opened, count)
        numbers = np.fromiter(edits, np.int64, len(edits))
        gone = {int(place) for place in places[numbers]}
        for number, new in edits.items():
            if new is not None:
                places[number] = self._place_of(new)
        left = np.delete(places, [number for number, new in edits.items() if new is None])
        kept.used = np.unique(left)
        self._gone_places |= gone
        lost = gone.difference(kept.used.tolist())
        kept.note.gone = [self._places()[place] for place in sorted(lost)]
        width = hybrid.width_of(int(left.max())) if len(left) else 0
        width = max(width, opened.values[0] if opened.values else 0)
        return bytes([width]) + hybrid.encode(left, width)

    def _indices(self, opened: Opened, count: int) -> Numbers:
        if not count:
            return np.zeros(0, np.int64)
        if not opened.values or opened.values[0] > 32:  # noqa: PLR2004 - bits of a place
            raise UnreadableError(DAMAGED)
        places = hybrid.decode(memoryview(opened.values)[1:], opened.values[0], count)
        if self._dictionary is None or int(places.max()) >= self._dictionary.slots:
            raise UnreadableError(DAMAGED)
        return places

    def _place_of(self, value: bytes) -> int:
        """A place for a value that the dictionary did not have to have."""
        return self._added.setdefault(value, len(self._places()) + len(self._added))

    def _forget(self, page: Page, opened: Opened, count: int) -> None:
        """A page of which nothing stays."""
        if page.encoding in DICTIONARIES:
            self._gone_places |= set(np.unique(self._indices(opened, count)).tolist())
            return
        plain = values.plain_of(self._leaf, page.encoding, opened.values, count)
        self._gone += values.each(self._leaf, plain, count)

    # ---- the dictionary

    def _lost_places(self, kept: list[_Kept]) -> set[int]:
        """The places to which nothing refers any more; pages are opened only while that is open."""
        left = set(self._gone_places)
        for one in kept:
            if one.used is not None:
                left.difference_update(one.used.tolist())
        for one in kept:
            if not left:
                break
            if one.new is None and one.page.encoding in DICTIONARIES:
                left.difference_update(self._used(one.page).tolist())
        return left

    def _used(self, page: Page) -> Numbers:
        opened = open_page(page, self._leaf, self._packing)
        return np.unique(self._indices(opened, self._count(opened, page)))

    def _count(self, opened: Opened, page: Page) -> int:
        if opened.defined is None:
            return page.slots
        return int((opened.defined == self._leaf.max_defined).sum())

    def _new_dictionary(self, page: Page, lost: set[int]) -> bytes:
        entries = [*self._places(), *self._added]
        for place in lost:
            entries[place] = self._blank()
        plain = values.joined(self._leaf, entries)
        header, data = page.header.copy(), page.data.copy()
        data.put(1, I32, len(entries))
        if data.get(3) is not None:
            data.put(3, BOOL, value=False)  # no longer sorted
        header.put(7, STRUCT, data)
        return closed(header, self._packing.done(plain), len(plain))

    def _blank(self) -> bytes:
        if self._leaf.physical != BYTE_ARRAY:
            return bytes(self._leaf.width)
        logical = self._leaf.element.get(10, Struct())
        decimal = self._leaf.element.get(6) == _CONVERTED_DECIMAL
        return b"\0" if decimal or _LOGICAL_DECIMAL in logical.fields else b""

    # ---- what is said of it

    def _parts(self, kept: list[_Kept], lost: set[int]) -> list[Part]:
        parts: list[Part] = []
        at = 0
        if self._dictionary is not None:
            page = self._dictionary
            if lost or self._added:
                parts.append(Part(self._new_dictionary(page, lost)))
            else:
                parts.append(Part(self._chunk[page.start : page.end], page.start))
            at = len(parts[0].data)
        for one in kept:
            stored = self._chunk[one.page.start : one.page.end]
            part = Part(stored, one.page.start) if one.new is None else Part(one.new)
            one.note.at, one.note.size = at, len(part.data)
            at += len(part.data)
            parts.append(part)
        return parts

    def _described(self, kept: list[_Kept], parts: list[Part], lost: set[int]) -> Struct:
        meta = self._meta.copy()
        meta.drop(*_LOST_WITH_A_CHANGE)
        slots = plain_bytes = 0
        counts: dict[tuple[int, int], int] = {}
        for at, header in _headers(parts):
            kind = header.need(1, I32)
            page = Page(at, at, header, memoryview(b""))
            slots += 0 if kind == DICTIONARY else page.slots
            plain_bytes += at + header.need(2, I32)
            counts[kind, page.encoding] = counts.get((kind, page.encoding), 0) + 1
        meta.put(5, I64, slots)
        meta.put(6, I64, plain_bytes)
        meta.put(7, I64, sum(len(part.data) for part in parts))
        if meta.get(13) is not None:
            told = [
                Struct({1: (I32, kind), 2: (I32, encoding), 3: (I32, count)})
                for (kind, encoding), count in counts.items()
            ]
            meta.put(13, LIST, Items(STRUCT, told))
        old = meta.get(12)
        if isinstance(old, Struct):
            meta.put(12, STRUCT, self._statistics(old, kept, lost))
        return meta

    def _statistics(self, old: Struct, kept: list[_Kept], lost: set[int]) -> Struct:
        gone = self._gone + [self._places()[place] for place in sorted(lost)]
        return statistics_without(
            old,
            gone,
            self._leaf,
            self._more_nulls,
            lambda: self._bounds(kept),
            replaced=bool(self._edit.replaced),
        )

    def _bounds(self, kept: list[_Kept]) -> Bounds | None:
        """The bounds of all values that stay: every page is read."""
        found = [bounds for one in kept if (bounds := self._bounds_of(one))]
        if self._order is None or not found:
            return None
        return self._order.of(bound for bounds in found for bound in bounds)

    def _bounds_of(self, one: _Kept) -> Bounds | None:
        order = self._order
        if order is None:
            return None
        if one.new is not None and one.used is None:
            return order.of_plain(one.plain, one.note.values)
        if one.page.encoding in DICTIONARIES:
            used = self._used(one.page) if one.used is None else one.used
            entries = [*self._places(), *self._added]
            return order.of(entries[int(place)] for place in used)
        opened = open_page(one.page, self._leaf, self._packing)
        count = self._count(opened, one.page)
        plain = values.plain_of(self._leaf, one.page.encoding, opened.values, count)
        return order.of_plain(plain, count)


def _rows_begun(page: Page, opened: Opened | None, leaf: Leaf) -> int:
    if not leaf.max_repeated:
        return page.slots
    if opened is None or opened.repeated is None:
        rows: int = page.data.need(3, I32)
        return rows
    return int((opened.repeated == 0).sum())


def _is_carried(opened: Opened) -> bool:
    return opened.repeated is not None and len(opened.repeated) > 0 and opened.repeated[0] > 0


def _headers(parts: list[Part]) -> Iterator[tuple[int, Struct]]:
    """How long each page's header is, and the header."""
    for part in parts:
        for page in pages_of(part.data):
            yield page.end - page.start - len(page.body), page.header
