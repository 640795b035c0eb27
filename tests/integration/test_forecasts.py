"""Clocks that will be missed are seen before: in the list, in the case, and by one warning."""

from __future__ import annotations

from typing import Any

import pytest

from dsr_worker.ledger import pace, warnings
from dsr_worker.ledger.warnings import RaisedWarning
from dsr_worker.notify.texts import Texts
from dsr_worker.notify.warnings import contents
from tests.integration.cli_desk import Desk


@pytest.fixture
def desk(alone: Desk) -> Desk:
    """An installation of its own: steps and clock are moved."""
    alone.person = 1
    return alone


def _clock(desk: Desk, case: str) -> dict[str, Any]:
    clocks = desk.ok("due")["clocks"]
    (found,) = [c for c in clocks if (c["case"], c["clock"]) == (case, "respond")]
    return dict(found)


def _queued(desk: Desk, case: str, done: int) -> None:
    """As if a thousand steps stood before those of the case, and `done` were done in an hour."""
    desk.room.rows(
        "INSERT INTO pace (system, measured_at, ready, done_per_hour)"
        " SELECT DISTINCT s.system, now(), 1000, %s FROM steps s JOIN jobs j ON j.id = s.job_id"
        " WHERE j.ref = %s ON CONFLICT (system) DO UPDATE SET ready = 1000,"
        " measured_at = now(), done_per_hour = excluded.done_per_hour RETURNING 1",
        done,
        case,
    )


def _claimed(desk: Desk) -> RaisedWarning:
    (warning,) = warnings.claim(desk.room.office.ledger)
    return warning


def test_a_refusal_is_owed_by_letter_until_it_has_left(desk: Desk) -> None:
    """A refused case is no answered one: list and case name the letter and its day."""
    case = desk.submit("erasure")
    desk.ok("refuse", case, "--ground", "ANY_UNFOUNDED", actor="anna")
    assert _clock(desk, case)["owed"] == "refusal_letter"
    told = desk.ok("status", case)
    (owed,) = told["owed"]
    assert owed["what"] == "refusal_letter"
    assert owed["by"] == _clock(desk, case)["conservative_due_at"]
    assert "owed        refusal letter, by " in desk.run("status", case).stdout
    assert "refusal letter" in desk.run("due").stdout
    desk.ok("refuse", case, "--delivered", actor="anna")
    assert desk.ok("status", case)["owed"] == []


def test_what_only_a_person_can_do_is_a_risk_from_the_lead_time_on(desk: Desk) -> None:
    """An approval that nobody gives is told as a risk a week before the clock, not earlier."""
    case = desk.submit("erasure")
    desk.room.settle()
    assert (_clock(desk, case)["forecast"], _clock(desk, case)["owed"]) == ("open", "approval")
    desk.room.move_clock(days=26)
    assert _clock(desk, case)["forecast"] == "at_risk"
    assert "(at_risk)" in desk.run("status", case).stdout


def test_a_queue_that_ends_after_the_clock_is_foreseen_and_warned_of_once(desk: Desk) -> None:
    """At one step an hour a thousand take longer than the month; at a thousand they do not."""
    case = desk.submit("erasure")  # its first step is ready, and no worker runs
    _queued(desk, case, 1000)
    assert _clock(desk, case)["forecast"] == "open"
    _queued(desk, case, 1)
    assert _clock(desk, case)["forecast"] == "late"
    for _ in range(2):
        with desk.room.office.ledger.transaction() as cursor:
            warnings.raise_foreseen(cursor)
    (row,) = desk.room.rows("SELECT threshold, sent FROM warnings")
    assert row.threshold == "forecast"
    told = Texts({"sender": "Shop"}).render("warning", "en", contents(_claimed(desk)))
    assert told.subject.startswith("Will be missed")
    assert "dsr due" in told.body
    (standing,) = desk.ok("warnings")["warnings"]
    assert standing["threshold"] == "forecast"


def test_an_old_measure_foresees_nothing(desk: Desk) -> None:
    """A pace of this morning says nothing of now."""
    case = desk.submit("erasure")
    _queued(desk, case, 1)
    desk.room.rows("UPDATE pace SET measured_at = now() - interval '2 hours' RETURNING 1")
    assert _clock(desk, case)["forecast"] == "open"


def test_the_pace_is_what_the_last_hour_did(desk: Desk) -> None:
    """Steps that ended count, by system; what is ready is the queue; measuring repeats safely."""
    desk.submit("erasure")
    desk.room.settle()
    waiting = desk.submit("access")
    for _ in range(2):
        with desk.room.office.ledger.transaction() as cursor:
            pace.measure(cursor)
    rows = {r.system: r for r in desk.room.rows("SELECT * FROM pace")}
    steps = desk.room.rows(
        "SELECT s.system, count(*) FILTER (WHERE s.state = 'ready') AS ready,"
        " count(*) FILTER (WHERE s.state = 'done') AS done FROM steps s GROUP BY s.system"
    )
    assert desk.ok("status", waiting)["waits_for"].startswith("workers")
    for step in steps:
        assert rows[step.system].ready == step.ready
        assert rows[step.system].done_per_hour == pytest.approx(step.done * 4)
