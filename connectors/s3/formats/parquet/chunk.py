"""One column of one row group without some of its values: only the pages that held them are new.

In: a column chunk's stored bytes and which rows go or get other values. Out: its bytes again as
parts that stay and parts that are new, its metadata, and what its page index is to say. In a
dictionary, what no row refers to any more because of the change is blanked, so that every other
page may refer to it as before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
    Part,
    close_page,
    open_page,
    pages_of,
    stored,
)
from connectors.s3.formats.parquet.slots import ColumnEdit, slots_of
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


@dataclass(slots=True)
class PageNote:
    """What a page index says of a data page. `source`: its number before the change."""

    source: int
    first_row: int
    at: int = 0  # in the chunk
    size: int = 0
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
    gone: Callable[[PageNote], list[Any]]  # the values that a changed page no longer has, as arrays
    bounds: Callable[[PageNote], Bounds | None]  # the bounds of those that it has


def rewritten(chunk: bytes, meta: Struct, leaf: Leaf, edit: ColumnEdit) -> NewChunk:
    """A chunk as it is after `edit`. Raises UnreadableError."""
    with told_damaged():
        return _Chunk(chunk, meta, leaf, edit).rewritten()


@dataclass(slots=True)
class _Kept:
    """A page as it is to be: as stored, or new."""

    page: Page
    note: PageNote
    new: Part | None = None
    plain: bytes = b""  # of a changed page that is not of the dictionary
    gone: Any = None  # its values that went, as an array
    seen: Seen | None = None  # of a changed page of the dictionary: the places it names
    left: Seen | None = None  # and those that its changed values named


class _Chunk:
    def __init__(self, chunk: bytes, meta: Struct, leaf: Leaf, edit: ColumnEdit) -> None:
        self._chunk = chunk
        self._meta = meta
        self._leaf = leaf
        self._edit = edit
        self._packing = Packing(meta.need(4, I32))
        self._order: Order | None = order_of(leaf)
        self._dictionary: Dictionary | None = None
        self._left: Seen = np.zeros(0, bool)  # places in it that changed values named
        self._gone: list[Any] = []  # of pages without the dictionary
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
            kept: _Kept | None = _Kept(page, PageNote(number, first))
            if _count_in(self._edit.touched, row - carried, row + starts):
                opened = opened or open_page(page, self._leaf, self._packing)
                kept = self._changed(page, PageNote(number, first, changed=True), opened, row)
            if kept is not None:
                yield kept
            first += starts - _count_in(self._edit.removed, row, row + starts)
            row += starts
            number += 1

    def _open_dictionary(self, page: Page) -> None:
        if self._dictionary is not None:
            raise UnreadableError(DAMAGED)
        self._dictionary = Dictionary(page, self._leaf, self._packing)
        self._left = self._dictionary.seen(np.zeros(0, np.int64))

    def _named(self) -> Dictionary:
        """The dictionary that a page speaks of."""
        if self._dictionary is None:
            raise UnreadableError(DAMAGED)
        return self._dictionary

    def _changed(self, page: Page, note: PageNote, opened: Opened, row: int) -> _Kept | None:
        """The page anew; None where nothing of it stays."""
        slots = slots_of(opened, page.slots, row, self._leaf, self._edit)
        left = int(np.count_nonzero(slots.stays))
        note.values = slots.values - len(slots.edits.out)
        note.nulls = left - note.values
        self._more_nulls += note.nulls - (page.slots - slots.values)
        kept = _Kept(page, note)
        if page.encoding in DICTIONARIES:
            encoded = self._changed_places(kept, opened.values, slots.values, slots.edits)
        else:
            changed = values.change(
                self._leaf, page.encoding, opened.values, slots.values, slots.edits
            )
            kept.plain, kept.gone, encoded = changed.plain, changed.gone, changed.encoded
            self._gone.append(changed.gone)
        if not left:
            return None
        levels = Opened(slots.repeated, slots.defined, encoded)
        kept.new = close_page(page, levels, self._leaf, self._packing, left)
        return kept

    def _changed_places(
        self, kept: _Kept, encoded: bytes, count: int, edits: values.Edits
    ) -> bytes:
        dictionary = self._named()
        places = dictionary.named(encoded, count)
        kept.left = dictionary.seen(places[edits.which])[: dictionary.page.slots]
        self._left |= kept.left
        for number, new in edits.new.items():
            places[number] = dictionary.add(new)
        left = np.delete(places, edits.out)
        kept.seen = dictionary.seen(left)
        return dictionary.naming(left, encoded)

    # ---- the dictionary

    def _lost_places(self, kept: list[_Kept]) -> Numbers:
        """The places to which nothing refers any more; pages are opened only while that is open."""
        left = np.flatnonzero(self._left)
        for one in kept:
            if one.seen is not None:
                left = left[~one.seen[left]]
        for one in kept:
            if not len(left):
                break
            if one.new is None and one.page.encoding in DICTIONARIES:
                left = left[~self._seen(one.page)[left]]
        return left

    def _seen(self, page: Page) -> Seen:
        opened = open_page(page, self._leaf, self._packing)
        dictionary = self._named()
        return dictionary.seen(dictionary.named(opened.values, self._count(opened, page)))

    def _count(self, opened: Opened, page: Page) -> int:
        if opened.defined is None:
            return page.slots
        return int(np.count_nonzero(opened.defined == self._leaf.max_defined))

    # ---- what is said of it

    def _parts(self, kept: list[_Kept], lost: Numbers) -> list[Part]:
        parts: list[Part] = []
        at = 0
        if self._dictionary is not None:
            page = self._dictionary.page
            parts.append(self._dictionary.without(lost) or stored(page, self._chunk))
            at = len(parts[0].data)
        for one in kept:
            part = one.new or stored(one.page, self._chunk)
            one.note.at, one.note.size = at, len(part.data)
            at += len(part.data)
            parts.append(part)
        return parts

    def _described(self, kept: list[_Kept], parts: list[Part], lost: Numbers) -> Struct:
        meta = self._meta.copy()
        meta.drop(*_LOST_WITH_A_CHANGE)
        pages = [part.page for part in parts]
        meta.put(5, I64, sum(page.slots for page in pages if page.kind != DICTIONARY))
        meta.put(6, I64, sum(part.plain_bytes for part in parts))
        meta.put(7, I64, sum(len(part.data) for part in parts))
        if meta.get(13) is not None:
            told = [
                Struct({1: (I32, kind), 2: (I32, encoding), 3: (I32, count)})
                for (kind, encoding), count in Counter(
                    (page.kind, page.encoding) for page in pages
                ).items()
            ]
            meta.put(13, LIST, Items(STRUCT, told))
        old = meta.get(12)
        if isinstance(old, Struct):
            meta.put(12, STRUCT, self._statistics(old, kept, lost))
        return meta

    def _statistics(self, old: Struct, kept: list[_Kept], lost: Numbers) -> Struct:
        gone = [*self._gone, *([self._named().values(lost)] if len(lost) else [])]
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

    def _gone_of(self, one: _Kept) -> list[Any]:
        if one.left is None or one.seen is None:
            return [one.gone]
        gone = one.left & ~one.seen[: len(one.left)]
        return [self._named().values(np.flatnonzero(gone))]

    def _bounds_of(self, one: _Kept) -> Bounds | None:
        order = self._order
        if order is None:
            return None
        if one.page.encoding in DICTIONARIES:
            seen = self._seen(one.page) if one.seen is None else one.seen
            return self._named().bounds(seen, order)
        plain, count = one.plain, one.note.values
        if one.new is None:
            opened = open_page(one.page, self._leaf, self._packing)
            count = self._count(opened, one.page)
            plain = values.plain_of(self._leaf, one.page.encoding, opened.values, count)
        return order.of_stored(values.array_of(self._leaf, plain, count))


def _count_in(rows: Numbers, start: int, end: int) -> int:
    """How many of these ascending rows lie from `start` up to `end`."""
    found = np.searchsorted(rows, [start, end])
    return int(found[1] - found[0])


def _rows_begun(page: Page, opened: Opened | None, leaf: Leaf) -> int:
    if not leaf.max_repeated:
        return page.slots
    if opened is None or opened.repeated is None:
        rows: int = page.data.need(3, I32)
        return rows
    return int((opened.repeated == 0).sum())


def _is_carried(opened: Opened) -> bool:
    return opened.repeated is not None and len(opened.repeated) > 0 and opened.repeated[0] > 0
