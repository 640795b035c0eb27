"""Slips of the keyboard are wrong input, exit code 2, as docs/cli.md says: nothing is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.integration.cli_desk import Desk


def _in_a_day() -> str:
    return (datetime.now(UTC) + timedelta(days=1)).isoformat()


def test_a_file_that_is_not_there(desk: Desk, tmp_path: Path) -> None:
    """Whichever option names it, a missing file is told before anything is done."""
    file = str(tmp_path / "missing")
    submit = ("submit", "--kind", "rectification", *desk.named, "--country", "DE")
    leak = ("breach", "declare", "--leaked", "crm", "--aware", "2026-11-01T10:00+01:00")
    before = desk.jobs()
    for args in (
        (*submit, "--corrections", file),
        (*submit, "--corrections", str(tmp_path)),
        ("submit", "--csv", file),
        (*leak, "--texts", file),
    ):
        code, message = desk.refused(*args, actor="anna", code=2)
        assert (code, "--" in message or "missing" in message) == ("usage", True)
    assert desk.jobs() == before


def test_a_receipt_that_is_still_to_come(desk: Desk) -> None:
    """Nobody can have asked tomorrow: no case is made."""
    args = ("submit", "--kind", "access", *desk.named, "--country", "DE")
    before = desk.jobs()
    _, message = desk.refused(*args, "--received", _in_a_day(), actor="anna", code=2)
    assert "received lies in the future" in message
    assert desk.jobs() == before


@pytest.mark.parametrize("told", [False, True])
def test_a_breach_known_or_told_tomorrow(desk: Desk, *, told: bool) -> None:
    """Neither can a breach be known, nor anybody told of it, in the future."""
    declare = ("breach", "declare", "--leaked", "crm", "--market", "DE", "--aware")
    if not told:
        _, message = desk.refused(*declare, _in_a_day(), actor="anna", code=2)
    else:
        done = desk.ok(*declare, "2026-11-20T10:00+01:00", actor="anna")
        clock = done["duties"][0]["clock"]
        args = ("breach", "told", done["case"], clock, "--at", _in_a_day())
        _, message = desk.refused(*args, actor="anna", code=2)
    assert "lies in the future" in message


def test_what_a_person_did_tomorrow(desk: Desk) -> None:
    """Nobody was asked, answered, was written to or appealed at an instant still to come."""
    case = desk.submit("access")
    for args in (
        ("pause", case, "--ground", "identity", "--asked"),
        ("resume", case, "--ground", "identity", "--answered"),
        ("acknowledge", case, "--sent"),
    ):
        code, message = desk.refused(*args, _in_a_day(), actor="anna", code=2)
        assert (code, "lies in the future" in message) == ("decision_refused", True)


def test_a_country_and_a_law_that_nobody_knows(desk: Desk) -> None:
    """A name that is none is a slip; a law without such a right is the case's own obstacle."""
    case = desk.submit("access")
    for wrong in (("--country", "ZZ"), ("--law", "eu-gpdr")):
        assert desk.refused("also", case, *wrong, actor="anna", code=2)[0] == "unknown_name"
    assert desk.refused("also", case, "--country", "DE", actor="anna", code=1)


def test_nobody_is_refused_for_want_of_a_proof_that_they_gave(desk: Desk) -> None:
    """Who was verified is no unauthenticated person: the ground is not among those offered."""
    args = ("submit", "--kind", "access", *desk.named, "--country", "US-VA", "--attest", "trial")
    case = desk.ok(*args, actor="anna")["case"]
    refuse = ("refuse", case, "--ground", "US_NOT_AUTHENTICATED")
    code, message = desk.refused(*refuse, actor="anna", code=2)
    assert (code, "known: " in message) == ("unknown_name", True)
    assert "US_NOT_AUTHENTICATED" not in message.partition("known: ")[2]
