"""References that no foreign key declares: which columns may point at which table.

In: the inventory. Out: candidates by name and type, which sampled inclusion then bears out or not.
Pure. A name alone gives a reference to review, and inclusion alone is believed of UUIDs only, since
small numbers are included everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from connectors.naming.words import (
    Part,
    means_customer,
    referred,
    says_who_did_it,
    singular,
    words,
)
from connectors.postgres.proposing.inventory import (
    ELEMENTS,
    At,
    Column,
    Inventory,
    Reference,
    Table,
    of_any_kind,
)

Paths = Mapping[str, Iterable[tuple[str, ...]]]
"""Of one table: paths inside its documents, by column."""

_COMPARABLE = frozenset({"int", "text", "uuid"})
_MOST_CANDIDATES = 2000
MOST_UNUSUAL = 300
"""References of several columns, and inside documents, that are counted at the most."""
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
            taken = taken or of_any_kind(table, column.name)
            if taken or column.family not in _COMPARABLE or says_who_did_it(column.name):
                continue
            if column.readable and len(found) < _MOST_CANDIDATES:
                found += _targets(inventory, table, column, named, people)
    return found


def of_several_columns(inventory: Inventory) -> Iterator[Reference]:
    """What may refer by all columns of another table's key, called the same in both."""
    by_key: dict[str, list[Table]] = {}
    for table in inventory.tables.values():
        if len(table.key) > 1:
            by_key.setdefault(min(table.key), []).append(table)
    for table in inventory.tables.values():
        declared = {(r.target, frozenset(r.columns)) for r in inventory.referring.get(table.at, ())}
        near = (target for name in table.columns for target in by_key.get(name, ()))
        for target in near:
            known = (target.at, frozenset(target.key)) in declared
            if table is not target and not known and _may_hold(table, target):
                yield Reference(table.at, target.key, target.at, target.key, 0.1)


def _may_hold(table: Table, target: Table) -> bool:
    """Whether a table has another's key and is no second table of the same things."""
    for name in target.key:
        ours, theirs = table.columns.get(name), target.columns[name]
        if ours is None or ours.family != theirs.family or not (ours.readable and theirs.readable):
            return False
    ties = all(referred(name) for name in target.key) and not target.uniques
    return not set(table.key) <= set(target.key) and not ties


def in_documents(
    inventory: Inventory, people: Iterable[At], paths: Mapping[At, Paths]
) -> Iterator[Reference]:
    """What may point at people from inside JSON or an array: `payload->>customer_id`."""
    people = tuple(people)
    for at, within in paths.items():
        table = inventory.tables[at]
        for column in table.columns.values():
            leaves = within.get(column.name, ()) if column.json else ()
            for path in [ELEMENTS] if column.element else leaves:
                said = referred(column.name if path == ELEMENTS else path[-1])
                for target in _people_called(inventory, people, tuple(map(singular, said))):
                    key = inventory.tables[target].key
                    yield Reference(at, (column.name,), target, key, 0.1, joins=False, path=path)


def _people_called(
    inventory: Inventory, people: tuple[At, ...], said: tuple[str, ...]
) -> Iterator[At]:
    for at in people:
        own = tuple(map(singular, words(at[1])))
        if len(inventory.tables[at].key) == 1 and said and own[-1:] == said[-1:]:
            yield at


def judged(reference: Reference) -> Reference | None:
    """The reference as sure as its sample makes it; None where the sample speaks against it."""
    if reference.of < _ENOUGH:
        whole = reference.matched == reference.of
        return replace(reference, sure=0.5) if whole and reference.sure > 0 else None
    share = reference.matched / reference.of
    if share >= _ALL:
        return replace(reference, sure=0.9 if reference.sure > 0 else 0.75)
    return replace(reference, sure=0.5) if share >= _SOME and reference.sure > 0 else None


def _tables_by_word(inventory: Inventory) -> dict[str, list[Table]]:
    named: dict[str, list[Table]] = {}
    for table in inventory.tables.values():
        if len(table.key) != 1:
            continue
        parts = tuple(map(singular, words(table.at[1])))
        for start in range(len(parts)):
            named.setdefault("_".join(parts[start:]), []).append(table)
    for name, tables in named.items():
        tables.sort(key=lambda table: len(words(table.at[1])) > name.count("_") + 1)
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
            near += [inventory.tables[at] for at in people if inventory.part(at) is not Part.STAFF]
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
