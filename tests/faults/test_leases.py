"""Work that is taken away, stopped, or cut off from the ledger changes nothing behind its back."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from dsr_worker.contract import Identity, Receipt
from dsr_worker.engine import context
from dsr_worker.engine.context import BatchGuard
from dsr_worker.ledger import holds, slots, steps
from dsr_worker.ledger.connection import Cursor
from tests.faults.room import PATIENCE_S, DrillRoom, customers_room, email, tally_room

LEASE_S = 2.0
SYSTEMS = ("club", "crm")
"""Where an effect commits: in the second Postgres, in an SQLite file."""


@pytest.fixture
def room(tmp_path: Path, database: Callable[[], str]) -> DrillRoom:
    """Three people in two kinds of system."""
    return customers_room(tmp_path, database, 3)


def approved(room: DrillRoom, number: int = 1) -> str:
    """An erasure whose effects are next: located in every system."""
    ref = room.submit("erasure", email=email(number))
    room.settle()
    room.approve(ref)
    drainer = room.workshop.drainer
    while not any(row[0] == "apply" for row in room.steps(ref)):
        for system in ("club", "crm", "files"):
            claimed = drainer._claim(system, urgent_only=False)
            assert claimed is not None, room.steps(ref)
            drainer._work(claimed)
    assert {row[3] for row in room.steps(ref) if row[0] == "apply"} == {"ready"}
    return ref


def once_before_intent(
    monkeypatch: pytest.MonkeyPatch, system: str, act: Callable[[], None]
) -> None:
    """Have something happen inside the first guard of a system, before its intent."""
    original = BatchGuard.intend
    left = [1]

    def intend(guard: BatchGuard, receipts: Sequence[Receipt]) -> None:
        if left and guard._ctx.system.name == system:
            left.clear()
            act()
        original(guard, receipts)

    monkeypatch.setattr(BatchGuard, "intend", intend)


def settle_with_waits(room: DrillRoom, ref: str) -> None:
    """Settle until a case is ready, waiting out the pauses before repeats."""
    until = time.monotonic() + PATIENCE_S
    while room.job(ref)["state"] != "ready" and time.monotonic() < until:
        room.settle()
        time.sleep(0.2)
    assert room.job(ref)["state"] == "ready", room.steps(ref)


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_ledger_connection_lost_under_the_guard_rolls_the_target_back(
    room: DrillRoom, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    """When the session that holds the lock against holds dies, nothing is committed without it."""
    ref = approved(room)
    before = room.world()

    def cut() -> None:
        cut_off = room.rows(
            "SELECT pg_terminate_backend(pid) AS done FROM pg_locks WHERE locktype = 'advisory'"
            " AND classid = %s AND database = (SELECT oid FROM pg_database"
            " WHERE datname = current_database())",
            holds._SYSTEM_LOCKS,
        )
        assert [row.done for row in cut_off] == [True]

    once_before_intent(monkeypatch, system, cut)
    room.workshop.drainer(system)
    assert room.world() == before
    settle_with_waits(room, ref)
    assert all(not row.before_commit for row in room.rows("SELECT before_commit FROM receipts"))
    assert room.world() != before


@pytest.mark.parametrize("system", SYSTEMS)
def test_work_taken_away_before_its_intent_changes_nothing(
    room: DrillRoom, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    """A worker whose lease was given to another before it could say what it intends rolls back."""
    ref = approved(room)
    before = room.world()

    def lose() -> None:
        room.rows(
            "UPDATE steps SET lease_until = now() - interval '1 second'"
            " WHERE state = 'leased' RETURNING id"
        )
        assert steps.take_back(room.office.ledger, ())
        assert steps.claim(room.office.ledger, system, _another(room)) is not None

    once_before_intent(monkeypatch, system, lose)
    room.workshop.drainer(system)
    assert room.world() == before
    assert "intent" not in room.events(ref)
    room.settle()
    assert room.job(ref)["state"] == "ready"
    assert room.events(ref).count("intent") == 3


def _another(room: DrillRoom) -> int:
    """A worker that dies at once: its session ends here."""
    session = room.office.ledger.connect()
    session.autocommit = True
    try:
        return slots.enlist(session, "elsewhere")
    finally:
        session.close()


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_hold_that_comes_before_the_lock_wins(
    room: DrillRoom, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    """A hold that stands when the effect takes its lock keeps every row, approved or not."""
    ref = approved(room)
    before = room.world()
    original = holds.share_lock
    left = [1]

    def share_lock(cursor: Cursor, name: str) -> None:
        if left and name == system:
            left.clear()
            room.hold_person(Identity("customer_number", "1"))
        original(cursor, name)

    monkeypatch.setattr(context, "share_lock", share_lock)
    room.workshop.drainer(system)
    assert _of(room.world(), system) == _of(before, system)
    assert {row[2] for row in room.account(ref)} == {"retained"}


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_hold_that_comes_after_the_lock_waits_and_keeps_the_rest(
    room: DrillRoom, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    """A hold placed under the guard stands after that commit, and wins in all later systems."""
    ref = approved(room)
    before = room.world()
    hold = threading.Thread(
        target=lambda: room.hold_person(Identity("customer_number", "1")), daemon=True
    )

    def place() -> None:
        hold.start()
        room.wait(lambda: bool(room.rows("SELECT 1 FROM pg_locks WHERE NOT granted")))
        time.sleep(0.2)
        assert hold.is_alive()

    once_before_intent(monkeypatch, system, place)
    room.workshop.drainer(system)
    hold.join(PATIENCE_S)
    assert not hold.is_alive()
    assert _of(room.world(), system) != _of(before, system)
    room.settle()
    assert room.job(ref)["state"] == "ready", room.steps(ref)
    for later in {"club", "crm", "files"} - {system}:
        assert _of(room.world(), later) == _of(before, later)


def _of(world: dict[tuple[str, ...], bytes], system: str) -> dict[tuple[str, ...], bytes]:
    return {place: body for place, body in world.items() if place[0] == system}


def test_a_worker_told_to_stop_gives_its_batch_back_uncharged(
    tmp_path: Path, database: Callable[[], str], redis_url: str
) -> None:
    """SIGTERM in the middle of a batch: steps are done or ready again, no attempt is charged."""
    room = tally_room(tmp_path, database, "pause_s: 0.05", redis_url=redis_url)
    refs = [room.submit("erasure", customer_number=str(n)) for n in range(40)]
    room.settle()
    for ref in refs:
        room.approve(ref)
    with room.workers():
        room.wait(lambda: len(room.effects()) >= 5)
    assert len(room.effects()) < 40, "the batch was over before the worker was told"
    left = room.rows("SELECT state, max(charged) AS charged FROM steps GROUP BY 1")
    assert {row.state for row in left} == {"done", "ready"}
    assert max(row.charged for row in left if row.state == "ready") == 0
    room.settle()
    assert sorted(room.effects().values()) == [1] * 40
    assert room.in_state("ready") == 40


@pytest.mark.faults
def test_a_worker_that_slept_through_its_lease_is_refused(
    tmp_path: Path, database: Callable[[], str], redis_url: str
) -> None:
    """SIGSTOP for twice the lease, then SIGCONT: the late finish changes nothing but says so."""
    gate = tmp_path / "gate"
    gate.touch()
    room = tally_room(tmp_path, database, f"gate: {gate}", redis_url=redis_url)
    ref = room.submit("access", customer_number="1")
    with room.workers(DRILL_LEASE_S=str(LEASE_S)):
        room.wait(Path(f"{gate}.reached").exists)
        (child,) = room.children()
        _stop_between_transactions(room, child)
        try:
            gate.unlink()
            time.sleep(2 * LEASE_S)
            room.settle()
            assert room.job(ref)["state"] == "ready", room.steps(ref)
            assert "late_result_ignored" not in room.events(ref)
            made = room.rows("SELECT * FROM packages")
        finally:
            os.kill(child, signal.SIGCONT)
        room.wait(lambda: "late_result_ignored" in room.events(ref))
    assert room.events(ref).count("late_result_ignored") == 1
    assert len(made) == 1
    assert room.rows("SELECT * FROM packages") == made


def _stop_between_transactions(room: DrillRoom, child: int) -> None:
    """SIGSTOP a worker that holds no lock: one that does is cut off by the ledger, later."""
    while True:
        os.kill(child, signal.SIGSTOP)
        time.sleep(0.1)
        if not room.rows(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND state <> 'idle'"
        ):
            return
        os.kill(child, signal.SIGCONT)
        time.sleep(0.05)
