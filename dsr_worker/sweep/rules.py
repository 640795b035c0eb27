"""What people decide about a store's own rules: see the diff, propose it, approve it, look again.

In: a system's name, signed actions. Out: a plan with its hash; rules in the store, once a second
person has approved the very plan that the first proposed; checks. The store's rules have no brake
and ask nobody, so each installation is approved by two, and what is due already goes by a sweep.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from dsr_worker.contract import (
    StandingCheck,
    StandingOrder,
    StandingPlan,
    StandingRules,
)
from dsr_worker.domain.decision import DecisionError, canonical_json
from dsr_worker.engine.context import refuse_unreviewed
from dsr_worker.engine.materials import Frozen, Materials
from dsr_worker.engine.standing import StandingGuard, as_facts, ways_of, withdrawn
from dsr_worker.ledger import Ledger, holds, intake, jobs, standing_rules, sweeps
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.intake import NewJob
from dsr_worker.ledger.rows import Event, Job, Move
from dsr_worker.ledger.standing_rules import INSTALLING, PROPOSED, STANDING
from dsr_worker.people import ActorRefused, SignedAction, accept
from dsr_worker.sweep.decisions import Decided, SweepRefused
from dsr_worker.vault import KeyRing

_NEVER_URGENT = timedelta(days=3650)
REPLACED = "replaced"


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan as people see it. `proposed_by` proposed this very plan and waits for a second."""

    system: str
    plan: StandingPlan
    hash: str
    proposed_by: str | None
    ref: str | None


@dataclass(frozen=True, slots=True)
class _Look:
    """What a plan was made from."""

    frozen: Frozen
    store: StandingRules
    orders: tuple[StandingOrder, ...]
    plan: StandingPlan
    now: datetime

    def hash_of(self, system: str) -> str:
        stated = {
            "system": system,
            "ways": [asdict(way) for way in self.plan.ways],
            "diffs": [asdict(diff) for diff in self.plan.diffs],
            "seen": self.plan.seen,
            "versions": {name: self.frozen.versions[name] for name in ("map", "policy")},
        }
        return hashlib.sha256(canonical_json(stated).encode()).hexdigest()


class StandingDecisions:
    """Plans a store's rules and carries out people's decisions on them."""

    def __init__(
        self, ledger: Ledger, keys: KeyRing, materials: Materials, guard: StandingGuard
    ) -> None:
        self._ledger = ledger
        self._keys = keys
        self._materials = materials
        self._guard = guard

    def planned(self, system: str) -> Planned:
        """The diff as of now. Changes nothing. Raises SweepRefused, ConnectorError."""
        look = self._look(system)
        plan_hash = look.hash_of(system)
        with self._ledger.transaction() as cursor:
            waiting = _proposal(cursor, system, plan_hash)
        by, ref = (waiting.submitted_by, waiting.ref) if waiting else (None, None)
        return Planned(system, look.plan, plan_hash, by, ref)

    def propose(self, system: str, plan_hash: str, signed: SignedAction) -> Decided:
        """Propose a plan for a second person. Signed: `propose-rules` on the system, its hash.

        An earlier proposal for the system is replaced.
        """
        look = self._look_at(system, plan_hash)
        with self._ledger.transaction() as cursor:
            accept(cursor, signed, "propose-rules", system, plan_hash)
            for job in standing_rules.opened(cursor, [system]):
                if job.state == PROPOSED:
                    withdrawn(cursor, job, (), (), REPLACED, signed.actor)
            job = self._insert(cursor, look, system, plan_hash, signed)
        return Decided(job.ref, PROPOSED)

    def approve(self, system: str, plan_hash: str, signed: SignedAction) -> Decided:
        """Install a proposed plan. Signed: `approve-rules` on the system, its hash.

        Never by whoever proposed it. The ledger says that the store may hold the rules before it
        does; they are written while no hold can be placed in the system, and read back.

        Raises SweepRefused (the plan is another by now), ActorRefused, ConnectorError.
        """
        look = self._look_at(system, plan_hash)
        with self._ledger.transaction() as cursor:
            accept(cursor, signed, "approve-rules", system, plan_hash)
            job = _proposal(cursor, system, plan_hash)
            if job is None:
                raise SweepRefused("nobody has proposed this plan: propose it first")
            if job.submitted_by == signed.actor:
                message = "whoever proposed the rules cannot approve them: ask a second person"
                raise ActorRefused(message)
            body = _body(look, system, plan_hash, signed)
            event = Event("rules_approved", body, signed.actor)
            _move(cursor, job, INSTALLING, event, approved_by=signed.actor)
        return self._install(look, job.id, system)

    def verify(self, system: str) -> list[StandingCheck]:
        """List what the rules that stand should have let go; recorded in their chain.

        Of an installation whose end nobody saw, rules that are there stand from now on.
        """
        with self._ledger.transaction() as cursor:
            last = standing_rules.may_stand(cursor, [system])[-1:]
        checks: list[StandingCheck] = []
        for job in last:
            store = self._guard.store(self._materials.frozen(job.frozen), system)
            if store is not None:
                checks += store.verify(ways_of(job.facts), job.now)
        with self._ledger.transaction() as cursor:
            for job in jobs.lock(cursor, [j.id for j in last]).values():
                jobs.add_event(cursor, job, Event("rules_verified", _counted(system, checks)))
                if job.state == INSTALLING and not any(check.faults for check in checks):
                    seen = jobs.lock(cursor, [job.id])[job.id]
                    _move(cursor, seen, STANDING, _installed(seen))
        return checks

    # ---- inside

    def _look_at(self, system: str, plan_hash: str) -> _Look:
        look = self._look(system)
        if look.hash_of(system) != plan_hash:
            raise SweepRefused("the plan has changed: look at it again and decide on what it says")
        return look

    def _look(self, system: str) -> _Look:
        with self._ledger.transaction() as cursor:
            now = sweeps.business_now(cursor)
        frozen = self._materials.frozen(self._materials.freeze(None, now))
        store = self._guard.store(frozen, system)
        if store is None:
            raise SweepRefused(
                f"the store of {system} has no rules of its own that we could write; everything in"
                " it goes by sweeps (`dsr sweep plan POLICY`)"
            )
        refuse_unreviewed(frozen.systems[system])
        try:
            with self._ledger.transaction() as cursor:
                orders = self._guard.orders(cursor, frozen, system)
        except DecisionError as error:
            raise SweepRefused(str(error)) from None
        return _Look(frozen, store, orders, store.standing(orders, now), now)

    def _install(self, look: _Look, job_id: int, system: str) -> Decided:
        with self._ledger.transaction() as cursor:
            holds.share_lock(cursor, system)
            if self._guard.orders(cursor, look.frozen, system) != look.orders:
                raise SweepRefused(
                    "a hold was placed or released meanwhile: nothing was installed; see"
                    f" `dsr retention rules {system}`"
                )
            job = jobs.lock(cursor, [job_id])[job_id]
            if job.state != INSTALLING:
                raise SweepRefused(f"{job.ref} is {job.state}: nothing was installed")
            look.store.install(look.plan)
            for older in standing_rules.may_stand(cursor, [system]):
                if older.id != job_id:
                    withdrawn(cursor, older, (), (), REPLACED)
            event = _installed(job)
            rules = any(way.rule for way in look.plan.ways)
            if rules:
                _move(cursor, job, STANDING, event)
            else:
                jobs.add_event(cursor, job, event)
                job = jobs.lock(cursor, [job_id])[job_id]
                withdrawn(cursor, job, (), (), "none_suffices")
        return Decided(job.ref, STANDING if rules else standing_rules.WITHDRAWN)

    def _insert(
        self, cursor: Cursor, look: _Look, system: str, plan_hash: str, signed: SignedAction
    ) -> Job:
        _, wrapped = self._keys.new_case_key()
        inserted = intake.insert(
            cursor,
            NewJob(
                prefix="R",
                kind=standing_rules.STANDING_RULES,
                state=PROPOSED,
                phase=PROPOSED,
                frozen=look.frozen.id,
                urgency_at=look.now + _NEVER_URGENT,
                data_key=wrapped,
                submitted_by=signed.actor,
                facts={"system": system, "ways": as_facts(look.plan.ways)},
            ),
        )
        job = jobs.lock(cursor, [inserted.id])[inserted.id]
        event = Event("rules_proposed", _body(look, system, plan_hash, signed), signed.actor)
        jobs.add_event(cursor, job, event, plan_hash=plan_hash)
        return job


def _proposal(cursor: Cursor, system: str, plan_hash: str) -> Job | None:
    waiting = [j for j in standing_rules.opened(cursor, [system]) if j.state == PROPOSED]
    return next((job for job in waiting if job.plan_hash == plan_hash), None)


def _move(cursor: Cursor, job: Job, state: str, event: Event, **changes: Any) -> None:
    jobs.change(cursor, [Move(job, state=state, phase=state, events=(event,), **changes)])


def _body(look: _Look, system: str, plan_hash: str, signed: SignedAction) -> dict[str, Any]:
    return {
        "system": system,
        "plan_hash": plan_hash,
        "collections": [way.collection for way in look.plan.ways if way.rule],
        "map_hash": look.frozen.versions["map"],
        "policy_hash": look.frozen.versions["policy"],
        "signature": signed.signature_hex,
    }


def _installed(job: Job) -> Event:
    ways = ways_of(job.facts)
    body = {
        "system": job.facts["system"],
        "plan_hash": job.plan_hash,
        "collections": [way.collection for way in ways],
        "counts": {way.collection: way.after_days for way in ways},
    }
    return Event("rules_installed", body)


def _counted(system: str, checks: Sequence[StandingCheck]) -> dict[str, Any]:
    return {
        "system": system,
        "counts": {check.collection: check.overdue for check in checks},
        "remaining": sum(check.overdue for check in checks),
        "collections": [check.collection for check in checks if not check.sound],
    }
