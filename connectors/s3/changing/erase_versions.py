"""Erasing objects under a prefix per person, version by version.

In: located keys, or a sweep's order. Out: fates in a tally. Versions go by their ids, older ones
before the one that is current, and a marker is laid over what stays below that one, whoever's it
is: no crash and no refusal brings an old version back to light. What has no id of its own goes on
the condition that nobody has written since; otherwise it is for the next look, since the key alone
does not always say whose it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain

from connectors.s3.changing.decide import decide, latest
from connectors.s3.changing.tally import ACCESS_DENIED, HIDES_VERSION, Fate, Tally
from connectors.s3.reading.keyed import Keyed
from connectors.s3.reading.prefix import Prefixes, VersionRow
from connectors.s3.reading.whose import Owned, key_of
from connectors.s3.server.bucket import Bucket, Version
from connectors.s3.server.emptied import Emptied
from connectors.s3.server.erasing import OTHER_BYTES, replaceable
from connectors.s3.server.locks import Refusal
from connectors.s3.server.probe import Endpoint
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
_BATCH_BY_LABELS = 100  # no condition holds for labels, so that they are not looked at long before
NULL_MARKER = "s3-null-marker"  # nothing tells it from an object written in its place
CANNOT_MASK = "s3-cannot-mask"  # an object is one value: it stays whole, or goes
Refs = frozenset[str]
Rows = Mapping[tuple[str, ...], set[str]]


@dataclass
class Batch:
    """Whole objects, and which of their versions are to be decided for whom (None: a sweep)."""

    objects: list[list[Version]] = field(default_factory=list)
    wanted: dict[Version, tuple[str | None, ...]] = field(default_factory=dict)
    refs: dict[Version, Refs] = field(default_factory=dict)
    stays: dict[Version, str] = field(default_factory=dict)  # by whose they are, with the ground
    laid: dict[Version, tuple[str, ...]] = field(default_factory=dict)  # the markers over them
    changed: set[Version] = field(default_factory=set)  # somebody has written: to be decided anew

    def current(self) -> dict[str, Version]:
        """The newest version of each object."""
        return {v.key: v for versions in self.objects for v in versions if v.latest}

    def leave_out_changed(self) -> None:
        """Decide nothing about what somebody has written meanwhile."""
        for version in self.changed:
            del self.wanted[version]


class VersionEraser:
    """The changing side of one collection of whole objects."""

    def __init__(
        self, prefixes: Prefixes, bucket: Bucket, endpoint: Endpoint, ctx: Context
    ) -> None:
        self._prefixes = prefixes
        self._name = prefixes.collection.name
        self._bucket = bucket
        self._endpoint = endpoint
        self._ctx = ctx
        self._facts = prefixes.whose.facts(bucket, ctx)
        self._by_key = isinstance(prefixes.whose, Keyed)
        self._batch = _BATCH if self._by_key else _BATCH_BY_LABELS

    def erase(self, owned: Iterable[Owned], located: Rows, tally: Tally) -> Rows:
        """Decide and erase the located versions; one that is not there is already gone.

        Returns those that somebody has written meanwhile: they are to be looked at again.
        """
        left = {key: set(refs) for key, refs in located.items()}
        changed: dict[tuple[str, ...], set[str]] = {}
        for batch in self._located(owned, left):
            tally.merge(self._settle(batch, self._ctx.dry_run))
            for version in batch.changed:
                changed.setdefault(key_of(version), set()).update(batch.refs[version])
        for refs in left.values():
            for ref in refs:
                tally.add(ref, self._name, Fate(Outcome.ALREADY_GONE))
        return changed

    def sweep(self, dry: bool) -> Iterator[Tally]:  # noqa: FBT001 - a dry run or not, no third way
        """Decide, and unless `dry` erase, every version of every object, a batch at a time."""
        batch = Batch()
        for versions in self._prefixes.whose.every(self._bucket, self._ctx):
            batch.objects.append(versions)
            batch.wanted |= dict.fromkeys(versions, (None,))
            if len(batch.wanted) >= self._batch:
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
            if len(batch.wanted) >= self._batch:
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
            return self._counted(
                batch, self._fates(batch, ctx.table(self._name), locked, versioning)
            )
        if not self._by_key and any(replaceable(v, versioning) for v in batch.wanted):
            self._endpoint.require_deletes(self._bucket, ctx)
        with ctx.guard() as guard:
            fates = self._fates(batch, guard.table(self._name), locked, versioning)
            doomed = {v for v, fate in fates.items() if fate.outcome is Outcome.ERASED}
            if doomed:
                guard.intend(tuple(self._counted(batch, fates).receipts()))
                self._erase(batch, doomed, versioning, fates)
        batch.leave_out_changed()
        return self._counted(batch, fates)

    def _erase(
        self, batch: Batch, doomed: set[Version], versioning: str, fates: dict[Version, Fate]
    ) -> None:
        for upload in (v for v in doomed if v.upload):
            if not abort(self._bucket, upload.key, upload.version_id, self._ctx.spend):
                fates[upload] = fates[upload].retained(Remainder.UPLOAD)
        older = [v for v in doomed if not v.latest and not v.upload]
        stuck = self._deny(older, batch, versioning, fates)
        written = {v.key for v in batch.changed}
        newest = []
        for version in (v for v in doomed if v.latest):
            if version.key in written:
                batch.changed.add(version)
            elif version.marker and version.key in stuck:
                fates[version] = fates[version].retained(HIDES_VERSION, stuck[version.key])
            else:
                newest.append(version)
        can_go = self._covered(newest, batch, versioning, fates)
        self._deny(can_go, batch, versioning, fates)

    def _covered(
        self, newest: list[Version], batch: Batch, versioning: str, fates: dict[Version, Fate]
    ) -> list[Version]:
        """Those that can go by their ids now, without bringing to light what stays below them.

        Over that a delete marker is laid first: it is as little to be seen as before.
        """
        below = _below(batch, fates)
        can_go = []
        for version in newest:
            stays = below[version.key]
            if version.marker or not stays:
                can_go.append(version)
                continue
            if _displaces(stays, versioning):
                fates[version] = fates[version].retained(HIDES_VERSION, _last(stays, fates))
                continue
            try:
                batch.laid |= self._lay_marker(version)
            except ChangedError:  # another one hides it by now
                if replaceable(version, versioning):
                    batch.changed.add(version)
                    continue
            except NeedsHuman as stop:
                if stop.code != NOT_GRANTED:
                    raise
                fates[version] = fates[version].retained(ACCESS_DENIED)
                continue
            if not replaceable(version, versioning):  # otherwise the marker took its place
                can_go.append(version)
        return can_go

    def _lay_marker(self, version: Version) -> dict[Version, tuple[str, ...]]:
        """Hide an object's current version; the marker's row key. Raises ChangedError."""
        marker = Emptied(self._bucket, version, self._ctx.spend)
        try:
            marker.commit()
        except GoneError:  # nothing is to be seen
            return {version: (version.key,)}
        return {version: key_of(replace(version, version_id=marker.marker_id))}

    def _deny(
        self,
        versions: list[Version],
        batch: Batch,
        versioning: str,
        fates: dict[Version, Fate],
    ) -> dict[str, datetime | None]:
        """Erase; note what is refused, and return the keys of those objects, each with its date."""
        ctx = self._ctx
        stuck: dict[str, datetime | None] = {}
        for version, code in self._refused(versions, batch, versioning).items():
            if code == OTHER_BYTES:
                batch.changed.add(version)
                continue
            refusal = self._bucket.locked(version, ctx.spend, ctx.now) or Refusal(ACCESS_DENIED)
            fates[version] = fates[version].retained(*refusal)
            stuck[version.key] = refusal.until_at
        return stuck

    def _refused(
        self, versions: list[Version], batch: Batch, versioning: str
    ) -> Mapping[Version, str]:
        """Erase; the versions that are refused, all where the bucket takes no such request."""
        spend = self._ctx.spend
        loose = [v for v in versions if not self._by_key and replaceable(v, versioning)]
        stay = self._bucket.erase_unchanged(loose, versioning, batch.current(), spend)
        named = [v for v in versions if v not in loose]
        try:
            return stay | self._bucket.erase_versions(named, versioning, spend)
        except NeedsHuman as stop:
            if stop.code != NOT_GRANTED:
                raise
            return stay | dict.fromkeys(named, NOT_GRANTED)

    def _locked(self, batch: Batch, table: DecisionTable) -> dict[Version, Refusal]:
        erased = (v for v in batch.wanted if self._fate(v, batch, table).outcome is Outcome.ERASED)
        ctx = self._ctx
        found = ((v, self._bucket.locked(v, ctx.spend, ctx.now)) for v in erased)
        return {version: refusal for version, refusal in found if refusal is not None}

    def _fates(
        self,
        batch: Batch,
        table: DecisionTable,
        locked: Mapping[Version, Refusal],
        versioning: str,
    ) -> dict[Version, Fate]:
        fates = {v: self._fate(v, batch, table) for v in batch.wanted}
        refusals = chain(self._unasked(batch, versioning), locked.items())
        for version, refusal in refusals:
            if version in fates and fates[version].outcome is Outcome.ERASED:
                fates[version] = fates[version].retained(*refusal)
        _keep_hidden(batch, fates, versioning)
        return fates

    def _unasked(self, batch: Batch, versioning: str) -> Iterator[tuple[Version, Refusal]]:
        """What stays without the store being asked, because of whose it is or may be by then.

        No condition tells what has no id, under suspended versioning, from what another may write
        in its place, if it is a marker or lies under one.
        """
        for version, ground in batch.stays.items():
            yield version, Refusal(ground)
        if self._by_key or versioning != "Suspended":
            return
        current = batch.current()
        for version in (v for v in batch.wanted if replaceable(v, versioning)):
            newest = current.get(version.key)
            if version.marker:
                yield version, Refusal(NULL_MARKER)
            elif newest is None or newest.marker:
                yield version, Refusal(Remainder.BESIDE)

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
                stays = key_of(version) if fate.stays else batch.laid.get(version)
                kept = self._ctx.digest(self._name, stays) if stays else None
                tally.add(ref, self._name, fate, kept)
        return tally


def _keep_hidden(batch: Batch, fates: dict[Version, Fate], versioning: str) -> None:
    """Keep what hides a version that stays, unless a marker can be laid over that."""
    for versions in batch.objects:
        stays = [v for v in versions if v not in fates or fates[v].stays]
        for marker in (v for v in versions if v.marker and v.latest and v in fates):
            if any(not v.marker for v in stays) and not fates[marker].stays:
                fates[marker] = fates[marker].retained(HIDES_VERSION, _last(stays, fates))
    below = _below(batch, fates)
    for version in (v for v in batch.wanted if v.latest and not v.marker):
        stays = below[version.key]
        if fates[version].outcome is Outcome.ERASED and _displaces(stays, versioning):
            fates[version] = fates[version].retained(HIDES_VERSION, _last(stays, fates))


def _below(batch: Batch, fates: Mapping[Version, Fate]) -> dict[str, list[Version]]:
    """What stays of each object below its current version, and is to stay as hidden as it is."""
    below: dict[str, list[Version]] = {}
    for versions in batch.objects:
        found = [v for v in versions if not v.marker and not v.latest and not v.upload]
        left = [v for v in found if v not in fates or fates[v].stays]
        below.setdefault(versions[0].key, []).extend(left)
    return below


def _displaces(stays: Iterable[Version], versioning: str) -> bool:
    """Whether a marker over these would take the place of one of them."""
    return versioning != "Enabled" and any(v.version_id == "null" for v in stays)


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
