"""Reads a bounded sample of each table and counts what it sees; the only room that reads rows.

In: tables of the inventory and a server. Out: `Seen` by column, and how many sampled values of a
column another table's key holds, which the server counts. Every table has a read-only transaction
of its own, a limit of rows, of characters and of time. A value is counted and dropped: it is in no
statement, log line, error or result.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from psycopg2.sql import SQL, Composable, Identifier, Literal

from connectors.naming.forms import Seen, naming, observe, observe_documents
from connectors.naming.hints import vocabulary
from connectors.postgres.proposing.inventory import ELEMENTS, At, Column, Reference, Table
from connectors.postgres.server.session import Limits, Server, Session
from dsr_worker.contract import ConnectorError

ROWS = 300
_CHARACTERS = 400
_DOCUMENT_CHARACTERS = 8192
_WHOLE_CHARACTERS = 16 * 1024 * 1024  # of one table's sample: wide rows are fewer
_FEWEST = 20
_LEAST_NAMES, _NAMES_APART = 5, 0.8
_STATEMENT_S = 3.0
_LOCK_S = 0.5
_WHOLE_S = 120.0
_SPREAD = 10  # tables larger than so many samples are sampled by block
_NUMBER = "^(0|-?[1-9][0-9]{0,17})$"
_UUID = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"


@dataclass(frozen=True, slots=True)
class Sample:
    """What a table's sample showed; `code` says why nothing: empty, no_select, not_read."""

    seen: Mapping[str, Seen] = field(default_factory=dict)
    code: str = ""


@dataclass
class Sampler:
    """Samples within one budget of time; what comes after its end is `not_read`."""

    server: Server
    limits: Limits
    whole_s: float = _WHOLE_S

    def __post_init__(self) -> None:
        self._until = time.monotonic() + self.whole_s
        self._limits = replace(self.limits, statement_s=_STATEMENT_S, lock_s=_LOCK_S)

    def tables(self, tables: Iterable[Table]) -> Iterator[tuple[At, Sample]]:
        """The sample of each table."""
        for table in tables:
            yield table.at, self._table(table)

    def included(self, reference: Reference, table: Table, target: Table) -> Reference:
        """The reference with how many distinct sampled values its target holds."""
        if time.monotonic() > self._until:
            return reference
        query = _inclusion(reference, table, target)
        try:
            with self._reading() as session:
                ((of, matched),) = session.rows(query)
        except ConnectorError:
            return reference
        return replace(reference, matched=matched, of=of)

    def _table(self, table: Table) -> Sample:
        columns = [c for c in table.columns.values() if c.readable and _shown(c) is not None]
        if not table.readable:
            return Sample(code="no_select")
        if time.monotonic() > self._until:
            return Sample(code="not_read")
        try:
            rows = self._rows(table, columns)
        except ConnectorError:
            return Sample(code="not_read")
        if not rows:
            return Sample(code="empty")
        seen = {}
        for number, column in enumerate(columns):
            values = (row[number] for row in rows)
            seen[column.name] = observe_documents(values) if column.document else observe(values)
        return Sample(_with_names(seen, {c.name: n for n, c in enumerate(columns)}, rows))

    def _rows(self, table: Table, columns: list[Column]) -> list[tuple[str | None, ...]]:
        shown = [SQL("1")] if not columns else [part for c in columns if (part := _shown(c))]
        rows: list[tuple[str | None, ...]] = []
        most = sum(_DOCUMENT_CHARACTERS if c.document else _CHARACTERS for c in columns)
        limit = max(_FEWEST, min(ROWS, _WHOLE_CHARACTERS // max(most, 1)))
        for source in _sources(table):
            with self._reading() as session:
                rows = session.rows(
                    SQL("SELECT {} FROM {} LIMIT {}").format(
                        SQL(", ").join(shown), source, Literal(limit)
                    )
                )
            if len(rows) >= limit // 4:
                return rows
        return rows

    def _reading(self) -> _Reading:
        return _Reading(self.server, self._limits)


class _Reading:
    """A transaction that the server itself keeps from changing anything."""

    def __init__(self, server: Server, limits: Limits) -> None:
        self._transaction = server.transaction(limits)

    def __enter__(self) -> Session:
        session = self._transaction.__enter__()
        session.run(SQL("SET TRANSACTION READ ONLY"))
        return session

    def __exit__(self, *error: object) -> bool | None:
        return self._transaction.__exit__(*error)  # type: ignore[arg-type]  # as given to us


def _with_names(
    seen: dict[str, Seen], columns: Mapping[str, int], rows: list[tuple[str | None, ...]]
) -> dict[str, Seen]:
    """What was seen, with how often a value holds the user name or e-mail of its own row."""
    names = [name for name in columns if _tells_apart(name, seen[name])]
    if not names:
        return seen
    named = columns[names[0]]
    counted = dict(seen)
    for name, number in columns.items():
        if number != named and seen[name].values and not seen[name].paths:
            held, could = naming((r[named] for r in rows), (r[number] for r in rows))
            counted[name] = replace(seen[name], naming=held, nameable=could)
    return counted


def _tells_apart(name: str, seen: Seen) -> bool:
    if seen.values < _LEAST_NAMES or seen.distinct < _NAMES_APART * seen.values:
        return False
    return seen.share("email") >= _NAMES_APART or vocabulary(name)[-2:] == ("user", "name")


def _sources(table: Table) -> Iterator[Composable]:
    """Where to read: some blocks of a large table, spread over it; else its beginning."""
    name = Identifier(*table.at)
    if table.rows > _SPREAD * ROWS:
        percent = min(100.0, 200.0 * ROWS / table.rows)
        yield SQL("{} TABLESAMPLE SYSTEM ({}) REPEATABLE (1)").format(name, Literal(percent))
    yield name


def _shown(column: Column) -> Composable | None:
    """The part of a column's value that is looked at; None where its form says nothing."""
    name = Identifier(column.name)
    if column.element is not None or column.kind == "c":
        return SQL("left(to_json({})::text, {})").format(name, Literal(_DOCUMENT_CHARACTERS))
    if column.json:
        return SQL("left({}::text, {})").format(name, Literal(_DOCUMENT_CHARACTERS))
    if column.textual or column.base in {"inet", "cidr", "hstore"}:
        return SQL("left({}::text, {})").format(name, Literal(_CHARACTERS))
    return None


def _inclusion(reference: Reference, table: Table, target: Table) -> Composable:
    """Counts distinct sampled values, or rows of them, and those that the target has."""
    names = [SQL(f"v{number}") for number, _ in enumerate(reference.columns)]
    sources = [_sampled(table.columns[name], reference.path) for name in reference.columns]
    compared = [
        SQL("p.{} = {}").format(
            Identifier(theirs),
            _comparable(name, table.columns[ours], target.columns[theirs], reference.path),
        )
        for name, ours, theirs in zip(
            names, reference.columns, reference.target_columns, strict=True
        )
    ]
    told = [SQL("{0} IS NOT NULL AND {0}::text <> ''").format(name) for name in names]
    return SQL(
        "SELECT count(*), count(*) FILTER (WHERE EXISTS (SELECT FROM {target} p WHERE {same}))"
        " FROM (SELECT DISTINCT * FROM (SELECT * FROM (SELECT {values} FROM {table}) a"
        " WHERE {told} LIMIT {rows}) f) s"
    ).format(
        target=Identifier(*reference.target),
        same=SQL(" AND ").join(compared),
        values=SQL(", ").join(
            SQL("{} AS {}").format(source, name)
            for source, name in zip(sources, names, strict=True)
        ),
        table=Identifier(*reference.table),
        told=SQL(" AND ").join(told),
        rows=Literal(ROWS),
    )


def _sampled(column: Column, path: tuple[str, ...]) -> Composable:
    if path == ELEMENTS:
        return SQL("unnest({})").format(Identifier(column.name))
    if path:
        return SQL("{} #>> {}::text[]").format(Identifier(column.name), Literal(list(path)))
    return Identifier(column.name)


def _comparable(
    name: Composable, column: Column, target: Column, path: tuple[str, ...]
) -> Composable:
    """A sampled value as one that the target's column can be compared with."""
    family = "text" if path and path != ELEMENTS else column.family
    if path != ELEMENTS and (family, target.family) == ("text", "int"):
        return SQL("CASE WHEN s.{0}::text ~ {1} THEN s.{0}::text::int8 END").format(
            name, Literal(_NUMBER)
        )
    if (family, target.family) == ("text", "uuid"):
        return SQL("CASE WHEN s.{0} ~ {1} THEN s.{0}::uuid END").format(name, Literal(_UUID))
    return SQL("s.{}").format(name) if family == target.family else SQL("s.{}::text").format(name)
