"""What formats share: records, what is to become of them, and the bytes they come from.

Enters: nothing. Leaves: the words in which a format speaks with the rooms that read and change.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from connectors.s3.formats.wanted import Wanted


Stored = bytes | memoryview
"""Bytes of an object as they were read, or a part of them where they lie."""


class UnreadableError(Exception):
    """The object is not what the map says; `reason` is a fixed word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Entry(Protocol):
    """One record."""

    def value(self, name: str) -> Any:
        """A field; None where it is null or missing. A dotted name is a path into objects."""
        ...

    def scalars(self) -> Iterator[tuple[str, Any]]:
        """Every text and number with the path of its place."""
        ...

    def body(self, leave_out: frozenset[str]) -> bytes:
        """The record as a JSON object in UTF-8 without newlines."""
        ...

    def mark(self) -> bytes:
        """The same for two records only where they say the same."""
        ...


@dataclass(frozen=True, slots=True)
class Broken:
    """A place that is not a record. It stays as it is and is reported where it names a subject."""

    raw: bytes
    at_byte: int  # of the plain bytes


@dataclass(frozen=True, slots=True)
class Change:
    """What is to become of a record: it goes, or these fields get these values, or nothing."""

    erases: bool = False
    masks: Mapping[str, str | None] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.erases or bool(self.masks)


KEEP = Change()
ERASE = Change(erases=True)

Decide = Callable[[Entry], Change]


class Source(Protocol):
    """The stored bytes of one object."""

    @property
    def size_bytes(self) -> int:
        """How many there are."""
        ...

    def first(self) -> bytes:
        """Some of the first ones: eight at least, where there are so many."""
        ...

    def stream(self) -> Iterator[bytes]:
        """All of them, from the start, in bounded pieces."""
        ...

    def read(self, start: int, length: int) -> bytes:
        """Some of them."""
        ...


class Edits(Protocol):
    """Takes an object's bytes as they are to be, in order."""

    def keep(self, start: int, data: Stored) -> None:
        """Stored bytes that were read, and stay: `data` stands at `start`."""
        ...

    def copy(self, start: int, length: int) -> None:
        """Stored bytes that nobody read, and that stay."""
        ...

    def write(self, data: bytes) -> None:
        """Other bytes."""
        ...


class Format(Protocol):
    """One way to write records into an object."""

    def entries(self, source: Source, wanted: Wanted | None) -> Iterator[Entry | Broken]:
        """The records that may be wanted (None: all), and what could not be read, in order.

        Raises UnreadableError.
        """
        ...

    def rewrite(self, source: Source, wanted: Wanted | None, decide: Decide, edits: Edits) -> None:
        """Tell `edits` the object as it is to be: each record that may be wanted as decided.

        Everything else is kept byte for byte. Raises UnreadableError.
        """
        ...


def text_of(value: object) -> str | None:
    """A value as the text of an identity: strings and whole numbers have one, nothing else does.

    `1` and `"1"` are the same text; `1.0`, `true`, lists and objects name nobody.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None


class Several(list[Any]):
    """What a path through a list of objects leads to, where that is not one value: each counts."""


def key_text(value: object) -> str:
    """A value as one part of a record's key; empty where it is null or missing."""
    text = text_of(value)
    if text is not None:
        return text
    return "" if value is None else json.dumps(value, sort_keys=True, default=str)
