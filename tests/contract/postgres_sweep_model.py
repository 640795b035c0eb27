"""What a sweep must leave behind, by brute force: every row against every row, in plain Python.

In: a `World` and the collection that is swept. Out: the rows as they must be afterwards and the
counts; or that the sweep must be refused, before the first change or on the way. Written from
docs/connectors/postgres.md alone, like `postgres_model`, of which it takes what a schema does to
rows that refer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from dsr_worker.contract import (
    Action,
    Always,
    Before,
    DecisionTable,
    Frozen,
    HeldRows,
    Rule,
    Since,
    SweepOrder,
)
from tests.contract import postgres_model as model
from tests.contract.postgres_model import Expected, Place, RefusedError
from tests.contract.postgres_schemas import CUTOFF, Link, World, refers

NOT_DUE = Rule("default", Always(), Action.KEEP, "not_due")


def order(collection: str) -> SweepOrder:
    """Rows from before the cut-off go."""
    limit = Rule("limit", Before("at", CUTOFF), Action.ERASE, "house", clock="at")
    return SweepOrder(collection, DecisionTable(collection, (limit, NOT_DUE)), 1000)


def protection(world: World) -> dict[str, DecisionTable]:
    """What protects rows in a sweep: holds on rows, minimums that keep them whole."""
    return {
        name: DecisionTable(name, (*_protecting(table), NOT_DUE))
        for name, table in world.decisions.items()
    }


def _protecting(table: DecisionTable) -> Iterator[Rule]:
    for rule in table.rules:
        if isinstance(rule.when, Frozen | HeldRows):
            yield rule
        if rule.code == "minimum":
            yield replace(rule, action=Action.KEEP, masks={})


@dataclass
class Swept:
    """A sweep of one collection, level by level."""

    world: World
    collection: str
    result: Expected = field(init=False)
    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.result = Expected(self.world)
        self.rules = protection(self.world)
        for table in self.world.tables.values():
            for number, row in enumerate(table.rows):
                self.result.after[table.name, number] = dict(row)

    def refused(self) -> bool:
        """Whether some row is due that only a cascade keeps from going: nothing begins then."""
        paper = Swept(self.world, self.collection)
        try:
            paper.run(checked=False)
        except _BeyondError:
            return True
        return False

    def run(self, *, checked: bool = True) -> None:
        """Let go what is free, level by level. Raises RefusedError where the server refuses."""
        while free := [t for t in self._due() if not any(self._keeping(t, cascades=True))]:
            self._let_go(free, checked=checked)
        while free := [t for t in self._due() if not any(self._keeping(t, cascades=False))]:
            family = {place for t in free for place in self._family(t)}
            if any(link.on_delete == "c" for link, _ in self._referring(family)):
                raise _BeyondError
            self._let_go(free, checked=checked)
        for place in self._present(self.collection):
            self.counts[self.collection, "retained", self._ground(place)] += 1

    def _due(self) -> list[Place]:
        return [p for p in self._present(self.collection) if self._ground(p) == "needed_by_kept"]

    def _ground(self, place: Place) -> str:
        """On which ground the row stays, if it has to."""
        protecting = self._protected(place)
        if protecting is not None:
            return protecting.ground
        at = self.result.row(place)["at"]
        return "not_due" if at is None or _instant(at) >= CUTOFF else "needed_by_kept"

    def _protected(self, place: Place) -> Rule | None:
        if not self.world.tables[place[0]].mapped:
            return None
        row = self.result.row(place)
        for rule in self.rules[place[0]].rules[:-1]:
            match rule.when:
                case HeldRows(name, values) if row[name] not in values:
                    continue
                case Since(name, cutoff) if (at := row[name]) and _instant(at) < cutoff:
                    continue
                case _:
                    return rule
        return None

    def _present(self, collection: str) -> list[Place]:
        return [p for p, row in self.result.after.items() if p[0] == collection and row is not None]

    def _family(self, place: Place) -> set[Place]:
        """The row and all that hang below it by the map's parents."""
        found = {place}
        above = self.result.after[place]
        for link in self.world.links:
            if link.parent and link.target == place[0] and above is not None:
                for other in self._present(link.source):
                    row = self.result.after[other]
                    if row is not None and refers(self.world, link, row, above):
                        found |= self._family(other)
        return found

    def _keeping(self, place: Place, *, cascades: bool) -> Iterator[bool]:
        family = self._family(place)
        yield any(self._protected(below) is not None for below in family)
        for link, other in self._referring(family):
            if link.on_delete in {"a", "r"}:
                yield True
            elif link.on_delete == "c":
                yield cascades
            else:
                yield self._protected(other) is not None

    def _referring(self, family: set[Place]) -> Iterator[tuple[Link, Place]]:
        """What a foreign key ties to the family from outside."""
        for place in family:
            target, above = self.world.tables[place[0]], self.result.after[place]
            for link in self.world.links:
                if not link.enforced or link.target != place[0] or above is None:
                    continue
                if target.in_heir(self.result.row(place)):
                    continue
                for other in self._present(link.source):
                    row = self.result.after[other]
                    heir = self.world.tables[link.source].in_heir(self.result.row(other))
                    if other in family or heir or row is None:
                        continue
                    if refers(self.world, link, row, above):
                        yield link, other

    def _let_go(self, free: list[Place], *, checked: bool) -> None:
        before = {p: None if row is None else dict(row) for p, row in self.result.after.items()}
        family = {place for one in free for place in self._family(one)}
        tied = list(self._referring(family))
        for place in family:
            self.result.after[place] = None
            ground = "house" if place[0] == self.collection else ""
            self.counts[place[0], "erased", ground] += 1
        if not checked:
            return
        for link, other in tied:
            model._emptied(self.result, link, other, default=link.on_delete == "d")
        try:
            model._validate(self.result)
        except RefusedError:
            self.result.after = before
            raise


class _BeyondError(Exception):
    """A cascade would reach rows that do not go."""


def _instant(told: str) -> datetime:
    return datetime.fromisoformat(told).astimezone(UTC)
