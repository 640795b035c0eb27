"""Stored names with blanks or line breaks around them, by which nobody is found.

In: a session that may read, the catalogue. Out: a finding per field, and no value. A bounded sample
is read, for a few seconds at most.
"""

from __future__ import annotations

from collections.abc import Iterator

from psycopg2.sql import SQL, Literal

from connectors.postgres.server.catalogue import Catalogue, Table
from connectors.postgres.server.places import TEXTS, Place
from connectors.postgres.server.session import Session
from dsr_worker.contract import ConnectorError, Finding, Form, Severity

_SAMPLED_ROWS = 100_000
_LONGEST_MS = 3000
_BLANKS = " \t\n\r\f\v\u00a0"

_QUERY = SQL(
    "SELECT EXISTS (SELECT FROM (SELECT {text} AS v FROM {table} t LIMIT {rows}) s"
    " WHERE length(v) <> length(btrim(v, {blanks})) AND btrim(v, {blanks}) <> '')"
)


def findings(session: Session, tables: Catalogue) -> Iterator[Finding]:
    """Where texts that people are found by differ from themselves without the blanks around."""
    for table in tables.tables.values():
        for name in _told_apart(table):
            yield from _of(session, table, name)


def _told_apart(table: Table) -> list[str]:
    """The fields of names that are compared as texts, blanks included."""
    taken = table.collection.takes.values()
    names = dict.fromkeys(t.field for t in taken if t.form is not Form.DIGITS)
    return [name for name in names if _is_text(table.place(name))]


def _is_text(place: Place) -> bool:
    return bool(place.path) or place.column.base in TEXTS | {"citext"}


def _of(session: Session, table: Table, name: str) -> Iterator[Finding]:
    where = f"{table.collection.name}.{name}"
    query = _QUERY.format(
        text=table.place(name).text("t"),
        table=table.sql,
        rows=Literal(_SAMPLED_ROWS),
        blanks=Literal(_BLANKS),
    )
    session.run(SQL("SAVEPOINT stray"))
    try:
        session.run(SQL("SET LOCAL statement_timeout = {}").format(Literal(_LONGEST_MS)))
        stray = session.rows(query)[0][0]
    except ConnectorError as error:
        yield Finding(Severity.OK, where, f"not looked at for blanks around names: {error}")
    else:
        if stray:
            yield Finding(
                Severity.WARNING,
                where,
                "some stored names have blanks or line breaks around them and find nobody",
                "correct them, or map a generated column without them: GENERATED ALWAYS AS"
                " (btrim(…)) STORED",
            )
    session.run(SQL("ROLLBACK TO SAVEPOINT stray"))
