"""What a collection's means of restriction are made of: columns and tables.

In: the catalogue. Out: the flag's column, where rows move to and what they are made of, by what a
list names rows.
"""

from __future__ import annotations

from dataclasses import replace

from psycopg2.sql import SQL, Literal

from connectors.postgres.server.catalogue import Catalogue, Table
from connectors.postgres.server.places import Column
from connectors.postgres.server.session import Session
from dsr_worker.contract import Configuration, Restriction, RestrictionKind

_UNLINKING = SQL("""
SELECT t.tgname::text FROM pg_trigger t
JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_proc p ON p.oid = t.tgfoid
WHERE p.proname = 'lo_manage' AND t.tgenabled <> 'D' AND n.nspname = {} AND c.relname = {}
""")


def flag(table: Table, means: Restriction | None) -> Column:
    """The column that says so. Raises Configuration where it is none."""
    place = table.place(means.field if means else "")
    if place.path:
        raise Configuration(
            f"{table.collection.name}: a flag is a column, {place.column.name} holds documents"
        )
    return place.column


def destination(tables: Catalogue, table: Table) -> Table | None:
    """Where a collection's rows move to, as if that table were the collection's own."""
    means = table.collection.restriction
    if means is None or means.kind is not RestrictionKind.MOVE:
        return None
    return replace(tables.table(means.collection), collection=table.collection)


def kept_columns(table: Table) -> list[str]:
    """What a row is made of: every column that is not made of the others."""
    return [column.name for column in table.columns.values() if not column.computed]


def losing(table: Table, moved: Table) -> list[str]:
    """The columns that the other table cannot hold as they are."""
    return [
        name
        for name in kept_columns(table)
        if (other := moved.columns.get(name)) is None
        or other.computed
        or other.type not in {table.columns[name].type, table.columns[name].bare}
    ]


def joined(listing: Table) -> list[tuple[str, str]]:
    """By which fields of its own a list names rows, with theirs."""
    parent = listing.collection.parent
    return list(parent.on.items()) if parent else []


def unlinking(session: Session, table: Table) -> list[str]:
    """The triggers that unlink a row's large objects when it goes, though it only moves."""
    query = _UNLINKING.format(Literal(table.schema), Literal(table.name))
    return [trigger for (trigger,) in session.rows(query)]
