"""What a lifting takes over from the restriction that it ends, on a given cursor."""

from __future__ import annotations

from typing import Any

from dsr_worker.domain.rights import LIFTING_FACT, RESTRICTED
from dsr_worker.ledger.connection import Cursor


def restricted_keys(cursor: Cursor, job_id: int) -> dict[str, dict[str, Any]]:
    """Where the keys of what a case restricted are sealed, by system: the last that were located.

    They are kept until the lifting: `answers.spent_blobs` leaves them.
    """
    cursor.execute(
        "SELECT DISTINCT ON (s.system) s.system, p.frame FROM spools p"
        " JOIN steps s ON s.id = p.step_id WHERE p.job_id = %s AND p.name = 'keys'"
        " ORDER BY s.system, p.step_id DESC",
        (job_id,),
    )
    return {row.system: row.frame for row in cursor.fetchall()}


def kept_before(cursor: Cursor, job_id: int) -> bool:
    """Whether a lifting of somebody who shares a name with a case left rows restricted for another.

    The last lifting frees these, which its own case need not have restricted.
    """
    cursor.execute(
        "SELECT EXISTS (SELECT FROM identities mine"
        " JOIN identities theirs ON theirs.digest = mine.digest"
        " JOIN jobs l ON l.id = theirs.job_id AND l.kind = 'lifting'"
        " JOIN receipts r ON r.job_id = l.id AND r.outcome = 'retained' AND r.ground = %s"
        " WHERE mine.job_id = %s) AS kept",
        (RESTRICTED, job_id),
    )
    return bool(cursor.fetchone().kept)


def under_way(cursor: Cursor) -> frozenset[str]:
    """The cases whose restrictions are being lifted and whose holds stand until that is certified.

    A lifting does not end but by its certificate, so what another one frees for it stays free.
    """
    cursor.execute(
        "SELECT DISTINCT j.ref FROM holds h JOIN jobs j ON j.ref = h.matter"
        " WHERE h.released_at IS NULL AND h.reason_code = %s AND j.facts ? %s",
        (RESTRICTED, LIFTING_FACT),
    )
    return frozenset(row.ref for row in cursor.fetchall())


def copy_identities(cursor: Cursor, from_job: int, to_job: int) -> None:
    """Let a job know whom another is about; both have the same key, so the seals open."""
    cursor.execute(
        "INSERT INTO identities (job_id, kind, digest, sealed, standing, ground, round)"
        " SELECT %s, kind, digest, sealed, standing, ground, 0 FROM identities WHERE job_id = %s",
        (to_job, from_job),
    )
