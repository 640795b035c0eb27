"""Performs `protect`: before anything is restricted, a hold keeps it from being erased.

In: located restriction cases. Out: a legal hold on each person, whose matter is the case:
restricted data may only be stored (Art. 18(2) GDPR), so no sweep and no erasure takes it. A repeat
places no second one; names that a later round found are held by a further one of the same matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from dsr_worker.contract import LeaseLost, NeedsHuman, Transient
from dsr_worker.domain.hold import PeopleHeld
from dsr_worker.domain.request import State
from dsr_worker.domain.rights import RESTRICTED
from dsr_worker.engine.batch import Batch, Member
from dsr_worker.fulfil.holding import Holding
from dsr_worker.ledger import Ledger, jobs
from dsr_worker.ledger.rows import Event, StepResult

_LOOK_AGAIN = timedelta(days=90)
"""When somebody looks whether the reason still stands: our own choice, no statute's."""


class Protecting:
    """The performer of `protect` steps."""

    def __init__(self, ledger: Ledger, holding: Holding) -> None:
        self._ledger = ledger
        self._holding = holding

    def __call__(self, batch: Batch) -> Sequence[StepResult]:
        """A hold for each case, in a transaction of its own: it waits for effects under way."""
        return [self._protected(batch, member) for member in batch.members]

    def _protected(self, batch: Batch, member: Member) -> StepResult:
        with self._ledger.transaction() as cursor:
            cursor.execute("SELECT approved_by FROM jobs WHERE id = %s", (member.job.id,))
            approver = cursor.fetchone().approved_by
            if approver is None:
                raise NeedsHuman("not_approved")
            self._holding.exclude_effects(cursor, PeopleHeld(member.subject.identities))
            unheld = self._holding.unheld(cursor, member.subject, member.job.ref, RESTRICTED)
            if not unheld:
                return member.done()
            review_on = (batch.ctx.now + _LOOK_AGAIN).date()
            placed = Event("hold_placed", {}, approver)
            hold = self._holding.stand(
                cursor, PeopleHeld(unheld), RESTRICTED, member.job.ref, review_on, approver, placed
            )
            if self._holding.take_rules_out(cursor, PeopleHeld(unheld)).failed:
                raise Transient("a store's own rules could not be taken out yet: nothing is held")
            case = jobs.lock(cursor, [member.job.id])[member.job.id]
            if case.state != State.WORKING:
                message = "the case was ended meanwhile: nobody would release its hold"
                raise LeaseLost(message)
            jobs.add_event(cursor, case, Event("hold_placed", {"hold": hold.id}))
        return member.done()
