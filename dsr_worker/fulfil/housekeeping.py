"""The tick's duties for cases: urgency, packages that expire, erasures that waited, shredding.

In: the ledger's state and the business clock. Out: moves and destroyed blobs. Each duty is safe in
every process at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from dsr_worker.domain.request import State
from dsr_worker.engine.tick import Duty
from dsr_worker.fulfil import planning
from dsr_worker.ledger import Ledger, answers, cases, jobs
from dsr_worker.ledger.rows import Event, Move
from dsr_worker.store import Store


def destroy_expired(ledger: Ledger, store: Store) -> Duty:
    """The duty that destroys packages whose time is over."""

    def destroy_expired_packages() -> None:
        with ledger.transaction() as cursor:
            expired = answers.take_expired(cursor)
            locked = jobs.lock(cursor, [e.job_id for e in expired])
            jobs.change(
                cursor,
                [
                    Move(
                        locked[e.job_id],
                        events=(Event("package_destroyed", {"reason": "expired"}),),
                    )
                    for e in expired
                ],
            )
        for gone in expired:
            store.destroy(gone.blob)

    return destroy_expired_packages


def start_after_access(ledger: Ledger, lead_time: timedelta) -> Duty:
    """The duty that starts erasures once no access case of the same person is unfinished.

    When the erasure's own lead time comes first, it stops and asks a human.
    """

    def start_waiting_erasures() -> None:
        with ledger.transaction() as cursor:
            locked = jobs.lock(cursor, cases.waiting_for_access(cursor))
            moves = []
            for job in locked.values():
                if not cases.unfinished_access(cursor, job.id):
                    moves.append(planning.approved(job, job.plan or {}, (), frozen=job.frozen))
                elif job.urgency_at - job.now < lead_time:
                    body = {"code": "access_unfinished"}
                    moves.append(
                        Move(
                            job,
                            state=State.NEEDS_HUMAN,
                            phase="access_unfinished",
                            events=(Event("needs_human", body),),
                        )
                    )
            jobs.change(cursor, moves)

    return start_waiting_erasures


def mark_urgent(ledger: Ledger, lead_time: timedelta) -> Duty:
    """The duty that lets jobs inside their lead time use the reserved slots."""

    def mark_urgent_jobs() -> None:
        with ledger.transaction() as cursor:
            cases.mark_urgent(cursor, lead_time)

    return mark_urgent_jobs


def duties(
    ledger: Ledger, store: Store, lead_time: timedelta, *others: Callable[[], None]
) -> Sequence[Duty]:
    """All of them."""
    return (
        mark_urgent(ledger, lead_time),
        start_after_access(ledger, lead_time),
        destroy_expired(ledger, store),
        *others,
    )
