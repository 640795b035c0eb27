"""Takes a breach in: its duties stand on clocks in the declaring transaction.

In: a leak, as stated and signed. Out: a job with urgent steps at the systems named, its duties and
their due instants, before any system is asked; or a refusal that says what to change.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from dsr_worker.breach import duties, prose
from dsr_worker.breach.course import KIND, BreachState
from dsr_worker.breach.leak import Leak, facts_of, faults
from dsr_worker.domain.breach import Duty
from dsr_worker.domain.calendar import to_utc
from dsr_worker.domain.headcount import DutyState
from dsr_worker.engine.materials import Materials
from dsr_worker.ledger import Ledger, intake, jobs, notices
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.intake import NewJob
from dsr_worker.ledger.rows import Event, Job, Move, NewStep
from dsr_worker.organisation import Organisation
from dsr_worker.people import SignedAction, accept
from dsr_worker.statutes import market
from dsr_worker.vault import KeyRing

DECLARE = "declare_breach"
_FUTURE = timedelta(minutes=5)


class BreachRefused(ValueError):  # noqa: N818 - reads as what happened
    """This cannot be done to this breach now; the text says what to do."""


class NotHappenedYet(BreachRefused):
    """An instant that is said to be over is still to come: a slip of the keyboard."""


@dataclass(frozen=True, slots=True)
class Declared:
    """A breach taken in, or found again by its idempotency key; duties soonest alert first."""

    ref: str
    duties: tuple[Duty, ...]
    repeated: bool
    ring: tuple[str, ...] = ()


class Declaring:
    """Takes breaches in."""

    def __init__(
        self, ledger: Ledger, keys: KeyRing, materials: Materials, organisation: Organisation
    ) -> None:
        self._ledger = ledger
        self._keys = keys
        self._materials = materials
        self._organisation = organisation

    def declare(self, leak: Leak, signed: SignedAction) -> Declared:
        """Take a breach in: job, duties on clocks, first events and steps in one transaction.

        Signed over `leak.digest()`. An idempotency key gives the same breach again. Where the leak
        names no markets or main establishment, the organisation's own are meant.

        Raises:
            BreachRefused: it does not fit the data map.
            NotHappenedYet: awareness lies in the future.
            ActorRefused: the signature is not good.

        """
        whole = self._completed(leak)
        signed_over = leak.digest()
        try:
            with self._ledger.transaction() as cursor:
                accept(cursor, signed, DECLARE, "new", signed_over)
                earlier = self._earlier(cursor, leak, signed_over)
                return earlier or self._declare(cursor, whole, signed, signed_over)
        except BreachRefused:
            raise
        except (LookupError, ValueError) as error:
            raise BreachRefused(str(error)) from None

    def _completed(self, leak: Leak) -> Leak:
        own = self._organisation
        found = [*faults(leak, self._materials.maps.by_name), *prose.faults(leak.texts)]
        if leak.aware_at.tzinfo is None:
            found.append("awareness needs a zone or offset, such as 2026-11-21T10:00+01:00")
        if found:
            raise BreachRefused("; ".join(found))
        return replace(
            leak,
            markets=leak.markets or own.markets,
            lead_country=leak.lead_country or own.establishment.country,
        )

    def _earlier(self, cursor: Cursor, leak: Leak, signed_over: str) -> Declared | None:
        if leak.idempotency_key is None:
            return None
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (leak.idempotency_key,))
        found = intake.by_idempotency_key(cursor, leak.idempotency_key)
        if found is None:
            return None
        if bytes(found.request_digest).hex() != signed_over:
            message = f"this idempotency key stands for another declaration, {found.ref}"
            raise BreachRefused(message)
        facts = notices.facts(cursor, found.id)
        standing = duties.set_clocks(cursor, found.id, facts, self._organisation)
        return Declared(found.ref, tuple(standing), repeated=True)

    def _declare(
        self, cursor: Cursor, leak: Leak, signed: SignedAction, signed_over: str
    ) -> Declared:
        cursor.execute("SELECT business_now() AS now")
        now: datetime = cursor.fetchone().now
        if leak.aware_at > now + _FUTURE:
            raise NotHappenedYet("awareness lies in the future: check date and offset")
        key, wrapped = self._keys.new_case_key()
        # Before the laws are kept here: it is a transaction of its own that keeps texts as well.
        frozen = self._materials.freeze(market(leak.markets[0]).pack.name, now)
        facts = facts_of(leak, self._materials.maps.by_name)
        facts["laws"] = duties.keep_laws(cursor, leak.markets)
        inserted = intake.insert(
            cursor,
            NewJob(
                prefix="B",
                kind=KIND,
                state=BreachState.ASSESSING,
                phase="affected",
                frozen=frozen,
                urgency_at=now,
                data_key=wrapped,
                submitted_by=signed.actor,
                urgent=True,
                idempotency_key=leak.idempotency_key,
                request_digest=bytes.fromhex(signed_over),
                received_at=to_utc(leak.aware_at),
                zone=self._organisation.establishment.zone,
                facts=facts,
            ),
        )
        standing = duties.set_clocks(cursor, inserted.id, facts, self._organisation)
        note = prose.keep_prose(cursor, inserted.id, key, leak.texts) if leak.texts else {}
        job = jobs.lock(cursor, [inserted.id])[inserted.id]
        ring = jobs.change(cursor, [_first_move(job, leak, standing, note, signed)])
        return Declared(inserted.ref, tuple(standing), repeated=False, ring=tuple(ring))


def _first_move(
    job: Job, leak: Leak, standing: list[Duty], note: dict[str, Any], signed: SignedAction
) -> Move:
    scopes = [scope for scopes in leak.scopes.values() for scope in scopes]
    declared = Event(
        "breach_declared",
        {
            "systems": sorted(leak.scopes),
            "collections": sorted({scope.collection for scope in scopes}),
            "fields": sorted({field for scope in scopes for field in scope.fields}),
            "since_at": leak.aware_at,
            "countries": list(leak.markets),
            "duties": duties.counts(standing),
            "signature": signed.signature_hex,
            **note,
        },
        signed.actor,
    )
    binding = [duty for duty in standing if duty.state is not DutyState.NOT_DUE]
    return Move(
        job,
        round=1,
        urgency_at=min((duty.house_due_at for duty in binding), default=job.urgency_at),
        facts={"prose": note["note"]} if note else {},
        steps=tuple(NewStep("affected", name, round=1) for name in sorted(leak.scopes)),
        events=(declared, *(_started(duty, leak) for duty in binding)),
    )


def _started(duty: Duty, leak: Leak) -> Event:
    body = {
        "clock": duty.name.lower(),
        "since_at": leak.aware_at,
        "due_at": duty.due_at,
        "ground": duty.rule_id,
    }
    return Event("clock_started", body)
