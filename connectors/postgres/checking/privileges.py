"""Whether a role may do what the data map needs, and whether it may do more.

In: a session of that role, what is needed. Out: findings with the statement that mends each. Too
little is an error where reading fails and a warning where only changing does; too much is a
warning: with it, a mistake or a thief could reach beyond the map.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from psycopg2.sql import SQL, Composable, Literal

from connectors.postgres.checking.granting import Need
from connectors.postgres.server import ddl
from connectors.postgres.server.session import Session
from dsr_worker.contract import Finding, Severity

_MOST_NAMED = 10
_WRITES = ("INSERT", "UPDATE", "DELETE", "TRUNCATE")
_SURPLUS = ("INSERT", "TRUNCATE", "REFERENCES", "TRIGGER")
_BY_COLUMN = frozenset({"SELECT", "INSERT", "UPDATE", "REFERENCES"})

_ATTRIBUTES = (
    ("rolbypassrls", "passes by row security (BYPASSRLS)", "NOBYPASSRLS"),
    ("rolcreaterole", "may make roles (CREATEROLE)", "NOCREATEROLE"),
    ("rolcreatedb", "may make databases (CREATEDB)", "NOCREATEDB"),
    ("rolreplication", "may read everything by replication (REPLICATION)", "NOREPLICATION"),
)

_OWNED = SQL("""
SELECT n.nspname::text, c.relname::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND pg_has_role(c.relowner, 'MEMBER')
ORDER BY 1, 2
""")

_WRITABLE = SQL("""
SELECT n.nspname::text, c.relname::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'f') AND NOT c.relispartition
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND has_schema_privilege(n.oid, 'USAGE') AND NOT pg_has_role(c.relowner, 'MEMBER')
  AND (has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
    OR has_any_column_privilege(c.oid, 'INSERT, UPDATE'))
ORDER BY 1, 2
""")

_COLUMNS = SQL("""
SELECT a.attname::text FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = {} AND c.relname = {} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
""")


def too_few(session: Session, wanted: Sequence[Need]) -> Iterator[Finding]:
    """What a role may not do and needs to."""
    role = _role(session)
    closed = dict.fromkeys(need.schema for need in wanted if not _opened(session, need))
    for schema in closed:
        yield Finding(
            Severity.ERROR,
            schema,
            f"the role has no USAGE on schema {schema}",
            f"GRANT USAGE ON SCHEMA {ddl.quoted(schema)} TO {role};",
        )
    for need in wanted:
        if need.schema not in closed:
            yield from _few_of(session, need, role)


def too_many(session: Session, system: str, wanted: Sequence[Need]) -> Iterator[Finding]:
    """What a role may do and does not need to. Of a superuser only that it is one."""
    role = _role(session)
    ((superuser,),) = session.rows(
        SQL("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
    )
    if superuser:
        yield _surplus(
            system,
            "the role is a superuser: no grant and no row security binds it",
            f"connect by the roles that `dsr connectors grants {system}` prints",
        )
        return
    yield from _powers(session, system, role)
    yield from _may_create(session, system, wanted, role)
    yield from _owned(session, system)
    yield from _others(session, system, wanted, role)
    for need in wanted:
        if _opened(session, need) and not _owns(session, need):
            yield from _beyond(session, need, role)


def _role(session: Session) -> str:
    ((name,),) = session.rows(SQL("SELECT current_user::text"))
    return ddl.quoted(name)


# ---- too few


def _few_of(session: Session, need: Need, role: str) -> Iterator[Finding]:
    table = f"{need.schema}.{need.name}"
    if lacking := _lacking(session, need, "SELECT", need.reads):
        yield _without(need, role, "SELECT", lacking)
    lacking = _lacking(session, need, "UPDATE", need.changes)
    locked = need.locks and _is_true(session, "has_any_column_privilege", need.relation, "UPDATE")
    if lacking and not locked:
        why = "locked, which takes UPDATE on a column" if need.locks else "masked or put right"
        yield _without(need, role, "UPDATE", lacking, f"its rows cannot be {why}")
    if lacking := _lacking(session, need, "INSERT", need.inserts):
        without = "rows cannot be restricted or freed, or a trigger cannot write there"
        yield _without(need, role, "INSERT", lacking, without)
    for sequence in need.sequences:
        if not _is_true(session, "has_sequence_privilege", sequence, "USAGE"):
            yield Finding(
                Severity.WARNING,
                need.collection,
                f"the role has no USAGE on {sequence}: rows cannot be written there",
                f"GRANT USAGE ON SEQUENCE {sequence} TO {role};",
            )
    if need.erases and not _is_true(session, "has_table_privilege", need.relation, "DELETE"):
        yield Finding(
            Severity.WARNING,
            need.collection,
            f"the role has no DELETE on {table}: its rows cannot be erased",
            f"GRANT DELETE ON {need.relation} TO {role};",
        )
    yield from _hidden(session, need, role)


def _without(
    need: Need, role: str, privilege: str, columns: Sequence[str], follows: str = ""
) -> Finding:
    """What some columns' want of a privilege means: nothing can be read, or what `follows`."""
    table = f"{need.schema}.{need.name}"
    return Finding(
        Severity.WARNING if follows else Severity.ERROR,
        need.collection,
        f"the role has no {privilege} on {_some(columns)} of {table}{follows and ': '}{follows}",
        f"GRANT {privilege} ({ddl.listed(columns)}) ON {need.relation} TO {role};",
    )


def _hidden(session: Session, need: Need, role: str) -> Iterator[Finding]:
    """Row security that is obeyed, without a policy for the role: nothing is found in silence."""
    table = Literal(need.relation)
    query = SQL("SELECT current_setting('row_security') = 'on' AND row_security_active({})")
    active = session.rows(query.format(table))[0][0]
    query = SQL(
        "SELECT EXISTS (SELECT FROM pg_policies p WHERE p.schemaname = {} AND p.tablename = {}"
        " AND p.permissive = 'PERMISSIVE' AND p.cmd IN ('ALL', 'SELECT') AND p.qual = 'true'"
        " AND EXISTS (SELECT FROM unnest(p.roles) r"
        " WHERE CASE WHEN r = 'public' THEN true ELSE pg_has_role(r, 'USAGE') END))"
        " AND NOT EXISTS (SELECT FROM pg_policies p WHERE p.schemaname = {} AND p.tablename = {}"
        " AND p.permissive = 'RESTRICTIVE')"
    )
    at = (Literal(need.schema), Literal(need.name))
    if active and not session.rows(query.format(*at, *at))[0][0]:
        command = "ALL" if need.erases else "SELECT"
        yield Finding(
            Severity.WARNING,
            need.collection,
            f"row security of {need.schema}.{need.name} may hide rows from the role: what it hides"
            " is never found and never erased",
            f"CREATE POLICY dsr_worker ON {need.relation} FOR {command} TO {role} USING (true);",
        )


def _lacking(session: Session, need: Need, privilege: str, columns: Sequence[str]) -> Sequence[str]:
    held = set(_held(session, need, privilege, columns))
    return [column for column in columns if column not in held]


def _held(session: Session, need: Need, privilege: str, columns: Sequence[str]) -> list[str]:
    query = SQL("SELECT c FROM unnest({}::text[]) c WHERE has_column_privilege({}, c, {})").format(
        Literal(list(columns)), Literal(need.relation), Literal(privilege)
    )
    return [column for (column,) in session.rows(query)]


# ---- too many


def _powers(session: Session, system: str, role: str) -> Iterator[Finding]:
    flags = ", ".join(column for column, _, _ in _ATTRIBUTES)
    query = SQL("SELECT {} FROM pg_roles WHERE rolname = current_user").format(SQL(flags))
    (found,) = session.rows(query)
    for has, (_, what, without) in zip(found, _ATTRIBUTES, strict=True):
        if has:
            yield _surplus(system, f"the role {what}", f"ALTER ROLE {role} {without};")


def _owned(session: Session, system: str) -> Iterator[Finding]:
    own = [f"{schema}.{name}" for schema, name in session.rows(_OWNED)]
    if own:
        yield _surplus(
            system,
            f"the role owns {_some(own)}: it may alter and drop them",
            f"connect by the roles that `dsr connectors grants {system}` prints",
        )


def _owns(session: Session, need: Need) -> bool:
    query = SQL("SELECT pg_has_role(relowner, 'MEMBER') FROM pg_class WHERE oid = {}::regclass")
    return bool(session.rows(query.format(Literal(need.relation)))[0][0])


def _opened(session: Session, need: Need) -> bool:
    """Whether the role may name a table at all."""
    return _is_true(session, "has_schema_privilege", need.schema, "USAGE")


def _others(session: Session, system: str, wanted: Sequence[Need], role: str) -> Iterator[Finding]:
    mapped = {(need.schema, need.name) for need in wanted}
    others = [at for at in session.rows(_WRITABLE) if tuple(at) not in mapped]
    if others:
        tables = ", ".join(ddl.relation(*at) for at in others)
        yield _surplus(
            system,
            f"the role may write {_some('.'.join(at) for at in others)}, which the map does not"
            " name",
            f"REVOKE {', '.join(_WRITES)} ON {tables} FROM {role}, PUBLIC;",
        )


def _may_create(
    session: Session, system: str, wanted: Sequence[Need], role: str
) -> Iterator[Finding]:
    ((database,),) = session.rows(SQL("SELECT current_database()::text"))
    if _is_true(session, "has_database_privilege", database, "CREATE"):
        yield _surplus(
            system,
            "the role may make schemas in the database",
            f"REVOKE CREATE ON DATABASE {ddl.quoted(database)} FROM {role};",
        )
    for schema in dict.fromkeys(need.schema for need in wanted):
        if _is_true(session, "has_schema_privilege", schema, "CREATE"):
            yield _surplus(
                system,
                f"the role may make tables in schema {schema}",
                f"REVOKE CREATE ON SCHEMA {ddl.quoted(schema)} FROM {role}, PUBLIC;",
            )


def _beyond(session: Session, need: Need, role: str) -> Iterator[Finding]:
    """What a role may do to a mapped table beyond what the map needs."""
    table = f"{need.schema}.{need.name}"
    needed = {*(["DELETE"] if need.erases else []), *(["INSERT"] if need.inserts else [])}
    unneeded = [privilege for privilege in (*_SURPLUS, "DELETE") if privilege not in needed]
    extra = [privilege for privilege in unneeded if _has(session, need, privilege)]
    if extra:
        yield _surplus(
            need.collection,
            f"the role has {', '.join(extra)} on {table}, which nothing needs",
            f"REVOKE {', '.join(extra)} ON {need.relation} FROM {role}, PUBLIC;",
        )
    yield from _beyond_columns(session, need, "UPDATE", need.changes, role)
    if need.inserts:
        yield from _beyond_columns(session, need, "INSERT", need.inserts, role)


def _beyond_columns(
    session: Session, need: Need, privilege: str, needed: Sequence[str], role: str
) -> Iterator[Finding]:
    known = session.rows(_COLUMNS.format(Literal(need.schema), Literal(need.name)))
    others = [name for (name,) in known if name not in needed]
    columns = _held(session, need, privilege, others)
    if columns:
        kept = f" GRANT {privilege} ({ddl.listed(needed)}) ON {need.relation} TO {role};"
        yield _surplus(
            need.collection,
            f"the role may {privilege} {_some(columns)} of {need.schema}.{need.name}, which"
            " nothing needs",
            f"REVOKE {privilege} ON {need.relation} FROM {role}, PUBLIC;{kept if needed else ''}",
        )


def _has(session: Session, need: Need, privilege: str) -> bool:
    function = "has_any_column_privilege" if privilege in _BY_COLUMN else "has_table_privilege"
    return _is_true(session, function, need.relation, privilege)


# ---- words


def _is_true(session: Session, function: str, *arguments: str) -> bool:
    told: list[Composable] = [Literal(argument) for argument in arguments]
    query = SQL("SELECT {}({})").format(SQL(function), SQL(", ").join(told))
    return bool(session.rows(query)[0][0])


def _some(names: Iterable[str]) -> str:
    found = list(names)
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    return ", ".join(found[:_MOST_NAMED]) + more


def _surplus(subject: str, message: str, remedy: str) -> Finding:
    return Finding(Severity.WARNING, subject, message, remedy)
