"""An open dispute against everything that erases: it wins each race, and nothing waits for ever."""

from __future__ import annotations

import threading
from datetime import date
from typing import Any

import pytest

from dsr_worker.contract import Correction, Identity
from dsr_worker.fulfil.correcting import Stated
from dsr_worker.ledger import reports
from tests.integration.engine_room import EngineRoom
from tests.integration.sweep_room import Make
from tests.integration.test_complaints import decide, dispute, erasure, mail

_MOMENTS = 8  # drains after which an erasure in two systems is over


def _theirs(room: EngineRoom, number: int) -> dict[tuple[str, str, Any], Any]:
    """Every row of a person, by place and key."""
    keys = {str(number), f"{number}-new", f"{number}-old", f"cart-{number}", f"doc-{number}"}
    return {
        (system, collection, key): row
        for system in ("crm", "files")
        for collection, rows in room.system(system).dump().items()
        for key, row in rows.items()
        if key[0] in keys
    }


def _drain_systems(room: EngineRoom) -> None:
    """One turn of everything but the desk, which certifies."""
    room.tick()
    for system in ("crm", "files"):
        room.workshop.drainer(system)


def _days(room: EngineRoom) -> list[date | None]:
    """The days of all that is promised and not carried out."""
    with room.office.ledger.transaction() as cursor:
        return [promise.due_on for promise in reports.promised(cursor)]


def _invoices(room: EngineRoom, number: int) -> int:
    return sum(key[0].startswith(f"{number}-") for key in room.system("crm").dump()["invoices"])


def test_nothing_goes_after_a_dispute_was_accepted_whatever_the_moment(room: EngineRoom) -> None:
    """Submitted, planned, approved, located, half applied, answered: what is there then stays."""
    for number in range(_MOMENTS):
        ref = erasure(room, number)
        for _ in range(number):
            room.tick()
            for system in ("crm", "files"):
                if room.job(ref)["state"] == "working":
                    room.workshop.drainer(system)
        dispute(room, mail(number))
        before = _theirs(room, number)
        room.settle()
        assert room.job(ref)["state"] == "ready"
        assert _theirs(room, number) == before, (number, room.steps(ref))


@pytest.mark.parametrize("ends", ["withdraw", "release"])
def test_a_dispute_that_ends_before_the_certificate_leaves_nothing_for_ever(
    room: EngineRoom, ends: str
) -> None:
    """What is promised after the hold that kept it was released has a day all the same."""
    filed = dispute(room, mail(3))
    ref = erasure(room, 3)
    while not any(action == "certify" for action, *_ in room.steps(ref)):
        _drain_systems(room)
    if ends == "withdraw":
        decide(room, "withdraw", filed.ref)
    else:
        hold = str(filed.hold)
        room.office.holding.release(hold, room.sign("berta", "release-hold", hold))
    room.settle()
    days = _days(room)
    assert days
    assert None not in days
    room.move_clock(days=16)
    room.settle()
    assert not any("cart" in str(place) for place in _theirs(room, 3))


def test_a_release_and_a_certificate_at_once_leave_nothing_for_ever(room: EngineRoom) -> None:
    """Whichever commits first, the other sees it."""
    filed = dispute(room, mail(3))
    ref = erasure(room, 3)
    while not any(action == "certify" for action, *_ in room.steps(ref)):
        _drain_systems(room)
    threads = [
        threading.Thread(target=room.settle),
        threading.Thread(target=lambda: decide(room, "withdraw", filed.ref)),
    ]
    with room.office.ledger.transaction() as cursor:  # both arrive before either may go on
        cursor.execute("LOCK TABLE promises IN EXCLUSIVE MODE")
        for thread in threads:
            thread.start()
        threads[1].join(0.5)
    for thread in threads:
        thread.join(100)
    room.settle()
    days = _days(room)
    assert days
    assert None not in days


def test_a_dispute_holds_what_an_earlier_erasure_had_kept(room: EngineRoom) -> None:
    """A promise goes by a customer number, a dispute by an address: it is one person's."""
    ref = erasure(room, 3)
    room.settle()
    assert room.outcomes(ref)["crm", "invoices", "masked"] == 1
    filed = dispute(room, mail(3))
    room.move_clock(days=365 * 11)
    room.settle()
    assert _invoices(room, 3) == 1
    assert _days(room) == [None]
    decide(room, "withdraw", filed.ref)
    (day,) = _days(room)
    assert day is not None
    room.move_clock(days=16)
    room.settle()
    assert _invoices(room, 3) == 0


def test_a_dispute_that_comes_when_a_promise_is_being_carried_out_wins(room: EngineRoom) -> None:
    """Its job knows the person by a number alone; the address still names them."""
    erasure(room, 3)
    room.settle()
    room.move_clock(days=365 * 11)
    room.tick()
    assert room.rows("SELECT 1 FROM jobs WHERE kind = 'deferred' AND closed_at IS NULL")
    assert _invoices(room, 3) == 1
    filed = dispute(room, mail(3))
    room.settle()
    assert _invoices(room, 3) == 1
    decide(room, "withdraw", filed.ref)
    assert None not in _days(room)


def test_two_disputes_over_what_is_left_end_with_the_last(room: EngineRoom) -> None:
    """By whatever names they hold, the promise waits for both, and once more after its day."""
    erasure(room, 3)
    room.settle()
    one = dispute(room, mail(3))
    two = dispute(room, Identity("customer_number", "3"))
    room.move_clock(days=365 * 11)
    room.settle()
    decide(room, "withdraw", two.ref)
    assert _days(room) == [None]
    decide(room, "withdraw", one.ref)
    assert None not in _days(room)
    again = dispute(room, mail(3))
    room.move_clock(days=16)
    room.settle()
    assert _days(room) == [None]
    decide(room, "withdraw", again.ref)
    room.move_clock(days=16)
    room.settle()
    assert _invoices(room, 3) == 0


def test_what_is_kept_for_a_name_the_erasure_did_not_know_is_tried_again(room: EngineRoom) -> None:
    """An erasure by number meets a hold by an address that its rows hold: its end frees them."""
    filed = dispute(room, mail(3))
    ref = room.submit("erasure", customer_number="3")
    room.settle()
    room.approve(ref)
    room.settle()
    assert room.outcomes(ref)["crm", "customers", "retained"] == 1
    decide(room, "withdraw", filed.ref)
    assert None not in _days(room)


def test_a_sweep_leaves_what_an_erasure_kept_of_who_disputes_it(make: Make) -> None:
    """The address went with the erasure; the promise knows whose the rows are."""
    room = make()
    room.load_people(3)
    ref = erasure(room, 1)
    room.settle()
    assert room.outcomes(ref)["crm", "invoices", "masked"] == 1
    dispute(room, mail(1))
    room.carts(3)
    sweep = room.start()
    room.approve_sweep(sweep)
    assert "old-1" in room.left()
    assert not {"old-0", "old-2"} & room.left()


def test_a_dispute_keeps_rows_from_being_put_right(room: EngineRoom) -> None:
    """What is contested is proof: a rectification of the same person waits for its end."""
    put_right = Stated("crm", "customers", Correction("name", "New Name"))
    ref = room.submit("rectification", [put_right], email=mail(3).value)
    room.settle()
    room.approve(ref)
    dispute(room, mail(3))
    before = _theirs(room, 3)
    room.settle()
    assert _theirs(room, 3) == before
