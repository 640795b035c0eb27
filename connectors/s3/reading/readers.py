"""Several calls over the shared objects of one collection, in one pass.

In: a room, readers (each one call about its own subjects), a bucket. Out: what each reader finds.
An object is opened once and each record parsed once for all of them: what any of them may want is
looked for, and each decides by its own owners what of it is its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from connectors.s3.formats.entries import Broken, Entry
from connectors.s3.formats.wanted import Wanted, either
from connectors.s3.reading.owners import Mentioned, Owners
from connectors.s3.scanning.verdicts import Verdicts
from connectors.s3.server.bucket import Bucket, Version
from dsr_worker.contract import Context, Key, Mention, Record, Subject, Withheld

if TYPE_CHECKING:
    from connectors.s3.reading.shared import Shared

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
RIGHTS_OF_OTHERS = "AC_RIGHTS_OF_OTHERS"  # Art. 15(4) GDPR
UNREADABLE = "(unreadable line)"


class Reader(Protocol[T_co]):
    """One call about some subjects."""

    @property
    def subjects(self) -> Sequence[Subject]:
        """Whom it is about."""
        ...

    @property
    def ctx(self) -> Context:
        """Its context."""
        ...

    @property
    def by_owners(self) -> bool:
        """Whether it looks for records by their owners alone, and not for names anywhere."""
        ...

    def __bool__(self) -> bool:
        """Whether there is anything to look for."""
        ...

    def of(self, version: Version, entry: Entry | Broken) -> Iterator[T_co]:
        """What it finds in a record, or in what is none."""
        ...


@dataclass(frozen=True, slots=True)
class Owned:
    """A record with the subjects that own it, and by which kind of identity."""

    version: Version
    entry: Entry
    key: tuple[str, ...]
    owners: dict[str, str]


class OwnedRows(Generic[T]):
    """Finds what subjects own, and tells of each such row what `told` makes of it."""

    by_owners = True

    def __init__(
        self,
        room: Shared,
        subjects: Sequence[Subject],
        ctx: Context,
        told: Callable[[Owned], Iterator[T]],
    ) -> None:
        self.subjects = subjects
        self.ctx = ctx
        self._room = room
        self._owners = Owners(room.collection, subjects, ctx)
        self._told = told

    def __bool__(self) -> bool:
        return bool(self._owners)

    def of(self, version: Version, entry: Entry | Broken) -> Iterator[T]:
        """What is told of the record, where it is owned."""
        if isinstance(entry, Broken):
            return
        owners = self._owners.of(entry)
        if owners:
            yield from self._told(Owned(version, entry, self._room.key_of(version, entry), owners))


class Mentions:
    """Finds places in records of others, and unreadable lines, that name a subject."""

    by_owners = False

    def __init__(self, room: Shared, subjects: Sequence[Subject], ctx: Context) -> None:
        self.subjects = subjects
        self.ctx = ctx
        self._room = room
        self._owners = Owners(room.collection, subjects, ctx)
        self._mentioned = Mentioned(room.collection, subjects)
        self._once = _Once[tuple[str, tuple[str, ...], str]]()

    def __bool__(self) -> bool:
        return True

    def of(self, version: Version, entry: Entry | Broken) -> Iterator[Mention]:
        """Each place once."""
        key = self._key(version, entry)
        for ref, name in self._places(entry):
            if self._once.is_new(key, (ref, key, name)):
                yield Mention(ref, self._room.collection.name, key, name)

    def _key(self, version: Version, entry: Entry | Broken) -> tuple[str, ...]:
        if isinstance(entry, Broken):
            return (version.key, f"byte {entry.at_byte}")
        return self._room.key_of(version, entry)

    def _places(self, entry: Entry | Broken) -> list[tuple[str, str]]:
        if isinstance(entry, Broken):
            return [(ref, UNREADABLE) for ref in sorted(self._mentioned.in_bytes(entry.raw))]
        places = list(self._mentioned.in_entry(entry))
        own = self._owners.of(entry) if places else {}
        return [place for place in places if place[0] not in own]


class _Once(Generic[T]):
    """What was told of the object that is being read."""

    def __init__(self) -> None:
        self._object_key = ""
        self._told: set[T] = set()

    def is_new(self, key: tuple[str, ...], what: T) -> bool:
        """Whether this of a row is told for the first time; its key begins with the object's."""
        if key[0] != self._object_key:
            self._object_key = key[0]
            self._told.clear()
        told = what in self._told
        self._told.add(what)
        return not told


def whole(row: Owned) -> Iterator[Owned]:
    """The row as it is."""
    yield row


def records(room: Shared) -> Callable[[Owned], Iterator[Record]]:
    """A row as its owners get to see it, once per differing text."""
    once = _Once[bytes]()
    third_party = [f.name for f in room.collection.fields.values() if f.third_party]

    def told(row: Owned) -> Iterator[Record]:
        text = row.entry.mark()
        for ref in row.owners:
            said = repr((ref, row.key, text)).encode("utf-8", "replace")
            mark = blake2b(said, digest_size=16).digest()  # one is held for each record
            if once.is_new(row.key, mark):
                others = [n for n in third_party if row.entry.value(n) is not None]
                yield Record(
                    subject_ref=ref,
                    collection=room.collection.name,
                    key=row.key,
                    body=row.entry.body(frozenset(third_party)),  # wherever lists may stand
                    withheld=tuple(Withheld(name, RIGHTS_OF_OTHERS) for name in others),
                )

    return told


def keys(room: Shared) -> Callable[[Owned], Iterator[Key]]:
    """The key of a row, once for each owner."""
    once = _Once[tuple[str, tuple[str, ...]]]()

    def told(row: Owned) -> Iterator[Key]:
        for ref in row.owners:
            if once.is_new(row.key, (ref, row.key)):
                yield Key(ref, room.collection.name, row.key)

    return told


def read(
    room: Shared, bucket: Bucket, readers: Sequence[Reader[T]], ctx: Context
) -> Iterator[tuple[int, T]]:
    """What each of these readers finds in the room's objects, with its number."""
    live = [(number, reader) for number, reader in enumerate(readers) if reader]
    if not live:
        return
    present = [reader for _, reader in live]
    wanted = _wanted(room, present, ctx)
    verdicts = Verdicts(room.collection, ctx)
    by_owners = all(reader.by_owners and not reader.ctx.second_path for reader in present)
    asked = verdicts.owners(_subjects(present)) if by_owners else None

    def in_object(versions: list[Version]) -> Iterator[tuple[int, T]]:
        for version in versions:
            for entry in room.records(bucket, version, wanted, ctx):
                for number, reader in live:
                    for item in reader.of(version, entry):
                        yield number, item

    for versions in room.objects(bucket, ctx):
        if not verdicts.rule_out(versions, asked):
            yield from room.steady(bucket, versions, ctx, in_object)


def _wanted(room: Shared, readers: Sequence[Reader[T]], ctx: Context) -> Wanted | None:
    """The records that one of these readers may want; None: all."""
    if any(reader.ctx.second_path for reader in readers):
        return None
    owning = [reader for reader in readers if reader.by_owners]
    naming = [reader for reader in readers if not reader.by_owners]
    owned = Owners(room.collection, _subjects(owning), ctx).wanted() if owning else None
    named = Mentioned(room.collection, _subjects(naming)).wanted() if naming else None
    return either(owned, named) if owned and named else owned or named


def _subjects(readers: Sequence[Reader[T]]) -> list[Subject]:
    return [subject for reader in readers for subject in reader.subjects]
