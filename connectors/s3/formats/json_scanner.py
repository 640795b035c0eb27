"""Walks through JSON text that does not fit into memory: signs, strings, whole values.

In: plain bytes as they come. Out: where values end, and the bytes passed so far. Nothing is
interpreted but quotes and brackets, so that damage inside a value is the parser's to find.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import msgspec

from connectors.s3.formats.entries import UnreadableError
from connectors.s3.formats.text import BOM, MAX_RECORD_BYTES

_BLANK = re.compile(rb"[ \t\r\n]*+")
_STRING = re.compile(rb'"(?:[^"\\]++|\\[\x00-\xff])*+"')
_SCALAR = re.compile(rb'[^\s,:\[\]{}"]++')
_TOKEN = re.compile(rb'[\[\]{}]|"(?:[^"\\]++|\\[\x00-\xff])*+("?)')
_FIRST_KEY = re.compile(rb'\{[ \t\r\n]*"[^"\\]*"')
_OPENING = frozenset(b"[{")
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

    def _more(self) -> bool:
        """Twice as many bytes ahead; False where there are no more."""
        ahead = len(self.data) - self.at
        if ahead > MAX_RECORD_BYTES:
            raise UnreadableError("record-too-long")
        self.fill(max(2 * ahead, 1))
        return len(self.data) - self.at > ahead

    def _need_more(self) -> None:
        if not self._more():
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
            if self.at < len(self.data) or not self._more():
                return self.data[self.at : self.at + 1]

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
        if first != b'"' and match.end() == len(self.data) and self._more():
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
            found = json.loads(self.data[self.at : end].decode("utf-8", "surrogateescape"))
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

    def leave(self) -> Iterator[bytes]:
        """Pass what is left of the object behind one of its members."""
        while self.sign() == b",":
            self.over(b",")
            self.sign()
            self.at = self.end()
            self.over(b":")
            yield from self.skip()
        self.over(b"}")


class Windows:
    """Many elements at once: cut where an element seems to begin, and counted by a parser.

    What the parser takes for a list of whole values is one, since JSON is read in one way only; so
    a wrong guess costs time and nothing else.
    """

    def __init__(self) -> None:
        self._seam = b""
        self._decoder = msgspec.json.Decoder(list[msgspec.Raw])

    def learn(self, between: bytes, scanner: Scanner) -> None:
        """What stands between two elements, and how the second begins."""
        head = _FIRST_KEY.match(scanner.data, scanner.at)
        if head is not None:
            self._seam = b"}" + between + head[0]

    def bounds(self, scanner: Scanner) -> list[tuple[int, int]]:
        """Where the elements from here on begin and end, as many as there are; empty: unknown."""
        stop = len(scanner.data)
        for _ in range(_TRIES if self._seam else 0):
            seam = scanner.data.rfind(self._seam, scanner.at, stop)
            if seam < 0:
                break
            try:
                found = self._decoder.decode(b"[%b]" % scanner.data[scanner.at : seam + 1])
            except (msgspec.DecodeError, RecursionError):
                stop = seam
                continue
            return _bounds(scanner.data, scanner.at, found)
        return []


def _bounds(data: bytes, at: int, found: list[msgspec.Raw]) -> list[tuple[int, int]]:
    bounds = []
    blank = _BLANK.match
    for raw in found:
        end = at + len(memoryview(raw))
        bounds.append((at, end))
        comma = blank(data, end)
        behind = blank(data, comma.end() + 1) if comma else None
        at = behind.end() if behind else end
    return bounds
