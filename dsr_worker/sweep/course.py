"""What follows what in a sweep: counted, approved, carried out, counted again, certified, closed.

In: sweeps whose last awaited step has finished. Out: their moves, inside the transaction that
finished the step, with a fixed number of statements for many sweeps at once.

    sweep_plan -> (a person, or a standing approval approves)
    sweep_apply -> sweep_recount -> sweep_certify -> closed
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dsr_worker.domain.request import State
from dsr_worker.engine.materials import Materials
from dsr_worker.engine.phases import followed
from dsr_worker.ledger import sweeps
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.rows import DESK, Event, Job, Move, NewStep
from dsr_worker.sweep import proposal
from dsr_worker.sweep.counts import changed_rows
from dsr_worker.sweep.proposal import Standing

PLAN, APPLY, RECOUNT, CERTIFY = "sweep_plan", "sweep_apply", "sweep_recount", "sweep_certify"
SCHEDULE, MANUAL = "schedule", "manual"


class SweepCourse:
    """The course of sweeps."""

    def __init__(self, materials: Materials) -> None:
        self._materials = materials
        self._next = {
            PLAN: self._after_plan,
            APPLY: self._after_apply,
            RECOUNT: self._after_recount,
            CERTIFY: self._after_certify,
        }

    def advance(self, cursor: Cursor, jobs: Sequence[Job]) -> list[Move]:
        """The moves of these sweeps, each of which waits for no step any more."""
        return followed(self._next, cursor, jobs)

    # ---- the plan

    def _after_plan(self, cursor: Cursor, jobs: Sequence[Job]) -> list[Move]:
        found = sweeps.results(cursor, jobs, PLAN)
        plans = {job.id: self._plan(job, found[job.id]) for job in jobs}
        scheduled = sorted({str(j.facts["policy"]) for j in jobs if j.facts["trigger"] == SCHEDULE})
        standing = sweeps.standing(cursor, scheduled) if scheduled else {}
        before = sweeps.swept_before(cursor, scheduled) if scheduled else {}
        done = sweeps.done(cursor, jobs)
        return [
            self._propose(
                job,
                plans[job.id],
                [_standing(row) for row in standing.get(job.facts["policy"], ())],
                before.get(job.facts["policy"], frozenset()),
            )
            if plans[job.id]["rows"]
            else _nothing_due(job, plans[job.id], done[job.id])
            for job in jobs
        ]

    def _plan(self, job: Job, found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        frozen = self._materials.frozen(job.frozen)
        outcomes = [o for result in found.values() for o in result["outcomes"]]
        return {
            "policy": job.facts["policy"],
            "policy_version": job.facts["policy_version"],
            "policy_hash": job.facts["policy_hash"],
            "systems": sorted(found),
            "cannot_sweep": job.facts["cannot_sweep"],
            "collections": [
                [system, name] for system in sorted(found) for name in found[system]["collections"]
            ],
            "outcomes": outcomes,
            "rows": changed_rows(outcomes),
            "share": max((float(r["share"]) for r in found.values()), default=0.0),
            "not_due": {system: result["not_due"] for system, result in found.items()},
            "samples": {system: result["samples"] for system, result in found.items()},
            "versions": dict(frozen.versions),
            "decided_at": frozen.decided_at.isoformat(),
            "cutoffs": {n: at for r in found.values() for n, at in r["cutoffs"].items()},
        }

    def _propose(
        self,
        job: Job,
        plan: Mapping[str, Any],
        standing: Sequence[Standing],
        before: frozenset[tuple[str, str]],
    ) -> Move:
        why = "by_hand"
        if job.facts["trigger"] == SCHEDULE:
            why = proposal.stops(plan, standing, before, job.now)
        if why:
            return Move(
                job,
                state=State.AWAITING_APPROVAL,
                phase="approve",
                plan=plan,
                plan_hash=proposal.hash_of(plan),
                facts={"stopped": why},
                events=(_planned(plan, State.AWAITING_APPROVAL, why),),
            )
        mine = next(s for s in standing if s.policy_hash == plan["policy_hash"])
        return approved(
            job._replace(plan=dict(plan), plan_hash=proposal.hash_of(plan)),
            (_planned(plan, State.WORKING, "standing_approval"), _by_standing(plan, mine)),
            mine.approved_by,
        )

    # ---- carried out

    def _after_apply(self, _cursor: Cursor, jobs: Sequence[Job]) -> list[Move]:
        return [Move(job, phase=RECOUNT, steps=_everywhere(job, RECOUNT, "read")) for job in jobs]

    def _after_recount(self, cursor: Cursor, jobs: Sequence[Job]) -> list[Move]:
        found = sweeps.results(cursor, jobs, RECOUNT)
        return [
            certifying(job, sum(r["remaining"] for r in found[job.id].values())) for job in jobs
        ]

    def _after_certify(self, cursor: Cursor, jobs: Sequence[Job]) -> list[Move]:
        counts = sweeps.done(cursor, jobs)
        return [_closed(job, counts[job.id]) for job in jobs]


def first_move(job: Job, systems: Sequence[str], events: Sequence[Event], **changes: Any) -> Move:
    """The move by which a sweep is counted, for the first time or anew."""
    number = job.round + 1
    return Move(
        job,
        state=State.PLANNING,
        phase=PLAN,
        round=number,
        plan=None,
        plan_hash=None,
        approved_by=None,
        steps=tuple(NewStep(PLAN, name, round=number, sweep=True) for name in systems),
        events=tuple(events),
        **changes,
    )


def approved(job: Job, events: Sequence[Event], actor: str) -> Move:
    """The move by which a planned sweep begins to be carried out."""
    return Move(
        job,
        state=State.WORKING,
        phase=APPLY,
        plan=job.plan,
        plan_hash=job.plan_hash,
        approved_by=actor,
        steps=_everywhere(job, APPLY, "probe"),
        events=tuple(events),
    )


def certifying(job: Job, remaining: int | None, events: Sequence[Event] = ()) -> Move:
    """The move by which what was done is certified."""
    step = NewStep(CERTIFY, DESK, effect="idempotent", round=job.round, sweep=True)
    return Move(
        job,
        state=State.CERTIFYING,
        phase=CERTIFY,
        facts={"remaining": remaining},
        steps=(step,),
        events=tuple(events),
    )


def _everywhere(job: Job, action: str, effect: str) -> tuple[NewStep, ...]:
    systems = (job.plan or {})["systems"]
    return tuple(
        NewStep(action, name, effect=effect, round=job.round, sweep=True) for name in systems
    )


def _nothing_due(job: Job, plan: Mapping[str, Any], done: Mapping[str, int]) -> Move:
    """Close it; a sweep that was planned again certifies first what it did before."""
    planned = _planned(plan, State.CLOSED, "nothing_due")
    if done:
        return replace(certifying(job, 0, (planned,)), plan=plan, plan_hash=proposal.hash_of(plan))
    ended = Event("sweep_done", {"policy": plan["policy"], "counts": {}, "remaining": 0})
    closed = Event("closed", {"response": "nothing_due"})
    return Move(
        job,
        state=State.CLOSED,
        phase="closed",
        plan=plan,
        plan_hash=proposal.hash_of(plan),
        closed_at=job.now,
        events=(planned, ended, closed),
    )


def _closed(job: Job, counts: Mapping[str, int]) -> Move:
    done = Event(
        "sweep_done",
        {
            "policy": job.facts["policy"],
            "counts": dict(counts),
            "remaining": job.facts.get("remaining"),
        },
    )
    response = "abandoned" if "abandoned" in job.facts else "swept"
    return Move(
        job,
        state=State.CLOSED,
        phase="closed",
        closed_at=job.now,
        events=(done, Event("closed", {"response": response, "counts": dict(counts)})),
    )


def _planned(plan: Mapping[str, Any], state: State, why: str) -> Event:
    by_outcome: dict[str, int] = defaultdict(int)
    for outcome in plan["outcomes"]:
        by_outcome[outcome["outcome"]] += outcome["rows"]
    body = {
        "policy": plan["policy"],
        "policy_version": plan["policy_version"],
        "policy_hash": plan["policy_hash"],
        "map_hash": plan["versions"]["map"],
        "plan_hash": proposal.hash_of(plan),
        "systems": plan["systems"],
        "counts": dict(by_outcome),
        "new_state": state.value,
        "code": why,
    }
    return Event("sweep_planned", body)


def _by_standing(plan: Mapping[str, Any], standing: Standing) -> Event:
    body = {
        "policy": plan["policy"],
        "policy_hash": plan["policy_hash"],
        "plan_hash": proposal.hash_of(plan),
        "limits": limits_in_event(standing.rows, standing.share),
        "standing": True,
    }
    return Event("sweep_approved", body, standing.approved_by)


def limits_in_event(rows: int, share: float) -> dict[str, int]:
    """Limits as counts: events hold no fractions."""
    return {"rows": rows, "share_per_million": round(share * 1_000_000)}


def _standing(row: sweeps.StandingRow) -> Standing:
    return Standing(
        row.policy_hash,
        row.max_rows,
        row.max_share,
        row.approved_by,
        row.expires_at,
        row.revoked_at,
    )
