"""Erasing where every row goes whatever is in it: one statement a collection finds, erases, counts.

In: an erasure's located keys, and tables whose only rule erases. Out: how many rows of each subject
went, not yet committed. It is the common case and the cheapest; whoever calls it asks under the
guard once more whether the tables still say so, and goes back behind it where they do not.

Where rows would have to be looked at one by one, it does not apply: other rules, references by
which the schema changes other rows, circles, large objects, keys that may name several rows, rows
that are somebody else's by now.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from psycopg2.sql import SQL, Composable

from connectors.postgres.changing import attempting, owning, tallying
from connectors.postgres.server.catalogue import Catalogue, Table
from dsr_worker.contract import Action, Always, DecisionTable, Rule

if TYPE_CHECKING:
    from connectors.postgres.changing.erasing import Erasure

_FORBIDDING = frozenset({"a", "r"})  # NO ACTION, RESTRICT

Counts = dict[tuple[str, int], int]
"""Rows by collection and number of the subject."""


def is_settled(rules: Sequence[Rule]) -> bool:
    """Whether every row goes, whatever is in it."""
    told = [(rule.when, rule.action, rule.clock) for rule in rules]
    return told == [(Always(), Action.ERASE, None)]


def applies(
    catalogue: Catalogue, touched: Sequence[Table], tables: Callable[[str], DecisionTable]
) -> bool:
    """Whether no row of these collections has to be looked at before it goes."""
    return (
        all(_is_simple(catalogue, table) for table in touched)
        and not any(sum(t in touched for t in group) > 1 for group in catalogue.groups())
        and all(is_settled(tables(table.collection.name).rules) for table in touched)
    )


def _is_simple(catalogue: Catalogue, table: Table) -> bool:
    columns = [place.column.name for place in table.keys if not place.path]
    return (
        not table.split
        and not table.large_objects
        and len(columns) == len(table.keys)
        and table.unique(columns)
        and all(r.on_delete in _FORBIDDING for r in catalogue.pointing_at(table))
    )


def erase(erasure: Erasure) -> Counts | None:
    """Erase every located row that is still there, children first.

    None where a row is located for two subjects, where one resists or is somebody else's by now, or
    where more rows have gone than these: undo what was done.
    """
    tally = tallying.begun(erasure.session, erasure.catalogue)
    erasure.session.run(SQL("SET CONSTRAINTS ALL DEFERRED"))
    counts: Counts = {}
    going: Counter[tuple[str, str]] = Counter()
    for table in erasure.touched:
        name = table.collection.name
        erased: Counter[int] = Counter()
        for number, told, rows in attempting.told(erasure.session, _deletion(erasure, table)):
            if told is not None and erasure.names.are_anothers(table.collection, number, told):
                return None
            erased[number] += rows
        located = sum(rows for (other, _), rows in erasure.located.items() if other == name)
        if erased.total() != located:
            erasure.count_once()
            if erasure.session.rows(_left(erasure, table))[0][0]:
                return None
        counts.update({(name, number): rows for number, rows in erased.items()})
        going[table.schema, table.name] += erased.total()
    attempting.carried_out(erasure.session, SQL("SET CONSTRAINTS ALL IMMEDIATE"))
    return None if tally.exceeds(going) else counts


def _deletion(erasure: Erasure, table: Table) -> Composable:
    """What went as arrays of a subject's number, whom its rows named, how many they were."""
    return SQL(
        "WITH gone AS (DELETE FROM {} t USING {} k WHERE {} RETURNING k.s, {} AS told)"
        " SELECT coalesce(jsonb_agg(jsonb_build_array(s, told, rows)), '[]')"
        " FROM (SELECT s, told, count(*) AS rows FROM gone GROUP BY s, told) g"
    ).format(
        table.sql,
        erasure.wanted(table),
        _named(table),
        owning.told(erasure.catalogue, table, "t", SQL("k.s")),
    )


def _left(erasure: Erasure, table: Table) -> Composable:
    """Whether a row is still there, or was located for two subjects."""
    parts = SQL(", ").join(erasure.parts(table))
    return SQL(
        "SELECT EXISTS (SELECT FROM {wanted} k JOIN {table} t ON {named}) OR EXISTS"
        " (SELECT FROM {wanted} k GROUP BY {parts} HAVING count(*) > 1)"
    ).format(wanted=erasure.wanted(table), table=table.sql, named=_named(table), parts=parts)


def _named(table: Table) -> Composable:
    return SQL(" AND ").join(p.equals_part("t", "k", n) for n, p in enumerate(table.keys))
