"""The ledger in Postgres: the only record of work, and the only room that speaks to it.

In: cases, results of steps, decisions of people. Out: rows, leases, event chains. Every change of
state, its event and the unblocking of what depends on it are one transaction (`jobs`, `steps`).
Hot statements stand as fixed SQL in `statements`; schema and migrations in `migrations`.
"""

from dsr_worker.ledger.connection import Ledger, LedgerUnreachable, SchemaOutdated

__all__ = ["Ledger", "LedgerUnreachable", "SchemaOutdated"]
