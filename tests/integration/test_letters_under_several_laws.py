"""One letter for all laws of a case: nothing that one of them asks for is left to stderr."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from dsr_worker.evidence import words
from dsr_worker.letters import languages
from tests.integration.cli_desk import Desk

SAID = languages()["en"]["sentence"]
THREE = ("--country", "US-VA", "--also", "US-CO", "--also", "DE")
GROUNDS = ("--ground", "ANY_UNFOUNDED", "--ground", "US_NOT_AUTHENTICATED")
KNOWN = {
    words("en").say("law", "eu-gdpr"): ["ANY_UNFOUNDED"],
    words("en").say("law", "us-va"): ["ANY_UNFOUNDED", "US_NOT_AUTHENTICATED"],
    words("en").say("law", "us-co"): ["US_NOT_AUTHENTICATED"],
}
"""Which of the stated grounds each law knows."""


@pytest.fixture
def desk(alone: Desk) -> Desk:
    """An installation of its own: its clock is moved."""
    alone.person = 1
    return alone


def _now(desk: Desk) -> datetime:
    (row,) = desk.room.rows("SELECT business_now() AS now")
    now: datetime = row.now
    return now


def _case(desk: Desk, kind: str = "erasure", *more: str) -> str:
    where = more or THREE
    args = ("submit", "--kind", kind, *desk.named, "--attest", "trial", *where)
    return str(desk.ok(*args, actor="anna")["case"])


def _letter(desk: Desk, case: str, about: str, *more: str) -> dict[str, Any]:
    return desk.ok("letter", case, "--about", about, "--language", "en", *more)


def _days(desk: Desk, case: str, kind: str) -> dict[str, str]:
    """Each clock of a case by its name, as a letter writes its day."""
    clocks = [c for c in desk.ok("due")["clocks"] if c["case"] == case]
    return {
        c["clock"]: words("en").day(_last_day(c)) for c in clocks if c["clock"].startswith(kind)
    }


def _last_day(clock: dict[str, Any]) -> Any:
    at = datetime.fromisoformat(clock["due_at"]).astimezone(ZoneInfo(clock["zone"]))
    return (at - timedelta(hours=1)).date()


def test_a_refusal_gives_each_law_its_ground_and_its_remedies(desk: Desk) -> None:
    """Virginia knows both grounds that were stated, the others one each: each section its own."""
    case = _case(desk)
    desk.ok("refuse", case, *GROUNDS, actor="anna")
    told = _letter(desk, case, "refusal")
    assert set(told["laws"]) == {"us-va", "us-co", "eu-gdpr"}
    text, heading = told["text"], SAID["under_one"].partition("{")[0]
    sections = [part.partition("\n")[::2] for part in text.split(heading)[1:]]
    assert len(sections) == 3
    for name, part in sections:
        told_on = [g for g in GROUNDS[1::2] if words("en").say("ground", g) in part]
        assert told_on == KNOWN[name.rstrip()], name
    for authority in ("BfDI", "Virginia Attorney General", "Colorado Attorney General"):
        assert text.count(authority) == 1
    assert text.count(SAID["judicial_remedy"]) == 1
    assert any("us-co" in note for note in told["notes"])


def test_what_was_told_is_on_record_law_by_law(desk: Desk) -> None:
    """Each law with its own grounds, remedies and last day for an appeal where it gives one."""
    case = _case(desk)
    desk.ok("refuse", case, *GROUNDS, actor="anna")
    desk.ok("refuse", case, "--delivered", actor="anna")
    events = [e["body"] for e in desk.ok("explain", case)["events"] if e["kind"] == "remedies_told"]
    told = {body["regime"]: body for body in events}
    assert len(events) == len(told) == 3
    assert {law: body["ground"] for law, body in told.items()} == {
        "eu-gdpr": "ANY_UNFOUNDED",
        "us-va": "ANY_UNFOUNDED",
        "us-co": "US_NOT_AUTHENTICATED",
    }
    assert [law for law in told if "grounds" in told[law]] == ["us-va"]
    assert told["us-va"]["grounds"] == ["any_unfounded", "us_not_authenticated"]
    for law, zone in (("us-va", "America/New_York"), ("us-co", "America/Denver")):
        until = _now(desk).astimezone(ZoneInfo(zone)).date() + timedelta(days=60)
        assert told[law]["until_on"] == str(until)
        assert "appeal" in told[law]["remedies"]
    assert "until_on" not in told["eu-gdpr"]
    assert "judicial_remedy" in told["eu-gdpr"]["remedies"]


def test_an_acknowledgement_names_the_day_of_each_law(desk: Desk) -> None:
    """Three laws, three lines; the promise is the soonest of them."""
    case = _case(desk)
    text = _letter(desk, case, "acknowledgement")["text"]
    days = _days(desk, case, "respond")
    assert len(days) == 3
    for day in days.values():
        assert day in text
    soonest = min(
        (c for c in desk.ok("due")["clocks"] if c["case"] == case), key=lambda c: c["due_at"]
    )
    assert SAID["answer_by"].format(due_on=words("en").day(_last_day(soonest))) in text


def test_an_extension_tells_each_law_its_old_and_new_day_before_and_after(desk: Desk) -> None:
    """The letter tells what `dsr extend` does to each clock, and the same once it is recorded."""
    case = _case(desk)
    before = _days(desk, case, "respond")
    text = _letter(desk, case, "extension", "--reason", "complex")["text"]
    desk.ok("extend", case, "--reason", "complex", actor="anna")
    assert _letter(desk, case, "extension")["text"] == text
    after = _days(desk, case, "respond")
    for clock, day in before.items():
        assert after[clock] != day
        assert day in text
        assert after[clock] in text


def test_an_extension_says_of_a_law_that_knows_none_that_its_time_stays(desk: Desk) -> None:
    """What `dsr extend` leaves as it is stands in the letter as such, not in its silence."""
    case = _case(desk, "access", "--country", "DE", "--also", "AR")
    before = _days(desk, case, "respond")
    text = _letter(desk, case, "extension", "--reason", "complex")["text"]
    told = desk.ok("extend", case, "--reason", "complex", actor="anna")
    after = _days(desk, case, "respond")
    stays = [clock for clock, day in before.items() if after[clock] == day]
    assert len(stays) == 1, told
    assert SAID["not_extended"].format(due_on=before[stays[0]]) in text


def test_an_appeal_is_acknowledged_extended_and_dismissed_by_every_law_that_gives_it(
    desk: Desk, tmp_path: Path
) -> None:
    """Virginia and Colorado give one, the GDPR does not: its letters go by the two."""
    case = _case(desk)
    desk.ok("refuse", case, *GROUNDS, actor="anna")
    assert desk.refused("letter", case, "--about", "appeal_acknowledgement", code=1)
    desk.ok("refuse", case, "--delivered", actor="anna")
    desk.room.move_clock(days=3)
    desk.ok("appeal", case, "--received", _now(desk).isoformat(), actor="anna")
    file = tmp_path / "letter.txt"
    told = _letter(desk, case, "appeal_acknowledgement", "--to", str(file))
    assert set(told["laws"]) == {"us-va", "us-co"}
    days = _days(desk, case, "appeal")
    assert len(days) == 2
    for day in days.values():
        assert day in told["text"]
    extended = _letter(desk, case, "extension", "--reason", "complex")["text"]
    desk.ok("extend", case, "--reason", "complex", actor="anna")  # Colorado does, Virginia not
    moved = _days(desk, case, "appeal")
    (longer,) = [clock for clock, day in days.items() if moved[clock] != day]
    assert moved[longer] in extended
    (same,) = [clock for clock in days if clock != longer]
    assert SAID["not_extended"].format(due_on=days[same]) in extended
    desk.ok("appeal", case, "--decide", "dismissed", actor="berta")
    assert desk.refused("letter", case, "--about", "appeal_acknowledgement", code=1)
    text = _letter(desk, case, "appeal_dismissed")["text"]
    for authority in ("Virginia Attorney General", "Colorado Attorney General"):
        assert text.count(authority) == 1
    assert "BfDI" not in text
    assert text.count(SAID["appeal_how"]) == 1


def test_a_ground_of_a_refusal_that_an_appeal_overturned_is_told_no_more(
    desk: Desk, tmp_path: Path
) -> None:
    """What was begun anew is refused no longer, whatever stood before."""
    case = _case(desk, "erasure", "--country", "US-VA")
    desk.ok("refuse", case, "--ground", "US_NOT_AUTHENTICATED", actor="anna")
    desk.ok("refuse", case, "--delivered", actor="anna")
    desk.ok("appeal", case, "--received", _now(desk).isoformat(), actor="anna")
    desk.ok("appeal", case, "--decide", "granted", actor="berta")
    desk.room.settle()
    desk.ok("approve", case, "--yes", actor="berta")
    desk.room.settle()
    desk.ok("certificate", case, "--to", str(tmp_path / "c.json"), actor="anna")
    code, message = desk.refused("letter", case, "--about", "refusal", code=1)
    assert (code, "is not refused" in message) == ("letter_refused", True)


@pytest.mark.parametrize("language", ["de", "fr", "es"])
def test_a_partial_answer_speaks_the_persons_language_throughout(desk: Desk, language: str) -> None:
    """Grounds of connectors, of retention rules and of laws: none is told in English."""
    case = _case(desk, "erasure", "--country", "DE", "--also", "GB-ENG")
    desk.room.settle()
    desk.ok("approve", case, "--yes", actor="berta")
    desk.room.settle()
    told = desk.ok("letter", case, "--about", "partial", "--language", language)
    assert told["in_english"] == []
    grounds = {o["ground"] for o in desk.ok("status", case)["outcomes"] if o["ground"]}
    listed = [line for line in told["text"].splitlines() if line.startswith("- ")]
    assert len(listed) == len(grounds) > 0
    for ground in grounds:
        assert ground not in told["text"]
