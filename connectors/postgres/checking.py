"""What stands between a database and its data map, before anything relies on either.

In: a system and its servers. Out: findings, each with what to do. Nothing is changed; values of
rows are never read.
"""

from __future__ import annotations

from collections.abc import Iterator

from psycopg2.sql import SQL, Literal

from connectors.postgres import catalogue
from connectors.postgres.catalogue import (
    ASCII_LOWER,
    ASCII_UPPER,
    INSTANTS,
    TEXTS,
    WHOLE_NUMBERS,
    Catalogue,
    Place,
    Table,
)
from connectors.postgres.references import Reference
from connectors.postgres.session import Limits, Server, Session
from dsr_worker.contract import (
    Configuration,
    ConnectorError,
    Finding,
    Form,
    Mask,
    MaskKind,
    Permanent,
    Severity,
    System,
)

_GENERALISED = {
    MaskKind.YEAR: frozenset(INSTANTS),
    MaskKind.NETWORK: frozenset({"inet", "cidr"}),
}
_PSEUDONYM_LENGTH = len("erased-") + 16
_TOMBSTONE_LENGTH = _PSEUDONYM_LENGTH + len("@erased.invalid")


def findings(
    system: System, server: Server, replica: Server | None, limits: Limits
) -> Iterator[Finding]:
    """Every finding; the first error of reachability or names ends the list."""
    try:
        with server.transaction(limits) as session:
            if not session.rows(SQL("SELECT has_database_privilege(current_database(), 'TEMP')"))[
                0
            ][0]:
                yield _error(
                    system.name, "the role may not make temporary tables", "GRANT TEMPORARY"
                )
                return
            tables = catalogue.read(session, system)
            yield _ok(system.name, "reachable, and every table is there")
            for table in tables.tables.values():
                yield from _table(session, tables, table)
        if replica is not None:
            yield from _replica(system, replica, limits)
    except ConnectorError as error:
        remedy = "correct the data map, the grants or the DSN"
        yield _error(system.name, str(error), remedy)


def _table(session: Session, tables: Catalogue, table: Table) -> Iterator[Finding]:
    try:
        _names(table)
        if (parent := table.collection.parent) is not None:
            above = tables.table(parent.collection)
            for ours, theirs in parent.on.items():
                table.place(ours), above.place(theirs)
    except Configuration as error:
        yield _error(table.collection.name, str(error), "correct the name in the data map")
        return
    yield from _keys(table)
    yield from _grants(session, table)
    yield from _parents(tables, table)
    yield from _forms(table)
    yield from _clocks(table)
    for field in table.collection.fields.values():
        if field.mask is not None:
            yield from _mask(table, field.name, field.mask)
            yield from _constant(session, table, field.name, field.mask)
    for reference in tables.pointing_at(table):
        yield from _reference(table, reference)


def _names(table: Table) -> None:
    """Place every name of the collection; an unknown one raises."""
    collection = table.collection
    names = [
        *collection.key,
        *collection.fields,
        *(taken.field for taken in collection.takes.values()),
        *collection.yields.values(),
        *collection.contact.values(),
        *collection.clocks.values(),
        *([collection.residence] if collection.residence else []),
    ]
    for name in names:
        table.place(name)


def _keys(table: Table) -> Iterator[Finding]:
    name, key = table.collection.name, table.collection.key
    if any(place.path or not place.column.not_null for place in table.keys):
        yield _error(name, "a key column may be null", "map a key of NOT NULL columns")
    if not table.unique(key):
        yield _error(
            name,
            "the key is not unique",
            f"map the primary key, or: CREATE UNIQUE INDEX ON {_on(table, key)};",
        )


def _grants(session: Session, table: Table) -> Iterator[Finding]:
    query = SQL("SELECT has_table_privilege({}, {})")
    quoted = Literal(f'"{table.schema}"."{table.name}"')
    for privilege, severity in (
        ("SELECT", Severity.ERROR),
        ("DELETE", Severity.WARNING),
        ("UPDATE", Severity.WARNING),
    ):
        if not session.rows(query.format(quoted, Literal(privilege)))[0][0]:
            yield Finding(
                severity,
                table.collection.name,
                f"the role has no {privilege} on {table.schema}.{table.name}",
                f"GRANT {privilege} ON {table.schema}.{table.name} TO the role",
            )


def _parents(tables: Catalogue, table: Table) -> Iterator[Finding]:
    parent = table.collection.parent
    if parent is None:
        return
    if not table.indexed(tuple(parent.on)):
        yield _warning(
            table.collection.name,
            "no index on the columns that refer to the parent: every batch reads the whole table,"
            " and erasing parents reads it once per row",
            f"CREATE INDEX CONCURRENTLY ON {_on(table, tuple(parent.on))};",
        )
    if not tables.table(parent.collection).unique(parent.on.values()):
        yield _error(
            table.collection.name,
            f"the parent's columns {', '.join(parent.on.values())} are not unique: a row could have"
            " several owners",
            "refer to a unique key of the parent",
        )


def _forms(table: Table) -> Iterator[Finding]:
    """Whether indexes serve the names: the folded value to find spellings, the value for them."""
    for kind, taken in table.collection.takes.items():
        place = table.place(taken.field)
        direct = place.column.base in TEXTS | WHOLE_NUMBERS | {"uuid"} and not place.path
        if direct and not table.indexed((taken.field,)):
            yield _slow(table, f"no index to find {kind}", _on(table, (taken.field,)))
        if not direct and not _expressed(table, place, Form.EXACT):
            on = f"{_qualified(table)} ({_expression(place, Form.EXACT)})"
            yield _slow(table, f"no index to find {kind}", on)
        if taken.form is not Form.EXACT and not _expressed(table, place, taken.form):
            on = f'{_qualified(table)} (({_expression(place, taken.form)}) COLLATE "C")'
            yield _slow(table, f"no index to find {kind} in the form {taken.form}", on)


def _slow(table: Table, message: str, on: str) -> Finding:
    return _warning(
        table.collection.name,
        f"{message}: every batch reads the whole table",
        f"CREATE INDEX CONCURRENTLY ON {on};",
    )


def _expressed(table: Table, place: Place, form: Form) -> bool:
    """Whether some index is on the expression that our statements compare, as far as is seen."""
    signs = {
        Form.EXACT: "->>" if place.path else _cast(place),
        Form.ASCII_CASE: "translate(",
        Form.DIGITS: "regexp_replace(",
    }
    wanted = [signs[form], place.column.name, *place.path]
    return any(all(sign in i.expressions for sign in wanted) for i in table.indexes)


def _cast(place: Place) -> str:
    return "abbrev(" if place.column.base == "inet" else "::text"


def _expression(place: Place, form: Form) -> str:
    """The expression that our statements compare, as DDL."""
    value = f'"{place.column.name}"'
    for step in place.path[:-1]:
        value = f"{value} -> {_quoted(step)}"
    if place.path:
        value = f"({value} ->> {_quoted(place.path[-1])})"
    else:
        value = f"{_cast(place)}{value})" if place.column.base == "inet" else f"{value}::text"
    if form is Form.ASCII_CASE:
        return f"translate({value}, '{ASCII_UPPER}', '{ASCII_LOWER}')"
    if form is Form.DIGITS:
        return f"regexp_replace({value}, '[^0-9]', '', 'g')"
    return value if place.path else f'({value}) COLLATE "C"'


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _clocks(table: Table) -> Iterator[Finding]:
    for event, name in table.collection.clocks.items():
        place = table.place(name)
        if place.path or place.column.base not in INSTANTS:
            yield _error(
                table.collection.name,
                f"the clock {event} is no date or timestamp column",
                "map a column of type date, timestamp or timestamptz",
            )
        elif not table.indexed((name,)):
            yield _warning(
                table.collection.name,
                f"no index on the clock {event}: every part of a sweep reads the whole table",
                f"CREATE INDEX CONCURRENTLY ON {_on(table, (name,))};",
            )


def _mask(table: Table, name: str, mask: Mask) -> Iterator[Finding]:
    place, where = table.place(name), f"{table.collection.name}.{name}"
    column = place.column
    if column.generated:
        yield _error(where, "a generated column cannot be masked", "mask the columns it is made of")
    if place.path:
        return
    fitting = _GENERALISED.get(mask.kind)
    if fitting is not None and column.base not in fitting | TEXTS | {"citext"}:
        yield _error(where, f"the column is {column.type}, no {mask.kind} of it", "mask by null")
    if mask.kind is MaskKind.NULL and column.not_null:
        yield _error(where, "the column is NOT NULL", "mask by constant, pseudonym or tombstone")
    if mask.kind is MaskKind.CONSTANT and table.unique((name,)):
        yield _error(where, "the column is unique, a constant is not", "mask by tombstone")
    if mask.kind in {MaskKind.PSEUDONYM, MaskKind.TOMBSTONE}:
        longest = _PSEUDONYM_LENGTH if mask.kind is MaskKind.PSEUDONYM else _TOMBSTONE_LENGTH
        if column.base not in TEXTS | {"citext"}:
            yield _error(
                where, f"a {mask.kind} is text, the column is {column.type}", "mask by null"
            )
        elif column.length is not None and column.length < longest:
            yield _error(where, f"a {mask.kind} needs {longest} characters", "widen the column")


def _constant(session: Session, table: Table, name: str, mask: Mask) -> Iterator[Finding]:
    """Whether a constant is a value of the column's type at all, and fits its length."""
    place = table.place(name)
    if mask.kind is not MaskKind.CONSTANT or place.path:
        return
    session.run(SQL("SAVEPOINT constant"))
    try:
        cast = SQL("SELECT {}::{}").format(Literal(mask.constant), SQL(place.column.type))
        session.rows(cast)
        fits = place.column.length is None or len(mask.constant or "") <= place.column.length
    except Permanent:
        session.run(SQL("ROLLBACK TO SAVEPOINT constant"))
        fits = False
    if not fits:
        yield _error(
            f"{table.collection.name}.{name}",
            f"the constant does not fit the type {place.column.type}",
            "write one that does, or mask by null",
        )


def _reference(table: Table, reference: Reference) -> Iterator[Finding]:
    if reference.sources:
        return
    source = str(reference.source)
    if reference.on_delete == "c":
        yield _error(
            table.collection.name,
            f"ON DELETE CASCADE of {reference.name} reaches {source}, which is not in the map",
            f"map {source}, or drop the cascade",
        )
    elif reference.on_delete in {"n", "d"}:
        yield _warning(
            table.collection.name,
            f"erasing rows changes {source} through {reference.name}, which is not in the map",
            f"map {source}",
        )
    else:
        yield _warning(
            table.collection.name,
            f"rows that {source} refers to cannot be erased ({reference.name})",
            f"map {source}",
        )


def _replica(system: System, replica: Server, limits: Limits) -> Iterator[Finding]:
    with replica.transaction(limits, fresh=True) as session:
        if session.rows(SQL("SELECT pg_is_in_recovery()"))[0][0]:
            yield _warning(
                system.name,
                "replica_dsn is a hot standby, which has no temporary tables: verification reads by"
                " a fresh connection to the primary instead",
                "name a logical replica, or leave replica_dsn out",
            )


def _qualified(table: Table) -> str:
    return f'"{table.schema}"."{table.name}"'


def _on(table: Table, columns: tuple[str, ...]) -> str:
    quoted = ", ".join(f'"{c}"' for c in columns)
    return f"{_qualified(table)} ({quoted})"


def _ok(subject: str, message: str) -> Finding:
    return Finding(Severity.OK, subject, message)


def _warning(subject: str, message: str, remedy: str) -> Finding:
    return Finding(Severity.WARNING, subject, message, remedy)


def _error(subject: str, message: str, remedy: str) -> Finding:
    return Finding(Severity.ERROR, subject, message, remedy)
