"""Whose an object is, told by its tags and user metadata, each version by its own.

In: a collection whose `takes` name tags (`tag:customer`) or metadata (`meta:customer-id`), a
prefix. Out: objects with their owners. Labels are found by asking for those of every version under
the prefix: a request each, from the rate budget. A delete marker has none and is the owners' of
what it hides, if all of that is theirs. What is derived from an object goes with it, unless it has
labels of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from connectors.s3.config import LabelledLayout
from connectors.s3.reading.owners import Owners, identities_of
from connectors.s3.reading.whose import Facts, Located, Owned, key_of, lay_there
from connectors.s3.server.bucket import Bucket, Version
from connectors.s3.server.labels import metadata_of, tags_of
from connectors.s3.server.refusals import NOT_GRANTED, GoneError
from connectors.s3.templates import derived_key
from dsr_worker.contract import (
    OWNER_CHANGED,
    AffectedPerson,
    Collection,
    Context,
    Identity,
    LeakScope,
    Mention,
    NeedsHuman,
    Remainder,
    Subject,
    Unseen,
    body_of,
)


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels of a version, read as the fields of a record."""

    texts: Mapping[str, str]

    def value(self, name: str) -> str | None:
        """A label; None where the version has none of this name."""
        return self.texts.get(name)

    def scalars(self) -> Iterator[tuple[str, str]]:
        """Every label."""
        return iter(self.texts.items())

    def body(self, leave_out: frozenset[str]) -> bytes:
        """The labels as JSON."""
        return body_of({n: text for n, text in self.texts.items() if n not in leave_out})

    def mark(self) -> bytes:
        """The labels."""
        return self.body(frozenset())


class Labelled:
    """The objects under a prefix whose labels name people."""

    def __init__(self, collection: Collection, layout: LabelledLayout) -> None:
        self._collection = collection
        self._layout = layout
        self._names = [taken.field for taken in collection.takes.values()]
        self._asked = [*self._names, *collection.fields]

    def owned(self, bucket: Bucket, subjects: Sequence[Subject], ctx: Context) -> Iterator[Owned]:
        """Each object of which a version is a subject's, after what is derived from it."""
        owners = Owners(self._collection, subjects, ctx)
        if not owners:
            return
        for versions in bucket.objects(self._layout.prefix, ctx.spend):
            ctx.check()
            refs = {
                version: frozenset(owners.of(labels))
                for version, labels in self._labels(bucket, versions, ctx).items()
            }
            everyone = frozenset[str]().union(*refs.values())
            if not everyone:
                continue
            for sibling in self._derived(bucket, versions[0].key, ctx):
                yield Owned.wholly(sibling, everyone)
            hides = everyone if all(refs.values()) else frozenset()
            yield Owned(versions, {v: refs.get(v, hides) for v in versions})

    def still_owned(
        self, bucket: Bucket, subjects: Sequence[Subject], located: Located, ctx: Context
    ) -> Iterator[Owned]:
        """The located objects. What names nobody by now is still whose it was located as."""
        owners = Owners(self._collection, subjects, ctx)
        for object_key, rows in located.items():
            ctx.check()
            versions = bucket.versions_of(object_key, ctx.spend)
            labels = self._labels(bucket, versions, ctx)
            refs: dict[Version, frozenset[str]] = {}
            stays: dict[Version, str] = {}
            for version in versions:
                meant = frozenset(rows.get(key_of(version), ()))
                entry = labels.get(version, Labels({}))
                named = meant & owners.of(entry).keys()
                if meant and not named and identities_of(entry, self._collection, ctx):
                    stays[version] = OWNER_CHANGED
                refs[version] = named or meant
            if versions:
                yield Owned(versions, refs, stays)

    def named(
        self, bucket: Bucket, version: Version, subjects: Sequence[Subject], ctx: Context
    ) -> frozenset[str] | None:
        """Of the subjects, whom its labels name by now; None where they name nobody."""
        for entry in self._labels(bucket, [version], ctx).values():
            if identities_of(entry, self._collection, ctx):
                return frozenset(Owners(self._collection, subjects, ctx).of(entry))
        return None

    def every(self, bucket: Bucket, ctx: Context) -> Iterator[list[Version]]:
        """Every object that names somebody, and what is derived from it."""
        for versions in bucket.objects(self._layout.prefix, ctx.spend):
            ctx.check()
            if self._speaks(self._labels(bucket, versions, ctx)):
                yield from self._derived(bucket, versions[0].key, ctx)
                yield versions

    def facts(self, bucket: Bucket, ctx: Context) -> Facts:
        """The labels of the version, of a marker those of all it could hide."""
        return _LabelFacts(self._collection, partial(self._seen, bucket, ctx=ctx), ctx)

    def _seen(self, bucket: Bucket, version: Version, ctx: Context) -> list[Labels]:
        beside = bucket.versions_of(version.key, ctx.spend) if version.marker else [version]
        return [*self._labels(bucket, beside, ctx).values()]

    def affected(
        self, bucket: Bucket, scope: LeakScope, ctx: Context
    ) -> Iterator[AffectedPerson | Unseen]:
        """The people whom the versions of the window name, and the versions of denied labels."""
        for versions in bucket.objects(self._layout.prefix, ctx.spend):
            ctx.check()
            for version in versions:
                if lay_there([version], scope):
                    yield from self._named_by(bucket, version, ctx)

    def _named_by(
        self, bucket: Bucket, version: Version, ctx: Context
    ) -> Iterator[AffectedPerson | Unseen]:
        name = self._collection.name
        try:
            labels = self._labels(bucket, [version], ctx)
        except NeedsHuman as stop:
            if stop.code != NOT_GRANTED:
                raise
            yield Unseen(name, ctx.digest(name, key_of(version)), Remainder.DENIED)
            return
        for entry in labels.values():
            person = tuple(sorted(identities_of(entry, self._collection, ctx)))
            if person:
                yield AffectedPerson(name, person, None, 1)

    def mentions(
        self, bucket: Bucket, subjects: Sequence[Subject], ctx: Context
    ) -> Iterator[Mention]:
        """None: whoever a label names owns the version."""
        del bucket, subjects, ctx
        return iter(())

    def _derived(self, bucket: Bucket, key: str, ctx: Context) -> Iterator[list[Version]]:
        for text in self._layout.derived:
            versions = bucket.versions_of(derived_key(key, text), ctx.spend)
            if versions and not self._speaks(self._labels(bucket, versions, ctx)):
                yield versions

    def _speaks(self, labels: Mapping[Version, Labels]) -> bool:
        return any(entry.value(name) for entry in labels.values() for name in self._names)

    def _labels(
        self, bucket: Bucket, versions: list[Version], ctx: Context
    ) -> dict[Version, Labels]:
        """The labels of each version that has bytes, and is there still."""
        found = {}
        for version in versions:
            if version.marker:
                continue
            texts: dict[str, str] = {}
            try:
                if any(name.startswith("tag:") for name in self._asked):
                    tags = tags_of(bucket, version, ctx.spend)
                    texts |= {f"tag:{name}": text for name, text in tags.items()}
                if any(name.startswith("meta:") for name in self._asked):
                    metadata = metadata_of(bucket, version, ctx.spend)
                    texts |= {f"meta:{name}": text for name, text in metadata.items()}
            except GoneError:
                continue
            found[version] = Labels(texts)
        return found


@dataclass(frozen=True, slots=True)
class _LabelFacts:
    """What labels say; they are asked for anew each time, since a hold must not miss a change."""

    collection: Collection
    seen: Callable[[Version], list[Labels]]
    ctx: Context

    def owned_by(self, version: Version, identities: tuple[Identity, ...]) -> bool:
        return any(
            not identities_of(entry, self.collection, self.ctx).isdisjoint(identities)
            for entry in self.seen(version)
        )

    def text(self, version: Version, name: str) -> str | None:
        if not name.startswith(("tag:", "meta:")):
            return None
        return next((text for entry in self.seen(version) if (text := entry.value(name))), None)
