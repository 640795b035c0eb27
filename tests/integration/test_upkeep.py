"""A tick costs little however much there is, logs no value, and forgets what nobody names."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from alembic.script import ScriptDirectory

from dsr_worker.contract import Configuration
from dsr_worker.engine import upkeep
from dsr_worker.engine.batch import Batch
from dsr_worker.engine.sealing import seal_events
from dsr_worker.ledger import jobs, migrating, migrations
from dsr_worker.ledger.rows import Move, StepResult
from dsr_worker.store import new_name
from tests.integration.claims import claim_steps, execute, performs, step_of, submitted
from tests.integration.engine_room import EngineRoom

# ---- what is logged


def test_a_wrong_configuration_is_logged_without_what_caused_it(
    room: EngineRoom, caplog: pytest.LogCaptureFixture
) -> None:
    """A driver's words, and a traceback with them, stay out of the log; the connector's do not."""

    def misconfigured(_batch: Batch) -> Sequence[StepResult]:
        message = "the role lacks a right"
        raise Configuration(message) from ValueError("zq-secret-zq")

    (ref,) = submitted(room)
    performs(room, "resolve", misconfigured)
    room.workshop.drainer("crm")
    assert (step_of(room, ref).state, step_of(room, ref).code) == ("needs_human", "configuration")
    (record,) = [r for r in caplog.records if r.getMessage() == "step_stopped"]
    assert vars(record)["why"] == "Configuration: the role lacks a right"
    assert record.exc_info is None
    assert "zq-secret-zq" not in caplog.text


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
_OTHERS = """
SELECT FROM pg_stat_activity WHERE datname = current_database()
  AND backend_type = 'client backend' AND pid NOT IN (pg_backend_pid(), %s)
"""


@pytest.mark.parametrize("load", [_FINISHED, _UNDER_WORK], ids=["finished", "under_work"])
def test_a_tick_reads_no_more_rows_the_more_there_are(room: EngineRoom, load: str) -> None:
    """Thousands of finished steps, or of spools still needed, cost a tick next to nothing."""
    submitted(room)
    room.settle()
    execute(room, load)
    session = room.office.ledger.connect()
    session.autocommit = True
    try:
        with session.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
            room.tick()
            room.office.ledger.dispose()  # a session tells what it read when it ends
            before = _settled_count(cursor, room)
            for _ in range(3):
                for duty in room.workshop.duties():
                    duty()
            room.office.ledger.dispose()
            assert _settled_count(cursor, room) - before < 3 * 300
    finally:
        session.close()


def _settled_count(cursor: Any, room: EngineRoom) -> int:
    """How many rows of the large tables were read so far, once each session has told."""
    lasting = room.workshop.worker._session  # renews leases, reads none of these tables
    assert lasting is not None
    until = time.monotonic() + 100
    while True:
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(_OTHERS, (lasting.info.backend_pid,))
        if not cursor.fetchall():
            break
        assert time.monotonic() < until, "a session does not end"
        time.sleep(0.02)
    cursor.execute(_READ)
    return int(cursor.fetchone()[0])


def test_a_case_that_becomes_urgent_under_work_is_urgent_when_it_comes_back(
    room: EngineRoom,
) -> None:
    """A step that was leased when its case came inside its lead time may use the reserved slots."""
    (ref,) = submitted(room)
    claim_steps(room)
    execute(room, "UPDATE jobs SET urgency_at = now() WHERE ref = %s", ref)
    room.tick()
    assert step_of(room, ref).urgent


def test_spools_go_when_the_last_case_of_their_segment_is_answered(room: EngineRoom) -> None:
    """A segment stays for as long as one of its cases needs it, whoever was answered before."""
    refs = submitted(room, 3)
    room.settle()
    room.tick()
    assert list(room.office.store.names("records/")) == []
    assert not room.rows("SELECT 1 FROM spools")
    segment = _blob(room, "records", 0)
    for ref in refs[:2]:
        execute(
            room,
            "INSERT INTO spools (step_id, job_id, name, frame)"
            " SELECT s.id, j.id, 'again', %s::jsonb FROM jobs j JOIN steps s ON s.job_id = j.id"
            " WHERE j.ref = %s LIMIT 1",
            json.dumps({"segment": segment}),
            ref,
        )
    execute(room, "UPDATE jobs SET state = 'working' WHERE ref = ANY(%s)", refs[:2])
    for ref, stays in zip(refs, (True, False), strict=False):
        with room.office.ledger.transaction() as cursor:
            job = jobs.lock_ref(cursor, ref)
            assert job is not None
            jobs.change(cursor, [Move(job, state="ready")])
        room.tick()
        assert room.office.store.exists(segment) is stays


def _blob(room: EngineRoom, kind: str, days: int) -> str:
    name = new_name(kind, (datetime.now(UTC) - timedelta(days=days)).date())
    with room.office.store.write(name) as blob:
        blob.write(b"sealed")
    return name


def _upkeep(room: EngineRoom) -> None:
    execute(room, "DELETE FROM chores")
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
    (ref,) = submitted(room)
    job = room.job(ref)["id"]
    segments = [_blob(room, kind, 400) for kind in ("keys", "records", "people")]
    package, drafts = _blob(room, "packages", 400), _blob(room, "drafts", 400)
    for name in segments:
        execute(
            room,
            "INSERT INTO spools (step_id, job_id, name, frame)"
            " SELECT id, job_id, %s, %s FROM steps WHERE job_id = %s LIMIT 1",
            name,
            json.dumps({"segment": name}),
            job,
        )
    execute(
        room,
        "INSERT INTO packages (job_id, blob, kind, size_bytes, sha256) VALUES (%s, %s, 'p', 1, '')",
        job,
        package,
    )
    execute(
        room,
        "UPDATE jobs SET kind = 'breach', facts = %s WHERE id = %s",
        json.dumps({"approved": {"drafts": drafts}}),
        job,
    )
    _upkeep(room)
    assert all(room.office.store.exists(name) for name in (*segments, package, drafts))


def test_a_blob_of_work_that_has_run_for_days_stays(room: EngineRoom) -> None:
    """A segment written before its step's finish is nobody's until then, and is waited for."""
    submitted(room)
    claim_steps(room)
    execute(room, "UPDATE steps SET started_at = now() - interval '5 days' WHERE state = 'leased'")
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
    execute(room, "UPDATE chores SET done_at = now() - interval '61 minutes'")
    upkeep.upkeep(room.office.ledger, room.office.store)()
    assert not room.office.store.exists(old)


def test_old_nonces_are_forgotten_and_fresh_ones_never(room: EngineRoom) -> None:
    """A nonce is kept for far longer than a signature is taken, and not for ever."""
    submitted(room, 2)
    (kept, *_), (gone, *_) = room.rows("SELECT nonce FROM used_nonces")
    execute(
        room, "UPDATE used_nonces SET used_at = now() - interval '25 hours' WHERE nonce = %s", gone
    )
    _upkeep(room)
    assert [row.nonce for row in room.rows("SELECT nonce FROM used_nonces")] == [kept]


# ---- sealing


def test_every_event_is_sealed_once_whatever_is_looked_at(room: EngineRoom) -> None:
    """Jobs are marked while they have unsealed events; all are covered once, no mark stays."""
    submitted(room, 3)
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
