"""When a statutory period is due, from its start and its answered pauses.

In: a rule, an instant, a zone, a calendar, pauses. Out: a `Due` in both readings; `domain/clock.py`
says what that means and what happens to a running clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from dateutil.relativedelta import relativedelta

from dsr_worker.domain.calendar import CALENDAR_VERSION, Calendar, end_of_day, local_date, to_utc
from dsr_worker.domain.period import (
    ClockRule,
    FirstDay,
    PauseEffect,
    PauseGround,
    Period,
    Roll,
    Unit,
)

_LONGEST_HOLIDAY_DAYS = 10  # a roll goes no further back than a feast with its weekends


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
