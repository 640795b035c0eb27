"""The rate budget of a system, shared by all workers: a token bucket in one row."""

from __future__ import annotations

from dsr_worker.ledger.connection import Ledger


def take(ledger: Ledger, system: str, calls: int, per_minute: int) -> float:
    """Take `calls` from the budget: 0.0 when granted, else the seconds to wait."""
    burst = max(calls, per_minute // 6)
    with ledger.transaction() as cursor:
        cursor.execute(
            "INSERT INTO rate_budgets (system, tokens, refilled_at) VALUES (%s, %s, now())"
            " ON CONFLICT (system) DO NOTHING",
            (system, burst),
        )
        cursor.execute(
            "UPDATE rate_budgets SET refilled_at = now(), tokens = least(%s,"
            " tokens + extract(epoch FROM now() - refilled_at) * %s / 60.0)"
            " WHERE system = %s RETURNING tokens",
            (burst, per_minute, system),
        )
        tokens = float(cursor.fetchone().tokens)
        if tokens < calls:
            return (calls - tokens) * 60.0 / per_minute
        cursor.execute(
            "UPDATE rate_budgets SET tokens = tokens - %s WHERE system = %s", (calls, system)
        )
    return 0.0
