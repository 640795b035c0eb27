"""Records of an NDJSON object: one JSON object a line, parsed exactly, only where it may matter.

In: plain bytes. Out: pieces as in `text`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import orjson

from connectors.s3.formats.content import Pairs, is_deep, scalars_in, value_at, without
from connectors.s3.formats.entries import Broken, Several, UnreadableError
from connectors.s3.formats.json_scanner import run_before, run_of
from connectors.s3.formats.text import BOM, Looked, Piece, Text, split, whole_lines
from connectors.s3.formats.wanted import Wanted

_LEVELS = 400  # of objects and lists in each other: whoever walks through more runs out of stack
_WRITTEN_LEVELS = 253  # what the writer takes
_MAY_BE_ROUNDED = (float, Several)


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
        found = _value(self.document, name) if "[]" in name else value_at(self.document, name)
        if isinstance(found, _MAY_BE_ROUNDED) and _is_rounded(
            found
        ):  # the quick parser makes floats of whole numbers over 64 bits
            exact = json.loads(_lenient(self.raw, self.encoding), parse_float=Spelled)
            return _value(exact, name)
        return found

    def scalars(self) -> Iterator[tuple[str, Any]]:
        """Every text and number with its place, also those that a field of the same name hides."""
        text = _lenient(self.raw, self.encoding)
        return scalars_in(json.loads(text, object_pairs_hook=Pairs))

    def body(self, leave_out: frozenset[str]) -> bytes:
        """The record as JSON, without these fields; what JSON has no number for as a text."""
        text = self.raw.decode(self.encoding, "replace")
        try:
            shown = _json(without(json.loads(text), leave_out))
        except ValueError:
            numbers = json.loads(text, parse_float=_finite, parse_constant=str)
            shown = _json(without(numbers, leave_out))
        return shown.encode("utf-8", "replace")

    def mark(self) -> bytes:
        """The line."""
        return self.raw.strip()

    def masked(self, changes: Mapping[str, str | None]) -> bytes:
        """The record with these fields replaced; the rest keeps its bytes' meaning."""
        document = json.loads(
            _lenient(self.raw, self.encoding),
            parse_float=_as_written,
            parse_int=_as_written,
            parse_constant=_as_written,
        )
        for name, new in changes.items():
            if "[]" in name:
                raise UnreadableError("mask-within-a-list")
            for holder, place in _places(document, name):
                holder[place] = new
        if _may_be_deep(self.raw) and is_deep(document, _WRITTEN_LEVELS):
            raise UnreadableError("nested-too-deep")
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

    def of(plain: Iterator[bytes], wanted: Wanted | None) -> Iterator[list[Piece]]:
        return pieces(plain, wanted, encoding)

    return Text(of)


def pieces(
    plain: Iterator[bytes], wanted: Wanted | None, encoding: str = "utf-8"
) -> Iterator[list[Piece]]:
    """The pieces of an NDJSON object. Raises UnreadableError where a record does not end."""
    needles = None if wanted is None else wanted.json_needles(encoding)
    offset = 0
    for lines in whole_lines(plain, _whole_bytes):
        block: list[Piece] = []
        at = lines.start
        if offset == 0 and lines.data.startswith(BOM):
            block.append(BOM)
            at = offset = len(BOM)
        for part, looks in split(lines._replace(start=at), needles):
            piece = json_piece(bytes(part), offset, encoding) if looks else part
            if isinstance(piece, Broken):
                block.extend(_several(piece.raw, offset, encoding) or (piece,))
            else:
                block.append(piece)
            offset += len(part)
        yield block


def json_piece(raw: bytes, offset: int, encoding: str) -> Looked:
    """The record that these bytes are, or what else they are; `offset` is where they stand."""
    document = _parsed(raw, encoding)
    if isinstance(document, dict) and not (_may_be_deep(raw) and is_deep(document, _LEVELS)):
        return JsonEntry(raw, document, encoding)
    return Broken(raw, offset) if raw.strip() else raw


def is_record_line(raw: bytes, encoding: str) -> bool:
    """Whether a line is one record, or several."""
    piece = json_piece(raw, 0, encoding)
    return isinstance(piece, JsonEntry) or bool(_several(raw, 0, encoding))


def _whole_bytes(line: bytes) -> int:
    """How many of the first bytes of a line are whole records; 0 where they seem to be none."""
    run = run_before(line, 0, b"}{", commas=False)
    return len(run.data) if run is not None else 0


def _several(raw: bytes, offset: int, encoding: str) -> list[Piece]:
    """The records that follow each other on a line, with what stands between; empty if none do.

    A byte order mark may stand before them, where objects were put together.
    """
    found: list[Piece] = [BOM] if raw.startswith(BOM) else []
    at = len(BOM) if found else 0
    run = run_of(raw[at:], commas=False)
    bounds = [] if run is None else [(at + start, at + end) for start, end in run.bounds()]
    for start, end in bounds:
        entry = json_piece(raw[start:end], offset + start, encoding)
        if not isinstance(entry, JsonEntry):
            return []
        if start > at:
            found.append(raw[at:start])
        found.append(entry)
        at = end
    return [] if not bounds or raw[at:].strip() else [*found, raw[at:]]


def _parsed(raw: bytes, encoding: str) -> Any:
    """A value of JSON, leniently; None where it is none."""
    try:
        return orjson.loads(raw if encoding == "utf-8" else _lenient(raw, encoding))
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        try:
            return json.loads(_lenient(raw, encoding))
        except (ValueError, RecursionError):
            return None


def _may_be_deep(raw: bytes) -> bool:
    """Whether what was parsed from these bytes may be deep: each level takes two of them."""
    return len(raw) > 2 * _WRITTEN_LEVELS and raw.count(b"[") + raw.count(b"{") > _WRITTEN_LEVELS


def _lenient(raw: bytes, encoding: str) -> str:
    return raw.decode(encoding, "surrogateescape")


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, allow_nan=False)


def _finite(spelled: str) -> float | str:
    number = float(spelled)
    return number if math.isfinite(number) else spelled


def _as_written(number: str) -> orjson.Fragment:
    return orjson.Fragment(number)


def _value(document: dict[str, Any], name: str) -> Any:
    if "[]" in name:
        return Several(holder[place] for holder, place in _places(document, name))
    return value_at(document, name)


def _is_rounded(value: Any) -> bool:
    if isinstance(value, Several):
        return any(isinstance(element, float) for element in value)
    return isinstance(value, float)


def _places(document: dict[str, Any], name: str) -> list[tuple[Any, Any]]:
    """Where a field stands, in order: the object or list that holds it, and its name or index."""
    if name in document:
        return [(document, name)]
    return list(_places_below(document, name.split(".")))


def _places_below(value: Any, path: list[str]) -> Iterator[tuple[Any, Any]]:
    name, *behind = path
    leaf = name.removesuffix("[]")
    if not isinstance(value, dict) or leaf not in value:
        return
    holder: Any = value
    places: Sequence[Any] = (leaf,)
    if leaf != name:
        holder = value[leaf] if isinstance(value[leaf], list) else []
        places = range(len(holder))
    for place in places:
        if behind:
            yield from _places_below(holder[place], behind)
        else:
            yield holder, place
