"""Holds, promises, due dates and warnings, as the command line tells them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.integration.cli_desk import Desk


def test_a_hold_on_a_place_that_is_not_mapped_is_refused(desk: Desk) -> None:
    """A misspelt place would hold nothing, so it is refused with what there is."""
    rest = ("--reason", "ER_LEGAL_CLAIMS", "--matter", "m-1", "--review", "2027-06-30")
    for scope in (
        ("--dataset", "crn"),
        ("--dataset", "crm.invoice"),
        ("--rows", "crm.invoices.numbr=1"),
        ("--rows", "crm.invoices=1"),
        ("--rows", "crm.invoices.id=1", "--rows", "crm.carts.id=1"),
        ("--rows", "crm.invoices.id=1", *desk.named),
        (),
    ):
        assert desk.refused("hold", "place", *scope, *rest, actor="anna", code=2)[0] == "usage"
    prose = ("--dataset", "crm", "--reason", "they sue us", *rest[2:])
    assert desk.refused("hold", "place", *prose, actor="anna", code=2)[0] == "usage"


def test_holds_are_placed_listed_and_released(desk: Desk) -> None:
    """A hold on a person keeps their data in the plan; released, it is on the list no more."""
    rest = ("--reason", "ER_LEGAL_CLAIMS", "--matter", "m-1", "--review", "2027-06-30")
    ref = desk.ok("hold", "place", *desk.named, *rest, actor="anna")["hold"]
    rows = ("--rows", "crm.invoices.id=38-new", "--rows", "crm.invoices.id=39-new")
    desk.ok("hold", "place", *rows, *rest, actor="anna")
    assert {h["scope"] for h in desk.ok("hold", "list")["holds"]} == {"subject", "rows"}
    case = desk.submit("erasure")
    desk.room.settle()
    assert {o["outcome"] for o in desk.ok("plan", case)["outcomes"]} == {"retained"}
    desk.ok("hold", "release", ref, actor="berta")
    assert [h["scope"] for h in desk.ok("hold", "list")["holds"]] == ["rows"]
    assert desk.refused("hold", "release", ref, actor="berta", code=1)[0] == "decision_refused"


def test_a_release_names_the_day_on_which_what_was_held_goes_on(desk: Desk, tmp_path: Path) -> None:
    """What an erasure left under a hold is told with its day: at release, in both lists."""
    rest = ("--reason", "ER_LEGAL_CLAIMS", "--matter", "m-9", "--review", "2027-06-30")
    hold = desk.ok("hold", "place", *desk.named, *rest, actor="anna")["hold"]
    case = desk.submit("erasure")
    desk.room.settle()
    desk.ok("approve", case, "--yes", actor="berta")
    desk.room.settle()
    desk.ok("certificate", case, "--to", str(tmp_path / "c.json"), actor="anna")
    waiting = _promises(desk, case)
    rows = sum(promise["rows"] for promise in waiting)
    assert {promise["due_on"] for promise in waiting} == {None}
    assert rows > 0
    assert "once the hold on them is released" in _line(desk, f"{case} promised", "due")
    assert hold not in {row["hold"] for row in desk.ok("hold", "list")["released"]}
    (now,) = desk.room.rows("SELECT business_now()::date + 14 AS goes_on")
    day = now.goes_on.isoformat()
    done = desk.ok("hold", "release", hold, actor="berta")
    assert (done["due_on"], done["cases"], done["rows"]) == (day, [case], rows)
    assert {(p["due_on"], p["last_due_on"]) for p in _promises(desk, case)} == {(day, day)}
    assert f"on {day}" in _line(desk, f"{case} promised", "due")
    assert day in _line(desk, case, "hold", "list")
    listed = {row["hold"]: row["due_on"] for row in desk.ok("hold", "list")["released"]}
    assert listed[hold] == day


def _promises(desk: Desk, case: str) -> list[dict[str, Any]]:
    return [p for p in desk.ok("due")["promises"] if p["case"] == case]


def _line(desk: Desk, start: str, *args: str) -> str:
    return next(line for line in desk.run(*args).stdout.splitlines() if start in line)


def test_a_release_that_frees_nothing_says_so(desk: Desk) -> None:
    """Without an erasure that waited, a release names no day."""
    rest = ("--reason", "ER_LEGAL_CLAIMS", "--matter", "m-8", "--review", "2027-06-30")
    hold = desk.ok("hold", "place", *desk.named, *rest, actor="anna")["hold"]
    done = desk.run("hold", "release", hold, *desk.signing("berta"))
    assert "no promised erasure goes on by that" in done.stdout
    assert hold not in desk.run("hold", "list").stdout


def test_a_promise_is_listed_with_the_day_its_minimum_ends(desk: Desk) -> None:
    """What a statute keeps for now stands below the clocks, with case, day and rows."""
    case = desk.submit("erasure")
    desk.room.settle()
    desk.ok("approve", case, "--yes", actor="berta")
    desk.room.settle()
    (promise,) = _promises(desk, case)
    rows = desk.room.rows("SELECT due_on, row_count FROM promises ORDER BY id DESC LIMIT 1")
    assert (promise["due_on"], promise["rows"]) == (rows[0].due_on.isoformat(), rows[0].row_count)
    assert promise["due_on"] in _line(desk, f"{case} promised", "due")


def test_open_clocks_are_listed_soonest_first(desk: Desk) -> None:
    """`due` lists every open clock by the instant that alerts go by, and as a calendar."""
    now = datetime.now(UTC)
    later = desk.submit("access", "--received", (now - timedelta(days=1)).isoformat())
    sooner = desk.submit("erasure", "--received", (now - timedelta(days=20)).isoformat())
    everything = desk.ok("due")["clocks"]
    clocks = [c for c in everything if c["case"] in {sooner, later}]
    assert [c["case"] for c in clocks] == [sooner, later]
    assert all(c["zone"] == "Europe/Berlin" and c["citation"] for c in clocks)
    assert clocks[0]["remaining_s"] < clocks[1]["remaining_s"]
    calendar = desk.run("due", "--ics").stdout
    assert calendar.count("BEGIN:VEVENT") == len(everything)
    assert sooner in desk.run("due").stdout


def test_a_command_ticks_and_warnings_are_acknowledged(desk: Desk) -> None:
    """With no worker ticking, any command raises the warnings that are due; a person ends them."""
    received = (datetime.now(UTC) - timedelta(days=29)).isoformat()
    ref = desk.submit("access", "--received", received)
    desk.ok("status")
    standing = [w for w in desk.ok("warnings")["warnings"] if w["ref"] == ref]
    done = desk.ok("warnings", "ack", str(standing[0]["id"]), actor="berta")
    assert done["acknowledged"] == 1
    desk.ok("warnings", "ack", ref, actor="berta")
    assert ref not in {w["ref"] for w in desk.ok("warnings")["warnings"]}
    assert desk.refused("warnings", "ack", "999999", actor="berta", code=4)[0] == "not_found"


def test_nobody_at_work_is_said_loudly(alone: Desk) -> None:
    """Open work without a living worker is told by every command: a line, or in its JSON."""
    with alone.room.office.ledger.transaction() as cursor:
        cursor.execute("UPDATE workers SET seen_at = now() - interval '2 minutes'")
    assert "notes" not in alone.ok("status")
    alone.submit("access")
    said = alone.run("status", "--json")
    assert said.stderr == ""
    told = json.loads(said.stdout)
    assert told["jobs"]
    assert "NO WORKER IS RUNNING" in told["notes"][0]
    failed = alone.run("plan", "C-2026-999999", "--json")
    assert failed.stdout == ""
    assert "NO WORKER IS RUNNING" in json.loads(failed.stderr)["notes"][0]
    assert "NO WORKER IS RUNNING" in alone.run("status").stderr


def test_the_clock_of_a_trial_moves(alone: Desk) -> None:
    """A trial's business clock moves by a calendar period; a wrong period is refused."""
    now = alone.ok("clock", "advance", "P8Y")["now"]
    assert datetime.fromisoformat(now) > datetime.now(UTC) + timedelta(days=8 * 365)
    assert alone.refused("clock", "advance", "8 years", code=2)[0] == "usage"
    with alone.room.office.ledger.transaction() as cursor:
        cursor.execute("UPDATE instance SET clock_offset = '0', trial = false")
    assert alone.refused("clock", "advance", "P1D", code=1)[0] == "no_trial"


def test_a_declared_law_tells_when_its_duty_comes_again(desk: Desk) -> None:
    """`dsr due` names the next day of what a law of a sector asks for again and again."""
    assert desk.ok("due")["recurring"] == []
    file = desk.room.settings.config_dir / "organisation.yaml"
    before = file.read_text("utf-8")
    file.write_text(f"{before}\ndeclared: [us-ca-drop]\n", "utf-8")
    try:
        (again,) = desk.ok("due")["recurring"]
        assert (again["law"], again["every"]) == ("us-ca-drop", "45 calendar_days")
        first = datetime(2026, 8, 1, tzinfo=UTC).date()
        assert (datetime.fromisoformat(again["due_on"]).date() - first).days % 45 == 0
        assert f"us-ca-drop by {again['due_on']}" in desk.run("due").stdout
        assert "us-ca-drop every 45 calendar_days" in desk.run("due", "--ics").stdout
    finally:
        file.write_text(before, "utf-8")
