"""Jobs and their event chains: locked in one order, changed by moves, each with its events.

In: moves. Out: job rows. `change` is the only way a job's state, steps and chain change together;
the number of statements does not depend on the number of jobs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from dsr_worker import evidence
from dsr_worker.ledger import statements
from dsr_worker.ledger.connection import Cursor, Json, Rows, together
from dsr_worker.ledger.rows import UNCHANGED, Event, Job, Move, moved

_SOFTWARE = version("dsr-worker")

_UPDATE_JOBS = """
UPDATE jobs j
SET state = v.state, phase = v.phase, round = v.round, pending = v.pending, frozen = v.frozen,
    plan = CASE WHEN v.replans THEN v.plan ELSE j.plan END, plan_hash = v.plan_hash,
    facts = coalesce(v.facts, j.facts), urgency_at = v.urgency_at,
    verified_at = v.verified_at, verified_how = coalesce(v.verified_how, j.verified_how),
    approved_by = v.approved_by, closed_at = v.closed_at,
    head_seq = v.head_seq, head_hash = v.head_hash,
    unsealed = j.unsealed OR v.head_seq > j.head_seq,
    just_answered = j.just_answered OR (
        v.state <> j.state
        AND v.state IN ('ready', 'refused', 'delivered', 'answered_with_remainders', 'closed',
                        'withdrawn'))
FROM (VALUES %s) AS v(id, state, phase, round, pending, frozen, replans, plan, plan_hash, facts,
                      urgency_at, verified_at, verified_how, approved_by, closed_at, head_seq,
                      head_hash)
WHERE j.id = v.id
"""
_JOB_TEMPLATE = (
    "(%s::bigint, %s, %s, %s::smallint, %s::int, %s::int, %s, %s::jsonb, %s,"
    " %s::jsonb, %s::timestamptz,"
    " %s::timestamptz, %s, %s, %s::timestamptz, %s::int, %s::bytea)"
)
_INSERT_STEPS = """
INSERT INTO steps (job_id, action, system, round, frozen, effect, state, sweep, urgency_at, urgent,
                   run_at, details)
VALUES %s
"""
_STEP_TEMPLATE = "(%s,%s,%s,%s,%s,%s,'ready',%s,%s,%s,coalesce(%s::timestamptz, now()),%s)"
_INSERT_EVENTS = "INSERT INTO events (job_id, seq, at, kind, actor, body, leaf, chain) VALUES %s"


def lock(cursor: Cursor, ids: Iterable[int]) -> dict[int, Job]:
    """Lock these jobs, in the order of their ids, until the transaction ends."""
    wanted = sorted(set(ids))
    if not wanted:
        return {}
    cursor.execute(statements.LOCK_JOBS, {"ids": wanted})
    return {row.id: _job(row) for row in cursor.fetchall()}


def lock_ref(cursor: Cursor, ref: str) -> Job | None:
    """Lock the job of this reference; None where there is none."""
    cursor.execute("SELECT id FROM jobs WHERE ref = %s", (ref,))
    found = cursor.fetchone()
    return None if found is None else lock(cursor, [found.id])[found.id]


def change(
    cursor: Cursor, moves: Sequence[Move], *, settled: Mapping[int, int] | None = None
) -> list[str]:
    """Apply moves to jobs locked in this transaction; one move a job.

    `settled` counts steps finished per job. Returns the systems that have new steps: ring for them
    after the commit.
    """
    if not moves:
        return []
    done = settled or {}
    rows, events, steps, systems = [], [], [], set()
    for move in moves:
        job = move.job
        seq, head = job.head_seq, bytes(job.head_hash)
        for event in move.events:
            seq += 1
            actor = event.actor or evidence.ENGINE
            body = evidence.Event(
                str(job.id), seq, job.now, evidence.Kind(event.kind), actor, _stamped(event, job)
            ).canonical()
            leaf = evidence.leaf_hash(body)
            head = evidence.chain_hash(head, leaf)
            events.append((job.id, seq, job.now, event.kind, actor, body.decode(), leaf, head))
        for step in move.steps:
            systems.add(step.system)
            steps.append(_step_row(move, step))
        rows.append(_job_row(move, job.pending - done.get(job.id, 0), seq, head))
    together(
        cursor,
        Rows(_UPDATE_JOBS, rows, _JOB_TEMPLATE),
        Rows(_INSERT_STEPS, steps, _STEP_TEMPLATE),
        Rows(_INSERT_EVENTS, events),
    )
    return sorted(systems)


def add_event(cursor: Cursor, job: Job, event: Event, **changes: Any) -> list[str]:
    """One event, and whatever else changes with it, on a job locked in this transaction."""
    return change(cursor, [Move(job, events=(event,), **changes)])


def _stamped(event: Event, job: Job) -> Mapping[str, Any]:
    """The body of an event; one that records an automatic decision says by what it was made."""
    if not evidence.decisions(event.kind, event.actor or evidence.ENGINE, event.body):
        return event.body
    made_by = {**job.versions, **event.body.get("versions", {}), "software": _SOFTWARE}
    return {**event.body, "versions": made_by}


def _job(row: Any) -> Job:
    return Job(**row._asdict())


def _job_row(move: Move, pending: int, seq: int, head: bytes) -> tuple[Any, ...]:
    job = move.job
    plan = moved(move.plan, None)
    return (
        job.id,
        moved(move.state, job.state),
        moved(move.phase, job.phase),
        moved(move.round, job.round),
        pending + len(move.steps),
        moved(move.frozen, job.frozen),
        move.plan is not UNCHANGED,
        None if plan is None else Json(plan),
        moved(move.plan_hash, job.plan_hash),
        Json({**job.facts, **move.facts}) if move.facts else None,
        moved(move.urgency_at, job.urgency_at),
        moved(move.verified_at, job.verified_at),
        moved(move.verified_how, None),
        moved(move.approved_by, job.approved_by),
        moved(move.closed_at, job.closed_at),
        seq,
        head,
    )


def _step_row(move: Move, step: Any) -> tuple[Any, ...]:
    job = move.job
    return (
        job.id,
        step.action,
        step.system,
        step.round,
        moved(move.frozen, job.frozen),
        step.effect,
        step.sweep,
        moved(move.urgency_at, job.urgency_at),
        job.urgent,
        step.run_at,
        None if step.details is None else Json(step.details),
    )
