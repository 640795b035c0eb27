"""Units: a call shared among workers. Opened, divided, claimed, ended; then the steps go on.

In: a call that steps made together. Out: units under lease, and what they found, as frames. The
steps wait with IN_UNITS meanwhile; the last unit to end, under the lock of the scan's row, makes
them ready. A tick looks as well: no step waits for a scan that ended before it came to wait.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn

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
    ended: bool
    segment: str
    frame: Mapping[str, Any] | None


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


# ---- opening and dividing


def open_scan(
    ledger: Ledger,
    claims: Sequence[Claim],
    call: str,
    *,
    second_path: bool,
    name: bytes,
    segment: str = "",
    frames: Mapping[int, Mapping[str, Any]] | None = None,
) -> None:
    """Begin a call in units for steps under lease. Raises LeaseLost."""
    ids, attempts = [c.id for c in claims], [c.attempt for c in claims]
    with ledger.transaction() as cursor:
        cursor.execute(statements.LOCK_OURS, {"ids": ids, "attempts": attempts})
        if cursor.fetchone().ours != len(ids):
            _lost()
        cursor.execute(
            "INSERT INTO scans (system, call, second_path, urgency_at, urgent, segment)"
            " SELECT %(system)s, %(call)s, %(second)s, min(urgency_at), bool_or(urgent),"
            " %(segment)s FROM steps WHERE id = ANY(%(ids)s) RETURNING id",
            {
                "system": claims[0].system,
                "call": call,
                "second": second_path,
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
      AND u.state = 'ready' AND u.run_at <= now() AND (c.urgent OR NOT %(urgent_only)s)
      AND EXISTS (SELECT FROM scan_steps t JOIN steps s ON s.id = t.step_id
                  WHERE t.scan_id = c.id AND s.state = 'waiting')
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
        scans = [row.id for row in cursor.fetchall()]
        if not scans:
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
                "scans": scans,
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
    wake(cursor, list(by_scan))


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


def with_ready_units(cursor: Cursor) -> list[str]:
    """Systems that have units to work on."""
    cursor.execute(
        "SELECT DISTINCT c.system FROM scans c WHERE c.ended_at IS NULL AND EXISTS (SELECT FROM"
        " units u WHERE u.scan_id = c.id AND u.state = 'ready' AND u.run_at <= now())"
        " AND EXISTS (SELECT FROM scan_steps t JOIN steps s ON s.id = t.step_id"
        " WHERE t.scan_id = c.id AND s.state = 'waiting')"
    )
    return [row.system for row in cursor.fetchall()]


# ---- answering


def of_steps(ledger: Ledger, steps: Sequence[int]) -> list[Scan]:
    """The scans that were made for these steps, but for those that ended too long ago."""
    with ledger.transaction() as cursor:
        cursor.execute(
            "SELECT c.id, t.step_id, c.call, c.second_path, c.ended_at IS NOT NULL AS ended,"
            " c.segment, t.frame FROM scan_steps t JOIN scans c ON c.id = t.scan_id"
            " WHERE t.step_id = ANY(%s) AND (c.ended_at IS NULL OR"
            " c.ended_at > now() - make_interval(secs => %s)) ORDER BY c.id, t.step_id",
            (list(steps), FRESH_S),
        )
        return [Scan(*row) for row in cursor.fetchall()]


def of_scan(ledger: Ledger, scan: int) -> list[Scan]:
    """A scan as all of its steps see it."""
    with ledger.transaction() as cursor:
        cursor.execute(
            "SELECT c.id, t.step_id, c.call, c.second_path, c.ended_at IS NOT NULL AS ended,"
            " c.segment, t.frame FROM scan_steps t JOIN scans c ON c.id = t.scan_id"
            " WHERE c.id = %s ORDER BY t.step_id",
            (scan,),
        )
        return [Scan(*row) for row in cursor.fetchall()]


def stops(ledger: Ledger, scans: Sequence[int]) -> list[Mapping[str, Mapping[str, Any]]]:
    """Why units of these scans stopped, by step."""
    with ledger.transaction() as cursor:
        cursor.execute(
            "SELECT stops FROM units WHERE scan_id = ANY(%s) AND state = 'stopped'"
            " ORDER BY scan_id, number",
            (list(scans),),
        )
        return [row.stops for row in cursor.fetchall()]


def reopen(cursor: Cursor, scans: Sequence[int]) -> None:
    """Let stopped units be tried again, as soon as one of their steps waits for them anew."""
    cursor.execute("SELECT FROM scans WHERE id = ANY(%s) ORDER BY id FOR UPDATE", (list(scans),))
    cursor.execute(
        "WITH again AS (UPDATE units SET state = 'ready', charged = 0, stops = '{}',"
        " run_at = now() WHERE scan_id = ANY(%s) AND state = 'stopped' RETURNING scan_id)"
        " UPDATE scans c SET ended_at = NULL, pending = pending + n.units FROM"
        " (SELECT scan_id, count(*) AS units FROM again GROUP BY scan_id) AS n"
        " WHERE c.id = n.scan_id",
        (list(scans),),
    )


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
    """Forget the scans whose steps have all ended; upkeep finds their blobs unnamed then."""
    cursor.execute(
        "DELETE FROM scans c WHERE NOT EXISTS (SELECT FROM scan_steps t JOIN steps s"
        " ON s.id = t.step_id WHERE t.scan_id = c.id AND s.state NOT IN ('done', 'cancelled'))"
    )
    return cursor.rowcount


def _token(unit: UnitClaim) -> dict[str, int]:
    return {"scan": unit.scan_id, "number": unit.number, "attempt": unit.attempt}


def _lost() -> NoReturn:
    message = "the lease of this work is gone"
    raise LeaseLost(message)
