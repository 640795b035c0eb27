"""Which rule of a decision table decides one row of a bucket.

In: a table and a row's owners, texts and clocks. Out: the first rule that matches. Pure. Buckets
have no parents and children, so that `NeededByKept` can only come from a map that does not fit.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Protocol

from dsr_worker.contract import (
    Action,
    Always,
    Before,
    Configuration,
    DecisionTable,
    Frozen,
    HeldPeople,
    HeldRows,
    HeldSubjects,
    Identity,
    NeededByKept,
    Predicate,
    Rule,
    Since,
)

PROTECTION = {Action.KEEP: 2, Action.MASK: 1, Action.ERASE: 0}


class Row(Protocol):
    """What a predicate may ask of a row."""

    @property
    def refs(self) -> AbstractSet[str]:
        """The subjects of the batch that own the row."""
        ...

    def owned_by(self, identities: tuple[Identity, ...]) -> bool:
        """Whether any of these identities owns the row."""
        ...

    def text(self, name: str) -> str | None:
        """A field as text; None where it is null or missing."""
        ...

    def clock(self, name: str) -> datetime | None:
        """A clock field as an aware instant; None where it is null, missing or unreadable."""
        ...


def decide(table: DecisionTable, row: Row) -> Rule:
    """The first rule of `table` that matches `row`. Raises `Configuration` if none does."""
    for rule in table.rules:
        if _matches(rule.when, row):
            return rule
    raise Configuration(f"the decision table of {table.collection} leaves a row undecided")


def latest(rule: Rule, row: Row) -> datetime | None:
    """The clock that dates the end of what `rule` keeps."""
    return row.clock(rule.clock) if rule.clock else None


def _matches(when: Predicate, row: Row) -> bool:
    match when:
        case Always() | Frozen():
            return True
        case HeldSubjects(refs):
            return not refs.isdisjoint(row.refs)
        case HeldPeople(identities):
            return row.owned_by(identities)
        case HeldRows(name, values):
            return row.text(name) in values
        case Since(name, cutoff):
            at = row.clock(name)
            return at is None or at >= cutoff
        case Before(name, cutoff):
            at = row.clock(name)
            return at is not None and at < cutoff
        case NeededByKept():
            raise Configuration("objects in a bucket have no children that could need them")
