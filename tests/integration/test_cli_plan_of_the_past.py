"""`dsr plan` of a case that has ended is not read as what happened."""

from __future__ import annotations

from tests.integration.cli_desk import Desk


def test_a_plan_that_was_carried_out_points_to_what_was_done(desk: Desk) -> None:
    """Before the work nothing is said of what was done; afterwards the command that tells it."""
    case = desk.submit("erasure")
    desk.room.settle()
    pointer = f"what was done: `dsr status {case}`"
    assert pointer not in desk.run("plan", case).stdout
    desk.ok("approve", case, "--yes", actor="berta")
    desk.room.settle()
    assert pointer in desk.run("plan", case).stdout
    told = desk.ok("status", case)
    assert told["outcomes"]


def test_a_withdrawn_case_points_there_too(desk: Desk) -> None:
    """A plan that never happened is no account of what did."""
    case = desk.submit("erasure")
    desk.room.settle()
    desk.ok("withdraw", case, actor="anna")
    assert "what was done" in desk.run("plan", case).stdout
