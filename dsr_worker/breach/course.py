"""What follows what in a breach, after its duties were set in the declaring transaction.

In: breaches whose last awaited step has finished. Out: their moves.

    affected -> assess   (a person writes, a second one approves)   -> notify -> notified
    (people record what they told the authorities)                  -> closed
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from dsr_worker.breach import duties
from dsr_worker.domain.breach import Recipient
from dsr_worker.ledger import notices
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.notices import Tally
from dsr_worker.ledger.rows import DESK, Event, Job, Move, NewStep
from dsr_worker.organisation import Organisation

KIND = "breach"
_SETTLED = "sent"


class BreachState(StrEnum):
    """Where a breach stands. Its clocks run in every state."""

    ASSESSING = "assessing"
    AWAITING_APPROVAL = "awaiting_approval"
    NOTIFYING = "notifying"
    NOTIFIED = "notified"
    CLOSED = "closed"


class BreachCourse:
    """The course of breaches."""

    def __init__(self, organisation: Organisation) -> None:
        self._organisation = organisation
        self._next = {
            "affected": self._after_affected,
            "assess": self._after_assess,
            "notify": self._after_notify,
        }

    def advance(self, cursor: Cursor, jobs: Sequence[Job]) -> list[Move]:
        """The moves of these breaches, each of which waits for no step any more."""
        return [self._next[job.phase](cursor, job) for job in jobs if job.phase in self._next]

    def _after_affected(self, _cursor: Cursor, job: Job) -> Move:
        return assessing(job)

    def _after_assess(self, cursor: Cursor, job: Job) -> Move:
        found = notices.last_result(cursor, job.id, "assess")
        soonest = notices.soonest(cursor, job.id)
        return Move(
            job,
            state=BreachState.AWAITING_APPROVAL,
            phase="approve",
            facts={"affected": found["affected"]},
            urgency_at=soonest or job.urgency_at,
        )

    def _after_notify(self, cursor: Cursor, job: Job) -> Move:
        facts, events = told_people(cursor, job, self._organisation)
        return Move(
            job,
            state=BreachState.NOTIFIED,
            phase="notified",
            facts=facts,
            events=(*events, *_untold(notices.tally(cursor, job.id))),
        )


def _untold(tally: Sequence[Tally]) -> list[Event]:
    """What is left for people to do: those whom no mail reached, or may not have."""
    left: dict[str, int] = {}
    for row in tally:
        if row.state != _SETTLED:
            left[row.state] = left.get(row.state, 0) + row.people
    return [Event("needs_human", {"code": "not_everybody_told", "counts": left})] if left else []


def assessing(job: Job) -> Move:
    """The move by which the answers of the systems are put together."""
    step = NewStep("assess", DESK, effect="idempotent", round=job.round)
    return Move(job, state=BreachState.ASSESSING, phase="assess", steps=(step,))


def told_people(
    cursor: Cursor, job: Job, organisation: Organisation
) -> tuple[dict[str, Any], list[Event]]:
    """What the notices sent so far change: clocks met, and duties that run from them.

    A clock towards people is met when everybody it may concern was sent their notice, those of
    unknown residence included. What runs from a notice to people starts with the earliest one to a
    resident of its jurisdiction, and its alerts with the earliest one that may have been.
    """
    tally = notices.tally(cursor, job.id)
    told = {
        t.residence or "": t.first_at.isoformat()
        for t in tally
        if t.state == _SETTLED and t.first_at is not None
    }
    facts = {**job.facts, "people_told": told}
    if told:
        duties.set_clocks(cursor, job.id, facts, organisation)
    events = []
    for clock in notices.open_clocks(cursor, job.id):
        at = _all_told_at(tally, clock.facts)
        if at is not None:
            settled = notices.settle(cursor, job.id, clock.name, at)
            events.append(met_event(settled, at))
    return {"people_told": told}, events


def met_event(settled: Any, at: datetime, actor: str = "") -> Event:
    """The event by which a clock was met, in time or late."""
    manner = "in_time" if settled.state == "met" else "late"
    body = {
        "clock": settled.name.lower(),
        "due_at": settled.due_at,
        "since_at": at,
        "manner": manner,
    }
    return Event("clock_met", body, actor)


def with_notice(
    sent: Sequence[Sequence[str]], duty: Mapping[str, Any], at: datetime
) -> list[list[str]]:
    """The notices recorded (law, jurisdiction, recipient or rule, instant), with this duty's.

    Of two of the same the earlier one stays.
    """
    found = {(law, where, told): since for law, where, told, since in sent}
    for told in (duty["recipient"], duty["rule"]):
        key = (duty["law"], duty["jurisdiction"], told)
        earlier = found.get(key)
        if earlier is None or datetime.fromisoformat(earlier) > at:
            found[key] = at.isoformat()
    return [[*key, since] for key, since in found.items()]


def _all_told_at(tally: Sequence[Tally], duty: dict[str, Any]) -> datetime | None:
    """When the last of those a duty towards people may concern was told; None while one was not."""
    if duty["recipient"] != Recipient.INDIVIDUALS:
        return None
    concerned = [t for t in tally if _may_live_in(t.residence, duty["jurisdiction"])]
    if not concerned or any(t.state != _SETTLED for t in concerned):
        return None
    return max(t.last_at for t in concerned if t.last_at is not None)


def _may_live_in(residence: str | None, jurisdiction: str) -> bool:
    if residence is None or jurisdiction != jurisdiction.upper():  # unknown, or a law as a whole
        return True
    return (
        residence == jurisdiction
        or residence.startswith(f"{jurisdiction}-")
        or jurisdiction.startswith(f"{residence}-")
    )
