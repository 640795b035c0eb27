"""Units are worked on for all who wait for them: nobody's part is left out who comes later."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dsr_worker.contract import LeaseLost, NeedsHuman
from dsr_worker.ledger import scans
from tests.integration.engine_room import EngineRoom
from tests.integration.test_units import answered, outcome, room_of
from tests.integration.test_units_erasing import PARTS, ROWS, documents
from tests.integration.test_units_erasing import room_of as erasing_room_of

Ledgers = Callable[[], str]
PEOPLE = (1, 2, 3, 4, 5)


def _asked(room: EngineRoom) -> list[str]:
    return [room.submit("access", email=f"p.zq{n:04x}zq@mail.example") for n in PEOPLE]


def _settled(room: EngineRoom, turns: int = 20) -> None:
    """Go on; nothing waits for the sake of time."""
    for _ in range(turns):
        room.rows("UPDATE units SET run_at = now() WHERE state = 'ready' RETURNING 1")
        room.rows("UPDATE steps SET run_at = now() WHERE state = 'ready' RETURNING 1")
        room.tick()
        for system in room.office.systems:
            room.workshop.drainer(system)


def _untroubled(tmp_path: Path, dsn: str) -> list[Any]:
    whole, _ = room_of(tmp_path / "whole", dsn, 1)
    refs = _asked(whole)
    answered(whole, *refs)
    return [outcome(whole, ref) for ref in refs]


def test_who_is_retried_later_has_what_stopped_for_all(tmp_path: Path, ledger: Ledgers) -> None:
    """Two cases stopped at the same units; each is retried by itself, and each is whole."""
    room, connector = room_of(tmp_path / "room", ledger(), 3)
    stop = NeedsHuman("s3-unreadable-object", {}, for_all=True)
    for unit in "012":
        connector.journal.trouble["find", unit] = [stop, stop]  # of two systems
    refs = _asked(room)
    _settled(room)
    assert {r[3] for ref in refs for r in room.steps(ref) if r[0] == "find"} == {"needs_human"}
    for ref in refs:
        room.office.decisions.retry(ref, room.sign("berta", "retry", ref))
        answered(room, ref)
    assert [outcome(room, ref) for ref in refs] == _untroubled(tmp_path, ledger())


def test_a_batch_that_comes_back_in_parts_is_answered_whole(
    tmp_path: Path, ledger: Ledgers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever divides a call and dies leaves steps that come back a few at a time."""
    room, _ = room_of(tmp_path / "room", ledger(), 3)
    begun = scans.open_scan
    deaths = [2]

    def dies_after(*args: Any, **named: Any) -> None:
        begun(*args, **named)
        if args[2] == "find" and deaths[0]:
            deaths[0] -= 1
            message = "gone"
            raise LeaseLost(message)

    monkeypatch.setattr(scans, "open_scan", dies_after)
    refs = _asked(room)
    _settled(room)
    answered(room, *refs)
    assert not deaths[0]
    assert [outcome(room, ref) for ref in refs] == _untroubled(tmp_path, ledger())


def test_erasures_retried_one_by_one_account_for_every_row(tmp_path: Path, ledger: Ledgers) -> None:
    """What stopped two erasures at once is done and told for each when each goes on."""
    room, connector = erasing_room_of(tmp_path / "room", ledger(), PARTS)
    refs = [room.submit("erasure", email=f"p.zq{n:04x}zq@mail.example") for n in (1, 2)]
    _settled(room)
    for ref in refs:
        room.approve(ref)
    stop = NeedsHuman("s3-unreadable-object", {}, for_all=True)
    connector.journal.trouble.update({("erase", str(n)): [stop] for n in range(PARTS)})
    _settled(room)
    stopped = [row for ref in refs for row in room.steps(ref) if row[3] == "needs_human"]
    assert [row[:2] for row in stopped] == [("apply", "files")] * 2
    connector.journal.trouble.clear()
    for number, ref in zip((1, 2), refs, strict=True):
        room.office.decisions.retry(ref, room.sign("berta", "retry", ref))
        answered(room, ref)
        assert room.outcomes(ref)["files", "documents", "erased"] == ROWS
        assert documents(room, number) == 0
