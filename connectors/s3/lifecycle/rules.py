"""The rules of one bucket: planned, shown as a diff, installed under a guard, taken out.

In: standing orders, or a plan. Out: a plan; a bucket whose rules are the plan's and whose other
rules are the bytes they were. S3 has no conditional write of this configuration: it is read once
more right before the write, and after it, so that what is left of the race is one round trip.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from connectors.s3.lifecycle.compiling import (
    COPIES,
    NO_LIFECYCLE,
    STRANGERS,
    SWEEP_FIRST,
    VERSIONED,
    Compiled,
    compiled,
    lets_go,
    meet,
    ours,
    prefix_in,
    prefix_of,
)
from connectors.s3.reading.keyed import Keyed
from connectors.s3.server import lifecycle
from connectors.s3.server.bucket import Bucket
from connectors.s3.server.lifecycle import Configuration
from dsr_worker.contract import (
    Change,
    NeedsHuman,
    RuleDiff,
    StandingOrder,
    StandingPlan,
    StandingWay,
    System,
)

_LOOKS = 5
_PAUSE_S = 0.5
Spend = Callable[[], None]


class BucketRules:
    """The lifecycle rules of one system of the data map."""

    def __init__(
        self, system: System, rooms: Mapping[str, Keyed], bucket: Bucket, spend: Spend
    ) -> None:
        self._system = system
        self._rooms = rooms
        self._bucket = bucket
        self._spend = spend

    def plan(self, orders: Sequence[StandingOrder], now: datetime) -> StandingPlan:
        """Which way each collection goes, and what changes. Reads only."""
        stands = lifecycle.read(self._bucket, self._spend)
        wanted = {order.collection: self._rule(order, stands, now) for order in orders}
        rules = [rule for rule in wanted.values() if isinstance(rule, Compiled)]
        return StandingPlan(
            tuple(
                StandingWay(name, rule.id, rule.after_days)
                if isinstance(rule, Compiled)
                else StandingWay(name, reason=rule)
                for name, rule in wanted.items()
            ),
            tuple(self._diffs(stands, rules)),
            stands.digest,
        )

    def install(self, plan: StandingPlan) -> None:
        """Write the plan's rules beside everybody else's. A repeat writes nothing.

        Raises NeedsHuman: `rules_changed` (nothing was written), `rules_differ` (see the contract).
        """
        before = lifecycle.read(self._bucket, self._spend)
        rules = [self.stated(way) for way in plan.ways if way.rule]
        if self._as_wanted(before, rules):
            return
        if before.digest != plan.seen:
            raise NeedsHuman("rules_changed", {"system": self._system.name})
        foreign = [rule for rule in before.rules if not self._is_ours(rule.id)]
        raw = [*(rule.raw for rule in foreign), *(rule.raw for rule in rules)]
        lifecycle.write(self._bucket, before, raw, self._spend)
        self._look(foreign=[rule.says for rule in foreign], rules=rules)

    def stated(self, way: StandingWay) -> Compiled:
        """The rule of a way."""
        prefix = prefix_of(self._system.collections[way.collection])
        return Compiled(way.rule, way.collection, prefix, way.after_days or 0)

    def _look(self, *, foreign: list[Mapping[str, Any]], rules: list[Compiled]) -> None:
        """Read back what was written; a server may take a moment to tell it."""
        for attempt in range(1, _LOOKS + 1):
            after = lifecycle.read(self._bucket, self._spend)
            others = [rule.says for rule in after.rules if not self._is_ours(rule.id)]
            if others == foreign and self._as_wanted(after, rules):
                return
            if attempt < _LOOKS:
                time.sleep(_PAUSE_S)
        raise NeedsHuman("rules_differ", {"system": self._system.name})

    def _as_wanted(self, stands: Configuration, rules: list[Compiled]) -> bool:
        mine = [rule for rule in stands.rules if self._is_ours(rule.id)]
        return len(mine) == len(rules) and all(_stands(rule, stands) for rule in rules)

    def _is_ours(self, rule: str) -> bool:
        return rule.startswith(ours(self._system.name))

    # ---- one collection

    def _rule(self, order: StandingOrder, stands: Configuration, now: datetime) -> Compiled | str:
        collection = self._system.collections[order.collection]
        others = [c for c in self._system.collections.values() if c.name != collection.name]
        made = compiled(self._system.name, collection, order, others)
        if isinstance(made, str):
            return made
        if not stands.known:
            return NO_LIFECYCLE
        if self._bucket.config.replicas:  # what a rule lets go here stays in each of them
            return COPIES
        if self._bucket.versioning(self._spend) != "Never":
            return VERSIONED
        return self._met(made, None if _stands(made, stands) else now) or made

    def _met(self, rule: Compiled, now: datetime | None) -> str:
        """Why the bucket as it is forbids the rule: it would reach more, or much at once.

        What is past its days before the rule stands goes by a sweep, under its brake. Without
        `now` the rule stands already, and what is past its days is the store's to let go.
        """
        room = self._rooms[rule.collection]
        age = timedelta(days=rule.after_days)
        for versions in self._bucket.objects(rule.prefix, self._spend):
            if not room.names_somebody(versions[0].key):
                return STRANGERS
            if now is not None and any(v.last_modified + age <= now for v in versions):
                return SWEEP_FIRST
        return ""

    # ---- the diff

    def _diffs(self, stands: Configuration, rules: list[Compiled]) -> Iterator[RuleDiff]:
        wanted = {rule.id: rule for rule in rules}
        for rule in stands.rules:
            was = _line(rule.says)
            if not self._is_ours(rule.id):
                reaches = self._reached(rule.says)
                yield RuleDiff(Change.FOREIGN, rule.id, was, was, reaches)
                continue
            mine = wanted.pop(rule.id, None)
            if mine is None:
                yield RuleDiff(Change.TAKE_OUT, rule.id, was)
            elif mine.stands_in(rule.says):
                yield RuleDiff(Change.KEEP, rule.id, was, was)
            else:
                yield RuleDiff(Change.REPLACE, rule.id, was, _line(mine.says))
        for mine in wanted.values():
            yield RuleDiff(Change.ADD, mine.id, "", _line(mine.says))

    def _reached(self, says: Mapping[str, Any]) -> tuple[str, ...]:
        if not lets_go(says):
            return ()
        prefix = prefix_in(says)
        collections = self._system.collections.values()
        return tuple(sorted(c.name for c in collections if meet(prefix, prefix_of(c))))


def _stands(mine: Compiled, stands: Configuration) -> bool:
    return any(mine.stands_in(rule.says) for rule in stands.rules)


def _line(says: Mapping[str, Any]) -> str:
    rest = {name: value for name, value in says.items() if name != "ID"}
    return json.dumps(rest, ensure_ascii=False, sort_keys=True, default=str)
