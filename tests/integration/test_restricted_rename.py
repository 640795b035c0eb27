"""A restricted person's name waits for the lifting; what else is asked for does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dsr_worker.contract import Correction
from dsr_worker.fulfil.correcting import Stated
from dsr_worker.ledger import answers
from tests.integration.engine_room import EngineRoom

_MAIL, _NEW_MAIL, _NEW_NAME = "p.zq0003zq@mail.example", "new.zqnewzq@mail.example", "Zqnewzq Name"


def _carried_out(room: EngineRoom, kind: str, *asked: tuple[str, str]) -> str:
    """Submit, approve, and let it be answered."""
    stated = [Stated("crm", "customers", Correction(field, value)) for field, value in asked]
    ref = room.submit(kind, stated, email=_MAIL) if stated else room.submit(kind, email=_MAIL)
    room.settle()
    room.approve(ref)
    room.settle()
    assert room.job(ref)["state"] == "ready", (room.steps(ref), room.events(ref))
    return ref


def _customer(room: EngineRoom) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(room.system("crm").dump()["customers"]["3",])
    return found


def test_only_the_name_of_a_restricted_person_waits(
    tmp_path: Path, database: Callable[[], str]
) -> None:
    """The rest is put right and told as granted in part; after the lifting the name is, too."""
    room = EngineRoom(tmp_path, database())
    room.load_people(6)
    restriction, before = _carried_out(room, "restriction"), _customer(room)
    ref = _carried_out(room, "rectification", ("email", _NEW_MAIL), ("name", _NEW_NAME))
    assert _customer(room) == {**before, "name": _NEW_NAME}
    with room.office.ledger.transaction() as cursor:
        made = answers.of(cursor, room.job(ref)["id"])
    assert made is not None
    stated = json.loads(room.office.delivery.read_certificate(made))["certificate"]
    (kept,) = [
        kept
        for system in stated["systems"]
        for result in system["collections"]
        if result["collection"] == "customers"
        for kept in result["kept"]
    ]
    assert (kept["ground"], kept["rectified"]) == ("RESTRICTION", True)
    assert stated["response"]["nature"] == "partly_granted"
    room.lift(restriction)
    room.settle()
    _carried_out(room, "rectification", ("email", _NEW_MAIL))
    assert _customer(room) == {**before, "name": _NEW_NAME, "email": _NEW_MAIL}
