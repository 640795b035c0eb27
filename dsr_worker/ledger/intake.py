"""New jobs: row, identities and clocks, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from dsr_worker.domain.clock import Due
from dsr_worker.ledger.connection import Cursor, Json, Rows, together
from dsr_worker.ledger.rows import Job, SealedIdentity
from dsr_worker.ledger.statements import JOB_COLUMNS

OURSELVES = "ourselves"
"""The recipient of a clock that only we wait for."""


class NewClock(NamedTuple):
    """A clock to start. Instants are UTC; None where the law names no number."""

    name: str
    recipient: str
    citation: str
    verified: bool
    zone: str
    started_at: datetime
    due_at: datetime | None
    due_on: date | None
    conservative_due_at: datetime | None
    conservative_due_on: date | None
    calendar_version: str
    condition: str = ""
    facts: Mapping[str, Any] = {}

    @classmethod
    def by_law(
        cls, name: str, due: Due, started_at: datetime, *, citation: str, verified: bool
    ) -> NewClock:
        """A clock of something owed to the person, with both readings of when it is due."""
        return cls(
            name=name,
            recipient="subject",
            citation=citation,
            verified=verified,
            zone=due.zone,
            started_at=started_at,
            due_at=due.due_at,
            due_on=due.due_on,
            conservative_due_at=due.conservative_due_at,
            conservative_due_on=due.conservative_due_on,
            calendar_version=due.calendar_version,
        )

    @classmethod
    def of_house(
        cls, name: str, due_at: datetime, due_on: date, started_at: datetime, *, citation: str
    ) -> NewClock:
        """A clock that only we set ourselves: warned of, overdue, and never missed."""
        return cls(
            name=name,
            recipient=OURSELVES,
            citation=citation,
            verified=True,
            zone="UTC",
            started_at=started_at,
            due_at=None,
            due_on=None,
            conservative_due_at=due_at,
            conservative_due_on=due_on,
            calendar_version="",
        )


class NewJob(NamedTuple):
    """A job to insert. `prefix` begins its reference; `data_key` is wrapped."""

    prefix: str
    kind: str
    state: str
    phase: str
    frozen: int
    urgency_at: datetime
    data_key: bytes
    submitted_by: str | None = None
    urgent: bool = False
    idempotency_key: str | None = None
    request_digest: bytes | None = None
    law: str | None = None
    country: str | None = None
    channel: str | None = None
    received_at: datetime | None = None
    zone: str | None = None
    facts: Mapping[str, Any] = {}


_INSERT = f"""
WITH n AS (SELECT nextval(pg_get_serial_sequence('jobs', 'id')) AS id)
INSERT INTO jobs (id, ref, kind, state, phase, frozen, urgency_at, data_key, submitted_by, urgent,
                  idempotency_key, request_digest, law, country, channel, received_at, zone, facts)
OVERRIDING SYSTEM VALUE
SELECT n.id, %s || '-' || to_char(business_now(), 'YYYY') || '-' || lpad(n.id::text, 6, '0'),
       %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s
FROM n RETURNING {JOB_COLUMNS}
"""  # noqa: S608 - fixed text


CLOCK_COLUMNS = (
    "job_id, name, recipient, citation, verified, zone, started_at, due_at, due_on,"
    " conservative_due_at, conservative_due_on, calendar_version, condition, facts"
)
SET_CLOCK_ANEW = (
    "ON CONFLICT (job_id, name) DO UPDATE SET"
    " recipient = excluded.recipient, citation = excluded.citation,"
    " due_at = excluded.due_at, due_on = excluded.due_on,"
    " conservative_due_at = excluded.conservative_due_at,"
    " conservative_due_on = excluded.conservative_due_on, condition = excluded.condition,"
    " facts = excluded.facts"
)


def insert(cursor: Cursor, job: NewJob) -> Job:
    """Insert a job, which is this transaction's alone. Its reference is `PREFIX-YEAR-NUMBER`."""
    cursor.execute(_INSERT, (*job[:-1], Json(dict(job.facts))))
    return Job(*cursor.fetchone())


def furnish(
    cursor: Cursor,
    job_id: int,
    identities: Sequence[SealedIdentity] = (),
    clocks: Sequence[NewClock] = (),
) -> None:
    """Add identities (a known one keeps its standing), start clocks (a known one is set anew)."""
    together(
        cursor,
        Rows(
            "INSERT INTO identities (job_id, kind, digest, sealed, standing, ground, round)"
            " VALUES %s ON CONFLICT (job_id, kind, digest) DO NOTHING",
            [
                (job_id, i.kind, i.digest, i.sealed, i.standing, i.ground, i.round)
                for i in identities
            ],
        ),
        Rows(
            f"INSERT INTO clocks ({CLOCK_COLUMNS}) VALUES %s {SET_CLOCK_ANEW}",  # noqa: S608 - fixed text
            [(job_id, *c[:-1], Json(dict(c.facts))) for c in clocks],
        ),
    )


def add_identities(cursor: Cursor, job_id: int, found: Sequence[SealedIdentity]) -> None:
    """Add identities; one that is known keeps its standing."""
    furnish(cursor, job_id, found)


def start_clocks(cursor: Cursor, job_id: int, clocks: Sequence[NewClock]) -> None:
    """Start clocks; one of the same name is set anew."""
    furnish(cursor, job_id, clocks=clocks)


def by_idempotency_key(cursor: Cursor, key: str) -> Any:
    """The job made under this key: id, ref, digest of its content, receipt; or None."""
    cursor.execute(
        "SELECT id, ref, request_digest, received_at FROM jobs WHERE idempotency_key = %s", (key,)
    )
    return cursor.fetchone()


def named(cursor: Cursor, ref: str) -> tuple[bytes | None, list[tuple[str, bytes]]]:
    """The wrapped key of a job and the people that it names, sealed: (kind, value), unlocked.

    The key is None where there is no such job, or it is shredded.
    """
    cursor.execute(
        "SELECT j.data_key, i.kind, i.sealed FROM jobs j LEFT JOIN identities i ON i.job_id = j.id"
        " AND i.sealed IS NOT NULL WHERE j.ref = %s ORDER BY i.kind, i.digest",
        (ref,),
    )
    rows = cursor.fetchall()
    if not rows or rows[0].data_key is None:
        return None, []
    people = [(row.kind, bytes(row.sealed)) for row in rows if row.kind is not None]
    return bytes(rows[0].data_key), people
