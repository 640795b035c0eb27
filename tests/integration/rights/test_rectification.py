"""A rectification puts right what was asked and nothing else, and leaks neither value."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from dsr_worker.contract import Correction
from dsr_worker.domain.identity import claimed
from dsr_worker.fulfil.correcting import CorrectionRefused, Stated
from dsr_worker.fulfil.intake import RequestRefused
from dsr_worker.statutes import UnknownNameError
from tests.integration.engine_room import EngineRoom
from tests.integration.rights.restrictable import (
    MAIL,
    NEW_MAIL,
    NEW_NAME,
    certificate,
    rectified,
    restrictable,
    results,
    right,
    rows_of,
    system_dump,
)


def ledger_dump(room: EngineRoom) -> str:
    """Every row of every table of the ledger, as text."""
    tables = room.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    queries = (f"SELECT t::text AS whole FROM {t.tablename} t" for t in tables)  # noqa: S608 - names of our own tables
    return "".join(str(row.whole) for query in queries for row in room.rows(query))


def test_a_rectification_puts_right_what_was_asked_and_nothing_else(room: EngineRoom) -> None:
    """The stated fields of the person's rows change; all else stays byte for byte."""
    before = rows_of(room, "crm", "customers")
    untouched = room.system("files").dump(), rows_of(room, "crm", "carts")
    ref = rectified(room, right("name", NEW_NAME), right("email", NEW_MAIL, was=MAIL))
    wanted = {**before, "3": {**before["3"], "name": NEW_NAME, "email": NEW_MAIL}}
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
        room, right("total", "11.00", at="invoices"), right("name", NEW_NAME, at="invoices")
    )
    after = rows_of(room, "crm", "invoices")
    assert after["3-new"] == {**before["3-new"], "name": NEW_NAME}
    assert after["3-old"] == {**before["3-old"], "name": NEW_NAME, "total": "11.00"}
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
    stated = certificate(room, rectified(room, right("name", NEW_NAME)))
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
    ref = rectified(room, right("name", NEW_NAME))
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
        room.submit("rectification", corrections, email=MAIL)
    assert not room.rows("SELECT 1 FROM jobs")


def test_corrections_belong_to_rectifications_alone(room: EngineRoom) -> None:
    """On another kind of request they would be forgotten in silence."""
    with pytest.raises(RequestRefused, match="rectification"):
        room.submit("erasure", [right("name", "x")], email=MAIL)


def test_old_and_new_values_are_nowhere_in_the_clear(
    room: EngineRoom, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither ledger, logs nor certificate hold what was wrong or is right now."""
    with caplog.at_level(logging.DEBUG):
        ref = rectified(room, right("name", NEW_NAME, was="Name zq0003zq"))
    dump = ledger_dump(room)
    assert "certificate_made" in dump
    for text in (dump, caplog.text, json.dumps(certificate(room, ref))):
        assert "zq0003zq" not in text
        assert "qnewzq" not in text


def test_shredding_takes_the_corrections_along(room: EngineRoom, tmp_path: Path) -> None:
    """With the case's key goes what was asked for; the fields' names stay as evidence."""
    ref = rectified(room, right("name", NEW_NAME))
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
    ref = room.submit("rectification", [right("content", "x", at="carts")], email=MAIL)
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
    tmp_path: Path, ledger: Callable[[], str]
) -> None:
    """A repeat finds everything in place and reports the values that the intent counted."""
    crm = restrictable()["crm"].replace(
        "config: {name: NAME-crm}",
        "config: {name: NAME-crm, fault: {kind: transient, when: after, method: rectify,"
        " after_calls: 2, times: 1}}",
    )
    room = EngineRoom(tmp_path, ledger(), systems={"crm": crm})
    room.load_people(6)
    ref = room.submit("rectification", [right("name", NEW_NAME)], email=MAIL)
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
