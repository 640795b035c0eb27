"""What today's law packs would make of the clocks that run, beside the packs they run by.

In: the ledger. Out: one row per open clock that a law set, of a request or a complaint: of answers,
acknowledgements and appeals. Nothing is changed: a case is judged by the law at its receipt, in the
words in which it stood in the packs that day. The house's own clocks come from no pack.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from dsr_worker.domain import complaint
from dsr_worker.domain.clock import Due
from dsr_worker.fulfil.clocks import clock_of, law_text_of
from dsr_worker.ledger import Ledger, cases
from dsr_worker.ledger.cases import ClockRow
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.rows import Job
from dsr_worker.statutes import (
    ClockKind,
    complaint_clocks,
    pack_text_and_hash,
    read_pack,
    request_clocks,
)


@dataclass(frozen=True, slots=True)
class Dated:
    """When a clock is due by one version of a pack."""

    version: date
    due_on: date | None
    conservative_due_on: date


@dataclass(frozen=True, slots=True)
class Replayed:
    """One clock by its frozen pack and by today's; None where that gives no date for it.

    `why` says why the frozen pack gives none any more: such a clock runs on by the date it has.
    """

    ref: str
    clock: str
    law: str | None
    frozen: Dated | None
    today: Dated | None
    why: str = ""

    @property
    def moves(self) -> bool:
        """Whether the days differ."""
        was, now = self.frozen, self.today
        if was is None:
            return False
        if now is None:
            return True
        return (was.due_on, was.conservative_due_on) != (now.due_on, now.conservative_due_on)

    def plain(self) -> dict[str, Any]:
        """The same for machines."""
        return {"case": self.ref, **asdict(self), "moves": self.moves}


def replayed(ledger: Ledger) -> list[Replayed]:
    """Every open clock that a law set, soonest first."""
    with ledger.transaction() as cursor:
        return list(_rows(cursor))


def _rows(cursor: Cursor) -> Iterator[Replayed]:
    texts: dict[object, str] = {}  # many cases were taken in under one
    for job, row in cases.open_clocks(cursor):
        if job.kind == complaint.KIND and ":" not in row.name:  # the house's own timetable
            continue
        law, place = row.facts.get("law", job.law), row.facts.get("law_hash", job.frozen)
        today = None if law is None else _today(cursor, job, row, law)
        try:
            if place not in texts:
                texts[place] = law_text_of(cursor, job, row)
            kept = _dated(cursor, job, row, texts[place])
        except (LookupError, ValueError) as error:
            yield Replayed(job.ref, row.name, law, None, today, _why(error))
        else:
            yield Replayed(job.ref, row.name, law, kept, today)


def _why(error: Exception) -> str:
    """Why a pack gives no date; what a parser says of a whole file is cut to its first line."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def _today(cursor: Cursor, job: Job, row: ClockRow, law: str) -> Dated | None:
    try:
        text, _ = pack_text_and_hash(law)
        return _dated(cursor, job, row, text)
    except (LookupError, ValueError):  # no such law, right, place or extension any more
        return None


def _dated(cursor: Cursor, job: Job, row: ClockRow, text: str) -> Dated:
    due = _due(cursor, job, row, text)
    return Dated(read_pack(text).version, due.due_on, due.conservative_due_on)


def _due(cursor: Cursor, job: Job, row: ClockRow, text: str) -> Due:
    """When a clock is due by the pack in `text`. Raises LookupError, ValueError where it is not."""
    kind = row.name.partition(":")[0]
    if job.kind != complaint.KIND and kind != ClockKind.ACKNOWLEDGE:
        return clock_of(cursor, job, row, text).due
    assert job.received_at is not None  # noqa: S101 - whoever asks or complains did so at some time
    pack, country = read_pack(text), row.facts.get("country", job.country)
    zone = row.facts.get("zone", job.zone)
    if job.kind == complaint.KIND:
        specs = complaint_clocks(pack, country, job.received_at, zone)
    else:
        beside = row.facts.get("subject_zone")
        specs = request_clocks(pack, job.kind, country, job.received_at, zone, subject_zone=beside)
    found = next((spec.due for spec in specs if spec.kind == kind), None)
    if found is None:
        message = f"{pack.name} sets no date for this"
        raise ValueError(message)
    return found
