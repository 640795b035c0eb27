"""Corrections of one row that say different things, asked for in cases of different times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from dsr_worker.contract import Correction
from dsr_worker.fulfil.correcting import Stated
from tests.faults.room import DrillRoom, customers_room, email

_PLACES = {"crm": "customers", "club": "members"}
_OLD, _FIRST, _SECOND = "Name zq3", "Ida", "Eda"


@pytest.fixture
def room(tmp_path: Path, database: Callable[[], str]) -> DrillRoom:
    """Five people in memory and in Postgres, who have one name in both."""
    made = customers_room(tmp_path, database, 5)
    with made.system("crm").transaction() as (tables, changes):
        rows = tables.rows["customers"].items()
        changes.extend(("customers", key, {**row, "name": f"Name zq{key[0]}"}) for key, row in rows)
    return made


def _asked(room: DrillRoom, value: str, was: str | None) -> str:
    corrections = [
        Stated(system, collection, Correction("name", value, was))
        for system, collection in _PLACES.items()
    ]
    return room.submit("rectification", corrections, email=email(3))


def _planned(room: DrillRoom, value: str, was: str | None) -> str:
    ref = _asked(room, value, was)
    room.settle()
    assert room.job(ref)["state"] == "awaiting_approval", room.stuck()
    return ref


def _names(room: DrillRoom) -> set[str]:
    with room.system("crm").reading() as tables:
        of_crm = tables.rows["customers"]["3",]["name"]
    ((of_club,),) = room.ask_target("SELECT name FROM members WHERE id = 3")
    return {of_crm, of_club}


def _outcomes(room: DrillRoom, ref: str) -> dict[str, tuple[str, str]]:
    """Outcome and ground of the row, by system."""
    return {row[0]: (row[2], row[5]) for row in room.account(ref)}


def _approve(room: DrillRoom, refs: Sequence[str]) -> None:
    for ref in refs:
        room.approve(ref)
    room.settle()
    assert all(room.job(ref)["state"] == "ready" for ref in refs), room.stuck()


@pytest.mark.parametrize("planned", ["after", "before"])
def test_a_correction_of_what_the_row_says_no_longer_changes_nothing(
    room: DrillRoom, planned: str
) -> None:
    """With `was`, what another case has put right meanwhile stays, and the answer says why."""
    first = _planned(room, _FIRST, _OLD)
    second = _planned(room, _SECOND, _OLD) if planned == "before" else ""
    _approve(room, [first])
    second = second or _planned(room, _SECOND, _OLD)
    _approve(room, [second])
    assert _names(room) == {_FIRST}
    assert _outcomes(room, first) == dict.fromkeys(_PLACES, ("rectified", ""))
    assert _outcomes(room, second) == dict.fromkeys(_PLACES, ("retained", "stated_otherwise"))


def test_a_correction_that_states_what_the_row_says_by_then_prevails(room: DrillRoom) -> None:
    """Whoever names what the first case wrote means it, and the row says what was asked last."""
    first = _planned(room, _FIRST, _OLD)
    _approve(room, [first])
    second = _planned(room, _SECOND, _FIRST)
    _approve(room, [second])
    assert _names(room) == {_SECOND}
    assert _outcomes(room, second) == dict.fromkeys(_PLACES, ("rectified", ""))


@pytest.mark.parametrize("planned", ["after", "before"])
def test_without_what_was_the_correction_carried_out_last_prevails(
    room: DrillRoom, planned: str
) -> None:
    """It asks for the value whatever the row says, so that it holds against an earlier case too."""
    first = _planned(room, _FIRST, None)
    second = _planned(room, _SECOND, None) if planned == "before" else ""
    _approve(room, [first])
    second = second or _planned(room, _SECOND, None)
    _approve(room, [second])
    assert _names(room) == {_SECOND}
    for ref in (first, second):
        assert _outcomes(room, ref) == dict.fromkeys(_PLACES, ("rectified", ""))
