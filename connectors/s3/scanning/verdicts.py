"""What is known of objects that were read in full: whose names they cannot hold.

In: the records of an object, all of them parsed. Out: a filter in the system's state, by which the
next call leaves the object alone without reading it. A filter says "perhaps" now and then and "no"
never wrongly: it is void as soon as the object's versions, the map, the key or this software are
not those it was made with.

A filter is the sorted 32-bit prints of keyed digests (BLAKE2b under a key of the system's own), in
pieces of 16,000, each under 64 KiB; an object with more than 24 of those has none. Not a Bloom
filter of the same use: a batch asks for hundreds of names at once, and at one wrong "perhaps" in a
hundred names it would read every second clean object. Here it is one in 270,000 at most.
"""

from __future__ import annotations

import hashlib
import os
import struct
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from dataclasses import field as field_of
from functools import cache, partial
from importlib.metadata import version as version_of

from connectors.s3.formats.entries import Entry
from connectors.s3.reading.equality import equality_of, is_typed
from connectors.s3.reading.owners import values_of
from connectors.s3.server.bucket import Version
from dsr_worker.contract import Collection, Context, Form, Identity, Subject

_KEY = "verdict-key"
_KEY_BYTES = 32
_CHECK_BYTES = 16
_IN_PIECE = 16_000  # on average: 4 bytes each, with room for pieces that come out fuller
_MOST_PIECES = 24
_PRINT = 0xFFFFFFFF
_JUST_NOTED = 20_000  # texts of one field, so that repeated ones are cheap


class Verdicts:
    """The filters of one collection, for one call."""

    def __init__(self, collection: Collection, ctx: Context) -> None:
        self._collection = collection
        self._ctx = ctx
        self._key = ctx.state.get(_KEY)
        self._rules = rules_of(collection)

    def owners(self, subjects: Sequence[Subject]) -> Asked | None:
        """What asks for records of these subjects; None where there are no filters at all."""
        if self._key is None:
            return None
        kinds = self._collection.takes
        return Asked(
            _digest(self._key, "takes", kind, value)
            for kind in kinds
            for subject in subjects
            for value in subject.values(kind)
            if value
        )

    def carriers(self, identities: Iterable[Identity]) -> Asked | None:
        """What asks for records that yield one of these; None where there are no filters at all."""
        if self._key is None:
            return None
        return Asked(_digest(self._key, "yields", i.kind, i.value) for i in identities)

    def rule_out(self, versions: Sequence[Version], asked: Asked | None) -> bool:
        """Whether a full reading of exactly these versions met nobody who is asked for."""
        if asked is None or self._key is None or not versions:
            return False
        check = self._check(versions)
        pieces: dict[int, _Piece | None] = {0: self._piece(versions[0].key, 0, check)}
        first = pieces[0]
        if first is None:
            return False
        for digest in asked.digests:
            number = _number(digest, first.of)
            if number not in pieces:
                pieces[number] = self._piece(versions[0].key, number, check)
            piece = pieces[number]
            if piece is None or piece.may_hold(digest):
                return False
        return True

    def reading(self, versions: Sequence[Version]) -> Reading:
        """Begin to note who stands in all records of these versions."""
        if self._key is None:
            self._key = os.urandom(_KEY_BYTES)
            self._ctx.state.put(_KEY, self._key)
        return Reading(self, self._key, versions)

    def forget(self, object_key: str) -> None:
        """Know nothing of an object any more."""
        self._forget(object_key, 0)

    def places(self) -> list[_Place]:
        """Where in a record identities stand, and how they are read there."""
        takes, yields = self._collection.takes.items(), self._collection.yields.items()
        return [
            *(self._place("takes", kind, t.field, exact=t.form is Form.EXACT) for kind, t in takes),
            *(self._place("yields", kind, field, exact=False) for kind, field in yields),
        ]

    def _place(self, way: str, kind: str, field: str, *, exact: bool) -> _Place:
        collection = self._collection
        text_of = partial(
            equality_of(collection, field).text_of, typed=is_typed(collection)
        )  # the text of a value that is compared, as `Owners` has it

        def named(text: str) -> str | None:
            if collection.names_nobody(field, text):
                return None
            return text if exact else self._ctx.canonical(kind, text)

        return _Place(way, kind, field, text_of, named)

    def keep(self, versions: Sequence[Version], digests: set[int]) -> None:
        """Keep the filter of an object that was read in full."""
        of = max(1, -(-len(digests) // _IN_PIECE))
        if of > _MOST_PIECES:
            self.forget(versions[0].key)
            return
        parts: list[list[int]] = [[] for _ in range(of)]
        for digest in digests:
            parts[_number(digest, of)].append(digest)
        self._forget(versions[0].key, of)
        check = self._check(versions)
        for number in reversed(range(of)):  # the first piece is read first: it comes last
            piece = _Piece.of_digests(parts[number], of)
            self._ctx.state.put(self._name(versions[0].key, number), check + piece.to_bytes())

    def _forget(self, object_key: str, start: int) -> None:
        """Forget the pieces from this one on."""
        first = self._ctx.state.get(self._name(object_key, 0))
        for number in range(start, 0 if first is None else first[_CHECK_BYTES]):
            self._ctx.state.forget(self._name(object_key, number))

    def _piece(self, object_key: str, number: int, check: bytes) -> _Piece | None:
        value = self._ctx.state.get(self._name(object_key, number))
        if value is None or value[:_CHECK_BYTES] != check:
            return None
        return _Piece.from_bytes(value[_CHECK_BYTES:])

    def _name(self, object_key: str, number: int) -> str:
        return f"verdict/{self._collection.name}/{number}/{object_key}"

    def _check(self, versions: Sequence[Version]) -> bytes:
        """What a filter was made of; a change of anything makes it void."""
        made = hashlib.blake2b(self._rules, key=self._key or b"", digest_size=_CHECK_BYTES)
        for text in sorted(f"{v.version_id}\0{v.etag}\0{v.size_bytes}\n" for v in versions):
            made.update(text.encode())
        return made.digest()


class Asked:
    """Identities that are asked for, by their digests."""

    __slots__ = ("digests",)

    def __init__(self, digests: Iterable[int]) -> None:
        self.digests = tuple(digests)


@dataclass(frozen=True, slots=True)
class _Place:
    """A field in which identities of a kind stand, and how `Owners` reads it."""

    way: str
    kind: str
    field: str
    text_of: Callable[[object], str | None]  # of a value: what is compared
    named: Callable[[str], str | None]  # of such a text: whom it names
    noted: set[str] = field_of(default_factory=set)


class Reading:
    """One full reading of an object; `keep` it once every record of every version was noted."""

    def __init__(self, verdicts: Verdicts, key: bytes, versions: Sequence[Version]) -> None:
        self._verdicts = verdicts
        self._key = key
        self._versions = versions
        self._digests: set[int] = set()
        self._places = verdicts.places()

    def note(self, entry: Entry) -> None:
        """A record."""
        if len(self._digests) > _IN_PIECE * _MOST_PIECES:
            return
        for place in self._places:
            for value in values_of(entry, place.field):
                text = place.text_of(value)
                if text and text not in place.noted:
                    self._note(place, text)

    def _note(self, place: _Place, text: str) -> None:
        if len(place.noted) >= _JUST_NOTED:
            place.noted.clear()
        place.noted.add(text)
        name = place.named(text)
        if name:
            self._digests.add(_digest(self._key, place.way, place.kind, name))

    def keep(self) -> None:
        """All was read."""
        if self._versions:
            self._verdicts.keep(self._versions, self._digests)


class _Piece:
    """Prints of digests, in order."""

    __slots__ = ("_prints", "of")

    def __init__(self, prints: Sequence[int], of: int) -> None:
        self._prints = prints
        self.of = of  # how many pieces the object's filter has

    @classmethod
    def of_digests(cls, digests: Iterable[int], of: int) -> _Piece:
        return cls(sorted({digest & _PRINT for digest in digests}), of)

    @classmethod
    def from_bytes(cls, value: bytes) -> _Piece:
        return cls(struct.unpack(f"<{len(value) // 4}I", value[1:]), value[0])

    def to_bytes(self) -> bytes:
        return bytes([self.of]) + struct.pack(f"<{len(self._prints)}I", *self._prints)

    def may_hold(self, digest: int) -> bool:
        wanted = digest & _PRINT
        at = bisect_left(self._prints, wanted)
        return at < len(self._prints) and self._prints[at] == wanted


def _number(digest: int, of: int) -> int:
    """The piece in which a digest stands: by the bits that its print leaves out."""
    return (digest >> 32) % of


def _digest(key: bytes, way: str, kind: str, value: str) -> int:
    text = f"{way}\0{kind}\0{value}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, key=key, digest_size=8).digest())


def rules_of(collection: Collection) -> bytes:
    """Everything of the map by which the identities of a record are told, and this software."""
    takes = sorted((kind, t.field, str(t.form)) for kind, t in collection.takes.items())
    nobody = sorted((f.name, sorted(f.null_values)) for f in collection.fields.values())
    source = sorted((name, repr(value)) for name, value in collection.source.items())
    told = (_software(), collection.name, takes, sorted(collection.yields.items()), nobody, source)
    return repr(told).encode("utf-8", "surrogatepass")


@cache
def _software() -> str:
    return version_of("dsr-worker")
