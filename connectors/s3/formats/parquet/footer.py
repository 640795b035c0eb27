"""What a Parquet file says of itself at its end: schema, row groups, where each column's bytes lie.

In: an object's last bytes. Out: its footer as a structure that may be changed and written again,
and the columns with what their bytes need to be understood. Field numbers are parquet.thrift's.
Encrypted files are refused by name: nobody can read or rewrite them without their keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from connectors.s3.formats.content import EACH
from connectors.s3.formats.entries import Source, UnreadableError
from connectors.s3.formats.parquet.thrift import (
    BINARY,
    DAMAGED,
    I32,
    I64,
    LIST,
    STRUCT,
    Struct,
    read_struct,
    told_damaged,
)

MAGIC: Final = b"PAR1"
MAGIC_ENCRYPTED: Final = b"PARE"
ENCRYPTED: Final = "parquet-encrypted"
SIDECAR: Final = "parquet-sidecar"
CUT: Final = "cut-parquet"
TAIL_BYTES: Final = 8
_MIN_BYTES = 12
_MAX_FOOTER_BYTES = 256 * 1024 * 1024
_FIRST_GUESS_BYTES = 64 * 1024
_MAX_DEPTH = 64

BOOLEAN, INT32, INT64, INT96, FLOAT, DOUBLE, BYTE_ARRAY, FIXED = range(8)
WIDTHS: Final = {INT32: 4, INT64: 8, INT96: 12, FLOAT: 4, DOUBLE: 8}
_REQUIRED, _OPTIONAL, _REPEATED = range(3)
_LIST_TYPES = ((3,), 3)  # ConvertedType, LogicalType
_MAP_TYPES = ((1, 2), 2)


@dataclass(frozen=True, slots=True)
class Node:
    """A place in the schema. `defined` is the definition level at which it is not null.

    `plain`: it bears a name of its own; the groups that only make a list or map out of it do not.
    """

    name: str
    optional: bool
    repeated: bool
    defined: int
    above: Node | None
    plain: bool = True
    makes_map: bool = False

    def upwards(self) -> Iterator[Node]:
        """It, and what is above it."""
        at: Node | None = self
        while at is not None:
            yield at
            at = at.above


@dataclass(frozen=True, slots=True)
class Leaf:
    """A column: its place, its physical type, and how deep its levels go."""

    number: int
    node: Node
    physical: int
    width: int  # of a value in bytes; 0 where each has a length of its own, and for booleans
    element: Struct
    max_defined: int
    max_repeated: int

    def at(self, name: str) -> Node | None:
        """The place on its way from the root that a field's name, or a dotted path, means."""
        steps = [node for node in self.node.upwards() if node.plain][::-1]
        if steps[0].name == name:
            return steps[0]
        path = [step for step in steps_of(name) if step != EACH]
        if [node.name for node in steps[: len(path)]] == path:
            return steps[len(path) - 1]
        return None


@dataclass(slots=True)
class Footer:
    """A file's metadata."""

    meta: Struct
    leaves: list[Leaf]
    at: int  # where it begins in the object
    tail: bytes  # the object's last bytes, the footer among them
    tail_at: int

    @property
    def groups(self) -> list[Struct]:
        """The row groups."""
        found: list[Struct] = self.meta.items(4)
        return found


def steps_of(name: str) -> list[str]:
    """A dotted path as its steps. `[]` after a list's name may stand; at the end it is a step."""
    steps = [step.removesuffix(EACH) for step in name.split(".")]
    return [*steps, EACH] if name.endswith(EACH) else steps


def read_footer(source: Source) -> Footer:
    """The footer of an object. Raises UnreadableError where it is cut, damaged or encrypted."""
    size = source.size_bytes
    if size < _MIN_BYTES:
        raise UnreadableError(CUT)
    tail_at = max(0, size - _FIRST_GUESS_BYTES)
    tail = source.read(tail_at, size - tail_at)
    magic = tail[-4:]
    if magic == MAGIC_ENCRYPTED:
        raise UnreadableError(ENCRYPTED)
    length = int.from_bytes(tail[-TAIL_BYTES:-4], "little")
    start = size - TAIL_BYTES - length
    if magic != MAGIC or start < len(MAGIC):
        raise UnreadableError(CUT)
    if length > _MAX_FOOTER_BYTES:
        raise UnreadableError("footer-too-long")
    if start < tail_at:
        tail = source.read(start, tail_at - start) + tail
        tail_at = start
    meta, _ = read_struct(tail[start - tail_at : len(tail) - TAIL_BYTES])
    with told_damaged():
        _refuse_encrypted(meta)
        return Footer(meta, _leaves(meta), start, tail, tail_at)


def chunk_meta(chunk: Struct) -> Struct:
    """The metadata of a column chunk. Raises UnreadableError."""
    found: Struct = chunk.need(3, STRUCT)
    return found


def chunk_range(chunk: Struct, footer_at: int) -> tuple[int, int]:
    """Where a column chunk's pages begin and end. Raises UnreadableError."""
    meta = chunk_meta(chunk)
    # Some writers say 0, or a place behind, where there is no dictionary, and 0 where no data.
    places = [place for place in (meta.need(9, I64), meta.get(11, 0)) if place > 0]
    start: int = min(places, default=0)
    length: int = meta.need(7, I64)
    if not length:  # of a row group without rows
        return len(MAGIC), len(MAGIC)
    if start < len(MAGIC) or length < 0 or start + length > footer_at:
        raise UnreadableError(DAMAGED)
    return start, start + length


def _refuse_encrypted(meta: Struct) -> None:
    if meta.get(8) is not None:
        raise UnreadableError(ENCRYPTED)
    for group in meta.items(4):
        for chunk in group.items(1):
            if chunk.get(8) is not None or chunk.get(9) is not None:
                raise UnreadableError(ENCRYPTED)
            if chunk.get(1):  # a summary of other objects, which hold the rows
                raise UnreadableError(SIDECAR)


def _leaves(meta: Struct) -> list[Leaf]:
    elements: list[Struct] = meta.need(2, LIST).values
    if not elements:
        raise UnreadableError(DAMAGED)
    schema = _Schema(elements)
    for _ in range(elements[0].get(5, 0)):
        schema.walk(None, 0, 0)
    for group in meta.items(4):
        if len(group.items(1)) != len(schema.leaves):
            raise UnreadableError(DAMAGED)
    return schema.leaves


class _Schema:
    """Walks the schema's elements, which stand in order, each before its children."""

    def __init__(self, elements: list[Struct]) -> None:
        self._elements = elements
        self._at = 1
        self.leaves: list[Leaf] = []

    def walk(self, above: Node | None, repeats: int, depth: int, makes: str = "") -> None:
        """Go through one element and those below it. `makes`: what it is part of the making of."""
        if self._at >= len(self._elements) or depth > _MAX_DEPTH:
            raise UnreadableError(DAMAGED)
        element = self._elements[self._at]
        self._at += 1
        node = _node(element, above, makes)
        repeats += node.repeated
        children = element.get(5, 0)
        if element.get(1) is not None:
            self._add(element, node, repeats)
            return
        below = self._making(element, node, makes, children)
        for _ in range(children):
            self.walk(node, repeats, depth + 1, below)

    def _making(self, element: Struct, node: Node, makes: str, children: int) -> str:
        """What the children make: a list out of its elements (LogicalTypes.md, "Nested Types")."""
        if _is(element, _LIST_TYPES):
            return "list"
        if _is(element, _MAP_TYPES):
            return "map"
        above = node.above.name if node.above else ""
        if makes == "list" and children == 1 and node.name not in ("array", f"{above}_tuple"):
            return "element"
        return ""

    def _add(self, element: Struct, node: Node, repeats: int) -> None:
        physical = element.need(1, I32)
        width = element.get(2, 0) if physical == FIXED else WIDTHS.get(physical, 0)
        number = len(self.leaves)
        self.leaves.append(Leaf(number, node, physical, width, element, node.defined, repeats))


def _node(element: Struct, above: Node | None, makes: str) -> Node:
    repetition = element.get(3, _REQUIRED)
    return Node(
        element.need(4, BINARY).decode("utf-8", "replace"),
        repetition == _OPTIONAL,
        repetition == _REPEATED,
        (above.defined if above else 0) + (repetition != _REQUIRED),
        above,
        plain=not makes,
        makes_map=makes == "map",
    )


def _is(element: Struct, types: tuple[tuple[int, ...], int]) -> bool:
    logical = element.get(10)
    named = isinstance(logical, Struct) and types[1] in logical.fields
    return named or element.get(6) in types[0]
