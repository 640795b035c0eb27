"""Who sits at a terminal is asked before a case ends; nobody else is, and nothing waits."""

from __future__ import annotations

import pytest

from dsr_worker.cli import confirming
from tests.integration.cli_desk import Desk


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if somebody sat at one."""
    monkeypatch.setattr(confirming, "at_terminal", lambda: True)


def _said(desk: Desk, *args: str, answer: str | None = None) -> tuple[int, str]:
    result = desk.run(*args, *desk.signing("anna"), stdin=answer)
    return result.exit_code, result.output


def _complaint(desk: Desk) -> str:
    args = ("submit", "--kind", "complaint", "--topic", "refund", "--dispute", "--country", "DE")
    return str(desk.ok(*args, *desk.named, actor="anna")["case"])


@pytest.mark.usefixtures("terminal")
def test_a_no_ends_nothing_and_a_yes_ends_it(desk: Desk) -> None:
    """The clocks that would end are shown; whoever says no finds the case as it was."""
    case = desk.submit("access")
    state = desk.ok("status", case)["state"]
    code, text = _said(desk, "withdraw", case, answer="n\n")
    assert (code, "the clock respond (act by " in text) == (1, True)
    assert desk.ok("status", case)["state"] == state
    assert _said(desk, "withdraw", case, answer="y\n")[0] == 0
    assert desk.ok("status", case)["state"] == "withdrawn"


@pytest.mark.usefixtures("terminal")
def test_the_hold_that_ends_with_a_complaint_is_shown(desk: Desk) -> None:
    """What a dispute held goes when it ends: whoever ends it reads that first."""
    complaint = _complaint(desk)
    hold = desk.ok("complaint", "show", complaint)["hold"]
    code, text = _said(desk, "complaint", "withdraw", complaint, answer="n\n")
    assert (code, f"the hold {hold}: what it kept goes 14 days later" in text) == (1, True)
    assert desk.ok("complaint", "show", complaint)["hold_stands"]
    assert _said(desk, "complaint", "withdraw", complaint, "--yes")[0] == 0
    assert "released" in desk.run("complaint", "show", complaint).stdout


@pytest.mark.usefixtures("terminal")
def test_letters_that_left_are_asked_for(desk: Desk) -> None:
    """A refusal and the outcome of a complaint end with a letter, so that is what is asked."""
    case = desk.submit("access")
    desk.ok("refuse", case, "--ground", "ANY_UNFOUNDED", actor="anna")
    assert "letter of refusal left?" in _said(desk, "refuse", case, "--delivered", answer="n\n")[1]
    assert desk.ok("status", case)["state"] == "refused"
    complaint = _complaint(desk)
    for step in (("investigate",), ("resolve", "--outcome", "upheld")):
        desk.ok("complaint", step[0], complaint, *step[1:], actor="anna")
    assert "outcome left?" in _said(desk, "complaint", "deliver", complaint, answer="n\n")[1]
    assert desk.ok("complaint", "show", complaint)["state"] == "resolved"


@pytest.mark.usefixtures("terminal")
def test_nobody_is_asked_about_what_cannot_be(desk: Desk) -> None:
    """A refusal that nobody wrote and a complaint without an outcome are refused at once."""
    case, complaint = desk.submit("access"), _complaint(desk)
    for args in (("refuse", case, "--delivered"), ("complaint", "deliver", complaint)):
        code, text = _said(desk, *args, answer="y\n")
        assert (code, "left?" in text) == (1, False)


def test_a_script_is_asked_nothing(desk: Desk) -> None:
    """Without a terminal, what has happened is recorded at once."""
    case = desk.submit("access")
    assert _said(desk, "withdraw", case)[0] == 0
    assert desk.ok("status", case)["state"] == "withdrawn"


def test_an_acknowledgement_that_was_passed_over_is_owed(desk: Desk) -> None:
    """Who investigates at once still owes it: show names its command beside the next one."""
    complaint = _complaint(desk)
    assert desk.ok("complaint", "show", complaint)["owed"] is None  # it is what comes next
    desk.ok("complaint", "investigate", complaint, actor="anna")
    owed = desk.ok("complaint", "show", complaint)["owed"]
    assert owed == f"dsr complaint acknowledge {complaint} --delivered"
    assert owed in desk.run("complaint", "show", complaint).stdout
    desk.ok("complaint", "acknowledge", complaint, "--delivered", actor="anna")
    assert desk.ok("complaint", "show", complaint)["owed"] is None
