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

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum

from dateutil.relativedelta import relativedelta

from dsr_worker.domain.calendar import CALENDAR_VERSION, Calendar, end_of_day, local_date, to_utc
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


_LONGEST_HOLIDAY_DAYS = 10  # a roll goes no further back than a feast with its weekends


class ClockState(StrEnum):
    """Where a clock stands."""

    RUNNING = "running"
    PAUSED = "paused"
    MET = "met"
    MISSED = "missed"


class ClockRefusedError(ValueError):
    """The law does not allow this pause, extension or answer now."""


@dataclass(frozen=True, slots=True)
class Pause:
    """One question to the person and its answer, if there is one yet."""

    ground: PauseGround
    asked_at: datetime
    answered_at: datetime | None = None

    def __post_init__(self) -> None:
        """Refuse an answer before its question.

        Raises:
            ValueError: the answer lies before the question, or an instant has no offset.

        """
        if self.answered_at is not None and to_utc(self.answered_at) < to_utc(self.asked_at):
            raise ValueError("an answer cannot come before its question")


@dataclass(frozen=True, slots=True)
class Due:
    """A due date in both readings; every `*_at` is UTC and an exclusive end.

    `due_on` and `due_at` are None where the law names no number; the conservative pair then is
    the house period. While a pause is open the dates are the earliest that they can become.
    """

    due_on: date | None
    due_at: datetime | None
    unrolled_on: date | None
    conservative_due_on: date
    conservative_due_at: datetime
    started_on: date
    zone: str
    calendar: str
    calendar_version: str
    extended: bool
    estimated: bool = False
    """A holiday on the way is announced later and may move the date."""


def compute_due(
    rule: ClockRule,
    started_at: datetime,
    zone: str,
    calendar: Calendar,
    pauses: Iterable[Pause] = (),
    *,
    extended: bool = False,
    subject_zone: str | None = None,
) -> Due:
    """Compute when a period that starts at `started_at` is due.

    `zone` is the controller's, and its civil date starts the period; where the person's own
    zone is given and its date was another, the conservative reading takes the earlier one.
    Pauses on grounds that the rule does not name move nothing.

    Raises:
        ClockRefusedError: extended under a rule that knows no extension.
        ValueError: an instant has no offset, a zone does not exist.

    """
    period = _total(rule, extended=extended)
    started_on = local_date(started_at, zone)
    if period.unit is Unit.NONE:
        assert rule.house is not None  # noqa: S101 - ClockRule refuses this
        return _without_number(rule.house, started_at, zone, calendar)
    if period.unit is Unit.HOURS:
        return _hours(period, started_at, zone, calendar, extended=extended)

    answered = [_days(pause, zone) for pause in pauses if pause.answered_at is not None]
    windows = sorted(answered, key=lambda window: (window.asked_on, window.answered_on))
    unrolled_on = _last_day(rule, period, started_on, calendar, windows)
    due_on = _rolled(rule, unrolled_on, calendar)
    earlier_on = started_on
    if subject_zone is not None:
        earlier_on = min(started_on, local_date(started_at, subject_zone))
    # Never later, also where month ends clip and make a later start end on the same day.
    conservative_on = min(
        due_on, _last_day(rule, period, earlier_on, calendar, windows, conservative=True)
    )
    return Due(
        due_on=due_on,
        due_at=end_of_day(due_on, zone),
        unrolled_on=unrolled_on,
        conservative_due_on=conservative_on,
        conservative_due_at=end_of_day(conservative_on, zone),
        started_on=started_on,
        zone=zone,
        calendar=calendar.code,
        calendar_version=CALENDAR_VERSION,
        extended=extended,
        estimated=_is_estimated(rule, started_on, due_on, calendar),
    )


def _is_estimated(rule: ClockRule, started_on: date, due_on: date, calendar: Calendar) -> bool:
    counted = rule.period.unit is Unit.BUSINESS_DAYS
    if not counted and rule.roll is Roll.NONE:
        return False
    on = started_on if counted else due_on - timedelta(days=_LONGEST_HOLIDAY_DAYS)
    days = (on + timedelta(days=offset) for offset in range((due_on - on).days + 1))
    return any(calendar.is_estimated(day) for day in days)


def _total(rule: ClockRule, *, extended: bool) -> Period:
    if not extended:
        return rule.period
    if rule.extension is None:
        raise ClockRefusedError("this law knows no extension")
    return rule.period.plus(rule.extension)


def _hours(
    period: Period, started_at: datetime, zone: str, calendar: Calendar, *, extended: bool
) -> Due:
    due_at = to_utc(started_at) + timedelta(hours=period.amount)
    due_on = local_date(due_at, zone)
    return Due(
        due_on=due_on,
        due_at=due_at,
        unrolled_on=due_on,
        conservative_due_on=due_on,
        conservative_due_at=due_at,
        started_on=local_date(started_at, zone),
        zone=zone,
        calendar=calendar.code,
        calendar_version=CALENDAR_VERSION,
        extended=extended,
    )


def _without_number(house: Period, started_at: datetime, zone: str, calendar: Calendar) -> Due:
    due = compute_due(ClockRule(house), started_at, zone, calendar)
    return replace(due, due_on=None, due_at=None, unrolled_on=None)


@dataclass(frozen=True, slots=True)
class _Window:
    ground: PauseGround
    asked_on: date
    answered_on: date


def _days(pause: Pause, zone: str) -> _Window:
    assert pause.answered_at is not None  # noqa: S101 - the caller passes answered ones only
    return _Window(
        pause.ground, local_date(pause.asked_at, zone), local_date(pause.answered_at, zone)
    )


def _last_day(
    rule: ClockRule,
    period: Period,
    started_on: date,
    calendar: Calendar,
    windows: Iterable[_Window],
    *,
    conservative: bool = False,
) -> date:
    """Apply the answered pauses in the order of asking; one asked after the end moves nothing."""
    excluded: set[date] = set()
    holidays_count = not conservative
    if conservative and rule.first_day is FirstDay.AMBIGUOUS and period.unit is Unit.CALENDAR_DAYS:
        period = Period(period.amount - 1, period.unit)
    last_on = _advance(started_on, period, calendar, excluded, holidays_count=holidays_count)
    for window in windows:
        pause = rule.pause_for(window.ground)
        if pause is None or (conservative and not pause.firm):
            continue
        if window.asked_on > (last_on if conservative else _rolled(rule, last_on, calendar)):
            continue
        if pause.effect is PauseEffect.RESTART:
            started_on = max(started_on, window.answered_on)
        else:
            excluded |= _span(window, conservative=conservative)
        excluded = {on for on in excluded if on > started_on}  # the first day is not counted
        last_on = _advance(started_on, period, calendar, excluded, holidays_count=holidays_count)
    return last_on


def _span(window: _Window, *, conservative: bool) -> set[date]:
    days = (window.answered_on - window.asked_on).days + (0 if conservative else 1)
    return {window.asked_on + timedelta(days=offset) for offset in range(days)}


def _advance(
    started_on: date,
    period: Period,
    calendar: Calendar,
    excluded: AbstractSet[date],
    *,
    holidays_count: bool,
) -> date:
    if period.unit is Unit.MONTHS:
        return started_on + relativedelta(months=period.amount) + timedelta(days=len(excluded))
    if period.unit is Unit.CALENDAR_DAYS:
        return started_on + timedelta(days=period.amount + len(excluded))
    on, left = started_on, period.amount
    while left:
        on += timedelta(days=1)
        working = calendar.is_working_day(on) if holidays_count else not calendar.is_weekend(on)
        left -= working and on not in excluded
    return on


def _rolled(rule: ClockRule, on: date, calendar: Calendar) -> date:
    return calendar.next_working_day(on) if rule.roll is Roll.NEXT_WORKING_DAY else on


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
            extended=self.extended_at is not None,
            subject_zone=self.subject_zone,
        )

    @property
    def open_pauses(self) -> tuple[Pause, ...]:
        """Questions that stop the clock and have no answer yet."""
        return tuple(
            pause
            for pause in self.pauses
            if pause.answered_at is None and self.rule.pause_for(pause.ground) is not None
        )


def pause(clock: Clock, ground: PauseGround, at: datetime) -> Clock:
    """Record that the person was asked at `at`.

    Raises:
        ClockRefusedError: the law stops no clock for this, it was asked already, or too late.

    """
    _refuse_met(clock)
    if clock.rule.pause_for(ground) is None:
        raise ClockRefusedError(f"under this law waiting for {ground} does not stop the clock")
    if any(pause.ground is ground for pause in clock.open_pauses):
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
    if not any(pause.ground is ground for pause in clock.open_pauses):
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

    Raises:
        ClockRefusedError: the law knows no extension, it was used, or the notice comes too late.

    """
    _refuse_met(clock)
    notice_by = extension_notice_by(clock)
    if notice_by is None:
        raise ClockRefusedError("this law knows no extension")
    if clock.extended_at is not None:
        raise ClockRefusedError("the clock was extended already")
    if to_utc(at) >= end_of_day(notice_by, clock.zone):
        raise ClockRefusedError(f"the notice of an extension was due by {notice_by}")
    return replace(clock, extended_at=at)


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
