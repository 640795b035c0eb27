"""Rectification and restriction from the request to the certificate, in the engine room."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from dsr_worker.cli import questions
from dsr_worker.contract import (
    Context,
    Correction,
    Finding,
    Key,
    Receipt,
    Record,
    Subject,
    System,
    Transient,
)
from dsr_worker.domain.hold import PeopleHeld
from dsr_worker.domain.identity import claimed
from dsr_worker.engine.batch import Batch
from dsr_worker.engine.holds import HoldReader
from dsr_worker.evidence import render_certificate, verify_certificate
from dsr_worker.fulfil.correcting import CorrectionRefused, Stated
from dsr_worker.fulfil.decisions import Decided, DecisionRefused
from dsr_worker.fulfil.intake import RequestRefused
from dsr_worker.fulfil.restricting import Protecting
from dsr_worker.ledger import answers, holds, reports
from dsr_worker.ledger.rows import StepResult
from dsr_worker.people import ActorRefused, digest_of
from dsr_worker.statutes import UnknownNameError
from dsr_worker.testing.memory import Memory, MemoryConfig
from tests.integration.engine_room import CRM, FILES, EngineRoom
from tests.integration.test_sweep import SweepRoom

_MAIL = "p.zq0003zq@mail.example"
_NEW_MAIL = "new.zqnewzq@mail.example"
_NEW_NAME = "Zqnewzq Name"

_MEANS = {
    "    class: customer-account\n": (
        "    class: customer-account\n    restrict: {flag: blocked, value: 'yes', free: 'no'}\n"
    ),
    "      country: user.contact.address.country\n": (
        "      country: user.contact.address.country\n      blocked: system.operations\n"
    ),
    "    class: cart\n": "    class: cart\n    restrict: {move: set_aside}\n",
}
_ASIDE = """  set_aside:
    key: [id]
    parent: {collection: customers, on: {customer_id: id}}
    class: cart
    clocks: {record_date: created_at}
    source: {}
    fields:
      id: user.unique_id
      customer_id: user.unique_id
      content: {category: user.content, free_text: true}
      created_at: user.content
"""
_LISTED = """
  listed:
    key: [document]
    parent: {collection: documents, on: {document: id}}
    source: {}
    fields:
      document: user.unique_id
"""


def restrictable() -> dict[str, str]:
    """The room's systems with each kind of means: flag, move and list; invoices have none."""
    crm = CRM
    for before, after in _MEANS.items():
        assert before in crm
        crm = crm.replace(before, after, 1)
    files = FILES.replace(
        "class: attachment\n", "class: attachment\n    restrict: {list: listed}\n"
    )
    return {"crm": crm + _ASIDE, "files": files + _LISTED}


@pytest.fixture
def room(tmp_path: Path, database: Callable[[], str]) -> EngineRoom:
    """An installation with six people, whose customers, carts and documents can be restricted."""
    made = EngineRoom(tmp_path, database(), systems=restrictable())
    made.load_people(6)
    with made.system("crm").transaction() as (tables, changes):
        rows = tables.rows["customers"].items()
        changes.extend(("customers", key, {**row, "blocked": "no"}) for key, row in rows)
    return made


def system_dump(room: EngineRoom) -> list[dict[str, Any]]:
    """Both systems' rows; a collection without rows is as good as none."""
    dumps = (room.system(name).dump() for name in ("crm", "files"))
    return [{name: rows for name, rows in dump.items() if rows} for dump in dumps]


def ledger_dump(room: EngineRoom) -> str:
    """Every row of every table of the ledger, as text."""
    tables = room.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    queries = (f"SELECT t::text AS whole FROM {t.tablename} t" for t in tables)  # noqa: S608 - names of our own tables
    return "".join(str(row.whole) for query in queries for row in room.rows(query))


def right(field: str, value: str | None, was: str | None = None, at: str = "customers") -> Stated:
    """A correction in the customers' system."""
    return Stated("crm", at, Correction(field, value, was))


def rows_of(room: EngineRoom, system: str, collection: str) -> dict[str, dict[str, Any]]:
    """Rows of a collection by the first field of their key."""
    return {
        key[0]: json.loads(body)
        for key, body in room.system(system).dump().get(collection, {}).items()
    }


def carried_out(room: EngineRoom, ref: str) -> str:
    """Approve a case and let it be answered."""
    room.settle()
    assert room.job(ref)["state"] == "awaiting_approval", (room.steps(ref), room.events(ref))
    room.approve(ref)
    room.settle()
    assert room.job(ref)["state"] == "ready", (room.steps(ref), room.events(ref))
    return ref


def rectified(room: EngineRoom, *corrections: Stated, mail: str = _MAIL) -> str:
    """A rectification, carried out."""
    return carried_out(room, room.submit("rectification", corrections, email=mail))


def restricted(room: EngineRoom, mail: str = _MAIL) -> str:
    """A restriction, carried out."""
    return carried_out(room, room.submit("restriction", email=mail))


def certificate(room: EngineRoom, ref: str) -> dict[str, Any]:
    """What a case's certificate states; it bears our signature and becomes a page."""
    with room.office.ledger.transaction() as cursor:
        made = answers.of(cursor, room.job(ref)["id"])
    assert made is not None, room.steps(ref)
    content = room.office.delivery.read_certificate(made)
    assert verify_certificate(content, room.office.keys.public_key) == []
    assert "<h1>" in render_certificate(content)
    stated: dict[str, Any] = json.loads(content)["certificate"]
    return stated


def results(stated: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Results by `system.collection`, noughts left out."""
    return {
        f"{s['system']}.{r['collection']}": {k: v for k, v in r.items() if v and k != "collection"}
        for s in stated["systems"]
        for r in s["collections"]
    }


# ---- rectification


def test_a_rectification_puts_right_what_was_asked_and_nothing_else(room: EngineRoom) -> None:
    """The stated fields of the person's rows change; all else stays byte for byte."""
    before = rows_of(room, "crm", "customers")
    untouched = room.system("files").dump(), rows_of(room, "crm", "carts")
    ref = rectified(room, right("name", _NEW_NAME), right("email", _NEW_MAIL, was=_MAIL))
    wanted = {**before, "3": {**before["3"], "name": _NEW_NAME, "email": _NEW_MAIL}}
    assert rows_of(room, "crm", "customers") == wanted
    assert (room.system("files").dump(), rows_of(room, "crm", "carts")) == untouched
    stated = certificate(room, ref)
    assert (stated["kind"], stated["response"]["nature"]) == ("rectification", "granted")
    assert results(stated) == {"crm.customers": {"found": 1, "rectified": 1}}
    assert [s["requery"]["path"] for s in stated["systems"]] == ["dry-run"]
    assert stated["recipients_to_tell"] == [
        {"system": "crm", "collection": "customers", "names": ["nobody"]}
    ]


def test_what_the_law_keeps_is_not_altered(room: EngineRoom) -> None:
    """Of a voucher inside its minimum the kept fields stay; past it everything may be put right."""
    before = rows_of(room, "crm", "invoices")
    ref = rectified(
        room, right("total", "11.00", at="invoices"), right("name", _NEW_NAME, at="invoices")
    )
    after = rows_of(room, "crm", "invoices")
    assert after["3-new"] == {**before["3-new"], "name": _NEW_NAME}
    assert after["3-old"] == {**before["3-old"], "name": _NEW_NAME, "total": "11.00"}
    stated = certificate(room, ref)
    found = results(stated)["crm.invoices"]
    assert (found["found"], found["rectified"]) == (2, 1)
    (kept,) = found["kept"]
    assert (kept["rows"], kept["ground"], kept["rectified"]) == (1, "de-ao-147-voucher", True)
    assert stated["response"]["nature"] == "partly_granted"


def test_a_held_row_is_not_put_right(room: EngineRoom) -> None:
    """A legal hold keeps rows as they are from rectification too, and the answer names it."""
    room.hold_person(claimed("customer_number", "3"))
    before = system_dump(room)
    stated = certificate(room, rectified(room, right("name", _NEW_NAME)))
    assert system_dump(room) == before
    assert stated["response"]["nature"] == "denied"
    assert results(stated)["crm.customers"]["kept"][0]["ground"] == "ER_LEGAL_CLAIMS"


def test_a_row_that_says_something_else_stays(room: EngineRoom) -> None:
    """With `was`, a row that says neither that nor the right value is left, on a ground."""
    before = system_dump(room)
    stated = certificate(room, rectified(room, right("phone", "+49 30 7", was="+49 30 8")))
    assert system_dump(room) == before
    assert results(stated)["crm.customers"]["kept"][0]["ground"] == "stated_otherwise"


def test_a_rectification_asks_only_where_something_is_to_be_put_right(room: EngineRoom) -> None:
    """No other system is planned or touched, and none other is said to have been left out."""
    ref = rectified(room, right("name", _NEW_NAME))
    assert {s for action, s, *_ in room.steps(ref) if action in {"plan", "apply"}} == {"crm"}
    assert certificate(room, ref)["not_asked"] == []


@pytest.mark.parametrize(
    ("corrections", "error", "hint"),
    [
        ([], RequestRefused, "give corrections"),
        ([Stated("krm", "customers", Correction("name", "x"))], UnknownNameError, "crm"),
        ([right("name", "x", at="customer")], UnknownNameError, "customers"),
        ([right("nmae", "x")], UnknownNameError, "name"),
        ([right("id", "x")], CorrectionRefused, "key"),
        ([right("customer_id", "4", at="carts")], CorrectionRefused, "whose row"),
        ([right("blocked", "yes")], CorrectionRefused, "restricted"),
        ([right("name", "x"), right("name", "y")], CorrectionRefused, "twice"),
        ([right("name", "x", was="x")], CorrectionRefused, "the same"),
        ([right("name", "a\0b")], CorrectionRefused, "NUL"),
    ],
)
def test_a_correction_that_cannot_be_is_refused_at_once(
    room: EngineRoom, corrections: list[Stated], error: type[Exception], hint: str
) -> None:
    """A place that is not there, one that may not change, or nothing new: no case is made."""
    with pytest.raises(error, match=hint):
        room.submit("rectification", corrections, email=_MAIL)
    assert not room.rows("SELECT 1 FROM jobs")


def test_corrections_belong_to_rectifications_alone(room: EngineRoom) -> None:
    """On another kind of request they would be forgotten in silence."""
    with pytest.raises(RequestRefused, match="rectification"):
        room.submit("erasure", [right("name", "x")], email=_MAIL)


def test_old_and_new_values_are_nowhere_in_the_clear(
    room: EngineRoom, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither ledger, logs nor certificate hold what was wrong or is right now."""
    with caplog.at_level(logging.DEBUG):
        ref = rectified(room, right("name", _NEW_NAME, was="Name zq0003zq"))
    dump = ledger_dump(room)
    assert "certificate_made" in dump
    for text in (dump, caplog.text, json.dumps(certificate(room, ref))):
        assert "zq0003zq" not in text
        assert "qnewzq" not in text


def test_shredding_takes_the_corrections_along(room: EngineRoom, tmp_path: Path) -> None:
    """With the case's key goes what was asked for; the fields' names stay as evidence."""
    ref = rectified(room, right("name", _NEW_NAME))
    signed = room.sign("anna", "hand-over", ref)
    room.office.delivery.certificate(ref, tmp_path / "certificate.json", signed)
    assert "corrections" in room.job(ref)["facts"]
    room.move_clock(days=181)
    room.tick()
    job = room.job(ref)
    assert (job["data_key"], "corrections" in job["facts"]) == (None, False)
    assert job["facts"]["corrected"] == {"crm": ["customers.name"]}


def test_more_rows_than_approved_void_a_rectification(room: EngineRoom) -> None:
    """An approval covers so many rows put right; with many more it is asked for again."""
    ref = room.submit("rectification", [right("content", "x", at="carts")], email=_MAIL)
    room.settle()
    cart = {"customer_id": "3", "content": "y", "created_at": "2026-11-01T00:00:00"}
    more = [{"id": f"more-{n}", **cart} for n in range(12)]
    room.system("crm").load({"carts": more}, {"carts": ("id",)})
    room.approve(ref)
    room.settle()
    assert room.job(ref)["state"] == "awaiting_approval", room.events(ref)
    assert "approval_voided" in room.events(ref)
    assert rows_of(room, "crm", "carts")["more-0"]["content"] == "y"
    room.approve(ref)
    room.settle()
    assert results(certificate(room, ref))["crm.carts"] == {"found": 13, "rectified": 13}


def test_a_rectification_that_dies_after_its_effect_is_told_as_done(
    tmp_path: Path, database: Callable[[], str]
) -> None:
    """A repeat finds everything in place and reports the values that the intent counted."""
    crm = restrictable()["crm"].replace(
        "config: {name: NAME-crm}",
        "config: {name: NAME-crm, fault: {kind: transient, when: after, method: rectify,"
        " after_calls: 2, times: 1}}",
    )
    room = EngineRoom(tmp_path, database(), systems={"crm": crm})
    room.load_people(6)
    ref = room.submit("rectification", [right("name", _NEW_NAME)], email=_MAIL)
    room.settle()
    room.approve(ref)
    room.settle()
    (waiting,) = [s for s in room.steps(ref) if s[3] == "waiting"]
    assert waiting[0] == "apply"
    room.rows("UPDATE steps SET run_at = now() WHERE state = 'waiting' RETURNING id")
    room.settle()
    assert room.job(ref)["state"] == "ready", room.steps(ref)
    (told,) = room.rows("SELECT fields, before_commit FROM receipts WHERE outcome = 'rectified'")
    assert tuple(told) == (1, True)


def test_a_value_that_the_store_refuses_asks_a_human_and_changes_nothing(
    room: EngineRoom,
) -> None:
    """The stop names the field and not the value, and is put as a question."""
    with room.system("crm").transaction() as (tables, changes):
        row = tables.rows["customers"]["3",]
        changes.append(("customers", ("3",), {**row, "country": 49}))
    before = system_dump(room)
    ref = room.submit("rectification", [right("country", _NEW_NAME)], email=_MAIL)
    room.settle()
    (stopped,) = room.rows("SELECT code, details FROM steps WHERE state = 'needs_human'")
    assert (stopped.code, stopped.details) == (
        "correction_refused",
        {"collection": "customers", "field": "country"},
    )
    assert system_dump(room) == before
    with room.office.ledger.transaction() as cursor:
        (question,) = questions.put(ref, reports.stops(cursor, room.job(ref)["id"]))
    assert "crm.customers.country" in question["text"]
    room.office.decisions.withdraw(ref, room.sign("anna", "withdraw", ref))


def _refusing(tmp_path: Path, database: Callable[[], str], method: str, *names: str) -> EngineRoom:
    """A room in which systems refuse a method's third call, the first that would change rows."""
    systems = restrictable()
    for name in names:
        systems[name] = systems[name].replace(
            f"config: {{name: NAME-{name}}}",
            f"config: {{name: NAME-{name}, fault: {{kind: permanent, method: {method},"
            " after_calls: 2}}",
        )
    made = EngineRoom(tmp_path, database(), systems=systems)
    made.load_people(6)
    with made.system("crm").transaction() as (tables, changes):
        rows = tables.rows["customers"].items()
        changes.extend(("customers", key, {**row, "blocked": "no"}) for key, row in rows)
    return made


def _ended(room: EngineRoom, ref: str, way: str) -> Decided:
    if way == "withdraw":
        return room.office.decisions.withdraw(ref, room.sign("anna", way, ref))
    signed = room.sign("anna", way, ref, digest_of(way, ref, ground="ANY_UNFOUNDED"))
    return room.office.decisions.refuse(ref, "ANY_UNFOUNDED", signed)


@pytest.mark.parametrize(("way", "state"), [("withdraw", "withdrawn"), ("refuse", "refused")])
@pytest.mark.parametrize(
    ("kind", "method"), [("rectification", "rectify"), ("restriction", "restrict")]
)
def test_approved_work_that_a_store_refused_whole_can_be_ended(
    tmp_path: Path, database: Callable[[], str], kind: str, method: str, way: str, state: str
) -> None:
    """Where nothing was changed and nothing goes on a case ends, its steps and holds with it."""
    room = _refusing(tmp_path, database, method, "crm", "files")
    before = system_dump(room)
    corrections = [right("name", _NEW_NAME)] if kind == "rectification" else []
    ref = room.submit(kind, corrections, email=_MAIL)
    room.settle()
    room.approve(ref)
    with pytest.raises(DecisionRefused, match="is under work"):
        _ended(room, ref, way)
    room.settle()
    assert room.job(ref)["state"] == "working"
    ended = _ended(room, ref, way)
    assert (ended.state, "nothing was carried out" in ended.details[0]) == (state, True)
    assert system_dump(room) == before
    assert {row[3] for row in room.steps(ref)} <= {"done", "cancelled"}
    with room.office.ledger.transaction() as cursor:
        assert not holds.listed(cursor)
    room.settle()
    assert room.job(ref)["state"] == state


def test_partly_carried_out_work_says_how_it_goes_on_instead_of_ending(
    tmp_path: Path, database: Callable[[], str]
) -> None:
    """Once one system was changed the refusal to end names mending and retrying."""
    room = _refusing(tmp_path, database, "erase", "files")
    ref = room.submit("erasure", email=_MAIL)
    room.settle()
    room.approve(ref)
    room.settle()
    assert ("apply", "files", "failed") in {(s[0], s[1], s[3]) for s in room.steps(ref)}
    with pytest.raises(DecisionRefused, match=f"mend what stopped it.*`dsr retry {ref}`"):
        _ended(room, ref, "withdraw")
    assert room.job(ref)["state"] == "working"


def test_a_restriction_of_somebody_unknown_is_answered_and_lifted(room: EngineRoom) -> None:
    """Where nothing is known of the person the answer says so, and nothing stands afterwards."""
    ref = restricted(room, "someone.else@mail.example")
    assert certificate(room, ref)["response"]["nature"] == "nothing_found"
    job = room.lift(ref)
    room.settle()
    assert room.job(job)["state"] == "closed", room.steps(job)
    with room.office.ledger.transaction() as cursor:
        assert not holds.listed(cursor)


def test_a_system_gone_from_the_map_is_named_as_not_asked(
    tmp_path: Path, database: Callable[[], str]
) -> None:
    """What was to be put right there is not forgotten in silence."""
    room = SweepRoom(tmp_path, database(), systems=restrictable())
    room.load_people(6)
    gone = Stated("files", "documents", Correction("text", "x"))
    ref = room.submit("rectification", [right("name", _NEW_NAME), gone], email=_MAIL)
    (room.settings.config_dir / "systems" / "files.yaml").unlink()
    room.reopen()
    room.settle()
    plan = room.job(ref)["plan"]
    assert (plan["systems"], plan["not_applicable"]) == (["crm"], ["files"])


def test_a_sweep_leaves_what_is_restricted(tmp_path: Path, database: Callable[[], str]) -> None:
    """Rows past their limit stay for as long as their person's restriction stands."""
    room = SweepRoom(tmp_path, database(), systems={"crm": CRM})
    room.load_people(6)
    room.carts(old=6, young=20, first=100)
    restricted(room)
    room.approve_sweep(room.start())
    assert {name for name in room.left() if name.startswith("old")} == {"old-103"}


class Reader:
    """Finds nothing and can do nothing else."""

    Config: ClassVar[type[BaseModel]] = MemoryConfig

    def __init__(self, system: System, config: BaseModel) -> None:
        del system, config

    def check(self) -> Iterator[Finding]:
        """Nothing to say."""
        return iter(())

    def find(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Record]:
        """Nothing."""
        del subjects, ctx
        return iter(())


class Eraser(Reader):
    """Erases, and neither puts right nor restricts."""

    def locate(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Key]:
        """Nothing."""
        del subjects, ctx
        return iter(())

    def erase(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Receipt]:
        """Nothing."""
        del subjects, keys, ctx
        return iter(())


@pytest.mark.parametrize("connector", [Reader, Eraser])
@pytest.mark.parametrize(
    ("kind", "code"), [("rectification", "cannot_rectify"), ("restriction", "cannot_restrict")]
)
def test_a_connector_that_cannot_asks_a_human(
    tmp_path: Path, database: Callable[[], str], connector: type[Any], kind: str, code: str
) -> None:
    """A system whose connector lacks the protocol stops the case and says which it lacks."""
    files = FILES.replace("connector: memory", "connector: lesser")
    room = EngineRoom(
        tmp_path, database(), systems={"files": files}, connectors={"lesser": connector}
    )
    corrections = [Stated("files", "documents", Correction("text", "x"))]
    asked = corrections if kind == "rectification" else []
    ref = room.submit(kind, asked, customer_number="3")
    room.settle()
    assert [(s[0], s[4]) for s in room.steps(ref) if s[3] == "needs_human"] == [("plan", code)]


# ---- restriction


def test_a_restriction_uses_each_means_and_tells_what_has_none(room: EngineRoom) -> None:
    """Flagged, moved and listed rows are restricted; rows without means are kept and said so."""
    customers, carts = rows_of(room, "crm", "customers"), rows_of(room, "crm", "carts")
    ref = restricted(room)
    assert rows_of(room, "crm", "customers") == {
        **customers,
        "3": {**customers["3"], "blocked": "yes"},
    }
    assert rows_of(room, "crm", "set_aside") == {"cart-3": carts.pop("cart-3")}
    assert rows_of(room, "crm", "carts") == carts
    assert rows_of(room, "files", "listed") == {"doc-3": {"document": "doc-3"}}
    stated = certificate(room, ref)
    found = results(stated)
    assert stated["kind"] == "restriction"
    assert stated["response"]["nature"] == "partly_granted"
    for place in ("crm.customers", "crm.carts", "files.documents"):
        assert found[place] == {"found": 1, "restricted": 1}
    assert [(k["rows"], k["ground"]) for k in found["crm.invoices"]["kept"]] == [(2, "no_means")]
    assert set(found) == {"crm.customers", "crm.carts", "crm.invoices", "files.documents"}


def test_a_restriction_is_lifted_to_the_state_before(room: EngineRoom) -> None:
    """The lifting is a job of its own with a certificate, and leaves the systems as they were."""
    before = system_dump(room)
    ref = restricted(room)
    job = room.lift(ref)
    room.settle()
    assert room.job(job)["state"] == "closed", (room.steps(job), room.events(job))
    assert system_dump(room) == before
    stated = certificate(room, job)
    assert (stated["kind"], stated["lifts"]) == ("lifting", ref)
    assert stated["informed_on"] == datetime.now(UTC).date().isoformat()
    assert results(stated)["crm.carts"] == {"found": 1, "lifted": 1}
    assert results(stated)["files.documents"] == {"found": 1, "lifted": 1}
    assert stated["recipients_to_tell"] == []
    assert room.events(ref)[-2:] == ["lift_ordered", "restriction_lifted"]


def test_a_restriction_protects_from_erasure_until_it_is_lifted(room: EngineRoom) -> None:
    """The case holds the person by itself, shown in the list and released by the lifting alone."""
    ref = restricted(room)
    with room.office.ledger.transaction() as cursor:
        (hold,) = holds.of_matter(cursor, ref, "RESTRICTION")
        assert [row[0] for row in holds.listed(cursor)] == [hold.ref]
    with pytest.raises(DecisionRefused, match=f"dsr lift {ref}"):
        room.office.holding.release(hold.ref, room.sign("anna", "release-hold", hold.ref))
    customers = rows_of(room, "crm", "customers")
    erasure = carried_out(room, room.submit("erasure", email=_MAIL))
    assert rows_of(room, "crm", "customers") == customers
    assert set(room.outcomes(erasure)) == {
        (system, name, "retained")
        for system, name in (
            ("crm", "customers"), ("crm", "invoices"), ("crm", "set_aside"),
            ("files", "documents"), ("files", "listed"),
        )
    }  # fmt: skip
    room.lift(ref)
    room.settle()
    with room.office.ledger.transaction() as cursor:
        assert not holds.listed(cursor)
        assert [g.hold for g in holds.going_on(cursor)] == [hold.ref]


def test_restricted_data_may_still_be_put_right(room: EngineRoom) -> None:
    """Contested accuracy is a reason to restrict, so its hold hinders no correction."""
    restricted(room)
    ref = rectified(room, right("name", _NEW_NAME), right("content", "lamps", at="carts"))
    found = results(certificate(room, ref))
    assert found["crm.customers"]["rectified"] == found["crm.set_aside"]["rectified"] == 1
    assert rows_of(room, "crm", "set_aside")["cart-3"]["content"] == "lamps"
    assert rows_of(room, "crm", "customers")["3"]["blocked"] == "yes"


def test_a_restricted_row_is_not_renamed(room: EngineRoom) -> None:
    """The name by which the hold finds a row stays until the lifting, and the answer says why."""
    ref = restricted(room)
    before = rows_of(room, "crm", "customers")
    stated = certificate(room, rectified(room, right("email", _NEW_MAIL)))
    assert rows_of(room, "crm", "customers") == before
    assert results(stated)["crm.customers"]["kept"][0]["ground"] == "RESTRICTION"
    room.lift(ref)
    room.settle()
    rectified(room, right("email", _NEW_MAIL))
    assert rows_of(room, "crm", "customers")["3"]["email"] == _NEW_MAIL


def test_a_second_restriction_finds_everything_restricted(room: EngineRoom) -> None:
    """Moved rows are named by where they were, and lists are no data of the person's own."""
    restricted(room)
    before = system_dump(room)
    found = results(certificate(room, restricted(room)))
    assert system_dump(room) == before
    assert found["crm.carts"] == {"found": 1, "restricted": 1}
    assert set(found) == {"crm.customers", "crm.carts", "crm.invoices", "files.documents"}


class Doubtful(Memory):
    """Says once of a second look that every row is still to be changed."""

    doubts: ClassVar[list[str]] = []

    def restrict(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Receipt]:
        """As asked, but for the doubt."""
        doubting = ctx.second_path and self._system.name not in self.doubts
        if doubting:
            self.doubts.append(self._system.name)
        for receipt in super().restrict(subjects, keys, ctx):
            left = tuple(replace(o, fields=o.rows) for o in receipt.outcomes)
            yield replace(receipt, outcomes=left) if doubting else receipt


def test_a_second_round_places_no_second_hold(tmp_path: Path, database: Callable[[], str]) -> None:
    """What is not as it should be is restricted again, under the hold that stands already."""
    Doubtful.doubts.clear()
    room = EngineRoom(tmp_path, database(), systems=restrictable(), connectors={"memory": Doubtful})
    room.load_people(6)
    ref = restricted(room)
    done = [step[0] for step in room.steps(ref) if step[1] == "desk"]
    assert done == ["protect", "protect", "certify"]
    assert sorted(Doubtful.doubts) == ["crm", "files"]
    with room.office.ledger.transaction() as cursor:
        assert len(holds.listed(cursor)) == 1
    assert results(certificate(room, ref))["crm.carts"] == {"found": 1, "restricted": 1}
    before = system_dump(room)
    room.lift(ref)
    room.settle()
    assert rows_of(room, "crm", "carts")["cart-3"]
    assert system_dump(room) != before


def test_a_lifting_frees_nothing_that_the_case_never_restricted(room: EngineRoom) -> None:
    """What staff flagged later by the same means stays as they left it."""
    ref = restricted(room)
    with room.system("crm").transaction() as (tables, changes):
        row = tables.rows["customers"]["3",]
        changes.append(("customers", ("30",), {**row, "id": "30", "blocked": "yes"}))
    job = room.lift(ref)
    room.settle()
    assert room.job(job)["state"] == "closed"
    customers = rows_of(room, "crm", "customers")
    assert (customers["3"]["blocked"], customers["30"]["blocked"]) == ("no", "yes")


def test_the_last_lifting_frees_what_an_earlier_one_left(room: EngineRoom) -> None:
    """Rows that came between two restrictions do not stay restricted when both have ended."""
    one = restricted(room)
    with room.system("crm").transaction() as (tables, changes):
        cart = tables.rows["set_aside"]["cart-3",]
        changes.append(("carts", ("cart-33",), {**cart, "id": "cart-33"}))
    two = restricted(room)
    for ref in (two, one):
        assert set(rows_of(room, "crm", "set_aside")) == {"cart-3", "cart-33"}
        room.lift(ref)
        room.settle()
    assert rows_of(room, "crm", "set_aside") == {}
    assert {"cart-3", "cart-33"} <= set(rows_of(room, "crm", "carts"))


def test_a_name_found_later_is_held_as_well(room: EngineRoom) -> None:
    """Where a further round finds a new identity, a hold of the same matter covers it too."""
    ref = restricted(room)
    with room.system("crm").transaction() as (tables, changes):
        row = tables.rows["customers"]["3",]
        changes.append(("customers", ("3",), {**row, "phone": "+49 30 77777"}))
    room.rows(
        "UPDATE jobs SET state = 'needs_human', phase = 'found_again' WHERE ref = %s RETURNING id",
        ref,
    )
    room.office.decisions.retry(ref, room.sign("anna", "retry", ref))
    carried_out(room, ref)
    with room.office.ledger.transaction() as cursor:
        standing = holds.of_matter(cursor, ref, "RESTRICTION")
        read = HoldReader(room.office.keys).read(cursor, "crm")
    assert len(standing) == room.events(ref).count("hold_placed") == 2
    held = [i for hold in read if isinstance(hold.scope, PeopleHeld) for i in hold.scope.identities]
    assert claimed("phone", "+49 30 77777") in held
    assert len(held) == len(set(held))
    room.lift(ref)
    room.settle()
    with room.office.ledger.transaction() as cursor:
        assert not holds.listed(cursor)


def test_the_case_tells_of_its_hold_though_its_step_is_lost(
    room: EngineRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that dies between the hold and the end of its step leaves no hold untold."""
    protect = Protecting.__call__
    lost: list[Batch] = []

    def dying(self: Protecting, batch: Batch) -> Sequence[StepResult]:
        results = protect(self, batch)
        if not lost:
            lost.append(batch)
            raise Transient("gone")
        return results

    monkeypatch.setattr(Protecting, "__call__", dying)
    ref = room.submit("restriction", email=_MAIL)
    room.settle()
    room.approve(ref)
    room.settle()
    assert lost
    room.rows("UPDATE steps SET run_at = now() WHERE state = 'waiting' RETURNING id")
    room.settle()
    assert room.job(ref)["state"] == "ready", room.steps(ref)
    with room.office.ledger.transaction() as cursor:
        assert len(holds.of_matter(cursor, ref, "RESTRICTION")) == 1
    assert room.events(ref).count("hold_placed") == 1


def test_the_last_lifting_frees(room: EngineRoom) -> None:
    """What another case of the same person restricts too stays restricted, on that ground."""
    before = system_dump(room)
    one, two = restricted(room), restricted(room)
    restricts = system_dump(room)
    first = room.lift(one)
    room.settle()
    assert system_dump(room) == restricts
    stated = certificate(room, first)
    assert stated["response"]["nature"] == "denied"
    assert {g["code"] for g in stated["grounds"]} == {"RESTRICTION"}
    room.lift(two)
    room.settle()
    assert system_dump(room) == before


def test_liftings_of_two_people_share_a_batch(room: EngineRoom) -> None:
    """Each ends its own; neither keeps the other's rows restricted."""
    before = system_dump(room)
    one, two = restricted(room), restricted(room, "p.zq0004zq@mail.example")
    for ref in (one, two):
        room.lift(ref)
    room.settle()
    assert system_dump(room) == before


def _settle_systems(room: EngineRoom) -> None:
    """Tick and drain the systems and not the desk, so that nothing is certified."""
    for _ in range(6):
        room.tick()
        for name in ("crm", "files"):
            room.workshop.drainer(name)


@pytest.mark.parametrize("overtaking", [False, True])
def test_two_liftings_of_one_person_under_way_at_once_free(
    room: EngineRoom, *, overtaking: bool
) -> None:
    """Neither keeps for the other what both end, in one batch or applied before a certificate."""
    before = system_dump(room)
    one, two = restricted(room), restricted(room)
    first = room.lift(one)
    if overtaking:
        _settle_systems(room)
        assert [s[0] for s in room.steps(first) if s[3] == "ready"] == ["certify"]
    second = room.lift(two)
    if overtaking:
        _settle_systems(room)
    room.settle()
    assert [room.job(job)["state"] for job in (first, second)] == ["closed"] * 2
    assert system_dump(room) == before


def test_who_may_lift_and_when(room: EngineRoom) -> None:
    """Answered, told beforehand, once, and never by who submitted it."""
    ref = room.submit("restriction", email=_MAIL)
    room.settle()
    with pytest.raises(DecisionRefused, match="once it is answered"):
        room.lift(ref)
    room.approve(ref)
    room.settle()
    tomorrow = (datetime.now(UTC) + timedelta(days=2)).date()
    with pytest.raises(DecisionRefused, match="before a restriction is lifted"):
        room.lift(ref, tomorrow)
    with pytest.raises(ActorRefused, match="second person"):
        room.lift(ref, actor="anna")
    erasure = room.submit("erasure", email="p.zq0001zq@mail.example")
    with pytest.raises(DecisionRefused, match="no restriction"):
        room.lift(erasure)
    job = room.lift(ref)
    with pytest.raises(DecisionRefused, match=job):
        room.lift(ref)


def test_a_standing_restriction_is_not_shredded(room: EngineRoom, tmp_path: Path) -> None:
    """Whom to free has to be known until the lifting; afterwards the case's key goes as any."""
    ref = restricted(room)
    signed = room.sign("anna", "hand-over", ref)
    room.office.delivery.certificate(ref, tmp_path / "certificate.json", signed)
    room.move_clock(days=400)
    room.settle()
    assert room.job(ref)["data_key"] is not None
    job = room.lift(ref, date(2026, 11, 22))
    room.settle()
    assert room.job(job)["state"] == "closed", room.steps(job)
    room.settle()
    assert room.job(ref)["data_key"] is None
    room.move_clock(days=181)
    room.settle()
    assert room.job(job)["data_key"] is None
    assert not room.rows("SELECT 1 FROM spools")


def test_a_shredded_restriction_cannot_be_lifted(room: EngineRoom) -> None:
    """Nobody knows any more whom to free, and the refusal says what to do instead."""
    ref = restricted(room)
    room.rows("UPDATE jobs SET data_key = NULL WHERE ref = %s RETURNING id", ref)
    with pytest.raises(DecisionRefused, match="submit a new restriction"):
        room.lift(ref)


def test_a_withdrawn_restriction_leaves_no_hold(room: EngineRoom) -> None:
    """Where the approval was voided after the hold was placed, withdrawing releases it."""
    ref = room.submit("restriction", email=_MAIL)
    room.settle()
    room.approve(ref)
    room.settle()
    job = room.job(ref)
    room.rows(
        "UPDATE jobs SET state = 'needs_human', phase = 'found_again' WHERE id = %s RETURNING id",
        job["id"],
    )
    room.rows(
        "UPDATE steps SET intent = NULL, result = '{\"voided\": []}' WHERE job_id = %s"
        " AND action = 'apply' RETURNING id",
        job["id"],
    )
    room.office.decisions.withdraw(ref, room.sign("anna", "withdraw", ref))
    with room.office.ledger.transaction() as cursor:
        assert not holds.listed(cursor)


def test_kinds_share_a_batch_and_keep_their_tables(room: EngineRoom) -> None:
    """What is claimed together is decided by the tables of each case's own kind."""
    one = room.submit("erasure", email="p.zq0001zq@mail.example")
    two = room.submit("rectification", [right("name", _NEW_NAME)], email="p.zq0002zq@mail.example")
    three = room.submit("restriction", email=_MAIL)
    room.settle()
    for ref in (one, two, three):
        room.approve(ref)
    room.settle()
    assert [room.job(ref)["state"] for ref in (one, two, three)] == ["ready"] * 3
    customers = rows_of(room, "crm", "customers")
    assert customers["1"]["name"] == "erased"  # its vouchers stay
    assert (customers["2"]["name"], customers["3"]["blocked"]) == (_NEW_NAME, "yes")
