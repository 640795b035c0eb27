"""Blobs that no row names: what a dead or late worker wrote and never reported.

In: names from the store. Out: those of them that may go. Nothing younger than the oldest work under
way is judged, since that work may still name it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from dsr_worker.ledger.connection import Cursor

_UNNAMED = """
SELECT asked.blob FROM unnest(%s::text[]) AS asked(blob)
WHERE NOT EXISTS (SELECT FROM spools s WHERE s.frame->>'segment' = asked.blob)
  AND NOT EXISTS (SELECT FROM packages p WHERE p.blob = asked.blob)
  AND NOT EXISTS (SELECT FROM scans c WHERE c.segment = asked.blob)
  AND NOT EXISTS (SELECT FROM units u WHERE u.segments @> ARRAY[asked.blob])
  AND NOT EXISTS (SELECT FROM jobs j WHERE j.kind = 'breach'
                  AND j.facts->'approved'->>'drafts' = asked.blob)
"""


def first_day_kept(cursor: Cursor, least_age: timedelta) -> date:
    """Blobs of this UTC day and later are not judged: younger than `least_age`, or under work.

    By the earlier of the business clock and the database's own, so that no moved clock makes a
    young blob look old.
    """
    cursor.execute(
        "SELECT (least(now() - %(age)s, business_now() - %(age)s,"
        " (SELECT min(started_at) FROM steps WHERE state = 'leased'),"
        " (SELECT min(c.divided_at) FROM units u JOIN scans c ON c.id = u.scan_id"
        "  WHERE u.state = 'leased')) AT TIME ZONE 'UTC')::date AS day",
        {"age": least_age},
    )
    day: date = cursor.fetchone().day
    return day


def unnamed(cursor: Cursor, blobs: Sequence[str]) -> list[str]:
    """Those of these blobs that no spool, scan, package or approved notice names."""
    cursor.execute(_UNNAMED, (list(blobs),))
    return [row.blob for row in cursor.fetchall()]


def take_chore(cursor: Cursor, name: str, every: timedelta) -> bool:
    """Whether it is time to do this again; then it counts as done, for every process."""
    cursor.execute(
        "INSERT INTO chores (name, done_at) VALUES (%s, now()) ON CONFLICT (name)"
        " DO UPDATE SET done_at = excluded.done_at WHERE chores.done_at < now() - %s",
        (name, every),
    )
    return cursor.rowcount == 1
