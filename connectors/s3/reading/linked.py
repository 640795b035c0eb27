"""Whose an object is, told by the rows that link it: whoever owns such a row owns the object.

In: the rows of a shared collection, the field with the links. Out: objects with their owners, and
links that lead elsewhere. Erasing works from the located keys alone, before the rows go, so that a
crash between the two orphans nothing. An object that a row of somebody else links stays while that
row does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Collection as Collected
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b

from connectors.s3.config import LinkedLayout
from connectors.s3.formats.entries import Broken, Entry, text_of
from connectors.s3.formats.wanted import Wanted
from connectors.s3.links import Addresses
from connectors.s3.reading.owners import Owners, identity_in
from connectors.s3.reading.shared import Shared
from connectors.s3.reading.unread import unseen
from connectors.s3.reading.whose import (
    LINK_ELSEWHERE,
    Elsewhere,
    Facts,
    Located,
    Owned,
    lay_there,
)
from connectors.s3.server.bucket import Bucket, Version
from connectors.s3.server.readable import ReadableBucket
from connectors.s3.templates import derived_from, derived_key
from dsr_worker.contract import (
    AffectedPerson,
    Collection,
    Configuration,
    Context,
    Identity,
    LeakScope,
    Mention,
    Subject,
    Unseen,
)

LINKED_BY_OTHERS = "s3-linked-by-others"  # a row of somebody else links the object as well
_ROW = "row:"


class Linked:
    """The objects that rows of `rows` link."""

    def __init__(
        self, collection: Collection, layout: LinkedLayout, rows: Shared, addresses: Addresses
    ) -> None:
        _check_owners(collection, rows.collection)
        self._collection = collection
        self._layout = layout
        self._rows = rows
        self._addresses = addresses

    def owned(
        self, bucket: Bucket, subjects: Sequence[Subject], ctx: Context
    ) -> Iterator[Owned | Elsewhere]:
        """Each object that a row of a subject links, and each link that leads elsewhere."""
        refs: dict[str, set[str]] = {}
        elsewhere: dict[str, set[str]] = {}
        for row in self._rows.owned(ReadableBucket(bucket), subjects, ctx):
            for link in self._links(row.entry):
                keys = self._keys(link)
                for key in keys:
                    refs.setdefault(key, set()).update(row.owners)
                if not keys:
                    elsewhere.setdefault(link, set()).update(row.owners)
        for key in sorted(refs):
            ctx.check()
            versions = bucket.versions_of(key, ctx.spend)
            if versions:
                yield Owned.wholly(versions, frozenset(refs[key]))
        for link, some in sorted(elsewhere.items()):
            yield Elsewhere(_elsewhere(link), link, frozenset(some))

    def still_owned(
        self, bucket: Bucket, subjects: Sequence[Subject], located: Located, ctx: Context
    ) -> Iterator[Owned]:
        """The located objects; what others' rows link as well stays, or may link unread."""
        readable = ReadableBucket(bucket)
        others = self._linked_by_others(readable, subjects, located, ctx)
        unread = next((ground for _, ground in readable.refused), None)
        for key, rows in located.items():
            ctx.check()
            versions = bucket.versions_of(key, ctx.spend)
            refs = frozenset[str]().union(*rows.values())
            if versions:
                ground = LINKED_BY_OTHERS if key in others else unread
                stays = dict.fromkeys(versions, ground) if ground else {}
                yield Owned(versions, dict.fromkeys(versions, refs), stays)

    def named(
        self, bucket: Bucket, version: Version, subjects: Sequence[Subject], ctx: Context
    ) -> frozenset[str] | None:
        """None: the rows name somebody, it does not."""
        del bucket, version, subjects, ctx
        return None

    def every(self, bucket: Bucket, ctx: Context) -> Iterator[list[Version]]:
        """Every object under the prefix: a link that is gone must not keep what it linked."""
        yield from bucket.objects(self._layout.prefix, ctx.spend)

    def facts(self, bucket: Bucket, ctx: Context) -> Facts:
        """The rows that link the object."""
        return _RowFacts(self._collection.name, partial(self._linked_of, bucket, ctx=ctx))

    def _linked_of(
        self, bucket: Bucket, identities: tuple[Identity, ...], ctx: Context
    ) -> frozenset[str]:
        """The keys that rows of these identities link."""
        people = [Subject("", identities)]
        return frozenset(
            key
            for row in self._rows.owned(ReadableBucket(bucket), people, ctx)
            for link in self._links(row.entry)
            for key in self._keys(link)
        )

    def affected(
        self, bucket: Bucket, scope: LeakScope, ctx: Context
    ) -> Iterator[AffectedPerson | Unseen]:
        """The owners of the rows that link an object of the window; objects of unread rows."""
        readable = ReadableBucket(bucket)
        for entry in self._every_row(readable, None, ctx):
            person = tuple(sorted(self._named(entry, ctx)))
            keys = {key for link in self._links(entry) for key in self._keys(link)}
            if person and keys:
                found = (bucket.versions_of(key, ctx.spend) for key in sorted(keys))
                rows = sum(lay_there(versions, scope) for versions in found)
                if rows:
                    yield AffectedPerson(self._collection.name, person, None, rows)
        yield from unseen(self._collection.name, readable, ctx)

    def mentions(
        self, bucket: Bucket, subjects: Sequence[Subject], ctx: Context
    ) -> Iterator[Mention]:
        """None: the rows tell theirs."""
        del bucket, subjects, ctx
        return iter(())

    # ---- rows and links

    def _linked_by_others(
        self, bucket: Bucket, subjects: Sequence[Subject], located: Located, ctx: Context
    ) -> set[str]:
        """Of the located keys, those that a row links which is somebody's and none of theirs."""
        meant = {key: frozenset[str]().union(*rows.values()) for key, rows in located.items()}
        owners = Owners(self._rows.collection, subjects, ctx)
        others: set[str] = set()
        for entry in self._every_row(bucket, self._linking(meant), ctx):
            for link in self._links(entry):
                for key in self._keys(link):
                    if key not in meant or key in others:
                        continue
                    if not meant[key] & owners.of(entry).keys() and self._named(entry, ctx):
                        others.add(key)
        return others

    def _linking(self, keys: Collected[str]) -> Wanted | None:
        """The rows that could link one of these keys; None: all may.

        A link that is not written as a key is a URL in which something is percent-encoded.
        """
        origins = (
            derived_from(key, text) for key in keys for text in ("{key}", *self._layout.derived)
        )
        values = frozenset(origin for origin in origins if origin is not None)
        if "" in values:
            return None
        meant = frozenset(keys)

        def may_be(field: str, value: object) -> bool:
            text = text_of(value) if field == self._layout.field else None
            return text is not None and not meant.isdisjoint(self._keys(text))

        return Wanted(values | {"%"}, (), may_be, exact=False, sound=True)

    def _every_row(self, bucket: Bucket, wanted: Wanted | None, ctx: Context) -> Iterator[Entry]:
        """The rows of every version; a repeat where an object changed meanwhile does no harm."""

        def read(versions: list[Version]) -> Iterator[Entry]:
            for version in versions:
                for entry in self._rows.records(bucket, version, wanted, ctx):
                    if not isinstance(entry, Broken):
                        yield entry

        for versions in self._rows.objects(bucket, ctx):
            yield from self._rows.steady(bucket, versions, ctx, read)

    def _named(self, entry: Entry, ctx: Context) -> set[Identity]:
        """The identities in a row's owner fields; what a mask has left there names nobody."""
        rows, found = self._rows.collection, set()
        for kind, taken in rows.takes.items():
            field = rows.fields.get(taken.field)
            mask = None if field is None else field.mask
            if mask is None or not mask.holds(entry.value(taken.field)):
                found.add(identity_in(entry, rows, kind, taken.field, ctx))
        return {identity for identity in found if identity is not None}

    def _links(self, entry: Entry) -> Iterator[str]:
        for name, value in entry.scalars():
            text = text_of(value) if name == self._layout.field else None
            if text and text.strip() and not self._rows.collection.names_nobody(name, text):
                yield text

    def _keys(self, link: str) -> tuple[str, ...]:
        """The linked object's key and those of what is derived from it; none: elsewhere."""
        key = self._addresses.key(link)
        if key is None:
            return ()
        return (key, *(derived_key(key, text) for text in self._layout.derived))


@dataclass
class _RowFacts:
    """What rows say of the objects that they link; read once for each set of people."""

    collection: str
    linked_of: Callable[[tuple[Identity, ...]], frozenset[str]]
    read: dict[tuple[Identity, ...], frozenset[str]] = field(default_factory=dict)

    def owned_by(self, version: Version, identities: tuple[Identity, ...]) -> bool:
        if identities not in self.read:
            self.read[identities] = self.linked_of(identities)
        return version.key in self.read[identities]

    def text(self, version: Version, name: str) -> str | None:
        """None but for a row's fields: a hold by one is refused, as it would protect nothing."""
        del version
        if name.startswith(_ROW):
            raise Configuration(
                f"collection {self.collection}: {name} cannot be held by its values here: hold the"
                " person, or the rows themselves and these objects by their keys"
            )
        return None


def is_elsewhere(key: tuple[str, ...]) -> bool:
    """Whether a row's key is that of a link that leads elsewhere."""
    return key[1:] == (LINK_ELSEWHERE,)


def _elsewhere(link: str) -> tuple[str, ...]:
    digest = blake2b(link.encode("utf-8", "replace"), digest_size=16).hexdigest()
    return (f"link:{digest}", LINK_ELSEWHERE)


def _check_owners(collection: Collection, rows: Collection) -> None:
    """An object is found by what its rows are found by: the map says so, so that people see it."""
    wanted = {
        kind: (f"{_ROW}{taken.field}", taken.form) for kind, taken in sorted(rows.takes.items())
    }
    if {kind: (t.field, t.form) for kind, t in sorted(collection.takes.items())} != wanted:
        told = ", ".join(f"{kind}: {field}" for kind, (field, _) in wanted.items())
        raise Configuration(
            f"collection {collection.name}: its owners are those of {rows.name}; write"
            f" takes: {{{told}}}, in the same forms"
        )
