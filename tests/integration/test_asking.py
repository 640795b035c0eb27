"""Who a person is, asked: the time to answer stands by the law of the case, and only by that."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest

from dsr_worker.ledger import case_clocks
from tests.integration.cli_desk import Desk
from tests.integration.postmen import Postman, with_postman


@pytest.fixture
def postman(alone: Desk) -> Postman:
    """Takes every mail."""
    return with_postman(alone.room, Postman())


@pytest.fixture
def desk(alone: Desk, postman: Postman) -> Desk:
    """An installation of its own, whose mail is taken."""
    assert not postman.sent
    alone.person = 1
    return alone


def _asked(desk: Desk, *where: str) -> str:
    """A case whose code has left."""
    args = ("submit", "--kind", "access", *desk.named, *where)
    case = str(desk.ok(*args, actor="anna")["case"])
    desk.room.settle()
    return case


def _clocks(desk: Desk, case: str) -> dict[str, dict[str, Any]]:
    return {c["clock"]: c for c in desk.ok("due")["clocks"] if c["case"] == case}


def _due(clock: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(clock["due_at"])


def _count(desk: Desk, case: str, kind: str) -> int:
    return list(desk.room.events(case)).count(kind)


def test_under_the_gdpr_the_month_stands_from_the_code_to_the_answer(desk: Desk) -> None:
    """Art. 12(6) GDPR: stopped when the code left, anew when it was entered; alerts by neither."""
    case = _asked(desk, "--country", "DE")
    before = _clocks(desk, case)["respond"]
    assert before["state"] == "paused"
    assert (_count(desk, case, "code_sent"), _count(desk, case, "clock_paused")) == (1, 1)
    desk.room.move_clock(days=5)
    desk.ok("verify", case, "--attest", "passport", actor="anna")
    after = _clocks(desk, case)["respond"]
    assert after["state"] == "running"
    assert timedelta(days=1) <= _due(after) - _due(before) <= timedelta(days=10)
    assert after["conservative_due_at"] == before["conservative_due_at"]
    assert "identity" not in _clocks(desk, case)


def test_under_uk_law_alerts_move_too(desk: Desk) -> None:
    """Art. 12A UK GDPR was read: the month begins with the identity, for warnings as well."""
    case = _asked(desk, "--country", "GB-ENG")
    before = _clocks(desk, case)["respond"]
    desk.room.move_clock(days=5)
    desk.ok("verify", case, "--attest", "passport", actor="anna")
    after = _clocks(desk, case)["respond"]
    assert after["conservative_due_at"] > before["conservative_due_at"]


@pytest.mark.parametrize("country", ["US-CA", "US-VA"])
def test_where_verification_moves_no_date_nothing_stands(
    desk: Desk, postman: Postman, country: str
) -> None:
    """11 CCR 7021(b) and Va. Code 59.1-577: the days run whatever is asked of the person."""
    case = _asked(desk, "--country", country)
    before = _clocks(desk, case)
    assert before["respond"]["state"] == "running"
    desk.ok("verify", case, "--code", postman.sent[-1][1], actor="anna")
    assert _clocks(desk, case)["respond"]["due_at"] == before["respond"]["due_at"]
    assert not {"clock_paused", "clock_resumed"} & set(desk.room.events(case))


def test_each_of_several_laws_has_its_own_way(desk: Desk) -> None:
    """The month of the GDPR stands while the 45 days of California run."""
    clocks = _clocks(desk, _asked(desk, "--country", "DE", "--also", "US-CA"))
    assert clocks["respond"]["state"] == "paused"
    assert clocks["respond:us-ca-ccpa"]["state"] == "running"


def test_asking_twice_stops_once(desk: Desk, postman: Postman) -> None:
    """A second code, and a letter beside it, open no second pause; the answer ends the first."""
    case = _asked(desk, "--country", "DE")
    desk.ok("verify", case, "--send-code", actor="anna")
    desk.room.settle()
    desk.ok("verify", case, "--asked", actor="anna")
    assert _count(desk, case, "clock_paused") == 1
    desk.ok("verify", case, "--code", postman.sent[-1][1], actor="anna")
    assert _count(desk, case, "clock_resumed") == 1
    late = ("resume", case, "--ground", "identity")
    assert desk.refused(*late, actor="anna", code=1)[0] == "decision_refused"


def test_what_a_person_let_go_on_is_not_stopped_again(desk: Desk, postman: Postman) -> None:
    """`dsr resume` undoes what the engine did by itself; another code does not do it once more."""
    case = _asked(desk, "--country", "DE")
    desk.ok("resume", case, "--ground", "identity", actor="anna")
    desk.ok("verify", case, "--send-code", actor="anna")
    desk.room.settle()
    assert _clocks(desk, case)["respond"]["state"] == "running"
    desk.ok("verify", case, "--code", postman.sent[-1][1], actor="anna")
    assert _count(desk, case, "clock_resumed") == 1


def test_where_no_code_left_nobody_was_asked(desk: Desk) -> None:
    """Without one contact on file nothing left, so nothing stands; a letter then stops it."""
    args = ("submit", "--kind", "access", "--email", "un.known@mail.example", "--country", "DE")
    case = desk.ok(*args, actor="anna")["case"]
    desk.room.settle()
    assert set(_clocks(desk, case)) == {"respond"}
    assert _clocks(desk, case)["respond"]["state"] == "running"
    (now,) = desk.room.rows("SELECT business_now() AS at")
    early = (now.at - timedelta(days=300)).isoformat()
    assert desk.refused("verify", case, "--asked", "--at", early, actor="anna", code=1)
    desk.ok("verify", case, "--asked", actor="anna")
    assert _clocks(desk, case)["respond"]["state"] == "paused"
    (own,) = (c for c in desk.ok("status", case)["clocks"] if c["name"] == "identity")
    assert (own["law"], own["why"]) == (None, None)  # no law sets it


@pytest.mark.parametrize("country", ["DE", "US-CA"])
def test_an_unanswered_question_asks_a_person_once(desk: Desk, country: str) -> None:
    """After `verification.answer_within` the case says what can be done, under every law."""
    case = _asked(desk, "--country", country)
    desk.room.move_clock(days=15)
    for _ in range(2):
        desk.room.settle()
    told = desk.ok("status", case)
    assert told["next"] == f"dsr status {case}"
    (stop,) = told["stops"]
    assert stop["code"] == "identity_unanswered"
    assert "--send-code" in stop["remedy"]
    assert _count(desk, case, "needs_human") == 1
    listed = desk.ok("decisions", case)["decisions"]
    assert [d["rule"] for d in listed].count("identity_unanswered") == 1


def test_an_answer_after_that_time_is_taken(desk: Desk) -> None:
    """The house's time is no bar: whoever shows late who they are is answered."""
    case = _asked(desk, "--country", "DE")
    desk.room.move_clock(days=15)
    desk.room.settle()
    desk.ok("verify", case, "--asked", actor="anna")
    assert desk.ok("status", case)["phase"] == "await_code"
    desk.ok("verify", case, "--attest", "passport", actor="anna")
    assert desk.ok("status", case)["state"] != "verifying"


@pytest.mark.parametrize(
    ("country", "ground"),
    [
        ("DE", "ANY_NOT_IDENTIFIABLE"),
        ("US-CA", "CA_NOT_VERIFIED"),
        ("US-VA", "US_NOT_AUTHENTICATED"),
    ],
)
def test_who_stays_unknown_is_refused_on_a_ground_of_the_law(
    desk: Desk, country: str, ground: str
) -> None:
    """Art. 11(2), 12(2) GDPR, 11 CCR 7060, Va. Code 59.1-577(B)(4): it ends the question too."""
    case = _asked(desk, "--country", country)
    desk.room.move_clock(days=15)
    desk.room.settle()
    desk.ok("refuse", case, "--ground", ground, actor="anna")
    clocks = _clocks(desk, case)
    assert clocks["respond"]["state"] == "running"
    assert "identity" not in clocks


def test_a_withdrawn_question_leaves_no_clock(desk: Desk) -> None:
    """Who withdraws is asked nothing any more."""
    case = _asked(desk, "--country", "DE")
    desk.ok("withdraw", case, actor="anna")
    assert _clocks(desk, case) == {}


def test_the_clock_stands_with_the_word_that_the_code_left_or_not_at_all(
    desk: Desk, postman: Postman, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever breaks off between the two leaves neither; a second sending then does both once."""
    start = case_clocks.start

    def broken(*_args: Any) -> None:
        message = "the ledger breaks off"
        raise RuntimeError(message)

    monkeypatch.setattr(case_clocks, "start", broken)
    args = ("submit", "--kind", "access", *desk.named, "--country", "DE")
    case = str(desk.ok(*args, actor="anna")["case"])
    with suppress(RuntimeError):
        desk.room.settle()
    assert len(postman.sent) == 1
    assert not {"code_sent", "clock_paused"} & set(desk.room.events(case))
    assert set(_clocks(desk, case)) == {"respond"}
    assert _clocks(desk, case)["respond"]["state"] == "running"
    monkeypatch.setattr(case_clocks, "start", start)
    desk.ok("verify", case, "--send-code", actor="anna")
    desk.room.settle()
    assert (_count(desk, case, "code_sent"), _count(desk, case, "clock_paused")) == (1, 1)
    desk.ok("verify", case, "--code", postman.sent[-1][1], actor="anna")
    assert _count(desk, case, "clock_resumed") == 1
