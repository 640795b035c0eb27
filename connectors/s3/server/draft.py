"""An object's bytes as they are to be, before they are put in its place.

In: ranges that stay and new bytes, in order. Out: segments: ranges of the stored object that the
server can copy, and stretches of a spool that have to be sent. What stays is spooled while it is
short; once a run is long enough to be copied, the spool is cut back and the run is a range, so that
neither disk nor network carries it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO

from connectors.s3.formats.entries import Source, Stored

MIB = 1 << 20
SHORTEST_PART_BYTES = 5 * MIB  # of a multipart upload, the last one aside (S3 multipart limits)
LARGE_BYTES = 16 * MIB  # smaller objects go up whole, by one request
_MOST_RANGES = 1000  # 10,000 parts have room for these, what stands between them, and cuts
_COPIED_AT_ONCE_BYTES = MIB


@dataclass(slots=True)
class Segment:
    """A run of bytes: of the stored object where `stays`, else of the spool."""

    stays: bool
    start: int
    length: int


class Draft:
    """Takes an object as it is to be. `ranges` off: everything is spooled."""

    def __init__(self, source: Source, spool: IO[bytes], *, ranges: bool = True) -> None:
        self.spool = spool
        self._source = source
        large = ranges and source.size_bytes >= LARGE_BYTES
        self._shortest = (
            max(SHORTEST_PART_BYTES, source.size_bytes // _MOST_RANGES) if large else None
        )
        self._done: list[Segment] = []
        self._run = Segment(stays=True, start=0, length=0)  # of stored bytes, the last ones taken
        self._run_at = 0  # where the spool holds the run, while it is short
        self._long = False  # the run is a range by now
        self._told = 0  # how much of the spool is in segments

    def keep(self, start: int, data: Stored) -> None:
        """Stored bytes that were read, and stay."""
        if self._stays(start, len(data)):
            self.spool.write(data)

    def copy(self, start: int, length: int) -> None:
        """Stored bytes that nobody read, and that stay."""
        if self._stays(start, length):
            self.spool_stored(start, length)

    def write(self, data: bytes) -> None:
        """Other bytes."""
        if data:
            self._end_run()
            self.spool.write(data)

    def segments(self) -> list[Segment]:
        """The object, in order, no two spooled stretches in a row; nothing is taken afterwards."""
        self._end_run()
        self._end_spooled()
        return self._done

    def spool_stored(self, start: int, length: int) -> None:
        """Write a range of the stored object to the spool."""
        for at in range(start, start + length, _COPIED_AT_ONCE_BYTES):
            piece = min(_COPIED_AT_ONCE_BYTES, start + length - at)
            self.spool.write(self._source.read(at, piece))

    def _stays(self, start: int, length: int) -> bool:
        """Let stored bytes stay; whether they have to be spooled."""
        if not length:
            return False
        if start != self._run.start + self._run.length:
            self._end_run()
        if not self._run.length:
            self._run = Segment(stays=True, start=start, length=0)
            self._run_at = self.spool.tell()
        self._run.length += length
        if self._shortest is None or self._run.length < self._shortest:
            return True
        if not self._long:
            self._long = True
            self.spool.seek(self._run_at)
            self.spool.truncate()
        return False

    def _end_run(self) -> None:
        """The run is over: a long one is a segment, a short one part of what is spooled."""
        if self._long:
            self._end_spooled()
            self._done.append(self._run)
        self._run = Segment(stays=True, start=0, length=0)
        self._long = False

    def _end_spooled(self) -> None:
        length = self.spool.tell() - self._told
        if length:
            self._done.append(Segment(stays=False, start=self._told, length=length))
            self._told += length


class NoDraft:
    """Nothing is kept: somebody only wants to know what would become of the records."""

    def keep(self, start: int, data: Stored) -> None:
        """Take nothing."""

    def copy(self, start: int, length: int) -> None:
        """Take nothing."""

    def write(self, data: bytes) -> None:
        """Take nothing."""
