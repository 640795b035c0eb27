"""How a CSV object separates and quotes its fields: the rules, for one record and for many at once.

In: bytes. Out: where records and fields begin and end, a field's text, a text as a field. The
standard reader cannot say which bytes a record came from, and bounds a field's size for the whole
process; so the few rules of RFC 4180, and what else is in use, stand here.

A quote opens only as the first byte of a field; anywhere else it stands for itself.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

from connectors.s3.formats.entries import UnreadableError

_OLD = re.compile(rb"\\N")  # what SELECT … INTO OUTFILE writes for null (MySQL reference, 15.2.13)


@dataclass(frozen=True)
class Dialect:
    """The signs in use, each one byte; `quote` and `escape` empty where there is none.

    `columns` names the fields by position where there is no header, or says what it has to be.
    """

    delimiter: bytes = b","
    quote: bytes = b'"'
    escape: bytes = b""
    comment: bytes = b""
    header: bool = True
    columns: tuple[str, ...] = ()
    encoding: str = "utf-8"
    newline: bytes = b"\n"

    def as_ended(self, data: bytes, *, surely: bool) -> Self | None:
        """With the newline of an object's first bytes: a carriage return where it is alone.

        What stands in quotes ends no line. None where more bytes would tell, unless `surely`.
        """
        bare = self._quoted.sub(b"", data) if b"\n" in data else data
        if b"\n" in bare:
            return replace(self, newline=b"\n")
        return replace(self, newline=b"\r" if b"\r" in bare else b"\n") if surely else None

    @cached_property
    def _quoted(self) -> re.Pattern[bytes]:
        """An escaped sign, or what stands in quotes, perhaps cut."""
        quote, escape = re.escape(self.quote), re.escape(self.escape)
        escaped = (rb"%b(?:[\x00-\xff]|\Z)" % escape) if escape else rb"(?!)"
        if not quote:
            return re.compile(escaped)
        opens = rb"(?<![^%b\r\n])%b" % (re.escape(self.delimiter), quote)
        inside = rb"(?:%b|%b%b|[^%b%b]+)*" % (escaped, quote, quote, quote, escape)
        return re.compile(rb"%b|%b%b(?:%b|\Z)" % (escaped, opens, inside, quote))

    # ---- fields of one record

    def fields(self, record: bytes) -> list[bytes]:
        """The fields as written; joined by the delimiter they are the record again."""
        line = record[: len(record) - len(self.ending(record))]
        if self.is_plain(line):
            return line.split(self.delimiter)
        return [line[start:end] for start, end in self._spans(line)]

    def ending(self, record: bytes) -> bytes:
        """What ends a record."""
        return record[len(record.rstrip(b"\r\n")) :]

    def is_plain(self, data: bytes) -> bool:
        """Whether there is nothing among these bytes that quotes or escapes."""
        return (not self.quote or self.quote not in data) and not self.escapes(data)

    def escapes(self, data: bytes) -> bool:
        """Whether anything among these bytes is escaped."""
        return bool(self.escape) and self.escape in data

    def text(self, field: bytes) -> str | None:
        """What a field says; None where it is null."""
        if self.escape == b"\\" and _OLD.fullmatch(field):
            return None
        if self.is_plain(field):
            return self._decoded(field)
        return self._decoded(self._bare(field))

    def _decoded(self, field: bytes) -> str:
        return field.decode(self.encoding, "surrogateescape")

    def _bare(self, field: bytes) -> bytes:
        bare, at = bytearray(), 0
        inside = bool(self.quote) and field.startswith(self.quote)
        at = len(self.quote) if inside else 0
        while at < len(field):
            sign, following = field[at : at + 1], field[at + 1 : at + 2]
            if (self.escape and sign == self.escape and following) or (
                inside and sign == self.quote == following
            ):
                bare += following
                at += 2
                continue
            if inside and sign == self.quote:
                inside = False
            else:
                bare += sign
            at += 1
        return bytes(bare)

    def field(self, text: str) -> bytes:
        """A text as a field. Raises UnreadableError where this dialect cannot write it."""
        try:
            spelled = text.encode(self.encoding, "surrogateescape")
        except UnicodeEncodeError:
            raise UnreadableError(f"not-{self.encoding}") from None
        special = (self.delimiter, self.quote, self.escape, self.comment, b"\r", b"\n")
        if not any(sign and sign in spelled for sign in special):
            return spelled
        if not (self.quote or self.escape):
            raise UnreadableError("mask-needs-quotes")
        if self.escape:
            meant = (self.escape, self.quote) if self.quote else (self.escape, *special)
            for sign in dict.fromkeys(filter(None, meant)):
                spelled = spelled.replace(sign, self.escape + sign)
            return self.quote + spelled + self.quote
        return self.quote + spelled.replace(self.quote, self.quote * 2) + self.quote

    # ---- bounds

    def record_end(self, data: bytes, start: int) -> int:
        """Where the record that begins at `start` ends, sign by sign; -1 where it is still open."""
        if self.comment and data.startswith(self.comment, start):
            return data.find(self.newline, start) + 1 or -1
        for at, sign, inside in self._signs(data, start):
            if sign == self.newline and not inside:
                return at + 1
        return -1

    def _spans(self, line: bytes) -> Iterator[tuple[int, int]]:
        start = 0
        for at, sign, inside in self._signs(line, 0):
            if sign == self.delimiter and not inside:
                yield start, at
                start = at + 1
        yield start, len(line)

    def is_open(self, data: bytes, start: int) -> bool:
        """Whether a record without an end is inside quotes where the bytes end."""
        if self.comment and data.startswith(self.comment, start):
            return False
        return any(inside for *_, inside in deque(self._signs(data, start), maxlen=1))

    def _signs(self, data: bytes, start: int) -> Iterator[tuple[int, bytes, bool]]:
        """Each sign of one record that means something, and whether it stands inside quotes."""
        inside, field, skip_to = False, start, start
        for token in self._any_sign.finditer(data, start):
            at, sign = token.start(), token[0]
            if at < skip_to:
                continue
            if sign == self.escape and sign != self.quote:
                skip_to = at + (3 if data[at + 1 : at + 3] == b"\r\n" else 2)
                continue
            if sign == self.quote:
                if not inside:
                    inside = at == field
                elif data[at + 1 : at + 2] == self.quote:
                    skip_to = at + 2
                else:
                    inside = False
                yield at, sign, inside
                continue
            yield at, sign, inside
            if not inside:
                if sign == self.newline:
                    return
                field = at + 1

    @cached_property
    def _any_sign(self) -> re.Pattern[bytes]:
        signs = filter(None, (self.delimiter, self.quote, self.escape, self.newline))
        return re.compile(b"|".join(map(re.escape, dict.fromkeys(signs))))

    # ---- many records at once

    def regular_until(self, data: bytes, start: int) -> int:
        """Up to where, from the start of a record, every quote opens or closes a whole field.

        Up to there, and on to the next quote, quotes counted tell what is inside of them.
        """
        if not self.quote:
            return start
        match = self._regular.match(data, start)
        return start if match is None else match.end()

    @cached_property
    def _regular(self) -> re.Pattern[bytes]:
        quote, sign = re.escape(self.quote), re.escape(self.delimiter)
        newline = re.escape(self.newline)
        inside = b"[^%b]*+" % quote
        opens = rb"(?:\A|(?<=[%b%b]))%b" % (sign, newline, quote)
        closes = rb"%b(?=[%b\r\n])" % (quote, sign)
        # groups are not repeated possessively: Python before 3.11.5 loses matches then
        doubled = b"(?:%b%b%b)*" % (quote, quote, inside)
        return re.compile(b"(?:" + inside + opens + inside + doubled + closes + b")*")

    def needs_signs(self, data: bytes) -> bool:
        """Whether records of these bytes are to be read sign by sign."""
        return self.escapes(data) or (
            bool(self.comment and self.quote) and self._quoting_comment.search(data) is not None
        )

    @cached_property
    def _quoting_comment(self) -> re.Pattern[bytes]:
        newline, comment = re.escape(self.newline), re.escape(self.comment)
        return re.compile(
            rb"(?:\A|%b)%b[^%b]*%b" % (newline, comment, newline, re.escape(self.quote))
        )

    def quotes(self, data: bytes, start: int, end: int) -> int:
        """How many quotes stand in a range."""
        return data.count(self.quote, start, end) if self.quote else 0

    def start_before(self, data: bytes, base: int, at: int, *, inside: bool) -> int:
        """Where the regular record begins that `at` lies in; `base` is the start of one."""
        quotes, end = int(inside), at
        while (found := data.rfind(self.newline, base, end)) >= 0:
            quotes += self.quotes(data, found + 1, end)
            if quotes % 2 == 0:
                return found + 1
            end = found
        return base

    def end_after(self, data: bytes, at: int, stop: int, *, inside: bool) -> int:
        """Where the regular record ends that `at` lies in; at `stop` at the latest."""
        quotes, start = int(inside), at
        while (found := data.find(self.newline, start, stop)) >= 0:
            quotes += self.quotes(data, start, found)
            if quotes % 2 == 0:
                return found + 1
            start = found + 1
        return stop
