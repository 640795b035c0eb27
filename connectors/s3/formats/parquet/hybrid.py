"""Small whole numbers as Parquet packs them: levels of nesting, places in a dictionary, booleans.

In: bytes, a bit width. Out: an array, and bytes again. Runs of one value and packed groups of eight
alternate (parquet-format, Encodings.md, "Run Length Encoding / Bit-Packing Hybrid"); levels of old
files are packed without runs, from the highest bit on ("Bit-packed (Deprecated)").
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from connectors.s3.formats.entries import UnreadableError
from connectors.s3.formats.parquet.thrift import DAMAGED

Numbers = npt.NDArray[np.int64]

_GROUP = 8
_WORD_BITS = 64
_VARINT_BYTES = 10  # of 64 bits
_WORTH_A_RUN = 24  # a run and the packed groups around it cost a few bytes of their own


def width_of(largest: int) -> int:
    """How many bits the numbers up to this one need."""
    return int(largest).bit_length()


def decode(data: bytes | memoryview, width: int, count: int) -> Numbers:
    """The first `count` numbers of runs and packed groups. Raises UnreadableError."""
    if width == 0:
        return np.zeros(count, np.int64)
    parts: list[Numbers] = []
    packed: list[bytes | memoryview] = []  # groups that follow each other are unpacked at once
    at = found = 0
    value_bytes = (width + 7) // 8
    while found < count:
        head, at = _varint(data, at)
        length = head >> 1
        if not length or at >= len(data):
            raise UnreadableError(DAMAGED)
        if head & 1:
            packed.append(data[at : at + length * width])
            at += length * width
            found += length * _GROUP
            continue
        if packed:
            parts.append(_unpacked(b"".join(packed), width))
            packed = []
        length = min(length, count - found)
        value = int.from_bytes(data[at : at + value_bytes], "little")
        parts.append(np.full(length, value, np.int64))
        at += value_bytes
        found += length
    if packed:
        parts.append(_unpacked(b"".join(packed), width))
    numbers = parts[0] if len(parts) == 1 else np.concatenate(parts or [np.zeros(0, np.int64)])
    if len(numbers) < count:  # the last group was cut
        raise UnreadableError(DAMAGED)
    return numbers[:count]


def encode(numbers: Numbers, width: int) -> bytes:
    """The same numbers as runs where many are alike, packed elsewhere."""
    if not len(numbers):
        return b""
    count = len(numbers)
    goes_on = numbers[1:] == numbers[:-1]
    alike = int(np.count_nonzero(goes_on))
    if alike == count - 1:
        return _head(count << 1) + int(numbers[0]).to_bytes((width + 7) // 8, "little")
    out, at = bytearray(), 0
    if alike < _WORTH_A_RUN - 1:
        _pack(out, numbers, width)
        return bytes(out)
    starts = np.concatenate(([0], np.flatnonzero(~goes_on) + 1))
    lengths = np.diff(starts, append=count)
    for number in np.flatnonzero(lengths >= _WORTH_A_RUN):
        start, end = int(starts[number]), int(starts[number] + lengths[number])
        start = at + (start - at + _GROUP - 1) // _GROUP * _GROUP  # what is packed: whole groups
        _pack(out, numbers[at:start], width)
        out += _head((end - start) << 1)
        out += int(numbers[start]).to_bytes((width + 7) // 8, "little")
        at = end
    _pack(out, numbers[at:], width)
    return bytes(out)


def decode_packed(data: bytes | memoryview, width: int, count: int) -> Numbers:
    """Levels of old files: packed from the highest bit on, without runs."""
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="big")[: count * width]
    if len(bits) < count * width:
        raise UnreadableError(DAMAGED)
    weights = 1 << np.arange(width - 1, -1, -1, dtype=np.int64)
    return bits.reshape(count, width).astype(np.int64) @ weights


def _unpacked(data: bytes, width: int) -> Numbers:
    """Each number lies in the eight bytes from the one on in which it begins."""
    groups = len(data) // width
    padded = data + bytes(_GROUP)
    numbers = np.empty(groups * _GROUP, np.int64)
    for place in range(_GROUP):
        start, shift = divmod(place * width, 8)
        words: Any = np.ndarray((groups,), "<u8", padded, start, (width,))
        numbers[place::_GROUP] = (words >> np.uint64(shift)) & np.uint64((1 << width) - 1)
    return numbers


def _pack(out: bytearray, numbers: Numbers, width: int) -> None:
    if not len(numbers):
        return
    groups = (len(numbers) + _GROUP - 1) // _GROUP
    padded = np.zeros(groups * _GROUP, np.uint64)
    padded[: len(numbers)] = numbers
    words = np.zeros((groups, (_GROUP * width + _WORD_BITS - 1) // _WORD_BITS), np.uint64)
    for place in range(_GROUP):
        word, shift = divmod(place * width, _WORD_BITS)
        these = padded[place::_GROUP]
        words[:, word] |= these << np.uint64(shift)
        if shift + width > _WORD_BITS:
            words[:, word + 1] |= these >> np.uint64(_WORD_BITS - shift)
    out += _head(groups << 1 | 1)
    out += words.astype("<u8").view(np.uint8)[:, :width].tobytes()


def _head(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits a byte
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _varint(data: bytes | memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    for place in range(at, min(at + _VARINT_BYTES, len(data))):
        byte = data[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the sign that more bytes follow
            return value, place + 1
        shift += 7
    raise UnreadableError(DAMAGED)
