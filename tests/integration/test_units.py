"""One call is shared among workers as units, and its outcome is that of the whole call."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dsr_worker.contract import NeedsHuman, Transient
from dsr_worker.engine.dividing import UNIT
from dsr_worker.engine.upkeep import LEAST_AGE
from dsr_worker.ledger import orphans, scans
from dsr_worker.vault import WRAPPED_BYTES
from tests.integration.engine_room import EngineRoom
from tests.integration.unit_systems import InParts, fresh

Ledgers = Callable[[], str]


def room_of(folder: Path, dsn: str, parts: int) -> tuple[EngineRoom, type[InParts]]:
    """An installation whose systems fall into so many units."""
    folder.mkdir()
    connector = fresh(parts)
    room = EngineRoom(folder, dsn, connectors={"memory": connector})
    room.load_people(10)
    return room, connector


def answered(room: EngineRoom, *refs: str) -> None:
    """Go on until these cases are answered, through the pauses of units that failed."""
    until = time.monotonic() + 100
    room.settle()
    while not all(room.job(ref)["state"] == "ready" for ref in refs):
        assert time.monotonic() < until, room.steps()
        time.sleep(0.02)
        room.settle()


def outcome(room: EngineRoom, ref: str) -> list[tuple[Any, ...]]:
    """What the steps of a case counted, located and found again, in a stable form."""
    return [
        (row.action, row.system, row.state, json.dumps(_told(row.result), sort_keys=True), row.code)
        for row in room.rows(
            "SELECT s.action, s.system, s.state, s.result, s.code FROM steps s"
            " JOIN jobs j ON j.id = s.job_id WHERE j.ref = %s ORDER BY s.action, s.system, s.round",
            ref,
        )
    ]


def _told(result: dict[str, Any] | None) -> dict[str, Any]:
    """A result without its instants and digests, which no two installations share."""
    told = {k: v for k, v in (result or {}).items() if k not in {"at", "mentions"}}
    return {**told, "kept": len(told["kept"])} if "kept" in told else told


def receipts(room: EngineRoom, ref: str) -> list[tuple[Any, ...]]:
    """The receipts of a case."""
    return [
        tuple(row)
        for row in room.rows(
            "SELECT r.system, r.collection, r.outcome, r.row_count, r.fields, r.ground"
            " FROM receipts r JOIN jobs j ON j.id = r.job_id WHERE j.ref = %s ORDER BY 1, 2, 3, 6",
            ref,
        )
    ]


def erased(room: EngineRoom, *numbers: int) -> list[str]:
    """Erasures of these people, carried through."""
    refs = [room.submit("erasure", email=f"p.zq{n:04x}zq@mail.example") for n in numbers]
    for _ in range(20):
        room.settle()
        if all(room.job(ref)["plan_hash"] for ref in refs):
            break
    for ref in refs:
        room.approve(ref)
    answered(room, *refs)
    return refs


def test_an_erasure_in_units_says_and_does_what_the_whole_calls_do(
    tmp_path: Path, ledger: Ledgers
) -> None:
    """Results, receipts and what is left in the systems are those of calls made whole."""
    whole, _ = room_of(tmp_path / "whole", ledger(), 1)
    parted, connector = room_of(tmp_path / "parted", ledger(), 7)
    (one, two), (first, second) = erased(whole, 1, 2), erased(parted, 1, 2)
    assert outcome(whole, one) == outcome(parted, first)
    assert outcome(whole, two) == outcome(parted, second)
    assert receipts(whole, one) == receipts(parted, first) != []
    assert set(connector.journal.made("locate")) == set("0123456")
    assert set(connector.journal.made("recheck")) == set("0123456")
    assert set(connector.journal.made("mentions")) == set("0123456")


def test_an_access_in_units_finds_what_the_whole_call_finds(
    tmp_path: Path, ledger: Ledgers
) -> None:
    """The rows of an access are the same, each unit was read once, and one unit is no unit."""
    whole, plain = room_of(tmp_path / "whole", ledger(), 1)
    parted, connector = room_of(tmp_path / "parted", ledger(), 7)
    told = []
    for room in (whole, parted):
        ref = room.submit("access", email="p.zq0003zq@mail.example")
        answered(room, ref)
        told.append(outcome(room, ref))
    assert told[0] == told[1]
    assert plain.journal.made("find") == ["", ""]
    assert sorted(connector.journal.made("find")) == sorted("0123456" * 2)
    assert not whole.rows("SELECT 1 FROM scans")


def test_all_who_wait_for_a_call_share_its_units(tmp_path: Path, ledger: Ledgers) -> None:
    """One pass over a system serves every case of the batch."""
    room, connector = room_of(tmp_path / "room", ledger(), 5)
    refs = [room.submit("access", email=f"p.zq{n:04x}zq@mail.example") for n in range(1, 6)]
    answered(room, *refs)
    assert sorted(connector.journal.made("find")) == sorted("01234" * 2)


def test_a_unit_that_fails_for_a_while_is_tried_again_alone(
    tmp_path: Path, ledger: Ledgers
) -> None:
    """A transient fault of one unit repeats that unit and no other."""
    room, connector = room_of(tmp_path / "room", ledger(), 5)
    connector.journal.trouble["find", "3"] = [Transient("away", retry_after_s=0.01)]
    ref = room.submit("access", email="p.zq0001zq@mail.example")
    answered(room, ref)
    made = connector.journal.made("find")
    assert made.count("3") == 3
    assert all(made.count(unit) == 2 for unit in "0124")


def test_a_unit_that_needs_a_person_stops_alone(tmp_path: Path, ledger: Ledgers) -> None:
    """The others are done; after a person's `retry` that unit alone is carried out again."""
    room, connector = room_of(tmp_path / "room", ledger(), 5)
    connector.journal.trouble["find", "3"] = [NeedsHuman("s3-unreadable-object", {})]
    ref = room.submit("access", email="p.zq0001zq@mail.example")
    for _ in range(10):
        room.settle()
    stuck = [row for row in room.steps(ref) if row[3] == "needs_human"]
    assert [row[0::4] for row in stuck] == [("find", "s3-unreadable-object")]
    connector.journal.calls.clear()
    room.office.decisions.retry(ref, room.sign("berta", "retry", ref))
    answered(room, ref)
    assert connector.journal.made("find") == ["3"]


def test_one_persons_stop_keeps_nobody_else_waiting(tmp_path: Path, ledger: Ledgers) -> None:
    """Where a unit stops for one of several cases, the others have their answer, also later."""
    room, connector = room_of(tmp_path / "room", ledger(), 5)
    connector.journal.poison["find", "3"] = "2"
    refs = [room.submit("access", email=f"p.zq{n:04x}zq@mail.example") for n in (1, 2, 3)]
    for _ in range(10):
        room.rows("UPDATE units SET run_at = now() WHERE state = 'ready' RETURNING 1")
        room.settle()
    states = [{row[3] for row in room.steps(ref) if row[0] == "find"} for ref in refs]
    assert states == [{"done"}, {"needs_human"}, {"done"}]
    connector.journal.poison.clear()
    connector.journal.calls.clear()
    room.office.decisions.retry(refs[1], room.sign("berta", "retry", refs[1]))
    answered(room, *refs)
    assert set(connector.journal.made("find")) == {"3"}


def test_what_stops_everybody_is_read_once(tmp_path: Path, ledger: Ledgers) -> None:
    """Where a unit stops whoever asks, nobody looks by whom it is: one reading for all of them."""
    room, connector = room_of(tmp_path / "room", ledger(), 5)
    stop = NeedsHuman("s3-unreadable-object", {}, for_all=True)
    connector.journal.trouble["find", "3"] = [stop] * 20
    refs = [room.submit("access", email=f"p.zq{n:04x}zq@mail.example") for n in range(1, 6)]
    for _ in range(10):
        room.settle()
    stuck = [row for ref in refs for row in room.steps(ref) if row[3] == "needs_human"]
    assert {row[4] for row in stuck} == {"s3-unreadable-object"}
    assert len(stuck) == 2 * len(refs)
    assert connector.journal.made("find").count("3") == 2  # of two systems


def test_what_units_found_is_kept_while_it_is_needed(tmp_path: Path, ledger: Ledgers) -> None:
    """No blob that a unit names is an orphan; once the scan is forgotten, it is one."""
    room, _ = room_of(tmp_path / "room", ledger(), 3)
    ref = room.submit("access", email="p.zq0001zq@mail.example")
    answered(room, ref)
    named = [row.blob for row in room.rows("SELECT unnest(segments) AS blob FROM units")]
    with room.office.ledger.transaction() as cursor:
        assert named
        assert orphans.unnamed(cursor, named) == []
        scans.forget(cursor)
        assert sorted(orphans.unnamed(cursor, named)) == sorted(named)


def test_a_blob_of_a_unit_that_is_worked_on_for_days_stays(tmp_path: Path, ledger: Ledgers) -> None:
    """What a unit under lease wrote is named when it ends, however long that takes."""
    room, _ = room_of(tmp_path / "room", ledger(), 3)
    ref = room.submit("access", email="p.zq0001zq@mail.example")
    answered(room, ref)
    began = "now() - interval '3 days'"
    room.rows(f"UPDATE scans SET divided_at = {began}, ended_at = NULL RETURNING 1")  # noqa: S608 - fixed text
    with room.office.ledger.transaction() as cursor:
        idle = orphans.first_day_kept(cursor, LEAST_AGE)
    room.rows("UPDATE units SET state = 'leased' WHERE number = 2 RETURNING 1")
    with room.office.ledger.transaction() as cursor:
        assert orphans.first_day_kept(cursor, LEAST_AGE) < idle


def test_a_broken_unit_is_quarantined_after_three_faults(tmp_path: Path, ledger: Ledgers) -> None:
    """A unit that fails again and again stops its steps, and no other unit is done twice."""
    room, connector = room_of(tmp_path / "room", ledger(), 5)
    connector.journal.trouble["find", "3"] = [RuntimeError("broken") for _ in range(6)]
    ref = room.submit("access", email="p.zq0001zq@mail.example")
    for _ in range(10):
        room.rows("UPDATE units SET run_at = now() WHERE state = 'ready' RETURNING 1")
        room.settle()
    codes = {row[4] for row in room.steps(ref) if row[3] == "needs_human"}
    assert codes == {"quarantined"}
    made = connector.journal.made("find")
    assert made.count("3") >= 3
    assert all(made.count(unit) == 2 for unit in "0124")


def test_names_of_units_are_sealed(tmp_path: Path, ledger: Ledgers) -> None:
    """The ledger never holds the name of a unit in the clear: it may be an object's key."""
    room, connector = room_of(tmp_path / "room", ledger(), 3)
    ref = room.submit("access", email="p.zq0001zq@mail.example")
    answered(room, ref)
    names = [bytes(row.name) for row in room.rows("SELECT name FROM units")]
    opened = {room.office.keys.open_alone(name, UNIT).decode() for name in names}
    assert opened == set(connector.journal.made("find")) == {"0", "1", "2"}
    assert all(len(name) > WRAPPED_BYTES for name in names)


def test_scans_are_forgotten_when_their_steps_have_ended(tmp_path: Path, ledger: Ledgers) -> None:
    """Rows of units go when nobody needs their answer any more."""
    room, _ = room_of(tmp_path / "room", ledger(), 3)
    ref = room.submit("access", email="p.zq0001zq@mail.example")
    answered(room, ref)
    with room.office.ledger.transaction() as cursor:
        assert scans.forget(cursor) > 0
    assert not room.rows("SELECT 1 FROM units UNION ALL SELECT 1 FROM scan_steps")
