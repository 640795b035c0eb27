"""Checkpoints over the event chains: what is not sealed yet, and what each one covers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from dsr_worker.ledger.connection import Cursor, values

_SEALER_LOCK = 0x7365616C


class Unsealed(NamedTuple):
    """An event that no checkpoint covers yet."""

    job_id: int
    seq: int
    leaf: bytes


class Last(NamedTuple):
    """The newest checkpoint."""

    number: int
    body: str
    made_at: datetime
    age_s: float


def try_lock(cursor: Cursor) -> bool:
    """Be the one sealer until this transaction ends; False when another is at it."""
    cursor.execute("SELECT pg_try_advisory_xact_lock(%s) AS ours", (_SEALER_LOCK,))
    return bool(cursor.fetchone().ours)


def last(cursor: Cursor) -> Last | None:
    """The newest checkpoint."""
    cursor.execute(
        "SELECT number, body, made_at, extract(epoch FROM now() - made_at)::float AS age_s"
        " FROM checkpoints ORDER BY number DESC LIMIT 1"
    )
    row = cursor.fetchone()
    return None if row is None else Last(*row)


def unsealed(cursor: Cursor, limit: int) -> list[Unsealed]:
    """Events not covered, in the order of job and number.

    A job's head is committed with its events, so one statement's snapshot never sees a gap.
    """
    cursor.execute(
        "SELECT e.job_id, e.seq, e.leaf FROM jobs j"
        " LEFT JOIN LATERAL (SELECT max(to_seq) AS seq FROM seals WHERE job_id = j.id) s ON true"
        " JOIN events e ON e.job_id = j.id AND e.seq > coalesce(s.seq, 0)"
        " WHERE j.unsealed AND j.head_seq > coalesce(s.seq, 0) ORDER BY e.job_id, e.seq LIMIT %s",
        (limit,),
    )
    return [Unsealed(r.job_id, r.seq, bytes(r.leaf)) for r in cursor.fetchall()]


def keep(cursor: Cursor, number: int, body: str, covered: Sequence[Unsealed]) -> None:
    """Record a checkpoint and the stretches of chains it covers."""
    cursor.execute("INSERT INTO checkpoints (number, body) VALUES (%s, %s)", (number, body))
    stretches: dict[int, tuple[int, int]] = {}
    for event in covered:
        first, _ = stretches.get(event.job_id, (event.seq, event.seq))
        stretches[event.job_id] = (first, event.seq)
    values(
        cursor,
        "INSERT INTO seals (checkpoint, job_id, from_seq, to_seq) VALUES %s",
        [(number, job_id, *stretch) for job_id, stretch in sorted(stretches.items())],
    )


def unmark(cursor: Cursor) -> None:
    """Look no further at jobs whose chains are covered to their heads, but those under change."""
    cursor.execute(
        "UPDATE jobs SET unsealed = false WHERE id IN (SELECT id FROM jobs WHERE unsealed"
        " AND head_seq <= (SELECT max(to_seq) FROM seals WHERE job_id = jobs.id)"
        " ORDER BY id FOR NO KEY UPDATE SKIP LOCKED)"
    )


def covered(cursor: Cursor, number: int) -> list[bytes]:
    """The leaves of a checkpoint, in the order they were sealed."""
    cursor.execute(
        "SELECT e.leaf FROM seals s JOIN events e ON e.job_id = s.job_id"
        " AND e.seq BETWEEN s.from_seq AND s.to_seq WHERE s.checkpoint = %s"
        " ORDER BY e.job_id, e.seq",
        (number,),
    )
    return [bytes(row.leaf) for row in cursor.fetchall()]
