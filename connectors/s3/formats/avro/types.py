"""The types of Avro that have parts: records, unions, arrays and maps.

In: the bytes of a block, a place in them, a path. Out: as in `leaves`. A path goes through records
and maps by name and through unions into what was chosen; into arrays it does not lead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors.s3.formats.avro.leaves import (
    DamagedError,
    Enum,
    Leaf,
    Null,
    Place,
    Sized,
    Type,
    length_at,
    long_at,
    long_bytes,
    text_in,
)

_FEW_ITEMS = 1 << 16  # so many values without any bytes are believed


@dataclass(slots=True)
class Record:
    """Fields by name, one behind the other. Filled after it is made: it may contain itself."""

    fields: dict[str, Type] = field(default_factory=dict)
    skips: tuple[Callable[[bytes, int], int], ...] = ()

    def fill(self, fields: Mapping[str, Type]) -> None:
        """Give it its fields."""
        self.fields.update(fields)
        self.skips = tuple(kind.skip for kind in fields.values())

    def skip(self, data: bytes, at: int) -> int:
        """As `Type.skip`."""
        for skip in self.skips:
            at = skip(data, at)
        return at

    def read(self, data: bytes, at: int) -> tuple[Any, int]:
        """As `Type.read`."""
        found: dict[str, Any] = {}
        for name, kind in self.fields.items():
            found[name], at = kind.read(data, at)
        return found, at

    def find(self, data: bytes, at: int, path: tuple[str, ...]) -> Place | None:
        """As `Type.find`."""
        if not path:
            return Place(at, self.skip(data, at), self)
        for name, kind in self.fields.items():
            if name == path[0]:
                return kind.find(data, at, path[1:])
            at = kind.skip(data, at)
        return None

    def put(self, new: str | None) -> bytes | None:
        """As `Type.put`."""
        return None

    def within(self, path: tuple[str, ...]) -> Iterator[Leaf]:
        """As `Type.within`."""
        if path:
            if path[0] in self.fields:
                yield from self.fields[path[0]].within(path[1:])
            return
        seen: list[Record] = [self]
        for record in seen:
            for kind in record.fields.values():
                for inner in _parts(kind):
                    if not isinstance(inner, Record):
                        yield from inner.within(())
                    elif not any(inner is known for known in seen):
                        seen.append(inner)


def _parts(kind: Type) -> Iterator[Type]:
    """What a type is made of, without going into records: those may contain themselves."""
    match kind:
        case Union():
            for branch in kind.branches:
                yield from _parts(branch)
        case Items():
            yield from _parts(kind.items)
        case _:
            yield kind


@dataclass(frozen=True, slots=True)
class Union:
    """One of several types."""

    branches: tuple[Type, ...]

    def _branch(self, data: bytes, at: int) -> tuple[Type, int]:
        number, at = length_at(data, at)
        return self.branches[number], at

    def skip(self, data: bytes, at: int) -> int:
        """As `Type.skip`."""
        branch, at = self._branch(data, at)
        return branch.skip(data, at)

    def read(self, data: bytes, at: int) -> tuple[Any, int]:
        """As `Type.read`."""
        branch, at = self._branch(data, at)
        return branch.read(data, at)

    def find(self, data: bytes, at: int, path: tuple[str, ...]) -> Place | None:
        """As `Type.find`: the span holds the choice as well."""
        branch, behind = self._branch(data, at)
        if path:
            return branch.find(data, behind, path)
        return Place(at, branch.skip(data, behind), self)

    def put(self, new: str | None) -> bytes | None:
        """As `Type.put`: null before what stands for it, texts before what they may spell."""
        order = (Null,) if new is None else (Sized, Enum)
        ranked = sorted(enumerate(self.branches), key=lambda b: not isinstance(b[1], order))
        for number, branch in ranked:
            written = branch.put(new)
            if written is not None:
                return long_bytes(number) + written
        return None

    def within(self, path: tuple[str, ...]) -> Iterator[Leaf]:
        """As `Type.within`."""
        for branch in self.branches:
            yield from branch.within(path)


@dataclass(frozen=True, slots=True)
class Items:
    """An array, or with `named` a map: in blocks of items, of which an empty one is the last."""

    items: Type
    named: bool

    def skip(self, data: bytes, at: int) -> int:
        """As `Type.skip`: by every item, also where a block tells its size, so that all is seen."""
        while count := self._count(data, at):
            items, at = count
            at = self._skip_items(data, at, items)
        return at + 1  # the empty block is one byte

    def read(self, data: bytes, at: int) -> tuple[Any, int]:
        """As `Type.read`."""
        names: list[str] = []
        values: list[Any] = []
        while count := self._count(data, at):
            items, at = count
            for _ in range(items):
                if self.named:
                    name, at = _NAME.read(data, at)
                    names.append(name)
                value, at = self.items.read(data, at)
                values.append(value)
        return (dict(zip(names, values, strict=True)) if self.named else values), at + 1

    def find(self, data: bytes, at: int, path: tuple[str, ...]) -> Place | None:
        """As `Type.find`: of two entries of one name the last, which is the one that is read."""
        if not path:
            return Place(at, self.skip(data, at), self)
        found: Place | None = None
        while self.named and (count := self._count(data, at)):
            items, at = count
            for _ in range(items):
                name, at = _NAME.read(data, at)
                if name == path[0]:
                    found = self.items.find(data, at, path[1:])
                at = self.items.skip(data, at)
        return found

    def put(self, new: str | None) -> bytes | None:
        """As `Type.put`: nothing is an empty one."""
        return b"\0" if new is None else None

    def within(self, path: tuple[str, ...]) -> Iterator[Leaf]:
        """As `Type.within`."""
        if not path:
            yield from self.items.within(())
        elif self.named:
            yield from self.items.within(path[1:])

    def _skip_items(self, data: bytes, at: int, count: int) -> int:
        for _ in range(count):
            start = at
            if self.named:
                at = _NAME.skip(data, at)
            at = self.items.skip(data, at)
            if at == start:
                break  # items without bytes
        return at

    def _count(self, data: bytes, at: int) -> tuple[int, int] | None:
        """How many items the block at `at` has, and where they start; None behind the last."""
        count, at = long_at(data, at)
        if count < 0:
            _, at = length_at(data, at)
            count = -count
        if count > len(data) + _FEW_ITEMS:
            raise DamagedError
        return (count, at) if count else None


_NAME = Sized(text_in)
