"""Retention periods: until when a record is kept, and which records are past it.

Why this room exists: `created_at + 8 years` is up to twelve months short of what German tax law
asks, because that period starts at the end of the calendar year. A period, its anchor, a zone
and either a record's clock value or `now` enter; the last day of keeping or the cut-off for a
whole column leaves. Both are two sides of one rule: a clock value is at or after the cut-off
exactly while the last day of keeping has not ended.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from dateutil.relativedelta import relativedelta

from dsr_worker.domain.calendar import local_date, start_of_day

_DURATION = re.compile(r"P(?=\d)(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?")
_LONGEST_YEARS = 200
_FEBRUARY = 2
_ONE_DAY = timedelta(days=1)


class AnchorKind(StrEnum):
    """The event from which keeping is counted; a column of the data map supplies its instant."""

    RECORD_DATE = "record_date"
    CALENDAR_YEAR_END = "calendar_year_end"
    FINANCIAL_YEAR_END = "financial_year_end"
    LAST_CONTACT = "last_contact"
    LAST_ENTRY = "last_entry"
    RELATIONSHIP_END = "relationship_end"


@dataclass(frozen=True, slots=True)
class YearEnd:
    """The last day of a financial year; 29 February means the last day of February."""

    month: int = 12
    day: int = 31

    def __post_init__(self) -> None:
        """Refuse a day that no leap year has.

        Raises:
            ValueError: there is no such day.

        """
        date(2000, self.month, self.day)

    def in_year(self, year: int) -> date:
        """Return this day in `year`."""
        return date(2000, self.month, self.day) + relativedelta(year=year)


@dataclass(frozen=True, slots=True)
class Anchor:
    """Where a period starts; `year_end` counts for `financial_year_end` alone."""

    kind: AnchorKind
    year_end: YearEnd = YearEnd()

    @property
    def closes(self) -> YearEnd | None:
        """The end of the year that counts, None where the day itself does."""
        if self.kind is AnchorKind.CALENDAR_YEAR_END:
            return YearEnd()
        return self.year_end if self.kind is AnchorKind.FINANCIAL_YEAR_END else None

    def start_on(self, on: date) -> date:
        """Return the day from which a record of `on` is kept: itself, or its year's end."""
        closes = self.closes
        if closes is None:
            return on
        this_year = closes.in_year(on.year)
        if on <= this_year:
            return this_year
        return closes.in_year(on.year + 1) if on.year < date.max.year else date.max


@dataclass(frozen=True, slots=True)
class CalendarPeriod:
    """An ISO 8601 duration in calendar terms; years and months are never turned into days."""

    months: int
    days: int

    @classmethod
    def parse(cls, text: str) -> CalendarPeriod:
        """Read `P8Y`, `P6M`, `P2W`, `P30D` or a sum such as `P1Y6M`.

        Raises:
            ValueError: not such a duration, one with hours, or one of more than 200 years.

        """
        found = _DURATION.fullmatch(text)
        if found is None:
            raise ValueError(f"not a calendar duration: {text!r}; write P8Y, P6M, P2W or P30D")
        years, months, weeks, days = (int(part or 0) for part in found.groups())
        period = cls(years * 12 + months, weeks * 7 + days)
        if period.months > _LONGEST_YEARS * 12 or period.days > _LONGEST_YEARS * 365:
            raise ValueError(f"{text!r} is longer than {_LONGEST_YEARS} years")
        return period

    def __str__(self) -> str:
        """Return the ISO 8601 form."""
        years, months = divmod(self.months, 12)
        parts = ((years, "Y"), (months, "M"), (self.days, "D"))
        return "P" + ("".join(f"{n}{letter}" for n, letter in parts if n) or "0D")

    def after(self, on: date) -> date:
        """Return `on` plus this period: months first (clipped to the month's end), then days.

        What would lie past the last date there is (a column's 9999-12-31) ends on that date.
        """
        try:
            return on + relativedelta(months=self.months) + timedelta(days=self.days)
        except (OverflowError, ValueError):
            return date.max

    def before(self, on: date) -> date:
        """Return a day whose `after` is `on`, or up to three days less where a month is short.

        Raises:
            ValueError: it would lie before the year 1.

        """
        try:
            return on - timedelta(days=self.days) - relativedelta(months=self.months)
        except OverflowError as error:
            raise ValueError(f"{on} less {self} lies before all dates") from error


def ends_on(
    period: CalendarPeriod, anchor: Anchor, clock_value: datetime | date, zone: str
) -> date:
    """Return the last civil day in `zone` on which a record of this clock value is kept.

    Raises:
        ValueError: an instant without an offset, an unknown zone.

    """
    on = local_date(clock_value, zone) if isinstance(clock_value, datetime) else clock_value
    return _kept_until(period, anchor, anchor.start_on(on))


def cutoff_on(period: CalendarPeriod, anchor: Anchor, now: datetime, zone: str) -> date:
    """Return the earliest civil clock value that is still inside the period at `now`.

    Raises:
        ValueError: an instant without an offset, an unknown zone, a period before all dates.

    """
    today = local_date(now, zone)
    guess = period.before(today)
    closes = anchor.closes
    if closes is None:
        while period.after(guess) < today:
            guess += _ONE_DAY
        return guess
    year = guess.year
    while _kept_until(period, anchor, closes.in_year(year)) < today:
        year += 1
    return closes.in_year(year - 1) + _ONE_DAY


def cutoff(period: CalendarPeriod, anchor: Anchor, now: datetime, zone: str) -> datetime:
    """Return the instant (UTC) such that records with a clock value at or after it are kept.

    Everything before it is past its period at `now`; the two never overlap, so a sweep that
    takes `clock_value < cutoff` takes exactly what `ends_on` lets go.

    Raises:
        ValueError: an instant without an offset, an unknown zone, a period before all dates.

    """
    return start_of_day(cutoff_on(period, anchor, now, zone), zone)


def _kept_until(period: CalendarPeriod, anchor: Anchor, start_on: date) -> date:
    end_on = period.after(start_on)
    closes = anchor.closes
    if closes is not None and not period.days and end_on.month == closes.month == _FEBRUARY:
        return closes.in_year(end_on.year)
    return end_on
