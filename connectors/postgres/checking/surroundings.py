"""What lies around the mapped tables and may hide, keep, copy or alter data beyond the map.

In: a system and its server's catalogue. Out: findings for `check`, each with what to do, and the
materialised views that hold copies of mapped rows. Values of rows are never read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from psycopg2.sql import SQL, Composable, Identifier

from connectors.postgres.changing import ambiguous
from connectors.postgres.checking.triggers import WRITING, writes_into
from connectors.postgres.server.catalogue import Catalogue, Table, table_name
from connectors.postgres.server.session import Session, line
from dsr_worker.contract import Finding, MaskKind, Severity, System

_WANTED = SQL("""
WITH RECURSIVE wanted AS (
  SELECT w.collection, c.oid, c.relkind FROM pg_temp.dsr_around w
  JOIN pg_namespace n ON n.nspname = w.schema
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name AND c.relkind IN ('r', 'p')
)""")

_SECURED = SQL(
    "{} SELECT collection FROM wanted WHERE row_security_active(oid) ORDER BY collection"
).format(_WANTED)

_TRIGGERS = SQL("""{}
SELECT w.collection, t.tgname::text, p.proname::text,
  CASE WHEN p.prosecdef THEN '' ELSE p.prosrc END
FROM wanted w
JOIN pg_trigger t ON t.tgrelid = w.oid AND NOT t.tgisinternal AND t.tgenabled <> 'D'
JOIN pg_proc p ON p.oid = t.tgfoid
WHERE t.tgtype & 24 > 0 ORDER BY 1, 2
""").format(_WANTED)
"""Bits 8 and 16 of tgtype: fires on DELETE, on UPDATE."""

_HEIRS = SQL("""{}
SELECT w.collection, h.oid::regclass::text FROM wanted w
JOIN pg_inherits i ON i.inhparent = w.oid JOIN pg_class h ON h.oid = i.inhrelid
WHERE w.relkind = 'r' ORDER BY 1, 2
""").format(_WANTED)

_EXCLUDING = SQL("""{}
SELECT w.collection, c.conname::text, ARRAY(
  SELECT a.attname::text FROM unnest(c.conkey) AS k(attnum)
  JOIN pg_attribute a ON a.attrelid = w.oid AND a.attnum = k.attnum)
FROM wanted w JOIN pg_constraint c ON c.conrelid = w.oid AND c.contype = 'x' ORDER BY 1, 2
""").format(_WANTED)

_COPIES = SQL("""{wanted}, derived AS (
  SELECT oid, 0 AS depth FROM wanted
  UNION
  SELECT r.ev_class, d.depth + 1 FROM derived d
  JOIN pg_depend p ON p.refclassid = 'pg_class'::regclass AND p.refobjid = d.oid
    AND p.classid = 'pg_rewrite'::regclass
  JOIN pg_rewrite r ON r.oid = p.objid AND r.ev_class <> d.oid
)
SELECT n.nspname::text, c.relname::text, {refreshing}
FROM derived d JOIN pg_class c ON c.oid = d.oid AND c.relkind = 'm'
JOIN pg_namespace n ON n.oid = c.relnamespace
GROUP BY 1, 2, 3 ORDER BY max(d.depth), 1, 2
""")
_OWNING = SQL("pg_has_role(c.relowner, 'USAGE')")
_MAINTAINED = SQL("has_table_privilege(c.oid, 'MAINTAIN')")
_FIRST_MAINTAIN = 17_00_00

_MAINTAINING = frozenset({"tsvector_update_trigger", "tsvector_update_trigger_column", "lo_manage"})
"""Functions of triggers that copy nothing elsewhere."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A materialised view over mapped tables; `ours`: the role may refresh it."""

    schema: str
    name: str
    ours: bool

    @property
    def sql(self) -> Composable:
        """The view's name, quoted."""
        return Identifier(self.schema, self.name)


def copies(session: Session, system: System) -> tuple[Copy, ...]:
    """The materialised views that hold copies of mapped rows, each after those it is made of."""
    _want(session, system)
    return _copies(session)


def _copies(session: Session) -> tuple[Copy, ...]:
    privileged = session.connection.server_version >= _FIRST_MAINTAIN
    refreshing = _MAINTAINED if privileged else _OWNING  # an owner may maintain
    query = _COPIES.format(wanted=_WANTED, refreshing=refreshing)
    return tuple(Copy(*row) for row in session.rows(query))


def findings(
    session: Session, tables: Catalogue, *, obeying: bool, refreshing: bool
) -> Iterator[Finding]:
    """Every finding; `obeying` row security, `refreshing` the materialised views after erasures."""
    _want(session, tables.system)
    yield from _security(session, obeying=obeying)
    yield from _heirs(session, tables)
    yield from _triggers(session, tables)
    yield from _excluding(session, tables)
    yield from _copied(tables.system, session, refreshing=refreshing)
    for table in tables.tables.values():
        yield from _large_objects(table)


def _want(session: Session, system: System) -> None:
    session.run(
        SQL("CREATE TEMP TABLE dsr_around (collection text, schema text, name text) ON COMMIT DROP")
    )
    lines = (line(c.name, *table_name(c)) for c in system.collections.values())
    session.fill(Identifier("dsr_around"), lines)


def _security(session: Session, *, obeying: bool) -> Iterator[Finding]:
    """Where policies are obeyed, `privileges` says whether they may hide rows."""
    for (collection,) in () if obeying else session.rows(_SECURED):
        yield Finding(
            Severity.ERROR,
            collection,
            "row security binds the role; every statement will fail rather than miss rows",
            "obey_row_security: true, where the policies are the border of what is yours (those"
            " that `dsr connectors grants` prints hide nothing), or ALTER ROLE … BYPASSRLS",
        )


def _heirs(session: Session, tables: Catalogue) -> Iterator[Finding]:
    for collection, heir in session.rows(_HEIRS):
        yield _warning(
            collection,
            f"{heir} inherits from its table: no key is unique over both, nor do foreign keys see"
            " its rows",
            "make sure that keys differ; an erasure of a key that two rows share is refused",
        )
    for collection, part in ambiguous.parts(session, tables):
        yield Finding(
            Severity.ERROR,
            collection,
            f"the table of {part} is this collection's table or a part of it: its rows would be"
            " erased twice, which is refused",
            "map the table once, with every name in one collection",
        )


def _triggers(session: Session, tables: Catalogue) -> Iterator[Finding]:
    found = session.rows(_TRIGGERS)
    for collection, trigger, function, source in found:
        if function not in _MAINTAINING:
            mapped = any(writes_into(source, table) for table in tables.tables.values())
            mapping = "make sure" if mapped else "map the table that it writes to, or make sure"
            rights = (
                "; it writes with the eraser's rights: GRANT what it writes to, or make the"
                " function SECURITY DEFINER"
            )
            yield _warning(
                collection,
                f"trigger {trigger} ({function}) runs when rows are erased or masked: it may change"
                " other people's or held rows, and copies that it writes to a history or audit"
                " table stay",
                f"{mapping} that it copies nothing{rights if WRITING.search(source) else ''}",
            )
    kept = {collection for collection, _, function, _ in found if function in _MAINTAINING}
    for table in tables.tables.values():
        name = table.collection.name
        if name not in kept and any(f.mask for f in table.collection.fields.values()):
            yield from _words(table)


def _words(table: Table) -> Iterator[Finding]:
    for column in table.columns.values():
        mapped = table.collection.fields.get(column.name)
        if column.base == "tsvector" and not column.generated and not (mapped and mapped.mask):
            yield _warning(
                f"{table.collection.name}.{column.name}",
                "the column may hold words of masked fields, and nothing renews it",
                'map it with mask: "null", or make it a generated column',
            )


def _excluding(session: Session, tables: Catalogue) -> Iterator[Finding]:
    for collection, constraint, columns in session.rows(_EXCLUDING):
        table = tables.table(collection)
        for field in table.collection.fields.values():
            constant = field.mask is not None and field.mask.kind is MaskKind.CONSTANT
            if constant and table.place(field.name).column.name in columns:
                yield _warning(
                    f"{collection}.{field.name}",
                    f"the exclusion constraint {constraint} may refuse two rows of one constant",
                    "mask by null or pseudonym",
                )


def _copied(system: System, session: Session, *, refreshing: bool) -> Iterator[Finding]:
    for view in _copies(session):
        name = f"{view.schema}.{view.name}"
        if not refreshing:
            yield _warning(
                system.name,
                f"the materialised view {name} holds copies of mapped rows: what is erased stays in"
                " it until it is refreshed",
                f"refresh_views: true, or after erasures: REFRESH MATERIALIZED VIEW {name};",
            )
        elif not view.ours:
            yield _warning(
                system.name,
                f"the role does not own the materialised view {name}: it may be unable to refresh",
                f"GRANT MAINTAIN ON {name} (from Postgres 17), or make the role a member of its"
                " owner",
            )


def _large_objects(table: Table) -> Iterator[Finding]:
    declared = table.large_objects
    for column in table.columns.values():
        if column.base == "oid" and column.name not in declared:
            yield _warning(
                f"{table.collection.name}.{column.name}",
                "the column may name large objects, which stay when their rows go",
                f"source: {{large_objects: [{column.name}]}}, so that they go along",
            )


def _warning(subject: str, message: str, remedy: str) -> Finding:
    return Finding(Severity.WARNING, subject, message, remedy)
