"""The five units of statutory periods, worked out once more by hand and from the packs' own text.

In: a clock as it stands in the YAML of a pack, a first day. Out: its last days. Nothing of
`dsr_worker.domain` is used: whoever changes the arithmetic there has to be right here as well.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import holidays

Plain = dict[str, Any]
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Last:
    """Last days of a period: by the law, before any roll, and the one to act by."""

    due_on: date | None
    unrolled_on: date | None
    act_by_on: date


def add_months(on: date, months: int) -> date:
    """The same day so many months later, or the last one of a shorter month."""
    years, month = divmod(on.month - 1 + months, 12)
    year, month = on.year + years, month + 1
    return date(year, month, min(on.day, calendar.monthrange(year, month)[1]))


@cache
def _library(code: str) -> tuple[frozenset[date], frozenset[int]]:
    nation, _, part = code.partition("-")
    found = holidays.country_holidays(nation, subdiv=part or None, years=range(2024, 2032))
    return frozenset(found), frozenset(found.weekend)


def is_working(on: date, code: str, closed: tuple[tuple[str, str], ...]) -> bool:
    """Whether a day is no weekend, no holiday and none that the law itself closes."""
    off, weekend = _library(code)
    here = f"{on:%m-%d}"
    for first, last in closed:
        if (first <= here <= last) if first <= last else (here >= first or here <= last):
            return False
    return on.weekday() not in weekend and on not in off


def _business_days(on: date, days: int, code: str, closed: Any, *, weekends_alone: bool) -> date:
    while days:
        on += _DAY
        if weekends_alone:
            days -= on.weekday() not in _library(code)[1]
        else:
            days -= is_working(on, code, closed)
    return on


def last_days(
    clock: Plain, first_on: date, code: str, closed: tuple[tuple[str, str], ...], more: int = 0
) -> Last:
    """The last days of a period in days or months, `more` units of extension included."""
    unit, amount = clock["period"]["unit"], clock["period"]["amount"] + more
    if unit == "none":
        house = last_days({"period": clock["house"]}, first_on, code, closed)
        return Last(None, None, house.act_by_on)
    if unit == "months":
        raw = act_by = add_months(first_on, amount)
    elif unit == "calendar_days":
        raw = first_on + timedelta(days=amount)
        act_by = raw - _DAY if clock.get("first_day") == "ambiguous" else raw
    else:
        raw = _business_days(first_on, amount, code, closed, weekends_alone=False)
        act_by = _business_days(first_on, amount, code, closed, weekends_alone=True)
    due = raw
    while clock.get("roll") == "next_working_day" and not is_working(due, code, closed):
        due += _DAY
    return Last(due, raw, min(act_by, due))


def end_at(on: date, zone: str) -> datetime:
    """The instant at which a civil day is over."""
    after = on + _DAY
    return datetime(after.year, after.month, after.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)


def hours_after(at: datetime, hours: int) -> datetime:
    """So many hours of elapsed time later."""
    return datetime.fromtimestamp(at.timestamp() + hours * 3600, UTC)


def civil_day(at: datetime, zone: str) -> date:
    """The day that it is in a zone."""
    return at.astimezone(ZoneInfo(zone)).date()
