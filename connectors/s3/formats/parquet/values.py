"""The values of one data page: taken out, replaced, and encoded as they were.

In: a page's encoded values, and which of them go or get others. Out: the values encoded alike, and
those that went. All is done on the stored bytes of a value, whatever it means. Plain values are cut
at the byte. Deltas and split streams go through pyarrow, as a file of one column that has nothing
else in it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
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

Edits = Mapping[int, bytes | None]
"""Which values of a page change: by their number, to other bytes, or out (None)."""

_THROUGH_ARROW = {
    5: "DELTA_BINARY_PACKED",
    6: "DELTA_LENGTH_BYTE_ARRAY",
    7: "DELTA_BYTE_ARRAY",
    9: "BYTE_STREAM_SPLIT",
}
_LENGTH_BYTES = 4
_WHOLE_PAGE_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Changed:
    """Encoded values after the change, plainly encoded too, and the ones that went."""

    encoded: bytes
    plain: bytes
    gone: list[bytes]


def change(leaf: Leaf, encoding: int, encoded: bytes, count: int, edits: Edits) -> Changed:
    """The `count` values of a page without those that go. Raises UnreadableError."""
    plain = plain_of(leaf, encoding, encoded, count)
    kept, gone = _cut(leaf, plain, count, edits)
    left = count - sum(new is None for new in edits.values())
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


def each(leaf: Leaf, plain: bytes, count: int) -> list[bytes]:
    """The stored bytes of each value of plain ones; of a boolean, one byte."""
    if leaf.physical == BOOLEAN:
        return [bytes([bit]) for bit in _bits(plain, count)]
    spans = Places(leaf, plain, count).of(np.arange(count))
    return [plain[start:end] for start, end in spans]


def array_of(leaf: Leaf, plain: bytes, count: int) -> Any:
    """Plain values of a column of bytes as an Arrow array."""
    return _read(leaf, PLAIN, plain, count)


def bits_of(plain: bytes, count: int) -> Numbers:
    """Plain values of a column of booleans."""
    return _bits(plain, count)


def joined(leaf: Leaf, values: Sequence[bytes]) -> bytes:
    """Values plainly encoded."""
    return b"".join(_prefixed(leaf, value) for value in values)


def numbers(leaf: Leaf, plain: bytes, kind: str) -> Any:
    """Values of a fixed width as an array of this numpy type."""
    return np.frombuffer(plain, kind, len(plain) // leaf.width)


class Places:
    """Where each of plain values lies."""

    def __init__(self, leaf: Leaf, plain: bytes, count: int) -> None:
        self._width = leaf.width
        self._ends: Any = None
        if leaf.physical == BYTE_ARRAY:
            self._ends = _ends(leaf, plain, count)
        elif count * leaf.width > len(plain) or not leaf.width:
            raise UnreadableError(DAMAGED)

    def of(self, which: Numbers) -> list[tuple[int, int]]:
        """Of each of these, without the length that may stand before it."""
        if self._ends is None:
            starts, ends = which * self._width, (which + 1) * self._width
        else:
            starts, ends = self._ends[which] + _LENGTH_BYTES, self._ends[which + 1]
        return list(zip(starts.tolist(), ends.tolist(), strict=True))


def _ends(leaf: Leaf, plain: bytes, count: int) -> Any:
    """Where each value's length begins, and where the last value ends."""
    array = _read(leaf, PLAIN, plain, count)
    offsets = np.frombuffer(array.buffers()[1], np.int32, count + 1, array.offset * 4)
    return offsets.astype(np.int64) - int(offsets[0]) + _LENGTH_BYTES * np.arange(count + 1)


def _cut(leaf: Leaf, plain: bytes, count: int, edits: Edits) -> tuple[bytes, list[bytes]]:
    if leaf.physical == BOOLEAN:
        return _cut_bits(_bits(plain, count), edits)
    which = sorted(edits)
    if leaf.width and all(new is None for new in edits.values()):
        return _cut_even(leaf, plain, count, which)
    spans = Places(leaf, plain, count).of(np.array(which, np.int64))
    gone = [plain[start:end] for start, end in spans]
    prefix = _LENGTH_BYTES if leaf.physical == BYTE_ARRAY else 0
    parts: list[bytes | memoryview] = []
    view, at = memoryview(plain), 0
    for number, (start, end) in zip(which, spans, strict=True):
        if start - prefix > at:
            parts.append(view[at : start - prefix])
        new = edits[number]
        if new is not None:
            parts.append(_prefixed(leaf, new))
        at = end
    parts.append(view[at:])
    return b"".join(parts), gone


def _cut_even(
    leaf: Leaf, plain: bytes, count: int, which: Sequence[int]
) -> tuple[bytes, list[bytes]]:
    if count * leaf.width > len(plain):
        raise UnreadableError(DAMAGED)
    values = np.frombuffer(plain, f"V{leaf.width}", count)
    gone: list[bytes] = values[which].tolist() if which else []
    return np.delete(values, which).tobytes(), gone


def _cut_bits(bits: Numbers, edits: Edits) -> tuple[bytes, list[bytes]]:
    changed = bits.copy()
    for number, new in edits.items():
        if new is not None:
            changed[number] = new[0]
    out = [number for number, new in edits.items() if new is None]
    left = np.delete(changed, out).astype(np.uint8)
    gone = [bytes([bits[number]]) for number in edits]
    return np.packbits(left, bitorder="little").tobytes(), gone


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
