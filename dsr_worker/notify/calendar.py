"""The open clocks as a calendar that any calendar program subscribes to (RFC 5545).

In: clocks as the list of what is due has them, the next times of recurring duties. Out: the text of
an .ics file; nothing about a person.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime

import icalendar

from dsr_worker.domain.calendar import day_ended
from dsr_worker.domain.recurring import Recurrence
from dsr_worker.ledger.warnings import DueRow


def ics(rows: Sequence[DueRow], recurring: Sequence[Recurrence] = ()) -> str:
    """One event for each open clock, when alerts are due, and for each duty's next time."""
    calendar = icalendar.Calendar()
    calendar.add("prodid", "-//dsr-worker//due//EN")
    calendar.add("version", "2.0")
    for event in (*_clocks(rows), *map(_again, recurring)):
        calendar.add_component(event)
    written: bytes = calendar.to_ical()
    return written.decode()


def _clocks(rows: Sequence[DueRow]) -> Iterator[icalendar.Event]:
    for row in rows:
        if row.conservative_due_at is None:
            continue
        stands = " (paused)" if row.state == "paused" else ""
        yield _event(
            f"clock-{row.clock_id}",
            row.started_at,
            day_ended(row.conservative_due_at, row.zone) or row.conservative_due_at,
            f"{row.ref} {row.clock}{stands}",
            _sourced(row.recipient, row.citation, verified=row.verified),
        )


def _again(again: Recurrence) -> icalendar.Event:
    return _event(
        f"{again.row_id}-{again.due_on:%Y%m%d}",
        again.due_at,
        again.due_on,
        f"{again.law} every {again.every.amount} {again.every.unit}",
        _sourced(again.what, again.citation, verified=again.verified),
    )


def _event(uid: str, stamped_at: datetime, when: date, summary: str, told: str) -> icalendar.Event:
    """An event on a day, or, where `when` is an instant, at it: then it ends as it begins."""
    event = icalendar.Event()
    event.add("uid", f"{uid}@dsr-worker.invalid")
    event.add("dtstamp", stamped_at)
    event.add("dtstart", when)
    if isinstance(when, datetime):
        event.add("dtend", when)
    event.add("summary", summary)
    event.add("description", told)
    return event


def _sourced(what: str, citation: str, *, verified: bool) -> str:
    return f"{what}; {citation}{'' if verified else ' (not verified)'}"
