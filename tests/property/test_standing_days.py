"""Days of a store's own rule against the periods that they stand for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from dsr_worker.domain.decision import Term
from dsr_worker.domain.retention import Anchor, AnchorKind, CalendarPeriod, YearEnd
from dsr_worker.domain.standing import longest_days
from tests.examples import examples

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Pacific/Kiritimati",
    "Pacific/Apia",
    "Asia/Kolkata",
    "Pacific/Marquesas",
)
_PERIODS = st.one_of(
    st.builds(CalendarPeriod, st.just(0), st.integers(0, 800)),
    st.builds(CalendarPeriod, st.integers(0, 130), st.integers(0, 40)),
)
_YEAR_ENDS = st.sampled_from((YearEnd(), YearEnd(3, 31), YearEnd(4, 5), YearEnd(2, 29)))
_ANCHORS = st.one_of(
    st.just(Anchor(AnchorKind.RECORD_DATE)),
    st.just(Anchor(AnchorKind.CALENDAR_YEAR_END)),
    st.builds(Anchor, st.just(AnchorKind.FINANCIAL_YEAR_END), _YEAR_ENDS),
)
_INSTANTS = st.datetimes(datetime(1990, 1, 1), datetime(2080, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the zone is given beside it


def _term(period: CalendarPeriod, anchor: Anchor, zone: str) -> Term:
    return Term("trial/rule", "trial", period, anchor, zone, "record_date")


@settings(max_examples=examples(150))
@given(_PERIODS, _ANCHORS, st.sampled_from(ZONES), st.lists(_INSTANTS, min_size=1, max_size=20))
def test_no_row_goes_before_its_period_is_over(
    period: CalendarPeriod, anchor: Anchor, zone: str, written: list[datetime]
) -> None:
    """So many times 24 hours after any instant, in any zone, the period lets the row go."""
    term = _term(period, anchor, zone)
    days = timedelta(days=longest_days(term))
    for at in written:
        assert at < term.cutoff(at + days)


@settings(max_examples=examples(60))
@given(st.integers(0, 800), st.sampled_from(ZONES), _INSTANTS)
def test_days_are_late_by_little(days: int, zone: str, at: datetime) -> None:
    """A period in days is over at most two days before its rule runs."""
    term = _term(CalendarPeriod(0, days), Anchor(AnchorKind.RECORD_DATE), zone)
    late = longest_days(term) - 3
    assert late < 0 or at >= term.cutoff(at + timedelta(days=late))
