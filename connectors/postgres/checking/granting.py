"""The rights that a data map needs: as a list to compare with, and as statements to run.

In: a catalogue. Out: `Need`s per table, and two `Role`s: a reader, which can change nothing, and an
eraser, which can change no more than the map may erase, mask, put right or restrict. Nothing is
changed here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from psycopg2.sql import SQL, Literal

from connectors.postgres.checking.triggers import written
from connectors.postgres.server import ddl
from connectors.postgres.server.catalogue import Catalogue, Table
from connectors.postgres.server.columns import changed, inserted, named
from connectors.postgres.server.session import Limits, Session
from dsr_worker.contract import Role

_LONGEST_NAME = 63  # NAMEDATALEN - 1
_ATTRIBUTES = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"

_REFERRING = SQL("""
SELECT DISTINCT n.nspname::text, c.relname::text, a.attname::text
FROM pg_constraint f
CROSS JOIN LATERAL (
  SELECT f.conrelid AS oid, unnest(f.conkey) AS attnum
  UNION ALL SELECT f.confrelid, unnest(f.confkey)) k
JOIN pg_class c ON c.oid = k.oid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = k.oid AND a.attnum = k.attnum
WHERE f.contype = 'f' AND f.conparentid = 0
""")


_DEFAULTS = SQL("""
SELECT DISTINCT sn.nspname::text, s.relname::text
FROM pg_attrdef a
JOIN pg_class c ON c.oid = a.adrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute t ON t.attrelid = c.oid AND t.attnum = a.adnum
JOIN pg_depend p ON p.classid = 'pg_attrdef'::regclass AND p.objid = a.oid
  AND p.refclassid = 'pg_class'::regclass
JOIN pg_class s ON s.oid = p.refobjid AND s.relkind = 'S'
JOIN pg_namespace sn ON sn.oid = s.relnamespace
WHERE n.nspname = {} AND c.relname = {} AND t.attname <> ALL ({}::text[]) ORDER BY 1, 2
""")


@dataclass(frozen=True, slots=True)
class Need:
    """What statements on one table need. `locks`: `changes` is there to lock rows alone.

    A table outside the map that refers to a mapped one stands for its own collection.
    """

    collection: str
    schema: str
    name: str
    reads: tuple[str, ...]
    changes: tuple[str, ...] = ()
    locks: bool = False
    erases: bool = False
    inserts: tuple[str, ...] = ()
    sequences: tuple[str, ...] = ()  # that give what an insert leaves to its defaults

    @property
    def relation(self) -> str:
        """The table's name, quoted."""
        return ddl.relation(self.schema, self.name)


def needs(session: Session, tables: Catalogue, *, changing: bool) -> list[Need]:
    """Each table once, with what reading takes, or reading and erasing."""
    found: dict[tuple[str, str], Need] = {}
    referring: dict[tuple[str, str], set[str]] = {}
    if changing:
        for schema, name, column in session.rows(_REFERRING):
            referring.setdefault((schema, name), set()).add(column)
    for table in tables.tables.values():
        at = (table.schema, table.name)
        need = _need(tables, table, referring.get(at, set()), changing=changing)
        if need.inserts:
            need = replace(need, sequences=_sequences(session, need))
        found[at] = _both(found[at], need) if at in found else need
    for reference in tables.references if changing else ():
        if not reference.sources:  # whether rows outside the map refer to one that is to go
            at = (reference.source.schema, reference.source.name)
            reads = tuple(sorted(referring[at]))
            found[at] = Need(str(reference.source), *at, reads)
    for table in written(session, tables) if changing else ():
        at = (table.schema, table.name)
        found[at] = _written(session, table, found[at])
    return list(found.values())


def _written(session: Session, table: Table, need: Need) -> Need:
    """The same where a trigger inserts rows with the eraser's rights, by whatever columns."""
    sequences = _sequences(session, replace(need, inserts=()))
    return replace(
        need,
        inserts=tuple(name for name, column in table.columns.items() if not column.generated),
        sequences=tuple(dict.fromkeys([*need.sequences, *sequences])),
    )


def _need(tables: Catalogue, table: Table, referring: set[str], *, changing: bool) -> Need:
    wanted = {*named(tables, table), *referring}
    reads = tuple(name for name in table.columns if name in wanted)
    need = Need(table.collection.name, table.schema, table.name, reads)
    if not changing:
        return need
    address = ("ctid", "tableoid") if table.split else ("ctid",)  # a sweep takes rows by address
    changes, inserts = changed(tables, table), inserted(tables, table)
    wanted.update(inserts)  # what moves is read as well
    return replace(
        need,
        reads=(*(name for name in table.columns if name in wanted), *address),
        inserts=inserts,
        changes=changes or (_lockable(table),),
        locks=not changes,
        erases=True,
    )


def _lockable(table: Table) -> str:
    """A column to hold UPDATE on, without which Postgres locks no row; one that cannot be set."""
    fixed = (name for name, column in table.columns.items() if column.generated)
    return next(fixed, table.keys[0].column.name)


def _both(one: Need, other: Need) -> Need:
    changes = [need.changes for need in (one, other) if not need.locks] or [one.changes]
    return replace(
        one,
        reads=tuple(dict.fromkeys([*one.reads, *other.reads])),
        changes=tuple(dict.fromkeys(name for part in changes for name in part)),
        locks=one.locks and other.locks,
        inserts=tuple(dict.fromkeys([*one.inserts, *other.inserts])),
        sequences=tuple(dict.fromkeys([*one.sequences, *other.sequences])),
    )


def _sequences(session: Session, need: Need) -> tuple[str, ...]:
    """The sequences that defaults of the other columns take from; identities need no right."""
    query = _DEFAULTS.format(Literal(need.schema), Literal(need.name), Literal(list(need.inserts)))
    return tuple(ddl.relation(*at) for at in session.rows(query))


def roles(session: Session, tables: Catalogue, limits: Limits) -> Iterator[Role]:
    """The reader and the eraser of a system."""
    system = tables.system.name
    for kind, changing, purpose in (
        ("reader", False, "finds and verifies; can change nothing (`reader_dsn`)"),
        ("eraser", True, "erases, masks, sweeps, puts right and restricts (`dsn`)"),
    ):
        name = f"dsr_{system}_{kind}"
        if len(name) > _LONGEST_NAME:
            name = f"dsr_{system[: _LONGEST_NAME - 5 - len(kind)]}_{kind}"
        wanted = needs(session, tables, changing=changing)
        statements = _statements(session, name, wanted, limits)
        yield Role(name, purpose, tuple(statements))


def _statements(session: Session, name: str, wanted: list[Need], limits: Limits) -> Iterator[str]:
    role = ddl.quoted(name)
    yield (
        f"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {ddl.literal(name)})"
        f" THEN CREATE ROLE {role} {_ATTRIBUTES}; END IF; END $$;"
    )
    yield f"ALTER ROLE {role} SET lock_timeout = '{int(limits.lock_s * 1000)}ms';"
    idle = f"{int(limits.idle_s * 1000)}ms"
    yield f"ALTER ROLE {role} SET idle_in_transaction_session_timeout = '{idle}';"
    ((database,),) = session.rows(SQL("SELECT current_database()::text"))
    yield f"GRANT CONNECT, TEMPORARY ON DATABASE {ddl.quoted(database)} TO {role};"
    for schema in dict.fromkeys(need.schema for need in wanted):
        yield f"GRANT USAGE ON SCHEMA {ddl.quoted(schema)} TO {role};"
    for need in wanted:
        yield f"REVOKE ALL ON {need.relation} FROM {role};"
        yield from granted(need, role)
        if _secured(session, need):
            policy = f"{role} ON {need.relation}"
            command = "ALL" if need.erases else "SELECT"
            yield f"DROP POLICY IF EXISTS {policy};"
            yield f"CREATE POLICY {policy} FOR {command} TO {role} USING (true);"


def granted(need: Need, role: str) -> Iterator[str]:
    """The statements that give a role, quoted, what it needs of one table."""
    yield f"GRANT SELECT ({ddl.listed(need.reads)}) ON {need.relation} TO {role};"
    if need.changes:
        told = " -- without UPDATE on some column no row can be locked" if need.locks else ""
        columns = ddl.listed(need.changes)
        yield f"GRANT UPDATE ({columns}) ON {need.relation} TO {role};{told}"
    if need.inserts:
        columns = ddl.listed(need.inserts)
        yield f"GRANT INSERT ({columns}) ON {need.relation} TO {role};"
    for sequence in need.sequences:
        yield f"GRANT USAGE ON SEQUENCE {sequence} TO {role};"
    if need.erases:
        yield f"GRANT DELETE ON {need.relation} TO {role};"


def _secured(session: Session, need: Need) -> bool:
    """Whether row security is on: without a policy the role would see no row."""
    query = SQL(
        "SELECT c.relrowsecurity FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = {} AND c.relname = {}"
    ).format(Literal(need.schema), Literal(need.name))
    return bool(session.rows(query)[0][0])
