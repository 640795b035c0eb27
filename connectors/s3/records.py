"""Records inside a shared object: split without changing a byte, parsed exactly.

In: blocks of bytes as they come. Out: in order, pieces that together are the object again: bytes
that nobody needs to look at, parsed entries, and entries that could not be parsed. A writer that
emits every piece's `raw` reproduces the object byte for byte.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from .needles import Needles

BOM = b"\xef\xbb\xbf"
MAX_RECORD_BYTES = 16 * 1024 * 1024


class UnreadableError(Exception):
    """The object is not what the map says; `reason` is a fixed word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Entry(Protocol):
    """One record."""

    raw: bytes

    def value(self, name: str) -> Any:
        """A field; None where it is null or missing."""
        ...

    def scalars(self) -> Iterator[tuple[str, Any]]:
        """Every text and number with the path of its place."""
        ...

    def body(self, leave_out: frozenset[str]) -> bytes:
        """The record as a JSON object in UTF-8 without newlines."""
        ...

    def masked(self, changes: Mapping[str, str | None]) -> bytes:
        """The record's bytes with these fields replaced."""
        ...


@dataclass(frozen=True, slots=True)
class Broken:
    """A line that is not a record. It stays as it is and is reported where it names a subject."""

    raw: bytes
    at_byte: int


Piece = bytes | Entry | Broken


def text_of(value: object) -> str | None:
    """A value as the text of an identity: strings and whole numbers have one, nothing else does.

    `1` and `"1"` are the same text; `1.0`, `true`, lists and objects name nobody.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None


def key_text(value: object) -> str:
    """A value as one part of a record's key; empty where it is null or missing."""
    text = text_of(value)
    if text is not None:
        return text
    return "" if value is None else json.dumps(value, sort_keys=True, default=str)


# ---- lines


def line_blocks(plain: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in blocks that end with a newline; the last may not."""
    held: list[bytes] = []
    held_bytes = 0
    for piece in plain:
        end = piece.rfind(b"\n") + 1
        if end:
            yield b"".join((*held, piece[:end]))
            held, held_bytes = [], 0
        if end < len(piece):
            held.append(piece[end:])
            held_bytes += len(piece) - end
            if held_bytes > MAX_RECORD_BYTES:
                raise UnreadableError("record-too-long")
    if held:
        yield b"".join(held)


# ---- NDJSON


@dataclass(slots=True)
class JsonEntry:
    """A line with one JSON object. A field is a top-level name, or a dotted path into objects."""

    raw: bytes
    document: dict[str, Any]

    def value(self, name: str) -> Any:
        """The field; None where it is null or missing."""
        found = _at(self.document, name)
        if isinstance(found, float):  # the quick parser makes floats of whole numbers over 64 bits
            return _at(json.loads(_lenient(self.raw)), name)
        return found

    def scalars(self) -> Iterator[tuple[str, Any]]:
        """Every text and number with its place."""
        return _scalars(self.document, "")

    def body(self, leave_out: frozenset[str]) -> bytes:
        """The record as JSON, without these fields."""
        document = json.loads(self.raw.decode("utf-8", "replace"))
        for name in leave_out:
            parent, leaf = _parent(document, name)
            if parent is not None:
                parent.pop(leaf, None)
        return json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")

    def masked(self, changes: Mapping[str, str | None]) -> bytes:
        """The record with these fields replaced; the rest keeps its bytes' meaning."""
        document = json.loads(_lenient(self.raw), parse_float=_as_written, parse_int=_as_written)
        for name, new in changes.items():
            parent, leaf = _parent(document, name)
            if parent is not None:
                parent[leaf] = new
        ending = self.raw[len(self.raw.rstrip(b"\r\n")) :]
        try:
            return orjson.dumps(document) + ending
        except orjson.JSONEncodeError:
            raise UnreadableError("not-utf-8") from None


def split(block: bytes, needles: Needles | None) -> Iterator[tuple[bytes, bool]]:
    """Lines to look at one by one, and what lies between them; whether it is one to look at."""
    if needles is None:
        yield from ((line, True) for line in lines_of(block))
        return
    at = 0
    for start, end in needles.lines(block):
        if start > at:
            yield block[at:start], False
        yield block[start:end], True
        at = end
    if at < len(block):
        yield block[at:], False


def ndjson(blocks: Iterator[bytes], needles: Needles | None) -> Iterator[Piece]:
    """The pieces of an NDJSON object; what `needles` do not find passes as it is.

    Raises `UnreadableError` when no line at all is a JSON object.
    """
    offset = 0
    good = broken = 0
    for block in blocks:
        rest = block
        if offset == 0 and rest.startswith(BOM):
            yield BOM
            rest, offset = rest[len(BOM) :], len(BOM)
        for part, looks in split(rest, needles):
            piece = _json_piece(part, offset) if looks else part
            good += not looks or isinstance(piece, JsonEntry)
            broken += isinstance(piece, Broken)
            yield piece
            offset += len(part)
    if broken and not good:
        raise UnreadableError("not-ndjson")


def lines_of(block: bytes) -> list[bytes]:
    """Lines by newline alone: a carriage return inside a line ends nothing."""
    if b"\r" not in block:
        return block.splitlines(keepends=True)
    lines = [line + b"\n" for line in block.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def _json_piece(line: bytes, offset: int) -> Piece:
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError:
        if not line.strip():
            return line
        try:
            document = json.loads(_lenient(line))
        except ValueError:
            return Broken(line, offset)
    return JsonEntry(line, document) if isinstance(document, dict) else Broken(line, offset)


def _lenient(line: bytes) -> str:
    return line.decode("utf-8", "surrogateescape")


def _as_written(number: str) -> orjson.Fragment:
    return orjson.Fragment(number)


def _parent(document: dict[str, Any], name: str) -> tuple[dict[str, Any] | None, str]:
    if name in document:
        return document, name
    *path, leaf = name.split(".")
    at: Any = document
    for step in path:
        at = at.get(step) if isinstance(at, dict) else None
    return (at, leaf) if isinstance(at, dict) and leaf in at else (None, leaf)


def _at(document: dict[str, Any], name: str) -> Any:
    parent, leaf = _parent(document, name)
    return None if parent is None else parent[leaf]


def _scalars(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _scalars(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for inner in value:
            yield from _scalars(inner, path)
    elif value is not None:
        yield path, value
