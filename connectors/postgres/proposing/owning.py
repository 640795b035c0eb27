"""Whose rows are whose: which tables are people, what belongs to them, what they merely refer to.

In: the inventory with references declared and inferred, and what every column looks like. Out:
`Belonging`s by table. Pure. From the tables of people the references are followed against their
direction, the shortest way first; a product that an order refers to is never reached so.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from connectors.postgres.proposing.classifying import SURE, Looks, Weight, alone
from connectors.postgres.proposing.inventory import At, Inventory, Reference, Table
from connectors.postgres.proposing.neighbouring import on_their_own
from connectors.postgres.proposing.words import (
    Part,
    means_customer,
    part_of,
    referred,
    says_who_did_it,
    singular,
    words,
)
from dsr_worker.contract import Evidence


class How(StrEnum):
    """How rows come to be somebody's."""

    PERSON = "person"  # each is one person
    CHILD = "child"  # a parent's row owns them
    LOOSE = "loose"  # they name somebody, and nothing leads to them


@dataclass(frozen=True, slots=True)
class Belonging:
    """Why a table's rows are a person's. `parent` is the way; `named_by` a customer's number."""

    how: How
    sure: float
    evidence: tuple[Evidence, ...]
    parent: Reference | None = None
    named_by: tuple[Reference, ...] = ()
    staff: bool = False


@dataclass
class _Way:
    cost: int
    belonging: Belonging


def people(inventory: Inventory, looks: Mapping[At, Looks]) -> dict[At, Belonging]:
    """The tables whose rows are people, customers first."""
    found: list[tuple[tuple[int, str, str], At, Belonging]] = []
    for at, table in inventory.tables.items():
        belonging = _as_person(table, looks[at])
        if belonging is not None:
            rank = (int(belonging.staff), -belonging.sure)
            order = sorted(_contacts(looks[at])) != []
            found.append(((rank[0] * 10 + (not order), f"{1 + rank[1]:.2f}", at[1]), at, belonging))
    ordered = {at: belonging for _, at, belonging in sorted(found, key=lambda f: (f[0], f[1]))}
    return _without_profiles(inventory, looks, ordered)


def belongings(
    inventory: Inventory, looks: Mapping[At, Looks], persons: Mapping[At, Belonging]
) -> dict[At, Belonging]:
    """What belongs to whom; tables that are not here belong to nobody."""
    found = dict(persons)
    for staff in (False, True):
        _follow(inventory, [at for at, b in persons.items() if b.staff is staff], found)
    for reference in _outward(inventory, looks, found):
        if reference.table not in found:
            evidence = (Evidence("referred_from_owned"),)
            found[reference.table] = Belonging(How.CHILD, 0.5, evidence, reference)
            _follow(inventory, [reference.table], found)
    for at in _with_people_below(found):
        person = found[at]
        told = (*person.evidence, Evidence("people_below"))
        found[at] = replace(person, sure=min(person.sure, 0.5), evidence=told)
    for at, table in inventory.tables.items():
        if at not in found and (loose := _as_loose(inventory, table, looks[at], found)):
            found[at] = loose
    return found


def _with_people_below(found: Mapping[At, Belonging]) -> set[At]:
    """People to whom other people belong: they may be shops or companies, with all below them."""
    return {
        b.parent.target
        for b in found.values()
        if b.parent is not None and Evidence("people_of_people") in b.evidence
    }


def _contacts(looks: Looks) -> Iterator[str]:
    for inner in looks.values():
        yield from (look.form for look in inner.values() if look.form and look.sure >= SURE)


def _reached(looks: Looks) -> bool:
    return "email" in _contacts(looks)


def _as_person(table: Table, looks: Looks) -> Belonging | None:
    part = part_of(table.at[1])
    own = {name: inner[()] for name, inner in looks.items() if () in inner}
    emails = [n for n, look in own.items() if look.form == "email" and look.sure >= SURE]
    named = [n for n, look in own.items() if look.category == "user.name"]
    surely = [n for n in named if own[n].sure >= SURE]
    told = [n for n, look in own.items() if look.weight is Weight.ALONE]
    unique = any(table.unique((name,)) for name in emails)
    if part in {Part.CUSTOMER, Part.STAFF} and (emails or named or told):
        sure = 0.9 if unique or (emails and named) else 0.75
        sure = sure if emails or surely or told else 0.5  # a name alone may be a program's
        evidence = (Evidence(f"table.{part}"), *_unique(unique))
        staff = part is Part.STAFF
        return Belonging(How.PERSON, 0.6 if staff else sure, evidence, staff=staff)
    if part is Part.OTHER and unique and named:
        return Belonging(How.PERSON, 0.6, _unique(unique=True))
    return None


def _unique(unique: bool) -> tuple[Evidence, ...]:  # noqa: FBT001 - its only question
    return (Evidence("unique.email"),) if unique else ()


def _without_profiles(
    inventory: Inventory, looks: Mapping[At, Looks], ordered: dict[At, Belonging]
) -> dict[At, Belonging]:
    """Leave out tables that only say more about the people of another: `profiles.user_id`.

    Of two tables of which one alone has an e-mail, that one is the people's: `users.profile_id`.
    """
    left = dict(ordered)
    for at in reversed(ordered):
        for reference in inventory.referring.get(at, ()):
            target = left.get(reference.target)
            if reference.target == at or target is None or target.staff or at not in left:
                continue
            table = inventory.tables[at]
            within_key = set(reference.columns) <= set(table.primary)
            if within_key or table.unique(reference.columns) or _named_after(reference):
                reached = _reached(looks[at]) and not _reached(looks[reference.target])
                del left[reference.target if reached else at]
    return left


def _named_after(reference: Reference) -> bool:
    says = tuple(map(singular, referred(reference.columns[0])))
    target = tuple(map(singular, words(reference.target[1])))
    return bool(says) and (says == target or says == target[-1:])


def _follow(inventory: Inventory, roots: Iterable[At], found: dict[At, Belonging]) -> None:
    """Follow references against their direction from `roots`, the surest and shortest way first."""
    pointing: dict[At, list[Reference]] = {}
    for reference in inventory.references:
        pointing.setdefault(reference.target, []).append(reference)
    waiting: list[tuple[int, int, Reference]] = []
    count = 0

    def offer(at: At, cost: int) -> None:
        nonlocal count
        for reference in pointing.get(at, ()):
            if reference.table not in found and _owns(inventory, reference, found):
                count += 1
                step = cost + 10 + _detour(inventory, reference)
                heapq.heappush(waiting, (step, count, reference))

    for root in roots:
        offer(root, 0)
    while waiting:
        cost, _, reference = heapq.heappop(waiting)
        if reference.table in found:
            continue
        found[reference.table] = _as_child(inventory, reference, found)
        offer(reference.table, cost)


def _owns(inventory: Inventory, reference: Reference, found: Mapping[At, Belonging]) -> bool:
    """Whether a row's reference says whose it is."""
    if reference.table == reference.target or not reference.joins:
        return False
    if any(map(says_who_did_it, reference.columns)):
        return False
    child = inventory.tables[reference.table]
    part = part_of(child.at[1])
    if part not in {Part.REFERENCE, Part.ORGANISATION}:
        return True
    person = found[reference.target].how is How.PERSON
    if part is Part.ORGANISATION and person and _named_after(reference):
        return True  # locations.user_id, where companies.owner_id is no child
    above = set(map(singular, words(reference.target[1])))
    own = tuple(map(singular, words(child.at[1])))
    return bool(above & set(own[:-1])) or means_customer(own[:-1])  # order_items, customer_tags


def _detour(inventory: Inventory, reference: Reference) -> int:
    """How much worse than a declared reference, never null and named after its target."""
    columns = inventory.tables[reference.table].columns
    nullable = any(not columns[name].not_null for name in reference.columns)
    return 3 * nullable + 2 * (not reference.declared) + (not _named_after(reference))


def _as_child(
    inventory: Inventory, reference: Reference, found: Mapping[At, Belonging]
) -> Belonging:
    above = found[reference.target]
    code = "foreign_key" if reference.declared else "inclusion"
    evidence = [Evidence(code, reference.matched, reference.of)]
    sure = min(reference.sure, 0.95)
    rivals = [
        r
        for r in inventory.referring.get(reference.table, ())
        if r.columns != reference.columns
        and r.target in found
        and (found[r.target].how is How.PERSON or r.target == reference.target)
        and found[r.target].staff is above.staff
        and not any(map(says_who_did_it, r.columns))
    ]
    if any(above.how is How.PERSON or r.target == reference.target for r in rivals):
        evidence.append(Evidence("several_owners"))
        sure = min(sure, 0.5)
    child = inventory.tables[reference.table]
    if part_of(child.at[1]) is Part.CUSTOMER and not child.unique(reference.columns):
        evidence.append(Evidence("people_of_people"))  # contacts of an account: whose are they?
        sure = min(sure, 0.5)
    if part_of(child.at[1]) is Part.ORGANISATION:
        evidence.append(Evidence(f"table.{Part.ORGANISATION}"))
        sure = min(sure, 0.5)
    if not inventory.tables[reference.target].unique(reference.target_columns):
        evidence.append(Evidence("parent_not_unique"))
        sure = min(sure, 0.4)
    return Belonging(How.CHILD, sure, tuple(evidence), reference, staff=above.staff)


def _outward(
    inventory: Inventory, looks: Mapping[At, Looks], found: Mapping[At, Belonging]
) -> list[Reference]:
    """Tables that people's rows refer to and that are about them all the same: addresses."""
    turned = []
    for reference in inventory.references:
        owner, at = found.get(reference.table), reference.target
        if owner is None or at in found or not reference.joins or owner.how is How.LOOSE:
            continue
        if part_of(at[1]) not in {Part.OTHER, Part.CUSTOMER} or not alone(looks[at]):
            continue
        turned.append(
            Reference(at, reference.target_columns, reference.table, reference.columns, 0.5)
        )
    return sorted(turned, key=lambda r: (found[r.target].staff, found[r.target].how is How.CHILD))


def _as_loose(
    inventory: Inventory, table: Table, looks: Looks, found: Mapping[At, Belonging]
) -> Belonging | None:
    numbers = tuple(
        r
        for r in inventory.referring.get(table.at, ())
        if not r.joins and r.target in found and found[r.target].how is How.PERSON
    )
    told = alone(on_their_own(table, looks))
    if not told and not numbers:
        return None
    kinds = [look.form for _, _, look in told if look.form and look.sure >= SURE]
    part = part_of(table.at[1])
    evidence = tuple(Evidence("inclusion", r.matched, r.of) for r in numbers)
    if kinds:
        evidence += (Evidence(f"holds.{min(kinds)}"),)
    ambiguous = len(kinds) != len(set(kinds))
    foreign = part in {Part.ORGANISATION, Part.REFERENCE, Part.STAFF}
    sure = 0.85 if (kinds == ["email"] or numbers) and not foreign and not ambiguous else 0.5
    if numbers:
        sure = min(sure, *(r.sure for r in numbers))
    return Belonging(How.LOOSE, sure, evidence, named_by=numbers)
