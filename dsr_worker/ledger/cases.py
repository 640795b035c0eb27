"""Cases as people's decisions need them: identities, clocks, stuck steps, on a given cursor."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from dsr_worker.contract import Outcome
from dsr_worker.domain.rights import RESTRICTED
from dsr_worker.ledger.connection import Cursor, values
from dsr_worker.ledger.rows import Job
from dsr_worker.ledger.scans import IN_UNITS
from dsr_worker.ledger.statements import JOB_COLUMNS

_VERIFIED_AND_OPEN = (
    "j.kind = 'access' AND j.verified_at IS NOT NULL AND j.closed_at IS NULL"
    " AND j.state NOT IN ('delivered', 'closed', 'refused', 'withdrawn')"
)
"""An access case counts until its package is handed over, which an erasure would destroy, and until
all is shown that a store refused: an erasure would take it before the person has seen it."""


CHANGING = (
    Outcome.ERASED,
    Outcome.MASKED,
    Outcome.REDACTED,
    Outcome.RECTIFIED,
    Outcome.RESTRICTED,
    Outcome.LIFTED,
    Outcome.PENDING_REMOTE,
)
"""Outcomes of rows to which something happened, or may have."""

_TOOK_EFFECT = """
SELECT FROM steps s JOIN receipts r ON r.step_id = s.id
WHERE s.job_id = %(job)s AND s.action = 'apply'
  AND r.outcome = ANY(%(changing)s) AND r.row_count > 0
UNION ALL
SELECT FROM steps s JOIN step_intents i ON i.step_id = s.id,
    jsonb_array_elements(i.receipts) AS r(receipt),
    jsonb_array_elements(r.receipt->'outcomes') AS o(part)
WHERE s.job_id = %(job)s AND s.action = 'apply'
  AND o.part->>'outcome' = ANY(%(changing)s) AND (o.part->>'rows')::bigint > 0
LIMIT 1
"""


class ClockRow(NamedTuple):
    """A clock of a case."""

    id: int
    name: str
    state: str
    due_at: datetime | None
    due_on: date | None
    facts: dict[str, Any]


def verify_identities(
    cursor: Cursor, job_id: int, digests: Sequence[bytes] | None = None
) -> list[Any]:
    """Let what was claimed, or only these digests of it, count as verified; kinds and digests."""
    cursor.execute(
        "UPDATE identities SET standing = 'verified' WHERE job_id = %s AND standing = 'claimed'"
        " AND (%s::bytea[] IS NULL OR digest = ANY(%s::bytea[])) RETURNING kind, digest",
        (job_id, digests, digests),
    )
    return cursor.fetchall()


def contact_results(cursor: Cursor, job_id: int) -> list[dict[str, Any]]:
    """What the last round of `contact` steps found, sealed."""
    cursor.execute(
        "SELECT result FROM steps WHERE job_id = %s AND action = 'contact' AND state = 'done'"
        " AND round = (SELECT max(round) FROM steps WHERE job_id = %s AND action = 'contact')",
        (job_id, job_id),
    )
    return [row.result for row in cursor.fetchall()]


def claimed(cursor: Cursor, job_id: int) -> list[Any]:
    """What was claimed and is not verified: kind, digest, sealed value."""
    cursor.execute(
        "SELECT kind, digest, sealed FROM identities WHERE job_id = %s AND standing = 'claimed'",
        (job_id,),
    )
    return cursor.fetchall()


def sealed_identities(
    cursor: Cursor, after: tuple[int, str, bytes] | None, limit: int
) -> list[Any]:
    """A page of the identities that can still be opened, each with its job's wrapped key."""
    cursor.execute(
        "SELECT i.job_id, i.kind, i.digest, i.sealed, j.data_key FROM identities i"
        " JOIN jobs j ON j.id = i.job_id WHERE i.sealed IS NOT NULL AND j.data_key IS NOT NULL"
        " AND (i.job_id, i.kind, i.digest) > (%s, %s, %s)"
        " ORDER BY i.job_id, i.kind, i.digest LIMIT %s",
        (*(after or (0, "", b"")), limit),
    )
    return cursor.fetchall()


def index_anew(cursor: Cursor, renamed: Sequence[tuple[int, str, bytes, bytes]]) -> int:
    """Give identities (job, kind, digest) a new digest; how many changed.

    One that its job has under the new digest already is left as it is.
    """
    if not renamed:
        return 0
    found = values(
        cursor,
        "UPDATE identities i SET digest = v.fresh FROM (VALUES %s) AS v(job_id, kind, old, fresh)"
        " WHERE i.job_id = v.job_id AND i.kind = v.kind AND i.digest = v.old AND NOT EXISTS ("
        "SELECT FROM identities o WHERE o.job_id = v.job_id AND o.kind = v.kind"
        " AND o.digest = v.fresh) RETURNING i.job_id",
        renamed,
        template="(%s::bigint, %s, %s::bytea, %s::bytea)",
    )
    return len(found)


def settle_person(cursor: Cursor, job_id: int, kind: str, digest: bytes, sealed: bytes) -> None:
    """One identity says who is meant; what led to several people seeds no longer.

    What followed from that is forgotten: the walk begins anew and finds again what is theirs.
    """
    cursor.execute(
        "DELETE FROM identities WHERE job_id = %s AND standing IN ('resolved', 'contested')",
        (job_id,),
    )
    cursor.execute("UPDATE identities SET standing = 'contested' WHERE job_id = %s", (job_id,))
    cursor.execute(
        "INSERT INTO identities (job_id, kind, digest, sealed, standing, ground)"
        " VALUES (%s, %s, %s, %s, 'verified', 'choice') ON CONFLICT (job_id, kind, digest)"
        " DO UPDATE SET standing = 'verified', ground = 'choice'",
        (job_id, kind, digest, sealed),
    )


def unfinished_access(cursor: Cursor, job_id: int) -> list[str]:
    """Verified, unfinished access cases that share an identity with this case."""
    cursor.execute(
        "SELECT DISTINCT j.ref FROM identities mine JOIN identities theirs"  # noqa: S608 - fixed text
        " ON theirs.digest = mine.digest AND theirs.job_id <> mine.job_id"
        " JOIN jobs j ON j.id = theirs.job_id"
        " WHERE mine.job_id = %s AND mine.standing IN ('verified', 'resolved')"
        f" AND theirs.standing IN ('verified', 'resolved') AND {_VERIFIED_AND_OPEN}"
        " ORDER BY j.ref",
        (job_id,),
    )
    return [row.ref for row in cursor.fetchall()]


def done_waiting(cursor: Cursor, lead_time: timedelta, limit: int = 100) -> dict[int, bool]:
    """Erasures that need wait for access cases no longer: job -> whether one is still unfinished.

    Those are told whose own lead time has come.
    """
    cursor.execute(
        "SELECT w.id, w.unfinished FROM (SELECT e.id, e.urgency_at, EXISTS ("  # noqa: S608 - fixed text
        "SELECT FROM identities mine JOIN identities theirs"
        " ON theirs.digest = mine.digest AND theirs.job_id <> mine.job_id"
        " JOIN jobs j ON j.id = theirs.job_id"
        " WHERE mine.job_id = e.id AND mine.standing IN ('verified', 'resolved')"
        f" AND theirs.standing IN ('verified', 'resolved') AND {_VERIFIED_AND_OPEN}) AS unfinished"
        " FROM jobs e WHERE e.kind = 'erasure' AND e.state = 'working'"
        " AND e.phase = 'after_access' AND e.closed_at IS NULL) w"
        " WHERE NOT w.unfinished OR w.urgency_at < business_now() + %s ORDER BY w.id LIMIT %s",
        (lead_time, limit),
    )
    return {row.id: row.unfinished for row in cursor.fetchall()}


def stuck(cursor: Cursor, job_id: int, code: str) -> bool:
    """Whether a step of the case stands still for this reason."""
    cursor.execute(
        "SELECT 1 FROM steps WHERE job_id = %s AND state = 'needs_human' AND code = %s",
        (job_id, code),
    )
    return cursor.fetchone() is not None


def refused(cursor: Cursor, job_id: int, served: Collection[str]) -> bool:
    """Whether systems refused steps of the case, or are away, none of which was about to commit.

    One that is not among the `served` is away for good.
    """
    cursor.execute(
        "SELECT count(*) FILTER (WHERE code IN ('permanent', 'configuration')"
        " OR (state, code) = ('waiting', 'transient')"
        " OR (state = 'ready' AND system <> ALL(%s))) AS refused,"
        " bool_or(EXISTS (SELECT FROM step_intents i WHERE i.step_id = steps.id)) AS intended"
        " FROM steps WHERE job_id = %s AND state NOT IN ('done', 'cancelled')",
        (list(served), job_id),
    )
    row = cursor.fetchone()
    return bool(row.refused) and not row.intended


def took_effect(cursor: Cursor, job_id: int) -> bool:
    """Whether this case has changed any row, or was about to when last seen.

    An apply that found nothing, kept everything, or stopped before its first effect has not.
    """
    cursor.execute(_TOOK_EFFECT, {"job": job_id, "changing": [o.value for o in CHANGING]})
    return cursor.fetchone() is not None


def at_a_stand(cursor: Cursor, job_id: int, served: Collection[str]) -> bool:
    """Whether every step of the case that is left stopped, failed or waits for a system.

    One that waits for its units is under work.
    One whose system is not among the `served` waits for ever. A case that has no step at the time,
    since it waits for another case, stands too.
    """
    cursor.execute(
        "SELECT bool_and(state IN ('needs_human', 'failed')"
        " OR (state = 'waiting' AND code <> %(in_units)s)"
        " OR (state IN ('ready', 'waiting') AND system <> ALL(%(served)s))) AS stands FROM steps"
        " WHERE job_id = %(job)s AND state NOT IN ('done', 'cancelled')",
        {"served": list(served), "job": job_id, "in_units": IN_UNITS},
    )
    return cursor.fetchone().stands is not False


def cancel_steps(cursor: Cursor, job_id: int) -> None:
    """Let go of every step that is not finished; what is under work is fenced off."""
    cursor.execute(
        "UPDATE steps SET state = 'cancelled', finished_at = now(), attempt = attempt + 1"
        " WHERE job_id = %s AND state NOT IN ('done', 'cancelled')",
        (job_id,),
    )


def retry(cursor: Cursor, job_id: int) -> list[str]:
    """Make stopped and failed steps ready again, in small batches; their systems."""
    cursor.execute(
        "UPDATE steps SET state = 'ready', charged = 0, batch_cap = 1, code = 'retried',"
        " error = '', intent = CASE WHEN effect = 'manual' THEN NULL ELSE intent END,"
        " run_at = now(), rung_at = NULL WHERE job_id = %s AND state IN ('needs_human', 'failed')"
        " RETURNING system",
        (job_id,),
    )
    return sorted({row.system for row in cursor.fetchall()})


CLOCK = "id, name, state, due_at, due_on, facts"
ANSWERS = (
    "(name = 'respond' OR name LIKE 'respond:%%' OR name LIKE 'appeal%%')"
    " AND state IN ('running', 'paused')"
)
"""The clocks by which a request, or an appeal against its answer, is to be answered: its own law's,
and those of further laws."""
_OF_CASE = (
    f"SELECT {CLOCK} FROM clocks WHERE job_id = %s AND {ANSWERS}"  # noqa: S608 - fixed text
    " ORDER BY length(name), name FOR UPDATE"
)
_OF_LAWS = (
    f"SELECT job_id, {CLOCK} FROM clocks WHERE job_id = ANY(%s) AND ({ANSWERS}"  # noqa: S608 - fixed text
    " OR ((name = 'acknowledge' OR name LIKE 'acknowledge:%%') AND state IN ('running', 'paused')))"
    " ORDER BY length(name), name"
)
_OPEN = f"SELECT {JOB_COLUMNS} FROM jobs WHERE closed_at IS NULL ORDER BY urgency_at, id"  # noqa: S608 - fixed text


_UNANSWERED = _OF_CASE.replace("state IN (", "settled_at IS NULL AND state IN ('missed', ")


def answer_clocks(cursor: Cursor, job_id: int) -> list[ClockRow]:
    """The clocks by which a case is to be answered, locked; its own law's first."""
    cursor.execute(_OF_CASE, (job_id,))
    return [ClockRow(*row) for row in cursor.fetchall()]


def unanswered_clocks(cursor: Cursor, job_id: int) -> list[ClockRow]:
    """The same, and those that are missed: a question put in time may be recorded late."""
    cursor.execute(_UNANSWERED, (job_id,))
    return [ClockRow(*row) for row in cursor.fetchall()]


def open_clocks(cursor: Cursor) -> list[tuple[Job, ClockRow]]:
    """Every open case's clocks of answers and acknowledgements, the most urgent case first."""
    cursor.execute(_OPEN)
    jobs = {row.id: Job(*row) for row in cursor.fetchall()}
    cursor.execute(_OF_LAWS, (list(jobs),))
    clocks: dict[int, list[ClockRow]] = {}
    for row in cursor.fetchall():
        clocks.setdefault(row.job_id, []).append(ClockRow(*row[1:]))
    return [(job, clock) for job_id, job in jobs.items() for clock in clocks.get(job_id, ())]


def settle_clocks(cursor: Cursor, job_id: int, state: str) -> list[Any]:
    """End the open clocks of a case as `met` or `void`; late ones, either way, as `missed`.

    A clock that stands is not late; an act at the very instant is.
    """
    cursor.execute(
        "UPDATE clocks SET settled_at = business_now(), state = CASE"
        " WHEN state = 'missed' OR (state = 'running' AND due_at <= business_now())"
        " THEN 'missed' ELSE %s END"
        " WHERE job_id = %s AND settled_at IS NULL AND state <> 'void'"
        " RETURNING name, due_at, state",
        (state, job_id),
    )
    return cursor.fetchall()


def mark_urgent(cursor: Cursor, lead_time: timedelta) -> None:
    """Let open jobs that are due within `lead_time` use the reserved slots.

    Their steps with them, those under work too: they may come back.
    """
    cursor.execute(
        "UPDATE jobs SET urgent = true WHERE id IN (SELECT id FROM jobs WHERE closed_at IS NULL"
        " AND NOT urgent AND urgency_at < business_now() + %s ORDER BY urgency_at"
        " LIMIT 500 FOR UPDATE SKIP LOCKED) RETURNING id",
        (lead_time,),
    )
    urgent = [row.id for row in cursor.fetchall()]
    if urgent:
        cursor.execute(
            "UPDATE steps SET urgent = true WHERE id IN (SELECT id FROM steps"
            " WHERE job_id = ANY(%s) AND state NOT IN ('done', 'cancelled')"
            " ORDER BY id FOR NO KEY UPDATE)",
            (urgent,),
        )


def to_shred(
    cursor: Cursor, after: timedelta, limit: int = 200, among: Sequence[int] | None = None
) -> list[int]:
    """Cases closed for longer than `after` whose key still stands; with `among`, those of them.

    One whose restriction stands is left: who is to be freed has to be known until the lifting. One
    that was answered with remainders is as good as closed: its promises carry keys of their own.
    """
    cursor.execute(
        "SELECT id FROM jobs WHERE shredded_at IS NULL AND (closed_at < business_now() - %s"
        " OR closed_at IS NULL AND kind = 'erasure' AND state = 'answered_with_remainders'"
        " AND (SELECT handed_over_at FROM packages WHERE job_id = jobs.id) < business_now() - %s)"
        " AND kind IN ('access', 'erasure', 'rectification', 'restriction', 'lifting', 'deferred',"
        " 'hold', 'complaint') AND NOT (kind = 'restriction' AND EXISTS (SELECT FROM holds h"
        " WHERE h.matter = jobs.ref AND h.reason_code = %s AND h.released_at IS NULL))"
        " AND (%s::bigint[] IS NULL OR id = ANY(%s)) ORDER BY closed_at LIMIT %s",
        (after, after, RESTRICTED, among, among, limit),
    )
    return [row.id for row in cursor.fetchall()]


def shred(cursor: Cursor, job_ids: Sequence[int]) -> None:
    """Destroy the keys of these cases, and all that only those could open."""
    ids = (list(job_ids),)
    cursor.execute(
        "UPDATE jobs SET data_key = NULL, shredded_at = business_now(),"
        " facts = facts - 'corrections' WHERE id = ANY(%s)",
        ids,
    )
    cursor.execute("UPDATE identities SET sealed = NULL WHERE job_id = ANY(%s)", ids)
    cursor.execute("UPDATE notes SET sealed = NULL WHERE job_id = ANY(%s)", ids)
    cursor.execute("UPDATE holds SET sealed = NULL WHERE job_id = ANY(%s)", ids)
    cursor.execute("DELETE FROM codes WHERE job_id = ANY(%s)", ids)
    cursor.execute(
        "UPDATE steps SET result = result - 'sealed' WHERE job_id = ANY(%s) AND result ? 'sealed'",
        ids,
    )
    cursor.execute(
        "UPDATE packages SET destroyed_at = coalesce(destroyed_at, business_now())"
        " WHERE job_id = ANY(%s) AND kind = 'package'",
        ids,
    )
