"""Days on which calendars go wrong: substitutes, closed weeks, one-off days, feasts by the moon."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from dsr_worker.domain.calendar import Calendar, Closed
from dsr_worker.domain.clock import ClockRule, Period, Roll, Unit, compute_due
from dsr_worker.statutes import load_pack, packs, request_clocks
from dsr_worker.statutes.places import calendar_of, locality_under


def _due(rule: ClockRule, calendar: Calendar, on: str) -> tuple[date | None, bool]:
    at = datetime.fromisoformat(f"{on}T10:00+00:00").astimezone(UTC)
    due = compute_due(rule, at, "UTC", calendar)
    return due.due_on, due.estimated


@pytest.mark.parametrize(
    ("code", "on", "working"),
    [
        pytest.param("US", "2027-12-31", False, id="New Year 2028 is a Saturday, kept on Friday"),
        pytest.param("US", "2026-07-03", False, id="4 July 2026 is a Saturday, kept on Friday"),
        pytest.param("US", "2027-07-05", False, id="4 July 2027 is a Sunday, kept on Monday"),
        pytest.param("GB-ENG", "2026-12-28", False, id="Boxing Day 2026 is a Saturday"),
        pytest.param("GB-ENG", "2027-12-28", False, id="Christmas 2027 takes Monday and Tuesday"),
        pytest.param("GB-NIR", "2026-07-13", False, id="12 July 2026 is a Sunday"),
        pytest.param("GB-SCT", "2026-06-15", False, id="one day of 2026 in Scotland alone"),
        pytest.param("GB-ENG", "2026-06-15", True, id="and not in England"),
        pytest.param("GB-SCT", "2026-04-06", True, id="Easter Monday is no bank holiday there"),
        pytest.param(
            "US", "2026-11-27", True, id="the day after Thanksgiving is none of all states"
        ),
        pytest.param("US-CA", "2026-11-27", False, id="and is one of California"),
        pytest.param("FR", "2026-04-03", True, id="Good Friday works in France"),
        pytest.param("DE", "2027-01-06", True, id="Epiphany is no day of the whole country"),
        pytest.param("DE-BY", "2027-01-06", False, id="and is one of Bavaria"),
        pytest.param("SA", "2026-11-20", False, id="a Friday in Riyadh"),
        pytest.param("SA", "2026-11-22", True, id="a Sunday in Riyadh"),
        pytest.param("IL", "2026-11-22", True, id="a Sunday in Jerusalem"),
        pytest.param("AE", "2026-11-20", True, id="a Friday in Abu Dhabi, since 2022"),
    ],
)
def test_a_day_works_where_the_country_does(code: str, on: str, *, working: bool) -> None:
    """Substitutes, one-off days, parts of a country and weekends are those of the place."""
    assert calendar_of(code).is_working_day(date.fromisoformat(on)) is working


def test_a_closed_time_runs_over_the_years_end() -> None:
    """New Zealand leaves 25 December to 15 January out; no library of holidays knows it."""
    pack = load_pack("nz-privacy")
    calendar = locality_under(pack, "NZ").calendar
    shut = ["2026-12-25", "2026-12-31", "2027-01-04", "2027-01-15"]
    assert not any(calendar.is_working_day(date.fromisoformat(on)) for on in shut)
    assert calendar.is_working_day(date(2026, 12, 24))
    assert calendar.is_working_day(date(2027, 1, 18))
    assert Calendar("NZ").is_working_day(date(2027, 1, 7))


def test_a_closed_time_inside_a_year_has_both_its_ends() -> None:
    """First and last day are closed, their neighbours are not; one day may be a time of its own."""
    august = Closed((8, 3), (8, 14))
    inside = [date(2026, 8, 3), date(2026, 8, 14)]
    outside = [date(2026, 8, 2), date(2026, 8, 15), date(2026, 12, 31)]
    assert all(on in august for on in inside)
    assert not any(on in august for on in outside)
    assert date(2028, 2, 29) in Closed((2, 29), (2, 29))


EMIRATES = Calendar("AE")
TEN_DAYS = ClockRule(Period(10, Unit.BUSINESS_DAYS))
MONTH = ClockRule(Period(1, Unit.MONTHS), roll=Roll.NEXT_WORKING_DAY)


def test_a_feast_that_is_announced_later_is_told() -> None:
    """Eid al-Fitr of 2027 is expected about 10 March: what counts or rolls over it may move."""
    feast = [
        date(2027, 3, day) for day in range(1, 20) if EMIRATES.is_estimated(date(2027, 3, day))
    ]
    assert feast
    assert _due(TEN_DAYS, EMIRATES, "2027-03-01")[1]
    assert _due(MONTH, EMIRATES, f"2027-02-{feast[0].day:02}")[1]
    assert not _due(TEN_DAYS, EMIRATES, "2027-10-04")[1]
    assert not _due(MONTH, EMIRATES, "2027-09-04")[1]
    assert not _due(ClockRule(Period(10, Unit.CALENDAR_DAYS)), EMIRATES, "2027-03-01")[1]
    assert not _due(TEN_DAYS, Calendar("DE"), "2027-03-01")[1]


def test_no_law_of_a_country_without_such_feasts_is_estimated() -> None:
    """The mark means something: under the laws of Europe and America it is on no date."""
    at = datetime(2027, 3, 1, 10, tzinfo=UTC)
    for law in packs():
        pack = load_pack(law)
        if not law.startswith(("eu-", "uk-", "us-", "ch-", "ca-")) or not pack.rights:
            continue
        right = next(iter(pack.rights[0].provisions))
        country = pack.default_country or pack.countries[0]
        if pack.rights[0].in_force(at.date()):
            clocks = request_clocks(pack, right, country, at)
            assert not any(spec.due.estimated for spec in clocks)


def test_business_days_of_america_are_those_of_the_union() -> None:
    """The list of a state's offices is no list of business days: each such clock goes by `US`."""
    for law in (name for name in packs() if name.startswith("us-")):
        pack = load_pack(law)
        rows = [clock for row in pack.rights for clock in (row.respond, row.acknowledge) if clock]
        rows += [row.clock for row in pack.breach]
        periods = [p for clock in rows for p in (clock.period, clock.house) if p]
        if any(period.unit is Unit.BUSINESS_DAYS for period in periods):
            country = pack.default_country or pack.countries[0]
            assert locality_under(pack, country).calendar.code == "US", law
