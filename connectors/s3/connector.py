"""The S3 connector: everything of a person in one bucket, and nothing of anybody else.

In: a system of the data map and its typed config. Out: the contract's protocols, each a loop over
the rooms of its collections (see `Room`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from typing import ClassVar

from pydantic import BaseModel

from connectors.s3.changing.erase_versions import by_object
from connectors.s3.changing.tally import Tally
from connectors.s3.checking import (
    conditional_writes,
    places_with_ids,
    protection,
    unfinished_uploads,
    unlisted_replicas,
    versioning,
)
from connectors.s3.config import Config as BucketConfig
from connectors.s3.lifecycle.rules import BucketRules
from connectors.s3.lifecycle.verifying import checks
from connectors.s3.proposing import propose
from connectors.s3.proposing.trying import tried
from connectors.s3.reading.keyed import Keyed
from connectors.s3.reading.whose import Located
from connectors.s3.rooms.making import rooms_of
from connectors.s3.rooms.room import Room
from connectors.s3.scanning.units import InParts
from connectors.s3.server.bucket import Bucket, with_no_budget
from dsr_worker.contract import (
    AffectedPerson,
    Ask,
    Configuration,
    ConnectorError,
    Context,
    Finding,
    Key,
    LeakScope,
    Link,
    Mention,
    NeedsHuman,
    Proposal,
    Receipt,
    Record,
    Residence,
    Severity,
    StandingCheck,
    StandingOrder,
    StandingPlan,
    StandingWay,
    Subject,
    SweepOrder,
    System,
    Unseen,
)


class OneBucket(InParts):
    """One bucket. Making it sends no request; it may be used by many threads.

    `first`: where it is a copy, the config of what it is a copy of.
    """

    Config: ClassVar[type[BaseModel]] = BucketConfig

    def __init__(
        self, system: System, config: BucketConfig, first: BucketConfig | None = None
    ) -> None:
        self._bucket = Bucket(config)
        self._config = config
        self._first = first or config
        self._system = system
        self._owner_kinds = system.owner_kinds
        self._rooms = rooms_of(system, config, self._first)

    def close(self) -> None:
        """Close the connections; the connector is not used afterwards."""
        self._bucket.close()

    # ---- Connector

    def check(self) -> Iterator[Finding]:
        """Whether the bucket answers, what of it is versioned, and whether it can be rewritten.

        The probe is a write against an ETag that no object has: a sound endpoint refuses it, and
        from any other the probe's empty object is removed at once.
        """
        rewritten = [room.prefix for room in self._rooms.values() if not room.whole]
        try:
            yield versioning(self._bucket)
            yield protection(self._bucket)
            if rewritten:
                yield conditional_writes(self._bucket)
            yield from self._inventory_found()
            yield from places_with_ids(self._bucket)
            known = (self._first.bucket, *(copy.bucket for copy in self._first.replicas))
            yield from unlisted_replicas(self._bucket, known)
            yield from unfinished_uploads(self._bucket, rewritten)
        except ConnectorError as error:
            yield Finding(Severity.ERROR, "bucket", str(error), "check endpoint, keys and grants")
        for room in self._rooms.values():
            yield from room.check(self._bucket)
        yield from tried(self._bucket, self._system)

    def find(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Record]:
        """Every version under the subjects' prefixes, every record of theirs elsewhere.

        What cannot be read now is a record as well, with all of it withheld.
        """
        bucket = self._reading(ctx)
        for room in self._rooms.values():
            yield from room.find(bucket, subjects, ctx)

    # ---- Resolves, Residences, Mentions, Affected

    def resolve(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Link]:
        """One hop: identities that the subjects' records in shared objects yield."""
        bucket = self._reading(ctx)
        for room in self._rooms.values():
            yield from room.resolve(bucket, subjects, ctx, self._owner_kinds)

    def residences(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Residence]:
        """What the subjects' records in shared objects say of where they live."""
        bucket = self._reading(ctx)
        for room in self._rooms.values():
            yield from room.residences(bucket, subjects, ctx)

    def mentions(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Mention]:
        """Places in other people's records, and unreadable lines, that name a subject."""
        bucket = self._reading(ctx)
        for room in self._rooms.values():
            yield from room.mentions(bucket, subjects, ctx)

    def affected(
        self, scopes: Sequence[LeakScope], ctx: Context
    ) -> Iterator[AffectedPerson | Unseen]:
        """The people of each scope, and what cannot be read. Who names nobody gives nobody."""
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
            yield from room.locate(bucket, subjects, ctx)

    def erase(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Receipt]:
        """Erase the located rows, each object's commit under a guard of its own.

        Idempotent: what is not there any more, or not the subject's any more, is `already_gone`.
        What stops over an object concerns those who have rows in it, never all.
        """
        located = self._located(keys)
        tally = Tally()
        for name, room in self._rooms.items():
            try:
                tally.merge(room.erase(self._bucket, located.get(name, {}), subjects, ctx))
            except NeedsHuman as stop:
                raise NeedsHuman(stop.code, stop.fields) from None
        yield from tally.complete((s.ref for s in subjects), self._rooms)

    # ---- InOnePass, ChangesInUnits: their `units` are in `scanning/units`

    def together(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Record | Key | Mention]]:
        """What each of these calls finds. Shared objects are read once for all of them."""
        for room in self._rooms.values():
            yield from room.together(self._bucket, asks)

    # ---- Rechecks

    def recheck(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Key]:
        """The located versions and rows that still exist, and whatever else the identities find."""
        located = self._located(keys)
        with closing(self._bucket.fresh()) as bucket:
            for name, room in self._rooms.items():
                yield from room.left(bucket, subjects, located.get(name, {}), ctx)

    # ---- Sweeps

    def sweep(self, orders: Sequence[SweepOrder], ctx: Context) -> Iterator[Receipt]:
        """Count first: the brake stops before the first change. Then apply by object."""
        for order in self._ordered(orders):
            room = self._room(order.collection)
            counted = Tally()
            for part in room.sweep(self._bucket, ctx, dry=True):
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
            for part in room.sweep(self._bucket, ctx, dry=False):
                yield from part.receipts()

    def _ordered(self, orders: Sequence[SweepOrder]) -> Iterator[SweepOrder]:
        """Those of these orders that concern this unit, whole objects before the rows of many."""
        places = {name: at for at, name in enumerate(self._rooms)}
        if self._pieces is not None:
            orders = [order for order in orders if order.collection in places]
        yield from sorted(orders, key=lambda order: places.get(order.collection, -1))

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
        with closing(self._bucket.fresh()) as bucket:
            rules = self._rules(bucket)
            yield from checks(rules, self._keyed(), bucket, ways, now, with_no_budget)

    def _rules(self, bucket: Bucket) -> BucketRules:
        return BucketRules(self._system, self._keyed(), bucket, with_no_budget)

    def _keyed(self) -> dict[str, Keyed]:
        """The collections whose objects are told by their keys."""
        found = ((name, room.keyed) for name, room in self._rooms.items())
        return {name: keyed for name, keyed in found if keyed is not None}

    # ---- Proposes

    def propose(self) -> Proposal:
        """The map that the bucket's keys and a sample suggest, and where the present one is old."""
        return propose(self._system, self._bucket, self._config)

    # ---- inside

    def _located(self, keys: Iterable[Key]) -> dict[str, Located]:
        """Located keys by collection and object. Raises `Configuration` for one of no room."""
        grouped = by_object(self._here(keys))
        for name in grouped:
            self._room(name)
        return {**grouped}

    def _room(self, collection: str) -> Room:
        try:
            return self._rooms[collection]
        except KeyError:
            raise Configuration(f"this system has no collection {collection}") from None

    def _reading(self, ctx: Context) -> Bucket:
        return self._bucket.fresh() if ctx.second_path else self._bucket
