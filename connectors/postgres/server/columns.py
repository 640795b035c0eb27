"""Which columns our statements name: the ones that a role must be able to read, and no others.

In: the catalogue. Out: names of columns, in the table's order.
"""

from __future__ import annotations

from collections.abc import Iterator

from psycopg2.sql import SQL, Composable, Identifier

from connectors.postgres.changing.corrections import fixed
from connectors.postgres.changing.restrictions import flag, joined, kept_columns
from connectors.postgres.server.catalogue import Catalogue, Table
from dsr_worker.contract import RestrictionKind


def named(tables: Catalogue, table: Table) -> tuple[str, ...]:
    """Every column of a collection that is mapped, compared, or that its children refer to."""
    found = set(_named(tables, table))
    return tuple(name for name in table.columns if name in found)


def named_columns(tables: Catalogue, table: Table, alias: str) -> Composable:
    """The same for a SELECT: a role that may read these alone may not say `*`."""
    return SQL(", ").join(Identifier(alias, name) for name in named(tables, table))


def changed(tables: Catalogue, table: Table) -> tuple[str, ...]:
    """Every column that a mask, a correction or a flag may change.

    What the law keeps unaltered (`kept_fields`) is put right by hand, with rights given for it.
    """
    collection = table.collection
    found = {
        table.place(f.name).column.name
        for f in collection.fields.values()
        if f.mask is not None
        or (f.name not in (collection.kept_fields or ()) and fixed(tables, table, f.name) is None)
    }
    means = collection.restriction
    if means is not None and means.kind is RestrictionKind.FLAG:
        found.add(flag(table, means).name)
    return tuple(name for name in table.columns if name in found)


def inserted(tables: Catalogue, table: Table) -> tuple[str, ...]:
    """Every column that is written when rows are moved here, move back, or are listed here."""
    means = table.collection.restriction
    found: set[str] = set()
    if means is not None and means.kind is RestrictionKind.MOVE:
        found.update(kept_columns(table))
    for other in tables.tables.values():
        theirs = other.collection.restriction
        if theirs is None or theirs.collection != table.collection.name:
            continue
        if theirs.kind is RestrictionKind.MOVE:
            found.update(kept_columns(other))
        else:
            found.update(table.place(ours).column.name for ours, _ in joined(table))
    return tuple(name for name in table.columns if name in found)


def _named(tables: Catalogue, table: Table) -> Iterator[str]:
    collection = table.collection
    above = collection.parent
    fields = [
        *collection.key,
        *collection.fields,
        *(taken.field for taken in collection.takes.values()),
        *collection.yields.values(),
        *collection.contact.values(),
        *collection.clocks.values(),
        *([collection.residence] if collection.residence else []),
        *(above.on if above else ()),
    ]
    if collection.restriction is not None and collection.restriction.field:
        fields.append(collection.restriction.field)
    for child in tables.children.get(collection.name, ()):
        fields += child.parent.on.values() if child.parent else ()
    for name in fields:
        yield table.place(name).column.name
