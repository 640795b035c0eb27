"""The stored bytes of one version, as formats ask for them.

In: a version. Out: its first bytes, the whole stream, ranges. One request serves the first bytes
and the stream that follows them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import chain

from connectors.s3.formats.entries import UnreadableError
from connectors.s3.server.bucket import Bucket, Spend, Version
from connectors.s3.server.preserving import refuse_client_side

_TELLING_BYTES = 8


class VersionSource:
    """One version. Each of its methods raises ChangedError or GoneError when it is no more."""

    def __init__(
        self, bucket: Bucket, version: Version, spend: Spend, *, proven: bool = False
    ) -> None:
        self.sha256 = ""  # hex, where `proven` and all bytes came by one stream
        self._proven = proven
        self._bucket = bucket
        self._version = version
        self._spend = spend
        self._first = b""
        self._opened: Iterator[bytes] | None = None

    @property
    def size_bytes(self) -> int:
        """How many bytes it has."""
        return self._version.size_bytes

    def first(self) -> bytes:
        """Its first bytes, a chunk of them; the stream goes on from there."""
        if not self._first:
            self._opened = self._open()
            for chunk in self._opened:
                self._first += chunk
                if len(self._first) >= _TELLING_BYTES:
                    break
        return self._first

    def stream(self) -> Iterator[bytes]:
        """All of them. One stream at a time."""
        opened, self._opened = self._opened, None
        pieces = self._open() if opened is None else chain((self._first,), opened)
        if not self._proven:
            yield from pieces
            return
        digest = hashlib.sha256()
        for piece in pieces:
            digest.update(piece)
            yield piece
        self.sha256 = digest.hexdigest()

    def _open(self) -> Iterator[bytes]:
        """A stream, of what can be read in the clear. Raises UnreadableError."""
        headers, stream = self._bucket.opened(self._version, self._spend)
        try:
            refuse_client_side(headers)
        except UnreadableError:
            headers["Body"].close()
            raise
        return stream

    def read(self, start: int, length: int) -> bytes:
        """A range of them."""
        return self._bucket.read(self._version, start, length, self._spend)
