"""The part of the suite for stores that let rows go by rules of their own.

In: an author's adapter, whose world has a collection that a rule suffices for. Out: test methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from dsr_worker.contract import (
    Change,
    NeedsHuman,
    StandingOrder,
    StandingPlan,
    StandingRules,
    System,
)
from dsr_worker.testing.conformance.basics import PARTS, Basics
from dsr_worker.testing.conformance.trial import Adapter, made

_LONG_DAYS: Final = 36_500
_OURS: Final = frozenset({Change.ADD, Change.REPLACE, Change.KEEP})


class StandingPart(Basics):
    """Rules in the store."""

    def test_a_plan_says_a_way_for_each_order_and_changes_nothing(self) -> None:
        """Each ordered collection goes one way, by a rule or for a reason; looking writes none."""
        with made(self) as adapter:
            store, before = _store(adapter), adapter.dump()
            plan = store.standing(_orders(adapter.world.system), _now())
            ordered = [order.collection for order in _orders(adapter.world.system)]
            assert sorted(way.collection for way in plan.ways) == sorted(ordered)
            assert all(bool(way.rule) != bool(way.reason) for way in plan.ways)
            ruled = {way.rule for way in plan.ways if way.rule}
            assert ruled, "no rule suffices for any collection of the world: declare one there"
            assert ruled == {diff.rule for diff in plan.diffs if diff.change in _OURS}
            assert store.standing(_orders(adapter.world.system), _now()) == plan
            assert adapter.dump() == before

    def test_an_order_without_days_is_never_a_rule(self) -> None:
        """What no number of days says goes by sweeps, for the reason that was given."""
        with made(self) as adapter:
            orders = [
                replace(order, after_days=None, reason="held")
                for order in _orders(adapter.world.system)
            ]
            ways = _store(adapter).standing(orders, _now()).ways
            assert {(way.rule, way.reason) for way in ways} == {("", "held")}

    def test_installing_is_idempotent(self) -> None:
        """Once installed the plan has nothing to change, a repeat does nothing, and no row goes."""
        with made(self) as adapter:
            store, before = _store(adapter), adapter.dump()
            plan = _installed(adapter, store)
            store.install(plan)
            assert _changes(adapter, store) == set()
            store.install(store.standing(_orders(adapter.world.system), _now()))
            assert _changes(adapter, store) == set()
            assert adapter.dump() == before

    def test_a_plan_of_another_state_is_refused(self) -> None:
        """Where the rules are not those that a plan saw, nothing is written and a person looks."""
        with made(self) as adapter:
            store = _store(adapter)
            old = store.standing(_orders(adapter.world.system, _LONG_DAYS // 2), _now())
            _installed(adapter, store)
            refused = ""
            try:
                store.install(old)
            except NeedsHuman as stop:
                refused = stop.code
            assert refused == "rules_changed"
            assert _changes(adapter, store) == set()

    def test_no_orders_take_out_every_rule_of_ours(self) -> None:
        """A plan without orders leaves no rule of this system, and can be installed again."""
        with made(self) as adapter:
            store = _store(adapter)
            _installed(adapter, store)
            nothing = store.standing((), _now())
            assert {diff.change for diff in nothing.diffs} == {Change.TAKE_OUT}
            store.install(nothing)
            assert not store.standing((), _now()).changes
            store.install(store.standing((), _now()))
            assert _changes(adapter, store) == {Change.ADD}

    def test_what_stands_is_verified_and_what_does_not_is_told(self) -> None:
        """A check for each rule and for no other way: sound where it stands, a fault where not."""
        with made(self) as adapter:
            store = _store(adapter)
            ways = _installed(adapter, store).ways
            ruled = sorted(way.rule for way in ways if way.rule)
            checks = list(store.verify(ways, _now()))
            assert sorted(check.rule for check in checks) == ruled
            assert all(check.sound for check in checks)
            store.install(store.standing((), _now()))
            gone = list(store.verify(ways, _now()))
            assert sorted(check.rule for check in gone) == ruled
            assert all(check.faults for check in gone)


def _now() -> datetime:
    """Today: a store dates its rows itself."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _store(adapter: Adapter) -> StandingRules:
    store = adapter.connector()
    assert isinstance(store, StandingRules)
    return store


def _orders(system: System, days: int = _LONG_DAYS) -> Sequence[StandingOrder]:
    """So many days for each collection that has a clock: nothing is due."""
    return [
        StandingOrder(c.name, next(iter(c.clocks.values())), days)
        for c in system.collections.values()
        if c.clocks
    ]


def _installed(adapter: Adapter, store: StandingRules) -> StandingPlan:
    plan = store.standing(_orders(adapter.world.system), _now())
    store.install(plan)
    return plan


def _changes(adapter: Adapter, store: StandingRules) -> set[Change]:
    """What a plan would change in the store now."""
    diffs = store.standing(_orders(adapter.world.system), _now()).diffs
    return {diff.change for diff in diffs} - {Change.KEEP, Change.FOREIGN}


PARTS.update({StandingRules: StandingPart})
