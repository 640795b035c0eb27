"""No personal value leaves the vault: not to logs, the broker, metrics, events or error texts.

One run of everything (access by code, erasure, sweep, breach) through real processes that log at
their loudest, over databases that log every statement, with faults whose texts quote values.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Self

import psycopg2
import pytest
import redis
from ahocorasick_rs import BytesAhoCorasick
from prometheus_client import generate_latest
from psycopg2.sql import SQL, Identifier

from dsr_worker.breach import Leak
from dsr_worker.breach.declaring import DECLARE
from dsr_worker.breach.desk import APPROVE
from dsr_worker.contract import LeakScope
from dsr_worker.embedded import Endpoints, Services
from dsr_worker.metrics import REGISTRY
from dsr_worker.testing.shop import Shop
from tests import services as real
from tests.acceptance.conftest import configuration
from tests.acceptance.judge import hand_over, truth_of
from tests.acceptance.processes import ProcessRoom, spoken
from tests.acceptance.world import World, secrets_of

UNLUCKY = 24  # the customer whose row the database refuses to let go, with a text that quotes them
LOUD = {
    "log_statement": "all",
    "log_duration": "on",
    "log_min_duration_statement": "0",
    "log_min_error_statement": "debug5",
    "log_error_verbosity": "verbose",
    "log_min_messages": "debug1",
    "log_parameter_max_length": "-1",
}
REFUSES = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'the row of % stays', OLD.name; END $$;
CREATE TRIGGER refuse BEFORE UPDATE OR DELETE ON customers
    FOR EACH ROW WHEN (OLD.id = 24) EXECUTE FUNCTION refuse();
"""
TEXTS = {
    language: dict.fromkeys(("nature", "consequences", "measures", "advice"), "As found.")
    for language in ("en", "de")
}
_CODE = re.compile(rb"\b\d{6}\b")
_HEX = re.compile(rb"\\\\x([0-9a-f]+)")


@dataclass
class Listener:
    """Hears every command that the broker gets and every statement that a database runs."""

    redis_url: str
    dsn: str
    heard: list[bytes] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        for listen in (self._broker, self._statements):
            thread = threading.Thread(target=listen)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        with redis.Redis.from_url(self.redis_url) as client:
            client.ping()  # so that the monitor's last wait ends
        for thread in self._threads:
            thread.join()

    def _broker(self) -> None:
        with redis.Redis.from_url(self.redis_url) as client, client.monitor() as monitor:
            for command in monitor.listen():
                self.heard.append(str(command["command"]).encode())
                if self._ended.is_set():
                    return

    def _statements(self) -> None:
        connection = psycopg2.connect(self.dsn)
        connection.autocommit = True
        with connection.cursor() as cursor:
            while not self._ended.wait(0.05):
                cursor.execute(
                    "SELECT query FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                    " AND application_name NOT LIKE 'test%%'"
                )
                self.heard.extend(row[0].encode() for row in cursor.fetchall())
        connection.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder on a short path."""
    with real.private_folder() as made:
        yield made


@pytest.fixture
def loud(
    world: World,
    folder: Path,
    database: Callable[[], str],
    redis_url: str,
    s3_endpoint: str,
    smtp_sink: real.SmtpSink,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[ProcessRoom]:
    """An installation at its loudest, over databases that log all they are told."""
    secrets = secrets_of(world, real.S3_KEY, real.S3_SECRET)
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    _run(world.dsn, REFUSES)
    ledger = database()
    for dsn in (ledger, world.dsn):
        _make_loud(dsn)
    files = configuration(folder, world, s3_endpoint, smtp_sink.port)
    room = ProcessRoom(folder, Endpoints(ledger, redis_url), secrets, **files)
    room.start(DSR_LEDGER_DSN=ledger, DSR_REDIS_URL=redis_url, DSR_LOG_LEVEL="DEBUG")
    try:
        yield room
    finally:
        room.supervisor.stop()
        room.close()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_personal_value_leaves_the_vault(
    loud: ProcessRoom,
    world: World,
    services: Services,
    redis_url: str,
    smtp_sink: real.SmtpSink,
    tmp_path: Path,
) -> None:
    """Nothing that a person is called by stands anywhere but in sealed values and packages."""
    logs = {file: file.stat().st_size for file in services.log_files()}
    with Listener(redis_url, loud.office.endpoints.ledger_dsn) as listener:
        run_everything(loud, world, smtp_sink, tmp_path)
        loud.supervisor.stop()
    in_this_process(loud, world)
    said = {
        "worker log": loud.words().encode(),
        "broker and statements": b"\n".join(listener.heard),
        "broker's keys": _broker_dump(redis_url),
        "metrics": generate_latest(REGISTRY),
        **_ledger(loud.office.endpoints.ledger_dsn),
        **{f"store: {f.name}": f.read_bytes() for f in _files(Path(loud.settings.store_url))},
        **{f"data: {f.name}": f.read_bytes() for f in _files(loud.settings.data_dir)},
    }
    servers = b"".join(file.read_bytes()[start:] for file, start in logs.items())
    _assert_loud_enough(said, servers)
    owners = {v: n for n in world.shop.numbers for v in _values(world, n)}
    named = {where: names for where, text in said.items() if (names := _named(owners, text))}
    assert named == {}
    assert _named(owners, servers) <= {UNLUCKY}, "but for the trigger's own text"


def run_everything(room: ProcessRoom, world: World, sink: real.SmtpSink, folder: Path) -> None:
    """Access by code, erasures of which one fails, a sweep, a breach; a helpdesk that stumbles."""
    world.helpdesk.faults(
        {"faults": [{"match": "GET /api/v2/users", "kind": "status", "status": 500, "times": 2}]}
    )
    email = truth_of(world, Shop.FULL).identities["email"]
    access = room.submit("access", verification="code", email=email)
    room.settle()
    (code,) = _CODE.findall(sink.mails[-1].content.partition(b"\r\n\r\n")[2])
    signed = room.sign("anna", "enter-code", access)
    room.office.decisions.enter_code(access, code.decode(), signed)
    erasures = {
        number: room.submit("erasure", email=truth_of(world, number).identities["email"])
        for number in (Shop.UNDERSCORE, Shop.OLD_AND_NEW_INVOICES, UNLUCKY)
    }
    room.settle()
    for ref in (access, *erasures.values()):
        room.approve(ref)
    room.settle()
    hand_over(room, access, folder / "package.zip")
    assert room.job(erasures[Shop.UNDERSCORE])["state"] == "ready"
    assert room.job(erasures[UNLUCKY])["state"] != "ready", "the trigger was to refuse it"
    sweep(room)
    breach(room)


def sweep(room: ProcessRoom) -> None:
    """A sweep from plan to certificate."""
    policy = room.office.sweeps.policy("de-shop")
    started = room.office.sweeps.start(
        "de-shop", room.sign("anna", "sweep", "de-shop", policy.hash)
    )
    room.settle()
    plan_hash = room.job(started.ref)["plan_hash"]
    signed = room.sign("berta", "approve", started.ref, plan_hash)
    room.office.sweeps.approve(started.ref, plan_hash, signed)
    room.settle()


def breach(room: ProcessRoom) -> None:
    """A breach from declaration to the last notice."""
    (row,) = room.rows("SELECT business_now() AS now")
    leak = Leak(
        scopes={"shop": (LeakScope("customers", ("email",)),)},
        aware_at=row.now - timedelta(minutes=5),
        markets=(),
        texts=TEXTS,
    )
    declared = room.office.declaring.declare(leak, room.sign("anna", DECLARE, "new", leak.digest()))
    room.settle()
    whole = room.office.breach_desk.proposal(declared.ref).hash
    signed = room.sign("berta", APPROVE, declared.ref, whole)
    room.office.breach_desk.approve_notices(declared.ref, signed)
    room.settle()
    assert room.rows("SELECT 1 FROM notices WHERE state = 'sent' LIMIT 1")


def in_this_process(room: ProcessRoom, world: World) -> None:
    """One more case worked off here, so that this process has metrics to show."""
    room.submit("access", email=truth_of(world, Shop.DROP_TABLE).identities["email"])
    for _ in range(8):
        room.workshop.ticker.tick()
        for system in room.office.systems:
            room.workshop.drainer(system)


def _assert_loud_enough(said: dict[str, bytes], servers: bytes) -> None:
    """What is searched holds what it would hold: a search of nothing finds nothing."""
    lines = spoken(said["worker log"].decode())
    assert {line["level"] for line in lines} >= {"debug", "info"}
    assert b"dsr_batch_seconds" in said["metrics"]
    assert b'system="shop"' in said["metrics"]
    assert b"drain." in said["broker and statements"]
    assert b"FOR UPDATE SKIP LOCKED" in servers
    assert b"COPY" in servers
    assert b"duration:" in servers
    assert b"submitted" in said["ledger: events"]
    assert any(name.startswith("store: ") for name in said)


def _values(world: World, number: int) -> list[bytes]:
    """What a person is called by: markers, addresses, keys of other systems."""
    truth = truth_of(world, number)
    texts = {*truth.markers, truth.identities["email"], f"customers/{number}/"}
    texts |= {v for kind, v in truth.identities.items() if kind == "zendesk_user"}
    return [spelled.encode() for text in texts for spelled in {text, text.lower()}]


def _named(owners: Mapping[bytes, int], content: bytes) -> set[int]:
    """Whose values stand in a content: all are looked for in one pass."""
    values = list(owners)
    finder = BytesAhoCorasick(values)
    found = finder.find_matches_as_indexes(content, overlapping=True)
    return {owners[value] for value in {values[which] for which, _, _ in found}}


def _files(folder: Path) -> list[Path]:
    return [file for file in sorted(folder.rglob("*")) if file.is_file()]


def _broker_dump(url: str) -> bytes:
    with redis.Redis.from_url(url) as client:
        keys = list(client.scan_iter())
        return b"\n".join([*keys, *(client.dump(key) or b"" for key in keys)])


def _ledger(dsn: str) -> dict[str, bytes]:
    """Every table of the ledger, sealed columns as the bytes they are."""
    connection = psycopg2.connect(dsn)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            names = [row[0] for row in cursor.fetchall()]
            assert {"jobs", "steps", "events", "receipts", "identities"} <= set(names)
            return {f"ledger: {name}": _table(cursor, name) for name in names}
    finally:
        connection.close()


def _table(cursor: psycopg2.extensions.cursor, name: str) -> bytes:
    cursor.execute(SQL("SELECT t::text FROM {} t").format(Identifier(name)))
    text = "\n".join(row[0] for row in cursor.fetchall()).encode()
    sealed = [bytes.fromhex(found.decode()) for found in _HEX.findall(text)]
    return b"\n".join([text, *sealed])


def _make_loud(dsn: str) -> None:
    connection = psycopg2.connect(dsn)
    name = Identifier(connection.info.dbname)
    connection.close()
    for setting, value in LOUD.items():
        _run(dsn, SQL("ALTER DATABASE {} SET {} = %s").format(name, Identifier(setting)), value)


def _run(dsn: str, statement: object, *values: str) -> None:
    connection = psycopg2.connect(dsn)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement, values or None)  # type: ignore[arg-type]  # text or composed
    finally:
        connection.close()
