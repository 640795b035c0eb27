"""Formats that are read from the start to the end, compressed or not.

In: an object's stored bytes, how they are compressed, a format of plain bytes. Out: the same
`Format` for both: where nothing is compressed, what stays are ranges of the object; otherwise the
object is compressed anew, alike.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Protocol, cast

from connectors.s3.formats.codecs import Codec, Sink
from connectors.s3.formats.entries import Broken, Decide, Edits, Entry, Source, Stored
from connectors.s3.formats.wanted import Wanted


class Rewritten(Protocol):
    """Takes plain bytes as they are to be, in order."""

    def keep(self, start: int, data: Stored) -> None:
        """Bytes that stay; they stood at `start` of the plain bytes."""
        ...

    def write(self, data: bytes) -> None:
        """Other bytes."""
        ...


class Plain(Protocol):
    """A way to write records into plain bytes."""

    def entries(self, plain: Iterator[bytes], wanted: Wanted | None) -> Iterator[Entry | Broken]:
        """As `Format.entries`."""
        ...

    def rewrite(
        self, plain: Iterator[bytes], wanted: Wanted | None, decide: Decide, out: Rewritten
    ) -> None:
        """As `Format.rewrite`."""
        ...


@dataclass(frozen=True, slots=True)
class Streamed:
    """A format of plain bytes, under a codec or under none."""

    plain: Plain
    codec: Codec | None

    def entries(self, source: Source, wanted: Wanted | None) -> Iterator[Entry | Broken]:
        """The records that may be wanted, and what could not be parsed."""
        yield from self.plain.entries(self._opened(source), wanted)

    def rewrite(self, source: Source, wanted: Wanted | None, decide: Decide, edits: Edits) -> None:
        """Keep ranges of a plain object; compress any other anew."""
        if self.codec is None:
            self.plain.rewrite(self._opened(source), wanted, decide, edits)
            return
        sink = self.codec.writer(cast("IO[bytes]", _Written(edits)))
        self.plain.rewrite(self._opened(source), wanted, decide, _Compressed(sink))
        sink.close()

    def _opened(self, source: Source) -> Iterator[bytes]:
        stored = source.stream()
        return stored if self.codec is None else self.codec.plain(stored)


@dataclass(frozen=True, slots=True)
class _Compressed:
    """Everything goes through the compressor."""

    sink: Sink

    def keep(self, _start: int, data: Stored) -> None:
        self.sink.write(data)

    def write(self, data: bytes) -> None:
        self.sink.write(data)


class _Written(io.RawIOBase):
    """Edits as the file that a compressor writes to."""

    def __init__(self, edits: Edits) -> None:
        self._edits = edits

    def writable(self) -> bool:
        return True

    def write(self, data: object, /) -> int:
        written = bytes(data)  # type: ignore[call-overload] # a buffer of the compressor
        self._edits.write(written)
        return len(written)
