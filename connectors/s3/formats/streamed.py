"""Formats that are read from the start to the end, compressed or not.

In: an object's stored bytes, how they are compressed, a format of plain bytes. Out: the same
`Format` for both: what stays are ranges of the object, of a compressed one its whole members.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from connectors.s3.formats.codecs import Codec
from connectors.s3.formats.entries import Broken, Decide, Edits, Entry, Source, Stored
from connectors.s3.formats.members import Members
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
class ByContent:
    """A way to write records that the plain bytes tell: `tell` has it, and all the bytes again."""

    tell: Callable[[Iterator[bytes]], tuple[Plain, Iterator[bytes]]]

    def entries(self, plain: Iterator[bytes], wanted: Wanted | None) -> Iterator[Entry | Broken]:
        """As `Format.entries`."""
        form, stream = self.tell(plain)
        yield from form.entries(stream, wanted)

    def rewrite(
        self, plain: Iterator[bytes], wanted: Wanted | None, decide: Decide, out: Rewritten
    ) -> None:
        """As `Format.rewrite`."""
        form, stream = self.tell(plain)
        form.rewrite(stream, wanted, decide, out)


@dataclass(frozen=True, slots=True)
class Streamed:
    """A format of plain bytes, under a codec or under none."""

    plain: Plain
    codec: Codec | None

    def entries(self, source: Source, wanted: Wanted | None) -> Iterator[Entry | Broken]:
        """The records that may be wanted, and what could not be parsed."""
        stored = source.stream()
        plain = stored if self.codec is None else self.codec.plain(stored)
        yield from self.plain.entries(plain, wanted)

    def rewrite(self, source: Source, wanted: Wanted | None, decide: Decide, edits: Edits) -> None:
        """Keep ranges of a plain object, and members of a compressed one without a change."""
        if self.codec is None:
            self.plain.rewrite(source.stream(), wanted, decide, edits)
            return
        members = Members(self.codec, edits)
        self.plain.rewrite(members.plain(source.stream()), wanted, decide, members)
        members.close()
