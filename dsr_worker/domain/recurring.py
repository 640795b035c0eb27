"""What has to be done again and again: the next time, counted from the first one.

In: a first day, a period, an instant, a zone. Out: the next day on which it is due. Whoever acts on
each of these days never lets more than one period pass; nothing is counted from the last act, which
nobody may have recorded.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from dateutil.relativedelta import relativedelta

from dsr_worker.domain.calendar import local_date
from dsr_worker.domain.period import Period, Unit


@dataclass(frozen=True, slots=True)
class Recurrence:
    """The next time of a recurring duty; `due_at` is the exclusive end of its day, in UTC."""

    law: str
    row_id: str
    what: str
    every: Period
    due_on: date
    due_at: datetime
    zone: str
    citation: str
    verified: bool


def next_on(first_on: date, every: Period, now: datetime, zone: str) -> date:
    """Return the first day of the series that has not ended at `now`, counted from `first_on`.

    Raises:
        ValueError: the period is no number of calendar days or months, or `now` has no offset.

    """
    if every.unit not in {Unit.CALENDAR_DAYS, Unit.MONTHS} or every.amount < 1:
        raise ValueError("a recurring duty comes every so many calendar days or months")
    today = local_date(now, zone)
    if today <= first_on:
        return first_on
    if every.unit is Unit.CALENDAR_DAYS:
        times = -(-(today - first_on).days // every.amount)
        return first_on + timedelta(days=times * every.amount)
    passed = (today.year - first_on.year) * 12 + today.month - first_on.month
    times = passed // every.amount
    while (on := first_on + relativedelta(months=times * every.amount)) < today:
        times += 1
    return on
