"""Framed snappy (framing format of 2013-10-25): chunks of at most 64 KiB, each with its CRC-32C.

In: stored bytes as they come. Out: what each chunk says, and chunks. Every chunk
stands for itself, so that each is a member of its own to whoever asks for members.
"""

from __future__ import annotations

from typing import Final

import cramjam

from connectors.s3.formats.entries import Stored

OPENING: Final = b"\xff\x06\x00\x00sNaPpY"
"""The chunk that every stream begins with; it may stand again before any other chunk."""
_HEAD_BYTES = 4
_PLAIN_BYTES = 64 * 1024
_DATA_TYPES = (0x00, 0x01)  # compressed, or as it is
_MOST_BYTES = 4 + 32 + _PLAIN_BYTES + _PLAIN_BYTES // 6  # checksum, and the most that snappy makes
_SKIPPED_FROM = 0x80  # chunks of an unknown type below that may not be skipped
_AGAIN = OPENING[0]


class SnappyChunk:
    """Undoes one chunk; as the standard library's decompressors do."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._skips = -1  # how much of a chunk without content is still to come
        self.eof = False
        self.needs_input = True
        self.unused_data = b""

    def decompress(self, data: bytes, _max_length: int = -1) -> bytes:
        """The content, once the chunk is whole: 64 KiB at most. Raises DecompressionError."""
        self._held += data
        if self._skips < 0:
            if len(self._held) < _HEAD_BYTES:
                return b""
            kind, length = self._held[0], int.from_bytes(self._held[1:_HEAD_BYTES], "little")
            if kind in _DATA_TYPES or kind == _AGAIN:
                return self._content(length)
            if kind < _SKIPPED_FROM:
                raise cramjam.DecompressionError("a chunk of an unknown type")
            self._skips = _HEAD_BYTES + length
        passed = min(self._skips, len(self._held))
        self._skips -= passed
        del self._held[:passed]
        if not self._skips:
            self._end(0)
        return b""

    def _content(self, length: int) -> bytes:
        if length > _MOST_BYTES:
            raise cramjam.DecompressionError("a chunk that is too long")
        end = _HEAD_BYTES + length
        if len(self._held) < end:
            return b""
        found = bytes(cramjam.snappy.decompress(OPENING + self._held[:end]))
        self._end(end)
        return found

    def _end(self, end: int) -> None:
        self.unused_data = bytes(self._held[end:])
        self._held.clear()
        self.eof, self.needs_input = True, False


class SnappyCompressor:
    """Makes a stream of chunks; as the standard library's compressors do."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._made = OPENING  # what was not handed out yet

    def compress(self, data: Stored, /) -> bytes:
        """The next chunks."""
        self._held += data
        return self._chunks(len(self._held) - len(self._held) % _PLAIN_BYTES)

    def flush(self) -> bytes:
        """The last chunk."""
        return self._chunks(len(self._held))

    def _chunks(self, length: int) -> bytes:
        made, self._made = self._made, b""
        if length:
            made += bytes(cramjam.snappy.compress(bytes(self._held[:length])))[len(OPENING) :]
            del self._held[:length]
        return made
