"""A worker process: what the `dramatiq` command imports.

In: the environment's settings. Out: one actor per system on the broker, a tick thread and metrics
in each process. Nothing is connected at import but the configuration read: Dramatiq imports this
module in its parent too, and each child makes its own connections after the fork.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
from pathlib import Path
from typing import Any

import dramatiq
from dramatiq.middleware import Middleware

from dsr_worker import logs
from dsr_worker.bootstrap import Files, NotSetUp, Workshop, open_office
from dsr_worker.documents import DocumentError
from dsr_worker.doorbell import Doorbell
from dsr_worker.settings import Settings
from dsr_worker.statutes import load_pack, packs

_log = logging.getLogger(__name__)

_YOUNG_VALUES = 20_000  # between two collections; Python has 700


class Life(Middleware):
    """Begins and ends the process's own work with Dramatiq's: enlist, tick, stop."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop

    def after_process_boot(self, broker: Any) -> None:
        """Enlist this process and begin to tick."""
        _spare_the_collector()
        self._workshop.office.ledger.dispose()
        self._workshop.worker.enlist()
        self._workshop.ticker.start()

    def before_worker_shutdown(self, broker: Any, worker: Any) -> None:
        """Let batches stop at their next border and give their leases back."""
        self._workshop.worker.stopping.set()

    def after_worker_shutdown(self, broker: Any, worker: Any) -> None:
        """Stop ticking."""
        self._workshop.ticker.stop()


def _spare_the_collector() -> None:
    """What was loaded so far is there to stay; and a batch makes many values that all live."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_VALUES)


class Watch:
    """Sees that the reviewed files changed, and has this worker started anew with them.

    A worker that went on with an older map would miss what the newer one names. Files that do not
    load are left alone: `dsr check` says what is wrong, and work goes on by the last good ones.
    """

    def __init__(self, folder: Path, files: Files) -> None:
        self._folder = folder
        self._marks = _marks(folder)
        self._digest = files.digest

    def restart_when_files_change(self) -> None:
        """The duty: cheap until a file is touched."""
        marks = _marks(self._folder)
        if marks == self._marks:
            return
        self._marks = marks
        try:
            changed = Files.load(self._folder).digest != self._digest
        except (DocumentError, KeyError) as error:
            _log.error("files_not_loaded", extra={"error": type(error).__name__})
            return
        if changed:
            _log.warning("files_changed")
            os.kill(os.getppid(), signal.SIGTERM)  # Dramatiq's parent; the supervisor restarts it


def _marks(folder: Path) -> tuple[tuple[str, int, int], ...]:
    files = (
        folder / "organisation.yaml",
        *folder.glob("systems/*.yaml"),
        *folder.glob("policies/*.yaml"),
    )
    found = ((file, file.stat()) for file in files if file.exists())
    return tuple(sorted((str(file), s.st_mtime_ns, s.st_size) for file, s in found))


def _make() -> Doorbell:
    settings = Settings()
    logs.configure(settings.log_level)
    for law in packs():
        load_pack(law)  # read once, before the fork
    office = open_office(settings)
    if office.endpoints.redis_url is None:
        message = "workers need a broker: set DSR_REDIS_URL, or start everything with `dsr up`"
        raise NotSetUp(message)
    workshop = Workshop(office)
    workshop.provide_slots()
    workshop.ticker.add(Watch(settings.config_dir, office.files).restart_when_files_change)
    doorbell = Doorbell(
        office.endpoints.redis_url, office.systems, workshop.drainer, middleware=[Life(workshop)]
    )
    workshop.drainer.ring = doorbell.ring
    return doorbell


dramatiq.set_broker(_make().broker)
