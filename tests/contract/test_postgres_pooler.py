"""A pooler in transaction mode in between: every call says and does what it does without one.

Each runs through a pooler of our own, which gives every transaction another server connection, and
through a real PgBouncer where one is installed (told as a skip where none is).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import make_dsn, parse_dsn

from connectors.postgres import Postgres
from dsr_worker.contract import (
    Action,
    Always,
    Before,
    DecisionTable,
    Key,
    LeakScope,
    Rule,
    Severity,
    SweepOrder,
)
from dsr_worker.testing.context import TrialContext
from tests.contract.postgres_shop import (
    CUTOFF,
    SCHEMA,
    add_customer,
    connector,
    dump,
    execute,
    keep_vouchers,
    query,
    subject,
)
from tests.pooler import pooler
from tests.services import START_TIMEOUT_S, private_folder

PEOPLE = [subject(f"p{n}", email=f"c{n}@shop.example", number=f"{n}") for n in range(1, 7)]
MORE = """
CREATE MATERIALIZED VIEW addresses AS SELECT email FROM customers;
CREATE TABLE pins (id int PRIMARY KEY, pinned bigint REFERENCES carts);
"""
FREE = [person for person in PEOPLE if person.ref != "p2"]  # a row outside the map needs her cart
Through = Callable[[str], str]


@contextmanager
def _pgbouncer(behind: Path, folder: Path) -> Iterator[None]:
    """A real one, with two server connections for all."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("no pgbouncer is installed here")
    settings = folder / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\n* = host={behind} port=5432 user=dsr\n[pgbouncer]\nlisten_addr =\n"
        f"listen_port = 5432\nunix_socket_dir = {folder}\nauth_type = any\n"
        "pool_mode = transaction\ndefault_pool_size = 2\nserver_round_robin = 1\n"
        "server_reset_query =\n"
    )
    argv = [program, "-q", str(settings)]
    if os.getuid() == 0:
        shutil.chown(folder, 65534, 65534)
        argv[1:1] = ["-u", "nobody"]
    running = subprocess.Popen(argv)
    try:
        until = time.monotonic() + START_TIMEOUT_S
        while not (folder / ".s.PGSQL.5432").exists():
            assert running.poll() is None, "pgbouncer ended while it started"
            assert time.monotonic() < until, "pgbouncer does not listen"
            time.sleep(0.05)
        yield
    finally:
        running.terminate()
        running.wait(60)


@pytest.fixture(params=["ours", "pgbouncer"])
def through(request: pytest.FixtureRequest, postgres_dsn: str) -> Iterator[Through]:
    """What a DSN is by way of the pooler."""
    behind = Path(parse_dsn(postgres_dsn)["host"])
    kinds: dict[str, Any] = {"ours": pooler, "pgbouncer": _pgbouncer}
    with private_folder() as folder, kinds[request.param](behind, folder):
        yield lambda dsn: make_dsn(dsn, host=str(folder))


@pytest.fixture
def shops(database: Callable[[], str]) -> tuple[str, str]:
    """Two shops alike."""
    found = database(), database()
    for dsn in found:
        execute(dsn, SCHEMA + MORE)
        for n in range(1, 7):
            add_customer(dsn, n, f"c{n}@shop.example", touched=f"200{n}-01-01")
        execute(dsn, "INSERT INTO pins VALUES (1, 200); ANALYZE")
    return found


def told(postgres: Postgres) -> dict[str, object]:
    """All that the connector reads and says."""
    ctx, second = TrialContext(), TrialContext(second_path=True)
    keys = list(postgres.locate(PEOPLE, ctx))
    scope = LeakScope("invoices", ("email",))
    return {
        "found": sorted(postgres.find(PEOPLE, ctx), key=repr),
        "blocks": [vars_of(b) for b in postgres.find_blocks(PEOPLE[:1], ctx)],
        "many": sorted(vars_of(b) for b in postgres.find_blocks(PEOPLE, ctx)),
        "links": sorted(map(repr, postgres.resolve(PEOPLE, ctx))),
        "contacts": sorted(c.value for c in postgres.contacts(PEOPLE, ctx)),
        "mentions": list(postgres.mentions(PEOPLE, ctx)),
        "affected": sorted(map(repr, postgres.affected([scope], ctx))),
        "keys": sorted(key.key for key in keys),
        "there": sorted(key.key for key in postgres.recheck(PEOPLE, keys, second)),
        "proposed": postgres.propose().collections,
        "roles": [role.name for role in postgres.grants()],
        "checked": [f for f in postgres.check() if f.severity is Severity.ERROR],
    }


def vars_of(found: Any) -> str:
    """A record or a block as text."""
    return f"{found.subject_ref} {found.collection} {getattr(found, 'bodies', b'')!r}"


def test_all_that_is_read_is_read_through_a_pooler(
    shops: tuple[str, str], through: Through
) -> None:
    """Find, blocks, links, verification, proposal, roles, check: the same with and without one."""
    direct, pooled = connector(shops[0]), connector(through(shops[1]))
    assert told(pooled) == told(direct)
    pooled.close()


def test_an_erasure_in_portions_goes_through_a_pooler(
    shops: tuple[str, str], through: Through, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several transactions on several servers, masks and all; a repeat finds the rest gone."""
    monkeypatch.setattr("connectors.postgres.changing.pace._FIRST_ROWS", 20)
    both = [connector(shops[0]), connector(through(shops[1]), refresh_views=True)]
    said = []
    for postgres in both:
        keys = sorted(postgres.locate(FREE[:4], TrialContext()), key=lambda k: k.subject_ref)
        ctx = TrialContext(tables=keep_vouchers())
        dry = list(postgres.erase(FREE[:4], keys, replace(ctx, dry_run=True)))
        once = list(postgres.erase(FREE[:4], keys, ctx))
        assert len(ctx.intents) > 1
        again = list(postgres.erase(FREE[:4], keys, TrialContext(tables=keep_vouchers())))
        second = TrialContext(second_path=True)
        there = sorted(k.key for k in postgres.recheck(FREE[:4], keys, second))
        said.append((dry, once, again, there))
        postgres.close()
    assert said[0] == said[1]
    assert dump(shops[0]) == dump(shops[1])
    left = query(shops[1], "SELECT email FROM addresses WHERE email NOT LIKE 'erased-%' ORDER BY 1")
    assert left == [("c2@shop.example",), ("c6@shop.example",)]


def test_a_sweep_goes_through_a_pooler(
    shops: tuple[str, str], through: Through, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Part after part, each on another server; what a row outside the map needs is spared."""
    monkeypatch.setattr("connectors.postgres.changing.pace._FIRST_ROWS", 2)
    monkeypatch.setattr("connectors.postgres.changing.pace._FEWEST_ROWS", 2)
    keep = Rule("default", Always(), Action.KEEP, "not_due")
    limit = Rule("limit", Before("touched_at", CUTOFF), Action.ERASE, "house", clock="touched_at")
    order = SweepOrder("carts", DecisionTable("carts", (limit, keep)), 100)
    said = []
    for postgres in (connector(shops[0]), connector(through(shops[1]))):
        ctx = TrialContext(tables={"carts": order.table})
        dry = list(postgres.sweep([order], replace(ctx, dry_run=True)))
        said.append((dry, len(list(postgres.sweep([order], ctx)))))
        postgres.close()
    assert said[0] == said[1]
    assert dump(shops[0]) == dump(shops[1])
    assert query(shops[1], "SELECT id FROM carts") == [(200,)]


def test_many_at_once_share_a_poolers_few_servers(shops: tuple[str, str], through: Through) -> None:
    """Five people are erased and looked for at the same time; each says what it says alone."""
    said: dict[int, object] = {}

    def one(dsn: str, number: int) -> None:
        postgres = connector(dsn)
        person = [FREE[number]]
        keys: list[Key] = list(postgres.locate(person, TrialContext()))
        receipts = list(postgres.erase(person, keys, TrialContext()))
        left = list(postgres.recheck(person, keys, TrialContext(second_path=True)))
        said[number] = (receipts, left)
        postgres.close()

    pooled = through(shops[1])
    threads = [threading.Thread(target=one, args=(pooled, n)) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    together, said = said, {}
    for n in range(5):
        one(shops[0], n)
    assert together == said
    assert dump(shops[0]) == dump(shops[1])


def test_nothing_stays_behind_in_a_poolers_servers(
    shops: tuple[str, str], through: Through
) -> None:
    """After reading, erasing and a failure: no temporary table, lock, or setting of ours."""
    plain = _state(shops[1])
    pooled = through(shops[1])
    postgres = connector(pooled)
    told(postgres)
    keys = list(postgres.locate(FREE, TrialContext()))

    def crash() -> None:
        message = "on the way"
        raise RuntimeError(message)

    with pytest.raises(RuntimeError):
        list(postgres.erase(FREE, keys, TrialContext(on_intent=crash)))
    list(postgres.erase(FREE, keys, TrialContext()))
    postgres.close()
    assert [_state(pooled) for _ in range(6)] == [plain] * 6


def _state(dsn: str) -> list[tuple[Any, ...]]:
    """What a session might have left: in one transaction, and so on one server."""
    connection = psycopg2.connect(dsn)
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT name, setting FROM pg_settings WHERE source = 'session'"
                " AND name NOT IN ('client_encoding', 'application_name')"
                " UNION ALL SELECT 'table', relname FROM pg_class WHERE relpersistence = 't'"
                " UNION ALL SELECT 'statement', name FROM pg_prepared_statements"
                " UNION ALL SELECT 'cursor', name FROM pg_cursors WHERE is_holdable"
                " UNION ALL SELECT 'lock', mode FROM pg_locks WHERE locktype = 'advisory'"
                " ORDER BY 1, 2"
            )
            return cursor.fetchall()
    finally:
        connection.close()
