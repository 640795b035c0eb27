"""The tick: in every worker, every second or so, what must happen without anybody ringing.

In: a list of duties. Out: their effects, each in its own transaction, all safe to run in every
process at once. One duty that fails is told and does not stop the others.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Sequence

from dsr_worker.engine.leases import Worker
from dsr_worker.ledger import Ledger, LedgerUnreachable, slots, steps, units
from dsr_worker.metrics import TICK_AT

_log = logging.getLogger(__name__)

Duty = Callable[[], None]


class Ticker:
    """Runs the duties until stopped. `systems` names what this process can ring for."""

    def __init__(self, worker: Worker, duties: Sequence[Duty], every_s: float) -> None:
        self._worker = worker
        self._duties = duties
        self._every_s = every_s
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(once,), name=name, daemon=True)
            for name, once in (("leases", self._keep_leases), ("tick", self._perform_duties))
        ]

    def add(self, duty: Duty) -> None:
        """One duty more, before ticking begins."""
        self._duties = (*self._duties, duty)

    def start(self) -> None:
        """Begin to tick; leases in a thread of their own, so that no slow duty lets them lapse."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End ticking; the tick under way is finished."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=30)

    def tick(self) -> None:
        """Renew leases and perform every duty, once."""
        self._keep_leases()
        self._perform_duties()

    def _run(self, once: Callable[[], None]) -> None:
        while not self._stop.is_set():
            once()
            self._stop.wait(self._every_s * random.uniform(0.8, 1.2))  # noqa: S311 - spreads ticks

    def _keep_leases(self) -> None:
        _each(self._worker.enlist, self._worker.renew)

    def _perform_duties(self) -> None:
        if _each(*self._duties):
            TICK_AT.set_to_current_time()


def _each(*duties: Duty) -> bool:
    """Perform each; whether the ledger answered. One that fails is told and stops no other."""
    for duty in duties:
        try:
            duty()
        except LedgerUnreachable as error:
            _log.warning("ledger_unreachable", extra={"error": type(error).__name__})
            return False
        except Exception as error:  # noqa: BLE001 - one duty must not silence the others
            _log.error(  # without a traceback, which could carry values
                "tick_duty_failed",
                extra={
                    "duty": getattr(duty, "__qualname__", "?"),
                    "error": type(error).__name__,
                },
            )
    return True


def rescue(ledger: Ledger) -> Duty:
    """The duty that takes back what dead workers and run-out leases held."""

    def rescue_steps() -> None:
        dead = slots.dead_workers(ledger)
        taken = steps.take_back(ledger, dead)
        if taken:
            _log.warning("steps_taken_back", extra={"steps": len(taken)})
        parts = units.take_back(ledger, dead)
        if parts:
            _log.warning("units_taken_back", extra={"units": parts})

    return rescue_steps


def ring_for_ready(ledger: Ledger, ring: Callable[[Sequence[str]], None]) -> Duty:
    """The duty that wakes what waited and rings wherever steps are ready."""

    def ring_ready() -> None:
        ring(slots.to_ring(ledger, slots.with_ready_steps(ledger)))

    return ring_ready
