"""Walks through JSON text that does not fit into memory: signs, strings, whole values.

In: plain bytes as they come. Out: where values end, and the bytes passed so far. Nothing is
interpreted but quotes and brackets, so that damage inside a value is the parser's to find.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, takewhile

import msgspec

from connectors.s3.formats.entries import UnreadableError
from connectors.s3.formats.text import BOM, MAX_RECORD_BYTES

_BLANK = re.compile(rb"[ \t\r\n]*+")
_STRING = re.compile(rb'"(?:[^"\\]++|\\[\x00-\xff])*+"')
_SCALAR = re.compile(rb'[^\s,:\[\]{}"]++')
_TOKEN = re.compile(rb'[\[\]{}]|"(?:[^"\\]++|\\[\x00-\xff])*+("?)')
_FIRST_KEY = re.compile(rb'\{[ \t\r\n]*"[^"\\]*"')
_BETWEEN = re.compile(rb"[ \t\r\n]*+,?+[ \t\r\n]*+")
_OPENING = frozenset(b"[{")
_BRACE = ord("{")
_NO_OBJECT = re.compile(rb"\}[ \t\r\n]*+[^,{}\] \t\r\n]")
"""What stands behind an object only where another value than an object follows it, or in a text."""
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_SEQUENCE = msgspec.json.Decoder(msgspec.Raw)
_TRIES = 3


class Scanner:
    """Stands at `at` of `data`, which grows as more is needed and is taken away from the front."""

    def __init__(self, plain: Iterator[bytes]) -> None:
        self._plain = plain
        self._ended = False
        self._reached = 0
        self.data = b""
        self.at = 0
        self.passed_bytes = 0

    def taken(self) -> bytes:
        """The bytes before this place that were not taken yet."""
        passed, self.data = self.data[: self.at], self.data[self.at :]
        self.at = 0
        self.passed_bytes += len(passed)
        return passed

    def fill(self, least: int) -> None:
        """Have so many bytes ahead, unless there are fewer."""
        pieces = [self.data]
        size = len(self.data) - self.at
        while size < least and not self._ended:
            piece = next(self._plain, None)
            if piece is None:
                self._ended = True
            else:
                pieces.append(piece)
                size += len(piece)
        if len(pieces) > 1:
            self.data = b"".join(pieces)

    def all(self) -> Iterator[bytes]:
        """Every byte again, where none was taken yet."""
        return chain((self.data,), self._plain)

    def more(self) -> bool:
        """Twice as many bytes ahead; False where there are no more. Raises UnreadableError."""
        ahead = len(self.data) - self.at
        if ahead > MAX_RECORD_BYTES:
            raise UnreadableError("record-too-long")
        self.fill(max(2 * ahead, 1))
        return len(self.data) - self.at > ahead

    def _need_more(self) -> None:
        if not self.more():
            raise UnreadableError("cut-json")

    def skip_bom(self) -> None:
        """Pass a byte order mark."""
        self.fill(len(BOM))
        self.at += len(BOM) if self.data.startswith(BOM) else 0

    def sign(self) -> bytes:
        """The next byte that is no blank, having passed the blanks; empty at the end."""
        while True:
            match = _BLANK.match(self.data, self.at)
            self.at = match.end() if match else self.at
            if self.at < len(self.data) or not self.more():
                return self.data[self.at : self.at + 1]

    def goes_on(self) -> bool:
        """Whether the first line is none by itself: it has several values, or a part of one."""
        try:
            self.skip_bom()
            self.sign()
            start, self.at = self.at, self.end()
            end = self.at
            return b"\n" in self.data[start:end] or (
                self.sign() == b"{" and b"\n" not in self.data[end : self.at]
            )
        except UnreadableError:
            return False
        finally:
            self.at = 0

    def over(self, sign: bytes) -> None:
        """Pass one sign. Raises UnreadableError where another one stands."""
        found = self.sign()
        if found != sign:
            raise UnreadableError("not-json" if found else "cut-json")
        self.at += 1

    def end(self) -> int:
        """Where the value ends that begins here; it is in `data` as a whole."""
        while True:
            end = self._end()
            if end is not None:
                return end
            self._need_more()

    def _end(self) -> int | None:
        first = self.data[self.at : self.at + 1]
        if first and first[0] in _OPENING:
            return self._closed(self.at, 0)[1]
        match = (_STRING if first == b'"' else _SCALAR).match(self.data, self.at)
        if match is None and first and first != b'"':
            raise UnreadableError("not-json")
        if match is None:
            return None
        if first != b'"' and match.end() == len(self.data) and self.more():
            return self._end()
        return match.end()

    def _closed(self, start: int, depth: int) -> tuple[int, int | None]:
        """The depth reached from `start`, and where it is 0 again; None where it is not yet.

        `_reached` is how far it got, before a string that is still open.
        """
        self._reached = start
        for token in _TOKEN.finditer(self.data, start):
            sign = token[0]
            if sign[:1] == b'"':
                if not token[1]:
                    self._reached = token.start()
                    return depth, None
            elif sign[0] in _OPENING:
                depth += 1
            else:
                depth -= 1
                if depth == 0:
                    return 0, token.end()
        self._reached = len(self.data)
        return depth, None

    def skip(self) -> Iterator[bytes]:
        """Pass a value of any size; yields the bytes passed."""
        if (self.sign() or b" ")[0] not in _OPENING:
            self.at = self.end()
            return
        depth = 0
        while True:
            depth, end = self._closed(self.at, depth)
            self.at = self._reached if end is None else end
            if end is not None:
                return
            yield self.taken()
            self._need_more()

    def enter(self, name: str) -> Iterator[bytes]:
        """Pass everything up to the value of a member. Raises UnreadableError where it is none."""
        if self.sign() != b"{":
            raise UnreadableError("no-records")
        self.over(b"{")
        while self.sign() == b'"':
            end = self.end()
            found = self._name(end)
            self.at = end
            self.over(b":")
            if found == name:
                self.sign()
                return
            yield from self.skip()
            if self.sign() != b",":
                break
            self.over(b",")
        raise UnreadableError("no-records")

    def leave(self, name: str) -> Iterator[bytes]:
        """Pass what is left of the object behind this member. Raises UnreadableError.

        The same name may not come again: parsers take the last value, and nobody reads two.
        """
        while self.sign() == b",":
            self.over(b",")
            self.sign()
            end = self.end()
            if self._name(end) == name:
                raise UnreadableError("repeated-records")
            self.at = end
            self.over(b":")
            yield from self.skip()
        self.over(b"}")

    def _name(self, end: int) -> object:
        """The name of a member that ends there."""
        try:
            return json.loads(self.data[self.at : end].decode("utf-8", "surrogateescape"))
        except ValueError:
            raise UnreadableError("not-json") from None


class Windows:
    """Many values at once: cut where one seems to begin, and counted by a parser.

    What the parser takes for whole values is some, since JSON is read in one way only; so a wrong
    guess costs time and nothing else.
    """

    def __init__(self, *, commas: bool) -> None:
        self._commas = commas
        self._seam = b""

    def learn(self, between: bytes, scanner: Scanner) -> None:
        """What stands between two values, and how the second begins."""
        head = _FIRST_KEY.match(scanner.data, scanner.at)
        if head is not None:
            self._seam = b"}" + between + head[0]

    def run(self, scanner: Scanner) -> Run | None:
        """The values from here on, as many as there are; None where that is unknown."""
        return run_before(scanner.data, scanner.at, self._seam, commas=self._commas)


@dataclass(frozen=True, slots=True)
class Run:
    """Whole values that follow each other: from the first byte of the first to the last one."""

    data: bytes
    found: list[msgspec.Raw]

    def bounds(self) -> list[tuple[int, int]]:
        """Where each begins and ends."""
        data, at, bounds = self.data, 0, []
        between = _BETWEEN.match
        for raw in self.found:
            passed = between(data, at)
            at = passed.end() if passed else at
            end = at + len(memoryview(raw))
            bounds.append((at, end))
            at = end
        return bounds


def run_before(data: bytes, at: int, seam: bytes, *, commas: bool) -> Run | None:
    """Values up to the last `seam` that is one; None where that is unknown.

    A seam is a bracket that ends a value, and how the next one seems to begin.
    """
    stop = len(data)
    for _ in range(_TRIES if seam else 0):
        found_at = data.rfind(seam, at, stop)
        if found_at < 0:
            break
        found = run_of(data[at : found_at + 1], commas=commas)
        if found is not None:
            return found
        stop = found_at
    return None


def run_of(data: bytes, *, commas: bool) -> Run | None:
    """The values that these bytes are, from the first to the last one; None where they are not.

    Without commas they are objects: up to where something else stands.
    """
    try:
        found = _LIST.decode(b"[%b]" % data) if commas else _SEQUENCE.decode_lines(data)
    except (msgspec.DecodeError, RecursionError):
        return None
    run = Run(data, found)
    if commas or (data.startswith(b"{") and _NO_OBJECT.search(data) is None):
        return run
    bounds = run.bounds()
    objects = list(takewhile(lambda bound: data[bound[0]] == _BRACE, bounds))
    return Run(data[: objects[-1][1]], found[: len(objects)]) if objects else None
