"""Records of an Avro object: found by schema, changed where they stand.

In: plain bytes. Out: entries, or the object again: blocks in which nobody wanted can stand are
passed as they are; in a block with a change, the other records keep their bytes, and a masked one
keeps all but the masked values.

Decoding is our own, because a record has to be told apart from its neighbours by its bytes, and a
mask has to find one value among them: libraries hand over values without their places, and write
unions anew by guessing the branch.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from hashlib import blake2b
from typing import Any

from connectors.s3.formats.avro.blocks import Block, Container, Header, block_of
from connectors.s3.formats.avro.leaves import DAMAGED, Place, Type
from connectors.s3.formats.content import scalars_in, without
from connectors.s3.formats.entries import Broken, Change, Decide, Entry, UnreadableError
from connectors.s3.formats.needles import Literals, Needles, are_literal
from connectors.s3.formats.streamed import Rewritten
from connectors.s3.formats.wanted import Wanted

_UNSPELLED = re.compile(r"[-+:.T0-9A-Fa-f]+")
"""What a number, a date, a moment or a UUID may be as text: none of it stands in the bytes."""


@dataclass(frozen=True, slots=True)
class AvroEntry:
    """One record. A field is a name, or a dotted path through records, maps and unions."""

    raw: bytes
    type: Type
    schema: bytes  # a digest

    def value(self, name: str) -> Any:
        """The field; None where it is null or missing."""
        place = self._place(name)
        return None if place is None else place.type.read(self.raw, place.start)[0]

    def scalars(self) -> Iterator[tuple[str, Any]]:
        """Every text and number with its place."""
        return scalars_in(self._content())

    def body(self, leave_out: frozenset[str]) -> bytes:
        """The record as JSON, without these fields; bytes in base64, decimals as texts."""
        content = self._content()
        document = content if isinstance(content, dict) else {"value": content}
        shown = _shown(without(document, leave_out))
        return json.dumps(shown, ensure_ascii=False).encode("utf-8", "replace")

    def mark(self) -> bytes:
        """The record's bytes, beside their schema."""
        return self.schema + self.raw

    def masked(self, changes: Mapping[str, str | None]) -> bytes:
        """The record with these fields replaced. Raises UnreadableError where one does not fit."""
        edits: list[tuple[Place, bytes]] = []
        for name, new in changes.items():
            place = self._place(name)
            if place is None:
                continue
            written = place.type.put(new)
            if written is None:
                raise UnreadableError("mask-does-not-fit")
            edits.append((place, written))
        out, at = bytearray(), 0
        for place, written in sorted(edits, key=lambda edit: (edit[0].start, -edit[0].end)):
            if place.start >= at:  # else it went with what it stood in
                out += self.raw[at : place.start] + written
                at = place.end
        return bytes(out + self.raw[at:])

    def _content(self) -> Any:
        return self.type.read(self.raw, 0)[0]

    def _place(self, name: str) -> Place | None:
        return self.type.find(self.raw, 0, tuple(name.split(".")))


class Avro:
    """The format of plain bytes."""

    def entries(self, plain: Iterator[bytes], wanted: Wanted | None) -> Iterator[Entry | Broken]:
        """The records of every block in which somebody wanted may stand."""
        container = Container(plain)
        looks = _Looks(container.header, wanted)
        for block in container.blocks():
            data = block.plain(container.header)
            if looks.at(data):
                yield from _records(data, block, container.header)

    def rewrite(
        self, plain: Iterator[bytes], wanted: Wanted | None, decide: Decide, out: Rewritten
    ) -> None:
        """Every block again, each record as decided; a block without records goes."""
        container = Container(plain)
        header = container.header
        looks = _Looks(header, wanted)
        out.keep(0, header.raw)
        for block in container.blocks():
            data = block.plain(header)
            changed = _changed(data, block, header, decide) if looks.at(data) else None
            if changed is None:
                out.keep(block.at_byte, block.raw)
            elif changed:
                out.write(changed)


AVRO = Avro()


def _changed(data: bytes, block: Block, header: Header, decide: Decide) -> bytes | None:
    """The block with its records as decided; None where all of them stay."""
    out, count, kept_from, at = bytearray(), 0, 0, 0
    for entry in _records(data, block, header):
        change: Change = decide(entry)
        behind = at + len(entry.raw)
        count += not change.erases
        if change:
            out += data[kept_from:at]
            out += b"" if change.erases else entry.masked(change.masks)
            kept_from = behind
        at = behind
    if not kept_from:
        return None
    return block_of(bytes(out + data[kept_from:]), count, header)


def _records(data: bytes, block: Block, header: Header) -> Iterator[AvroEntry]:
    """The records of a block. Records without any bytes say nothing: there are none of them."""
    schema = blake2b(header.schema, digest_size=16).digest()
    skip, at = header.type.skip, 0
    if not data:
        return
    for _ in range(block.count):
        try:
            behind = skip(data, at)
        except (*DAMAGED, RecursionError):
            raise UnreadableError("damaged-avro") from None
        if behind > len(data) or behind == at:
            raise UnreadableError("damaged-avro")
        yield AvroEntry(data[at:behind], header.type, schema)
        at = behind
    if at != len(data):
        raise UnreadableError("damaged-avro")


class _Looks:
    """Tells the blocks in which somebody wanted may stand."""

    def __init__(self, header: Header, wanted: Wanted | None) -> None:
        self._needles = None if wanted is None else _needles(header.type, wanted)

    def at(self, data: bytes) -> bool:
        """Whether to look at the records of a block."""
        return self._needles is None or bool(self._needles.places(data))


def _needles(kind: Type, wanted: Wanted) -> Needles | None:
    """What finds them among the bytes of a block; None where the bytes do not spell them."""
    unspelled = any(_UNSPELLED.fullmatch(value) for value in wanted.values)
    lower = {value.lower() for value in wanted.values}
    for name in wanted.fields or ("",):
        for leaf in kind.within(tuple(name.split(".")) if name else ()):
            if unspelled and not leaf.plain:
                return None
            if not lower.isdisjoint(symbol.lower() for symbol in leaf.names):
                return None
    if not wanted.sound or not are_literal(wanted.values, ""):
        return None
    return wanted.made("avro", lambda: _literals(wanted))


def _literals(wanted: Wanted) -> Literals:
    spelled = (value.encode("utf-8", "surrogateescape") for value in wanted.values)
    return Literals(spelled, folded=not wanted.exact)


def _shown(value: Any) -> Any:
    """A value as JSON has it."""
    match value:
        case dict():
            return {name: _shown(inner) for name, inner in value.items()}
        case list():
            return [_shown(inner) for inner in value]
        case bytes():
            return base64.b64encode(value).decode()
        case Decimal():
            return str(value)
        case float() if not math.isfinite(value):
            return str(value)
        case _:
            return value
