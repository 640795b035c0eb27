"""One table as a collection: rows found in its files, decided, and changed by its own library.

In: subjects, decision tables. Out: what every other room gives. Finding and looking again read all
data files that exist, whatever the table's log says of them: a row is there as long as its bytes
are. Changing goes through the library, and then history goes as well, since it holds what was
erased: old files with all versions, and the log or the manifests that name values of theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import chain
from typing import ClassVar

from connectors.s3.changing.judges import EveryRecord, Fates, Judge, LocatedRecords, RowKey
from connectors.s3.changing.tally import ACCESS_DENIED, Tally
from connectors.s3.config import Config, SharedLayout, TableLayout
from connectors.s3.formats.entries import Entry, UnreadableError, key_text
from connectors.s3.formats.wanted import Wanted
from connectors.s3.reading.owners import Owners
from connectors.s3.reading.recheck import is_masked
from connectors.s3.reading.whose import Located
from connectors.s3.rooms.rows import RowsRoom
from connectors.s3.scanning.verdicts import Verdicts
from connectors.s3.server.bucket import Bucket, Version
from connectors.s3.server.erasing import OTHER_BYTES
from connectors.s3.server.locks import Refusal
from connectors.s3.server.refusals import ChangedError, GoneError
from connectors.s3.server.source import VersionSource
from connectors.s3.tables.delta import DeltaTable
from connectors.s3.tables.iceberg import IcebergTable
from connectors.s3.tables.opened import Altered, Opened
from connectors.s3.tables.rows import RowEntry, rows_of
from connectors.s3.tables.wire import Lake
from dsr_worker.contract import (
    Action,
    Collection,
    Context,
    DecisionTable,
    Finding,
    Guard,
    Key,
    Subject,
    Transient,
)

_ATTEMPTS = 5
_UNDER_WAY = timedelta(days=7)  # Delta's own default for files that no version names
_RETRY_AFTER_S = 3600.0
_NO_DATA = {"delta": ("_delta_log/",), "iceberg": ("metadata/",)}
HISTORY = "s3-table-history"  # the table's past holds a row that must stay and is not in it now


@dataclass
class _Plan:
    """What to do to a table, before anything is done."""

    table: Opened
    now: Fates
    past: Fates
    altered: dict[str, Altered] = field(default_factory=dict)
    protected: set[RowKey] = field(default_factory=set)
    stays: set[RowKey] = field(default_factory=set)
    orphans: set[str] = field(default_factory=set)  # files of no commit, present or past
    refusal: Refusal | None = None  # why nothing can be changed

    @property
    def changes(self) -> bool:
        return self.refusal is None and (self.now.changes() or self.past.changes())

    def fates(self, empty: Fates) -> Fates:
        empty.merge(self.past, self.refusal)
        empty.merge(self.now, self.refusal)
        return empty


class TableRoom(RowsRoom):
    """One table. Its rows are keyed by the table's prefix and their key fields."""

    apart: ClassVar[bool] = False  # its files belong together

    def __init__(self, collection: Collection, layout: TableLayout, config: Config) -> None:
        read = SharedLayout(
            layout="shared", prefix=layout.prefix, format="ndjson", clock=layout.clock
        )  # the prefix and the clock count; the format is that of the table's files
        super().__init__(collection, read, config)
        self._table = layout

    def check(self, bucket: Bucket) -> Iterator[Finding]:
        """Nothing: what is no table is told when it is opened."""
        del bucket
        return iter(())

    # ---- reading

    def opened(self, bucket: Bucket, ctx: Context) -> Opened:
        """The table at its newest state. Raises NeedsHuman where it cannot be handled whole."""
        lake = Lake(bucket, self.config, ctx.spend)
        ctx.spend()
        layout = self._table
        if layout.format == "delta":
            return DeltaTable(lake, layout.prefix)
        return IcebergTable(lake, layout.prefix, layout.catalog, layout.table)

    def objects(self, bucket: Bucket, ctx: Context) -> Iterator[list[Version]]:
        """The data files with all versions, current or not."""
        self.opened(bucket, ctx)
        yield from self._files(bucket, ctx)

    def _files(self, bucket: Bucket, ctx: Context) -> Iterator[list[Version]]:
        beside = tuple(self._table.prefix + folder for folder in _NO_DATA[self._table.format])
        for versions in super().objects(bucket, ctx):
            if not versions[0].key.startswith(beside):
                yield versions

    def records(
        self, bucket: Bucket, version: Version, wanted: Wanted | None, ctx: Context
    ) -> Iterator[Entry]:
        """The rows of one data file. Raises `NeedsHuman`."""
        source = VersionSource(bucket, version, ctx.spend)
        try:
            yield from rows_of(source, version.key.removeprefix(self._table.prefix), wanted)
        except UnreadableError as error:
            raise self.unreadable(version, error.reason, ctx) from None

    def in_full(
        self, bucket: Bucket, versions: list[Version], verdicts: Verdicts, ctx: Context
    ) -> Iterator[tuple[Version, Entry]]:
        """Every row of a file. Files come and go, so nothing is kept of who is not in them."""
        del verdicts
        for version in versions:
            for entry in self.records(bucket, version, None, ctx):
                yield version, entry

    def key_of(self, version: Version, entry: Entry) -> tuple[str, ...]:
        """The row's key: files come and go, so they are no part of it."""
        names = self.collection.key
        return (self._table.prefix, *(key_text(entry.value(name)) for name in names))

    def left(
        self,
        bucket: Bucket,
        subjects: Sequence[Subject],
        located: Located,
        ctx: Context,
    ) -> Iterator[Key]:
        """The located rows, and every other one of the subjects, in any file that still exists."""
        rows = _rows(located)
        owners = Owners(self.collection, subjects, ctx)

        def read(versions: list[Version]) -> Iterator[Key]:
            for version in versions:
                for entry in self.records(bucket, version, None, ctx):
                    key, refs = self.key_of(version, entry), set(owners.of(entry))
                    if key in rows and any(key[1:]) and is_masked(entry, self.collection):
                        refs |= rows[key]
                    yield from (Key(ref, self.collection.name, key) for ref in sorted(refs))

        told: set[Key] = set()
        for versions in self.objects(bucket, ctx):
            for key in self.steady(bucket, versions, ctx, read):
                if key not in told:
                    told.add(key)
                    yield key

    # ---- changing

    def erase(
        self, bucket: Bucket, located: Located, subjects: Sequence[Subject], ctx: Context
    ) -> Tally:
        """Erase the located rows, all of them in one change."""
        self.abort_stale(bucket, ctx)
        if not located:
            return Tally()
        judge = LocatedRecords(self, subjects, _rows(located), ctx)
        return self.settle(bucket, judge, ctx, dry=ctx.dry_run)

    def sweep(self, bucket: Bucket, ctx: Context, *, dry: bool) -> Iterator[Tally]:
        """Every row of the table, as one part."""
        yield self.settle(bucket, EveryRecord(self, ctx), ctx, dry=dry)

    def settle(self, bucket: Bucket, judge: Judge, ctx: Context, *, dry: bool) -> Tally:
        """Decide and, unless `dry`, change the table and end its history. A repeat finds nothing.

        Raises `Transient` when others write it all the time.
        """
        table = ctx.table(self.collection.name)
        for _ in range(_ATTEMPTS):
            ctx.check()
            try:
                plan = self._plan(bucket, judge, table, ctx)
            except (ChangedError, GoneError):
                continue  # a file went meanwhile
            if dry or not plan.changes:
                return plan.fates(judge.fates()).tally()
            with ctx.guard() as guard:
                newest = guard.table(self.collection.name)
                if newest == table:
                    self._commit(bucket, plan, judge, guard, ctx)
                    return plan.fates(judge.fates()).tally()
                table = newest
        raise Transient("a table changed each time it was read")

    def _plan(self, bucket: Bucket, judge: Judge, table: DecisionTable, ctx: Context) -> _Plan:
        opened = self.opened(bucket, ctx)
        plan = _Plan(opened, judge.fates(), judge.fates())
        current, past = opened.current(), opened.past()
        locks: list[Refusal] = []
        for versions in self._files(bucket, ctx):
            for version in versions:
                is_now = version.latest and version.key in current
                before = len(plan.altered)
                told = self._read(bucket, version, plan, judge, table, ctx, now=is_now)
                if told and version.latest and version.key not in current | past:
                    self._abandoned(version, plan, ctx)
                touched = len(plan.altered) > before or (told and not is_now)
                if touched and (lock := bucket.locked(version, ctx.spend, ctx.now)):
                    locks.append(lock)
        if plan.protected - plan.stays:
            plan.refusal = Refusal(HISTORY)
        elif locks:
            plan.refusal = max(locks, key=lambda lock: lock.length)
        return plan

    def _abandoned(self, version: Version, plan: _Plan, ctx: Context) -> None:
        """A file that nothing names is of a commit under way, or of one that never came."""
        if ctx.now - version.last_modified < _UNDER_WAY:
            raise Transient(
                "a file that no commit names yet holds rows", retry_after_s=_RETRY_AFTER_S
            )
        plan.orphans.add(version.key)

    def _read(
        self,
        bucket: Bucket,
        version: Version,
        plan: _Plan,
        judge: Judge,
        table: DecisionTable,
        ctx: Context,
        *,
        now: bool,
    ) -> bool:
        """Judge the rows of one file; whether any of them is to go."""
        found = False
        for entry in self.records(bucket, version, judge.wanted(table, old=not now), ctx):
            key = self.key_of(version, entry)
            judgement = judge.judge(entry, key, table, old=not now)
            if judgement is None:
                continue
            (plan.now if now else plan.past).add(judgement.refs, key, judgement.fate)
            goes = judgement.action is Action.ERASE
            found = found or goes
            if not now:
                if not goes:
                    plan.protected.add(key)
                continue
            if not goes:
                plan.stays.add(key)
            if goes or judgement.masks:
                self._alter(plan, entry, table, None if goes else judgement.masks)
        return found

    def _alter(
        self,
        plan: _Plan,
        entry: Entry,
        table: DecisionTable,
        masks: Mapping[str, str | None] | None,
    ) -> None:
        assert isinstance(entry, RowEntry)  # noqa: S101 - `records` yields nothing else
        match = {name: entry.stored(name) for name in self._deciding(table)}
        plan.altered[repr(match)] = Altered(match, masks)

    def _deciding(self, table: DecisionTable) -> list[str]:
        """The fields on which a decision and its masks rest: rows alike in them go together."""
        collection, names = self.collection, list(self.collection.key)
        names += [taken.field for taken in collection.takes.values()]
        names += [*collection.yields.values(), *collection.clocks.values()]
        for rule in table.rules:
            name = getattr(rule.when, "field", None)
            names += [name] if name else []
            names += rule.masks
        return list(dict.fromkeys(names))

    def _commit(
        self, bucket: Bucket, plan: _Plan, judge: Judge, guard: Guard, ctx: Context
    ) -> None:
        guard.intend(tuple(plan.fates(judge.fates()).tally().receipts()))
        if plan.altered:
            ctx.spend()
            plan.table.change(list(plan.altered.values()))
        versioning = bucket.versioning(ctx.spend)
        for keys in chain([sorted(plan.orphans)], plan.table.retire()):
            if keys:
                wanted = frozenset(keys)
                listed = (v for versions in self._under(bucket, ctx) for v in versions)
                gone = [version for version in listed if version.key in wanted]
                self._erase(bucket, gone, versioning, plan, ctx)
        current = plan.table.current()
        hidden = [v for versions in self._under(bucket, ctx) for v in _hidden(versions, current)]
        self._erase(bucket, hidden, versioning, plan, ctx)

    def _under(self, bucket: Bucket, ctx: Context) -> Iterator[list[Version]]:
        return bucket.objects(self._table.prefix, ctx.spend)

    def _erase(
        self, bucket: Bucket, versions: list[Version], versioning: str, plan: _Plan, ctx: Context
    ) -> None:
        ctx.check()
        stay = bucket.erase_versions(versions, versioning, ctx.spend) if versions else {}
        if OTHER_BYTES in stay.values():
            raise Transient("a file of the table was written anew after it was listed")
        if stay:
            plan.refusal = Refusal(ACCESS_DENIED)


def _hidden(versions: list[Version], current: frozenset[str]) -> list[Version]:
    """What nobody sees: behind a marker, or behind an object that is written again."""
    marked = any(v.latest and v.marker for v in versions)
    if marked and versions[0].key not in current:
        return versions
    return [v for v in versions if not v.latest]


def _rows(located: Located) -> dict[RowKey, set[str]]:
    """Located keys of one table, whatever they were grouped by."""
    return {key: refs for rows in located.values() for key, refs in rows.items()}
