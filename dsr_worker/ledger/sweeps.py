"""Sweeps in the ledger: findings of steps, standing approvals, what was done.

In: a caller's cursor, policies, jobs. Out: rows, inside the caller's transaction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from dsr_worker.ledger.connection import Cursor, values
from dsr_worker.ledger.rows import Job

SWEEP = "sweep"


class StandingRow(NamedTuple):
    """A standing approval as it stands."""

    policy_hash: str
    max_rows: int
    max_share: float
    approved_by: str
    expires_at: datetime | None
    revoked_at: datetime | None


def business_now(cursor: Cursor) -> datetime:
    """The business instant."""
    cursor.execute("SELECT business_now() AS now")
    now: datetime = cursor.fetchone().now
    return now


def open_sweep(cursor: Cursor, policy: str) -> tuple[int, str] | None:
    """Number and reference of a policy's sweep that is not closed; no other starts meanwhile."""
    cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (f"{SWEEP}:{policy}",))
    cursor.execute(
        "SELECT id, ref FROM jobs WHERE kind = %s AND closed_at IS NULL AND facts->>'policy' = %s"
        " ORDER BY id LIMIT 1",
        (SWEEP, policy),
    )
    row = cursor.fetchone()
    return None if row is None else (row.id, row.ref)


def keep_text(cursor: Cursor, digest: str, text: str) -> None:
    """Keep a policy's text by its hash, so that a certificate's hash can be read back."""
    cursor.execute(
        "INSERT INTO texts (hash, kind, body) VALUES (%s, 'sweep_policy', %s)"
        " ON CONFLICT (hash) DO NOTHING",
        (digest, text),
    )


def results(
    cursor: Cursor, jobs: Sequence[Job], action: str
) -> dict[int, dict[str, dict[str, Any]]]:
    """What the steps of the present round found, by job and system."""
    cursor.execute(
        "SELECT s.job_id, s.system, s.result FROM steps s"
        " JOIN unnest(%s::bigint[], %s::int[]) AS j(id, round)"
        " ON j.id = s.job_id AND j.round = s.round"
        " WHERE s.action = %s AND s.state = 'done' ORDER BY s.job_id, s.system",
        ([j.id for j in jobs], [j.round for j in jobs], action),
    )
    found: dict[int, dict[str, dict[str, Any]]] = defaultdict(dict)
    for row in cursor.fetchall():
        found[row.job_id][row.system] = row.result or {}
    return found


def done(cursor: Cursor, jobs: Sequence[Job]) -> dict[int, dict[str, int]]:
    """Rows by outcome that each job has on record."""
    cursor.execute(
        "SELECT job_id, outcome, sum(row_count) AS rows FROM receipts WHERE job_id = ANY(%s)"
        " GROUP BY 1, 2 ORDER BY 1, 2",
        ([j.id for j in jobs],),
    )
    found: dict[int, dict[str, int]] = defaultdict(dict)
    for row in cursor.fetchall():
        found[row.job_id][row.outcome] = int(row.rows)
    return found


def unfinished_intents(cursor: Cursor, job_id: int) -> list[tuple[int, str, Mapping[str, Any]]]:
    """Step, system and receipt of everything that unfinished steps were about to commit."""
    cursor.execute(
        "SELECT s.id, s.system, r.receipt FROM steps s JOIN step_intents i ON i.step_id = s.id"
        " CROSS JOIN LATERAL jsonb_array_elements(i.receipts) AS r(receipt)"
        " WHERE s.job_id = %s AND s.state NOT IN ('done', 'cancelled')"
        " ORDER BY s.id",
        (job_id,),
    )
    return [(row.id, row.system, row.receipt) for row in cursor.fetchall()]


def in_doubt(cursor: Cursor, job_id: int) -> bool:
    """Whether an unfinished step was about to commit something of which nobody saw the end.

    What a unit stated that has ended, and did not take back, has been committed.
    """
    cursor.execute(
        "SELECT EXISTS (SELECT FROM steps s WHERE s.job_id = %s"
        " AND s.state NOT IN ('done', 'cancelled')"
        " AND (jsonb_array_length(coalesce(s.intent, '[]')) > 0 OR EXISTS ("
        "  SELECT FROM scan_steps t JOIN scans c ON c.id = t.scan_id AND c.changes"
        "  JOIN units u ON u.scan_id = t.scan_id"
        "  CROSS JOIN LATERAL jsonb_array_elements(u.intents) AS i(intent)"
        "  WHERE t.step_id = s.id AND i.intent->'receipts' ? (s.id::text)"
        "  AND (u.state <> 'done' OR NOT i.intent->'counted' @> to_jsonb(s.id))))) AS doubt",
        (job_id,),
    )
    return bool(cursor.fetchone().doubt)


def account_for_intents(
    cursor: Cursor,
    job_id: int,
    intents: Sequence[tuple[int, str, Mapping[str, Any]]],
    *,
    seen: bool = False,
) -> None:
    """Record what was about to be committed; unless `seen`, as what nobody saw committed."""
    rows = [
        (step, job_id, system, receipt["collection"], o["outcome"], o["rows"], o["fields"],
         o["ground"], not seen)
        for step, system, receipt in intents
        for o in receipt["outcomes"]
        if o["rows"]
    ]  # fmt: skip
    if rows:
        values(
            cursor,
            "INSERT INTO receipts (step_id, job_id, system, collection, outcome, row_count, fields,"
            " ground, before_commit) VALUES %s",
            rows,
        )


def under_way(cursor: Cursor, job_id: int) -> bool:
    """Whether a step of the job waits for nothing but a worker, or is under work."""
    cursor.execute(
        "SELECT 1 FROM steps WHERE job_id = %s AND state IN ('ready', 'leased', 'waiting') LIMIT 1",
        (job_id,),
    )
    return cursor.fetchone() is not None


# ---- standing approvals


def standing(cursor: Cursor, policies: Sequence[str]) -> dict[str, list[StandingRow]]:
    """Every standing approval of these policies, revoked ones too."""
    cursor.execute(
        "SELECT policy, policy_hash, max_rows, max_share, approved_by, expires_at, revoked_at"
        " FROM standing_approvals WHERE policy = ANY(%s) ORDER BY policy, approved_at DESC",
        (list(policies),),
    )
    found: dict[str, list[StandingRow]] = defaultdict(list)
    for row in cursor.fetchall():
        found[row.policy].append(StandingRow(*row[1:]))
    return found


def grant(cursor: Cursor, policy: str, row: StandingRow) -> None:
    """Record a standing approval; it takes the place of an earlier one for the same hash."""
    cursor.execute(
        "INSERT INTO standing_approvals (policy, policy_hash, max_rows, max_share, approved_by,"
        " expires_at) VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (policy, policy_hash) DO UPDATE"
        " SET max_rows = excluded.max_rows, max_share = excluded.max_share,"
        " approved_by = excluded.approved_by, approved_at = business_now(),"
        " expires_at = excluded.expires_at, revoked_at = NULL",
        (policy, *row[:-1]),
    )


def revoke(cursor: Cursor, policy: str) -> int:
    """End every standing approval of a policy; how many there were."""
    cursor.execute(
        "UPDATE standing_approvals SET revoked_at = business_now()"
        " WHERE policy = %s AND revoked_at IS NULL",
        (policy,),
    )
    return cursor.rowcount


def swept_before(cursor: Cursor, policies: Sequence[str]) -> dict[str, frozenset[tuple[str, str]]]:
    """Systems and collections that finished, approved sweeps of these policies looked in."""
    cursor.execute(
        "SELECT DISTINCT j.facts->>'policy' AS policy, c.place->>0 AS system,"
        " c.place->>1 AS collection FROM jobs j"
        " CROSS JOIN LATERAL jsonb_array_elements(j.plan->'collections') AS c(place)"
        " WHERE j.kind = %s AND j.state = 'closed' AND j.approved_by IS NOT NULL"
        " AND NOT j.facts ? 'abandoned' AND j.facts->>'policy' = ANY(%s)",
        (SWEEP, list(policies)),
    )
    found: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for row in cursor.fetchall():
        found[row.policy].add((row.system, row.collection))
    return {policy: frozenset(places) for policy, places in found.items()}
