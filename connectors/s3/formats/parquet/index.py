"""The page index: bounds and places of pages, kept apart from them at the end of the file.

In: the stored index of a column chunk, and the chunk as it is now. Out: an index that says the same
of pages that stayed, and nothing of values that went. (parquet-format, PageIndex.md)
"""

from __future__ import annotations

from connectors.s3.formats.entries import Source
from connectors.s3.formats.parquet.chunk import NewChunk, PageNote
from connectors.s3.formats.parquet.footer import Footer, Leaf
from connectors.s3.formats.parquet.statistics import may_show
from connectors.s3.formats.parquet.thrift import I32, I64, LIST, STRUCT, Items, Struct, read_struct

_AT_ONCE_BYTES = 64 * 1024 * 1024
_MAX_BOUND_BYTES = 1024
_UNORDERED = 0
_NULL_PAGES, _MINS, _MAXS, _ORDER, _NULLS = range(1, 6)


class StoredIndexes:
    """The page indexes of a file; read at once where they lie together, as they mostly do."""

    def __init__(self, source: Source, footer: Footer) -> None:
        self._source = source
        self._held = footer.tail
        self._held_at = footer.tail_at
        places = [
            (chunk.get(at), chunk.get(at) + chunk.get(at + 1))
            for group in footer.groups
            for chunk in group.items(1)
            for at in (4, 6)
            if chunk.get(at) and chunk.get(at + 1)
        ]
        self._start = min((start for start, _ in places), default=0)
        self._end = max((end for _, end in places), default=0)

    def column_index(self, chunk: Struct) -> Struct | None:
        """Bounds of each page; None where there are none."""
        return self._index(chunk, 6)

    def offset_index(self, chunk: Struct) -> Struct | None:
        """The place of each page; None where they are not told."""
        return self._index(chunk, 4)

    def _index(self, chunk: Struct, number: int) -> Struct | None:
        start, length = chunk.get(number), chunk.get(number + 1)
        if not start or not length:
            return None
        return read_struct(self._read(start, length))[0]

    def _read(self, start: int, length: int) -> bytes:
        if not self._holds(start, length) and self._end - self._start <= _AT_ONCE_BYTES:
            self._held = self._source.read(self._start, self._end - self._start)
            self._held_at = self._start
        if not self._holds(start, length):
            return self._source.read(start, length)
        return self._held[start - self._held_at : start - self._held_at + length]

    def _holds(self, start: int, length: int) -> bool:
        return self._held_at <= start and start + length <= self._held_at + len(self._held)


def moved(old: Struct, by: int) -> Struct:
    """The offset index of a chunk that lies elsewhere now."""
    new = old.copy()
    places = []
    for place in old.items(1):
        shifted = place.copy()
        shifted.put(1, I64, place.get(1, 0) + by)
        places.append(shifted)
    new.put(1, LIST, Items(STRUCT, places))
    return new


def places_of(chunk: NewChunk, at: int) -> Struct:
    """The offset index of a changed chunk that lies at `at`."""
    places = [
        Struct({1: (I64, at + page.at), 2: (I32, page.size), 3: (I64, page.first_row)})
        for page in chunk.pages
    ]
    return Struct({1: (LIST, Items(STRUCT, places))})


def bounds_of(old: Struct, chunk: NewChunk, leaf: Leaf) -> Struct | None:
    """The column index of a changed chunk; None where its bounds cannot be told any more."""
    columns = {number: old.items(number) for number in (_NULL_PAGES, _MINS, _MAXS)}
    nulls = old.items(_NULLS)
    count = len(columns[_MINS])
    if any(len(c) != count for c in columns.values()) or (nulls and len(nulls) != count):
        return None
    new: dict[int, list[object]] = {number: [] for number in (*columns, _NULLS)}
    ordered = True
    for page in chunk.pages:
        if page.source >= count:
            return None
        was = (columns[_MINS][page.source], columns[_MAXS][page.source])
        bounds = _bounds(page, was, chunk, leaf)
        if bounds is None:
            return None
        empty = columns[_NULL_PAGES][page.source] if not page.changed else _flag(not page.values)
        new[_NULL_PAGES].append(empty)
        new[_MINS].append(bounds[0])
        new[_MAXS].append(bounds[1])
        if nulls:
            new[_NULLS].append(page.nulls if page.changed else nulls[page.source])
        ordered = ordered and bounds == was
    index = Struct({_ORDER: (I32, old.get(_ORDER, _UNORDERED) if ordered else _UNORDERED)})
    for number in (_NULL_PAGES, _MINS, _MAXS, *((_NULLS,) if nulls else ())):
        index.put(number, LIST, Items(old.get(number).of, new[number]))
    return index


def _bounds(
    page: PageNote, was: tuple[bytes, bytes], chunk: NewChunk, leaf: Leaf
) -> tuple[bytes, bytes] | None:
    if not page.changed:
        return was
    if not page.values:
        return b"", b""
    if not chunk.replaced and not may_show(was, chunk.gone(page), leaf):
        return was
    found = chunk.bounds(page)
    return None if found is None or max(map(len, found)) > _MAX_BOUND_BYTES else found


def _flag(value: bool) -> bytes:  # noqa: FBT001 - a value, not a way to do it
    return b"\x01" if value else b"\x02"
