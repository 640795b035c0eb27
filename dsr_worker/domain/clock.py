"""Statutory periods: when something is due, and the state of a running clock.

Why this room exists: month ends, Easter, chained extensions and changes of the clock are where
deadlines go wrong. A rule (data of a law pack), the instant at which it starts, a zone and a
calendar enter; a due date leaves, in two readings side by side. The *statutory* one is what the
text gives; the *conservative* one (no roll, doubtful days counted against us, unverified pauses
ignored) is what alerts go by and never lies later.

Periods follow Regulation (EEC, Euratom) No 1182/71 Art 3 as a rule's data asks: the day of the
event is not counted (3(1)), a month ends on the same date or on the month's last day (3(2)(c)),
and a last day that is no working day moves to the next one (3(4)). Hours run on UTC instants and
never stop.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum

from dsr_worker.domain.calendar import Calendar, end_of_day, to_utc
from dsr_worker.domain.due import ClockRefusedError, Due, Pause, compute_due
from dsr_worker.domain.period import (
    ClockRule,
    FirstDay,
    PauseEffect,
    PauseGround,
    PauseRule,
    Period,
    Roll,
    StartKind,
    Unit,
)

__all__ = [
    "Clock",
    "ClockRefusedError",
    "ClockRule",
    "ClockState",
    "Due",
    "FirstDay",
    "Pause",
    "PauseEffect",
    "PauseGround",
    "PauseRule",
    "Period",
    "Roll",
    "StartKind",
    "Unit",
    "compute_due",
    "extend",
    "extension_notice_by",
    "meet",
    "pause",
    "resume",
    "state",
]


class ClockState(StrEnum):
    """Where a clock stands."""

    RUNNING = "running"
    PAUSED = "paused"
    MET = "met"
    MISSED = "missed"


@dataclass(frozen=True, slots=True)
class Clock:
    """A running clock as a value; the functions below return the next one."""

    rule: ClockRule
    started_at: datetime
    zone: str
    calendar: Calendar
    pauses: tuple[Pause, ...] = ()
    subject_zone: str | None = None
    extended_at: datetime | None = None
    met_at: datetime | None = None

    @property
    def due(self) -> Due:
        """When the clock, as it stands, is due."""
        return compute_due(
            self.rule,
            self.started_at,
            self.zone,
            self.calendar,
            self.pauses,
            extended=self.is_extended,
            subject_zone=self.subject_zone,
        )

    @property
    def is_extended(self) -> bool:
        """Whether an extension counts: one that was told in time, by the answers known now."""
        if self.extended_at is None or self.rule.extension is None:
            return self.extended_at is not None  # without one in the law, computing refuses it
        return _may_tell(replace(self, extended_at=None), self.extended_at)

    @property
    def unanswered(self) -> tuple[Pause, ...]:
        """Questions on grounds of this law that have no answer yet."""
        return tuple(
            pause
            for pause in self.pauses
            if pause.answered_at is None and self.rule.pause_for(pause.ground) is not None
        )

    @property
    def open_pauses(self) -> tuple[Pause, ...]:
        """Questions that stop the clock: all without an answer, where the first came in time.

        What was put while another question stood came in time, until the other's answer, recorded
        later, shows that the clock had ended before.
        """
        found = self.unanswered
        due_at = self.due.due_at if found else None
        if due_at is None or min(to_utc(pause.asked_at) for pause in found) < due_at:
            return found
        return ()


def pause(clock: Clock, ground: PauseGround, at: datetime) -> Clock:
    """Record that the person was asked at `at`.

    Raises:
        ClockRefusedError: the law stops no clock for this, it was asked already, or too late.

    """
    _refuse_met(clock)
    if clock.rule.pause_for(ground) is None:
        raise ClockRefusedError(f"under this law waiting for {ground} does not stop the clock")
    if any(pause.ground is ground for pause in clock.unanswered):
        raise ClockRefusedError(f"{ground} was asked already and is not answered")
    due_at = clock.due.due_at
    if not clock.open_pauses and due_at is not None and to_utc(at) >= due_at:
        raise ClockRefusedError("a clock that has run out cannot be stopped")
    return replace(clock, pauses=(*clock.pauses, Pause(ground, at)))


def resume(clock: Clock, ground: PauseGround, at: datetime) -> Clock:
    """Record that the person answered at `at`.

    Raises:
        ClockRefusedError: nothing of that kind is open.
        ValueError: the answer lies before the question.

    """
    _refuse_met(clock)
    if not any(pause.ground is ground for pause in clock.unanswered):
        raise ClockRefusedError(f"no open question about {ground}")
    return replace(
        clock,
        pauses=tuple(
            replace(pause, answered_at=at)
            if pause.ground is ground and pause.answered_at is None
            else pause
            for pause in clock.pauses
        ),
    )


def extension_notice_by(clock: Clock) -> date | None:
    """Return the last day for telling the person of an extension, None where there is none.

    It is the first due date before any roll.
    """
    if clock.rule.extension is None:
        return None
    return replace(clock, extended_at=None).due.unrolled_on


def extend(clock: Clock, at: datetime) -> Clock:
    """Extend the clock, the person having been told at `at`.

    The time for telling is not over while a question stands that was put inside it: a month that
    is suspended, or that begins with the answer, has not ended (GDPR Art 12(3), UK GDPR Art 12A).

    Raises:
        ClockRefusedError: the law knows no extension, it was used, or the notice comes too late
            or before the clock began.

    """
    _refuse_met(clock)
    notice_by = extension_notice_by(clock)
    if notice_by is None:
        raise ClockRefusedError("this law knows no extension")
    if clock.extended_at is not None:
        raise ClockRefusedError("the clock was extended already")
    if to_utc(at) < to_utc(clock.started_at):
        raise ClockRefusedError("this lies before the clock began: nobody could be told of it then")
    if not _may_tell(clock, at):
        raise ClockRefusedError(f"the notice of an extension was due by {notice_by}")
    return replace(clock, extended_at=at)


def _may_tell(clock: Clock, at: datetime) -> bool:
    """Whether the person may be told of an extension at `at`."""
    notice_by = extension_notice_by(clock)
    if notice_by is None:
        return False
    end_at = end_of_day(notice_by, clock.zone)
    return to_utc(at) < end_at or any(to_utc(p.asked_at) < end_at for p in clock.open_pauses)


def meet(clock: Clock, at: datetime) -> Clock:
    """Record the delivery that ends the clock.

    Raises:
        ClockRefusedError: it was recorded already.

    """
    _refuse_met(clock)
    return replace(clock, met_at=to_utc(at))


def state(clock: Clock, now: datetime) -> ClockState:
    """Say where the clock stands at `now`; a late delivery stays missed."""
    due_at = clock.due.due_at
    if clock.met_at is not None:
        in_time = due_at is None or bool(clock.open_pauses) or clock.met_at < due_at
        return ClockState.MET if in_time else ClockState.MISSED
    if clock.open_pauses:
        return ClockState.PAUSED
    if due_at is not None and to_utc(now) >= due_at:
        return ClockState.MISSED
    return ClockState.RUNNING


def _refuse_met(clock: Clock) -> None:
    if clock.met_at is not None:
        raise ClockRefusedError("the clock has ended")
