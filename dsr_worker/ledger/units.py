"""Units of a scan, as workers see them: made page by page, claimed, renewed, ended, taken back.

In: a system's name, how a unit ended. Out: units under lease, with the steps that wait for them.
The last unit to end, under the lock of the scan's row, lets the steps go on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn

from dsr_worker.contract import LeaseLost
from dsr_worker.ledger import scans, statements
from dsr_worker.ledger.connection import Cursor, Json, Ledger, values
from dsr_worker.ledger.rows import Claim
from dsr_worker.ledger.scans import FOR_ALL


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


_OURS = """
scan_id = %(scan)s AND number = %(number)s AND attempt = %(attempt)s AND state = 'leased'
"""
_HOLD = f"SELECT FROM units WHERE {_OURS} FOR UPDATE"
_MOVE_ON = f"UPDATE units SET name = %(last)s WHERE {_OURS}"  # noqa: S608 - fixed text
_RENEW = f"""
UPDATE units SET lease_until = now() + make_interval(secs => %(lease_s)s) WHERE {_OURS}
"""  # noqa: S608 - fixed text
_END = f"""
UPDATE units
SET state = %(state)s, segments = %(segments)s, frames = %(frames)s, stops = %(stops)s,
    charged = greatest(0, charged + %(charge)s), worker = NULL, lease_until = NULL,
    run_at = now() + make_interval(secs => %(again_s)s)
WHERE {_OURS}
"""  # noqa: S608 - fixed text


# ---- dividing


def add_page(
    ledger: Ledger, claim: UnitClaim, first: int, page: Sequence[tuple[bytes, int]]
) -> None:
    """Keep some units more, and how far the division has come. Raises LeaseLost."""
    with ledger.transaction() as cursor:
        cursor.execute("SELECT FROM scans WHERE id = %s FOR UPDATE", (claim.scan_id,))
        cursor.execute(
            _MOVE_ON,
            {**_token(claim), "last": page[-1][0]},
        )
        if cursor.rowcount != 1:
            _lost()
        values(
            cursor,
            "INSERT INTO units (scan_id, number, name, size_bytes) VALUES %s",
            [(claim.scan_id, first + i, name, size) for i, (name, size) in enumerate(page)],
        )
        cursor.execute(
            "UPDATE scans SET pending = pending + %s WHERE id = %s", (len(page), claim.scan_id)
        )


def divided(ledger: Ledger, claim: UnitClaim) -> int:
    """How many units the division has made so far."""
    with ledger.transaction() as cursor:
        cursor.execute("SELECT max(number) AS last FROM units WHERE scan_id = %s", (claim.scan_id,))
        return int(cursor.fetchone().last)


# ---- claiming and ending

# Units of a scan for which nobody waits any more are left alone. A more urgent step goes first:
# long work yields at the borders of its units.
_CLAIM = """
WITH head AS (
    SELECT u.scan_id, u.number FROM scans c JOIN units u ON u.scan_id = c.id
    WHERE c.system = %(system)s AND c.ended_at IS NULL
      AND u.state = 'ready' AND u.run_at <= now()
      AND EXISTS (SELECT FROM scan_steps t JOIN steps s ON s.id = t.step_id
                  WHERE t.scan_id = c.id AND s.state = 'waiting'
                  AND (s.urgent OR NOT %(urgent_only)s))
      AND NOT EXISTS (SELECT FROM steps s WHERE s.system = c.system AND s.state = 'ready'
                      AND s.run_at <= now() AND s.urgency_at < c.urgency_at)
    ORDER BY c.urgency_at, c.id, u.number LIMIT 1 FOR UPDATE OF u SKIP LOCKED
)
UPDATE units u
SET state = 'leased', attempt = u.attempt + 1, charged = u.charged + 1, worker = %(worker)s,
    lease_until = now() + make_interval(secs => %(lease_s)s)
FROM head h, scans c
WHERE u.scan_id = h.scan_id AND u.number = h.number AND c.id = h.scan_id
RETURNING u.scan_id, u.number, u.name, u.size_bytes, u.attempt, u.charged, c.system, c.call,
          c.second_path
"""
_STEPS = """
SELECT s.id, s.job_id, s.action, s.system, s.round, s.frozen, s.effect, s.attempt, s.charged,
       s.batch_size, s.intent, s.result, s.error
FROM scan_steps t JOIN steps s ON s.id = t.step_id
WHERE t.scan_id = %s AND s.state = 'waiting' ORDER BY s.id
"""


def claim(
    ledger: Ledger, system: str, worker: int, *, urgent_only: bool = False
) -> tuple[UnitClaim, tuple[Claim, ...]] | None:
    """Lease the next unit of a system, with the steps that wait for it; None without any."""
    with ledger.transaction() as cursor:
        cursor.execute(
            _CLAIM,
            {
                "system": system,
                "worker": worker,
                "urgent_only": urgent_only,
                "lease_s": statements.LEASE_S,
            },
        )
        row = cursor.fetchone()
        if row is None:
            return None
        unit = UnitClaim(*row)._replace(name=bytes(row.name))
        cursor.execute(_STEPS, (unit.scan_id,))
        return unit, tuple(Claim(**step._asdict()) for step in cursor.fetchall())


def hold(cursor: Cursor, unit: UnitClaim) -> None:
    """Lock a unit under lease until the transaction ends. Raises LeaseLost."""
    cursor.execute(_HOLD, _token(unit))
    if cursor.rowcount != 1:
        _lost()


def renew(ledger: Ledger, unit: UnitClaim) -> bool:
    """Renew a unit's lease; False when it was taken away."""
    with ledger.transaction() as cursor:
        cursor.execute(
            _RENEW,
            {**_token(unit), "lease_s": statements.LEASE_S},
        )
        return bool(cursor.rowcount == 1)


def end(ledger: Ledger, unit: UnitClaim, ended: UnitEnd) -> bool:
    """Record how a unit ended, and let the steps go on after the last; False when fenced off."""
    again = ended.again_s is not None
    state = "ready" if again else "stopped" if ended.stops else "done"
    with ledger.transaction() as cursor:
        cursor.execute("SELECT FROM scans WHERE id = %s FOR UPDATE", (unit.scan_id,))
        cursor.execute(
            _END,
            {
                **_token(unit),
                "state": state,
                "segments": list(ended.segments),
                "frames": Json(dict(ended.frames)),
                "stops": Json(dict(ended.stops)),
                "charge": ended.charge,
                "again_s": ended.again_s or 0.0,
            },
        )
        if cursor.rowcount != 1:
            return False
        if not again:
            _count_down(cursor, {unit.scan_id: 1})
    return True


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
        stopped: dict[int, int] = {}
        for row in taken:
            if row.state == "stopped":
                stopped[row.scan_id] = stopped.get(row.scan_id, 0) + 1
        _count_down(cursor, stopped)
        return len(taken)


def _count_down(cursor: Cursor, by_scan: Mapping[int, int]) -> None:
    """So many units of each scan have ended. The rows of the scans are locked."""
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


def _lost() -> NoReturn:
    message = "the lease of this work is gone"
    raise LeaseLost(message)
