"""Steps: claim, load, renew, intend, finish, take back. The protocol of ARCHITECTURE's step states.

In: a system's name, results. Out: claims and what they need to be worked on. A claim and all it
loads is one transaction; a finish with receipts, spools, events, fan-in and new steps is one
transaction; neither grows in statements with the size of the batch.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dsr_worker.contract import LeaseLost
from dsr_worker.ledger import answers, batches, jobs, statements
from dsr_worker.ledger.batches import Claimed
from dsr_worker.ledger.connection import Cursor, Json, Ledger, Rows, together, values
from dsr_worker.ledger.rows import Claim, Event, Job, Move, StepResult

Advance = Callable[[Cursor, Sequence[Job]], Sequence[Move]]

_LEASE_LOST = {"code": "lease_lost", "error": "the lease ran out while it was worked on"}
_WORKER_LOST = {"code": "worker_lost", "error": "its worker died or was cut off in the middle"}


@dataclass(frozen=True, slots=True)
class Finished:
    """What a finish brought about."""

    accepted: frozenset[int]
    ring: tuple[str, ...]


def claim(
    ledger: Ledger,
    system: str,
    worker: int,
    *,
    urgent_only: bool = False,
    sweeps_first: bool = False,
    limit: int = statements.BATCH_STEPS,
) -> Claimed | None:
    """Lease the most urgent batch of a system; None when nothing is ready. Counts the attempts."""
    with ledger.transaction() as cursor:
        cursor.execute(
            statements.CLAIM,
            {
                "system": system,
                "worker": worker,
                "urgent_only": urgent_only,
                "sweeps_first": sweeps_first,
                "limit": limit,
                "lease_s": statements.LEASE_S,
            },
        )
        claims = tuple(Claim(**row._asdict()) for row in cursor.fetchall())
        if not claims:
            return None
        loaded = batches.loaded(cursor, claims)
        more = len(claims) >= limit and _any_ready(cursor, system)
    return replace(loaded, more=more)


def _any_ready(cursor: Cursor, system: str) -> bool:
    cursor.execute(statements.ANY_READY, {"system": system})
    return cursor.fetchone() is not None


def renew(ledger: Ledger, worker: int, claims: Sequence[Claim]) -> bool:
    """Renew a batch's lease in one statement; False when any of its steps was taken away."""
    ids, attempts = _tokens(claims)
    with ledger.transaction() as cursor:
        cursor.execute(
            statements.RENEW,
            {"worker": worker, "ids": ids, "attempts": attempts, "lease_s": statements.LEASE_S},
        )
        return bool(cursor.rowcount == len(ids))


def intend(
    ledger: Ledger, claims: Sequence[Claim], receipts: Mapping[int, list[dict[str, Any]]]
) -> None:
    """Commit, fenced, what is about to take effect: `receipts` by step id. Raises LeaseLost."""
    ids, attempts = _tokens(claims)
    with ledger.transaction() as cursor:
        locked = jobs.lock(cursor, [c.job_id for c in claims])
        cursor.execute(statements.LOCK_OURS, {"ids": ids, "attempts": attempts})
        row = cursor.fetchone()
        if row.ours != len(ids) or row.left_s < 1:
            message = "the lease of this batch is gone"
            raise LeaseLost(message)
        concerned = [c for c in claims if c.id in receipts]
        if not concerned:
            return
        rows = [
            (c.id, c.attempt, Json([{"attempt": c.attempt, "receipts": receipts[c.id]}]))
            for c in concerned
        ]
        written = values(cursor, statements.INTEND, rows, template="(%s::bigint, %s::int, %s)")
        if len(written) != len(concerned):
            message = "a step of this batch has gone to another"
            raise LeaseLost(message)
        moves = [
            Move(
                locked[c.job_id],
                events=(
                    Event(
                        "intent",
                        {
                            "system": c.system,
                            "action": c.action,
                            "attempt": c.attempt,
                            "counts": _counts(receipts[c.id]),
                        },
                    ),
                ),
            )
            for c in concerned
        ]
        jobs.change(cursor, moves)


def finish(ledger: Ledger, results: Sequence[StepResult], advance: Advance) -> Finished:
    """Record results whose lease still holds, and move the jobs that waited for nothing else.

    One transaction. A result whose token is stale changes nothing but an event that says so.
    """
    if not results:
        return Finished(frozenset(), ())
    with ledger.transaction() as cursor:
        locked = jobs.lock(cursor, [r.claim.job_id for r in results])
        accepted = _finish_steps(cursor, results)
        kept = [r for r in results if r.claim.id in accepted]
        _insert_findings(cursor, kept)
        for result in kept:
            if result.also is not None:
                result.also(cursor)
        settled = Counter(r.claim.job_id for r in kept if r.state == "done")
        events: dict[int, list[Event]] = defaultdict(list)
        for result in results:
            events[result.claim.job_id].extend(
                _events(result) if result.claim.id in accepted else [_ignored(result.claim)]
            )
        free = [
            job._replace(pending=0)
            for job in locked.values()
            if settled[job.id] and job.pending - settled[job.id] <= 0
        ]
        moved = {m.job.id: m for m in (advance(cursor, free) if free else ())}
        moves = [
            _with_events(locked[job_id], moved.get(job_id), found)
            for job_id, found in events.items()
        ]
        ring = jobs.change(cursor, moves, settled=settled)
    return Finished(frozenset(accepted), tuple(ring))


def release(ledger: Ledger, claims: Sequence[Claim]) -> None:
    """Give a batch back unworked: no attempt is charged."""
    ids, attempts = _tokens(claims)
    with ledger.transaction() as cursor:
        cursor.execute(statements.RELEASE, {"ids": ids, "attempts": attempts})


def give_up(ledger: Ledger, claims: Sequence[Claim]) -> list[Any]:
    """Give back a batch whose lease was lost over its work: a lone step is charged for it.

    Several come back in batches of a quarter. Where one was taken away by somebody else, by a
    person's decision for instance, the others go on as they were.
    """
    ids, attempts = _tokens(claims)
    limit = statements.ALONE_LIMIT
    with ledger.transaction() as cursor:
        locked = jobs.lock(cursor, [c.job_id for c in claims if c.charged >= limit])
        cursor.execute(
            statements.GIVE_UP,
            {"ids": ids, "attempts": attempts, "alone_limit": limit, **_LEASE_LOST},
        )
        given = list(cursor.fetchall())
        _tell_quarantined(cursor, locked, given)
    return given


def take_back(ledger: Ledger, dead: Sequence[int]) -> list[Any]:
    """Make ready again what dead workers or run-out leases held, in batches of a quarter.

    Jobs of steps to be quarantined are locked before any step, as a finish does it.
    """
    lost = {"dead": list(dead), "alone_limit": statements.ALONE_LIMIT, **_WORKER_LOST}
    with ledger.transaction() as cursor:
        cursor.execute(statements.JOBS_OF_LOST, lost)
        concerned = [row.job_id for row in cursor.fetchall()]
        locked = jobs.lock(cursor, concerned) if concerned else {}
        cursor.execute(statements.TAKE_BACK, {**lost, "jobs": list(locked)})
        taken = list(cursor.fetchall())
        _tell_quarantined(cursor, locked, taken)
        if dead:
            cursor.execute(statements.FREE_SLOTS_OF_DEAD, {"dead": list(dead)})
    return taken


def _tell_quarantined(cursor: Cursor, locked: Mapping[int, Job], returned: Sequence[Any]) -> None:
    by_job = defaultdict(list)
    for row in returned:
        if row.state == "needs_human":
            body = {
                "system": row.system,
                "action": row.action,
                "code": "quarantined",
                "attempt": row.attempt,
            }
            by_job[row.job_id].append(Event("needs_human", body))
    jobs.change(cursor, [Move(locked[j], events=tuple(e)) for j, e in by_job.items()])


def _finish_steps(cursor: Cursor, results: Sequence[StepResult]) -> set[int]:
    rows = [
        (
            r.claim.id,
            r.claim.attempt,
            r.state,
            r.code,
            r.error,
            None if r.details is None else Json(r.details),
            None if r.result is None else Json(r.result),
            r.wait_s,
            r.charge,
        )
        for r in results
    ]
    found = values(
        cursor,
        statements.FINISH,
        rows,
        template="(%s::bigint, %s::int, %s, %s, %s, %s::jsonb, %s::jsonb, %s::float8, %s::int)",
    )
    return {row.id for row in found}


def _insert_findings(cursor: Cursor, results: Sequence[StepResult]) -> None:
    receipts = [
        (
            r.claim.id,
            r.claim.job_id,
            r.claim.system,
            x.collection,
            x.outcome,
            x.rows,
            x.fields,
            x.ground,
            x.until_on,
            x.first_until_on,
            x.before_commit,
        )
        for r in results
        for x in r.receipts
    ]
    spools = [
        (r.claim.id, r.claim.job_id, s.name, Json(dict(s.frame))) for r in results for s in r.spools
    ]
    identities = [
        (r.claim.job_id, i.kind, i.digest, i.sealed, i.standing, i.ground, i.round)
        for r in results
        for i in r.identities
    ]
    together(
        cursor,
        Rows(
            "INSERT INTO receipts (step_id, job_id, system, collection, outcome, row_count, fields,"
            " ground, until_on, first_until_on, before_commit) VALUES %s",
            receipts,
        ),
        Rows(
            "INSERT INTO spools (step_id, job_id, name, frame) VALUES %s"
            " ON CONFLICT (step_id, name) DO UPDATE SET frame = excluded.frame",
            spools,
        ),
        Rows(
            "INSERT INTO identities (job_id, kind, digest, sealed, standing, ground, round)"
            " VALUES %s ON CONFLICT (job_id, kind, digest) DO UPDATE SET standing = 'contested'"
            " WHERE excluded.standing = 'contested' AND identities.standing = 'resolved'",
            identities,
        ),
        answers.rows([r.answer for r in results if r.answer is not None]),
    )


def _events(result: StepResult) -> list[Event]:
    claim = result.claim
    body: dict[str, Any] = {
        "system": claim.system,
        "action": claim.action,
        "attempt": claim.attempt,
    }
    match result.state:
        case "done":
            counts: Counter[str] = Counter()
            for receipt in result.receipts:
                counts[receipt.outcome] += receipt.rows
            ending = Event("step_done", {**body, "counts": dict(counts)})
        case "waiting":
            ending = Event("waiting", {**body, "code": result.code})
        case "needs_human":
            ending = Event("needs_human", {**body, **result.inputs, "code": result.code})
        case _:
            ending = Event("failed", {**body, "code": result.code})
    return [*result.events, ending]


def _ignored(claim: Claim) -> Event:
    body = {"system": claim.system, "action": claim.action, "attempt": claim.attempt}
    return Event("late_result_ignored", body)


def _with_events(job: Job, move: Move | None, events: list[Event]) -> Move:
    if move is None:
        return Move(job, events=tuple(events))
    return replace(move, job=job, events=(*events, *move.events))


def _counts(receipts: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for receipt in receipts:
        for outcome in receipt["outcomes"]:
            counts[outcome["outcome"]] += outcome["rows"]
    return dict(counts)


def _tokens(claims: Sequence[Claim]) -> tuple[list[int], list[int]]:
    return [c.id for c in claims], [c.attempt for c in claims]
