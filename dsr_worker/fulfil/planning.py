"""The plan of a case: what is to happen, in counts and grounds, and what an approval of it covers.

In: resolved cases, the findings of their `plan` steps. Out: plans on the jobs, by hash; moves to
approval, or past it where the organisation approves a kind by standing rule. A plan holds counts,
codes and keyed digests, no personal data.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from dsr_worker.contract import Resolves
from dsr_worker.domain.plan import upper_bound
from dsr_worker.domain.request import State
from dsr_worker.domain.resolution import not_applicable
from dsr_worker.engine.context import MAP_UNREVIEWED
from dsr_worker.engine.materials import Frozen, Materials
from dsr_worker.fulfil.plans import (
    CORRECTED,
    CORRECTIONS_DIGEST,
    free_texts,
    has_free_text,
    hash_of,
    reasons_void,
    rows_by_outcome,
)
from dsr_worker.fulfil.verbs import DEFERRED, LIFTING, REQUESTED
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.rows import DESK, Event, Job, Move, NewStep
from dsr_worker.organisation import Organisation

AUTOMATIC = "automatic"
SYSTEM_UNMAPPED = "system_unmapped"  # the data map has no such system any more
_ANSWERS = {
    "access": ("package", State.PACKAGING),
    **dict.fromkeys(REQUESTED, ("certify", State.CERTIFYING)),
}
"""What makes the answer of each kind, at once where no system can be asked."""


class Planner:
    """Plans cases and judges whether an approval still covers what would happen."""

    def __init__(self, materials: Materials, organisation: Organisation) -> None:
        self._materials = materials
        self._organisation = organisation

    @property
    def served(self) -> frozenset[str]:
        """The systems whose steps somebody works on: those of today's map, and the desk."""
        return frozenset(self._materials.maps.systems) | {DESK}

    def begin(self, jobs: Sequence[Job], found: Mapping[int, Sequence[Any]]) -> list[Move]:
        """Plan resolved cases: by a dry run in every system, or at once where nobody reads it."""
        return [self._begin(job, found[job.id]) for job in jobs]

    def _begin(self, job: Job, found: Sequence[Any]) -> Move:
        frozen_id = self._materials.freeze_anew(job.frozen, job.now)
        frozen = self._materials.frozen(frozen_id)
        if unreviewed(job, frozen):  # a mark may have come since it was resolved
            return stopped(job)
        kinds = {i.kind for i in found if i.standing != "contested"}
        known_in = set(frozen.systems) - set(not_applicable(frozen.systems, kinds))
        about = _about(job, frozen)
        systems = sorted(known_in & about)
        contested = sorted({i.kind for i in found if i.standing == "contested"})
        sketch = {
            "identities": sorted(bytes(i.digest).hex() for i in found if i.standing != "contested"),
            "systems": systems,
            "not_applicable": sorted(about - known_in),
            "contested": contested,
            "versions": dict(frozen.versions),
            "decided_at": frozen.decided_at.isoformat(),
            **_corrected(job),
        }
        kinds_found = _count_kinds(found)
        by_link = {"identity_kinds": kinds_found, "systems": systems}
        events = [Event("resolved", {**by_link, "identities": sketch["identities"]})]
        if contested:
            events.append(_contested(i for i in found if i.standing == "contested"))
        if job.kind == "access" and self._is_automatic(job) and not contested:
            unread = _places_of_free_text(frozen, systems)
            plan = {**sketch, "outcomes": [], "cutoffs": {}, "free_texts": unread}
            return self.approved(
                job,
                plan,
                (*events, *_planned(plan, frozen), _by_rule(plan, frozen)),
                frozen=frozen_id,
                facts={"approval": AUTOMATIC},
            )
        if not systems:  # nobody can be asked: the plan is that nothing is held
            proposed = self._propose(job._replace(plan=sketch, frozen=frozen_id), ())
            events += proposed.events
            return replace(proposed, job=job, frozen=frozen_id, events=tuple(events))
        step = "plan"
        return Move(
            job,
            state=State.PLANNING,
            phase=step,
            round=job.round + 1,
            frozen=frozen_id,
            plan=sketch,
            plan_hash=None,
            steps=tuple(NewStep(step, name, round=job.round + 1) for name in systems),
            events=tuple(events),
        )

    def _is_automatic(self, job: Job) -> bool:
        return getattr(self._organisation.approval, job.kind, None) == AUTOMATIC

    def propose(self, cursor: Cursor, jobs: Sequence[Job]) -> list[Move]:
        """Put plans together from their dry runs and lay them before an approver."""
        outcomes = _step_results(cursor, jobs, "plan")
        return [self._propose(job, outcomes[job.id]) for job in jobs]

    def _propose(self, job: Job, outcomes: Sequence[dict[str, Any]]) -> Move:
        frozen = self._materials.frozen(job.frozen)
        cutoffs = {
            name: at.isoformat()
            for system in sorted((job.plan or {})["systems"])
            for name, at in frozen.decisions[system].cutoffs().items()
        }
        plan = {**(job.plan or {}), "outcomes": list(outcomes), "cutoffs": cutoffs}
        if job.kind == "access":
            plan["free_texts"] = free_texts(frozen.systems, outcomes)
        return Move(
            job,
            state=State.AWAITING_APPROVAL,
            phase="approve",
            plan=plan,
            plan_hash=hash_of(plan),
            events=tuple(_planned(plan, frozen)),
        )

    def approved(
        self,
        job: Job,
        plan: Mapping[str, Any],
        events: Sequence[Event],
        *,
        frozen: int,
        **changes: Any,
    ) -> Move:
        """The move by which an approved case begins to be carried out.

        Before an erasure locates anything, every system is asked once more who the person is there.
        """
        action, names, effect, state = "find", plan["systems"], "read", State.WORKING
        if not names:
            action, state = _ANSWERS[job.kind]
            names, effect = [DESK], "idempotent"
        elif job.kind in {DEFERRED, LIFTING}:
            action = "locate"
        elif job.kind in REQUESTED:
            asked = self._materials.frozen(frozen)
            able = [n for n in names if self._materials.can(asked, n, Resolves)]
            action, names = ("confirm", able) if able else ("locate", names)
        number = job.round + 1
        return Move(
            job,
            state=state,
            phase=action,
            round=number,
            frozen=frozen,
            plan=plan,
            plan_hash=hash_of(plan),
            steps=tuple(NewStep(action, name, effect=effect, round=number) for name in names),
            events=tuple(events),
            **changes,
        )

    def voided_by_location(self, cursor: Cursor, jobs: Sequence[Job]) -> dict[int, list[str]]:
        """Cases of which more was located than their approval covers, with the reasons."""
        located = _step_results(cursor, jobs, "locate")
        return {
            job.id: reasons
            for job in jobs
            if (reasons := reasons_void(job.plan or {}, located[job.id]))
        }

    def exceeding_promises(self, cursor: Cursor, jobs: Sequence[Job]) -> dict[int, int]:
        """Deferred erasures that would change more rows than were promised, with how many.

        What is masked already and stays changes nothing and does not count.
        """
        cursor.execute(
            "SELECT s.job_id, sum((s.result->>'changes')::int) AS rows FROM steps s"
            " JOIN unnest(%s::bigint[], %s::int[]) AS j(id, round)"
            " ON j.id = s.job_id AND j.round = s.round"
            " WHERE s.action = 'locate' AND s.state = 'done' GROUP BY s.job_id",
            ([j.id for j in jobs], [j.round for j in jobs]),
        )
        would_change = {row.job_id: int(row.rows) for row in cursor.fetchall()}
        return {
            job.id: rows
            for job in jobs
            if (rows := would_change[job.id]) > upper_bound(job.facts["promised_rows"])
        }

    def voided_in_effect(self, cursor: Cursor, jobs: Sequence[Job]) -> dict[int, list[str]]:
        """Cases in which a system stopped right before an effect that goes beyond the approval."""
        cursor.execute(
            "SELECT s.job_id, s.result->'voided' AS reasons FROM steps s"
            " JOIN unnest(%s::bigint[], %s::int[]) AS j(id, round)"
            " ON j.id = s.job_id AND j.round = s.round"
            " WHERE s.action = 'apply' AND s.result ? 'voided'",
            ([j.id for j in jobs], [j.round for j in jobs]),
        )
        return {row.job_id: row.reasons for row in cursor.fetchall()}

    def again(self, jobs: Sequence[Job], reasons: Mapping[int, Sequence[str]]) -> list[Move]:
        """Void approvals and plan anew, by today's map and policies."""
        return [self._again(job, reasons[job.id]) for job in jobs]

    def _again(self, job: Job, reasons: Sequence[str]) -> Move:
        plan = job.plan or {}
        frozen_id = self._materials.freeze_anew(job.frozen, job.now)
        frozen = self._materials.frozen(frozen_id)
        if unreviewed(job, frozen):
            return stopped(job)
        if not set(plan["systems"]) <= set(frozen.systems):
            return _without_a_system(job, reasons[0])
        sketch = {k: plan[k] for k in ("identities", "systems", "not_applicable", "contested")} | {
            "versions": dict(frozen.versions),
            "decided_at": frozen.decided_at.isoformat(),
            **_corrected(job),
        }
        event = Event("approval_voided", {"plan_hash": job.plan_hash, "reason": reasons[0]})
        return Move(
            job,
            state=State.PLANNING,
            phase="plan",
            round=job.round + 1,
            frozen=frozen_id,
            plan=sketch,
            plan_hash=None,
            approved_by=None,
            facts={"voided": list(reasons)},
            steps=tuple(NewStep("plan", n, round=job.round + 1) for n in sketch["systems"]),
            events=(event,),
        )


def _without_a_system(job: Job, reason: str) -> Move:
    """The move by which a case waits that today's map, which lacks a system of it, cannot plan."""
    void = Event("approval_voided", {"plan_hash": job.plan_hash, "reason": reason})
    stop = Event("needs_human", {"code": SYSTEM_UNMAPPED})
    return Move(
        job,
        state=State.NEEDS_HUMAN,
        phase=SYSTEM_UNMAPPED,
        approved_by=None,
        events=(void, stop),
    )


def unreviewed(job: Job, frozen: Frozen) -> bool:
    """Whether a case would change rows by a map that nobody reviewed. Reading goes on under one."""
    return job.kind in REQUESTED and bool(frozen.unreviewed)


def _about(job: Job, frozen: Frozen) -> set[str]:
    """The systems that a case is about: a rectification those with corrections, others all."""
    return set(job.facts.get(CORRECTED, frozen.systems))


def _corrected(job: Job) -> dict[str, Any]:
    """What an approver of a rectification reads and signs: the fields, and a digest of the rest."""
    return {name: job.facts[name] for name in (CORRECTED, CORRECTIONS_DIGEST) if name in job.facts}


def stopped(job: Job, events: Sequence[Event] = (), **changes: Any) -> Move:
    """The move by which such a case waits for the review; `dsr retry` resolves it anew."""
    event = Event("needs_human", {"code": MAP_UNREVIEWED})
    return Move(
        job,
        state=State.NEEDS_HUMAN,
        phase=MAP_UNREVIEWED,
        events=(*events, event),
        **changes,
    )


def _places_of_free_text(frozen: Frozen, systems: Sequence[str]) -> dict[str, None]:
    """Where free text may be, uncounted: a case approved by standing rule has no dry run."""
    return {
        f"{name}.{collection.name}": None
        for name in systems
        for collection in frozen.systems[name].collections.values()
        if has_free_text(collection)
    }


def _planned(plan: Mapping[str, Any], frozen: Frozen) -> list[Event]:
    body = {
        "plan_hash": hash_of(plan),
        "systems": plan["systems"],
        "map_hash": frozen.versions["map"],
        "policy_hash": frozen.versions["policy"],
        "law_hash": frozen.versions["law"],
        "counts": rows_by_outcome(plan["outcomes"]),
    }
    return [Event("planned", body)]


def _by_rule(plan: Mapping[str, Any], frozen: Frozen) -> Event:
    """The approval that nobody signs: the organisation's standing rule for a kind of request."""
    body = {"plan_hash": hash_of(plan), "standing": True, "versions": dict(frozen.versions)}
    return Event("approved", body)


def _contested(found: Iterable[Any]) -> Event:
    shared = list(found)
    names = sorted(bytes(i.digest).hex() for i in shared)
    return Event("contested", {"identity_kinds": _count_kinds(shared), "identities": names})


def _count_kinds(found: Sequence[Any]) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for identity in found:
        counts[identity.kind] += 1
    return dict(counts)


def _step_results(
    cursor: Cursor, jobs: Sequence[Job], action: str
) -> dict[int, list[dict[str, Any]]]:
    cursor.execute(
        "SELECT s.job_id, s.result FROM steps s"
        " JOIN unnest(%s::bigint[], %s::int[]) AS j(id, round) ON j.id ="
        " s.job_id AND j.round = s.round"
        " WHERE s.action = %s AND s.state = 'done' ORDER BY s.job_id, s.system",
        ([j.id for j in jobs], [j.round for j in jobs], action),
    )
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in cursor.fetchall():
        found[row.job_id].extend((row.result or {}).get("outcomes", []))
    return found
