"""What a staying row refers to stays as well: masked, on the ground that it is needed.

In: the decided rows of an erasure. Out: the same rows, of which those that were to go and that a
staying row refers to, by a foreign key or by the map's parent, now stay, and so on until nothing
changes. Only rows of this erasure count: where another row refers to one that goes, the schema
decides, or the transaction fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from psycopg2.sql import SQL, Composable, Literal

from connectors.postgres.catalogue import Catalogue, Table
from connectors.postgres.changing import Changes, goes
from connectors.postgres.deciding import changed_fields, refers
from dsr_worker.contract import Action, NeededByKept, Rule

PROTECTING = frozenset({"hold", "minimum"})
"""Codes of the rules whose rows the schema may not change either (ON DELETE SET NULL)."""
_NEEDED = "needed_by_kept"


@dataclass(frozen=True, slots=True)
class _Tie:
    """One way in which rows of a collection refer to rows of another, or of their own."""

    source: Table
    target: Table
    rows: Composable  # the rows that refer, alias x
    referred: Composable  # the rows referred to, alias t
    points: Composable
    columns: frozenset[str]  # by which it refers
    loose: bool  # the schema lets go by itself: only a protected row is not to be changed

    def holding(self, rules: tuple[Rule, ...]) -> list[int]:
        """The numbers of the rules by which a row stays and goes on referring."""
        return [
            number
            for number, rule in enumerate(rules)
            if not goes(rule)
            and not (self.loose and rule.code not in PROTECTING)
            and not self.columns & {self.source.place(name).column.name for name in rule.masks}
        ]


def spare(changes: Changes) -> None:
    """Let stay what staying rows refer to."""
    ties = [
        tie
        for tie in _ties(changes.catalogue)
        if {tie.source.collection.name, tie.target.collection.name} <= changes.rules.keys()
    ]
    waiting = [t for t in ties if not _decided(changes, t)]
    while waiting:
        spared = {tie.target.collection.name for tie in waiting if _spared(changes, tie)}
        waiting = [tie for tie in ties if tie.source.collection.name in spared]


def _ties(catalogue: Catalogue) -> Iterator[_Tie]:
    for source in catalogue.tables.values():
        parent = source.collection.parent
        if parent is not None:
            target = catalogue.table(parent.collection)
            columns = frozenset(source.place(ours).column.name for ours in parent.on)
            points = refers(source, "x", target, "t")
            yield _Tie(source, target, source.sql, target.sql, points, columns, loose=False)
    for reference in catalogue.references:
        for ours in reference.sources:
            for theirs in reference.targets:
                yield _Tie(
                    catalogue.table(ours),
                    catalogue.table(theirs),
                    reference.source.sql,
                    reference.target.sql,
                    reference.points("x", "t"),
                    frozenset(reference.columns),
                    loose=reference.on_delete in {"n", "d"},
                )


def _decided(changes: Changes, tie: _Tie) -> bool:
    """Whether the target's own table has already asked what refers to it by this tie."""
    parent = tie.source.collection.parent
    if parent is None or parent.collection != tie.target.collection.name:
        return False
    theirs = changes.rules[tie.target.collection.name]
    asked = [r.when.children for r in theirs if isinstance(r.when, NeededByKept)]
    joined = {tie.source.place(name).column.name for name in parent.on}
    return tie.columns == joined and any(tie.source.collection.name in names for names in asked)


def _spared(changes: Changes, tie: _Tie) -> int:
    """How many rows of the target now stay."""
    source, target = tie.source.collection.name, tie.target.collection.name
    holding = tie.holding(changes.rules[source])
    if not holding or not any(map(goes, changes.rules[target])):
        return 0
    number = _needed(changes, tie.target)
    rule = changes.rules[target][number]
    return changes.session.run(
        SQL(
            "UPDATE pg_temp.{done} d SET rule = {number}, fields = {fields}, clock = NULL"
            " FROM {referred} t WHERE {same} AND {going} AND EXISTS (SELECT FROM {rows} x"
            " JOIN pg_temp.{staying} g ON {source} WHERE {points} AND g.rule = ANY ({holding}))"
        ).format(
            done=changes.done(tie.target),
            number=Literal(number),
            fields=changed_fields(tie.target, rule) or Literal(0),
            referred=tie.referred,
            same=tie.target.same_key("t", "d"),
            going=changes.with_rule(tie.target, "d", goes),
            rows=tie.rows,
            staying=changes.done(tie.source),
            source=tie.source.same_key("x", "g"),
            points=tie.points,
            holding=Literal(holding),
        )
    )


def _needed(changes: Changes, table: Table) -> int:
    """The number of the rule for rows that staying rows need, the table's own or a new one."""
    name = table.collection.name
    rules = changes.rules[name]
    for number, rule in enumerate(rules):
        if rule.code == "needed":
            return number
    masks = {f.name: f.mask for f in table.collection.fields.values() if f.mask is not None}
    action = Action.MASK if masks else Action.KEEP
    changes.rules[name] = (*rules, Rule("needed", NeededByKept(()), action, _NEEDED, masks))
    return len(rules)
