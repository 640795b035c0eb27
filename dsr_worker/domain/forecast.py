"""Whether a clock will be met, by how the work behind it stands.

Why this room exists: a clock that is missed was lost days before, and the steps knew. What remains
of a case enters: a stop, a wait, a queue, a person's own duty; one word leaves. It foresees by what
is known and promises nothing: steps that are still to come are not counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from dsr_worker.domain.request import State


class Forecast(StrEnum):
    """What becomes of a clock as things stand."""

    OPEN = "open"
    PAUSED = "paused"
    AT_RISK = "at_risk"
    """Only a person can meet it, and its lead time has come."""
    STUCK = "stuck"
    """A step stopped for a person, or failed."""
    LATE = "late"
    """It will be missed: the work waits, or queues, until after it."""
    OVERDUE = "overdue"


class Owed(StrEnum):
    """What only a person can do for a case."""

    ACKNOWLEDGEMENT = "acknowledgement"
    APPROVAL = "approval"
    HAND_OVER = "hand_over"
    REFUSAL_LETTER = "refusal_letter"
    APPEAL_DECISION = "appeal_decision"
    APPEAL_LETTER = "appeal_letter"


_OWED: Mapping[str, Owed] = {
    State.AWAITING_APPROVAL: Owed.APPROVAL,
    State.READY: Owed.HAND_OVER,
    State.REFUSED: Owed.REFUSAL_LETTER,
    State.APPEALED: Owed.APPEAL_DECISION,
    State.APPEAL_ANSWERED: Owed.APPEAL_LETTER,
}
_ACKNOWLEDGE = "acknowledge"  # and `acknowledge:LAW`: met by a letter of its own
_NO_CASE = frozenset({"breach", "hold", "sweep"})
"""Kinds of job whose clocks are met in ways of their own."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """One open clock and the work behind it. `due_at` is the instant that warnings go by."""

    now: datetime
    due_at: datetime | None
    is_paused: bool = False
    is_firm: bool = False
    """The pause was read in a source: the instant stands still too."""
    is_stuck: bool = False
    waits_until: datetime | None = None
    worked_off_at: datetime | None = None
    """When the queue before this work ends, at the pace of the last hour."""
    owed: Owed | None = None


def owed(kind: str, state: str, clock: str) -> Owed | None:
    """Return what a person owes to a clock of a case in this state; None where work goes on."""
    if kind in _NO_CASE:
        return None
    if clock.partition(":")[0] == _ACKNOWLEDGE:
        return Owed.ACKNOWLEDGEMENT
    return _OWED.get(state)


def forecast(outlook: Outlook, lead: timedelta) -> Forecast:
    """Return what becomes of a clock; `lead` is how long before it a person's duty is a risk."""
    due_at = outlook.due_at
    passed = due_at is not None and outlook.now >= due_at
    if outlook.is_paused and (outlook.is_firm or not passed):
        return Forecast.PAUSED
    if passed:
        return Forecast.OVERDUE
    ends = [at for at in (outlook.waits_until, outlook.worked_off_at) if at is not None]
    if due_at is not None and ends and max(ends) >= due_at:
        return Forecast.STUCK if outlook.is_stuck else Forecast.LATE
    if outlook.is_stuck:
        return Forecast.STUCK
    if outlook.owed is not None and due_at is not None and outlook.now >= due_at - lead:
        return Forecast.AT_RISK
    return Forecast.OPEN
