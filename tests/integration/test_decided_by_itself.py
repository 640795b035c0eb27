"""Whom the engine takes a request for, by itself, stands in the chain with what it went by."""

from __future__ import annotations

import pytest

from dsr_worker.evidence import Decision, decisions
from dsr_worker.evidence.automatic import READERS
from dsr_worker.fulfil.decided import DecisionRefused
from dsr_worker.ledger import reports
from tests.integration.engine_room import EngineRoom
from tests.integration.person_three import MAIL
from tests.integration.postmen import Postman, with_postman


def _decided(room: EngineRoom, ref: str) -> dict[str, Decision]:
    with room.office.ledger.transaction() as cursor:
        found = reports.events_of(cursor, READERS, ref)
    return {
        decision.rule: decision
        for _, event in found
        for decision in decisions(event["kind"], event["actor"], event["body"])
    }


def _people(room: EngineRoom, *rows: dict[str, str | None]) -> None:
    room.system("crm").load({"customers": list(rows)}, {"customers": ("id",)})


def test_a_code_is_judged_in_the_chain(room: EngineRoom) -> None:
    """Where a code went, that one was wrong and another right: each is told, with its versions."""
    postman = with_postman(room, Postman())
    ref = room.submit("access", verification="code", email=MAIL)
    room.settle()
    ((_, code),) = postman.sent
    wrong = "000000" if code != "000000" else "000001"
    with pytest.raises(DecisionRefused):
        room.office.decisions.enter_code(ref, wrong, room.sign("anna", "enter-code", ref))
    room.office.decisions.enter_code(ref, code, room.sign("anna", "enter-code", ref))
    found = _decided(room, ref)
    assert set(found) == {
        *("contact_on_file", "code_wrong", "code_right"),
        *("clock_stopped", "clock_goes_on"),
    }
    assert found["code_wrong"].inputs["counts"]["tries_allowed"] > 0
    for decision in found.values():
        assert set(decision.versions) == {"map", "policy", "law", "software"}


def test_a_code_that_nobody_was_sent_is_a_denial(room: EngineRoom) -> None:
    """Somebody without a contact on file is not verified by code: an adverse decision."""
    with_postman(room, Postman())
    ref = room.submit("access", verification="code", email="stranger.one@mail.example")
    room.settle()
    denied = _decided(room, ref)["no_single_contact"]
    assert denied.meaning.adverse
    assert denied.inputs["contact_points"] == 0


def test_a_name_of_several_people_is_a_stop_with_its_places(room: EngineRoom) -> None:
    """A name that leads to two people stops the case; where it does is told, not whom it names."""
    _people(
        room,
        *({"id": n, "email": MAIL, "name": n, "phone": None, "country": "DE"} for n in ("3", "33")),
    )
    ref = room.submit("access", email=MAIL)
    room.settle()
    stop = _decided(room, ref)["several_people"]
    assert stop.meaning.adverse
    assert stop.inputs["collections"] == ["crm.customers"]


def test_a_shared_name_is_left_out_and_told_by_digest(room: EngineRoom) -> None:
    """A phone of two people seeds nothing; the register names it by its keyed digest alone."""
    phone = "+49 30 1000003"
    _people(
        room,
        {"id": "3", "email": MAIL, "name": "a", "phone": phone, "country": "DE"},
        {"id": "5", "email": "b@mail.example", "name": "b", "phone": phone, "country": "DE"},
    )
    ref = room.submit("access", email=MAIL)
    room.settle()
    found = _decided(room, ref)
    shared = room.office.keys.index_digest("phone", phone.replace(" ", "")).hex()
    kinds = found["contested"].inputs["identity_kinds"]
    assert kinds == {"phone": 1}
    assert found["contested"].inputs["identities"] == [shared]
    assert shared not in found["resolved"].inputs["identities"]
