"""Connectors' small sealed values, written only under a lease that still holds."""

from __future__ import annotations

from collections.abc import Sequence

from dsr_worker.contract import LeaseLost
from dsr_worker.ledger import statements, units
from dsr_worker.ledger.connection import Cursor, Ledger
from dsr_worker.ledger.rows import Claim
from dsr_worker.ledger.units import UnitClaim


def get(ledger: Ledger, system: str, key: str) -> bytes | None:
    """The sealed value of a key; None where there is none."""
    with ledger.transaction() as cursor:
        cursor.execute(
            "SELECT value FROM connector_state WHERE system = %s AND key = %s", (system, key)
        )
        row = cursor.fetchone()
    return None if row is None else bytes(row.value)


def put(
    ledger: Ledger,
    system: str,
    key: str,
    value: bytes | None,
    claims: Sequence[Claim],
    unit: UnitClaim | None = None,
) -> None:
    """Write a sealed value, or forget the key where it is None. LeaseLost when fenced off."""
    with ledger.transaction() as cursor:
        _hold(cursor, claims, unit)
        if value is None:
            cursor.execute(
                "DELETE FROM connector_state WHERE system = %s AND key = %s", (system, key)
            )
            return
        cursor.execute(
            "INSERT INTO connector_state (system, key, value) VALUES (%s, %s, %s)"
            " ON CONFLICT (system, key) DO UPDATE SET value = excluded.value, written_at = now()",
            (system, key, value),
        )


def _hold(cursor: Cursor, claims: Sequence[Claim], unit: UnitClaim | None) -> None:
    """Keep the lease until the transaction ends. Raises LeaseLost."""
    if unit is not None:
        units.hold(cursor, unit)
        return
    cursor.execute(
        statements.LOCK_OURS,
        {"ids": [c.id for c in claims], "attempts": [c.attempt for c in claims]},
    )
    if cursor.fetchone().ours != len(claims):
        message = "the lease of this batch is gone"
        raise LeaseLost(message)
