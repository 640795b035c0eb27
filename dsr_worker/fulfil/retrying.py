"""What trying again means, by where a case stands: the same once more, or anew by today's rules.

In: a job locked in a transaction in which a person retries it. Out: its move, or none where its
stopped steps are simply to be tried again. Nothing that somebody approved is widened by a retry:
what is planned anew is approved anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from dsr_worker.contract import System
from dsr_worker.domain.plan import VoidCode
from dsr_worker.domain.request import State
from dsr_worker.engine.context import MAP_UNREVIEWED
from dsr_worker.engine.materials import Materials
from dsr_worker.fulfil.access import PACKAGE_REFUSED
from dsr_worker.fulfil.course import PROMISE_EXCEEDED, CaseCourse
from dsr_worker.fulfil.decided import DecisionRefused
from dsr_worker.fulfil.planning import SYSTEM_UNMAPPED, Planner
from dsr_worker.fulfil.promises import UNOPENABLE
from dsr_worker.fulfil.verbs import DEFERRED, LIFTING, REQUESTED
from dsr_worker.ledger import answers, cases, promises
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.rows import Event, Job, Move

_RESUMED = frozenset({"access_unfinished", "found_again", PROMISE_EXCEEDED})
"""Stops of a whole case after its approval, from which a person lets it go on."""
_NOT_STARTED = frozenset({UNOPENABLE, SYSTEM_UNMAPPED, MAP_UNREVIEWED})
"""Stops of a promise that could not be started."""
_SHOWN_MARKS = 5


class Retrying:
    """Says how a job goes on when a person has it tried again."""

    def __init__(self, materials: Materials, course: CaseCourse, planner: Planner) -> None:
        self._materials = materials
        self._course = course
        self._planner = planner

    def move(self, cursor: Cursor, job: Job, event: Event) -> Move | None:
        """The move that trying again is; None where stopped steps are tried again as they are.

        Steps that the move does not go on with are let go. Raises DecisionRefused.
        """
        if job.state == State.NEEDS_HUMAN:
            return self._from_a_stop(cursor, job, event)
        if _must_be_found_anew(cursor, job):
            cases.cancel_steps(cursor, job.id)
            return self._course.begun_anew(cursor, job, event)
        if self._is_refused(cursor, job) and self._is_outgrown(job):
            return self._planned_anew(cursor, job, event)
        renewed = self._renewed(cursor, job, event)
        if renewed is not None:
            cases.cancel_steps(cursor, job.id)
        return renewed

    def _from_a_stop(self, cursor: Cursor, job: Job, event: Event) -> Move | None:
        """How a case goes on that stopped as a whole.

        An erasure that waited in vain for the person's access case goes on without it; one whose
        rows were found again is located and carried out once more. A promise that met more rows
        than were promised is located again, and goes on once a fresh erasure has taken the others;
        one that could not be started comes due again, as a job of its own. A case that stopped at
        an unreviewed map is resolved anew, by today's.
        """
        if job.phase in _RESUMED:
            again = {"rechecks": 0}
            return self._planner.approved(
                job, job.plan or {}, (event,), frozen=job.frozen, facts=again
            )
        if job.phase == MAP_UNREVIEWED and job.kind in REQUESTED:
            move = self._course.resolved_anew(cursor, job, event)
            if isinstance(move, list):
                raise DecisionRefused(_still_marked(move))
            return move
        if job.phase == SYSTEM_UNMAPPED and job.kind in REQUESTED:
            return self._planned_anew(cursor, job, event)
        return _given_back(cursor, job, event) if job.phase in _NOT_STARTED else None

    def _planned_anew(self, cursor: Cursor, job: Job, event: Event) -> Move:
        """How approved work goes on that was refused before any effect, the map having changed.

        Its approval is void. A system that the map has no more is left out, unless something was
        changed before, which it still has to account for.
        """
        gone = sorted(set((job.plan or {})["systems"]) - set(self._materials.maps.systems))
        if gone and cases.took_effect(cursor, job.id):
            message = (
                f"{job.ref} has changed rows already, and the data map has no {', '.join(gone)} any"
                f" more: put it back, then `dsr retry {job.ref}`; where nothing helps,"
                f" `dsr leave {job.ref}`"
            )
            raise DecisionRefused(message)
        cases.cancel_steps(cursor, job.id)
        if gone:  # whom it was about may be known by another way now
            void = {"plan_hash": job.plan_hash, "reason": VoidCode.RULES_CHANGED}
            move = self._course.begun_anew(cursor, job, Event("approval_voided", void))
        else:
            reasons = {job.id: [VoidCode.RULES_CHANGED]}
            (move,) = self._planner.again([job._replace(pending=0)], reasons)
        return replace(move, events=(event, *move.events))

    def _renewed(self, cursor: Cursor, job: Job, event: Event) -> Move | None:
        """How a promise or a lifting that stopped before any effect begins anew by today's rules.

        Both rest on decisions that no map is part of, so that nobody approves again. A lifting
        frees by the means that restricted: where these changed it keeps to its own map.
        """
        is_own = job.kind in {DEFERRED, LIFTING} and job.state == State.WORKING
        if not is_own or cases.took_effect(cursor, job.id):
            return None
        if not cases.at_a_stand(cursor, job.id, self._planner.served):
            return None
        before = self._materials.frozen(job.frozen)
        frozen_id = self._materials.freeze_anew(job.frozen, job.now)
        today = self._materials.frozen(frozen_id)
        systems: Sequence[str] = (job.plan or {})["systems"]
        if today.versions == before.versions or not set(systems) <= set(today.systems):
            return None
        if job.kind == LIFTING and any(
            _means(before.systems[name]) != _means(today.systems[name]) for name in systems
        ):
            return None
        rules = {"versions": dict(today.versions), "decided_at": today.decided_at.isoformat()}
        plan = {**(job.plan or {}), **rules}
        return self._planner.approved(job._replace(pending=0), plan, (event,), frozen=frozen_id)

    def _is_refused(self, cursor: Cursor, job: Job) -> bool:
        """Whether systems refused approved work, or are away, and none was about to commit it."""
        is_approved = job.state == State.WORKING and job.kind in REQUESTED
        return is_approved and cases.refused(cursor, job.id, self._planner.served)

    def _is_outgrown(self, job: Job) -> bool:
        """Whether today's map is another than the one that a case was planned with."""
        return self._materials.frozen(job.frozen).versions["map"] != self._materials.maps.hash


def _must_be_found_anew(cursor: Cursor, job: Job) -> bool:
    """Whether an access case has found what no package can hold, or its package is gone."""
    if job.kind != "access":
        return False
    if job.state == State.PACKAGING:
        return cases.stuck(cursor, job.id, PACKAGE_REFUSED)
    made = answers.of(cursor, job.id) if job.state == State.READY else None
    return made is not None and made.destroyed_at is not None


def _given_back(cursor: Cursor, job: Job, event: Event) -> Move:
    promises.give_back(cursor, job.id)
    cases.settle_clocks(cursor, job.id, "void")
    closed = Event("closed", {"response": "given_back", "reason": job.phase}, event.actor)
    return Move(job, state=State.CLOSED, phase="closed", closed_at=job.now, events=(event, closed))


def _means(system: System) -> dict[str, Any]:
    """By what, and under which keys, the rows of each collection are restricted."""
    return {c.name: (c.key, c.restriction) for c in system.collections.values() if c.restriction}


def _still_marked(marks: Sequence[str]) -> str:
    """Which marks stand: names of the map, never values."""
    shown = ", ".join(marks[:_SHOWN_MARKS])
    more = f" and {len(marks) - _SHOWN_MARKS} more" if len(marks) > _SHOWN_MARKS else ""
    return f"the data map is marked `review` at {shown}{more}: look at these, take the marks out"
