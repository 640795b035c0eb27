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
from connectors.s3.formats.parquet import values
from connectors.s3.formats.parquet.dictionary import Dictionary, Seen
from connectors.s3.formats.parquet.footer import Leaf
from connectors.s3.formats.parquet.hybrid import Numbers
from connectors.s3.formats.parquet.pages import (
    DATA_V2,
    DICTIONARIES,
    DICTIONARY,
    Opened,
    Packing,
    Page,
    close_page,
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
    DAMAGED,
    I32,
    I64,
    LIST,
    STRUCT,
    Items,
    Struct,
    told_damaged,
)

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
        return np.union1d(self.removed, others) if len(others) else self.removed


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


@dataclass(slots=True)
class NewChunk:
    """A column chunk after the change."""

    parts: list[Part]
    meta: Struct
    pages: list[PageNote]
    replaced: bool
    gone: Callable[[PageNote], list[bytes]]  # the values that a changed page no longer has
    bounds: Callable[[PageNote], Bounds | None]  # the bounds of those that it has

    @property
    def size(self) -> int:
        """Its bytes."""
        return sum(len(part.data) for part in self.parts)


def rewritten(chunk: bytes, meta: Struct, leaf: Leaf, edit: ColumnEdit) -> NewChunk:
    """A chunk as it is after `edit`. Raises UnreadableError."""
    with told_damaged():
        return _Chunk(chunk, meta, leaf, edit).rewritten()


@dataclass(slots=True)
class _Kept:
    """A page as it is to be: as stored, or new."""

    page: Page
    note: PageNote
    new: bytes | None = None
    plain: bytes = b""  # of a changed page that is not of the dictionary
    gone: list[bytes] = field(default_factory=list)  # its values that went
    gone_places: set[int] = field(default_factory=set)  # the same of the dictionary
    seen: Seen | None = None  # of a changed page of the dictionary: the places it names


class _Chunk:
    def __init__(self, chunk: bytes, meta: Struct, leaf: Leaf, edit: ColumnEdit) -> None:
        self._chunk = chunk
        self._meta = meta
        self._leaf = leaf
        self._edit = edit
        self._packing = Packing(meta.need(4, I32))
        self._order: Order | None = order_of(leaf)
        self._touched = edit.touched()
        self._dictionary: Dictionary | None = None
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
            lambda note: self._gone_of(by_source[note.source]),
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
        self._dictionary = Dictionary(page, self._leaf, self._packing)

    def _named(self) -> Dictionary:
        """The dictionary that a page speaks of."""
        if self._dictionary is None:
            raise UnreadableError(DAMAGED)
        return self._dictionary

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
        stays = np.ones(len(rows), bool)
        if opened.repeated is None:
            span = np.searchsorted(self._edit.removed, [rows[0], rows[-1] + 1])
            stays[self._edit.removed[span[0] : span[1]] - rows[0]] = False
        else:
            stays = ~np.isin(rows, self._edit.removed)
        defined = None if opened.defined is None else opened.defined.copy()
        number_of = np.cumsum(is_value) - 1
        edits: dict[int, bytes | None] = dict.fromkeys(number_of[is_value & ~stays].tolist())
        for row, level in self._edit.cut.items():
            start, end = np.searchsorted(rows, [row, row + 1])
            if start == end or defined is None:
                continue
            begins = opened.repeated is None or opened.repeated[start] == 0
            stays[start + begins : end] = False
            if begins:
                defined[start] = min(int(defined[start]), level)
            edits |= dict.fromkeys(number_of[start:end][is_value[start:end]].tolist())
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
            kept.plain, kept.gone = changed.plain, changed.gone
            self._gone += changed.gone
            return changed.encoded
        dictionary = self._named()
        places = dictionary.named(opened.values, count)
        numbers = np.fromiter(edits, np.int64, len(edits))
        gone = set(places[numbers].tolist())
        for number, new in edits.items():
            if new is not None:
                places[number] = dictionary.add(new)
        left = np.delete(places, numbers[[new is None for new in edits.values()]])
        kept.seen = dictionary.seen(left)
        self._gone_places |= gone
        kept.gone_places = {place for place in gone if not kept.seen[place]}
        return dictionary.naming(left, opened.values)

    def _forget(self, page: Page, opened: Opened, count: int) -> None:
        """A page of which nothing stays."""
        if page.encoding in DICTIONARIES:
            seen = self._named().seen(self._named().named(opened.values, count))
            self._gone_places |= set(np.flatnonzero(seen).tolist())
            return
        plain = values.plain_of(self._leaf, page.encoding, opened.values, count)
        self._gone += values.each(self._leaf, plain, count)

    # ---- the dictionary

    def _lost_places(self, kept: list[_Kept]) -> set[int]:
        """The places to which nothing refers any more; pages are opened only while that is open."""
        left = np.fromiter(self._gone_places, np.int64, len(self._gone_places))
        for one in kept:
            if one.seen is not None:
                left = left[~one.seen[left]]
        for one in kept:
            if not len(left):
                break
            if one.new is None and one.page.encoding in DICTIONARIES:
                left = left[~self._seen(one.page)[left]]
        return set(left.tolist())

    def _seen(self, page: Page) -> Seen:
        opened = open_page(page, self._leaf, self._packing)
        dictionary = self._named()
        return dictionary.seen(dictionary.named(opened.values, self._count(opened, page)))

    def _count(self, opened: Opened, page: Page) -> int:
        if opened.defined is None:
            return page.slots
        return int((opened.defined == self._leaf.max_defined).sum())

    # ---- what is said of it

    def _parts(self, kept: list[_Kept], lost: set[int]) -> list[Part]:
        parts: list[Part] = []
        at = 0
        if self._dictionary is not None:
            page = self._dictionary.page
            new = self._dictionary.without(lost)
            stored = self._chunk[page.start : page.end]
            parts.append(Part(stored, page.start) if new is None else Part(new))
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
        before = [self._dictionary.page] if self._dictionary else []
        for page in _pages_in(parts, [*before, *(one.page for one in kept)]):
            slots += 0 if page.kind == DICTIONARY else page.slots
            plain_bytes += page.end - page.start - len(page.body) + page.header.need(2, I32)
            counts[page.kind, page.encoding] = counts.get((page.kind, page.encoding), 0) + 1
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
        gone = self._gone + (self._named().values(lost) if lost else [])
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

    def _gone_of(self, one: _Kept) -> list[bytes]:
        places = one.gone_places
        return one.gone + (self._named().values(places) if places else [])

    def _bounds_of(self, one: _Kept) -> Bounds | None:
        order = self._order
        if order is None:
            return None
        if one.new is not None and one.seen is None:
            return order.of_plain(one.plain, one.note.values)
        if one.page.encoding in DICTIONARIES:
            seen = self._seen(one.page) if one.seen is None else one.seen
            return self._named().bounds(seen, order)
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


def _pages_in(parts: list[Part], stored: list[Page]) -> Iterator[Page]:
    """The pages as they are to be; `stored` are those in whose place each part stands."""
    for part, page in zip(parts, stored, strict=True):
        yield page if part.start is not None else next(pages_of(part.data))
