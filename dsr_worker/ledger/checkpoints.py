"""Checkpoints over the event chains: what is not sealed yet, and what each one covers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from dsr_worker.ledger.connection import Cursor, values

_SEALER_LOCK = 0x7365616C


_LEAF_BYTES = 32  # SHA-256


class Stretch(NamedTuple):
    """Events of one job, one after the other, that no checkpoint covers yet."""

    job_id: int
    from_seq: int
    to_seq: int
    leaves: tuple[bytes, ...]


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


# A job's head is committed with its events, so one statement's snapshot never sees a gap.
_UNSEALED = """
FROM jobs j
LEFT JOIN LATERAL (SELECT max(to_seq) AS seq FROM seals WHERE job_id = j.id) s ON true
WHERE j.unsealed AND j.head_seq > coalesce(s.seq, 0)
"""
_WAITING = f"SELECT coalesce(sum(j.head_seq - coalesce(s.seq, 0)), 0) AS events {_UNSEALED}"
_STRETCHES = f"""
SELECT job_id, min(seq) AS from_seq, max(seq) AS to_seq,
       string_agg(leaf, ''::bytea ORDER BY seq) AS leaves
FROM (SELECT j.id, coalesce(s.seq, 0) AS sealed {_UNSEALED} ORDER BY j.id LIMIT %s) AS open
JOIN events e ON e.job_id = open.id AND e.seq > open.sealed
GROUP BY job_id ORDER BY job_id
"""  # noqa: S608 - fixed text


def waiting(cursor: Cursor) -> int:
    """How many events no checkpoint covers."""
    cursor.execute(_WAITING)
    return int(cursor.fetchone().events)


def overdue(cursor: Cursor, older_than_s: float) -> int:
    """How many events no checkpoint covers though they are older than so many seconds."""
    cursor.execute(
        "SELECT count(*) AS events FROM jobs j LEFT JOIN LATERAL"
        " (SELECT max(to_seq) AS seq FROM seals WHERE job_id = j.id) s ON true"
        " JOIN events e ON e.job_id = j.id AND e.seq > coalesce(s.seq, 0)"
        " WHERE e.at < now() - make_interval(secs => %s)",
        (older_than_s,),
    )
    return int(cursor.fetchone().events)


def unsealed(cursor: Cursor, jobs: int) -> list[Stretch]:
    """What is not covered of so many jobs, in the order of their ids."""
    cursor.execute(_STRETCHES, (jobs,))
    return [
        Stretch(row.job_id, row.from_seq, row.to_seq, _cut(bytes(row.leaves)))
        for row in cursor.fetchall()
    ]


def _cut(leaves: bytes) -> tuple[bytes, ...]:
    return tuple(leaves[at : at + _LEAF_BYTES] for at in range(0, len(leaves), _LEAF_BYTES))


def keep(cursor: Cursor, number: int, body: str, sealed: Sequence[Stretch]) -> None:
    """Record a checkpoint and the stretches of chains it covers."""
    cursor.execute("INSERT INTO checkpoints (number, body) VALUES (%s, %s)", (number, body))
    values(
        cursor,
        "INSERT INTO seals (checkpoint, job_id, from_seq, to_seq) VALUES %s",
        [(number, s.job_id, s.from_seq, s.to_seq) for s in sealed],
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
