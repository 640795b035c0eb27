"""Complaints: through which states one goes, and what the house's own timetable gives.

Why this room exists: a complaint that nobody acknowledges, or that ends without a letter, is the
second wrong done to the same person. Which step may follow which must be a table that anyone can
read and a test can walk. A complaint's progress and an event enter; the next progress leaves, or a
refusal. Nothing here knows the law: its clocks stand beside those of the house.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from dsr_worker.domain.calendar import Calendar
from dsr_worker.domain.clock import Due, compute_due
from dsr_worker.domain.diagram import drawn
from dsr_worker.domain.period import ClockRule, Period, Unit
from dsr_worker.domain.retention import CalendarPeriod

KIND = "complaint"


class Topic(StrEnum):
    """What a complaint is about: a closed list, so that no prose stands in the log of events."""

    DATA_HANDLING = "data_handling"
    CONTACT_PERMISSION = "contact_permission"
    CALL_RECORDING = "call_recording"
    ORDER = "order"
    DELIVERY = "delivery"
    REFUND = "refund"
    OTHER = "other"


BY_LAW = frozenset(
    {Topic.DATA_HANDLING, Topic.CONTACT_PERMISSION, Topic.CALL_RECORDING, Topic.OTHER}
)
"""Topics for which a data protection law's own clocks run. `other` counts with them: nobody has
said yet that it is not about data, and too many clocks are safer than too few."""


class State(StrEnum):
    """Where a complaint stands. Its clocks run until the outcome's letter has left."""

    RECEIVED = "received"
    ACKNOWLEDGED = "acknowledged"
    INVESTIGATING = "investigating"
    ESCALATED = "escalated"
    """Under investigation by a higher level of the house."""
    REFERRED = "referred"
    """Before a body outside the house: an ombudsman, a conciliation body, an authority."""
    RESOLVED = "resolved"
    """The outcome is decided and its letter has not left: the complaint is still open."""
    CLOSED = "closed"
    WITHDRAWN = "withdrawn"


class Event(StrEnum):
    """What moves a complaint."""

    ACKNOWLEDGED = "acknowledged"
    INVESTIGATED = "investigated"
    ESCALATED = "escalated"
    REFERRED = "referred"
    RESOLVED = "resolved"
    DELIVERED = "delivered"
    WITHDRAWN = "withdrawn"


class Outcome(StrEnum):
    """How a complaint ends."""

    UPHELD = "upheld"
    PARTLY_UPHELD = "partly_upheld"
    NOT_UPHELD = "not_upheld"
    SETTLED = "settled"


ENDED = frozenset({State.CLOSED, State.WITHDRAWN})
WORKED_ON = frozenset({State.INVESTIGATING, State.ESCALATED})
"""The states in which the house is at work, so that resting is warned of."""
_BEGUN = (State.INVESTIGATING, State.ESCALATED, State.REFERRED)


def _transitions() -> dict[tuple[State, Event], State]:
    table = {
        (State.RECEIVED, Event.ACKNOWLEDGED): State.ACKNOWLEDGED,
        (State.RECEIVED, Event.INVESTIGATED): State.INVESTIGATING,
        (State.ACKNOWLEDGED, Event.INVESTIGATED): State.INVESTIGATING,
        (State.INVESTIGATING, Event.ESCALATED): State.ESCALATED,
        (State.INVESTIGATING, Event.REFERRED): State.REFERRED,
        (State.ESCALATED, Event.REFERRED): State.REFERRED,
        (State.REFERRED, Event.INVESTIGATED): State.INVESTIGATING,  # the body gave it back
        (State.RESOLVED, Event.INVESTIGATED): State.INVESTIGATING,  # before its letter left
        (State.RESOLVED, Event.ESCALATED): State.ESCALATED,
        (State.RESOLVED, Event.REFERRED): State.REFERRED,
        (State.RESOLVED, Event.DELIVERED): State.CLOSED,
    }
    for state in _BEGUN:
        table[state, Event.ACKNOWLEDGED] = state  # late, and owed all the same
        table[state, Event.RESOLVED] = State.RESOLVED
    for state in State:
        if state not in ENDED:
            table[state, Event.WITHDRAWN] = State.WITHDRAWN
    return table


TRANSITIONS: Mapping[tuple[State, Event], State] = _transitions()
"""Every legal move. Nothing is resolved that was not investigated, or closed without a letter."""


class MoveRefusedError(ValueError):
    """The event is not legal here; the text names those that are."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a complaint stands, and whether its receipt was acknowledged."""

    state: State = State.RECEIVED
    acknowledged: bool = False


def advance(progress: Progress, event: Event) -> Progress:
    """Return the progress after `event`.

    Raises:
        MoveRefusedError: the event is not legal here, or the complaint is acknowledged already.

    """
    target = TRANSITIONS.get((progress.state, event))
    if target is None:
        legal = ", ".join(sorted(legal_events(progress))) or "none"
        raise MoveRefusedError(f"{event} is not possible while {progress.state}; possible: {legal}")
    if event is Event.ACKNOWLEDGED:
        if progress.acknowledged:
            raise MoveRefusedError("its receipt is acknowledged already")
        return Progress(target, acknowledged=True)
    return replace(progress, state=target)


def legal_events(progress: Progress) -> frozenset[Event]:
    """Return the events that are legal now."""
    events = (event for state, event in TRANSITIONS if state is progress.state)
    return frozenset(
        event for event in events if event is not Event.ACKNOWLEDGED or not progress.acknowledged
    )


def diagram() -> str:
    """Return the states and moves as a Mermaid state diagram."""
    moves = ((state, event, to) for (state, event), to in TRANSITIONS.items())
    return drawn(moves, State.RECEIVED, ENDED)


# ---- the house's timetable


class Stage(StrEnum):
    """What the house has promised to do in time, as its clocks are called."""

    ACKNOWLEDGE = "acknowledge"
    RESOLVE = "resolve"
    REFER = "refer"
    REST = "rest"
    """For how long an investigation may stand still before somebody is warned."""


PROMISED = frozenset({Stage.ACKNOWLEDGE, Stage.RESOLVE})
"""What the timetable promises the person: missed where the letter is late. The others only warn."""


def whole_period(text: str) -> Period:
    """Return a period of the timetable: days or months, never both, since neither converts.

    Raises:
        ValueError: no ISO 8601 duration, an empty one, or days and months in one.

    """
    found = CalendarPeriod.parse(text)
    if bool(found.months) == bool(found.days):
        raise ValueError("write days or months, not both and not none: P3D, P2W or P1M")
    if found.months:
        return Period(found.months, Unit.MONTHS)
    return Period(found.days, Unit.CALENDAR_DAYS)


@dataclass(frozen=True, slots=True)
class Timetable:
    """The house's own periods, each counted from the receipt; `rest` from the last thing done."""

    periods: Mapping[Stage, Period]

    def due(self, stage: Stage, since: datetime, zone: str, calendar: Calendar) -> Due:
        """Return until when a stage is promised, for a start at `since`.

        Raises:
            ValueError: the instant has no offset, or the zone does not exist.

        """
        return compute_due(ClockRule(self.periods[stage]), since, zone, calendar)


def strictest(dues: Iterable[Due]) -> Due:
    """Return the one of several due dates by which to act: law or house, whichever is sooner."""
    return min(dues, key=lambda due: due.conservative_due_at)
