"""What part a table plays, where its neighbours say more than its name.

In: the inventory with references, what every column looks like, the tables taken for people. Out:
parts by table, for those whose name misleads. Pure. `accounts` are people in one schema and, in a
service that many companies share, the companies: nothing in their rows speaks of one person, most
tables refer to them, and other people belong to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from connectors.naming.classifying import COMPANY, ROLE_MAILBOX, SURE, Looks
from connectors.naming.words import Part, means_membership, serves_customers
from connectors.postgres.proposing.inventory import At, Inventory

_OF_ONE_PERSON = (
    "user.name", "user.contact", "user.authorization", "user.demographic", "user.device",
    "user.government_id", "user.financial", "user.account", "user.biometric",
)  # fmt: skip
_FEWEST_TENANTED = 4
"""Tables that refer to a tenant, at the least: a shop's customer is rarely in as few."""


def parts(inventory: Inventory, looks: Mapping[At, Looks], persons: Iterable[At]) -> dict[At, Part]:
    """The parts that neighbours tell: tenants are organisations."""
    persons = tuple(persons)
    reached = {at for at in persons if _speaks_of_one(looks[at])}
    tenants = (at for at in persons if at not in reached and _is_tenant(inventory, at, reached))
    return dict.fromkeys(tenants, Part.ORGANISATION)


def _is_tenant(inventory: Inventory, at: At, reached: set[At]) -> bool:
    if serves_customers(at[1]):
        return False  # a shop's customers may be known by name alone
    below = {r.table for r in inventory.references if r.target == at and r.table != at}
    if len(below) < _FEWEST_TENANTED:
        return False
    return any(person in below for person in reached) or _shares_members(inventory, below, reached)


def _shares_members(inventory: Inventory, below: set[At], reached: set[At]) -> bool:
    """Whether a table between them says which people belong to it: `memberships`."""
    return any(
        r.target in reached
        for table in below
        if means_membership(table[1])
        for r in inventory.referring.get(table, ())
    )


def _speaks_of_one(looks: Looks) -> bool:
    """Whether rows have what one person has, and not only a name and a role's mailbox."""
    return any(True for _ in _signs(looks))


def _signs(looks: Looks) -> Iterator[str]:
    for name, inner in looks.items():
        look = inner.get(())
        if look is None or look.sure < SURE or not look.category.startswith(_OF_ONE_PERSON):
            continue
        if not {COMPANY, ROLE_MAILBOX} & {evidence.code for evidence in look.evidence}:
            yield name
