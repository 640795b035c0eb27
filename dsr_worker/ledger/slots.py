"""Slots, rings and workers: who may work on a system now, who was called, who is alive.

In: system names, worker ids. Out: slots taken, systems to ring for, workers found dead. A worker
holds a session lock on its id for as long as its process lives, so a peer that gets the lock knows
it is gone without waiting for a lease to run out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import psycopg2.extensions

from dsr_worker.ledger import scans, statements, units
from dsr_worker.ledger.connection import Ledger, values

_WORKER_LOCKS = 0x647372  # first key of the two-key advisory locks on worker ids
RING_QUIET_S = 1.0


class Slot(NamedTuple):
    """A taken slot; `reserved` ones serve urgent work only."""

    number: int
    reserved: bool
    token: int


def provide(ledger: Ledger, parallel: Mapping[str, int]) -> None:
    """Make each system's slots: as many as it may have batches at once, and one reserved."""
    rows = [
        (system, number, number == count)
        for system, count in parallel.items()
        for number in range(count + 1)
    ]
    with ledger.transaction() as cursor:
        values(
            cursor,
            "INSERT INTO slots (system, number, reserved) VALUES %s"
            " ON CONFLICT (system, number) DO UPDATE SET reserved = excluded.reserved",
            rows,
        )
        cursor.execute(
            "DELETE FROM slots s USING unnest(%s::text[], %s::int[]) AS p(system, count)"
            " WHERE s.system = p.system AND s.number > p.count AND s.lease_until < now()",
            (list(parallel), list(parallel.values())),
        )


def take(ledger: Ledger, system: str, worker: int) -> Slot | None:
    """Lease a free slot of a system, an ordinary one first; None when all are taken."""
    with ledger.transaction(at_once=True) as cursor:
        cursor.execute(
            statements.UNRING_AND_TAKE_SLOT,
            {"system": system, "worker": worker, "lease_s": statements.LEASE_S},
        )
        row = cursor.fetchone()
    return None if row is None else Slot(*row)


def leave(ledger: Ledger, system: str, slot: Slot) -> None:
    """Give a slot back; nothing happens when somebody else has it by now."""
    with ledger.transaction(at_once=True) as cursor:
        cursor.execute(
            statements.LEAVE_SLOT,
            {"system": system, "number": slot.number, "token": slot.token},
        )


def renew(ledger: Ledger, worker: int) -> None:
    """Renew every slot a worker holds."""
    with ledger.transaction() as cursor:
        cursor.execute(statements.RENEW_SLOTS, {"worker": worker, "lease_s": statements.LEASE_S})


def to_ring(ledger: Ledger, systems: Iterable[str]) -> list[str]:
    """Of these systems, those not rung for within the last moment; they count as rung from now."""
    wanted = sorted(set(systems))
    if not wanted:
        return []
    with ledger.transaction(at_once=True) as cursor:
        cursor.execute(statements.RING, {"systems": wanted, "quiet_s": RING_QUIET_S})
        return [row.system for row in cursor.fetchall()]


def with_ready_steps(ledger: Ledger) -> list[str]:
    """Systems that have ready steps or units, after waking what has come due."""
    with ledger.transaction() as cursor:
        cursor.execute(statements.WAKE)
        scans.wake(cursor)
        cursor.execute(statements.TO_RING)
        return [*(row.system for row in cursor.fetchall()), *units.with_ready_units(cursor)]


def enlist(session: psycopg2.extensions.connection, host: str) -> int:
    """Register a worker on its own (autocommit) session and lock its id there for life."""
    with session.cursor() as cursor:
        cursor.execute("INSERT INTO workers (host) VALUES (%s) RETURNING id", (host,))
        row = cursor.fetchone()
        assert row is not None  # noqa: S101 - RETURNING of one inserted row
        worker = int(row[0])
        cursor.execute("SELECT pg_advisory_lock(%s, %s)", (_WORKER_LOCKS, worker % 2**31))
    return worker


def dead_workers(ledger: Ledger) -> Sequence[int]:
    """Workers whose session is gone; long-gone ones are forgotten."""
    with ledger.transaction() as cursor:
        cursor.execute(
            "SELECT w.id FROM workers w WHERE pg_try_advisory_xact_lock(%s, (w.id"
            " %% 2147483648)::int)",
            (_WORKER_LOCKS,),
        )
        gone = [row.id for row in cursor.fetchall()]
        if gone:
            cursor.execute(
                "DELETE FROM workers WHERE id = ANY(%s) AND seen_at < now() - interval '10 minutes'"
                " AND NOT EXISTS (SELECT FROM steps WHERE worker = workers.id AND"
                " state = 'leased')"
                " AND NOT EXISTS (SELECT FROM units WHERE worker = workers.id AND"
                " state = 'leased')",
                (gone,),
            )
        return gone
