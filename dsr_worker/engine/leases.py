"""The leases a process holds: renewed while work goes on, given up when they are lost or it stops.

In: batches under work. Out: `lost` on each whose lease could not be kept. One thread renews for the
whole process; the worker's own session lock on the ledger tells the others at once when it dies.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import psycopg2
import psycopg2.extensions

from dsr_worker.ledger import Ledger, LedgerUnreachable, slots, steps, units
from dsr_worker.ledger.rows import Claim
from dsr_worker.ledger.statements import LEASE_S, RENEW_S
from dsr_worker.ledger.units import UnitClaim

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class Lease:
    """One batch's lease. `until` is on this process's monotonic clock, rather too early.

    With `units` what is leased are those, and the claims are the steps that wait for them.
    """

    claims: Sequence[Claim]
    until: float
    units: Sequence[UnitClaim] = ()
    lost: threading.Event = field(default_factory=threading.Event)

    def left_s(self) -> float:
        """Seconds for which the lease is sure to hold; 0 when it is lost."""
        return 0.0 if self.lost.is_set() else max(0.0, self.until - time.monotonic())


class Worker:
    """This process as the ledger knows it: an id, a session lock that lives as long as it does."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._session: psycopg2.extensions.connection | None = None
        self._leases: set[Lease] = set()
        self._guard = threading.Lock()
        self._renewed = time.monotonic()
        self.stopping = threading.Event()
        self.id = 0

    def enlist(self) -> None:
        """Register, or register anew after the ledger's session was lost. Idempotent."""
        if self._session is not None and self._alive():
            return
        session = self._ledger.connect()
        session.autocommit = True
        self.id = slots.enlist(session, socket.gethostname())
        self._session = session
        with self._guard:
            for lease in self._leases:
                lease.lost.set()

    def hold(self, claims: Sequence[Claim], units: Sequence[UnitClaim] = ()) -> Lease:
        """Begin to renew the lease of a batch, or of units, just claimed."""
        lease = Lease(claims, time.monotonic() + LEASE_S - 2, units)
        with self._guard:
            self._leases.add(lease)
        return lease

    def let_go(self, lease: Lease) -> None:
        """Stop renewing."""
        with self._guard:
            self._leases.discard(lease)

    def renew(self) -> None:
        """Renew what is held, if it is time to; mark as lost what is no longer ours."""
        if time.monotonic() - self._renewed < RENEW_S:
            return
        self._renewed = time.monotonic()
        with self._guard:
            held = list(self._leases)
        for lease in held:
            started = time.monotonic()
            try:
                kept = self._renewed_in_ledger(lease)
            except (LedgerUnreachable, psycopg2.Error):
                _log.warning("lease_not_renewed", extra={"left_s": round(lease.left_s(), 1)})
                continue
            if kept:
                lease.until = started + LEASE_S - 2
            elif lease in self._leases:
                lease.lost.set()
        slots.renew(self._ledger, self.id)

    def _renewed_in_ledger(self, lease: Lease) -> bool:
        if lease.units:
            return units.renew(self._ledger, lease.units)
        return steps.renew(self._ledger, self.id, lease.claims)

    def busy(self) -> bool:
        """Whether any batch is under work."""
        with self._guard:
            return bool(self._leases)

    def _alive(self) -> bool:
        session = self._session
        if session is None or session.closed:
            return False
        try:
            with session.cursor() as cursor:
                cursor.execute("UPDATE workers SET seen_at = now() WHERE id = %s", (self.id,))
        except psycopg2.Error:
            session.close()
            return False
        return True
