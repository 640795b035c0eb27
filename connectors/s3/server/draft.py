"""An object's bytes as they are to be, before they are put in its place.

In: ranges that stay and new bytes, in order. Out: a file with all of them.
"""

from __future__ import annotations

from typing import IO

from connectors.s3.formats.entries import Source

_COPIED_AT_ONCE_BYTES = 1024 * 1024


class Draft:
    """Everything goes into one file."""

    def __init__(self, source: Source, spool: IO[bytes]) -> None:
        self._source = source
        self._spool = spool

    def keep(self, _start: int, data: bytes) -> None:
        """Stored bytes that were read, and stay."""
        self._spool.write(data)

    def copy(self, start: int, length: int) -> None:
        """Stored bytes that nobody read, and that stay."""
        for at in range(start, start + length, _COPIED_AT_ONCE_BYTES):
            self._spool.write(
                self._source.read(at, min(_COPIED_AT_ONCE_BYTES, start + length - at))
            )

    def write(self, data: bytes) -> None:
        """Other bytes."""
        self._spool.write(data)


class NoDraft:
    """Nothing is kept: somebody only wants to know what would become of the records."""

    def keep(self, start: int, data: bytes) -> None:
        """Take nothing."""

    def copy(self, start: int, length: int) -> None:
        """Take nothing."""

    def write(self, data: bytes) -> None:
        """Take nothing."""
