"""A worker process: what the `dramatiq` command imports.

In: the environment's settings. Out: one actor per system on the broker, a tick thread and metrics
in each process. Nothing is connected at import but the configuration read: Dramatiq imports this
module in its parent too, and each child makes its own connections after the fork.
"""

from __future__ import annotations

from typing import Any

import dramatiq
from dramatiq.middleware import Middleware

from dsr_worker import logs
from dsr_worker.bootstrap import Workshop, open_office
from dsr_worker.doorbell import Doorbell
from dsr_worker.installation import NotSetUp
from dsr_worker.queue.collecting import spare_the_collector
from dsr_worker.queue.watching import Watch
from dsr_worker.settings import Settings


class Life(Middleware):
    """Begins and ends the process's own work with Dramatiq's: enlist, tick, stop."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop

    def after_process_boot(self, broker: Any) -> None:
        """Enlist this process and begin to tick."""
        spare_the_collector()
        self._workshop.office.ledger.dispose()
        self._workshop.worker.enlist()
        self._workshop.ticker.start()

    def before_worker_shutdown(self, broker: Any, worker: Any) -> None:
        """Let batches stop at their next border and give their leases back."""
        self._workshop.worker.stopping.set()

    def after_worker_shutdown(self, broker: Any, worker: Any) -> None:
        """Stop ticking."""
        self._workshop.ticker.stop()


def _make() -> Doorbell:
    settings = Settings()
    logs.configure(settings.log_level)
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
