"""Legal holds: what may not be touched, whoever asks.

Why this room exists: a hold is never frozen on a job; its rules are made anew at the moment of
every effect. Holds, a collection and the subjects of a batch enter; the first rules of a decision
table leave. Several holds may cover one row: each makes its own rule, so that a row is free only
when the last of them is released.
"""

from __future__ import annotations

import re
from collections.abc import Collection as Group
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from dataclasses import field as attribute
from datetime import date, datetime

from dsr_worker.contract import (
    Action,
    Collection,
    Frozen,
    HeldPeople,
    HeldRows,
    HeldSubjects,
    Identity,
    Predicate,
    Rule,
    Subject,
    System,
)

_CODE = re.compile(r"[A-Z][A-Z0-9_]{1,63}")


@dataclass(frozen=True, slots=True)
class PeopleHeld:
    """Everything of these people, in every system."""

    identities: tuple[Identity, ...]


@dataclass(frozen=True, slots=True)
class RowsHeld:
    """The rows of one collection whose `field`, as text, is one of `values`.

    Rows of child collections are not covered by it: name them in holds of the same matter.
    """

    system: str
    collection: str
    field: str
    values: tuple[str, ...] = attribute(repr=False)


@dataclass(frozen=True, slots=True)
class DatasetHeld:
    """A whole system, or one collection of it."""

    system: str
    collection: str | None = None


Scope = PeopleHeld | RowsHeld | DatasetHeld


@dataclass(frozen=True, slots=True)
class Hold:
    """One hold. `matter` is an opaque id that holds of one dispute share; prose lives elsewhere.

    `reason` is a ground code such as `ER_LEGAL_CLAIMS` (Art. 17(3)(e) GDPR). `review_on` is the day
    on which a person has to look again; a hold never ends by itself.
    """

    id: str
    matter: str
    reason: str
    scope: Scope
    review_on: date
    released_at: datetime | None = None

    def __post_init__(self) -> None:
        """Refuse a hold that would hold nothing, or a reason that is prose.

        Raises:
            ValueError: see the message.

        """
        if _CODE.fullmatch(self.reason) is None:
            raise ValueError("a hold's reason is a code such as ER_LEGAL_CLAIMS")
        if isinstance(self.scope, PeopleHeld) and not self.scope.identities:
            raise ValueError("a hold on people names at least one identity")
        if isinstance(self.scope, RowsHeld) and not self.scope.values:
            raise ValueError("a hold on rows names at least one value")


def active(holds: Iterable[Hold]) -> tuple[Hold, ...]:
    """Return the holds that are not released."""
    return tuple(hold for hold in holds if hold.released_at is None)


def held_refs(hold: Hold, subjects: Iterable[Subject]) -> frozenset[str]:
    """Return the refs of the subjects who share an identity with a hold on people."""
    if not isinstance(hold.scope, PeopleHeld):
        return frozenset()
    held = frozenset(hold.scope.identities)
    return frozenset(subject.ref for subject in subjects if held.intersection(subject.identities))


def unseen(systems: Iterable[System], kinds: Group[str]) -> tuple[str, ...]:
    """Return the collections of people in which nobody is known by a name of these kinds.

    A sweep looks nobody up, so a hold on people by such names keeps nothing from it there.
    """
    return tuple(
        f"{system.name}.{name}"
        for system in systems
        for name in sorted(system.collections)
        if (taken := _taken(system, name)) and taken.isdisjoint(kinds)
    )


def _taken(system: System, name: str) -> set[str]:
    """The kinds of names by which rows of a collection, or what they belong to, are found."""
    collection = system.collections[name]
    above = _taken(system, collection.parent.collection) if collection.parent else set[str]()
    return {*collection.takes, *above}


def rules_for(
    system: str,
    collection: Collection,
    holds: Iterable[Hold],
    subjects: Sequence[Subject],
) -> tuple[Rule, ...]:
    """Return the rules that keep what is held in `collection`, in order of the holds' ids.

    `subjects` are those of an erasure's batch, () in a sweep. Of a hold on people the whole scope
    counts, whoever of them is in the batch: a row may be two people's. What is theirs by their
    identities shares a rule per reason.
    """
    found: list[Rule] = []
    people: dict[str, list[Identity]] = {}
    for hold in sorted(active(holds), key=lambda hold: hold.id):
        when = _predicate(system, collection, hold, subjects)
        if when is not None:
            found.append(Rule("hold", when, Action.KEEP, ground=hold.reason))
        if isinstance(hold.scope, PeopleHeld):
            people.setdefault(hold.reason, []).extend(hold.scope.identities)
    found += [
        Rule("hold", HeldPeople(tuple(dict.fromkeys(identities))), Action.KEEP, ground=reason)
        for reason, identities in people.items()
    ]
    return tuple(found)


def _predicate(
    system: str, collection: Collection, hold: Hold, subjects: Sequence[Subject]
) -> Predicate | None:
    match hold.scope:
        case PeopleHeld():
            refs = held_refs(hold, subjects)
            return HeldSubjects(refs) if refs else None
        case RowsHeld() as rows:
            here = (rows.system, rows.collection) == (system, collection.name)
            return HeldRows(rows.field, rows.values) if here else None
        case DatasetHeld() as dataset:
            here = dataset.system == system and dataset.collection in {None, collection.name}
            return Frozen() if here else None
