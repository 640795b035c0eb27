"""Appeals: taken in where a law gives one, decided by somebody else, met by what leaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg2
import pytest

from dsr_worker.evidence import words
from dsr_worker.ledger import appeals
from dsr_worker.letters import languages
from tests.integration.cli_desk import Desk
from tests.integration.engine_room import ORGANISATION, POLICY, EngineRoom

VIRGINIA = ("--country", "US-VA")


@pytest.fixture
def desk(alone: Desk) -> Desk:
    """An installation of its own: its clock is moved."""
    alone.person = 1
    return alone


def _now(desk: Desk) -> datetime:
    (row,) = desk.room.rows("SELECT business_now() AS now")
    now: datetime = row.now
    return now


def _submitted(desk: Desk, kind: str, *more: str) -> str:
    args = ("submit", "--kind", kind, *desk.named, "--attest", "trial", *more)
    return str(desk.ok(*args, actor="anna")["case"])


def _refused(desk: Desk, *where: str, ground: str = "US_SECURITY_FRAUD") -> str:
    """A case that Anna refused, and whose letter has left."""
    case = _submitted(desk, "erasure", *(where or VIRGINIA))
    desk.ok("refuse", case, "--ground", ground, actor="anna")
    desk.ok("refuse", case, "--delivered", actor="anna")
    return case


def _appealed(desk: Desk, case: str, *more: str) -> dict[str, Any]:
    return desk.ok("appeal", case, "--received", _now(desk).isoformat(), *more, actor="anna")


def _clocks(desk: Desk, case: str) -> dict[str, dict[str, Any]]:
    return {c["clock"]: c for c in desk.ok("due")["clocks"] if c["case"] == case}


def _ended(desk: Desk, case: str) -> dict[str, str]:
    return {c["name"]: c["state"] for c in desk.ok("status", case)["clocks"]}


def test_a_dismissed_appeal_is_answered_by_a_letter_within_its_time(desk: Desk) -> None:
    """Va. Code 59.1-577(C): 60 days from the appeal, reasons, and how to reach the authority."""
    case = _refused(desk)
    desk.room.move_clock(days=10)
    assert _appealed(desk, case)["state"] == "appealed"
    clock = _clocks(desk, case)["appeal"]
    left = datetime.fromisoformat(clock["due_at"]) - _now(desk)
    assert timedelta(days=60) <= left <= timedelta(days=61)
    assert case in desk.run("due", "--ics").stdout
    decided = ("appeal", case, "--decide", "dismissed")
    code, message = desk.refused(*decided, actor="anna", code=1)
    assert (code, "somebody else" in message) == ("actor_refused", True)
    assert desk.ok(*decided, actor="berta")["state"] == "appeal_answered"
    assert "appeal" in _clocks(desk, case)
    text = desk.ok("letter", case, "--about", "appeal_dismissed", "--language", "en")["text"]
    assert "Attorney General" in text
    assert languages()["en"]["sentence"]["appeal_how"] in text
    desk.ok("appeal", case, "--delivered", actor="anna")
    told = desk.ok("status", case)
    assert (told["state"], _ended(desk, case)["appeal"]) == ("closed", "met")
    again = ("appeal", case, "--received", _now(desk).isoformat())
    assert "authority" in desk.refused(*again, actor="anna", code=1)[1]


def test_a_granted_appeal_begins_anew_and_its_answer_meets_the_clock(
    desk: Desk, tmp_path: Path
) -> None:
    """The request is resolved by today's map, planned, approved; the certificate meets it."""
    case = _refused(desk)
    _appealed(desk, case)
    told = desk.ok("appeal", case, "--decide", "granted", actor="berta")
    assert told["state"] in {"resolving", "planning"}
    text = desk.ok("letter", case, "--about", "appeal_granted", "--language", "en")["text"]
    assert "treat your request anew" in text
    assert desk.refused("letter", case, "--about", "appeal_dismissed", code=1)
    desk.room.settle()
    assert _clocks(desk, case)["appeal"]["state"] == "running"
    desk.ok("approve", case, "--yes", actor="berta")
    desk.room.settle()
    assert desk.ok("status", case)["state"] == "ready"
    desk.ok("certificate", case, "--to", str(tmp_path / "c.json"), actor="anna")
    assert _ended(desk, case)["appeal"] == "met"
    assert json.loads((tmp_path / "c.json").read_text())


@pytest.mark.parametrize("kind", ["erasure", "rectification"])
def test_an_answer_in_part_can_be_appealed_and_carried_out_again(
    desk: Desk, tmp_path: Path, kind: str
) -> None:
    """What was answered is begun anew; a second answer takes the place of the first."""
    more: tuple[str, ...] = ()
    if kind == "rectification":
        more = ("--corrections", str(tmp_path / "given"))
        place = {"system": "crm", "collection": "customers", "field": "name", "value": "New Name"}
        (tmp_path / "given").write_text(json.dumps([place]))
    case = _submitted(desk, kind, *VIRGINIA, *more)
    for number in (1, 2):
        desk.room.settle()
        desk.ok("approve", case, "--yes", actor="berta")
        desk.room.settle()
        desk.ok("certificate", case, "--to", str(tmp_path / f"{number}.json"), actor="anna")
        if number == 1:
            _appealed(desk, case)
            assert desk.refused("appeal", case, "--decide", "granted", actor="berta", code=1)
            desk.ok("appeal", case, "--decide", "partly", actor="anna")
    assert _ended(desk, case)["appeal"] == "met"
    told = desk.ok("explain", case)
    assert told["verified"]
    bodies = [e["body"] for e in told["events"] if e["kind"] == "remedies_told"]
    days = [body["until_on"] for body in bodies if "until_on" in body]
    assert len(days) == (2 if kind == "erasure" else 0)  # what was granted whole tells of none


def test_an_access_is_appealed_and_packed_again(desk: Desk, tmp_path: Path) -> None:
    """A granted appeal finds anew, and the new package is handed over."""
    case, secret = _submitted(desk, "access", *VIRGINIA), tmp_path / "secret"
    for number in (1, 2):
        desk.room.settle()
        secret.write_text("a long secret of ours 1\n")
        to = ("--to", str(tmp_path / f"{number}.zip"), "--passphrase-file", str(secret))
        desk.ok("package", case, *to, actor="anna")
        if number == 1:
            _appealed(desk, case)
            desk.ok("appeal", case, "--decide", "granted", actor="berta")
    assert _ended(desk, case)["appeal"] == "met"


@pytest.mark.parametrize(
    ("country", "ground"),
    [("DE", "ANY_UNFOUNDED"), ("US-CA", "CA_LAW_COURT_CLAIMS"), ("GB-ENG", "ANY_UNFOUNDED")],
)
def test_where_no_law_gives_an_appeal_the_other_ways_are_told(
    desk: Desk, country: str, ground: str
) -> None:
    """GDPR Art. 77, 79, UK GDPR and CCPA lay down no appeal to the controller."""
    case = _refused(desk, "--country", country, ground=ground)
    appeal = ("appeal", case, "--received", _now(desk).isoformat())
    code, message = desk.refused(*appeal, actor="anna", code=1)
    assert code == "decision_refused"
    assert "dsr submit" in message
    assert desk.ok("status", case)["state"] == "closed"


def test_an_appeal_needs_an_answer_that_has_left(desk: Desk) -> None:
    """While the letter of refusal is owed, and before any answer, there is nothing to appeal."""
    case = _submitted(desk, "erasure", *VIRGINIA)
    appeal = ("appeal", case, "--received", _now(desk).isoformat())
    assert desk.refused(*appeal, actor="anna", code=1)[0] == "decision_refused"
    desk.ok("refuse", case, "--ground", "US_SECURITY_FRAUD", actor="anna")
    assert "--delivered" in desk.refused(*appeal, actor="anna", code=1)[1]
    desk.ok("refuse", case, "--delivered", actor="anna")
    for days, code in ((-1, 1), (1, 2)):  # before the answer, and in the future
        at = (_now(desk) + timedelta(days=days)).isoformat()
        assert desk.refused("appeal", case, "--received", at, actor="anna", code=code)


def test_a_late_appeal_is_told_and_taken_by_a_decision(desk: Desk) -> None:
    """After the house's reading of a reasonable time a person says whether it is taken."""
    case = _refused(desk)
    desk.room.move_clock(days=61)
    appeal = ("appeal", case, "--received", _now(desk).isoformat())
    assert "--late-accepted" in desk.refused(*appeal, actor="anna", code=1)[1]
    desk.ok(*appeal, "--late-accepted", actor="anna")
    (event,) = [e for e in desk.ok("explain", case)["events"] if e["kind"] == "appealed"]
    assert event["body"]["reason"] == "late"


def test_one_appeal_at_a_time_and_a_withdrawn_one_leaves_the_answer(desk: Desk) -> None:
    """Repeating it is refused; who withdraws it may come again within the time."""
    case = _refused(desk)
    _appealed(desk, case)
    again = ("appeal", case, "--received", _now(desk).isoformat())
    assert "is open" in desk.refused(*again, actor="anna", code=1)[1]
    desk.ok("appeal", case, "--withdrawn", actor="anna")
    assert desk.ok("status", case)["state"] == "closed"
    assert _clocks(desk, case) == {}
    _appealed(desk, case)
    assert set(_clocks(desk, case)) == {"appeal-2"}


def test_each_law_has_an_appeal_of_its_own(desk: Desk) -> None:
    """Colorado answers in 45 days and may extend, Virginia in 60 and may not; DE has none."""
    also = ("--country", "US-VA", "--also", "US-CO", "--also", "DE")
    case = _submitted(desk, "erasure", *also)
    grounds = ["US_SECURITY_FRAUD", "ANY_UNFOUNDED"]  # the one of the case's own law first
    if desk.ok("status", case)["law"] == "eu-gdpr":
        grounds.reverse()
    named = [part for ground in grounds for part in ("--ground", ground)]
    desk.ok("refuse", case, *named, actor="anna")
    desk.ok("refuse", case, "--delivered", actor="anna")
    _appealed(desk, case)
    clocks = _clocks(desk, case)
    days = {
        name.rpartition(":")[2]: (datetime.fromisoformat(c["due_at"]) - _now(desk)).days
        for name, c in clocks.items()
    }
    assert sorted(days.values()) == [45, 60]
    desk.ok("extend", case, "--reason", "complex", actor="anna")
    after = _clocks(desk, case)
    moved = {name for name in clocks if after[name]["due_at"] > clocks[name]["due_at"]}
    assert [name.rpartition(":")[2] for name in moved] == ["us-co"]
    desk.ok("appeal", case, "--decide", "dismissed", actor="berta")
    text = desk.ok("letter", case, "--about", "appeal_dismissed", "--language", "en")["text"]
    assert "Attorney General" in text
    assert not any(row["moves"] for row in desk.ok("replay", case)["clocks"])


def test_nobody_is_shredded_while_an_appeal_is_open(desk: Desk) -> None:
    """The key of a case stands while an appeal is open, and for its time after the letter."""
    case = _refused(desk)
    _appealed(desk, case)
    desk.room.move_clock(days=400)
    desk.ok("status")
    (row,) = desk.room.rows("SELECT shredded_at FROM jobs WHERE ref = %s", case)
    assert row.shredded_at is None
    assert _clocks(desk, case)["appeal"]["forecast"] == "overdue"
    desk.ok("appeal", case, "--decide", "granted", actor="berta")
    desk.room.settle()
    assert desk.ok("status", case)["state"] == "awaiting_approval"


def test_what_was_shredded_is_granted_by_letter_and_asked_anew(desk: Desk) -> None:
    """Where nobody is known any more, a granted appeal names the way and does not get stuck."""
    case = _refused(desk)
    desk.room.move_clock(days=200)
    desk.ok("status")
    _appealed(desk, case, "--late-accepted")
    signing = desk.signing("berta")
    told = desk.run("appeal", case, "--decide", "granted", *signing)
    assert "new request" in told.stdout
    assert desk.ok("status", case)["state"] == "appeal_answered"
    desk.ok("appeal", case, "--delivered", actor="anna")
    assert _ended(desk, case)["appeal"] == "met"


def test_who_was_never_verified_is_verified_first(desk: Desk) -> None:
    """A granted appeal is no way round verification."""
    args = ("submit", "--kind", "erasure", *desk.named, *VIRGINIA)
    case = str(desk.ok(*args, actor="anna")["case"])
    desk.ok("refuse", case, "--ground", "US_SECURITY_FRAUD", actor="anna")
    desk.ok("refuse", case, "--delivered", actor="anna")
    _appealed(desk, case)
    assert desk.ok("appeal", case, "--decide", "granted", actor="berta")["state"] == "verifying"
    desk.ok("verify", case, "--attest", "passport", actor="anna")
    desk.room.settle()
    assert desk.ok("status", case)["state"] == "awaiting_approval"


def test_the_ledger_itself_refuses_a_judge_in_their_own_cause(desk: Desk) -> None:
    """Whatever the code does, whoever answered cannot stand as who decided."""
    case = _refused(desk)
    _appealed(desk, case)
    (job,) = desk.room.rows("SELECT id FROM jobs WHERE ref = %s", case)
    with (
        pytest.raises(psycopg2.errors.CheckViolation),
        desk.room.office.ledger.transaction() as cursor,
    ):
        appeals.decide(cursor, job.id, 1, "dismissed", "anna")


def test_what_was_told_against_the_answer_is_on_record(desk: Desk) -> None:
    """A refusal that left holds its ground, the law's row, the remedies told, the last day."""
    case = _refused(desk)
    (event,) = [e for e in desk.ok("explain", case)["events"] if e["kind"] == "remedies_told"]
    body = event["body"]
    assert (body["ground"], body["row"]) == ("US_SECURITY_FRAUD", "us-va-59-1-577")
    assert "appeal" in body["remedies"]
    today = _now(desk).astimezone(ZoneInfo("America/New_York")).date()
    assert body["until_on"] == str(today + timedelta(days=60))


def test_who_refused_after_an_approval_is_who_answered(desk: Desk) -> None:
    """The last word counts: Berta approved what Anna refused, so Berta may decide and Anna not."""
    _submitted(desk, "access", *VIRGINIA)
    case = _submitted(desk, "erasure", *VIRGINIA)
    desk.room.settle()
    desk.ok("approve", case, "--yes", actor="berta")  # and it waits for the access
    both = ("--ground", "US_SECURITY_FRAUD", "--ground", "ANY_UNFOUNDED")  # its rows say DE
    desk.ok("refuse", case, *both, actor="anna")
    desk.ok("refuse", case, "--delivered", actor="anna")
    _appealed(desk, case)
    decided = ("appeal", case, "--decide", "dismissed")
    assert desk.refused(*decided, actor="anna", code=1)[0] == "actor_refused"
    desk.ok(*decided, actor="berta")


@pytest.mark.parametrize(("within", "is_kept"), [("P60D", 0), ("P1Y", 1)])
def test_identities_are_kept_as_long_as_an_appeal_may_come(
    tmp_path: Path, ledger: Callable[[], str], within: str, is_kept: int
) -> None:
    """180 days after the close, and never less than the house's time for an appeal."""
    own = f"{ORGANISATION}appeals: {{file_within: {within}}}\n"
    room = EngineRoom(tmp_path, ledger(), organisation=own, policies={"trial": POLICY})
    room.load_people(1)
    ref = room.submit("erasure", email="p.zq0000zq@mail.example")
    room.office.decisions.withdraw(ref, room.sign("anna", "withdraw", ref))
    for days, kept in ((200, bool(is_kept)), (220, False)):
        room.move_clock(days=days)
        room.settle()
        assert (room.job(ref)["data_key"] is not None) == kept


def test_an_extension_of_an_appeal_is_told_by_its_own_clock(desk: Desk) -> None:
    """Colo. Rev. Stat. 6-1-1306(3): 45 days and 60 more, the person having been told why."""
    case = _refused(desk, "--country", "US-CO")
    _appealed(desk, case)
    asked = ("letter", case, "--about", "extension", "--language", "en")
    text = desk.ok(*asked, "--reason", "complex")["text"]
    assert "6-1-1306" in text
    desk.ok("extend", case, "--reason", "complex", actor="anna")
    assert desk.ok(*asked)["text"] == text
    due = datetime.fromisoformat(_clocks(desk, case)["appeal"]["due_at"])
    last = (due.astimezone(ZoneInfo("America/Denver")) - timedelta(hours=12)).date()
    assert words("en").day(last) in text
