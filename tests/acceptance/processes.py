"""The same installation with its work done by real Dramatiq processes, embedded or grown up.

In: a folder, and either nothing (its own Postgres and broker) or addresses of servers that run
elsewhere. Out: an `EngineRoom` that only submits, decides and looks; workers under their supervisor
do the rest.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from dsr_worker.embedded import Endpoints, Supervisor
from tests.integration.engine_room import EngineRoom

_PATIENCE_S: Final = 240.0
_STARTING_S: Final = 120.0
_POLL_S: Final = 0.1
_STILL: Final = 3  # looks in a row that find no work
_WORKER: Final = ("-m", "dsr_worker.queue", "-p", "1", "-t", "4")


class ProcessRoom(EngineRoom):
    """An installation whose steps are worked off by processes of their own."""

    def __init__(
        self, folder: Path, endpoints: Endpoints, secrets: Mapping[str, str], **kept: Any
    ) -> None:
        super().__init__(folder, endpoints.ledger_dsn, redis_url=endpoints.redis_url, **kept)
        self.supervisor = Supervisor(self.settings.data_dir)
        self._environment = {
            **{n: v for n, v in os.environ.items() if not n.startswith("DSR_")},
            **secrets,
            "DSR_CONFIG_DIR": str(self.settings.config_dir),
            "DSR_DATA_DIR": str(self.settings.data_dir),
            "DSR_STORE": self.settings.store_url,
            "DSR_TICK_S": "0.3",
        }

    def start(self, **addresses: str) -> None:
        """Start the workers and wait until one has enlisted."""
        mine = self.workshop.worker.id
        self.supervisor.start([sys.executable, *_WORKER], {**self._environment, **addresses})
        until = time.monotonic() + _STARTING_S
        while not self.rows("SELECT 1 FROM workers WHERE id <> %s", mine):
            assert time.monotonic() < until, f"no worker comes up: {self.words()[-2000:]}"
            time.sleep(_POLL_S)

    def close(self) -> None:
        """Close every connection of this process."""
        for connector in self.office.materials._connectors.values():
            if (close := getattr(connector, "close", None)) is not None:
                close()
        self.office.ledger.dispose()

    def words(self) -> str:
        """Everything that workers and supervisor have said."""
        return self.supervisor.log.read_text("utf-8")

    def tick(self) -> None:
        """The workers tick."""

    def settle(self, turns: int = 60) -> None:
        """Wait until the workers have nothing to do any more."""
        del turns
        until = time.monotonic() + _PATIENCE_S
        still = 0
        while still < _STILL:
            busy = self.rows(
                "SELECT 1 FROM steps WHERE state IN ('ready', 'leased', 'waiting') LIMIT 1"
            )
            still = 0 if busy else still + 1
            assert time.monotonic() < until, f"not settled: {self.steps()}"
            time.sleep(_POLL_S)


def spoken(words: str) -> list[dict[str, Any]]:
    """The lines of a worker's log that are JSON."""
    return [json.loads(line) for line in words.splitlines() if line.startswith("{")]
