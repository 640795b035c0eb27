"""Ends a case that changed rows and cannot be carried out everywhere: with what is left named.

In: a case that stands still, a signed decision. Out: its way to a certificate. Nothing more is
changed; wherever rows were located somebody looks once more, if the system lets them. What was done
is accounted for as ever, and of each system in which it was not done to the end the certificate
says where it stopped, what had been begun there, and what was seen of it last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dsr_worker.domain.request import State
from dsr_worker.fulfil.composing import LEFT
from dsr_worker.fulfil.decided import Decided, DecisionRefused
from dsr_worker.fulfil.planning import Planner
from dsr_worker.fulfil.verbs import REQUESTED
from dsr_worker.ledger import Ledger, cases, jobs, remains
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.rows import DESK, Event, Job, Move, NewStep
from dsr_worker.people import SignedAction, accept

LEAVE = "leave"
RECHECK = "recheck"
_NOT_BEGUN = "not_begun"  # no row was changed there yet when the case was ended
_NOT_APPROVED = "not_approved"  # it would have gone further than was approved
_WHEREVER_IT_STANDS = {
    State.RESOLVING,
    State.PLANNING,
    State.AWAITING_APPROVAL,
    State.WORKING,
    State.NEEDS_HUMAN,
}


class Leavings:
    """Ends cases with remainders."""

    def __init__(self, ledger: Ledger, planner: Planner) -> None:
        self._ledger = ledger
        self._planner = planner

    def leave(self, ref: str, signed: SignedAction) -> Decided:
        """Leave undone what a case that stands still could not do; its certificate will say so.

        Raises:
            DecisionRefused: there is nothing to account for, or something is under work.
            ActorRefused: the signature does not cover this.

        """
        with self._ledger.transaction() as cursor:
            job = jobs.lock_ref(cursor, ref)
            if job is None or job.kind not in REQUESTED:
                message = f"{ref} is no case that changes rows; `dsr status {ref}` says what helps"
                raise DecisionRefused(message)
            accept(cursor, signed, LEAVE, ref)
            self._require_left(cursor, job)
            move = _move(cursor, job, signed)
            cases.cancel_steps(cursor, job.id)
            ring = jobs.change(cursor, [move])
        left = move.facts[LEFT]
        return Decided(ref, State.CERTIFYING.value, tuple(ring), tuple(_told(left)))

    def _require_left(self, cursor: Cursor, job: Job) -> None:
        looked_at = job.state == State.CERTIFYING and job.phase == RECHECK
        if job.state not in _WHEREVER_IT_STANDS and not looked_at:
            message = f"{job.ref} is {job.state}: only what has not come to its certificate is left"
            raise DecisionRefused(message)
        if not cases.took_effect(cursor, job.id):
            message = (
                f"{job.ref} has changed nothing that a certificate could account for: `dsr withdraw"
                f" {job.ref}` or `dsr refuse {job.ref} --ground CODE` ends it"
            )
            raise DecisionRefused(message)
        if not cases.at_a_stand(cursor, job.id, self._planner.served):
            message = (
                f"{job.ref} is under work: wait until all that is left of it has stopped or waits"
            )
            raise DecisionRefused(message)


def _move(cursor: Cursor, job: Job, signed: SignedAction) -> Move:
    systems = (job.plan or {})["systems"]
    halted = {h.system: h for h in remains.halts(cursor, job.id) if h.system in systems}
    left = _left(cursor, job, systems, halted)
    again = set() if job.phase == RECHECK else remains.located(cursor, job.id) & set(systems)
    number = job.round + 1
    steps = [NewStep(RECHECK, name, round=number) for name in sorted(again)]
    certify = NewStep("certify", DESK, effect="idempotent", round=number)
    event = Event(
        "left_undone", {"systems": sorted(left), "signature": signed.signature_hex}, signed.actor
    )
    return Move(
        job._replace(pending=0),
        state=State.CERTIFYING,
        phase=RECHECK if steps else "certify",
        round=number,
        facts={LEFT: left},
        steps=tuple(steps or [certify]),
        events=(event,),
    )


def _left(
    cursor: Cursor, job: Job, systems: Sequence[str], halted: Mapping[str, remains.Halt]
) -> dict[str, dict[str, Any]]:
    """What is told of each system in which the case was not carried out to its end."""
    before: Mapping[str, dict[str, Any]] = job.facts.get(LEFT, {})
    applied, begun = remains.applied(cursor, job.id), remains.begun(cursor, job.id)
    found = {}
    for name in systems:
        halt = halted.get(name)
        is_unseen = halt is not None and halt.action == RECHECK
        if name in before:
            found[name] = {**before[name], "looked": not is_unseen}
            continue
        if halt is not None:
            action, code = halt.action, halt.code
        elif name not in applied:
            action, code = "apply", _NOT_BEGUN
        elif applied[name]:
            action, code = "apply", _NOT_APPROVED
        else:
            continue
        found[name] = {
            "action": action,
            "code": code,
            "begun": begun.get(name, {}),
            "changed": name in begun or name in applied,
            "looked": not is_unseen,
        }
    return found


def _told(left: Mapping[str, Mapping[str, Any]]) -> list[str]:
    if not left:
        return ["What was found again stays; the certificate says how many rows that are."]
    return [f"{name}: left at {part['action']} ({part['code']})" for name, part in left.items()]
