"""Calls that wait at the same time share a pass over each unit; each ends by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from dsr_worker.contract import Call, Context, InOnePass, NeedsHuman, Record, Subject
from dsr_worker.engine.dividing import UNIT
from dsr_worker.ledger import Ledger, divisions, units
from dsr_worker.ledger.divisions import NewUnit, Turn
from dsr_worker.ledger.units import Claimed, UnitEnd
from tests.integration.engine_room import EngineRoom
from tests.integration.test_units import answered, outcome, receipts, room_of
from tests.integration.unit_systems import InParts, fresh

Ledgers = Callable[[], str]
PARTS = 5


class Gate:
    """Lets nobody take a unit while it is shut, and as soon as this is so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shut = False
        self.shuts: Callable[[], bool] = lambda: False
        taken = units.claim

        def claim(ledger: Ledger, system: str, worker: int, *, urgent_only: bool) -> Claimed:
            self.shut = self.shut or self.shuts()
            return {} if self.shut else taken(ledger, system, worker, urgent_only=urgent_only)

        monkeypatch.setattr(units, "claim", claim)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    """An open gate."""
    return Gate(monkeypatch)


def sharing(folder: Path, dsn: str, parts: int = PARTS) -> tuple[EngineRoom, type[InParts]]:
    """An installation whose systems take calls together."""
    folder.mkdir()
    connector = fresh(parts, together=True)
    assert issubclass(connector, InOnePass)
    room = EngineRoom(folder, dsn, connectors={"memory": connector})
    room.load_people(10)
    return room, connector


def address(number: int) -> str:
    """A customer's address."""
    return f"p.zq{number:04x}zq@mail.example"


def open_calls(room: EngineRoom) -> dict[str, set[str]]:
    """The calls that wait for units, by system."""
    found: dict[str, set[str]] = {}
    for row in room.rows("SELECT system, call FROM scans WHERE ended_at IS NULL"):
        found.setdefault(row.system, set()).add(row.call)
    return found


def gathered(room: EngineRoom, gate: Gate) -> tuple[str, str]:
    """An access and an erasure of two people, up to where both wait for units."""
    gate.shut = True
    refs = room.submit("access", email=address(1)), room.submit("erasure", email=address(2))
    for _ in range(10):
        room.settle()
        if open_calls(room) == {s: {"find", "locate"} for s in ("crm", "files")}:
            return refs
    raise AssertionError(open_calls(room))


def test_an_access_and_an_erasure_that_wait_together_read_each_unit_once(
    tmp_path: Path, ledger: Ledgers, gate: Gate
) -> None:
    """One pass serves both calls, and one division; the answers are those of calls made whole."""
    room, connector = sharing(tmp_path / "shared", ledger())
    access, erasure = gathered(room, gate)
    connector.journal.calls.clear()
    gate.shut = False
    answered(room, access)
    made = Counter(call for call, _ in connector.journal.calls)
    assert (made["pass"], made["find"], made["locate"]) == (2 * PARTS,) * 3
    assert sum(made[f"units of {call}"] for call in Call) == 2
    finished(room, erasure)
    whole, _ = room_of(tmp_path / "whole", ledger(), 1)
    refs = whole.submit("access", email=address(1)), whole.submit("erasure", email=address(2))
    answered(whole, refs[0])
    finished(whole, refs[1])
    assert outcome(room, access) == outcome(whole, refs[0])
    assert outcome(room, erasure) == outcome(whole, refs[1])
    assert receipts(room, erasure) == receipts(whole, refs[1]) != []


def finished(room: EngineRoom, ref: str) -> None:
    """Carry an erasure through."""
    for _ in range(20):
        room.settle()
        if room.job(ref)["plan_hash"]:
            break
    room.approve(ref)
    answered(room, ref)


def test_mentions_join_what_is_under_way(tmp_path: Path, ledger: Ledgers, gate: Gate) -> None:
    """A recheck reads for itself; the mentions that are asked after it join the others' pass."""
    room, connector = sharing(tmp_path / "shared", ledger())
    first = room.submit("erasure", email=address(3))
    for _ in range(20):
        room.settle()
        if room.job(first)["plan_hash"]:
            break
    gate.shuts = lambda: "mentions" in open_calls(room).get("crm", ())
    room.approve(first)
    room.settle()
    assert gate.shut
    gate.shuts = lambda: False
    refs = room.submit("access", email=address(1)), room.submit("erasure", email=address(2))
    three = {"find", "locate", "mentions"}
    for _ in range(10):
        room.settle()
        if open_calls(room).get("crm") == three:
            break
    waiting = open_calls(room)
    assert waiting["crm"] == three
    connector.journal.calls.clear()
    gate.shut = False
    answered(room, refs[0], first)
    made = Counter(call for call, _ in connector.journal.calls)
    assert made["pass"] == len(waiting) * PARTS
    for call in three:
        assert made[call] == PARTS * sum(call in calls for calls in waiting.values())
    apart = {(row.call, row.second_path) for row in room.rows("SELECT * FROM scans WHERE map = ''")}
    assert apart == {("recheck", True), ("find", True)}  # what masks have left is found again


def test_a_call_that_stops_stops_alone(tmp_path: Path, ledger: Ledgers, gate: Gate) -> None:
    """What one of them meets stops it for its own cases; the others go on, uncharged."""
    room, connector = sharing(tmp_path / "shared", ledger())
    access, erasure = gathered(room, gate)
    stop = NeedsHuman("s3-unreadable-object", {})
    connector.journal.trouble["locate", "3"] = [stop] * 3
    gate.shut = False
    answered(room, access)
    codes = {row[4] for row in room.steps(erasure) if row[3] == "needs_human"}
    assert codes == {"s3-unreadable-object"}
    charged = room.rows(
        "SELECT u.charged FROM units u JOIN scans c ON c.id = u.scan_id WHERE c.call = 'find'"
    )
    assert {row.charged for row in charged} == {1}
    room.office.decisions.retry(erasure, room.sign("berta", "retry", erasure))
    finished(room, erasure)


def test_what_died_together_is_worked_on_apart(tmp_path: Path, ledger: Ledgers, gate: Gate) -> None:
    """Units that a dead worker held together come back alone, and its late end changes nothing."""
    room, connector = sharing(tmp_path / "shared", ledger())
    access, erasure = gathered(room, gate)
    office, system = room.office.ledger, "files"
    divided = "SELECT 1 FROM units WHERE number = 0 AND state <> 'done'"
    gate.shuts = lambda: not room.rows(divided)
    gate.shut = False
    room.settle()
    assert gate.shut
    gate.shuts, gate.shut = lambda: False, False
    held = units.claim(office, system, 4711, urgent_only=False)
    assert {unit.call for unit in held} == {"find", "locate"}
    assert len({room.office.keys.open_alone(unit.name, UNIT) for unit in held}) == 1
    assert units.take_back(office, [4711]) == 2
    assert units.end(office, dict.fromkeys(held, UnitEnd())) == 0
    again = units.claim(office, system, 4712, urgent_only=False)
    assert [unit.number for unit in again] == [held_one.number for held_one in held][:1]
    units.end(office, dict.fromkeys(again, UnitEnd(again_s=0.0, charge=-1)))
    connector.journal.calls.clear()
    answered(room, access)
    finished(room, erasure)
    assert Counter(connector.journal.made("find")) == Counter("01234" * 2)


def test_nobodys_frames_hold_what_another_asked_for(
    tmp_path: Path, ledger: Ledgers, gate: Gate
) -> None:
    """Each call of a pass has a segment of its own, and frames of its own steps alone."""
    room, _ = sharing(tmp_path / "shared", ledger())
    access, erasure = gathered(room, gate)
    gate.shut = False
    answered(room, access)
    own = {
        ref: {
            str(row.id)
            for row in room.rows(
                "SELECT s.id FROM steps s JOIN jobs j ON j.id = s.job_id WHERE j.ref = %s", ref
            )
        }
        for ref in (access, erasure)
    }
    segments: dict[str, set[str]] = {}
    for row in room.rows(
        "SELECT c.call, u.frames, u.segments FROM units u JOIN scans c ON c.id = u.scan_id"
    ):
        mine: dict[str, Any] = row.frames
        assert set(mine) <= own[access if row.call == "find" else erasure]
        assert {frame["segment"] for frame in mine.values()} <= set(row.segments)
        segments.setdefault(row.call, set()).update(row.segments)
    assert segments["find"]
    assert segments["find"].isdisjoint(segments["locate"])


def test_who_comes_while_another_divides_waits_for_its_names(
    tmp_path: Path, ledger: Ledgers, gate: Gate
) -> None:
    """A division is made once: the second scan waits while it is made, and then takes it over."""
    room, _ = sharing(tmp_path / "shared", ledger())
    gathered(room, gate)
    gate.shut = False
    office, again = room.office.ledger, UnitEnd(again_s=0.0, charge=-1)
    (first,) = units.claim(office, "files", 4711, urgent_only=False)
    assert divisions.begin(office, first) is Turn.OURS
    (second,) = units.claim(office, "files", 4712, urgent_only=False)
    assert first.divides
    assert second.divides
    assert divisions.begin(office, second) is Turn.LATER
    divisions.add_page(office, first, 1, [NewUnit(b"one"), NewUnit(b"two")])
    units.end(office, {second: again, first: UnitEnd()})
    (second,) = units.claim(office, "files", 4712, urgent_only=False)
    assert second.divides
    assert divisions.begin(office, second) is Turn.TAKEN
    units.end(office, {second: UnitEnd()})
    held = units.claim(office, "files", 4711, urgent_only=False)
    assert [(unit.number, unit.name) for unit in held] == [(1, b"one")] * 2


def test_units_of_other_names_are_no_companions(
    tmp_path: Path, ledger: Ledgers, gate: Gate
) -> None:
    """What is worked on together is the same part of the system, whatever else scans share."""
    room, _ = sharing(tmp_path / "shared", ledger())
    gathered(room, gate)
    gate.shuts = lambda: not room.rows("SELECT 1 FROM units WHERE number = 0 AND state <> 'done'")
    gate.shut = False
    room.settle()
    room.rows("UPDATE units SET name = convert_to(scan_id::text, 'UTF8') RETURNING 1")
    gate.shuts, gate.shut = lambda: False, False
    assert len(units.claim(room.office.ledger, "files", 4711, urgent_only=False)) == 1


def test_a_unit_for_which_nobody_waits_any_more_is_given_back(
    tmp_path: Path, ledger: Ledgers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps that are cancelled while their unit is claimed leave it as it was, uncharged."""
    room, _ = sharing(tmp_path / "shared", ledger())
    taken, left = units.claim, [True]

    def claim(ledger: Ledger, system: str, worker: int, *, urgent_only: bool) -> Claimed:
        found = taken(ledger, system, worker, urgent_only=urgent_only)
        return dict.fromkeys(found, ()) if found and left and left.pop() else found

    monkeypatch.setattr(units, "claim", claim)
    ref = room.submit("access", email=address(1))
    answered(room, ref)
    assert not left
    assert {row.charged for row in room.rows("SELECT charged FROM units")} == {1}


def test_a_case_that_ends_meanwhile_is_not_read_for(
    tmp_path: Path, ledger: Ledgers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who no longer waits is left out of the units that follow, though a drain knows the names."""
    room, connector = sharing(tmp_path / "shared", ledger())
    refs = [room.submit("access", email=address(n)) for n in (1, 2)]
    asked: list[set[str]] = []
    find = connector.find

    def noted(self: InParts, subjects: Sequence[Subject], ctx: Context) -> Iterator[Record]:
        asked.append({subject.ref for subject in subjects})
        if len(asked) == 2:
            room.rows(
                "UPDATE steps s SET state = 'cancelled' FROM jobs j WHERE j.id = s.job_id"
                " AND j.ref = %s AND s.action = 'find' RETURNING 1",
                refs[1],
            )
        return find(self, subjects, ctx)

    monkeypatch.setattr(connector, "find", noted)
    answered(room, refs[0])
    assert asked[:2] == [set(refs)] * 2
    assert {frozenset(some) for some in asked[2:]} == {frozenset(refs[:1])}
