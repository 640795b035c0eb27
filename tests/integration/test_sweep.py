"""Retention sweeps over a real ledger: counted, approved, braked, certified, on schedule."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest

from connectors.postgres import Postgres
from connectors.s3 import S3
from dsr_worker.bootstrap import Files, Office, Workshop
from dsr_worker.contract import Identity
from dsr_worker.evidence import verify_certificate
from dsr_worker.people import ActorRefused
from dsr_worker.sweep.decisions import SweepRefused, standing_digest
from dsr_worker.sweep.firing import Firing
from tests.integration.engine_room import CRM, ORGANISATION, POLICY, EngineRoom

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

TRIAL = POLICY.replace("zone: Europe/Berlin", 'zone: Europe/Berlin\nschedule: "15 3 * * *"')
SHARED = TRIAL.replace("share: 0.5", "share: 1")
OTHER = """
policy: other
version: 1.0.0
title: Other
owner: privacy-team
jurisdictions: [DE]
zone: UTC
limits: {rows: 1000, share: 1}
rules:
  - id: accounts
    class: customer-account
    keep_at_most: {period: P1Y, anchor: record_date, citation: "house rule"}
    clock: record_date
    action: mask
  - id: old-carts
    class: cart
    keep_at_most: {period: P1D, anchor: record_date, citation: "house rule"}
    clock: record_date
"""
BOTH = ORGANISATION.replace("policies: [trial]", "policies: [trial, other]")
LONG_AGO = "2020-01-01T00:00:00"


class SweepRoom(EngineRoom):
    """An installation with carts, some of them long past their limit."""

    def carts(self, old: int, young: int = 0, first: int = 0) -> None:
        """Load carts of one customer."""
        now = datetime.now(UTC).isoformat()
        rows = [
            {
                "id": f"{'old' if n < old else 'young'}-{n + first}",
                "customer_id": str(n),
                "content": f"lamp zq{n:04x}zq",
                "created_at": LONG_AGO if n < old else now,
            }
            for n in range(old + young)
        ]
        self.system("crm").load({"carts": rows}, {"carts": ("id",)})

    def reopen(self) -> None:
        """Start a worker anew, by the files as they are now."""
        before = self.office
        files = Files.load(before.settings.config_dir)
        self.office = Office(
            before.settings, before.endpoints, files, before.keys, registry=before.registry
        )
        self.workshop = Workshop(self.office)
        self.workshop.worker.enlist()

    def recover(self) -> None:
        """Let the leases of a lost worker run out, and go on."""
        self.rows(
            "UPDATE steps SET lease_until = now() - interval '1 s' WHERE state = 'leased'"
            " RETURNING id"
        )
        self.rows("UPDATE slots SET lease_until = '-infinity' RETURNING number")
        self.settle()

    def left(self, collection: str = "carts") -> set[str]:
        """The ids of the rows that are there."""
        return {key[0] for key in self.system("crm").dump().get(collection, {})}

    def start(self, policy: str = "trial", actor: str = "anna") -> str:
        """Start a sweep by hand and let it be counted."""
        digest = self.office.sweeps.policy(policy).hash
        signed = self.sign(actor, "sweep", policy, digest)
        ref = self.office.sweeps.start(policy, signed).ref
        self.settle()
        return ref

    def approve_sweep(self, ref: str, actor: str = "berta") -> None:
        """Approve a sweep's plan as it stands, and let it be carried out."""
        plan_hash = self.job(ref)["plan_hash"]
        signed = self.sign(actor, "approve", ref, plan_hash)
        self.office.sweeps.approve(ref, plan_hash, signed)
        self.settle()

    def grant(self, rows: int = 100, share: float = 1.0) -> None:
        """Grant a standing approval for the policy as it is."""
        digest = standing_digest(self.office.sweeps.policy("trial").hash, rows, share)
        signed = self.sign("berta", "grant", "trial", digest)
        self.office.sweeps.grant("trial", rows, share, signed)

    def sweeps(self) -> list[str]:
        """The references of all sweeps, oldest first."""
        return [r.ref for r in self.rows("SELECT ref FROM jobs WHERE kind = 'sweep' ORDER BY id")]

    def next_night(self) -> str:
        """Move the clock on to a schedule's next fire; the sweep that it starts."""
        self.move_clock(days=1)
        self.settle()
        return self.sweeps()[-1]

    def certificate(self, ref: str) -> dict[str, Any]:
        """A sweep's certificate as it is handed over, its signature checked."""
        file = self.settings.config_dir / f"{ref}.json"
        self.office.delivery.certificate(ref, file, self.sign("anna", "hand-over", ref))
        assert "retention sweep" in file.with_suffix(".html").read_text()
        content = file.read_bytes()
        assert verify_certificate(content, self.office.keys.public_key) == []
        found: dict[str, Any] = json.loads(content)["certificate"]
        return found


Make = Callable[..., SweepRoom]


@pytest.fixture
def make(tmp_path: Path, database: Callable[[], str]) -> Make:
    """Makes an installation; `policies` are the texts of its policy files."""

    def made(**texts: Any) -> SweepRoom:
        return SweepRoom(tmp_path, database(), **{"policies": {"trial": SHARED}, **texts})

    return made


def test_a_sweep_is_counted_approved_carried_out_and_certified(make: Make) -> None:
    """What is past its limit goes after a second person approved the counts; the rest stays."""
    room = make()
    room.carts(4, 2)
    ref = room.start()
    job = room.job(ref)
    assert (job["state"], job["plan"]["rows"]) == ("awaiting_approval", 4)
    (outcome,) = job["plan"]["outcomes"]
    assert (outcome["outcome"], outcome["ground"], outcome["rows"]) == ("erased", "trial/carts", 4)
    assert outcome["latest_at"].startswith("2020-01-01")
    assert len(room.left()) == 6
    room.approve_sweep(ref)
    assert room.job(ref)["state"] == "closed", (room.steps(ref), room.events(ref))
    assert room.left() == {"young-4", "young-5"}
    assert room.outcomes(ref) == {("crm", "carts", "erased"): 4}
    certificate = room.certificate(ref)
    assert certificate["kind"] == "sweep"
    (system,) = certificate["systems"]
    assert system["policy_hash"] == room.office.sweeps.policy("trial").hash
    assert system["requery"]["returned"] == 0
    assert [(c["found"], c["erased"]) for c in system["collections"]] == [(4, 4)]
    assert room.events(ref)[0] == "submitted"
    assert room.events(ref)[-3:] == ["sweep_done", "closed", "package_handed_over"]


def test_whoever_started_a_sweep_cannot_approve_it(make: Make) -> None:
    """A second person approves, and only what stands there now."""
    room = make()
    room.carts(1)
    ref = room.start()
    with pytest.raises(ActorRefused, match="second person"):
        room.approve_sweep(ref, "anna")
    signed = room.sign("berta", "approve", ref, "0" * 64)
    with pytest.raises(SweepRefused, match="changed"):
        room.office.sweeps.approve(ref, "0" * 64, signed)
    assert room.left() == {"old-0"}


def test_a_set_that_grew_stops_before_the_first_change(make: Make) -> None:
    """More rows than the approval covers: nothing goes, a person is asked and may plan anew."""
    room = make()
    room.carts(2)
    ref = room.start()
    room.carts(11, first=100)
    room.approve_sweep(ref)
    assert len(room.left()) == 13
    assert ("sweep_apply", "crm", 1, "needs_human", "sweep_brake") in room.steps(ref)
    (details,) = room.rows("SELECT details FROM steps WHERE code = 'sweep_brake'")
    assert details.details == {
        "collection": "crm.carts",
        "why": "over_bound",
        "approved": 2,
        "rows": 13,
    }
    again = room.office.sweeps.plan_again(ref, room.sign("anna", "plan-again", ref))
    assert again.state == "planning"
    room.settle()
    assert room.job(ref)["plan"]["rows"] == 13
    assert room.job(ref)["approved_by"] is None
    room.approve_sweep(ref)
    assert room.job(ref)["state"] == "closed"
    assert room.left() == set()


def test_the_slack_of_an_approval_is_ten_rows(make: Make) -> None:
    """Up to ten rows more than planned go with the approval that was given."""
    room = make()
    room.carts(2)
    ref = room.start()
    room.carts(10, first=100)
    room.approve_sweep(ref)
    assert room.job(ref)["state"] == "closed"
    assert room.left() == set()
    assert room.outcomes(ref) == {("crm", "carts", "erased"): 12}


def test_a_hold_placed_after_approval_keeps_its_rows(make: Make) -> None:
    """A hold wins over a sweep that is approved already; the certificate names its ground."""
    room = make()
    room.load_people(3)
    room.carts(3)
    ref = room.start()
    room.hold_person(Identity("customer_number", "1"))
    room.approve_sweep(ref)
    assert room.job(ref)["state"] == "closed", room.steps(ref)
    assert "old-1" in room.left()
    assert not {"old-0", "old-2"} & room.left()
    certificate = room.certificate(ref)
    (ground,) = certificate["grounds"]
    assert ground["code"] == "ER_LEGAL_CLAIMS"
    assert "_" not in ground["words"]
    (system,) = certificate["systems"]
    (carts,) = system["collections"]
    assert (carts["erased"], [(k["rows"], k["ground"]) for k in carts["kept"]]) == (
        2,
        [(1, "ER_LEGAL_CLAIMS")],
    )


def test_a_sweep_goes_by_its_own_policys_limits_alone(make: Make) -> None:
    """Another policy's shorter limit on the same class is left to that policy's own sweep."""
    room = make(policies={"trial": SHARED, "other": OTHER}, organisation=BOTH)
    room.load_people(1)
    before = room.system("crm").dump()["customers"]
    room.carts(2)
    assert room.left() == {"cart-0", "old-0", "old-1"}  # cart-0: past one day, not past 90
    room.approve_sweep(room.start())
    assert room.left() == {"cart-0"}
    assert room.system("crm").dump()["customers"] == before
    room.approve_sweep(room.start("other"))
    assert room.left() == set()


def test_a_sweep_that_masks_uses_a_key_of_its_own(make: Make) -> None:
    """Masks are keyed by the sweep; minimums below keep their own rows and nothing else."""
    room = make(policies={"trial": SHARED, "other": OTHER}, organisation=BOTH)
    room.load_people(2)
    ref = room.start("other")
    room.approve_sweep(ref)
    assert room.job(ref)["state"] == "closed", (room.steps(ref), room.events(ref))
    assert room.outcomes(ref)["crm", "customers", "masked"] == 2
    customers = room.system("crm").dump()["customers"]
    assert all(b"@erased.invalid" in body and b"zq000" not in body for body in customers.values())
    assert room.left("invoices") == {"0-new", "0-old", "1-new", "1-old"}


def test_nothing_due_closes_by_itself(make: Make) -> None:
    """A sweep that finds nothing needs nobody, changes nothing and says so."""
    room = make()
    room.carts(0, 3)
    ref = room.start()
    assert room.job(ref)["state"] == "closed"
    assert room.events(ref)[-3:] == ["sweep_planned", "sweep_done", "closed"]
    assert len(room.left()) == 3


def test_one_policy_has_one_open_sweep(make: Make) -> None:
    """A second sweep of a policy is refused while the first waits."""
    room = make()
    room.carts(1)
    ref = room.start()
    with pytest.raises(SweepRefused, match=ref):
        room.start()


def test_a_policy_without_limits_cannot_be_swept(make: Make) -> None:
    """A policy that only asks for keeping has nothing to sweep, and the refusal says so."""
    only_keeps = SHARED.partition("  - id: carts")[0]
    room = make(policies={"trial": only_keeps})
    with pytest.raises(SweepRefused, match="lets nothing go"):
        room.start()


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


# ---- a real database

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


def ids(dsn: str, table: str) -> list[int]:
    """The keys of a table."""
    with psycopg2.connect(dsn) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT id FROM {table} ORDER BY id")  # noqa: S608 - a fixed name
        found = [int(row[0]) for row in cursor.fetchall()]
    connection.close()
    return found


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


# ---- a real bucket

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
    source: {layout: lines, prefix: "events/", format: ndjson, compression: gzip}
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


# ---- on schedule


def test_the_first_scheduled_sweep_asks_and_the_second_goes_by_standing_approval(
    make: Make,
) -> None:
    """Inside a standing approval a schedule needs nobody, from the second run on."""
    room = make()
    room.carts(3)
    room.settle()
    room.grant()
    first = room.next_night()
    assert room.job(first)["state"] == "awaiting_approval"
    assert room.job(first)["facts"]["stopped"] == "first_run"
    assert len(room.left()) == 3
    room.approve_sweep(first, "anna")
    assert room.left() == set()
    room.carts(2, first=10)
    second = room.next_night()
    assert second != first
    assert room.job(second)["state"] == "closed", room.job(second)["facts"]
    assert room.job(second)["approved_by"] == "berta"
    assert room.job(second)["submitted_by"] is None
    assert room.left() == set()
    assert room.events(second).count("sweep_approved") == 1


@pytest.mark.parametrize(
    ("rows", "share", "code"),
    [(0, 1.0, "over_rows"), (9, 0.9, "over_share")],
)
def test_outside_a_standing_approval_a_schedule_asks(
    make: Make, rows: int, share: float, code: str
) -> None:
    """One row or share too many, and nothing goes before a person has looked."""
    room = make()
    room.carts(1)
    room.settle()
    room.approve_sweep(room.next_night(), "anna")
    room.grant(rows, share)
    room.carts(2, first=10)
    ref = room.next_night()
    assert room.job(ref)["state"] == "awaiting_approval"
    assert room.job(ref)["facts"]["stopped"] == code
    assert len(room.left()) == 2


def test_a_standing_approval_stays_inside_the_policys_own_limits(make: Make) -> None:
    """Nobody grants more than the reviewed policy lets a sweep touch without a person."""
    room = make(policies={"trial": TRIAL})
    with pytest.raises(SweepRefused, match=r"1000 rows and a share of 0\.5"):
        room.grant(1001, 0.5)
    with pytest.raises(SweepRefused, match="share"):
        room.grant(1000, 0.6)
    room.grant(1000, 0.5)


def test_a_revoked_standing_approval_is_over(make: Make) -> None:
    """After it was revoked, the next scheduled sweep asks again."""
    room = make()
    room.carts(1)
    room.settle()
    room.approve_sweep(room.next_night(), "anna")
    room.grant()
    room.office.sweeps.revoke("trial", room.sign("anna", "revoke", "trial"))
    with pytest.raises(SweepRefused, match="in force"):
        room.office.sweeps.revoke("trial", room.sign("anna", "revoke", "trial"))
    room.carts(1, first=5)
    assert room.job(room.next_night())["facts"]["stopped"] == "no_standing_approval"


def test_a_changed_policy_asks_again(tmp_path: Path, database: Callable[[], str]) -> None:
    """A standing approval covers one text of a policy, and no other."""
    dsn = database()
    room = SweepRoom(tmp_path, dsn, policies={"trial": SHARED})
    room.carts(1)
    room.settle()
    room.approve_sweep(room.next_night(), "anna")
    room.grant()
    text = SHARED.replace("P90D", "P60D").replace("version: 1.0.0", "version: 1.1.0")
    (tmp_path / "config" / "policies" / "trial.yaml").write_text(text)
    room.reopen()
    room.carts(1, first=5)
    assert room.job(room.next_night())["facts"]["stopped"] == "policy_changed"
    assert room.left() == {"old-5"}


def test_after_an_outage_one_sweep_catches_up(make: Make) -> None:
    """Ten missed nights are one sweep, tied to the last of them."""
    room = make()
    room.settle()
    room.move_clock(days=10)
    room.settle()
    assert len(room.sweeps()) == 1
    (fire,) = room.rows("SELECT fire_at, business_now() AS now FROM fires")
    assert timedelta(0) <= fire.now - fire.fire_at < timedelta(days=1, hours=2)
    (schedule,) = room.rows("SELECT next_fire_at FROM schedules")
    assert schedule.next_fire_at > fire.now


def test_machines_that_tick_together_start_one_sweep(make: Make) -> None:
    """Two workers' duties on one due schedule make one sweep; a schedule under lock is skipped."""
    room = make()
    room.settle()
    room.move_clock(days=1)
    policies = room.office.files.policies.by_name.values()
    two = [Firing(room.office.ledger, room.office.sweeps, policies) for _ in range(2)]
    with room.office.ledger.transaction() as cursor:
        cursor.execute("SELECT name FROM schedules FOR UPDATE")
        cursor.fetchall()
        other = Firing(room.office.ledger, room.office.sweeps, policies)
        other._synced = True
        other.fire_schedules()
        assert room.sweeps() == []
    for firing in two:
        firing.fire_schedules()
        firing.fire_schedules()
    assert len(room.sweeps()) == 1


def test_a_schedule_waits_for_the_policys_open_sweep(make: Make) -> None:
    """While a sweep waits for a person, further nights are tied to it and start none."""
    room = make()
    room.carts(1)
    room.settle()
    ref = room.next_night()
    assert room.next_night() == ref
    fires = room.rows("SELECT f.job_id, j.ref FROM fires f JOIN jobs j ON j.id = f.job_id")
    assert [f.ref for f in fires] == [ref, ref]


def test_schedules_follow_the_policies_in_force(make: Make) -> None:
    """A policy that is taken out no longer fires; one that comes back fires from then on."""
    room = make()
    room.settle()
    ledger, sweeps = room.office.ledger, room.office.sweeps
    Firing(ledger, sweeps, ()).fire_schedules()
    room.move_clock(days=3)
    Firing(ledger, sweeps, ()).fire_schedules()
    assert room.sweeps() == []
    back = Firing(ledger, sweeps, room.office.files.policies.by_name.values())
    back.fire_schedules()
    assert room.sweeps() == []
    (schedule,) = room.rows("SELECT enabled, next_fire_at > business_now() AS ahead FROM schedules")
    assert (schedule.enabled, schedule.ahead) == (True, True)


def test_no_value_of_a_row_reaches_plan_events_or_receipts(make: Make) -> None:
    """A sweep's plan, events, steps and receipts hold counts, codes and digests only."""
    room = make()
    room.load_people(2)
    room.carts(3)
    room.hold_person(Identity("customer_number", "1"))
    ref = room.start()
    room.approve_sweep(ref)
    kept = room.job(ref)["plan"]["samples"]
    assert [len(digests) for digests in kept["crm"].values()] == [1]
    told = room.rows(
        "SELECT (SELECT json_agg(e.body) FROM events e)::text"
        " || (SELECT json_agg(j) FROM jobs j)::text"
        " || (SELECT json_agg(s) FROM steps s)::text || (SELECT json_agg(r) FROM receipts r)::text"
        " AS everything"
    )[0].everything
    assert ref in told
    assert "zq000" not in told
    assert "old-1" not in told
