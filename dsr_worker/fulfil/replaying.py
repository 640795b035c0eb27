"""What today's law packs would make of the clocks that run, beside the packs they run by.

In: the ledger. Out: one row per open clock of a request. Nothing is changed: a case is judged by
the law at its receipt, in the words in which it stood in the packs that day.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from dsr_worker.fulfil.clocks import clock_of, law_text_of
from dsr_worker.ledger import Ledger, cases
from dsr_worker.ledger.cases import ClockRow
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.rows import Job
from dsr_worker.statutes import UnknownNameError, pack_text_and_hash, read_pack


@dataclass(frozen=True, slots=True)
class Dated:
    """When a clock is due by one version of a pack."""

    version: date
    due_on: date | None
    conservative_due_on: date


@dataclass(frozen=True, slots=True)
class Replayed:
    """One clock by its frozen pack and by today's; None where that says nothing of it any more."""

    ref: str
    law: str
    frozen: Dated
    today: Dated | None

    @property
    def moves(self) -> bool:
        """Whether the days differ."""
        if self.today is None:
            return True
        was, now = self.frozen, self.today
        return (was.due_on, was.conservative_due_on) != (now.due_on, now.conservative_due_on)

    def plain(self) -> dict[str, Any]:
        """The same for machines."""
        return {"case": self.ref, **asdict(self), "moves": self.moves}


def replayed(ledger: Ledger) -> list[Replayed]:
    """Every open clock of a request, soonest first."""
    with ledger.transaction() as cursor:
        return list(_rows(cursor))


def _rows(cursor: Cursor) -> Iterator[Replayed]:
    texts: dict[object, str] = {}  # many cases were taken in under one
    for job, row in cases.open_answers(cursor):
        law, place = row.facts.get("law", job.law), row.facts.get("law_hash", job.frozen)
        if place not in texts:
            texts[place] = law_text_of(cursor, job, row)
        kept = _dated(cursor, job, row, texts[place])
        if law is not None and kept is not None:
            yield Replayed(job.ref, law, kept, _today(cursor, job, row, law))


def _today(cursor: Cursor, job: Job, row: ClockRow, law: str) -> Dated | None:
    try:
        text, _ = pack_text_and_hash(law)
    except UnknownNameError:
        return None
    return _dated(cursor, job, row, text)


def _dated(cursor: Cursor, job: Job, row: ClockRow, text: str) -> Dated | None:
    try:
        due = clock_of(cursor, job, row, text).due
    except (LookupError, ValueError):  # no such right, place or extension by this pack
        return None
    return Dated(read_pack(text).version, due.due_on, due.conservative_due_on)
