"""Clocks that come due: one warning row per clock and threshold, and the list of what is open.

In: the organisation's lead times, what became of a delivery. Out: warnings to deliver, open clocks
soonest first. Everything goes by the ledger's business clock; nothing here needs a queue or a
connector. A warning is claimed for a short while before it is delivered, so that two tickers do not
deliver it at once; a claim whose ticker died runs out, and the warning goes out again: at least
once, never silently not at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from dsr_worker.domain.forecast import Forecast, Outlook, forecast, owed
from dsr_worker.ledger import jobs, pace
from dsr_worker.ledger.connection import Cursor, Ledger
from dsr_worker.ledger.rows import Event, Job, Move

OVERDUE = "overdue"  # the threshold of a clock that has run out
FORESEEN = "forecast"  # … of one that will be missed, as things stand
_CLAIM_S = 300.0
WARNED_OF = """
(c.state IN ('running', 'paused') OR (c.state = 'missed' AND c.settled_at IS NULL))
AND NOT (c.state = 'paused' AND coalesce((c.facts ->> 'firm')::boolean, false))
"""
"""Clocks that are warned of: all that are open, but for those that surely stand."""

# Of several thresholds first seen together only the nearest is delivered; the others are on record.
_RAISE = f"""
WITH reached AS (
    SELECT c.id, t.name, t.lead,
           row_number() OVER (PARTITION BY c.id ORDER BY t.lead) = 1 AS nearest
    FROM clocks c
    CROSS JOIN unnest(%(names)s::text[], %(leads)s::text[]::interval[]) AS t(name, lead)
    WHERE {WARNED_OF} AND c.conservative_due_at <= business_now() + t.lead
)
INSERT INTO warnings (clock_id, threshold, next_send_at)
SELECT id, name, CASE WHEN nearest THEN business_now() ELSE 'infinity' END FROM reached
ON CONFLICT (clock_id, threshold) DO NOTHING
"""  # noqa: S608 - fixed text

_CLAIM = f"""
UPDATE warnings w SET next_send_at = business_now() + make_interval(secs => %(claim_s)s)
FROM clocks c JOIN jobs j ON j.id = c.job_id
WHERE c.id = w.clock_id AND w.id IN (
    SELECT w.id FROM warnings w JOIN clocks c ON c.id = w.clock_id
    WHERE w.acknowledged_at IS NULL AND w.next_send_at <= business_now() AND {WARNED_OF}
    ORDER BY c.conservative_due_at LIMIT %(limit)s FOR UPDATE OF w SKIP LOCKED)
RETURNING w.id, w.clock_id, w.threshold, w.link, w.sent, j.id AS job_id, j.ref, j.kind, c.name,
          c.recipient, c.citation, c.verified, c.zone, c.due_at, c.conservative_due_at,
          c.condition, business_now() AS now
"""  # noqa: S608 - fixed text

_DUE = f"""
SELECT j.ref, j.kind, j.state AS job_state, c.id AS clock_id, c.name, c.recipient, c.citation,
       c.verified, c.zone, c.state, c.started_at, c.due_at, c.due_on, c.conservative_due_at,
       c.conservative_due_on, c.condition, business_now() AS now,
       coalesce((c.facts ->> 'firm')::boolean, false) AS firm, c.facts -> 'because' AS because,
       ARRAY(SELECT DISTINCT s.system || ':' || s.action || ':' || s.code FROM steps s
             WHERE s.job_id = j.id AND s.state IN ('needs_human', 'failed') ORDER BY 1) AS stuck,
       (SELECT max(s.run_at) FROM steps s WHERE s.job_id = j.id AND s.state = 'waiting')
           AS waits_until, {pace.WORKED_OFF_AT} AS worked_off_at
FROM clocks c JOIN jobs j ON j.id = c.job_id
WHERE (c.state IN ('running', 'paused') OR (c.state = 'missed' AND c.settled_at IS NULL))
  AND (%(ref)s::text IS NULL OR j.ref = upper(%(ref)s))
ORDER BY c.conservative_due_at NULLS LAST, j.id, c.name
"""  # noqa: S608 - fixed text


class RaisedWarning(NamedTuple):
    """A claimed warning, with what its message says. No personal data."""

    id: int
    clock_id: int
    threshold: str
    link: int
    sent: int
    job_id: int
    ref: str
    kind: str
    clock: str
    recipient: str
    citation: str
    verified: bool
    zone: str
    due_at: datetime | None
    conservative_due_at: datetime
    condition: str
    now: datetime

    @property
    def overdue(self) -> bool:
        """Whether the instant by which alerts go has passed."""
        return self.now >= self.conservative_due_at


class DueRow(NamedTuple):
    """One open clock, with what becomes of it as things stand and what a person owes to it."""

    ref: str
    kind: str
    job_state: str
    clock_id: int
    clock: str
    recipient: str
    citation: str
    verified: bool
    zone: str
    state: str
    started_at: datetime
    due_at: datetime | None  # the statute's own instant; None where it names no number
    conservative_due_at: datetime | None  # what alerts go by
    condition: str
    remaining: timedelta | None
    stuck: tuple[str, ...]  # "system:action:code" of steps that wait for a person
    forecast: str
    owed: str | None
    because: dict[str, Any] | None = None  # who or what added its law; None: it was stated


def raise_reached(ledger: Ledger, lead_times: Sequence[str]) -> int:
    """Make the rows of thresholds reached by now; how many were new. Safe to run anywhere at once.

    `lead_times` are ISO 8601 periods before the due instant; each names its threshold.
    """
    names, leads = [*lead_times, OVERDUE], [*lead_times, "PT0S"]
    with ledger.transaction() as cursor:
        cursor.execute(_RAISE, {"names": names, "leads": leads})
        return cursor.rowcount


def forget_unreached(cursor: Cursor, job_id: int) -> None:
    """Forget the warnings of a job's clocks, moved, whose thresholds are yet to be reached again.

    When they are, they warn anew.
    """
    cursor.execute(
        "DELETE FROM warnings w USING clocks c WHERE c.job_id = %s AND w.clock_id = c.id"
        " AND c.conservative_due_at > business_now()"
        " + CASE WHEN w.threshold IN (%s, %s) THEN interval '0' ELSE w.threshold::interval END",
        (job_id, OVERDUE, FORESEEN),
    )


def mark_missed(ledger: Ledger, limit: int = 200) -> int:
    """Turn clocks whose statutory instant has passed into `missed`, each with an event; how many.

    A clock without a statutory number is never missed; it is overdue by the house's date.
    """
    with ledger.transaction() as cursor:
        cursor.execute(
            "SELECT id, job_id FROM clocks WHERE state = 'running' AND due_at <= business_now()"
            " ORDER BY job_id LIMIT %s",
            (limit,),
        )
        found = cursor.fetchall()
        if not found:
            return 0
        locked = jobs.lock(cursor, [row.job_id for row in found])
        cursor.execute(
            "UPDATE clocks SET state = 'missed' WHERE id = ANY(%s) AND state = 'running'"
            " AND due_at <= business_now() RETURNING job_id, name, due_at",
            ([row.id for row in found],),
        )
        missed = cursor.fetchall()
        events: dict[int, list[Event]] = {}
        for row in missed:
            body = {"code": "clock_missed", "reason": row.name.lower()}
            events.setdefault(row.job_id, []).append(Event("needs_human", body))
        jobs.change(cursor, [Move(locked[j], events=tuple(e)) for j, e in events.items()])
    return len(missed)


def claim(ledger: Ledger, limit: int = 5) -> list[RaisedWarning]:
    """Claim warnings to deliver now, soonest due first; with nothing recorded they come again."""
    with ledger.transaction() as cursor:
        cursor.execute(_CLAIM, {"claim_s": _CLAIM_S, "limit": limit})
        rows = [RaisedWarning(*row) for row in cursor.fetchall()]
    return sorted(rows, key=lambda row: (row.conservative_due_at, row.id))


def waiting(ledger: Ledger) -> bool:
    """Whether any warning is to be delivered now."""
    with ledger.transaction() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM warnings w JOIN clocks c ON c.id = w.clock_id"  # noqa: S608 - fixed text
            " WHERE w.acknowledged_at IS NULL AND w.next_send_at <= business_now()"
            f" AND {WARNED_OF}) AS any"
        )
        return bool(cursor.fetchone().any)


def delivered(
    ledger: Ledger, warning: RaisedWarning, events: Sequence[Event], *, link: int, again_s: float
) -> None:
    """Record deliveries of a warning; its next round goes up to `link`, in `again_s` seconds."""
    with ledger.transaction() as cursor:
        job = jobs.lock(cursor, [warning.job_id])[warning.job_id]
        cursor.execute(
            "UPDATE warnings SET sent = sent + %s, link = %s,"
            " next_send_at = business_now() + make_interval(secs => %s) WHERE id = %s",
            (len(events), link, again_s, warning.id),
        )
        jobs.change(cursor, [Move(job, events=tuple(events))])


def acknowledge(
    cursor: Cursor,
    job: Job,
    actor: str,
    signature: str | None = None,
    *,
    warning: int | None = None,
) -> int:
    """Stop the warnings raised so far of a job locked in this transaction; how many there were.

    With `warning`, that one alone. Later thresholds of the same clocks warn again. `signature` is
    hex, as an event holds it. Safe to repeat.
    """
    cursor.execute(
        "UPDATE warnings w SET acknowledged_at = business_now(), acknowledged_by = %s FROM clocks c"
        " WHERE c.id = w.clock_id AND c.job_id = %s AND w.acknowledged_at IS NULL"
        " AND (%s::bigint IS NULL OR w.id = %s) RETURNING w.id, c.name",
        (actor, job.id, warning, warning),
    )
    events = [
        Event(
            "warning_acknowledged",
            {"warning": row.id, "clock": row.name.lower(), "signature": signature},
            actor,
        )
        for row in sorted(cursor.fetchall())
    ]
    if events:
        jobs.change(cursor, [Move(job, events=tuple(events))])
    return len(events)


def raise_foreseen(cursor: Cursor) -> int:
    """Warn once of each clock that will be missed as things stand; how many were new."""
    late = [row.clock_id for row in due_list(cursor) if row.forecast == Forecast.LATE]
    cursor.execute(
        "INSERT INTO warnings (clock_id, threshold) SELECT unnest(%s::bigint[]), %s"
        " ON CONFLICT (clock_id, threshold) DO NOTHING",
        (late, FORESEEN),
    )
    return cursor.rowcount


def due_list(
    cursor: Cursor, lead: timedelta = timedelta(0), ref: str | None = None
) -> list[DueRow]:
    """Every open clock, soonest first, or those of one job; missed ones stay until they are met.

    What only a person can do is a risk from `lead` before the clock.
    """
    cursor.execute(_DUE, {"ref": ref})
    return [_due_row(row, lead) for row in cursor.fetchall()]


def forecasts(rows: Sequence[DueRow]) -> dict[str, int]:
    """How many open clocks there are of each forecast."""
    return dict(Counter(row.forecast for row in rows))


def _due_row(row: Any, lead: timedelta) -> DueRow:
    due_at = row.conservative_due_at
    return DueRow(
        ref=row.ref,
        kind=row.kind,
        job_state=row.job_state,
        clock_id=row.clock_id,
        clock=row.name,
        recipient=row.recipient,
        citation=row.citation,
        verified=row.verified,
        zone=row.zone,
        state=row.state,
        started_at=row.started_at,
        due_at=row.due_at,
        conservative_due_at=due_at,
        condition=row.condition,
        remaining=None if due_at is None else due_at - row.now,
        stuck=tuple(row.stuck),
        forecast=forecast(_outlook(row, due_at), lead).value,
        owed=owed(row.kind, row.job_state),
        because=row.because,
    )


def _outlook(row: Any, due_at: datetime | None) -> Outlook:
    return Outlook(
        now=row.now,
        due_at=due_at,
        is_paused=row.state == "paused",
        is_firm=row.firm,
        is_stuck=bool(row.stuck),
        waits_until=row.waits_until,
        worked_off_at=row.worked_off_at,
        owed=owed(row.kind, row.job_state),
    )
