"""Decision tables applied to rows of the API, and what becomes of rows counted into receipts.

In: tables of the contract, rows as the API gives them. Out: the deciding rule of a row; receipts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from connectors.helpdesk.layout import Row, value
from dsr_worker.contract import (
    Action,
    Always,
    Before,
    Collection,
    DecisionTable,
    Frozen,
    HeldPeople,
    HeldRows,
    HeldSubjects,
    Identity,
    Key,
    NeededByKept,
    Outcome,
    OutcomeCount,
    Permanent,
    Predicate,
    Receipt,
    Rule,
    Since,
)

Tables = Callable[[str], DecisionTable]
Counts = dict[tuple[Outcome, str], OutcomeCount]

NEEDED = "needed"


@dataclass(frozen=True, slots=True)
class Case:
    """A row and what a rule may ask about it."""

    row: Row
    refs: frozenset[str] = frozenset()
    owners: frozenset[Identity] = frozenset()
    staying: frozenset[str] = frozenset()  # child collections with a staying row of this one


def decide(table: DecisionTable, case: Case) -> Rule:
    """The first rule that matches. Raises Permanent when the table leaves the row undecided."""
    for rule in table.rules:
        if matches(rule.when, case):
            return rule
    raise Permanent(f"the decision table of {table.collection} leaves a row undecided")


def matches(predicate: Predicate, case: Case) -> bool:  # noqa: PLR0911 - one per predicate
    """Whether a predicate holds for a row."""
    match predicate:
        case Always() | Frozen():
            return True
        case HeldSubjects(refs):
            return bool(refs & case.refs)
        case HeldPeople(identities):
            return any(identity in case.owners for identity in identities)
        case HeldRows(name, values):
            stored = value(case.row, name)
            return stored is not None and str(stored) in values
        case Since(name, cutoff):
            at = instant(value(case.row, name))
            return at is None or at >= cutoff
        case Before(name, cutoff):
            at = instant(value(case.row, name))
            return at is not None and at < cutoff
        case NeededByKept(children):
            return any(child in case.staying for child in children)


def reads_rows(table: DecisionTable) -> bool:
    """Whether a table looks at fields, so that a row has to be read before it can be decided."""
    return any(isinstance(rule.when, (HeldRows, Since, Before)) for rule in table.rules)


def needed(rule: Rule, collection: Collection, case: Case) -> Rule:
    """`rule`, unless it would erase the parent of a staying row: that one is masked instead."""
    if rule.action is not Action.ERASE or not case.staying:
        return rule
    masks = {name: f.mask for name, f in collection.fields.items() if f.mask is not None}
    return Rule(NEEDED, NeededByKept(tuple(case.staying)), Action.MASK, NEEDED, masks)


def instant(stored: object) -> datetime | None:
    """A clock field as an aware instant; None when there is none."""
    if not isinstance(stored, str):
        return None
    try:
        at = datetime.fromisoformat(stored)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def latest(rule: Rule, row: Row) -> datetime | None:
    """The clock value that dates the end of a keeping."""
    return instant(value(row, rule.clock)) if rule.clock else None


@dataclass
class Tally:
    """Outcomes of located keys, counted once each, per subject and collection."""

    digest: Callable[[str, tuple[str, ...]], str]
    done: set[Key] = field(default_factory=set)
    _counts: dict[tuple[str, str], Counts] = field(default_factory=dict)
    _kept: dict[tuple[str, str], set[str]] = field(default_factory=dict)

    def add(
        self,
        keys: Iterable[Key],
        outcome: Outcome,
        *,
        ground: str = "",
        fields: int = 0,
        clock: datetime | None = None,
    ) -> None:
        """Count keys (of the same row, one per subject) under one outcome."""
        for key in keys:
            if key in self.done:
                continue
            self.done.add(key)
            place = (key.subject_ref, key.collection)
            counts = self._counts.setdefault(place, {})
            one = OutcomeCount.one(outcome, fields=fields, ground=ground, clock=clock)
            count(counts, one)
            if outcome in (Outcome.RETAINED, Outcome.MASKED, Outcome.REDACTED):
                digest = self.digest(key.collection, key.key)
                self._kept.setdefault(place, set()).add(digest)

    def merge(self, part: Tally) -> None:
        """Take over what a part has counted and this has not."""
        for place, counts in part._counts.items():
            for other in counts.values():
                count(self._counts.setdefault(place, {}), other)
            self._kept.setdefault(place, set()).update(part._kept.get(place, ()))
        self.done |= part.done

    def receipts(self, places: Iterable[tuple[str, str]] = ()) -> Iterator[Receipt]:
        """One receipt for each place counted; for each of `places`, `absent` where nothing was."""
        wanted = dict.fromkeys(places) | dict.fromkeys(self._counts)
        for ref, collection in wanted:
            counts = self._counts.get((ref, collection), {})
            outcomes = tuple(counts.values()) or (OutcomeCount(Outcome.ABSENT, 0),)
            kept = frozenset(self._kept.get((ref, collection), ()))
            yield Receipt(ref, collection, outcomes, kept)


def count(counts: Counts, more: OutcomeCount) -> None:
    """Add rows to those of the same outcome and ground."""
    place = (more.outcome, more.ground)
    before = counts.get(place)
    counts[place] = more if before is None else before.plus(more)
