"""What has to be done again and again: the next day, counted from the first."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsr_worker.domain.calendar import end_of_day, local_date
from dsr_worker.domain.period import Period, Unit
from dsr_worker.domain.recurring import next_on
from dsr_worker.statutes import recurring

PACIFIC = "America/Los_Angeles"


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2026-06-01T10:00:00-07:00", "2026-08-01"),
        ("2026-08-01T23:59:00-07:00", "2026-08-01"),
        ("2026-08-02T00:00:00-07:00", "2026-09-15"),
        ("2026-11-21T12:00:00-08:00", "2026-12-14"),
        ("2026-12-14T23:59:59-08:00", "2026-12-14"),
        ("2026-12-15T00:00:00-08:00", "2027-01-28"),
    ],
)
def test_brokers_pull_californias_list_every_45_days(now: str, due: str) -> None:
    """From 2026-08-01 on a broker pulls the list at least every 45 days, by Californian days."""
    (found,) = recurring(["us-ca-drop"], datetime.fromisoformat(now))
    assert found.due_on == date.fromisoformat(due)
    assert found.due_at == end_of_day(found.due_on, PACIFIC)


def test_a_law_without_recurring_duties_has_none() -> None:
    """Most laws ask for nothing again and again."""
    assert recurring(["eu-gdpr"], datetime(2026, 11, 21, tzinfo=UTC)) == []


@given(
    first_on=st.dates(date(2000, 1, 1), date(2100, 1, 1)),
    amount=st.integers(1, 400),
    unit=st.sampled_from([Unit.CALENDAR_DAYS, Unit.MONTHS]),
    passed=st.integers(-1_000, 20_000),
    zone=st.sampled_from(["UTC", PACIFIC, "Pacific/Kiritimati"]),
)
def test_the_next_day_is_never_past_and_at_most_one_period_ahead(
    first_on: date, amount: int, unit: Unit, passed: int, zone: str
) -> None:
    """The day told has not ended, and before it lies a day of the series or the first one."""
    now = datetime(first_on.year, first_on.month, first_on.day, 12, tzinfo=UTC)
    now += timedelta(days=passed)
    on = next_on(first_on, Period(amount, unit), now, zone)
    today = local_date(now, zone)
    longest = timedelta(days=amount if unit is Unit.CALENDAR_DAYS else amount * 31)
    assert on >= max(today, first_on)
    assert on == first_on or on - today < longest
    if unit is Unit.CALENDAR_DAYS:
        assert (on - first_on).days % amount == 0
