"""What a connector's call may know and do: tables, holds, lease, rate budget, state, digests.

In: a batch's claims, its system's decisions, the ledger. Out: the contract's `Context` and `Guard`.
A guard holds the system's lock in a ledger transaction of its own, so a hold placed meanwhile waits
for the target's commit; when that transaction is lost, `intend` raises and the target rolls back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import count
from typing import TYPE_CHECKING, Any, Self

import psycopg2.errors

from dsr_worker.contract import (
    DecisionTable,
    LeaseLost,
    NeedsHuman,
    Receipt,
    Subject,
    System,
    Transient,
)
from dsr_worker.domain.decision import Decisions
from dsr_worker.domain.identity import canonical_stored
from dsr_worker.domain.rights import Verb, tables
from dsr_worker.engine.crash import crash_point
from dsr_worker.engine.holds import HoldReader
from dsr_worker.engine.leases import Lease
from dsr_worker.engine.receipts import to_json
from dsr_worker.ledger import Ledger, liftings, rates, stated, states, steps
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.holds import share_lock
from dsr_worker.ledger.rows import Claim
from dsr_worker.ledger.stated import Permit
from dsr_worker.ledger.units import UnitClaim
from dsr_worker.vault import WRAPPED_BYTES, CaseKey, KeyRing

if TYPE_CHECKING:
    from dsr_worker.engine.batch import Member

_MOST_BYTES = 65_536
LEAST_LEASE_S = 5.0  # no effect begins with less lease left than this
MAP_UNREVIEWED = "map_unreviewed"  # the data map carries `review`: nothing is erased by it
_RATE_GRANT = 20  # calls taken from the shared budget at a time


@dataclass(frozen=True, slots=True)
class Bench:
    """What every context of this process works with."""

    ledger: Ledger
    keys: KeyRing
    holds: HoldReader
    stopping: threading.Event


class SystemState:
    """A connector's sealed key-value store, fenced by its batch's lease.

    A key may name a person in that system, so the ledger sees a keyed digest of it.
    """

    def __init__(
        self, bench: Bench, system: str, claims: Sequence[Claim], unit: UnitClaim | None = None
    ) -> None:
        self._bench = bench
        self._system = system
        self._claims = claims
        self._unit = unit

    def get(self, key: str) -> bytes | None:
        """The value last put, opened."""
        for name in self._names(key):
            found = states.get(self._bench.ledger, self._system, name)
            if found is not None:
                value_key = self._bench.keys.unwrap(found[:WRAPPED_BYTES])
                return value_key.open(found[WRAPPED_BYTES:], self._purpose(key))
        return None

    def put(self, key: str, value: bytes) -> None:
        """Seal and keep a value; LeaseLost when fenced off."""
        if len(value) > _MOST_BYTES:
            message = "a connector's state holds at most 64 KiB a key"
            raise ValueError(message)
        value_key, wrapped = self._bench.keys.new_case_key()
        sealed = wrapped + value_key.seal(value, self._purpose(key))
        self._keep(self._names(key)[0], sealed)

    def forget(self, key: str) -> None:
        """Keep it no longer."""
        for name in self._names(key):
            self._keep(name, None)

    def _keep(self, name: str, sealed: bytes | None) -> None:
        states.put(self._bench.ledger, self._system, name, sealed, self._claims, self._unit)

    def _names(self, key: str) -> list[str]:
        """What the ledger calls a key, by every version of the key ring, newest first."""
        digests = self._bench.keys.index_digests(f"state:{self._system}", key)
        return [digest.hex() for digest in digests]

    def _purpose(self, key: str) -> str:
        return f"state:{self._system}:{key}"


@dataclass(frozen=True)
class BatchContext:
    """The contract's `Context` for one batch; `claims` are those of the present part of it.

    With `unit` the lease is the unit's, and so is what is intended; `permit` looks at what all
    units of a step have stated together, and may raise to prevent an intent.
    """

    bench: Bench
    system: System
    decisions: Decisions | None
    subjects: tuple[Subject, ...]
    claims: tuple[Claim, ...]
    case_keys: Mapping[str, CaseKey] = field(repr=False)
    lease: Lease
    now: datetime
    dry_run: bool = False
    second_path: bool = False
    verb: Verb = Verb.ERASE
    inspect: Callable[[Sequence[Receipt]], None] | None = None
    unit: UnitClaim | None = None
    permit: Permit | None = None
    _granted: list[int] = field(default_factory=lambda: [0])
    _intended: dict[int, list[dict[str, Any]]] = field(default_factory=dict)  # by this call
    _before: Mapping[int, list[dict[str, Any]]] = field(default_factory=dict)  # by failed ones
    _marks: Iterator[int] = field(default_factory=count)  # of a unit's intents

    @property
    def operation_id(self) -> str:
        """Stable over repeats: the oldest step of the batch, or the unit."""
        if self.unit is not None:
            return f"{self.system.name}-{self.unit.scan_id}-{self.unit.number}"
        return f"{self.system.name}-{min(c.id for c in self.claims)}"

    @property
    def state(self) -> SystemState:
        """The connector's own small store."""
        return SystemState(self.bench, self.system.name, self.claims, self.unit)

    def for_members(self, members: Sequence[Member]) -> BatchContext:
        """The same context for a further call, about some of the batch."""
        return replace(
            self,
            _before={
                c.id: self._before.get(c.id, []) + self._intended.get(c.id, []) for c in self.claims
            },
            _intended={},
            claims=tuple(m.claim for m in members),
            subjects=tuple(m.subject for m in members),
        )

    def part(self, subjects: Sequence[Subject]) -> Self:
        """The same call about some of its subjects."""
        refs = {subject.ref for subject in subjects}
        mine = [(s, c) for s, c in zip(self.subjects, self.claims, strict=True) if s.ref in refs]
        return replace(self, subjects=tuple(s for s, _ in mine), claims=tuple(c for _, c in mine))

    def intend(self, claims: Sequence[Claim], receipts: Mapping[int, list[dict[str, Any]]]) -> str:
        """Commit what is about to take effect, by step id; its mark. Raises LeaseLost."""
        mark = ""
        if self.unit is None:
            steps.intend(self.bench.ledger, claims, receipts)
        else:
            mark = f"{self.unit.attempt}.{next(self._marks)}"
            stated.intend(self.bench.ledger, self.unit, claims, mark, receipts, self.permit)
        for claim in claims:
            if claim.id in receipts:
                intent = {"attempt": claim.attempt, "receipts": receipts[claim.id]}
                self._intended.setdefault(claim.id, []).append(intent)
        return mark

    def after(self, before: Mapping[int, list[dict[str, Any]]]) -> BatchContext:
        """The same context; these are further intents of calls before this one, by step."""
        both = {**self._before}
        for step, intents in before.items():
            both[step] = [*both.get(step, ()), *intents]
        return replace(self, _before=both)

    def earlier(self, claim: Claim) -> list[dict[str, Any]]:
        """What calls before this one were about to do: earlier attempts, and parts that failed."""
        return [*(claim.intent or ()), *self.before(claim)]

    def before(self, claim: Claim) -> list[dict[str, Any]]:
        """What calls under this claim were about to do before this one."""
        return list(self._before.get(claim.id, ()))

    def trying(self) -> BatchContext:
        """The same context for a call that only says what would happen."""
        return replace(self, dry_run=True)

    def verifying(self) -> BatchContext:
        """The same context for reading back by the second path."""
        return replace(self, second_path=True)

    def inspected_by(self, inspect: Callable[[Sequence[Receipt]], None]) -> BatchContext:
        """The same context; `inspect` sees every intent first and may raise to prevent it."""
        return replace(self, inspect=inspect)

    def doing(self, verb: Verb) -> BatchContext:
        """The same context with the tables of a verb."""
        return replace(self, verb=verb)

    def table(self, collection: str) -> DecisionTable:
        """The table for planning, under the holds of this moment."""
        with self.bench.ledger.transaction() as cursor:
            return self.tables(cursor)[collection]

    def tables(self, cursor: Cursor) -> Mapping[str, DecisionTable]:
        """Every table of the system under the holds that this transaction sees."""
        if self.decisions is None:
            message = f"nothing was decided for system {self.system.name}"
            raise LookupError(message)
        holds = self.bench.holds.read(cursor, self.system.name)
        ending = liftings.under_way(cursor) if self.verb is Verb.LIFT else ()
        return tables(self.verb, self.decisions, self.subjects, holds, ending)

    def _keep_holds_out(self, cursor: Cursor) -> None:
        try:
            share_lock(cursor, self.system.name)
        except psycopg2.errors.LockNotAvailable as error:
            message = "a hold is waiting for an effect under way in this system"
            raise Transient(message) from error

    @contextmanager
    def guard(self) -> Iterator[BatchGuard]:
        """Hold the system's lock for the committing call. NeedsHuman under an unreviewed map."""
        self.check()
        refuse_unreviewed(self.system)
        with self.bench.ledger.transaction() as cursor:
            self._keep_holds_out(cursor)
            guard = BatchGuard(self, cursor, self.tables(cursor))
            try:
                yield guard
            except Exception:
                self._take_back(guard.marks)
                raise
        crash_point("after-effect")

    def _take_back(self, marks: Sequence[str]) -> None:
        """Of a unit: count what was stated no longer, since its guard was not left in peace."""
        if self.unit is not None:
            for mark in marks:
                stated.withdraw(self.bench.ledger, self.unit, mark)

    def check(self) -> None:
        """Stop here when the lease is gone or the worker stops."""
        if self.bench.stopping.is_set():
            message = "this worker stops"
            raise LeaseLost(message)
        if self.lease.left_s() < LEAST_LEASE_S:
            message = "the lease of this batch is gone or about to go"
            raise LeaseLost(message)

    def spend(self, calls: int = 1) -> None:
        """Take calls from the system's budget."""
        limit = self.system.calls_per_minute
        if limit is None:
            return
        if self._granted[0] < calls:
            grant = max(calls, min(_RATE_GRANT, limit // 10))
            wait_s = rates.take(self.bench.ledger, self.system.name, grant, limit)
            if wait_s > 0:
                message = "the rate budget is used up"
                raise Transient(message, retry_after_s=wait_s)
            self._granted[0] += grant
        self._granted[0] -= calls

    def digest(self, collection: str, key: Sequence[str]) -> str:
        """The keyed name of a row."""
        return self.bench.keys.row_digest(self.system.name, collection, key)

    def pseudonym(self, subject_ref: str, value: str) -> str:
        """What a mask leaves in place of a value."""
        return self.case_keys[subject_ref].pseudonym(value)

    def canonical(self, kind: str, value: str) -> str | None:
        """The one canonicaliser."""
        return canonical_stored(kind, value)


def refuse_unreviewed(system: System) -> None:
    """Raise NeedsHuman where a system's map carries `review`: it was proposed, nobody looked."""
    if system.unreviewed:
        raise NeedsHuman(MAP_UNREVIEWED, {"system": system.name, "marks": len(system.unreviewed)})


class BatchGuard:
    """The contract's `Guard`: the system's lock, today's tables, the intent."""

    def __init__(
        self, ctx: BatchContext, cursor: Cursor, tables: Mapping[str, DecisionTable]
    ) -> None:
        self._ctx = ctx
        self._cursor = cursor
        self._tables = tables
        self.marks: list[str] = []  # of what was stated in it

    def table(self, collection: str) -> DecisionTable:
        """The table as of the lock."""
        return self._tables[collection]

    def intend(self, receipts: Sequence[Receipt]) -> None:
        """Record what is about to be committed; LeaseLost when it may not."""
        self._ctx.check()
        if self._ctx.inspect is not None:
            self._ctx.inspect(receipts)
        crash_point("before-intent")
        by_ref = {s.ref: c.id for s, c in zip(self._ctx.subjects, self._ctx.claims, strict=True)}
        by_step: dict[int, list[dict[str, Any]]] = {}
        for receipt in receipts:
            step = by_ref[receipt.subject_ref] if receipt.subject_ref else self._ctx.claims[0].id
            by_step.setdefault(step, []).append(to_json(receipt))
        self.marks.append(self._ctx.intend(self._ctx.claims, by_step))
        self._cursor.execute("SELECT 1")  # the lock's own session is alive: the hold lock stands
        crash_point("after-intent")
