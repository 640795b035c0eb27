"""What `dsr status` offers where a person is to be verified: what can be done then, no more."""

from __future__ import annotations

import pytest

from tests.integration.cli_desk import Desk
from tests.integration.postmen import Postman, with_postman


@pytest.fixture
def desk(alone: Desk) -> Desk:
    """An installation of its own, whose mail is taken."""
    alone.person = 1
    with_postman(alone.room, Postman())
    return alone


def _told(desk: Desk, case: str) -> tuple[str, str]:
    """The next command and what is waited for; the same in the overview."""
    told = desk.ok("status", case)
    (listed,) = desk.ok("status")["jobs"]
    found = (told["next"], told["waits_for"])
    assert (listed["next"], listed["waits_for"]) == found
    return found


def _submitted(desk: Desk, *named: str) -> str:
    args = ("submit", "--kind", "access", *named, "--country", "DE")
    case = str(desk.ok(*args, actor="anna")["case"])
    desk.room.settle()
    return case


def test_a_code_that_was_sent_is_waited_for_until_it_expires(desk: Desk) -> None:
    """While a code is good it is entered; once it is not, a new one is sent."""
    case = _submitted(desk, *desk.named)
    assert _told(desk, case)[0] == f"dsr verify {case} --code N"
    desk.room.move_clock(days=1)
    command, awaited = _told(desk, case)
    assert command == f"dsr verify {case} --send-code"
    assert "expired" in awaited
    desk.ok("verify", case, "--send-code", actor="anna")
    desk.room.settle()
    assert _told(desk, case)[0] == f"dsr verify {case} --code N"


def test_where_no_code_was_sent_none_is_asked_for(desk: Desk) -> None:
    """A person without one contact on file is verified by somebody's word."""
    case = _submitted(desk, "--email", "un.known@mail.example")
    command, awaited = _told(desk, case)
    assert command == f"dsr verify {case} --attest METHOD"
    assert "no code was sent" in awaited
    assert "--send-code" in awaited
    assert "--code N" not in desk.run("status", case).stdout
