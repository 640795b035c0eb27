"""Whose data leaked: the people behind the rows of a scope, each once, with where they live.

In: leak scopes. Out: `AffectedPerson`s. A row existed in the window when its `record_date` lies
before the window's end (or is unknown): rows still here were here from then on. The owner is
found by going up the parents; the topmost row that names anybody gives the identities and the
residence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from psycopg2.sql import SQL, Composable, Literal

from connectors.postgres.server.catalogue import Catalogue, Table
from connectors.postgres.server.session import Session
from dsr_worker.contract import AffectedPerson, Context, Identity, LeakScope


def people(
    session: Session, catalogue: Catalogue, scopes: Sequence[LeakScope], ctx: Context
) -> Iterator[AffectedPerson]:
    """Everyone in the scopes, streamed; one statement per scope."""
    for scope in scopes:
        ctx.check()
        yield from _people(session, catalogue, scope, ctx)


def _people(
    session: Session, catalogue: Catalogue, scope: LeakScope, ctx: Context
) -> Iterator[AffectedPerson]:
    table = catalogue.table(scope.collection)
    levels = _levels(catalogue, table)
    named = [(n, kind, field) for n, t in enumerate(levels) for kind, field in _names(t)]
    values = [levels[n].place(field).text(f"t{n}") for n, _, field in named]
    homes = [
        t.place(t.collection.residence).text(f"t{n}")
        for n, t in enumerate(levels)
        if t.collection.residence
    ]
    home = (
        SQL("coalesce({})").format(SQL(", ").join(reversed(homes))) if homes else SQL("NULL::text")
    )
    columns = [*values, home]
    query = SQL(
        "SELECT json_build_array({selected}, count(*))::text FROM {table} t0 {joins}"
        " WHERE {leaked} GROUP BY {grouped}"
    ).format(
        selected=SQL(", ").join(columns),
        table=table.sql,
        joins=SQL(" ").join(_joins(levels)),
        leaked=_leaked(table, scope),
        grouped=SQL(", ").join(columns),
    )
    for *found, residence, rows in session.arrays(query):
        identities = _topmost(named, found, ctx)
        yield AffectedPerson(scope.collection, identities, residence or None, rows)


def _levels(catalogue: Catalogue, table: Table) -> list[Table]:
    """The table and its parents, upwards."""
    levels = [table]
    while (parent := levels[-1].collection.parent) is not None:
        levels.append(catalogue.table(parent.collection))
    return levels


def _names(table: Table) -> list[tuple[str, str]]:
    taken = [(kind, t.field) for kind, t in table.collection.takes.items()]
    return list(dict.fromkeys([*taken, *table.collection.yields.items()]))


def _joins(levels: list[Table]) -> Iterator[Composable]:
    for n, (below, above) in enumerate(pairwise(levels)):
        parent = below.collection.parent
        if parent is not None:
            on = SQL(" AND ").join(
                SQL("{} = {}").format(
                    above.place(theirs).value(f"t{n + 1}"), below.place(ours).value(f"t{n}")
                )
                for ours, theirs in parent.on.items()
            )
            yield SQL("LEFT JOIN {} {} ON {}").format(above.sql, SQL(f"t{n + 1}"), on)


def _leaked(table: Table, scope: LeakScope) -> Composable:
    conditions: list[Composable] = []
    present = [
        SQL("{} IS NOT NULL").format(table.place(field).value("t0")) for field in scope.fields
    ]
    if present:
        conditions.append(SQL("({})").format(SQL(" OR ").join(present)))
    clock = table.collection.clocks.get("record_date")
    if clock and scope.until_at:
        born = table.place(clock).value("t0")
        until = Literal(scope.until_at.isoformat())
        conditions.append(SQL("({} IS NULL OR {} < {}::timestamptz)").format(born, born, until))
    return SQL(" AND ").join(conditions) if conditions else SQL("true")


def _topmost(
    named: Sequence[tuple[int, str, str]], found: Sequence[str | None], ctx: Context
) -> tuple[Identity, ...]:
    """The identities of the highest level that has any."""
    levels: dict[int, set[Identity]] = {}
    for (level, kind, _), value in zip(named, found, strict=True):
        canonical = ctx.canonical(kind, value) if value is not None else None
        if canonical is not None:
            levels.setdefault(level, set()).add(Identity(kind, canonical))
    return tuple(sorted(levels[max(levels)])) if levels else ()
