"""Puts a claimed batch together: subjects opened from the vault, connector, context.

In: claims as loaded from the ledger. Out: a `Batch`. Identities are in the clear only in memory,
and only for as long as the batch is under work.
"""

from __future__ import annotations

import threading
from collections import defaultdict

from dsr_worker.contract import Identity, Subject, System
from dsr_worker.engine import corrections
from dsr_worker.engine.batch import Batch, Member
from dsr_worker.engine.context import BatchContext, Bench
from dsr_worker.engine.holds import HoldReader
from dsr_worker.engine.identities import IDENTITY
from dsr_worker.engine.leases import Lease
from dsr_worker.engine.materials import Materials
from dsr_worker.ledger import Ledger
from dsr_worker.ledger.batches import Claimed, LoadedIdentity
from dsr_worker.ledger.rows import DESK
from dsr_worker.vault import CaseKey, KeyRing

SEEDS = ("verified", "resolved")
"""The standings of identities that a connector may be asked about."""

_DESK_SYSTEM = System(DESK, DESK, {})


class Assembly:
    """Makes batches for this process."""

    def __init__(
        self, ledger: Ledger, keys: KeyRing, materials: Materials, stopping: threading.Event
    ) -> None:
        self._keys = keys
        self._materials = materials
        self._bench = Bench(ledger, keys, HoldReader(keys), stopping)

    def batch(self, claimed: Claimed, lease: Lease) -> Batch:
        """The batch of these claims. Raises LookupError, SealBroken, Configuration."""
        head = claimed.claims[0]
        frozen = self._materials.frozen(head.frozen)
        at_desk = head.system == DESK
        system = _DESK_SYSTEM if at_desk else frozen.systems[head.system]
        members = self._members(claimed, system)
        ctx = BatchContext(
            bench=self._bench,
            system=system,
            decisions=None if at_desk else frozen.decisions[head.system],
            subjects=tuple(m.subject for m in members),
            claims=claimed.claims,
            case_keys={m.subject.ref: m.key for m in members},
            lease=lease,
            now=claimed.now,
        )
        connector = None if at_desk else self._materials.connector(frozen, head.system)
        return Batch(members, ctx, claimed.spools, claimed.results, frozen, connector)

    def _members(self, claimed: Claimed, system: System) -> tuple[Member, ...]:
        keys = {j.id: self._key(j.data_key) for j in claimed.jobs.values()}
        rounds = {c.job_id: c.round for c in claimed.claims}
        standings: dict[int, dict[Identity, str]] = defaultdict(dict)
        for row in claimed.identities:
            if row.sealed is not None and not _just_found(row, rounds[row.job_id]):
                value = keys[row.job_id].open(bytes(row.sealed), IDENTITY).decode()
                standings[row.job_id][Identity(row.kind, value)] = row.standing
        return tuple(
            Member(
                claim=c,
                job=claimed.jobs[c.job_id],
                key=keys[c.job_id],
                subject=Subject(
                    claimed.jobs[c.job_id].ref,
                    _seeds(standings[c.job_id]),
                    corrections.opened(keys[c.job_id], claimed.jobs[c.job_id].facts, system),
                ),
                standings=standings[c.job_id],
            )
            for c in claimed.claims
        )

    def _key(self, wrapped: bytes | None) -> CaseKey:
        if wrapped is None:
            message = "the identities of this case are shredded; nothing more can be done in it"
            raise LookupError(message)
        return self._keys.unwrap(bytes(wrapped))


def _just_found(row: LoadedIdentity, number: int) -> bool:
    """Whether another system found it in this very round: no answer depends on such."""
    return row.standing == "resolved" and row.round >= number


def _seeds(standings: dict[Identity, str]) -> tuple[Identity, ...]:
    return tuple(sorted(i for i, standing in standings.items() if standing in SEEDS))
