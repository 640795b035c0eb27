"""Cases from submission to answer, over in-memory systems and a real ledger."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dsr_worker.contract import Identity
from dsr_worker.people import ActorRefused
from tests.integration.engine_room import CRM, EngineRoom


def test_an_access_request_becomes_a_sealed_package(room: EngineRoom) -> None:
    """A verified access request ends in a package with everything of that person."""
    ref = room.submit("access", email="P.ZQ0003zq@Mail.example")
    room.settle()
    assert room.job(ref)["state"] == "ready", room.steps(ref)
    (package,) = room.rows("SELECT * FROM packages")
    assert package.kind == "package"


def test_an_erasure_keeps_what_tax_law_keeps(room: EngineRoom) -> None:
    """An erasure erases, masks the voucher inside its period, and certifies after a second look."""
    before = room.system("crm").dump()
    ref = room.submit("erasure", email="p.zq0003zq@mail.example")
    room.settle()
    assert room.job(ref)["state"] == "awaiting_approval", room.steps(ref)
    room.approve(ref)
    room.settle()
    assert room.job(ref)["state"] == "ready", (room.steps(ref), room.events(ref))
    assert room.outcomes(ref) == {
        ("crm", "customers", "masked"): 1,
        ("crm", "invoices", "masked"): 1,
        ("crm", "invoices", "erased"): 1,
        ("crm", "carts", "erased"): 1,
        ("files", "documents", "erased"): 1,
    }
    after = room.system("crm").dump()
    for collection, rows in before.items():
        for key, body in rows.items():
            if b"zq0003zq" not in body and b'"3"' not in body:
                assert after[collection][key] == body
    assert b"zq0003zq" not in repr(after).encode()


def test_the_submitter_cannot_approve(room: EngineRoom) -> None:
    """Whoever submitted a case is refused as its approver."""
    ref = room.submit("erasure", email="p.zq0003zq@mail.example")
    room.settle()
    with pytest.raises(ActorRefused, match="second person"):
        room.approve(ref, "anna")


def test_a_hold_keeps_everything_of_a_person(room: EngineRoom) -> None:
    """Rows of a held person stay whole, and the answer says so."""
    room.hold_person(Identity("customer_number", "3"))
    before = room.system("crm").dump()
    ref = room.submit("erasure", email="p.zq0003zq@mail.example")
    room.settle()
    room.approve(ref)
    room.settle()
    assert room.job(ref)["state"] == "ready", room.steps(ref)
    assert {k[2] for k in room.outcomes(ref)} == {"retained"}
    assert room.system("crm").dump() == before


def test_a_promise_is_carried_out_when_its_day_has_come(room: EngineRoom) -> None:
    """What a minimum kept goes by itself once the minimum has passed."""
    ref = room.submit("erasure", email="p.zq0003zq@mail.example")
    room.settle()
    room.approve(ref)
    room.settle()
    room.move_clock(days=366 * 10)
    room.settle()
    (deferred,) = room.rows("SELECT ref, state FROM jobs WHERE kind = 'deferred'")
    assert deferred.state == "closed", (room.steps(deferred.ref), room.events(deferred.ref))
    assert ("3-new",) not in room.system("crm").dump()["invoices"]
    assert ("3",) not in room.system("crm").dump()["customers"]


def test_a_missing_secret_stops_for_a_human(tmp_path: Path, ledger: Callable[[], str]) -> None:
    """A system that cannot be opened stops its steps at once, and says it is its configuration."""
    broken = CRM.replace("config: {name: NAME-crm}", "config: {path: {env: NO_SUCH_VARIABLE}}")
    room = EngineRoom(tmp_path, ledger(), systems={"crm": broken})
    ref = room.submit("access", email="p.zq0003zq@mail.example")
    room.settle()
    assert room.steps(ref) == [("resolve", "crm", 1, "needs_human", "configuration")]
