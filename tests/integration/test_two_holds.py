"""What two holds keep has no day until the last of them is released."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from dsr_worker.domain.hold import DatasetHeld, PeopleHeld, RowsHeld, Scope
from dsr_worker.domain.identity import claimed
from dsr_worker.ledger import reports
from dsr_worker.ledger.holds import GoesOn
from tests.integration.engine_room import CRM, EngineRoom

_MAIL = "p.zq0003zq@mail.example"
_PERSON = PeopleHeld((claimed("customer_number", "3"),))


@pytest.fixture
def room(tmp_path: Path, ledger: Callable[[], str]) -> EngineRoom:
    """Six people in one system."""
    made = EngineRoom(tmp_path, ledger(), systems={"crm": CRM})
    made.load_people(6)
    return made


def _held(room: EngineRoom, *scopes: Scope) -> list[str]:
    """The holds of these scopes, under which the person was then erased."""
    review_on = datetime.now(UTC).date() + timedelta(days=90)
    placed = [room.place_hold(scope, f"m-{n}", review_on) for n, scope in enumerate(scopes)]
    ref = room.submit("erasure", email=_MAIL)
    room.settle()
    room.approve(ref)
    room.settle()
    assert room.job(ref)["state"] == "ready", room.steps(ref)
    return placed


def _release(room: EngineRoom, hold: str) -> GoesOn | None:
    return room.office.holding.release(hold, room.sign("anna", "release-hold", hold))


def _held_until(room: EngineRoom) -> list[date | None]:
    """The days of what stays on the holds' ground alone."""
    with room.office.ledger.transaction() as cursor:
        promised = reports.promised(cursor)
    return [p.due_on for p in promised if "ER_LEGAL_CLAIMS" in p.grounds]


@pytest.mark.parametrize(
    "other", [_PERSON, DatasetHeld("crm", None), DatasetHeld("crm", "carts")], ids=str
)
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_day_is_named_by_the_last_release(
    room: EngineRoom, other: Scope, order: tuple[int, int]
) -> None:
    """While another hold covers the rows there is none, whichever goes first, and nothing goes."""
    placed = _held(room, _PERSON, other)
    first, last = (placed[n] for n in order)
    assert _release(room, first) is None
    assert _held_until(room) == [None]
    room.move_clock(days=20)
    room.settle()
    assert not room.rows("SELECT 1 FROM jobs WHERE kind = 'deferred'")
    freed = _release(room, last)
    assert freed is not None
    assert _held_until(room) == [freed.due_on]
    room.move_clock(days=20)
    room.settle()
    assert ("cart-3",) not in room.system("crm").dump()["carts"]


@pytest.mark.parametrize(
    "other",
    [
        PeopleHeld((claimed("customer_number", "4"),)),
        DatasetHeld("crm", "elsewhere"),
        RowsHeld("crm", "carts", "id", ("cart-4",)),
    ],
    ids=lambda scope: type(scope).__name__,
)
def test_a_hold_on_something_else_puts_nothing_off(room: EngineRoom, other: Scope) -> None:
    """Other people, other collections and single rows of others delay no erasure."""
    first, _ = _held(room, _PERSON, other)
    freed = _release(room, first)
    assert freed is not None
    assert _held_until(room) == [freed.due_on]


def test_two_releases_at_once_leave_nothing_waiting(room: EngineRoom) -> None:
    """Neither leaves what it kept to the other: one of them names the day."""
    placed = _held(room, _PERSON, _PERSON)
    found: list[GoesOn | None] = []
    threads = [
        threading.Thread(target=lambda h=hold: found.append(_release(room, h))) for hold in placed
    ]
    with room.office.ledger.transaction() as cursor:  # both arrive before either may go on
        cursor.execute("LOCK TABLE promises IN EXCLUSIVE MODE")
        for thread in threads:
            thread.start()
        threads[0].join(0.5)
    for thread in threads:
        thread.join(100)
    assert [goes is None for goes in found].count(False) == 1
    assert None not in _held_until(room)
