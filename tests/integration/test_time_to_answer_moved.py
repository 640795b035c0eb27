"""A clock that was moved or stopped: warned of anew, never told late while it stood."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from dsr_worker.ledger import warnings
from tests.integration.cli_desk import Desk

LEADS = ("P7D", "P3D", "P1D")


def _now(desk: Desk) -> datetime:
    (row,) = desk.room.rows("SELECT business_now() AS now")
    now: datetime = row.now
    return now


def _submitted(desk: Desk, country: str, received: datetime, *more: str) -> str:
    args = ("submit", "--kind", "access", *desk.named, "--country", country, *more)
    told = desk.ok(*args, "--attest", "trial", "--received", received.isoformat(), actor="anna")
    return str(told["case"])


def _raised(desk: Desk, case: str) -> set[str]:
    """The thresholds of which warnings are to go out, or went."""
    warnings.mark_missed(desk.room.office.ledger)
    warnings.raise_reached(desk.room.office.ledger, LEADS)
    rows = desk.room.rows(
        "SELECT w.threshold FROM warnings w JOIN clocks c ON c.id = w.clock_id"
        " JOIN jobs j ON j.id = c.job_id WHERE j.ref = %s AND c.name = 'respond'"
        " AND w.next_send_at < 'infinity'",
        case,
    )
    return {row.threshold for row in rows}


def _clock(desk: Desk, case: str, name: str = "respond") -> dict[str, Any]:
    (found,) = [c for c in desk.ok("due")["clocks"] if (c["case"], c["clock"]) == (case, name)]
    return dict(found)


def test_an_extended_clock_warns_again_before_its_new_end(alone: Desk) -> None:
    """Warnings of the first date end with it; each threshold of the new one warns."""
    case = _submitted(alone, "DE", _now(alone) - timedelta(days=26))
    assert "P7D" in _raised(alone, case)
    alone.ok("extend", case, "--reason", "complex", actor="anna")
    assert _raised(alone, case) == set()
    assert not warnings.waiting(alone.room.office.ledger)
    left = datetime.fromisoformat(_clock(alone, case)["conservative_due_at"]) - _now(alone)
    alone.ok("clock", "advance", f"P{left.days - 5}D")
    assert _raised(alone, case) == {"P7D"}


def test_a_clock_that_begins_anew_warns_anew(alone: Desk) -> None:
    """What had been warned of before a firm pause is warned of again before the later end."""
    case = _submitted(alone, "GB-ENG", _now(alone) - timedelta(days=26))
    assert "P7D" in _raised(alone, case)
    alone.ok("pause", case, "--ground", "clarification", actor="anna")
    alone.ok("clock", "advance", "P20D")
    alone.ok("resume", case, "--ground", "clarification", actor="anna")
    assert _raised(alone, case) <= {"P7D"}
    alone.ok("clock", "advance", "P3D")
    assert _raised(alone, case) & {"P3D", "P1D"}


def test_an_answer_while_the_clock_stands_is_in_time(alone: Desk) -> None:
    """The first date passes while the person is asked: who answers then is not late."""
    case = _submitted(alone, "GB-ENG", _now(alone))
    alone.ok("pause", case, "--ground", "clarification", actor="anna")
    alone.ok("clock", "advance", "P40D")
    alone.ok("refuse", case, "--ground", "ANY_UNFOUNDED", actor="anna")
    told = alone.ok("refuse", case, "--delivered", actor="anna")
    assert {clock["state"] for clock in told["clocks"] if clock["clock"] == "respond"} == {"met"}


def test_a_pause_that_nobody_verified_hides_no_passed_date(alone: Desk) -> None:
    """Where warnings go on, they are delivered without another's help and the list says overdue."""
    case = _submitted(alone, "DE", _now(alone))
    alone.ok("pause", case, "--ground", "clarification", actor="anna")
    assert _clock(alone, case)["forecast"] == "paused"
    alone.ok("clock", "advance", "P40D")
    assert "overdue" in _raised(alone, case)
    assert warnings.waiting(alone.room.office.ledger)
    assert _clock(alone, case)["forecast"] == "overdue"


def test_nobody_was_asked_before_they_asked(desk: Desk) -> None:
    """A question before the receipt of the request stops nothing and is refused."""
    received = _now(desk) - timedelta(days=3)
    case = _submitted(desk, "DE", received)
    early = (received - timedelta(days=2)).isoformat()
    args = ("pause", case, "--ground", "identity", "--asked", early)
    code, message = desk.refused(*args, actor="anna", code=1)
    assert (code, "before" in message) == ("decision_refused", True)


def test_what_one_law_has_missed_stays_urgent(alone: Desk) -> None:
    """An extension under the second law does not make a case wait that the first has missed."""
    case = _submitted(alone, "US-CA", _now(alone) - timedelta(days=40), "--also", "DE")
    _raised(alone, case)  # and the first is missed
    before = alone.room.job(case)["urgency_at"]
    alone.ok("extend", case, "--reason", "complex", actor="anna")
    assert alone.room.job(case)["urgency_at"] == before
