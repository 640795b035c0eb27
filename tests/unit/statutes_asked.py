"""Instants of receipt and clocks of a law, as the tests of statutes ask for them."""

from __future__ import annotations

from datetime import date, datetime, time
from zoneinfo import ZoneInfo

from dsr_worker.statutes import ClockSpec, load_pack, locality, request_clocks


def received(on: str, country: str) -> datetime:
    """Ten in the morning of a day in a country, or the instant itself where one is written."""
    if "T" in on:
        return datetime.fromisoformat(on)
    zone = ZoneInfo(locality(country).zone)
    return datetime.combine(date.fromisoformat(on), time(10), zone)


def respond(law: str, country: str, on: str, right: str = "access") -> ClockSpec:
    """Return the answer's clock."""
    return request_clocks(load_pack(law), right, country, received(on, country))[0]


def day(text: str) -> date:
    """Read a date."""
    return date.fromisoformat(text)
