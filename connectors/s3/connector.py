"""The S3 connector: everything of a person in one bucket, and nothing of anybody else.

In: a system of the data map and its typed config. Out: the contract's protocols over whole objects
of people (told by key, labels or links) and shared objects with records of many.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import ClassVar

from pydantic import BaseModel

from connectors.s3.changing.completeness import SharedEraser
from connectors.s3.changing.erase_versions import VersionEraser, by_object
from connectors.s3.changing.judges import EveryRecord, LocatedRecords
from connectors.s3.changing.tally import Fate, Tally
from connectors.s3.checking import places_with_ids, unfinished_uploads, unlisted_replicas
from connectors.s3.config import Config as BucketConfig
from connectors.s3.lifecycle.rules import BucketRules
from connectors.s3.lifecycle.verifying import checks
from connectors.s3.proposing import propose
from connectors.s3.reading.keyed import Keyed
from connectors.s3.reading.linked import is_elsewhere
from connectors.s3.reading.prefix import Prefixes
from connectors.s3.reading.recheck import lines_left, versions_left
from connectors.s3.reading.shared import Shared
from connectors.s3.reading.unread import unread_keys, unread_records
from connectors.s3.reading.whose import LINK_ELSEWHERE, Located
from connectors.s3.rooms import rooms_of
from connectors.s3.scanning.units import InParts
from connectors.s3.scanning.verdicts import Verdicts
from connectors.s3.server.bucket import Bucket, with_no_budget
from connectors.s3.server.probe import Honoured, honoured, probe
from connectors.s3.server.readable import ReadableBucket
from connectors.s3.tables.marks import Marks, findings
from connectors.s3.tables.room import TableRoom, located_in
from dsr_worker.contract import (
    AffectedPerson,
    Configuration,
    ConnectorError,
    Context,
    Finding,
    Key,
    LeakScope,
    Link,
    Mention,
    NeedsHuman,
    Outcome,
    Proposal,
    Receipt,
    Record,
    Severity,
    StandingCheck,
    StandingOrder,
    StandingPlan,
    StandingWay,
    Subject,
    SweepOrder,
    System,
)


class OneBucket(InParts):
    """One bucket. Making it sends no request; it may be used by many threads."""

    Config: ClassVar[type[BaseModel]] = BucketConfig

    def __init__(self, system: System, config: BucketConfig) -> None:
        self._bucket = Bucket(config)
        self._config = config
        self._probing = threading.Lock()
        self._system = system
        self._owner_kinds = system.owner_kinds
        self._rooms = rooms_of(system, config)

    def close(self) -> None:
        """Close the connections; the connector is not used afterwards."""
        self._bucket.close()

    # ---- Connector

    def check(self) -> Iterator[Finding]:
        """Whether the bucket answers, what of it is versioned, and whether it can be rewritten.

        The probe is a write against an ETag that no object has: a sound endpoint refuses it, and
        from any other the probe's empty object is removed at once.
        """
        try:
            yield self._versioning()
            yield self._protection()
            yield from self._conditional_writes()
            yield from self._inventory_found()
            yield from places_with_ids(self._bucket)
            yield from unlisted_replicas(self._bucket, [r.bucket for r in self._config.replicas])
            shared = [r.layout.prefix for r in self._rooms.values() if isinstance(r, Shared)]
            yield from unfinished_uploads(self._bucket, shared)
        except ConnectorError as error:
            yield Finding(Severity.ERROR, "bucket", str(error), "check endpoint, keys and grants")
        for name, room in self._rooms.items():
            if not isinstance(room, TableRoom):
                prefix = room.before if isinstance(room, Prefixes) else room.layout.prefix
                yield from findings(name, prefix, self._bucket)
            if isinstance(room, Prefixes) and any(
                f.mask and f.name == "body" for f in room.collection.fields.values()
            ):
                yield Finding(
                    Severity.WARNING,
                    name,
                    "an object cannot be masked: where its row has to stay, it stays whole",
                    "leave out the mask of `body`",
                )

    def find(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Record]:
        """Every version under the subjects' prefixes, every record of theirs elsewhere.

        What cannot be read now is a record as well, with all of it withheld.
        """
        bucket = self._reading(ctx)
        for room in self._rooms.values():
            if isinstance(room, Prefixes):
                yield from room.find(bucket, subjects, ctx)
            else:
                readable = ReadableBucket(bucket)
                yield from room.find(readable, subjects, ctx)
                yield from unread_records(room, readable, subjects, ctx)

    # ---- Resolves, Mentions, Affected

    def resolve(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Link]:
        """One hop: identities that the subjects' records in shared objects yield."""
        bucket = ReadableBucket(self._reading(ctx))
        for room in self._rooms.values():
            if isinstance(room, Shared):
                yield from room.resolve(bucket, subjects, ctx, self._owner_kinds)

    def mentions(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Mention]:
        """Places in other people's records, and unreadable lines, that name a subject."""
        bucket = self._reading(ctx)
        readable = ReadableBucket(bucket)
        for room in self._rooms.values():
            told_by_key = isinstance(room, Prefixes)  # also of what is archived
            yield from room.mentions(bucket if told_by_key else readable, subjects, ctx)

    def affected(self, scopes: Sequence[LeakScope], ctx: Context) -> Iterator[AffectedPerson]:
        """The people of each scope. Records that name nobody give nobody."""
        bucket = self._reading(ctx)
        for scope in scopes:
            yield from self._room(scope.collection).affected(bucket, scope, ctx)

    # ---- Erases

    def locate(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Key]:
        """The key of every version under a prefix, and of every row in shared objects.

        A version of a shared object that cannot be read now is a row of every subject.
        """
        bucket = self._reading(ctx)
        for room in self._rooms.values():
            if isinstance(room, Prefixes):
                yield from room.locate(bucket, subjects, ctx)
            else:
                readable = ReadableBucket(bucket)
                yield from room.locate(readable, subjects, ctx)
                yield from unread_keys(room, readable, subjects)

    def erase(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Receipt]:
        """Erase the located rows, each object's commit under a guard of its own.

        Idempotent: what is not there any more, or not the subject's any more, is `already_gone`.
        """
        grouped = by_object(self._here(keys))
        for name in grouped:
            self._room(name)
        tally = Tally()
        for name, room in self._rooms.items():
            located = grouped.get(name, {})
            if isinstance(room, Shared):
                self._abort_stale(room, ctx)
            if not located:
                continue
            if isinstance(room, Prefixes):
                Marks(self._bucket, ctx.spend).refuse(name, located)
                self._erase_objects(room, located, subjects, ctx, tally)
                continue
            if isinstance(room, TableRoom):
                rows = located_in(located)
                judge = LocatedRecords(room, subjects, rows, ctx)
                tally.merge(room.settle(self._bucket, judge, ctx, dry=ctx.dry_run))
                continue
            Marks(self._bucket, ctx.spend).refuse(name, located)
            eraser = self._eraser(room, ctx)
            for object_key, rows in located.items():
                tally.merge(eraser.erase(object_key, rows, subjects))
                if not ctx.dry_run:
                    Verdicts(room.collection, ctx).forget(object_key)
        yield from tally.complete((s.ref for s in subjects), self._rooms)

    # ---- Rechecks

    def recheck(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Key]:
        """The located versions and rows that still exist, and whatever else the identities find."""
        bucket, grouped = self._bucket.fresh(), by_object(self._here(keys))
        for name in grouped:
            self._room(name)
        for name, room in self._rooms.items():
            located = grouped.get(name, {})
            if isinstance(room, Prefixes):
                yield from versions_left(room, bucket, subjects, located, ctx)
            elif isinstance(room, TableRoom):
                yield from room.left(bucket, subjects, located_in(located), ctx)
            else:
                readable = ReadableBucket(bucket)
                yield from lines_left(room, readable, subjects, located, ctx)
                yield from unread_keys(room, readable, subjects)

    # ---- Sweeps

    def sweep(self, orders: Sequence[SweepOrder], ctx: Context) -> Iterator[Receipt]:
        """Count first: the brake stops before the first change. Then apply by object."""
        for order in orders:
            counted = Tally()
            for part in self._swept(order, ctx, dry=True):
                counted.merge(part)
                if not ctx.dry_run and counted.changes() > order.max_rows:
                    raise NeedsHuman(
                        "sweep_brake",
                        {
                            "collection": order.collection,
                            "rows": counted.changes(),
                            "limit": order.max_rows,
                        },
                    )
            if ctx.dry_run or not counted.changes():
                yield from counted.receipts()
                continue
            for part in self._swept(order, ctx, dry=False):
                yield from part.receipts()

    # ---- StandingRules

    def standing(self, orders: Sequence[StandingOrder], now: datetime) -> StandingPlan:
        """Which collections a lifecycle rule suffices for, and the diff. Reads only."""
        for order in orders:
            self._room(order.collection)
        return self._rules(self._bucket).plan(orders, now)

    def install(self, plan: StandingPlan) -> None:
        """Write our rules beside everybody else's; nothing where they stand already."""
        self._rules(self._bucket).install(plan)

    def verify(self, ways: Sequence[StandingWay], now: datetime) -> Iterator[StandingCheck]:
        """List what each rule should have let go, on connections of its own."""
        bucket = self._bucket.fresh()
        try:
            rules = self._rules(bucket)
            yield from checks(rules, self._keyed(), bucket, ways, now, with_no_budget)
        finally:
            bucket.close()

    def _rules(self, bucket: Bucket) -> BucketRules:
        return BucketRules(self._system, self._keyed(), bucket, with_no_budget)

    def _keyed(self) -> dict[str, Keyed]:
        """The collections whose objects are told by their keys."""
        rooms = ((n, room.whose) for n, room in self._rooms.items() if isinstance(room, Prefixes))
        return {name: whose for name, whose in rooms if isinstance(whose, Keyed)}

    def _swept(self, order: SweepOrder, ctx: Context, *, dry: bool) -> Iterator[Tally]:
        room = self._room(order.collection)
        if isinstance(room, TableRoom):
            yield room.settle(self._bucket, EveryRecord(room, ctx), ctx, dry=dry)
            return
        marks = Marks(self._bucket, ctx.spend)
        if isinstance(room, Prefixes):
            marks.refuse(room.collection.name, [room.before])
            yield from VersionEraser(room, self._bucket, ctx).sweep(dry)
            return
        readable = ReadableBucket(self._bucket)
        eraser = self._eraser(room, ctx, readable, dry=dry)
        for versions in room.objects(readable, ctx):
            marks.refuse(room.collection.name, [versions[0].key])
            swept = eraser.sweep(versions, dry=dry)
            if not dry and swept.changes():
                Verdicts(room.collection, ctx).forget(versions[0].key)
            yield swept
        yield eraser.unswept()

    # ---- Proposes

    def propose(self) -> Proposal:
        """The map that the bucket's keys and a sample suggest, and where the present one is old."""
        return propose(self._system, self._bucket, self._config)

    # ---- inside

    def _eraser(
        self,
        room: Shared,
        ctx: Context,
        bucket: ReadableBucket | None = None,
        *,
        dry: bool = False,
    ) -> SharedEraser:
        readable = bucket or ReadableBucket(self._bucket)
        honoured = Honoured() if dry else self._writable(ctx)
        return SharedEraser(room, readable, honoured, ctx)

    def _abort_stale(self, room: Shared, ctx: Context) -> None:
        days = self._config.abort_uploads_after_days
        if days is not None:
            self._eraser(room, ctx).abort_stale(timedelta(days=days))

    def _erase_objects(
        self,
        room: Prefixes,
        located: Located,
        subjects: Sequence[Subject],
        ctx: Context,
        tally: Tally,
    ) -> None:
        """Erase whole objects. A link that leads elsewhere stays: nothing of it is here."""
        rows = {key: refs for of_object in located.values() for key, refs in of_object.items()}
        for key in filter(is_elsewhere, rows):
            kept = ctx.digest(room.collection.name, key)
            for ref in sorted(rows[key]):
                fate = Fate(Outcome.RETAINED, ground=LINK_ELSEWHERE)
                tally.add(ref, room.collection.name, fate, kept)
        meant = {key: refs for key, refs in rows.items() if not is_elsewhere(key)}
        objects = {name: found for name, found in located.items() if meant.keys() & found.keys()}
        owned = room.whose.still_owned(self._bucket, subjects, objects, ctx)
        VersionEraser(room, self._bucket, ctx).erase(owned, meant, tally)

    def _room(self, collection: str) -> Prefixes | Shared:
        try:
            return self._rooms[collection]
        except KeyError:
            raise Configuration(f"this system has no collection {collection}") from None

    def _reading(self, ctx: Context) -> Bucket:
        return self._bucket.fresh() if ctx.second_path else self._bucket

    def _writable(self, ctx: Context) -> Honoured:
        """Refuse to rewrite through an endpoint that would overwrite a concurrent writer."""
        if ctx.dry_run:
            return Honoured()
        with self._probing:
            found = honoured(self._bucket, ctx)
        if not found.put:
            raise Configuration("the endpoint ignores If-Match: shared objects cannot be rewritten")
        return found

    def _versioning(self) -> Finding:
        state = self._bucket.versioning(with_no_budget)
        if state == "Never":
            return Finding(Severity.OK, "versioning", "off: an erased object is gone at once")
        return Finding(
            Severity.OK, "versioning", f"{state}: old versions and delete markers are erased by id"
        )

    def _protection(self) -> Finding:
        lock = "on" if self._bucket.locking else "off"
        lists = "kept" if self._bucket.acls else "switched off"
        return Finding(Severity.OK, "protection", f"Object Lock {lock}; access lists {lists}")

    def _conditional_writes(self) -> Iterator[Finding]:
        if not any(isinstance(room, Shared) for room in self._rooms.values()):
            return
        found = probe(self._bucket, with_no_budget)
        if not found.put:
            yield Finding(
                Severity.ERROR,
                "conditional writes",
                "the endpoint ignores If-Match: rewriting could overwrite a concurrent writer",
                "use an endpoint with conditional writes, or take the `shared` collections out",
            )
        elif not found.complete:
            told = "hold, but not of multipart uploads: objects above 5 GiB cannot be rewritten"
            yield Finding(Severity.OK, "conditional writes", told)
        else:
            copies = "" if found.copy else "; the server copies ranges of versions alone"
            yield Finding(Severity.OK, "conditional writes", f"hold{copies}")
