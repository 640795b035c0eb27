"""Answers made and handed over: packages and certificates, by blob; suppressions and promises."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple

from dsr_worker.ledger.connection import Cursor, values


class Answer(NamedTuple):
    """A made answer: where its sealed blob lies, and until when it is kept."""

    job_id: int
    blob: str
    kind: str
    size_bytes: int
    sha256: str
    expires_at: datetime | None


class Promise(NamedTuple):
    """Rows of a system that go when their minimum has passed; `data_key` is wrapped."""

    job_id: int
    system: str
    due_on: date | None
    grounds: list[str]
    row_count: int
    data_key: bytes
    sealed: bytes
    digests: list[bytes]


def keep(cursor: Cursor, answers: Sequence[Answer]) -> None:
    """Record made answers; one made anew takes the place of the earlier one."""
    values(
        cursor,
        "INSERT INTO packages (job_id, blob, kind, size_bytes, sha256, expires_at) VALUES %s"
        " ON CONFLICT (job_id) DO UPDATE SET blob = excluded.blob, kind = excluded.kind,"
        " size_bytes = excluded.size_bytes, sha256 = excluded.sha256, made_at = business_now(),"
        " expires_at = excluded.expires_at, handed_over_at = NULL, destroyed_at = NULL",
        [tuple(a) for a in answers],
    )


def promise(cursor: Cursor, promises: Sequence[Promise]) -> None:
    """Record what is erased later. Repeating a case's promises changes nothing."""
    for made in promises:
        cursor.execute(
            "INSERT INTO promises (job_id, system, due_on, grounds, row_count, data_key, sealed,"
            " digests) SELECT %s, %s, %s, %s, %s, %s, %s, %s WHERE NOT EXISTS ("
            "SELECT FROM promises WHERE job_id = %s AND system = %s AND due_on IS NOT DISTINCT FROM %s)",
            (*made, made.job_id, made.system, made.due_on),
        )


def suppress(cursor: Cursor, job_id: int, digests: Sequence[bytes]) -> None:
    """Remember, as keyed digests alone, whom not to take in again."""
    if digests:
        values(
            cursor,
            "INSERT INTO suppressions (digest, job_id) VALUES %s ON CONFLICT DO NOTHING",
            [(digest, job_id) for digest in digests],
        )
