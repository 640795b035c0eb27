"""`dsr status` never sends anybody to a command that cannot help."""

from __future__ import annotations

import pytest

from tests.integration.cli_desk import Desk


@pytest.mark.parametrize("code", ["cannot_rectify", "cannot_erase"])
def test_a_connector_that_cannot_is_not_to_be_retried(alone: Desk, code: str) -> None:
    """The list points to the case, whose status names what helps, and `dsr retry` nowhere."""
    alone.person = 1
    case = alone.submit("erasure")
    alone.room.settle()
    alone.room.rows(
        "UPDATE steps SET state = 'needs_human', code = %s WHERE action = 'plan' AND"
        " job_id = (SELECT id FROM jobs WHERE ref = %s) RETURNING id",
        code,
        case,
    )
    (listed,) = [job for job in alone.ok("status")["jobs"] if job["case"] == case]
    assert listed["next"] == f"dsr status {case}"
    shown = alone.run("status", case).stdout
    assert "dsr retry" not in shown
    assert f"dsr withdraw {case}" in shown
    assert f"dsr refuse {case} --ground CODE" in shown
