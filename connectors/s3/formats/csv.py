"""Records of a CSV object, split at the byte and masked field by field.

In: plain bytes. Out: pieces as in `text`. The standard reader cannot say which bytes a
record came from, and bounds a field's size for the whole process; so the few rules of RFC 4180
stand here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.s3.formats.entries import UnreadableError
from connectors.s3.formats.text import (
    BOM,
    MAX_RECORD_BYTES,
    Piece,
    Text,
    line_blocks,
    lines_of,
    split,
)
from connectors.s3.formats.wanted import Wanted


@dataclass(slots=True)
class CsvEntry:
    """A record of a CSV object; it may span lines inside quotes."""

    raw: bytes
    columns: Mapping[str, int]
    delimiter: bytes

    def value(self, name: str) -> str | None:
        """The field; None where it is null or missing."""
        column = self.columns.get(name)
        fields = _fields(self.raw, self.delimiter)
        if column is None or column >= len(fields):
            return None
        return _unquoted(fields[column]) or None

    def scalars(self) -> Iterator[tuple[str, Any]]:
        """Every text and number with its place."""
        fields = _fields(self.raw, self.delimiter)
        return (
            (name, _unquoted(fields[at])) for name, at in self.columns.items() if at < len(fields)
        )

    def body(self, leave_out: frozenset[str]) -> bytes:
        """The record as JSON, without these fields."""
        fields = _fields(self.raw, self.delimiter)
        document = {
            name: _unquoted(fields[at])
            for name, at in self.columns.items()
            if at < len(fields) and name not in leave_out
        }
        return json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")

    def mark(self) -> bytes:
        """The record's bytes."""
        return self.raw.strip()

    def masked(self, changes: Mapping[str, str | None]) -> bytes:
        """The record with these fields replaced; the rest keeps its bytes' meaning."""
        fields = _fields(self.raw, self.delimiter)
        for name, new in changes.items():
            fields[self.columns[name]] = _quoted(new or "", self.delimiter)
        ending = self.raw[len(self.raw.rstrip(b"\r\n")) :]
        return self.delimiter.join(fields) + ending


def csv(delimiter: str, owners: Sequence[str]) -> Text:
    """CSV with this delimiter, whose header has at least one of these columns."""

    def of(plain: Iterator[bytes], wanted: Wanted | None) -> Iterator[Piece]:
        return pieces(plain, delimiter, owners, wanted)

    return Text(of)


def pieces(
    plain: Iterator[bytes], delimiter: str, owners: Sequence[str], wanted: Wanted | None
) -> Iterator[Piece]:
    """The pieces of a CSV object with a header; quotes as in RFC 4180.

    Raises `UnreadableError` when the header has none of the `owners` columns, or a quote stays
    open.
    """
    needles = None if wanted is None else wanted.needles(whole=False)
    comma = delimiter.encode()
    columns: dict[str, int] | None = None
    first = True
    records = _Records(comma)
    for block in line_blocks(plain):
        rest = block
        if first and rest.startswith(BOM):
            yield BOM
            rest = rest[len(BOM) :]
        first = False
        quiet = columns is not None and not records.open and b'"' not in rest
        if quiet and needles is not None and columns is not None:
            for line, looks in split(rest, needles):
                yield CsvEntry(line, columns, comma) if looks and line.strip() else line
            continue
        for record in records.feed(rest):
            if columns is None:
                columns = _header(record, comma, owners)
                yield record
            elif record.strip():
                yield CsvEntry(record, columns, comma)
            else:
                yield record
    if records.open:
        raise UnreadableError("open-quote")


class _Records:
    """Lines joined to records: a newline inside quotes ends nothing."""

    def __init__(self, comma: bytes) -> None:
        self._comma = comma
        self._held: list[bytes] = []
        self._held_bytes = 0

    @property
    def open(self) -> bool:
        return bool(self._held)

    def feed(self, block: bytes) -> Iterator[bytes]:
        for line in lines_of(block):
            inside = self.open
            if b'"' in line:
                inside = _spans(line, self._comma, inside=inside)[1]
            if not inside:
                yield b"".join((*self._held, line))
                self._held, self._held_bytes = [], 0
                continue
            self._held.append(line)
            self._held_bytes += len(line)
            if self._held_bytes > MAX_RECORD_BYTES:
                raise UnreadableError("record-too-long")


def _header(record: bytes, comma: bytes, owners: Sequence[str]) -> dict[str, int]:
    names = [_unquoted(name).strip() for name in _fields(record, comma)]
    columns: dict[str, int] = {}
    for at, name in enumerate(names):
        columns.setdefault(name, at)
    if not any(owner in columns for owner in owners):
        raise UnreadableError("no-owner-column")
    return columns


def _fields(record: bytes, comma: bytes) -> list[bytes]:
    """The fields of one record, still quoted; joined by the delimiter they are the record again."""
    line = record.rstrip(b"\r\n")
    if b'"' not in line:
        return line.split(comma)
    return [line[start:end] for start, end in _spans(line, comma)[0]]


def _spans(
    line: bytes, comma: bytes, *, inside: bool = False
) -> tuple[list[tuple[int, int]], bool]:
    """Where each field begins and ends, and whether the last is still inside quotes.

    A quote opens only as the first byte of a field; anywhere else it stands for itself. `inside`:
    the line goes on inside a quoted field of the line before.
    """
    spans: list[tuple[int, int]] = []
    start = -1 if inside else 0
    skip_to = 0
    for token in re.finditer(b'["' + re.escape(comma) + b"]", line):
        at = token.start()
        if at < skip_to:
            continue
        if line[at : at + 1] != b'"':
            if not inside:
                spans.append((start, at))
                start = at + 1
        elif not inside:
            inside = at == start
        elif line[at + 1 : at + 2] == b'"':
            skip_to = at + 2
        else:
            inside = False
    spans.append((start, len(line)))
    return spans, inside


def _unquoted(field: bytes) -> str:
    text = field.decode("utf-8", "surrogateescape")
    if not text.startswith('"'):
        return text
    closing = re.match(r'"((?:[^"]|"")*)"', text)
    if closing is None:
        return text[1:].replace('""', '"')
    return closing[1].replace('""', '"') + text[closing.end() :]


def _quoted(text: str, comma: bytes) -> bytes:
    if any(c in text for c in ('"', "\r", "\n", comma.decode())):
        text = '"' + text.replace('"', '""') + '"'
    return text.encode()
