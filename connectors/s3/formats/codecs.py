"""How an object's bytes are compressed: told by the bytes themselves, undone and done again.

In: the bytes of an object as they come. Out: its plain bytes in bounded pieces, and a writer that
compresses in the same way. What looks like another format is refused by name.

Any number of gzip members, zstd frames, bz2 or xz streams, or snappy chunks is one stream of plain
bytes. All of these are called members here; whoever wants to keep some is told where they end.
"""

from __future__ import annotations

import bz2
import lzma
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, cast

import cramjam
from isal import isal_zlib

from connectors.s3.formats.entries import Stored, UnreadableError
from connectors.s3.formats.gzip import GzipMember
from connectors.s3.formats.snappy import OPENING, SnappyChunk, SnappyCompressor

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_OUT_BYTES = 64 * 1024
_GZIP_WINDOW = 31  # of 32 KiB, with the header of gzip (zlib manual, deflateInit2)
_ISAL_ERROR = cast("type[Exception]", isal_zlib.error)  # its stub takes the class for an instance
DAMAGED = (OSError, _ISAL_ERROR, lzma.LZMAError, zstd.ZstdError, cramjam.DecompressionError)
"""What decompressors raise for bytes that are none of theirs."""
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
"""The marks that text in it begins with."""


class Compressor(Protocol):
    """Makes one member; as the standard library's compressors do."""

    def compress(self, data: Stored, /) -> bytes:
        """The next compressed bytes, of those and earlier ones."""
        ...

    def flush(self) -> bytes:
        """The last compressed bytes."""
        ...


class _Member(Protocol):
    """Undoes one member, frame or stream; as the standard library's decompressors do."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Step:
    """The next stored bytes, and plain ones. Together, all of either are the object."""

    stored: bytes
    plain: bytes
    behind: bytes | None = None  # a member ended: those stored bytes that lie behind it


@dataclass(frozen=True, slots=True)
class Codec:
    """A way to compress; `name` is what a finding calls it."""

    name: str
    magics: tuple[bytes, ...]
    member: Callable[[], _Member]
    compressor: Callable[[], Compressor]
    padding: bytes = b""  # what may stand between two members and after the last
    opening: bytes = b""  # what an object begins with, where a member alone does not

    def plain(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """The plain bytes, in pieces. Raises `UnreadableError` where they are damaged or cut."""
        return (step.plain for step in self.steps(chunks) if step.plain)

    def steps(self, chunks: Iterator[bytes]) -> Iterator[Step]:
        """The same, with the bytes that were read for them, and where members end.

        What says nothing (padding, an empty member, a frame to be skipped) belongs to the member
        that follows.
        """
        member, speaks = self.member(), False
        for chunk in chunks:
            fresh = pending = chunk
            while pending or not (member.eof or member.needs_input):
                if member.eof:
                    pending = pending.lstrip(self.padding) if self.padding else pending
                    if not pending:
                        break
                    member = self.member()
                try:
                    piece = member.decompress(pending, _OUT_BYTES)
                except DAMAGED:
                    raise UnreadableError(f"damaged-{self.name}") from None
                pending = member.unused_data if member.eof else b""
                speaks = speaks or bool(piece)
                ends = member.eof and speaks
                yield Step(fresh, piece, pending if ends else None)
                fresh, speaks = b"", speaks and not ends
            if fresh:
                yield Step(fresh, b"")
        if not member.eof:
            raise UnreadableError(f"cut-{self.name}")


def codec_of(first: bytes) -> Codec | None:
    """How an object is compressed, by its first bytes (eight, if it has so many).

    Raises `UnreadableError` for what is no text under any compression.
    """
    if first.startswith(UTF_16):
        raise UnreadableError("utf-16")
    return next((codec for codec in _CODECS if first.startswith(codec.magics)), None)


def _gzip() -> Compressor:
    """One member, without a name and a time."""
    return cast("Compressor", isal_zlib.compressobj(wbits=_GZIP_WINDOW))


def _zstd() -> zstd.ZstdCompressor:
    checked: dict[int, int] = {zstd.CompressionParameter.checksum_flag: 1}
    return zstd.ZstdCompressor(options=checked)


# a frame to be skipped may stand before the first one (RFC 8878, section 3.1.2)
_ZSTD_MAGICS = (
    b"\x28\xb5\x2f\xfd",
    *(bytes((kind,)) + b"\x2a\x4d\x18" for kind in range(0x50, 0x60)),
)
_CODECS = (
    Codec("gzip", (b"\x1f\x8b",), GzipMember, _gzip, padding=b"\0"),
    Codec("zstd", _ZSTD_MAGICS, zstd.ZstdDecompressor, _zstd),
    Codec("bzip2", (b"BZh",), bz2.BZ2Decompressor, bz2.BZ2Compressor),
    Codec("xz", (b"\xfd7zXZ\x00",), lzma.LZMADecompressor, lzma.LZMACompressor, padding=b"\0"),
    Codec("snappy", (OPENING[:8],), SnappyChunk, SnappyCompressor, opening=OPENING),
)
