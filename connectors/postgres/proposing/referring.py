"""References that no foreign key declares: which columns may point at which table.

In: the inventory. Out: candidates by name and type, which sampled inclusion then bears out or not.
Pure. A name alone gives a reference to review, and inclusion alone is believed of UUIDs only, since
small numbers are included everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from connectors.postgres.proposing.inventory import At, Column, Inventory, Reference, Table
from connectors.postgres.proposing.words import (
    Part,
    means_customer,
    part_of,
    referred,
    says_who_did_it,
    singular,
    words,
)

_COMPARABLE = frozenset({"int", "text", "uuid"})
_MOST_CANDIDATES = 2000
_MOST_UUID_TARGETS = 5
_ENOUGH = 5  # distinct values, before inclusion says anything
_ALL, _SOME = 0.95, 0.5


def candidates(inventory: Inventory, people: Iterable[At]) -> list[Reference]:
    """What may be a reference, `sure` 0, for the sampler to count."""
    people = tuple(people)
    named = _tables_by_word(inventory)
    found: list[Reference] = []
    for table in inventory.tables.values():
        declared = {c for r in inventory.referring.get(table.at, ()) for c in r.columns}
        for column in table.columns.values():
            taken = column.name in declared or (column.name,) == table.primary
            taken = taken or _of_any_kind(table, column.name)
            if taken or column.family not in _COMPARABLE or says_who_did_it(column.name):
                continue
            if column.readable and len(found) < _MOST_CANDIDATES:
                found += _targets(inventory, table, column, named, people)
    return found


def judged(reference: Reference) -> Reference | None:
    """The reference as sure as its sample makes it; None where the sample speaks against it."""
    if reference.of < _ENOUGH:
        whole = reference.matched == reference.of
        return replace(reference, sure=0.5) if whole and reference.sure > 0 else None
    share = reference.matched / reference.of
    if share >= _ALL:
        return replace(reference, sure=0.9 if reference.sure > 0 else 0.75)
    return replace(reference, sure=0.5) if share >= _SOME and reference.sure > 0 else None


def _of_any_kind(table: Table, column: str) -> bool:
    """Whether another column says into which table a reference leads: `owner_id`, `owner_type`."""
    said = words(column)
    return said[-1:] == ("id",) and any(words(c) == (*said[:-1], "type") for c in table.columns)


def _tables_by_word(inventory: Inventory) -> dict[str, list[Table]]:
    named: dict[str, list[Table]] = {}
    for table in inventory.tables.values():
        if len(table.key) != 1:
            continue
        parts = tuple(map(singular, words(table.at[1])))
        for name in {"_".join(parts), parts[-1] if parts else ""}:
            named.setdefault(name, []).append(table)
    return named


def _targets(
    inventory: Inventory,
    table: Table,
    column: Column,
    named: Mapping[str, list[Table]],
    people: tuple[At, ...],
) -> Iterator[Reference]:
    says = tuple(map(singular, referred(column.name)))
    tried: set[At] = set()
    if says:
        near = [*named.get("_".join(says), ()), *named.get(says[-1], ())]
        if means_customer(says):
            near += [inventory.tables[at] for at in people if part_of(at[1]) is not Part.STAFF]
        for target in sorted(near, key=lambda t: t.at[0] != table.at[0]):  # own schema first
            if target.at not in tried and target is not table:
                tried.add(target.at)
                yield from _pointing(table, column, target, sure=0.1, people=people)
        return
    if column.family == "uuid":
        for at in people[:_MOST_UUID_TARGETS]:
            if at != table.at:
                target = inventory.tables[at]
                yield from _pointing(table, column, target, sure=0, people=people)


def _pointing(
    table: Table, column: Column, target: Table, *, sure: float, people: tuple[At, ...]
) -> Iterator[Reference]:
    """A reference to the column of the same name where it is unique, else to the key."""
    same = column.name if target.unique((column.name,)) and column.name in target.columns else None
    if len(target.key) != 1 and same is None:
        return
    theirs = target.columns[same or target.key[0]]
    if theirs.family not in _COMPARABLE or not theirs.readable:
        return
    joins = theirs.family == column.family
    if joins or (target.at in people and "text" in {theirs.family, column.family}):
        yield Reference(table.at, (column.name,), target.at, (theirs.name,), sure, joins=joins)
