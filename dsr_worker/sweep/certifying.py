"""Performs `sweep_certify`: what a sweep did in each system, signed.

In: sweeps that were carried out and counted again. Out: a sealed certificate each, kept without an
end: it holds counts, grounds and versions, no personal data, and outlives the data it speaks of.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from importlib.metadata import version

from dsr_worker.contract import Outcome
from dsr_worker.engine.batch import Batch, Member
from dsr_worker.evidence import (
    Certificate,
    CollectionResult,
    Kept,
    Requery,
    SystemResult,
    build_certificate,
    words,
)
from dsr_worker.ledger import Ledger, answers
from dsr_worker.ledger.answers import Accounted, Answer
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.rows import Event, StepResult
from dsr_worker.organisation import Organisation
from dsr_worker.package.grounds import certified
from dsr_worker.store import Store, new_name
from dsr_worker.sweep.course import RECOUNT
from dsr_worker.vault import KeyRing

CERTIFICATE = "certificate"  # kind of answer, and the purpose under which it is sealed
_NO_LAW_PACK = ""  # policies alone decide in a sweep; the statutes they cite stand in its grounds


class SweepCertifying:
    """The performer of `sweep_certify` steps."""

    def __init__(
        self, ledger: Ledger, keys: KeyRing, store: Store, organisation: Organisation
    ) -> None:
        self._ledger = ledger
        self._keys = keys
        self._store = store
        self._controller = organisation.controller.name
        self._words = words(organisation.languages[0])
        self._backups = organisation.backups_in(self._words.language)

    def __call__(self, batch: Batch) -> Sequence[StepResult]:
        """A certificate for each sweep of the batch. A repeat replaces it."""
        rows: dict[int, list[Accounted]] = defaultdict(list)
        for row in answers.receipts(self._ledger, [m.job.id for m in batch.members]):
            rows[row.job_id].append(row)
        return [self._certify(batch, m, rows[m.job.id]) for m in batch.members]

    def _certify(self, batch: Batch, member: Member, rows: Sequence[Accounted]) -> StepResult:
        content = build_certificate(self._certificate(batch, member, rows), self._keys)
        name = new_name("certificates", batch.ctx.now.date())
        with self._store.write(name) as blob:
            blob.write(self._keys.seal_alone(content, CERTIFICATE))
        sha256 = hashlib.sha256(content).hexdigest()
        answer = Answer(member.job.id, name, CERTIFICATE, len(content), sha256, None)
        counts: Counter[str] = Counter()
        for row in rows:
            counts[row.outcome] += row.row_count
        body = {"file_sha256": sha256, "counts": dict(counts), "response": "swept"}
        return member.done(events=(Event("certificate_made", body),), also=partial(_keep, answer))

    def _certificate(self, batch: Batch, member: Member, rows: Sequence[Accounted]) -> Certificate:
        job, facts = member.job, member.job.facts
        systems = sorted({*(job.plan or {}).get("systems", ()), *(r.system for r in rows)})
        grounds = sorted({r.ground for r in rows if r.ground and _stays(r)})
        return Certificate(
            kind="sweep",
            number=f"{job.ref}-{member.claim.round}",
            case=job.ref,
            controller=self._controller,
            regime="",
            country="",
            request_kind="sweep",
            received_at=None,
            manner=f"{facts['trigger']}, policy {facts['policy']} {facts['policy_version']}",
            responded_at=batch.ctx.now,
            response="swept",
            issued_at=batch.ctx.now,
            systems=tuple(
                _system(batch, member, name, [r for r in rows if r.system == name])
                for name in systems
            ),
            denial_grounds=tuple(grounds),
            grounds=tuple(
                certified(code, self._words, None, batch.frozen.decisions.values())
                for code in grounds
            ),
            language=self._words.language,
            backups=self._backups,
        )


def _system(batch: Batch, member: Member, name: str, rows: Sequence[Accounted]) -> SystemResult:
    frozen, recounted = batch.frozen, batch.results.get((member.job.id, RECOUNT, name))
    mapped = frozen.mapped.get(name)
    by_collection: dict[str, list[Accounted]] = defaultdict(list)
    for row in rows:
        by_collection[row.collection].append(row)
    return SystemResult(
        system=name,
        connector=mapped.connector if mapped else "",
        connector_version=version("dsr-worker"),
        map_hash=frozen.versions["map"],
        policy_hash=member.job.facts["policy_hash"],
        law_pack=_NO_LAW_PACK,
        collections=tuple(
            _collection(collection, found) for collection, found in sorted(by_collection.items())
        ),
        requery=None
        if recounted is None
        else Requery(
            at=datetime.fromisoformat(recounted["at"]),
            path="recount",
            returned=recounted["remaining"],
        ),
    )


def _collection(name: str, rows: Sequence[Accounted]) -> CollectionResult:
    totals: Counter[str] = Counter()
    for row in rows:
        if not _stays(row):
            totals[row.outcome] += row.row_count
    return CollectionResult(
        collection=name,
        found=sum(row.row_count for row in rows),
        erased=totals[Outcome.ERASED],
        masked=totals[Outcome.MASKED],
        redacted=totals[Outcome.REDACTED],
        restricted=totals[Outcome.RESTRICTED],
        already_gone=totals[Outcome.ALREADY_GONE],
        kept=tuple(
            Kept(r.row_count, r.ground, r.until_on, r.first_until_on) for r in rows if _stays(r)
        ),
    )


def _stays(row: Accounted) -> bool:
    return row.outcome == Outcome.RETAINED


def _keep(answer: Answer, cursor: Cursor) -> None:
    answers.keep(cursor, [answer])
