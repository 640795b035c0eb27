"""What a batch of steps needs to be worked on: its jobs, identities, spools and earlier results.

In: claims. Out: all of it as values, read in one transaction; the number of statements does not
grow with the batch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from dsr_worker.ledger.connection import Cursor, Ledger
from dsr_worker.ledger.rows import Claim


class BatchJob(NamedTuple):
    """What a step's work needs of its job. `data_key` is wrapped."""

    id: int
    ref: str
    kind: str
    data_key: bytes | None
    law: str | None
    country: str | None
    received_at: Any
    zone: str | None
    facts: dict[str, Any]
    plan: dict[str, Any] | None


class LoadedIdentity(NamedTuple):
    """A sealed identity of a batch's job."""

    job_id: int
    kind: str
    sealed: bytes | None
    standing: str
    round: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """A batch under lease: steps that share (system, action, frozen texts), and what they need."""

    claims: tuple[Claim, ...]
    jobs: Mapping[int, BatchJob]
    identities: tuple[LoadedIdentity, ...]
    spools: Mapping[tuple[int, str], list[dict[str, Any]]]  # (job, name) -> frames
    results: Mapping[tuple[int, str, str], dict[str, Any]]  # (job, action, system) -> the latest
    now: Any  # business instant of the claim
    more: bool  # the system has ready steps beyond these


def load(ledger: Ledger, claims: Sequence[Claim]) -> Claimed:
    """What these steps need to be worked on, whoever holds the lease."""
    with ledger.transaction() as cursor:
        return loaded(cursor, tuple(claims))


def loaded(cursor: Cursor, claims: tuple[Claim, ...]) -> Claimed:
    """What these steps need, in the caller's transaction; as many statements for one as for all."""
    ids = sorted({c.job_id for c in claims})
    cursor.execute(
        "SELECT id, ref, kind, data_key, law, country, received_at, zone, facts, plan,"
        " business_now() AS now FROM jobs WHERE id = ANY(%s)",
        (ids,),
    )
    rows = cursor.fetchall()
    now = rows[0].now
    found = {row.id: BatchJob(*row[:-1]) for row in rows}
    cursor.execute(
        "SELECT job_id, kind, sealed, standing, round FROM identities WHERE job_id = ANY(%s)"
        " ORDER BY job_id, round, kind, digest",
        (ids,),
    )
    identities = tuple(LoadedIdentity(*row) for row in cursor.fetchall())
    cursor.execute(
        "SELECT p.job_id, p.name, p.frame, s.system, s.action FROM spools p"
        " JOIN steps s ON s.id = p.step_id WHERE p.job_id = ANY(%s) ORDER BY p.step_id",
        (ids,),
    )
    spools: dict[tuple[int, str], list[dict[str, Any]]] = defaultdict(list)
    for row in cursor.fetchall():
        spools[row.job_id, row.name].append({**row.frame, "system": row.system})
    cursor.execute(
        "SELECT job_id, action, system, result FROM steps WHERE job_id = ANY(%s)"
        " AND state = 'done' AND result IS NOT NULL ORDER BY round, id",
        (ids,),
    )
    results = {(r.job_id, r.action, r.system): r.result for r in cursor.fetchall()}
    return Claimed(claims, found, identities, dict(spools), results, now, more=False)
