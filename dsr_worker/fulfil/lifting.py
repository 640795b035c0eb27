"""Ends a restriction, after the person was told that it ends (Art. 18(3) GDPR).

In: a restriction case whose answer was handed over, the day on which the person was informed, an
approver's signature. Out: a job of its own, which frees by the very map that the restriction was
carried out by, looks again, and is certified. It carries the case's identities and the keys of what
was restricted, under the case's key: a moved row is found by no name.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from dsr_worker.domain.request import State
from dsr_worker.domain.rights import LIFTING_FACT, LIFTS
from dsr_worker.fulfil.composing import INFORMED_ON, LEFT
from dsr_worker.fulfil.decided import Decided, DecisionRefused
from dsr_worker.fulfil.locating import KEPT_BEFORE, RESTRICTED_KEYS
from dsr_worker.fulfil.promises import house_clock
from dsr_worker.fulfil.protecting import LIFTED_AT
from dsr_worker.fulfil.verbs import LIFTING, RESTRICTION
from dsr_worker.ledger import Ledger, intake, jobs, liftings
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.intake import NewJob
from dsr_worker.ledger.rows import DESK, Event, Job, Move, NewStep
from dsr_worker.people import ActorRefused, SignedAction, accept, digest_of

LIFT = "lift"
_HANDED_OVER = (State.DELIVERED, State.CLOSED)


def lift_digest(ref: str, informed_on: date) -> str:
    """The SHA-256 (hex) of what is decided: to be signed."""
    return digest_of(LIFT, ref, informed_on=informed_on.isoformat())


class Liftings:
    """Starts the jobs that end restrictions."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def lift(self, ref: str, informed_on: date, signed: SignedAction) -> Decided:
        """Begin to end the restriction of a case; what the new job is called and where it stands.

        Raises:
            DecisionRefused: no such restriction, its answer not made or not handed over yet, lifted
                already, shredded, or the person is yet to be told.
            ActorRefused: the signature does not cover this, or is the submitter's own.

        """
        with self._ledger.transaction() as cursor:
            case = jobs.lock_ref(cursor, ref)
            if case is None or case.kind != RESTRICTION:
                message = f"{ref} is no restriction; `dsr hold list` names those that stand"
                raise DecisionRefused(message)
            accept(cursor, signed, LIFT, ref, lift_digest(ref, informed_on))
            if case.submitted_by == signed.actor:
                message = "whoever submitted a restriction cannot lift it: ask a second person"
                raise ActorRefused(message)
            _require_standing(case, informed_on)
            job = self._insert(cursor, case, informed_on)
            began = Event(
                "lift_ordered",
                {"case": job.id, "informed_on": informed_on, "signature": signed.signature_hex},
                signed.actor,
            )
            move = Move(case, facts={LIFTING_FACT: job.ref}, events=(began,))
            ring = jobs.change(cursor, [move, _first_move(job, case, began, signed.actor)])
        return Decided(job.ref, State.WORKING.value, tuple(ring))

    def _insert(self, cursor: Cursor, case: Job, informed_on: date) -> Job:
        clock = house_clock(case.now)
        facts: Mapping[str, Any] = {
            LIFTS: case.ref,
            INFORMED_ON: informed_on.isoformat(),
            RESTRICTED_KEYS: liftings.restricted_keys(cursor, case.id),
            KEPT_BEFORE: liftings.kept_before(cursor, case.id),
            "channel": "house",
            "language": case.facts.get("language"),
        }
        inserted = intake.insert(
            cursor,
            NewJob(
                prefix="L",
                kind=LIFTING,
                state=State.WORKING.value,
                phase="ordered",
                frozen=case.frozen,
                urgency_at=clock.conservative_due_at or case.now,
                data_key=bytes(case.data_key or b""),
                submitted_by=case.submitted_by,
                law=case.law,
                country=case.country,
                received_at=case.now,
                zone=case.zone,
                facts=facts,
            ),
        )
        intake.start_clocks(cursor, inserted.id, [clock])
        liftings.copy_identities(cursor, case.id, inserted.id)
        return jobs.lock(cursor, [inserted.id])[inserted.id]


def _require_standing(case: Job, informed_on: date) -> None:
    if case.state == State.READY:
        message = (
            f"the answer of {case.ref} is not handed over: it says that data are restricted, which"
            f" after the lifting would be untrue. `dsr certificate {case.ref} --to FILE`, then lift"
        )
        raise DecisionRefused(message)
    if case.state not in _HANDED_OVER:
        message = f"{case.ref} is {case.state}: a restriction is lifted once it is answered"
        raise DecisionRefused(message)
    if LIFTED_AT in case.facts or LIFTING_FACT in case.facts:
        message = f"{case.ref} is being lifted or was: see `dsr status {case.facts[LIFTING_FACT]}`"
        raise DecisionRefused(message)
    if case.data_key is None:
        message = (
            f"the identities of {case.ref} are shredded, so nobody is known any more whose data to"
            " free: submit a new restriction for the person, then lift that"
        )
        raise DecisionRefused(message)
    if informed_on > case.now.astimezone(ZoneInfo(case.zone or "UTC")).date():
        message = (
            "the person is told before a restriction is lifted (Art. 18(3) GDPR): tell them, then"
            " lift with the day on which you did"
        )
        raise DecisionRefused(message)


def _first_move(job: Job, case: Job, event: Event, actor: str) -> Move:
    plan = case.plan or {}
    kept = ("identities", "systems", "not_applicable", "contested", "versions", "decided_at")
    left = case.facts.get(LEFT, {})
    systems = [name for name in plan["systems"] if name not in left or left[name]["changed"]]
    number = job.round + 1
    first = [NewStep("locate", name, round=number) for name in systems]
    alone = NewStep("certify", DESK, effect="idempotent", round=number)  # nobody can be asked
    return Move(
        job,
        state=State.WORKING if systems else State.CERTIFYING,
        phase="locate" if systems else "certify",
        round=number,
        plan={
            **{name: plan[name] for name in kept},
            "systems": systems,
            "outcomes": [],
            "cutoffs": {},
        },
        approved_by=actor,
        steps=tuple(first or [alone]),
        events=(event,),
    )
