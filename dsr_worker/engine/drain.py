"""A drain: answers the doorbell of one system until nothing is ready or its time is over.

In: a system's name. Out: finished batches. It takes one of the system's slots or leaves at once,
claims the most urgent batch, has it performed under a renewed lease, finishes it, and rings for
what that made ready.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping

import psycopg2

from dsr_worker.contract import Configuration, LeaseLost
from dsr_worker.engine.assembly import Assembly
from dsr_worker.engine.batch import Performer, work_off
from dsr_worker.engine.context import LEAST_LEASE_S
from dsr_worker.engine.crash import crash_point
from dsr_worker.engine.dividing import Dividing
from dsr_worker.engine.errors import told
from dsr_worker.engine.leases import Lease, Worker
from dsr_worker.engine.units import Known, UnitWork
from dsr_worker.ledger import Ledger, LedgerUnreachable, slots, steps
from dsr_worker.ledger.batches import Claimed
from dsr_worker.ledger.rows import StepResult
from dsr_worker.ledger.steps import Advance
from dsr_worker.metrics import BATCH_SECONDS, BATCH_STEPS, observe
from dsr_worker.vault import SealBroken

_log = logging.getLogger(__name__)

SLICE_S = 20.0
_SWEEP_EVERY = 4  # each so-many-th claim asks for sweeps first: their guaranteed share

Ring = Callable[[Iterable[str]], None]


class Drainer:
    """Drains any system of this installation; used by many threads at once."""

    def __init__(
        self,
        ledger: Ledger,
        worker: Worker,
        assembly: Assembly,
        performers: Mapping[str, Performer],
        advance: Advance,
        dividing: Dividing,
    ) -> None:
        self._ledger = ledger
        self._worker = worker
        self._assembly = assembly
        self._performers = performers
        self._advance = advance
        self._dividing = dividing
        self._next_unit = UnitWork(dividing, worker, assembly)
        self.ring: Ring = lambda _systems: None

    def __call__(self, system: str) -> None:
        """Work on what is ready in a system. Returns at once when all its slots are taken."""
        try:
            slot = slots.take(self._ledger, system, self._worker.id)
            if slot is None:
                return
            try:
                self._until_empty(system, urgent_only=slot.reserved)
            finally:
                slots.leave(self._ledger, system, slot)
        except (LedgerUnreachable, psycopg2.Error) as error:
            _log.warning("ledger_unreachable", extra={"error": type(error).__name__})

    def _until_empty(self, system: str, *, urgent_only: bool) -> None:
        ends = time.monotonic() + SLICE_S
        known: Known = {}
        turn = 0
        while not self._worker.stopping.is_set():
            turn += 1
            sweeps_first = turn % _SWEEP_EVERY == 0
            busy = self._next_batch(system, urgent_only=urgent_only, sweeps_first=sweeps_first)
            busy = self._next_unit(system, known, urgent_only=urgent_only) or busy
            if not busy:
                return
            if time.monotonic() > ends:
                self._call([system])
                return

    def _next_batch(self, system: str, *, urgent_only: bool, sweeps_first: bool) -> bool:
        """Work on the most urgent batch; whether there was one."""
        claimed = None
        if sweeps_first:
            claimed = self._claim(system, urgent_only=urgent_only, sweeps_first=True)
        claimed = claimed or self._claim(system, urgent_only=urgent_only)
        if claimed is None:
            return False
        if claimed.more:
            self._call([system])
        self._work(claimed)
        return True

    def _claim(
        self, system: str, *, urgent_only: bool, sweeps_first: bool = False
    ) -> Claimed | None:
        return steps.claim(
            self._ledger,
            system,
            self._worker.id,
            urgent_only=urgent_only,
            sweeps_first=sweeps_first,
        )

    def _work(self, claimed: Claimed) -> None:
        started = time.monotonic()
        lease = self._worker.hold(claimed.claims)
        head = claimed.claims[0]
        crash_point("after-claim")
        try:
            results = self._perform(claimed, lease)
            crash_point("before-finish")
            finished = steps.finish(self._ledger, results, self._advance)
        except LeaseLost:
            self._give_back(claimed, lease)
            _log.info("batch_given_up", extra={"system": head.system, "action": head.action})
            return
        finally:
            self._worker.let_go(lease)
        crash_point("after-finish")
        observe(BATCH_SECONDS, head, time.monotonic() - started)
        observe(BATCH_STEPS, head, len(claimed.claims))
        self._call(finished.ring)

    def _give_back(self, claimed: Claimed, lease: Lease) -> None:
        """Uncharged when this worker stops or was cut off; the work's own doing otherwise.

        What has hardly any lease left is taken back, charged, when that is over.
        """
        if self._worker.stopping.is_set():
            steps.release(self._ledger, claimed.claims)
        elif lease.until - time.monotonic() > LEAST_LEASE_S:
            give_back = steps.release if lease.lost.is_set() else steps.give_up
            give_back(self._ledger, claimed.claims)

    def _perform(self, claimed: Claimed, lease: Lease) -> list[StepResult]:
        """Work a batch off. What cannot even be put together stops for a human, and says so."""
        head = claimed.claims[0]
        try:
            batch = self._assembly.batch(claimed, lease)
        except (Configuration, LookupError, SealBroken) as error:
            why = told(error)
            _log.error(
                "batch_not_assembled",
                extra={
                    "system": head.system,
                    "action": head.action,
                    "error": type(error).__name__,
                    "why": why,
                },
            )
            code = "configuration" if isinstance(error, Configuration) else "not_openable"
            return [
                StepResult(c, state="needs_human", code=code, error=why) for c in claimed.claims
            ]
        return list(work_off(batch, self._dividing.performing(self._performers[head.action])))

    def _call(self, systems: Iterable[str]) -> None:
        crash_point("before-ring")
        self.ring(slots.to_ring(self._ledger, systems))
