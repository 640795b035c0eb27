"""Whether any record is left of an object that was written anew.

In: an object as it is to be, as a format tells it. Out: the same, passed on; and what is left, if
that is little: a longer object has records left, or is none of ours to call empty.
"""

from __future__ import annotations

from collections.abc import Iterator

from connectors.s3.formats.entries import Edits, Stored

_MOST_BYTES = 64 * 1024


class Leftover:
    """Passes edits on and remembers what little is left."""

    def __init__(self, edits: Edits) -> None:
        self._edits = edits
        self._left = bytearray()
        self._long = False

    def keep(self, start: int, data: Stored) -> None:
        """Stored bytes that were read, and stay."""
        self._edits.keep(start, data)
        self._remember(data)

    def copy(self, start: int, length: int) -> None:
        """Stored bytes that nobody read, and that stay."""
        self._edits.copy(start, length)
        self._long = True

    def write(self, data: bytes) -> None:
        """Other bytes."""
        self._edits.write(data)
        self._remember(data)

    def _remember(self, data: Stored) -> None:
        if len(self._left) + len(data) > _MOST_BYTES:
            self._long = True
        else:
            self._left += data

    def left(self) -> bytes | None:
        """The bytes of the object as it is to be; None where they are many."""
        return None if self._long else bytes(self._left)


class Bytes:
    """Bytes at hand as the source of an object."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size_bytes(self) -> int:
        """How many there are."""
        return len(self._data)

    def first(self) -> bytes:
        """All of them."""
        return self._data

    def stream(self) -> Iterator[bytes]:
        """All of them."""
        yield self._data

    def read(self, start: int, length: int) -> bytes:
        """Some of them."""
        return self._data[start : start + length]
