"""Members of gzip, whose head reaches the decompressor in one piece.

In: stored bytes as they come. Out: plain bytes, and where a member ends. The decompressor (isal
1.9) takes a head with more than one optional field for damage where it comes in pieces: a name and
a comment, a checksum of the head itself.
"""

from __future__ import annotations

from typing import Final

from isal import igzip_lib

_FIXED_BYTES: Final = 10  # RFC 1952, section 2.3, as all of this
_HEAD_CRC, _EXTRA, _NAME, _COMMENT = 2, 4, 8, 16
_LENGTH_BYTES = 2  # of an extra field
_HEAD_CRC_BYTES = 2
_MOST_BYTES = 256 * 1024  # of a head: what is longer is handed on as it came


class GzipMember:
    """Undoes one member; as the standard library's decompressors do."""

    def __init__(self) -> None:
        self._member = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        self._head: bytes | None = b""  # until it is whole

    @property
    def eof(self) -> bool:
        """Whether it has ended."""
        return self._member.eof

    @property
    def needs_input(self) -> bool:
        """Whether nothing comes without more stored bytes."""
        return self._member.needs_input

    @property
    def unused_data(self) -> bytes:
        """What lies behind its end."""
        return self._member.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """The next plain bytes, so many at most. Raises the library's error for damage."""
        if self._head is not None:
            data = self._head + data
            if len(data) < _MOST_BYTES and not _has_head(data):
                self._head = data
                return b""
            self._head = None
        return self._member.decompress(data, max_length)


def _has_head(data: bytes) -> bool:
    """Whether all of a member's head is there."""
    if len(data) < _FIXED_BYTES:
        return False
    flags, at = data[3], _FIXED_BYTES
    if flags & _EXTRA:
        at += _LENGTH_BYTES + int.from_bytes(data[at : at + _LENGTH_BYTES], "little")
    for text in (_NAME, _COMMENT):
        if flags & text:
            at = data.find(b"\0", at) + 1
            if not at:
                return False
    return len(data) >= at + (_HEAD_CRC_BYTES if flags & _HEAD_CRC else 0)
