"""Blobs by name, whatever holds them: what every store promises, names, parts of files.

In: names and bytes that are sealed already. Out: the same bytes. A blob appears under its name
whole and durable, or not at all; it is never changed afterwards, only destroyed. A store knows
neither keys nor what a blob means.
"""

from __future__ import annotations

import io
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import date, datetime
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)*")


class StoreError(Exception):
    """The store cannot do what was asked. The text names the blob, never a person."""


class BlobMissing(StoreError):  # noqa: N818 - a state of the store, like `LeaseLost`
    """There is no blob of this name."""


class Store(Protocol):
    """Sealed blobs by name. Safe for many threads; one open blob belongs to one thread."""

    def write(self, name: str) -> AbstractContextManager[BinaryIO]:
        """A new blob: published, durable, when the block ends without an error; gone otherwise.

        Raises StoreError when the name is taken.
        """
        ...

    def open(self, name: str, offset: int = 0, length: int | None = None) -> BinaryIO:
        """`length` bytes (None: all) from `offset`, as a seekable file. Raises BlobMissing."""
        ...

    def exists(self, name: str) -> bool:
        """Whether a whole blob has this name."""
        ...

    def destroy(self, name: str) -> bool:
        """Destroy a blob. Safe to repeat: False when it was gone already."""
        ...

    def names(self, prefix: str = "") -> Iterator[str]:
        """The names that begin with `prefix`, in order."""
        ...

    def destroy_unfinished(self, before: datetime) -> int:
        """Destroy what was begun before this instant and never published; how many there were.

        Its writer has died, or has not written for so long: one that is alive after all cannot
        publish it any more. Safe to repeat.
        """
        ...


def new_name(kind: str, on: date) -> str:
    """A name nobody has used: `kind/2026/11/21/<uuid>`."""
    return f"{kind}/{on:%Y/%m/%d}/{uuid.uuid4().hex}"


def checked(name: str) -> str:
    """The name itself. Raises StoreError for one that could leave the store."""
    if not _NAME.fullmatch(name) or ".." in name:
        raise StoreError("A blob's name is made by `new_name`; this one could leave the store.")
    return name


def part_of(whole: BinaryIO, offset: int, length: int) -> BinaryIO:
    """A part of a seekable file, as a file of its own that closes the whole one."""
    return cast("BinaryIO", _Slice(whole, offset, max(0, length)))


class _Slice(io.RawIOBase):
    def __init__(self, whole: BinaryIO, offset: int, length: int) -> None:
        super().__init__()
        self._whole = whole
        self._offset = offset
        self._length = length
        self._position = 0
        whole.seek(offset)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._length}[whence]
        target = max(0, base + offset)
        if target != self._position:
            self._whole.seek(self._offset + target)
            self._position = target
        return target

    def readinto(self, buffer: WriteableBuffer) -> int:
        target = memoryview(buffer).cast("B")
        count = max(0, min(len(target), self._length - self._position))
        data = self._whole.read(count) if count else b""
        target[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        self._whole.close()
        super().close()
