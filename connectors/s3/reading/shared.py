"""Reading shared objects: one pass over each serves every subject of the batch.

In: a collection in the `shared` layout, a bucket, subjects. Out: records, keys, links, mentions,
affected people. Every version that still exists is read, since a version that nobody sees is still
there. A row is a key: `(object key, *key fields)`; the same row in several versions is one row, and
an access shows each of its differing texts.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Self, TypeVar

from connectors.s3.config import SharedLayout
from connectors.s3.formats.detecting import format_of, parquet
from connectors.s3.formats.entries import (
    Broken,
    Entry,
    Format,
    Source,
    UnreadableError,
    key_text,
    text_of,
)
from connectors.s3.formats.leftover import Bytes
from connectors.s3.formats.wanted import Wanted
from connectors.s3.reading.owners import (
    Strangers,
    clock_of,
    identities_of,
    identity_in,
)
from connectors.s3.reading.readers import (
    Mentions,
    Owned,
    OwnedRows,
    Reader,
    keys,
    read,
    records,
    whole,
)
from connectors.s3.scanning.verdicts import Verdicts
from connectors.s3.server.bucket import Bucket, Version
from connectors.s3.server.ranges import EVERY_KEY, KeyRange
from connectors.s3.server.refusals import ChangedError, GoneError
from connectors.s3.server.source import VersionSource
from dsr_worker.contract import (
    AffectedPerson,
    Ask,
    Call,
    Collection,
    Context,
    Identity,
    Key,
    LeakScope,
    Link,
    Mention,
    NeedsHuman,
    Record,
    Residence,
    Subject,
    Transient,
    Unseen,
)

T = TypeVar("T")
_ATTEMPTS = 5
_PEOPLE_AT_ONCE = 10_000
_MANY_OWNERS = 1_000


class Shared:
    """The shared objects of one collection, read only."""

    def __init__(self, collection: Collection, layout: SharedLayout) -> None:
        self.collection = collection
        self.layout = layout
        self.keys = EVERY_KEY  # the whole prefix, or part of it
        if layout.format == "parquet":
            parquet()

    def within(self, keys: KeyRange) -> Self:
        """The same room, which lists no other objects than these."""
        part = copy.copy(self)
        part.keys = keys
        return part

    # ---- records

    def records(
        self, bucket: Bucket, version: Version, wanted: Wanted | None, ctx: Context
    ) -> Iterator[Entry | Broken]:
        """The records of one version, in order. Raises `NeedsHuman` where the map is wrong."""
        source = VersionSource(bucket, version, ctx.spend)
        try:
            yield from self.format_of(source).entries(source, wanted)
        except UnreadableError as error:
            raise self.unreadable(version, error.reason, ctx) from None

    def format_of(self, source: Source) -> Format:
        """The format of one object of the collection. Raises UnreadableError."""
        owners = [taken.field for taken in self.collection.takes.values()]
        return format_of(source, self.layout, owners or self.collection.key)

    def goes_empty(self, left: bytes | None) -> bool:
        """Whether an object of which so much is left goes, as the map says of emptied ones."""
        if self.layout.emptied == "keep" or left is None:
            return False
        source = Bytes(left)
        return not left or next(self.format_of(source).entries(source, None), None) is None

    def unreadable(self, version: Version, reason: str, ctx: Context) -> NeedsHuman:
        """The stop for a person, naming the object by its digest."""
        place = ctx.digest(self.collection.name, (version.key,))
        fields = {"collection": self.collection.name, "object": place, "reason": reason}
        return NeedsHuman("s3-unreadable-object", fields, for_all=True)

    def _entries(
        self, bucket: Bucket, versions: list[Version], wanted: Wanted | None, ctx: Context
    ) -> Iterator[tuple[Version, Entry]]:
        for version in versions:
            for entry in self.records(bucket, version, wanted, ctx):
                if not isinstance(entry, Broken):
                    yield version, entry

    def in_full(
        self, bucket: Bucket, versions: list[Version], verdicts: Verdicts, ctx: Context
    ) -> Iterator[tuple[Version, Entry]]:
        """Every record of an object; once all were read, it is known who cannot be in it."""
        reading = verdicts.reading(versions)
        for version, entry in self._entries(bucket, versions, None, ctx):
            reading.note(entry)
            yield version, entry
        reading.keep()

    def key_of(self, version: Version, entry: Entry) -> tuple[str, ...]:
        """The row's key."""
        return (version.key, *(key_text(entry.value(name)) for name in self.collection.key))

    def objects(self, bucket: Bucket, ctx: Context) -> Iterator[list[Version]]:
        """The versions with bytes in them, by object, the current one first."""
        for versions in bucket.objects(self.layout.prefix, ctx.spend, self.keys):
            ctx.check()
            found = with_bytes(versions)
            if found:
                yield found

    def steady(
        self,
        bucket: Bucket,
        versions: list[Version],
        ctx: Context,
        read: Callable[[list[Version]], Iterator[T]],
    ) -> Iterator[T]:
        """What `read` yields from an object, from the start again when it changed meanwhile."""
        key = versions[0].key
        for _ in range(_ATTEMPTS):
            try:
                yield from read(versions)
            except (ChangedError, GoneError):
                ctx.check()
                versions = with_bytes(bucket.versions_of(key, ctx.spend))
            else:
                return
        raise Transient("an object changed each time it was read")

    # ---- what belongs to subjects

    def owned(self, bucket: Bucket, subjects: Sequence[Subject], ctx: Context) -> Iterator[Owned]:
        """Every owned record in every version."""
        yield from self._found(bucket, OwnedRows(self, subjects, ctx, whole))

    def find(self, bucket: Bucket, subjects: Sequence[Subject], ctx: Context) -> Iterator[Record]:
        """Each owned record once per differing text."""
        yield from self._found(bucket, OwnedRows(self, subjects, ctx, records(self)))

    def locate(self, bucket: Bucket, subjects: Sequence[Subject], ctx: Context) -> Iterator[Key]:
        """Each owned row once."""
        yield from self._found(bucket, OwnedRows(self, subjects, ctx, keys(self)))

    def mentions(
        self, bucket: Bucket, subjects: Sequence[Subject], ctx: Context
    ) -> Iterator[Mention]:
        """Places in records of others, and unreadable lines, that name a subject."""
        yield from self._found(bucket, Mentions(self, subjects, ctx))

    def together(
        self, bucket: Bucket, asks: Sequence[Ask]
    ) -> Iterator[tuple[int, Record | Key | Mention]]:
        """What several of these calls find, each item with the number of its call, in one pass."""
        readers = [self._reader(ask) for ask in asks]
        yield from read(self, bucket, readers, asks[0].ctx)

    def _found(self, bucket: Bucket, reader: Reader[T]) -> Iterator[T]:
        return (item for _, item in read(self, bucket, [reader], reader.ctx))

    def _reader(self, ask: Ask) -> Reader[Record | Key | Mention]:
        match ask.call:
            case Call.FIND:
                return OwnedRows(self, ask.subjects, ask.ctx, records(self))
            case Call.LOCATE:
                return OwnedRows(self, ask.subjects, ask.ctx, keys(self))
            case Call.MENTIONS:
                return Mentions(self, ask.subjects, ask.ctx)
            case Call.RECHECK | Call.ERASE | Call.SWEEP:
                message = f"{ask.call} reads for itself"
                raise ValueError(message)

    # ---- links

    def resolve(
        self,
        bucket: Bucket,
        subjects: Sequence[Subject],
        ctx: Context,
        owner_kinds: frozenset[str],
    ) -> Iterator[Link]:
        """The identities that owned records yield, with how many others carry them.

        Each row of a `person` collection comes as well, by an identity that found it.
        `owner_kinds` are those by which any collection of the system takes rows.
        """
        if not (self.collection.yields or self.collection.person):
            return
        found: dict[tuple[str, Identity], tuple[Owned, str]] = {}
        own: dict[tuple[str, tuple[str, ...]], tuple[Owned, str]] = {}
        for row in self.owned(bucket, subjects, ctx):
            for ref, via in row.owners.items():
                for identity in self._yielded(row.entry, ctx):
                    found.setdefault((ref, identity), (row, via))
                if self.collection.person:
                    own.setdefault((ref, row.key), (row, via))
        people = {
            (ref, self._person(row.key, row.entry, ctx)) for (ref, _), (row, _) in own.items()
        }
        strangers = Strangers(self.collection, subjects, people, owner_kinds, ctx)
        others = self._carried_by_others(bucket, found, strangers, ctx)
        known = {s.ref: s for s in subjects}
        for (ref, identity), (row, via) in found.items():
            count = others.get((ref, identity), 0)
            if count or identity not in known[ref].identities:
                yield self._link(ref, identity, row, via, ctx, count)
        for (ref, _), (row, via) in own.items():
            found_by = Identity(via, known[ref].values(via)[0])
            yield self._link(ref, found_by, row, via, ctx)

    def _link(
        self, ref: str, identity: Identity, row: Owned, via: str, ctx: Context, owners: int = 0
    ) -> Link:
        person = self._person(row.key, row.entry, ctx) if self.collection.person else ()
        return Link(ref, identity, self.collection.name, row.key, via, owners, person)

    def _person(self, key: tuple[str, ...], entry: Entry, ctx: Context) -> tuple[str, ...]:
        """Whose row of a `person` collection: the identity in its key, the same in every object."""
        named = [
            identity_in(entry, self.collection, kind, taken.field, ctx)
            for kind, taken in sorted(self.collection.takes.items())
            if taken.field in self.collection.key
        ]
        names = tuple(identity.value for identity in named if identity is not None)
        return names if names and len(names) == len(named) else key

    def _yielded(self, entry: Entry, ctx: Context) -> Iterator[Identity]:
        for kind, name in self.collection.yields.items():
            identity = identity_in(entry, self.collection, kind, name, ctx)
            if identity is not None:
                yield identity

    def _carried_by_others(
        self,
        bucket: Bucket,
        links: Iterable[tuple[str, Identity]],
        strangers: Strangers,
        ctx: Context,
    ) -> dict[tuple[str, Identity], int]:
        """Strangers' rows that carry an identity, each once; beyond a thousand nobody counts."""
        refs_of: dict[Identity, set[str]] = {}
        for ref, identity in links:
            refs_of.setdefault(identity, set()).add(ref)
        if not refs_of:
            return {}
        counts: dict[tuple[str, Identity], int] = {}
        verdicts = Verdicts(self.collection, ctx)
        asked = verdicts.carriers(refs_of)

        def read(versions: list[Version]) -> Iterator[tuple[str, Identity, tuple[str, ...]]]:
            for version, entry in self.in_full(bucket, versions, verdicts, ctx):
                for identity in refs_of.keys() & set(self._yielded(entry, ctx)):
                    key = self.key_of(version, entry)
                    whose, refs = self._person(key, entry, ctx), refs_of[identity]
                    for ref in strangers.of(entry, whose, identity, refs):
                        yield ref, identity, key

        objects = self.objects(bucket, ctx)
        for versions in (v for v in objects if not verdicts.rule_out(v, asked)):
            seen: set[tuple[str, Identity, tuple[str, ...]]] = set()
            for ref, identity, key in self.steady(bucket, versions, ctx, read):
                known = counts.get((ref, identity), 0)
                if known < _MANY_OWNERS and (ref, identity, key) not in seen:
                    seen.add((ref, identity, key))
                    counts[ref, identity] = known + 1
        return counts

    def residences(
        self, bucket: Bucket, subjects: Sequence[Subject], ctx: Context
    ) -> Iterator[Residence]:
        """What owned records say of where people live, each text once for each of them."""
        if self.collection.residence is None:
            return
        told: set[tuple[str, str]] = set()
        for row in self.owned(bucket, subjects, ctx):
            stated = self._residence(row.entry)
            for ref in row.owners if stated else ():
                if stated and (ref, stated) not in told:
                    told.add((ref, stated))
                    yield Residence(ref, self.collection.name, stated)

    # ---- breaches

    def affected(
        self, bucket: Bucket, scope: LeakScope, ctx: Context
    ) -> Iterator[AffectedPerson | Unseen]:
        """The people whose records lay in the scope; a person may come in several parts."""

        def read(versions: list[Version]) -> Iterator[tuple[tuple[Identity, ...], str | None]]:
            for version, entry in self._entries(bucket, versions, None, ctx):
                identities = identities_of(entry, self.collection, ctx)
                if identities and self._leaked(entry, version, scope):
                    yield tuple(sorted(identities)), self._residence(entry)

        people: dict[tuple[tuple[Identity, ...], str | None], int] = {}
        for versions in self.objects(bucket, ctx):
            for person in self.steady(bucket, versions, ctx, read):
                people[person] = people.get(person, 0) + 1
                if len(people) >= _PEOPLE_AT_ONCE:
                    yield from self._people(people)
                    people.clear()
        yield from self._people(people)

    def _people(
        self, people: dict[tuple[tuple[Identity, ...], str | None], int]
    ) -> Iterator[AffectedPerson]:
        for (identities, residence), rows in people.items():
            yield AffectedPerson(self.collection.name, identities, residence, rows)

    def _residence(self, entry: Entry) -> str | None:
        return (
            text_of(entry.value(self.collection.residence)) if self.collection.residence else None
        )

    def _leaked(self, entry: Entry, version: Version, scope: LeakScope) -> bool:
        if scope.fields and all(entry.value(name) is None for name in scope.fields):
            return False
        name = self.collection.clocks.get("record_date")
        made_at = clock_of(entry.value(name), self.layout.clock) if name else None
        if made_at is None and name is None:
            made_at = version.last_modified
        return scope.until_at is None or made_at is None or made_at <= scope.until_at


def with_bytes(versions: list[Version]) -> list[Version]:
    """The versions worth reading, the current one first, then the newest."""
    found = [v for v in versions if not v.marker and v.size_bytes]
    return sorted(found, key=lambda v: (not v.latest, -v.last_modified.timestamp()))
