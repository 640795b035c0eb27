"""Which laws a case stands under: what was stated, what the data says, what a person adds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from connectors.postgres import Postgres
from dsr_worker.ledger import jobs
from dsr_worker.ledger.rows import Event
from tests.integration.cli_desk import Desk
from tests.integration.engine_room import CRM, EngineRoom

KINDS = ("access", "erasure", "restriction")


def _now(desk: Desk) -> datetime:
    (row,) = desk.room.rows("SELECT business_now() AS now")
    now: datetime = row.now
    return now


def _lives(desk: Desk, country: object) -> None:
    """Let this test's person live there, by the rows of the crm."""
    crm, key = desk.room.system("crm"), (str(desk.person),)
    with crm.transaction() as (tables, changes):
        changes.append(("customers", key, {**tables.rows["customers"][key], "country": country}))


def _clocks(desk: Desk, case: str) -> dict[str, dict[str, Any]]:
    return {c["name"]: c for c in desk.ok("status", case)["clocks"]}


def _resolved(desk: Desk, kind: str, country: str, *more: str) -> str:
    args = ("submit", "--kind", kind, *desk.named, "--country", country, "--attest", "trial")
    case = str(desk.ok(*args, *more, actor="anna")["case"])
    desk.room.settle()
    return case


def _events(desk: Desk, case: str, kind: str) -> list[dict[str, Any]]:
    return [e["body"] for e in desk.ok("explain", case)["events"] if e["kind"] == kind]


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_place_a_person_elsewhere_add_that_law(desk: Desk, kind: str) -> None:
    """Who says DE and has rows in US-CA stands under both; the clocks count from the receipt."""
    _lives(desk, "US-CA")
    received = _now(desk) - timedelta(days=3)
    case = _resolved(desk, kind, "DE", "--received", received.isoformat())
    clocks = _clocks(desk, case)
    acknowledged = set() if kind == "restriction" else {"acknowledge:us-ca-ccpa"}
    assert set(clocks) == {"respond", "respond:us-ca-ccpa"} | acknowledged
    assert clocks["respond"]["why"] == "stated"
    assert clocks["respond:us-ca-ccpa"]["why"] == "found in crm.customers"
    starts = desk.room.rows(
        "SELECT DISTINCT started_at FROM clocks c JOIN jobs j ON j.id = c.job_id WHERE j.ref = %s",
        case,
    )
    assert [row.started_at for row in starts] == [received]
    (added,) = _events(desk, case, "law_added")
    assert (added["regime"], added["country"]) == ("us-ca-ccpa", "US-CA")
    assert (added["collections"], added["reason"]) == (["crm.customers"], "found")
    (decision,) = [d for d in desk.ok("decisions", case)["decisions"] if d["rule"] == "law_found"]
    assert decision["versions"]["law"]


def test_evidence_moves_no_stated_clock_and_is_strictest_first(alone: Desk) -> None:
    """What was stated is due when it was due; the list begins with what is due first."""
    alone.person = 1
    before = _clocks(alone, _resolved(alone, "access", "US-CA"))
    alone.person = 2
    _lives(alone, "DE")
    alone.person = 1
    _lives(alone, "US-CA")
    _lives(alone, "DE")
    received = _now(alone)
    first = _resolved(alone, "access", "US-CA", "--received", received.isoformat())
    alone.person = 2
    _lives(alone, "US-CA")
    plain = _resolved(alone, "access", "US-CA", "--received", received.isoformat())
    both, one = _clocks(alone, first), _clocks(alone, plain)
    assert set(both) - set(one) == {"respond:eu-gdpr"}
    assert set(before) >= set(one)
    for name, clock in one.items():
        assert both[name]["due_at"] == clock["due_at"]
        assert both[name]["state"] == clock["state"]
    listed = [c["conservative_due_at"] for c in alone.ok("status", first)["clocks"]]
    assert listed == sorted(listed)
    due = [c for c in alone.ok("due")["clocks"] if c["case"] == first]
    assert [c["conservative_due_at"] for c in due] == listed
    assert {c["clock"]: c["why"] for c in due}["respond:eu-gdpr"] == "found in crm.customers"


def test_a_stated_law_that_the_data_contradicts_stays_and_is_told(desk: Desk) -> None:
    """Nothing is taken away by evidence: status says that the rows place the person elsewhere."""
    _lives(desk, "US-CA")
    case = _resolved(desk, "erasure", "DE")
    assert desk.ok("status", case)["residence"]["unsupported"] == ["eu-gdpr"]
    assert "eu-gdpr was stated; rows place the person in US-CA" in desk.run("status", case).stdout
    assert "eu-gdpr was stated" in desk.run("plan", case).stdout
    assert _clocks(desk, case)["respond"]["state"] == "running"


@pytest.mark.parametrize("country", ["DE", "de", "FR", " DE "])
def test_a_law_that_was_stated_is_not_added_again(desk: Desk, country: str) -> None:
    """Evidence for a law that the case has changes nothing, whichever of its countries it names."""
    _lives(desk, country)
    case = _resolved(desk, "access", "DE")
    assert set(_clocks(desk, case)) == {"respond"}
    assert not _events(desk, case, "law_added")


@pytest.mark.parametrize("stored", ["Germany", "Zqdeutschlandzq", "12", "D E"])
def test_a_residence_that_is_no_code_is_counted_and_never_kept(desk: Desk, stored: str) -> None:
    """Names of countries are not guessed; nothing of the value leaves the store."""
    _lives(desk, stored)
    case = _resolved(desk, "access", "US-CA")
    told = desk.ok("status", case)["residence"]
    assert (told["found"], told["unreadable"]) == ({}, 1)
    assert not _events(desk, case, "law_added")
    kept = desk.room.rows(
        "SELECT j.facts::text || coalesce((SELECT string_agg(s.result::text, '') FROM steps s"
        " WHERE s.job_id = j.id), '') || (SELECT string_agg(e.body, '') FROM events e"
        " WHERE e.job_id = j.id) AS text FROM jobs j WHERE j.ref = %s",
        case,
    )
    assert f'"{stored}"' not in kept[0].text


def test_a_place_without_a_law_pack_is_told(desk: Desk) -> None:
    """A code of which no pack speaks adds no clock, and somebody is told to look."""
    _lives(desk, "KP")
    case = _resolved(desk, "access", "DE")
    assert desk.ok("status", case)["residence"]["uncovered"] == ["KP"]
    assert set(_clocks(desk, case)) == {"respond"}


def test_a_law_without_the_right_adds_no_clock_and_says_so(desk: Desk) -> None:
    """Virginia knows no restriction: the case has no clock of it, and its chain says why."""
    _lives(desk, "US-VA")
    case = _resolved(desk, "restriction", "DE")
    assert set(_clocks(desk, case)) == {"respond"}
    (told,) = _events(desk, case, "law_added")
    assert (told["reason"], told["regime"]) == ("right_unknown", "us-va")
    assert "knows no such right" in desk.run("status", case).stdout
    adverse = desk.ok("decisions", case, "--adverse")["decisions"]
    assert [d["rule"] for d in adverse] == ["law_without_right"]


def test_an_added_law_whose_day_has_passed_is_missed_at_once(alone: Desk) -> None:
    """A clock that comes too late is born missed, warned of, and asks for a person."""
    alone.person = 1
    _lives(alone, "KR")
    received = _now(alone) - timedelta(days=26)
    case = _resolved(alone, "erasure", "DE", "--received", received.isoformat())
    clocks = _clocks(alone, case)
    assert clocks["respond"]["state"] == "running"
    (late,) = [name for name in clocks if name.endswith(":kr-pipa") and "respond" in name]
    assert clocks[late]["state"] == "missed"
    assert alone.room.job(case)["urgency_at"] < _now(alone)
    stops = [e for e in _events(alone, case, "needs_human") if e["code"] == "clock_missed"]
    assert [e["reason"] for e in stops] == [late]
    raised = alone.room.rows(
        "SELECT w.threshold FROM warnings w JOIN clocks c ON c.id = w.clock_id WHERE c.name = %s",
        late,
    )
    assert "overdue" in {row.threshold for row in raised}


def test_a_worker_lost_before_the_plan_adds_no_clock_twice(
    alone: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What dies between resolving and planning leaves nothing half; the repeat adds all once."""
    alone.person = 1
    _lives(alone, "US-CA")
    room, real = alone.room, alone.room.office.course._laws._start
    falls = iter([True])

    def falling(*given: Any) -> None:
        real(*given)
        if next(falls, False):
            raise _LostError

    monkeypatch.setattr(type(room.office.laws), "_start", lambda _self, *given: falling(*given))
    with pytest.raises(_LostError):
        _resolved(alone, "erasure", "DE")
    (job,) = room.rows("SELECT ref FROM jobs")
    assert [c.name for c in room.rows("SELECT name FROM clocks")] == ["respond"]
    room.rows(
        "UPDATE steps SET lease_until = now() - interval '1 s' WHERE state = 'leased' RETURNING id"
    )
    room.rows("UPDATE slots SET lease_until = '-infinity' RETURNING number")
    room.settle()
    assert len(_events(alone, job.ref, "law_added")) == 1
    assert len(_clocks(alone, job.ref)) == 3
    assert alone.ok("explain", job.ref)["verified"]


class _LostError(BaseException):
    """Stands for a worker that is gone: nothing catches it."""


def test_a_second_resolving_adds_nothing_again(desk: Desk) -> None:
    """A person who is resolved anew, and lives elsewhere by now, keeps the law that was added."""
    _lives(desk, "US-CA")
    case = _resolved(desk, "erasure", "DE")
    before = _clocks(desk, case)
    _lives(desk, "CH")
    room = desk.room
    with room.office.ledger.transaction() as cursor:
        job = jobs.lock_ref(cursor, case)
        assert job is not None
        again = Event("approval_voided", {"reason": "new_identity"})
        jobs.change(cursor, [room.office.course.begun_anew(cursor, job, again)])
    room.settle()
    after = _clocks(desk, case)
    assert set(after) == {*before, "respond:ch-fadp"}
    assert desk.ok("status", case)["residence"]["unsupported"] == ["eu-gdpr"]
    assert {name: after[name]["due_at"] for name in before} == {
        name: clock["due_at"] for name, clock in before.items()
    }
    assert len(_events(desk, case, "law_added")) == 2


# ---- by a person


def test_a_person_adds_a_law_once(desk: Desk) -> None:
    """`dsr also` starts that law's clocks from the receipt, signed; a repeat is refused."""
    case = desk.submit("erasure")
    desk.room.settle()
    desk.ok("also", case, "--country", "CH", actor="anna")
    assert _clocks(desk, case)["respond:ch-fadp"]["why"] == "added by anna"
    (event,) = _events(desk, case, "law_added")
    assert (event["regime"], event["reason"]) == ("ch-fadp", "named")
    assert event["signature"]
    code, message = desk.refused("also", case, "--country", "CH", actor="anna", code=1)
    assert (code, "already" in message) == ("decision_refused", True)
    assert not [d for d in desk.ok("decisions", case)["decisions"] if d["rule"] == "law_found"]


def test_what_a_person_cannot_add_is_refused_with_a_remedy(desk: Desk) -> None:
    """Unknown places, laws without the right and answered cases change nothing."""
    case = desk.submit("restriction")
    code, message = desk.refused("also", case, "--country", "US-VA", actor="anna", code=1)
    assert (code, "us-va" in message) == ("decision_refused", True)
    _, message = desk.refused("also", case, "--country", "XX", actor="anna", code=1)
    assert "unknown country" in message
    desk.refused("also", case, actor="anna", code=2)
    desk.ok("withdraw", case, actor="anna")
    _, message = desk.refused("also", case, "--country", "CH", actor="anna", code=1)
    assert "while it is open" in message
    assert set(_clocks(desk, case)) == {"respond"}


def test_a_calling_code_is_a_hint_and_nothing_follows(desk: Desk) -> None:
    """A Swiss number is told with the command that adds the law; no clock runs by it."""
    case = desk.room.submit(email=desk.named[1], phone="+41 44 555 01 23")
    assert set(_clocks(desk, case)) == {"respond"}
    command = f"dsr also {case} --country CH"
    assert command in desk.run("status", case).stdout
    desk.ok("also", case, "--country", "CH", actor="anna")
    assert command not in desk.run("status", case).stdout


# ---- real rows


@pytest.fixture
def shop(tmp_path: Path, ledger: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> EngineRoom:
    """A crm whose customers lie in Postgres: one of them has moved to Switzerland."""
    dsn = ledger()
    monkeypatch.setenv("SHOP_DSN", dsn)
    with psycopg2.connect(dsn) as connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE customers (id bigint PRIMARY KEY, email text, name text, phone text,"
            " country text, created_at timestamptz);"
            "INSERT INTO customers VALUES (1, 'jo@mail.example', 'Jo', NULL, 'CH', now()),"
            " (2, 'al@mail.example', 'Al', NULL, NULL, now());"
            "CREATE TABLE invoices (id bigint PRIMARY KEY, customer_id bigint, name text,"
            " total text, issued_on timestamptz); CREATE INDEX ON invoices (customer_id);"
            "CREATE TABLE carts (id bigint PRIMARY KEY, customer_id bigint, content text,"
            " created_at timestamptz); CREATE INDEX ON carts (customer_id)"
        )
    text = CRM.replace("connector: memory", "connector: postgres")
    text = text.replace("config: {name: NAME-crm}", "config: {dsn: {env: SHOP_DSN}}")
    for table in ("customers", "invoices", "carts"):
        before, head, after = text.partition(f"  {table}:\n")
        text = before + head + after.replace("source: {}", f"source: {{table: {table}}}", 1)
    return EngineRoom(tmp_path, ledger(), systems={"crm": text}, connectors={"postgres": Postgres})


@pytest.mark.parametrize(
    ("who", "laws"),
    [("jo@mail.example", {"respond", "respond:ch-fadp"}), ("al@mail.example", {"respond"})],
)
def test_residences_are_read_from_postgres(shop: EngineRoom, who: str, laws: set[str]) -> None:
    """A row of a real table adds its law; a row that says nothing adds none."""
    ref = shop.submit(email=who)
    shop.settle()
    rows = shop.rows(
        "SELECT c.name FROM clocks c JOIN jobs j ON j.id = c.job_id WHERE j.ref = %s", ref
    )
    assert {row.name for row in rows} == laws


def test_each_law_has_to_know_a_ground_of_a_refusal(desk: Desk) -> None:
    """What California lets us refuse the GDPR may not: no other law's letter meets a clock."""
    _lives(desk, "DE")
    case = _resolved(desk, "erasure", "US-CA")
    assert {"respond", "respond:eu-gdpr"} <= set(_clocks(desk, case))
    own = "CA_NOT_VERIFIED"
    _, message = desk.refused("refuse", case, "--ground", own, actor="anna", code=1)
    assert "eu-gdpr too" in message
    desk.ok("refuse", case, "--ground", own, "--ground", "ANY_NOT_IDENTIFIABLE", actor="anna")
    (closed,) = _events(desk, case, "closed")
    assert closed["grounds"] == ["ca_not_verified", "any_not_identifiable"]


def test_no_law_joins_a_refusal_on_a_ground_that_it_does_not_know(desk: Desk) -> None:
    """A refusal that waits for its letter is no answer under a law that was added after it."""
    case = desk.submit("erasure")
    desk.room.settle()
    desk.ok("refuse", case, "--ground", "ANY_NOT_IDENTIFIABLE", actor="anna")
    code, message = desk.refused("also", case, "--country", "US-CA", actor="anna", code=1)
    assert (code, "dsr submit --law us-ca-ccpa --received" in message) == ("decision_refused", True)
    desk.ok("also", case, "--country", "GB-ENG", actor="anna")
    assert set(_clocks(desk, case)) == {"respond", "respond:uk-gdpr"}
    met = desk.ok("refuse", case, "--delivered", actor="anna")["clocks"]
    assert {c["clock"]: c["state"] for c in met} == {"respond": "met", "respond:uk-gdpr": "met"}


def test_an_acknowledgement_that_left_meets_its_clock_alone(desk: Desk) -> None:
    """Once what California wants in 10 business days has left, nothing of it is missed."""
    case = _resolved(desk, "erasure", "US-CA")
    received = _now(desk)
    desk.refused("acknowledge", case, "--sent", "2098-01-01T00:00Z", actor="anna", code=1)
    desk.ok("acknowledge", case, "--sent", received.isoformat(), actor="anna")
    states = {name: clock["state"] for name, clock in _clocks(desk, case).items()}
    assert (states["acknowledge"], states["respond"]) == ("met", "running")
    assert "no clock" in desk.refused("acknowledge", case, actor="anna", code=1)[1]
