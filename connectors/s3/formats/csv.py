"""Records of a CSV object of any dialect, split at the byte and masked field by field.

In: plain bytes. Out: pieces as in `text`. Where every quote opens or closes a whole field, as
nearly always, bytes are searched and quotes counted, also inside records of many lines; where one
does not, the record around it is read sign by sign.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any

from connectors.s3.formats.csv_dialect import Dialect
from connectors.s3.formats.entries import Broken, UnreadableError
from connectors.s3.formats.field_needles import Asked, Numbers, Spelling
from connectors.s3.formats.needles import Literals, Needles, are_literal, in_bytes
from connectors.s3.formats.text import BOM, MAX_RECORD_BYTES, Looked, Text, raw_of
from connectors.s3.formats.wanted import Wanted

_TELLING_BYTES = 64 * 1024  # by then a newline has come, if lines end with one
_Columns = Mapping[str, tuple[int, ...]]  # where a name stands in the header: nearly always once


@dataclass(slots=True)
class CsvEntry:
    """A record of a CSV object; it may span lines inside quotes.

    Of several columns with one name the first says whose it is; the others are shown and masked
    with it.
    """

    raw: bytes
    columns: _Columns
    dialect: Dialect
    _split: list[bytes] = field(default_factory=list, compare=False, repr=False)

    def value(self, name: str) -> str | None:
        """The field; None where it is null or missing."""
        for column in self.columns.get(name, ())[:1]:
            fields = self._fields()
            if column < len(fields):
                return self.dialect.text(fields[column]) or None
        return None

    def scalars(self) -> Iterator[tuple[str, Any]]:
        """Every text and number with its place."""
        fields = self._fields()
        for name, columns in self.columns.items():
            for column in columns:
                text = self.dialect.text(fields[column]) if column < len(fields) else None
                if text is not None:
                    yield name, text

    def body(self, leave_out: frozenset[str]) -> bytes:
        """The record as JSON, without these fields; a list where columns share a name."""
        document: dict[str, Any] = {}
        for name, text in self.scalars():
            if name not in leave_out:
                several = len(self.columns[name]) > 1
                document[name] = [*document.get(name, ()), text] if several else text
        return json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")

    def mark(self) -> bytes:
        """The record's bytes."""
        return self.raw.strip()

    def masked(self, changes: Mapping[str, str | None]) -> bytes:
        """The record with these fields replaced; the rest keeps its bytes' meaning."""
        fields = list(self._fields())
        for name, new in changes.items():
            for column in self.columns[name]:
                if column < len(fields):
                    fields[column] = self.dialect.field(new or "")
        return self.dialect.delimiter.join(fields) + self.dialect.ending(self.raw)

    def _fields(self) -> list[bytes]:
        if not self._split:
            self._split = self.dialect.fields(self.raw)
        return self._split


def csv(dialect: Dialect, owners: Sequence[str]) -> Text:
    """CSV in this dialect with at least one of these columns."""

    def of(plain: Iterator[bytes], wanted: Wanted | None) -> Iterator[list[Looked]]:
        return pieces(plain, dialect, owners, wanted)

    return Text(of)


def pieces(
    plain: Iterator[bytes], dialect: Dialect, owners: Sequence[str], wanted: Wanted | None
) -> Iterator[list[Looked]]:
    """The pieces of a CSV object.

    Raises `UnreadableError` when there is none of the `owners` columns, when the header is not
    what the map says, or a quote stays open.
    """
    reader: _Reader | None = None
    at, held = 0, b""
    gathered: list[bytes] = []
    for piece, final in chain(((piece, False) for piece in plain), ((b"", True),)):
        gathered.append(piece)
        if not final and sum(map(len, gathered)) < len(held):
            continue  # as many again as are held: a long record is not read too often
        data, gathered = b"".join((held, *gathered)), []
        held = data
        if reader is None:
            surely = final or len(data) >= _TELLING_BYTES
            ended = dialect.as_ended(data.removeprefix(BOM), surely=surely)
            if ended is None:
                continue
            reader = _Reader(ended, owners, wanted)
            if data.startswith(BOM):
                yield [BOM]
                data, at = data[len(BOM) :], len(BOM)
        block = list(reader.read(data, at, final=final))
        used = sum(len(raw_of(piece)) for piece in block)
        yield block
        held, at = data[used:], at + used
        if len(held) > MAX_RECORD_BYTES:
            raise UnreadableError("record-too-long")


class _Reader:
    """Cuts bytes into pieces; what it does not use is to come again, with more behind it."""

    def __init__(self, dialect: Dialect, owners: Sequence[str], wanted: Wanted | None) -> None:
        self._dialect = dialect
        self._owners = owners
        self._wanted = wanted
        self._columns: _Columns | None = None
        self._needles: _CsvNeedles | None = None

    def read(self, data: bytes, at: int, *, final: bool) -> Iterator[Looked]:
        """The pieces at the start of `data`, which stands at `at` of the object."""
        pos = 0
        while self._columns is None and pos < len(data):
            end = self._end(data, pos, final=final)
            if end < 0:
                return
            record = data[pos:end]
            if not record.strip() or self._is_comment(record):
                yield record
            else:
                shows = self._showing(data, pos, end, final=final)
                if shows is None and not final and len(data) < _TELLING_BYTES:
                    return
                self._columns = _columns(shows or record, self._dialect, self._owners)
                self._needles = _csv_needles(self._wanted, self._dialect, self._columns)
                if not self._dialect.header:
                    break
                yield record
            pos = end
        if self._columns is not None:
            yield from self._records(data, pos, at, final=final)

    def _showing(self, data: bytes, pos: int, end: int, *, final: bool) -> bytes | None:
        """The record that shows the columns: the header, or the first at hand that has them all.

        Without a header a short one may be the first by now, since those before it were erased.
        """
        while not self._dialect.header:
            record = data[pos:end]
            fits = len(self._dialect.fields(record)) == len(self._dialect.columns)
            if fits and not self._is_comment(record):
                break
            pos = end
            end = self._end(data, pos, final=final) if pos < len(data) else -1
            if end < 0:
                return None
        return data[pos:end]

    def _records(self, data: bytes, pos: int, at: int, *, final: bool) -> Iterator[Looked]:
        by_signs = self._dialect.needs_signs(data)
        while pos < len(data):
            end = pos if by_signs else self._regular_end(data, pos, final=final)
            if end > pos:
                yield from self._regular(data, pos, end, at)
            else:
                end = self._end(data, pos, final=final)
                if end < 0:
                    return
                yield self._piece(data[pos:end], at + pos)
            pos = end

    def _end(self, data: bytes, pos: int, *, final: bool) -> int:
        end = self._dialect.record_end(data, pos)
        if end >= 0 or not final:
            return end
        if self._dialect.is_open(data, pos):
            raise UnreadableError("open-quote")
        return len(data)

    def _regular_end(self, data: bytes, pos: int, *, final: bool) -> int:
        """Up to where whole records lie whose quotes can be counted."""
        dialect = self._dialect
        regular = dialect.regular_until(data, pos)
        quote = data.find(dialect.quote, regular) if dialect.quote else -1
        if quote >= 0:
            return dialect.start_before(data, pos, quote, inside=False)
        if final:
            return len(data)
        newline = data.rfind(dialect.newline, regular)
        if newline >= 0:
            return newline + 1
        return dialect.start_before(data, pos, regular, inside=False)

    def _regular(self, data: bytes, start: int, end: int, at: int) -> Iterator[Looked]:
        """Records of a region whose quotes can be counted."""
        done, counted, quotes = start, start, 0
        for place in self._places(data, start, end):
            if place < done:
                continue
            quotes += self._dialect.quotes(data, counted, place)
            counted, inside = place, quotes % 2 == 1
            first = self._dialect.start_before(data, done, place, inside=inside)
            if self._needles is not None and self._needles.are_elsewhere(data, first, place):
                continue
            beyond = self._dialect.end_after(data, place, end, inside=inside)
            if first > done:
                yield data[done:first]
            yield self._piece(data[first:beyond], at + first)
            done = counted = beyond
            quotes = 0
        if done < end:
            yield data[done:end]

    def _places(self, data: bytes, start: int, end: int) -> Iterable[int]:
        if self._needles is not None:
            return self._needles.places(data, start, end)
        return self._starts(data, start, end)

    def _starts(self, data: bytes, start: int, end: int) -> Iterator[int]:
        while start < end:
            yield start
            start = self._dialect.end_after(data, start, end, inside=False)

    def _piece(self, record: bytes, at: int) -> Looked:
        if not record.strip() or self._columns is None:
            return record
        if self._is_comment(record):
            return Broken(record, at)
        return CsvEntry(record, self._columns, self._dialect)

    def _is_comment(self, record: bytes) -> bool:
        return bool(self._dialect.comment) and record.startswith(self._dialect.comment)


def _columns(record: bytes, dialect: Dialect, owners: Sequence[str]) -> _Columns:
    names = [(dialect.text(name) or "").strip() for name in dialect.fields(record)]
    if dialect.columns:
        stated = list(dialect.columns)
        if not dialect.header and names == stated:
            raise UnreadableError("unexpected-header")
        if len(names) != len(stated) or (dialect.header and names != stated):
            raise UnreadableError("other-columns")
        names = stated
    columns: dict[str, tuple[int, ...]] = {}
    for at, name in enumerate(names):
        columns[name] = (*columns.get(name, ()), at)
    if not any(owner in columns for owner in owners):
        raise UnreadableError("no-owner-column")
    return columns


# ---- the pre-filter


class _CsvNeedles:
    """Finds values in CSV; where `columns` are given, only as the whole of one of these fields."""

    def __init__(self, needles: Needles, dialect: Dialect, columns: frozenset[int] | None) -> None:
        self._needles = needles
        self._dialect = dialect
        self._columns = columns
        self._before = (dialect.delimiter[0], dialect.newline[0])

    def places(self, data: bytes, start: int, end: int) -> list[int]:
        """Where in a range of whole records a value stands that could be meant."""
        newline = self._dialect.newline
        block = newline + data[start:end] + newline
        found = self._needles.places(block)
        if self._columns is None:
            return [max(start, min(end - 1, start + at - 1)) for at in found]
        return [start + at - (block[at] not in self._before) for at in found]

    def are_elsewhere(self, data: bytes, record: int, at: int) -> bool:
        """Whether the field at `at` is told by counting to be none of the columns."""
        if self._columns is None or self._dialect.quotes(data, record, at):
            return False
        return data.count(self._dialect.delimiter, record, at) not in self._columns


def _csv_needles(wanted: Wanted | None, dialect: Dialect, columns: _Columns) -> _CsvNeedles | None:
    if wanted is None:
        return None
    return wanted.made((dialect, *columns.items()), partial(_made, wanted, dialect, columns))


def _made(wanted: Wanted, dialect: Dialect, columns: _Columns) -> _CsvNeedles | None:
    special = "".join(sign.decode("latin-1") for sign in (dialect.quote, dialect.escape))
    special += "\r\n" + ("" if dialect.quote else dialect.delimiter.decode("latin-1"))
    if not wanted.sound or not are_literal(wanted.values, special):
        return None
    escapes = [dialect.escape] if dialect.escape else []
    whole = wanted.asked and all(one.spelling is Spelling.EXACT for one in wanted.asked)
    if not whole:
        spelled = filter(None, (in_bytes(value, dialect.encoding) for value in wanted.values))
        literals = Literals(
            spelled, folded=not wanted.exact, escapes=escapes, encoding=dialect.encoding
        )
        return _CsvNeedles(literals, dialect, None)
    asked = [one for one in wanted.asked if one.field in columns]
    fields = {pattern for one in asked for pattern in _whole(one, dialect, columns[one.field][0])}
    numbers = frozenset(columns[one.field][0] for one in asked)
    return _CsvNeedles(Literals(fields, folded=False, overlapping=True), dialect, numbers)


def _whole(asked: Asked, dialect: Dialect, column: int) -> Iterator[bytes]:
    """The values between what may stand around a whole field."""
    before = dialect.delimiter if column else dialect.newline
    behind = [dialect.delimiter, b"\n", b"\r"]
    behind += [b"."] if asked.numbers is Numbers.DECIMAL else []
    spelled = list(filter(None, (in_bytes(value, dialect.encoding) for value in asked.values)))
    for end in behind:
        yield from [before + value + end for value in spelled]
    if dialect.quote:
        for end in (dialect.quote, *behind[3:]):
            yield from [dialect.quote + value + end for value in spelled]
