"""Holds every intent of an apply against the approvals of its cases, before the effect.

In: a batch. Out: its context, in which `BoundExceeded` prevents an effect that goes beyond what
was approved. Intents add up over a call, since many connectors change one object after the other.
One whose guard is left by an exception counts no longer: its transaction was rolled back, or its
object had changed under it, and whatever is done in its stead is stated anew. Of a call in units
the ledger adds up what all of them state.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

from dsr_worker.contract import Erases, Key, Outcome, Receipt
from dsr_worker.engine.batch import Batch, BoundExceeded
from dsr_worker.engine.context import BatchContext, BatchGuard
from dsr_worker.fulfil.plans import CHANGES, reasons_void
from dsr_worker.fulfil.verbs import REQUESTED


class _Place(NamedTuple):
    ref: str
    collection: str
    outcome: Outcome
    ground: str


class Inspection:
    """What the intents of one call add up to, by subject. Safe for the threads of a connector."""

    def __init__(self, batch: Batch) -> None:
        self._system = batch.ctx.system.name
        self._plans = {
            m.subject.ref: m.job.plan or {} for m in batch.members if m.job.kind in REQUESTED
        }
        self._seen: dict[str, Counter[_Place]] = defaultdict(Counter)
        self._lock = threading.Lock()

    def look(self, part: Counter[_Place], receipts: Sequence[Receipt]) -> None:
        """Add an intent of one guard, noting it in `part`. Raises BoundExceeded."""
        stated = Counter(
            {
                _Place(receipt.subject_ref, receipt.collection, o.outcome, o.ground): o.rows
                for receipt in receipts
                if receipt.subject_ref in self._plans
                for o in receipt.outcomes
                if o.rows and o.outcome in CHANGES
            }
        )
        part.update(stated)
        with self._lock:
            for place, rows in stated.items():
                self._seen[place.ref][place] += rows
            reasons = {r for ref in {place.ref for place in stated} for r in self._reasons(ref)}
        if reasons:
            raise BoundExceeded(sorted(reasons))

    def forget(self, part: Counter[_Place]) -> None:
        """Count what one guard stated no longer."""
        with self._lock:
            for place, rows in part.items():
                self._seen[place.ref][place] -= rows

    def _reasons(self, ref: str) -> list[str]:
        outcomes = [
            {
                "system": self._system,
                "collection": place.collection,
                "outcome": place.outcome.value,
                "ground": place.ground,
                "rows": rows,
            }
            for place, rows in self._seen[ref].items()
            if rows
        ]
        return reasons_void(self._plans[ref], outcomes)


@dataclass(frozen=True)
class InspectedContext(BatchContext):
    """A batch's context whose guards have every intent inspected."""

    inspection: Inspection = field(kw_only=True)

    @contextmanager
    def guard(self) -> Iterator[BatchGuard]:
        """As every guard; what it stated counts only if it is left in peace."""
        part: Counter[_Place] = Counter()
        watched = self.inspected_by(partial(self.inspection.look, part))
        try:
            with BatchContext.guard(watched) as guard:
                yield guard
        except BaseException:
            self.inspection.forget(part)
            raise


def inspected(batch: Batch) -> InspectedContext:
    """The context for an apply of this batch."""
    return InspectedContext(**vars(batch.ctx), inspection=Inspection(batch))


def erased_in_unit(
    batch: Batch, connector: Erases, keys: Iterable[Key]
) -> Mapping[int, Sequence[Receipt]]:
    """Erase what of a batch lies in one unit. Raises BoundExceeded where all units go too far."""
    steps = {m.subject.ref: m.claim.id for m in batch.members}
    found: dict[int, list[Receipt]] = {step: [] for step in steps.values()}
    ctx = replace(batch.ctx, permit=partial(_require_approved, batch))
    for receipt in connector.erase(batch.subjects, keys, ctx):
        found[steps[receipt.subject_ref or ""]].append(receipt)
    return found


def _require_approved(batch: Batch, sums: Mapping[int, Sequence[Mapping[str, Any]]]) -> None:
    plans = {m.claim.id: m.job.plan or {} for m in batch.members if m.job.kind in REQUESTED}
    system = batch.ctx.system.name
    reasons: set[str] = set()
    for step in sums.keys() & plans.keys():
        outcomes = [
            {**part, "system": system}
            for part in sums[step]
            if part["rows"] > 0 and Outcome(part["outcome"]) in CHANGES
        ]
        reasons.update(reasons_void(plans[step], outcomes))
    if reasons:
        raise BoundExceeded(sorted(reasons))
