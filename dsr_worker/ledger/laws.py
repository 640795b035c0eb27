"""The laws of cases as rows: where people were found to live, which laws a case has, more clocks.

In: jobs locked in the caller's transaction. Out: rows; clocks that were not there before.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dsr_worker.ledger.connection import Cursor, Json, values
from dsr_worker.ledger.intake import NewClock


class Known(NamedTuple):
    """A law that a case has beside its own: for which country, and why (None: it was stated)."""

    country: str
    reason: str | None


_RESIDENCES = """
SELECT s.job_id, s.system, s.result -> 'residences' AS residences,
       coalesce((s.result ->> 'unreadable')::int, 0) AS unreadable
FROM steps s JOIN unnest(%s::bigint[], %s::int[]) AS j(id, since)
     ON j.id = s.job_id AND s.round >= j.since
WHERE s.action = 'resolve' AND s.state = 'done' AND s.result ?| ARRAY['residences', 'unreadable']
ORDER BY s.job_id, s.system, s.round
"""
_START = """
INSERT INTO clocks (job_id, name, recipient, citation, verified, zone, started_at, due_at, due_on,
                    conservative_due_at, conservative_due_on, calendar_version, condition, facts,
                    state)
SELECT v.*, CASE WHEN v.due_at <= business_now() THEN 'missed' ELSE 'running' END
FROM (VALUES %s) AS v(job_id, name, recipient, citation, verified, zone, started_at, due_at, due_on,
                      conservative_due_at, conservative_due_on, calendar_version, condition, facts)
ON CONFLICT (job_id, name) DO NOTHING
"""
_TEMPLATE = (
    "(%s::bigint, %s, %s, %s, %s::boolean, %s, %s::timestamptz, %s::timestamptz, %s::date,"
    " %s::timestamptz, %s::date, %s, %s, %s::jsonb)"
)


def residences(cursor: Cursor, since: Mapping[int, int]) -> list[Any]:
    """What steps of these jobs found of where their people live, from a round of each on."""
    cursor.execute(_RESIDENCES, (list(since), list(since.values())))
    return cursor.fetchall()


def known(cursor: Cursor, job_ids: Sequence[int]) -> dict[int, dict[str, Known]]:
    """The laws whose clocks jobs have beside those of their own law."""
    cursor.execute(
        "SELECT job_id, facts ->> 'law' AS law, facts ->> 'country' AS country,"
        " facts #>> '{because,reason}' AS reason FROM clocks"
        " WHERE job_id = ANY(%s) AND facts ? 'law' ORDER BY job_id, id",
        (list(job_ids),),
    )
    found: dict[int, dict[str, Known]] = defaultdict(dict)
    for row in cursor.fetchall():
        found[row.job_id][row.law] = Known(row.country, row.reason)
    return found


def start(cursor: Cursor, clocks: Sequence[tuple[int, NewClock]]) -> None:
    """Start clocks of jobs; one that is there is left as it is, one that is past is missed."""
    values(
        cursor,
        _START,
        [(job_id, *clock[:-1], Json(dict(clock.facts))) for job_id, clock in clocks],
        _TEMPLATE,
    )
