"""Standing rules in the ledger: one job for each installation of a system's rules.

In: a caller's cursor, systems. Out: jobs, locked. A job is open from its proposal until its rules
are out of the store: while one is, the store may hold rules of ours.
"""

from __future__ import annotations

from collections.abc import Sequence

from dsr_worker.ledger import jobs
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.rows import Job

STANDING_RULES = "standing_rules"
PROPOSED, INSTALLING, STANDING, WITHDRAWN = "proposed", "installing", "standing", "withdrawn"


def opened(cursor: Cursor, systems: Sequence[str] | None = None) -> list[Job]:
    """Lock the open jobs of these systems (None: of all), oldest first."""
    cursor.execute(
        "SELECT id FROM jobs WHERE kind = %s AND closed_at IS NULL"
        " AND (%s::text[] IS NULL OR facts->>'system' = ANY(%s)) ORDER BY id",
        (STANDING_RULES, *[None if systems is None else list(systems)] * 2),
    )
    return list(jobs.lock(cursor, [row.id for row in cursor.fetchall()]).values())


def wait_for_stores(cursor: Cursor) -> None:
    """Let this transaction idle while stores answer: a hold is not cut off by a slow one."""
    cursor.execute("SET LOCAL idle_in_transaction_session_timeout = '900s'")


def may_stand(cursor: Cursor, systems: Sequence[str] | None = None) -> list[Job]:
    """Lock the jobs whose rules are in a store, or may be, since nobody saw their writing end."""
    return [job for job in opened(cursor, systems) if job.state in (INSTALLING, STANDING)]
