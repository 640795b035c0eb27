"""The tick's duties for cases: urgency, packages that expire, erasures that waited, shredding.

In: the ledger's state and the business clock. Out: moves and destroyed blobs. Each duty is safe in
every process at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from dsr_worker.domain.request import State
from dsr_worker.engine.tick import Duty
from dsr_worker.fulfil.asking import ask_unanswered
from dsr_worker.fulfil.planning import Planner
from dsr_worker.fulfil.remaining import look_again
from dsr_worker.ledger import Ledger, answers, cases, jobs, promises
from dsr_worker.ledger.rows import Event, Job, Move
from dsr_worker.store import Store

SHRED_AFTER = timedelta(days=180)
"""From close to the destruction of the key: the longest of appeal (60 days in most US states),
complaint and our own re-check; a house rule, since no text gives one number for all of them."""

_ON_THE_WAY = timedelta(days=30)  # an appeal that was sent in time and is taken in later


def destroy_expired(ledger: Ledger) -> Duty:
    """The duty that destroys packages whose time is over.

    Jobs are locked before their packages, as everywhere; what was expired is asked again under the
    lock, since it may have been destroyed or made anew meanwhile.
    """

    def destroy_expired_packages() -> None:
        with ledger.transaction() as cursor:
            locked = jobs.lock(cursor, answers.expired(cursor))
            gone = answers.destroy(cursor, answers.expired(cursor, list(locked)))
            event = Event("package_destroyed", {"reason": "expired"})
            jobs.change(cursor, [Move(locked[job_id], events=(event,)) for job_id in gone])

    return destroy_expired_packages


def start_after_access(ledger: Ledger, planner: Planner, lead_time: timedelta) -> Duty:
    """The duty that starts erasures once no access case of the same person is unfinished.

    When the erasure's own lead time comes first, it stops and asks a human.
    """

    def start_waiting_erasures() -> None:
        with ledger.transaction() as cursor:
            unfinished = cases.done_waiting(cursor, lead_time)
            waiting = [
                job
                for job in jobs.lock(cursor, unfinished).values()
                if job.phase == "after_access"  # not begun by another process meanwhile
            ]
            jobs.change(
                cursor,
                [
                    _stopped(job)
                    if unfinished[job.id]
                    else planner.approved(job, job.plan or {}, (), frozen=job.frozen)
                    for job in waiting
                ],
            )

    return start_waiting_erasures


def _stopped(job: Job) -> Move:
    event = Event("needs_human", {"code": "access_unfinished"})
    return Move(job, state=State.NEEDS_HUMAN, phase="access_unfinished", events=(event,))


def mark_urgent(ledger: Ledger, lead_time: timedelta) -> Duty:
    """The duty that lets jobs inside their lead time use the reserved slots."""

    def mark_urgent_jobs() -> None:
        with ledger.transaction() as cursor:
            cases.mark_urgent(cursor, lead_time)

    return mark_urgent_jobs


def destroy_spent(ledger: Ledger, store: Store) -> Duty:
    """The duty that destroys blobs nobody needs: destroyed packages, spools of answered cases."""

    def destroy_spent_blobs() -> None:
        with ledger.transaction() as cursor:
            spent = answers.spent_blobs(cursor)
        for blob in spent:
            store.destroy(blob)

    return destroy_spent_blobs


def shred_closed(ledger: Ledger, after: timedelta = SHRED_AFTER) -> Duty:
    """The duty that destroys the keys of cases nobody may ask about any more.

    A case with an open appeal is not closed. `after` is never shorter than the time for one.
    """

    def shred_closed_cases() -> None:
        with ledger.transaction() as cursor:
            locked = jobs.lock(cursor, cases.to_shred(cursor, after))
            still = cases.to_shred(cursor, after, among=list(locked))  # none appealed meanwhile
            shredded = Event("shredded", {"reason": "closed"})
            jobs.change(cursor, [Move(locked[job_id], events=(shredded,)) for job_id in still])
            cases.shred(cursor, still)

    return shred_closed_cases


def close_carried_out(ledger: Ledger) -> Duty:
    """The duty that closes answered cases of whose remainders nothing is left."""

    def close_cases_carried_out() -> None:
        with ledger.transaction() as cursor:
            locked = jobs.lock(cursor, promises.nothing_owed(cursor))
            closed = Event("closed", {"response": "carried_out"})
            moves = [
                Move(job, state=State.CLOSED, phase="closed", closed_at=job.now, events=(closed,))
                for job in locked.values()
                if job.state == State.ANSWERED_WITH_REMAINDERS
                and promises.still_owed(cursor, job.id) is None
            ]
            jobs.change(cursor, moves)

    return close_cases_carried_out


def duties(
    ledger: Ledger,
    store: Store,
    planner: Planner,
    lead_time: timedelta,
    appeal_within: timedelta,
    *others: Callable[[], None],
) -> Sequence[Duty]:
    """All of them."""
    return (
        mark_urgent(ledger, lead_time),
        start_after_access(ledger, planner, lead_time),
        destroy_expired(ledger),
        destroy_spent(ledger, store),
        shred_closed(ledger, max(SHRED_AFTER, appeal_within + _ON_THE_WAY)),
        close_carried_out(ledger),
        look_again(ledger, planner),
        ask_unanswered(ledger),
        *others,
    )
