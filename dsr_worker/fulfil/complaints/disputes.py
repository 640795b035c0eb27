"""The hold that an open dispute places by itself, and its end.

In: the people whom a complaint names, inside the transaction that accepts it. Out: a hold on them
in every system (Art. 17(3)(e) GDPR: legal claims), under the complaint's reference as its matter.
A complaint has one such hold at the most; it ends with the complaint, and a person may release it
before (`dsr hold release`). What it kept goes on after the time of grace, as after any hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from dsr_worker.contract import Identity
from dsr_worker.domain.hold import PeopleHeld
from dsr_worker.engine.standing import TakenOut
from dsr_worker.evidence.automatic import DISPUTE
from dsr_worker.fulfil import protecting
from dsr_worker.fulfil.holding import Holding
from dsr_worker.ledger import jobs
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.holds import OfMatter
from dsr_worker.ledger.rows import Event, Job

REASON = "ER_LEGAL_CLAIMS"
HOLD = "hold"  # the fact of a complaint: the reference of its hold


class Disputes:
    """Places the holds of disputes."""

    def __init__(self, holding: Holding) -> None:
        self._holding = holding

    def exclude_effects(self, cursor: Cursor, people: Sequence[Identity]) -> None:
        """Wait for effects under way. Called before any job is locked: effects lock theirs."""
        self._holding.exclude_effects(cursor, PeopleHeld(tuple(people)))

    def unseen(self, people: Sequence[Identity]) -> tuple[str, ...]:
        """The collections in which a sweep does not know the people of a dispute by their names."""
        return self._holding.unseen(PeopleHeld(tuple(people)))

    def hold(
        self,
        cursor: Cursor,
        ref: str,
        people: Sequence[Identity],
        review_on: date,
        actor: str,
    ) -> tuple[Job, Event, TakenOut]:
        """Let the hold stand from this transaction on; its job, and the event for the complaint."""
        scope = PeopleHeld(tuple(people))
        placed = Event("hold_placed", {}, actor)
        hold = self._holding.stand(cursor, scope, REASON, ref, review_on, actor, placed)
        event = Event("hold_placed", {"hold": hold.id, "code": DISPUTE})
        return hold, event, self._holding.take_rules_out(cursor, scope)


def release(cursor: Cursor, complaint: Job, actor: str) -> list[Event]:
    """End the hold of a complaint; the event for the complaint, none where it stands no more."""
    ref = complaint.facts.get(HOLD)
    hold = None if ref is None else jobs.lock_ref(cursor, ref)
    if hold is None or hold.closed_at is not None:
        return []
    protecting.end(cursor, [OfMatter(hold.ref, hold.id)], actor)
    return [Event("hold_released", {"hold": hold.id}, actor)]
