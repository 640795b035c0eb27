"""Appeals against answers: one row each, beside the events that tell of them.

In: a case locked in the caller's transaction. Out: its last appeal, a new one, or how that was
decided. Nobody decides on an appeal against an answer of their own: the ledger itself refuses that.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from dsr_worker.ledger.connection import Cursor


class Appeal(NamedTuple):
    """An appeal. `verdict` and `decided_by` are None while it is open."""

    number: int
    received_at: datetime
    late: bool
    was: str
    answered_by: str | None
    verdict: str | None
    decided_by: str | None


def last(cursor: Cursor, job_id: int) -> Appeal | None:
    """The last appeal of a case, whatever became of it."""
    cursor.execute(
        "SELECT number, received_at, late, was, answered_by, verdict, decided_by FROM appeals"
        " WHERE job_id = %s ORDER BY number DESC LIMIT 1",
        (job_id,),
    )
    row = cursor.fetchone()
    return None if row is None else Appeal(*row)


def add(cursor: Cursor, job_id: int, appeal: Appeal) -> None:
    """Record an appeal that came."""
    cursor.execute(
        "INSERT INTO appeals (job_id, number, received_at, late, was, answered_by)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        (job_id, *appeal[:5]),
    )


def decide(cursor: Cursor, job_id: int, number: int, verdict: str, actor: str) -> None:
    """Record how an open appeal ended, and by whom."""
    cursor.execute(
        "UPDATE appeals SET verdict = %s, decided_by = %s"
        " WHERE job_id = %s AND number = %s AND verdict IS NULL",
        (verdict, actor, job_id, number),
    )
