"""Why an approved erasure has not begun: the accesses of the same person that come first.

In: a case, the accesses it waits for. Out: each with its state and what it still owes, and the day
until which the erasure waits. What an access has still to show, an erasure would take away, so it
waits for all of it, also where a first part was handed over; at its own lead time it asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from dsr_worker.fulfil.remaining import REMAINING
from dsr_worker.ledger import reports
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.reports import OpenJob

AFTER_ACCESS = "after_access"


def accesses(cursor: Cursor, row: OpenJob, lead_time: timedelta) -> dict[str, Any] | None:
    """The accesses that come first, and until when they do; None where none does."""
    if row.phase != AFTER_ACCESS:
        return None
    found = [reports.job(cursor, ref) for ref in row.facts.get("waits_for", ())]
    told = [
        {
            "case": job.ref,
            "state": job.state,
            "owes": job.facts.get(REMAINING, {}).get("parts", []),
        }
        for job in found
        if job is not None and job.closed_at is None
    ]
    return {"cases": told, "until_at": None if row.due_at is None else row.due_at - lead_time}


def lines(waits: Mapping[str, Any] | None) -> Iterator[str]:
    """The same for people."""
    if waits is None:
        return
    for access in waits["cases"]:
        yield f"first       {access['case']}, an access of the same person: {_state(access)}"
    until = f" {waits['until_at']:%Y-%m-%d}" if waits["until_at"] else " its lead time"
    yield (
        "            What it has still to show, this erasure would take away. It waits until"
        f"{until} at most, then asks: `dsr retry` goes on without it"
    )


def _state(access: Mapping[str, Any]) -> str:
    if not access["owes"]:
        return f"{access['state']}, not handed over yet (`dsr status {access['case']}`)"
    owed = ", ".join(
        f"{part['rows']} row(s) of {part['system']} ({part['ground']}, tried again on"
        f" {part['due_on']})"
        for part in access["owes"]
    )
    return f"handed over but for {owed}"
