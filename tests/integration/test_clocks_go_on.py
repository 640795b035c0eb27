"""A clock goes on, whatever is away: connectors, people, the tick itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from dsr_worker.contract import Transient
from dsr_worker.engine.batch import Batch
from dsr_worker.ledger import pace
from dsr_worker.ledger.rows import StepResult
from tests.integration.cli_desk import Desk


def _away(desk: Desk) -> None:
    def perform(_batch: Batch) -> Sequence[StepResult]:
        raise Transient("the store is away", retry_after_s=60)

    performers: Any = desk.room.workshop.drainer._performers
    performers["resolve"] = perform


def _clock(desk: Desk, case: str) -> dict[str, Any]:
    clocks = desk.ok("due")["clocks"]
    (found,) = [c for c in clocks if (c["case"], c["clock"]) == (case, "respond")]
    return dict(found)


def _now(desk: Desk) -> datetime:
    (row,) = desk.room.rows("SELECT business_now() AS now")
    now: datetime = row.now
    return now


def _worked(desk: Desk) -> None:
    """Every step that waits is tried again, and the tick looks at the clocks."""
    desk.room.rows("UPDATE steps SET run_at = now() WHERE state = 'waiting' RETURNING id")
    desk.room.settle()


def _raised(desk: Desk) -> set[str]:
    rows = desk.room.rows(
        "SELECT w.threshold FROM warnings w JOIN clocks c ON c.id = w.clock_id"
        " WHERE c.name = 'respond'"
    )
    return {row.threshold for row in rows}


def _missed(desk: Desk, case: str) -> int:
    events = desk.ok("explain", case)["events"]
    return sum(e["body"].get("code") == "clock_missed" for e in events)


def _delivered(desk: Desk, case: str) -> str:
    told = desk.ok("refuse", case, "--delivered", actor="anna")
    (state,) = [c["state"] for c in told["clocks"] if c["clock"] == "respond"]
    return str(state)


def test_a_clock_never_stops_because_a_connector_is_down(alone: Desk) -> None:
    """Away for the whole period: warned of at each lead time, missed on the instant, still owed."""
    case = alone.submit("access")
    _away(alone)
    _worked(alone)
    first = _clock(alone, case)
    act_by, due_at = (datetime.fromisoformat(first[k]) for k in ("conservative_due_at", "due_at"))
    second = timedelta(seconds=60)
    for threshold, at in (
        ("P7D", act_by - timedelta(days=7)),
        ("P3D", act_by - timedelta(days=3)),
        ("P1D", act_by - timedelta(days=1)),
        ("overdue", act_by),
    ):
        alone.room.move_clock(seconds=(at - second - _now(alone)).total_seconds())
        _worked(alone)
        assert threshold not in _raised(alone)
        alone.room.move_clock(seconds=(at + second - _now(alone)).total_seconds())
        _worked(alone)
        assert threshold in _raised(alone)
    assert _clock(alone, case)["forecast"] == "overdue"
    alone.room.move_clock(seconds=(due_at - _now(alone)).total_seconds())
    for _ in range(2):
        _worked(alone)
    found = _clock(alone, case)
    assert (found["state"], found["forecast"]) == ("missed", "overdue")
    assert (found["due_at"], found["conservative_due_at"]) == (
        first["due_at"],
        first["conservative_due_at"],
    )
    assert _missed(alone, case) == 1


def test_a_clock_that_nobody_ticked_for_is_missed_once_and_late(alone: Desk) -> None:
    """No tick for weeks: the answer that leaves after the day is late, tick or no tick."""
    alone.person = 1
    ticked, silent = alone.submit("erasure"), alone.submit("erasure")
    for case in (ticked, silent):
        alone.ok("refuse", case, "--ground", "ANY_UNFOUNDED", actor="anna")
    alone.room.move_clock(days=60)
    states = [_delivered(alone, silent)]
    _worked(alone)
    states.append(_delivered(alone, ticked))
    assert states == ["missed", "missed"]
    assert _missed(alone, silent) <= _missed(alone, ticked) == 1


def test_no_pace_makes_the_list_of_clocks_fall(alone: Desk) -> None:
    """However long the queue and however slow the system, clocks are listed and foreseen."""
    alone.person = 1
    case = alone.submit("erasure")
    for ready, rate in ((2**31 - 1, 1e-300), (2**31 - 1, 1.0), (0, 1e308), (5, float("nan"))):
        alone.room.rows(
            "INSERT INTO pace (system, measured_at, ready, done_per_hour)"
            " SELECT DISTINCT system, now() + interval '1 day', %s, %s FROM steps"
            " ON CONFLICT (system) DO UPDATE SET ready = excluded.ready,"
            " done_per_hour = excluded.done_per_hour RETURNING 1",
            ready,
            rate,
        )
        assert _clock(alone, case)["forecast"] in {"open", "late"}
    with alone.room.office.ledger.transaction() as cursor:
        pace.measure(cursor)
    alone.room.rows("UPDATE steps SET state = 'waiting', run_at = 'infinity' RETURNING 1")
    assert _clock(alone, case)["forecast"] == "late"
