"""What holds and stops an erasure in units: approval, holds, persons, whoever takes it away."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from dsr_worker.contract import Identity, NeedsHuman, Receipt, Transient
from dsr_worker.engine.context import BatchGuard
from dsr_worker.ledger import cases, remains, units
from dsr_worker.ledger.connection import Json
from dsr_worker.ledger.units import UnitEnd
from tests.integration.engine_room import EngineRoom
from tests.integration.test_units import answered
from tests.integration.test_units_erasing import (
    DOCUMENTS,
    PARTS,
    ROWS,
    approved,
    documents,
    room_of,
    shut_before_changes,
)
from tests.integration.test_units_together import Gate

Ledgers = Callable[[], str]


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    """A gate that shuts before the first unit which changes anything."""
    return Gate(monkeypatch)


def one_unit(room: EngineRoom, gate: Gate) -> bool:
    """Work on one unit that changes."""
    gate.shut = False
    worked = room.workshop.drainer._next_unit("files", {}, urgent_only=False)
    gate.shut = True
    return worked


def test_the_bound_of_an_approval_holds_over_all_units(
    tmp_path: Path, ledger: Ledgers, gate: Gate
) -> None:
    """What each unit does is little; before all of them go too far, the approval is void."""
    room, _ = room_of(tmp_path / "room", ledger(), PARTS)
    ref = approved(room, 1)
    shut_before_changes(room, gate)
    plan = room.job(ref)["plan"]
    (part,) = [o for o in plan["outcomes"] if o["collection"] == "documents"]
    part["rows"] = 20  # as if somebody had approved no more
    room.rows("UPDATE jobs SET plan = %s WHERE ref = %s RETURNING 1", Json(plan), ref)
    gate.shut = False
    for _ in range(10):
        room.settle()
    left = documents(room, 1)
    assert ROWS - 30 <= left < DOCUMENTS
    voided = room.rows(
        "SELECT s.result FROM steps s JOIN jobs j ON j.id = s.job_id WHERE j.ref = %s"
        " AND s.action = 'apply' AND s.system = 'files'",
        ref,
    )
    assert voided[0].result["voided"] == ["over_bound"]
    assert room.outcomes(ref)["files", "documents", "erased"] == ROWS - left
    assert room.job(ref)["state"] == "awaiting_approval", room.steps(ref)


def test_the_unit_that_leads_ends_before_the_others_begin(
    tmp_path: Path, ledger: Ledgers, gate: Gate
) -> None:
    """While somebody works on it, nobody else has anything to do; nor while it waits again."""
    room, _ = room_of(tmp_path / "room", ledger(), PARTS)
    ref = approved(room, 1)
    shut_before_changes(room, gate)
    gate.shut = False
    office, worker = room.office.ledger, room.workshop.worker.id
    (first,) = units.claim(office, "files", worker, urgent_only=False)
    assert (first.number, first.changes) == (1, True)
    assert not units.claim(office, "files", worker, urgent_only=False)
    units.end(office, {first: UnitEnd(again_s=0.0, charge=-1)})
    (again,) = units.claim(office, "files", worker, urgent_only=False)
    assert again.number == 1
    units.end(office, {again: UnitEnd(again_s=0.0, charge=-1)})
    answered(room, ref)
    assert documents(room, 1) == 0


def test_a_hold_that_is_placed_between_two_units_keeps_what_is_left(
    tmp_path: Path, ledger: Ledgers, gate: Gate
) -> None:
    """Each unit sees the holds of its moment; the case says what it kept."""
    room, _ = room_of(tmp_path / "room", ledger(), PARTS)
    ref = approved(room, 1)
    shut_before_changes(room, gate)
    for _ in range(5):
        assert one_unit(room, gate)
    left = documents(room, 1)
    assert 0 < left < DOCUMENTS
    room.hold_person(Identity("customer_number", "1"))
    gate.shut = False
    answered(room, ref)
    assert documents(room, 1) == left
    assert room.outcomes(ref)["files", "documents", "erased"] == ROWS - left
    assert room.outcomes(ref)["files", "documents", "retained"] == left


def test_a_unit_that_stops_is_the_last_of_its_step(
    tmp_path: Path, ledger: Ledgers, gate: Gate
) -> None:
    """No unit is begun after it; a person's `retry` opens it and those after it, no other."""
    room, connector = room_of(tmp_path / "room", ledger(), PARTS)
    ref = approved(room, 1)
    shut_before_changes(room, gate)
    connector.journal.calls.clear()
    for _ in range(3):
        assert one_unit(room, gate)
    done = connector.journal.made("erase")
    name = str(max(map(int, done)) + 1)  # they are taken in order
    connector.journal.trouble["erase", name] = [NeedsHuman("s3-unreadable-object", {})]
    left = documents(room, 1)
    gate.shut = False
    for _ in range(10):
        room.settle()
    assert connector.journal.made("erase") == [*done, name]
    assert documents(room, 1) == left
    assert [row[4] for row in room.steps(ref) if row[3] == "needs_human"] == [
        "s3-unreadable-object"
    ]
    with room.office.ledger.transaction() as cursor:
        assert remains.begun(cursor, room.job(ref)["id"]) == {"files": {"erased": ROWS - left}}
    connector.journal.calls.clear()
    room.office.decisions.retry(ref, room.sign("berta", "retry", ref))
    answered(room, ref)
    assert set(connector.journal.made("erase")).isdisjoint(done)
    assert documents(room, 1) == 0
    assert room.outcomes(ref)["files", "documents", "erased"] == ROWS


def test_a_case_whose_units_are_open_is_under_work_and_has_taken_effect(
    tmp_path: Path, ledger: Ledgers, gate: Gate
) -> None:
    """It can be neither withdrawn nor left undone: what its units changed is known at once."""
    room, _ = room_of(tmp_path / "room", ledger(), PARTS)
    ref = approved(room, 1)
    shut_before_changes(room, gate)
    case, served = room.job(ref)["id"], ["crm", "files"]
    room.rows("DELETE FROM receipts WHERE job_id = %s RETURNING 1", case)
    room.rows("UPDATE steps SET intent = NULL WHERE job_id = %s RETURNING 1", case)
    with room.office.ledger.transaction() as cursor:
        assert not cases.took_effect(cursor, case)
        assert not cases.at_a_stand(cursor, case, served)
    assert one_unit(room, gate)
    with room.office.ledger.transaction() as cursor:
        assert cases.took_effect(cursor, case)
        assert not cases.at_a_stand(cursor, case, served)


def test_a_step_that_is_taken_away_changes_nothing_more(
    tmp_path: Path, ledger: Ledgers, gate: Gate
) -> None:
    """Once a step waits for its units no longer, none of them can intend anything."""
    room, _ = room_of(tmp_path / "room", ledger(), PARTS)
    ref = approved(room, 1)
    shut_before_changes(room, gate)
    assert one_unit(room, gate)
    left = documents(room, 1)
    room.rows(
        "UPDATE steps SET state = 'cancelled' WHERE action = 'apply' AND system = 'files'"
        " AND job_id = (SELECT id FROM jobs WHERE ref = %s) RETURNING 1",
        ref,
    )
    assert not one_unit(room, gate)
    assert documents(room, 1) == left


def test_what_was_stated_and_not_done_counts_no_longer(
    tmp_path: Path, ledger: Ledgers, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An effect whose guard is left by a fault takes nothing from what is approved."""
    room, _ = room_of(tmp_path / "room", ledger(), PARTS)
    ref = approved(room, 1)
    shut_before_changes(room, gate)
    done = BatchGuard.intend

    def intend(guard: BatchGuard, receipts: Sequence[Receipt]) -> None:
        done(guard, receipts)
        raise Transient("rolled back", retry_after_s=0.01)

    with monkeypatch.context() as patched:
        patched.setattr(BatchGuard, "intend", intend)
        assert one_unit(room, gate)
    assert stated(room) == 0
    assert documents(room, 1) == ROWS
    time.sleep(0.02)
    assert one_unit(room, gate)
    assert 0 < stated(room) == ROWS - documents(room, 1)
    gate.shut = False
    answered(room, ref)
    assert stated(room) == ROWS


def stated(room: EngineRoom) -> int:
    """How many documents all units of the erasure have stated together."""
    (row,) = room.rows(
        "SELECT t.stated FROM scan_steps t JOIN scans c ON c.id = t.scan_id WHERE c.changes"
    )
    return sum(part["rows"] for part in row.stated if part["outcome"] == "erased")
