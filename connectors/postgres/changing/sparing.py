"""What a staying row refers to stays as well: masked, on the ground that it is needed.

In: the decided rows of an erasure. Out: the same rows, of which those that were to go and that a
staying row refers to, by a foreign key or by the map's parent, now stay, and so on until nothing
changes. Only rows of this erasure count: where another row refers to one that goes, the schema
decides, or the transaction fails. A sweep asks the same ties of every row (`sweeping`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from psycopg2.sql import SQL, Composable, Literal

from connectors.postgres.changing.applying import Changes, goes
from connectors.postgres.changing.deciding import changed_fields, refers
from connectors.postgres.server.catalogue import Catalogue, Table
from dsr_worker.contract import Action, NeededByKept, Rule

PROTECTING = frozenset({"hold", "minimum"})
"""Codes of the rules whose rows the schema may not change either (ON DELETE SET NULL)."""
NEEDED = "needed_by_kept"


@dataclass(frozen=True, slots=True)
class Tie:
    """One way in which rows refer to rows of a collection: by a foreign key or the map's parent."""

    source: Table | None  # None: rows outside the map
    target: Table
    rows: Composable  # the table whose rows refer
    referred: Composable  # the table whose rows are referred to
    points: Callable[[str, str], Composable]  # whether a row refers to another, by their aliases
    columns: frozenset[str]  # by which it refers
    on_delete: str = "a"

    @property
    def loose(self) -> bool:
        """Whether the schema lets go by itself: only a protected row is not to be changed."""
        return self.on_delete in {"n", "d"}

    def holding(self, rules: tuple[Rule, ...]) -> list[int]:
        """The numbers of the rules by which a row stays and goes on referring."""
        return [
            number
            for number, rule in enumerate(rules)
            if not goes(rule)
            and not (self.loose and rule.code not in PROTECTING)
            and not self.columns & masked_columns(self.source, rule)
        ]

    def is_parent(self) -> bool:
        """Whether it says no more than the map's parent says."""
        parent = self.source.collection.parent if self.source else None
        if self.source is None or parent is None:
            return False
        joined = {self.source.place(name).column.name for name in parent.on}
        return parent.collection == self.target.collection.name and joined == self.columns


def masked_columns(table: Table | None, rule: Rule) -> set[str]:
    """The columns that a rule masks."""
    return {table.place(name).column.name for name in rule.masks} if table else set()


def spare(changes: Changes) -> None:
    """Let stay what staying rows refer to."""
    catalogue = changes.catalogue
    ties = [
        tie
        for tie in (*_by_parents(catalogue), *by_keys(catalogue))
        if tie.source is not None
        and {tie.source.collection.name, tie.target.collection.name} <= changes.rules.keys()
    ]
    waiting = [t for t in ties if not _decided(changes, t)]
    while waiting:
        spared = {tie.target.collection.name for tie in waiting if _spared(changes, tie)}
        waiting = [t for t in ties if t.source and t.source.collection.name in spared]


def _by_parents(catalogue: Catalogue) -> Iterator[Tie]:
    for source in catalogue.tables.values():
        parent = source.collection.parent
        if parent is not None:
            target = catalogue.table(parent.collection)
            columns = frozenset(source.place(ours).column.name for ours in parent.on)
            points = partial(_below, source, target)
            yield Tie(source, target, source.sql, target.sql, points, columns)


def by_keys(catalogue: Catalogue) -> Iterator[Tie]:
    """The foreign keys that point at mapped rows, those of tables outside the map too."""
    for reference in catalogue.references:
        for ours in reference.sources or (None,):
            for theirs in reference.targets:
                yield Tie(
                    catalogue.table(ours) if ours is not None else None,
                    catalogue.table(theirs),
                    reference.source.sql,
                    reference.target.sql,
                    reference.points,
                    frozenset(reference.columns),
                    reference.on_delete,
                )


def _below(source: Table, target: Table, below: str, above: str) -> Composable:
    return refers(source, below, target, above)


def _decided(changes: Changes, tie: Tie) -> bool:
    """Whether the target's own table has already asked what refers to it by this tie."""
    if tie.source is None or not tie.is_parent():
        return False
    theirs = changes.rules[tie.target.collection.name]
    asked = [r.when.children for r in theirs if isinstance(r.when, NeededByKept)]
    return any(tie.source.collection.name in names for names in asked)


def _spared(changes: Changes, tie: Tie) -> int:
    """How many rows of the target now stay."""
    if tie.source is None:
        return 0
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
            points=tie.points("x", "t"),
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
    changes.rules[name] = (*rules, Rule("needed", NeededByKept(()), action, NEEDED, masks))
    return len(rules)
