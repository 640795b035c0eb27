"""Civil days: whose midnight it is, and which days are working days.

Why this room exists: statutory periods run on civil dates of one place, while everything we
store is a UTC instant. An instant and an IANA zone name enter; dates, exclusive day ends and
working days leave. Public holidays come from the pinned `holidays` library, whose version is
part of every due date, since a new release may move one.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from difflib import get_close_matches
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import holidays
from holidays.holiday_base import HolidayBase
from holidays.registry import COUNTRIES, EntityLoader
from holidays.version import __version__ as holidays_version

CALENDAR_VERSION = f"holidays {holidays_version}"
_COUNTRIES = "holidays.countries"
LAST_YEAR = 2100
"""The last year for which the `holidays` library computes anything."""


def zone_of(name: str) -> ZoneInfo:
    """Return the IANA zone called `name`.

    Raises:
        ValueError: there is no such zone; near names are given, the wrong one is not repeated.

    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        close = get_close_matches(name, available_timezones(), n=2)
        hint = f"did you mean {' or '.join(close)}?" if close else "such as Europe/Berlin"
        raise ValueError(f"unknown time zone; use an IANA name: {hint}") from error


def local_date(at: datetime, zone: str) -> date:
    """Return the civil date in `zone` at the instant `at`.

    Raises:
        ValueError: `at` has no offset, or the zone does not exist.

    """
    return _aware(at).astimezone(zone_of(zone)).date()


def start_of_day(on: date, zone: str) -> datetime:
    """Return the first instant of the civil day `on` in `zone`, in UTC."""
    return datetime.combine(on, time.min, zone_of(zone)).astimezone(UTC)


def end_of_day(on: date, zone: str) -> datetime:
    """Return the exclusive end of the civil day `on` in `zone`, in UTC.

    It is the first instant of the next local day: an act at `t` is in time iff `t < end`.
    """
    return start_of_day(on + timedelta(days=1), zone)


def day_ended(at: datetime, zone: str) -> date | None:
    """Return the civil day of `zone` whose exclusive end `at` is; None where a day is under way."""
    on = local_date(at - timedelta(microseconds=1), zone)
    return on if end_of_day(on, zone) == at else None


def _aware(at: datetime) -> datetime:
    if at.tzinfo is None or at.utcoffset() is None:
        raise ValueError("an instant needs an offset (2026-01-31T10:00+01:00); this one has none")
    return at


def to_utc(at: datetime) -> datetime:
    """Return the instant `at` in UTC.

    Raises:
        ValueError: `at` has no offset.

    """
    return _aware(at).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Closed:
    """Days of every year that a law takes out of its working days: month and day, both included.

    A last day before the first one lies in the next year.
    """

    first: tuple[int, int]
    last: tuple[int, int]

    def __contains__(self, on: date) -> bool:
        place = (on.month, on.day)
        if self.first <= self.last:
            return self.first <= place <= self.last
        return place >= self.first or place <= self.last


@dataclass(frozen=True, slots=True)
class Calendar:
    """The public holidays and weekend of one country or one part of it (ISO 3166 codes).

    `closed` are days that a law adds to them.
    """

    country: str
    subdivision: str | None = None
    closed: tuple[Closed, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a place for which the library knows no holidays.

        Raises:
            ValueError: unknown country or subdivision, or the United Kingdom as a whole.

        """
        if self.country == "GB" and self.subdivision is None:
            raise ValueError(
                "the United Kingdom has no one calendar: use GB-ENG, GB-SCT, GB-NIR or GB-WLS"
            )
        if not has_holidays(self.country, self.subdivision):
            raise ValueError(f"no holiday calendar for {self.code}")

    @property
    def code(self) -> str:
        """The ISO 3166 code, such as `DE` or `GB-ENG`."""
        return self.country if self.subdivision is None else f"{self.country}-{self.subdivision}"

    def is_weekend(self, on: date) -> bool:
        """Say whether `on` falls on this country's weekend (Friday/Saturday in some)."""
        return on.weekday() in _weekend(self.country)

    def is_working_day(self, on: date) -> bool:
        """Say whether `on` is neither weekend nor public holiday.

        Raises:
            ValueError: the year lies after `LAST_YEAR`.

        """
        if self.is_weekend(on) or any(on in closed for closed in self.closed):
            return False
        return on not in _public_holidays(self.country, self.subdivision, on.year)

    def is_estimated(self, on: date) -> bool:
        """Say whether `on` is a holiday whose day is announced later: the moon decides."""
        return on in _estimated_holidays(self.country, self.subdivision, on.year)

    def next_working_day(self, on: date) -> date:
        """Return `on` itself if it is a working day, else the first one after it."""
        while not self.is_working_day(on):
            on += timedelta(days=1)
        return on


@cache
def has_holidays(country: str, subdivision: str | None) -> bool:
    """Say whether the library knows this country, and this part of it where one is given."""
    # The library's own list of subdivisions would load the calendars of all countries.
    if country not in EntityLoader.get_country_codes(include_aliases=False):
        return False
    return subdivision is None or subdivision in _library(country).subdivisions


def two_letters(code: str) -> str | None:
    """Return the two letters (ISO 3166-1) of a country that is written in three, or None."""
    return next((row[1] for row in COUNTRIES.values() if row[2] == code), None)


@cache
def _weekend(country: str) -> frozenset[int]:
    return frozenset(_library(country).weekend)


@cache
def _public_holidays(country: str, subdivision: str | None, year: int) -> frozenset[date]:
    # The library fills its objects lazily, year by year, which two threads could see half done;
    # a finished frozen set per year cannot be.
    if year > LAST_YEAR:
        raise ValueError(f"no holidays are known after {LAST_YEAR}")
    return frozenset(
        on
        for on in _library(country, subdiv=subdivision, years=year, expand=False)
        if on.year == year
    )


@cache
def _estimated_holidays(country: str, subdivision: str | None, year: int) -> frozenset[date]:
    library = _library(country, subdiv=subdivision, years=year, expand=False, language="en_US")
    return frozenset(on for on, name in library.items() if "estimated" in name and on.year == year)


def _library(country: str, **asked: Any) -> HolidayBase:
    """Ask the library about one country, and load that one alone.

    Its package of countries imports all 250 when the first is loaded: most of the time that a
    question about one deadline takes. Registered without being run, it is a package like any other,
    whose modules load one by one. Nothing happens where somebody has loaded it as a whole.
    """
    if _COUNTRIES not in sys.modules:
        found = PathFinder.find_spec(_COUNTRIES, holidays.__path__)
        if found is not None:
            sys.modules.setdefault(_COUNTRIES, module_from_spec(found))
    return holidays.country_holidays(country, **asked)
