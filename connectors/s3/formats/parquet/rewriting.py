"""A Parquet object without some of its rows: row groups that keep all of theirs keep their bytes.

In: an object, a decision for each row. Out: edits. Only what a footer refers to is carried over, so
that no forgotten bytes between the parts survive; bloom filters of changed columns are left out,
since they answer whether a value was there.
Memory: the stored bytes of one row group's touched columns twice, and one page as it is decoded.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from connectors.s3.formats.entries import Change, Decide, Edits, Source, UnreadableError
from connectors.s3.formats.parquet import chunk as chunks
from connectors.s3.formats.parquet import index
from connectors.s3.formats.parquet.footer import (
    MAGIC,
    Leaf,
    chunk_meta,
    chunk_range,
    read_footer,
)
from connectors.s3.formats.parquet.masking import edits_of
from connectors.s3.formats.parquet.rows import File, Rows, prunes
from connectors.s3.formats.parquet.slots import ColumnEdit
from connectors.s3.formats.parquet.thrift import (
    DAMAGED,
    I32,
    I64,
    LIST,
    STRUCT,
    Items,
    Struct,
    read_struct,
    told_damaged,
    write_struct,
)
from connectors.s3.formats.wanted import Wanted

_GROUP_AT_ONCE_BYTES = 32 * 1024 * 1024
_BLOOM_HEADER_BYTES = 64


def rewrite(source: Source, wanted: Wanted | None, decide: Decide, edits: Edits) -> None:
    """Tell `edits` the object with each row as decided. Raises UnreadableError."""
    file = File(source, read_footer(source))
    writer = _Writer(source, file, edits)
    for number in range(len(file.footer.groups)):
        changes: dict[int, Change] = {}
        if not prunes(file, number, wanted):
            for row in Rows(file, number).candidates(wanted):
                change = decide(row)
                if change:
                    changes[row.row] = change
        if changes:
            writer.change(number, changes)
        else:
            writer.keep(number)
    writer.close()


@dataclass(slots=True)
class _Index:
    """The page index of a chunk, and by how much the chunk has moved, or what it says now."""

    chunk: Struct
    bounds: Struct | None
    places: Struct | None


class _Writer:
    """Writes the object anew from the first changed row group on; without one, not at all."""

    def __init__(self, source: Source, file: File, edits: Edits) -> None:
        self._source = source
        self._footer = file.footer
        self._edits = edits
        self._at = 0
        self._waiting: list[int] = []  # row groups before the first change
        self._groups: list[Struct] = []
        self._blooms: list[tuple[Struct, int]] = []
        self._indexes: list[_Index] = []
        self._stored = index.StoredIndexes(source, file.footer)

    def keep(self, number: int) -> None:
        """A row group stays as it is."""
        if not self._at:
            self._waiting.append(number)
            return
        group = self._footer.groups[number]
        ranges = [chunk_range(chunk, self._footer.at) for chunk in group.items(1)]
        at = self._at
        start, end = ranges[0][0], ranges[-1][1]
        together = all(one[1] == next_[0] for one, next_ in pairwise(ranges))
        if together:
            self._copy(start, end - start)
        for chunk, (begin, finish) in zip(group.items(1), ranges, strict=True):
            moved_to = at + begin - start if together else self._at
            if not together:
                self._copy(begin, finish - begin)
            self._move(chunk, moved_to - begin)
        self._add(group, at, group.get(3, 0))

    def change(self, number: int, changes: dict[int, Change]) -> None:
        """A row group changes; it goes where none of its rows stays."""
        self._begin()
        group = self._footer.groups[number]
        removed = sum(change.erases for change in changes.values())
        rows = group.get(3, 0) - removed
        if not rows:
            return
        column_edits = edits_of(self._footer.leaves, changes)
        read = self._reader(group, column_edits)
        at = self._at
        for chunk, leaf, edit in zip(
            group.items(1), self._footer.leaves, column_edits, strict=True
        ):
            start, end = chunk_range(chunk, self._footer.at)
            if edit is None:
                moved_by = self._at - start
                self._copy(start, end - start)
                self._move(chunk, moved_by)
            else:
                self._change_chunk(chunk, read.of(start, end), start, leaf, edit)
        if any(edit is not None and (edit.cut or edit.replaced) for edit in column_edits):
            group.drop(4)  # by which columns it is sorted
        self._add(group, at, rows)

    def close(self) -> None:
        """Write what comes after the row groups."""
        if not self._at:
            self._edits.copy(0, self._source.size_bytes)
            return
        for meta, start in self._blooms:
            length = meta.get(15) or self._bloom_bytes(start)
            meta.put(14, I64, self._at)
            self._copy(start, length)
        for one in self._indexes:
            self._put_index(one.chunk, 6, one.bounds)
        for one in self._indexes:
            self._put_index(one.chunk, 4, one.places)
        meta = self._footer.meta
        meta.put(3, I64, sum(group.get(3, 0) for group in self._groups))
        meta.put(4, LIST, Items(STRUCT, list(self._groups)))
        footer = write_struct(meta)
        self._write(footer + len(footer).to_bytes(4, "little") + MAGIC)

    # ---- parts

    def _begin(self) -> None:
        if self._at:
            return
        self._copy(0, len(MAGIC))
        for number in self._waiting:
            self.keep(number)

    def _reader(self, group: Struct, column_edits: list[ColumnEdit | None]) -> _GroupBytes:
        ranges = [
            chunk_range(chunk, self._footer.at)
            for chunk, edit in zip(group.items(1), column_edits, strict=True)
            if edit is not None
        ]
        return _GroupBytes(self._source, ranges)

    def _change_chunk(
        self, chunk: Struct, stored: bytes, start: int, leaf: Leaf, edit: ColumnEdit
    ) -> None:
        old = chunk_meta(chunk)
        new = chunks.rewritten(stored, old, leaf, edit)
        at = self._at
        for part in new.parts:
            if part.start is None:
                self._write(part.data)
            else:
                self._edits.keep(start + part.start, part.data)
                self._at += len(part.data)
        first_data = at + (new.pages[0].at if new.pages else 0)
        new.meta.put(9, I64, first_data)
        if first_data > at:
            new.meta.put(11, I64, at)
        else:
            new.meta.drop(11)
        bounds = self._stored.column_index(chunk)
        places = self._stored.offset_index(chunk)
        chunk.put(3, STRUCT, new.meta)
        chunk.put(2, I64, 0)
        with told_damaged():
            told = None if bounds is None else index.bounds_of(bounds, new, leaf)
        self._indexes.append(
            _Index(chunk, told, None if places is None else index.places_of(new, at))
        )

    def _move(self, chunk: Struct, by: int) -> None:
        """Shift what a chunk that stays as it is says of places."""
        meta = chunk_meta(chunk)
        bounds, places = self._stored.column_index(chunk), self._stored.offset_index(chunk)
        told = None if places is None else index.moved(places, by)
        self._indexes.append(_Index(chunk, bounds, told))
        for number in (9, 10, 11):
            if meta.get(number, 0) > 0:
                meta.put(number, I64, meta.get(number) + by)
        if chunk.get(2):
            chunk.put(2, I64, max(0, chunk.get(2) + by))
        if meta.get(14) is not None:
            self._blooms.append((meta, meta.get(14)))

    def _add(self, group: Struct, at: int, rows: int) -> None:
        metas = [chunk_meta(chunk) for chunk in group.items(1)]
        group.put(2, I64, sum(meta.get(6, 0) for meta in metas))
        group.put(3, I64, rows)
        if group.get(5) is not None:
            group.put(5, I64, at)
        if group.get(6) is not None:
            group.put(6, I64, sum(meta.get(7, 0) for meta in metas))
        if group.get(7) is not None:
            kind, _ = group.fields[7]
            group.put(7, kind, len(self._groups))
        self._groups.append(group)

    def _put_index(self, chunk: Struct, number: int, struct: Struct | None) -> None:
        if struct is None:
            chunk.drop(number, number + 1)
            return
        data = write_struct(struct)
        chunk.put(number, I64, self._at)
        chunk.put(number + 1, I32, len(data))
        self._write(data)

    def _bloom_bytes(self, start: int) -> int:
        length = min(_BLOOM_HEADER_BYTES, self._footer.at - start)
        header, end = read_struct(self._source.read(start, length))
        found: int = end + header.need(1, I32)
        if start + found > self._footer.at:
            raise UnreadableError(DAMAGED)
        return found

    def _copy(self, start: int, length: int) -> None:
        if length:
            self._edits.copy(start, length)
            self._at += length

    def _write(self, data: bytes) -> None:
        self._edits.write(data)
        self._at += len(data)


class _GroupBytes:
    """The stored bytes of a row group's touched columns: in one range where that is small."""

    def __init__(self, source: Source, ranges: list[tuple[int, int]]) -> None:
        self._source = source
        self._start = min((start for start, _ in ranges), default=0)
        length = max((end for _, end in ranges), default=0) - self._start
        self._held: bytes | None = None
        if length <= _GROUP_AT_ONCE_BYTES and length <= 2 * sum(e - s for s, e in ranges):
            self._held = source.read(self._start, length) if length else b""

    def of(self, start: int, end: int) -> bytes:
        """The bytes of one column."""
        if self._held is None:
            return self._source.read(start, end - start)
        return self._held[start - self._start : end - self._start]
