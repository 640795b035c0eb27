"""What units that change were about to do: their intents, committed before the effect.

In: receipts as JSON, by step, fenced by their unit. Out: intents that a repeat settles its account
with; an intent is only committed where the sum over all units of its step is permitted.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dsr_worker.contract import LeaseLost
from dsr_worker.ledger import jobs, sums, units
from dsr_worker.ledger.connection import Cursor, Json, Ledger
from dsr_worker.ledger.rows import Claim, Event, Move
from dsr_worker.ledger.scans import IN_UNITS
from dsr_worker.ledger.units import UnitClaim

Permit = Callable[[sums.Sums], None]
"""Raises where such sums may not be."""


def intend(
    ledger: Ledger,
    unit: UnitClaim,
    claims: Sequence[Claim],
    mark: str,
    receipts: sums.Receipts,
    permit: Permit | None,
) -> None:
    """Commit, fenced, what is about to take effect. LeaseLost, or whatever `permit` raises."""
    concerned = [c for c in claims if c.id in receipts]
    with ledger.transaction() as cursor:
        locked = jobs.lock(cursor, [c.job_id for c in concerned])
        units.hold(cursor, unit, least_s=1)
        _require_waiting(cursor, [c.id for c in concerned])
        deltas = {c.id: sums.counted(receipts[c.id]) for c in concerned}
        total = sums.add(cursor, unit.scan_id, deltas)
        if permit is not None:
            permit(total)
        entry = {
            "mark": mark,
            "attempt": unit.attempt,
            "counted": [c.id for c in concerned],
            "receipts": {c.id: list(receipts[c.id]) for c in concerned},
        }
        cursor.execute(
            "UPDATE units SET intents = intents || %s::jsonb WHERE scan_id = %s AND number = %s",
            (Json([entry]), unit.scan_id, unit.number),
        )
        moves = [Move(locked[c.job_id], events=(_event(c, receipts[c.id]),)) for c in concerned]
        jobs.change(cursor, moves)


def withdraw(ledger: Ledger, unit: UnitClaim, mark: str) -> None:
    """Count an intent no longer, since its effect was left undone; what it said stays."""
    with ledger.transaction() as cursor:
        units.hold(cursor, unit)
        entries = sums.intents(cursor, unit.scan_id, unit.number)
        _uncount(cursor, unit, entries, [e for e in entries if e["mark"] == mark])


def resume(
    ledger: Ledger, unit: UnitClaim, steps: Sequence[int]
) -> dict[int, list[dict[str, Any]]]:
    """What earlier attempts at a unit were about to do for these steps; LeaseLost.

    Whether the last of it happened is not known: the new attempt states it again, or finds it done.
    """
    with ledger.transaction() as cursor:
        units.hold(cursor, unit)
        entries = sums.intents(cursor, unit.scan_id, unit.number)
        if entries and entries[-1]["attempt"] != unit.attempt:
            _uncount(cursor, unit, entries, entries[-1:])
    return {step: _of_step(entries, step) for step in steps}


def of_stopped(ledger: Ledger, scan: int, step: int) -> list[dict[str, Any]]:
    """What units of a scan that stopped for a step had been about to do for it."""
    with ledger.transaction() as cursor:
        cursor.execute(
            "SELECT intents FROM units WHERE scan_id = %s AND state = 'stopped'"
            " AND stops ? %s AND intents <> '[]' ORDER BY number",
            (scan, str(step)),
        )
        return [e for row in cursor.fetchall() for e in _of_step(row.intents, step)]


# ---- inside


def _require_waiting(cursor: Cursor, steps: Sequence[int]) -> None:
    """The jobs are locked: nobody takes a step away until the transaction ends."""
    cursor.execute(
        "SELECT count(*) AS waiting FROM steps WHERE id = ANY(%s) AND state = 'waiting'"
        " AND code = %s",
        (list(steps), IN_UNITS),
    )
    if cursor.fetchone().waiting != len(steps):
        message = "a step of this unit waits for it no longer"
        raise LeaseLost(message)


def _uncount(
    cursor: Cursor,
    unit: UnitClaim,
    entries: Sequence[dict[str, Any]],
    undone: Sequence[dict[str, Any]],
) -> None:
    deltas: dict[int, Counter[sums.Place]] = defaultdict(Counter)
    for entry in undone:
        for step in entry["counted"]:
            deltas[step].subtract(sums.counted(entry["receipts"][str(step)]))
        entry["counted"] = []
    if deltas:
        sums.add(cursor, unit.scan_id, deltas)
        _change_intents(cursor, unit, entries)


def _change_intents(cursor: Cursor, unit: UnitClaim, entries: Sequence[Mapping[str, Any]]) -> None:
    cursor.execute(
        "UPDATE units SET intents = %s WHERE scan_id = %s AND number = %s",
        (Json(list(entries)), unit.scan_id, unit.number),
    )


def _of_step(entries: Sequence[Mapping[str, Any]], step: int) -> list[dict[str, Any]]:
    return [
        {"attempt": entry["attempt"], "receipts": entry["receipts"][str(step)]}
        for entry in entries
        if str(step) in entry["receipts"]
    ]


def _event(claim: Claim, receipts: Sequence[Mapping[str, Any]]) -> Event:
    counts: Counter[str] = Counter()
    for place, rows in sums.counted(receipts).items():
        counts[place.outcome] += rows
    body = {"system": claim.system, "action": claim.action, "attempt": claim.attempt}
    return Event("intent", {**body, "counts": dict(counts)})
