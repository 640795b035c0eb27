"""People's decisions on complaints: noted, acknowledged, investigated, decided, told.

In: a complaint and a signed decision. Out: its next state, or a refusal that says what is possible.
A clock towards the person is met by a letter that left and by nothing else: the acknowledgement's
by the acknowledgement, the rest by the outcome's letter, which alone closes a complaint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dsr_worker.contract import Identity
from dsr_worker.domain.complaint import (
    ENDED,
    KIND,
    WORKED_ON,
    MoveRefusedError,
    Outcome,
    Progress,
    State,
    advance,
)
from dsr_worker.domain.complaint import Event as Happened
from dsr_worker.engine.identities import IDENTITY
from dsr_worker.fulfil.complaints import disputes, notes, timetable
from dsr_worker.fulfil.complaints.disputes import HOLD, Disputes
from dsr_worker.fulfil.complaints.notes import Note
from dsr_worker.fulfil.decided import Decided, DecisionRefused, changed, ended, letter_left
from dsr_worker.ledger import Ledger, cases, holds, intake, jobs, notices
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.rows import Event, Job, Move
from dsr_worker.organisation import Organisation
from dsr_worker.people import SignedAction, accept, digest_of
from dsr_worker.vault import CaseKey, KeyRing

NOTE = "note_complaint"
RESTS = "rests"  # the fact of a complaint: how often its investigation was seen to go on
RECIPIENTS = ("body", "authority")
"""Before whom a complaint is brought: the timetable's body, or the authority that the law names."""


class ComplaintDesk:
    """People's decisions on complaints. Each is signed over `digest_of(verb, ref, …)`."""

    def __init__(
        self, ledger: Ledger, keys: KeyRing, organisation: Organisation, disputes_: Disputes
    ) -> None:
        self._ledger = ledger
        self._keys = keys
        self._organisation = organisation
        self._disputes = disputes_

    def note(self, ref: str, text: str, signed: SignedAction) -> int:
        """Keep a sealed note of the investigation; its number. Signed over `digest_of(NOTE, …)`.

        An investigation that is noted does not rest. Raises DecisionRefused once it has ended.
        """
        with self._ledger.transaction() as cursor:
            job = self._opened(cursor, ref, signed, NOTE, digest_of(NOTE, ref, text=text))
            key = self._key(job)
            if key is None or job.state in ENDED:
                raise DecisionRefused(f"{ref} is {job.state}: nothing is added to it any more")
            kept = notes.keep(cursor, job.id, key, text)
            body = {**kept, "reason": "complaint", "signature": signed.signature_hex}
            facts = self._goes_on(cursor, job, State(job.state))
            event = Event("note_added", body, signed.actor)
            jobs.change(cursor, [Move(job, events=(event,), facts=facts)])
        return int(str(kept["note"]))

    def notes(self, ref: str) -> list[Note]:
        """The notes of a complaint, oldest first, in the clear; without texts once shredded."""
        with self._ledger.transaction() as cursor:
            job = complaint_of(cursor, ref)
            return notes.read(cursor, job.id, self._key(job))

    def acknowledge(self, ref: str, signed: SignedAction) -> Decided:
        """Record that the letter of acknowledgement left: its clocks, house and law, end now.

        Raises DecisionRefused where it left before.
        """
        with self._ledger.transaction() as cursor:
            job = self._opened(cursor, ref, signed, "acknowledge", digest_of("acknowledge", ref))
            after = _after(job, Happened.ACKNOWLEDGED)
            met = letter_left(cursor, job, timetable.ACKNOWLEDGE, job.now, signed.actor)
            return self._moved(cursor, job, after, Happened.ACKNOWLEDGED, signed, events=met)

    def investigate(self, ref: str, signed: SignedAction) -> Decided:
        """Begin to investigate, or anew before the outcome's letter has left."""
        with self._ledger.transaction() as cursor:
            job = self._opened(cursor, ref, signed, "investigate", digest_of("investigate", ref))
            after = _after(job, Happened.INVESTIGATED)
            return self._moved(cursor, job, after, Happened.INVESTIGATED, signed)

    def escalate(self, ref: str, level: str, signed: SignedAction) -> Decided:
        """Hand a complaint to a higher level of the house; `level` is a code, such as `board`."""
        with self._ledger.transaction() as cursor:
            digest = digest_of("escalate", ref, level=level)
            job = self._opened(cursor, ref, signed, "escalate", digest)
            after = _after(job, Happened.ESCALATED)
            to = {"recipient": level}
            return self._moved(cursor, job, after, Happened.ESCALATED, signed, body=to)

    def refer(self, ref: str, to: str, signed: SignedAction) -> Decided:
        """Record that a complaint is before a body outside the house.

        It is a dispute from then on at the latest: where no hold of its own stands, one is placed.
        """
        if to not in RECIPIENTS:
            raise DecisionRefused(f"a complaint is referred to one of: {', '.join(RECIPIENTS)}")
        with self._ledger.transaction() as cursor:
            people = self._people(cursor, ref)
            self._disputes.exclude_effects(cursor, people)
            digest = digest_of("refer", ref, to=to)
            job = self._opened(cursor, ref, signed, "refer", digest)
            self._require_body(job, to)
            after = _after(job, Happened.REFERRED)
            events = letter_left(cursor, job, timetable.REFER, job.now, signed.actor)
            held, more, told = self._disputed(cursor, job, people, signed.actor)
            body = {"recipient": to}
            facts = {**held, "referred_to": to}
            decided = self._moved(
                cursor,
                job,
                after,
                Happened.REFERRED,
                signed,
                body=body,
                facts=facts,
                events=[*events, *more],
            )
        return replace(decided, details=told)

    def _require_body(self, job: Job, to: str) -> None:
        if to == "body" and self._organisation.complaints.body(job.country) is None:
            message = (
                f"`complaints.refer_to` of organisation.yaml names no body for {job.country}: add"
                " it, or record a referral `--to authority`"
            )
            raise DecisionRefused(message)

    def resolve(self, ref: str, outcome: str, signed: SignedAction) -> Decided:
        """Decide how a complaint ends. It stays open, with every clock, until its letter left."""
        if outcome not in list(Outcome):
            raise DecisionRefused(f"a complaint ends as one of: {', '.join(Outcome)}")
        with self._ledger.transaction() as cursor:
            digest = digest_of("resolve", ref, outcome=outcome)
            job = self._opened(cursor, ref, signed, "resolve", digest)
            after = _after(job, Happened.RESOLVED)
            body, facts = {"response": outcome}, {"outcome": outcome}
            return self._moved(
                cursor, job, after, Happened.RESOLVED, signed, body=body, facts=facts
            )

    def deliver(self, ref: str, signed: SignedAction) -> Decided:
        """Record that the outcome's letter left: every clock ends, the hold too, and it is closed.

        The letter answers for an acknowledgement that was never sent, in time or late.
        """
        with self._ledger.transaction() as cursor:
            job = self._opened(cursor, ref, signed, "deliver", digest_of("deliver", ref))
            after = _after(job, Happened.DELIVERED)
            return self._ended(cursor, job, after, Happened.DELIVERED, "met", signed)

    def withdraw(self, ref: str, signed: SignedAction) -> Decided:
        """Record that the person no longer complains: nothing is owed, and the hold ends."""
        with self._ledger.transaction() as cursor:
            job = self._opened(cursor, ref, signed, "withdraw", digest_of("withdraw", ref))
            after = _after(job, Happened.WITHDRAWN)
            return self._ended(cursor, job, after, Happened.WITHDRAWN, "void", signed)

    # ---- how each begins and ends

    def _opened(
        self, cursor: Cursor, ref: str, signed: SignedAction, action: str, digest: str
    ) -> Job:
        job = complaint_of(cursor, ref)
        accept(cursor, signed, action, ref, digest)
        return job

    def _key(self, job: Job) -> CaseKey | None:
        return None if job.data_key is None else self._keys.unwrap(bytes(job.data_key))

    def _moved(
        self,
        cursor: Cursor,
        job: Job,
        after: Progress,
        happened: Happened,
        signed: SignedAction,
        *,
        body: Mapping[str, str] | None = None,
        facts: Mapping[str, object] | None = None,
        events: Sequence[Event] = (),
    ) -> Decided:
        moved = _event(job, after, happened, signed, body)
        rest = self._goes_on(cursor, job, after.state)
        acknowledged = {"acknowledged": after.acknowledged}
        # what was decided and not told is decided anew
        undecided = {"outcome": None} if job.state == State.RESOLVED else {}
        move = Move(
            job,
            state=after.state.value,
            phase=after.state.value,
            urgency_at=notices.soonest(cursor, job.id) or job.urgency_at,
            facts={**undecided, **(facts or {}), **rest, **acknowledged},
            events=(moved, *events),
        )
        return changed(cursor, move)

    def _ended(
        self,
        cursor: Cursor,
        job: Job,
        after: Progress,
        happened: Happened,
        clocks: str,
        signed: SignedAction,
    ) -> Decided:
        settled = cases.settle_clocks(cursor, job.id, clocks)
        met = ended(settled, signed.actor) if clocks == "met" else []
        released = disputes.release(cursor, job, signed.actor)
        response = job.facts.get("outcome") if happened is Happened.DELIVERED else "withdrawn"
        closed = Event("closed", {"response": response}, signed.actor)
        moved = _event(job, after, happened, signed)
        move = Move(
            job,
            state=after.state.value,
            phase=after.state.value,
            closed_at=job.now,
            events=(moved, *met, *released, closed),
        )
        return changed(cursor, move)

    def _goes_on(self, cursor: Cursor, job: Job, state: State) -> dict[str, object]:
        """End the clock that warns of rest, and start the next one while the house is at work."""
        number = int(job.facts.get(RESTS, 0))
        notices.settle(cursor, job.id, f"{timetable.REST}{number}", job.now)
        if state not in WORKED_ON:
            return {}
        clock = timetable.rest_clock(self._organisation, number + 1, job.now)
        intake.start_clocks(cursor, job.id, [clock])
        return {RESTS: number + 1}

    # ---- disputes

    def _people(self, cursor: Cursor, ref: str) -> list[Identity]:
        """The people whom a complaint names, read before it is locked."""
        wrapped, sealed = intake.named(cursor, ref)
        if wrapped is None:
            return []
        key = self._keys.unwrap(wrapped)
        return [Identity(kind, key.open(value, IDENTITY).decode()) for kind, value in sealed]

    def _disputed(
        self, cursor: Cursor, job: Job, people: Sequence[Identity], actor: str
    ) -> tuple[dict[str, object], list[Event], tuple[str, ...]]:
        """Place a dispute's hold where the complaint never had one: facts, events, what to tell."""
        before: str | None = job.facts.get(HOLD)
        if before is not None:
            told_ = () if holds.stands(cursor, before) else (_released(before),)
            return {"dispute": True}, [], told_
        if not people:
            return {"dispute": True}, [], ()
        review_on = timetable.review_on(self._organisation, job.now)
        hold, event, rules = self._disputes.hold(cursor, job.ref, people, review_on, actor)
        told = [f"{hold.ref} holds what is theirs while the dispute is open"]
        if rules.failed:
            told.append(f"not reached yet, so rules of their own stand: {', '.join(rules.failed)}")
        return {"dispute": True, HOLD: hold.ref}, [event], tuple(told)


def _released(hold: str) -> str:
    return (
        f"{hold}, the hold of this complaint, was released by a person and stays so: nothing is"
        " held for the dispute; `dsr hold place --matter` with this reference holds again"
    )


def complaint_of(cursor: Cursor, ref: str) -> Job:
    """The complaint of a reference, locked. Raises DecisionRefused where there is none."""
    job = jobs.lock_ref(cursor, ref)
    if job is None or job.kind != KIND:
        raise DecisionRefused(f"{ref} is no complaint; `dsr status` lists the open ones")
    return job


def progress_of(job: Job) -> Progress:
    """Where a complaint stands, as its row says it."""
    return Progress(State(job.state), acknowledged=bool(job.facts.get("acknowledged")))


def _after(job: Job, happened: Happened) -> Progress:
    try:
        return advance(progress_of(job), happened)
    except MoveRefusedError as error:
        raise DecisionRefused(f"{job.ref}: {error}; `dsr complaint show {job.ref}`") from None


def _event(
    job: Job,
    after: Progress,
    happened: Happened,
    signed: SignedAction,
    body: Mapping[str, str] | None = None,
) -> Event:
    told = {
        "action": happened.value,
        "old_state": job.state,
        "new_state": after.state.value,
        "signature": signed.signature_hex,
    }
    return Event("complaint_moved", {**told, **(body or {})}, signed.actor)
