"""An installation whose answers a second person looks at, and answers in a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dsr_worker.evidence import verify_certificate
from tests.integration.engine_room import ORGANISATION, EngineRoom

MAIL = "p.zq0003zq@mail.example"
SECOND_LOOK = ORGANISATION.replace("access: automatic", "access: second_actor")


def answered(room: EngineRoom, kind: str = "access") -> str:
    """A case of person 3, answered; its reference."""
    ref = room.submit(kind, email=MAIL)
    room.settle()
    room.approve(ref)
    room.settle()
    assert room.job(ref)["state"] == "ready", (room.steps(ref), room.events(ref))
    return ref


def certified(room: EngineRoom, ref: str, to: Path) -> dict[str, Any]:
    """The certificate of a case, checked and read."""
    room.office.delivery.certificate(ref, to, room.sign("anna", "hand-over", ref))
    content = to.read_bytes()
    assert verify_certificate(content, room.office.keys.public_key) == []
    certificate: dict[str, Any] = json.loads(content)["certificate"]
    return certificate
