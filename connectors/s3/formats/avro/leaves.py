"""The types of Avro that have no parts, and what every type can do.

In: the bytes of a block, a place in them. Out: the place behind a value, the value, or its span
with its type. Nothing is encoded but masks: every other byte stays as its writer left it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

_MOST_SHIFT = 63  # a long has 64 bits, seven of them a byte


class DamagedError(Exception):
    """The bytes are no value of their type."""


DAMAGED = (DamagedError, IndexError)
"""What may be raised where the bytes are no value of their type."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a field's value stands, and what it is."""

    start: int
    end: int
    type: Type


class Type(Protocol):
    """One type. `skip` raises DAMAGED where the bytes are no value of it.

    Whatever it passes, the other calls can read.
    """

    def skip(self, data: bytes, at: int) -> int:
        """The place behind the value at `at`; it may lie behind the last byte."""
        ...

    def read(self, data: bytes, at: int) -> tuple[Any, int]:
        """The value at `at`, and the place behind it."""
        ...

    def find(self, data: bytes, at: int, path: tuple[str, ...]) -> Place | None:
        """Where the field of that path within the value stands; None where it has none."""
        ...

    def put(self, new: str | None) -> bytes | None:
        """A mask's value in this type; None where the type has no such value."""
        ...

    def within(self, path: tuple[str, ...]) -> Iterator[Leaf]:
        """The leaves that a value at that path may be; all of them where it is empty."""
        ...


class Leaf(Type, Protocol):
    """A type without fields."""

    @property
    def plain(self) -> bool:
        """Whether its text stands in the bytes as it is, or it has none."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """The texts that stand in the schema instead of in the bytes."""
        ...


# ---- whole numbers and lengths


def long_at(data: bytes, at: int) -> tuple[int, int]:
    """A long in its variable-length zig-zag form, and the place behind it."""
    byte = data[at]
    at += 1
    whole = byte & 0x7F
    shift = 7
    while byte & 0x80:
        if shift > _MOST_SHIFT:
            raise DamagedError
        byte = data[at]
        at += 1
        whole |= (byte & 0x7F) << shift
        shift += 7
    return (whole >> 1) ^ -(whole & 1), at


def text_in(raw: bytes) -> str:
    """A string; what is no UTF-8 stays as it is."""
    return raw.decode("utf-8", "surrogateescape")


def long_bytes(number: int) -> bytes:
    """A long as Avro writes it."""
    whole = (number << 1) ^ (number >> 63)
    out = bytearray()
    while whole > 0x7F:  # noqa: PLR2004 - what one byte can carry
        out.append(whole & 0x7F | 0x80)
        whole >>= 7
    out.append(whole)
    return bytes(out)


def length_at(data: bytes, at: int) -> tuple[int, int]:
    """A long that may not be negative, and the place behind it."""
    length, at = long_at(data, at)
    if length < 0:
        raise DamagedError
    return length, at


def _taken(data: bytes, at: int, length: int) -> bytes:
    taken = data[at : at + length]
    if len(taken) < length:
        raise DamagedError
    return taken


# ---- leaves


@dataclass(frozen=True, slots=True)
class _Leaf(ABC):
    """What leaves have in common."""

    @property
    def plain(self) -> bool:
        return True

    @property
    def names(self) -> tuple[str, ...]:
        return ()

    @abstractmethod
    def skip(self, data: bytes, at: int) -> int: ...

    @abstractmethod
    def read(self, data: bytes, at: int) -> tuple[Any, int]: ...

    def put(self, new: str | None) -> bytes | None:
        return None

    def find(self, data: bytes, at: int, path: tuple[str, ...]) -> Place | None:
        return None if path else Place(at, self.skip(data, at), self)

    def within(self, path: tuple[str, ...]) -> Iterator[Leaf]:
        if not path:
            yield self


@dataclass(frozen=True, slots=True)
class Null(_Leaf):
    """Nothing, in no bytes."""

    def skip(self, data: bytes, at: int) -> int:
        """As `Type.skip`."""
        return at

    def read(self, data: bytes, at: int) -> tuple[Any, int]:
        """As `Type.read`."""
        return None, at

    def put(self, new: str | None) -> bytes | None:
        """As `Type.put`."""
        return b"" if new is None else None


@dataclass(frozen=True, slots=True)
class Fixed(_Leaf):
    """So many bytes, read by `value`."""

    size_bytes: int
    value: Callable[[bytes], Any]
    spelled: bool = True  # the bytes are those of the text

    @property
    def plain(self) -> bool:
        """As `Leaf.plain`."""
        return self.spelled

    def skip(self, data: bytes, at: int) -> int:
        """As `Type.skip`."""
        return at + self.size_bytes

    def read(self, data: bytes, at: int) -> tuple[Any, int]:
        """As `Type.read`."""
        return self.value(_taken(data, at, self.size_bytes)), at + self.size_bytes


@dataclass(frozen=True, slots=True)
class Long(_Leaf):
    """An int or a long, whose number `value` reads; `back` makes it of a mask's text."""

    value: Callable[[int], Any]
    back: Callable[[str], int | None]
    bits: int

    @property
    def plain(self) -> bool:
        """As `Leaf.plain`."""
        return False

    def skip(self, data: bytes, at: int) -> int:
        """As `Type.skip`."""
        last = at
        while data[last] & 0x80:
            last += 1
        if last > at + _MOST_SHIFT // 7:
            raise DamagedError
        return last + 1

    def read(self, data: bytes, at: int) -> tuple[Any, int]:
        """As `Type.read`."""
        number, at = long_at(data, at)
        return self.value(number), at

    def put(self, new: str | None) -> bytes | None:
        """As `Type.put`."""
        number = None if new is None else self.back(new)
        if number is None or not -(1 << self.bits - 1) <= number < 1 << self.bits - 1:
            return None
        return long_bytes(number)


@dataclass(frozen=True, slots=True)
class Sized(_Leaf):
    """A length and so many bytes, read by `value`: a string, or bytes."""

    value: Callable[[bytes], Any]
    spelled: bool = True  # the bytes are those of the text

    @property
    def plain(self) -> bool:
        """As `Leaf.plain`."""
        return self.spelled

    def skip(self, data: bytes, at: int) -> int:
        """As `Type.skip`."""
        first = data[at]
        if first < 0x80:  # noqa: PLR2004 - a length of one byte
            if first & 1:
                raise DamagedError
            return at + 1 + (first >> 1)
        length, at = length_at(data, at)
        return at + length

    def read(self, data: bytes, at: int) -> tuple[Any, int]:
        """As `Type.read`."""
        length, at = length_at(data, at)
        return self.value(_taken(data, at, length)), at + length

    def put(self, new: str | None) -> bytes | None:
        """As `Type.put`: nothing is the empty text."""
        if not self.spelled:
            return None
        text = (new or "").encode()
        return long_bytes(len(text)) + text


@dataclass(frozen=True, slots=True)
class Enum(_Leaf):
    """One of some names."""

    symbols: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """As `Leaf.names`."""
        return self.symbols

    def skip(self, data: bytes, at: int) -> int:
        """As `Type.skip`."""
        return self.read(data, at)[1]

    def read(self, data: bytes, at: int) -> tuple[Any, int]:
        """As `Type.read`."""
        number, at = length_at(data, at)
        return self.symbols[number], at

    def put(self, new: str | None) -> bytes | None:
        """As `Type.put`."""
        return long_bytes(self.symbols.index(new)) if new in self.symbols else None
