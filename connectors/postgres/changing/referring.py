"""What the schema does to rows that refer to those which go or change, told before it happens.

In: the decided rows of one transaction. Out: a refusal where rows outside the plan would go by a
cascade, where rows that a hold or a minimum protects would be changed, and, on paper, where the
server would not let a row go because another refers to it. One question a foreign key, whatever
the number of rows.

Whose columns are masked so that they refer no more is in nobody's way: such masks come first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from psycopg2.sql import SQL, Composable, Identifier, Literal

from connectors.postgres.changing.deciding import any_of, changes_value
from connectors.postgres.server import ddl
from connectors.postgres.server.catalogue import Table
from connectors.postgres.server.references import Reference
from connectors.postgres.server.session import Session
from dsr_worker.contract import Action, Permanent, Rule

if TYPE_CHECKING:
    from connectors.postgres.changing.applying import Changes

_FORBIDDING = frozenset({"a", "r"})  # NO ACTION, RESTRICT


def refuse_deletes(changes: Changes, table: Table) -> None:
    """What the schema does to rows that refer to those which go. Raises Permanent."""
    for reference in changes.catalogue.pointing_at(table):
        if reference.on_delete == "c" and _reaches(
            changes, table, reference, _going(changes, table)
        ):
            raise Permanent(
                f"{table.collection.name}: ON DELETE CASCADE of {reference.name} would reach"
                f" rows of {reference.source} outside the plan; nothing was changed. Map"
                f" {reference.source} so that its rows are found, or drop the cascade"
            )
        if reference.on_delete in {"n", "d"}:
            _refuse_protected(changes, table, reference, _going(changes, table), "ON DELETE")


def refuse_updates(changes: Changes, table: Table, number: int, rule: Rule) -> None:
    """What the schema does to rows that refer by a column which a mask changes."""
    masked = {table.place(name).column.name for name in rule.masks}
    for reference in changes.catalogue.pointing_at(table):
        if reference.on_update in {"c", "n", "d"} and masked & set(reference.target_columns):
            which = SQL("d.rule = {} AND d.fields > 0").format(Literal(number))
            _refuse_protected(changes, table, reference, which, "ON UPDATE")


def foresee(changes: Changes) -> None:
    """What would be refused when the decided rows go, without letting any go. Raises Permanent."""
    for table in changes.tables:
        refuse_deletes(changes, table)
        forbidding = [
            reference
            for reference in changes.catalogue.pointing_at(table)
            if reference.on_delete in _FORBIDDING
        ]
        for reference in _readable(changes.session, forbidding):
            if _reaches(changes, table, reference, _going(changes, table)):
                raise Permanent(_forbidden(table, reference))


def refuse_shared_keys(changes: Changes, table: Table) -> None:
    """A key of two rows, in tables that inherit, says of neither what becomes of it."""
    if not table.split and table.unique(place.column.name for place in table.keys):
        return
    changed = SQL("({} OR fields > 0)").format(_goes(changes, table, ""))
    keys = SQL(", ").join(Identifier(f"k{n}") for n in range(len(table.keys)))
    query = SQL(
        "SELECT count(*) FROM (SELECT DISTINCT {} FROM pg_temp.{} WHERE {}) d JOIN {} t ON {}"
    ).format(keys, changes.done(table), changed, table.sql, table.same_key("t", "d"))
    changes.agree(table, int(changes.session.rows(query)[0][0]), changes.count(table, changed))


def _forbidden(table: Table, reference: Reference) -> str:
    name, source = table.collection.name, reference.source
    if reference.sources:
        whose = f"rows of {source} that are not to go"
        remedy = f"Settle whose they are, or let {reference.name} be ON DELETE SET NULL"
    else:
        whose = f"rows of {source}, which is not in the data map,"
        remedy = (
            f"Map {source} with parent {name}, so that its rows are found, or let {reference.name}"
            " be ON DELETE SET NULL"
        )
    return (
        f"{name}: {whose} refer to rows that would go ({reference.name}): the server would not let"
        f" them go; nothing was changed. {remedy}"
    )


def _readable(session: Session, references: list[Reference]) -> Iterator[Reference]:
    """Those whose columns the role may read, all rows of them: else the server tells later."""
    query = SQL("SELECT NOT row_security_active({}) AND ({})")
    for reference in references:
        relation = Literal(ddl.relation(reference.source.schema, reference.source.name))
        held = SQL(" AND ").join(
            SQL("has_column_privilege({}, {}, 'SELECT')").format(relation, Literal(column))
            for column in reference.columns
        )
        if reference.sources or session.rows(query.format(relation, held))[0][0]:
            yield reference


def _refuse_protected(
    changes: Changes, table: Table, reference: Reference, which: Composable, event: str
) -> None:
    tests = [changes.protected(changes.catalogue.table(name), "x") for name in reference.sources]
    protected = [test for test in tests if test is not None]
    if protected and _reaches(changes, table, reference, which, any_of(protected)):
        raise Permanent(
            f"{table.collection.name}: {event} of {reference.name} would change rows of"
            f" {reference.source} that a hold or a minimum protects; nothing was changed. Erase"
            " again when they are free"
        )


def _reaches(
    changes: Changes,
    table: Table,
    reference: Reference,
    which: Composable,
    only: Composable | None = None,
) -> bool:
    """Whether rows that stay and go on referring refer to the rows `which` (alias d) of a table."""
    planned = any_of(
        [
            test
            for source in map(changes.catalogue.table, reference.sources)
            for test in (changes.goes(source, "x"), *_freed(changes, source, reference))
        ]
    )
    where = SQL("{} AND NOT {} AND {}").format(which, planned, only or SQL("true"))
    decided = SQL("pg_temp.{}").format(changes.done(table))
    return refers_to_any(changes, table, reference, decided, where)


def refers_to_any(
    changes: Changes, table: Table, reference: Reference, rows: Composable, where: Composable
) -> bool:
    """Whether a row `x` refers to a row `t` of a table, of which `rows` hold the key as `d`."""
    query = SQL(
        "SELECT EXISTS (SELECT FROM {source} x JOIN {target} t ON {points} JOIN {rows} d ON {same}"
        " WHERE {where})"
    ).format(
        source=reference.source.sql,
        target=reference.target.sql,
        points=reference.points("x", "t"),
        rows=rows,
        same=table.same_key("t", "d"),
        where=where,
    )
    return bool(changes.session.rows(query)[0][0])


def _freed(changes: Changes, source: Table, reference: Reference) -> Iterator[Composable]:
    """Whether a mask that is not yet in place takes the reference out of the row `x`."""
    for number, rule in enumerate(changes.rules.get(source.collection.name, ())):
        places = [(source.place(name), mask) for name, mask in rule.masks.items()]
        tests = [
            changes_value(place, mask, "x")
            for place, mask in places
            if rule.action is Action.MASK and place.column.name in reference.columns
        ]
        if tests:
            yield SQL("({} AND EXISTS (SELECT FROM pg_temp.{} g WHERE {} AND g.rule = {}))").format(
                any_of(tests), changes.done(source), source.same_key("x", "g"), Literal(number)
            )


def _going(changes: Changes, table: Table) -> Composable:
    return _goes(changes, table, "d")


def _goes(changes: Changes, table: Table, alias: str) -> Composable:
    return changes.with_rule(table, alias, lambda rule: rule.action is Action.ERASE)
