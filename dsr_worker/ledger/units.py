"""Units of a scan, as workers see them: claimed, renewed, ended, taken back (made: `divisions`).

In: a system's name, how units ended. Out: units under lease, with the steps that wait for them; a
unit comes with its companions, which are the same part of the system for other scans. The last unit
to end, under the lock of the scan's row, lets the steps go on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from dsr_worker.contract import Call, LeaseLost
from dsr_worker.ledger import scans, statements, sums
from dsr_worker.ledger.connection import Cursor, Json, Ledger, values
from dsr_worker.ledger.rows import Claim
from dsr_worker.ledger.scans import FOR_ALL

MOST_TOGETHER = 8
"""Scans whose units are worked on in one pass. What is found waits in memory, up to 64 KiB for each
of 200 people a scan (see `spool`)."""


class UnitClaim(NamedTuple):
    """A unit under lease; `(scan_id, number, attempt)` is its fencing token."""

    scan_id: int
    number: int
    name: bytes
    size_bytes: int
    attempt: int
    charged: int
    system: str
    call: str
    second_path: bool
    map: str  # empty where its scan keeps to itself
    changes: bool = False

    @property
    def divides(self) -> bool:
        """Whether its work is to make the others."""
        return self.number == 0


@dataclass(frozen=True, slots=True)
class UnitEnd:
    """How a unit ended this time: `again_s` when it is to be tried again."""

    segments: Sequence[str] = ()
    frames: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    stops: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    again_s: float | None = None
    charge: int = 0

    @property
    def state(self) -> str:
        """The unit's state afterwards."""
        if self.again_s is not None:
            return "ready"
        return "stopped" if self.stops else "done"


_HOLD = """
SELECT FROM units
WHERE scan_id = %(scan)s AND number = %(number)s AND attempt = %(attempt)s AND state = 'leased'
  AND lease_until > now() + make_interval(secs => %(least_s)s)
FOR UPDATE
"""
_RENEW = """
UPDATE units u SET lease_until = now() + make_interval(secs => %(lease_s)s)
FROM unnest(%(scans)s::bigint[], %(numbers)s::int[], %(attempts)s::int[]) v(scan, number, attempt)
WHERE u.scan_id = v.scan AND u.number = v.number AND u.attempt = v.attempt AND u.state = 'leased'
"""
_END = """
UPDATE units u
SET state = v.state, segments = u.segments || v.segments, frames = v.frames, stops = v.stops,
    charged = greatest(0, u.charged + v.charge), worker = NULL, lease_until = NULL,
    run_at = now() + make_interval(secs => v.again_s)
FROM (VALUES %s) v(scan, number, attempt, state, segments, frames, stops, charge, again_s)
WHERE u.scan_id = v.scan AND u.number = v.number AND u.attempt = v.attempt AND u.state = 'leased'
RETURNING u.scan_id, u.number, u.state
"""


# Units of a scan for which nobody waits any more are left alone, and those for which somebody does
# not wait yet: a unit is worked on once, for all of them. A more urgent step goes first:
# long work yields at the borders of its units. Whoever can take over a division does so at once,
# and comes along from then on. What was charged before is worked on alone: whatever it did may have
# been its own doing, or another's. Behind the first one, where it leads, the others wait.
_WAITED_FOR = """
EXISTS (SELECT FROM scan_steps t JOIN steps s ON s.id = t.step_id
        WHERE t.scan_id = c.id AND s.state = 'waiting' AND (s.urgent OR NOT %(urgent_only)s))
AND NOT EXISTS (SELECT FROM scan_steps t JOIN steps s ON s.id = t.step_id
                WHERE t.scan_id = c.id AND s.state NOT IN ('waiting', 'done', 'cancelled'))
"""
_CLAIM = f"""
WITH head AS (
    SELECT c.id AS scan_id, u.number, u.name, u.charged, c.division FROM (
        SELECT c.id, c.division, c.urgency_at,
               c.map <> '' AND c.division IS NULL AND EXISTS (
                   SELECT FROM scans o WHERE o.system = c.system AND o.map = c.map
                   AND o.division IS NOT NULL AND o.ended_at IS NULL) AS joins,
               EXISTS (SELECT FROM units l WHERE l.scan_id = c.id AND l.leads
                       AND l.state IN ('ready', 'leased')) AS led
        FROM scans c
        WHERE c.system = %(system)s AND c.ended_at IS NULL AND {_WAITED_FOR}
          AND NOT EXISTS (SELECT FROM steps s WHERE s.system = c.system AND s.state = 'ready'
                          AND s.run_at <= now() AND s.urgency_at < c.urgency_at)
        ORDER BY joins DESC, c.urgency_at, c.id
    ) c CROSS JOIN LATERAL (
        SELECT u.number, u.name, u.charged FROM units u
        WHERE u.scan_id = c.id AND u.state = 'ready' AND u.run_at <= now()
          AND u.number <= CASE WHEN c.led THEN 1 ELSE 2147483647 END
        ORDER BY u.number LIMIT 1 FOR UPDATE SKIP LOCKED
    ) u
    ORDER BY c.joins DESC, c.urgency_at, c.id LIMIT 1
), companions AS (
    SELECT u.scan_id, u.number FROM head h
    JOIN scans c ON c.division = h.division AND c.id <> h.scan_id AND c.ended_at IS NULL
    JOIN units u ON u.scan_id = c.id AND u.number = h.number AND u.name = h.name
    WHERE h.number > 0 AND h.charged = 0 AND u.charged = 0
      AND u.state = 'ready' AND u.run_at <= now() AND {_WAITED_FOR}
    ORDER BY c.urgency_at, c.id LIMIT %(companions)s FOR UPDATE OF u SKIP LOCKED
), taken AS (
    SELECT scan_id, number FROM head UNION ALL SELECT scan_id, number FROM companions
)
UPDATE units u
SET state = 'leased', attempt = u.attempt + 1, charged = u.charged + 1, worker = %(worker)s,
    lease_until = now() + make_interval(secs => %(lease_s)s)
FROM taken t, scans c
WHERE u.scan_id = t.scan_id AND u.number = t.number AND c.id = t.scan_id
RETURNING u.scan_id, u.number, u.name, u.size_bytes, u.attempt, u.charged, c.system, c.call,
          c.second_path, c.map, c.changes
"""  # noqa: S608 - fixed text
_STEPS = """
SELECT t.scan_id, s.id, s.job_id, s.action, s.system, s.round, s.frozen, s.effect, s.attempt,
       s.charged, s.batch_size, s.intent, s.result, s.error
FROM scan_steps t JOIN steps s ON s.id = t.step_id
WHERE t.scan_id = ANY(%s) AND s.state = 'waiting' ORDER BY s.id
"""
Claimed = Mapping[UnitClaim, Sequence[Claim]]
"""Units of one part of a system, each with the steps that wait for it."""


def claim(ledger: Ledger, system: str, worker: int, *, urgent_only: bool = False) -> Claimed:
    """Lease the next unit of a system with its companions; empty without any."""
    with ledger.transaction() as cursor:
        cursor.execute(
            _CLAIM,
            {
                "system": system,
                "worker": worker,
                "urgent_only": urgent_only,
                "companions": MOST_TOGETHER - 1,
                "lease_s": statements.LEASE_S,
            },
        )
        taken = [UnitClaim(*row)._replace(name=bytes(row.name)) for row in cursor.fetchall()]
        if not taken:
            return {}
        waiting: dict[int, list[Claim]] = {unit.scan_id: [] for unit in taken}
        cursor.execute(_STEPS, (list(waiting),))
        for row in cursor.fetchall():
            waiting[row.scan_id].append(Claim(*row[1:]))
    return {unit: waiting[unit.scan_id] for unit in taken}


def given(ledger: Ledger, unit: UnitClaim) -> Mapping[str, Mapping[str, Any]]:
    """Where the keys lie that a unit was given, by step; empty where it has none of its own."""
    with ledger.transaction() as cursor:
        cursor.execute(
            "SELECT given FROM units WHERE scan_id = %s AND number = %s",
            (unit.scan_id, unit.number),
        )
        found: Mapping[str, Mapping[str, Any]] = cursor.fetchone().given
    return found


def hold(cursor: Cursor, unit: UnitClaim, *, least_s: float = 0) -> None:
    """Lock a unit whose lease holds for that long until the transaction ends. Raises LeaseLost."""
    cursor.execute(_HOLD, {**_token(unit), "least_s": least_s})
    if cursor.rowcount != 1:
        message = "the lease of this work is gone"
        raise LeaseLost(message)


def renew(ledger: Ledger, held: Sequence[UnitClaim]) -> bool:
    """Renew the lease of units; False when one of them was taken away."""
    with ledger.transaction() as cursor:
        cursor.execute(
            _RENEW,
            {
                "scans": [unit.scan_id for unit in held],
                "numbers": [unit.number for unit in held],
                "attempts": [unit.attempt for unit in held],
                "lease_s": statements.LEASE_S,
            },
        )
        return bool(cursor.rowcount == len(held))


def end(ledger: Ledger, ends: Mapping[UnitClaim, UnitEnd]) -> int:
    """Record how units ended, and let steps go on after their last; how many were still ours."""
    rows = [
        (
            *_token(unit).values(),
            ended.state,
            list(ended.segments),
            Json(dict(ended.frames)),
            Json(dict(ended.stops)),
            ended.charge,
            ended.again_s or 0.0,
        )
        for unit, ended in ends.items()
    ]
    with ledger.transaction() as cursor:
        cursor.execute(
            "SELECT FROM scans WHERE id = ANY(%s) ORDER BY id FOR UPDATE",
            ([unit.scan_id for unit in ends],),
        )
        found = values(
            cursor, _END, rows, "(%s, %s, %s, %s, %s::text[], %s::jsonb, %s::jsonb, %s, %s)"
        )
        over = {(row.scan_id, row.number) for row in found if row.state != "ready"}
        for unit, ended in ends.items():
            if not unit.changes or (unit.scan_id, unit.number) not in over:
                continue
            scans.stop_for(cursor, unit.scan_id, ended.stops)
            if unit.call == Call.ERASE:  # of a sweep, nothing tells what is gone
                sums.settle(cursor, unit.scan_id, unit.number, _receipts(ended))
        _count_down(cursor, Counter(scan for scan, _ in over))
    return len(found)


def _receipts(ended: UnitEnd) -> dict[int, list[dict[str, Any]]]:
    """What became of a unit's rows, by step; nothing for whom it stopped."""
    return {step: frame["receipts"] for step, frame in ended.frames.items() if "receipts" in frame}


def take_back(ledger: Ledger, dead: Sequence[int]) -> int:
    """Make ready again what dead workers or run-out leases held; too often so: it stops."""
    stop = {FOR_ALL: {"state": "needs_human", "code": "quarantined", "error": "", "details": None}}
    with ledger.transaction() as cursor:
        cursor.execute(
            "SELECT c.id FROM scans c WHERE c.id IN (SELECT scan_id FROM units WHERE"
            " state = 'leased' AND (lease_until < now() OR worker = ANY(%s)))"
            " ORDER BY c.id FOR UPDATE SKIP LOCKED",
            (list(dead),),
        )
        lost = [row.id for row in cursor.fetchall()]
        if not lost:
            return 0
        cursor.execute(
            "UPDATE units SET worker = NULL, lease_until = NULL,"
            " state = CASE WHEN charged >= %(limit)s THEN 'stopped' ELSE 'ready' END,"
            " stops = CASE WHEN charged >= %(limit)s THEN %(stop)s ELSE stops END"
            " WHERE scan_id = ANY(%(scans)s) AND state = 'leased'"
            " AND (lease_until < now() OR worker = ANY(%(dead)s)) RETURNING scan_id, state",
            {
                "limit": statements.ALONE_LIMIT,
                "stop": Json(stop),
                "scans": lost,
                "dead": list(dead),
            },
        )
        taken = cursor.fetchall()
        quarantined = Counter(row.scan_id for row in taken if row.state == "stopped")
        for scan in quarantined:
            scans.stop_for(cursor, scan, stop)
        _count_down(cursor, quarantined)
        return len(taken)


def _count_down(cursor: Cursor, by_scan: Mapping[int, int]) -> None:
    """So many units of each scan have ended. The rows of the scans are locked."""
    if not by_scan:
        return
    for scan, count in by_scan.items():
        cursor.execute(
            "UPDATE scans SET pending = pending - %(count)s,"
            " ended_at = CASE WHEN pending = %(count)s THEN now() END WHERE id = %(scan)s",
            {"scan": scan, "count": count},
        )
    scans.wake(cursor, list(by_scan))


def with_ready_units(cursor: Cursor) -> list[str]:
    """Systems that have units to work on."""
    cursor.execute(
        "SELECT DISTINCT c.system FROM scans c WHERE c.ended_at IS NULL AND EXISTS (SELECT FROM"
        " units u WHERE u.scan_id = c.id AND u.state = 'ready' AND u.run_at <= now())"
        " AND EXISTS (SELECT FROM scan_steps t JOIN steps s ON s.id = t.step_id"
        " WHERE t.scan_id = c.id AND s.state = 'waiting')"
    )
    return [row.system for row in cursor.fetchall()]


def _token(unit: UnitClaim) -> dict[str, int]:
    return {"scan": unit.scan_id, "number": unit.number, "attempt": unit.attempt}
