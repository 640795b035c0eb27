"""Schedules and their fires: one row per schedule and instant, so that only one machine fires.

In: schedules as files state them, a cursor. Out: what is due. Each function runs in the caller's
transaction; a schedule under way in another transaction is skipped, never waited for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from dsr_worker.ledger.connection import Cursor, Json, values


class Schedule(NamedTuple):
    """A schedule: cron in a zone. `facts` say what to start."""

    name: str
    kind: str
    cron: str
    zone: str
    next_fire_at: datetime
    facts: Mapping[str, Any]


_SYNC = """
INSERT INTO schedules (name, kind, cron, zone, next_fire_at, facts) VALUES %s
ON CONFLICT (name) DO UPDATE SET kind = excluded.kind, cron = excluded.cron, zone = excluded.zone,
    facts = excluded.facts, enabled = true,
    next_fire_at = CASE
        WHEN schedules.enabled AND (schedules.cron, schedules.zone) = (excluded.cron, excluded.zone)
        THEN schedules.next_fire_at ELSE excluded.next_fire_at END
"""


def sync(cursor: Cursor, kind: str, wanted: Sequence[Schedule]) -> None:
    """Enable exactly these schedules of a kind. One that is unchanged keeps its next fire."""
    if wanted:
        values(cursor, _SYNC, [(*s[:-1], Json(dict(s.facts))) for s in wanted])
    cursor.execute(
        "UPDATE schedules SET enabled = false WHERE kind = %s AND enabled AND NOT name = ANY(%s)",
        (kind, [s.name for s in wanted]),
    )


def due(cursor: Cursor, kind: str) -> list[str]:
    """The names of the schedules whose time has come, the longest overdue first."""
    cursor.execute(
        "SELECT name FROM schedules WHERE kind = %s AND enabled AND next_fire_at <= business_now()"
        " ORDER BY next_fire_at, name",
        (kind,),
    )
    return [row.name for row in cursor.fetchall()]


def take(cursor: Cursor, name: str) -> Schedule | None:
    """Lock a schedule that is due; None when another has it, or has fired it already."""
    cursor.execute(
        "SELECT name, kind, cron, zone, next_fire_at, facts FROM schedules WHERE name = %s"
        " AND enabled AND next_fire_at <= business_now() FOR UPDATE SKIP LOCKED",
        (name,),
    )
    row = cursor.fetchone()
    return None if row is None else Schedule(*row)


def fire(cursor: Cursor, name: str, fire_at: datetime, next_fire_at: datetime) -> bool:
    """Record a fire and when the next one is; False when this fire is on record already."""
    cursor.execute("UPDATE schedules SET next_fire_at = %s WHERE name = %s", (next_fire_at, name))
    cursor.execute(
        "INSERT INTO fires (schedule, fire_at) VALUES (%s, %s) ON CONFLICT DO NOTHING",
        (name, fire_at),
    )
    return cursor.rowcount == 1


def tie(cursor: Cursor, name: str, fire_at: datetime, job_id: int | None) -> None:
    """Record the job that a fire started or met; None when none could start."""
    cursor.execute(
        "UPDATE fires SET job_id = %s WHERE schedule = %s AND fire_at = %s",
        (job_id, name, fire_at),
    )


def listed(cursor: Cursor) -> list[Schedule]:
    """The enabled schedules, the next to fire first."""
    cursor.execute(
        "SELECT name, kind, cron, zone, next_fire_at, facts FROM schedules WHERE enabled"
        " ORDER BY next_fire_at, name"
    )
    return [Schedule(*row) for row in cursor.fetchall()]
