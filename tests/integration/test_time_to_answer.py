"""The time to answer a case: stopped, let go on, extended by the law of its first day."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from dsr_worker.statutes import load, pack_text_and_hash
from tests.integration.cli_desk import Desk


def _clock(desk: Desk, case: str) -> dict[str, Any]:
    clocks = desk.ok("due")["clocks"]
    (found,) = [c for c in clocks if (c["case"], c["clock"]) == (case, "respond")]
    return dict(found)


def _now(desk: Desk) -> datetime:
    (row,) = desk.room.rows("SELECT business_now() AS now")
    now: datetime = row.now
    return now


def test_a_pause_that_nobody_verified_moves_the_statute_and_no_alert(desk: Desk) -> None:
    """Under the GDPR a question about identity restarts the month; alerts go by the first date."""
    received = _now(desk) - timedelta(days=10)
    case = desk.submit("access", "--received", received.isoformat())
    before = _clock(desk, case)
    asked, answered = received + timedelta(days=1), received + timedelta(days=8)
    desk.ok("pause", case, "--ground", "identity", "--asked", asked.isoformat(), actor="anna")
    assert _clock(desk, case)["state"] == "paused"
    desk.ok(
        *("resume", case, "--ground", "identity", "--answered", answered.isoformat()), actor="anna"
    )
    after = _clock(desk, case)
    assert after["state"] == "running"
    moved = datetime.fromisoformat(after["due_at"]) - datetime.fromisoformat(before["due_at"])
    assert timedelta(days=4) <= moved <= timedelta(days=13)  # eight days, and what a roll adds
    assert after["conservative_due_at"] == before["conservative_due_at"]
    assert {"clock_paused", "clock_resumed"} <= set(desk.room.events(case))


def test_a_law_that_stops_no_clock_refuses(desk: Desk) -> None:
    """In California verification never moves the date."""
    args = ("submit", "--kind", "access", *desk.named, "--country", "US-CA", "--attest", "trial")
    case = desk.ok(*args, actor="anna")["case"]
    before = _clock(desk, case)
    code, message = desk.refused("pause", case, "--ground", "identity", actor="anna", code=1)
    assert (code, "does not stop the clock" in message) == ("decision_refused", True)
    assert _clock(desk, case)["due_at"] == before["due_at"]


def test_only_what_is_open_goes_on(desk: Desk) -> None:
    """An answer without a question, a second question, and the future are refused."""
    case = desk.submit("access")
    rest = ("--ground", "clarification")
    assert desk.refused("resume", case, *rest, actor="anna", code=1)[0] == "decision_refused"
    desk.ok("pause", case, *rest, actor="anna")
    assert desk.refused("pause", case, *rest, actor="anna", code=1)[0] == "decision_refused"
    later = (_now(desk) + timedelta(days=1)).isoformat()
    late = ("resume", case, *rest, "--answered", later)
    assert desk.refused(*late, actor="anna", code=2)[0] == "decision_refused"
    assert desk.refused("pause", case, "--ground", "mood", actor="anna", code=2)[0] == "usage"


def test_an_extension_counts_from_the_original_start(desk: Desk) -> None:
    """Three months from receipt at once, never two months after the first date."""
    received = _now(desk)
    case = desk.submit("access", "--received", received.isoformat())
    desk.ok("extend", case, "--reason", "complex", actor="anna")
    due = datetime.fromisoformat(_clock(desk, case)["conservative_due_at"])
    assert timedelta(days=89) <= due - received <= timedelta(days=93)


def test_alerts_stand_still_where_the_law_surely_stops_the_clock(alone: Desk) -> None:
    """A pause that was read in the law silences warnings; one that is only believed does not."""
    received = _now(alone).isoformat()
    cases = {}
    for country in ("GB-ENG", "DE"):
        args = ("submit", "--kind", "access", *alone.named, "--country", country)
        more = ("--attest", "trial", "--received", received)
        case = alone.ok(*args, *more, actor="anna")["case"]
        alone.ok("pause", case, "--ground", "clarification", actor="anna")
        cases[case] = country
    alone.ok("clock", "advance", "P27D")
    alone.ok("status")  # ticks
    warned = alone.room.rows(
        "SELECT DISTINCT j.ref FROM warnings w JOIN clocks c ON c.id = w.clock_id"
        " JOIN jobs j ON j.id = c.job_id WHERE j.ref = ANY(%s)",
        list(cases),
    )
    assert {cases[row.ref] for row in warned} == {"DE"}


def test_a_case_is_judged_by_the_pack_of_its_first_day(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A changed pack moves nothing and is told: the open clocks that it would move."""
    case = desk.submit("access")
    before = _clock(desk, case)
    assert not _replay(desk, case)["moves"]
    text, _ = pack_text_and_hash("eu-gdpr")
    longer = text.replace("period: {amount: 1, unit: months}", "period: {amount: 2, unit: months}")
    assert longer != text
    texts = {**load._texts(), "eu-gdpr": ("eu/gdpr.yaml", longer)}
    monkeypatch.setattr(load, "_texts", lambda: texts)
    moved = _replay(desk, case)
    assert moved["moves"]
    assert moved["today"]["due_on"] > moved["frozen"]["due_on"]
    after = _clock(desk, case)
    assert (after["due_at"], after["conservative_due_at"]) == (
        before["due_at"],
        before["conservative_due_at"],
    )
    desk.ok("pause", case, "--ground", "fee", actor="anna")
    assert _clock(desk, case)["conservative_due_at"] == before["conservative_due_at"]


def test_a_person_of_two_countries_stands_under_both_laws(desk: Desk) -> None:
    """The clocks of both laws run; the strictest is told first, and each turns by its own law."""
    args = ("submit", "--kind", "access", *desk.named, "--country", "US-CA", "--also", "DE")
    told = desk.ok(*args, "--attest", "trial", actor="anna")
    assert [clock["law"] for clock in told["clocks"]] == ["eu-gdpr", "us-ca-ccpa", "us-ca-ccpa"]
    case = told["case"]
    before = _by_name(desk, case)
    assert set(before) == {"respond", "respond:us-ca-ccpa", "acknowledge:us-ca-ccpa"}
    result = desk.run("pause", case, "--ground", "identity", *desk.signing("anna"))
    assert "respond:us-ca-ccpa stays as it is" in result.stdout
    paused = {name: clock["state"] for name, clock in _by_name(desk, case).items()}
    assert (paused["respond"], paused["respond:us-ca-ccpa"]) == ("paused", "running")
    desk.ok("extend", case, "--reason", "complex", actor="anna")
    after = _by_name(desk, case)
    for name in ("respond", "respond:us-ca-ccpa"):
        assert after[name]["due_at"] > before[name]["due_at"]
    replayed = desk.ok("replay", case)["clocks"]
    assert {row["law"] for row in replayed} == {"eu-gdpr", "us-ca-ccpa"}


def test_two_countries_of_one_law_are_one_clock(desk: Desk) -> None:
    """Of two places under one law the stricter counts, and nothing is owed twice."""
    args = ("submit", "--kind", "access", *desk.named, "--country", "DE", "--also", "FR")
    told = desk.ok(*args, "--attest", "trial", actor="anna")
    assert [clock["law"] for clock in told["clocks"]] == ["eu-gdpr"]


def _by_name(desk: Desk, case: str) -> dict[str, dict[str, Any]]:
    return {c["clock"]: c for c in desk.ok("due")["clocks"] if c["case"] == case}


def _replay(desk: Desk, case: str) -> dict[str, Any]:
    (found,) = desk.ok("replay", case)["clocks"]
    return dict(found)
