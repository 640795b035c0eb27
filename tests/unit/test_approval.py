"""What an approval covers, and what voids it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from dsr_worker.contract import Outcome, OutcomeCount, Receipt
from dsr_worker.domain.plan import (
    Plan,
    PlannedOutcome,
    VoidCode,
    approval_voided,
    plan_hash,
    tally,
    upper_bound,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def _plan(**rows: int) -> Plan:
    outcomes = tuple(
        PlannedOutcome("shop", "orders", Outcome(name), "", count) for name, count in rows.items()
    )
    return Plan(frozenset({"d1"}), frozenset({("shop", "orders")}), outcomes, {"map": "1"})


@pytest.mark.parametrize(
    ("planned", "bound"), [(0, 10), (1, 11), (200, 210), (201, 212), (1000, 1050), (1001, 1052)]
)
def test_an_approval_covers_ten_more_or_five_percent(planned: int, bound: int) -> None:
    """The bound is the planned count plus the larger of 10 and 5 %, rounded up."""
    assert upper_bound(planned) == bound


@pytest.mark.parametrize(
    ("approved", "now"),
    [
        ({"erased": 100}, {"erased": 100}),
        ({"erased": 100}, {"erased": 3}),
        ({"erased": 100}, {}),
        ({"erased": 100}, {"erased": 110}),
        ({"erased": 100}, {"erased": 60, "retained": 40}),
        ({"erased": 100}, {"masked": 100}),
        ({"erased": 100, "masked": 5}, {"erased": 80, "masked": 25}),
        ({"erased": 5, "retained": 2}, {"erased": 7, "retained": 2}),
        ({}, {"erased": 10}),
        ({"erased": 9}, {"already_gone": 9}),
        ({"erased": 9}, {"pending_remote": 9}),
        ({"rectified": 9}, {"restricted": 9}),
        ({"masked": 9}, {"rectified": 9}),
        ({"restricted": 9}, {"lifted": 9}),
        ({"rectified": 9}, {"retained": 4, "rectified": 5}),
    ],
)
def test_less_and_new_keeps_stand(approved: dict[str, int], now: dict[str, int]) -> None:
    """Fewer rows, a new hold, a new keep and growth within the bound go ahead."""
    assert approval_voided(_plan(**approved), _plan(**now)) == ()


@pytest.mark.parametrize(
    ("approved", "now", "code"),
    [
        ({"erased": 100}, {"erased": 111}, VoidCode.OVER_BOUND),
        ({"masked": 100}, {"masked": 111}, VoidCode.OVER_BOUND),
        ({}, {"erased": 11}, VoidCode.OVER_BOUND),
        ({"masked": 5}, {"erased": 5}, VoidCode.HARSHER_DISPOSITION),
        ({"retained": 5}, {"restricted": 1, "retained": 4}, VoidCode.HARSHER_DISPOSITION),
        ({"restricted": 5}, {"rectified": 5}, VoidCode.HARSHER_DISPOSITION),
        ({"rectified": 5}, {"masked": 5}, VoidCode.HARSHER_DISPOSITION),
        ({"rectified": 100}, {"rectified": 111}, VoidCode.OVER_BOUND),
        ({"restricted": 100}, {"restricted": 111}, VoidCode.OVER_BOUND),
        ({"masked": 5}, {"masked": 5, "erased": 1}, VoidCode.HARSHER_DISPOSITION),
        ({"retained": 5}, {"masked": 1, "retained": 4}, VoidCode.HARSHER_DISPOSITION),
        ({"erased": 5, "retained": 9}, {"erased": 6, "retained": 8}, VoidCode.HARSHER_DISPOSITION),
        ({"erased": 5, "masked": 9}, {"erased": 6, "masked": 8}, VoidCode.HARSHER_DISPOSITION),
    ],
)
def test_further_reach_voids(approved: dict[str, int], now: dict[str, int], code: VoidCode) -> None:
    """More rows than the bound, or a row that fares worse than was approved, voids."""
    assert [v.code for v in approval_voided(_plan(**approved), _plan(**now))] == [code]


def test_new_identities_collections_and_rules_void() -> None:
    """What was not there when the plan was signed voids it, each by its own code."""
    plan = _plan(erased=1)
    wider = replace(plan, identities=frozenset({"d1", "d2"}))
    assert [v.code for v in approval_voided(plan, wider)] == [VoidCode.NEW_IDENTITY]
    assert approval_voided(wider, plan) == ()
    more = replace(plan, collections=plan.collections | {("shop", "carts")})
    assert [(v.code, v.place) for v in approval_voided(plan, more)] == [
        (VoidCode.NEW_COLLECTION, "shop.carts")
    ]
    for changed in (
        replace(plan, versions={"map": "2"}),
        replace(plan, cutoffs={"shop.orders:x": NOW}),
    ):
        assert [v.code for v in approval_voided(plan, changed)] == [VoidCode.RULES_CHANGED]


def test_the_hash_is_of_the_content_alone() -> None:
    """The order of parts changes nothing; any count, ground, digest or cut-off does."""
    plan = _plan(erased=1, masked=2)
    assert plan_hash(replace(plan, outcomes=plan.outcomes[::-1])) == plan_hash(plan)
    changed = [
        replace(plan, identities=frozenset({"d2"})),
        replace(plan, collections=frozenset()),
        replace(plan, outcomes=plan.outcomes[:1]),
        replace(plan, outcomes=(replace(plan.outcomes[0], ground="x"), plan.outcomes[1])),
        replace(plan, versions={"map": "2"}),
        replace(plan, cutoffs={"shop.orders:x": NOW}),
    ]
    hashes = {plan_hash(plan), *map(plan_hash, changed)}
    assert len(hashes) == 1 + len(changed)


def test_receipts_add_up_to_planned_outcomes() -> None:
    """The rows of all subjects of a dry run are summed by collection, outcome and ground."""
    receipts = [
        Receipt("s1", "orders", (OutcomeCount(Outcome.ERASED, 2),)),
        Receipt("s2", "orders", (OutcomeCount(Outcome.ERASED, 3), OutcomeCount(Outcome.MASKED, 0))),
        Receipt("s1", "carts", (OutcomeCount(Outcome.RETAINED, 1, ground="x"),)),
    ]
    assert tally("shop", receipts) == (
        PlannedOutcome("shop", "carts", Outcome.RETAINED, "x", 1),
        PlannedOutcome("shop", "orders", Outcome.ERASED, "", 5),
    )
