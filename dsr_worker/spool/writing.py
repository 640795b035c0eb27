"""Writing a spool: many subjects' sealed streams in one segment.

In: records, blocks or keys in any order. Out: the published segment and a frame for each subject.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, BinaryIO, Self

import orjson

from dsr_worker.contract import Attachment, Key, NeedsHuman, Record, RecordBlock, Withheld, body_of
from dsr_worker.spool.frames import LENGTHS, Extent, Frame
from dsr_worker.store import Store
from dsr_worker.vault import CHUNK_BYTES, CaseKey, StreamSealer

_MAX_ATTACHMENT_BYTES = 16 * 1024**3


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

    def _put(self, part: _Part, head: bytes, body: bytes, records: int = 1) -> None:
        buffer = part.buffer
        buffer += LENGTHS.pack(len(head), len(body))
        buffer += head
        buffer += body
        part.records += records
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

    def add(self, record: Record | RecordBlock) -> None:
        """Spool a record and its attachment, or a block as it is.

        Raises NeedsHuman for an attachment over the limit, and KeyError for a subject who is not of
        this batch (the message shows the opaque ref).
        """
        part = self._parts[record.subject_ref]
        head: dict[str, Any] = {"c": record.collection, "k": record.key}
        if record.withheld:
            head["w"] = [_left_out(w) for w in record.withheld]
        if isinstance(record, RecordBlock):
            head["n"] = record.rows
            self._put(part, _encoded(head), record.bodies, record.rows)
            return
        if record.attachment is not None:
            head["a"] = self._add_attachment(part.key, record.attachment, record.collection)
        self._put(part, _encoded(head), record.body)

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
        head: dict[str, Any] = {"c": key.collection, "k": key.key}
        if key.withheld:
            head["w"] = key.withheld
        self._put(self._parts[key.subject_ref], _encoded(head), b"")


def _left_out(part: Withheld) -> tuple[str | int, ...]:
    until = () if part.until_at is None else (part.until_at.isoformat(),)
    return (part.field, part.ground, part.values, *until)


def _encoded(head: dict[str, Any]) -> bytes:
    """A head as JSON; half of a surrogate pair in a name or a key stays an escape."""
    try:
        return orjson.dumps(head)
    except TypeError:
        return body_of(head)


class _Discarded(Exception):  # noqa: N818 - never leaves this module
    """Tells the store that a segment is not wanted."""
