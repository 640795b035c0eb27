"""Reading a spool back, entry by entry, as often as wanted.

In: a frame and the case's key. Out: records, blocks and keys in the order written. A block's body
is only opened when it is asked for.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import orjson

from dsr_worker.contract import Key, Withheld, content_of, key_within
from dsr_worker.spool.frames import LENGTHS, Extent, Frame
from dsr_worker.store import Store
from dsr_worker.vault import CHUNK_BYTES, CaseKey, opening

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_MOST_RUNS = 10_000  # of entries of one collection, remembered so that it can be read alone


@dataclass(frozen=True, slots=True)
class SpooledAttachment:
    """A file of a record, in the segment. `open` starts a fresh, proved stream each time."""

    name: str = field(repr=False)
    media_type: str
    size_bytes: int
    sha256: str = field(repr=False)
    _store: Store = field(repr=False)
    _segment: str = field(repr=False)
    _extent: Extent = field(repr=False)
    _key: CaseKey = field(repr=False)

    def open(self) -> Iterator[bytes]:
        """The content in parts of at most 64 KiB. Raises SealBroken."""
        raw = self._store.open(self._segment, *self._extent)
        with raw, opening(raw, self._key, f"attachment:{self._segment}") as plain:
            while part := plain.read(CHUNK_BYTES):
                yield part


@dataclass(frozen=True, slots=True)
class SpooledRecord:
    """A record read back. `body` is byte for byte what the connector gave."""

    collection: str
    key: tuple[str, ...] = field(repr=False)
    body: bytes = field(repr=False)
    withheld: tuple[Withheld, ...] = ()
    attachment: SpooledAttachment | None = None


class SpooledBlock:
    """Many records read back at once. Unless kept, they are read while the reader stands there."""

    __slots__ = ("_kept", "_read", "collection", "key", "rows", "size_bytes", "withheld")

    def __init__(self, head: Mapping[str, Any], size_bytes: int, read: Callable[[], bytes]) -> None:
        self.collection: str = head["c"]
        self.key: tuple[str, ...] = tuple(head["k"])
        self.rows: int = head["n"]
        self.withheld = _withheld(head)
        self.size_bytes = size_bytes
        self._read = read
        self._kept: bytes | None = None

    def __repr__(self) -> str:
        return f"SpooledBlock({self.collection}, {self.rows} rows)"

    def lines(self) -> bytes:
        """The bodies, one a line, byte for byte what the connector gave."""
        return self._read() if self._kept is None else self._kept

    def keep(self) -> None:
        """Hold the bodies in memory from now on."""
        self._kept = self.lines()


class Spooled:
    """A frame to read from, as often as wanted. Streams. Raises SealBroken, BlobMissing."""

    def __init__(self, store: Store, frame: Frame, key: CaseKey) -> None:
        self._store = store
        self._frame = frame
        self._key = key
        self._runs: dict[str, list[Extent]] | None = None  # start and end, per collection

    def all(self) -> Iterator[SpooledRecord | SpooledBlock]:
        """Everything, in the order written."""
        runs: dict[str, list[Extent]] = {}
        count, last = 0, ""
        with _opened(self._store, self._frame, self._key, "records") as plain:
            for start, end, found in self._entries(plain, 0, None):
                if found.collection != last:
                    last, count = found.collection, count + 1
                    if count <= _MOST_RUNS:
                        runs.setdefault(last, []).append((start, end))
                elif count <= _MOST_RUNS:
                    runs[last][-1] = (runs[last][-1][0], end)
                yield found
        if count <= _MOST_RUNS:
            self._runs = runs

    def of(self, collection: str) -> Iterator[SpooledRecord | SpooledBlock]:
        """One collection's, in the order written; once all were read, without the others."""
        if self._runs is None:
            yield from (found for found in self.all() if found.collection == collection)
            return
        with _opened(self._store, self._frame, self._key, "records") as plain:
            for start, end in self._runs.get(collection, ()):
                for _, _, found in self._entries(plain, start, end):
                    yield found

    def records(self) -> Iterator[SpooledRecord]:
        """Each record by itself, in the order written."""
        for found in self.all():
            if isinstance(found, SpooledRecord):
                yield found
                continue
            for body in found.lines().split(b"\n"):
                yield SpooledRecord(found.collection, key_within(body, found.key), body)

    def _entries(
        self, plain: BinaryIO, start: int, end: int | None
    ) -> Iterator[tuple[int, int, SpooledRecord | SpooledBlock]]:
        plain.seek(start)
        while (end is None or start < end) and (lengths := plain.read(LENGTHS.size)):
            head_bytes, body_bytes = LENGTHS.unpack(lengths)
            head = _decoded(plain.read(head_bytes))
            body_at = start + LENGTHS.size + head_bytes
            after = body_at + body_bytes
            if "n" in head:
                read = partial(_part, plain, body_at, body_bytes)
                yield start, after, SpooledBlock(head, body_bytes, read)
                plain.seek(after)
            else:
                yield start, after, self._record(head, plain.read(body_bytes))
            start = after

    def _record(self, head: Mapping[str, Any], body: bytes) -> SpooledRecord:
        attachment = None
        if "a" in head:
            name, media_type, size, sha256, *extent = head["a"]
            attachment = SpooledAttachment(
                name,
                media_type,
                size,
                sha256,
                self._store,
                self._frame.segment,
                (extent[0], extent[1]),
                self._key,
            )
        return SpooledRecord(head["c"], tuple(head["k"]), body, _withheld(head), attachment)


def read_records(store: Store, frame: Frame, key: CaseKey) -> Iterator[SpooledRecord]:
    """Each record of a frame, in the order written. Streams. Raises SealBroken, BlobMissing."""
    return Spooled(store, frame, key).records()


def read_keys(store: Store, frame: Frame, key: CaseKey, subject_ref: str) -> Iterator[Key]:
    """The keys of a frame, in the order written. Streams. Raises SealBroken, BlobMissing."""
    with _opened(store, frame, key, "keys") as plain:
        while lengths := plain.read(LENGTHS.size):
            head = _decoded(plain.read(LENGTHS.unpack(lengths)[0]))
            yield Key(subject_ref, head["c"], tuple(head["k"]), head.get("w", ""))


def _decoded(head: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(head)
    except orjson.JSONDecodeError:  # an escape that is half of a surrogate pair
        found = content_of(head)
    return cast("dict[str, Any]", found)


@contextmanager
def _opened(store: Store, frame: Frame, key: CaseKey, purpose: str) -> Iterator[BinaryIO]:
    raw: BinaryIO
    if len(frame.extents) == 1:
        raw = store.open(frame.segment, *frame.extents[0])
    else:
        raw = _Extents(store.open(frame.segment), frame.extents)  # type: ignore[assignment]  # a RawIOBase is a BinaryIO but for typeshed's nominal class
    with raw, opening(raw, key, f"{purpose}:{frame.segment}") as plain:
        yield plain


def _part(plain: BinaryIO, at: int, length: int) -> bytes:
    plain.seek(at)
    return plain.read(length)


def _withheld(head: Mapping[str, Any]) -> tuple[Withheld, ...]:
    return tuple(_left_out(*told) for told in head.get("w", ()))


def _left_out(field: str, ground: str, values: int, until: str | None = None) -> Withheld:
    return Withheld(field, ground, values, datetime.fromisoformat(until) if until else None)


class _Extents(io.RawIOBase):
    """Several parts of a file, one after the other, as one file."""

    def __init__(self, whole: BinaryIO, extents: tuple[Extent, ...]) -> None:
        super().__init__()
        self._whole = whole
        self._extents = extents
        self._starts = [0]
        for _, length in extents:
            self._starts.append(self._starts[-1] + length)
        self._index = 0
        self._position = 0
        self._aligned = False

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._starts[-1]}[whence]
        self._position = max(0, base + offset)
        self._aligned = False
        self._index = 0
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        target = memoryview(buffer).cast("B")
        if self._position >= self._starts[-1]:
            return 0
        while self._position >= self._starts[self._index + 1]:
            self._index += 1
            self._aligned = False
        within = self._position - self._starts[self._index]
        offset, length = self._extents[self._index]
        if not self._aligned:
            self._whole.seek(offset + within)
            self._aligned = True
        data = self._whole.read(min(len(target), length - within))
        target[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        self._whole.close()
        super().close()
