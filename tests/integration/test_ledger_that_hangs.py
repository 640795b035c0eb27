"""A ledger that takes connections and says nothing ends a command soon, with what to do."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from pydantic import SecretStr

from dsr_worker.cli import dsr
from dsr_worker.cli.desk import Opening
from dsr_worker.embedded import Services, place, postgres
from dsr_worker.embedded.process import Identity
from dsr_worker.settings import Settings
from tests.integration.engine_room import CRM, ORGANISATION, POLICY
from tests.services import private_folder

_PATIENCE_S = 4


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder for these tests."""
    with private_folder() as made:
        files = {"organisation": ORGANISATION, "policies/trial": POLICY, "systems/crm": CRM}
        for name, text in files.items():
            file = made / "config" / f"{name}.yaml"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
        yield made


@pytest.fixture(scope="module")
def own(folder: Path) -> Iterator[Services]:
    """A ledger of its own there, which runs."""
    services = Services(folder / "data")
    services.start(broker=False)
    yield services
    services.remove()


@pytest.fixture
def halted(own: Services, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """The settings of an installation whose postmaster is stopped by SIGSTOP."""
    del own
    monkeypatch.setattr(postgres, "ANSWER_TIMEOUT_S", _PATIENCE_S)
    server = Identity.read(folder / "data" / "postgres.pid")
    assert server is not None
    server.send(signal.SIGSTOP)
    yield Settings(data_dir=folder / "data", config_dir=folder / "config")
    server.send(signal.SIGCONT)


def _told(settings: Settings, *args: str) -> Result:
    began = time.monotonic()
    result = CliRunner().invoke(dsr, [*args, "--json"], obj=Opening(settings))
    assert time.monotonic() - began < 100, "it waited on and on"
    assert (result.exit_code, "Traceback" in result.output) == (3, False)
    return result


def test_an_embedded_ledger_that_hangs_is_told(halted: Settings) -> None:
    """It is neither started a second time nor waited for without end."""
    message = json.loads(_told(halted, "status").stderr)["error"]["message"]
    assert f"does not answer within {_PATIENCE_S} s" in message
    assert "`dsr down`, then `dsr up`" in message


def test_health_has_a_line_for_it(halted: Settings) -> None:
    """`dsr health` says of the ledger what ails it."""
    parts = {p["name"]: p for p in json.loads(_told(halted, "health").stdout)["parts"]}
    assert (parts["ledger"]["ok"], "does not answer" in parts["ledger"]["message"]) == (False, True)


def test_a_configured_ledger_that_hangs_is_told(halted: Settings) -> None:
    """The same behind DSR_LEDGER_DSN: it is unreachable, with what to look at."""
    found = place.known(halted.data_dir)
    assert found is not None
    configured = halted.model_copy(update={"ledger_dsn": SecretStr(postgres.Cluster(found).dsn)})
    error = json.loads(_told(configured, "status").stderr)["error"]
    assert (error["code"], "DSR_LEDGER_DSN" in error["message"]) == ("ledger_unreachable", True)


def test_a_halted_ledger_can_be_taken_down(own: Services, halted: Settings) -> None:
    """What `dsr down` does ends it in order, so that `dsr up` starts it anew."""
    del halted
    began = time.monotonic()
    own.stop()
    assert time.monotonic() - began < 100, "it waited on and on"
    assert own.running() is None
