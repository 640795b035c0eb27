"""Scheduled sweeps start once, ask where no standing approval covers them, and catch up."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from dsr_worker.sweep.decisions import SweepRefused
from dsr_worker.sweep.firing import Firing
from tests.integration.sweep_room import SHARED, TRIAL, Make, SweepRoom


def test_the_first_scheduled_sweep_asks_and_the_second_goes_by_standing_approval(
    make: Make,
) -> None:
    """Inside a standing approval a schedule needs nobody, from the second run on."""
    room = make()
    room.carts(3)
    room.settle()
    room.grant()
    first = room.next_night()
    assert room.job(first)["state"] == "awaiting_approval"
    assert room.job(first)["facts"]["stopped"] == "first_run"
    assert len(room.left()) == 3
    room.approve_sweep(first, "anna")
    assert room.left() == set()
    room.carts(2, first=10)
    second = room.next_night()
    assert second != first
    assert room.job(second)["state"] == "closed", room.job(second)["facts"]
    assert room.job(second)["approved_by"] == "berta"
    assert room.job(second)["submitted_by"] is None
    assert room.left() == set()
    assert room.events(second).count("sweep_approved") == 1


@pytest.mark.parametrize(
    ("rows", "share", "code"),
    [(0, 1.0, "over_rows"), (9, 0.9, "over_share")],
)
def test_outside_a_standing_approval_a_schedule_asks(
    make: Make, rows: int, share: float, code: str
) -> None:
    """One row or share too many, and nothing goes before a person has looked."""
    room = make()
    room.carts(1)
    room.settle()
    room.approve_sweep(room.next_night(), "anna")
    room.grant(rows, share)
    room.carts(2, first=10)
    ref = room.next_night()
    assert room.job(ref)["state"] == "awaiting_approval"
    assert room.job(ref)["facts"]["stopped"] == code
    assert len(room.left()) == 2


def test_a_standing_approval_stays_inside_the_policys_own_limits(make: Make) -> None:
    """Nobody grants more than the reviewed policy lets a sweep touch without a person."""
    room = make(policies={"trial": TRIAL})
    with pytest.raises(SweepRefused, match=r"1000 rows and a share of 0\.5"):
        room.grant(1001, 0.5)
    with pytest.raises(SweepRefused, match="share"):
        room.grant(1000, 0.6)
    room.grant(1000, 0.5)


def test_a_revoked_standing_approval_is_over(make: Make) -> None:
    """After it was revoked, the next scheduled sweep asks again."""
    room = make()
    room.carts(1)
    room.settle()
    room.approve_sweep(room.next_night(), "anna")
    room.grant()
    room.office.sweeps.revoke("trial", room.sign("anna", "revoke", "trial"))
    with pytest.raises(SweepRefused, match="in force"):
        room.office.sweeps.revoke("trial", room.sign("anna", "revoke", "trial"))
    room.carts(1, first=5)
    assert room.job(room.next_night())["facts"]["stopped"] == "no_standing_approval"


def test_a_changed_policy_asks_again(tmp_path: Path, database: Callable[[], str]) -> None:
    """A standing approval covers one text of a policy, and no other."""
    dsn = database()
    room = SweepRoom(tmp_path, dsn, policies={"trial": SHARED})
    room.carts(1)
    room.settle()
    room.approve_sweep(room.next_night(), "anna")
    room.grant()
    text = SHARED.replace("P90D", "P60D").replace("version: 1.0.0", "version: 1.1.0")
    (tmp_path / "config" / "policies" / "trial.yaml").write_text(text)
    room.reopen()
    room.carts(1, first=5)
    assert room.job(room.next_night())["facts"]["stopped"] == "policy_changed"
    assert room.left() == {"old-5"}


def test_after_an_outage_one_sweep_catches_up(make: Make) -> None:
    """Ten missed nights are one sweep, tied to the last of them."""
    room = make()
    room.settle()
    room.move_clock(days=10)
    room.settle()
    assert len(room.sweeps()) == 1
    (fire,) = room.rows("SELECT fire_at, business_now() AS now FROM fires")
    assert timedelta(0) <= fire.now - fire.fire_at < timedelta(days=1, hours=2)
    (schedule,) = room.rows("SELECT next_fire_at FROM schedules")
    assert schedule.next_fire_at > fire.now


def test_machines_that_tick_together_start_one_sweep(make: Make) -> None:
    """Two workers' duties on one due schedule make one sweep; a schedule under lock is skipped."""
    room = make()
    room.settle()
    room.move_clock(days=1)
    policies = room.office.files.policies.by_name.values()
    two = [Firing(room.office.ledger, room.office.sweeps, policies) for _ in range(2)]
    with room.office.ledger.transaction() as cursor:
        cursor.execute("SELECT name FROM schedules FOR UPDATE")
        cursor.fetchall()
        other = Firing(room.office.ledger, room.office.sweeps, policies)
        other._synced = True
        other.fire_schedules()
        assert room.sweeps() == []
    for firing in two:
        firing.fire_schedules()
        firing.fire_schedules()
    assert len(room.sweeps()) == 1


def test_a_schedule_waits_for_the_policys_open_sweep(make: Make) -> None:
    """While a sweep waits for a person, further nights are tied to it and start none."""
    room = make()
    room.carts(1)
    room.settle()
    ref = room.next_night()
    assert room.next_night() == ref
    fires = room.rows("SELECT f.job_id, j.ref FROM fires f JOIN jobs j ON j.id = f.job_id")
    assert [f.ref for f in fires] == [ref, ref]


def test_schedules_follow_the_policies_in_force(make: Make) -> None:
    """A policy that is taken out no longer fires; one that comes back fires from then on."""
    room = make()
    room.settle()
    ledger, sweeps = room.office.ledger, room.office.sweeps
    Firing(ledger, sweeps, ()).fire_schedules()
    room.move_clock(days=3)
    Firing(ledger, sweeps, ()).fire_schedules()
    assert room.sweeps() == []
    back = Firing(ledger, sweeps, room.office.files.policies.by_name.values())
    back.fire_schedules()
    assert room.sweeps() == []
    (schedule,) = room.rows("SELECT enabled, next_fire_at > business_now() AS ahead FROM schedules")
    assert (schedule.enabled, schedule.ahead) == (True, True)
