"""Takes a request in: the case, its clocks and its first events are one transaction.

In: what the requester and the operator state. Out: a case reference and due dates, or a refusal
that loses nothing. Identities are sealed before they are stored; a reused idempotency key gives the
same case again, or a refusal where it says something else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from dsr_worker.contract import Contacts, Identity
from dsr_worker.domain.decision import canonical_json
from dsr_worker.domain.request import CARRIED_OUT, Kind, State
from dsr_worker.engine.corrections import OfSystem
from dsr_worker.engine.corrections import sealed as sealed_corrections
from dsr_worker.engine.identities import seal_identity
from dsr_worker.engine.materials import Materials
from dsr_worker.fulfil import correcting
from dsr_worker.fulfil.correcting import Stated
from dsr_worker.fulfil.course import CaseCourse
from dsr_worker.fulfil.laws import SUGGESTED, beside, clocks_by, new_clock, started
from dsr_worker.fulfil.plans import CORRECTED, CORRECTIONS_DIGEST
from dsr_worker.ledger import Ledger, intake, jobs
from dsr_worker.ledger import frozen as texts
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.intake import NewJob
from dsr_worker.ledger.rows import Event, Job, Move, NewStep
from dsr_worker.organisation import Organisation
from dsr_worker.people import SignedAction, accept
from dsr_worker.statutes import Choice, ClockSpec, chosen, hinted
from dsr_worker.vault import KeyRing

CODE = "code"
SUBMIT = "submit"
_FUTURE_S = 300


class RequestRefused(ValueError):  # noqa: N818 - reads as what happened
    """The request cannot be taken in as it is; the text says what to change."""


class NotReceivedYet(RequestRefused):
    """The request came at an instant that is still to come: a slip of the keyboard."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as stated. `verification` is `code`, or `attested:METHOD` by the submitter."""

    kind: Kind
    identities: tuple[Identity, ...]
    received_at: datetime
    channel: str
    law: str | None = None
    country: str | None = None
    also: tuple[str, ...] = ()
    """Further countries in which the person may live: their laws' clocks run beside."""
    zone: str | None = None
    language: str | None = None
    verification: str = CODE
    idempotency_key: str | None = None
    corrections: tuple[Stated, ...] = ()

    def digest(self) -> str:
        """The SHA-256 (hex) of what is asked and when it came in, for the submitter to sign."""
        at = self.received_at.astimezone(UTC).isoformat()
        return _sha256({**self._asked(), "received_at": at})

    def asked_digest(self) -> str:
        """The SHA-256 (hex) of what is asked: the same when it is sent again a little later."""
        return _sha256(self._asked())

    def _asked(self) -> dict[str, object]:
        return {
            "kind": self.kind,
            "identities": sorted([i.kind, i.value] for i in self.identities),
            "channel": self.channel,
            "law": self.law,
            "country": self.country,
            "verification": self.verification,
            **({"also": sorted(self.also)} if self.also else {}),
            **({"corrections": correcting.digest(self.corrections)} if self.corrections else {}),
        }


@dataclass(frozen=True, slots=True)
class Accepted:
    """A case taken in, or found again by its idempotency key."""

    ref: str
    clocks: tuple[ClockSpec, ...]
    repeated: bool
    ring: tuple[str, ...] = ()


class Intake:
    """Takes requests in."""

    def __init__(
        self,
        ledger: Ledger,
        keys: KeyRing,
        materials: Materials,
        organisation: Organisation,
        course: CaseCourse,
    ) -> None:
        self._ledger = ledger
        self._keys = keys
        self._materials = materials
        self._organisation = organisation
        self._course = course

    def submit(self, request: Request, signed: SignedAction) -> Accepted:
        """Take one request in.

        Raises RequestRefused, CorrectionRefused, UnknownNameError (a place that the data map does
        not have), ActorRefused, LedgerUnreachable.
        """
        self._refuse_unfit(request)
        laws = self._laws(request)
        clocks = [clock for law in laws for clock in law.clocks]
        corrections = self._corrections(request)
        with self._ledger.transaction() as cursor:
            accept(cursor, signed, SUBMIT, "new", request.digest())
            earlier = self._earlier(cursor, request)
            if earlier is not None:
                first = replace(request, received_at=earlier.received_at)
                clocks = [clock for law in self._laws(first) for clock in law.clocks]
                return Accepted(str(earlier.ref), tuple(clocks), repeated=True)
            job = self._insert(cursor, request, laws, signed, corrections)
            ring = jobs.change(cursor, [self._first_move(cursor, request, clocks, signed, job)])
        return Accepted(job.ref, tuple(clocks), repeated=False, ring=tuple(ring))

    def _refuse_unfit(self, request: Request) -> None:
        if request.kind not in CARRIED_OUT:
            kinds = ", ".join(sorted(CARRIED_OUT))
            message = f"{request.kind} is not carried out yet; these are: {kinds}"
            raise RequestRefused(message)
        if not request.identities:
            message = "a request names at least one identity, such as --email"
            raise RequestRefused(message)
        if request.received_at.tzinfo is None:
            message = "received needs a zone or offset, such as 2026-11-21T10:00+01:00"
            raise RequestRefused(message)
        if (request.received_at - datetime.now(UTC)).total_seconds() > _FUTURE_S:
            with self._ledger.transaction() as cursor:
                cursor.execute("SELECT business_now() AS now")
                if request.received_at > cursor.fetchone().now:
                    message = "received lies in the future: check date and offset"
                    raise NotReceivedYet(message)

    def _corrections(self, request: Request) -> Mapping[str, OfSystem]:
        if (request.kind is Kind.RECTIFICATION) != bool(request.corrections):
            message = (
                "a rectification says what is to be put right: give corrections"
                if request.kind is Kind.RECTIFICATION
                else f"corrections belong to a rectification, this is of kind {request.kind}"
            )
            raise RequestRefused(message)
        return correcting.by_place(request.corrections, self._materials.maps.by_name)

    def _laws(self, request: Request) -> list[Choice]:
        """The laws that the person may stand under, with their clocks, the strictest first."""
        zone = self._organisation.establishment.zone
        clocks = clocks_by(request.kind.value, request.received_at, request.zone, zone)
        places = [(request.country, request.law), *((country, None) for country in request.also)]
        try:
            return chosen(places, clocks)
        except (LookupError, ValueError) as error:
            raise RequestRefused(str(error)) from None

    def _earlier(self, cursor: Cursor, request: Request) -> Any:
        if request.idempotency_key is None:
            return None
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (request.idempotency_key,))
        found = intake.by_idempotency_key(cursor, request.idempotency_key)
        if found is None:
            return None
        asked = self._keys.index_digests("request", request.asked_digest())
        if bytes(found.request_digest) not in asked:
            message = (
                f"this idempotency key stands for another request, {found.ref}: "
                "use a fresh key for a new request"
            )
            raise RequestRefused(message)
        return found

    def _request_digest(self, request: Request) -> bytes:
        return self._keys.index_digest("request", request.asked_digest())

    def _insert(
        self,
        cursor: Cursor,
        request: Request,
        laws: Sequence[Choice],
        signed: SignedAction,
        corrections: Mapping[str, OfSystem],
    ) -> Job:
        pack, clocks = laws[0].pack, laws[0].clocks
        key, wrapped = self._keys.new_case_key()
        frozen = self._materials.freeze(pack.name, datetime.now(UTC))
        job = intake.insert(
            cursor,
            NewJob(
                prefix="C",
                kind=request.kind.value,
                state=State.RECEIVED.value,
                phase="received",
                frozen=frozen,
                urgency_at=min(c.due.conservative_due_at for law in laws for c in law.clocks),
                data_key=wrapped,
                submitted_by=signed.actor,
                idempotency_key=request.idempotency_key,
                request_digest=self._request_digest(request),
                law=pack.name,
                country=clocks[0].country,
                channel=request.channel,
                received_at=request.received_at,
                zone=clocks[0].due.zone,
                facts={
                    "channel": request.channel,
                    "language": request.language,
                    **sealed_corrections(key, corrections),
                    **self._corrected(request),
                    **_suggested(request),
                },
            ),
        )
        standing = "claimed" if request.verification == CODE else "verified"
        sealed = [seal_identity(self._keys, key, i, standing) for i in request.identities]
        further = [beside(c, request.received_at) for law in laws[1:] for c in law.clocks]
        if further:
            texts.keep_texts(cursor, {clock.facts["law_hash"]: text for text, clock in further})
        own = [new_clock(c, request.received_at) for c in clocks]
        intake.furnish(cursor, job.id, sealed, [*own, *(clock for _, clock in further)])
        return job

    def _corrected(self, request: Request) -> dict[str, Any]:
        """Which fields are to be put right, and a keyed digest of what they are to say."""
        if not request.corrections:
            return {}
        text = correcting.as_text(request.corrections)
        return {
            CORRECTED: correcting.places(request.corrections),
            CORRECTIONS_DIGEST: self._keys.index_digest("corrections", text).hex(),
        }

    def _first_move(
        self,
        cursor: Cursor,
        request: Request,
        clocks: Sequence[ClockSpec],
        signed: SignedAction,
        job: Job,
    ) -> Move:
        digests = [self._keys.index_digest(i.kind, i.value).hex() for i in request.identities]
        events = [
            Event(
                "submitted",
                {
                    "request_kind": request.kind.value,
                    "regime": job.law,
                    "country": job.country,
                    "channel": request.channel,
                    "received_at": request.received_at,
                    "identities": digests,
                    "signature": signed.signature_hex,
                },
                signed.actor,
            ),
            *(started(c, request.received_at) for c in clocks),
        ]
        if request.verification == CODE:
            return self.send_code(job, events)
        method = request.verification.removeprefix("attested:")
        events.append(verified_event(method, digests, signed))
        return self._course.resolving(
            cursor,
            job,
            {i.kind for i in request.identities},
            events,
            verified_at=job.now,
            verified_how=method,
        )

    def send_code(self, job: Job, events: Sequence[Event]) -> Move:
        """The move by which the systems with contacts on file are asked, and a code is sent."""
        frozen = self._materials.frozen(job.frozen)
        number = job.round + 1
        systems = [
            name
            for name, system in sorted(frozen.systems.items())
            if self._materials.can(frozen, name, Contacts)
            and any(c.contact for c in system.collections.values())
        ]
        steps = tuple(NewStep("contact", name, round=number) for name in systems)
        return Move(
            job,
            state=State.VERIFYING.value,
            phase="contact" if steps else "await_code",
            round=number,
            steps=steps,
            events=tuple(events),
        )


def verified_event(method: str, digests: Sequence[str], signed: SignedAction) -> Event:
    """The event by which a person counts as verified."""
    return Event(
        "identity_verified",
        {"method": method, "identities": list(digests), "signature": signed.signature_hex},
        signed.actor,
    )


def _suggested(request: Request) -> dict[str, list[str]]:
    """Countries that the person's phone numbers hint at, for somebody to look at."""
    phones = [i.value for i in request.identities if i.kind == "phone"]
    countries = sorted({code for phone in phones if (code := hinted(phone))})
    return {SUGGESTED: countries} if countries else {}


def _sha256(stated: dict[str, object]) -> str:
    return hashlib.sha256(canonical_json(stated).encode()).hexdigest()
