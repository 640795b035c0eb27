"""Person 3 of an installation: their mail, an erasure and an access of theirs carried out."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from dsr_worker.package import Method
from tests.integration.engine_room import EngineRoom

MAIL = "p.zq0003zq@mail.example"
PASSPHRASE = "correct-horse-battery"


def erased(room: EngineRoom, mail: str = MAIL) -> str:
    """An erasure, carried out and answered; its reference."""
    ref = room.submit("erasure", email=mail)
    room.settle()
    room.approve(ref)
    room.settle()
    assert room.job(ref)["state"] == "ready", (room.steps(ref), room.events(ref))
    return ref


def answered(room: EngineRoom) -> str:
    """An access whose package is ready; its reference."""
    ref = room.submit("access", email=MAIL)
    room.settle()
    assert room.job(ref)["state"] == "ready", (room.steps(ref), room.events(ref))
    return ref


def handed_over(room: EngineRoom, ref: str, to: Path) -> None:
    """Hand the package over to a file."""
    signed = room.sign("anna", "hand-over", ref)
    room.office.delivery.package(ref, to, Method.AES_ZIP, PASSPHRASE, signed)


def bodies_of(room: EngineRoom, ref: str, kind: str) -> list[dict[str, Any]]:
    """The bodies of a case's events of one kind."""
    return [
        row.body
        for row in room.rows(
            "SELECT e.body::jsonb->'body' AS body FROM events e JOIN jobs j ON j.id = e.job_id"
            " WHERE j.ref = %s AND e.kind = %s ORDER BY e.seq",
            ref,
            kind,
        )
    ]


def review_on(room: EngineRoom) -> date:
    """A day on which a hold may be looked at again, by the business clock."""
    found = room.rows("SELECT (business_now() + interval '90 days')::date AS day")[0].day
    assert isinstance(found, date)
    return found
