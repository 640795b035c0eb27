"""What people decide about sweeps: start, approve, plan again, abandon; and standing approvals.

In: a policy's name or a sweep's reference, and a signed action. Out: a move in one transaction, and
the systems to ring for. Each refusal says why and what is possible.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dsr_worker.contract import Sweeps as CanSweep
from dsr_worker.domain.decision import DecisionError, canonical_json
from dsr_worker.domain.request import State
from dsr_worker.engine.materials import Materials
from dsr_worker.ledger import Ledger, cases, intake, jobs, sweeps
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.intake import NewJob
from dsr_worker.ledger.rows import Event, Job, Move, moved
from dsr_worker.people import ActorRefused, SignedAction, accept
from dsr_worker.policies import Policy
from dsr_worker.sweep import scope
from dsr_worker.sweep.course import (
    MANUAL,
    approved,
    certifying,
    first_move,
    limits_in_event,
)
from dsr_worker.vault import KeyRing

STANDING = "standing_approval"
_NEVER_URGENT = timedelta(days=3650)
"""No statute dates a sweep: it comes after every case, and keeps its share of the claims."""


class SweepRefused(ValueError):  # noqa: N818 - reads as what happened
    """This cannot be done with the sweep or policy; the text says why and what is possible."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What a decision brought about."""

    ref: str
    state: str
    ring: tuple[str, ...] = ()
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Order:
    """What a sweep of a policy is to work on, as frozen now."""

    frozen: int
    systems: tuple[str, ...]
    facts: dict[str, Any]


class SweepDecisions:
    """Starts sweeps and carries out people's decisions on them."""

    def __init__(self, ledger: Ledger, keys: KeyRing, materials: Materials) -> None:
        self._ledger = ledger
        self._keys = keys
        self._materials = materials

    def policy(self, name: str) -> Policy:
        """The policy in force of this name. Raises SweepRefused."""
        known = self._materials.policies.by_name
        if name not in known:
            names = ", ".join(sorted(known)) or "none"
            raise SweepRefused(f"no policy {name} is in force; there are: {names}")
        return known[name]

    # ---- one sweep

    def start(self, policy: str, signed: SignedAction) -> Decided:
        """Start a sweep of a policy by hand. Signed: `sweep` on the policy's name, with its hash.

        Raises SweepRefused (another is open, nothing to sweep), ActorRefused.
        """
        found = self.policy(policy)
        with self._ledger.transaction() as cursor:
            accept(cursor, signed, "sweep", policy, found.hash)
            already = sweeps.open_sweep(cursor, policy)
            if already is not None:
                raise SweepRefused(
                    f"{already[1]} of this policy is open: approve, retry or abandon it first"
                )
            job, ring = self.begin(cursor, found, MANUAL, signed)
        return Decided(job.ref, State.PLANNING, tuple(ring))

    def begin(
        self, cursor: Cursor, policy: Policy, trigger: str, signed: SignedAction | None = None
    ) -> tuple[Job, list[str]]:
        """Make the job of a sweep, its first event and its first steps; the systems to ring for."""
        now = sweeps.business_now(cursor)
        order = self._order(policy, now)
        sweeps.keep_text(cursor, policy.hash, policy.text)
        _, wrapped = self._keys.new_case_key()
        inserted = intake.insert(
            cursor,
            NewJob(
                prefix="S",
                kind=sweeps.SWEEP,
                state=State.PLANNING.value,
                phase="received",
                frozen=order.frozen,
                urgency_at=now + _NEVER_URGENT,
                data_key=wrapped,
                submitted_by=signed.actor if signed else None,
                channel=trigger,
                zone=policy.file.zone,
                facts={**order.facts, "trigger": trigger},
            ),
        )
        job = jobs.lock(cursor, [inserted.id])[inserted.id]
        body = {
            "request_kind": sweeps.SWEEP,
            "channel": trigger,
            "policy_hash": policy.hash,
            "policy_version": policy.file.version,
            "map_hash": self._materials.maps.hash,
            "signature": signed.signature_hex if signed else None,
        }
        event = Event("submitted", body, signed.actor if signed else "")
        return job, jobs.change(cursor, [first_move(job, order.systems, (event,))])

    def approve(self, ref: str, plan_hash: str, signed: SignedAction) -> Decided:
        """Approve the plan of this hash. Whoever started a sweep never approves it."""
        with self._ledger.transaction() as cursor:
            job = self._sweep(cursor, ref, signed, "approve", plan_hash)
            if job.state != State.AWAITING_APPROVAL:
                raise SweepRefused(f"{ref} is {job.state}: there is no plan to approve")
            if job.plan is None or job.plan_hash != plan_hash:
                raise SweepRefused(
                    "the plan has changed: look at it again and approve what it says now"
                )
            if job.submitted_by == signed.actor:
                raise ActorRefused("whoever started a sweep cannot approve it: ask a second person")
            body = {
                "policy": job.facts["policy"],
                "policy_hash": job.facts["policy_hash"],
                "plan_hash": plan_hash,
                "standing": False,
                "signature": signed.signature_hex,
            }
            event = Event("sweep_approved", body, signed.actor)
            return _changed(cursor, approved(job, (event,), signed.actor))

    def plan_again(self, ref: str, signed: SignedAction) -> Decided:
        """Count anew by today's map, policies and instant; an approval is void with it.

        Refused while a system is in the middle of it: that is to be retried or abandoned. What
        units had changed by the time another one stopped stays on record.
        """
        with self._ledger.transaction() as cursor:
            job = self._sweep(cursor, ref, signed, "plan-again")
            _require_open(job)
            if sweeps.under_way(cursor, job.id) or sweeps.in_doubt(cursor, job.id):
                raise SweepRefused(
                    f"{ref} is under way in a system: let it end, retry it, or abandon it"
                )
            order = self._order(self.policy(job.facts["policy"]), job.now)
            changed = sweeps.unfinished_intents(cursor, job.id)
            sweeps.account_for_intents(cursor, job.id, changed, seen=True)
            cases.cancel_steps(cursor, job.id)
            event = Event(
                "approval_voided",
                {"plan_hash": job.plan_hash, "reason": "planned_again"},
                signed.actor,
            )
            move = first_move(
                job._replace(pending=0),
                order.systems,
                (event,),
                frozen=order.frozen,
                facts=order.facts,
            )
            return _changed(cursor, move)

    def abandon(self, ref: str, reason: str, signed: SignedAction) -> Decided:
        """End a sweep. What it did until now is certified; what was not reached stays.

        `reason` is a code.
        """
        with self._ledger.transaction() as cursor:
            job = self._sweep(cursor, ref, signed, "abandon")
            _require_open(job)
            intents = sweeps.unfinished_intents(cursor, job.id)
            sweeps.account_for_intents(cursor, job.id, intents)
            cases.cancel_steps(cursor, job.id)
            job = job._replace(pending=0, facts={**job.facts, "abandoned": reason})
            event = Event("note_added", {"reason": reason}, signed.actor)
            if sweeps.done(cursor, [job])[job.id]:
                return _changed(cursor, certifying(job, None, (event,)))
            closed = Event("closed", {"response": "abandoned", "reason": reason}, signed.actor)
            move = Move(
                job,
                state=State.CLOSED,
                phase="closed",
                closed_at=job.now,
                events=(event, closed),
            )
            return _changed(cursor, move)

    # ---- standing approvals

    def grant(
        self,
        policy: str,
        rows: int,
        share: float,
        signed: SignedAction,
        expires_at: datetime | None = None,
    ) -> Decided:
        """Let scheduled sweeps of exactly this policy go on by themselves inside these limits.

        Signed: `grant` on the policy's name, with `standing_digest`. Limits above the policy's own
        are refused. The first sweep, and one that looks in new collections, still asks a person.
        """
        found = self.policy(policy)
        own = found.file.limits
        if not 0 <= rows <= own.rows or not 0 <= share <= own.share:
            raise SweepRefused(
                f"the policy lets one sweep touch up to {own.rows} rows and a share of {own.share}"
                " without a person: stay inside that, or change the policy"
            )
        digest = standing_digest(found.hash, rows, share, expires_at)
        row = sweeps.StandingRow(found.hash, rows, share, signed.actor, expires_at, None)
        with self._ledger.transaction() as cursor:
            accept(cursor, signed, "grant", policy, digest)
            sweeps.keep_text(cursor, found.hash, found.text)
            sweeps.grant(cursor, policy, row)
            body = {
                "policy": policy,
                "policy_hash": found.hash,
                "plan_hash": digest,
                "limits": limits_in_event(rows, share),
                "standing": True,
                "signature": signed.signature_hex,
            }
            return self._noted(cursor, policy, "granted", body, signed)

    def revoke(self, policy: str, signed: SignedAction) -> Decided:
        """End every standing approval of a policy. Signed: `revoke` on the policy's name."""
        with self._ledger.transaction() as cursor:
            accept(cursor, signed, "revoke", policy)
            if not sweeps.revoke(cursor, policy):
                raise SweepRefused(f"no standing approval of {policy} is in force")
            body = {"policy": policy, "standing": False, "signature": signed.signature_hex}
            return self._noted(cursor, policy, "revoked", body, signed)

    # ---- shared

    def _order(self, policy: Policy, now: datetime) -> _Order:
        frozen_id = self._materials.freeze(None, now)
        frozen = self._materials.frozen(frozen_id)
        limits = scope.limits_of(policy)
        try:
            found = {
                name: scope.reached(scope.narrowed(decisions, limits))
                for name, decisions in sorted(frozen.decisions.items())
            }
        except DecisionError as error:
            raise SweepRefused(str(error)) from None
        bound = [name for name, reached in found.items() if reached]
        able = [name for name in bound if self._materials.can(frozen, name, CanSweep)]
        if not able:
            raise SweepRefused(
                f"{policy.name} lets nothing go: no collection that can be swept has a class of"
                " which it says keep_at_most"
            )
        facts = {
            "policy": policy.name,
            "policy_hash": policy.hash,
            "policy_version": policy.file.version,
            "limits": limits,
            "cannot_sweep": sorted(set(bound) - set(able)),
        }
        return _Order(frozen_id, tuple(able), facts)

    def _noted(
        self,
        cursor: Cursor,
        policy: str,
        state: str,
        body: dict[str, Any],
        signed: SignedAction,
    ) -> Decided:
        """Give a standing approval's granting or end an event chain of its own, as holds have."""
        now = sweeps.business_now(cursor)
        _, wrapped = self._keys.new_case_key()
        inserted = intake.insert(
            cursor,
            NewJob(
                prefix="A",
                kind=STANDING,
                state=state,
                phase=state,
                frozen=self._materials.freeze(None, now),
                urgency_at=now + _NEVER_URGENT,
                data_key=wrapped,
                submitted_by=signed.actor,
                facts={"policy": policy},
            ),
        )
        job = jobs.lock(cursor, [inserted.id])[inserted.id]
        event = Event("sweep_approved", body, signed.actor)
        jobs.change(cursor, [Move(job, closed_at=job.now, events=(event,))])
        return Decided(inserted.ref, state)

    def _sweep(
        self, cursor: Cursor, ref: str, signed: SignedAction, action: str, plan_hash: str = ""
    ) -> Job:
        job = jobs.lock_ref(cursor, ref)
        if job is None or job.kind != sweeps.SWEEP:
            raise SweepRefused(f"there is no sweep {ref}; `dsr status` lists the open ones")
        accept(cursor, signed, action, ref, plan_hash)
        return job


def standing_digest(
    policy_hash: str, rows: int, share: float, expires_at: datetime | None = None
) -> str:
    """The SHA-256 (hex) of a standing approval's content, for the approver to sign."""
    stated = {
        "policy_hash": policy_hash,
        "rows": rows,
        "share": share,
        "expires_at": expires_at.isoformat() if expires_at else None,
    }
    return hashlib.sha256(canonical_json(stated).encode()).hexdigest()


def _require_open(job: Job) -> None:
    if job.closed_at is not None or job.state == State.CERTIFYING:
        raise SweepRefused(f"{job.ref} is {job.state}: there is nothing left to decide")


def _changed(cursor: Cursor, move: Move) -> Decided:
    ring: Sequence[str] = jobs.change(cursor, [move])
    return Decided(move.job.ref, str(moved(move.state, move.job.state)), tuple(ring))
