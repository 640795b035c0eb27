"""Complaints on a real ledger: clocks, the hold of a dispute, what closes one and what does not."""

from __future__ import annotations

import json
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from dsr_worker.contract import Identity
from dsr_worker.domain.complaint import Topic
from dsr_worker.domain.identity import claimed
from dsr_worker.fulfil.complaints import Filed, Filing
from dsr_worker.fulfil.complaints.desk import NOTE
from dsr_worker.fulfil.complaints.filing import SUBMIT
from dsr_worker.fulfil.decided import DecisionRefused
from dsr_worker.fulfil.housekeeping import SHRED_AFTER
from dsr_worker.fulfil.intake import RequestRefused
from dsr_worker.ledger import holds, instances, warnings
from dsr_worker.people import digest_of
from tests.integration.cli_desk import Desk
from tests.integration.engine_room import EngineRoom
from tests.integration.sweep_room import Make

TOLD = "The lamp came broken, and Quirrel of the hotline hung up."


@pytest.fixture
def desk(alone: Desk) -> Desk:
    """An installation of its own: clocks are moved."""
    alone.person = 2
    return alone


def filed(desk: Desk, *more: str, topic: str = "refund", country: str = "DE") -> dict[str, Any]:
    """A complaint of this test's person."""
    args = ("submit", "--kind", "complaint", "--topic", topic, *desk.named, "--country", country)
    return desk.ok(*args, *more, actor="anna")


def test_a_referral_to_a_body_that_nobody_named_is_refused(desk: Desk) -> None:
    """Nothing is recorded as being before a body that the house does not know."""
    ref = str(filed(desk, country="FR")["case"])
    moved(desk, "investigate", ref)
    _, message = desk.refused("complaint", "refer", ref, "--to", "body", actor="anna", code=1)
    assert "refer_to" in message
    assert clocks(desk, ref)["refer"] == "running"
    assert moved(desk, "refer", ref, "--to", "authority") == "referred"


def moved(desk: Desk, verb: str, ref: str, *more: str) -> str:
    """A decision; the state it led to."""
    return str(desk.ok("complaint", verb, ref, *more, actor="anna")["state"])


def clocks(desk: Desk, ref: str) -> dict[str, str]:
    """The state of each clock of a complaint."""
    return {c["name"]: c["state"] for c in desk.ok("status", ref)["clocks"]}


def standing(desk: Desk) -> list[str]:
    """The matters of the holds that stand."""
    return [hold["matter"] for hold in desk.ok("hold", "list")["holds"]]


def look(desk: Desk) -> None:
    """What every tick does about clocks."""
    warnings.mark_missed(desk.room.office.ledger)
    warnings.raise_reached(desk.room.office.ledger, ["P1D"])


def test_a_complaint_goes_from_receipt_to_its_letter_in_time(desk: Desk, tmp_path: Path) -> None:
    """Each letter that leaves meets its clocks; only the outcome's closes, and the hold ends."""
    said = tmp_path / "what.txt"
    said.write_text(TOLD)
    complaint = filed(desk, "--dispute", "--text", str(said))
    ref = complaint["case"]
    assert ref.startswith("K-")
    assert standing(desk) == [ref]
    assert clocks(desk, ref) == dict.fromkeys(("acknowledge", "refer", "resolve"), "running")
    assert {c["clock"] for c in desk.ok("due")["clocks"]} >= {"acknowledge", "resolve", "refer"}
    desk.room.move_clock(days=2)
    assert moved(desk, "acknowledge", ref, "--delivered") == "acknowledged"
    assert clocks(desk, ref)["acknowledge"] == "met"
    assert moved(desk, "investigate", ref) == "investigating"
    desk.ok("complaint", "note", ref, "--text", str(said), actor="anna")
    assert moved(desk, "escalate", ref, "--to", "board") == "escalated"
    assert moved(desk, "refer", ref, "--to", "body") == "referred"
    assert standing(desk) == [ref]
    assert moved(desk, "resolve", ref, "--outcome", "partly_upheld") == "resolved"
    assert clocks(desk, ref)["resolve"] == "running"
    assert standing(desk) == [ref]
    assert desk.ok("status", ref)["next"] == f"dsr complaint deliver {ref}"
    assert moved(desk, "deliver", ref) == "closed"
    assert set(clocks(desk, ref).values()) == {"met"}
    assert standing(desk) == []
    story = desk.run("explain", ref).stdout
    assert "a complaint about refund came in" in story
    assert "the chain holds" in story


def test_a_missing_letter_keeps_a_complaint_open_and_its_clocks_are_missed(desk: Desk) -> None:
    """Nothing but delivery meets a clock: what is late is missed, told, and stays owed."""
    ref = filed(desk)["case"]
    moved(desk, "investigate", ref)
    desk.room.move_clock(days=4)
    look(desk)
    assert clocks(desk, ref)["acknowledge"] == "missed"
    moved(desk, "resolve", ref, "--outcome", "upheld")
    desk.room.move_clock(days=70)
    look(desk)
    found = {c["clock"]: c for c in desk.ok("due")["clocks"] if c["case"] == ref}
    assert set(found) == {"acknowledge", "resolve", "refer"}
    assert {c["forecast"] for c in found.values()} == {"overdue"}
    assert desk.ok("status", ref)["closed_at"] is None
    assert moved(desk, "deliver", ref) == "closed"
    ended = clocks(desk, ref)
    assert (ended["acknowledge"], ended["resolve"], ended["refer"]) == ("missed", "missed", "met")
    assert not [c for c in desk.ok("due")["clocks"] if c["case"] == ref]


def test_an_investigation_that_rests_is_warned_of_until_somebody_goes_on(
    desk: Desk, tmp_path: Path
) -> None:
    """Each note lets the time of rest begin anew; where nobody writes, the house is warned."""
    said = tmp_path / "found.txt"
    said.write_text(TOLD)
    ref = filed(desk)["case"]
    moved(desk, "investigate", ref)
    desk.room.move_clock(days=5)
    desk.ok("complaint", "note", ref, "--text", str(said), actor="anna")
    assert (clocks(desk, ref)["rest-1"], clocks(desk, ref)["rest-2"]) == ("met", "running")
    desk.room.move_clock(days=9)
    look(desk)
    (rest,) = [c for c in desk.ok("due")["clocks"] if c["clock"] == "rest-2"]
    assert (rest["due_at"], rest["forecast"]) == (None, "overdue")
    raised = desk.room.rows(
        "SELECT w.threshold FROM warnings w JOIN clocks c ON c.id = w.clock_id"
        " WHERE c.name = 'rest-2'"
    )
    assert "overdue" in {row.threshold for row in raised}


@pytest.mark.parametrize(
    ("received", "due_on"), [("2026-11-02", "2026-12-02"), ("2026-11-27", "2026-12-29")]
)
def test_the_law_of_the_united_kingdom_asks_for_an_acknowledgement(
    desk: Desk, received: str, due_on: str
) -> None:
    """DPA 2018 s. 164A: thirty days, off Sunday and bank holiday; the house's runs beside."""
    (row,) = desk.room.rows("SELECT business_now() AS now")
    days = (datetime.fromisoformat("2026-11-28T00:00+00:00") - row.now).days + 1
    if days > 0:
        desk.room.move_clock(days=days)
    options = ("--received", f"{received}T12:00+00:00")
    filed_ = filed(desk, *options, topic="data_handling", country="GB-ENG")
    stored = desk.room.rows(
        "SELECT c.name, c.due_on FROM clocks c JOIN jobs j ON j.id = c.job_id WHERE j.ref = %s",
        filed_["case"],
    )
    found = {clock.name: clock.due_on for clock in stored}
    assert str(found["acknowledge:uk-gdpr"]) == due_on
    assert found["respond:uk-gdpr"] is None  # without undue delay: no number
    assert {"acknowledge", "resolve", "refer"} <= set(found)
    moved(desk, "acknowledge", filed_["case"], "--delivered")
    ended = clocks(desk, filed_["case"])
    assert ended["acknowledge:uk-gdpr"] in {"met", "missed"}
    assert ended["respond:uk-gdpr"] == "running"


def test_a_parcel_that_came_late_runs_by_no_data_protection_law(desk: Desk) -> None:
    """The law speaks of personal data; of an order the house's timetable alone counts."""
    found = filed(desk, topic="delivery", country="GB-ENG")["clocks"]
    assert {clock["law"] for clock in found} == {None}


# ---- the hold


def mail(number: int) -> Identity:
    """The address of a person of the room."""
    return claimed("email", f"p.zq{number:04x}zq@mail.example")


def dispute(room: EngineRoom, *people: Identity, key: str | None = None, **more: Any) -> Filed:
    """A dispute of somebody, taken in."""
    given: dict[str, Any] = {"topic": Topic.ORDER, "dispute": True, **more}
    filing = Filing(
        identities=people,
        received_at=instances.now(room.office.ledger),
        channel="mail",
        country="DE",
        idempotency_key=key,
        **given,
    )
    return room.office.filings.submit(filing, room.sign("anna", SUBMIT, "new", filing.digest()))


def decide(room: EngineRoom, verb: str, ref: str, **more: str) -> str:
    """A decision on a complaint; the state it led to."""
    signed = room.sign("anna", verb, ref, digest_of(verb, ref, **more))
    decided = getattr(room.office.complaint_desk, verb)(ref, *more.values(), signed)
    return str(decided.state)


def erasure(room: EngineRoom, number: int) -> str:
    """An erasure of a person, approved and not begun."""
    ref = room.submit("erasure", email=mail(number).value)
    room.settle()
    room.approve(ref)
    return ref


def test_a_dispute_wins_against_an_erasure_that_is_under_way(room: EngineRoom) -> None:
    """What was approved stops at the hold; the answer names the ground, others lose nothing."""
    ref, other = (room.submit("erasure", email=mail(n).value) for n in (3, 4))
    room.settle()
    room.approve(ref)
    room.approve(other)
    before = room.system("crm").dump()
    dispute(room, mail(3))
    room.settle()
    assert {outcome for _, _, outcome in room.outcomes(ref)} == {"retained"}
    assert room.job(other)["state"] == "ready"
    after = room.system("crm").dump()
    kept = {k: v for k, v in before["customers"].items() if b"zq0003zq" in v}
    assert kept
    assert kept.items() <= after["customers"].items()
    assert b"zq0004zq" not in repr(after["customers"]).encode()
    grounds = room.rows(
        "SELECT DISTINCT ground FROM receipts r JOIN jobs j ON j.id = r.job_id WHERE j.ref = %s",
        ref,
    )
    assert "ER_LEGAL_CLAIMS" in {row.ground for row in grounds}


def test_a_dispute_waits_for_the_effect_that_is_being_committed(room: EngineRoom) -> None:
    """While a store is changed, a dispute is neither accepted nor held; then both, at once."""
    done = threading.Event()

    def take_in() -> None:
        dispute(room, mail(3))
        done.set()

    thread = threading.Thread(target=take_in)
    with room.office.ledger.transaction() as cursor:
        holds.share_lock(cursor, "crm")
        thread.start()
        while thread.is_alive() and not room.rows("SELECT 1 FROM pg_locks WHERE NOT granted"):
            pass
        assert not done.is_set()
        assert not room.rows("SELECT 1 FROM jobs WHERE kind IN ('complaint', 'hold')")
    assert done.wait(60)
    thread.join(60)
    assert len(room.rows("SELECT 1 FROM jobs WHERE kind IN ('complaint', 'hold')")) == 2


def test_a_dispute_without_its_hold_is_not_taken_in(
    room: EngineRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever dies while the hold is placed takes the complaint along: there is no half of it."""

    def dies(*_args: Any) -> None:
        raise RuntimeError("killed")

    for step in (room.office.holding.stand, room.office.holding.take_rules_out):
        with monkeypatch.context() as patch:
            patch.setattr(room.office.holding, step.__name__, dies)
            with pytest.raises(RuntimeError, match="killed"):
                dispute(room, mail(3), key="the-same")
        for table in ("jobs", "holds", "clocks", "notes", "identities"):
            assert not room.rows(f"SELECT 1 FROM {table}")  # noqa: S608 - fixed names
    assert not dispute(room, mail(3), key="the-same").repeated


def test_a_repeated_dispute_is_the_same_and_holds_once(room: EngineRoom) -> None:
    """A key gives the same complaint and the same hold; saying something else is refused."""
    first = dispute(room, mail(3), key="the-same", text=TOLD)
    again = dispute(room, mail(3), key="the-same", text=TOLD)
    assert (again.ref, again.hold, again.repeated) == (first.ref, first.hold, True)
    assert len(room.rows("SELECT 1 FROM holds")) == 1
    with pytest.raises(RequestRefused, match="another request"):
        dispute(room, mail(4), key="the-same", text=TOLD)


def test_the_hold_of_one_dispute_ends_with_it_and_no_other_does(room: EngineRoom) -> None:
    """Two disputes of one person hold apart; a withdrawal frees what nobody else holds."""
    one, two = dispute(room, mail(3)), dispute(room, mail(3))
    own = room.hold_person(mail(3))
    assert decide(room, "withdraw", one.ref) == "withdrawn"
    open_ = {row.ref for row in room.rows("SELECT ref FROM holds WHERE released_at IS NULL")}
    assert open_ == {two.hold, own}
    assert room.job(str(one.hold))["state"] == "released"
    states = room.rows(
        "SELECT DISTINCT c.state FROM clocks c JOIN jobs j ON j.id = c.job_id WHERE j.ref = %s",
        one.ref,
    )
    assert [row.state for row in states] == ["void"]
    with pytest.raises(DecisionRefused, match="possible: none"):
        decide(room, "withdraw", one.ref)


def test_what_a_dispute_kept_is_promised_once_it_is_over(room: EngineRoom) -> None:
    """An erasure asked during a dispute names the hold; when the letter left, it has a day."""
    filed_ = dispute(room, mail(3))
    ref = erasure(room, 3)
    room.settle()
    (promise,) = room.rows("SELECT DISTINCT due_on FROM promises WHERE due_on IS NULL")
    assert promise.due_on is None, room.outcomes(ref)
    decide(room, "investigate", filed_.ref)
    decide(room, "resolve", filed_.ref, outcome="settled")
    assert room.rows("SELECT 1 FROM promises WHERE due_on IS NULL")
    decide(room, "deliver", filed_.ref)
    assert not room.rows("SELECT 1 FROM promises WHERE due_on IS NULL")


def test_a_referral_holds_what_nobody_had_contested_before(room: EngineRoom) -> None:
    """Before a body outside the house something is in dispute; twice referred holds once."""
    filed_ = dispute(room, mail(3), dispute=False)
    assert filed_.hold is None
    decide(room, "investigate", filed_.ref)
    decide(room, "refer", filed_.ref, to="body")
    decide(room, "resolve", filed_.ref, outcome="not_upheld")
    decide(room, "refer", filed_.ref, to="authority")
    (hold,) = room.rows("SELECT ref, matter FROM holds WHERE released_at IS NULL")
    assert hold.matter == filed_.ref
    assert room.job(filed_.ref)["facts"]["hold"] == hold.ref


def test_a_hold_that_a_person_released_stays_released(room: EngineRoom) -> None:
    """The way from the automatic hold to a human works, and closing after it is no fault."""
    filed_ = dispute(room, mail(3))
    hold = str(filed_.hold)
    room.office.holding.release(hold, room.sign("berta", "release-hold", hold))
    decide(room, "investigate", filed_.ref)
    decide(room, "refer", filed_.ref, to="body")
    assert not room.rows("SELECT 1 FROM holds WHERE released_at IS NULL")
    decide(room, "resolve", filed_.ref, outcome="upheld")
    assert decide(room, "deliver", filed_.ref) == "closed"


def test_a_dispute_keeps_rows_from_a_sweep(make: Make) -> None:
    """A sweep that is approved already leaves what is the person's, and takes the others'."""
    room = make()
    room.load_people(3)
    room.carts(3)
    ref = room.start()
    dispute(room, Identity("customer_number", "1"))
    room.approve_sweep(ref)
    assert room.job(ref)["state"] == "closed", room.steps(ref)
    assert "old-1" in room.left()
    assert not {"old-0", "old-2"} & room.left()


# ---- what is kept, and how it is asked


def test_nothing_of_a_person_stands_in_the_clear_and_all_of_it_goes(room: EngineRoom) -> None:
    """Notes and identities are sealed, events hold codes, and the key ends all of it in time."""
    filed_ = dispute(room, mail(3), text=TOLD)
    signed = room.sign("anna", NOTE, filed_.ref, digest_of(NOTE, filed_.ref, text=TOLD))
    room.office.complaint_desk.note(filed_.ref, TOLD, signed)
    assert [n.text for n in room.office.complaint_desk.notes(filed_.ref)] == [TOLD, TOLD]
    for table in ("jobs", "events", "notes", "identities", "clocks", "holds"):
        stored = repr(room.rows(f"SELECT t::text FROM {table} t")).lower()  # noqa: S608 - fixed
        for word in ("quirrel", "zq0003zq", TOLD.encode().hex()):
            assert word not in stored, table
    decide(room, "withdraw", filed_.ref)
    room.move_clock(days=SHRED_AFTER.days + 1)
    room.tick()
    assert room.job(filed_.ref)["data_key"] is None
    assert [n.text for n in room.office.complaint_desk.notes(filed_.ref)] == [None, None]
    sealed = room.rows("SELECT 1 FROM identities WHERE sealed IS NOT NULL")
    assert not sealed


def test_identities_and_text_may_come_together_from_stdin(desk: Desk) -> None:
    """Whoever sends JSON to the script submits a complaint as well; the text is a sealed note."""
    said = json.dumps({"identities": {"email": desk.named[1]}, "text": TOLD})
    args = ("submit", "--kind", "complaint", "--topic", "order", "--country", "DE")
    taken = desk.ok(*args, "--identities", "-", "--text", "-", actor="anna", stdin=said)
    (note,) = desk.ok("complaint", "show", taken["case"], "--notes")["notes"]
    assert note["text"] == TOLD
    assert "text" not in desk.ok("complaint", "show", taken["case"])["notes"][0]


def test_a_file_of_requests_may_hold_complaints(desk: Desk, tmp_path: Path) -> None:
    """A row of kind complaint is taken in beside others; a bad one says what it lacks."""
    address = desk.named[1]
    file = tmp_path / "r.csv"
    file.write_text(
        "kind,email,country,topic,dispute,text,attest\n"
        f"access,{address},DE,,,,trial\n"
        f"complaint,{address},DE,order,yes,It came late.,\n"
        f"complaint,{address},DE,weather,no,,\n"
        f"complaint,{address},DE,order,perhaps,,\n"
    )
    result = desk.run("submit", "--csv", str(file), *desk.signing("anna"), "--json")
    rows = json.loads(result.stdout)["rows"]
    assert [row["status"] for row in rows] == ["accepted", "accepted", "refused", "refused"]
    assert rows[1]["case"].startswith("K-")
    assert rows[1]["hold"]
    assert "data_handling" in rows[2]["message"]
    assert "yes or no" in rows[3]["message"]


BAD: list[tuple[tuple[str, ...], int, str]] = [
    (("--topic", "weather"), 2, "data_handling"),
    ((), 2, "--topic"),
    (("--topic", "order", "--verify", "code"), 2, "--attest"),
    (("--topic", "order", "--about", "C-2020-999999"), 1, "no case"),
    (("--topic", "order", "--text", "/no/such/file"), 2, "--text"),
    (("--topic", "order", "--received", "2999-01-01T10:00+01:00"), 2, ""),
    (("--topic", "order", "--language", "German"), 2, "--language"),
    (("--topic", "order", "--also", "XX"), 2, "unknown country"),
]


@pytest.mark.parametrize(("args", "code", "says"), BAD)
def test_a_bad_complaint_is_refused_and_leaves_nothing(
    desk: Desk, args: tuple[str, ...], code: int, says: str
) -> None:
    """Every mistake is told with its remedy; no job, clock or hold is left of it."""
    whole = ("submit", "--kind", "complaint", *desk.named, "--country", "DE", *args)
    _, message = desk.refused(*whole, code=code, actor="anna")
    assert says in message
    assert desk.jobs() == 0
    assert not desk.room.rows("SELECT 1 FROM holds")


def test_options_of_a_complaint_belong_to_a_complaint(desk: Desk) -> None:
    """A topic or a dispute beside another kind is a slip, and told before anything is taken in."""
    args = ("submit", "--kind", "access", *desk.named, "--country", "DE", "--dispute")
    assert "--kind complaint" in desk.refused(*args, code=2, actor="anna")[1]


def test_a_complaint_is_about_a_case_and_its_letters_say_where_else_to_turn(desk: Desk) -> None:
    """The earlier case is named; body and authority of the person's country stand in the letter."""
    case = desk.submit("access")
    ref = filed(desk, "--about", case, "--language", "de", topic="data_handling")["case"]
    assert desk.ok("complaint", "show", ref)["about"] == case
    letter = desk.ok("complaint", "letter", ref, "--about", "acknowledgement")
    assert (letter["language"], ref in letter["text"], desk.mark in letter["text"]) == (
        "de",
        True,
        False,
    )
    outcome = ("complaint", "letter", ref, "--about", "outcome")
    assert desk.refused(*outcome, code=1)[0] == "letter_refused"
    moved(desk, "investigate", ref)
    moved(desk, "resolve", ref, "--outcome", "upheld")
    text = desk.ok(*outcome)["text"]
    assert "Conciliation, Kehl" in text
    assert "BfDI" in text
    assert desk.ok("status", ref)["state"] == "resolved"


def test_the_automatic_hold_is_in_the_register_with_its_way_to_a_human(desk: Desk) -> None:
    """What no person decided about the dispute is told with rule, reason and the way out."""
    ref = filed(desk, "--dispute")["case"]
    register = desk.ok("decisions", ref)
    (entry,) = register["decisions"]
    assert (entry["rule"], entry["adverse"], register["verified"]) == ("dispute_held", True, True)
    assert f"dsr complaint show {ref}" in entry["to_a_human"]["team"]
    assert desk.ok("complaint", "show", ref)["hold"].startswith("H-")


def test_decisions_of_requests_are_none_of_a_complaint_and_the_other_way(desk: Desk) -> None:
    """A wrong reference is told; nothing is decided about another kind of job."""
    case, ref = desk.submit("access"), filed(desk)["case"]
    assert desk.refused("complaint", "deliver", case, code=4, actor="anna")[0] == "not_found"
    assert desk.refused("withdraw", ref, code=4, actor="anna")[0] == "not_found"
    assert desk.refused("complaint", "deliver", ref, code=1, actor="anna")[1].count("possible")
    assert desk.refused("complaint", "acknowledge", ref, code=2, actor="anna")[1]
