"""Performs `certify`: what was done, signed; what is left for later, promised.

In: applied and rechecked cases. Out: a sealed certificate per case; of an erasure also a promise
for each day on which kept rows come free, and the suppression of the person's addresses as keyed
digests; of a lifting the end of the hold that protected what was restricted.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from functools import partial

from dsr_worker.contract import is_remainder
from dsr_worker.engine.batch import Batch, Member
from dsr_worker.engine.promised import Promised, RowName
from dsr_worker.evidence import build_certificate
from dsr_worker.fulfil import protecting
from dsr_worker.fulfil.composing import by_system, composed
from dsr_worker.fulfil.keeping import Days, Later, kept_for_now, kept_keys, without_day
from dsr_worker.fulfil.promised import AWAITED_BY, keep_promise
from dsr_worker.fulfil.verbs import DEFERRED, DONE_BY, ERASING, LIFTING
from dsr_worker.ledger import Ledger, answers, jobs
from dsr_worker.ledger.answers import Accounted, Answer
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.promises import Promise
from dsr_worker.ledger.rows import Event, Move, StepResult
from dsr_worker.organisation import Organisation
from dsr_worker.store import Store, new_name
from dsr_worker.vault import KeyRing

CERTIFICATE = "certificate"  # the purpose under which certificates are sealed
_UNDELIVERABLE = ("email", "phone")  # personal names: a promise goes by system keys


class Certifying:
    """The performer of `certify` steps."""

    def __init__(
        self,
        ledger: Ledger,
        keys: KeyRing,
        store: Store,
        organisation: Organisation,
        look_again_after: timedelta,
    ) -> None:
        self._ledger = ledger
        self._keys = keys
        self._store = store
        self._organisation = organisation
        self._look_again_after = look_again_after

    def __call__(self, batch: Batch) -> Sequence[StepResult]:
        """A certificate and its promises for each case of the batch."""
        rows: dict[int, list[Accounted]] = defaultdict(list)
        for row in answers.receipts(self._ledger, [m.job.id for m in batch.members]):
            rows[row.job_id].append(row)
        return [self._certify(batch, m, rows[m.job.id]) for m in batch.members]

    def _certify(self, batch: Batch, member: Member, rows: Sequence[Accounted]) -> StepResult:
        erases = DONE_BY[member.job.kind] is ERASING
        look_again_on = (batch.ctx.now + self._look_again_after).date()
        later = {
            name: _after_today(
                batch,
                member,
                kept_for_now(batch.frozen.systems.get(name), of_system, look_again_on),
            )
            for name, of_system in (by_system(rows).items() if erases else ())
        }
        promises = self._promises(batch, member, rows, later) if erases else []
        destroys = self._earlier(member.job.id) if erases else 0
        certificate = composed(batch, member, rows, later, self._organisation)
        certificate = replace(certificate, packages_destroyed=destroys)
        content = build_certificate(certificate, self._keys)
        name = new_name("certificates", batch.ctx.now.date())
        with self._store.write(name) as blob:
            blob.write(self._keys.seal_alone(content, CERTIFICATE))
        answer = Answer(member.job.id, name, CERTIFICATE, len(content), _sha256(content), None)
        suppressed = [
            self._keys.index_digest(i.kind, i.value)
            for i in member.subject.identities
            if i.kind == "email" and erases
        ]
        counts: dict[str, int] = defaultdict(int)
        for row in rows:
            counts[row.outcome] += row.row_count
        events = [
            Event(
                "certificate_made",
                {
                    "file_sha256": answer.sha256,
                    "counts": dict(counts),
                    "response": certificate.response,
                },
            ),
            *(
                Event(
                    "deferred_promised",
                    {
                        "system": p.system,
                        "rows": p.row_count,
                        "due_on": p.due_on,
                        "ground": next(filter(is_remainder, p.grounds), None),
                    },
                )
                for p in promises
            ),
        ]
        keep = partial(self._keep, answer, promises, suppressed, member.job.id)
        return member.done(
            events=events, also=keep if erases else partial(self._keep_alone, answer, member)
        )

    # ---- what is kept for now

    def _promises(
        self,
        batch: Batch,
        member: Member,
        rows: Sequence[Accounted],
        later: Mapping[str, Sequence[Later]],
    ) -> list[Promise]:
        by_day: dict[tuple[str, date | None], list[Accounted]] = defaultdict(list)
        last: dict[tuple[str, date | None], date | None] = {}
        for system, parts in later.items():
            for row, days in parts:
                place = (system, days.due_on)
                by_day[place].append(row)
                last[place] = max(filter(None, (last.get(place), days.last_due_on)), default=None)
        for system, of_system in by_system(rows).items():
            decisions = batch.frozen.decisions.get(system)
            if decisions is not None and (look_at := without_day(decisions, of_system)):
                tomorrow = _tomorrow(batch)
                by_day[system, tomorrow] += look_at  # its job asks a human
                last.setdefault((system, tomorrow), tomorrow)
        promised = [row for kept in by_day.values() for row in kept]
        named = {
            system: self._rows(batch, member, system, rows, promised)
            for system in {system for system, _ in by_day}
        }
        return [
            self._promise(member, system, Days(due_on, last[system, due_on]), kept, named[system])
            for (system, due_on), kept in sorted(by_day.items(), key=str)
        ]

    def _rows(
        self,
        batch: Batch,
        member: Member,
        system: str,
        rows: Sequence[Accounted],
        promised: Sequence[Accounted],
    ) -> frozenset[RowName]:
        """The rows that stay where all that stays is promised; elsewhere some are another's."""
        others = {
            row.collection
            for row in rows
            if row.system == system and row.ground and row not in promised
        }
        keys = kept_keys(batch, member, system, self._store, self._keys)
        return frozenset((k.collection, k.key) for k in keys if k.collection not in others)

    def _promise(
        self,
        member: Member,
        system: str,
        days: Days,
        rows: Sequence[Accounted],
        named: frozenset[RowName],
    ) -> Promise:
        grounds = sorted({row.ground for row in rows})
        refused = any(map(is_remainder, grounds))  # nothing was masked: its rows say what they said
        kinds = () if refused else _UNDELIVERABLE
        names = [i for i in member.subject.identities if i.kind not in kinds]
        names = names or list(member.subject.identities)
        within = {row.collection for row in rows}
        promised = Promised(tuple(names), frozenset(r for r in named if r[0] in within))
        own_key, wrapped = self._keys.new_case_key()
        return Promise(
            job_id=member.job.id,
            system=system,
            due_on=days.due_on,
            last_due_on=days.last_due_on,
            grounds=grounds,
            row_count=sum(row.row_count for row in rows),
            data_key=wrapped,
            sealed=promised.sealed(own_key),
            digests=[self._keys.index_digest(i.kind, i.value) for i in member.subject.identities],
            awaited_by=_awaiting(member) if refused else [],
        )

    def _earlier(self, job_id: int) -> int:
        """How many packages the finish of this step destroys."""
        with self._ledger.transaction() as cursor:
            return len(answers.earlier(cursor, job_id))

    def _keep_alone(self, answer: Answer, member: Member, cursor: Cursor) -> None:
        answers.keep(cursor, [answer])
        if member.job.kind == LIFTING:
            protecting.lifted(cursor, member.job)

    def _keep(
        self,
        answer: Answer,
        promises: Sequence[Promise],
        suppressed: Sequence[bytes],
        job_id: int,
        cursor: Cursor,
    ) -> None:
        answers.keep(cursor, [answer])
        _destroy_earlier(cursor, job_id)
        for made in promises:
            keep_promise(cursor, self._keys, made)
        answers.suppress(cursor, job_id, suppressed)


def _after_today(batch: Batch, member: Member, parts: Sequence[Later]) -> list[Later]:
    """What a promise that has come due keeps once more goes on a later day, whatever keeps it."""
    if member.job.kind != DEFERRED:
        return list(parts)
    tomorrow = _tomorrow(batch)

    def not_before(day: date | None) -> date | None:
        return None if day is None else max(day, tomorrow)

    return [Later(row, Days(*map(not_before, days))) for row, days in parts]


def _awaiting(member: Member) -> list[int]:
    """The cases that are not closed while a store refuses what they ask for."""
    if member.job.kind == DEFERRED:
        return list(member.job.facts.get(AWAITED_BY, ()))
    return [member.job.id]


def _tomorrow(batch: Batch) -> date:
    return batch.ctx.now.date() + timedelta(days=1)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _destroy_earlier(cursor: Cursor, job_id: int) -> None:
    """Destroy the person's earlier packages; each case that had one says so."""
    locked = jobs.lock(cursor, answers.earlier(cursor, job_id))
    event = Event("package_destroyed", {"reason": "erasure", "case": job_id})
    destroyed = answers.destroy(cursor, list(locked))
    jobs.change(cursor, [Move(locked[found], events=(event,)) for found in destroyed])
