"""When a schedule fires: cron in a zone, through changes of the clock. Pure.

In: a cron expression, a zone, instants. Out: instants in UTC. Where the clock skips the hour, a
fixed time fires right after the gap; where the hour comes twice, it fires the first time only (as
Debian's cron does, which `cronsim` follows). Times are compared in UTC: inside one zone, Python
does not tell the two passes of an hour apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim

_BACK_H = (2, 48, 32 * 24, 400 * 24, 3700 * 24)
"""Hours to look back for the last fire, one after the other: frequent schedules are found soon."""


def next_fire(cron: str, zone: str, after: datetime) -> datetime:
    """The first instant (UTC) after `after` at which the schedule fires.

    Raises:
        ValueError: it never does (within 50 years).

    """
    found = next((at for at in _fires(cron, zone, after) if at > after), None)
    if found is None:
        raise ValueError(f"the schedule {cron!r} never fires; write another cron expression")
    return found


def last_fire(cron: str, zone: str, due_at: datetime, now: datetime) -> datetime:
    """Of the fires from `due_at` (itself one of them) to `now`, the last: what a catch-up runs."""
    for hours in _BACK_H:
        start = max(due_at, now - timedelta(hours=hours))
        found = due_at
        for at in _fires(cron, zone, start):
            if at > now:
                break
            found = max(found, at)
        if found > start or start == due_at:
            return found
    return due_at


def _fires(cron: str, zone: str, after: datetime) -> Iterator[datetime]:
    for at in CronSim(cron, after.astimezone(ZoneInfo(zone))):
        yield at.astimezone(UTC)
