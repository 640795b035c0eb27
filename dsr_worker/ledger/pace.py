"""How fast each system works off its steps, measured now and then by one process for all.

In: the steps of open and lately closed cases. Out: a row a system, which forecasts go by. Counted
over an hour, or since the first step that ended in it, a quarter of an hour at the least.
"""

from __future__ import annotations

from dsr_worker.ledger.connection import Cursor

_MEASURE = """
INSERT INTO pace (system, measured_at, ready, done_per_hour)
SELECT s.system, now(), count(*) FILTER (WHERE s.state = 'ready'),
       coalesce(count(*) FILTER (WHERE s.finished_at IS NOT NULL) * 3600.0
           / greatest(900, extract(epoch FROM now() - min(s.finished_at))), 0)
FROM steps s JOIN jobs j ON j.id = s.job_id
WHERE (j.closed_at IS NULL OR j.closed_at > business_now() - interval '1 hour')
  AND (s.state = 'ready' OR (s.state = 'done' AND s.finished_at > now() - interval '1 hour'))
GROUP BY s.system
ON CONFLICT (system) DO UPDATE SET measured_at = excluded.measured_at, ready = excluded.ready,
    done_per_hour = excluded.done_per_hour
"""

_LONGEST_S = 3e9
"""A queue that takes longer takes as long: no calendar holds what a division may give."""

WORKED_OFF_AT = f"""
(SELECT max(business_now() + make_interval(
            secs => least({_LONGEST_S}, p.ready * 3600.0 / greatest(1, p.done_per_hour))))
   FROM steps s JOIN pace p ON p.system = s.system
  WHERE s.job_id = j.id AND s.state IN ('ready', 'leased') AND p.done_per_hour > 0
    AND p.measured_at > now() - interval '1 hour')
"""  # noqa: S608 - fixed text
"""When the queues that the steps of the job `j` stand in end; NULL where nobody knows."""


def measure(cursor: Cursor) -> None:
    """Measure every system that has work; safe to repeat."""
    cursor.execute(_MEASURE)
