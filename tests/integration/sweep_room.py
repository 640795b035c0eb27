"""An installation that sweeps: policies, rows of any age, a night that comes when told to."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psycopg2

from dsr_worker.bootstrap import Office, Workshop
from dsr_worker.evidence import verify_certificate
from dsr_worker.installation import Files
from dsr_worker.sweep.decisions import standing_digest
from tests.integration.engine_room import ORGANISATION, POLICY, EngineRoom

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


def ids(dsn: str, table: str) -> list[int]:
    """The keys of a table."""
    with psycopg2.connect(dsn) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT id FROM {table} ORDER BY id")  # noqa: S608 - a fixed name
        found = [int(row[0]) for row in cursor.fetchall()]
    connection.close()
    return found
