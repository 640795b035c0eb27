"""What people ask the ledger: open jobs and what they wait for, the story of one, who is alive.

In: a cursor or the ledger. Out: rows, read only. Identities are never opened here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from typing import Any, NamedTuple

from dsr_worker.evidence import ChainedEvent
from dsr_worker.ledger import answers, slots
from dsr_worker.ledger.connection import Cursor, Ledger
from dsr_worker.ledger.warnings import WARNED_OF

_JOB = """
SELECT j.id, j.ref, j.kind, j.state, j.phase, j.law, j.country, j.received_at, j.plan, j.plan_hash,
       j.facts, j.head_hash, j.submitted_by, j.approved_by, j.created_at, j.closed_at
FROM jobs j WHERE j.ref = upper(%s)
"""

_OPEN = f"""
SELECT j.id, j.ref, j.kind, j.state, j.phase, j.urgent, j.created_at, j.facts,
       (SELECT min(c.conservative_due_at) FROM clocks c WHERE c.job_id = j.id
          AND {WARNED_OF}) AS due_at,
       (SELECT c.zone FROM clocks c WHERE c.job_id = j.id
          AND {WARNED_OF}
          ORDER BY c.conservative_due_at, c.id LIMIT 1) AS zone,
       ARRAY(SELECT DISTINCT s.system || ':' || s.action || ':' || s.code FROM steps s
             WHERE s.job_id = j.id AND s.state IN ('needs_human', 'failed') ORDER BY 1) AS stuck,
       ARRAY(SELECT DISTINCT s.system || ':' || s.action || ':' || s.code FROM steps s
             WHERE s.job_id = j.id AND s.state = 'waiting' ORDER BY 1) AS waiting,
       ARRAY(SELECT DISTINCT s.system || ':' || s.action FROM steps s
             WHERE s.job_id = j.id AND s.state IN ('ready', 'leased') ORDER BY 1) AS working,
       business_now() AS now,
       (SELECT CASE WHEN v.expires_at < business_now() THEN 'expired' ELSE 'sent' END
          FROM codes v WHERE v.job_id = j.id) AS code
FROM jobs j
WHERE j.closed_at IS NULL AND j.kind NOT IN ('hold', 'standing_rules')
  AND (%s::text IS NULL OR j.ref = upper(%s))
ORDER BY due_at NULLS LAST, j.id
"""  # noqa: S608 - fixed text


class JobRow(NamedTuple):
    """A job as it stands."""

    id: int
    ref: str
    kind: str
    state: str
    phase: str
    law: str | None
    country: str | None
    received_at: datetime | None
    plan: dict[str, Any] | None
    plan_hash: str | None
    facts: dict[str, Any]
    head_hash: bytes
    submitted_by: str | None
    approved_by: str | None
    created_at: datetime
    closed_at: datetime | None


class OpenJob(NamedTuple):
    """An open job: `stuck`, `waiting` and `working` are `system:action` with the reason's code.

    `code` is what became of a verification code: sent, expired, None where there is none.
    """

    id: int
    ref: str
    kind: str
    state: str
    phase: str
    urgent: bool
    created_at: datetime
    facts: dict[str, Any]
    due_at: datetime | None
    zone: str | None
    stuck: tuple[str, ...]
    waiting: tuple[str, ...]
    working: tuple[str, ...]
    now: datetime
    code: str | None


class Stop(NamedTuple):
    """Where a job's work stands: a code, what was met there, and what to look at (no values)."""

    system: str
    action: str
    state: str  # needs_human | failed | waiting
    code: str
    error: str
    details: dict[str, Any]


class StandingWarning(NamedTuple):
    """A warning that nobody has acknowledged."""

    id: int
    ref: str
    clock: str
    recipient: str
    threshold: str
    raised_at: datetime
    sent: int
    due_at: datetime | None
    zone: str


class AnsweredFile(NamedTuple):
    """What became of a made answer."""

    kind: str
    size_bytes: int
    expires_at: datetime | None
    handed_over_at: datetime | None
    destroyed_at: datetime | None


class Promised(NamedTuple):
    """Rows of a system that a case left for later; without a day they wait for a hold to end.

    The first of them goes on `due_on`, the last on `last_due_on`.
    """

    ref: str
    system: str
    due_on: date | None
    last_due_on: date | None
    rows: int
    grounds: list[str]


class KnownEvent(NamedTuple):
    """An event as its chain holds it, with the reference of its job."""

    ref: str
    event: dict[str, Any]


class Head(NamedTuple):
    """The head of a job's chain."""

    id: int
    ref: str
    hash: bytes


def job(cursor: Cursor, ref: str) -> JobRow | None:
    """The job of a reference, in whatever case it is written."""
    cursor.execute(_JOB, (ref,))
    row = cursor.fetchone()
    return None if row is None else JobRow(*row)._replace(head_hash=bytes(row.head_hash))


def open_jobs(cursor: Cursor, ref: str | None = None) -> list[OpenJob]:
    """Every open job but holds, the most urgent clock first; or the one of a reference."""
    cursor.execute(_OPEN, (ref, ref))
    return [
        OpenJob(*row)._replace(
            stuck=tuple(row.stuck), waiting=tuple(row.waiting), working=tuple(row.working)
        )
        for row in cursor.fetchall()
    ]


def stops(cursor: Cursor, job_id: int) -> list[Stop]:
    """Where a job stands before a person or waits for a system, system by system."""
    cursor.execute(
        "SELECT DISTINCT system, action, state, code, error, details::text AS details FROM steps"
        " WHERE job_id = %s AND state IN ('needs_human', 'failed', 'waiting') ORDER BY 1, 2, 3, 4",
        (job_id,),
    )
    return [
        Stop(r.system, r.action, r.state, r.code, r.error, json.loads(r.details or "{}"))
        for r in cursor.fetchall()
    ]


def open_work(ledger: Ledger) -> int:
    """How many open jobs have work that workers do."""
    with ledger.transaction() as cursor:
        cursor.execute(
            "SELECT count(*) AS jobs FROM jobs j WHERE j.closed_at IS NULL AND EXISTS (SELECT FROM"
            " steps s WHERE s.job_id = j.id AND s.state IN ('ready', 'leased', 'waiting'))"
        )
        return int(cursor.fetchone().jobs)


def live_workers(ledger: Ledger, within_s: float) -> int:
    """How many workers gave a sign of life within so many seconds and have not ended since."""
    gone = list(slots.dead_workers(ledger))
    with ledger.transaction() as cursor:
        cursor.execute(
            "SELECT count(*) AS alive FROM workers WHERE NOT id = ANY(%s)"
            " AND seen_at > now() - make_interval(secs => %s)",
            (gone, within_s),
        )
        return int(cursor.fetchone().alive)


def events(cursor: Cursor, job_id: int) -> list[ChainedEvent]:
    """The chain of a job, in order."""
    cursor.execute(
        "SELECT seq, body, leaf, chain FROM events WHERE job_id = %s ORDER BY seq", (job_id,)
    )
    return [
        ChainedEvent(r.seq, r.body.encode(), bytes(r.leaf), bytes(r.chain))
        for r in cursor.fetchall()
    ]


def events_of(cursor: Cursor, kinds: Iterable[str], ref: str) -> list[KnownEvent]:
    """The events of these kinds of one job, oldest first."""
    cursor.execute(
        "SELECT j.ref, e.body FROM events e JOIN jobs j ON j.id = e.job_id"
        " WHERE e.kind = ANY(%s) AND j.ref = upper(%s) ORDER BY e.seq",
        (sorted(kinds), ref),
    )
    return [KnownEvent(row.ref, json.loads(row.body)) for row in cursor.fetchall()]


_NEWEST = """
SELECT e.at, e.job_id, e.seq, j.ref, e.body FROM events e JOIN jobs j ON j.id = e.job_id
WHERE e.kind = ANY(%s) AND e.at >= %s AND (e.at, e.job_id, e.seq) < (%s, %s, %s)
ORDER BY e.at DESC, e.job_id DESC, e.seq DESC LIMIT %s
"""


def newest_events(
    ledger: Ledger, kinds: Iterable[str], since: datetime | None = None, part: int = 2_000
) -> Iterator[KnownEvent]:
    """Events of these kinds of all jobs, newest first, back to `since`; read in parts as asked."""
    wanted, start = sorted(kinds), "-infinity" if since is None else since
    last: tuple[Any, ...] = ("infinity", 0, 0)
    while True:
        with ledger.transaction() as cursor:
            cursor.execute(_NEWEST, (wanted, start, *last, part))
            rows = cursor.fetchall()
        for row in rows:
            yield KnownEvent(row.ref, json.loads(row.body))
        if len(rows) < part:
            return
        last = (rows[-1].at, rows[-1].job_id, rows[-1].seq)


def heads(ledger: Ledger, part: int = 1_000) -> Iterator[Head]:
    """The heads of all chains, by job id; memory does not grow with their number."""
    after = 0
    while True:
        with ledger.transaction() as cursor:
            cursor.execute(
                "SELECT id, ref, head_hash FROM jobs WHERE id > %s ORDER BY id LIMIT %s",
                (after, part),
            )
            rows = cursor.fetchall()
        for row in rows:
            yield Head(row.id, row.ref, bytes(row.head_hash))
        if not rows:
            return
        after = rows[-1].id


def checkpoint_bodies(cursor: Cursor) -> list[str]:
    """Every checkpoint as signed, oldest first."""
    cursor.execute("SELECT body FROM checkpoints ORDER BY number")
    return [row.body for row in cursor.fetchall()]


def outcomes(cursor: Cursor, job_id: int) -> list[Any]:
    """What became of a job's rows: system, collection, outcome, ground, until when, rows.

    They are those of its certificate: by `answers.COUNTED`.
    """
    cursor.execute(
        "SELECT r.system, r.collection, r.outcome, r.ground, r.first_until_on, r.until_on,"  # noqa: S608 - fixed text
        " sum(r.row_count)::bigint AS rows"
        f" FROM {answers.COUNTED} AND r.job_id = %s"
        " GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5",
        (job_id,),
    )
    return cursor.fetchall()


def left_out(cursor: Cursor, job_id: int) -> list[dict[str, Any]]:
    """What the last package of an access left out, by ground: values, until when."""
    cursor.execute(
        "SELECT result->'left_out' AS parts FROM steps WHERE job_id = %s AND action = 'package'"
        " AND state = 'done' ORDER BY round DESC LIMIT 1",
        (job_id,),
    )
    row = cursor.fetchone()
    return list((row and row.parts) or ())


def clocks(cursor: Cursor, job_id: int) -> list[Any]:
    """The clocks of a job, soonest first; of those of further laws, why they are there."""
    cursor.execute(
        "SELECT name, recipient, state, citation, verified, zone, due_at, due_on,"
        " conservative_due_at, conservative_due_on, condition,"
        " CASE WHEN state = 'void' THEN facts->>'reason' END AS reason,"
        " coalesce(facts->>'law', '') AS law, facts->'because' AS because"
        " FROM clocks WHERE job_id = %s"
        " ORDER BY conservative_due_at NULLS LAST, name",
        (job_id,),
    )
    return cursor.fetchall()


def promised(cursor: Cursor, ref: str | None = None) -> list[Promised]:
    """Erasures promised and not begun, soonest first, those that wait for a hold last.

    With `ref` (in whatever case it is written) those of one case.
    """
    cursor.execute(
        "SELECT j.ref, p.system, p.due_on, p.last_due_on, p.row_count, p.grounds FROM promises p"
        " JOIN jobs j ON j.id = p.job_id WHERE p.carried_out_by IS NULL"
        " AND (%s::text IS NULL OR j.ref = upper(%s)) ORDER BY p.due_on NULLS LAST, j.id, p.system",
        (ref, ref),
    )
    return [Promised(*row) for row in cursor.fetchall()]


def answer(cursor: Cursor, job_id: int) -> AnsweredFile | None:
    """The answer made for a job."""
    cursor.execute(
        "SELECT kind, size_bytes, expires_at, handed_over_at, destroyed_at FROM packages"
        " WHERE job_id = %s",
        (job_id,),
    )
    row = cursor.fetchone()
    return None if row is None else AnsweredFile(*row)


def looked_again(cursor: Cursor, job_id: int) -> list[tuple[str, dict[str, Any]]]:
    """What the last look after the work told, by system; empty before it."""
    cursor.execute(
        "SELECT DISTINCT ON (system) system, result FROM steps WHERE job_id = %s"
        " AND action = 'recheck' AND state = 'done' ORDER BY system, round DESC",
        (job_id,),
    )
    return [(row.system, row.result or {}) for row in cursor.fetchall()]


def standing_warnings(cursor: Cursor) -> list[StandingWarning]:
    """Warnings of open clocks that nobody has acknowledged, soonest due first."""
    cursor.execute(
        "SELECT w.id, j.ref, c.name, c.recipient, w.threshold, w.raised_at, w.sent,"  # noqa: S608 - fixed text
        " c.conservative_due_at, c.zone FROM warnings w JOIN clocks c ON c.id = w.clock_id"
        " JOIN jobs j ON j.id = c.job_id WHERE w.acknowledged_at IS NULL"
        f" AND {WARNED_OF} ORDER BY c.conservative_due_at, w.id"
    )
    return [StandingWarning(*row) for row in cursor.fetchall()]


def warned_job(cursor: Cursor, warning: int) -> str | None:
    """The reference of the job that a warning is about."""
    cursor.execute(
        "SELECT j.ref FROM warnings w JOIN clocks c ON c.id = w.clock_id"
        " JOIN jobs j ON j.id = c.job_id WHERE w.id = %s",
        (warning,),
    )
    row = cursor.fetchone()
    return None if row is None else str(row.ref)


def newest_worker(ledger: Ledger) -> int:
    """The highest id that a worker was given; 0 before the first."""
    with ledger.transaction() as cursor:
        cursor.execute("SELECT coalesce(max(id), 0) AS id FROM workers")
        return int(cursor.fetchone().id)


def is_trial(ledger: Ledger) -> bool:
    """Whether this ledger's business clock may be moved."""
    with ledger.transaction() as cursor:
        cursor.execute("SELECT trial FROM instance")
        row = cursor.fetchone()
    return bool(row and row.trial)
