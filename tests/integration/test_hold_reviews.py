"""The day on which somebody has to look at a hold again does not pass in silence."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from dsr_worker.ledger import warnings
from tests.integration.cli_desk import Desk

_AHEAD = 40


@pytest.fixture
def desk(alone: Desk) -> Desk:
    """An installation of its own."""
    alone.person = 2
    return alone


def today(desk: Desk) -> date:
    """The ledger's day."""
    (row,) = desk.room.rows("SELECT business_now()::date AS day")
    day: date = row.day
    return day


def place(desk: Desk) -> tuple[str, date]:
    """A hold on this test's person, to be reviewed in some weeks."""
    review = today(desk) + timedelta(days=_AHEAD)
    args = ("hold", "place", *desk.named, "--reason", "ER_LEGAL_CLAIMS", "--matter", "m-1")
    return str(desk.ok(*args, "--review", str(review), actor="anna")["hold"]), review


def raised(desk: Desk) -> list[str]:
    """The thresholds of which warnings would go out now."""
    warnings.raise_reached(desk.room.office.ledger, ["P7D"])
    return [found.threshold for found in warnings.claim(desk.room.office.ledger)]


def test_a_review_is_warned_of_before_and_after_its_day(desk: Desk) -> None:
    """The tick warns by the lead times, and overdue; status and due name it until it is done."""
    hold, review = place(desk)
    (clock,) = [c for c in desk.ok("due")["clocks"] if c["case"] == hold]
    assert (clock["clock"], clock["due_at"]) == (f"review-{review}", None)
    assert (raised(desk), desk.ok("status")["reviews"]) == ([], [])
    desk.room.move_clock(days=_AHEAD - 5)
    assert raised(desk) == ["P7D"]
    desk.room.move_clock(days=5)
    assert desk.ok("status")["reviews"] == [
        {"hold": hold, "matter": "m-1", "review_on": str(review)}
    ]
    assert f"dsr hold review {hold} --review DATE" in desk.run("status").stdout
    desk.room.move_clock(days=1)
    assert "overdue" in raised(desk)


def test_a_hold_that_was_looked_at_is_quiet_until_the_next_day(desk: Desk) -> None:
    """A review names the next day, leaves its event, and warns anew before that one."""
    hold, _ = place(desk)
    desk.room.move_clock(days=_AHEAD + 1)
    assert "overdue" in raised(desk)
    assert desk.refused("hold", "review", hold, "--review", str(today(desk)), actor="anna", code=2)
    later = today(desk) + timedelta(days=_AHEAD)
    desk.ok("hold", "review", hold, "--review", str(later), actor="berta")
    assert (desk.ok("status")["reviews"], raised(desk)) == ([], [])
    (standing,) = desk.ok("hold", "list")["holds"]
    assert standing["review_on"] == str(later)
    story = desk.ok("explain", hold)
    assert (story["verified"], story["events"][-1]["kind"]) == (True, "hold_reviewed")
    desk.room.move_clock(days=_AHEAD - 5)
    assert raised(desk) == ["P7D"]


def test_a_released_hold_asks_for_nothing(desk: Desk) -> None:
    """With the hold its clock ends."""
    hold, _ = place(desk)
    desk.ok("hold", "release", hold, actor="anna")
    assert [c for c in desk.ok("due")["clocks"] if c["case"] == hold] == []
    desk.room.move_clock(days=_AHEAD + 1)
    assert (raised(desk), desk.ok("status")["reviews"]) == ([], [])
    refused = ("hold", "review", hold, "--review", str(today(desk) + timedelta(days=9)))
    assert desk.refused(*refused, actor="anna", code=1)[0] == "decision_refused"
