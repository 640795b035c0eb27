"""Fences and lost leases: no late word counts, nobody is charged for another's end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psycopg2
import pytest

from dsr_worker.contract import LeaseLost, NeedsHuman
from dsr_worker.engine.batch import Batch
from dsr_worker.ledger import steps
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.rows import Job, StepResult
from dsr_worker.ledger.statements import ALONE_LIMIT
from tests.integration.claims import claim_steps, dead_worker, execute, performs, step_of, submitted
from tests.integration.engine_room import EngineRoom

_RECEIPT: Mapping[str, Any] = {"collection": "customers", "outcomes": []}


def _stays(_cursor: Cursor, _jobs: Sequence[Job]) -> Sequence[Any]:
    return ()


class _Beside(threading.Thread):
    """Work done beside the test; what it raised, if anything."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self.raised: BaseException | None = None
        self.start()

    def run(self) -> None:
        """Do it."""
        try:
            self._work()
        except (LeaseLost, psycopg2.Error) as error:
            self.raised = error

    def ended(self) -> BaseException | None:
        """Wait for its end; what it raised."""
        self.join(100)
        assert not self.is_alive()
        return self.raised

    def blocked(self, room: EngineRoom) -> None:
        """Wait until it waits for a lock, or is over."""
        until = time.monotonic() + 100
        while self.is_alive() and not room.rows("SELECT 1 FROM pg_locks WHERE NOT granted"):
            assert time.monotonic() < until
            time.sleep(0.01)


# ---- fences and locks


def test_an_intent_never_lands_on_the_next_attempt(room: EngineRoom) -> None:
    """A step given to another worker while an intent is on its way keeps that intent out."""
    submitted(room)
    claimed = claim_steps(room)
    (claim,) = claimed.claims
    with room.office.ledger.transaction() as cursor:
        cursor.execute("UPDATE steps SET attempt = attempt + 1")
        late = _Beside(
            lambda: steps.intend(room.office.ledger, claimed.claims, {claim.id: [dict(_RECEIPT)]})
        )
        late.blocked(room)
        assert late.is_alive()
    assert isinstance(late.ended(), LeaseLost)
    assert room.rows("SELECT intent FROM steps WHERE id = %s", claim.id)[0].intent is None
    assert "intent" not in room.events(room.rows("SELECT ref FROM jobs")[0].ref)


def test_an_intent_is_refused_whole_when_any_of_its_batch_was_taken_away(
    room: EngineRoom,
) -> None:
    """One call, one transaction in the target: what may not happen for one happens for none."""
    submitted(room, 3)
    claimed = claim_steps(room)
    first, *others = claimed.claims
    execute(room, "UPDATE steps SET attempt = attempt + 1 WHERE id = %s", first.id)
    receipts = {c.id: [dict(_RECEIPT)] for c in others}
    with pytest.raises(LeaseLost):
        steps.intend(room.office.ledger, claimed.claims, receipts)
    assert not room.rows("SELECT 1 FROM steps WHERE intent IS NOT NULL")


def test_taking_back_and_a_late_finish_do_not_deadlock(
    room: EngineRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both lock the job first: a finish that got there keeps its result, nothing stops."""
    (ref,) = submitted(room)
    worker = dead_worker(room)
    claimed = claim_steps(room, worker)
    execute(room, "UPDATE steps SET charged = %s", ALONE_LIMIT)
    finish_steps = steps._finish_steps
    rescue: list[_Beside] = []

    def between(cursor: Cursor, results: Sequence[StepResult]) -> set[int]:
        rescue.append(_Beside(lambda: steps.take_back(room.office.ledger, [worker])))
        rescue[0].blocked(room)
        return finish_steps(cursor, results)

    monkeypatch.setattr(steps, "_finish_steps", between)
    results = [StepResult(c, result={}) for c in claimed.claims]
    finished = steps.finish(room.office.ledger, results, _stays)
    assert rescue[0].ended() is None
    assert finished.accepted == {c.id for c in claimed.claims}
    assert "needs_human" not in room.events(ref)


def test_suspects_of_a_death_let_others_go_first(room: EngineRoom) -> None:
    """What a dead worker held together with others waits two seconds: the rest is worked first."""
    submitted(room, 4)
    worker = dead_worker(room)
    suspects = {c.id for c in claim_steps(room, worker).claims}
    execute(room, "UPDATE steps SET urgency_at = urgency_at - interval '1 day'")
    later = room.submit("access", email="p.zq0009zq@mail.example")
    assert {row.id for row in steps.take_back(room.office.ledger, [worker])} == suspects
    order = [room.job(later)["id"], *(c.job_id for c in claim_steps(room).claims)]
    assert order == [room.job(later)["id"]] * 2
    assert steps.claim(room.office.ledger, "crm", room.workshop.worker.id) is None
    execute(room, "UPDATE steps SET run_at = run_at - interval '2 seconds' WHERE state = 'ready'")
    assert {c.id for c in claim_steps(room).claims} <= suspects


def test_a_lone_step_of_a_dead_worker_goes_again_at_once(room: EngineRoom) -> None:
    """A step that was alone is no suspect among others: its attempt is charged, nobody waits."""
    submitted(room)
    worker = dead_worker(room)
    (claim,) = claim_steps(room, worker).claims
    assert steps.take_back(room.office.ledger, [worker])
    (again,) = claim_steps(room).claims
    assert (again.id, again.charged) == (claim.id, 2)


def _loses_its_lease(_batch: Batch) -> Sequence[StepResult]:
    raise LeaseLost


def _no_wait(room: EngineRoom) -> None:
    execute(room, "UPDATE steps SET run_at = now() WHERE state = 'ready'")


def test_a_step_that_always_loses_its_lease_is_quarantined(room: EngineRoom) -> None:
    """Work that loses its lease by itself does not go round for ever: alone, it is charged."""
    (ref,) = submitted(room)
    performs(room, "resolve", _loses_its_lease)
    for charged in range(1, ALONE_LIMIT):
        room.workshop.drainer("crm")
        step = step_of(room, ref)
        assert (step.state, step.code, step.charged) == ("ready", "lease_lost", charged)
        _no_wait(room)
    room.workshop.drainer("crm")
    assert (step_of(room, ref).state, step_of(room, ref).code) == ("needs_human", "quarantined")
    assert room.events(ref).count("needs_human") == 1


def test_a_batch_that_always_loses_its_lease_comes_back_in_quarters(room: EngineRoom) -> None:
    """Whichever of them it is comes to stand alone; none of the others is charged for it."""
    refs = submitted(room, 8)
    performs(room, "resolve", _loses_its_lease)
    room.workshop.drainer("crm")
    found = [step_of(room, ref) for ref in refs]
    assert {(s.state, s.batch_cap, s.charged) for s in found} == {("ready", 2, 0)}


def test_a_decision_about_one_leaves_the_rest_of_its_batch_as_it_was(room: EngineRoom) -> None:
    """A person who withdraws one of several under work makes no suspect of the others."""
    refs = submitted(room, 3)

    def withdrawn(_batch: Batch) -> Sequence[StepResult]:
        room.office.decisions.withdraw(refs[0], room.sign("anna", "withdraw", refs[0]))
        performs(room, "resolve", performer)
        raise LeaseLost

    performer = room.workshop.drainer._performers["resolve"]
    before = {ref: step_of(room, ref) for ref in refs}
    claimed = claim_steps(room)
    performs(room, "resolve", withdrawn)
    room.workshop.drainer._work(claimed)
    for ref in refs[1:]:
        step = step_of(room, ref)
        assert (step.state, step.charged) == ("ready", 0)
        assert (step.batch_cap, step.run_at) == (before[ref].batch_cap, before[ref].run_at)
    assert step_of(room, refs[0]).state == "cancelled"


@pytest.mark.parametrize("why", ["stopping", "cut_off"])
def test_a_lone_step_is_not_charged_for_its_workers_end(room: EngineRoom, why: str) -> None:
    """A worker that stops, or lost its session, gives a lone step back as if never claimed."""
    (ref,) = submitted(room)
    worker = room.workshop.worker

    def interrupted(_batch: Batch) -> Sequence[StepResult]:
        if why == "stopping":
            worker.stopping.set()
        else:
            for lease in worker._leases:
                lease.lost.set()
        raise LeaseLost

    performs(room, "resolve", interrupted)
    room.workshop.drainer._work(claim_steps(room))
    step = step_of(room, ref)
    assert (step.state, step.charged, step.batch_cap) == ("ready", 0, 200)


@pytest.mark.parametrize("pairs", [[(0, 1)], [(0, 5)], [(0, 1), (2, 6)], [(0, 4), (4, 6)]])
def test_a_stop_that_only_several_meet_together_is_theirs_all(
    room: EngineRoom, pairs: list[tuple[int, int]]
) -> None:
    """A batch is never split until a contradiction within it is gone; the others go on."""
    refs = [room.submit("erasure", email=f"p.zq{n:04x}zq@mail.example") for n in range(7)]
    drainer: Any = room.workshop.drainer
    planned = drainer._performers["plan"]

    def contradicts(batch: Batch) -> Sequence[StepResult]:
        those = {m.job.ref for m in batch.members}
        if refs[3] in those:
            raise NeedsHuman("cut", {"collection": "carts"})
        if any({refs[one], refs[two]} <= those for one, two in pairs):
            raise NeedsHuman("contradict", {"collection": "customers"})
        results: Sequence[StepResult] = planned(batch)
        return results

    performs(room, "plan", contradicts)
    room.settle()
    stopped = {
        ref: {(s[3], s[4]) for s in room.steps(ref) if s[0] == "plan" and s[1] == "crm"}
        for ref in refs
    }
    assert stopped.pop(refs[3]) == {("needs_human", "cut")}
    met = {ref for ref, found in stopped.items() if found == {("needs_human", "contradict")}}
    assert met <= {refs[n] for pair in pairs for n in pair}
    assert all(met & {refs[one], refs[two]} for one, two in pairs)
    assert len(met) == len(pairs) * 2 or any(a[1] == b[0] for a in pairs for b in pairs)
    rest = {
        (state, code) for ref, found in stopped.items() if ref not in met for state, code in found
    }
    assert rest == {("done", "")}
    (details,) = {
        str(r.details) for r in room.rows("SELECT details FROM steps WHERE code = 'contradict'")
    }
    assert "customers" in details
