"""An erasure in units is the erasure: same receipts, same bounds, nobody else's bytes touched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from dsr_worker.contract import Transient
from dsr_worker.domain.hold import RowsHeld
from dsr_worker.engine import dividing
from dsr_worker.engine import units as work
from tests.integration.engine_room import CRM, FILES, KEYS, EngineRoom
from tests.integration.test_units import answered, outcome, receipts
from tests.integration.test_units_together import Gate
from tests.integration.unit_systems import ChangingInParts, changing

Ledgers = Callable[[], str]
PARTS = 24
DOCUMENTS = 48
ROWS = DOCUMENTS + 1  # of each person
PEOPLE = 3
SYSTEMS = {"crm": CRM, "files": FILES.replace("connector: memory", "connector: parted")}


def room_of(folder: Path, dsn: str, parts: int) -> tuple[EngineRoom, type[ChangingInParts]]:
    """An installation with documents in so many units."""
    folder.mkdir()
    connector = changing(parts)
    room = EngineRoom(folder, dsn, systems=SYSTEMS, connectors={"parted": connector})
    fill(room)
    return room, connector


def fill(room: EngineRoom) -> None:
    """Everybody's rows as they were."""
    room.load_people(PEOPLE)
    rows = [
        {"id": f"{owner}-{n}", "owner": str(owner), "text": f"letter zq{owner:04x}zq"}
        for owner in range(PEOPLE)
        for n in range(DOCUMENTS)
    ]
    room.system("files").load({"documents": rows}, KEYS)


def approved(room: EngineRoom, number: int) -> str:
    """An erasure of a person, approved and not gone on with."""
    ref = room.submit("erasure", email=f"p.zq{number:04x}zq@mail.example")
    for _ in range(20):
        room.settle()
        if room.job(ref)["plan_hash"]:
            break
    room.approve(ref)
    return ref


def others(room: EngineRoom, number: int) -> Mapping[Any, bytes]:
    """The documents of everybody else."""
    found: dict[Any, bytes] = room.system("files").dump()["documents"]
    return {key: row for key, row in found.items() if f'"owner": "{number}"' not in row.decode()}


def documents(room: EngineRoom, number: int) -> int:
    """How many documents of a person are left."""
    return len(room.system("files").dump()["documents"]) - len(others(room, number))


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    """A gate that shuts before the first unit which changes anything."""
    return Gate(monkeypatch)


def shut_before_changes(room: EngineRoom, gate: Gate) -> None:
    """Let an approved erasure come to where its units begin."""
    named = "SELECT FROM units u JOIN scans c ON c.id = u.scan_id WHERE c.changes AND u.number > 0"
    gate.shuts = lambda: bool(room.rows(named + " LIMIT 1"))
    for _ in range(10):
        room.settle()
    assert gate.shut
    gate.shuts = lambda: False


def test_an_erasure_in_units_is_the_whole_erasure(tmp_path: Path, ledger: Ledgers) -> None:
    """Results and receipts are those of one call, the units share its keys, nobody else's go."""
    whole, _ = room_of(tmp_path / "whole", ledger(), 1)
    parted, connector = room_of(tmp_path / "parted", ledger(), PARTS)
    before = others(parted, 1)
    (one, other) = (approved(room, 1) for room in (whole, parted))
    answered(whole, one)
    answered(parted, other)
    assert outcome(whole, one) == outcome(parted, other)
    assert receipts(whole, one) == receipts(parted, other) != []
    assert documents(parted, 1) == 0
    assert others(parted, 1) == before
    assert len(set(connector.journal.made("erase"))) >= 20
    assert sorted(connector.journal.made("erase")) == sorted(set(connector.journal.made("erase")))
    assert max(connector.journal.given) < DOCUMENTS / 4


def test_many_keys_are_shared_out_page_by_page(
    tmp_path: Path, ledger: Ledgers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More keys than wait in memory, more units than a page: the outcome is that of one call."""
    monkeypatch.setattr(dividing, "_FEW", 10)
    monkeypatch.setattr(work, "PAGE", 5)
    whole, plain = room_of(tmp_path / "whole", ledger(), 1)
    parted, connector = room_of(tmp_path / "parted", ledger(), PARTS)
    (one, other) = (approved(room, 1) for room in (whole, parted))
    answered(whole, one)
    answered(parted, other)
    assert plain.journal.made("erase") == [""]
    assert len(connector.journal.made("erase")) >= 20
    assert receipts(whole, one) == receipts(parted, other) != []
    assert outcome(whole, one) == outcome(parted, other)


def test_what_fails_for_some_in_a_unit_is_done_for_each_once(
    tmp_path: Path, ledger: Ledgers, gate: Gate
) -> None:
    """A unit of two erasures that fails, or whose system is away, is split, or made again."""
    room, connector = room_of(tmp_path / "room", ledger(), PARTS)
    refs = [approved(room, number) for number in (0, 1)]
    shut_before_changes(room, gate)
    connector.journal.trouble["erase", "4"] = [RuntimeError("broken")]
    connector.journal.trouble["erase", "7"] = [Transient("away", retry_after_s=0.01)]
    gate.shut = False
    answered(room, *refs)
    assert documents(room, 0) == documents(room, 1) == 0
    assert documents(room, 2) == ROWS
    for ref in refs:
        assert room.outcomes(ref)["files", "documents", "erased"] == ROWS
        assert {row.before_commit for row in room.rows("SELECT before_commit FROM receipts")} == {
            False
        }


def test_rows_that_stay_by_a_hold_are_kept_in_every_unit(tmp_path: Path, ledger: Ledgers) -> None:
    """A hold on rows of several units is told once, with all of them."""
    room, _ = room_of(tmp_path / "room", ledger(), PARTS)
    held = tuple(f"1-{n}" for n in range(0, DOCUMENTS, 2))
    review_on = room.job(room.submit("access", email="p.zq0002zq@mail.example"))["received_at"]
    scope = RowsHeld("files", "documents", "id", held)
    room.place_hold(scope, "matter-2", review_on.date().replace(year=review_on.year + 1))
    ref = approved(room, 1)
    answered(room, ref)
    assert room.outcomes(ref)["files", "documents", "retained"] == len(held)
    assert documents(room, 1) == len(held)
