"""What is left of a case that stands still: where it stopped, what was begun, what was located."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from dsr_worker.ledger.cases import CHANGING
from dsr_worker.ledger.connection import Cursor

_BEGUN = """
SELECT s.system, o.part->>'outcome' AS outcome, sum((o.part->>'rows')::bigint)::bigint AS rows
FROM steps s JOIN step_intents i ON i.step_id = s.id,
    jsonb_array_elements(i.receipts) AS r(receipt),
    jsonb_array_elements(r.receipt->'outcomes') AS o(part)
WHERE s.job_id = %(job)s AND s.action = 'apply' AND s.state <> 'done'
  AND o.part->>'outcome' = ANY(%(changing)s) AND (o.part->>'rows')::bigint > 0
GROUP BY s.system, outcome ORDER BY s.system, outcome
"""


class Halt(NamedTuple):
    """An unfinished step: where it stands and why."""

    system: str
    action: str
    code: str


def halts(cursor: Cursor, job_id: int) -> list[Halt]:
    """The steps of a case that are not finished, in the order they were made."""
    cursor.execute(
        "SELECT system, action, code FROM steps WHERE job_id = %s"
        " AND state NOT IN ('done', 'cancelled') ORDER BY id",
        (job_id,),
    )
    return [Halt(*row) for row in cursor.fetchall()]


def begun(cursor: Cursor, job_id: int) -> dict[str, dict[str, int]]:
    """Rows by system and outcome that applies were about to change and never accounted for.

    At most: what was rolled back and begun anew is in there twice.
    """
    cursor.execute(_BEGUN, {"job": job_id, "changing": [o.value for o in CHANGING]})
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for row in cursor.fetchall():
        found[row.system][row.outcome] = row.rows
    return dict(found)


def located(cursor: Cursor, job_id: int) -> set[str]:
    """Systems in which the keys of a case's rows were sealed."""
    cursor.execute(
        "SELECT DISTINCT s.system FROM spools p JOIN steps s ON s.id = p.step_id"
        " WHERE p.job_id = %s AND p.name = 'keys'",
        (job_id,),
    )
    return {row.system for row in cursor.fetchall()}


def applied(cursor: Cursor, job_id: int) -> dict[str, bool]:
    """Systems in which an apply has ended, each with whether its last one voided the approval."""
    cursor.execute(
        "SELECT DISTINCT ON (system) system, coalesce(result, '{}') ? 'voided' AS voided"
        " FROM steps WHERE job_id = %s AND action = 'apply' AND state = 'done'"
        " ORDER BY system, round DESC",
        (job_id,),
    )
    return {row.system: row.voided for row in cursor.fetchall()}
