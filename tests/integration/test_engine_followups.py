"""The step protocol under contention, and what a tick may cost and must not destroy."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from alembic.script import ScriptDirectory

from dsr_worker.contract import Configuration, LeaseLost, NeedsHuman
from dsr_worker.engine import upkeep
from dsr_worker.engine.batch import Batch, Performer
from dsr_worker.engine.sealing import seal_events
from dsr_worker.ledger import jobs, migrating, migrations, slots, steps
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.rows import Job, Move, StepResult
from dsr_worker.ledger.statements import ALONE_LIMIT
from dsr_worker.store import new_name
from tests.integration.engine_room import EngineRoom

_RECEIPT: Mapping[str, Any] = {"collection": "customers", "outcomes": []}


@pytest.fixture
def room(tmp_path: Path, database: Callable[[], str]) -> EngineRoom:
    """An installation with ten people in two systems."""
    made = EngineRoom(tmp_path, database())
    made.load_people(10)
    return made


def _submit(room: EngineRoom, count: int = 1) -> list[str]:
    return [room.submit("access", email=f"p.zq{n:04x}zq@mail.example") for n in range(count)]


def _claim(room: EngineRoom, worker: int | None = None) -> steps.Claimed:
    by = room.workshop.worker.id if worker is None else worker
    claimed = steps.claim(room.office.ledger, "crm", by)
    assert claimed is not None
    return claimed


def _execute(room: EngineRoom, sql: str, *values: object) -> None:
    with room.office.ledger.transaction() as cursor:
        cursor.execute(sql, values)


def _stays(_cursor: Cursor, _jobs: Sequence[Job]) -> Sequence[Any]:
    return ()


def _dead_worker(room: EngineRoom) -> int:
    """A worker whose session has ended."""
    session = room.office.ledger.connect()
    session.autocommit = True
    try:
        return slots.enlist(session, "elsewhere")
    finally:
        session.close()


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
        self.join(20)
        assert not self.is_alive()
        return self.raised

    def blocked(self, room: EngineRoom) -> None:
        """Wait until it waits for a lock, or is over."""
        until = time.monotonic() + 10
        while self.is_alive() and not room.rows("SELECT 1 FROM pg_locks WHERE NOT granted"):
            assert time.monotonic() < until
            time.sleep(0.01)


# ---- fences and locks


def test_an_intent_never_lands_on_the_next_attempt(room: EngineRoom) -> None:
    """A step given to another worker while an intent is on its way keeps that intent out."""
    _submit(room)
    claimed = _claim(room)
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
    _submit(room, 3)
    claimed = _claim(room)
    first, *others = claimed.claims
    _execute(room, "UPDATE steps SET attempt = attempt + 1 WHERE id = %s", first.id)
    receipts = {c.id: [dict(_RECEIPT)] for c in others}
    with pytest.raises(LeaseLost):
        steps.intend(room.office.ledger, claimed.claims, receipts)
    assert not room.rows("SELECT 1 FROM steps WHERE intent IS NOT NULL")


def test_taking_back_and_a_late_finish_do_not_deadlock(
    room: EngineRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both lock the job first: a finish that got there keeps its result, nothing stops."""
    (ref,) = _submit(room)
    worker = _dead_worker(room)
    claimed = _claim(room, worker)
    _execute(room, "UPDATE steps SET charged = %s", ALONE_LIMIT)
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
    _submit(room, 4)
    worker = _dead_worker(room)
    suspects = {c.id for c in _claim(room, worker).claims}
    _execute(room, "UPDATE steps SET urgency_at = urgency_at - interval '1 day'")
    later = room.submit("access", email="p.zq0009zq@mail.example")
    assert {row.id for row in steps.take_back(room.office.ledger, [worker])} == suspects
    order = [room.job(later)["id"], *(c.job_id for c in _claim(room).claims)]
    assert order == [room.job(later)["id"]] * 2
    assert steps.claim(room.office.ledger, "crm", room.workshop.worker.id) is None
    _execute(room, "UPDATE steps SET run_at = run_at - interval '2 seconds' WHERE state = 'ready'")
    assert {c.id for c in _claim(room).claims} <= suspects


def test_a_lone_step_of_a_dead_worker_goes_again_at_once(room: EngineRoom) -> None:
    """A step that was alone is no suspect among others: its attempt is charged, nobody waits."""
    _submit(room)
    worker = _dead_worker(room)
    (claim,) = _claim(room, worker).claims
    assert steps.take_back(room.office.ledger, [worker])
    (again,) = _claim(room).claims
    assert (again.id, again.charged) == (claim.id, 2)


# ---- leases lost over the work


def _perform(room: EngineRoom, action: str, performer: Performer) -> None:
    performers: Any = room.workshop.drainer._performers
    performers[action] = performer


def _loses_its_lease(_batch: Batch) -> Sequence[StepResult]:
    raise LeaseLost


def _step(room: EngineRoom, ref: str) -> Any:
    (row,) = room.rows(
        "SELECT s.* FROM steps s JOIN jobs j ON j.id = s.job_id"
        " WHERE j.ref = %s AND s.action = 'resolve' AND s.system = 'crm'",
        ref,
    )
    return row


def _no_wait(room: EngineRoom) -> None:
    _execute(room, "UPDATE steps SET run_at = now() WHERE state = 'ready'")


def test_a_step_that_always_loses_its_lease_is_quarantined(room: EngineRoom) -> None:
    """Work that loses its lease by itself does not go round for ever: alone, it is charged."""
    (ref,) = _submit(room)
    _perform(room, "resolve", _loses_its_lease)
    for charged in range(1, ALONE_LIMIT):
        room.workshop.drainer("crm")
        step = _step(room, ref)
        assert (step.state, step.code, step.charged) == ("ready", "lease_lost", charged)
        _no_wait(room)
    room.workshop.drainer("crm")
    assert (_step(room, ref).state, _step(room, ref).code) == ("needs_human", "quarantined")
    assert room.events(ref).count("needs_human") == 1


def test_a_batch_that_always_loses_its_lease_comes_back_in_quarters(room: EngineRoom) -> None:
    """Whichever of them it is comes to stand alone; none of the others is charged for it."""
    refs = _submit(room, 8)
    _perform(room, "resolve", _loses_its_lease)
    room.workshop.drainer("crm")
    found = [_step(room, ref) for ref in refs]
    assert {(s.state, s.batch_cap, s.charged) for s in found} == {("ready", 2, 0)}


def test_a_decision_about_one_leaves_the_rest_of_its_batch_as_it_was(room: EngineRoom) -> None:
    """A person who withdraws one of several under work makes no suspect of the others."""
    refs = _submit(room, 3)

    def withdrawn(_batch: Batch) -> Sequence[StepResult]:
        room.office.decisions.withdraw(refs[0], room.sign("anna", "withdraw", refs[0]))
        _perform(room, "resolve", performer)
        raise LeaseLost

    performer = room.workshop.drainer._performers["resolve"]
    before = {ref: _step(room, ref) for ref in refs}
    claimed = _claim(room)
    _perform(room, "resolve", withdrawn)
    room.workshop.drainer._work(claimed)
    for ref in refs[1:]:
        step = _step(room, ref)
        assert (step.state, step.charged) == ("ready", 0)
        assert (step.batch_cap, step.run_at) == (before[ref].batch_cap, before[ref].run_at)
    assert _step(room, refs[0]).state == "cancelled"


@pytest.mark.parametrize("why", ["stopping", "cut_off"])
def test_a_lone_step_is_not_charged_for_its_workers_end(room: EngineRoom, why: str) -> None:
    """A worker that stops, or lost its session, gives a lone step back as if never claimed."""
    (ref,) = _submit(room)
    worker = room.workshop.worker

    def interrupted(_batch: Batch) -> Sequence[StepResult]:
        if why == "stopping":
            worker.stopping.set()
        else:
            for lease in worker._leases:
                lease.lost.set()
        raise LeaseLost

    _perform(room, "resolve", interrupted)
    room.workshop.drainer._work(_claim(room))
    step = _step(room, ref)
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

    _perform(room, "plan", contradicts)
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


# ---- what is logged


def test_a_wrong_configuration_is_logged_without_what_caused_it(
    room: EngineRoom, caplog: pytest.LogCaptureFixture
) -> None:
    """A driver's words, and a traceback with them, stay out of the log; the connector's do not."""

    def misconfigured(_batch: Batch) -> Sequence[StepResult]:
        message = "the role lacks a right"
        raise Configuration(message) from ValueError("zq-secret-zq")

    (ref,) = _submit(room)
    _perform(room, "resolve", misconfigured)
    room.workshop.drainer("crm")
    assert (_step(room, ref).state, _step(room, ref).code) == ("needs_human", "configuration")
    (record,) = [r for r in caplog.records if r.getMessage() == "step_stopped"]
    assert vars(record)["why"] == "Configuration: the role lacks a right"
    assert record.exc_info is None
    assert "zq-secret-zq" not in caplog.text


# ---- what a tick may cost

_FINISHED = """
INSERT INTO jobs (ref, kind, state, phase, frozen, urgency_at, closed_at, head_seq)
SELECT 'X-' || n, 'access', 'closed', 'done', (SELECT min(id) FROM frozen),
       now() + interval '20 days', now(), 1 FROM generate_series(1, 4000) n;
INSERT INTO steps (job_id, action, system, frozen, effect, state, urgency_at, finished_at)
SELECT id, 'find', s, frozen, 'read', 'done', urgency_at, now()
FROM jobs, unnest(ARRAY['crm', 'files', 'desk']) s WHERE closed_at IS NOT NULL;
INSERT INTO packages (job_id, blob, kind, size_bytes, sha256, expires_at, handed_over_at)
SELECT id, 'packages/' || id, 'package', 1, '', now() + interval '30 days', now()
FROM jobs WHERE closed_at IS NOT NULL;
INSERT INTO clocks (job_id, name, citation, verified, zone, started_at, due_at,
                    conservative_due_at, state, settled_at)
SELECT id, 'respond', '', true, 'UTC', now(), now(), now(), 'met', now()
FROM jobs WHERE closed_at IS NOT NULL;
"""
_UNDER_WORK = """
INSERT INTO jobs (ref, kind, state, phase, frozen, urgency_at, pending)
SELECT 'P-' || n, 'access', 'working', 'find', (SELECT min(id) FROM frozen),
       now() + interval '20 days', 1 FROM generate_series(1, 4000) n;
INSERT INTO steps (job_id, action, system, frozen, effect, state, urgency_at)
SELECT id, 'find', s, frozen, 'read', CASE s WHEN 'crm' THEN 'done' ELSE 'ready' END, urgency_at
FROM jobs, unnest(ARRAY['crm', 'files']) s WHERE phase = 'find';
INSERT INTO spools (step_id, job_id, name, frame)
SELECT s.id, s.job_id, 'records', jsonb_build_object('segment', 'records/' || s.job_id / 200)
FROM steps s JOIN jobs j ON j.id = s.job_id WHERE j.phase = 'find' AND s.state = 'done';
"""
_READ = """
SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::int AS rows
FROM pg_stat_user_tables WHERE relname IN ('jobs', 'steps', 'spools', 'packages', 'clocks')
"""


@pytest.mark.parametrize("load", [_FINISHED, _UNDER_WORK], ids=["finished", "under_work"])
def test_a_tick_reads_no_more_rows_the_more_there_are(room: EngineRoom, load: str) -> None:
    """Thousands of finished steps, or of spools still needed, cost a tick next to nothing."""
    _submit(room)
    room.settle()
    _execute(room, load)
    session = room.office.ledger.connect()
    session.autocommit = True
    try:
        with session.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
            room.tick()
            room.office.ledger.dispose()  # a session tells what it read when it ends
            before = _settled_count(cursor)
            for _ in range(3):
                for duty in room.workshop.duties():
                    duty()
            room.office.ledger.dispose()
            assert _settled_count(cursor) - before < 3 * 300
    finally:
        session.close()


def _settled_count(cursor: Any) -> int:
    """How many rows of the large tables were read so far, once every session has told."""
    before = -1
    while True:
        time.sleep(0.3)
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(_READ)
        (now,) = cursor.fetchone()
        if now == before:
            return int(now)
        before = now


def test_a_case_that_becomes_urgent_under_work_is_urgent_when_it_comes_back(
    room: EngineRoom,
) -> None:
    """A step that was leased when its case came inside its lead time may use the reserved slots."""
    (ref,) = _submit(room)
    _claim(room)
    _execute(room, "UPDATE jobs SET urgency_at = now() WHERE ref = %s", ref)
    room.tick()
    assert _step(room, ref).urgent


def test_spools_go_when_the_last_case_of_their_segment_is_answered(room: EngineRoom) -> None:
    """A segment stays for as long as one of its cases needs it, whoever was answered before."""
    refs = _submit(room, 3)
    room.settle()
    room.tick()
    assert list(room.office.store.names("records/")) == []
    assert not room.rows("SELECT 1 FROM spools")
    segment = _blob(room, "records", 0)
    for ref in refs[:2]:
        _execute(
            room,
            "INSERT INTO spools (step_id, job_id, name, frame)"
            " SELECT s.id, j.id, 'again', %s::jsonb FROM jobs j JOIN steps s ON s.job_id = j.id"
            " WHERE j.ref = %s LIMIT 1",
            json.dumps({"segment": segment}),
            ref,
        )
    _execute(room, "UPDATE jobs SET state = 'working' WHERE ref = ANY(%s)", refs[:2])
    for ref, stays in zip(refs, (True, False), strict=False):
        with room.office.ledger.transaction() as cursor:
            job = jobs.lock_ref(cursor, ref)
            assert job is not None
            jobs.change(cursor, [Move(job, state="ready")])
        room.tick()
        assert room.office.store.exists(segment) is stays


# ---- orphans


def _blob(room: EngineRoom, kind: str, days: int) -> str:
    name = new_name(kind, (datetime.now(UTC) - timedelta(days=days)).date())
    with room.office.store.write(name) as blob:
        blob.write(b"sealed")
    return name


def _upkeep(room: EngineRoom) -> None:
    _execute(room, "DELETE FROM chores")
    upkeep.upkeep(room.office.ledger, room.office.store)()


@pytest.mark.parametrize("kind", upkeep.KINDS)
def test_a_blob_that_no_row_names_goes_after_a_day(room: EngineRoom, kind: str) -> None:
    """What a worker wrote and nobody recorded does not stay for ever; a young one may be in use."""
    old, young = _blob(room, kind, 3), _blob(room, kind, 0)
    certificate = _blob(room, "certificates", 3)
    _upkeep(room)
    assert not room.office.store.exists(old)
    assert room.office.store.exists(young)
    assert room.office.store.exists(certificate)


def test_a_blob_that_a_row_names_never_goes(room: EngineRoom) -> None:
    """Spools, packages and approved notices keep their blobs, however old these are."""
    (ref,) = _submit(room)
    job = room.job(ref)["id"]
    segments = [_blob(room, kind, 400) for kind in ("keys", "records", "people")]
    package, drafts = _blob(room, "packages", 400), _blob(room, "drafts", 400)
    for name in segments:
        _execute(
            room,
            "INSERT INTO spools (step_id, job_id, name, frame)"
            " SELECT id, job_id, %s, %s FROM steps WHERE job_id = %s LIMIT 1",
            name,
            json.dumps({"segment": name}),
            job,
        )
    _execute(
        room,
        "INSERT INTO packages (job_id, blob, kind, size_bytes, sha256) VALUES (%s, %s, 'p', 1, '')",
        job,
        package,
    )
    _execute(
        room,
        "UPDATE jobs SET kind = 'breach', facts = %s WHERE id = %s",
        json.dumps({"approved": {"drafts": drafts}}),
        job,
    )
    _upkeep(room)
    assert all(room.office.store.exists(name) for name in (*segments, package, drafts))


def test_a_blob_of_work_that_has_run_for_days_stays(room: EngineRoom) -> None:
    """A segment written before its step's finish is nobody's until then, and is waited for."""
    _submit(room)
    _claim(room)
    _execute(room, "UPDATE steps SET started_at = now() - interval '5 days' WHERE state = 'leased'")
    during, before = _blob(room, "keys", 4), _blob(room, "keys", 7)
    _upkeep(room)
    assert room.office.store.exists(during)
    assert not room.office.store.exists(before)


def test_upkeep_is_done_once_an_hour_whoever_ticks(room: EngineRoom) -> None:
    """The store is listed once an hour for all workers and commands together."""
    _upkeep(room)
    old = _blob(room, "keys", 3)
    upkeep.upkeep(room.office.ledger, room.office.store)()
    assert room.office.store.exists(old)
    _execute(room, "UPDATE chores SET done_at = now() - interval '61 minutes'")
    upkeep.upkeep(room.office.ledger, room.office.store)()
    assert not room.office.store.exists(old)


def test_old_nonces_are_forgotten_and_fresh_ones_never(room: EngineRoom) -> None:
    """A nonce is kept for far longer than a signature is taken, and not for ever."""
    _submit(room, 2)
    (kept, *_), (gone, *_) = room.rows("SELECT nonce FROM used_nonces")
    _execute(
        room, "UPDATE used_nonces SET used_at = now() - interval '25 hours' WHERE nonce = %s", gone
    )
    _upkeep(room)
    assert [row.nonce for row in room.rows("SELECT nonce FROM used_nonces")] == [kept]


# ---- sealing


def test_every_event_is_sealed_once_whatever_is_looked_at(room: EngineRoom) -> None:
    """Jobs are marked while they have unsealed events; all are covered once, no mark stays."""
    _submit(room, 3)
    seal = seal_events(room.office.ledger, room.office.keys, room.office.checkpoints, every_s=0)
    seal()
    assert not room.rows("SELECT 1 FROM jobs WHERE unsealed")
    room.settle()
    assert room.rows("SELECT 1 FROM jobs WHERE unsealed")
    seal()
    assert not room.rows("SELECT 1 FROM jobs WHERE unsealed")
    covered = room.rows(
        "SELECT e.job_id, e.seq, count(s.*) AS times FROM events e LEFT JOIN seals s"
        " ON s.job_id = e.job_id AND e.seq BETWEEN s.from_seq AND s.to_seq GROUP BY 1, 2"
    )
    assert {row.times for row in covered} == {1}
    assert len(covered) == sum(row.head_seq for row in room.rows("SELECT head_seq FROM jobs"))


def test_the_schema_that_is_asked_for_is_the_newest_migration() -> None:
    """The revision a process asks for without Alembic is the one that Alembic brings about."""
    newest = ScriptDirectory.from_config(migrating.scripts()).get_current_head()
    assert newest == migrations.HEAD
