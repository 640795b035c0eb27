"""What follows what in a case: from verified identity to the made answer.

In: cases whose last awaited step has finished. Out: their moves. Runs inside the transaction that
finished the step, for many cases at once, with a fixed number of statements.

    contact -> send_code   (a person verifies)   -> resolve, round by round -> plan
    (a person approves)   access:  find -> package
                          others: confirm -> locate -> apply -> recheck -> certify
                          (a restriction: protect before apply)
    ready (a person delivers) -> closed, or answered with remainders -> find, on their day
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from dsr_worker.contract import Residences, Resolves, System
from dsr_worker.domain.request import State
from dsr_worker.domain.resolution import rounds
from dsr_worker.engine.materials import Frozen, Materials
from dsr_worker.engine.phases import followed
from dsr_worker.fulfil import planning
from dsr_worker.fulfil.asking import asked
from dsr_worker.fulfil.composing import LEFT
from dsr_worker.fulfil.laws import CaseLaws
from dsr_worker.fulfil.remaining import REMAINING, looked_in_vain, remaining
from dsr_worker.fulfil.verbs import DEFERRED, REQUESTED, RESTRICTION
from dsr_worker.ledger import cases, codes
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.rows import DESK, Event, Job, Move, NewStep

_MOST_RECHECKS = 3
PROMISE_EXCEEDED = "promise_exceeded"  # a due promise would change more rows than it promised
_ANSWERED = REQUESTED | {"access"}
"""Kinds of job whose answer is delivered to a person."""


class CaseCourse:
    """The course of cases, and of the jobs that promises and liftings are."""

    def __init__(
        self,
        materials: Materials,
        planner: planning.Planner,
        laws: CaseLaws,
        answer_within: timedelta,
    ) -> None:
        self._materials = materials
        self._planner = planner
        self._laws = laws
        self.answer_within = answer_within
        self._plans: dict[tuple[str, frozenset[str]], tuple[tuple[str, ...], ...]] = {}
        self._next = {
            "contact": self._after_contact,
            "send_code": self._after_send_code,
            "resolve": self._after_resolve,
            "plan": self._after_plan,
            "find": self._after_find,
            "package": self._after_answer,
            "confirm": self._after_confirm,
            "locate": self._after_locate,
            "protect": self._after_protect,
            "apply": self._after_apply,
            "recheck": self._after_recheck,
            "certify": self._after_answer,
        }

    def advance(self, cursor: Cursor, jobs: Sequence[Job]) -> list[Move]:
        """The moves of these cases, each of which waits for no step any more."""
        return followed(self._next, cursor, jobs)

    def resolving(
        self,
        cursor: Cursor,
        job: Job,
        kinds: Iterable[str],
        events: Sequence[Event],
        **changes: Any,
    ) -> Move:
        """The move by which a verified case begins to be resolved."""
        how = {k: v for k, v in changes.items() if k == "verified_how"}  # the answer tells it
        frozen = self._materials.frozen(job.frozen)
        if planning.unreviewed(job, frozen):
            return planning.stopped(job, events, facts=how, **changes)
        first = next(iter(self._rounds(frozen, frozenset(kinds))), ())
        number = job.round + 1
        if not first:
            (move,) = self._planner.begin([job], _identities(cursor, [job]))
            facts = {**move.facts, **how}
            return replace(move, events=(*events, *move.events), facts=facts, **changes)
        return Move(
            job,
            state=State.RESOLVING,
            phase="resolve",
            round=number,
            facts={"resolve_from": number, **how},
            steps=tuple(_resolve(name, number) for name in first),
            events=tuple(events),
            **changes,
        )

    def resolved_anew(self, cursor: Cursor, job: Job, event: Event) -> Move | list[str]:
        """The move of a case that waited for a review, by today's map; else what is unreviewed."""
        frozen_id = self._materials.freeze_anew(job.frozen, job.now)
        if marks := self._materials.frozen(frozen_id).unreviewed:
            return marks
        return self.begun_anew(cursor, job, event)

    def begun_anew(self, cursor: Cursor, job: Job, event: Event) -> Move:
        """The move by which a verified case without unfinished steps is resolved by today's map."""
        frozen_id = self._materials.freeze_anew(job.frozen, job.now)
        job = job._replace(pending=0)
        today = job._replace(frozen=frozen_id)
        verified = {i.kind for i in _identities(cursor, [job])[job.id] if i.standing == "verified"}
        move = self.resolving(cursor, today, verified, (event,), approved_by=None)
        return replace(move, job=job, frozen=frozen_id)

    # ---- verification

    def _after_contact(self, _cursor: Cursor, jobs: Sequence[Job]) -> list[Move]:
        step = NewStep("send_code", DESK, effect="manual")
        return [Move(job, phase="send_code", steps=(_again(step, job),)) for job in jobs]

    def _after_send_code(self, cursor: Cursor, jobs: Sequence[Job]) -> list[Move]:
        sent = codes.sent(cursor, [job.id for job in jobs])
        asking = [job for job in jobs if job.id in sent]
        events = asked(cursor, asking, self.answer_within)
        return [Move(job, phase="await_code", events=events.get(job.id, ())) for job in jobs]

    # ---- resolving and planning

    def _after_resolve(self, cursor: Cursor, jobs: Sequence[Job]) -> list[Move]:
        found = _identities(cursor, jobs)
        asking = [(job, self._following(job, found[job.id])) for job in jobs]
        moves = [
            Move(job, round=job.round + 1, steps=tuple(_resolve(n, job.round + 1) for n in systems))
            for job, systems in asking
            if systems
        ]
        closed = [job for job, systems in asking if not systems]
        begun = self._planner.begin(closed, found)
        return moves + self._laws.resolved(cursor, closed, begun)

    def _following(self, job: Job, found: Sequence[Any]) -> list[str]:
        frozen = self._materials.frozen(job.frozen)
        fresh = {i.kind for i in found if i.standing == "resolved" and i.round == job.round}
        plan = self._rounds(frozen, frozenset(i.kind for i in found if i.standing == "verified"))
        rounds_done = job.round - job.facts.get("resolve_from", 1) + 1
        if not fresh or rounds_done >= len(plan):
            return []
        return [name for name in plan[rounds_done] if _takes(frozen.systems[name], fresh)]

    def _rounds(self, frozen: Frozen, kinds: frozenset[str]) -> tuple[tuple[str, ...], ...]:
        asked = (frozen.versions["map"], kinds)
        if asked not in self._plans:
            self._plans[asked] = self._planned_rounds(frozen, kinds)
        return self._plans[asked]

    def _planned_rounds(self, frozen: Frozen, kinds: frozenset[str]) -> tuple[tuple[str, ...], ...]:
        able = {
            name: system
            for name, system in frozen.systems.items()
            if self._materials.can(frozen, name, Resolves)
            or self._materials.can(frozen, name, Residences)
        }
        return rounds(able, kinds)

    def _after_plan(self, cursor: Cursor, jobs: Sequence[Job]) -> list[Move]:
        return self._planner.propose(cursor, jobs)

    # ---- access

    def _after_find(self, cursor: Cursor, jobs: Sequence[Job]) -> list[Move]:
        step = NewStep("package", DESK, effect="idempotent")
        left = remaining(cursor, [job for job in jobs if REMAINING in job.facts])
        return [
            looked_in_vain(cursor, job, left.get(job.id))
            or Move(job, state=State.PACKAGING, phase="package", steps=(_again(step, job),))
            for job in jobs
        ]

    def _after_answer(self, cursor: Cursor, jobs: Sequence[Job]) -> list[Move]:
        return [
            Move(job, state=State.READY, phase="ready")
            if job.kind in _ANSWERED
            else self._closed(cursor, job)
            for job in jobs
        ]

    def _closed(self, cursor: Cursor, job: Job) -> Move:
        """A deferred erasure or a lifting answers nobody: its certificate is its end."""
        cases.settle_clocks(cursor, job.id, "met")
        event = Event("closed", {"response": "carried_out"})
        return Move(job, state=State.CLOSED, phase="closed", closed_at=job.now, events=(event,))

    # ---- what changes rows

    def _after_confirm(self, cursor: Cursor, jobs: Sequence[Job]) -> list[Move]:
        found = _identities(cursor, jobs)
        return [self._confirmed(cursor, job, found[job.id]) for job in jobs]

    def _confirmed(self, cursor: Cursor, job: Job, found: Sequence[Any]) -> Move:
        if not any(i.round == job.round and i.standing == "resolved" for i in found):
            steps = self._everywhere(job, "locate", "read")
            return Move(job, phase="locate", steps=steps)
        body = {"plan_hash": job.plan_hash, "reason": "new_identity"}
        verified = {i.kind for i in found if i.standing == "verified"}
        return self.resolving(
            cursor, job, verified, (Event("approval_voided", body),), approved_by=None
        )

    def _after_locate(self, cursor: Cursor, jobs: Sequence[Job]) -> list[Move]:
        void = self._planner.voided_by_location(cursor, [j for j in jobs if j.kind in REQUESTED])
        over = self._planner.exceeding_promises(cursor, [j for j in jobs if j.kind == DEFERRED])
        moves = self._planner.again([j for j in jobs if j.id in void], void)
        moves += [_exceeding(job, over[job.id]) for job in jobs if job.id in over]
        free = [job for job in jobs if job.id not in void and job.id not in over]
        return moves + [
            self._protecting(job) if job.kind == RESTRICTION else self._applying(job)
            for job in free
        ]

    def _after_protect(self, _cursor: Cursor, jobs: Sequence[Job]) -> list[Move]:
        return [self._applying(job) for job in jobs]

    def _protecting(self, job: Job) -> Move:
        """Before anything is restricted, a hold keeps others from erasing it."""
        step = NewStep("protect", DESK, effect="idempotent", round=job.round)
        return Move(job, phase="protect", steps=(step,))

    def _applying(self, job: Job) -> Move:
        return Move(job, phase="apply", steps=self._everywhere(job, "apply", "probe"))

    def _after_apply(self, cursor: Cursor, jobs: Sequence[Job]) -> list[Move]:
        void = self._planner.voided_in_effect(cursor, jobs)
        moves = self._planner.again([j for j in jobs if j.id in void], void)
        return moves + [
            Move(job, phase="recheck", steps=self._everywhere(job, "recheck", "read"))
            for job in jobs
            if job.id not in void
        ]

    def _after_recheck(self, cursor: Cursor, jobs: Sequence[Job]) -> list[Move]:
        cursor.execute(
            "SELECT job_id, sum((result->>'remaining')::int) AS remaining FROM steps"
            " WHERE job_id = ANY(%s) AND action = 'recheck' AND (job_id, round) IN"
            " (SELECT * FROM unnest(%s::bigint[], %s::int[])) GROUP BY job_id",
            ([j.id for j in jobs], [j.id for j in jobs], [j.round for j in jobs]),
        )
        remaining = {row.job_id: int(row.remaining) for row in cursor.fetchall()}
        return [self._certify_or_repeat(job, remaining.get(job.id, 0)) for job in jobs]

    def _certify_or_repeat(self, job: Job, remaining: int) -> Move:
        if remaining == 0 or LEFT in job.facts:
            step = NewStep("certify", DESK, effect="idempotent", round=job.round)
            return Move(job, state=State.CERTIFYING, phase="certify", steps=(step,))
        again = job.round + 1
        if job.facts.get("rechecks", 0) >= _MOST_RECHECKS:
            event = Event("needs_human", {"code": "found_again", "counts": {"rows": remaining}})
            return Move(job, state=State.NEEDS_HUMAN, phase="found_again", events=(event,))
        return Move(
            job,
            phase="locate",
            round=again,
            facts={"rechecks": job.facts.get("rechecks", 0) + 1},
            steps=self._everywhere(job._replace(round=again), "locate", "read"),
        )

    def _everywhere(self, job: Job, action: str, effect: str) -> tuple[NewStep, ...]:
        systems = (job.plan or {})["systems"]
        return tuple(NewStep(action, name, effect=effect, round=job.round) for name in systems)


def _exceeding(job: Job, rows: int) -> Move:
    counts = {"rows": rows, "promised": job.facts["promised_rows"]}
    event = Event("needs_human", {"code": PROMISE_EXCEEDED, "counts": counts})
    return Move(job, state=State.NEEDS_HUMAN, phase=PROMISE_EXCEEDED, events=(event,))


def _resolve(system: str, number: int) -> NewStep:
    return NewStep("resolve", system, round=number)


def _takes(system: System, kinds: Iterable[str]) -> bool:
    return any(c.identity_kinds & frozenset(kinds) for c in system.collections.values())


def _again(step: NewStep, job: Job) -> NewStep:
    return NewStep(step.action, step.system, step.effect, round=job.round)


def _identities(cursor: Cursor, jobs: Sequence[Job]) -> dict[int, list[Any]]:
    cursor.execute(
        "SELECT job_id, kind, digest, standing, round FROM identities WHERE job_id = ANY(%s)"
        " ORDER BY job_id, kind, digest",
        ([job.id for job in jobs],),
    )
    found: dict[int, list[Any]] = defaultdict(list)
    for row in cursor.fetchall():
        found[row.job_id].append(row)
    return found
