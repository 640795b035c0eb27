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

from connectors.naming.classifying import SURE, Looks, Weight, alone
from connectors.naming.words import (
    Part,
    is_a_transaction,
    is_called_users,
    is_somebodys_work,
    means_customer,
    means_who_serves,
    part_of_a_transaction,
    people_by_name_alone,
    referred,
    says_who_changed_it,
    says_who_did_it,
    says_who_made_it,
    serves_customers,
    singular,
    words,
)
from connectors.postgres.proposing.inventory import (
    At,
    Inventory,
    Reference,
    Table,
    of_any_kind,
)
from connectors.postgres.proposing.neighbouring import on_their_own
from dsr_worker.contract import Evidence

_OF_WHOEVER_ACTS = ("user.device", "user.content", "user.authorization")
"""What a table may hold of somebody without being about those whose rows refer to it."""


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
        belonging = _as_person(table, inventory.part(at), looks[at])
        if belonging is not None:
            rank = (int(belonging.staff), -belonging.sure)
            order = sorted(_contacts(looks[at])) != []
            found.append(((rank[0] * 10 + (not order), f"{1 + rank[1]:.2f}", at[1]), at, belonging))
    ordered = {at: belonging for _, at, belonging in sorted(found, key=lambda f: (f[0], f[1]))}
    return _with_staff(inventory, _without_profiles(inventory, looks, ordered))


def is_profile(table: Table, belonging: Belonging, found: Mapping[At, Belonging]) -> bool:
    """Whether a table says more of people who stand in another, a row for each."""
    way = belonging.parent
    above = way is not None and found[way.target].how is How.PERSON
    return way is not None and above and table.unique(way.columns)


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
    for reference in _made(inventory, found):
        if reference.table not in found:
            evidence, staff = (Evidence("made_by"),), found[reference.target].staff
            found[reference.table] = Belonging(How.CHILD, 0.5, evidence, reference, staff=staff)
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


def _as_person(table: Table, part: Part, looks: Looks) -> Belonging | None:
    own = {name: inner[()] for name, inner in looks.items() if () in inner}
    emails = [n for n, look in own.items() if look.form == "email" and look.sure >= SURE]
    named = [n for n, look in own.items() if look.category == "user.name"]
    surely = [n for n in named if own[n].sure >= SURE]
    told = [n for n, look in own.items() if look.weight is Weight.ALONE]
    unique = any(table.unique((name,)) for name in emails)
    if not (emails or surely or told or people_by_name_alone(table.at[1])):
        return None
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


def _with_staff(inventory: Inventory, found: dict[At, Belonging]) -> dict[At, Belonging]:
    """Beside a table of customers, `users` whom no reference ties to it are those who serve."""
    customers = [at for at, b in found.items() if not b.staff and serves_customers(at[1])]
    tied = {frozenset((r.table, r.target)) for r in inventory.references}
    told = dict(found)
    for at, belonging in found.items():
        apart = not any(frozenset((at, other)) in tied for other in customers)
        if customers and not belonging.staff and is_called_users(at[1]) and apart:
            evidence = (*belonging.evidence, Evidence("beside_customers"))
            told[at] = replace(belonging, sure=0.6, evidence=evidence, staff=True)
    return dict(sorted(told.items(), key=lambda item: item[1].staff))


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
    part = inventory.part(child.at)
    if part not in {Part.REFERENCE, Part.ORGANISATION, Part.SYSTEM}:
        return True
    person = found[reference.target].how is How.PERSON
    if part is not Part.REFERENCE and person and _named_after(reference):
        return True  # locations.user_id, where companies.owner_id is no child
    if _ties(inventory, child, reference):
        return True
    above = _last(reference.target[1])
    own = tuple(map(singular, words(child.at[1])))
    composed = above in own[:-1] or means_customer(own[:-1])  # order_items, customer_tags
    return composed or part_of_a_transaction(child.at[1]) or is_a_transaction(above)


def _last(table: str) -> str:
    return singular(words(table)[-1]) if words(table) else ""


def _ties(inventory: Inventory, child: Table, reference: Reference) -> bool:
    """Whether rows do no more than tie a person to something else: followed tags, roles held."""
    if inventory.part(reference.target) not in {Part.CUSTOMER, Part.STAFF}:
        return False
    others = [name for name in child.columns if referred(name) and name not in reference.columns]
    if not others or any(map(means_who_serves, map(referred, reference.columns))):
        return False
    texts = any(column.textual or column.document for column in child.columns.values())
    pairs = any(set(reference.columns) < set(unique) for unique in child.uniques)
    return pairs or not texts


def _detour(inventory: Inventory, reference: Reference) -> int:
    """How much worse than a declared reference, never null and named after its target."""
    columns = inventory.tables[reference.table].columns
    nullable = any(not columns[name].not_null for name in reference.columns)
    says = tuple(word for name in reference.columns for word in referred(name))
    named = _named_after(reference) or (means_customer(says) and not means_who_serves(says))
    inside = 15 * _is_inside_another(inventory, reference)
    return inside + 3 * nullable + 2 * (not reference.declared) + (not named)


def _is_inside_another(inventory: Inventory, reference: Reference) -> bool:
    """Whether a row of texts says by its name that it lies in another's: `report_notes`."""
    table = inventory.tables[reference.table]
    first = tuple(map(singular, words(table.at[1])))[:-1]
    if not first or not any(column.textual for column in table.columns.values()):
        return False
    named = [r for r in inventory.referring.get(table.at, ()) if _last(r.target[1]) == first[-1]]
    return bool(named) and reference not in named


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
        and not r.path
        and r.target in found
        and (found[r.target].how is How.PERSON or r.target == reference.target)
        and found[r.target].staff is above.staff
        and not any(map(says_who_did_it, r.columns))
    ]
    if any(above.how is How.PERSON or r.target == reference.target for r in rivals):
        evidence.append(Evidence("several_owners"))
        sure = min(sure, 0.5)
    child = inventory.tables[reference.table]
    nullable = any(not child.columns[name].not_null for name in reference.columns)
    if nullable and any(of_any_kind(child, name) for name in child.columns):
        evidence.append(Evidence("any_owner"))  # those without it are somebody's by another way
        sure = min(sure, 0.6)
    if inventory.part(child.at) is Part.CUSTOMER and not child.unique(reference.columns):
        evidence.append(Evidence("people_of_people"))  # contacts of an account: whose are they?
        sure = min(sure, 0.5)
    if above.staff:
        evidence.append(Evidence("of_staff"))  # what they did for the house, or their own?
        sure = min(sure, 0.6)
    part = inventory.part(child.at)
    if part in {Part.ORGANISATION, Part.SYSTEM}:
        evidence.append(Evidence(f"table.{part}"))
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
        if inventory.part(at) not in {Part.OTHER, Part.CUSTOMER}:
            continue
        only = inventory.tables[reference.table].unique(reference.columns)
        if not only and all(
            look.category.startswith(_OF_WHOEVER_ACTS) for _, _, look in alone(looks[at])
        ):
            continue
        turned.append(
            Reference(at, reference.target_columns, reference.table, reference.columns, 0.5)
        )
    return sorted(turned, key=lambda r: (found[r.target].staff, found[r.target].how is How.CHILD))


def _made(inventory: Inventory, found: Mapping[At, Belonging]) -> list[Reference]:
    """Rows that somebody made and nobody keeps up: what that person did, and no setting."""
    return [
        reference
        for reference in inventory.references
        if reference.table not in found
        and reference.target in found
        and found[reference.target].how is How.PERSON
        and reference.joins
        and any(map(says_who_made_it, reference.columns))
        and inventory.part(reference.table) is Part.OTHER
        and (is_somebodys_work(reference.table[1]) or not _kept_up(inventory, reference.table))
    ]


def _kept_up(inventory: Inventory, at: At) -> bool:
    """Whether rows tell who changed them last, as settings do and what was done once does not."""
    return any(map(says_who_changed_it, inventory.tables[at].columns))


def _as_loose(
    inventory: Inventory, table: Table, looks: Looks, found: Mapping[At, Belonging]
) -> Belonging | None:
    numbers = tuple(
        r
        for r in inventory.referring.get(table.at, ())
        if not r.joins and r.target in found and found[r.target].how is How.PERSON
    )
    part = inventory.part(table.at)
    told = alone(on_their_own(table, part, looks))
    if not told and not numbers:
        return None
    kinds = [look.form for _, _, look in told if look.form and look.sure >= SURE]
    evidence = tuple(
        Evidence("inclusion.inside" if r.path else "inclusion", r.matched, r.of) for r in numbers
    )
    if kinds:
        evidence += (Evidence(f"holds.{min(kinds)}"),)
    ambiguous = len(kinds) != len(set(kinds))
    foreign = part not in {Part.OTHER, Part.CUSTOMER}
    foreign |= any("any_owner" in {e.code for e in look.evidence} for _, _, look in told)
    foreign |= any("table.changes" in {e.code for e in look.evidence} for _, _, look in told)
    sure = 0.85 if (kinds == ["email"] or numbers) and not foreign and not ambiguous else 0.5
    if numbers:
        sure = min(sure, *(0.6 if r.path else r.sure for r in numbers))
    return Belonging(How.LOOSE, sure, evidence, named_by=numbers)
