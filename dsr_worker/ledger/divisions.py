"""Units of a scan are made: page by page, by whoever holds its first unit under lease.

In: a scan's first unit, pages of units. Out: rows, and who names them: scans of one system and map
have the same units, so one divides and the others take over what it made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import Any, NamedTuple

from dsr_worker.ledger.connection import Cursor, Json, Ledger, values
from dsr_worker.ledger.scans import FRESH_S
from dsr_worker.ledger.units import UnitClaim, hold

_DIVISIONS = 0x646976  # first key of the two-key advisory locks on who divides


class Turn(Enum):
    """Who names the units of a scan."""

    OURS = "ours"
    TAKEN = "taken"  # they are another scan's, and are here now
    LATER = "later"  # somebody is naming them for another scan


class NewUnit(NamedTuple):
    """A unit to be made; `given` says, by step, where keys of it lie."""

    name: bytes
    size_bytes: int = 0
    leads: bool = False
    given: Mapping[int, Mapping[str, Any]] = MappingProxyType({})


def add_page(ledger: Ledger, claim: UnitClaim, first: int, page: Sequence[NewUnit]) -> None:
    """Keep some units more, and how far the division has come. Raises LeaseLost."""
    with ledger.transaction() as cursor:
        cursor.execute("SELECT FROM scans WHERE id = %s FOR UPDATE", (claim.scan_id,))
        hold(cursor, claim)
        cursor.execute(
            "UPDATE units SET name = %s WHERE scan_id = %s AND number = %s",
            (page[-1].name, claim.scan_id, claim.number),
        )
        values(
            cursor,
            "INSERT INTO units (scan_id, number, name, size_bytes, leads, given, segments)"
            " VALUES %s",
            [
                (
                    claim.scan_id,
                    first + i,
                    unit.name,
                    unit.size_bytes,
                    unit.leads,
                    Json(dict(unit.given)),
                    sorted({frame["segment"] for frame in unit.given.values()}),
                )
                for i, unit in enumerate(page)
            ],
            template="(%s, %s, %s, %s, %s, %s::jsonb, %s::text[])",
        )
        cursor.execute(
            "UPDATE scans SET pending = pending + %s WHERE id = %s", (len(page), claim.scan_id)
        )


# Whoever else is at it, or has done it and is not over.
_DIVISION = """
SELECT c.id, c.division, c.divided_at, u.state FROM scans c
JOIN units u ON u.scan_id = c.id AND u.number = 0
WHERE c.system = %(system)s AND c.map = %(map)s AND c.id <> %(scan)s AND c.ended_at IS NULL
  AND c.division IS NOT NULL AND c.divided_at > now() - make_interval(secs => %(fresh_s)s)
  AND u.state IN ('leased', 'done')
ORDER BY u.state, c.divided_at DESC LIMIT 1
"""
_TAKE_OVER = """
WITH made AS (
    INSERT INTO units (scan_id, number, name, size_bytes)
    SELECT %(scan)s, number, name, size_bytes FROM units
    WHERE scan_id = %(other)s AND number > 0 RETURNING 1
)
UPDATE scans SET division = %(division)s, divided_at = %(divided_at)s,
                 pending = pending + (SELECT count(*) FROM made)
WHERE id = %(scan)s
"""


def begin(ledger: Ledger, claim: UnitClaim) -> Turn:
    """Begin or resume the division of a scan, or take over another's. Raises LeaseLost."""
    if not claim.map:
        return Turn.OURS
    with ledger.transaction() as cursor:
        place = f"{claim.system}:{claim.map}"
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", (_DIVISIONS, place))
        cursor.execute("SELECT FROM scans WHERE id = %s FOR UPDATE", (claim.scan_id,))
        hold(cursor, claim)
        known = {"system": claim.system, "map": claim.map, "fresh_s": FRESH_S}
        cursor.execute(_DIVISION, {"scan": claim.scan_id, **known})
        other = cursor.fetchone()
        if other is None or _made(cursor, claim):
            own = "UPDATE scans SET division = id, divided_at = now() WHERE id = %s"
            cursor.execute(own, (claim.scan_id,))
            return Turn.OURS
        if other.state == "leased":
            return Turn.LATER
        taken = {"division": other.division, "divided_at": other.divided_at}
        cursor.execute(_TAKE_OVER, {"scan": claim.scan_id, "other": other.id, **taken})
        return Turn.TAKEN


def divided(ledger: Ledger, claim: UnitClaim) -> int:
    """How many units the division has made so far."""
    with ledger.transaction() as cursor:
        return _made(cursor, claim)


def _made(cursor: Cursor, claim: UnitClaim) -> int:
    cursor.execute("SELECT max(number) AS last FROM units WHERE scan_id = %s", (claim.scan_id,))
    return int(cursor.fetchone().last)
