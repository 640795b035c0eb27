"""Spools: what a batch found, sealed per case in one segment of the store.

Why one segment: opening a file per case costs more than all the sealing. In: contract records (or
located keys) of many subjects in any order, and each subject's case key. Out: per subject a `Frame`
that says where in the segment their part lies; the ledger keeps it with the step. Reading back
gives the records in the order they were written.

A subject's part is one sealed stream (see `vault.seal`), appended chunk by chunk as it fills: no
more than 64 KiB per subject wait in memory. Within it an entry is two lengths (4 bytes each), a
JSON head and the body as the connector gave it. An attachment is a sealed stream of its own, of
which the head says where it lies.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import orjson

from dsr_worker.contract import Attachment, Key, NeedsHuman, Record, Withheld
from dsr_worker.store import Store
from dsr_worker.vault import CHUNK_BYTES, CaseKey, StreamSealer, opening

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_LENGTHS = struct.Struct(">II")
_MAX_ATTACHMENT_BYTES = 16 * 1024**3

Extent = tuple[int, int]  # offset and length in the segment


@dataclass(frozen=True, slots=True)
class Frame:
    """Where one subject's part of a segment lies. Holds no personal data; goes to the ledger."""

    segment: str
    extents: tuple[Extent, ...]
    records: int
    sha256: str  # of the sealed bytes, in order

    @property
    def sealed_bytes(self) -> int:
        """What the frame takes in the segment, attachments aside."""
        return sum(length for _, length in self.extents)

    def to_json(self) -> dict[str, Any]:
        """The frame as JSON values."""
        return {
            "segment": self.segment,
            "extents": [list(extent) for extent in self.extents],
            "records": self.records,
            "sha256": self.sha256,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The frame that `to_json` wrote."""
        extents = tuple((int(offset), int(length)) for offset, length in value["extents"])
        return cls(value["segment"], extents, int(value["records"]), value["sha256"])


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


class _Part:
    """One subject's sealed stream while its segment is written."""

    __slots__ = ("buffer", "digest", "extents", "key", "records", "sealer")

    def __init__(self, key: CaseKey, purpose: str) -> None:
        self.key = key
        self.sealer = StreamSealer(key, purpose)
        self.buffer = bytearray()
        self.extents: list[Extent] = []
        self.digest = hashlib.sha256()
        self.records = 0


class _Spool:
    """A segment being written. Use in a `with` block; leaving it without `finish` discards all."""

    _purpose: str

    def __init__(self, store: Store, name: str, keys: Mapping[str, CaseKey]) -> None:
        self.name = name
        purpose = f"{self._purpose}:{name}"
        self._parts = {ref: _Part(key, purpose) for ref, key in keys.items()}
        self._blob: AbstractContextManager[BinaryIO] = store.write(name)
        self._file: BinaryIO | None = None
        self._at = 0

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name}, {len(self._parts)} subjects)"

    def __enter__(self) -> Self:
        self._file = self._blob.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is None:
            return
        self._file = None
        if error is None:
            kind, error = _Discarded, _Discarded()
        try:
            self._blob.__exit__(kind, error, trace)
        except _Discarded:
            return

    def finish(self) -> dict[str, Frame]:
        """Seal every subject's last chunk and publish the segment, durable.

        Every subject of the batch gets a frame, those without records an empty one.
        """
        for part in self._parts.values():
            self._append(part, part.sealer.chunk(part.buffer, last=True))
            part.buffer = bytearray()
        self._file = None
        self._blob.__exit__(None, None, None)
        return {
            ref: Frame(self.name, tuple(part.extents), part.records, part.digest.hexdigest())
            for ref, part in self._parts.items()
        }

    def _put(self, part: _Part, head: bytes, body: bytes) -> None:
        buffer = part.buffer
        buffer += _LENGTHS.pack(len(head), len(body))
        buffer += head
        buffer += body
        part.records += 1
        if len(buffer) > CHUNK_BYTES:
            self._flush(part)

    def _flush(self, part: _Part) -> None:
        """Append all full chunks; at least one byte stays, for the last chunk."""
        whole = (len(part.buffer) - 1) // CHUNK_BYTES * CHUNK_BYTES
        with memoryview(part.buffer) as view:
            for start in range(0, whole, CHUNK_BYTES):
                self._append(part, part.sealer.chunk(view[start : start + CHUNK_BYTES]))
        part.buffer = part.buffer[whole:]

    def _append(self, part: _Part, sealed: bytes) -> None:
        if not part.extents:
            sealed = part.sealer.header + sealed
        part.digest.update(sealed)
        offset, length = self._write(sealed)
        if part.extents and sum(part.extents[-1]) == offset:
            start, before = part.extents[-1]
            part.extents[-1] = (start, before + length)
        else:
            part.extents.append((offset, length))

    def _write(self, sealed: bytes) -> Extent:
        if self._file is None:
            raise ValueError("The spool is not open: use it in a `with` block, once.")
        self._file.write(sealed)
        offset = self._at
        self._at += len(sealed)
        return offset, len(sealed)


class RecordSpool(_Spool):
    """Records of a batch, in any order."""

    _purpose = "records"

    def __init__(
        self,
        store: Store,
        name: str,
        keys: Mapping[str, CaseKey],
        *,
        max_attachment_bytes: int = _MAX_ATTACHMENT_BYTES,
    ) -> None:
        super().__init__(store, name, keys)
        self._max_attachment_bytes = max_attachment_bytes

    def add(self, record: Record) -> None:
        """Spool a record and its attachment.

        Raises NeedsHuman for an attachment over the limit, and KeyError for a subject who is not of
        this batch (the message shows the opaque ref).
        """
        part = self._parts[record.subject_ref]
        head: dict[str, Any] = {"c": record.collection, "k": record.key}
        if record.withheld:
            head["w"] = [(w.field, w.ground, w.values) for w in record.withheld]
        if record.attachment is not None:
            head["a"] = self._add_attachment(part.key, record.attachment, record.collection)
        self._put(part, orjson.dumps(head), record.body)

    def _add_attachment(self, key: CaseKey, attachment: Attachment, collection: str) -> list[Any]:
        sealer = StreamSealer(key, f"attachment:{self.name}")
        digest = hashlib.sha256()
        offset, length = self._write(sealer.header)
        size, held = 0, bytearray()
        for part in attachment.open():
            size += len(part)
            if size > self._max_attachment_bytes:
                fields = {"collection": collection, "limit_bytes": self._max_attachment_bytes}
                raise NeedsHuman("attachment_too_large", fields)
            digest.update(part)
            held += part
            while len(held) > CHUNK_BYTES:
                length += self._write(sealer.chunk(held[:CHUNK_BYTES]))[1]
                del held[:CHUNK_BYTES]
        length += self._write(sealer.chunk(held, last=True))[1]
        return [
            attachment.name,
            attachment.media_type,
            size,
            digest.hexdigest(),
            offset,
            length,
        ]


class KeySpool(_Spool):
    """Located keys of a batch, in any order: apply works from the same ones after a crash."""

    _purpose = "keys"

    def add(self, key: Key) -> None:
        """Spool a key. Raises KeyError for a subject who is not of this batch."""
        self._put(
            self._parts[key.subject_ref], orjson.dumps({"c": key.collection, "k": key.key}), b""
        )


def read_records(store: Store, frame: Frame, key: CaseKey) -> Iterator[SpooledRecord]:
    """The records of a frame, in the order written. Streams. Raises SealBroken, BlobMissing."""
    for head, body in _read(store, frame, key, "records"):
        attachment = None
        if "a" in head:
            name, media_type, size, sha256, *extent = head["a"]
            attachment = SpooledAttachment(
                name, media_type, size, sha256, store, frame.segment, (extent[0], extent[1]), key
            )
        withheld = tuple(Withheld(*w) for w in head["w"]) if "w" in head else ()
        yield SpooledRecord(head["c"], tuple(head["k"]), body, withheld, attachment)


def read_keys(store: Store, frame: Frame, key: CaseKey, subject_ref: str) -> Iterator[Key]:
    """The keys of a frame, in the order written. Streams. Raises SealBroken, BlobMissing."""
    for head, _ in _read(store, frame, key, "keys"):
        yield Key(subject_ref, head["c"], tuple(head["k"]))


def is_intact(store: Store, frame: Frame) -> bool:
    """Whether the segment still holds the frame's sealed bytes; needs no key (after a restore)."""
    digest = hashlib.sha256()
    with store.open(frame.segment) as file:
        for offset, length in frame.extents:
            file.seek(offset)
            left = length
            while left and (part := file.read(min(left, 1024 * 1024))):
                digest.update(part)
                left -= len(part)
    return digest.hexdigest() == frame.sha256


def _read(
    store: Store, frame: Frame, key: CaseKey, purpose: str
) -> Iterator[tuple[dict[str, Any], bytes]]:
    raw: BinaryIO
    if len(frame.extents) == 1:
        raw = store.open(frame.segment, *frame.extents[0])
    else:
        raw = _Extents(store.open(frame.segment), frame.extents)  # type: ignore[assignment]  # a RawIOBase is a BinaryIO but for typeshed's nominal class
    with raw, opening(raw, key, f"{purpose}:{frame.segment}") as plain:
        while lengths := plain.read(_LENGTHS.size):
            head_bytes, body_bytes = _LENGTHS.unpack(lengths)
            head: dict[str, Any] = orjson.loads(plain.read(head_bytes))
            yield head, plain.read(body_bytes)


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


class _Discarded(Exception):  # noqa: N818 - never leaves this module
    """Tells the store that a segment is not wanted."""
