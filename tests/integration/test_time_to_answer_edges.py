"""The time to answer at its edges: packs that are gone, questions that cross, cases that ended."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from dsr_worker.statutes import load
from tests.integration.cli_desk import Desk


def _now(desk: Desk) -> datetime:
    (row,) = desk.room.rows("SELECT business_now() AS now")
    now: datetime = row.now
    return now


def _submitted(desk: Desk, country: str, received: datetime) -> str:
    args = ("submit", "--kind", "access", *desk.named, "--country", country)
    told = desk.ok(*args, "--attest", "trial", "--received", received.isoformat(), actor="anna")
    return str(told["case"])


def _clock(desk: Desk, case: str) -> dict[str, Any]:
    clocks = desk.ok("due")["clocks"]
    (found,) = [c for c in clocks if (c["case"], c["clock"]) == (case, "respond")]
    return dict(found)


def test_a_pack_that_is_gone_is_told_and_its_cases_go_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without today's pack a case runs by the frozen one, and `dsr replay` says so."""
    case = _submitted(desk, "DE", _now(desk))
    texts = {name: text for name, text in load._texts().items() if name != "eu-gdpr"}
    monkeypatch.setattr(load, "_texts", lambda: texts)
    (row,) = desk.ok("replay", case)["clocks"]
    assert (row["today"], row["moves"]) == (None, True)
    assert "says nothing of it any more" in desk.run("replay", case).output
    desk.ok("pause", case, "--ground", "identity", actor="anna")
    desk.ok("resume", case, "--ground", "identity", actor="anna")
    desk.ok("extend", case, "--reason", "complex", actor="anna")
    assert _clock(desk, case)["state"] == "running"
    desk.ok("status", case)


def test_a_clock_that_its_own_pack_cannot_give_any_more_is_told(desk: Desk) -> None:
    """`dsr replay` leaves out no open clock: one that is not computable has its reason."""
    case = _submitted(desk, "DE", _now(desk))
    desk.room.rows(
        "UPDATE clocks SET facts = facts || '{\"country\": \"ZZ\"}' WHERE name = 'respond'"
        " AND job_id = (SELECT id FROM jobs WHERE ref = %s) RETURNING id",
        (case,),
    )
    (row,) = desk.ok("replay", case)["clocks"]
    assert (row["frozen"], row["moves"]) == (None, False)
    assert row["why"].startswith("unknown country")
    assert desk.ok("replay")["not_computable"] == 1
    assert "not computable" in desk.run("replay").output


def test_of_two_questions_the_last_answer_starts_the_clock(desk: Desk) -> None:
    """Questions on two grounds may cross: the clock stands until both have their answer."""
    received = _now(desk) - timedelta(days=10)
    case = _submitted(desk, "GB-ENG", received)

    def turn(what: str, ground: str, option: str, day: int) -> str:
        at = (received + timedelta(days=day)).isoformat()
        desk.ok(what, case, "--ground", ground, option, at, actor="anna")
        return str(_clock(desk, case)["state"])

    assert turn("pause", "clarification", "--asked", 1) == "paused"
    assert turn("pause", "identity", "--asked", 2) == "paused"
    assert turn("resume", "clarification", "--answered", 5) == "paused"
    assert turn("resume", "identity", "--answered", 6) == "running"
    due = datetime.fromisoformat(_clock(desk, case)["due_at"])
    assert due >= received + timedelta(days=6 + 28)
    early = (received + timedelta(days=1)).isoformat()
    desk.ok("pause", case, "--ground", "fee", actor="anna")
    args = ("resume", case, "--ground", "fee", "--answered", early)
    code, message = desk.refused(*args, actor="anna", code=1)
    assert (code, "before its question" in message) == ("decision_refused", True)


def test_an_extension_while_the_clock_stands_holds_after_the_answer(desk: Desk) -> None:
    """It is told while the person is asked, counts once, and a pause after it moves the new end."""
    received = _now(desk) - timedelta(days=10)
    case = _submitted(desk, "GB-ENG", received)
    at = (received + timedelta(days=3)).isoformat()
    desk.ok("pause", case, "--ground", "clarification", "--asked", at, actor="anna")
    desk.ok("extend", case, "--reason", "complex", actor="anna")
    assert _clock(desk, case)["state"] == "paused"
    stood = _clock(desk, case)["due_at"]
    desk.ok("resume", case, "--ground", "clarification", actor="anna")
    assert _clock(desk, case)["due_at"] > stood
    again = ("extend", case, "--reason", "complex")
    assert desk.refused(*again, actor="anna", code=1)[0] == "decision_refused"


def test_a_question_put_in_time_stops_a_clock_that_was_marked_missed(desk: Desk) -> None:
    """The question stops the clock, not its record; one put too late still stops nothing."""
    received = _now(desk) - timedelta(days=100)
    case = _submitted(desk, "GB-ENG", received)
    desk.room.settle()
    assert _clock(desk, case)["state"] == "missed"
    late, in_time = ((received + timedelta(days=day)).isoformat() for day in (60, 20))
    asking = ("pause", case, "--ground", "clarification", "--asked")
    code, message = desk.refused(*asking, late, actor="anna", code=1)
    assert (code, "run out" in message) == ("decision_refused", True)
    desk.ok(*asking, in_time, actor="anna")
    assert _clock(desk, case)["state"] == "paused"
    desk.ok("extend", case, "--reason", "complex", actor="anna")
    desk.ok("resume", case, "--ground", "clarification", actor="anna")
    assert _clock(desk, case)["state"] == "running"


def test_a_case_that_has_ended_has_no_clock_to_turn(desk: Desk) -> None:
    """A refusal that was delivered is an answer: nothing is paused or extended after it."""
    case = _submitted(desk, "DE", _now(desk))
    desk.ok("pause", case, "--ground", "identity", actor="anna")
    desk.ok("refuse", case, "--ground", "ANY_UNFOUNDED", actor="anna")
    desk.ok("refuse", case, "--delivered", actor="anna")
    for turn in (
        ("pause", case, "--ground", "fee"),
        ("resume", case, "--ground", "identity"),
        ("extend", case, "--reason", "complex"),
    ):
        code, message = desk.refused(*turn, actor="anna", code=1)
        assert (code, "no clock of" in message) == ("decision_refused", True)
    assert all(row["case"] != case for row in desk.ok("replay")["clocks"])
    assert all(row["case"] != case for row in desk.ok("due")["clocks"])


def test_the_calendar_says_that_a_clock_stands(desk: Desk) -> None:
    """Whoever reads the clocks as a calendar sees which of them is paused."""
    case = _submitted(desk, "DE", _now(desk))
    desk.ok("pause", case, "--ground", "identity", actor="anna")
    lines = desk.run("due", "--ics").output.splitlines()
    (summary,) = [line for line in lines if line.startswith(f"SUMMARY:{case} respond")]
    assert "paused" in summary
