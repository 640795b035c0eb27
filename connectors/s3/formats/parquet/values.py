"""The values of one data page: taken out, replaced, and encoded as they were.

In: a page's encoded values, and which of them go or get others. Out: the values encoded alike, and
those that went. All is done on the stored bytes of a value, whatever it means. Plain values are cut
at the byte. Deltas and split streams go through pyarrow, as a file of one column that has nothing
else in it.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from connectors.s3.formats.entries import UnreadableError
from connectors.s3.formats.parquet import hybrid
from connectors.s3.formats.parquet.footer import (
    BOOLEAN,
    BYTE_ARRAY,
    FIXED,
    MAGIC,
    Leaf,
)
from connectors.s3.formats.parquet.hybrid import Numbers
from connectors.s3.formats.parquet.pages import PLAIN, RLE
from connectors.s3.formats.parquet.thrift import (
    BINARY,
    DAMAGED,
    I32,
    I64,
    LIST,
    STRUCT,
    Items,
    Struct,
    read_struct,
    write_struct,
)


@dataclass(frozen=True, slots=True)
class Edits:
    """Which values of a page change, ascending: to the bytes in `new`, or out."""

    which: Numbers
    new: Mapping[int, bytes]

    @property
    def out(self) -> Numbers:
        """Those that go."""
        if not self.new:
            return self.which
        return np.setdiff1d(self.which, np.fromiter(self.new, np.int64, len(self.new)))


_THROUGH_ARROW = {
    5: "DELTA_BINARY_PACKED",
    6: "DELTA_LENGTH_BYTE_ARRAY",
    7: "DELTA_BYTE_ARRAY",
    9: "BYTE_STREAM_SPLIT",
}
_ITEMS = {1: "<u1", 4: "<u4", 8: "<u8"}  # what numpy copies faster than bytes of any length
_LENGTH_BYTES = 4
_WHOLE_PAGE_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Changed:
    """Encoded values after the change, plainly encoded too, and the ones that went."""

    encoded: bytes
    plain: bytes
    gone: Any


def change(leaf: Leaf, encoding: int, encoded: bytes, count: int, edits: Edits) -> Changed:
    """The `count` values of a page without those that go. Raises UnreadableError."""
    plain = plain_of(leaf, encoding, encoded, count)
    stored = array_of(leaf, plain, count)
    kept = cut(leaf, plain, stored, edits)
    gone = stored.take(pa.array(edits.which))
    left = count - len(edits.out)
    if encoding == PLAIN:
        return Changed(kept, kept, gone)
    if encoding == RLE:
        packed = hybrid.encode(_bits(kept, left), 1)
        return Changed(len(packed).to_bytes(_LENGTH_BYTES, "little") + packed, kept, gone)
    again = _written(_read(leaf, PLAIN, kept, left), _THROUGH_ARROW[encoding])
    return Changed(again, kept, gone)


def plain_of(leaf: Leaf, encoding: int, encoded: bytes, count: int) -> bytes:
    """The same values, plainly encoded. Raises UnreadableError."""
    if encoding == PLAIN:
        return encoded
    if encoding == RLE and leaf.physical == BOOLEAN:
        bits = hybrid.decode(encoded[_LENGTH_BYTES:], 1, count)
        return np.packbits(bits.astype(np.uint8), bitorder="little").tobytes()
    if encoding not in _THROUGH_ARROW:
        raise UnreadableError("parquet-encoding")
    return _written(_read(leaf, encoding, encoded, count), "PLAIN")


def array_of(leaf: Leaf, plain: bytes, count: int) -> Any:
    """The stored bytes of each of plain values as an Arrow array; of a boolean, one byte."""
    if leaf.physical == BYTE_ARRAY:
        return _read(leaf, PLAIN, plain, count)
    if leaf.physical == BOOLEAN:
        return _fixed(_bits(plain, count).astype(np.uint8).tobytes(), 1, count)
    if not leaf.width or count * leaf.width > len(plain):
        raise UnreadableError(DAMAGED)
    return _fixed(plain, leaf.width, count)


def numbers(array: Any, kind: str) -> Any:
    """Stored values of a fixed width as numbers of this numpy type."""
    width = array.type.byte_width
    return np.frombuffer(array.buffers()[1], kind, len(array), array.offset * width)


def joined(leaf: Leaf, values: Iterable[bytes]) -> bytes:
    """Values plainly encoded."""
    return b"".join(_prefixed(leaf, value) for value in values)


def cut(leaf: Leaf, plain: bytes, stored: Any, edits: Edits) -> bytes:
    """Plain values after the change. `stored`: the same values, as `array_of` gives them."""
    if leaf.physical == BYTE_ARRAY:
        return _cut_long(leaf, plain, stored, edits)
    kept = numbers(stored, _ITEMS.get(stored.type.byte_width, f"V{stored.type.byte_width}"))
    if edits.new:
        kept = kept.copy()
        replaced = np.frombuffer(b"".join(edits.new.values()), kept.dtype)
        kept[np.fromiter(edits.new, np.int64, len(edits.new))] = replaced
    kept = np.delete(kept, edits.out)
    if leaf.physical == BOOLEAN:
        return np.packbits(kept, bitorder="little").tobytes()
    return kept.tobytes()


def _cut_long(leaf: Leaf, plain: bytes, stored: Any, edits: Edits) -> bytes:
    """Values that each have their length before them: the bytes between those that change."""
    offsets = np.frombuffer(stored.buffers()[1], np.int32, len(stored) + 1, stored.offset * 4)
    ends = offsets.astype(np.int64) - int(offsets[0])
    ends += _LENGTH_BYTES * np.arange(len(stored) + 1)
    view = memoryview(plain)
    starts = (0, *ends[edits.which + 1].tolist())
    stops = (*ends[edits.which].tolist(), len(plain))
    between = [view[start:stop] for start, stop in zip(starts, stops, strict=True)]
    if not edits.new:
        return b"".join(between)
    parts: list[bytes | memoryview] = [b""] * (2 * len(between) - 1)
    parts[::2] = between
    written = {value: _prefixed(leaf, value) for value in set(edits.new.values())}
    for place, number in enumerate(edits.which.tolist()):
        if number in edits.new:
            parts[2 * place + 1] = written[edits.new[number]]
    return b"".join(parts)


def _fixed(data: bytes, width: int, count: int) -> Any:
    return pa.Array.from_buffers(pa.binary(width), count, [None, pa.py_buffer(data)])


def _bits(plain: bytes, count: int) -> Numbers:
    found = np.unpackbits(np.frombuffer(plain, np.uint8), bitorder="little")[:count]
    if len(found) < count:
        raise UnreadableError(DAMAGED)
    return found.astype(np.int64)


def _prefixed(leaf: Leaf, value: bytes) -> bytes:
    if leaf.physical != BYTE_ARRAY:
        return value
    return len(value).to_bytes(_LENGTH_BYTES, "little") + value


# ---- by pyarrow


def _read(leaf: Leaf, encoding: int, encoded: bytes, count: int) -> Any:
    """A page's values as an Arrow array."""
    if not count:
        kind = pa.binary() if leaf.physical == BYTE_ARRAY else pa.binary(leaf.width)
        return pa.array([b""] if leaf.physical == BYTE_ARRAY else [], kind)[:0]
    file = _one_column(leaf, encoding, encoded, count)
    try:
        parquet = pq.ParquetFile(pa.BufferReader(file), pre_buffer=False)
        array = parquet.read(use_threads=False).column(0).combine_chunks()
    except (OSError, pa.ArrowException):
        raise UnreadableError(DAMAGED) from None
    if len(array) != count:
        raise UnreadableError(DAMAGED)
    return array.chunk(0) if isinstance(array, pa.ChunkedArray) else array


def _written(array: Any, encoding: str) -> bytes:
    """An Arrow array as the values of one page."""
    if not len(array):
        return b""
    table = pa.table([array], schema=pa.schema([pa.field("v", array.type, nullable=False)]))
    out = io.BytesIO()
    pq.write_table(
        table,
        out,
        use_dictionary=False,
        compression="none",
        column_encoding={"v": encoding},
        write_statistics=False,
        store_schema=False,
        data_page_size=_WHOLE_PAGE_BYTES,
        max_rows_per_page=len(array) + 1,
        write_batch_size=len(array) + 1,
        row_group_size=len(array) + 1,
    )
    file = out.getvalue()
    header, body_at = read_struct(file, len(MAGIC))
    if header.need(5, STRUCT).need(1, I32) != len(array):
        raise UnreadableError("parquet-encoding")
    return file[body_at : body_at + header.need(3, I32)]


def _one_column(leaf: Leaf, encoding: int, encoded: bytes, count: int) -> bytes:
    """A Parquet file of these values alone."""
    data = _struct((1, I32, count), (2, I32, encoding), (3, I32, RLE), (4, I32, RLE))
    size = len(encoded)
    header = _struct((1, I32, 0), (2, I32, size), (3, I32, size), (5, STRUCT, data))
    head = write_struct(header)
    page_bytes = len(head) + size
    root = _struct((4, BINARY, b"r"), (5, I32, 1))
    column = _struct((1, I32, leaf.physical), (3, I32, 0), (4, BINARY, b"v"))
    if leaf.physical == FIXED:
        column.put(2, I32, leaf.width)
    meta = _struct(
        (1, I32, leaf.physical),
        (2, LIST, Items(I32, [encoding])),
        (3, LIST, Items(BINARY, [b"v"])),
        (4, I32, 0),
        (5, I64, count),
        (6, I64, page_bytes),
        (7, I64, page_bytes),
        (9, I64, len(MAGIC)),
    )
    chunk = _struct((2, I64, 0), (3, STRUCT, meta))
    group = _struct((1, LIST, Items(STRUCT, [chunk])), (2, I64, page_bytes), (3, I64, count))
    footer = write_struct(
        _struct(
            (1, I32, 2),
            (2, LIST, Items(STRUCT, [root, column])),
            (3, I64, count),
            (4, LIST, Items(STRUCT, [group])),
        )
    )
    footer_bytes = len(footer).to_bytes(_LENGTH_BYTES, "little")
    return b"".join((MAGIC, head, encoded, footer, footer_bytes, MAGIC))


def _struct(*fields: tuple[int, int, Any]) -> Struct:
    return Struct({number: (kind, value) for number, kind, value in fields})
