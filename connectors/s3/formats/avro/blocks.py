"""The frame around records: a header, then blocks between sync markers (Avro specification 1.12).

In: the plain bytes of an object as they come. Out: the header, and block after block with its own
bytes, so that whoever emits all of them has the object again. A block is held whole; how large one
may be is bounded, compressed or not.
"""

from __future__ import annotations

import bz2
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import cramjam
from isal import igzip_lib, isal_zlib

from connectors.s3.formats.avro.leaves import DAMAGED, Type, long_at, long_bytes
from connectors.s3.formats.avro.schema import type_of
from connectors.s3.formats.codecs import DAMAGED as WRONG
from connectors.s3.formats.entries import UnreadableError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAGIC = b"Obj\x01"
MAX_BLOCK_BYTES = 32 * 1024 * 1024
_MAX_HEADER_BYTES = 16 * 1024 * 1024
_SYNC_BYTES = 16
_LONG_BYTES = 10  # a long takes ten at most
_RAW_DEFLATE = -15  # a window of 32 KiB, no header (zlib manual, deflateInit2)
_CRC_BYTES = 4
_DAMAGED_AVRO = "damaged-avro"
_CUT = "cut-avro"
_TOO_LONG = "block-too-long"


@dataclass(frozen=True, slots=True)
class BlockCodec:
    """How the records of a block are compressed."""

    plain: Callable[[bytes], bytes]
    stored: Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Header:
    """What stands in front of the blocks."""

    raw: bytes
    schema: bytes
    type: Type
    codec: BlockCodec
    sync: bytes


@dataclass(frozen=True, slots=True)
class Block:
    """So many records, as they are stored: `raw` is all of the block, from its count to its marker.

    `at_byte` is its place among the plain bytes of the object.
    """

    at_byte: int
    raw: bytes
    count: int
    starts: int  # where, within `raw`, the records start

    def plain(self, header: Header) -> bytes:
        """The records. Raises UnreadableError."""
        try:
            return header.codec.plain(self.raw[self.starts : -_SYNC_BYTES])
        except WRONG:
            raise UnreadableError(_DAMAGED_AVRO) from None


def block_of(records: bytes, count: int, header: Header) -> bytes:
    """A block of these records, as the object's other blocks are stored; without any, no bytes."""
    if not count:
        return b""
    stored = header.codec.stored(records)
    return long_bytes(count) + long_bytes(len(stored)) + stored + header.sync


class Container:
    """An object's header, and its blocks in order. Any call raises UnreadableError."""

    def __init__(self, plain: Iterator[bytes]) -> None:
        self._feed = _Feed(plain)
        self.header = self._header()

    def blocks(self) -> Iterator[Block]:
        """Every block, once."""
        feed = self._feed
        while not feed.at_end:
            at_byte = feed.at_byte
            count, before = feed.long()
            size, behind = feed.long()
            if size < 0 or count < 0:
                raise UnreadableError(_DAMAGED_AVRO)
            if size > MAX_BLOCK_BYTES:
                raise UnreadableError(_TOO_LONG)
            rest = feed.take(size + _SYNC_BYTES)
            if not rest.endswith(self.header.sync):
                raise UnreadableError(_DAMAGED_AVRO)
            frame = before + behind
            yield Block(at_byte, frame + rest, count, len(frame))

    def _header(self) -> Header:
        feed, raw, found = self._feed, bytearray(), dict[str, bytes]()
        raw += feed.take(len(MAGIC))
        while True:
            count, spelled = feed.long()
            raw += spelled
            if not count:
                break
            if count < 0:
                raw += feed.long()[1]
            for _ in range(abs(count)):
                name, value = self._text(raw), self._text(raw)
                found[name.decode("utf-8", "replace")] = value
        sync = feed.take(_SYNC_BYTES)
        codec = _CODECS.get(found.get("avro.codec", b"null").decode("utf-8", "replace"))
        if codec is None:
            raise UnreadableError("avro-codec")
        schema = found.get("avro.schema", b"")
        return Header(bytes(raw) + sync, schema, type_of(schema), codec, sync)

    def _text(self, raw: bytearray) -> bytes:
        length, spelled = self._feed.long()
        if not 0 <= length <= _MAX_HEADER_BYTES - len(raw):
            raise UnreadableError(_DAMAGED_AVRO)
        text = self._feed.take(length)
        raw += spelled + text
        return text


class _Feed:
    """Bytes as they come, taken by number."""

    def __init__(self, plain: Iterator[bytes]) -> None:
        self._plain = plain
        self._held = b""
        self._from = 0
        self.at_byte = 0

    @property
    def at_end(self) -> bool:
        """Whether there is none left."""
        self._reach(1)
        return self._from == len(self._held)

    def take(self, length: int) -> bytes:
        """So many. Raises UnreadableError where there are fewer."""
        self._reach(length)
        taken = self._held[self._from : self._from + length]
        if len(taken) < length:
            raise UnreadableError(_CUT)
        self._from += length
        self.at_byte += length
        return taken

    def long(self) -> tuple[int, bytes]:
        """A long, and its bytes."""
        self._reach(_LONG_BYTES)
        start = self._from
        try:
            number, behind = long_at(self._held, start)
        except IndexError:
            raise UnreadableError(_CUT) from None
        except DAMAGED:
            raise UnreadableError(_DAMAGED_AVRO) from None
        return number, self.take(behind - start)

    def _reach(self, length: int) -> None:
        missing = length - (len(self._held) - self._from)
        if missing <= 0:
            return
        parts = [self._held[self._from :]]
        while missing > 0 and (part := next(self._plain, None)) is not None:
            parts.append(part)
            missing -= len(part)
        self._held, self._from = b"".join(parts), 0


# ---- codecs of blocks


class _Inflating(Protocol):
    """As the standard library's decompressors."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


def _inflated(made: Callable[[], _Inflating]) -> Callable[[bytes], bytes]:
    def plain(stored: bytes) -> bytes:
        member = made()
        pieces = [member.decompress(stored, MAX_BLOCK_BYTES + 1)]
        while not (member.eof or member.needs_input):
            if sum(map(len, pieces)) > MAX_BLOCK_BYTES:
                raise UnreadableError(_TOO_LONG)
            pieces.append(member.decompress(b"", MAX_BLOCK_BYTES))
        if not member.eof:
            raise UnreadableError(_DAMAGED_AVRO)
        return b"".join(pieces)

    return plain


def _raw_inflater() -> igzip_lib.IgzipDecompressor:
    return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_DEFLATE)


def _deflated(records: bytes) -> bytes:
    deflate = isal_zlib.compressobj(wbits=_RAW_DEFLATE)
    return deflate.compress(records) + deflate.flush()


def _unsnapped(stored: bytes) -> bytes:
    """Snappy's raw form starts with the length of what it holds; a CRC-32 stands behind it."""
    packed, checked = stored[:-_CRC_BYTES], stored[-_CRC_BYTES:]
    try:
        if _snappy_length(packed) > MAX_BLOCK_BYTES:
            raise UnreadableError(_TOO_LONG)
    except DAMAGED:
        raise UnreadableError(_DAMAGED_AVRO) from None
    records = bytes(cramjam.snappy.decompress_raw(packed))
    if zlib.crc32(records).to_bytes(_CRC_BYTES, "big") != checked:
        raise UnreadableError(_DAMAGED_AVRO)
    return records


def _snappy_length(packed: bytes) -> int:
    length = shift = 0
    for byte in packed[:5]:
        length |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return length
        shift += 7
    raise UnreadableError(_DAMAGED_AVRO)


def _snapped(records: bytes) -> bytes:
    packed = bytes(cramjam.snappy.compress_raw(records))
    return packed + zlib.crc32(records).to_bytes(_CRC_BYTES, "big")


_CODECS = {
    "null": BlockCodec(lambda stored: stored, lambda records: records),
    "deflate": BlockCodec(_inflated(_raw_inflater), _deflated),
    "snappy": BlockCodec(_unsnapped, _snapped),
    "bzip2": BlockCodec(_inflated(bz2.BZ2Decompressor), bz2.compress),
    "xz": BlockCodec(_inflated(lzma.LZMADecompressor), lzma.compress),
    "zstandard": BlockCodec(_inflated(zstd.ZstdDecompressor), zstd.compress),
}
