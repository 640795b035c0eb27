"""An installation whose data can be put right and restricted, and words for what happened in it."""

from __future__ import annotations

import json
from typing import Any

from dsr_worker.contract import Correction
from dsr_worker.evidence import render_certificate, verify_certificate
from dsr_worker.fulfil.correcting import Stated
from dsr_worker.ledger import answers
from tests.integration.engine_room import CRM, FILES, EngineRoom

MAIL = "p.zq0003zq@mail.example"
NEW_MAIL = "new.zqnewzq@mail.example"
NEW_NAME = "Zqnewzq Name"
_MEANS = {
    "    class: customer-account\n": (
        "    class: customer-account\n    restrict: {flag: blocked, value: 'yes', free: 'no'}\n"
    ),
    "      country: user.contact.address.country\n": (
        "      country: user.contact.address.country\n      blocked: system.operations\n"
    ),
    "    class: cart\n": "    class: cart\n    restrict: {move: set_aside}\n",
}
_ASIDE = """  set_aside:
    key: [id]
    parent: {collection: customers, on: {customer_id: id}}
    class: cart
    clocks: {record_date: created_at}
    source: {}
    fields:
      id: user.unique_id
      customer_id: user.unique_id
      content: {category: user.content, free_text: true}
      created_at: user.content
"""
_LISTED = """
  listed:
    key: [document]
    parent: {collection: documents, on: {document: id}}
    source: {}
    fields:
      document: user.unique_id
"""


def restrictable() -> dict[str, str]:
    """The room's systems with each kind of means: flag, move and list; invoices have none."""
    crm = CRM
    for before, after in _MEANS.items():
        assert before in crm
        crm = crm.replace(before, after, 1)
    files = FILES.replace(
        "class: attachment\n", "class: attachment\n    restrict: {list: listed}\n"
    )
    return {"crm": crm + _ASIDE, "files": files + _LISTED}


def system_dump(room: EngineRoom) -> list[dict[str, Any]]:
    """Both systems' rows; a collection without rows is as good as none."""
    dumps = (room.system(name).dump() for name in ("crm", "files"))
    return [{name: rows for name, rows in dump.items() if rows} for dump in dumps]


def right(field: str, value: str | None, was: str | None = None, at: str = "customers") -> Stated:
    """A correction in the customers' system."""
    return Stated("crm", at, Correction(field, value, was))


def rows_of(room: EngineRoom, system: str, collection: str) -> dict[str, dict[str, Any]]:
    """Rows of a collection by the first field of their key."""
    return {
        key[0]: json.loads(body)
        for key, body in room.system(system).dump().get(collection, {}).items()
    }


def carried_out(room: EngineRoom, ref: str) -> str:
    """Approve a case and let it be answered."""
    room.settle()
    assert room.job(ref)["state"] == "awaiting_approval", (room.steps(ref), room.events(ref))
    room.approve(ref)
    room.settle()
    assert room.job(ref)["state"] == "ready", (room.steps(ref), room.events(ref))
    return ref


def rectified(room: EngineRoom, *corrections: Stated, mail: str = MAIL) -> str:
    """A rectification, carried out."""
    return carried_out(room, room.submit("rectification", corrections, email=mail))


def restricted(room: EngineRoom, mail: str = MAIL) -> str:
    """A restriction, carried out."""
    return carried_out(room, room.submit("restriction", email=mail))


def certificate(room: EngineRoom, ref: str) -> dict[str, Any]:
    """What a case's certificate states; it bears our signature and becomes a page."""
    with room.office.ledger.transaction() as cursor:
        made = answers.of(cursor, room.job(ref)["id"])
    assert made is not None, room.steps(ref)
    content = room.office.delivery.read_certificate(made)
    assert verify_certificate(content, room.office.keys.public_key) == []
    assert "<h1>" in render_certificate(content)
    stated: dict[str, Any] = json.loads(content)["certificate"]
    return stated


def results(stated: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Results by `system.collection`, noughts left out."""
    return {
        f"{s['system']}.{r['collection']}": {k: v for k, v in r.items() if v and k != "collection"}
        for s in stated["systems"]
        for r in s["collections"]
    }
