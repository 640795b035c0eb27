"""What an access could not show since a store refuses it for now: told with a day, looked at again.

In: what `find` withheld on the ground of a `Remainder`. Out: counts by collection and ground, each
with its day, in the result of the step; after the hand-over a case that is answered with
remainders; on the day after, everything is found anew on the same approval. Where that gives what
could not be had before there is a new package, which is handed over like the first. Where the same
is still refused, nobody is bothered and the next day counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from dsr_worker.contract import Record, is_remainder
from dsr_worker.domain.request import State
from dsr_worker.engine.context import BatchContext
from dsr_worker.engine.tick import Duty
from dsr_worker.fulfil.decided import ended
from dsr_worker.fulfil.planning import Planner
from dsr_worker.fulfil.promises import house_clock
from dsr_worker.ledger import Ledger, cases, intake, jobs, promises
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.promises import StillOwed
from dsr_worker.ledger.rows import Event, Job, Move

STORE_REFUSES = "store-refuses"  # why a system's answer is partial
REMAINING = "remaining"
"""The fact of an answered access case: its `parts` by system, collection and ground with `rows` and
days, the `mark` of them all, and the day (`due_on`) on which everything is found anew."""


@dataclass
class Unshown:
    """What one subject is not shown for now, as it is found."""

    _rows: dict[tuple[str, str], int] = field(default_factory=dict)
    _days: dict[tuple[str, str], set[date | None]] = field(default_factory=dict)
    _marks: set[str] = field(default_factory=set)

    def note(self, record: Record, ctx: BatchContext) -> None:
        """A record of which a store refuses something, or any other."""
        for part in record.withheld:
            if is_remainder(part.ground):
                place = (record.collection, part.ground)
                day = None if part.until_at is None else part.until_at.astimezone(UTC).date()
                self._rows[place] = self._rows.get(place, 0) + part.values
                self._days.setdefault(place, set()).add(day)
                self._marks.add(ctx.digest(record.collection, record.key))

    def result(self, look_again_on: date) -> dict[str, Any]:
        """For the result of the step; nothing where nothing is refused."""
        if not self._rows:
            return {}
        parts = []
        for (collection, ground), rows in sorted(self._rows.items()):
            days = sorted(day or look_again_on for day in self._days[collection, ground])
            told = {"collection": collection, "ground": ground, "rows": rows}
            parts.append({**told, "due_on": str(days[0]), "last_due_on": str(days[-1])})
        mark = hashlib.sha256("".join(sorted(self._marks)).encode()).hexdigest()
        return {"remainders": parts, "mark": mark}


@dataclass(frozen=True, slots=True)
class Remaining:
    """What a case's last look could not show."""

    parts: tuple[Mapping[str, Any], ...]
    mark: str

    @property
    def owed(self) -> StillOwed:
        """How much it is, and the day on which the first of it is tried again."""
        due_on = min(date.fromisoformat(part["due_on"]) for part in self.parts)
        return StillOwed(sum(part["rows"] for part in self.parts), due_on)

    def fact(self) -> dict[str, Any]:
        """For the facts of the case."""
        due_on = str(self.owed.due_on)
        return {REMAINING: {"parts": list(self.parts), "mark": self.mark, "due_on": due_on}}


def remaining(cursor: Cursor, asked: Sequence[Job]) -> dict[int, Remaining]:
    """What the last look of these cases could not show; those that were shown all are left out."""
    found: dict[int, list[Any]] = {}
    for row in promises.unshown(cursor, [(job.id, job.round) for job in asked]):
        found.setdefault(row.job_id, []).append(row)
    return {
        job_id: Remaining(
            tuple({"system": row.system, **part} for row in rows for part in row.parts),
            " ".join(row.mark for row in rows),
        )
        for job_id, rows in found.items()
    }


def remains(job: Job, left: Remaining, actor: str = "", events: Sequence[Event] = ()) -> Move:
    """The move of an answered case that waits until a store lets the rest be read."""
    body = {"response": "answered", "rows": left.owed.rows, "due_on": left.owed.due_on}
    return Move(
        job,
        state=State.ANSWERED_WITH_REMAINDERS,
        phase="remainders",
        facts=left.fact(),
        events=(*events, Event("remainders_left", body, actor)),
    )


def looked_in_vain(cursor: Cursor, job: Job, left: Remaining | None) -> Move | None:
    """The move of a case that was looked at again where exactly the same is refused still."""
    if left is None or job.facts.get(REMAINING, {}).get("mark") != left.mark:
        return None
    settled = cases.settle_clocks(cursor, job.id, "met")
    return remains(job, left, events=ended(settled))


def look_again(ledger: Ledger, planner: Planner) -> Duty:
    """The duty that finds anew what access cases still owe, on the day after theirs."""

    def look_again_for_answered() -> None:
        with ledger.transaction() as cursor:
            for job in jobs.lock(cursor, promises.to_look_again(cursor)).values():
                if job.state != State.ANSWERED_WITH_REMAINDERS:
                    continue  # begun by another process meanwhile
                jobs.change(cursor, [_looking(cursor, planner, job)])

    return look_again_for_answered


def _looking(cursor: Cursor, planner: Planner, job: Job) -> Move:
    clock = house_clock(job.now)
    intake.start_clocks(cursor, job.id, [clock])
    due = Event("deferred_due", {"due_on": date.fromisoformat(job.facts[REMAINING]["due_on"])})
    return planner.approved(
        job, job.plan or {}, (due,), frozen=job.frozen, urgency_at=clock.conservative_due_at
    )


def look_again_on(now: datetime, after: timedelta) -> date:
    """When a store is asked again that names no day."""
    return (now + after).astimezone(UTC).date()
