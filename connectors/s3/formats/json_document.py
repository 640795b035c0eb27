"""Records that are elements of JSON documents, split at the byte; or lines, if there are lines.

In: plain bytes. Out: the same promises as `text`: an element goes with one comma and nothing else.
A document is an array, has an array at a path that the map names, or is one record by itself; more
may follow, with or without anything between them. Documents are read window by window; only one
element has to fit into memory.

The bytes say whether an object is documents or NDJSON.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from connectors.s3.formats.entries import Broken, Decide, Entry, UnreadableError
from connectors.s3.formats.json_scanner import Run, Scanner, Windows
from connectors.s3.formats.ndjson import is_record_line, json_piece, ndjson
from connectors.s3.formats.needles import Needles
from connectors.s3.formats.streamed import ByContent, Plain, Rewritten
from connectors.s3.formats.text import BOM, TextEntry, narrow
from connectors.s3.formats.wanted import Wanted

_TELLING_BYTES = 64 * 1024
_BEGUN = re.compile(rb'\{[ \t]*+"')
_OBJECT_ALONE = (b"{", b"}{", b"} {")
"""Lines of objects over several lines, of which the first ones may have stood on one each."""
_OPENS = (b"{", b"[", b":", b",")
_WINDOW_BYTES = 128 * 1024


@dataclass(frozen=True, slots=True)
class _Between:
    """What stands between two elements: blanks, and the comma of a list."""

    raw: bytes


@dataclass(frozen=True, slots=True)
class _Unseen:
    """Elements that nobody looks at, with what stands between them."""

    raw: bytes


_Part = bytes | _Between | _Unseen | TextEntry | Broken


def json_of(records: str, encoding: str) -> ByContent:
    """JSON with its lists of records at this dotted path; empty: documents themselves, or lines."""
    document = _Document(tuple(records.split(".")) if records else (), encoding)

    def tell(plain: Iterator[bytes]) -> tuple[Plain, Iterator[bytes]]:
        scanner = Scanner(narrow(plain))
        form = document if records or _is_document(scanner, encoding) else ndjson(encoding)
        return form, scanner.all()

    return ByContent(tell)


def _is_document(scanner: Scanner, encoding: str) -> bool:
    """Whether an object is no lines: it begins with a list, an object of several lines or on one.

    Objects of several lines may also follow short ones: printers leave an empty one on its line.

    A first line that is no whole record may be a damaged one: what follows then is a record itself.
    Raises UnreadableError where no line is a record, nor the first one the rest of one.
    """
    scanner.fill(_TELLING_BYTES)
    lines = _lines(scanner)
    if not lines or lines[0].startswith(b"["):
        return bool(lines)
    if len(lines) == 1 and scanner.goes_on():
        return True
    if (
        len(lines) > 1
        and lines[0].startswith(b"{")
        and not is_record_line(lines[0], encoding)
        and (lines[0].endswith(_OPENS) or not is_record_line(lines[1], encoding))
    ):
        return True
    if any(first in _OBJECT_ALONE and behind.startswith(b'"') for first, behind in pairwise(lines)):
        return True
    if _BEGUN.match(lines[0]):
        return False
    while not any(is_record_line(line, encoding) for line in _lines(scanner)):
        if not scanner.more():
            raise UnreadableError("not-ndjson")
    return False


def _lines(scanner: Scanner) -> list[bytes]:
    lines = scanner.data.removeprefix(BOM).splitlines()
    return [stripped for line in lines if (stripped := line.strip())]


@dataclass(frozen=True, slots=True)
class _Document:
    records: tuple[str, ...]
    encoding: str

    def entries(self, plain: Iterator[bytes], wanted: Wanted | None) -> Iterator[Entry | Broken]:
        for part in self._parts(plain, wanted):
            if not isinstance(part, bytes | _Between | _Unseen):
                yield part

    def rewrite(
        self, plain: Iterator[bytes], wanted: Wanted | None, decide: Decide, out: Rewritten
    ) -> None:
        """An element goes with what stands before it, the first of those that stay without it."""
        at = 0
        stays, between = False, b""  # of one list, or of records that follow each other
        for part in self._parts(plain, wanted):
            raw = part if isinstance(part, bytes) else part.raw
            if isinstance(part, bytes):
                out.keep(at, raw)
                stays = False
            elif isinstance(part, _Between):
                between = raw
            else:
                change = None if isinstance(part, _Unseen | Broken) else decide(part)
                if not (change and change.erases):
                    if stays:
                        out.keep(at - len(between), between)
                    _put(part, change.masks if change else {}, at, out)
                    stays = True
                between = b""
            at += len(raw)

    def _parts(self, plain: Iterator[bytes], wanted: Wanted | None) -> Iterator[_Part]:
        needles = None if wanted is None else wanted.json_needles(self.encoding)
        scanner = Scanner(plain)
        scanner.skip_bom()
        while sign := scanner.sign():
            if self.records or sign == b"[":
                yield from self._list(scanner, needles)
            elif sign == b"{":
                yield scanner.taken()
                yield from self._elements(scanner, needles, commas=False)
            else:
                raise UnreadableError("not-json")
        yield scanner.taken()

    def _list(self, scanner: Scanner, needles: Needles | None) -> Iterator[_Part]:
        for step in self.records:
            yield from scanner.enter(step)
        if scanner.sign() != b"[":
            raise UnreadableError("records-are-no-list")
        scanner.over(b"[")
        if scanner.sign() != b"]":
            yield scanner.taken()
            yield from self._elements(scanner, needles, commas=True)
        scanner.over(b"]")
        for step in reversed(self.records):
            yield from scanner.leave(step)
        yield scanner.taken()

    def _elements(
        self, scanner: Scanner, needles: Needles | None, *, commas: bool
    ) -> Iterator[_Part]:
        """From the first element to what follows the last: a bracket, or no object any more."""
        windows, good, broken = Windows(commas=commas), False, False
        follows = True
        while follows:
            scanner.fill(_WINDOW_BYTES)
            run = windows.run(scanner)
            scanner.at = scanner.end() if run is None else len(run.data)
            offset = scanner.passed_bytes
            for part in self._window(scanner.taken(), offset, run, needles):
                broken = broken or isinstance(part, Broken)
                good = good or not isinstance(part, Broken)
                yield part
            follows = scanner.sign() == (b"," if commas else b"{")
            if follows:
                if commas:
                    scanner.over(b",")
                    scanner.sign()
                windows.learn(scanner.data[: scanner.at], scanner)
                yield _Between(scanner.taken())
        if broken and not good:
            raise UnreadableError("not-json")

    def _window(
        self, data: bytes, offset: int, run: Run | None, needles: Needles | None
    ) -> Iterator[_Part]:
        """Elements that follow each other; those that nobody looks at together."""
        at = 0
        for first, beyond, looks in _looked_at(data, run, needles):
            if first > at:
                yield _Between(data[at:first])
            raw = data[first:beyond]
            piece = json_piece(raw, offset + first, self.encoding) if looks else raw
            yield _Unseen(piece) if isinstance(piece, bytes) else piece
            at = beyond


def _looked_at(
    data: bytes, run: Run | None, needles: Needles | None
) -> Iterator[tuple[int, int, bool]]:
    """Elements to look at one by one, and runs of others: where, and which of the two."""
    places = [] if needles is None else needles.places(data)
    if needles is not None and not places:
        yield 0, len(data), False
        return
    bounds = [(0, len(data))] if run is None else run.bounds()
    if needles is None:
        yield from ((first, beyond, True) for first, beyond in bounds)
        return
    done = 0
    for place in places:
        number = bisect_right(bounds, (place, len(data))) - 1
        if number < done or place >= bounds[number][1]:
            continue
        if number > done:
            yield bounds[done][0], bounds[number - 1][1], False
        yield *bounds[number], True
        done = number + 1
    if done < len(bounds):
        yield bounds[done][0], bounds[-1][1], False


def _put(
    part: _Unseen | TextEntry | Broken, masks: Mapping[str, str | None], at: int, out: Rewritten
) -> None:
    if masks and not isinstance(part, _Unseen | Broken):
        out.write(part.masked(masks))
    else:
        out.keep(at, part.raw)
