"""What people do about a declared breach: write, judge, approve, record who was told, close.

In: signed actions. Out: changes of the breach's job, each one transaction with its event, or a
refusal that says what to do. Every new fact sets the duties' clocks again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from dsr_worker.breach import drafts, duties, prose
from dsr_worker.breach.course import (
    KIND,
    BreachState,
    assessing,
    met_event,
    told_people,
    with_notice,
)
from dsr_worker.breach.declaring import BreachRefused, NotHappenedYet
from dsr_worker.breach.drafts import Drafts, Told, Writer
from dsr_worker.breach.prose import Prose
from dsr_worker.breach.sending import PART_PEOPLE
from dsr_worker.domain.breach import Duty, Harm
from dsr_worker.domain.calendar import to_utc
from dsr_worker.domain.decision import canonical_json
from dsr_worker.ledger import Ledger, jobs, notices
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.rows import DESK, Event, Job, Move, NewStep
from dsr_worker.organisation import Organisation
from dsr_worker.people import SignedAction, accept
from dsr_worker.store import Store
from dsr_worker.vault import KeyRing

WRITE = "write_notices"
JUDGE = "judge_breach"
GO_ON = "assess_without"
APPROVE = "approve_notices"
DECIDE_UNKNOWN = "decide_unknown"
MARK = "mark_notified"
CLOSE = "close_breach"
"""The actions that people sign; each names what `plan_hash` it is signed over."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What an approval covers: texts by language, the frozen list, and the hash of both."""

    drafts: Drafts
    people: int
    reachable: int
    hash: str
    gaps: tuple[str, ...]
    """`language.part` of what is missing for people who are on the list."""


class BreachDesk:
    """People's decisions about breaches."""

    def __init__(
        self,
        ledger: Ledger,
        keys: KeyRing,
        store: Store,
        organisation: Organisation,
        part_people: int = PART_PEOPLE,
    ) -> None:
        self._ledger = ledger
        self._keys = keys
        self._store = store
        self._organisation = organisation
        self._writer = Writer(organisation)
        self._part_people = part_people

    # ---- writing and judging

    def write(self, ref: str, texts: Prose, signed: SignedAction) -> None:
        """Put these texts in place of the earlier ones and draft anew. Signed over their hash.

        Raises BreachRefused once notices were approved, or for a part of no known name.
        """
        found = prose.faults(texts)
        if found:
            raise BreachRefused("; ".join(found))
        with self._ledger.transaction() as cursor:
            job = self._locked(cursor, ref)
            accept(cursor, signed, WRITE, ref, digest_of(texts))
            if job.state not in {BreachState.ASSESSING, BreachState.AWAITING_APPROVAL}:
                raise BreachRefused("the notices are approved; their texts stand as they are")
            note = prose.keep_prose(cursor, job.id, self._key(job), texts)
            event = Event("note_added", {**note, "reason": "notice_texts"}, signed.actor)
            jobs.change(cursor, [Move(job, facts={"prose": note["note"]}, events=(event,))])

    def judge(self, ref: str, changes: Mapping[str, Any], signed: SignedAction) -> list[Duty]:
        """Add facts (`harm`, `encrypted`, `key_taken`) and judge every duty anew.

        Signed over the hash of `changes`. Raises BreachRefused for a fact of another name.
        """
        unknown = sorted(set(changes) - {"harm", "encrypted", "key_taken"})
        if unknown:
            raise BreachRefused(f"no fact {', '.join(unknown)}; judge harm, encrypted, key_taken")
        if changes.get("harm") is not None and changes["harm"] not in list(Harm):
            raise BreachRefused(f"harm is one of {', '.join(Harm)}")
        with self._ledger.transaction() as cursor:
            job = self._locked(cursor, ref)
            accept(cursor, signed, JUDGE, ref, digest_of(changes))
            facts = {**job.facts, **changes}
            standing = duties.set_clocks(cursor, job.id, facts, self._organisation)
            event = Event("breach_assessed", {"duties": duties.counts(standing)}, signed.actor)
            soonest = notices.soonest(cursor, job.id) or job.urgency_at
            jobs.change(cursor, [Move(job, facts=changes, events=(event,), urgency_at=soonest)])
        return standing

    def go_on_without(self, ref: str, signed: SignedAction) -> list[str]:
        """Assess without the systems whose steps are stuck; which they were. Safe to repeat.

        The count stays incomplete, so it turns no duty off. Raises BreachRefused where none is.
        """
        with self._ledger.transaction() as cursor:
            job = self._locked(cursor, ref)
            accept(cursor, signed, GO_ON, ref)
            left_out = notices.cancel_stuck(cursor, job, "affected")
            if not left_out:
                raise BreachRefused(f"no system is stuck; `dsr status {ref}` says what is awaited")
            event = Event("needs_human", {"code": "assessed_without"}, signed.actor)
            rest = job.pending - len(left_out)
            move = Move(job) if rest > 0 else assessing(job)
            jobs.change(cursor, [replace(move, events=(event,))], settled={job.id: len(left_out)})
        return left_out

    # ---- approving and sending

    def drafts(self, ref: str) -> Drafts:
        """The notices as they stand, written from today's facts; possible from the first moment."""
        with self._ledger.transaction() as cursor:
            return self._written(cursor, self._locked(cursor, ref))

    def proposal(self, ref: str) -> Proposal:
        """What there is to approve. Raises BreachRefused before the people were counted."""
        with self._ledger.transaction() as cursor:
            return self._proposal(cursor, self._locked(cursor, ref))

    def approve_notices(self, ref: str, signed: SignedAction) -> tuple[str, ...]:
        """Let the notices go out, as `proposal` showed them. Signed over its hash.

        Returns the systems to ring for. Raises BreachRefused: a gap in the texts, another list or
        text than was signed, the declarer's own approval, or nothing to approve now.
        """
        with self._ledger.transaction() as cursor:
            job = self._locked(cursor, ref)
            if job.state != BreachState.AWAITING_APPROVAL:
                raise BreachRefused(
                    f"{ref} is {job.state}; there is nothing to approve now: `dsr status {ref}`"
                    " says what is next"
                )
            proposal = self._proposal(cursor, job)
            if signed.action.plan_hash != proposal.hash:
                raise BreachRefused("texts or list have changed since: look at them and sign anew")
            accept(cursor, signed, APPROVE, ref, proposal.hash)
            if signed.actor == job.submitted_by:
                raise BreachRefused("a second person approves: not who declared the breach")
            if proposal.gaps:
                raise BreachRefused(f"write first what is missing: {', '.join(proposal.gaps)}")
            return tuple(jobs.change(cursor, [self._approved(cursor, job, proposal, signed)]))

    def decide_unknown(
        self, ref: str, *, again: bool, signed: SignedAction
    ) -> tuple[int, tuple[str, ...]]:
        """Say of notices that may have left: send them `again`, or count them as sent.

        Signed over `again` or `sent`. Returns how many, and the systems to ring for.
        """
        with self._ledger.transaction() as cursor:
            job = self._locked(cursor, ref)
            accept(cursor, signed, DECIDE_UNKNOWN, ref, "again" if again else "sent")
            if job.state != BreachState.NOTIFIED:
                raise BreachRefused(f"{ref} is {job.state}; wait until the notices are through")
            count = notices.decide_unknown(cursor, job.id, again=again)
            if count == 0:
                raise BreachRefused("no notice is unknown")
            counts = {"notices": count}
            code = "notices_again" if again else "notices_counted_as_sent"
            event = Event("needs_human", {"code": code, "counts": counts}, signed.actor)
            if again:
                move = self._sending(job, count)
                ring = jobs.change(cursor, [replace(move, events=(event,))])
                return count, tuple(ring)
            facts, events = told_people(cursor, job, self._organisation)
            jobs.change(cursor, [Move(job, facts=facts, events=(event, *events))])
        return count, ()

    # ---- the end

    def mark_notified(self, ref: str, clock: str, at: datetime, signed: SignedAction) -> str:
        """Record that a duty's recipient was told at `at`; `met`, or `missed` when that was late.

        For authorities, which are told through forms of their own, and for people told another way
        (post, public notice). Signed over `marked_hash(clock, at)`. What runs from a notice to
        people (California's attorney general) is set anew.
        """
        with self._ledger.transaction() as cursor:
            job = self._locked(cursor, ref)
            accept(cursor, signed, MARK, ref, marked_hash(clock, at))
            told_at = to_utc(at)
            if told_at > job.now:
                raise NotHappenedYet("that instant lies in the future: check date and offset")
            if told_at < datetime.fromisoformat(job.facts["aware_at"]):
                raise BreachRefused("nobody was told before the breach was known")
            settled = notices.settle(cursor, job.id, clock, told_at)
            if settled is None:
                known = ", ".join(c.name for c in notices.open_clocks(cursor, job.id))
                raise BreachRefused(f"no open clock {clock}; there are: {known or 'none'}")
            changed = self._after_notice(cursor, job, settled.facts, told_at)
            event = met_event(settled, told_at, signed.actor)
            soonest = notices.soonest(cursor, job.id) or job.urgency_at
            jobs.change(cursor, [Move(job, facts=changed, events=(event,), urgency_at=soonest)])
        return str(settled.state)

    def close(self, ref: str, signed: SignedAction) -> None:
        """Close a breach. Raises BreachRefused while a clock is open or notices are under way."""
        with self._ledger.transaction() as cursor:
            job = self._locked(cursor, ref)
            accept(cursor, signed, CLOSE, ref)
            open_now = [clock.name for clock in notices.open_clocks(cursor, job.id)]
            if open_now:
                raise BreachRefused(
                    f"clocks are open: {', '.join(open_now)}. Tell each recipient, then record it:"
                    f" `dsr breach told {ref} CLOCK --at INSTANT`; a duty that does not apply ends"
                    f" by what is known: `dsr breach judge {ref}`"
                )
            if job.pending:
                raise BreachRefused(f"work is under way; `dsr status {ref}` shows it: wait for it")
            counts: dict[str, int] = {}
            for row in notices.tally(cursor, job.id):
                counts[row.state] = counts.get(row.state, 0) + row.people
            event = Event("closed", {"reason": "duties_met", "counts": counts}, signed.actor)
            jobs.change(
                cursor,
                [
                    Move(
                        job,
                        state=BreachState.CLOSED,
                        phase="closed",
                        events=(event,),
                        closed_at=job.now,
                    )
                ],
            )

    # ---- parts

    def _locked(self, cursor: Cursor, ref: str) -> Job:
        job = jobs.lock_ref(cursor, ref)
        if job is None or job.kind != KIND:
            raise BreachRefused(f"there is no breach {ref}")
        if job.closed_at is not None:
            raise BreachRefused(f"{ref} is closed")
        return job

    def _key(self, job: Job) -> Any:
        if job.data_key is None:
            raise BreachRefused(f"the texts of {job.ref} are shredded")
        return self._keys.unwrap(bytes(job.data_key))

    def _written(self, cursor: Cursor, job: Job) -> Drafts:
        found = job.facts.get("affected")
        told = Told(
            job.ref,
            job.facts,
            notices.open_clocks(cursor, job.id),
            prose.read_prose(cursor, job.id, self._key(job), job.facts),
            0 if found is None else found["rows"],
            job.now,
        )
        return self._writer.write(told)

    def _proposal(self, cursor: Cursor, job: Job) -> Proposal:
        if job.facts.get("affected") is None:
            raise BreachRefused(
                f"the people affected are not counted yet; `dsr status {job.ref}` says what is"
                " awaited"
            )
        written = self._written(cursor, job)
        listed, reachable = notices.list_digest(cursor, job.id)
        spoken = notices.languages(cursor, job.id)
        gaps = [f"{lang}.{part}" for lang in spoken for part in written.missing.get(lang, ())]
        whole = digest_of({"texts": written.hash, "list": listed})
        people = sum(row.people for row in notices.tally(cursor, job.id))
        return Proposal(written, people, reachable, whole, tuple(gaps))

    def _approved(self, cursor: Cursor, job: Job, proposal: Proposal, signed: SignedAction) -> Move:
        countries = {row.residence for row in notices.tally(cursor, job.id) if row.residence}
        event = Event(
            "notices_approved",
            {
                "campaign": job.id,
                "recipients": proposal.reachable,
                "template_hash": proposal.drafts.hash,
                "countries": sorted(countries),
                "signature": signed.signature_hex,
            },
            signed.actor,
        )
        name = drafts.keep(self._store, self._key(job), proposal.drafts, job.now.date())
        approved = {"drafts": name, "texts": proposal.drafts.hash}
        move = self._sending(job, proposal.reachable)
        return replace(
            move, facts={"approved": approved}, approved_by=signed.actor, events=(event,)
        )

    def _sending(self, job: Job, people: int) -> Move:
        """The move by which so many notices go out, in parts; with nobody to write to, at once."""
        parts = max(1, -(-people // self._part_people))
        steps = tuple(
            NewStep("notify", DESK, effect="manual", round=job.round + number)
            for number in range(1, parts + 1)
        )
        return Move(
            job,
            state=BreachState.NOTIFYING,
            phase="notify",
            round=job.round + parts,
            steps=steps,
        )

    def _after_notice(
        self, cursor: Cursor, job: Job, duty: Mapping[str, Any], at: datetime
    ) -> dict[str, Any]:
        """What runs from this notice is set anew."""
        sent = with_notice(job.facts["notices_sent"], duty, at)
        if sent == job.facts["notices_sent"]:
            return {}
        changed = {"notices_sent": sent}
        duties.set_clocks(cursor, job.id, {**job.facts, **changed}, self._organisation)
        return changed


def digest_of(plain: Mapping[str, Any]) -> str:
    """The SHA-256 (hex) of plain values, for people to sign."""
    return hashlib.sha256(canonical_json(plain).encode()).hexdigest()


def marked_hash(clock: str, at: datetime) -> str:
    """What `mark_notified` is signed over."""
    return digest_of({"clock": clock, "at": to_utc(at).isoformat()})
