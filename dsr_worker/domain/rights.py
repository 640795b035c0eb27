"""What is done to a person's rows, and by which tables: erase, put right, restrict, lift.

Why this room exists: every effect goes the same way from plan to certificate and differs in its
verb alone. A verb, compiled decisions, subjects and holds enter; one decision table per collection
leaves.

Rectify:  hold > what a statutory minimum keeps unaltered > put right.
Restrict: restrict, whatever else protects the row: nothing is lost.
Lift:     what another restriction still protects > free what has means.
"""

from __future__ import annotations

from collections.abc import Collection as Group
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum

from dsr_worker.contract import (
    Action,
    Always,
    Collection,
    DecisionTable,
    HeldPeople,
    HeldSubjects,
    Predicate,
    RestrictionKind,
    Rule,
    Subject,
    System,
)
from dsr_worker.domain.decision import Decisions
from dsr_worker.domain.hold import Hold, PeopleHeld, active, held_refs, rules_for

NO_MEANS = "no_means"
"""The ground of a row whose collection maps no means of restriction: it stays as it is."""
RESTRICTED = "RESTRICTION"
"""The reason of the hold by which a restriction protects rows from erasure (Art. 18(2) GDPR)."""


LIFTS = "lifts"
"""The fact of a lifting job: the case whose restriction it ends."""
LIFTING_FACT = "lifting"
"""The fact of a restriction case: the job that ends it."""


class Verb(StrEnum):
    """What is done to located or swept rows."""

    ERASE = "erase"
    RECTIFY = "rectify"
    RESTRICT = "restrict"
    LIFT = "lift"
    SWEEP = "sweep"


def tables(
    verb: Verb,
    decisions: Decisions,
    subjects: Sequence[Subject] = (),
    holds: Iterable[Hold] = (),
    ending: Group[str] = (),
) -> Mapping[str, DecisionTable]:
    """Return the decision tables of one system for a verb.

    `subjects` are the batch's; `ending` are the cases whose restrictions are being lifted, by this
    batch or another.
    """
    match verb:
        case Verb.ERASE:
            return decisions.erasure(subjects, holds)
        case Verb.SWEEP:
            standing = tuple(holds)
            return decisions.protection(standing) | decisions.sweep(standing)
        case Verb.RECTIFY:
            return _rectification(decisions, subjects, tuple(holds))
        case Verb.RESTRICT:
            return _by_means(decisions, Action.RESTRICT)
        case Verb.LIFT:
            return _lifting(decisions, _still(holds, ending))


def moved_from(system: System) -> Mapping[str, str]:
    """Return by which collection rows in a collection of moved ones are named: where they were."""
    return {
        c.restriction.collection: c.name
        for c in system.collections.values()
        if c.restriction is not None and c.restriction.kind is RestrictionKind.MOVE
    }


def lists(system: System) -> frozenset[str]:
    """Return the collections whose rows say which others are restricted: means, and no more."""
    return frozenset(
        c.restriction.collection
        for c in system.collections.values()
        if c.restriction is not None and c.restriction.kind is RestrictionKind.LIST
    )


def _rectification(
    decisions: Decisions, subjects: Sequence[Subject], holds: Sequence[Hold]
) -> dict[str, DecisionTable]:
    """Return the tables for putting right.

    A restriction does not stand in the way of the person whose data it protects: contested
    accuracy is a reason for one (Art. 18(1)(a) GDPR), and its end is that the data is put right.
    Only the names by which its hold finds a row stay as they are until the lifting, whoever asks.
    What the law has kept may not be altered so that the original can no longer be told (AO s.146(4)
    for books and vouchers): its kept fields stay, or the whole row where none are named.
    """
    system = decisions.system
    standing = [hold for hold in holds if hold.reason != RESTRICTED]
    found: dict[str, DecisionTable] = {}
    for collection in system.children_first():
        minimums = decisions.kept_by_minimum(collection)
        names = _still_found(collection, holds, subjects, minimums)
        kept = [_outside_kept(collection, rule) for rule in minimums]
        rules = (
            *rules_for(system.name, collection, standing, subjects),
            *(kept + names if collection.kept_fields is None else names + kept),
            Rule("default", Always(), Action.RECTIFY),
        )
        found[collection.name] = DecisionTable(collection.name, rules)
    return found


def _still_found(
    collection: Collection,
    holds: Sequence[Hold],
    subjects: Sequence[Subject],
    minimums: Sequence[Rule],
) -> list[Rule]:
    """Return the rules that keep the names of restricted people's rows, where any is to change.

    A row may have another owner, who knows nothing of the restriction, or be found by a name that
    its hold does not know. Where a period may protect it too, what that keeps stays as well: a row
    is decided by one rule.
    """
    scopes = [
        (hold, hold.scope)
        for hold in active(holds)
        if hold.reason == RESTRICTED and isinstance(hold.scope, PeopleHeld)
    ]
    held = tuple(dict.fromkeys(i for _, scope in scopes for i in scope.identities))
    names = _fields_of_names(collection, {identity.kind for identity in held})
    asked = {c.field for s in subjects for c in s.corrections.get(collection.name, ())}
    if not names & asked:
        return []
    refs = frozenset[str]().union(*(held_refs(hold, subjects) for hold, _ in scopes))
    periods = (collection.kept_fields or frozenset()) if minimums else frozenset()
    whens: list[Predicate] = [HeldSubjects(refs)] if refs else []
    return [
        Rule("hold", when, Action.RECTIFY, RESTRICTED, kept_fields=names | periods)
        for when in (*whens, HeldPeople(held))
    ]


def _fields_of_names(collection: Collection, kinds: Group[str]) -> frozenset[str]:
    """Return the fields that hold names of these kinds, documents with a name in them too."""
    taken = [by.field for kind, by in collection.takes.items() if kind in kinds]
    return frozenset(
        name
        for name in {*collection.fields, *taken}
        if any(field == name or field.startswith(f"{name}->") for field in taken)
    )


def _outside_kept(collection: Collection, rule: Rule) -> Rule:
    if collection.kept_fields is None:
        return rule
    return replace(rule, action=Action.RECTIFY, kept_fields=collection.kept_fields)


def _by_means(decisions: Decisions, action: Action) -> dict[str, DecisionTable]:
    return {
        collection.name: DecisionTable(collection.name, (_with_means(collection, action),))
        for collection in decisions.system.children_first()
    }


def _lifting(decisions: Decisions, still: Sequence[PeopleHeld]) -> dict[str, DecisionTable]:
    """Return the tables that free all but what another case restricts: the last lifting frees.

    A row is another's by its owners, wherever it was moved: what a person shares no more than a
    name with it is theirs to have freed.
    """
    owned = [_kept(HeldPeople(people.identities)) for people in still]
    return {
        name: DecisionTable(name, (*owned, *table.rules))
        for name, table in _by_means(decisions, Action.LIFT).items()
    }


def _still(holds: Iterable[Hold], ending: Group[str]) -> list[PeopleHeld]:
    """Return whom the restrictions protect that nobody is lifting yet."""
    return [
        hold.scope
        for hold in active(holds)
        if hold.reason == RESTRICTED
        and isinstance(hold.scope, PeopleHeld)
        and hold.matter not in ending
    ]


def _kept(when: Predicate) -> Rule:
    return Rule("hold", when, Action.KEEP, RESTRICTED)


def _with_means(collection: Collection, action: Action) -> Rule:
    if collection.restriction is None:
        return Rule("default", Always(), Action.KEEP, NO_MEANS)
    return Rule("default", Always(), action)
