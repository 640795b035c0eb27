"""Thrift's compact protocol, as Parquet's footers and page headers are written in.

In: bytes. Out: structures by field number, whatever they mean, and the same bytes again. Fields
that nobody here knows are kept, so that a file by a newer writer loses nothing.
(Apache Thrift, doc/specs/thrift-compact-protocol.md)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from connectors.s3.formats.entries import UnreadableError

DAMAGED = "damaged-parquet"

_TRUE, _FALSE, _BYTE, _I16, I32, I64, _DOUBLE, BINARY, LIST, _SET, _MAP, STRUCT, _UUID = range(
    1, 14
)
BOOL = _TRUE
_WHOLE = frozenset({_I16, I32, I64})
_MAX_DEPTH = 24  # Parquet's own structures nest some eight deep
_LONG_LIST = 15
_MAX_DELTA = 15
_VARINT_BYTES = 10  # of 64 bits
_FIXED_BYTES = {_BYTE: 1, _DOUBLE: 8, _UUID: 16}


@dataclass(slots=True)
class Items:
    """A list or set: the type of its elements, and the elements."""

    of: int
    values: list[Any] = field(default_factory=list)


@dataclass(slots=True)
class Pairs:
    """A map: the types of keys and values, and the pairs."""

    of: tuple[int, int]
    values: list[tuple[Any, Any]] = field(default_factory=list)


@dataclass(slots=True)
class Struct:
    """A structure: `field number -> (type, value)`."""

    fields: dict[int, tuple[int, Any]] = field(default_factory=dict)

    def get(self, number: int, default: Any = None) -> Any:
        """The value of a field, or `default` where it is missing."""
        found = self.fields.get(number)
        return default if found is None else found[1]

    def need(self, number: int, kind: int) -> Any:
        """The value of a field that must be there and of this type. Raises UnreadableError."""
        found = self.fields.get(number)
        if found is None or found[0] != kind:
            raise UnreadableError(DAMAGED)
        return found[1]

    def items(self, number: int) -> list[Any]:
        """The elements of a list; none where it is missing."""
        found = self.get(number)
        return found.values if isinstance(found, Items) else []

    def put(self, number: int, kind: int, value: Any) -> None:
        """Set a field."""
        self.fields[number] = (kind, value)

    def drop(self, *numbers: int) -> None:
        """Leave these fields out."""
        for number in numbers:
            self.fields.pop(number, None)

    def copy(self) -> Struct:
        """Another structure with the same fields, whose own may be changed; not theirs."""
        return Struct(dict(self.fields))


@contextmanager
def told_damaged() -> Iterator[None]:
    """What fails over bytes that contradict each other: the object is damaged."""
    try:
        yield
    except (ArithmeticError, LookupError, MemoryError, TypeError, ValueError):
        raise UnreadableError(DAMAGED) from None


def read_struct(data: bytes | memoryview, at: int = 0) -> tuple[Struct, int]:
    """The structure that begins there, and where it ends. Raises UnreadableError."""
    reader = _Reader(data, at)
    try:
        found = reader.struct(0)
    except IndexError:
        raise UnreadableError(DAMAGED) from None
    return found, reader.at


def write_struct(struct: Struct) -> bytes:
    """Its bytes."""
    out = bytearray()
    _write_struct(out, struct)
    return bytes(out)


class _Reader:
    def __init__(self, data: bytes | memoryview, at: int) -> None:
        self._data = data
        self.at = at

    def struct(self, depth: int) -> Struct:
        if depth > _MAX_DEPTH:
            raise UnreadableError(DAMAGED)
        found = Struct()
        number = 0
        data = self._data
        while True:
            head = data[self.at]
            self.at += 1
            if head == 0:
                return found
            kind, delta = head & 0x0F, head >> 4
            number = number + delta if delta else _unzigzag(self._varint())
            if kind in (_TRUE, _FALSE):
                found.fields[number] = (BOOL, kind == _TRUE)
            else:
                found.fields[number] = (kind, self._value(kind, depth))

    def _value(self, kind: int, depth: int) -> Any:
        if kind in _WHOLE:
            return _unzigzag(self._varint())
        if kind == BINARY:
            return self._bytes(self._varint())
        if kind == STRUCT:
            return self.struct(depth + 1)
        if kind in (LIST, _SET):
            return self._list(depth + 1)
        if kind == _MAP:
            return self._map(depth + 1)
        if kind in _FIXED_BYTES:
            return self._bytes(_FIXED_BYTES[kind])
        raise UnreadableError(DAMAGED)

    def _list(self, depth: int) -> Items:
        head = self._data[self.at]
        self.at += 1
        count, kind = head >> 4, head & 0x0F
        if count == _LONG_LIST:
            count = self._varint()
        self._fits(count, depth)
        return Items(kind, [self._element(kind, depth) for _ in range(count)])

    def _map(self, depth: int) -> Pairs:
        count = self._varint()
        if not count:
            return Pairs((0, 0))
        self._fits(count, depth)
        head = self._data[self.at]
        self.at += 1
        keys, values = head >> 4, head & 0x0F
        pairs = [(self._element(keys, depth), self._element(values, depth)) for _ in range(count)]
        return Pairs((keys, values), pairs)

    def _element(self, kind: int, depth: int) -> Any:
        if kind in (_TRUE, _FALSE):
            return self._bytes(1)
        return self._value(kind, depth)

    def _fits(self, count: int, depth: int) -> None:
        """Refuse what claims more elements than there are bytes."""
        if depth > _MAX_DEPTH or count > len(self._data) - self.at:
            raise UnreadableError(DAMAGED)

    def _bytes(self, count: int) -> bytes:
        end = self.at + count
        if end > len(self._data):
            raise UnreadableError(DAMAGED)
        found = bytes(self._data[self.at : end])
        self.at = end
        return found

    def _varint(self) -> int:
        data, at = self._data, self.at
        value = shift = 0
        for place in range(at, at + _VARINT_BYTES):
            byte = data[place]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:  # noqa: PLR2004 - the sign that more bytes follow
                self.at = place + 1
                return value
            shift += 7
        raise UnreadableError(DAMAGED)


def _write_struct(out: bytearray, struct: Struct) -> None:
    last = 0
    for number in sorted(struct.fields):
        kind, value = struct.fields[number]
        written = kind if kind != BOOL or value else _FALSE
        if 0 < number - last <= _MAX_DELTA:
            out.append((number - last) << 4 | written)
        else:
            out.append(written)
            _write_varint(out, _zigzag(number))
        last = number
        if kind != BOOL:
            _write_value(out, kind, value)
    out.append(0)


def _write_value(out: bytearray, kind: int, value: Any) -> None:
    if kind in _WHOLE:
        _write_varint(out, _zigzag(value))
    elif kind == BINARY:
        _write_varint(out, len(value))
        out += value
    elif kind == STRUCT:
        _write_struct(out, value)
    elif kind in (LIST, _SET):
        _write_list(out, value)
    elif kind == _MAP:
        _write_map(out, value)
    else:
        out += value


def _write_list(out: bytearray, items: Items) -> None:
    count = len(items.values)
    if count < _LONG_LIST:
        out.append(count << 4 | items.of)
    else:
        out.append(_LONG_LIST << 4 | items.of)
        _write_varint(out, count)
    for value in items.values:
        _write_value(out, items.of, value)


def _write_map(out: bytearray, pairs: Pairs) -> None:
    _write_varint(out, len(pairs.values))
    if not pairs.values:
        return
    keys, values = pairs.of
    out.append(keys << 4 | values)
    for key, value in pairs.values:
        _write_value(out, keys, key)
        _write_value(out, values, value)


def _write_varint(out: bytearray, value: int) -> None:
    while value > 0x7F:  # noqa: PLR2004 - seven bits a byte
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _zigzag(value: int) -> int:
    return value << 1 if value >= 0 else ((-value) << 1) - 1


def _unzigzag(value: int) -> int:
    return (value >> 1) ^ -(value & 1)
