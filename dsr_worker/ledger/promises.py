"""What an answer still owes: rows erased on a later day, and what could not be shown yet.

A promise is of one system and one day. It is carried out by a job of its own; the cases that wait
for it close behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, NamedTuple

from dsr_worker.ledger.connection import Cursor


class Promise(NamedTuple):
    """Rows of a system that go when their minimum has passed; `data_key` is wrapped.

    The first of them goes on `due_on`, the last on `last_due_on`. `awaited_by` are the cases that
    are answered and not closed before it is carried out to its end.
    """

    job_id: int
    system: str
    due_on: date | None
    last_due_on: date | None
    grounds: list[str]
    row_count: int
    data_key: bytes
    sealed: bytes
    digests: list[bytes]
    awaited_by: list[int]


class Standing(NamedTuple):
    """A promise that stands for the same person, system and day."""

    id: int
    last_due_on: date | None
    grounds: list[str]
    row_count: int
    data_key: bytes
    sealed: bytes


def standing(
    cursor: Cursor, made: Promise, names: Sequence[bytes], sooner: Sequence[str] = ()
) -> list[Standing]:
    """Promises of that system and day which know the person by all these names, locked.

    Those of an earlier day as well that were made on one of the grounds `sooner`.
    """
    cursor.execute(
        "SELECT id, last_due_on, grounds, row_count, data_key, sealed FROM promises"
        " WHERE system = %s AND digests @> %s::bytea[]"
        " AND (due_on IS NOT DISTINCT FROM %s OR (due_on < %s AND grounds && %s::text[]))"
        " AND carried_out_by IS NULL AND sealed IS NOT NULL ORDER BY id FOR UPDATE",
        (made.system, list(names), made.due_on, made.due_on, list(sooner)),
    )
    return [Standing(*row) for row in cursor.fetchall()]


def make(cursor: Cursor, made: Promise) -> int:
    """Record what is erased later; its id."""
    cursor.execute(
        "INSERT INTO promises (job_id, system, due_on, last_due_on, grounds, row_count, data_key,"
        " sealed, digests, awaited_by) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
        " RETURNING id",
        tuple(made),
    )
    return int(cursor.fetchone().id)


def digests_of(cursor: Cursor, job_id: int) -> list[bytes]:
    """By what the promise is found that this job carries out; nothing where it carries out none."""
    cursor.execute("SELECT digests FROM promises WHERE carried_out_by = %s", (job_id,))
    return [bytes(digest) for row in cursor.fetchall() for digest in row.digests]


def widen(cursor: Cursor, promise_id: int, made: Promise) -> None:
    """Let a promise that stands be for all that `made` says; it keeps its day and its case."""
    cursor.execute(
        "UPDATE promises SET last_due_on = %s, grounds = %s, row_count = %s, data_key = %s,"
        " sealed = %s, digests ="
        " ARRAY(SELECT unnest(digests) UNION SELECT unnest(%s::bytea[])), awaited_by ="
        " ARRAY(SELECT unnest(awaited_by) UNION SELECT unnest(%s::bigint[])) WHERE id = %s",
        (
            made.last_due_on,
            made.grounds,
            made.row_count,
            made.data_key,
            made.sealed,
            made.digests,
            made.awaited_by,
            promise_id,
        ),
    )


class DuePromise(NamedTuple):
    """A promise that has come due; `ref` is its case's, `row_count` what it may erase.

    `awaited_by` are the cases that are not closed before.
    """

    id: int
    job_id: int
    ref: str
    law: str | None
    country: str | None
    system: str
    due_on: date | None
    row_count: int
    data_key: bytes
    sealed: bytes
    awaited_by: list[int]


def come_due(cursor: Cursor, limit: int = 50) -> list[DuePromise]:
    """Promises whose day has come, locked for the caller alone.

    A period ends with a civil day of its own zone, and a job decides as of the start of a UTC day:
    the first that lies after the promised day's beginning in every zone is that of the next day.

    One at a time for a person in a system: two jobs at once would both account for the same rows.
    """
    cursor.execute(
        "SELECT p.id, p.job_id, j.ref, j.law, j.country, p.system, p.due_on, p.row_count,"
        " p.data_key, p.sealed, p.awaited_by"
        " FROM promises p JOIN jobs j ON j.id = p.job_id"
        " WHERE p.carried_out_by IS NULL"
        " AND p.due_on < (business_now() AT TIME ZONE 'UTC')::date"
        " AND NOT EXISTS (SELECT FROM promises q WHERE q.id <> p.id AND q.system = p.system"
        " AND q.digests && p.digests AND ("
        "q.carried_out_by IS NULL AND (q.due_on, q.id) < (p.due_on, p.id) OR EXISTS ("
        "SELECT FROM steps s WHERE s.job_id = q.carried_out_by"
        " AND s.state NOT IN ('done', 'needs_human', 'failed'))))"
        " ORDER BY p.due_on, p.id LIMIT %s FOR UPDATE OF p SKIP LOCKED",
        (limit,),
    )
    return [DuePromise(*row) for row in cursor.fetchall()]


class StillOwed(NamedTuple):
    """What a case still owes: rows, and the day on which the first of them is tried again."""

    rows: int
    due_on: date | None


def still_owed(cursor: Cursor, job_id: int) -> StillOwed | None:
    """What is left of the promises that a case awaits; None once nothing is."""
    cursor.execute(
        "SELECT count(*) AS promises, sum(p.row_count)::bigint AS rows, min(p.due_on) AS due_on"  # noqa: S608 - fixed text
        f" FROM {_OWED} AND p.awaited_by @> ARRAY[%s]::bigint[]",
        (job_id,),
    )
    row = cursor.fetchone()
    return StillOwed(row.rows, row.due_on) if row.promises else None


def nothing_owed(cursor: Cursor, limit: int = 100) -> list[int]:
    """Answered cases whose remainders are all gone. Locks nothing: ask again under the lock."""
    cursor.execute(
        "SELECT c.id FROM jobs c WHERE c.kind = 'erasure' AND c.closed_at IS NULL"  # noqa: S608 - fixed text
        " AND c.state = 'answered_with_remainders'"
        f" AND NOT EXISTS (SELECT FROM {_OWED} AND p.awaited_by @> ARRAY[c.id])"
        " ORDER BY c.id LIMIT %s",
        (limit,),
    )
    return [row.id for row in cursor.fetchall()]


_OWED = """
promises p LEFT JOIN jobs d ON d.id = p.carried_out_by
WHERE (p.carried_out_by IS NULL OR d.closed_at IS NULL)
"""
"""Promises not yet carried out; what a job keeps once more it has promised anew when it closes."""


class UnshownPart(NamedTuple):
    """What an access case could not be shown of one system: by collection and ground."""

    job_id: int
    system: str
    parts: list[dict[str, Any]]
    mark: str


def unshown(cursor: Cursor, rounds: Sequence[tuple[int, int]]) -> list[UnshownPart]:
    """What these rounds of cases found and could not show, in the order of cases and systems."""
    cursor.execute(
        "SELECT s.job_id, s.system, s.result->'remainders' AS parts, s.result->>'mark' AS mark"
        " FROM steps s JOIN unnest(%s::bigint[], %s::int[]) AS j(id, round)"
        " ON j.id = s.job_id AND j.round = s.round"
        " WHERE s.action = 'find' AND s.state = 'done' AND s.result ? 'remainders'"
        " ORDER BY s.job_id, s.system",
        ([job_id for job_id, _ in rounds], [number for _, number in rounds]),
    )
    return [UnshownPart(*row) for row in cursor.fetchall()]


def to_look_again(cursor: Cursor, limit: int = 50) -> list[int]:
    """Answered access cases whose day has come. Locks nothing: ask again under the lock."""
    cursor.execute(
        "SELECT id FROM jobs WHERE kind = 'access' AND closed_at IS NULL"
        " AND state = 'answered_with_remainders' AND (facts->'remaining'->>'due_on')::date"
        " < (business_now() AT TIME ZONE 'UTC')::date ORDER BY id LIMIT %s",
        (limit,),
    )
    return [row.id for row in cursor.fetchall()]


def take_up(cursor: Cursor, promise_id: int, job_id: int) -> None:
    """Tie a promise to a job that asks a human about it; it keeps its names."""
    cursor.execute("UPDATE promises SET carried_out_by = %s WHERE id = %s", (job_id, promise_id))


def give_back(cursor: Cursor, job_id: int) -> None:
    """Let what this job only asked about come due again."""
    cursor.execute(
        "UPDATE promises SET carried_out_by = NULL WHERE carried_out_by = %s"
        " AND sealed IS NOT NULL",
        (job_id,),
    )


def not_carried_out(cursor: Cursor, after: int, limit: int) -> list[Any]:
    """A page of the promises not carried out, each with the digests of its case's person."""
    cursor.execute(
        "SELECT p.id, p.digests, p.data_key, p.sealed, ARRAY(SELECT i.digest FROM identities i"
        " WHERE i.job_id = p.job_id AND i.standing IN ('verified', 'resolved')) AS of_case"
        " FROM promises p WHERE p.sealed IS NOT NULL AND p.id > %s ORDER BY p.id LIMIT %s",
        (after, limit),
    )
    return cursor.fetchall()


def index(cursor: Cursor, promise_id: int, digests: Sequence[bytes]) -> None:
    """Let a promise be found by these digests."""
    cursor.execute("UPDATE promises SET digests = %s WHERE id = %s", (list(digests), promise_id))


def carried_out(cursor: Cursor, promise_id: int, job_id: int) -> None:
    """Tie a promise to the job that carries it out; its names are forgotten, that job has them."""
    cursor.execute(
        "UPDATE promises SET carried_out_by = %s, data_key = NULL, sealed = NULL WHERE id = %s",
        (job_id, promise_id),
    )
