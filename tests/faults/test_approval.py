"""What an approval covers when the world has gone on between the signature and the effect."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dsr_worker.contract import Identity
from dsr_worker.domain.hold import RowsHeld
from dsr_worker.people import digest_of
from tests.faults.room import email
from tests.integration.engine_room import KEYS, EngineRoom

Change = Callable[[EngineRoom], None]


@pytest.fixture
def room(tmp_path: Path, database: Callable[[], str]) -> EngineRoom:
    """Three people in two systems."""
    made = EngineRoom(tmp_path, database())
    made.load_people(3)
    return made


def planned(room: EngineRoom) -> str:
    """An erasure of person 1, planned and not approved yet."""
    ref = room.submit("erasure", email=email(1))
    room.settle()
    assert room.job(ref)["state"] == "awaiting_approval", room.steps(ref)
    return ref


def add(room: EngineRoom, collection: str, *rows: dict[str, Any], system: str = "crm") -> None:
    """Put rows into a system."""
    room.system(system).load({collection: rows}, KEYS)


def change(room: EngineRoom, collection: str, key: str, row: dict[str, Any] | None) -> None:
    """Replace a row, or take it away."""
    with room.system("crm").transaction() as (_, changes):
        changes.append((collection, (key,), row))


def a_cart(number: int) -> dict[str, Any]:
    """One more cart of person 1."""
    return {"id": f"late-{number}", "customer_id": "1", "content": "x", "created_at": "2026-11-02"}


def an_invoice(key: str, issued_on: str) -> dict[str, Any]:
    """An invoice of person 1."""
    return {"id": key, "customer_id": "1", "name": "n", "total": "1", "issued_on": issued_on}


def a_customer(number: str, phone: str | None) -> dict[str, Any]:
    """A customer with the address of person 1."""
    return {
        "id": number,
        "email": email(1),
        "name": "n",
        "phone": phone,
        "country": "DE",
        "created_at": "2020-01-01T00:00:00",
    }


def another_phone(room: EngineRoom) -> None:
    """The person has a phone on file that nobody knew of."""
    change(room, "customers", "1", a_customer("1", "+49 30 7777777"))


def eleven_more(room: EngineRoom) -> None:
    """One row was planned: more than ten beyond it are over the bound."""
    add(room, "carts", *(a_cart(n) for n in range(11)))


def ten_more(room: EngineRoom) -> None:
    """One row was planned: ten beyond it are within the bound."""
    add(room, "carts", *(a_cart(n) for n in range(10)))


def fewer(room: EngineRoom) -> None:
    """An old invoice is gone already."""
    change(room, "invoices", "1-old", None)


def a_new_hold(room: EngineRoom) -> None:
    """The person is held."""
    room.hold_person(Identity("customer_number", "1"))


def a_new_keep(room: EngineRoom) -> None:
    """The old invoice turns out to be inside its period."""
    change(room, "invoices", "1-old", an_invoice("1-old", "2025-06-01T00:00:00"))


VOID = {
    "new_identity": another_phone,
    "over_bound": eleven_more,
}
STANDS = {"fewer": fewer, "ten_more": ten_more, "hold": a_new_hold, "keep": a_new_keep}


@pytest.mark.parametrize("code", sorted(VOID))
def test_an_approval_is_void_when_the_effect_would_reach_further(
    room: EngineRoom, code: str
) -> None:
    """A new identity and a count over its bound stop before any effect, and say what changed."""
    ref = planned(room)
    first = room.job(ref)["plan_hash"]
    room.approve(ref)
    VOID[code](room)
    before = room.system("crm").dump()
    room.settle()
    assert room.system("crm").dump() == before
    voided(room, ref, code, first)
    room.approve(ref)
    room.settle()
    assert room.job(ref)["state"] == "ready", room.steps(ref)


def test_a_second_customer_of_the_same_address_stops_the_approved_erasure(
    room: EngineRoom,
) -> None:
    """Who is meant is a person's choice again, before any effect; what follows is approved anew."""
    ref = planned(room)
    room.approve(ref)
    add(room, "customers", a_customer("77", None))
    before = room.system("crm").dump()
    room.settle()
    assert ("confirm", "crm", 4, "needs_human", "several_people") in room.steps(ref)
    assert room.system("crm").dump() == before
    digest = digest_of("choose", ref, kind="customer_number", value="1")
    signed = room.sign("anna", "choose", ref, digest)
    room.office.decisions.choose(ref, "customer_number", "1", signed)
    room.settle()
    assert room.job(ref)["state"] == "awaiting_approval", room.steps(ref)
    assert room.job(ref)["approved_by"] is None
    room.approve(ref)
    room.settle()
    assert room.job(ref)["state"] == "ready", room.steps(ref)
    assert room.system("crm").dump()["customers"][("77",)] == before["customers"][("77",)]


def voided(room: EngineRoom, ref: str, code: str, first: str) -> None:
    """The case waits for an approval of a new plan, and its chain says why."""
    job = room.job(ref)
    assert job["state"] == "awaiting_approval", room.steps(ref)
    assert job["approved_by"] is None
    assert job["plan_hash"] != first
    reasons = [
        row.reason
        for row in room.rows(
            "SELECT e.body::jsonb->'body'->>'reason' AS reason FROM events e"
            " JOIN jobs j ON j.id = e.job_id WHERE j.ref = %s AND e.kind = 'approval_voided'",
            ref,
        )
    ]
    assert reasons == [code]


def test_an_approval_is_void_when_a_collection_comes_in(room: EngineRoom) -> None:
    """Rows in a collection that the approver was not shown stop the erasure."""
    change(room, "carts", "cart-1", None)
    ref = planned(room)
    first = room.job(ref)["plan_hash"]
    room.approve(ref)
    add(room, "carts", a_cart(0))
    room.settle()
    voided(room, ref, "new_collection", first)
    assert ("late-0",) in room.system("crm").dump()["carts"]


def test_an_approval_is_void_when_what_was_to_stay_would_go(room: EngineRoom) -> None:
    """A hold released after the approval does not turn what was kept into what is erased."""
    scope = RowsHeld("crm", "invoices", "id", ("1-old",))
    review_on = (datetime.now(UTC) + timedelta(days=90)).date()
    placed = room.place_hold(scope, "matter-2", review_on)
    ref = planned(room)
    first = room.job(ref)["plan_hash"]
    room.approve(ref)
    room.office.holding.release(placed, room.sign("anna", "release-hold", placed))
    room.settle()
    voided(room, ref, "harsher_disposition", first)
    assert ("1-old",) in room.system("crm").dump()["invoices"]


@pytest.mark.parametrize("change_of", sorted(STANDS))
def test_an_approval_stands_when_the_effect_reaches_less_far(
    room: EngineRoom, change_of: str
) -> None:
    """Fewer rows, a few more, a new hold and a new keep go ahead and are reported."""
    ref = planned(room)
    room.approve(ref)
    STANDS[change_of](room)
    room.settle()
    assert room.job(ref)["state"] == "ready", room.steps(ref)
    assert "approval_voided" not in room.events(ref)
    kept = ("1-old",) in room.system("crm").dump()["invoices"]
    assert kept is (change_of in {"hold", "keep"})
