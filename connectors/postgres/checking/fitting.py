"""What stands between a database and its data map, before anything relies on either.

In: a system and its servers. Out: findings, each with what to do. Nothing is changed; of rows no
more is read than whether blanks stand around the names in a sample of them.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

from psycopg2.sql import SQL

from connectors.postgres.changing import orphans, rewriting, tallying
from connectors.postgres.checking import (
    explaining,
    indexing,
    means,
    privileges,
    stray,
    surroundings,
)
from connectors.postgres.checking.granting import needs
from connectors.postgres.server import catalogue, ddl
from connectors.postgres.server.catalogue import Catalogue, Table
from connectors.postgres.server.places import INSTANTS, TEXTS
from connectors.postgres.server.reaching import Servers, encryption, replica_findings
from connectors.postgres.server.references import Reference
from connectors.postgres.server.session import Limits, Session
from dsr_worker.contract import (
    Configuration,
    ConnectorError,
    Finding,
    Mask,
    MaskKind,
    Severity,
    System,
)

_GENERALISED = {
    MaskKind.YEAR: frozenset(INSTANTS),
    MaskKind.NETWORK: frozenset({"inet", "cidr"}),
}


def findings(
    system: System, servers: Servers, limits: Limits, *, refreshing: bool
) -> Iterator[Finding]:
    """Every finding; an error of reachability or names ends the list.

    `refreshing`: erasures refresh the materialised views.
    """
    try:
        with servers.primary.transaction(limits) as session:
            tables = yield from _opened(session, system, "dsn")
            if tables is None:
                return
            yield _ok(system.name, "reachable, and every table is there")
            misnamed = list(_misnamed(tables))
            yield from misnamed
            if misnamed:
                return
            for table in tables.tables.values():
                yield from _table(session, tables, table)
            yield from rewriting.findings(session, tables)
            yield from tallying.findings(session, tables)
            yield from means.findings(session, tables)
            yield from orphans.findings(session, tables)
            rows = indexing.sizes(session)
            yield from indexing.findings(session, tables, rows)
            yield from _rights(session, tables, rows, changing=True)
            obeying = limits.obey_row_security
            yield from surroundings.findings(
                session, tables, obeying=obeying, refreshing=refreshing
            )
            yield from stray.findings(session, tables)
        yield from _reader(system, servers, limits, rows)
        yield from replica_findings(servers, limits)
    except ConnectorError as error:
        remedy = "correct the data map, the grants or the DSN"
        yield _error(system.name, str(error), remedy)


def _opened(
    session: Session, system: System, setting: str
) -> Generator[Finding, None, Catalogue | None]:
    """How safely a role is reached, and its catalogue; None where it can look at nothing."""
    yield from encryption(session.connection, system.name, setting)
    if not _may_make_tables(session):
        yield _no_tables(session, system)
        return None
    return catalogue.read(session, system)


def _may_make_tables(session: Session) -> bool:
    query = SQL("SELECT has_database_privilege(current_database(), 'TEMP')")
    return bool(session.rows(query)[0][0])


def _no_tables(session: Session, system: System) -> Finding:
    ((database, role),) = session.rows(SQL("SELECT current_database()::text, current_user::text"))
    return _error(
        system.name,
        "the role may not make temporary tables",
        f"GRANT TEMPORARY ON DATABASE {ddl.quoted(database)} TO {ddl.quoted(role)};",
    )


def _misnamed(tables: Catalogue) -> Iterator[Finding]:
    """Names of the map that the server does not know: with them nothing else can be told."""
    for table in tables.tables.values():
        try:
            _names(table)
            if (parent := table.collection.parent) is not None:
                above = tables.table(parent.collection)
                for ours, theirs in parent.on.items():
                    table.place(ours), above.place(theirs)
        except Configuration as error:
            name = table.collection.name
            yield _error(name, str(error), "correct the name in the data map")


def _table(session: Session, tables: Catalogue, table: Table) -> Iterator[Finding]:
    yield from _keys(table)
    yield from _parents(tables, table)
    yield from _clocks(table)
    for field in table.collection.fields.values():
        if field.mask is not None:
            yield from _mask(table, field.name, field.mask)
            yield from _constant(session, table, field.name, field.mask)
    for reference in tables.pointing_at(table):
        yield from _reference(table, reference)


def _rights(
    session: Session, tables: Catalogue, rows: indexing.Sizes, *, changing: bool
) -> Iterator[Finding]:
    """Too few rights, too many, and, where the rights suffice, how the statements would run."""
    wanted = needs(session, tables, changing=changing)
    lacking = list(privileges.too_few(session, wanted))
    yield from lacking
    yield from privileges.too_many(session, tables.system.name, wanted)
    if lacking:
        message = "how the server would carry out the statements is told once the role may run them"
        yield _ok(tables.system.name, message)
        return
    yield from explaining.findings(session.connection, tables, rows, changing=changing)


def _reader(
    system: System, servers: Servers, limits: Limits, rows: indexing.Sizes
) -> Iterator[Finding]:
    """The lesser role by which is read: the same table by table, and it may change nothing."""
    if servers.reader is None:
        return
    with servers.reader.transaction(limits) as session:
        tables = yield from _opened(session, system, "reader_dsn")
        if tables is not None:
            yield from _rights(session, tables, rows, changing=False)


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
        *([collection.restriction.field] if collection.restriction else []),
    ]
    for name in filter(None, names):
        table.place(name)


def _keys(table: Table) -> Iterator[Finding]:
    name, key = table.collection.name, table.collection.key
    if any(place.path or not place.column.not_null for place in table.keys):
        yield _error(name, "a key column may be null", "map a key of NOT NULL columns")
    if not table.unique(key):
        yield _error(
            name,
            "the key is not unique",
            "map the primary key, or: CREATE UNIQUE INDEX ON"
            f" {ddl.relation(table.schema, table.name)} ({ddl.listed(key)});",
        )


def _parents(tables: Catalogue, table: Table) -> Iterator[Finding]:
    parent = table.collection.parent
    if parent is None:
        return
    if not tables.table(parent.collection).unique(parent.on.values()):
        yield _error(
            table.collection.name,
            f"the parent's columns {', '.join(parent.on.values())} are not unique: a row could have"
            " several owners",
            "refer to a unique key of the parent",
        )


def _clocks(table: Table) -> Iterator[Finding]:
    for event, name in table.collection.clocks.items():
        place = table.place(name)
        if place.path or place.column.base not in INSTANTS:
            yield _error(
                table.collection.name,
                f"the clock {event} is no date or timestamp column",
                "map a column of type date, timestamp or timestamptz",
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
    if (longest := mask.kind.characters) is not None:
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
    if not means.fits(session, place.column, mask.constant):
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


def _ok(subject: str, message: str) -> Finding:
    return Finding(Severity.OK, subject, message)


def _warning(subject: str, message: str, remedy: str) -> Finding:
    return Finding(Severity.WARNING, subject, message, remedy)


def _error(subject: str, message: str, remedy: str) -> Finding:
    return Finding(Severity.ERROR, subject, message, remedy)
