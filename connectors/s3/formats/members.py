"""The members of a compressed object: undone for a format, kept as they are where nothing changed.

In: an object's stored bytes, and plain bytes as a format says they are to be. Out: edits of the
stored object. A member (of gzip, a frame of zstd, a stream of bz2 or xz, a chunk of snappy) whose
plain bytes all stay is the very range that was stored; of any other, what is left of it is
compressed anew, as a member of its own.

Memory is bounded: stored bytes are held to be kept, plain ones in case that their member changes,
4 MiB of each. A longer member is compressed anew from there on, into a temporary file, until it is
known whether it changes; that costs what compressing all of it would.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import IO

from connectors.s3.formats.codecs import Codec, Compressor, Step
from connectors.s3.formats.entries import Edits, Stored

_HELD_BYTES = 4 * 1024 * 1024
_PIECE_BYTES = 256 * 1024


@dataclass(slots=True)
class _Member:
    """A stored range. `beyond`: where it ends among the plain bytes, once that is known."""

    start: int
    length: int
    held: bytearray | None  # its bytes, unless they were too many to be held
    beyond: int | None = None
    padding: int = 0  # bytes that stood between it and the one before


class _Remade:
    """What is to become of one member: nothing, or all that was told of it, compressed anew."""

    def __init__(self, codec: Codec, edits: Edits) -> None:
        self.changed = False
        self._codec = codec
        self._edits = edits
        self._plain: list[Stored] = []  # what stays, while that is all there is, and little
        self._plain_bytes = 0
        self._compressor: Compressor | None = None
        self._spool: IO[bytes] | None = None  # what may turn out not to be needed

    def stays(self, data: Stored) -> None:
        """The next plain bytes, as they were."""
        self._plain_bytes += len(data)
        self._plain.append(data)
        if self.changed or self._plain_bytes > _HELD_BYTES:
            self._compress()

    def change(self, data: Stored = b"") -> None:
        """Other bytes come next, or some do not come."""
        if not self.changed:
            self.changed = True
            self._unspool()
        if data:
            self._plain.append(data)
        if self._plain:
            self._compress()

    def end(self, *, empty: bool = False) -> bool:
        """All was told; whether anything was written: of no bytes a member only where `empty`."""
        if self._spool is not None:
            self._spool.close()
        if not self.changed or not (self._compressor or empty):
            return False
        self._put(self._compress().flush())
        return True

    def _compress(self) -> Compressor:
        made = self._compressor = self._compressor or self._codec.compressor()
        for part in self._plain:
            self._put(made.compress(part))
        self._plain.clear()
        return made

    def _put(self, data: bytes) -> None:
        if self.changed:
            self._edits.write(data)
            return
        if self._spool is None:
            self._spool = SpooledTemporaryFile(_HELD_BYTES)  # noqa: SIM115 - `end` closes it
        self._spool.write(data)

    def _unspool(self) -> None:
        if self._spool is not None:
            self._spool.seek(0)
            while piece := self._spool.read(_PIECE_BYTES):
                self._edits.write(piece)


class Members:
    """Takes the plain bytes of one object as they are to be, in order."""

    def __init__(self, codec: Codec, edits: Edits) -> None:
        self._codec = codec
        self._edits = edits
        self._ahead = deque([_Member(0, 0, bytearray())])  # from where the format is, to the newest
        self._held_bytes = 0
        self._read_bytes = 0  # of the plain bytes, what the format was given
        self._at = 0  # … and what it has told the fate of
        self._remade = _Remade(codec, edits)
        self._changes = self._begun = False

    # ---- what there is

    def plain(self, stored: Iterator[bytes]) -> Iterator[bytes]:
        """The plain bytes, in pieces. Raises UnreadableError."""
        for step in self._codec.steps(stored):
            self._passed(step)
            if step.plain:
                yield step.plain

    def _passed(self, step: Step) -> None:
        newest = self._ahead[-1]
        self._hold(newest, step.stored)
        self._read_bytes += len(step.plain)
        if step.behind is None:
            return
        newest.beyond = self._read_bytes
        newest.length -= len(step.behind)
        if newest.held is not None:
            del newest.held[newest.length :]
            self._held_bytes -= len(step.behind)
        following = _Member(newest.start + newest.length, 0, bytearray())
        self._hold(following, step.behind)
        self._ahead.append(following)

    def _hold(self, member: _Member, stored: bytes) -> None:
        if member.padding == member.length and self._codec.padding:
            member.padding += len(stored) - len(stored.lstrip(self._codec.padding))
        member.length += len(stored)
        if member.held is not None and self._held_bytes + len(stored) <= _HELD_BYTES:
            member.held += stored
            self._held_bytes += len(stored)
        elif stored:
            self._release(member)

    def _release(self, member: _Member) -> None:
        self._held_bytes -= len(member.held or b"")
        member.held = None

    # ---- what is to be

    def keep(self, start: int, data: Stored) -> None:
        """Plain bytes that stay. What lies before them and was not told of is gone."""
        if start < self._at:  # a format that puts them elsewhere
            self.write(data)
            return
        self._leave_out(start)
        at = 0
        while at < len(data):
            part = data[at : at + self._room(len(data) - at)]
            self._remade.stays(part)
            at += len(part)
            self._at += len(part)

    def write(self, data: Stored) -> None:
        """Other plain bytes."""
        if data:
            self._finish_passed()
            self._remade.change(data)

    def close(self) -> None:
        """All was read and told of: end what is still open."""
        self._leave_out(self._read_bytes)
        self._finish_passed()
        if self._remade.changed or not self._changes:
            self._finish(self._ahead[0])
        if not self._begun:
            self._remade.change()
            self._remade.end(empty=True)

    def _leave_out(self, until: int) -> None:
        while self._at < until:
            room = self._room(until - self._at)
            self._remade.change()
            self._at += room

    def _room(self, length: int) -> int:
        """How many of so many plain bytes from here on lie in one member, the first one ahead."""
        self._finish_passed()
        beyond = self._ahead[0].beyond
        return length if beyond is None else min(length, beyond - self._at)

    def _finish_passed(self) -> None:
        while (beyond := self._ahead[0].beyond) is not None and beyond <= self._at:
            self._finish(self._ahead.popleft())

    def _finish(self, member: _Member) -> None:
        remade, self._remade = self._remade, _Remade(self._codec, self._edits)
        self._changes = self._changes or remade.changed
        self._begun = remade.end() or self._begun
        if not remade.changed and member.length:
            self._keep(member)
        self._release(member)

    def _keep(self, member: _Member) -> None:
        """Its stored bytes; of those before it, what an object may begin with."""
        padding = 0 if self._begun else member.padding
        if not self._begun and member.start:
            self._edits.write(self._codec.opening)
        self._begun = True
        if member.held is None:
            self._edits.copy(member.start + padding, member.length - padding)
        else:
            self._edits.keep(member.start + padding, bytes(memoryview(member.held)[padding:]))
