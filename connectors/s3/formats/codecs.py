"""How an object's bytes are compressed: told by the bytes themselves, undone and done again.

In: the bytes of an object as they come. Out: its plain bytes in bounded pieces, and a writer that
compresses in the same way. What looks like another format is refused by name.

Any number of gzip members, zstd frames, bz2 streams or xz streams is one stream of plain bytes.
"""

from __future__ import annotations

import bz2
import lzma
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Protocol, cast

from isal import igzip_lib, isal_zlib

from connectors.s3.formats.entries import Stored, UnreadableError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_OUT_BYTES = 64 * 1024
_GZIP_WINDOW = 31  # of 32 KiB, with the header of gzip (zlib manual, deflateInit2)
_FOREIGN = {
    b"\xff\x06\x00\x00sNaP": "snappy-framed",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
_ISAL_ERROR = cast("type[Exception]", isal_zlib.error)  # its stub takes the class for an instance
_DAMAGED = (OSError, _ISAL_ERROR, lzma.LZMAError, zstd.ZstdError)


class Sink(Protocol):
    """Takes plain bytes; `close` ends the compressed stream and leaves the file open."""

    def write(self, data: Stored, /) -> object:
        """Take the next bytes."""
        ...

    def close(self) -> None:
        """Write what is still held."""
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
class Codec:
    """A way to compress; `name` is what a finding calls it."""

    name: str
    magic: bytes
    member: Callable[[], _Member]
    writer: Callable[[IO[bytes]], Sink]
    padding: bytes = b""  # what may stand between two members and after the last

    def plain(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """The plain bytes, in pieces. Raises `UnreadableError` where they are damaged or cut."""
        member = self.member()
        for chunk in chunks:
            pending = chunk
            while pending or not (member.eof or member.needs_input):
                if member.eof:
                    pending = pending.lstrip(self.padding) if self.padding else pending
                    if not pending:
                        break
                    member = self.member()
                try:
                    piece = member.decompress(pending, _OUT_BYTES)
                except _DAMAGED:
                    raise UnreadableError(f"damaged-{self.name}") from None
                pending = member.unused_data if member.eof else b""
                yield piece
        if not member.eof:
            raise UnreadableError(f"cut-{self.name}")


def codec_of(first: bytes) -> Codec | None:
    """How an object is compressed, by its first bytes (eight, if it has so many).

    Raises `UnreadableError` for what is no text under any compression.
    """
    for magic, name in _FOREIGN.items():
        if first.startswith(magic):
            raise UnreadableError(name)
    return next((codec for codec in _CODECS if first.startswith(codec.magic)), None)


def _gunzip() -> igzip_lib.IgzipDecompressor:
    return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)


class _Gzip:
    """One gzip member, without a name and a time."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._deflate = isal_zlib.compressobj(wbits=_GZIP_WINDOW)

    def write(self, data: Stored, /) -> None:
        """Compress the next bytes."""
        self._file.write(self._deflate.compress(data))

    def close(self) -> None:
        """End the member."""
        self._file.write(self._deflate.flush())


def _xz(file: IO[bytes]) -> lzma.LZMAFile:
    return lzma.LZMAFile(file, "wb")


def _bzip2(file: IO[bytes]) -> bz2.BZ2File:
    return bz2.BZ2File(file, "wb")


def _zstd(file: IO[bytes]) -> zstd.ZstdFile:
    checked: dict[int, int] = {zstd.CompressionParameter.checksum_flag: 1}
    return zstd.ZstdFile(file, "wb", options=checked)


_CODECS = (
    Codec("gzip", b"\x1f\x8b", _gunzip, _Gzip, b"\0"),
    Codec("zstd", b"\x28\xb5\x2f\xfd", zstd.ZstdDecompressor, _zstd),
    Codec("bzip2", b"BZh", bz2.BZ2Decompressor, _bzip2),
    Codec("xz", b"\xfd7zXZ\x00", lzma.LZMADecompressor, _xz, b"\0"),
)
