"""The S3 connector: everything of a person in one bucket, and nothing of anybody else.

In: a system of the data map and its typed config. Out: the contract's protocols over two layouts:
objects under a prefix per person, and shared objects with a record a line.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

from pydantic import BaseModel

from connectors.s3.changing.erase_versions import VersionEraser, by_object
from connectors.s3.changing.judges import EveryRecord, LocatedRecords
from connectors.s3.changing.rewrite import Rewriter
from connectors.s3.changing.tally import Tally
from connectors.s3.config import Config as BucketConfig
from connectors.s3.config import PrefixLayout, layout_of
from connectors.s3.reading.prefix import Prefixes
from connectors.s3.reading.recheck import lines_left, versions_left
from connectors.s3.reading.shared import Shared, with_bytes
from connectors.s3.scanning.units import InParts
from connectors.s3.scanning.verdicts import Verdicts
from connectors.s3.server.bucket import Bucket, with_no_budget
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
    Receipt,
    Record,
    Severity,
    Subject,
    SweepOrder,
    System,
)


class S3(InParts):
    """One bucket. Making it sends no request; it may be used by many threads."""

    Config: ClassVar[type[BaseModel]] = BucketConfig

    def __init__(self, system: System, config: BucketConfig) -> None:
        self._bucket = Bucket(config)
        self._config = config
        self._conditional = False
        self._probing = threading.Lock()
        self._owner_kinds = system.owner_kinds
        self._rooms: dict[str, Prefixes | Shared] = {}
        for collection in system.children_first():
            layout = layout_of(collection)
            if isinstance(layout, PrefixLayout):
                self._rooms[collection.name] = Prefixes(collection, layout)
            else:
                self._rooms[collection.name] = Shared(collection, layout)

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
            yield from self._conditional_writes()
            yield from self._inventory_found()
        except ConnectorError as error:
            yield Finding(Severity.ERROR, "bucket", str(error), "check endpoint, keys and grants")
        for name, room in self._rooms.items():
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
        """Every version under the subjects' prefixes, every record of theirs elsewhere."""
        bucket = self._reading(ctx)
        for room in self._rooms.values():
            yield from room.find(bucket, subjects, ctx)

    # ---- Resolves, Mentions, Affected

    def resolve(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Link]:
        """One hop: identities that the subjects' records in shared objects yield."""
        bucket = self._reading(ctx)
        for room in self._rooms.values():
            if isinstance(room, Shared):
                yield from room.resolve(bucket, subjects, ctx, self._owner_kinds)

    def mentions(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Mention]:
        """Places in other people's records, and unreadable lines, that name a subject."""
        bucket = self._reading(ctx)
        for room in self._rooms.values():
            if isinstance(room, Shared):
                yield from room.mentions(bucket, subjects, ctx)

    def affected(self, scopes: Sequence[LeakScope], ctx: Context) -> Iterator[AffectedPerson]:
        """The people of each scope. Records that name nobody give nobody."""
        bucket = self._reading(ctx)
        for scope in scopes:
            yield from self._room(scope.collection).affected(bucket, scope, ctx)

    # ---- Erases

    def locate(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Key]:
        """The key of every version under a prefix, and of every row in shared objects."""
        bucket = self._reading(ctx)
        for room in self._rooms.values():
            yield from room.locate(bucket, subjects, ctx)

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
            if not located:
                continue
            if isinstance(room, Prefixes):
                meant = {key: refs for rows in located.values() for key, refs in rows.items()}
                refs = set[str]().union(*meant.values())
                owned = room.owned(self._bucket, [s for s in subjects if s.ref in refs], ctx)
                VersionEraser(room, self._bucket, ctx).erase(owned, meant, tally)
                continue
            self._writable(ctx)
            rewriter = Rewriter(room, self._bucket, ctx)
            for object_key, rows in located.items():
                versions = with_bytes(self._bucket.versions_of(object_key, ctx.spend))
                judge = LocatedRecords(room, subjects, rows, ctx)
                tally.merge(rewriter.settle(versions, judge, dry=ctx.dry_run))
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
            else:
                yield from lines_left(room, bucket, subjects, located, ctx)

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

    def _swept(self, order: SweepOrder, ctx: Context, *, dry: bool) -> Iterator[Tally]:
        room = self._room(order.collection)
        if isinstance(room, Prefixes):
            yield from VersionEraser(room, self._bucket, ctx).sweep(dry)
            return
        if not dry:
            self._writable(ctx)
        rewriter = Rewriter(room, self._bucket, ctx)
        for versions in room.objects(self._bucket, ctx):
            yield rewriter.settle(versions, EveryRecord(room, ctx), dry=dry)

    # ---- inside

    def _room(self, collection: str) -> Prefixes | Shared:
        try:
            return self._rooms[collection]
        except KeyError:
            raise Configuration(f"this system has no collection {collection}") from None

    def _reading(self, ctx: Context) -> Bucket:
        return self._bucket.fresh() if ctx.second_path else self._bucket

    def _writable(self, ctx: Context) -> None:
        """Refuse to rewrite through an endpoint that would overwrite a concurrent writer."""
        if ctx.dry_run or self._conditional:
            return
        with self._probing:
            self._conditional = self._bucket.conditional(ctx.spend)
        if not self._conditional:
            raise Configuration("the endpoint ignores If-Match: shared objects cannot be rewritten")

    def _versioning(self) -> Finding:
        state = self._bucket.versioning(with_no_budget)
        if state == "Never":
            return Finding(Severity.OK, "versioning", "off: an erased object is gone at once")
        return Finding(
            Severity.OK, "versioning", f"{state}: old versions and delete markers are erased by id"
        )

    def _conditional_writes(self) -> Iterator[Finding]:
        if not any(isinstance(room, Shared) for room in self._rooms.values()):
            return
        if self._bucket.conditional(with_no_budget):
            yield Finding(Severity.OK, "conditional writes", "hold")
        else:
            yield Finding(
                Severity.ERROR,
                "conditional writes",
                "the endpoint ignores If-Match: rewriting could overwrite a concurrent writer",
                "use an endpoint with conditional writes, or take the `shared` collections out",
            )
