"""A sweep that loses its worker accounts for everything once, in real systems too."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psycopg2
import pytest

from connectors.postgres import Postgres
from connectors.s3 import S3
from dsr_worker.contract import Identity
from dsr_worker.sweep.decisions import SweepRefused
from tests.integration.engine_room import CRM

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
from tests.integration.sweep_room import LONG_AGO, Make, ids

# ---- crashes


@pytest.mark.parametrize("committed", [True, False])
def test_a_repeat_accounts_for_what_an_earlier_attempt_committed(
    make: Make, monkeypatch: pytest.MonkeyPatch, *, committed: bool
) -> None:
    """A worker lost around the commit: every row goes once and stands in the account once."""
    room = make()
    room.carts(5)
    ref = room.start()
    fall = _Fall("after-effect" if committed else "after-intent", passes=1)
    with monkeypatch.context() as patch:
        patch.setattr("dsr_worker.engine.context.crash_point", fall.passes)
        with pytest.raises(_LostError):
            room.approve_sweep(ref)
    assert len(room.left()) == (0 if committed else 5)
    room.recover()
    assert room.job(ref)["state"] == "closed", (room.steps(ref), room.events(ref))
    assert room.left() == set()
    assert room.outcomes(ref) == {("crm", "carts", "erased"): 5}
    (row,) = room.rows("SELECT before_commit FROM receipts")
    assert row.before_commit is committed


class _LostError(BaseException):
    """Stands for a worker that is gone: nothing catches it."""


class _Fall:
    """Falls at one of the engine's crash points, at the n-th pass of an effect, once."""

    def __init__(self, at: str, passes: int) -> None:
        self._at = at
        self._left = passes

    def passes(self, point: str) -> None:
        """The engine passes a crash point."""
        self._left -= point == self._at
        if point == self._at and self._left == 0:
            raise _LostError


def test_an_abandoned_sweep_certifies_what_it_did(make: Make) -> None:
    """A sweep that stops in one of its systems ends with an account of what went in the others."""
    archive = CRM.replace("system: crm", "system: archive").replace("NAME-crm", "NAME-archive")
    room = make(systems={"crm": CRM, "archive": archive})
    room.carts(2)
    ref = room.start()
    old = [{"id": str(n), "customer_id": "0", "created_at": LONG_AGO} for n in range(11)]
    room.system("archive").load({"carts": old}, {"carts": ("id",)})
    room.approve_sweep(ref)
    assert room.left() == set()
    assert ("sweep_apply", "archive", 1, "needs_human", "sweep_brake") in room.steps(ref)
    room.office.sweeps.abandon(ref, "system_retired", room.sign("anna", "abandon", ref))
    room.settle()
    assert room.job(ref)["state"] == "closed", (room.steps(ref), room.events(ref))
    assert len(room.system("archive").dump()["carts"]) == 11
    found = {s["system"]: s for s in room.certificate(ref)["systems"]}
    assert found["archive"]["collections"] == []
    assert [(c["collection"], c["erased"]) for c in found["crm"]["collections"]] == [("carts", 2)]
    with pytest.raises(SweepRefused, match="closed"):
        room.office.sweeps.abandon(ref, "again", room.sign("anna", "abandon", ref))


BASKETS = """
system: baskets
connector: postgres
config: {dsn: {env: BASKETS_DSN}}
collections:
  carts:
    source: {table: carts}
    key: [id]
    takes: {customer_number: customer_id}
    class: cart
    clocks: {record_date: created_at}
    fields: {id: user.unique_id, customer_id: user.unique_id, created_at: user.content}
    purpose: Trial.
    legal_basis: Contract.
    recipients: [nobody]
    origin: You.
  items:
    source: {table: items}
    key: [id]
    parent: {collection: carts, on: {cart_id: id}}
    fields: {id: user.unique_id, cart_id: user.unique_id, article: user.content}
    purpose: Trial.
    legal_basis: Contract.
    recipients: [nobody]
    origin: You.
"""


def database_of_baskets(dsn: str, old: int, young: int) -> None:
    """Carts, the first of them old, with one item each."""
    with psycopg2.connect(dsn) as connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE carts (id int PRIMARY KEY, customer_id text, created_at timestamptz);"
            "CREATE TABLE items (id int PRIMARY KEY, cart_id int REFERENCES carts, article text);"
            "CREATE INDEX ON items (cart_id); CREATE INDEX ON carts (created_at);"
            "INSERT INTO carts SELECT n, n %% 10, CASE WHEN n <= %(old)s"
            " THEN timestamptz '2020-01-01' ELSE now() END FROM generate_series(1, %(all)s) n;"
            "INSERT INTO items SELECT n, n, 'lamp' FROM generate_series(1, %(all)s) n",
            {"old": old, "all": old + young},
        )
    connection.close()


def test_a_sweep_of_a_database_survives_a_lost_worker_between_its_parts(
    make: Make, database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts that were committed before a worker was lost stand in the account, each row once."""
    monkeypatch.setattr("connectors.postgres.changing.pace._FIRST_ROWS", 100)
    monkeypatch.setattr("connectors.postgres.changing.pace._MOST_ROWS", 100)
    target = database()
    database_of_baskets(target, 350, 150)
    monkeypatch.setenv("BASKETS_DSN", target)
    room = make(systems={"baskets": BASKETS}, connectors={"postgres": Postgres})
    with psycopg2.connect(target) as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE carts SET customer_id = 'held' WHERE id = 7")
    connection.close()
    room.hold_person(Identity("customer_number", "held"))
    ref = room.start()
    plan = room.job(ref)["plan"]
    assert {(o["collection"], o["outcome"]): o["rows"] for o in plan["outcomes"]} == {
        ("carts", "erased"): 349,
        ("carts", "retained"): 1,
        ("items", "erased"): 349,
    }
    assert plan["share"] == 349 / 500
    fall = _Fall("after-effect", passes=2)
    with monkeypatch.context() as patch:
        patch.setattr("dsr_worker.engine.context.crash_point", fall.passes)
        with pytest.raises(_LostError):
            room.approve_sweep(ref)
    assert len(ids(target, "carts")) == 300
    room.recover()
    assert room.job(ref)["state"] == "closed", (room.steps(ref), room.events(ref))
    kept = [7, *range(351, 501)]
    assert (ids(target, "carts"), ids(target, "items")) == (kept, kept)
    assert room.outcomes(ref) == {
        ("baskets", "carts", "erased"): 349,
        ("baskets", "carts", "retained"): 1,
        ("baskets", "items", "erased"): 349,
    }
    (system,) = room.certificate(ref)["systems"]
    assert system["requery"]["returned"] == 0
    unseen = room.rows("SELECT sum(row_count) AS n FROM receipts WHERE before_commit")
    assert unseen[0].n == 400


LOGS = """
system: logs
connector: s3
config:
  endpoint_url: ENDPOINT
  region: eu-central-1
  access_key_id: {env: LOGS_KEY}
  secret_access_key: {env: LOGS_KEY}
  bucket: BUCKET
collections:
  events:
    source: {layout: shared, prefix: "events/", format: ndjson, compression: gzip}
    key: [id]
    takes: {customer_number: customer}
    class: cart
    clocks: {record_date: at}
    fields: {id: user.unique_id, customer: user.unique_id, at: user.behavior}
    purpose: Trial.
    legal_basis: Contract.
    recipients: [nobody]
    origin: You.
"""


def test_a_sweep_takes_old_records_out_of_shared_objects(
    make: Make,
    s3: S3Client,
    s3_endpoint: str,
    bucket: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Old lines of a shared object go, young ones of the same object stay, held ones too."""
    name = bucket()
    now = datetime.now(UTC).isoformat()
    lines = [{"id": n, "customer": str(n % 3), "at": LONG_AGO if n < 6 else now} for n in range(10)]
    body = gzip.compress(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    s3.put_object(Bucket=name, Key="events/1.ndjson.gz", Body=body)
    monkeypatch.setenv("LOGS_KEY", "testing")
    system = LOGS.replace("ENDPOINT", s3_endpoint).replace("BUCKET", name)
    room = make(systems={"logs": system}, connectors={"s3": S3})
    room.hold_person(Identity("customer_number", "2"))
    ref = room.start()
    assert room.job(ref)["plan"]["share"] == 1.0
    room.approve_sweep(ref)
    assert room.job(ref)["state"] == "closed", (room.steps(ref), room.events(ref))
    left = gzip.decompress(s3.get_object(Bucket=name, Key="events/1.ndjson.gz")["Body"].read())
    assert [json.loads(line)["id"] for line in left.splitlines()] == [2, 5, 6, 7, 8, 9]
    assert room.outcomes(ref) == {
        ("logs", "events", "erased"): 4,
        ("logs", "events", "retained"): 3,  # held ones, young and old
    }
