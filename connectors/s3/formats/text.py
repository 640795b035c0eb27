"""Records that are lines, or lie between bytes that nobody needs to look at.

In: plain bytes as they come. Out: pieces, in order, that together are the object again: bytes that
nobody looks at, entries, and what could not be parsed. Whoever emits every piece's bytes reproduces
the object byte for byte, and so everything but the changed records stays as it was.

Pieces come by the block, and a block's records are decided before any of it is written: between two
records lie thousands of bytes, and whoever turns to each in its turn finds the caches cold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from connectors.s3.formats.codecs import UTF_16
from connectors.s3.formats.entries import Broken, Decide, Entry, Stored, UnreadableError
from connectors.s3.formats.needles import Needles
from connectors.s3.formats.streamed import Rewritten
from connectors.s3.formats.wanted import Wanted

BOM = b"\xef\xbb\xbf"
MAX_RECORD_BYTES = 16 * 1024 * 1024


class TextEntry(Entry, Protocol):
    """A record that has bytes of its own."""

    raw: bytes

    def masked(self, changes: Mapping[str, str | None]) -> bytes:
        """The record's bytes with these fields replaced. Raises UnreadableError."""
        ...


Looked = bytes | TextEntry | Broken
"""What bytes are that somebody looked at."""
Piece = Looked | memoryview
Pieces = Callable[[Iterator[bytes], Wanted | None], Iterator[Sequence[Piece]]]
_PASSED = (bytes, memoryview)
_NO_RECORD = (*_PASSED, Broken)


@dataclass(frozen=True, slots=True)
class Text:
    """A format whose records are pieces of the plain bytes."""

    pieces: Pieces

    def entries(self, plain: Iterator[bytes], wanted: Wanted | None) -> Iterator[Entry | Broken]:
        """The records that may be wanted, and what could not be parsed."""
        blocks = self.pieces(narrow(plain), wanted)
        return (piece for block in blocks for piece in block if not isinstance(piece, _PASSED))

    def rewrite(
        self, plain: Iterator[bytes], wanted: Wanted | None, decide: Decide, out: Rewritten
    ) -> None:
        """Every piece again, each record as decided."""
        at = 0
        for block in self.pieces(narrow(plain), wanted):
            changes = [None if isinstance(piece, _NO_RECORD) else decide(piece) for piece in block]
            for piece, change in zip(block, changes, strict=True):
                raw = piece if isinstance(piece, _PASSED) else piece.raw
                if change is None or not (change.erases or change.masks):
                    out.keep(at, raw)
                elif not change.erases and not isinstance(piece, _NO_RECORD):
                    out.write(piece.masked(change.masks))
                at += len(raw)


def raw_of(piece: Piece) -> Stored:
    """The bytes that a piece was read from."""
    return piece if isinstance(piece, _PASSED) else piece.raw


def narrow(plain: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes, unless their first ones say UTF-16. Raises UnreadableError."""
    first = b""
    for piece in plain:
        if len(first) >= len(BOM):
            yield piece
            continue
        first += piece
        if first.startswith(UTF_16) or b"\0" in first[:2]:
            raise UnreadableError("utf-16")
        if len(first) >= len(BOM):
            yield first
    if len(first) < len(BOM):
        yield first


class Lines(NamedTuple):
    """Whole lines, the last of an object perhaps without its end: `data[start:end]`."""

    data: bytes
    start: int
    end: int


def whole_lines(plain: Iterator[bytes], whole: Callable[[bytes], int]) -> Iterator[Lines]:
    """The same bytes in whole lines: those of a piece where they lie, those between two joined.

    A line that is too long is cut where `whole` says that records end. Raises UnreadableError where
    none does.
    """
    held: list[bytes] = []
    held_bytes = 0
    for piece in plain:
        end = piece.rfind(b"\n") + 1
        start = 0
        if held and end:
            start = piece.find(b"\n") + 1
            joined = b"".join((*held, piece[:start]))
            yield Lines(joined, 0, len(joined))
            held, held_bytes = [], 0
        if end > start:
            yield Lines(piece, start, end)
        if end < len(piece):
            held.append(piece[end:])
            held_bytes += len(piece) - end
        if held_bytes > MAX_RECORD_BYTES:
            line = b"".join(held)
            end = whole(line)
            if not end:
                raise UnreadableError("record-too-long")
            yield Lines(line, 0, end)
            held, held_bytes = [line[end:]], len(line) - end
    if held:
        joined = b"".join(held)
        yield Lines(joined, 0, len(joined))


def split(lines: Lines, needles: Needles | None) -> Iterator[tuple[Stored, bool]]:
    """Lines to look at one by one, and what lies between them; whether it is one to look at."""
    data, at, beyond = lines
    if needles is None:
        yield from ((line, True) for line in lines_of(data[at:beyond]))
        return
    view = memoryview(data)
    for place in needles.places(data):
        if place < at:
            continue
        if place >= beyond:
            break
        start = data.rfind(b"\n", at, place) + 1 or at
        end = data.find(b"\n", place, beyond) + 1 or beyond
        if start > at:
            yield view[at:start], False
        yield data[start:end], True
        at = end
    if at < beyond:
        yield view[at:beyond], False


def lines_of(block: bytes) -> list[bytes]:
    """Lines by newline alone: a carriage return inside a line ends nothing."""
    if b"\r" not in block:
        return block.splitlines(keepends=True)
    lines = [line + b"\n" for line in block.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]
