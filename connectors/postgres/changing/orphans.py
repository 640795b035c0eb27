"""Rows that still refer to what was erased, where no foreign key forbids it.

In: the catalogue, the located keys. Out: for verification, rows of mapped children whose located
parent is gone, and places outside the map that hold a gone row's key; for the check, columns that
look like such references. A column looks like one when it is called as the map or a foreign key
calls a reference to that table (`customer_id`), and no foreign key guards it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from psycopg2.sql import SQL, Composable, Literal

from connectors.postgres.changing.erasing import Erasure
from connectors.postgres.changing.owning import below_located
from connectors.postgres.reading.ownership import Ownership
from connectors.postgres.server import catalogue
from connectors.postgres.server.catalogue import Catalogue, Table
from connectors.postgres.server.session import Session
from dsr_worker.contract import (
    Collection,
    Context,
    Finding,
    Key,
    NeedsHuman,
    Parent,
    Severity,
    System,
)

CODE = "unmapped_rows_left"

_LOOSE = SQL("""
SELECT n.nspname::text, c.relname::text, a.attname::text, has_schema_privilege(n.oid, 'USAGE')
  AND has_column_privilege(c.oid, a.attnum, 'SELECT')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND a.attname = ANY ({}::text[]) AND NOT EXISTS (
    SELECT FROM pg_constraint f
    WHERE f.contype = 'f' AND f.conrelid = c.oid AND a.attnum = ANY (f.conkey))
ORDER BY 1, 2, 3
""")

_REFERRING = SQL("""
SELECT DISTINCT n.nspname::text, c.relname::text, k.attname::text, s.attname::text
FROM pg_constraint f
JOIN pg_class c ON c.oid = f.confrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute s ON s.attrelid = f.conrelid AND s.attnum = f.conkey[1]
JOIN pg_attribute k ON k.attrelid = f.confrelid AND k.attnum = f.confkey[1]
WHERE f.contype = 'f' AND cardinality(f.conkey) = 1
""")


@dataclass(frozen=True, slots=True)
class Loose:
    """A column outside the map that looks like a reference to a mapped table's key."""

    schema: str
    name: str
    column: str
    target: str  # the collection
    readable: bool

    @property
    def place(self) -> str:
        """Schema, table and column."""
        return f"{self.schema}.{self.name}.{self.column}"


def loose(session: Session, tables: Catalogue) -> list[Loose]:
    """Every such column, but for those of tables that are mapped."""
    called = dict(_called(session, tables))
    mapped = {(t.schema, t.name) for t in tables.tables.values()}
    query = _LOOSE.format(Literal(sorted(called)))
    return [
        Loose(schema, name, column, called[column], readable)
        for schema, name, column, readable in session.rows(query)
        if (schema, name) not in mapped
    ]


def findings(session: Session, tables: Catalogue) -> Iterator[Finding]:
    """What verification will look at, and what it cannot."""
    for column in loose(session, tables):
        unread = "" if column.readable else "; the role may not read it, so nobody would know"
        yield Finding(
            Severity.WARNING,
            column.target,
            f"{column.place} looks like a reference to {column.target} and is not in the map: rows"
            f" that stay there stop an erasure's verification{unread}",
            f"map {column.schema}.{column.name} with parent {column.target}, or rename a column"
            " that means something else",
        )


def _called(session: Session, tables: Catalogue) -> Iterator[tuple[str, str]]:
    """What references to the one key column of a mapped table are called."""
    keys = {
        (t.schema, t.name, t.keys[0].column.name): t.collection.name
        for t in tables.tables.values()
        if len(t.keys) == 1
    }
    for schema, name, key, column in session.rows(_REFERRING):
        if (schema, name, key) in keys and column != "id":
            yield column, keys[schema, name, key]
    for (_, name, key), collection in keys.items():
        for whose in {name, _singular(name)}:
            yield f"{whose}_{key}", collection
    for table in tables.tables.values():
        parent = table.collection.parent
        for ours, theirs in parent.on.items() if parent else ():
            above = tables.table(parent.collection) if parent else table
            if above.collection.key == (theirs,) and ours != "id":
                yield ours, above.collection.name


def _singular(name: str) -> str:
    for ending, one in (("ies", "y"), ("sses", "ss"), ("s", "")):
        if name.endswith(ending) and not name.endswith("ss"):
            return name.removesuffix(ending) + one
    return name


# ---- verification


def mapped_rows(own: Ownership, located: Erasure) -> Iterator[Key]:
    """Rows of children whose located parent is gone, and that no name and no key finds."""
    for table in own.catalogue.tables.values():
        refers = _refers_to_gone(own.catalogue, table)
        if refers is None:
            continue
        own.ctx.check()
        told: Composable = own.owns(table, "t", SQL("k.s"))
        if (known := located.rows_of(table)) is not None:
            told = SQL("({} OR EXISTS (SELECT FROM pg_temp.{} d WHERE d.s = k.s AND {}))").format(
                told, known, table.same_key("t", "d")
            )
        query = SQL(
            "SELECT DISTINCT json_build_array(k.s, {key})::text FROM {table} t"
            " JOIN pg_temp.dsr_key k ON {refers} WHERE NOT {told}"
        ).format(key=table.key_json("t"), table=table.sql, refers=refers, told=told)
        for number, key in own.session.arrays(query):
            yield Key(own.subjects[number].ref, table.collection.name, tuple(key))


def refuse_unmapped(session: Session, tables: Catalogue, ctx: Context) -> None:
    """Look for gone rows' keys in every column outside the map that looks like a reference.

    Raises NeedsHuman with the places and the number of rows where some are left.
    """
    left = {}
    for place, table in _readable(session, tables):
        ctx.check()
        refers = _refers_to_gone(tables, table)
        if refers is not None:
            query = SQL(
                "SELECT count(*) FROM {} t WHERE EXISTS (SELECT FROM pg_temp.dsr_key k WHERE {})"
            ).format(table.sql, refers)
            left[place] = session.rows(query)[0][0]
    places = sorted(place for place, rows in left.items() if rows)
    if places:
        raise NeedsHuman(CODE, {"places": places, "rows": sum(left.values())})


def _readable(session: Session, tables: Catalogue) -> Iterator[tuple[str, Table]]:
    """The columns outside the map as tables with a parent, to compare like mapped ones."""
    found = {column.place: column for column in loose(session, tables) if column.readable}
    collections = {
        place: Collection(
            place,
            (column.column,),
            {},
            parent=Parent(
                column.target, {column.column: tables.table(column.target).collection.key[0]}
            ),
            source={"schema": column.schema, "table": column.name},
        )
        for place, column in found.items()
    }
    outside = System(tables.system.name, tables.system.connector, collections)
    yield from catalogue.read(session, outside).tables.items()


def _refers_to_gone(tables: Catalogue, table: Table) -> Composable | None:
    """Whether a row `t` refers to the located row `k` of its parent, which is gone.

    None where the reference is not to the parent's key.
    """
    parent, below = table.collection.parent, below_located(tables, table, "t", "k")
    if parent is None or below is None:
        return None
    above = tables.table(parent.collection)
    there = [place.equals_part("p", "k", n) for n, place in enumerate(above.keys)]
    return SQL("{} AND NOT EXISTS (SELECT FROM {} p WHERE {})").format(
        below, above.sql, SQL(" AND ").join(there)
    )
