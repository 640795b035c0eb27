"""Until when a record is kept, and the cut-off that says the same for a whole column."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsr_worker.domain.calendar import end_of_day
from dsr_worker.domain.retention import (
    Anchor,
    AnchorKind,
    CalendarPeriod,
    YearEnd,
    cutoff,
    cutoff_on,
    ends_on,
)
from dsr_worker.statutes import RetentionLimit, retention_minimum

BERLIN = "Europe/Berlin"
RECORD = Anchor(AnchorKind.RECORD_DATE)
CALENDAR_YEAR = Anchor(AnchorKind.CALENDAR_YEAR_END)


def kept_until(limit: RetentionLimit, on: str, zone: str = BERLIN) -> date:
    """Return the last day of keeping for a record of the day `on`."""
    return ends_on(limit.period, Anchor(limit.anchor), date.fromisoformat(on), zone)


@pytest.mark.parametrize(
    ("rule_id", "on", "until"),
    [
        pytest.param("de-ao-147-voucher", "2026-02-10", "2034-12-31", id="R1 Germany"),
        pytest.param("at-bao-132", "2026-02-10", "2033-12-31", id="R1 Austria"),
        pytest.param("us-ca-ccpa-request-log", "2026-03-31", "2028-03-31", id="R1 CCPA log"),
        pytest.param("de-ao-147-voucher", "2026-12-31", "2034-12-31", id="last day of the year"),
        pytest.param("de-ao-147-voucher", "2027-01-01", "2035-12-31", id="first day of the next"),
        pytest.param("uk-ca-388-private", "2024-02-29", "2027-02-28", id="leap day clipped"),
    ],
)
def test_statutory_minimum_ends(rule_id: str, on: str, until: str) -> None:
    """R1: a period that starts at the end of the year does not end eight years after the record."""
    assert kept_until(retention_minimum(rule_id), on) == date.fromisoformat(until)


def test_local_date_of_an_instant_decides_the_year() -> None:
    """A voucher of 31 December 23:30 UTC belongs to the next year in Berlin."""
    voucher = retention_minimum("de-ao-147-voucher")
    at = datetime(2026, 12, 31, 23, 30, tzinfo=UTC)
    assert ends_on(voucher.period, CALENDAR_YEAR, at, BERLIN) == date(2035, 12, 31)
    assert ends_on(voucher.period, CALENDAR_YEAR, at, "UTC") == date(2034, 12, 31)


@pytest.mark.parametrize(
    ("year_end", "on", "until"),
    [
        (YearEnd(6, 30), date(2026, 6, 30), date(2036, 6, 30)),
        (YearEnd(6, 30), date(2026, 7, 1), date(2037, 6, 30)),
        (YearEnd(2, 29), date(2026, 1, 5), date(2036, 2, 29)),
        (YearEnd(2, 29), date(2024, 2, 29), date(2034, 2, 28)),
        (YearEnd(), date(2026, 1, 5), date(2036, 12, 31)),
    ],
)
def test_financial_year_ends_on_its_own_day(year_end: YearEnd, on: date, until: date) -> None:
    """Ten years from the close of a financial year, also one that closes with February."""
    anchor = Anchor(AnchorKind.FINANCIAL_YEAR_END, year_end)
    assert ends_on(CalendarPeriod.parse("P10Y"), anchor, on, BERLIN) == until


def test_cutoff_of_vouchers() -> None:
    """On the last day of 2034 the vouchers of 2026 are kept, an instant later they are not."""
    period = CalendarPeriod.parse("P8Y")
    end = end_of_day(date(2034, 12, 31), BERLIN)
    before = cutoff(period, CALENDAR_YEAR, end - timedelta(microseconds=1), BERLIN)
    assert before == end_of_day(date(2025, 12, 31), BERLIN)
    assert cutoff(period, CALENDAR_YEAR, end, BERLIN) == end_of_day(date(2026, 12, 31), BERLIN)
    assert cutoff_on(period, CALENDAR_YEAR, end, BERLIN) == date(2027, 1, 1)


def test_nothing_kept_means_until_the_end_of_the_day() -> None:
    """A period of no days lets go everything before today."""
    now = datetime(2026, 3, 10, 12, tzinfo=UTC)
    assert cutoff_on(CalendarPeriod.parse("P0D"), RECORD, now, "UTC") == date(2026, 3, 10)


def test_sentinel_dates_do_not_break_a_sweep() -> None:
    """A column's 9999-12-31 is kept for ever instead of raising."""
    for anchor in (RECORD, CALENDAR_YEAR, Anchor(AnchorKind.FINANCIAL_YEAR_END, YearEnd(6, 30))):
        assert ends_on(CalendarPeriod.parse("P8Y"), anchor, date.max, "UTC") == date.max


@pytest.mark.parametrize("text", ["P8Y", "P6M", "P14D", "P1Y6M", "P1Y6M3D", "P0D"])
def test_periods_are_written_as_they_were_read(text: str) -> None:
    """A period reads back from its own text."""
    assert str(CalendarPeriod.parse(text)) == text


def test_weeks_are_days_and_months_are_not() -> None:
    """A week is seven days; a month is never thirty."""
    assert CalendarPeriod.parse("P2W") == CalendarPeriod.parse("P14D")
    assert CalendarPeriod.parse("P1M") != CalendarPeriod.parse("P30D")


@pytest.mark.parametrize(
    "text", ["", "P", "8Y", "P8", "PT72H", "P1DT2H", "P-1Y", "P1.5Y", "p8y", "P201Y", "P9999999D"]
)
def test_other_periods_are_refused(text: str) -> None:
    """Hours, fractions, signs and endless periods are errors, not guesses."""
    with pytest.raises(ValueError, match=r"duration|longer"):
        CalendarPeriod.parse(text)


def test_financial_year_must_have_a_last_day() -> None:
    """There is no 31 June."""
    with pytest.raises(ValueError, match="day"):
        YearEnd(6, 31)


"""The cores are shared; how long one example takes says nothing here."""

anchors = st.one_of(
    st.sampled_from([RECORD, CALENDAR_YEAR, Anchor(AnchorKind.LAST_CONTACT)]),
    st.dates(date(2000, 1, 1), date(2000, 12, 31)).map(
        lambda on: Anchor(AnchorKind.FINANCIAL_YEAR_END, YearEnd(on.month, on.day))
    ),
)
periods = st.builds(CalendarPeriod, st.integers(0, 360), st.integers(0, 800))
zones = st.sampled_from(["UTC", BERLIN, "America/Los_Angeles", "Pacific/Auckland", "Asia/Kolkata"])
instants = st.datetimes(datetime(1995, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the strategy adds the zone


@given(periods, anchors, instants, instants, zones)
def test_cutoff_and_end_are_one_rule(
    period: CalendarPeriod, anchor: Anchor, value: datetime, now: datetime, zone: str
) -> None:
    """A clock value is at or after the cut-off exactly while its last day has not ended."""
    kept = now < end_of_day(ends_on(period, anchor, value, zone), zone)
    assert (value >= cutoff(period, anchor, now, zone)) is kept


@given(periods, anchors, instants, zones)
def test_cutoff_is_sharp(period: CalendarPeriod, anchor: Anchor, now: datetime, zone: str) -> None:
    """The value at the cut-off is kept and the one a microsecond before is not."""
    edge = cutoff(period, anchor, now, zone)
    last = edge - timedelta(microseconds=1)
    assert now < end_of_day(ends_on(period, anchor, edge, zone), zone)
    assert now >= end_of_day(ends_on(period, anchor, last, zone), zone)


@given(periods, anchors, st.dates(date(1990, 1, 1), date(2090, 1, 1)), st.integers(0, 800))
def test_later_records_are_kept_no_shorter(
    period: CalendarPeriod, anchor: Anchor, on: date, more_days: int
) -> None:
    """The last day of keeping never moves back when the record is younger, nor before its start."""
    later = on + timedelta(days=more_days)
    assert ends_on(period, anchor, on, "UTC") <= ends_on(period, anchor, later, "UTC")
    assert ends_on(period, anchor, on, "UTC") >= on
