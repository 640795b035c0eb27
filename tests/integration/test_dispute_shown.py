"""What people see of a dispute: who stops their erasure, what is not held, and no text of it."""

from __future__ import annotations

import json
import logging
import random
import threading
from pathlib import Path
from typing import Any

import pytest

from dsr_worker.fulfil.housekeeping import shred_closed
from dsr_worker.ledger import warnings
from tests.integration.cli_desk import Desk


@pytest.fixture
def desk(alone: Desk) -> Desk:
    """An installation of its own: clocks are moved."""
    alone.person = 2
    return alone


def _disputed(desk: Desk, *more: str) -> dict[str, Any]:
    args = ("submit", "--kind", "complaint", "--topic", "refund", "--dispute", "--country", "DE")
    return desk.ok(*args, *desk.named, *more, actor="anna")


def test_an_erasure_names_the_complaint_that_stops_it(desk: Desk) -> None:
    """Plan, approval and status tell the hold, its complaint, what is proved, the way out."""
    complaint = _disputed(desk)
    case = desk.submit("erasure")
    desk.room.settle()
    for command in ("plan", "status"):
        (hold,) = desk.ok(command, case)["holds"]
        assert (hold["hold"], hold["complaint"]) == (complaint["hold"], complaint["case"])
        assert hold["unproved"]
        text = desk.run(command, case).stdout
        assert "proved no identity" in text
        assert f"dsr hold release {complaint['hold']}" in text
    desk.ok("hold", "release", complaint["hold"], actor="berta")
    assert desk.ok("status", case)["holds"] == []
    shown = desk.ok("complaint", "show", complaint["case"])
    assert (shown["hold"], shown["hold_stands"]) == (complaint["hold"], False)


def test_a_hold_of_somebody_proved_or_of_a_matter_is_told_as_such(desk: Desk) -> None:
    """Who was attested is no stranger; a hold that people placed names its own matter."""
    _disputed(desk, "--attest", "passport")
    place = ("hold", "place", *desk.named, "--reason", "ER_LEGAL_CLAIMS", "--matter", "m-1")
    desk.ok(*place, "--review", "2090-01-01", actor="anna")
    case, access = desk.submit("erasure"), desk.submit("access")
    assert [h["complaint"] for h in desk.ok("status", case)["holds"]][1] is None
    assert not any(hold["unproved"] for hold in desk.ok("status", case)["holds"])
    assert desk.ok("status", access)["holds"] == []


def test_a_referral_after_a_release_says_that_nothing_is_held(desk: Desk) -> None:
    """What a person released stays so; whoever refers it is told, with the way to hold again."""
    complaint = _disputed(desk)
    ref = complaint["case"]
    desk.ok("hold", "release", complaint["hold"], actor="berta")
    desk.ok("complaint", "investigate", ref, actor="anna")
    (told,) = desk.ok("complaint", "refer", ref, "--to", "body", actor="anna")["details"]
    assert complaint["hold"] in told
    assert "dsr hold place" in told


def test_what_was_decided_before_an_investigation_was_taken_up_again_is_not_told(
    desk: Desk,
) -> None:
    """An outcome that no letter told is void when the complaint goes on: no letter holds it."""
    ref = _disputed(desk)["case"]
    desk.ok("complaint", "investigate", ref, actor="anna")
    desk.ok("complaint", "resolve", ref, "--outcome", "upheld", actor="anna")
    desk.ok("complaint", "investigate", ref, actor="anna")
    assert desk.ok("complaint", "show", ref)["outcome"] is None
    letter = ("complaint", "letter", ref, "--about", "outcome")
    assert desk.refused(*letter, code=1)[0] == "letter_refused"
    desk.ok("complaint", "resolve", ref, "--outcome", "not_upheld", actor="anna")
    assert desk.ok("complaint", "show", ref)["outcome"] == "not_upheld"


def test_a_repeated_complaint_tells_the_days_of_the_first(desk: Desk) -> None:
    """Sent again days later under its key, it promises nothing later than it did."""
    key = ("--idempotency-key", "web-1")
    first = _disputed(desk, *key)
    desk.room.move_clock(days=5)
    again = _disputed(desk, *key)
    assert again["repeated"]
    assert [c["conservative_due_at"] for c in again["clocks"]] == [
        c["conservative_due_at"] for c in first["clocks"]
    ]


def test_a_case_whose_appeal_comes_while_it_is_being_shredded_keeps_its_key(desk: Desk) -> None:
    """Whoever waits for the lock asks again under it."""
    room, more = desk.room, ("--attest", "trial", "--country", "US-VA")
    args = ("submit", "--kind", "erasure", *desk.named, *more)
    case = str(desk.ok(*args, actor="anna")["case"])
    desk.ok("refuse", case, "--ground", "US_NOT_AUTHENTICATED", actor="anna")
    desk.ok("refuse", case, "--delivered", actor="anna")
    room.move_clock(days=200)
    shredding = threading.Thread(target=shred_closed(room.office.ledger))
    with room.office.ledger.transaction() as cursor:
        cursor.execute(
            "UPDATE jobs SET closed_at = NULL, state = 'appealed' WHERE ref = %s", (case,)
        )
        shredding.start()
        while shredding.is_alive() and not room.rows("SELECT 1 FROM pg_locks WHERE NOT granted"):
            pass
    shredding.join(60)
    assert room.job(case)["shredded_at"] is None
    assert room.job(case)["data_key"] is not None


def test_where_a_sweep_would_not_know_the_person_is_told(desk: Desk) -> None:
    """Documents go by a customer number: a dispute by an address says that sweeps miss them."""
    assert _disputed(desk)["not_found_in"] == ["files.documents"]
    assert _disputed(desk, "--customer-number", "2")["not_found_in"] == []
    place = ("hold", "place", *desk.named, "--reason", "ER_LEGAL_CLAIMS", "--matter", "m-1")
    placed = desk.ok(*place, "--review", "2090-01-01", actor="anna")
    assert placed["not_found_in"] == ["files.documents"]


def test_a_dispute_stops_no_restriction_and_a_restriction_every_erasure(desk: Desk) -> None:
    """No hold is told where it stands in nobody's way; the erasure names the way out: lifting."""
    _disputed(desk)
    case = desk.submit("restriction")
    desk.room.settle()
    desk.ok("approve", case, "--yes", actor="berta")
    desk.room.settle()
    assert desk.ok("status", case)["holds"] == []
    text = desk.run("status", desk.submit("erasure")).stdout
    assert f"dsr lift {case}" in text


_STEPS = (
    ("acknowledge", "--delivered"),
    ("investigate",),
    ("escalate", "--to", "board"),
    ("refer", "--to", "body"),
    ("resolve", "--outcome", "upheld"),
    ("deliver",),
    ("note", "--text", "-"),
    ("letter", "--about", "outcome"),
    ("show", "--notes"),
    ("withdraw",),
)
_UNSIGNED = frozenset({"letter", "show"})


@pytest.mark.parametrize("seed", range(2))
def test_no_order_of_commands_leaves_a_hold_behind_or_breaks_a_complaint(
    desk: Desk, seed: int
) -> None:
    """Refused or done, never a fault; one hold until it ended, one rest clock while at work."""
    chance = random.Random(seed)
    ref = _disputed(desk)["case"]
    for _ in range(40):
        verb, *more = chance.choice(_STEPS[: None if chance.random() < 0.1 else -1])
        signing = () if verb in _UNSIGNED else desk.signing(chance.choice(("anna", "berta")))
        said = "It came late." if verb == "note" else None
        result = desk.run("complaint", verb, ref, *more, *signing, "--json", stdin=said)
        assert result.exit_code in {0, 1}, result.output
        assert '"unexpected"' not in result.output
        if chance.random() < 0.2:
            desk.room.move_clock(days=chance.choice((1, 10, 30)))
            warnings.mark_missed(desk.room.office.ledger)
        shown = desk.ok("complaint", "show", ref)
        state = shown["state"]
        standing = [hold for hold in desk.ok("hold", "list")["holds"] if hold["matter"] == ref]
        assert len(standing) == (state not in {"closed", "withdrawn"})
        rests = [c for c in shown["clocks"] if c["name"].startswith("rest-")]
        running = [clock for clock in rests if clock["state"] == "running"]
        assert len(running) == (state in {"investigating", "escalated"})
        assert (shown["outcome"] is not None) == (state in {"resolved", "closed"}) or (
            state == "withdrawn"
        )
    assert desk.ok("explain", ref)["verified"]


_SAID = "Quirrel"


def test_what_people_write_about_a_complaint_is_nowhere_in_the_clear(
    desk: Desk, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in what refusals print, in logs at any level, or in any table of the ledger."""
    caplog.set_level(logging.DEBUG)
    good, bad = tmp_path / "good.txt", tmp_path / "bad.txt"
    good.write_text(f"{_SAID} hung up")
    bad.write_bytes(f"{_SAID} \xff".encode("latin-1"))
    rows = tmp_path / "rows.csv"
    rows.write_text(
        "kind,email,country,topic,dispute,text,about\n"
        f"complaint,{_SAID}@mail.example,DE,order,yes,{_SAID} said,\n"
        f"complaint,{_SAID},DE,{_SAID},{_SAID},{_SAID},{_SAID}\n"
    )
    asked = ("submit", "--kind", "complaint", "--country", "DE", "--topic", "order", "--dispute")
    named = (*asked, "--email", f"{_SAID}@mail.example")
    signing = desk.signing("anna")
    taken = desk.run(*named, "--text", str(good), *signing, "--json")
    ref = json.loads(taken.stdout)["case"]
    printed = [taken.output, desk.run("submit", "--csv", str(rows), *signing).output]
    options = ("about", "channel", "attest", "idempotency-key", "law", "zone", "language")
    printed += [
        desk.run(*named, f"--{option}", f"{_SAID} says", *signing).output for option in options
    ]
    both = (*asked, "--identities", "-", "--text", "-", *signing)
    stated = ({_SAID: _SAID}, {"identities": {_SAID: _SAID}, "text": [_SAID]})
    printed += [desk.run(*both, stdin=json.dumps(said)).output for said in stated]
    decisions = (("note", ref, "--text", str(bad)), ("escalate", ref, "--to", f"{_SAID} us"))
    printed += [desk.run("complaint", *decision, *signing).output for decision in decisions]
    desk.ok("complaint", "note", ref, "--text", str(good), actor="anna")
    printed += [desk.run(*look).output for look in (("due",), ("status", ref), ("explain", ref))]
    desk.room.move_clock(days=40)
    desk.room.tick()
    seen = [repr(printed), repr([record.__dict__ for record in caplog.records])]
    tables = desk.room.rows(
        "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public'"
    )
    seen += [
        repr(desk.room.rows(f"SELECT t::text FROM {table.name} t"))  # noqa: S608 - our own names
        for table in tables
    ]
    for text in map(str.lower, seen):
        assert _SAID.lower() not in text
        assert _SAID.encode().hex() not in text
