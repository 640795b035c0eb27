"""The two ends of a COPY: lines that go in, and the bounded pipe by which rows come out.

In: lines from whoever has them, rows from the driver. Out: blocks as the driver asks for them, and
parcels of whole rows for a reader on another thread. Neither holds more than a few parcels.
"""

from __future__ import annotations

import io
import queue
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

PARCEL_BYTES = 256 * 1024
_AHEAD = 1  # waiting, beside the one that is read and the one that is gathered
_LINES_AHEAD = 200
_Parcel = tuple[int, bytes]


class Stopped(Exception):  # noqa: N818 - a signal without text: the driver sends it to the server
    """One end of a copy has gone."""


class Lines:
    """What COPY reads from; a failing source is kept here, its text never reaches the server."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = iter(lines)
        self._rest = b""
        self.failure: BaseException | None = None

    def read(self, size: int = 8192, /) -> bytes:
        """Lines and the beginning of the next, up to `size` bytes."""
        parts, held = [self._rest], len(self._rest)
        try:
            while held < size:
                part = b"".join(islice(self._lines, _LINES_AHEAD))
                if not part:
                    break
                parts.append(part)
                held += len(part)
        except BaseException as failure:  # noqa: BLE001 - raised again once COPY has ended
            self.failure = failure
            raise Stopped from None
        data = b"".join(parts)
        self._rest = data[size:]
        return data[:size]

    def readline(self, size: int = 8192, /) -> bytes:
        """The driver's type asks for it; COPY reads in blocks."""
        return self.read(size)


class Parcels(io.RawIOBase):
    """The bounded pipe between COPY, which pushes, and a reader, who pulls.

    The driver writes row by row into the buffer before it, which is not Python's own work. It lets
    the interpreter go for each row: small parcels go together, since a reader who is woken for each
    of them takes turns with the driver and makes both slow.
    """

    def __init__(self, size_bytes: int = PARCEL_BYTES) -> None:
        super().__init__()
        self.size_bytes = size_bytes
        self.number = 0  # of the query whose rows come now
        self.stopped = False
        self.failed = False  # what a failure leaves in the buffer is not wanted
        self._queue: queue.Queue[list[_Parcel] | BaseException | None] = queue.Queue(_AHEAD)
        self._held: list[_Parcel] = []
        self._held_bytes = 0
        self._rest = b""  # a row's beginning

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, data: ReadableBuffer) -> int:
        """Take what the buffer gathered, and hand on the whole rows of it."""
        part = bytes(data)
        if self.failed:
            return len(part)
        if self.stopped:
            raise Stopped
        end = part.rfind(b"\n") + 1
        if end:
            rows = self._rest + part[: end - 1] if self._rest else part[: end - 1]
            self._hold(rows)
            self._rest = b""
        self._rest += part[end:]
        return len(part)

    def finish(self, failure: BaseException | None) -> None:
        """Say that nothing more comes."""
        if self.stopped:
            return
        if failure is None and self._held:
            self._send(self._held)
        self._send(failure)

    def _hold(self, rows: bytes) -> None:
        if self._held and self._held_bytes + len(rows) > self.size_bytes:
            self._send(self._held)
            self._held, self._held_bytes = [], 0
        self._held.append((self.number, rows))
        self._held_bytes += len(rows)

    def _send(self, parcels: list[_Parcel] | BaseException | None) -> None:
        while not self.stopped:
            try:
                return self._queue.put(parcels, timeout=0.2)
            except queue.Full:
                continue
        raise Stopped

    def received(self) -> Iterator[_Parcel]:
        """The parcels as they come: the query's number, its rows without the last line break."""
        while (parcels := self._queue.get()) is not None:
            if isinstance(parcels, BaseException):
                raise parcels
            yield from parcels
