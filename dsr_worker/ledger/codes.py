"""Verification codes: one per case, as a keyed digest, with a limit of tries kept in the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from dsr_worker.ledger.connection import Cursor

Verdict = Literal["right", "wrong", "expired", "used_up", "none"]


def put(cursor: Cursor, job_id: int, digest: bytes, expires_at: datetime) -> None:
    """Set a case's code; it takes the place of an earlier one, whose tries are forgotten."""
    cursor.execute(
        "INSERT INTO codes (job_id, digest, expires_at) VALUES (%s, %s, %s)"
        " ON CONFLICT (job_id) DO UPDATE SET digest = excluded.digest, tries = 0,"
        " expires_at = excluded.expires_at",
        (job_id, digest, expires_at),
    )


def forget(cursor: Cursor, job_id: int) -> None:
    """Let a case's code count no longer."""
    cursor.execute("DELETE FROM codes WHERE job_id = %s", (job_id,))


def sent(cursor: Cursor, job_ids: Sequence[int]) -> set[int]:
    """Which of these cases have a code."""
    cursor.execute("SELECT job_id FROM codes WHERE job_id = ANY(%s)", (list(job_ids),))
    return {row.job_id for row in cursor.fetchall()}


def try_code(cursor: Cursor, job_id: int, digests: list[bytes], most_tries: int) -> Verdict:
    """Judge a tried code; the try is counted in the same statement, whatever comes of it."""
    cursor.execute(
        "UPDATE codes SET tries = tries + 1 WHERE job_id = %s"
        " RETURNING tries, expires_at < business_now() AS expired, digest = ANY(%s) AS right",
        (job_id, digests),
    )
    row = cursor.fetchone()
    if row is None:
        return "none"
    if row.tries > most_tries:
        return "used_up"
    if row.expired:
        return "expired"
    if not row.right:
        return "wrong"
    cursor.execute("DELETE FROM codes WHERE job_id = %s", (job_id,))
    return "right"
