"""A promise erases what was promised and no more, and holds up no other."""

from __future__ import annotations

from typing import Any

from tests.integration.engine_room import EngineRoom
from tests.integration.person_three import erased


def _deferred(room: EngineRoom) -> list[Any]:
    return room.rows("SELECT * FROM jobs WHERE kind = 'deferred' ORDER BY id")


def _returned(room: EngineRoom, count: int) -> None:
    """The erased customer 3 has come back under the same number and left many carts."""
    crm = room.system("crm")
    carts = [
        {"id": f"new-{n}", "customer_id": "3", "content": "lamp", "created_at": "2036-01-01"}
        for n in range(count)
    ]
    crm.load({"carts": carts}, {"carts": ("id",)})


def test_a_promise_erases_no_more_than_was_promised(room: EngineRoom) -> None:
    """Rows that came after the erasure are not taken by its promise; a human is asked."""
    erased(room)
    _returned(room, 30)
    room.move_clock(days=366 * 10)
    room.settle()
    (job,) = [j for j in _deferred(room) if j.state != "closed"]
    assert (job.state, job.phase) == ("needs_human", "promise_exceeded"), room.steps(job.ref)
    assert ("3-new",) in room.system("crm").dump()["invoices"]
    assert ("new-1",) in room.system("crm").dump()["carts"]
    room.office.decisions.retry(job.ref, room.sign("anna", "retry", job.ref))
    room.settle()
    assert room.job(job.ref)["phase"] == "promise_exceeded"
    erasure = room.submit("erasure", customer_number="3")
    room.settle()
    room.approve(erasure)
    room.settle()
    assert ("new-1",) not in room.system("crm").dump()["carts"]
    room.office.decisions.retry(job.ref, room.sign("anna", "retry", job.ref))
    room.settle()
    assert room.job(job.ref)["state"] == "closed", (room.steps(job.ref), room.events(job.ref))


def test_a_promise_that_does_not_open_holds_up_no_other(room: EngineRoom) -> None:
    """One spoilt promise becomes a question to a human; the others are carried out."""
    for n in (3, 4):
        erased(room, f"p.zq000{n}zq@mail.example")
    spoilt = room.rows("SELECT id, sealed FROM promises WHERE system = 'crm' ORDER BY id")[0]
    with room.office.ledger.transaction() as cursor:
        cursor.execute("UPDATE promises SET sealed = 'x' WHERE id = %s", (spoilt.id,))
    room.move_clock(days=366 * 10)
    room.settle()
    stopped = [j for j in _deferred(room) if j.state != "closed"]
    assert [j.phase for j in stopped] == ["promise_unopenable"]
    assert ("4-new",) not in room.system("crm").dump()["invoices"]
    with room.office.ledger.transaction() as cursor:
        cursor.execute(
            "UPDATE promises SET sealed = %s WHERE id = %s", (bytes(spoilt.sealed), spoilt.id)
        )
    (job,) = stopped
    room.office.decisions.retry(job.ref, room.sign("anna", "retry", job.ref))
    room.settle()
    assert {j.state for j in _deferred(room)} == {"closed"}
    assert ("3-new",) not in room.system("crm").dump()["invoices"]


def test_a_promise_whose_system_left_the_map_asks_a_human(room: EngineRoom) -> None:
    """A promise in a system that the map names no longer neither vanishes nor fails in silence."""
    erased(room)
    with room.office.ledger.transaction() as cursor:
        cursor.execute("UPDATE promises SET system = 'gone'")
    room.move_clock(days=366 * 10)
    room.settle()
    (job,) = _deferred(room)
    assert (job.state, job.phase) == ("needs_human", "system_unmapped")
    assert room.rows("SELECT 1 FROM promises WHERE sealed IS NOT NULL")
