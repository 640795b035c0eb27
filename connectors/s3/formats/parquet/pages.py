"""The pages of one column chunk: told apart, opened, and closed again after a change.

In: a chunk's stored bytes. Out: each page's header, its levels and its encoded values; and a page
again, compressed alike, with its checksum where it had one.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from connectors.s3.formats.entries import UnreadableError
from connectors.s3.formats.parquet import hybrid
from connectors.s3.formats.parquet.footer import Leaf
from connectors.s3.formats.parquet.hybrid import Numbers
from connectors.s3.formats.parquet.thrift import (
    BOOL,
    DAMAGED,
    I32,
    STRUCT,
    Struct,
    read_struct,
    write_struct,
)

DATA, _INDEX, DICTIONARY, DATA_V2 = range(4)
PLAIN, PLAIN_DICTIONARY, RLE, BIT_PACKED, RLE_DICTIONARY = 0, 2, 3, 4, 8
_HEADERS = {DATA: 5, DATA_V2: 8, DICTIONARY: 7}  # the field that holds the header of a kind
DICTIONARIES = (PLAIN_DICTIONARY, RLE_DICTIONARY)
_NONE, _SNAPPY, _GZIP, _LZO, _BROTLI, _LZ4, _ZSTD, _LZ4_RAW = range(8)
_CODECS = {_SNAPPY: "snappy", _GZIP: "gzip", _BROTLI: "brotli", _ZSTD: "zstd", _LZ4_RAW: "lz4_raw"}
_MAX_PAGE_BYTES = 1 << 30
_INT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Page:
    """A page: where it lies in its chunk, its header, its body."""

    start: int
    end: int
    header: Struct
    body: memoryview
    kind: int  # data, data of version 2, or a dictionary
    data: Struct  # the header of its kind
    slots: int  # how many values and nulls it holds
    encoding: int  # of its values


@dataclass(frozen=True, slots=True)
class Part:
    """The bytes of a page: stored ones that stay from `start` on, or new ones."""

    page: Page
    data: bytes
    start: int | None = None

    @property
    def plain_bytes(self) -> int:
        """How many it has without compression, its header included."""
        size: int = self.page.header.need(2, I32)
        return len(self.data) - len(self.page.body) + size


@dataclass(slots=True)
class Opened:
    """A data page's levels (None where there are none), and its values as encoded."""

    repeated: Numbers | None
    defined: Numbers | None
    values: bytes


def pages_of(chunk: bytes) -> Iterator[Page]:
    """The pages of a chunk, in order. Raises UnreadableError."""
    view, at = memoryview(chunk), 0
    while at < len(chunk):
        header, body_at = read_struct(view, at)
        end = body_at + header.need(3, I32)
        if end > len(chunk) or end < body_at or not 0 <= header.need(2, I32) <= _MAX_PAGE_BYTES:
            raise UnreadableError(DAMAGED)
        if header.need(1, I32) != _INDEX:
            yield _page(at, end, header, view[body_at:end])
        at = end


def stored(page: Page, chunk: bytes) -> Part:
    """A page of a chunk as it is."""
    return Part(page, chunk[page.start : page.end], page.start)


def _page(start: int, end: int, header: Struct, body: memoryview) -> Page:
    kind = header.need(1, I32)
    data: Struct = header.need(_HEADERS[kind], STRUCT)
    slots, encoding = data.need(1, I32), data.need(4 if kind == DATA_V2 else 2, I32)
    return Page(start, end, header, body, kind, data, slots, encoding)


@dataclass(frozen=True, slots=True)
class Packing:
    """How the pages of one column chunk are compressed."""

    codec: int

    def __post_init__(self) -> None:
        if self.codec not in (_NONE, _LZ4) and self.codec not in _CODECS:
            raise UnreadableError("parquet-codec")

    def undone(self, data: bytes | memoryview, size: int) -> bytes:
        """The plain bytes. Raises UnreadableError where they are not `size` many."""
        if self.codec == _NONE:
            plain = bytes(data)
        elif self.codec == _LZ4:
            plain = _framed_lz4(bytes(data), size)
        else:
            plain = _decompressed(_CODECS[self.codec], data, size)
        if len(plain) != size:
            raise UnreadableError(DAMAGED)
        return plain

    def done(self, data: bytes) -> bytes:
        """The bytes compressed."""
        if self.codec == _NONE:
            return data
        if self.codec == _LZ4:
            packed: bytes = pa.Codec("lz4_raw").compress(data, asbytes=True)
            sizes = len(data).to_bytes(_INT_BYTES, "big") + len(packed).to_bytes(_INT_BYTES, "big")
            return sizes + packed
        compressed: bytes = pa.Codec(_CODECS[self.codec]).compress(data, asbytes=True)
        return compressed


def open_page(page: Page, leaf: Leaf, packing: Packing) -> Opened:
    """Its levels and values. Raises UnreadableError."""
    size = page.header.need(2, I32)
    widths = hybrid.width_of(leaf.max_repeated), hybrid.width_of(leaf.max_defined)
    if page.kind == DATA_V2:
        lengths = page.data.need(6, I32), page.data.need(5, I32)
        levels_end = sum(lengths)
        if min(lengths) < 0 or levels_end > len(page.body):
            raise UnreadableError(DAMAGED)
        body = page.body[levels_end:]
        values = bytes(body)
        if page.data.get(7, True) and len(body):
            values = packing.undone(body, size - levels_end)
        parts = page.body[: lengths[0]], page.body[lengths[0] : levels_end]
        found = [
            hybrid.decode(part, width, page.slots) if width else None
            for part, width in zip(parts, widths, strict=True)
        ]
        return Opened(found[0], found[1], values)
    plain = packing.undone(page.body, size)
    repeated, at = _levels(plain, 0, widths[0], page.data.get(4, RLE), page.slots)
    defined, at = _levels(plain, at, widths[1], page.data.get(3, RLE), page.slots)
    return Opened(repeated, defined, plain[at:])


def close_page(page: Page, opened: Opened, leaf: Leaf, packing: Packing, slots: int) -> Part:
    """The page with these levels and values in place of its own; without page statistics."""
    header, data = page.header.copy(), page.data.copy()
    widths = hybrid.width_of(leaf.max_repeated), hybrid.width_of(leaf.max_defined)
    levels = [
        b"" if numbers is None else hybrid.encode(numbers, width)
        for numbers, width in zip((opened.repeated, opened.defined), widths, strict=True)
    ]
    data.put(1, I32, slots)
    if page.kind == DATA_V2:
        nulls = 0 if opened.defined is None else int((opened.defined < leaf.max_defined).sum())
        rows = slots if opened.repeated is None else int((opened.repeated == 0).sum())
        data.put(2, I32, nulls)
        data.put(3, I32, rows)
        data.put(5, I32, len(levels[1]))
        data.put(6, I32, len(levels[0]))
        data.drop(8)
        packed = packing.done(opened.values) if data.get(7, True) else opened.values
        if not opened.values:
            data.put(7, BOOL, value=False)
            packed = b""
        body = levels[0] + levels[1] + packed
        size = len(levels[0]) + len(levels[1]) + len(opened.values)
        header.put(8, STRUCT, data)
    else:
        data.drop(5)
        data.put(3, I32, RLE)
        data.put(4, I32, RLE)
        parts = [
            len(part).to_bytes(_INT_BYTES, "little") + part
            for part, width in zip(levels, widths, strict=True)
            if width
        ]
        plain = b"".join((*parts, opened.values))
        body, size = packing.done(plain), len(plain)
        header.put(5, STRUCT, data)
    return closed(header, body, size)


def closed(header: Struct, body: bytes, size: int) -> Part:
    """A new page: a header for this body of `size` plain bytes, and the body."""
    header.put(2, I32, size)
    header.put(3, I32, len(body))
    if header.get(4) is not None:
        checksum = zlib.crc32(body)
        header.put(4, I32, checksum - (1 << 32) if checksum >= 1 << 31 else checksum)
    data = write_struct(header) + body
    return Part(_page(0, len(data), header, memoryview(body)), data)


def _levels(
    plain: bytes, at: int, width: int, encoding: int, slots: int
) -> tuple[Numbers | None, int]:
    if not width:
        return None, at
    if encoding == BIT_PACKED:
        end = at + (slots * width + 7) // 8
        return hybrid.decode_packed(plain[at:end], width, slots), end
    start = at + _INT_BYTES
    end = start + int.from_bytes(plain[at:start], "little")
    if end > len(plain):
        raise UnreadableError(DAMAGED)
    return hybrid.decode(plain[start:end], width, slots), end


def _decompressed(name: str, data: bytes | memoryview, size: int) -> bytes:
    try:
        found: bytes = pa.Codec(name).decompress(data, size, asbytes=True)
    except (OSError, pa.ArrowException):
        raise UnreadableError(DAMAGED) from None
    return found


def _framed_lz4(data: bytes, size: int) -> bytes:
    """Codec 5: Hadoop's frames, big-endian sizes before each block; or, by some writers, none."""
    plain, at = bytearray(), 0
    while len(plain) < size:
        start = at + 2 * _INT_BYTES
        block_bytes = int.from_bytes(data[at : at + _INT_BYTES], "big")
        end = start + int.from_bytes(data[at + _INT_BYTES : start], "big")
        if end > len(data) or not 0 < block_bytes <= size - len(plain):
            return _decompressed("lz4_raw", data, size)
        plain += _decompressed("lz4_raw", data[start:end], block_bytes)
        at = end
    return bytes(plain)
