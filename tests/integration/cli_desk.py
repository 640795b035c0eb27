"""`dsr` as people call it, on an installation with a real ledger and in-memory systems."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from pydantic import SecretStr

from dsr_worker.cli import dsr
from dsr_worker.cli.desk import Opening
from dsr_worker.registry import Registry
from dsr_worker.testing.memory import Memory
from tests.integration.engine_room import ORGANISATION, POLICY, EngineRoom

PEOPLE = 40


class Desk:
    """`dsr` as two people call it on one machine. Each test asks for a person of its own."""

    def __init__(self, folder: Path, dsn: str) -> None:
        self.folder = folder
        self.room = EngineRoom(folder, dsn, organisation=ORGANISATION, policies={"trial": POLICY})
        self.room.load_people(PEOPLE)
        settings = self.room.settings.model_copy(update={"ledger_dsn": SecretStr(dsn)})
        self.opening = Opening(settings, Registry({"memory": Memory}))
        self.person = 0
        self.runner = CliRunner()

    @property
    def mark(self) -> str:
        """What stands in every value of this test's person."""
        return f"zq{self.person:04x}zq"

    @property
    def named(self) -> tuple[str, str]:
        """The option that names this test's person."""
        return ("--email", f"p.{self.mark}@mail.example")

    def run(self, *args: str, stdin: str | None = None) -> Result:
        """Call it; nothing it prints may be a traceback."""
        result = self.runner.invoke(dsr, list(args), obj=self.opening, input=stdin)
        assert isinstance(result.exception, SystemExit | None), result.exception
        assert "Traceback" not in result.output
        return result

    def ok(self, *args: str, actor: str | None = None, stdin: str | None = None) -> dict[str, Any]:
        """Call it as somebody; what it printed as JSON."""
        result = self.run(*args, *(self.signing(actor) if actor else ()), "--json", stdin=stdin)
        assert result.exit_code == 0, result.output
        found: dict[str, Any] = json.loads(result.stdout)
        return found

    def refused(self, *args: str, code: int, actor: str | None = None) -> tuple[str, str]:
        """Call it, expecting an exit code; code and message of the error."""
        result = self.run(*args, *(self.signing(actor) if actor else ()), "--json")
        assert result.exit_code == code, result.output
        error = json.loads(result.stderr)["error"]
        return error["code"], error["message"]

    def signing(self, actor: str) -> tuple[str, ...]:
        """The options by which somebody signs."""
        return ("--as", actor, "--key", str(self.folder / f"{actor}.key"))

    def submit(self, kind: str, *more: str, actor: str = "anna") -> str:
        """Submit a request of this test's person; its reference."""
        args = ("submit", "--kind", kind, *self.named, "--country", "DE", "--attest", "trial")
        return str(self.ok(*args, *more, actor=actor)["case"])

    def jobs(self) -> int:
        """How many jobs there are."""
        return len(self.room.rows("SELECT 1 FROM jobs"))
