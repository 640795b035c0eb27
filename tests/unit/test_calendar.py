"""Holidays of one country are loaded alone, and are the library's own."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date, timedelta
from typing import Any

from dsr_worker.domain.calendar import day_ended, end_of_day

_OURS = """
import json, sys
from datetime import date, timedelta
from dsr_worker.statutes.load import countries
from dsr_worker.statutes.places import locality
days = [date(2026, 1, 1) + timedelta(days=n) for n in range(365)]
found = {}
for code in sorted(countries().countries):
    if code == "US":
        continue
    calendar = locality(code).calendar
    off = [on.isoformat() for on in days if not calendar.is_working_day(on)]
    found[calendar.code] = off
assert not hasattr(sys.modules["holidays.countries"], "Zambia"), "all countries were loaded"
import holidays.countries.zambia
print(json.dumps(found))
"""
_THEIRS = """
import json, sys
import holidays, holidays.countries
from datetime import date, timedelta
days = [date(2026, 1, 1) + timedelta(days=n) for n in range(365)]
found = {}
for code in json.load(sys.stdin):
    nation, _, part = code.partition("-")
    own = holidays.country_holidays(nation, subdiv=part or None, years=2026, expand=False)
    off = [on.isoformat() for on in days if on in own or on.weekday() in own.weekend]
    found[code] = off
print(json.dumps(found))
"""


def _printed(code: str, given: object = None) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_countries_loaded_one_by_one_have_the_librarys_days() -> None:
    """Loading a country alone changes none of its days off, and others can be loaded later."""
    ours = _printed(_OURS)
    assert len(ours) > 40
    assert ours == _printed(_THEIRS, sorted(ours))


def test_a_day_that_ends_with_a_change_of_the_clock_has_ended() -> None:
    """In Chile the night of the change has no midnight: the day ends at 01:00, and is told."""
    on, zone = date(2026, 9, 5), "America/Santiago"
    end_at = end_of_day(on, zone)
    assert day_ended(end_at, zone) == on
    assert day_ended(end_at - timedelta(seconds=1), zone) is None
