"""Rows that the map reaches as two collections', or by several owners: no decision is sound then.

In: the catalogue. Out: which collections share rows, for the check, and a refusal before anything
changes. What a hold keeps in one collection would go as the other's; a row whose parent's columns
are not unique would go with any of its owners. Reading is not concerned.
"""

from __future__ import annotations

from collections.abc import Collection as Names
from collections.abc import Iterator

from psycopg2.sql import SQL, Literal

from connectors.postgres.server.catalogue import Catalogue, Table
from connectors.postgres.server.session import Session
from dsr_worker.contract import Configuration

_PARTS = SQL("""
WITH RECURSIVE wanted AS (
  SELECT w.collection, c.oid FROM (VALUES {}) w (collection, schema, name)
  JOIN pg_namespace n ON n.nspname = w.schema
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
), lies AS (
  SELECT collection, oid FROM wanted
  UNION SELECT l.collection, i.inhrelid FROM lies l JOIN pg_inherits i ON i.inhparent = l.oid
)
SELECT l.collection, w.collection FROM wanted w JOIN lies l ON l.oid = w.oid
WHERE l.collection <> w.collection ORDER BY 1, 2
""")


def parts(session: Session, tables: Catalogue) -> list[tuple[str, str]]:
    """Pairs of collections: the second's table is the first's, or a partition or heir of it."""
    places = [(table.schema, table.name) for table in tables.tables.values()]
    divided = sum(table.split for table in tables.tables.values()) > 1
    if not divided and len(set(places)) == len(places):
        return []
    wanted = SQL(", ").join(
        SQL("({}, {}, {})").format(Literal(name), Literal(table.schema), Literal(table.name))
        for name, table in tables.tables.items()
    )
    return [(whole, part) for whole, part in session.rows(_PARTS.format(wanted))]


def refuse(session: Session, tables: Catalogue, changing: Names[Table]) -> None:
    """Raise Configuration where rows that may change have two collections or several owners."""
    names = {table.collection.name for table in changing}
    for whole, part in parts(session, tables):
        if names & {whole, part}:
            raise Configuration(
                f"the table of {part} is that of {whole} or a part of it: what one keeps would go"
                " as the other's; nothing was changed. Map the table once"
            )
    for table, columns in _several(tables, changing):
        raise Configuration(
            f"{table}: the parent's columns {columns} are not unique: a row could have several"
            " owners; nothing was changed. Refer to a unique key of the parent"
        )


def _several(tables: Catalogue, changing: Names[Table]) -> Iterator[tuple[str, str]]:
    for table in changing:
        parent = table.collection.parent
        if parent is None:
            continue
        if not tables.table(parent.collection).unique(parent.on.values()):
            yield table.collection.name, ", ".join(parent.on.values())
