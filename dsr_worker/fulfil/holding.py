"""Legal holds, placed and released by people.

In: a scope, a reason's code, a matter. Out: a hold that every effect sees from the moment it
stands: placing takes the systems' locks exclusively, so it waits for at most one target
transaction.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta

from dsr_worker.contract import Identity, Subject
from dsr_worker.domain.calendar import end_of_day
from dsr_worker.domain.hold import Hold, PeopleHeld, RowsHeld, Scope, unseen
from dsr_worker.domain.rights import RESTRICTED
from dsr_worker.engine.holds import ROWS
from dsr_worker.engine.identities import seal_identity
from dsr_worker.engine.materials import Materials
from dsr_worker.engine.standing import StandingGuard, TakenOut
from dsr_worker.fulfil.decided import DecisionRefused
from dsr_worker.ledger import Ledger, cases, holds, intake, jobs
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.intake import NewClock, NewJob
from dsr_worker.ledger.rows import Event, Job, Move
from dsr_worker.people import SignedAction, accept, digest_of
from dsr_worker.statutes import Right, UnknownNameError, load_pack, packs, packs_saying
from dsr_worker.vault import KeyRing


@dataclass(frozen=True, slots=True)
class Placed:
    """A placed hold.

    `rules.out` are the systems whose store lost rules of its own for it. Those in `rules.failed`
    could not be reached: rules may still let held rows go there, and are tried every minute.
    `unseen` are the collections in which sweeps know nobody by the names that are held.
    """

    ref: str
    rules: TakenOut
    unseen: tuple[str, ...] = ()


class Holding:
    """Places, reviews and releases holds."""

    def __init__(
        self, ledger: Ledger, keys: KeyRing, materials: Materials, rules: StandingGuard
    ) -> None:
        self._ledger = ledger
        self._keys = keys
        self._materials = materials
        self._rules = rules

    def place(
        self, scope: Scope, reason: str, matter: str, review_on: date, signed: SignedAction
    ) -> Placed:
        """Place a hold. Before it is acknowledged, stores lose the rules of their own that meet it.

        A store that cannot be reached turns no hold away: see `Placed.rules`.

        Raises:
            UnknownNameError: the reason is none of `hold_reasons`.
            ValueError: the scope holds nothing, or the review lies in the past.
            ActorRefused: the signature does not cover this.

        """
        Hold("new", matter, reason, scope, review_on)
        if reason not in hold_reasons(packs_saying(reason)):
            listed = "`dsr statutes show LAW` lists a law's grounds"
            raise UnknownNameError("reason for a hold", reason, hold_reasons(packs()), listed)
        digest = hold_digest(scope, reason, matter, review_on)
        with self._ledger.transaction() as cursor:
            accept(cursor, signed, "place-hold", "new", digest)
            self.exclude_effects(cursor, scope)
            event = Event("hold_placed", {"signature": signed.signature_hex}, signed.actor)
            job = self.stand(cursor, scope, reason, matter, review_on, signed.actor, event)
            if review_on < job.now.date():
                raise ValueError("the review lies in the past; name a day that is still to come")
            rules = self.take_rules_out(cursor, scope)
        return Placed(job.ref, rules, self.unseen(scope))

    def unseen(self, scope: Scope) -> tuple[str, ...]:
        """The collections in which a sweep finds none of the people held by their names."""
        if not isinstance(scope, PeopleHeld):
            return ()
        systems = self._materials.maps.by_name
        kinds = {identity.kind for identity in scope.identities}
        return unseen((systems[name] for name in sorted(systems)), kinds)

    def take_rules_out(self, cursor: Cursor, scope: Scope) -> TakenOut:
        """Take stores' own rules out where a hold of this transaction stands; see StandingGuard."""
        return self._rules.take_out(cursor, self._systems(scope))

    def exclude_effects(self, cursor: Cursor, scope: Scope) -> None:
        """Wait for what is under way where a hold will stand, and hold off more until commit."""
        holds.exclude_effects(cursor, self._systems(scope))

    def stand(
        self,
        cursor: Cursor,
        scope: Scope,
        reason: str,
        matter: str,
        review_on: date,
        actor: str,
        event: Event,
    ) -> Job:
        """Let a hold stand from this transaction on, whose caller has excluded effects."""
        key, wrapped = self._keys.new_case_key()
        cursor.execute("SELECT business_now() AS now")
        now: datetime = cursor.fetchone().now
        inserted = intake.insert(
            cursor,
            NewJob(
                prefix="H",
                kind="hold",
                state="holding",
                phase="holding",
                frozen=self._materials.freeze(None, now),
                urgency_at=now + timedelta(days=3650),
                data_key=wrapped,
                submitted_by=actor,
            ),
        )
        people = scope.identities if isinstance(scope, PeopleHeld) else ()
        sealed = [seal_identity(self._keys, key, i, "verified", ground="hold") for i in people]
        intake.add_identities(cursor, inserted.id, sealed)
        rows = scope.values if isinstance(scope, RowsHeld) else ()
        values = key.seal(json.dumps(list(rows)).encode(), ROWS) if rows else None
        where = _columns(scope)
        holds.insert(
            cursor, inserted.ref, inserted.id, where, values, reason, matter, review_on, actor
        )
        intake.start_clocks(cursor, inserted.id, [_review_clock(now, review_on)])
        job = jobs.lock(cursor, [inserted.id])[inserted.id]
        jobs.change(cursor, [Move(job, events=(event,))])
        return job

    def review(self, ref: str, review_on: date, signed: SignedAction) -> None:
        """Record that a person looked again and that the hold stands, until the next such day.

        Raises:
            DecisionRefused: no such hold stands.
            ValueError: the day does not lie in the future.
            ActorRefused: the signature does not cover this.

        """
        with self._ledger.transaction() as cursor:
            job = _standing(cursor, ref)
            if review_on <= job.now.date():
                raise ValueError("the next review is to come; name a later day than today")
            digest = digest_of("review-hold", ref, review_on=review_on.isoformat())
            accept(cursor, signed, "review-hold", ref, digest)
            holds.reviewed(cursor, ref, review_on)
            cases.settle_clocks(cursor, job.id, "met")
            intake.start_clocks(cursor, job.id, [_review_clock(job.now, review_on)])
            body = {"due_on": review_on, "signature": signed.signature_hex}
            event = Event("hold_reviewed", body, signed.actor)
            jobs.change(cursor, [Move(job, events=(event,))])

    def unheld(
        self, cursor: Cursor, subject: Subject, matter: str, reason: str
    ) -> tuple[Identity, ...]:
        """The identities of a person that no hold of this matter and reason covers yet."""
        held = holds.people_of(cursor, matter, reason)
        return tuple(
            i
            for i in subject.identities
            if held.isdisjoint(self._keys.index_digests(i.kind, i.value))
        )

    def release(self, ref: str, signed: SignedAction) -> holds.GoesOn | None:
        """Release a hold. What it kept goes later, by a promise or a sweep.

        Returns the promised erasures that waited for it, with the day of each; None without any.
        """
        with self._ledger.transaction() as cursor:
            job = _standing(cursor, ref)
            reason, matter = holds.reason_and_matter(cursor, ref)
            if reason == RESTRICTED:
                message = f"{ref} protects what {matter} restricts: `dsr lift {matter}` ends both"
                raise DecisionRefused(message)
            accept(cursor, signed, "release-hold", ref)
            goes_on = holds.release(cursor, ref, signed.actor)
            cases.settle_clocks(cursor, job.id, "met")
            event = Event("hold_released", {"signature": signed.signature_hex}, signed.actor)
            jobs.change(
                cursor,
                [Move(job, state="released", phase="released", closed_at=job.now, events=(event,))],
            )
        return goes_on

    def _systems(self, scope: Scope) -> Sequence[str]:
        if isinstance(scope, PeopleHeld):
            return sorted(self._materials.maps.systems)
        return [scope.system]


def _standing(cursor: Cursor, ref: str) -> Job:
    """The job of a hold, locked. Raises DecisionRefused where no such hold stands."""
    job = jobs.lock_ref(cursor, ref)
    if job is None or job.kind != "hold" or job.closed_at is not None:
        message = f"{ref} is no hold that stands; `dsr hold list` shows them"
        raise DecisionRefused(message)
    return job


def _review_clock(now: datetime, review_on: date) -> NewClock:
    """The clock by which a hold's review is warned of: overdue when its day has passed."""
    name = f"review-{review_on}"  # of its own for each review: warned of anew
    due_at = end_of_day(review_on, "UTC")
    return NewClock.of_house(name, due_at, review_on, now, citation="the hold's own day of review")


def hold_reasons(laws: Iterable[str]) -> frozenset[str]:
    """The codes of what these laws know as a ground to keep data from erasure."""
    rows = (row for name in laws for row in load_pack(name).exemptions)
    return frozenset(row.code for row in rows if Right.ERASURE in row.rights)


def hold_digest(scope: Scope, reason: str, matter: str, review_on: date) -> str:
    """The SHA-256 (hex) of what is held, why and until when somebody looks again: to be signed."""
    return digest_of(
        "place-hold",
        "new",
        scope={"kind": type(scope).__name__, **asdict(scope)},
        reason=reason,
        matter=matter,
        review_on=review_on.isoformat(),
    )


def _columns(scope: Scope) -> holds.ScopeColumns:
    match scope:
        case PeopleHeld():
            return holds.ScopeColumns("subject", None, None, None)
        case RowsHeld():
            return holds.ScopeColumns("rows", scope.system, scope.collection, scope.field)
        case _:
            return holds.ScopeColumns("dataset", scope.system, scope.collection, None)
