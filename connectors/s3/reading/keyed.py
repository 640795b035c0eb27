"""Whose an object is, told by its key: each identity is a whole segment of it.

In: key templates, a bucket, subjects. Out: objects with their owners. Where several identities
stand in one key, all of them must be the subject's; a key that names others beside is mentioned.

Listing is cheap: under the prefixes of each identity where one leads the key, and otherwise, or
when that takes fewer requests, one listing of what all keys begin with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

from connectors.s3.reading.whose import Facts, Located, Owned, key_of, lay_there
from connectors.s3.server.bucket import Bucket, Version
from connectors.s3.server.uploads import uploads_under
from connectors.s3.templates import KeyTemplate
from dsr_worker.contract import (
    AffectedPerson,
    Collection,
    Context,
    Form,
    Identity,
    LeakScope,
    Mention,
    Subject,
)

_PAGE = 1000  # ListObjectVersions: at most 1,000 keys an answer (S3 API reference)
_FEW = 50  # so many listings of their own are always cheap
_Known = Mapping[str, Mapping[str, frozenset[str]]]  # kind -> value -> subjects


class Keyed:
    """The objects whose keys fit one of several templates; each counts for the last that it fits.

    The first is the map's own, the others are of what is derived: `7.thumb.jpg` is no `7.thumb`'s.
    """

    def __init__(self, collection: Collection, templates: tuple[KeyTemplate, ...]) -> None:
        self._collection = collection
        self._templates = templates

    def owned(self, bucket: Bucket, subjects: Sequence[Subject], ctx: Context) -> Iterator[Owned]:
        """Each object of the subjects with all its versions, and each incomplete upload."""
        known = self._known(subjects)
        for number, template in enumerate(self._templates):
            if not all(known[kind] for kind in template.kinds):
                continue
            for versions in chain(
                self._listed(bucket, template, known, ctx),
                self._uploads(bucket, template, known, ctx),
            ):
                refs = self._owners(number, versions[0].key, known, ctx)
                if refs:
                    yield Owned.wholly(versions, refs)

    def still_owned(
        self, bucket: Bucket, subjects: Sequence[Subject], located: Located, ctx: Context
    ) -> Iterator[Owned]:
        """The same: a key names whom it named when it was located."""
        refs = set[str]().union(*(some for rows in located.values() for some in rows.values()))
        yield from self.owned(bucket, [s for s in subjects if s.ref in refs], ctx)

    def named(
        self, bucket: Bucket, version: Version, subjects: Sequence[Subject], ctx: Context
    ) -> frozenset[str] | None:
        """None: its key names whom it named, whatever lies there."""
        del bucket, version, subjects, ctx
        return None

    def every(self, bucket: Bucket, ctx: Context) -> Iterator[list[Version]]:
        """Every object of a person, then every incomplete upload."""
        for number, template in enumerate(self._templates):
            uploads = ([one] for one in uploads_under(bucket, template.before, ctx.spend))
            for versions in chain(bucket.objects(template.before, ctx.spend), uploads):
                if self._named(number, versions[0].key) is not None:
                    yield versions

    def names_somebody(self, key: str) -> bool:
        """Whether a key is one of the collection's."""
        return any(self._named(n, key) is not None for n in range(len(self._templates)))

    def facts(self, bucket: Bucket, ctx: Context) -> Facts:
        """The identities in the key; one of them is enough to own it."""
        del bucket  # the key says it all
        return _KeyFacts(partial(self._identities, ctx=ctx))

    def affected(self, bucket: Bucket, scope: LeakScope, ctx: Context) -> Iterator[AffectedPerson]:
        """The people whose keys had an object in the window."""
        person: tuple[Identity, ...] = ()
        rows = 0
        for versions in self.every(bucket, ctx):
            ctx.check()
            found = tuple(sorted(self._identities(versions[0].key, ctx)))
            if found != person:
                yield from self._person(person, rows)
                person, rows = found, 0
            rows += lay_there(versions, scope)
        yield from self._person(person, rows)

    def mentions(
        self, bucket: Bucket, subjects: Sequence[Subject], ctx: Context
    ) -> Iterator[Mention]:
        """Keys with several identities of which one is a subject's and another is not."""
        known = self._known(subjects)
        for number, template in enumerate(self._templates):
            if len(template.kinds) == 1:
                continue
            for versions in bucket.objects(template.before, ctx.spend):
                ctx.check()
                found = self._by_kind(number, versions[0].key, known, ctx)
                refs = frozenset[str]().union(*found) - frozenset.intersection(*found)
                for ref in sorted(refs):
                    for version in versions:
                        yield Mention(ref, self._collection.name, key_of(version), "key")

    # ---- whose key is this

    def _named(self, number: int, key: str) -> dict[str, str] | None:
        """The identities in a key, if it counts for this template."""
        if any(each.identities_in(key) is not None for each in self._templates[number + 1 :]):
            return None
        named = self._templates[number].identities_in(key)
        if named is None or any(self._is_nobody(*each) for each in named.items()):
            return None
        return named

    def _is_nobody(self, kind: str, value: str) -> bool:
        return self._collection.names_nobody(self._collection.takes[kind].field, value)

    def _by_kind(self, number: int, key: str, known: _Known, ctx: Context) -> list[frozenset[str]]:
        """The subjects of each identity in a key; of none where it names nobody."""
        found = []
        for kind, value in (self._named(number, key) or {}).items():
            exact = self._collection.takes[kind].form is Form.EXACT
            name = value if exact else ctx.canonical(kind, value)
            found.append(known[kind].get(name, frozenset()) if name else frozenset())
        return found or [frozenset()]

    def _owners(self, number: int, key: str, known: _Known, ctx: Context) -> frozenset[str]:
        return frozenset.intersection(*self._by_kind(number, key, known, ctx))

    def _identities(self, key: str, ctx: Context) -> set[Identity]:
        for number in range(len(self._templates)):
            named = self._named(number, key)
            if named is not None:
                whole = ((kind, ctx.canonical(kind, value)) for kind, value in named.items())
                return {Identity(kind, value) for kind, value in whole if value}
        return set()

    def _known(self, subjects: Sequence[Subject]) -> _Known:
        known: dict[str, dict[str, frozenset[str]]] = {kind: {} for kind in self._collection.takes}
        for subject in subjects:
            for kind, of_kind in known.items():
                for value in subject.values(kind):
                    of_kind[value] = of_kind.get(value, frozenset()) | {subject.ref}
        return known

    def _person(self, person: tuple[Identity, ...], rows: int) -> Iterator[AffectedPerson]:
        if rows and person:
            yield AffectedPerson(self._collection.name, person, None, rows)

    # ---- listing

    def _listed(
        self, bucket: Bucket, template: KeyTemplate, known: _Known, ctx: Context
    ) -> Iterator[list[Version]]:
        """Objects among which all of these identities' are, in as few requests as that takes.

        One listing is in key order, so that when it is given up what it passed is complete.
        """
        kind = template.kinds[0]
        exact = self._collection.takes[kind].form is Form.EXACT
        if not template.leads or not exact:
            yield from self._objects(bucket, template.before, ctx)
            return
        ids = sorted(known[kind])
        passed = b""
        if len(ids) > _FEW:
            for number, versions in enumerate(self._objects(bucket, template.before, ctx)):
                if number >= _PAGE * len(ids):
                    passed = versions[0].key.encode()
                    break
                yield versions
            else:
                return
        for stem, key in _apart(template, ids):
            if stem.encode() >= passed or passed.startswith(stem.encode()):
                for versions in self._under(bucket, stem, key, ctx):
                    if versions[0].key.encode() >= passed:
                        yield versions

    def _uploads(
        self, bucket: Bucket, template: KeyTemplate, known: _Known, ctx: Context
    ) -> Iterator[list[Version]]:
        """Incomplete uploads among which these identities' are, each alone."""
        kind = template.kinds[0]
        exact = self._collection.takes[kind].form is Form.EXACT
        ids = sorted(known[kind])
        apart = template.leads and exact and len(ids) <= _FEW
        stems = [stem for stem, _ in _apart(template, ids)] if apart else [template.before]
        for stem in stems:
            yield from ([upload] for upload in uploads_under(bucket, stem, ctx.spend))

    def _under(
        self, bucket: Bucket, stem: str, key: str | None, ctx: Context
    ) -> Iterator[list[Version]]:
        if key is None:
            yield from self._objects(bucket, stem, ctx)
        elif versions := bucket.versions_of(key, ctx.spend):
            yield versions

    def _objects(self, bucket: Bucket, prefix: str, ctx: Context) -> Iterator[list[Version]]:
        for versions in bucket.objects(prefix, ctx.spend):
            ctx.check()
            yield versions


@dataclass(frozen=True, slots=True)
class _KeyFacts:
    """What a key says."""

    identities_in: Callable[[str], set[Identity]]

    def owned_by(self, version: Version, identities: tuple[Identity, ...]) -> bool:
        return not self.identities_in(version.key).isdisjoint(identities)

    def text(self, version: Version, name: str) -> str | None:
        """None: the key is a field of the version itself."""
        del version, name
        return None


def _apart(template: KeyTemplate, ids: list[str]) -> Iterator[tuple[str, str | None]]:
    """Prefixes of which none lies within another, each with the one key meant, if it is one."""
    stems = {stem: template.key_of(value) for value in ids for stem in template.stems(value)}
    last = ""
    for stem in sorted(stems):
        if last and stem.startswith(last):
            continue
        yield stem, stems[stem]
        last = stem if stems[stem] is None else last
