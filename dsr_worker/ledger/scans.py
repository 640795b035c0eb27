"""Scans: a call that is shared among workers, as the steps see that made it together.

In: steps under lease, and the call. Out: whether it has ended, what stopped, and where what was
found lies. The steps wait with IN_UNITS meanwhile; the last unit to end makes them ready. A tick
looks as well: no step waits for a scan that ended before it came to wait.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from dsr_worker.contract import LeaseLost
from dsr_worker.ledger import statements
from dsr_worker.ledger.connection import Cursor, Json, Ledger, values
from dsr_worker.ledger.rows import Claim

IN_UNITS = "in_units"
"""Why a step waits whose call is made in units."""
FOR_ALL = ""
"""In a unit's `stops`: whichever step."""
FRESH_S = 86_400
"""For so long after its end a scan answers the steps it was made for; then it is made anew."""
_PAGE = 500


class Scan(NamedTuple):
    """A scan as one of its steps sees it."""

    id: int
    step_id: int
    call: str
    second_path: bool
    changes: bool
    ended: bool
    segment: str
    frame: Mapping[str, Any] | None


def open_scan(
    ledger: Ledger,
    claims: Sequence[Claim],
    call: str,
    *,
    second_path: bool,
    changes: bool = False,
    name: bytes,
    shared_by: str = "",
    segment: str = "",
    frames: Mapping[int, Mapping[str, Any]] | None = None,
) -> None:
    """Begin a call in units for steps under lease. Raises LeaseLost.

    Scans of a system that are `shared_by` the same map have the same units and are worked on
    together; empty: by nobody.
    """
    ids, attempts = [c.id for c in claims], [c.attempt for c in claims]
    with ledger.transaction() as cursor:
        cursor.execute(statements.LOCK_OURS, {"ids": ids, "attempts": attempts})
        if cursor.fetchone().ours != len(ids):
            message = "the lease of these steps is gone"
            raise LeaseLost(message)
        cursor.execute(
            "INSERT INTO scans (system, call, second_path, changes, urgency_at, map, segment)"
            " SELECT %(system)s, %(call)s, %(second)s, %(changes)s, min(urgency_at), %(map)s,"
            " %(segment)s"
            " FROM steps WHERE id = ANY(%(ids)s) RETURNING id",
            {
                "system": claims[0].system,
                "call": call,
                "second": second_path,
                "changes": changes,
                "map": shared_by,
                "segment": segment,
                "ids": ids,
            },
        )
        scan = cursor.fetchone().id
        rows = [(scan, i, Json(frames[i]) if frames and i in frames else None) for i in ids]
        values(
            cursor,
            "INSERT INTO scan_steps (scan_id, step_id, frame) VALUES %s",
            rows,
            template="(%s, %s, %s::jsonb)",
        )
        cursor.execute("INSERT INTO units (scan_id, number, name) VALUES (%s, 0, %s)", (scan, name))


def wake(cursor: Cursor, scans: Sequence[int] | None = None) -> None:
    """Make the steps ready that wait for no open scan any more; of these scans, or of all."""
    cursor.execute(
        "UPDATE steps SET state = 'ready', run_at = now(), rung_at = NULL WHERE id IN ("
        " SELECT s.id FROM steps s WHERE s.state = 'waiting' AND s.code = %(code)s"
        " AND (%(scans)s::bigint[] IS NULL OR s.id IN"
        "      (SELECT step_id FROM scan_steps WHERE scan_id = ANY(%(scans)s)))"
        " AND NOT EXISTS (SELECT FROM scan_steps t JOIN scans c ON c.id = t.scan_id"
        "                 WHERE t.step_id = s.id AND c.ended_at IS NULL)"
        " ORDER BY s.id FOR UPDATE SKIP LOCKED)",
        {"code": IN_UNITS, "scans": None if scans is None else list(scans)},
    )


def of_steps(ledger: Ledger, steps: Sequence[int]) -> list[Scan]:
    """The scans that were made for these steps, but for readings that ended too long ago."""
    with ledger.transaction() as cursor:
        cursor.execute(
            "SELECT c.id, t.step_id, c.call, c.second_path, c.changes,"
            " c.ended_at IS NOT NULL AS ended, c.segment, t.frame"
            " FROM scan_steps t JOIN scans c ON c.id = t.scan_id"
            " WHERE t.step_id = ANY(%s) AND (c.ended_at IS NULL OR c.changes OR"
            " c.ended_at > now() - make_interval(secs => %s)) ORDER BY c.id, t.step_id",
            (list(steps), FRESH_S),
        )
        return [Scan(*row) for row in cursor.fetchall()]


def of_scan(ledger: Ledger, scan: int) -> list[Scan]:
    """A scan as all of its steps see it."""
    with ledger.transaction() as cursor:
        cursor.execute(
            "SELECT c.id, t.step_id, c.call, c.second_path, c.changes,"
            " c.ended_at IS NOT NULL AS ended, c.segment, t.frame"
            " FROM scan_steps t JOIN scans c ON c.id = t.scan_id"
            " WHERE c.id = %s ORDER BY t.step_id",
            (scan,),
        )
        return [Scan(*row) for row in cursor.fetchall()]


def stops(ledger: Ledger, scans: Sequence[int]) -> list[tuple[int, Mapping[str, Any]]]:
    """Why units of these scans stopped: scan, and the reasons by step."""
    with ledger.transaction() as cursor:
        cursor.execute(
            "SELECT scan_id, stops FROM units WHERE scan_id = ANY(%s) AND state = 'stopped'"
            " ORDER BY scan_id, number",
            (list(scans),),
        )
        return [(row.scan_id, row.stops) for row in cursor.fetchall()]


# Those for whom nothing stopped need what the scan found as it is: the others take a copy along.
_SET_APART = """
WITH leaving AS (
    SELECT step_id FROM scan_steps WHERE scan_id = %(scan)s AND step_id = ANY(%(steps)s)
), made AS (
    INSERT INTO scans (system, call, second_path, changes, urgency_at, map, division, divided_at,
                       segment, pending)
    SELECT system, call, second_path, changes, urgency_at, map,
           CASE WHEN EXISTS (SELECT FROM units WHERE scan_id = %(scan)s AND number = 0
                             AND state = 'done') THEN division END, divided_at, segment,
           (SELECT count(*) FROM units WHERE scan_id = %(scan)s AND state = 'stopped'
            AND stops ?| %(names)s)
    FROM scans WHERE id = %(scan)s AND EXISTS (SELECT FROM leaving)
    RETURNING id
), moved AS (
    UPDATE scan_steps t SET scan_id = m.id, stop = NULL FROM made m, leaving l
    WHERE t.scan_id = %(scan)s AND t.step_id = l.step_id
)
INSERT INTO units (scan_id, number, name, size_bytes, leads, given, attempt, intents, state,
                   segments, frames)
SELECT m.id, u.number, u.name, u.size_bytes, u.leads, u.given, u.attempt, u.intents,
       CASE WHEN u.state = 'stopped' AND u.stops ?| %(names)s THEN 'ready' ELSE 'done' END,
       u.segments, u.frames
FROM units u, made m WHERE u.scan_id = %(scan)s
"""


def set_apart(cursor: Cursor, scan: int, steps: Sequence[int]) -> None:
    """Let these steps have a scan of their own in which only what stopped for them is open.

    It is worked on as soon as one of them waits for it anew. Idempotent.
    """
    names = [FOR_ALL, *map(str, steps)]
    cursor.execute(_SET_APART, {"scan": scan, "steps": list(steps), "names": names})


# Their units are as they stand; what is under work is left to those for whom it is.
_WAIT_APART = """
WITH leaving AS (
    SELECT step_id FROM scan_steps WHERE scan_id = %(scan)s AND step_id = ANY(%(steps)s)
    AND EXISTS (SELECT FROM scan_steps t JOIN steps s ON s.id = t.step_id
                WHERE t.scan_id = %(scan)s AND s.state NOT IN ('waiting', 'done', 'cancelled'))
    AND NOT EXISTS (SELECT FROM units WHERE scan_id = %(scan)s AND state = 'leased')
), made AS (
    INSERT INTO scans (system, call, second_path, changes, urgency_at, map, division, divided_at,
                       segment, pending)
    SELECT system, call, second_path, changes, urgency_at, map,
           CASE WHEN EXISTS (SELECT FROM units WHERE scan_id = %(scan)s AND number = 0
                             AND state = 'done') THEN division END, divided_at, segment, pending
    FROM scans WHERE id = %(scan)s AND ended_at IS NULL AND EXISTS (SELECT FROM leaving)
    RETURNING id
), moved AS (
    UPDATE scan_steps t SET scan_id = m.id FROM made m, leaving l
    WHERE t.scan_id = %(scan)s AND t.step_id = l.step_id
)
INSERT INTO units (scan_id, number, name, size_bytes, leads, given, attempt, charged, intents,
                   state, stops, segments, frames)
SELECT m.id, u.number, u.name, u.size_bytes, u.leads, u.given, u.attempt, u.charged, u.intents,
       u.state, u.stops, u.segments, u.frames
FROM units u, made m WHERE u.scan_id = %(scan)s
"""


def wait_apart(cursor: Cursor, scan: int, steps: Sequence[int]) -> None:
    """Let steps that wait for an open scan have one of their own, where others do not wait yet.

    A unit is worked on once for all who wait for its scan: nobody may come to wait for it later.
    Idempotent.
    """
    cursor.execute("SELECT FROM scans WHERE id = %s FOR UPDATE", (scan,))
    cursor.execute(_WAIT_APART, {"scan": scan, "steps": list(steps)})


def stop_for(cursor: Cursor, scan: int, why: Mapping[str, Mapping[str, Any]]) -> None:
    """Let no unit that changes be begun any more for the steps that one of a scan stopped for."""
    cursor.execute(
        "UPDATE scan_steps t SET stop = coalesce(%(why)s::jsonb->(t.step_id::text),"
        " %(why)s::jsonb->%(all)s) WHERE t.scan_id = %(scan)s AND t.stop IS NULL"
        " AND (%(why)s::jsonb ? (t.step_id::text) OR %(why)s::jsonb ? %(all)s)"
        " AND EXISTS (SELECT FROM scans c WHERE c.id = t.scan_id AND c.changes)",
        {"scan": scan, "why": Json(dict(why)), "all": FOR_ALL},
    )


def stopped(ledger: Ledger, scan: int) -> dict[int, Mapping[str, Any]]:
    """The steps for which no unit of a scan is to be begun any more, with the reason."""
    with ledger.transaction() as cursor:
        cursor.execute(
            "SELECT step_id, stop FROM scan_steps WHERE scan_id = %s AND stop IS NOT NULL", (scan,)
        )
        return {row.step_id: row.stop for row in cursor.fetchall()}


def frames(ledger: Ledger, scan: int, step: int) -> Iterator[Mapping[str, Any]]:
    """Where what the units found for a step lies, in their order, page by page."""
    number = 0
    while True:
        with ledger.transaction() as cursor:
            cursor.execute(
                "SELECT number, frames->%(step)s AS frame FROM units WHERE scan_id = %(scan)s"
                " AND number > %(number)s AND frames ? %(step)s ORDER BY number LIMIT %(page)s",
                {"scan": scan, "step": str(step), "number": number, "page": _PAGE},
            )
            rows = cursor.fetchall()
        for row in rows:
            yield row.frame
        if len(rows) < _PAGE:
            return
        number = rows[-1].number


def forget(cursor: Cursor) -> int:
    """Forget the scans whose steps have all ended; upkeep finds their blobs unnamed then.

    What a step that was let go had been about to change is known until its case is closed.
    """
    cursor.execute(
        "DELETE FROM scans c WHERE NOT EXISTS (SELECT FROM scan_steps t JOIN steps s"
        " ON s.id = t.step_id JOIN jobs j ON j.id = s.job_id WHERE t.scan_id = c.id"
        " AND (s.state NOT IN ('done', 'cancelled')"
        "      OR (c.changes AND s.state = 'cancelled' AND j.closed_at IS NULL)))"
    )
    return cursor.rowcount
