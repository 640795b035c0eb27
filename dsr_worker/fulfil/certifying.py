"""Performs `certify`: what an erasure did, signed; what is left for later, promised.

In: erased and rechecked cases. Out: a sealed certificate per case; a promise for each day on which
kept rows come free; the suppression of the person's addresses as keyed digests.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import partial
from importlib.metadata import version

from dsr_worker.contract import Outcome
from dsr_worker.domain.resolution import reached
from dsr_worker.engine.batch import Batch, Member
from dsr_worker.evidence import (
    Certificate,
    CollectionResult,
    Deferred,
    Kept,
    MentionsLeft,
    Requery,
    SystemResult,
    build_certificate,
    words,
)
from dsr_worker.fulfil.keeping import Days, Later, kept_for_now, kept_keys, without_day
from dsr_worker.fulfil.promised import Promised, RowName, keep_promise
from dsr_worker.fulfil.texts import language_of
from dsr_worker.ledger import Ledger, answers, jobs
from dsr_worker.ledger.answers import Accounted, Answer, Promise
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.rows import Event, Move, StepResult
from dsr_worker.organisation import Organisation
from dsr_worker.package.grounds import certified
from dsr_worker.store import Store, new_name
from dsr_worker.vault import KeyRing

CERTIFICATE = "certificate"  # the purpose under which certificates are sealed
DEFERRED = "deferred"  # the kind of job that carries a promise out
_UNDELIVERABLE = ("email", "phone")  # personal names: a promise goes by system keys


class Certifying:
    """The performer of `certify` steps."""

    def __init__(
        self, ledger: Ledger, keys: KeyRing, store: Store, organisation: Organisation
    ) -> None:
        self._ledger = ledger
        self._keys = keys
        self._store = store
        self._organisation = organisation

    def __call__(self, batch: Batch) -> Sequence[StepResult]:
        """A certificate and its promises for each case of the batch."""
        rows: dict[int, list[Accounted]] = defaultdict(list)
        for row in answers.receipts(self._ledger, [m.job.id for m in batch.members]):
            rows[row.job_id].append(row)
        return [self._certify(batch, m, rows[m.job.id]) for m in batch.members]

    def _certify(self, batch: Batch, member: Member, rows: Sequence[Accounted]) -> StepResult:
        later = {
            name: _after_today(
                batch, member, kept_for_now(batch.frozen.systems.get(name), of_system)
            )
            for name, of_system in _by_system(rows).items()
        }
        promises = self._promises(batch, member, rows, later)
        certificate = self._certificate(batch, member, rows, later)
        content = build_certificate(certificate, self._keys)
        name = new_name("certificates", batch.ctx.now.date())
        with self._store.write(name) as blob:
            blob.write(self._keys.seal_alone(content, CERTIFICATE))
        answer = Answer(member.job.id, name, CERTIFICATE, len(content), _sha256(content), None)
        suppressed = [
            self._keys.index_digest(i.kind, i.value)
            for i in member.subject.identities
            if i.kind == "email"
        ]
        counts: dict[str, int] = defaultdict(int)
        for row in rows:
            counts[row.outcome] += row.row_count
        events = [
            Event(
                "certificate_made",
                {"file_sha256": answer.sha256, "counts": dict(counts), "response": _nature(rows)},
            ),
            *(
                Event(
                    "deferred_promised",
                    {"system": p.system, "rows": p.row_count, "due_on": p.due_on},
                )
                for p in promises
            ),
        ]
        return member.done(
            events=events,
            also=partial(self._keep, answer, promises, suppressed, member.job.id),
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
        for system, of_system in _by_system(rows).items():
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
        names = [i for i in member.subject.identities if i.kind not in _UNDELIVERABLE]
        names = names or list(member.subject.identities)
        within = {row.collection for row in rows}
        promised = Promised(tuple(names), frozenset(r for r in named if r[0] in within))
        own_key, wrapped = self._keys.new_case_key()
        return Promise(
            job_id=member.job.id,
            system=system,
            due_on=days.due_on,
            last_due_on=days.last_due_on,
            grounds=sorted({row.ground for row in rows}),
            row_count=sum(row.row_count for row in rows),
            data_key=wrapped,
            sealed=promised.sealed(own_key),
            digests=[self._keys.index_digest(i.kind, i.value) for i in member.subject.identities],
        )

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

    # ---- what was done

    def _certificate(
        self,
        batch: Batch,
        member: Member,
        rows: Sequence[Accounted],
        later: Mapping[str, Sequence[Later]],
    ) -> Certificate:
        job = member.job
        plan = job.plan or {}
        systems = plan["systems"]
        used = words(language_of(self._organisation, job.facts.get("language")))
        grounds = sorted({r.ground for r in rows if r.ground})
        of_system = _by_system(rows)
        results = {name: batch.results.get((job.id, "recheck", name), {}) for name in systems}
        return Certificate(
            kind="erasure",
            number=f"{job.ref}-{member.claim.round}",
            case=job.ref,
            promised_by=job.facts.get("promised_by"),
            controller=self._organisation.controller.name,
            regime=job.law or "",
            country=job.country or "",
            request_kind=job.kind,
            received_at=job.received_at,
            manner=str(job.facts.get("channel", "")),
            responded_at=batch.ctx.now,
            response=_nature(rows),
            issued_at=batch.ctx.now,
            systems=tuple(
                self._system(batch, member, name, of_system[name], results[name])
                for name in systems
            ),
            deferred=tuple(
                Deferred(name, row.collection, row.row_count, row.ground, *days)
                for name, parts in sorted(later.items())
                for row, days in parts
            ),
            mentions=_mentions(results),
            packages_destroyed=self._earlier(job.id),
            denial_grounds=tuple(grounds),
            grounds=tuple(
                certified(code, used, job.law, batch.frozen.decisions.values()) for code in grounds
            ),
            not_asked=_not_asked(batch, member),
            contested=tuple(plan.get("contested", ())),
            language=used.language,
            backups=self._organisation.backups_in(used.language),
        )

    def _earlier(self, job_id: int) -> int:
        """How many packages the finish of this step destroys."""
        with self._ledger.transaction() as cursor:
            return len(answers.earlier(cursor, job_id))

    def _system(
        self,
        batch: Batch,
        member: Member,
        name: str,
        rows: Sequence[Accounted],
        recheck: Mapping[str, object],
    ) -> SystemResult:
        frozen = batch.frozen
        looked_in = reached(frozen.systems[name], _kinds(member))
        by_collection: dict[str, list[Accounted]] = {c.name: [] for c in looked_in}
        for row in rows:
            by_collection.setdefault(row.collection, []).append(row)
        return SystemResult(
            system=name,
            connector=frozen.mapped[name].connector,
            connector_version=version("dsr-worker"),
            map_hash=frozen.versions["map"],
            policy_hash=frozen.versions["policy"],
            law_pack=frozen.versions["law"],
            collections=tuple(
                _collection(collection, found)
                for collection, found in sorted(by_collection.items())
            ),
            requery=Requery(
                at=datetime.fromisoformat(str(recheck["at"])),
                path=str(recheck["path"]),
                returned=int(str(recheck["remaining"])),
            ),
        )


def _after_today(batch: Batch, member: Member, parts: Sequence[Later]) -> list[Later]:
    """What a promise that has come due keeps once more goes on a later day, whatever keeps it."""
    if member.job.kind != DEFERRED:
        return list(parts)
    tomorrow = _tomorrow(batch)

    def not_before(day: date | None) -> date | None:
        return None if day is None else max(day, tomorrow)

    return [Later(row, Days(*map(not_before, days))) for row, days in parts]


def _tomorrow(batch: Batch) -> date:
    return batch.ctx.now.date() + timedelta(days=1)


def _by_system(rows: Iterable[Accounted]) -> defaultdict[str, list[Accounted]]:
    found: defaultdict[str, list[Accounted]] = defaultdict(list)
    for row in rows:
        found[row.system].append(row)
    return found


def _kinds(member: Member) -> frozenset[str]:
    return frozenset(i.kind for i in member.subject.identities)


def _not_asked(batch: Batch, member: Member) -> tuple[str, ...]:
    """Systems, and collections of those asked, that know the person by nothing we know."""
    plan, kinds = member.job.plan or {}, _kinds(member)
    if member.job.kind == DEFERRED:  # one system alone was promised; the scope says so
        return ()
    unreached = [
        f"{name}.{collection}"
        for name in plan["systems"]
        for system in [batch.frozen.systems[name]]
        for collection in system.collections.keys() - {c.name for c in reached(system, kinds)}
    ]
    return (*plan["not_applicable"], *sorted(unreached))


def _collection(name: str, rows: Sequence[Accounted]) -> CollectionResult:
    def total(outcome: Outcome, *, grounded: bool | None = None) -> int:
        return sum(
            r.row_count
            for r in rows
            if r.outcome == outcome and (grounded is None or bool(r.ground) is grounded)
        )

    kept = tuple(
        Kept(
            r.row_count,
            r.ground,
            r.until_on,
            r.first_until_on,
            masked=r.outcome == Outcome.MASKED,
        )
        for r in rows
        if r.outcome == Outcome.RETAINED or (r.outcome == Outcome.MASKED and r.ground)
    )
    return CollectionResult(
        collection=name,
        found=sum(r.row_count for r in rows),
        erased=total(Outcome.ERASED),
        masked=total(Outcome.MASKED, grounded=False),
        redacted=total(Outcome.REDACTED),
        restricted=total(Outcome.RESTRICTED),
        already_gone=total(Outcome.ALREADY_GONE),
        pending=total(Outcome.PENDING_REMOTE),
        kept=kept,
    )


def _mentions(results: Mapping[str, Mapping[str, object]]) -> tuple[MentionsLeft, ...]:
    places: dict[tuple[str, str], int] = defaultdict(int)
    for system, found in results.items():
        listed = found.get("mentions")
        for mention in listed if isinstance(listed, list) else ():
            places[system, mention["collection"]] += 1
    return tuple(MentionsLeft(s, c, n) for (s, c), n in sorted(places.items()))


def _nature(rows: Sequence[Accounted]) -> str:
    """The answer as a whole: rows that are kept as they are stand against all others."""
    stays = [r for r in rows if r.outcome == Outcome.RETAINED and r.row_count]
    if not any(r.row_count for r in rows):
        return "nothing_found"
    if len(stays) == sum(r.row_count > 0 for r in rows):
        return "denied"
    return "partly_granted" if any(r.ground for r in rows) else "granted"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _destroy_earlier(cursor: Cursor, job_id: int) -> None:
    """Destroy the person's earlier packages; each case that had one says so."""
    locked = jobs.lock(cursor, answers.earlier(cursor, job_id))
    event = Event("package_destroyed", {"reason": "erasure", "case": job_id})
    destroyed = answers.destroy(cursor, list(locked))
    jobs.change(cursor, [Move(locked[found], events=(event,)) for found in destroyed])
