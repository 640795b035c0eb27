"""The helpdesk connector sweeps tickets that are over, up to its brake, and no others."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from connectors.helpdesk import Zendesk
from dsr_worker.contract import (
    Action,
    Always,
    Before,
    Configuration,
    DecisionTable,
    HeldPeople,
    Identity,
    NeedsHuman,
    Rule,
    SweepOrder,
)
from dsr_worker.testing.context import TrialContext
from dsr_worker.testing.zendesk import Fake
from tests.contract.zendesk_world import (
    ANNA_MAIL,
    OTHER,
    THIRD,
    TICKET,
    crash_everywhere,
    permanent_deletions,
    table,
)


def sweep_order(max_rows: int = 100, *before: Rule) -> SweepOrder:
    """Tickets made before noon of 2 May 2026 are over."""
    limit = Rule(
        "limit",
        Before("created_at", datetime(2026, 5, 2, 12, tzinfo=UTC)),
        Action.ERASE,
        clock="created_at",
    )
    keep = Rule("default", Always(), Action.KEEP)
    return SweepOrder("tickets", DecisionTable("tickets", (*before, limit, keep)), max_rows)


def sweep(desk: Zendesk, order: SweepOrder, ctx: TrialContext) -> dict[str, int]:
    """Rows by outcome of one sweep."""
    ctx = replace(ctx, tables={"tickets": order.table})
    counts: dict[str, int] = {}
    for receipt in desk.sweep([order], ctx):
        for outcome in receipt.outcomes:
            counts[outcome.outcome.value] = counts.get(outcome.outcome.value, 0) + outcome.rows
    return counts


def live(fake: Fake) -> list[int]:
    """The tickets that are not deleted."""
    return [t["id"] for t in fake.dump()["tickets"]]


def test_a_sweep_erases_what_is_over_and_only_that(fake: Fake, desk: Zendesk) -> None:
    """By the ticket's clock; a dry run says the same number."""
    assert sweep(desk, sweep_order(), TrialContext(dry_run=True)) == {"erased": 2}
    assert live(fake) == [TICKET, OTHER, THIRD]
    assert sweep(desk, sweep_order(), TrialContext()) == {"erased": 2}
    assert live(fake) == [THIRD]
    assert sweep(desk, sweep_order(), TrialContext()) == {}


def test_the_brake_holds_before_the_first_change(fake: Fake, desk: Zendesk) -> None:
    """One row over the limit: nothing happens and a person decides."""
    with pytest.raises(NeedsHuman) as stopped:
        sweep(desk, sweep_order(1), TrialContext())
    assert stopped.value.fields == {"rows": 2, "limit": 1}
    assert live(fake) == [TICKET, OTHER, THIRD]


def test_a_sweep_keeps_the_tickets_of_held_people(fake: Fake, desk: Zendesk) -> None:
    """A hold names a person by any identity, the user's address too."""
    hold = Rule("hold", HeldPeople((Identity("email", ANNA_MAIL),)), Action.KEEP, "dispute")
    assert sweep(desk, sweep_order(100, hold), TrialContext()) == {"erased": 1, "retained": 1}
    assert live(fake) == [TICKET, THIRD]


def test_a_sweep_that_crashed_is_finished_by_a_repeat() -> None:
    """Nothing stays in the bin half-way, nothing else goes."""

    def repeat(fake: Fake, desk: Zendesk, calm: TrialContext) -> None:
        sweep(desk, sweep_order(), calm)
        assert live(fake) == [THIRD]
        assert sorted(permanent_deletions(fake)) == [TICKET, OTHER]
        assert not calm.state.values

    def attempt(desk: Zendesk, ctx: TrialContext) -> None:
        sweep(desk, sweep_order(), ctx)

    assert crash_everywhere(attempt, repeat) >= 6


def test_only_tickets_are_swept(desk: Zendesk) -> None:
    """A policy bound to another collection is refused, not ignored."""
    order = SweepOrder("users", table("users"), 10)
    with pytest.raises(Configuration, match="tickets alone"):
        list(desk.sweep([order], TrialContext()))
