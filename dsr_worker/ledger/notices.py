"""Rows of a breach: the clocks of its duties, its frozen list of people, each one's notice.

In: duties as clocks, people as keyed digests with a sealed contact. Out: rows to send, counts. One
row a person; it goes `listed -> sending -> sent | unknown | failed`, and `sending` is committed
before a mail server hears of it, so that what may have left is never sent again by itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from dsr_worker.ledger import warnings
from dsr_worker.ledger.connection import Cursor, Json, Ledger, values
from dsr_worker.ledger.intake import NewClock
from dsr_worker.ledger.rows import Claim, Job

_SET_DUTIES = """
INSERT INTO clocks (job_id, name, recipient, citation, verified, zone, started_at, due_at, due_on,
                    conservative_due_at, conservative_due_on, calendar_version, condition, facts,
                    state)
VALUES %s
ON CONFLICT (job_id, name) DO UPDATE SET
    recipient = excluded.recipient, citation = excluded.citation, verified = excluded.verified,
    due_at = excluded.due_at, due_on = excluded.due_on,
    conservative_due_at = excluded.conservative_due_at,
    conservative_due_on = excluded.conservative_due_on,
    condition = excluded.condition, facts = excluded.facts,
    state = CASE WHEN excluded.state = 'void' THEN 'void'
                 WHEN clocks.state = 'missed' AND excluded.due_at <= business_now() THEN 'missed'
                 ELSE 'running' END
WHERE clocks.settled_at IS NULL
"""

_ASSIGN = """
UPDATE notices SET step_id = %(step)s WHERE id IN (
    SELECT id FROM notices WHERE job_id = %(job)s AND state = 'listed' AND step_id IS NULL
    ORDER BY id
    LIMIT greatest(0, %(size)s - (SELECT count(*) FROM notices WHERE step_id = %(step)s))
    FOR UPDATE SKIP LOCKED)
"""
_OURS = """
SELECT count(*) AS ours FROM steps
WHERE id = %(step)s AND attempt = %(attempt)s AND state = 'leased'
"""
_START = """
UPDATE notices SET state = 'sending' WHERE id = %(id)s AND state = 'listed' AND EXISTS (
    SELECT FROM steps WHERE id = %(step)s AND attempt = %(attempt)s AND state = 'leased')
"""


class Listed(NamedTuple):
    """A person of the frozen list. `sealed` is None where no contact is known."""

    digest: bytes
    sealed: bytes | None
    language: str
    residence: str | None


class Notice(NamedTuple):
    """A notice to send: its row, its sealed contact, its language."""

    id: int
    digest: bytes
    sealed: bytes
    language: str


class Tally(NamedTuple):
    """How many notices of a residence stand in a state, and the first and last instant sent."""

    residence: str | None
    state: str
    people: int
    first_at: datetime | None
    last_at: datetime | None


def set_duties(cursor: Cursor, job_id: int, clocks: Sequence[tuple[NewClock, str]]) -> None:
    """Set the clocks of a breach's duties, each `running` or `void`; settled ones stay as they are.

    A duty that turns off becomes `void` with its reason in `facts`; it is never taken away.
    """
    rows = [(job_id, *c[:-1], Json(dict(c.facts)), state) for c, state in clocks]
    values(cursor, _SET_DUTIES, rows)
    warnings.forget_unreached(cursor, job_id)


def settle(cursor: Cursor, job_id: int, name: str, at: datetime) -> Any:
    """Meet a clock at `at`: `met`, or `missed` when that was late. None where none is open."""
    cursor.execute(
        "UPDATE clocks SET settled_at = %s,"
        " state = CASE WHEN due_at IS NULL OR %s < due_at THEN 'met' ELSE 'missed' END"
        " WHERE job_id = %s AND name = %s AND settled_at IS NULL"
        " AND state IN ('running', 'missed') RETURNING name, due_at, state, facts",
        (at, at, job_id, name),
    )
    return cursor.fetchone()


def open_clocks(cursor: Cursor, job_id: int) -> list[Any]:
    """The clocks of a job that nothing has met: name, due_at, state, facts; soonest first."""
    cursor.execute(
        "SELECT name, recipient, citation, zone, due_at, conservative_due_at, state, facts"
        " FROM clocks WHERE job_id = %s AND settled_at IS NULL AND state IN ('running', 'missed')"
        " ORDER BY conservative_due_at, name",
        (job_id,),
    )
    return cursor.fetchall()


def clocks_named(cursor: Cursor, job_id: int, names: Iterable[str]) -> list[Any]:
    """The clocks of a job of these names, or of a law's under them (`NAME:LAW`), whatever became.

    Each has name, state and conservative_due_on.
    """
    cursor.execute(
        "SELECT name, state, conservative_due_on FROM clocks WHERE job_id = %s"
        " AND split_part(name, ':', 1) = ANY(%s) ORDER BY name",
        (job_id, list(names)),
    )
    return cursor.fetchall()


def soonest(cursor: Cursor, job_id: int) -> datetime | None:
    """When the next open clock of a job is due, by the instant that alerts go by."""
    cursor.execute(
        "SELECT min(conservative_due_at) AS at FROM clocks WHERE job_id = %s"
        " AND settled_at IS NULL AND state IN ('running', 'paused', 'missed')",
        (job_id,),
    )
    found: datetime | None = cursor.fetchone().at
    return found


def facts(cursor: Cursor, job_id: int) -> dict[str, Any]:
    """A job's facts as they are now."""
    cursor.execute("SELECT facts FROM jobs WHERE id = %s", (job_id,))
    return dict(cursor.fetchone().facts)


def add_note(cursor: Cursor, job_id: int, sealed: bytes, commitment: bytes) -> int:
    """Keep a sealed note; its number."""
    cursor.execute(
        "INSERT INTO notes (job_id, sealed, commitment, made_at)"
        " VALUES (%s, %s, %s, business_now()) RETURNING id",
        (job_id, sealed, commitment),
    )
    return int(cursor.fetchone().id)


def note(cursor: Cursor, job_id: int, number: int) -> bytes | None:
    """A sealed note of a job; None once shredded."""
    cursor.execute("SELECT sealed FROM notes WHERE job_id = %s AND id = %s", (job_id, number))
    row = cursor.fetchone()
    return None if row is None or row.sealed is None else bytes(row.sealed)


def notes(cursor: Cursor, job_id: int) -> list[Any]:
    """Every note of a job, oldest first: id, made_at, sealed (None once shredded)."""
    cursor.execute("SELECT id, made_at, sealed FROM notes WHERE job_id = %s ORDER BY id", (job_id,))
    return cursor.fetchall()


def cancel_stuck(cursor: Cursor, job: Job, action: str) -> list[str]:
    """Give up a job's steps of an action that wait for a person or failed; their systems."""
    cursor.execute(
        "UPDATE steps SET state = 'cancelled', finished_at = now() WHERE job_id = %s"
        " AND action = %s AND state IN ('needs_human', 'failed') RETURNING system",
        (job.id, action),
    )
    return sorted(row.system for row in cursor.fetchall())


def last_result(cursor: Cursor, job_id: int, action: str) -> dict[str, Any]:
    """The result of a job's last finished step of an action; empty where there is none."""
    cursor.execute(
        "SELECT result FROM steps WHERE job_id = %s AND action = %s AND state = 'done'"
        " AND result IS NOT NULL ORDER BY round DESC, id DESC LIMIT 1",
        (job_id, action),
    )
    row = cursor.fetchone()
    return {} if row is None else dict(row.result)


# ---- the list


def enlist(ledger: Ledger, job_id: int, people: Sequence[Listed]) -> None:
    """Add people to the list; one who is on it stays as they are, so a repeat changes nothing."""
    with ledger.transaction() as cursor:
        values(
            cursor,
            "INSERT INTO notices (job_id, digest, sealed, language, residence, state) VALUES %s"
            " ON CONFLICT (job_id, digest) DO NOTHING",
            [(job_id, *p, "no_contact" if p.sealed is None else "listed") for p in people],
        )


def list_digest(cursor: Cursor, job_id: int) -> tuple[str, int]:
    """The SHA-256 (hex) of the whole list as it stands frozen, and how many have a contact."""
    cursor.execute(
        "SELECT digest, language, residence, sealed IS NOT NULL AS reachable FROM notices"
        " WHERE job_id = %s ORDER BY digest",
        (job_id,),
    )
    whole, reachable = hashlib.sha256(), 0
    for row in cursor.fetchall():
        line = f"{row.language}\0{row.residence or ''}\0{row.reachable}\n"
        whole.update(bytes(row.digest) + line.encode())
        reachable += row.reachable
    return whole.hexdigest(), reachable


def languages(cursor: Cursor, job_id: int) -> list[str]:
    """The languages in which people of the list are written to."""
    cursor.execute(
        "SELECT DISTINCT language FROM notices WHERE job_id = %s AND sealed IS NOT NULL ORDER BY 1",
        (job_id,),
    )
    return [str(row.language) for row in cursor.fetchall()]


def tally(cursor: Cursor, job_id: int) -> list[Tally]:
    """How the notices stand, by residence and state."""
    cursor.execute(
        "SELECT residence, state, count(*) AS people, min(sent_at) AS first_at,"
        " max(sent_at) AS last_at FROM notices WHERE job_id = %s"
        " GROUP BY residence, state ORDER BY residence NULLS LAST, state",
        (job_id,),
    )
    return [Tally(*row) for row in cursor.fetchall()]


# ---- sending


def take_part(ledger: Ledger, claim: Claim, size: int) -> list[Notice]:
    """The notices of a step that are still to be sent.

    A part is taken once and stays the step's. What an earlier attempt was sending may have left: it
    becomes `unknown`, for a person to decide. Nothing is given to an attempt that is fenced off.
    """
    known = {"step": claim.id, "attempt": claim.attempt, "job": claim.job_id, "size": size}
    with ledger.transaction() as cursor:
        cursor.execute(_OURS, known)
        if not cursor.fetchone().ours:
            return []
        cursor.execute(
            "UPDATE notices SET state = 'unknown' WHERE step_id = %(step)s AND state = 'sending'",
            known,
        )
        cursor.execute(_ASSIGN, known)
        cursor.execute(
            "SELECT id, digest, sealed, language FROM notices WHERE step_id = %(step)s"
            " AND state = 'listed' ORDER BY id",
            known,
        )
        rows = cursor.fetchall()
    return [Notice(r.id, bytes(r.digest), bytes(r.sealed), r.language) for r in rows]


def counts_of_part(ledger: Ledger, step_id: int) -> dict[str, int]:
    """How many notices of a step's part stand in each state."""
    with ledger.transaction() as cursor:
        cursor.execute(
            "SELECT state, count(*) AS people FROM notices WHERE step_id = %s GROUP BY state",
            (step_id,),
        )
        return {row.state: int(row.people) for row in cursor.fetchall()}


def start(ledger: Ledger, claim: Claim, notice: int) -> bool:
    """Commit that a notice is about to be sent; False when it is not this attempt's to send."""
    with ledger.transaction() as cursor:
        cursor.execute(_START, {"id": notice, "step": claim.id, "attempt": claim.attempt})
        return cursor.rowcount == 1


def record(ledger: Ledger, notice: int, state: str) -> None:
    """Record how sending a notice ended. One taken for `unknown` meanwhile is known by this."""
    with ledger.transaction() as cursor:
        cursor.execute(
            "UPDATE notices SET state = %s, sent_at = CASE WHEN %s THEN business_now() END"
            " WHERE id = %s AND state IN ('sending', 'unknown')",
            (state, state == "sent", notice),
        )


def decide_unknown(cursor: Cursor, job_id: int, *, again: bool) -> int:
    """A person's word on notices that may have left: send them again, or count them as sent."""
    if again:
        change = "state = 'listed', step_id = NULL"
    else:
        change = "state = 'sent', sent_at = business_now()"
    cursor.execute(
        f"UPDATE notices SET {change} WHERE job_id = %s AND state = 'unknown'",  # noqa: S608 - one of two constants
        (job_id,),
    )
    return cursor.rowcount
