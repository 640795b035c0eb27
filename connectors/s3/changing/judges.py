"""Which records of a shared object are meant, and what becomes of each.

In: a decision table and one entry. Out: a judgement, and counts of fates. Two judges: the located
records of subjects (an erasure), and every record by its clocks (a sweep).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from connectors.s3.changing.decide import PROTECTION, decide, latest
from connectors.s3.changing.tally import Fate, Tally, stronger
from connectors.s3.formats.entries import Entry
from connectors.s3.formats.wanted import Wanted
from connectors.s3.reading.owners import EntryRow, Owners
from connectors.s3.reading.shared import Shared
from connectors.s3.server.locks import Refusal
from dsr_worker.contract import (
    Action,
    Context,
    DecisionTable,
    HeldPeople,
    HeldRows,
    Outcome,
    Rule,
    Subject,
)

RowKey = tuple[str, ...]

# ---- what becomes of one record


@dataclass(frozen=True, slots=True)
class Judgement:
    """What becomes of one record, for whom it counts, and the new bytes where it is masked."""

    action: Action
    fate: Fate
    refs: tuple[str | None, ...]
    masks: Mapping[str, str | None] = field(default_factory=dict)


class Judge(Protocol):
    """Knows which records are meant and decides them."""

    def wanted(self, table: DecisionTable, *, old: bool) -> Wanted | None:
        """The records that could be meant; None: all may be."""
        ...

    def judge(
        self, entry: Entry, key: RowKey, table: DecisionTable, *, old: bool
    ) -> Judgement | None:
        """The judgement of one record; None: nobody asked."""
        ...

    def fates(self) -> Fates:
        """An empty collection of fates, of the kind this judge counts in."""
        ...


class Fates(Protocol):
    """The fates found in one version, or in all of an object."""

    def add(self, refs: tuple[str | None, ...], key: RowKey, fate: Fate) -> None:
        """Note what becomes of one record."""
        ...

    def changes(self) -> bool:
        """Whether any record is to be erased or masked."""
        ...

    def merge(self, other: Fates, refusal: Refusal | None = None) -> None:
        """Take over those of another version; where that is refused, its changes as retained."""
        ...

    def tally(self) -> Tally:
        """The counts."""
        ...


def masks_of(rule: Rule, entry: Entry, ctx: Context, ref: str) -> dict[str, str | None]:
    """The fields that a rule's masks change in a record, with their new values."""
    changes: dict[str, str | None] = {}
    for name, mask in rule.masks.items():
        value = entry.value(name)
        if not mask.holds(value):
            changes[name] = mask.replaced(str(value), partial(ctx.pseudonym, ref))
    return changes


def judged(
    rule: Rule, row: EntryRow, entry: Entry, refs: tuple[str | None, ...], ctx: Context
) -> Judgement:
    """The judgement that follows from a rule."""
    newest = latest(rule, row)
    match rule.action:
        case Action.KEEP:
            fate = Fate(Outcome.RETAINED, 0, rule.ground, newest, quiet=rule.code == "default")
            return Judgement(rule.action, fate, refs)
        case Action.ERASE:
            return Judgement(rule.action, Fate(Outcome.ERASED, 0, rule.ground, newest), refs)
        case Action.MASK:
            masks = masks_of(rule, entry, ctx, refs[0] or ctx.operation_id)
            fate = Fate(Outcome.MASKED, len(masks), rule.ground, newest, quiet=not masks)
            return Judgement(rule.action, fate, refs, masks)
        case Action.RECTIFY | Action.RESTRICT | Action.LIFT:
            raise NotImplementedError(f"objects are not changed by {rule.action}")


# ---- erasure: located records of subjects


class LocatedRecords:
    """Judges the records of one object that were located for subjects and are still theirs.

    `as_far_as_read` tells what a row's fate is in view of versions that nobody could read.
    """

    def __init__(
        self,
        shared: Shared,
        subjects: Sequence[Subject],
        located: Mapping[RowKey, set[str]],
        ctx: Context,
        as_far_as_read: Callable[[Fate], Fate] = lambda fate: fate,
    ) -> None:
        self._shared = shared
        self._as_far_as_read = as_far_as_read
        meant = set[str]().union(*located.values())
        self._owners = Owners(shared.collection, [s for s in subjects if s.ref in meant], ctx)
        self._located = located
        self._ctx = ctx

    def wanted(self, table: DecisionTable, *, old: bool) -> Wanted | None:
        """The records that could be meant; None: all may be."""
        if old and _holds_rows(table):
            return None
        if any(rule.action is Action.MASK for rule in table.rules):
            return self._owners.wanted(tuple(self._located))  # owners may be masked by now
        return self._owners.wanted()

    def fates(self) -> FatesByKey:
        """An empty count."""
        return FatesByKey(
            self._shared.collection.name, self._located, self._ctx, self._as_far_as_read
        )

    def judge(
        self, entry: Entry, key: RowKey, table: DecisionTable, *, old: bool
    ) -> Judgement | None:
        """What becomes of the record; None: nobody asked."""
        wanted = self._located.get(key, set())
        owners = wanted & self._owners.of(entry).keys() if wanted else set()
        if owners:
            return self._strictest(entry, tuple(sorted(owners)), table)
        if wanted and self._masked_before(entry, table):
            fate = Fate(Outcome.MASKED, ground=self._mask_ground(table))
            return Judgement(Action.MASK, fate, tuple(sorted(wanted)))
        if old and _holds_rows(table):
            rule = decide(table, self._row(entry, frozenset()))
            if rule.code == "hold":
                return Judgement(Action.KEEP, Fate(Outcome.RETAINED), ())
        return None

    def _strictest(self, entry: Entry, owners: tuple[str, ...], table: DecisionTable) -> Judgement:
        """A record of two subjects goes only as far as it may for both."""
        rows = [self._row(entry, frozenset({ref})) for ref in owners]
        rules = [(decide(table, row), row) for row in rows]
        rule, row = max(rules, key=lambda pair: PROTECTION[pair[0].action])
        return judged(rule, row, entry, owners, self._ctx)

    def _masked_before(self, entry: Entry, table: DecisionTable) -> bool:
        """Whether a mask of this table already took the place of the owner fields."""
        fields = [taken.field for taken in self._shared.collection.takes.values()]
        for rule in table.rules:
            masks = [(rule.masks[name], entry.value(name)) for name in fields if name in rule.masks]
            if masks and all(mask.holds(value) for mask, value in masks):
                return True
        return False

    def _mask_ground(self, table: DecisionTable) -> str:
        return next((rule.ground for rule in table.rules if rule.action is Action.MASK), "")

    def _row(self, entry: Entry, refs: frozenset[str]) -> EntryRow:
        return EntryRow(entry, refs, self._shared.collection, self._shared.layout, self._ctx)


def _holds_rows(table: DecisionTable) -> bool:
    return any(isinstance(rule.when, HeldRows | HeldPeople) for rule in table.rules)


class FatesByKey:
    """One fate per subject and row, however many copies of the row there are."""

    def __init__(
        self,
        collection: str,
        located: Mapping[RowKey, set[str]],
        ctx: Context,
        as_far_as_read: Callable[[Fate], Fate],
    ) -> None:
        self._collection = collection
        self._located = located
        self._ctx = ctx
        self._as_far_as_read = as_far_as_read
        self._fates: dict[tuple[str, RowKey], Fate] = {}

    def add(self, refs: tuple[str | None, ...], key: RowKey, fate: Fate) -> None:
        """Note what becomes of a record."""
        for ref in filter(None, refs):
            self._fates[ref, key] = stronger(self._fates.get((ref, key)), fate)

    def changes(self) -> bool:
        """Whether anything is to be erased or masked."""
        return any(fate.changes for fate in self._fates.values())

    def merge(self, other: Fates, refusal: Refusal | None = None) -> None:
        """Take over another version's; where that is refused, its changes as retained."""
        assert isinstance(other, FatesByKey)  # noqa: S101 - one judge makes them all
        for (ref, key), fate in other.items():
            stopped = fate.retained(*refusal) if refusal and fate.changes else fate
            self.add((ref,), key, stopped)

    def items(self) -> Iterator[tuple[tuple[str, RowKey], Fate]]:
        """Every row with its fate."""
        return iter(self._fates.items())

    def tally(self) -> Tally:
        """The counts."""
        tally = Tally()
        gone = Fate(Outcome.ALREADY_GONE)  # what no version has any more
        for key, refs in self._located.items():
            for ref in sorted(refs):
                fate = self._as_far_as_read(self._fates.get((ref, key), gone))
                kept = self._ctx.digest(self._collection, key) if fate.stays else None
                tally.add(ref, self._collection, fate, kept)
        return tally


# ---- sweeps: every record


class EveryRecord:
    """Judges every record of an object by its clocks, whoever owns it."""

    def __init__(self, shared: Shared, ctx: Context) -> None:
        self._shared = shared
        self._ctx = ctx

    def wanted(self, table: DecisionTable, *, old: bool) -> Wanted | None:
        """The records that could be meant; None: all may be."""
        return None

    def fates(self) -> FatesByCount:
        """An empty count."""
        return FatesByCount(self._shared.collection.name)

    def judge(
        self, entry: Entry, key: RowKey, table: DecisionTable, *, old: bool
    ) -> Judgement | None:
        """What becomes of the record; None: nobody asked."""
        row = EntryRow(entry, frozenset(), self._shared.collection, self._shared.layout, self._ctx)
        judgement = judged(decide(table, row), row, entry, (None,), self._ctx)
        return None if judgement.fate.quiet else judgement


class FatesByCount:
    """Counts of records; each copy in an old version counts as well."""

    def __init__(self, collection: str) -> None:
        self._collection = collection
        self._tally = Tally()

    def add(self, refs: tuple[str | None, ...], key: RowKey, fate: Fate) -> None:
        """Note what becomes of a record."""
        self._tally.add(None, self._collection, fate)

    def changes(self) -> bool:
        """Whether anything is to be erased or masked."""
        return self._tally.changes() > 0

    def merge(self, other: Fates, refusal: Refusal | None = None) -> None:
        """Take over another version's; where that is refused, its changes as retained."""
        self._tally.merge(other.tally(), refusal)

    def tally(self) -> Tally:
        """The counts."""
        return self._tally
