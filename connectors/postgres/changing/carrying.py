"""Carrying a batch out in one transaction: lock, decide, change, commit; again after a deadlock.

In: an erasure, or a putting right or restricting, that has received its keys. Out: receipts, once
they are true. Where every row goes whatever is in it, `plain` erases at once, and the guard
confirms it; else the rows are locked first, and decided one by one within the guard.

Rows are waited for before the guard is entered: nobody who places a hold waits for another's lock.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from psycopg2.sql import SQL

from connectors.postgres.changing import plain, tallying
from connectors.postgres.changing.erasing import Erasure
from connectors.postgres.server.session import Contended, Session
from dsr_worker.contract import Guard, Receipt

_Result = TypeVar("_Result")

TRIES = 4


def tried(transaction: Callable[[], _Result], *, tries: int = TRIES) -> _Result:
    """Carry out a whole transaction; after a deadlock again, when others had time to end.

    Going back to a savepoint would not do: who waits for a row that was changed in a block waits
    for the end of the whole transaction.
    """
    for attempt in range(1, tries):
        try:
            return transaction()
        except Contended:
            time.sleep(random.SystemRandom().uniform(0.02, 0.1) * 2**attempt)
    return transaction()


def carried_out(erasure: Erasure) -> list[Receipt]:
    """Lock, decide, change and commit."""
    receipts = _plainly(erasure)
    return _row_by_row(erasure) if receipts is None else receipts


def _plainly(erasure: Erasure) -> list[Receipt] | None:
    """Erase without looking where every row goes; None, and nothing done, where some may stay."""
    if not erasure.erases or not plain.applies(
        erasure.catalogue, erasure.touched, erasure.ctx.table
    ):
        return None
    erasure.session.run(SQL("SAVEPOINT plain"))
    counts = plain.erase(erasure)
    if counts is not None:
        erasure.ctx.check()
        with erasure.ctx.guard() as guard:
            if plain.applies(erasure.catalogue, erasure.touched, guard.table):
                receipts = erasure.receipts_of(counts, guard)
                _commit(erasure.session, guard, receipts)
                return receipts
    erasure.session.run(SQL("ROLLBACK TO SAVEPOINT plain"))
    return None


def _row_by_row(erasure: Erasure) -> list[Receipt]:
    erasure.gather(lock=True)
    erasure.ctx.check()
    with erasure.ctx.guard() as guard:
        receipts = erasure.decide(guard.table)
        tally = tallying.begun(erasure.session, erasure.catalogue)
        erasure.changes.going.clear()  # of a try that was rolled back
        erasure.carry_out()
        tally.refuse_excess(erasure.changes.going)
        _commit(erasure.session, guard, receipts)
    return receipts


def _commit(session: Session, guard: Guard, receipts: Sequence[Receipt]) -> None:
    guard.intend(receipts)
    session.commit()
