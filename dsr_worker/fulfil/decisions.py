"""What people decide about a case: verify, approve, choose, retry, refuse, withdraw.

In: a case's reference and a signed action. Out: a move of the case in one transaction, and the
systems to ring for. Each refusal says why and what is possible.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from dsr_worker.domain.request import State
from dsr_worker.engine.identities import IDENTITY
from dsr_worker.fulfil import asking, protecting
from dsr_worker.fulfil.clocks import law_text_of, require_past
from dsr_worker.fulfil.course import CaseCourse
from dsr_worker.fulfil.decided import Decided, DecisionRefused, changed, opened
from dsr_worker.fulfil.intake import Intake, verified_event
from dsr_worker.fulfil.planning import Planner
from dsr_worker.fulfil.remaining import REMAINING
from dsr_worker.fulfil.retrying import Retrying
from dsr_worker.fulfil.verifying import contact_points
from dsr_worker.ledger import Ledger, case_clocks, cases, codes, jobs
from dsr_worker.ledger.cases import ClockRow
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.rows import UNCHANGED, Event, Job, Move
from dsr_worker.organisation import Organisation
from dsr_worker.people import ActorRefused, SignedAction, digest_of
from dsr_worker.statutes import LawPack, UnknownNameError, read_pack
from dsr_worker.vault import CaseKey, KeyRing

__all__ = ["Decided", "DecisionRefused", "Decisions"]

_OPEN_BEFORE_WORK = {
    State.RECEIVED,
    State.VERIFYING,
    State.RESOLVING,
    State.PLANNING,
    State.AWAITING_APPROVAL,
    State.NEEDS_HUMAN,
}


_UNDER_WORK = {State.WORKING, State.PACKAGING}
_UNCHANGED = "Of what was approved nothing was carried out: no system was changed."


class Decisions:
    """Carries out people's decisions on cases."""

    def __init__(
        self,
        ledger: Ledger,
        keys: KeyRing,
        organisation: Organisation,
        intake: Intake,
        course: CaseCourse,
        planner: Planner,
        retrying: Retrying,
    ) -> None:
        self._ledger = ledger
        self._planner = planner
        self._retrying = retrying
        self._keys = keys
        self._organisation = organisation
        self._intake = intake
        self._course = course

    # ---- the person

    def send_code(self, ref: str, signed: SignedAction) -> Decided:
        """Send a (new) code to the contact on file."""
        with self._ledger.transaction() as cursor:
            job = opened(cursor, ref, signed, "send-code")
            _require(job, State.RECEIVED, State.VERIFYING)
            codes.forget(cursor, job.id)
            cases.cancel_steps(cursor, job.id)
            return changed(cursor, self._intake.send_code(job._replace(pending=0), ()))

    def enter_code(self, ref: str, code: str, signed: SignedAction) -> Decided:
        """Judge the code that the person gave. A wrong one is counted, whatever else happens."""
        digests = list(self._keys.index_digests(f"code:{ref}", code.strip()))
        with self._ledger.transaction() as cursor:
            job = opened(cursor, ref, signed, "enter-code")
            _require(job, State.VERIFYING)
            most = self._organisation.verification.code_tries
            verdict = codes.try_code(cursor, job.id, digests, most)
            if verdict == "right":
                return self._verified(cursor, job, "code", signed, self._proven(cursor, job))
            tries = {"reason": verdict, "counts": {"tries_allowed": most}}
            body = {**tries, "signature": signed.signature_hex}
            jobs.add_event(cursor, job, Event("code_refused", body, signed.actor))
        message = {
            "wrong": "the code is wrong; the try was counted",
            "expired": "the code has expired: send a new one",
            "used_up": "too many tries: send a new code, or attest the person's identity",
            "none": "no code was sent: there is no single contact on file, or it was not asked for",
        }[verdict]
        raise DecisionRefused(message)

    def asked(self, ref: str, at: datetime | None, signed: SignedAction) -> Decided:
        """The person was asked who they are, by letter or the like, at `at` (default: now).

        Stops each clock of the case whose law stops it for that, once, and starts the house's own
        time for the answer. Raises DecisionRefused.
        """
        with self._ledger.transaction() as cursor:
            digest = digest_of("asked", ref, at="" if at is None else at.isoformat())
            job = opened(cursor, ref, signed, "asked", digest)
            _require(job, State.RECEIVED, State.VERIFYING)
            require_past(job, at)
            paused = asking.asked(cursor, [job], self._course.answer_within, at)
            body = {"since_at": at or job.now, "signature": signed.signature_hex}
            events = (Event("identity_asked", body, signed.actor), *paused.get(job.id, ()))
            phase = UNCHANGED if job.phase != asking.IDENTITY_UNANSWERED else "await_code"
            return changed(cursor, Move(job, phase=phase, events=events))

    def attest(self, ref: str, method: str, signed: SignedAction) -> Decided:
        """Take an operator's word for who the person is, and how they know."""
        with self._ledger.transaction() as cursor:
            digest = digest_of("attest", ref, method=method)
            job = opened(cursor, ref, signed, "attest", digest)
            _require(job, State.RECEIVED, State.VERIFYING)
            return self._verified(cursor, job, method, signed)

    def _proven(self, cursor: Cursor, job: Job) -> list[bytes]:
        """The claimed identities that led to the address the code was sent to, and no other."""
        key = self._keys.unwrap(bytes(job.data_key or b""))
        leads = contact_points(key, cases.contact_results(cursor, job.id))
        named = {bytes.fromhex(digest) for digests in leads.values() for digest in digests}
        return [
            bytes(row.digest)
            for row in cases.claimed(cursor, job.id)
            if not named.isdisjoint(self._all_digests(key, row))
        ]

    def _all_digests(self, key: CaseKey, row: Any) -> tuple[bytes, ...]:
        """An identity's digests under every version: the code may be older than the newest."""
        value = key.open(bytes(row.sealed), IDENTITY).decode()
        return self._keys.index_digests(row.kind, value)

    def _verified(
        self,
        cursor: Cursor,
        job: Job,
        method: str,
        signed: SignedAction,
        proven: list[bytes] | None = None,
    ) -> Decided:
        claimed = cases.verify_identities(cursor, job.id, proven)
        cases.cancel_steps(cursor, job.id)
        digests = [bytes(i.digest).hex() for i in claimed]
        goes_on = asking.answered(cursor, job)
        move = self._course.resolving(
            cursor,
            job._replace(pending=0),
            {i.kind for i in claimed},
            (verified_event(method, digests, signed), *goes_on.events),
            verified_at=job.now,
            verified_how=method,
            urgency_at=goes_on.urgency_at,
        )
        return changed(cursor, move)

    # ---- the plan

    def approve(self, ref: str, plan_hash: str, signed: SignedAction) -> Decided:
        """Approve the plan of this hash. The submitter of a case never approves it."""
        with self._ledger.transaction() as cursor:
            job = opened(cursor, ref, signed, "approve", plan_hash)
            _require_plan(job, plan_hash)
            if job.submitted_by == signed.actor:
                message = "whoever submitted a case cannot approve it: ask a second person"
                raise ActorRefused(message)
            event = Event(
                "approved",
                {"plan_hash": plan_hash, "signature": signed.signature_hex},
                signed.actor,
            )
            return changed(cursor, self._begin_work(cursor, job, event, signed.actor))

    def check_approval(self, ref: str, plan_hash: str) -> None:
        """Raise DecisionRefused where this plan cannot be approved now, before anybody is asked."""
        with self._ledger.transaction() as cursor:
            job = jobs.lock_ref(cursor, ref)
            if job is not None:
                _require_plan(job, plan_hash)

    def _begin_work(self, cursor: Cursor, job: Job, event: Event, actor: str) -> Move:
        plan = job.plan or {}
        waits_for = cases.unfinished_access(cursor, job.id) if job.kind == "erasure" else []
        if waits_for:
            return Move(
                job,
                state=State.WORKING,
                phase="after_access",
                events=(event,),
                approved_by=actor,
                facts={"waits_for": waits_for},
            )
        return self._planner.approved(job, plan, (event,), frozen=job.frozen, approved_by=actor)

    # ---- what stopped

    def choose(self, ref: str, kind: str, value: str, signed: SignedAction) -> Decided:
        """Settle who is meant where an identity led to several people, by a name theirs alone."""
        with self._ledger.transaction() as cursor:
            digest = digest_of("choose", ref, kind=kind, value=value)
            job = opened(cursor, ref, signed, "choose", digest)
            if not cases.stuck(cursor, job.id, "several_people"):
                message = "this case does not stand before a choice between people"
                raise DecisionRefused(message)
            sealed = self._keys.unwrap(bytes(job.data_key or b"")).seal(value.encode(), IDENTITY)
            name = self._keys.index_digest(kind, value)
            cases.settle_person(cursor, job.id, kind, name, sealed)
            event = verified_event("choice", [name.hex()], signed)
            cases.cancel_steps(cursor, job.id)
            free = job._replace(pending=0)
            move = self._course.resolving(cursor, free, {kind}, (event,), approved_by=None)
            return changed(cursor, move)

    def retry(self, ref: str, signed: SignedAction) -> Decided:
        """Try again what stopped or failed, as `Retrying` says for where the case stands."""
        with self._ledger.transaction() as cursor:
            job = opened(cursor, ref, signed, "retry")
            event = Event("note_added", {"reason": "retried"}, signed.actor)
            move = self._retrying.move(cursor, job, event)
            if move is not None:
                return changed(cursor, move)
            systems = cases.retry(cursor, job.id)
            if not systems:
                message = (
                    f"nothing of this case has stopped: `dsr status {ref}` tells what it waits for"
                )
                raise DecisionRefused(message)
            changed(cursor, Move(job, events=(event,)))
            return Decided(ref, job.state, tuple(systems))

    # ---- the answer's fate

    def refuse(
        self, ref: str, ground: str, signed: SignedAction, further: Sequence[str] = ()
    ) -> Decided:
        """Refuse a request on a ground's code. The refusal still has to be delivered.

        Each law of the case has to know `ground` or one of the `further` grounds: what one law lets
        us refuse, another may not. Approved work may be refused as long as it stopped everywhere
        and changed nothing.

        Raises UnknownNameError for a code on which the case's law refuses no such request, and
        DecisionRefused where another of its laws knows none of them.
        """
        digest = refusal_digest(ref, ground, further)
        return self._end(ref, "refuse", State.REFUSED, ground, signed, digest, further)

    def withdraw(self, ref: str, signed: SignedAction) -> Decided:
        """The person has withdrawn: nothing further happens, and the clocks end.

        Approved work may be withdrawn as long as it stopped everywhere and changed nothing.
        """
        return self._end(ref, "withdraw", State.WITHDRAWN, "withdrawn", signed)

    def _end(
        self,
        ref: str,
        action: str,
        state: State,
        reason: str,
        signed: SignedAction,
        digest: str = "",
        further: Sequence[str] = (),
    ) -> Decided:
        with self._ledger.transaction() as cursor:
            job = opened(cursor, ref, signed, action, digest)
            if state is State.REFUSED:
                _require_grounds(cursor, job, (reason, *further))
                _require_unanswered(job)
            _require(job, *_OPEN_BEFORE_WORK, State.WORKING, State.PACKAGING)
            self._require_unchanged(cursor, job)
            cases.cancel_steps(cursor, job.id)
            body = {"response": action, "reason": reason.lower()}
            grounds = {"grounds": [g.lower() for g in (reason, *further)]} if further else {}
            event = Event("closed", {**body, **grounds}, signed.actor)
            protecting.release(cursor, ref, signed.actor)
            goes_on = asking.answered(cursor, job)
            ended = state is State.WITHDRAWN
            if ended:
                cases.settle_clocks(cursor, job.id, "void")
            move = Move(
                job._replace(pending=0),
                state=state,
                phase=state.value,
                events=(event, *goes_on.events),
                urgency_at=goes_on.urgency_at,
                closed_at=job.now if ended else None,
            )
            decided = changed(cursor, move)
            return replace(decided, details=(_UNCHANGED,)) if job.approved_by else decided

    # ---- shared

    def _require_unchanged(self, cursor: Cursor, job: Job) -> None:
        """Nothing took effect, and approved work stands still: a case may end without an answer."""
        if cases.took_effect(cursor, job.id):
            message = (
                f"{job.ref} has changed rows already, which a certificate has to account for: let"
                " it finish, by `dsr approve` if it awaits that; else mend what stopped it, which"
                f" `dsr status {job.ref}` tells, then `dsr retry {job.ref}`; where nothing helps,"
                f" `dsr leave {job.ref}` certifies what was done and names what was not"
            )
            raise DecisionRefused(message)
        if job.state in _UNDER_WORK and not cases.at_a_stand(cursor, job.id, self._planner.served):
            message = (
                f"{job.ref} is under work: it can be ended before its approval, or where all that"
                " is left of it has stopped or waits, and nothing was changed"
            )
            raise DecisionRefused(message)


def _require_plan(job: Job, plan_hash: str) -> None:
    _require(job, State.AWAITING_APPROVAL)
    if job.plan is None or job.plan_hash != plan_hash:
        message = "the plan has changed: look at it again and approve what it says now"
        raise DecisionRefused(message)


def _require_unanswered(job: Job) -> None:
    if job.facts.get(REMAINING):
        message = (
            f"an answer of {job.ref} has left already; only what it could not show is looked for"
            f" again. Mend what stopped that, which `dsr status {job.ref}` tells, then `dsr retry"
            f" {job.ref}`; where the person no longer wants it, `dsr withdraw {job.ref}`"
        )
        raise DecisionRefused(message)


def _require_grounds(cursor: Cursor, job: Job, grounds: Sequence[str]) -> None:
    """The case's own law knows the first ground, each further law one of them, as on its first day.

    Raises UnknownNameError, DecisionRefused.
    """
    own, *others = case_clocks.laws_of(cursor, job.id)
    pack, known = _refusing(cursor, job, own)
    if grounds[0] not in known:
        what = f"ground on which {pack.name} refuses {job.kind}"
        raise UnknownNameError(what, grounds[0], known)
    for clock in others:
        pack, known = _refusing(cursor, job, clock)
        if not set(known) & set(grounds):
            message = (
                f"{job.ref} stands under {pack.name} too, which refuses no {job.kind} on this"
                f" ground: add --ground with one that it knows ({', '.join(known) or 'none'}), or"
                " carry out what was asked"
            )
            raise DecisionRefused(message)


def _refusing(cursor: Cursor, job: Job, clock: ClockRow) -> tuple[LawPack, list[str]]:
    """A law of a case, and the grounds on which it refuses such a request."""
    pack = read_pack(law_text_of(cursor, job, clock))
    return pack, pack.refusing(job.kind)


def refusal_digest(ref: str, ground: str, further: Sequence[str]) -> str:
    """What is signed of a refusal."""
    if not further:
        return digest_of("refuse", ref, ground=ground)
    return digest_of("refuse", ref, ground=ground, further=list(further))


def _require(job: Job, *states: State) -> None:
    if job.state not in states:
        wanted = " or ".join(s.value for s in states)
        message = f"{job.ref} is {job.state}; this is possible while it is {wanted}"
        raise DecisionRefused(message)
