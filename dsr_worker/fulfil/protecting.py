"""Ends what protects restricted rows: the hold that a restriction placed by itself.

In: a case, inside the transaction that ends its restriction. Out: its hold released, its keys free
to go. Erasures that the hold kept go on after the time of grace, as after any hold.
"""

from __future__ import annotations

from collections.abc import Sequence

from dsr_worker.domain.rights import LIFTS, RESTRICTED
from dsr_worker.ledger import cases, holds, jobs
from dsr_worker.ledger.batches import BatchJob
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.holds import OfMatter
from dsr_worker.ledger.rows import Event, Move

LIFTED_AT = "lifted_at"  # the fact of a restriction case: when it ended


def release(cursor: Cursor, ref: str, actor: str) -> None:
    """Release the holds that the restriction of this case placed; none is left alone."""
    end(cursor, holds.of_matter(cursor, ref, RESTRICTED), actor)


def end(cursor: Cursor, standing: Sequence[OfMatter], actor: str) -> None:
    """Release these holds and close the job of each."""
    locked = jobs.lock(cursor, [row.job_id for row in standing])
    for row in standing:
        holds.release(cursor, row.ref, actor)
    ended = (Event("hold_released", {}, actor),)
    for job in locked.values():
        cases.settle_clocks(cursor, job.id, "met")
    moves = [
        Move(job, state="released", phase="released", closed_at=job.now, events=ended)
        for job in locked.values()
    ]
    jobs.change(cursor, moves)


def lifted(cursor: Cursor, lifting: BatchJob) -> None:
    """Record on the case itself that its restriction has ended, and protect its rows no longer."""
    case = jobs.lock_ref(cursor, lifting.facts[LIFTS])
    if case is None:
        message = "a lifting names a case that the ledger does not have"
        raise LookupError(message)
    cursor.execute("SELECT approved_by FROM jobs WHERE id = %s", (lifting.id,))
    release(cursor, case.ref, cursor.fetchone().approved_by)
    event = Event("restriction_lifted", {"case": lifting.id})
    facts = {LIFTED_AT: case.now.isoformat()}
    jobs.change(cursor, [Move(case, events=(event,), facts=facts)])
    cursor.execute("UPDATE jobs SET just_answered = true WHERE id = %s", (case.id,))
