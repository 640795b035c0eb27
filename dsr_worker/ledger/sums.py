"""What the units of a step that changes stated so far, added up by collection, outcome and ground.

In: what an intent states or takes back, what became of a unit's rows. Out: the sum that a bound is
held against. It is of what was stated and not taken back; of a unit that has ended, it is of what
became of its rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dsr_worker.ledger.connection import Cursor, Json, values

Receipts = Mapping[int, Sequence[Mapping[str, Any]]]
"""Receipts as JSON, by step."""
Sums = Mapping[int, Sequence[Mapping[str, Any]]]
"""By step: outcomes with collection, ground and rows."""


class Place(NamedTuple):
    """What rows are counted by."""

    collection: str
    outcome: str
    ground: str


def settle(cursor: Cursor, scan: int, number: int, receipts: Receipts) -> None:
    """Let a unit that has ended count for these steps as what became of their rows."""
    if not receipts:
        return
    deltas = {step: counted(told) for step, told in receipts.items()}
    for entry in intents(cursor, scan, number):
        for step in entry["counted"]:
            if step in deltas:
                deltas[step].subtract(counted(entry["receipts"][str(step)]))
    add(cursor, scan, deltas)


def add(cursor: Cursor, scan: int, deltas: Mapping[int, Counter[Place]]) -> Sums:
    """Add to the sums of a scan's steps; the sums."""
    cursor.execute(
        "SELECT step_id, stated FROM scan_steps WHERE scan_id = %s AND step_id = ANY(%s)"
        " ORDER BY step_id FOR UPDATE",
        (scan, list(deltas)),
    )
    sums: dict[int, list[dict[str, Any]]] = {}
    for row in cursor.fetchall():
        total = Counter({_place(part): part["rows"] for part in row.stated})
        total.update(deltas[row.step_id])
        sums[row.step_id] = [{**p._asdict(), "rows": n} for p, n in sorted(total.items()) if n]
    values(
        cursor,
        "UPDATE scan_steps t SET stated = v.stated FROM (VALUES %s) v(scan, step, stated)"
        " WHERE t.scan_id = v.scan AND t.step_id = v.step RETURNING 1",
        [(scan, step, Json(total)) for step, total in sums.items()],
        template="(%s::bigint, %s::bigint, %s::jsonb)",
    )
    return sums


def intents(cursor: Cursor, scan: int, number: int) -> list[dict[str, Any]]:
    """What the attempts at a unit were about to change, in order."""
    cursor.execute("SELECT intents FROM units WHERE scan_id = %s AND number = %s", (scan, number))
    found: list[dict[str, Any]] = cursor.fetchone().intents
    return found


def counted(receipts: Sequence[Mapping[str, Any]]) -> Counter[Place]:
    """The rows of receipts."""
    counts: Counter[Place] = Counter()
    for receipt in receipts:
        for part in receipt["outcomes"]:
            counts[_place({**part, "collection": receipt["collection"]})] += part["rows"]
    return counts


def _place(part: Mapping[str, Any]) -> Place:
    return Place(part["collection"], part["outcome"], part["ground"])
