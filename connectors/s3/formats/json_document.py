"""Records that are elements of a JSON document, split at the byte; or lines, if there are lines.

In: plain bytes. Out: the same promises as `text`: an element goes with one comma and nothing else.
A document is an array, has an array at a path that the map names, or is one record by itself, which
others may follow. It is read window by window; only one element has to fit into memory.

The bytes say whether an object is a document or NDJSON.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from connectors.s3.formats.entries import Broken, Decide, Entry, UnreadableError
from connectors.s3.formats.json_scanner import Scanner, Windows
from connectors.s3.formats.ndjson import json_piece, ndjson, parsed
from connectors.s3.formats.needles import Needles
from connectors.s3.formats.streamed import Plain, Rewritten
from connectors.s3.formats.text import BOM, TextEntry, narrow
from connectors.s3.formats.wanted import Wanted

_TELLING_BYTES = 64 * 1024
_WINDOW_BYTES = 128 * 1024


@dataclass(frozen=True, slots=True)
class _Between:
    """What stands between two elements: blanks, and the comma of a list."""

    raw: bytes


@dataclass(frozen=True, slots=True)
class _Unseen:
    """Elements that nobody looks at, with what stands between them."""

    raw: bytes


_Bound = tuple[int, int]
_Part = bytes | _Between | _Unseen | TextEntry | Broken


@dataclass(frozen=True, slots=True)
class Json:
    """Lines or a document, whichever the bytes are; `records` is the path to its records."""

    records: tuple[str, ...] = ()
    encoding: str = "utf-8"

    def entries(self, plain: Iterator[bytes], wanted: Wanted | None) -> Iterator[Entry | Broken]:
        """The records that may be wanted, and what could not be parsed."""
        form, stream = self._told(plain)
        yield from form.entries(stream, wanted)

    def rewrite(
        self, plain: Iterator[bytes], wanted: Wanted | None, decide: Decide, out: Rewritten
    ) -> None:
        """Every byte again, but for records that are decided otherwise."""
        form, stream = self._told(plain)
        form.rewrite(stream, wanted, decide, out)

    def _told(self, plain: Iterator[bytes]) -> tuple[Plain, Iterator[bytes]]:
        stream = narrow(plain)
        first: list[bytes] = []
        for piece in stream:
            first.append(piece)
            if sum(map(len, first)) >= _TELLING_BYTES:
                break
        start = b"".join(first)
        document = self.records or _is_document(start, self.encoding)
        form = _Document(self.records, self.encoding) if document else ndjson(self.encoding)
        return form, chain((start,), stream)


def json_of(records: str, encoding: str) -> Json:
    """JSON whose list of records lies at this dotted path; empty: the document itself, or lines."""
    return Json(tuple(records.split(".")) if records else (), encoding)


def _is_document(start: bytes, encoding: str) -> bool:
    """Whether an object that begins so is a list, or an object of several lines.

    A first line that is no whole record may be a damaged one: what follows then is a record itself.
    """
    lines = [line.strip() for line in start.removeprefix(BOM).splitlines() if line.strip()]
    if not lines or not lines[0].startswith((b"{", b"[")):
        return False
    if lines[0].startswith(b"["):
        return True
    if isinstance(parsed(lines[0], encoding), dict) or len(lines) == 1:
        return False
    opens = lines[0].endswith((b"{", b"[", b":", b","))
    return opens or not isinstance(parsed(lines[1], encoding), dict)


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
        stays, between = False, b""
        for part in self._parts(plain, wanted):
            raw = part if isinstance(part, bytes) else part.raw
            if isinstance(part, bytes):
                out.keep(at, raw)
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
        if self.records or scanner.sign() == b"[":
            yield from self._list(scanner, needles)
        else:
            yield from self._sequence(scanner)

    # ---- a list of records

    def _list(self, scanner: Scanner, needles: Needles | None) -> Iterator[_Part]:
        for step in self.records:
            yield from scanner.enter(step)
        if scanner.sign() != b"[":
            raise UnreadableError("records-are-no-list")
        scanner.over(b"[")
        if scanner.sign() != b"]":
            yield scanner.taken()
            yield from self._elements(scanner, needles)
        scanner.over(b"]")
        for _ in self.records:
            yield from scanner.leave()
        if scanner.sign():
            raise UnreadableError("more-than-one-document")
        yield scanner.taken()

    def _elements(self, scanner: Scanner, needles: Needles | None) -> Iterator[_Part]:
        """From the first element to the bracket behind the last."""
        windows, good, broken = Windows(), False, False
        sign = b","
        while sign == b",":
            scanner.fill(_WINDOW_BYTES)
            bounds = windows.bounds(scanner) or [(scanner.at, scanner.end())]
            scanner.at = bounds[-1][1]
            offset = scanner.passed_bytes
            for part in self._window(scanner.taken(), offset, bounds, needles):
                broken = broken or isinstance(part, Broken)
                good = good or not isinstance(part, Broken)
                yield part
            if (sign := scanner.sign()) == b",":
                scanner.over(b",")
                scanner.sign()
                windows.learn(scanner.data[: scanner.at], scanner)
                yield _Between(scanner.taken())
        if broken and not good:
            raise UnreadableError("not-json")

    def _window(
        self, data: bytes, offset: int, bounds: list[_Bound], needles: Needles | None
    ) -> Iterator[_Part]:
        """Elements that follow each other; those that nobody looks at together."""
        at = 0
        for first, beyond, looks in _looked_at(data, bounds, needles):
            if first > at:
                yield _Between(data[at:first])
            raw = data[first:beyond]
            piece = json_piece(raw, offset + first, self.encoding) if looks else raw
            yield _Unseen(piece) if isinstance(piece, bytes) else piece
            at = beyond

    # ---- records one after the other

    def _sequence(self, scanner: Scanner) -> Iterator[_Part]:
        scanner.sign()
        yield scanner.taken()
        while scanner.sign():
            if between := scanner.taken():
                yield _Between(between)
            scanner.at = scanner.end()
            piece = json_piece(scanner.taken(), 0, self.encoding)
            if isinstance(piece, bytes | Broken):
                raise UnreadableError("not-json")
            yield piece
        yield scanner.taken()


def _looked_at(
    data: bytes, bounds: list[_Bound], needles: Needles | None
) -> Iterator[tuple[int, int, bool]]:
    """Elements to look at one by one, and runs of others: where, and which of the two."""
    if needles is None:
        yield from ((first, beyond, True) for first, beyond in bounds)
        return
    done = 0
    for place in needles.places(data):
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
