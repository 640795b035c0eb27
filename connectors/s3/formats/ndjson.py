"""Records of an NDJSON object: one JSON object a line, parsed exactly, only where it may matter.

In: plain bytes. Out: pieces as in `text`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import orjson

from connectors.s3.formats.content import parent_of, scalars_in, value_at, without
from connectors.s3.formats.entries import Broken, Several, UnreadableError
from connectors.s3.formats.text import BOM, Piece, Text, line_blocks, split
from connectors.s3.formats.wanted import Wanted


class Spelled(float):
    """A number with the digits it was written in."""

    __slots__ = ("spelled",)

    def __new__(cls, spelled: str) -> Self:
        """Make it of its digits."""
        number = super().__new__(cls, spelled)
        number.spelled = spelled
        return number

    spelled: str


@dataclass(slots=True)
class JsonEntry:
    """One JSON object. A field is a top-level name, or a dotted path into objects.

    A name with `[]` behind one of its parts (`people[].id`) goes into every element of a list, and
    has a list of values.
    """

    raw: bytes
    document: dict[str, Any]
    encoding: str = "utf-8"

    def value(self, name: str) -> Any:
        """The field; None where it is null or missing."""
        if "[]" in name:
            return Several(_each(self.document, name.split(".")))
        found = value_at(self.document, name)
        if isinstance(found, float):  # the quick parser makes floats of whole numbers over 64 bits
            return value_at(
                json.loads(_lenient(self.raw, self.encoding), parse_float=Spelled), name
            )
        return found

    def scalars(self) -> Iterator[tuple[str, Any]]:
        """Every text and number with its place."""
        return scalars_in(self.document)

    def body(self, leave_out: frozenset[str]) -> bytes:
        """The record as JSON, without these fields."""
        document = without(json.loads(self.raw.decode(self.encoding, "replace")), leave_out)
        return json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")

    def mark(self) -> bytes:
        """The line."""
        return self.raw.strip()

    def masked(self, changes: Mapping[str, str | None]) -> bytes:
        """The record with these fields replaced; the rest keeps its bytes' meaning."""
        document = json.loads(
            _lenient(self.raw, self.encoding), parse_float=_as_written, parse_int=_as_written
        )
        for name, new in changes.items():
            if "[]" in name:
                raise UnreadableError("mask-within-a-list")
            parent, leaf = parent_of(document, name)
            if parent is not None:
                parent[leaf] = new
        ending = self.raw[len(self.raw.rstrip(b"\r\n")) :]
        try:
            written = orjson.dumps(document)
            if self.encoding != "utf-8":
                written = written.decode().encode(self.encoding)
        except (orjson.JSONEncodeError, UnicodeEncodeError):
            raise UnreadableError(f"not-{self.encoding}") from None
        return written + ending


def ndjson(encoding: str = "utf-8") -> Text:
    """NDJSON in this encoding."""

    def of(plain: Iterator[bytes], wanted: Wanted | None) -> Iterator[Piece]:
        return pieces(plain, wanted, encoding)

    return Text(of)


def pieces(
    plain: Iterator[bytes], wanted: Wanted | None, encoding: str = "utf-8"
) -> Iterator[Piece]:
    """The pieces of an NDJSON object.

    Raises `UnreadableError` when no line at all is a JSON object.
    """
    needles = None if wanted is None else wanted.json_needles(encoding)
    offset = 0
    good = broken = 0
    for block in line_blocks(plain):
        rest = block
        if offset == 0 and rest.startswith(BOM):
            yield BOM
            rest, offset = rest[len(BOM) :], len(BOM)
        for part, looks in split(rest, needles):
            piece = json_piece(part, offset, encoding) if looks else part
            good += not looks or isinstance(piece, JsonEntry)
            broken += isinstance(piece, Broken)
            yield piece
            offset += len(part)
    if broken and not good:
        raise UnreadableError("not-ndjson")


def json_piece(raw: bytes, offset: int, encoding: str) -> Piece:
    """The record that these bytes are, or what else they are; `offset` is where they stand."""
    document = parsed(raw, encoding)
    if isinstance(document, dict):
        return JsonEntry(raw, document, encoding)
    return Broken(raw, offset) if raw.strip() else raw


def parsed(raw: bytes, encoding: str) -> Any:
    """A value of JSON, leniently; None where it is none."""
    try:
        return orjson.loads(raw if encoding == "utf-8" else _lenient(raw, encoding))
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        try:
            return json.loads(_lenient(raw, encoding))
        except (ValueError, RecursionError):
            return None


def _lenient(raw: bytes, encoding: str) -> str:
    return raw.decode(encoding, "surrogateescape")


def _as_written(number: str) -> orjson.Fragment:
    return orjson.Fragment(number)


def _each(value: Any, path: list[str]) -> Iterator[Any]:
    if not path:
        yield value
        return
    inner = value.get(path[0].removesuffix("[]")) if isinstance(value, dict) else None
    if not path[0].endswith("[]"):
        yield from _each(inner, path[1:])
        return
    for element in inner if isinstance(inner, list) else ():
        yield from _each(element, path[1:])
