"""Parquet as a format of shared objects: by ranges, or under a codec that hides where parts lie.

In: an object. Out: its rows as entries, and edits. A compressed object is unpacked to a temporary
file first.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO, Final

from connectors.s3.formats.entries import (
    Broken,
    Decide,
    Edits,
    Entry,
    Source,
    Stored,
    UnreadableError,
)
from connectors.s3.formats.parquet.footer import MAGIC, read_footer
from connectors.s3.formats.parquet.rewriting import rewrite
from connectors.s3.formats.parquet.rows import File, Rows, prunes
from connectors.s3.formats.streamed import Rewritten
from connectors.s3.formats.wanted import Wanted

_COPIED_AT_ONCE_BYTES = 1024 * 1024
_FIRST_BYTES = 8


class Parquet:
    """An object that is a Parquet file."""

    def entries(self, source: Source, wanted: Wanted | None) -> Iterator[Entry | Broken]:
        """The rows that may be wanted, in order."""
        file = File(source, read_footer(source))
        for group in range(len(file.footer.groups)):
            if not prunes(file, group, wanted):
                yield from Rows(file, group).candidates(wanted)

    def rewrite(self, source: Source, wanted: Wanted | None, decide: Decide, edits: Edits) -> None:
        """Only pages with changed rows are new, and what tells of them."""
        rewrite(source, wanted, decide, edits)


class UnpackedParquet:
    """A Parquet file as plain bytes that come once, from the start."""

    def entries(self, plain: Iterator[bytes], wanted: Wanted | None) -> Iterator[Entry | Broken]:
        """The rows that may be wanted, in order."""
        with _in_a_file(plain) as source:
            yield from PARQUET.entries(source, wanted)

    def rewrite(
        self, plain: Iterator[bytes], wanted: Wanted | None, decide: Decide, out: Rewritten
    ) -> None:
        """All of the changed file."""
        with _in_a_file(plain) as source:
            PARQUET.rewrite(source, wanted, decide, _Copied(source, out))


PARQUET: Final = Parquet()
UNPACKED_PARQUET: Final = UnpackedParquet()


@contextmanager
def _in_a_file(plain: Iterator[bytes]) -> Iterator[_FileSource]:
    with TemporaryFile() as file:
        for piece in plain:
            file.write(piece)
        source = _FileSource(file, file.tell())
        if not source.first().startswith(MAGIC[:3]):
            raise UnreadableError("not-parquet")
        yield source


@dataclass(frozen=True, slots=True)
class _FileSource:
    """A file as an object's stored bytes."""

    file: IO[bytes]
    size_bytes: int

    def first(self) -> bytes:
        return self.read(0, _FIRST_BYTES)

    def stream(self) -> Iterator[bytes]:
        for start in range(0, self.size_bytes, _COPIED_AT_ONCE_BYTES):
            yield self.read(start, min(_COPIED_AT_ONCE_BYTES, self.size_bytes - start))

    def read(self, start: int, length: int) -> bytes:
        self.file.seek(start)
        return self.file.read(length)


@dataclass(frozen=True, slots=True)
class _Copied:
    """Edits of the unpacked file, all of whose bytes are asked for."""

    source: Source
    out: Rewritten

    def keep(self, start: int, data: Stored) -> None:
        self.out.keep(start, data)

    def copy(self, start: int, length: int) -> None:
        for at in range(start, start + length, _COPIED_AT_ONCE_BYTES):
            part = self.source.read(at, min(_COPIED_AT_ONCE_BYTES, start + length - at))
            self.out.keep(at, part)

    def write(self, data: bytes) -> None:
        self.out.write(data)
