"""Appeals of a person against the answer: taken in, decided by somebody else, answered by a letter.

In: an answered case whose law gives an appeal to whoever answered, a signed decision. Out: the case
with the clocks of its appeal, one for each law that gives one; then begun anew, or its letter owed.
The clocks are met by delivery: of the new answer where the appeal was granted, else of the letter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from dsr_worker.domain.calendar import local_date
from dsr_worker.domain.request import APPEALABLE, State, Verdict, after_appeal
from dsr_worker.domain.request import Event as Moves
from dsr_worker.domain.retention import CalendarPeriod
from dsr_worker.domain.rights import LIFTING_FACT
from dsr_worker.engine.materials import Materials
from dsr_worker.fulfil.clocks import facts_of
from dsr_worker.fulfil.composing import LEFT
from dsr_worker.fulfil.course import CaseCourse
from dsr_worker.fulfil.decided import Decided, DecisionRefused, changed, ended, opened
from dsr_worker.fulfil.delivery import Delivered
from dsr_worker.fulfil.intake import Intake
from dsr_worker.fulfil.remaining import REMAINING
from dsr_worker.fulfil.remedies import Remedy, remedies
from dsr_worker.ledger import Ledger, appeals, case_clocks, cases, codes, reports
from dsr_worker.ledger.appeals import Appeal
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.intake import NewClock
from dsr_worker.ledger.rows import Event, Job, Move
from dsr_worker.people import ActorRefused, SignedAction, digest_of
from dsr_worker.statutes import ClockSpec, appeal_clock

APPEAL = "appeal"
WITHDRAWN = "withdrawn"


class Appeals:
    """People's decisions on appeals."""

    def __init__(
        self,
        ledger: Ledger,
        materials: Materials,
        intake: Intake,
        course: CaseCourse,
        file_within: CalendarPeriod,
    ) -> None:
        self._ledger = ledger
        self._materials = materials
        self._intake = intake
        self._course = course
        self._file_within = file_within

    def receive(self, ref: str, at: datetime, signed: SignedAction, *, late: bool) -> Decided:
        """Take in an appeal that came at `at`; with `late` also one whose time was over.

        Raises:
            DecisionRefused: the case is not answered, no law of it gives an appeal to us, the last
                one was dismissed, or this came too late and `late` is not said.
            ActorRefused: the signature does not cover this.

        """
        with self._ledger.transaction() as cursor:
            digest = digest_of(APPEAL, ref, at=at.isoformat(), late=late)
            job = opened(cursor, ref, signed, APPEAL, digest)
            before = appeals.last(cursor, job.id)
            answered_at = _require_answered(cursor, job, before, at)
            given = remedies(cursor, job, answered_at, self._file_within)
            is_late = _is_late(job, given, at)
            if is_late and not late:
                raise DecisionRefused(_too_late(ref, given))
            number = 1 if before is None else before.number + 1
            clocks = _clocks(job, [r for r in given if r.gives_appeal], at, number)
            case_clocks.start(cursor, [(job.id, clock) for clock in clocks])
            by = _answered_by(cursor, job)
            appeals.add(cursor, job.id, Appeal(number, at, is_late, job.state, by, None, None))
            decided = changed(cursor, _taken_in(job, clocks, at, signed, is_late=is_late))
            told = f"`dsr letter {ref} --about appeal_acknowledgement` tells the person of it"
            return replace(decided, details=(told,))

    def decide(self, ref: str, verdict: Verdict, signed: SignedAction) -> Decided:
        """Decide on the open appeal of a case; whoever refused, or approved the answer, may not.

        Raises DecisionRefused, ActorRefused.
        """
        with self._ledger.transaction() as cursor:
            digest = digest_of("decide-appeal", ref, verdict=verdict.value)
            job, appeal = _open(cursor, ref, signed, "decide-appeal", digest)
            if signed.actor == appeal.answered_by:
                message = (
                    "whoever gave the answer cannot decide on the appeal against it: ask somebody"
                    " else"
                )
                raise ActorRefused(message)
            appeals.decide(cursor, job.id, appeal.number, verdict.value, signed.actor)
            body = {"response": verdict.value, "signature": signed.signature_hex}
            event = Event("appeal_decided", body, signed.actor)
            follows = after_appeal(
                verdict, is_verified=job.verified_at is not None, can_begin=_can_begin(job)
            )
            return self._followed(cursor, job, follows, event, verdict)

    def withdraw(self, ref: str, signed: SignedAction) -> Decided:
        """The person has withdrawn the appeal: the answer stands. Raises DecisionRefused."""
        with self._ledger.transaction() as cursor:
            job, appeal = _open(cursor, ref, signed, "withdraw-appeal", "")
            appeals.decide(cursor, job.id, appeal.number, WITHDRAWN, signed.actor)
            cases.settle_clocks(cursor, job.id, "void")
            body = {"response": WITHDRAWN, "signature": signed.signature_hex}
            events = [Event("appeal_decided", body, signed.actor)]
            return changed(cursor, _back(job, appeal, events, signed.actor, WITHDRAWN))

    def delivered(self, ref: str, signed: SignedAction) -> Delivered:
        """The letter on an appeal has left: its clocks are met. Raises DecisionRefused."""
        with self._ledger.transaction() as cursor:
            job = opened(cursor, ref, signed, "hand-over")
            appeal = appeals.last(cursor, job.id)
            if job.state != State.APPEAL_ANSWERED or appeal is None:
                message = f"{ref} is {job.state}: no letter on an appeal is owed"
                raise DecisionRefused(message)
            settled = cases.settle_clocks(cursor, job.id, "met")
            events = ended(settled, signed.actor)
            verdict = f"appeal_{appeal.verdict}"
            decided = changed(cursor, _back(job, appeal, events, signed.actor, verdict))
        clocks = tuple((c.name, c.state) for c in settled)
        return Delivered(ref, (), clocks, state=decided.state)

    def _followed(
        self, cursor: Cursor, job: Job, follows: Moves, event: Event, verdict: Verdict
    ) -> Decided:
        if follows is Moves.APPEAL_DECIDED:
            answered = State.APPEAL_ANSWERED.value
            decided = changed(cursor, Move(job, state=answered, phase=answered, events=(event,)))
            owed = f"write to the person (`dsr letter {job.ref} --about appeal_{verdict.value}`)"
            lines = [f"{owed}, then `dsr appeal {job.ref} --delivered`"]
            if verdict is not Verdict.DISMISSED:
                lines.append(_CANNOT_BEGIN)
            return replace(decided, details=tuple(lines))
        cases.cancel_steps(cursor, job.id)
        codes.forget(cursor, job.id)
        again = self._begun_anew(cursor, job, event, follows)
        facts = {**again.facts, **({REMAINING: {}} if REMAINING in job.facts else {})}
        decided = changed(cursor, replace(again, facts=facts))
        told = f"`dsr letter {job.ref} --about appeal_{verdict.value}` tells the person"
        return replace(decided, details=(told,))

    def _begun_anew(self, cursor: Cursor, job: Job, event: Event, follows: Moves) -> Move:
        if follows is Moves.RESOLVE_AGAIN:
            return self._course.begun_anew(cursor, job, event)
        frozen_id = self._materials.freeze_anew(job.frozen, job.now)
        today = job._replace(frozen=frozen_id, pending=0)
        move = self._intake.send_code(today, (event,))
        return replace(move, job=job._replace(pending=0), frozen=frozen_id, approved_by=None)


_CANNOT_BEGIN = (
    "The case itself cannot be begun anew, its identities being destroyed, or its work left or"
    " lifted: submit what was granted as a new request, with the day of the appeal (`--received`)."
)


def _require_answered(cursor: Cursor, job: Job, before: Appeal | None, at: datetime) -> datetime:
    """When the answer left. Raises DecisionRefused where there is none to appeal against."""
    if job.state == State.REFUSED:
        message = (
            f"the refusal of {job.ref} has not left yet: `dsr refuse {job.ref} --delivered` once it"
            " has, then take in the appeal"
        )
        raise DecisionRefused(message)
    if before is not None and before.verdict is None:
        message = (
            f"an appeal against the answer of {job.ref} is open: `dsr appeal {job.ref} --decide`"
        )
        raise DecisionRefused(message)
    left = _left_at(cursor, job)
    if job.state not in APPEALABLE or not left:
        message = f"{job.ref} is {job.state}: an appeal comes against an answer that has left"
        raise DecisionRefused(message)
    if before is not None and before.verdict == Verdict.DISMISSED:
        message = (
            f"an appeal against the answer of {job.ref} was dismissed: what comes next goes to the"
            " authority or the court that the letter named"
        )
        raise DecisionRefused(message)
    if not min(left) <= at <= job.now:
        message = f"an appeal comes between the answer ({min(left):%Y-%m-%d %H:%M} UTC) and now"
        raise DecisionRefused(message)
    return max(left)


def _left_at(cursor: Cursor, job: Job) -> list[datetime]:
    """When answers of a case left the house: packages, certificates, letters of refusal."""
    return [
        datetime.fromisoformat(known.event["at"])
        for known in reports.events_of(cursor, ["package_handed_over", "closed"], ref=job.ref)
        if known.event["body"].get("response", "refused") == "refused"
    ]


def _is_late(job: Job, given: Sequence[Remedy], at: datetime) -> bool:
    """Whether its time is over by every law that gives one. Raises DecisionRefused for none."""
    ours = [remedy for remedy in given if remedy.gives_appeal]
    if not ours:
        where = "; ".join(f"{r.pack.name}: {r.channel or 'no channel named'}" for r in given)
        message = (
            f"no law of {job.ref} gives an appeal to you ({where}). The person may turn there; what"
            " they write may also be a new request (`dsr submit`), or a complaint to you"
        )
        raise DecisionRefused(message)
    return all(r.until_on is not None and local_date(at, r.zone) > r.until_on for r in ours)


def _too_late(ref: str, given: Sequence[Remedy]) -> str:
    last = max(r.until_on for r in given if r.until_on is not None)
    return (
        f"the time for an appeal ended on {last} (`appeals.file_within` of organisation.yaml, where"
        f" the law says a reasonable time): `dsr appeal {ref} --received … --late-accepted` takes"
        " it all the same; else tell the person that it came too late, and of the authority"
    )


def _clocks(job: Job, given: Sequence[Remedy], at: datetime, number: int) -> list[NewClock]:
    name = case_clocks.appeal_name(number)
    made = []
    for remedy in given:
        spec = appeal_clock(remedy.pack, job.kind, remedy.country, _received(job), at, remedy.zone)
        if spec is not None:
            made.append(_clock(name, remedy, spec, at))
    return made


def _received(job: Job) -> datetime:
    assert job.received_at is not None  # noqa: S101 - whoever appeals has asked at some time
    return job.received_at


def _clock(name: str, remedy: Remedy, spec: ClockSpec, at: datetime) -> NewClock:
    clock = NewClock.by_law(
        name + remedy.suffix, spec.due, at, citation=spec.citation, verified=spec.verified
    )
    facts = {**remedy.facts, **facts_of(spec.clock), "appealed_at": at.isoformat()}
    return clock._replace(facts=facts)


def _answered_by(cursor: Cursor, job: Job) -> str | None:
    """Who refused, or approved what was answered, whichever came last; None where a rule did."""
    answers = [
        known.event["actor"] if "signature" in body or body.get("response") == "refuse" else None
        for known in reports.events_of(cursor, ["approved", "closed"], ref=job.ref)
        if (body := known.event["body"]).get("response", "refuse") == "refuse"
    ]
    return answers[-1] if answers else None


def _taken_in(
    job: Job, clocks: Sequence[NewClock], at: datetime, signed: SignedAction, *, is_late: bool
) -> Move:
    body = {"received_at": at, "signature": signed.signature_hex}
    event = Event("appealed", {**body, **({"reason": "late"} if is_late else {})}, signed.actor)
    started = [
        Event(
            "clock_started",
            {"clock": c.name, "since_at": at, "due_at": c.due_at, "due_on": c.due_on},
        )
        for c in clocks
    ]
    acts_by = [c.conservative_due_at for c in clocks if c.conservative_due_at is not None]
    return Move(
        job,
        state=State.APPEALED,
        phase=State.APPEALED.value,
        urgency_at=min(acts_by),
        closed_at=None,
        events=(event, *started),
    )


def _open(
    cursor: Cursor, ref: str, signed: SignedAction, action: str, digest: str
) -> tuple[Job, Appeal]:
    job = opened(cursor, ref, signed, action, digest)
    appeal = appeals.last(cursor, job.id)
    if job.state != State.APPEALED or appeal is None:
        message = (
            f"{ref} is {job.state}: no appeal is open; `dsr appeal {ref} --received AT` takes one"
        )
        raise DecisionRefused(message)
    return job, appeal


def _can_begin(job: Job) -> bool:
    """Whether the case itself can be begun anew: somebody is known, and nothing was left undone."""
    return job.data_key is not None and not {LEFT, LIFTING_FACT} & set(job.facts)


def _back(job: Job, appeal: Appeal, events: Sequence[Event], actor: str, response: str) -> Move:
    """The move by which an answered case is again what it was before the appeal."""
    if appeal.was == State.ANSWERED_WITH_REMAINDERS:
        return Move(job, state=appeal.was, phase="remainders", events=tuple(events))
    closed = Event("closed", {"response": response}, actor)
    return Move(
        job,
        state=State.CLOSED,
        phase="closed",
        closed_at=job.now,
        events=(*events, closed),
    )
