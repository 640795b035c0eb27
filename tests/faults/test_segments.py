"""Segments that a killed attempt wrote go; those of whoever is slow and alive stay."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dsr_worker.engine import upkeep
from dsr_worker.engine.batch import Batch
from dsr_worker.ledger.rows import StepResult
from tests.faults.room import DrillRoom, customers_room, email

_KINDS = ("keys", "records", "packages")


@pytest.fixture
def room(tmp_path: Path, database: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> DrillRoom:
    """Four people in three systems, where everything written is old at once."""
    monkeypatch.setattr(upkeep, "LEAST_AGE", timedelta(days=-1))
    return customers_room(tmp_path, database, 4)


def _keep_up(room: DrillRoom) -> None:
    room.rows("DELETE FROM chores RETURNING name")
    upkeep.upkeep(room.office.ledger, room.office.store)()


def _stored(room: DrillRoom) -> set[str]:
    return {name for kind in _KINDS for name in room.office.store.names(f"{kind}/")}


def _named(room: DrillRoom) -> set[str]:
    rows = room.rows(
        "SELECT DISTINCT frame->>'segment' AS blob FROM spools UNION"
        " SELECT blob FROM packages WHERE kind = 'package' AND blob <> ''"
    )
    return {row.blob for row in rows}


@pytest.mark.parametrize(
    ("kind", "points"),
    [("erasure", ("after-spool:1", "after-locate:1")), ("access", ("after-spool:1",))],
)
def test_a_segment_of_a_dead_attempt_goes_and_no_other(
    room: DrillRoom, kind: str, points: Sequence[str]
) -> None:
    """Written before a kill and named by no step, it is destroyed; the case is not disturbed."""
    ref = room.submit(kind, email=email(1))
    orphans: set[str] = set()
    if kind == "erasure":
        room.settle()
        room.approve(ref)
    with room.brood() as crash:
        for point in points:
            assert crash(point) == signal.SIGKILL, f"{point} was not reached"
            orphans |= _stored(room) - _named(room)
    assert len(orphans) >= len(points)
    room.settle()
    assert room.job(ref)["state"] == "ready", room.stuck()
    standing = _stored(room) & _named(room)
    _keep_up(room)
    assert _stored(room) == standing
    assert not orphans & _stored(room)
    _keep_up(room)
    assert _stored(room) == standing


def test_a_slow_attempt_that_is_alive_keeps_its_segment(room: DrillRoom) -> None:
    """Between its segment and its finish no row names it: whatever is under lease is waited for."""
    ref = room.submit("erasure", email=email(1))
    room.settle()
    room.approve(ref)
    performers: Any = room.workshop.drainer._performers
    locate = performers["locate"]
    written, judged = threading.Event(), threading.Event()

    def slow(batch: Batch) -> Sequence[StepResult]:
        results: Sequence[StepResult] = locate(batch)
        written.set()
        assert judged.wait(60)
        return results

    performers["locate"] = slow
    beside = threading.Thread(target=room.settle)
    beside.start()
    try:
        assert written.wait(60)
        unnamed = _stored(room) - _named(room)
        assert unnamed
        _keep_up(room)
        assert unnamed <= _stored(room)
    finally:
        judged.set()
        beside.join(60)
    room.settle()
    assert room.job(ref)["state"] == "ready", room.stuck()
    assert room.events(ref).count("certificate_made") == 1
