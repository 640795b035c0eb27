"""What happens to rows in memory: decision tables, evaluated one row at a time.

In: tables, decision tables as of this moment, located keys or a sweep's order. Out: receipts, and
the changes that make them true; nothing is changed here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from dsr_worker.contract import (
    OWNER_CHANGED,
    Action,
    Always,
    Before,
    Collection,
    Context,
    DecisionTable,
    Frozen,
    HeldPeople,
    HeldRows,
    HeldSubjects,
    Identity,
    Key,
    NeededByKept,
    NeedsHuman,
    Outcome,
    OutcomeCount,
    Predicate,
    Receipt,
    RestrictionKind,
    Rule,
    Since,
    Subject,
    SweepOrder,
    System,
)
from dsr_worker.testing.memory import owners
from dsr_worker.testing.memory.rows import Change, Row, RowKey, Tables

_OUTCOMES = {
    Action.ERASE: Outcome.ERASED,
    Action.MASK: Outcome.MASKED,
    Action.KEEP: Outcome.RETAINED,
}


@dataclass(slots=True)
class Tally:
    """What becomes of the rows of one subject in one collection."""

    counts: dict[tuple[Outcome, str], OutcomeCount] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)

    def add(
        self,
        outcome: Outcome,
        ground: str = "",
        fields: int = 0,
        at: datetime | None = None,
        until: datetime | None = None,
    ) -> None:
        """Count one more row."""
        before = self.counts.get((outcome, ground), OutcomeCount(outcome, 0, 0, ground))
        one = OutcomeCount.one(outcome, fields=fields, ground=ground, clock=at, until=until)
        self.counts[outcome, ground] = before.plus(one)

    @property
    def changed(self) -> int:
        """Rows that do not stay as they are."""
        return sum(c.rows for c in self.counts.values() if c.outcome is not Outcome.RETAINED)

    def receipt(self, ref: str | None, collection: str) -> Receipt:
        """What was counted, or that nothing was."""
        outcomes = tuple(self.counts.values()) or (OutcomeCount(Outcome.ABSENT, 0),)
        return Receipt(ref, collection, outcomes, frozenset(self.kept))


RowDecision = Callable[[Collection, DecisionTable, RowKey, list[Tally], list[str]], None]
"""Decides one row: its key, and the tallies and refs of those whose row it is."""


@dataclass
class Judge:
    """One decision over many rows, children before parents; `changes` collects what follows."""

    system: System
    tables: Tables
    ctx: Context
    table: Callable[[str], DecisionTable]
    changes: list[Change] = field(default_factory=list)
    _gone: set[tuple[str, RowKey]] = field(default_factory=set)
    _held: dict[tuple[str, tuple[object, ...]], frozenset[RowKey]] = field(default_factory=dict)

    def erase(self, subjects: Sequence[Subject], keys: Iterable[Key]) -> tuple[Receipt, ...]:
        """Erase, mask and keep."""
        return self.each_located(subjects, keys, self._erase_row)

    def each_located(
        self, subjects: Sequence[Subject], keys: Iterable[Key], decide: RowDecision
    ) -> tuple[Receipt, ...]:
        """Decide every located row once, for all the subjects whose row it is.

        Where it names somebody else by now it stays, as far as a subject is concerned.
        """
        known = set(keys)
        left_alone = self._somebody_elses(subjects, known)
        located: dict[str, dict[RowKey, list[str]]] = {}
        for each in known - left_alone:
            rows = located.setdefault(each.collection, {})
            rows.setdefault(each.key, []).append(each.subject_ref)
        tallies: dict[tuple[str, str], Tally] = {}
        for collection in self.system.children_first():
            tallies |= {(subject.ref, collection.name): Tally() for subject in subjects}
            table = self.table(collection.name)
            for key, refs in located.get(collection.name, {}).items():
                told = [tallies[ref, collection.name] for ref in refs]
                decide(collection, table, key, told, refs)
        for each in left_alone:
            tally = tallies[each.subject_ref, each.collection]
            tally.add(Outcome.RETAINED, OWNER_CHANGED)
            tally.kept.add(self.ctx.digest(each.collection, each.key))
        return tuple(tally.receipt(*place) for place, tally in tallies.items())

    def _somebody_elses(self, subjects: Sequence[Subject], located: set[Key]) -> set[Key]:
        """The located rows that are no longer the subject's, parents first.

        A row answers for those below it that were located with it.
        """
        own = {subject.ref: set(_names(self.system, subject, self.ctx)) for subject in subjects}
        found: set[Key] = set()
        for collection in reversed(self.system.children_first()):
            for key in (key for key in located if key.collection == collection.name):
                row = self._stored(collection, key.key)
                if row is None or self._answered(collection, key, row, located - found):
                    continue
                names = set(owners.named(self.system, self.tables, collection, row, self.ctx))
                if names and names.isdisjoint(own[key.subject_ref]):
                    found.add(key)
        return found

    def _stored(self, collection: Collection, key: RowKey) -> Row | None:
        """A row, here or where a restriction has moved it."""
        means = collection.restriction
        moved = means.collection if means and means.kind is RestrictionKind.MOVE else None
        row = self.tables.rows[collection.name].get(key)
        return row if row is not None or moved is None else self.tables.rows[moved].get(key)

    def _answered(self, collection: Collection, key: Key, row: Row, located: set[Key]) -> bool:
        """Whether the row above, by its key, was located for the same subject."""
        parent = collection.parent
        if parent is None:
            return False
        names = self.system.collections[parent.collection].key
        referred = {theirs: str(row.get(ours)) for ours, theirs in parent.on.items()}
        if set(referred) != set(names):
            return False
        above = Key(key.subject_ref, parent.collection, tuple(referred[name] for name in names))
        return above in located

    def sweep(self, order: SweepOrder, table: DecisionTable) -> tuple[Receipt, ...]:
        """Decide every row of one collection; rows below an erased one go with it.

        Raises:
            NeedsHuman: more rows than the order allows.

        """
        collection = self.system.collections[order.collection]
        tallies: dict[str, Tally] = {collection.name: Tally()}
        for key, row in self.tables.rows[collection.name].items():
            rule = self.rule(collection, table, key, row, frozenset())
            if rule.action is Action.KEEP:
                if self._past_limit(collection, table, key, row, rule):
                    self.note(tallies[collection.name], collection, key, row, rule, 0)
            else:
                self._sweep_row(collection, key, row, rule, tallies)
        swept = tallies[collection.name].changed
        if swept > order.max_rows:
            raise NeedsHuman("sweep_brake", {"rows": swept, "limit": order.max_rows})
        return tuple(tally.receipt(None, name) for name, tally in tallies.items())

    def _erase_row(
        self,
        collection: Collection,
        table: DecisionTable,
        key: RowKey,
        tallies: list[Tally],
        refs: list[str],
    ) -> None:
        row = self.tables.rows[collection.name].get(key)
        if row is None:
            for tally in tallies:
                tally.add(Outcome.ALREADY_GONE)
            return
        rule = self.rule(collection, table, key, row, frozenset(refs))
        refusal = self.tables.refusal(collection.name, key, self.ctx.now)
        if refusal is not None and rule.action is not Action.KEEP:
            ground, until_at = refusal
            for tally in tallies:
                tally.add(Outcome.RETAINED, ground, until=until_at)
                tally.kept.add(self.ctx.digest(collection.name, key))
            return
        changed = self._change(collection, key, row, rule, refs[0])
        for tally in tallies:
            self.note(tally, collection, key, row, rule, changed)

    def _sweep_row(
        self, collection: Collection, key: RowKey, row: Row, rule: Rule, tallies: dict[str, Tally]
    ) -> None:
        if rule.action is Action.ERASE:
            for below, child in self._below(collection, row):
                if (below.name, child) not in self._gone:
                    self._sweep_row(
                        below, child, self.tables.rows[below.name][child], rule, tallies
                    )
        changed = self._change(collection, key, row, rule, "")
        if rule.action is Action.ERASE or changed:
            tally = tallies.setdefault(collection.name, Tally())
            self.note(tally, collection, key, row, rule, changed)

    def _below(self, collection: Collection, row: Row) -> Iterator[tuple[Collection, RowKey]]:
        for child in self.system.collections.values():
            if child.parent is not None and child.parent.collection == collection.name:
                for key in owners.children(self.tables, child, row):
                    yield child, key

    def _change(self, collection: Collection, key: RowKey, row: Row, rule: Rule, ref: str) -> int:
        """Note what has to change in the row; return the number of values that go."""
        if rule.action is Action.KEEP:
            return 0
        if rule.action is Action.ERASE:
            self._gone.add((collection.name, key))
            self.changes.append((collection.name, key, None))
            return len(row)
        masked = {
            name: mask.replaced(str(row[name]), partial(self.ctx.pseudonym, ref))
            for name, mask in rule.masks.items()
            if not mask.holds(row.get(name))
        }
        if masked:
            self.changes.append((collection.name, key, row | masked))
        return len(masked)

    def note(
        self, tally: Tally, collection: Collection, key: RowKey, row: Row, rule: Rule, changed: int
    ) -> None:
        """Count a row as its rule has decided, with the clock value that the rule goes by."""
        tally.add(_OUTCOMES[rule.action], rule.ground, changed, self.kept_by(rule, row))
        if rule.action is not Action.ERASE:
            tally.kept.add(self.ctx.digest(collection.name, key))

    @staticmethod
    def kept_by(rule: Rule, row: Row) -> datetime | None:
        """The row's value of the clock by which the rule keeps."""
        return clock(row.get(rule.clock)) if rule.clock else None

    def rule(
        self,
        collection: Collection,
        table: DecisionTable,
        key: RowKey,
        row: Row,
        refs: frozenset[str],
    ) -> Rule:
        """The first rule of the table that matches the row."""
        return next(r for r in table.rules if self._matches(r.when, collection, key, row, refs))

    def _past_limit(
        self, collection: Collection, table: DecisionTable, key: RowKey, row: Row, kept_by: Rule
    ) -> bool:
        later = table.rules[table.rules.index(kept_by) + 1 :]
        return any(
            rule.action is not Action.KEEP
            and self._matches(rule.when, collection, key, row, frozenset())
            for rule in later
        )

    def _matches(
        self, when: Predicate, collection: Collection, key: RowKey, row: Row, refs: frozenset[str]
    ) -> bool:
        match when:
            case Always() | Frozen():
                return True
            case HeldSubjects() | HeldPeople() | HeldRows():
                return self._is_held(when, collection, key, row, refs)
            case Since() | Before():
                return _in_time(when, row)
            case NeededByKept():
                return any(self._refers(name, row) for name in when.children)

    def _is_held(
        self,
        when: HeldSubjects | HeldPeople | HeldRows,
        collection: Collection,
        key: RowKey,
        row: Row,
        refs: frozenset[str],
    ) -> bool:
        match when:
            case HeldSubjects():
                return bool(when.refs & refs)
            case HeldPeople():
                return key in self._held_people(when, collection)
            case HeldRows():
                return row.get(when.field) is not None and str(row[when.field]) in when.values

    def _held_people(self, when: HeldPeople, collection: Collection) -> frozenset[RowKey]:
        place = collection.name, when.identities
        if place not in self._held:
            people = Subject("", when.identities)
            tables = owners.as_before_moves(self.system, self.tables)
            keys = owners.owned(self.system, tables, collection, people, self.ctx)
            self._held[place] = frozenset(keys)
        return self._held[place]

    def _refers(self, child: str, row: Row) -> bool:
        keys = owners.children(self.tables, self.system.collections[child], row)
        return any((child, key) not in self._gone for key in keys)


def _names(system: System, subject: Subject, ctx: Context) -> Iterator[Identity]:
    """The names that the subject came with, and those they ask to be put in their place."""
    yield from subject.identities
    for name, corrections in subject.corrections.items():
        for kind, by in system.collections[name].takes.items():
            for correction in corrections:
                if correction.field == by.field and correction.value is not None:
                    value = ctx.canonical(kind, correction.value)
                    if value is not None:
                        yield Identity(kind, value)


def _in_time(when: Since | Before, row: Row) -> bool:
    at = clock(row.get(when.field))
    if isinstance(when, Since):
        return at is None or at >= when.cutoff
    return at is not None and at < when.cutoff


def clock(value: object) -> datetime | None:
    """The instant of a clock's value; a civil date counts from its midnight, all in UTC."""
    if value is None:
        return None
    at = datetime.fromisoformat(str(value))
    return at if at.tzinfo else at.replace(tzinfo=UTC)
