"""Whether the mapped means of restriction can do what they are for, before a request needs them.

In: a session, the catalogue. Out: findings for `check`, each with what to do. Nothing is changed;
values of rows are never read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from psycopg2.sql import SQL, Composable, Literal

from connectors.postgres.changing.restrictions import (
    destination,
    flag,
    joined,
    kept_columns,
    losing,
    unlinking,
)
from connectors.postgres.server import ddl
from connectors.postgres.server.catalogue import Catalogue, Table
from connectors.postgres.server.places import Column
from connectors.postgres.server.session import Session
from dsr_worker.contract import (
    Configuration,
    Finding,
    Permanent,
    Restriction,
    RestrictionKind,
    Severity,
)

_DEMANDED = SQL("""
SELECT a.attname::text FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = {} AND c.relname = {} AND a.attnum > 0 AND NOT a.attisdropped
  AND a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AND a.attname <> ALL ({}::text[])
ORDER BY a.attnum
""")

_VIEWS = SQL("""
SELECT EXISTS (
  SELECT FROM pg_depend l JOIN pg_depend t ON t.classid = l.classid AND t.objid = l.objid
  JOIN pg_rewrite r ON r.oid = l.objid JOIN pg_class v ON v.oid = r.ev_class
  WHERE l.classid = 'pg_rewrite'::regclass AND v.relkind IN ('v', 'm')
    AND l.refclassid = 'pg_class'::regclass AND l.refobjid = {}
    AND t.refclassid = 'pg_class'::regclass AND t.refobjid = {})
""")

_RELATION = SQL("""
(SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = {} AND c.relname = {})
""")
"""A table by its name: unlike regclass it asks for no right on the schema."""


def fits(session: Session, column: Column, text: str | None) -> bool:
    """Whether a text of the map is a value of the column's type, no longer than it may be."""
    session.run(SQL("SAVEPOINT fits"))
    try:
        session.rows(SQL("SELECT {}::{}").format(Literal(text), SQL(column.type)))
    except Permanent:
        session.run(SQL("ROLLBACK TO SAVEPOINT fits"))
        return False
    return column.length is None or len(text or "") <= column.length


def findings(session: Session, tables: Catalogue) -> Iterator[Finding]:
    """What stands in the way of each collection's means."""
    for table in tables.tables.values():
        means = table.collection.restriction
        if means is None:
            continue
        try:
            if means.kind is RestrictionKind.FLAG:
                yield from _flagged(session, table, means)
            elif means.kind is RestrictionKind.MOVE:
                yield from _moved(session, tables, table)
            else:
                yield from _listed(session, table, tables.table(means.collection))
        except Configuration as error:
            yield _error(table.collection.name, str(error), "correct `restrict` in the data map")


def _flagged(session: Session, table: Table, means: Restriction) -> Iterator[Finding]:
    column = flag(table, means)
    where = f"{table.collection.name}.{column.name}"
    if column.generated:
        yield _error(where, "a generated column cannot be a flag", "flag a column of its own")
        return
    texts = {"value": means.value, "free": means.free}
    for name, text in texts.items():
        if text is None and column.not_null:
            yield _error(where, f"`{name}` is null, the column is NOT NULL", "name another value")
        elif not fits(session, column, text):
            message = f"`{name}` of the flag does not fit the type {column.type}"
            yield _error(where, message, "write a value of the type")
            return
    same = SQL("SELECT ({value}::{type})::text IS NOT DISTINCT FROM ({free}::{type})::text").format(
        value=Literal(means.value), free=Literal(means.free), type=SQL(column.type)
    )
    if session.rows(same)[0][0]:
        yield _error(where, "restricted and free are one value", "let `value` and `free` differ")


def _moved(session: Session, tables: Catalogue, table: Table) -> Iterator[Finding]:
    name, target = table.collection.name, destination(tables, table)
    if target is None:
        return
    there = ddl.relation(target.schema, target.name)
    if (target.schema, target.name) == (table.schema, table.name):
        yield _error(name, "its rows would move to where they are", "move them to another table")
        return
    if lost := losing(table, target):
        added = ", ".join(f"ADD COLUMN {ddl.quoted(c)} {table.columns[c].type}" for c in lost)
        yield _error(
            name,
            f"{target.schema}.{target.name} cannot hold its {', '.join(lost)}: no row will move",
            f"ALTER TABLE {there} {added}; (where one is there with another type, change it)",
        )
    yield from _demanding(session, name, target, kept_columns(table))
    for trigger in unlinking(session, table):
        yield _error(
            name,
            f"trigger {trigger} (lo_manage) would unlink the large objects of rows that only move",
            "restrict by a flag or a list",
        )
    declared = tables.table(_target_name(table)).large_objects
    if set(table.large_objects) - set(declared):
        yield _warning(
            name,
            f"{target.schema}.{target.name} does not name its large objects: another row's erasure"
            " could unlink them",
            f"source: {{large_objects: [{', '.join(table.large_objects)}]}} there as well",
        )
    for reference in tables.pointing_at(table):
        staying = [s for s in reference.sources if destination(tables, tables.table(s)) is None]
        if staying or not reference.sources:
            yield _warning(
                name,
                f"rows that {reference.source} refers to cannot move ({reference.name}): its own"
                " rows stay where they are",
                f"restrict {reference.source} by a move as well, or these rows by a flag or a list",
            )
    query = SQL("SELECT has_table_privilege('public', {}, 'SELECT')").format(_relation(target))
    if session.rows(query)[0][0]:
        yield _warning(
            name,
            f"everybody may read {target.schema}.{target.name}: what moves there is not restricted",
            f"REVOKE SELECT ON {there} FROM PUBLIC;",  # noqa: S608 - a statement for people to run
        )


def _relation(table: Table) -> Composable:
    return _RELATION.format(Literal(table.schema), Literal(table.name))


def _target_name(table: Table) -> str:
    means = table.collection.restriction
    return means.collection if means else ""


def _listed(session: Session, table: Table, listing: Table) -> Iterator[Finding]:
    name, parent = table.collection.name, listing.collection.parent
    if parent is None or parent.collection != name:
        yield _error(
            name,
            f"{listing.collection.name} does not say which of its rows it lists",
            f"parent: {{collection: {name}, on: …}} there",
        )
        return
    columns = [listing.place(ours).column.name for ours, _ in joined(listing)]
    yield from _demanding(session, name, listing, columns)
    if not session.rows(_VIEWS.format(_relation(listing), _relation(table)))[0][0]:
        yield _warning(
            name,
            f"no view leaves out what {listing.schema}.{listing.name} lists: whoever reads"
            f" {table.schema}.{table.name} goes on processing restricted rows",
            "make a view of the rows that are not listed, and let others read that alone",
        )


def _demanding(
    session: Session, name: str, table: Table, given: Sequence[str]
) -> Iterator[Finding]:
    """Columns that must have a value and would get none."""
    query = _DEMANDED.format(Literal(table.schema), Literal(table.name), Literal(list(given)))
    lacking = [column for (column,) in session.rows(query)]
    if lacking:
        yield _error(
            name,
            f"{table.schema}.{table.name} demands {', '.join(lacking)}, which a restriction does"
            " not give",
            f"ALTER TABLE {ddl.relation(table.schema, table.name)}"
            f" {', '.join(f'ALTER COLUMN {ddl.quoted(c)} DROP NOT NULL' for c in lacking)};"
            " or give each a default",
        )


def _warning(subject: str, message: str, remedy: str) -> Finding:
    return Finding(Severity.WARNING, subject, message, remedy)


def _error(subject: str, message: str, remedy: str) -> Finding:
    return Finding(Severity.ERROR, subject, message, remedy)
