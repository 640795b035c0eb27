"""An installation in one process, driven by hand: real ledger, in-memory systems, no broker.

Tests submit, let the engine settle, and look. `settle` ticks and drains until nothing is ready, so
a test is over as soon as its work is.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from dsr_worker.actors import ActorKey, create_key, new_action
from dsr_worker.bootstrap import Office, Workshop
from dsr_worker.contract import Identity
from dsr_worker.domain.hold import PeopleHeld, Scope
from dsr_worker.domain.identity import claimed
from dsr_worker.domain.request import Kind
from dsr_worker.embedded import Endpoints
from dsr_worker.fulfil.correcting import Stated
from dsr_worker.fulfil.holding import hold_digest
from dsr_worker.fulfil.intake import Request
from dsr_worker.fulfil.lifting import LIFT, lift_digest
from dsr_worker.installation import Files, set_up
from dsr_worker.ledger import instances, people
from dsr_worker.people import SignedAction
from dsr_worker.registry import Registry
from dsr_worker.settings import Settings
from dsr_worker.testing.memory import Memory, store

ORGANISATION = """
controller: {name: Shop, address: "Street 1, Town", contact: privacy@shop.example}
establishment: {country: DE, zone: Europe/Berlin}
markets: [DE, GB-ENG, US-CA]
policies: [trial]
approval: {access: automatic, erasure: second_actor}
warnings: {chain: [{name: team, email: privacy@shop.example}]}
complaints: {acknowledge_within: P3D, resolve_within: P30D, refer_after: P60D, rest_at_most: P7D,
             refer_to: {DE: "Conciliation, Kehl", GB: "Ombudsman, London", US: "Bureau, Arlington"}}
information:
  en: {retention: "as needed", rights: "yours", complaint: "to", automated_decisions: "none",
       transfers: "none"}
smtp: {host: 127.0.0.1, port: 9, sender: privacy@shop.example, tls: none}
"""

POLICY = """
policy: trial
version: 1.0.0
title: Trial
owner: privacy-team
jurisdictions: [DE]
zone: Europe/Berlin
limits: {rows: 1000, share: 0.5}
rules:
  - id: vouchers
    class: voucher
    keep_at_least: {statute: de-ao-147-voucher}
    clock: record_date
  - id: carts
    class: cart
    keep_at_most: {period: P90D, anchor: record_date, citation: "house rule"}
    clock: record_date
"""

_TEXTS = """
    source: {}
    purpose: Trial.
    legal_basis: Contract.
    recipients: [nobody]
    origin: You.
"""

CRM = f"""
system: crm
connector: memory
config: {{name: NAME-crm}}
collections:
  customers:
    key: [id]
    person: true
    takes: {{email: {{field: email, form: ascii-case}}, customer_number: id}}
    yields: {{customer_number: id, phone: phone}}
    contact: {{email: email}}
    residence: country
    class: customer-account
    clocks: {{record_date: created_at}}
    fields:
      id: user.unique_id
      email: {{category: user.contact.email, mask: tombstone}}
      name: {{category: user.name, mask: {{constant: erased}}}}
      phone: {{category: user.contact.phone_number, mask: "null"}}
      country: user.contact.address.country
      created_at: user.account
{_TEXTS}
  invoices:
    key: [id]
    parent: {{collection: customers, on: {{customer_id: id}}}}
    class: voucher
    keeps: [id, customer_id, total, issued_on]
    clocks: {{record_date: issued_on}}
    fields:
      id: user.unique_id
      customer_id: user.unique_id
      name: {{category: user.name, mask: {{constant: erased}}}}
      total: user.financial
      issued_on: user.financial
{_TEXTS}
  carts:
    key: [id]
    parent: {{collection: customers, on: {{customer_id: id}}}}
    class: cart
    clocks: {{record_date: created_at}}
    fields:
      id: user.unique_id
      customer_id: user.unique_id
      content: {{category: user.content, free_text: true}}
      created_at: user.content
{_TEXTS}
"""

FILES = f"""
system: files
connector: memory
config: {{name: NAME-files}}
collections:
  documents:
    key: [id]
    takes: {{customer_number: owner}}
    class: attachment
    fields:
      id: user.unique_id
      owner: user.unique_id
      text: {{category: user.content, free_text: true}}
{_TEXTS}
"""

KEYS = {
    "customers": ("id",),
    "invoices": ("id",),
    "carts": ("id",),
    "documents": ("id",),
}


class EngineRoom:
    """One installation in a folder, on a fresh ledger."""

    def __init__(
        self,
        folder: Path,
        dsn: str,
        *,
        systems: Mapping[str, str] | None = None,
        organisation: str = ORGANISATION,
        policies: Mapping[str, str] | None = None,
        connectors: Mapping[str, type[Any]] | None = None,
        redis_url: str | None = None,
        store: str | None = None,
    ) -> None:
        config = folder / "config"
        texts = systems if systems is not None else {"crm": CRM, "files": FILES}
        # rows in memory outlive a test: two tests call a folder of theirs alike
        self.name = f"{folder.parent.name}-{folder.name}"
        for name, text in texts.items():
            _write(config / "systems" / f"{name}.yaml", text.replace("NAME", self.name))
        for name, text in (policies or {"trial": POLICY}).items():
            _write(config / "policies" / f"{name}.yaml", text)
        _write(config / "organisation.yaml", organisation)
        self.settings = Settings(
            config_dir=config, data_dir=folder / "data", store=store or str(folder / "store")
        )
        endpoints = Endpoints(dsn, redis_url)
        keys = set_up(self.settings, endpoints, trial=True)
        registry = Registry({"memory": Memory, **(connectors or {})})
        self.office = Office(self.settings, endpoints, Files.load(config), keys, registry=registry)
        self.workshop = Workshop(self.office)
        self.workshop.provide_slots()
        self.workshop.worker.enlist()
        self._actors: dict[str, ActorKey] = {}
        for name in ("anna", "berta"):
            self.add_actor(name, folder / f"{name}.key")

    # ---- people

    def add_actor(self, name: str, file: Path) -> None:
        """Make a person with a key of their own."""
        key = create_key(file)
        self._actors[name] = key
        with self.office.ledger.transaction() as cursor:
            assert people.add(cursor, name, base64.b64decode(key.public_key))

    def sign(self, actor: str, action: str, case: str, plan_hash: str = "") -> SignedAction:
        """An action signed by one of the people."""
        act = new_action(actor, action, case, datetime.now(UTC), plan_hash)
        return SignedAction(act, self._actors[actor].sign(act))

    # ---- what people do

    def submit(
        self,
        kind: str = "access",
        corrections: Sequence[Stated] = (),
        /,
        *,
        verification: str = "attested:trial",
        actor: str = "anna",
        key: str | None = None,
        **identities: str,
    ) -> str:
        """Submit a request; its reference."""
        request = Request(
            kind=Kind(kind),
            identities=tuple(claimed(k, v) for k, v in identities.items()),
            received_at=datetime.now(UTC) - timedelta(minutes=1),
            channel="mail",
            country="DE",
            verification=verification,
            idempotency_key=key,
            corrections=tuple(corrections),
        )
        signed = self.sign(actor, "submit", "new", request.digest())
        return self.office.intake.submit(request, signed).ref

    def approve(self, ref: str, actor: str = "berta") -> None:
        """Approve a case's plan as it stands."""
        plan_hash = self.job(ref)["plan_hash"]
        self.office.decisions.approve(ref, plan_hash, self.sign(actor, "approve", ref, plan_hash))

    def lift(self, ref: str, informed_on: date | None = None, actor: str = "berta") -> str:
        """Lift a case's restriction, answered and the person told today; the job that does it."""
        if self.job(ref)["state"] == "ready":
            self.hand_over(ref)
        told_on = informed_on or datetime.now(UTC).date()
        signed = self.sign(actor, LIFT, ref, lift_digest(ref, told_on))
        return self.office.liftings.lift(ref, told_on, signed).ref

    def hand_over(self, ref: str, actor: str = "anna") -> dict[str, Any]:
        """Hand a case's certificate over, which closes it; what the file states."""
        file = self.settings.config_dir.parent / f"{ref}.json"
        self.office.delivery.certificate(ref, file, self.sign(actor, "hand-over", ref))
        stated: dict[str, Any] = json.loads(file.read_text("utf-8"))["certificate"]
        return stated

    def hold_person(self, *identities: Identity) -> str:
        """Place a hold on a person."""
        review_on = (datetime.now(UTC) + timedelta(days=90)).date()
        return self.place_hold(PeopleHeld(identities), "matter-1", review_on)

    def place_hold(self, scope: Scope, matter: str, review_on: date) -> str:
        """Place a hold on legal claims; its reference."""
        reason = "ER_LEGAL_CLAIMS"
        digest = hold_digest(scope, reason, matter, review_on)
        signed = self.sign("anna", "place-hold", "new", digest)
        return self.office.holding.place(scope, reason, matter, review_on, signed).ref

    # ---- the engine

    def tick(self) -> None:
        """One tick of this worker."""
        self.workshop.ticker.tick()

    def settle(self, turns: int = 60) -> None:
        """Tick and drain until no step is ready or leased; pauses before repeats are waited out."""
        until = time.monotonic() + 100
        while turns and time.monotonic() < until:
            self.tick()
            for system in self.office.systems:
                self.workshop.drainer(system)
            (left,) = self.rows(
                "SELECT count(*) AS open, count(*) FILTER (WHERE run_at <= now()) AS due"
                " FROM steps WHERE state IN ('ready', 'leased')"
            )
            if not left.open:
                return
            if left.due:
                turns -= 1
            else:
                time.sleep(0.02)
        message = f"the engine did not settle: {self.steps()}"
        raise AssertionError(message)

    def move_clock(self, **by: float) -> None:
        """Move the business clock on."""
        instances.move_clock(self.office.ledger, timedelta(**by))

    # ---- looking

    def rows(self, sql: str, *values: object) -> list[Any]:
        """What a query of the ledger gives."""
        with self.office.ledger.transaction() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchall()

    def job(self, ref: str) -> dict[str, Any]:
        """A job's row."""
        (row,) = self.rows("SELECT * FROM jobs WHERE ref = %s", ref)
        found: dict[str, Any] = row._asdict()
        return found

    def steps(self, ref: str | None = None) -> list[tuple[Any, ...]]:
        """(action, system, round, state, code) of a case's steps, or of all."""
        return [
            tuple(row)
            for row in self.rows(
                "SELECT s.action, s.system, s.round, s.state, s.code FROM steps s"
                " JOIN jobs j ON j.id = s.job_id WHERE %s::text IS NULL OR j.ref = %s"
                " ORDER BY s.id",
                ref,
                ref,
            )
        ]

    def outcomes(self, ref: str) -> dict[tuple[str, str, str], int]:
        """Rows by (system, collection, outcome) of a case."""
        return {
            (r.system, r.collection, r.outcome): int(r.rows)
            for r in self.rows(
                "SELECT system, collection, outcome, sum(row_count) AS rows FROM receipts r"
                " JOIN jobs j ON j.id = r.job_id WHERE j.ref = %s GROUP BY 1, 2, 3",
                ref,
            )
        }

    def events(self, ref: str) -> list[str]:
        """The kinds of a job's events, in order."""
        return [
            row.kind
            for row in self.rows(
                "SELECT e.kind FROM events e JOIN jobs j ON j.id = e.job_id WHERE j.ref = %s"
                " ORDER BY e.seq",
                ref,
            )
        ]

    def system(self, name: str) -> Any:
        """The rows of an in-memory system."""
        return store(f"{self.name}-{name}")

    def load_people(self, count: int) -> None:
        """Customers 0 … count-1, each with two invoices (one long past), a cart and a document."""
        crm: dict[str, list[dict[str, Any]]] = {"customers": [], "invoices": [], "carts": []}
        documents = []
        for n in range(count):
            mark = f"zq{n:04x}zq"
            crm["customers"].append(
                {
                    "id": str(n),
                    "email": f"p.{mark}@mail.example",
                    "name": f"Name {mark}",
                    "phone": f"+49 30 1{n:06}",
                    "country": "DE",
                    "created_at": "2020-01-01T00:00:00",
                }
            )
            for year, which in ((2025, "new"), (2012, "old")):
                crm["invoices"].append(
                    {
                        "id": f"{n}-{which}",
                        "customer_id": str(n),
                        "name": f"Name {mark}",
                        "total": "10.00",
                        "issued_on": f"{year}-03-01T00:00:00",
                    }
                )
            crm["carts"].append(
                {
                    "id": f"cart-{n}",
                    "customer_id": str(n),
                    "content": f"lamp {mark}",
                    "created_at": "2026-11-01T00:00:00",
                }
            )
            documents.append({"id": f"doc-{n}", "owner": str(n), "text": f"letter {mark}"})
        self.system("crm").load(crm, KEYS)
        self.system("files").load({"documents": documents}, KEYS)


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
