"""What a Parquet file says of itself at its end: schema, row groups, where each column's bytes lie.

In: an object's last bytes. Out: its footer as a structure that may be changed and written again, and
the columns with what their bytes need to be understood. Field numbers are those of parquet.thrift.
Encrypted files are refused by name: nobody can read or rewrite them without their keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

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


@dataclass(frozen=True, slots=True)
class Node:
    """A place in the schema. `defined` is the definition level at which it is not null."""

    name: str
    optional: bool
    repeated: bool
    defined: int
    above: Node | None


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

    @property
    def path(self) -> tuple[str, ...]:
        """The names from the root to the column."""
        names: list[str] = []
        at: Node | None = self.node
        while at is not None:
            names.append(at.name)
            at = at.above
        return tuple(reversed(names))


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
    _refuse_encrypted(meta)
    return Footer(meta, _leaves(meta), start, tail, tail_at)


def chunk_meta(chunk: Struct) -> Struct:
    """The metadata of a column chunk. Raises UnreadableError."""
    found: Struct = chunk.need(3, STRUCT)
    return found


def chunk_range(chunk: Struct, footer_at: int) -> tuple[int, int]:
    """Where a column chunk's pages begin and end. Raises UnreadableError."""
    meta = chunk_meta(chunk)
    start: int = meta.need(9, I64)
    dictionary = meta.get(11, 0)  # some writers say 0, or a place behind, where there is none
    if 0 < dictionary < start:
        start = dictionary
    length: int = meta.need(7, I64)
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
    leaves: list[Leaf] = []
    if not elements:
        raise UnreadableError(DAMAGED)
    at = 1

    def walk(above: Node | None, repeats: int, depth: int) -> None:
        nonlocal at
        if at >= len(elements) or depth > _MAX_DEPTH:
            raise UnreadableError(DAMAGED)
        element = elements[at]
        at += 1
        repetition = element.get(3, _REQUIRED)
        levels = (above.defined if above else 0) + (repetition != _REQUIRED)
        name = element.need(4, BINARY).decode("utf-8", "replace")
        repeated = repetition == _REPEATED
        node = Node(name, repetition == _OPTIONAL, repeated, levels, above)
        repeats += repeated
        children = element.get(5, 0)
        if element.get(1) is None:
            for _ in range(children):
                walk(node, repeats, depth + 1)
            return
        physical = element.need(1, I32)
        width = element.get(2, 0) if physical == FIXED else WIDTHS.get(physical, 0)
        leaves.append(Leaf(len(leaves), node, physical, width, element, levels, repeats))

    for _ in range(elements[0].get(5, 0)):
        walk(None, 0, 0)
    if at != len(elements):
        raise UnreadableError(DAMAGED)
    for group in meta.items(4):
        if len(group.items(1)) != len(leaves):
            raise UnreadableError(DAMAGED)
    return leaves
