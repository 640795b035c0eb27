"""`dsr up`, `dsr down` and `dsr worker` as real processes that leave nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import SecretStr

from dsr_worker.cli import dsr
from dsr_worker.cli.desk import Opening
from dsr_worker.embedded import Services, Supervisor
from dsr_worker.settings import Settings
from tests.integration.engine_room import ORGANISATION, POLICY
from tests.services import private_folder

SYSTEM = """
system: shop
connector: postgres
config: {dsn: {env: SHOP_DSN}}
collections:
  customers:
    source: {table: customers}
    key: [id]
    takes: {email: email}
    fields: {id: user.unique_id, email: user.contact.email}
"""
_PATIENCE_S = 180.0
"""How long a start may take here, under whatever else the machine does: no promise."""


class Installation:
    """A configuration and a data folder of its own, and `dsr` in processes of their own."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        config = folder / "config"
        for name in ("systems", "policies"):
            (config / name).mkdir(parents=True)
        (config / "organisation.yaml").write_text(ORGANISATION)
        (config / "policies" / "trial.yaml").write_text(POLICY)
        (config / "systems" / "shop.yaml").write_text(SYSTEM)
        self.settings = Settings(config_dir=config, data_dir=self.data)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("DSR_")},
            "DSR_CONFIG_DIR": str(config),
            "DSR_DATA_DIR": str(self.data),
            "DSR_TICK_S": "0.3",
            "PYTHONPYCACHEPREFIX": str(folder / "bytecode"),  # compiled once for all of them
        }
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def start(self, *args: str) -> subprocess.Popen[bytes]:
        """Start a command."""
        argv = [sys.executable, "-m", "dsr_worker", *args]
        quiet = subprocess.DEVNULL
        return subprocess.Popen(argv, env=self.environment, stdout=quiet, stderr=quiet, stdin=quiet)

    def configure(self, ledger_dsn: str, redis_url: str) -> None:
        """Let ledger and broker be servers that run elsewhere."""
        self.environment |= {"DSR_LEDGER_DSN": ledger_dsn, "DSR_REDIS_URL": redis_url}
        addresses = {"ledger_dsn": SecretStr(ledger_dsn), "redis_url": SecretStr(redis_url)}
        self.settings = self.settings.model_copy(update=addresses)

    def ask(self, *args: str) -> tuple[int, dict[str, Any]]:
        """Run a command with --json in this process, which saves its start; as `run`."""
        result = CliRunner().invoke(dsr, [*args, "--json"], obj=Opening(self.settings))
        return result.exit_code, json.loads(result.stdout or result.stderr)

    def run(self, *args: str) -> tuple[int, dict[str, Any]]:
        """Run a command with --json; its exit code and what it printed."""
        argv = [sys.executable, "-m", "dsr_worker", *args, "--json"]
        done = subprocess.run(
            argv, env=self.environment, capture_output=True, timeout=_PATIENCE_S, check=False
        )
        return done.returncode, json.loads(done.stdout or done.stderr)

    def processes(self) -> set[int]:
        """Every process that was given this data folder, by environment or by argument."""
        found = set()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    told = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                if str(self.data).encode() in told:
                    found.add(int(entry.name))
        return found

    def until(self, happened: Callable[[], bool]) -> None:
        """Wait for it."""
        end = time.monotonic() + _PATIENCE_S
        while not happened():
            assert time.monotonic() < end, "it did not happen in time"
            time.sleep(0.2)


@pytest.fixture
def installation() -> Iterator[Installation]:
    """One installation; whatever a failed test leaves of it is stopped."""
    with private_folder() as folder:
        made = Installation(folder)
        try:
            yield made
        finally:
            Supervisor(made.data).stop()
            Services(made.data).stop()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_up_starts_what_is_needed_once_and_down_leaves_nothing(installation: Installation) -> None:
    """`up` gives a healthy installation, a second changes nothing, `down` ends every process."""
    code, said = installation.ask("status")
    assert (code, said["error"]["code"]) == (3, "not_set_up")
    code, said = installation.run("up", "--trial", "--workers", "1")
    assert (code, said["running"], said["started"], said["services"]) == (0, True, True, "embedded")
    assert Path(said["log"]).exists()
    running = installation.processes()
    assert running
    code, said = installation.ask("health")
    assert (code, said["ok"]) == (0, True), said
    code, said = installation.ask("up")
    assert (code, said["started"]) == (0, False)
    assert running <= installation.processes()
    code, said = installation.ask("status")
    assert (code, said) == (0, {"jobs": [], "reviews": []})
    code, said = installation.run("down")
    assert (code, said) == (0, {"running": False, "stopped": True})
    assert installation.processes() == set()
    code, said = installation.ask("down")
    assert (code, said["stopped"]) == (0, False)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_worker_in_the_foreground_ends_when_it_is_told(
    installation: Installation, database: Callable[[], str], redis_url: str
) -> None:
    """`worker` works for a configured ledger after `migrate`, and ends with its children."""
    installation.configure(database(), redis_url)
    code, said = installation.ask("status")
    assert (code, said["error"]["code"], "dsr migrate" in said["error"]["message"]) == (
        3,
        "schema",
        True,
    )
    assert installation.ask("migrate")[0] == 0
    worker = installation.start("worker", "--processes", "1")
    try:
        installation.until(lambda: installation.ask("health")[0] == 0)
        assert worker.pid in installation.processes()
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(_PATIENCE_S) == 0
    finally:
        worker.kill()
        worker.wait()
    installation.until(lambda: installation.processes() == set())
    assert installation.ask("health")[0] == 1
