"""Performs `sweep_plan`, `sweep_apply` and `sweep_recount`: a sweep in one system.

In: batches at systems that declare `Sweeps`; each member is a sweep of its own. Out: counts for a
plan, receipts of what was done, and what is still due afterwards. A repeat of `sweep_apply` counts
what is left, goes on, and reports what earlier attempts had committed from their intents.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from dsr_worker.contract import (
    Key,
    NeedsHuman,
    Outcome,
    OutcomeCount,
    Receipt,
    SweepOrder,
    Sweeps,
    Transient,
)
from dsr_worker.domain.decision import Decisions
from dsr_worker.domain.plan import upper_bound
from dsr_worker.domain.rights import Verb
from dsr_worker.engine.batch import Batch, Member, work_off
from dsr_worker.engine.context import BatchContext, refuse_unreviewed
from dsr_worker.engine.receipts import ledger_row
from dsr_worker.ledger.rows import Event, ReceiptRow, StepResult
from dsr_worker.sweep import proposal, scope
from dsr_worker.sweep.counts import (
    CHANGES,
    Counts,
    Intended,
    changed_rows,
    first_rows,
    intended,
)
from dsr_worker.vault import CaseKey

BRAKE = "sweep_brake"
"""The code of a sweep that would reach further than was approved."""
_UNBOUNDED = 2**53 - 1
_REMOTE_WAIT_S = 30.0


@dataclass(frozen=True)
class _Sweep:
    """One sweep in one system: what it may touch, and with which context."""

    batch: Batch
    member: Member
    ctx: BatchContext
    decisions: Decisions

    @classmethod
    def of(cls, batch: Batch, member: Member) -> _Sweep:
        """The context sees this sweep's limits alone; masks take the sweep's own key."""
        ctx = batch.ctx.for_members((member,)).doing(Verb.SWEEP)
        if ctx.decisions is None:
            raise LookupError(f"nothing was decided for system {ctx.system.name}")
        decisions = scope.narrowed(ctx.decisions, member.job.facts["limits"])
        keys: dict[str, CaseKey] = defaultdict(lambda: member.key)
        return cls(batch, member, replace(ctx, decisions=decisions, case_keys=keys), decisions)

    @property
    def system(self) -> str:
        return self.ctx.system.name

    @property
    def connector(self) -> Sweeps:
        if not isinstance(self.batch.connector, Sweeps):
            raise NeedsHuman("cannot_sweep", {"system": self.system})
        refuse_unreviewed(self.ctx.system)
        return self.batch.connector

    def unbounded(self) -> list[SweepOrder]:
        """An order for every collection with a limit, to be counted."""
        ctx = self.ctx
        return [
            SweepOrder(name, ctx.table(name), _UNBOUNDED) for name in scope.limited(self.decisions)
        ]

    def bounded(self) -> list[SweepOrder]:
        """An order for each collection in which the approved plan changes a row, no other."""
        return [
            SweepOrder(name, self.ctx.table(name), max(0, self.left_of(name)))
            for name in scope.limited(self.decisions)
            if self.planned(name)
        ]

    def planned(self, collection: str) -> int:
        """How many rows of a collection the approved plan changes."""
        return proposal.changes_of(self.member.job.plan or {}, self.system, collection)

    def left_of(self, collection: str) -> int:
        """How many more may change than earlier attempts were about to change."""
        earlier = intended(self.ctx.earlier(self.member.claim), 0)
        gone = sum(part.rows for name, part in earlier if name == collection)
        return upper_bound(self.planned(collection)) - gone

    def counted(self, ctx: BatchContext) -> Counts:
        """What a sweep would do now, in every collection with a limit."""
        return Counts.of(self.connector.sweep(self.unbounded(), ctx.trying()))


def plan(batch: Batch) -> Sequence[StepResult]:
    """Count what would go, stay and why. Changes nothing."""
    return [_planned(_Sweep.of(batch, member)) for member in batch.members]


def _planned(sweep: _Sweep) -> StepResult:
    counts = sweep.counted(sweep.ctx)
    ordered = scope.limited(sweep.decisions)
    return sweep.member.done(
        result={
            "outcomes": counts.to_json(sweep.system, sweep.decisions),
            "collections": list(scope.reached(sweep.decisions)),
            "cutoffs": {name: at.isoformat() for name, at in sweep.decisions.cutoffs().items()},
            "not_due": {name: counts.not_due[name] for name in sorted(counts.all_told)},
            "samples": {name: found for name, found in sorted(counts.samples.items()) if found},
            "share": counts.share(ordered),
        }
    )


def apply(batch: Batch) -> Sequence[StepResult]:
    """Let go what was approved, in parts; stop before the first change where it would be more.

    Each sweep by itself: one that fails must not have another repeated that has taken effect.
    """
    return [
        result
        for member in batch.members
        for result in work_off(batch.part((member,)), _apply_alone)
    ]


def _apply_alone(batch: Batch) -> Sequence[StepResult]:
    return [_Application.of(batch, member).carried_out() for member in batch.members]


@dataclass(frozen=True)
class _Application:
    """One sweep being carried out: the approved plan, what is left of it, what went before."""

    sweep: _Sweep
    plan: Mapping[str, Any]
    left: Counts
    earlier: Sequence[Intended]

    @classmethod
    def of(cls, batch: Batch, member: Member) -> _Application:
        """Look first: what is still due, and what may have happened already."""
        sweep = _Sweep.of(batch, member)
        earlier = intended(sweep.ctx.earlier(member.claim), 0)
        return cls(sweep, member.job.plan or {}, sweep.counted(sweep.ctx), earlier)

    def carried_out(self) -> StepResult:
        """Sweep and account. Raises NeedsHuman before the first change when it would be more."""
        self._refuse_excess()
        sweep, claim = self.sweep, self.sweep.member.claim
        orders = sweep.bounded()
        found = Counts.of(sweep.connector.sweep(orders, sweep.ctx)) if orders else Counts()
        if any(part.outcome is Outcome.PENDING_REMOTE for part in found.parts.values()):
            raise Transient("the system has not finished yet", retry_after_s=_REMOTE_WAIT_S)
        rows = [
            ledger_row(collection, part, sweep.decisions, unseen=unseen)
            for collection in scope.reached(sweep.decisions)
            for part, unseen in self._account(collection, found)
        ]
        body = {
            "system": sweep.system,
            "action": claim.action,
            "attempt": claim.attempt,
            "counts": _by_outcome(rows),
        }
        return sweep.member.done(receipts=rows, events=(Event("effect", body),))

    def _refuse_excess(self) -> None:
        outcomes = self.left.to_json(self.sweep.system, self.sweep.decisions)
        for reason in proposal.reasons_void(self.plan, self.sweep.system, outcomes):
            raise NeedsHuman(
                BRAKE,
                {
                    "collection": reason.place,
                    "why": str(reason.code),
                    "approved": reason.approved,
                    "rows": reason.now,
                },
            )

    def _account(self, collection: str, found: Counts) -> list[tuple[OutcomeCount, bool]]:
        """What became of a collection; with each part, whether its commit was seen by nobody.

        Earlier attempts committed what was planned and is neither still due nor reported now, as
        far as their intents go: the last intent of one that died may not have been committed.
        """
        here = max(self.left.changed(collection), found.changed(collection))
        unseen = first_rows(
            (part for name, part in self.earlier if name == collection),
            max(0, self.sweep.planned(collection) - here),
        )
        parts = found.of_collection(collection)
        if not parts:
            kept = self.left.of_collection(collection)
            parts = tuple(p for p in kept if p.outcome not in CHANGES)
        return [*((part, False) for part in parts), *((part, True) for part in unseen)]


def swept_in_unit(
    batch: Batch, connector: Sweeps, keys: Iterable[Key]
) -> Mapping[int, Sequence[Receipt]]:
    """Count or sweep what lies in one unit. The brake is held against all units together."""
    del keys
    found: dict[int, Sequence[Receipt]] = {}
    for member in batch.members:
        sweep = _Sweep.of(batch, member)
        orders = sweep.unbounded() if sweep.ctx.dry_run else sweep.bounded()
        ctx = replace(sweep.ctx, permit=partial(_brake, sweep))
        found[member.claim.id] = list(connector.sweep(orders, ctx))
    return found


def _brake(sweep: _Sweep, sums: Mapping[int, Sequence[Mapping[str, Any]]]) -> None:
    """Raise NeedsHuman where what all units stated reaches further than the approved plan."""
    for name in scope.limited(sweep.decisions):
        rows = changed_rows(p for p in sums[sweep.member.claim.id] if p["collection"] == name)
        if rows > sweep.left_of(name):
            approved = sweep.planned(name)
            told = {"collection": name, "why": "over_bound", "approved": approved, "rows": rows}
            raise NeedsHuman(BRAKE, told)


def recount(batch: Batch) -> Sequence[StepResult]:
    """Count again what is due, by the second path where there is one. Changes nothing."""
    return [_recounted(_Sweep.of(batch, member)) for member in batch.members]


def _recounted(sweep: _Sweep) -> StepResult:
    counts = sweep.counted(sweep.ctx.verifying())
    return sweep.member.done(
        result={"remaining": counts.changed(), "at": sweep.ctx.now.isoformat()}
    )


def _by_outcome(rows: Sequence[ReceiptRow]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for row in rows:
        counts[row.outcome] += row.rows
    return dict(counts)
