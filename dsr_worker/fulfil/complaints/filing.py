"""Takes a complaint in: job, clocks, note, first events and the hold of a dispute at once.

In: what the person complains about, as a code, and who they are. Out: a reference and due dates, or
a refusal that loses nothing. One transaction: there is no moment in which a dispute is accepted and
its hold does not stand. A reused idempotency key gives the same complaint, and no second hold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from dsr_worker.contract import Identity
from dsr_worker.domain.complaint import KIND, State, Topic, strictest
from dsr_worker.domain.decision import canonical_json
from dsr_worker.engine.identities import seal_identity
from dsr_worker.engine.materials import Materials
from dsr_worker.engine.standing import TakenOut
from dsr_worker.fulfil.complaints import notes, timetable
from dsr_worker.fulfil.complaints.disputes import HOLD, Disputes
from dsr_worker.fulfil.complaints.timetable import DueClock
from dsr_worker.fulfil.intake import NotReceivedYet, RequestRefused, verified_event
from dsr_worker.ledger import Ledger, intake, jobs, reports
from dsr_worker.ledger import frozen as texts
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.intake import NewJob
from dsr_worker.ledger.rows import Event, Job, Move
from dsr_worker.organisation import Organisation
from dsr_worker.people import SignedAction, accept
from dsr_worker.statutes import canonical_country
from dsr_worker.vault import CaseKey, KeyRing

SUBMIT = "submit"
PREFIX = "K"
_FUTURE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Filing:
    """A complaint as stated. `text` is sealed; `about` is the reference of an earlier case."""

    topic: Topic
    identities: tuple[Identity, ...]
    received_at: datetime
    channel: str
    dispute: bool = False
    about: str | None = None
    text: str | None = None
    law: str | None = None
    country: str | None = None
    also: tuple[str, ...] = ()
    zone: str | None = None
    language: str | None = None
    attested: str | None = None
    idempotency_key: str | None = None

    def digest(self) -> str:
        """The SHA-256 (hex) of what is stated and when it came, for the submitter to sign."""
        at = self.received_at.astimezone(UTC).isoformat()
        return _sha256({**self._stated(), "received_at": at})

    def asked_digest(self) -> str:
        """The SHA-256 (hex) of what is stated: the same when it is sent again a little later."""
        return _sha256(self._stated())

    def _stated(self) -> dict[str, object]:
        text = None if self.text is None else hashlib.sha256(self.text.encode()).hexdigest()
        return {
            "kind": KIND,
            "topic": self.topic,
            "identities": sorted([i.kind, i.value] for i in self.identities),
            "channel": self.channel,
            "dispute": self.dispute,
            "about": self.about,
            "text": text,
            "law": self.law,
            "country": self.country,
            "also": sorted(self.also),
            "attested": self.attested,
        }


@dataclass(frozen=True, slots=True)
class Filed:
    """A complaint taken in, or found again by its idempotency key; its clocks, soonest first.

    `hold` is the dispute's. Stores in `rules.failed` could not be reached: rules of their own may
    still let held rows go there, and are tried every minute. In `unseen` sweeps know nobody by the
    names given.
    """

    ref: str
    clocks: tuple[DueClock, ...]
    repeated: bool
    hold: str | None = None
    rules: TakenOut | None = None
    unseen: tuple[str, ...] = ()


class Filings:
    """Takes complaints in."""

    def __init__(
        self,
        ledger: Ledger,
        keys: KeyRing,
        materials: Materials,
        organisation: Organisation,
        disputes: Disputes,
    ) -> None:
        self._ledger = ledger
        self._keys = keys
        self._materials = materials
        self._organisation = organisation
        self._disputes = disputes

    def submit(self, filing: Filing, signed: SignedAction) -> Filed:
        """Take one complaint in, signed over `filing.digest()`.

        Raises:
            RequestRefused: it names nobody, no law, or a case that there is not.
            NotReceivedYet: it came at an instant that is still to come.
            ActorRefused: the signature is not good.

        """
        if not filing.identities:
            raise RequestRefused("a complaint names at least one identity, such as --email")
        if filing.received_at.tzinfo is None:
            raise RequestRefused("received needs a zone or offset, such as 2026-11-21T10:00+01:00")
        clocks = self.clocks_of(filing)
        with self._ledger.transaction() as cursor:
            accept(cursor, signed, SUBMIT, "new", filing.digest())
            earlier = self._earlier(cursor, filing)
            if earlier is not None:
                first = replace(filing, received_at=earlier.received_at or filing.received_at)
                told = tuple(self.clocks_of(first))
                return Filed(earlier.ref, told, repeated=True, hold=earlier.facts.get(HOLD))
            return self._file(cursor, filing, clocks, signed)

    def clocks_of(self, filing: Filing) -> list[DueClock]:
        """The clocks that a complaint starts, soonest first. Raises RequestRefused."""
        own = self._organisation
        places = [(filing.country, filing.law), *((one, None) for one in filing.also)]
        at = filing.received_at
        try:
            laws = timetable.law_clocks(own, filing.topic, places, at, filing.zone)
            country = canonical_country(filing.country or own.establishment.country)
            found = [*timetable.house_clocks(own, at, country), *laws]
        except (LookupError, ValueError, OverflowError) as error:
            raise RequestRefused(str(error)) from None
        return sorted(found, key=lambda one: (one.due.conservative_due_at, one.clock.name))

    def _earlier(self, cursor: Cursor, filing: Filing) -> Job | None:
        if filing.idempotency_key is None:
            return None
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (filing.idempotency_key,))
        found = intake.by_idempotency_key(cursor, filing.idempotency_key)
        if found is None:
            return None
        if bytes(found.request_digest) not in self._keys.index_digests(
            "request", filing.asked_digest()
        ):
            message = (
                f"this idempotency key stands for another request, {found.ref}: "
                "use a fresh key for a new complaint"
            )
            raise RequestRefused(message)
        return jobs.lock(cursor, [found.id])[found.id]

    def _file(
        self, cursor: Cursor, filing: Filing, clocks: Sequence[DueClock], signed: SignedAction
    ) -> Filed:
        cursor.execute("SELECT business_now() AS now")
        now: datetime = cursor.fetchone().now
        if filing.received_at > now + _FUTURE:
            raise NotReceivedYet("received lies in the future: check date and offset")
        _refuse_unknown(cursor, filing.about)
        # The pack's text is kept in a transaction of its own, so before anything is locked here.
        law = timetable.law_of(filing.country, filing.law).name
        frozen = self._materials.freeze(law, now)
        if filing.dispute:
            self._disputes.exclude_effects(cursor, filing.identities)
        job, key = self._insert(cursor, filing, clocks, signed, law=law, frozen=frozen)
        events = [self._submitted(filing, job, signed), *map(_started, clocks)]
        if filing.attested is not None:
            events.append(verified_event(filing.attested, self._digests(filing), signed))
        if filing.text is not None:
            note = notes.keep(cursor, job.id, key, filing.text)
            events.append(Event("note_added", {**note, "reason": "complaint"}, signed.actor))
        hold, rules, unseen = None, None, tuple[str, ...]()
        if filing.dispute:
            review_on = timetable.review_on(self._organisation, now)
            placed, event, rules = self._disputes.hold(
                cursor, job.ref, filing.identities, review_on, signed.actor
            )
            hold, events = placed.ref, [*events, event]
            unseen = self._disputes.unseen(filing.identities)
        jobs.change(cursor, [_first_move(job, filing, hold, events)])
        return Filed(job.ref, tuple(clocks), repeated=False, hold=hold, rules=rules, unseen=unseen)

    def _insert(
        self,
        cursor: Cursor,
        filing: Filing,
        clocks: Sequence[DueClock],
        signed: SignedAction,
        *,
        law: str,
        frozen: int,
    ) -> tuple[Job, CaseKey]:
        key, wrapped = self._keys.new_case_key()
        job = intake.insert(
            cursor,
            NewJob(
                prefix=PREFIX,
                kind=KIND,
                state=State.RECEIVED.value,
                phase=State.RECEIVED.value,
                frozen=frozen,
                urgency_at=strictest(one.due for one in clocks).conservative_due_at,
                data_key=wrapped,
                submitted_by=signed.actor,
                idempotency_key=filing.idempotency_key,
                request_digest=self._keys.index_digest("request", filing.asked_digest()),
                law=law,
                country=None if filing.country is None else canonical_country(filing.country),
                channel=filing.channel,
                received_at=filing.received_at,
                zone=self._organisation.establishment.zone,
                facts={
                    "topic": filing.topic.value,
                    "dispute": filing.dispute,
                    "about": filing.about and filing.about.upper(),
                    "language": filing.language,
                },
            ),
        )
        standing = "verified" if filing.attested else "claimed"
        sealed = [seal_identity(self._keys, key, i, standing) for i in filing.identities]
        laws = {one.clock.facts["law_hash"]: one.text for one in clocks if one.text}
        if laws:
            texts.keep_texts(cursor, laws)
        intake.furnish(cursor, job.id, sealed, [one.clock for one in clocks])
        return job, key

    def _digests(self, filing: Filing) -> list[str]:
        return [self._keys.index_digest(i.kind, i.value).hex() for i in filing.identities]

    def _submitted(self, filing: Filing, job: Job, signed: SignedAction) -> Event:
        body = {
            "request_kind": KIND,
            "topic": filing.topic.value,
            "regime": job.law,
            "country": job.country,
            "channel": filing.channel,
            "received_at": filing.received_at,
            "identities": self._digests(filing),
            "signature": signed.signature_hex,
        }
        return Event("submitted", body, signed.actor)


def _first_move(job: Job, filing: Filing, hold: str | None, events: Sequence[Event]) -> Move:
    facts = {} if hold is None else {HOLD: hold}
    if filing.attested is None:
        return Move(job, events=tuple(events), facts=facts)
    return Move(
        job,
        events=tuple(events),
        facts=facts,
        verified_at=job.now,
        verified_how=filing.attested,
    )


def _refuse_unknown(cursor: Cursor, about: str | None) -> None:
    if about is not None and reports.job(cursor, about.upper()) is None:
        message = "there is no case that --about names; `dsr status CASE` shows one"
        raise RequestRefused(message)


def _started(one: DueClock) -> Event:
    return Event("clock_started", timetable.started_body(one))


def _sha256(stated: dict[str, object]) -> str:
    return hashlib.sha256(canonical_json(stated).encode()).hexdigest()
