"""Erasing objects under a prefix per person, version by version.

In: located keys, or a sweep's order. Out: fates in a tally. Versions go by their ids, older ones
before the one that is current, and a marker is laid over what stays below that one, whoever's it
is: no crash and no refusal brings an old version back to light.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from connectors.s3.changing.decide import decide, latest
from connectors.s3.changing.tally import ACCESS_DENIED, HIDES_VERSION, Fate, Tally
from connectors.s3.reading.prefix import Prefixes, VersionRow
from connectors.s3.reading.whose import Owned, key_of
from connectors.s3.server.bucket import Bucket, Version
from connectors.s3.server.emptied import Emptied
from connectors.s3.server.locks import Refusal
from connectors.s3.server.refusals import NOT_GRANTED, ChangedError, GoneError
from connectors.s3.server.uploads import abort
from dsr_worker.contract import (
    Action,
    Context,
    DecisionTable,
    Key,
    NeedsHuman,
    Outcome,
    Remainder,
)

_BATCH = 1000
CANNOT_MASK = "s3-cannot-mask"  # an object is one value: it stays whole, or goes
Refs = frozenset[str]


@dataclass
class Batch:
    """Whole objects, and which of their versions are to be decided for whom (None: a sweep)."""

    objects: list[list[Version]] = field(default_factory=list)
    wanted: dict[Version, tuple[str | None, ...]] = field(default_factory=dict)
    refs: dict[Version, Refs] = field(default_factory=dict)
    stays: dict[Version, str] = field(default_factory=dict)  # by whose they are, with the ground


class VersionEraser:
    """The changing side of one collection of whole objects."""

    def __init__(self, prefixes: Prefixes, bucket: Bucket, ctx: Context) -> None:
        self._prefixes = prefixes
        self._name = prefixes.collection.name
        self._bucket = bucket
        self._ctx = ctx
        self._facts = prefixes.whose.facts(bucket, ctx)

    def erase(
        self,
        owned: Iterable[Owned],
        located: Mapping[tuple[str, ...], set[str]],
        tally: Tally,
    ) -> None:
        """Decide and erase the located versions; one that is not there is already gone."""
        left = {key: set(refs) for key, refs in located.items()}
        for batch in self._located(owned, left):
            tally.merge(self._settle(batch, self._ctx.dry_run))
        for refs in left.values():
            for ref in refs:
                tally.add(ref, self._name, Fate(Outcome.ALREADY_GONE))

    def sweep(self, dry: bool) -> Iterator[Tally]:  # noqa: FBT001 - a dry run or not, no third way
        """Decide, and unless `dry` erase, every version of every object, a batch at a time."""
        batch = Batch()
        for versions in self._prefixes.whose.every(self._bucket, self._ctx):
            batch.objects.append(versions)
            batch.wanted |= dict.fromkeys(versions, (None,))
            if len(batch.wanted) >= _BATCH:
                yield self._settle(batch, dry)
                batch = Batch()
        if batch.objects:
            yield self._settle(batch, dry)

    def _located(
        self, owned: Iterable[Owned], left: dict[tuple[str, ...], set[str]]
    ) -> Iterator[Batch]:
        batch = Batch()
        for found in owned:
            for version in found.versions:
                owners = found.refs.get(version, frozenset())
                refs = left.get(key_of(version), set()) & owners
                if refs:
                    batch.wanted[version] = tuple(sorted(refs))
                    batch.refs[version] = frozenset(refs)
                    left[key_of(version)] -= refs
            if any(version in batch.wanted for version in found.versions):
                batch.objects.append(found.versions)
                batch.stays |= found.stays
            if len(batch.wanted) >= _BATCH:
                yield batch
                batch = Batch()
        if batch.wanted:
            yield batch

    def _settle(self, batch: Batch, dry: bool) -> Tally:  # noqa: FBT001 - as `sweep`
        ctx = self._ctx
        ctx.check()
        locked = self._locked(batch, ctx.table(self._name))
        versioning = self._bucket.versioning(ctx.spend)
        if dry:
            return self._counted(batch, self._fates(batch, ctx.table(self._name), locked))
        with ctx.guard() as guard:
            fates = self._fates(batch, guard.table(self._name), locked)
            doomed = {v for v, fate in fates.items() if fate.outcome is Outcome.ERASED}
            if doomed:
                guard.intend(tuple(self._counted(batch, fates).receipts()))
                self._erase(batch, doomed, versioning, fates)
        return self._counted(batch, fates)

    def _erase(
        self, batch: Batch, doomed: set[Version], versioning: str, fates: dict[Version, Fate]
    ) -> None:
        for upload in (v for v in doomed if v.upload):
            if not abort(self._bucket, upload.key, upload.version_id, self._ctx.spend):
                fates[upload] = fates[upload].retained(Remainder.UPLOAD)
        older = [v for v in doomed if not v.latest and not v.upload]
        stuck = self._deny(older, versioning, fates)
        newest = []
        for version in (v for v in doomed if v.latest):
            if version.marker and version.key in stuck:
                fates[version] = fates[version].retained(HIDES_VERSION, stuck[version.key])
            else:
                newest.append(version)
        self._deny(self._covered(newest, batch, versioning, fates), versioning, fates)

    def _covered(
        self, newest: list[Version], batch: Batch, versioning: str, fates: dict[Version, Fate]
    ) -> list[Version]:
        """Those that can go by their ids now, without bringing to light what stays below them.

        Over that a delete marker is laid first: it is as little to be seen as before.
        """
        below: dict[str, list[Version]] = {}
        for versions in batch.objects:
            found = [v for v in versions if not v.marker and not v.latest and not v.upload]
            left = [v for v in found if v not in fates or fates[v].stays]
            below.setdefault(versions[0].key, []).extend(left)
        can_go = []
        for version in newest:
            stays = below[version.key]
            if version.marker or not stays:
                can_go.append(version)
                continue
            null = "" if versioning == "Enabled" else "null"  # a marker takes that version's place
            if any(v.version_id == null for v in stays):
                fates[version] = fates[version].retained(HIDES_VERSION, _last(stays, fates))
            elif not self._lay_marker(version):
                fates[version] = fates[version].retained(ACCESS_DENIED)
            elif version.version_id != null:
                can_go.append(version)
        return can_go

    def _lay_marker(self, version: Version) -> bool:
        """Hide an object's current version; False where that is denied."""
        try:
            Emptied(self._bucket, version, self._ctx.spend).commit()
        except (ChangedError, GoneError):
            return True  # another one hides it by now, or nothing is to be seen
        except NeedsHuman as stop:
            if stop.code != NOT_GRANTED:
                raise
            return False
        return True

    def _deny(
        self, versions: list[Version], versioning: str, fates: dict[Version, Fate]
    ) -> dict[str, datetime | None]:
        """Erase; note what is refused, and return the keys of those objects, each with its date."""
        ctx = self._ctx
        stuck: dict[str, datetime | None] = {}
        for version in self._refused(versions, versioning):
            refusal = self._bucket.locked(version, ctx.spend, ctx.now) or Refusal(ACCESS_DENIED)
            fates[version] = fates[version].retained(*refusal)
            stuck[version.key] = refusal.until_at
        return stuck

    def _refused(self, versions: list[Version], versioning: str) -> Iterable[Version]:
        """Erase; the versions that are refused, all where the bucket takes no such request."""
        try:
            return self._bucket.erase_versions(versions, versioning, self._ctx.spend)
        except NeedsHuman as stop:
            if stop.code != NOT_GRANTED:
                raise
            return versions

    def _locked(self, batch: Batch, table: DecisionTable) -> dict[Version, Refusal]:
        erased = (v for v in batch.wanted if self._fate(v, batch, table).outcome is Outcome.ERASED)
        ctx = self._ctx
        found = ((v, self._bucket.locked(v, ctx.spend, ctx.now)) for v in erased)
        return {version: refusal for version, refusal in found if refusal is not None}

    def _fates(
        self, batch: Batch, table: DecisionTable, locked: Mapping[Version, Refusal]
    ) -> dict[Version, Fate]:
        fates = {v: self._fate(v, batch, table) for v in batch.wanted}
        for version, ground in batch.stays.items():
            if version in fates and fates[version].outcome is Outcome.ERASED:
                fates[version] = fates[version].retained(ground)
        for version, refusal in locked.items():
            if fates[version].outcome is Outcome.ERASED:
                fates[version] = fates[version].retained(*refusal)
        for versions in batch.objects:
            stays = [v for v in versions if v not in fates or fates[v].stays]
            for marker in (v for v in versions if v.marker and v.latest and v in fates):
                if any(not v.marker for v in stays) and not fates[marker].stays:
                    fates[marker] = fates[marker].retained(HIDES_VERSION, _last(stays, fates))
        return fates

    def _fate(self, version: Version, batch: Batch, table: DecisionTable) -> Fate:
        row = VersionRow(version, self._facts, batch.refs.get(version, frozenset()))
        rule = decide(table, row)
        newest = latest(rule, row)
        match rule.action:
            case Action.ERASE:
                return Fate(Outcome.ERASED, 0, rule.ground, newest)
            case Action.MASK:
                return Fate(Outcome.RETAINED, 0, rule.ground or CANNOT_MASK, newest)
            case Action.KEEP:
                return Fate(Outcome.RETAINED, 0, rule.ground, newest, quiet=rule.code == "default")
            case Action.RECTIFY | Action.RESTRICT | Action.LIFT:
                raise NotImplementedError(f"object versions are not changed by {rule.action}")

    def _counted(self, batch: Batch, fates: dict[Version, Fate]) -> Tally:
        tally = Tally()
        for version, refs in batch.wanted.items():
            fate = fates[version]
            for ref in refs:
                if ref is None:
                    if not fate.quiet:
                        tally.add(None, self._name, fate)
                    continue
                kept = self._ctx.digest(self._name, key_of(version)) if fate.stays else None
                tally.add(ref, self._name, fate, kept)
        return tally


def _last(stays: Iterable[Version], fates: Mapping[Version, Fate]) -> datetime | None:
    """When the store lets the last of these go, as far as it knows."""
    return max(filter(None, (fates[v].until_at for v in stays if v in fates)), default=None)


def by_object(keys: Iterable[Key]) -> dict[str, dict[str, dict[tuple[str, ...], set[str]]]]:
    """Located keys by collection and object key: `(key) -> subjects`."""
    grouped: dict[str, dict[str, dict[tuple[str, ...], set[str]]]] = {}
    for key in keys:
        of_object = grouped.setdefault(key.collection, {}).setdefault(key.key[0], {})
        of_object.setdefault(key.key, set()).add(key.subject_ref)
    return grouped
