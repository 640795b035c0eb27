"""An installation over one bucket whose own rules two people install; all data is invented."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from pydantic import SecretStr

from connectors.s3 import S3
from dsr_worker.cli import dsr
from dsr_worker.cli.desk import Opening
from dsr_worker.registry import Registry
from dsr_worker.testing.memory import Memory
from tests import services as real
from tests.contract.s3_aged import AgedBucket
from tests.integration.engine_room import FILES as DOCUMENTS
from tests.integration.engine_room import POLICY, EngineRoom

_TEXTS = """
    purpose: Trial.
    legal_basis: Contract.
    recipients: [nobody]
    origin: You.
"""
ARCHIVE = f"""
system: archive
connector: s3
config:
  bucket: BUCKET
  endpoint_url: ENDPOINT
  region: {real.S3_REGION}
  access_key_id: {{env: TRIAL_S3_KEY}}
  secret_access_key: {{env: TRIAL_S3_SECRET}}
collections:
  letters:
    source: {{layout: prefix, template: "letters/{{customer_number}}/", lifecycle: true}}
    key: [key]
    takes: {{customer_number: key}}
    class: cart
    clocks: {{record_date: last_modified}}
    fields: {{key: user.unique_id, last_modified: user.content}}
{_TEXTS}
  events:
    source: {{layout: shared, prefix: "events/", format: ndjson}}
    key: [event_id]
    takes: {{customer_number: customer}}
    class: cart
    clocks: {{record_date: at}}
    fields: {{event_id: user.unique_id, customer: user.unique_id, at: user.content}}
{_TEXTS}
"""
RULE = "dsr-archive.letters"
LONGER = POLICY.replace("P90D", "P200D")


class Bench:
    """An installation over one bucket, and `dsr` as two people call it."""

    def __init__(self, folder: Path, dsn: str, aged: AgedBucket) -> None:
        self.aged = aged
        self.folder = folder
        archive = ARCHIVE.replace("BUCKET", aged.name).replace("ENDPOINT", aged.endpoint)
        systems = {"archive": archive, "files": DOCUMENTS}
        self.room = EngineRoom(folder, dsn, systems=systems, connectors={"s3": S3})
        settings = self.room.settings.model_copy(update={"ledger_dsn": SecretStr(dsn)})
        self.opening = Opening(settings, Registry({"memory": Memory, "s3": S3}))

    def call(self, *args: str, actor: str | None = None, code: int = 0) -> dict[str, Any]:
        """Call it, expecting an exit code; the one JSON object that it prints."""
        key = ("--as", actor, "--key", str(self.folder / f"{actor}.key")) if actor else ()
        result = CliRunner().invoke(dsr, [*args, *key, "--json"], obj=self.opening)
        assert result.exit_code == code, result.output
        found: dict[str, Any] = json.loads(result.stdout or result.stderr)
        return found

    def rules(self, *args: str, actor: str | None = None, code: int = 0) -> dict[str, Any]:
        """`dsr retention rules archive`."""
        return self.call("retention", "rules", "archive", *args, actor=actor, code=code)

    def install(self) -> str:
        """Propose and approve; the reference of the record."""
        self.rules("--apply", "--yes", actor="anna")
        return str(self.rules("--apply", "--yes", actor="berta")["record"])

    def stands(self) -> list[str]:
        """The ids of the rules in the bucket."""
        return [str(rule["ID"]) for rule in self.aged.rules()]

    def events(self, ref: str) -> list[str]:
        """The kinds of a job's events."""
        found = self.room.rows(
            "SELECT e.kind FROM events e JOIN jobs j ON j.id = e.job_id WHERE j.ref = %s"
            " ORDER BY e.seq",
            ref,
        )
        return [row.kind for row in found]

    def hold(self, scope: Any) -> str:
        """Place a hold."""
        return self.room.place_hold(scope, "m-1", review_on())


def review_on() -> date:
    """A day that is still to come."""
    return (datetime.now(UTC) + timedelta(days=90)).date()
