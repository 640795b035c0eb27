"""Which columns our statements name: the ones that a role must be able to read, and no others.

In: the catalogue. Out: names of columns, in the table's order.
"""

from __future__ import annotations

from collections.abc import Iterator

from psycopg2.sql import SQL, Composable, Identifier

from connectors.postgres.catalogue import Catalogue, Table


def named(tables: Catalogue, table: Table) -> tuple[str, ...]:
    """Every column of a collection that is mapped, compared, or that its children refer to."""
    found = set(_named(tables, table))
    return tuple(name for name in table.columns if name in found)


def named_columns(tables: Catalogue, table: Table, alias: str) -> Composable:
    """The same for a SELECT: a role that may read these alone may not say `*`."""
    return SQL(", ").join(Identifier(alias, name) for name in named(tables, table))


def masked(table: Table) -> tuple[str, ...]:
    """Every column that a mask may change."""
    fields = table.collection.fields.values()
    found = {table.place(f.name).column.name for f in fields if f.mask is not None}
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
    for child in tables.children.get(collection.name, ()):
        fields += child.parent.on.values() if child.parent else ()
    for name in fields:
        yield table.place(name).column.name
