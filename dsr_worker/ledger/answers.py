"""Answers made and handed over: packages and certificates, by blob; whom not to take in again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple

from dsr_worker.ledger.connection import Cursor, Ledger, Rows, together, values


class Answer(NamedTuple):
    """A made answer: where its sealed blob lies, and until when it is kept."""

    job_id: int
    blob: str
    kind: str
    size_bytes: int
    sha256: str
    expires_at: datetime | None


def keep(cursor: Cursor, answers: Sequence[Answer]) -> None:
    """Record made answers; one made anew takes the place of the earlier one."""
    together(cursor, rows(answers))


def rows(answers: Sequence[Answer]) -> Rows:
    """What `keep` runs, for a caller that runs more in the same round trip."""
    return Rows(
        "INSERT INTO packages (job_id, blob, kind, size_bytes, sha256, expires_at) VALUES %s"
        " ON CONFLICT (job_id) DO UPDATE SET blob = excluded.blob, kind = excluded.kind,"
        " size_bytes = excluded.size_bytes, sha256 = excluded.sha256, made_at = business_now(),"
        " expires_at = excluded.expires_at, handed_over_at = NULL, destroyed_at = NULL",
        [tuple(a) for a in answers],
    )


def suppress(cursor: Cursor, job_id: int, digests: Sequence[bytes]) -> None:
    """Remember, as keyed digests alone, whom not to take in again."""
    if digests:
        values(
            cursor,
            "INSERT INTO suppressions (digest, job_id) VALUES %s ON CONFLICT DO NOTHING",
            [(digest, job_id) for digest in digests],
        )


class Accounted(NamedTuple):
    """One recorded outcome of a case."""

    job_id: int
    system: str
    collection: str
    outcome: str
    row_count: int
    fields: int
    ground: str
    until_on: date | None
    first_until_on: date | None
    before_commit: bool


COUNTED = """
receipts r JOIN steps s ON s.id = r.step_id
WHERE (r.outcome IN ('erased', 'redacted') OR s.round = (
    SELECT max(l.round) FROM steps l
    WHERE l.job_id = r.job_id AND l.action = s.action AND l.system = s.system
    AND l.state = 'done' AND NOT coalesce(l.result, '{}') ? 'voided'))
"""
"""Receipts that count: where a case went round again, what stays is what the last round kept.

A round that was not carried out to its end, or was stopped by its approval, has kept nothing.
"""


def receipts(ledger: Ledger, job_ids: Sequence[int]) -> list[Accounted]:
    """What became of everything in these cases, in the order it was done; by `COUNTED`."""
    with ledger.transaction() as cursor:
        cursor.execute(
            "SELECT r.job_id, r.system, r.collection, r.outcome, r.row_count, r.fields, r.ground,"  # noqa: S608 - fixed text
            f" r.until_on, r.first_until_on, r.before_commit FROM {COUNTED} AND r.job_id = ANY(%s)"
            " ORDER BY r.job_id, r.step_id, r.collection",
            (list(job_ids),),
        )
        return [Accounted(*row) for row in cursor.fetchall()]


class Made(NamedTuple):
    """A made answer as it stands."""

    blob: str
    kind: str
    size_bytes: int
    sha256: str
    expires_at: datetime | None
    handed_over_at: datetime | None
    destroyed_at: datetime | None


def of(cursor: Cursor, job_id: int) -> Made | None:
    """The answer of a case, locked."""
    cursor.execute(
        "SELECT blob, kind, size_bytes, sha256, expires_at, handed_over_at, destroyed_at"
        " FROM packages WHERE job_id = %s FOR UPDATE",
        (job_id,),
    )
    row = cursor.fetchone()
    return None if row is None else Made(*row)


def handed_over(cursor: Cursor, job_id: int) -> None:
    """Record that the answer left the house. From the first time on it is kept as long as was said.

    `expires_at` is counted from the making until then.
    """
    cursor.execute(
        "UPDATE packages SET handed_over_at = business_now(),"
        " expires_at = business_now() + (expires_at - made_at)"
        " WHERE job_id = %s AND handed_over_at IS NULL",
        (job_id,),
    )


def expired(cursor: Cursor, among: Sequence[int] | None = None, limit: int = 100) -> list[int]:
    """Jobs, in order, whose package is past its expiry and stands; `among` these, or any.

    One that was never handed over does not expire: its case is open, and could be answered no more.
    Locks nothing: lock the jobs, ask again for them, then `destroy`.
    """
    cursor.execute(
        "SELECT job_id FROM packages WHERE expires_at < business_now() AND destroyed_at IS NULL"
        " AND handed_over_at IS NOT NULL AND (%s::bigint[] IS NULL OR job_id = ANY(%s))"
        " ORDER BY job_id LIMIT %s",
        (among, among, limit),
    )
    return [row.job_id for row in cursor.fetchall()]


def earlier(cursor: Cursor, job_id: int) -> list[int]:
    """Other jobs, in order, in which a package of the same person stands."""
    cursor.execute(
        "SELECT DISTINCT p.job_id FROM identities mine"
        " JOIN identities theirs ON theirs.digest = mine.digest AND theirs.job_id <> mine.job_id"
        " JOIN packages p ON p.job_id = theirs.job_id"
        " WHERE mine.job_id = %s AND mine.standing IN ('verified', 'resolved')"
        " AND theirs.standing IN ('verified', 'resolved')"
        " AND p.destroyed_at IS NULL AND p.kind = 'package' ORDER BY p.job_id",
        (job_id,),
    )
    return [row.job_id for row in cursor.fetchall()]


def destroy(cursor: Cursor, job_ids: Sequence[int]) -> list[int]:
    """Mark the packages of these jobs as destroyed; the jobs whose package stood until now."""
    cursor.execute(
        "UPDATE packages SET destroyed_at = business_now()"
        " WHERE job_id = ANY(%s) AND kind = 'package' AND destroyed_at IS NULL RETURNING job_id",
        (list(job_ids),),
    )
    return sorted(row.job_id for row in cursor.fetchall())


def spent_blobs(cursor: Cursor, limit: int = 200) -> list[str]:
    """Blobs that nothing needs any more, forgotten by the ledger here: the caller destroys them.

    Packages marked as destroyed, and segments of spools whose cases all have their answer. What a
    restriction had located stays until it is lifted: a moved row is found by no name.
    """
    cursor.execute(
        "UPDATE packages SET blob = '' WHERE job_id IN (SELECT job_id FROM packages"
        " WHERE destroyed_at IS NOT NULL AND blob <> '' LIMIT %s FOR UPDATE SKIP LOCKED)"
        " RETURNING (SELECT old.blob FROM packages old WHERE old.job_id = packages.job_id) AS blob",
        (limit,),
    )
    blobs = [row.blob for row in cursor.fetchall()]
    cursor.execute(
        "UPDATE jobs SET just_answered = false WHERE id IN (SELECT id FROM jobs WHERE just_answered"
        " ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED) RETURNING id",
        (limit,),
    )
    answered = [row.id for row in cursor.fetchall()]
    if not answered:
        return blobs
    cursor.execute(
        "SELECT p.frame->>'segment' AS segment FROM spools p JOIN jobs j ON j.id = p.job_id"
        " WHERE p.frame->>'segment' IN"
        " (SELECT frame->>'segment' FROM spools WHERE job_id = ANY(%s)) GROUP BY 1"
        " HAVING bool_and(j.state IN ('ready', 'refused', 'delivered',"
        " 'answered_with_remainders', 'closed', 'withdrawn')"
        " AND (j.kind <> 'restriction' OR j.facts ? 'lifted_at'"
        " OR j.state IN ('refused', 'withdrawn')))",
        (answered,),
    )
    segments = [row.segment for row in cursor.fetchall()]
    if segments:
        cursor.execute("DELETE FROM spools WHERE frame->>'segment' = ANY(%s)", (segments,))
    return [*blobs, *segments]
