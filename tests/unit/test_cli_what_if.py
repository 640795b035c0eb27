"""The what-if of `dsr due`: complaints, and how sure each obligation of a breach is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from dsr_worker.cli import dsr
from dsr_worker.statutes import load_pack

COMPLAINT = ("due", "--law", "uk-gdpr", "--right", "complaint", "--received")


def run(*args: str) -> Any:
    """Call `dsr` with --json; what it printed."""
    result = CliRunner().invoke(dsr, [*args, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(*args: str) -> str:
    """Call `dsr` with --json, expecting a fault of the input; the message."""
    result = CliRunner().invoke(dsr, [*args, "--json"])
    assert result.exit_code == 2, result.output
    message: str = json.loads(result.stderr)["error"]["message"]
    return message


@pytest.mark.parametrize("right", ["complaint", "complaints"])
def test_a_complaint_is_asked_for_like_a_right(right: str) -> None:
    """DPA 2018 s.164A: thirty days for the acknowledgement, rolled; no number for the outcome."""
    said = run(*COMPLAINT[:3], "--right", right, "--received", "2026-11-27T10:00+00:00")
    request = run(
        "due", "--law", "uk-gdpr", "--right", "access", *COMPLAINT[5:], said["received_at"]
    )
    assert said.keys() == request.keys()
    assert (said["acknowledge_by"], said["conservative_acknowledge_by"]) == (
        "2026-12-29",
        "2026-12-26",
    )
    assert (said["due_on"], said["conservative_due_on"]) == (None, "2027-02-27")
    assert (said["extended_due_on"], said["appeal_due_on"]) == (None, None)
    assert "s.164A" in said["citation"]
    assert said["verified"] is True
    assert said["calendar_version"].startswith("holidays ")


def test_a_complaint_under_a_law_that_is_not_verified_says_so() -> None:
    """India's ninety days are believed and carry no other mark."""
    said = run(
        *("due", "--country", "IN", "--right", "complaint"),
        *("--received", "2027-06-01T10:00+05:30"),
    )
    assert (said["due_on"], said["verified"], said["standing"]) == ("2027-08-30", False, "no")


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        ((*COMPLAINT, "2026-06-18T10:00+01:00"), "before 2026-06-19"),
        (
            ("due", "--country", "DE", *COMPLAINT[3:], "2026-11-02T10:00+01:00"),
            "your own timetable",
        ),
        (
            ("due", "--law", "uk-gdpr", "--right", "complain", "--received", "2026-11-02T10:00Z"),
            "did you mean complaint?",
        ),
        (
            (*COMPLAINT, "2026-11-02T10:00Z", "--appealed", "2026-11-03T10:00Z"),
            "--appealed is for a refusal",
        ),
    ],
)
def test_a_complaint_without_a_date_says_why(args: tuple[str, ...], hint: str) -> None:
    """Before its day, under a law without one, misspelt or appealed: what holds instead."""
    assert hint in refused(*args)


@pytest.mark.parametrize("law", ["eu-gdpr", "us-or", "us-hipaa", "jp-appi"])
def test_each_obligation_says_how_sure_it_is(law: str) -> None:
    """The less sure one of duty and deadline speaks for both, with the day of its check."""
    said = run("due", "--law", law, "--breach", "--aware", "2026-03-27T17:20+01:00")
    rows = {row.id: row for row in load_pack(law).breach}
    assert said["obligations"]
    for found in said["obligations"]:
        row = rows[found["row"]]
        both = {row.standing: row.checked_on, row.clock.standing: row.clock.checked_on}
        assert found["standing"] == min(both, key=lambda one: one.sureness)
        assert found["verified"] is (found["standing"] != "no")
        assert found["checked_on"] in {on.isoformat() for on in both.values()}
        assert found["calendar_version"] == said["calendar_version"]


def test_a_duty_that_no_row_has_claims_no_source() -> None:
    """Before India's law is in force the duty is the house's own and has no standing."""
    said = run("due", "--country", "IN", "--breach", "--aware", "2026-12-01T10:00+05:30")
    (found,) = [one for one in said["obligations"] if one["row"] == "law-not-in-force"]
    assert (found["standing"], found["checked_on"], found["verified"]) == (None, None, False)


def test_the_day_to_act_by_is_told_of_an_acknowledgement_too() -> None:
    """Whoever reads the text alone is told the day that warnings go by."""
    result = CliRunner().invoke(dsr, [*COMPLAINT, "2026-11-27T10:00+00:00"])
    assert "acknowledge by   2026-12-29, act by 2026-12-26" in result.output
