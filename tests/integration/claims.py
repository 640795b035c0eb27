"""Claims of an installation's steps, and workers that are dead."""

from __future__ import annotations

from typing import Any

from dsr_worker.engine.batch import Performer
from dsr_worker.ledger import slots, steps
from dsr_worker.ledger.batches import Claimed
from tests.integration.engine_room import EngineRoom


def submitted(room: EngineRoom, count: int = 1) -> list[str]:
    """Accesses of so many people; their references."""
    return [room.submit("access", email=f"p.zq{n:04x}zq@mail.example") for n in range(count)]


def claim_steps(room: EngineRoom, worker: int | None = None) -> Claimed:
    """What a worker claims of the crm's steps now."""
    by = room.workshop.worker.id if worker is None else worker
    claimed = steps.claim(room.office.ledger, "crm", by)
    assert claimed is not None
    return claimed


def execute(room: EngineRoom, sql: str, *values: object) -> None:
    """Change the ledger behind the engine's back."""
    with room.office.ledger.transaction() as cursor:
        cursor.execute(sql, values)


def dead_worker(room: EngineRoom) -> int:
    """A worker whose session has ended."""
    session = room.office.ledger.connect()
    session.autocommit = True
    try:
        return slots.enlist(session, "elsewhere")
    finally:
        session.close()


def performs(room: EngineRoom, action: str, performer: Performer) -> None:
    """Have an action performed otherwise."""
    performers: Any = room.workshop.drainer._performers
    performers[action] = performer


def step_of(room: EngineRoom, ref: str) -> Any:
    """The row of a case's step that resolves in the crm."""
    (row,) = room.rows(
        "SELECT s.* FROM steps s JOIN jobs j ON j.id = s.job_id"
        " WHERE j.ref = %s AND s.action = 'resolve' AND s.system = 'crm'",
        ref,
    )
    return row
