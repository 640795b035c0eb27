"""A batch under work: its members, what they are worked on with, and how each ended.

In: a claimed batch. Out: `Batch` for a performer, `StepResult`s for the ledger. A performer takes a
batch whole; when it fails, `work_off` splits it inside its lease until each culprit stands alone.
What members of a dry run meet only together stops all who are needed for it.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dsr_worker.contract import (
    Configuration,
    Identity,
    LeaseLost,
    NeedsHuman,
    Permanent,
    Subject,
    Transient,
)
from dsr_worker.domain.rights import Verb
from dsr_worker.engine.context import BatchContext
from dsr_worker.engine.errors import place, told
from dsr_worker.engine.materials import Frozen
from dsr_worker.ledger import LedgerUnreachable
from dsr_worker.ledger.batches import BatchJob
from dsr_worker.ledger.rows import Claim, StepResult
from dsr_worker.ledger.scans import IN_UNITS
from dsr_worker.ledger.statements import ALONE_LIMIT
from dsr_worker.vault import CaseKey

_log = logging.getLogger(__name__)

_FIRST_WAIT_S = 2.0
_LONGEST_WAIT_S = 300.0
_LOOK_AGAIN_S = 86_400.0  # the last unit wakes the steps; this is for what nobody thought of
_DRY_RUNS = frozenset({"plan", "locate"})
"""Actions that decide about several members at once and change nothing, however often."""


@dataclass(frozen=True, slots=True)
class Member:
    """One step of a batch: its claim, its job, the job's data key and whom it is about."""

    claim: Claim
    job: BatchJob
    key: CaseKey
    subject: Subject
    standings: Mapping[Identity, str]

    def known(self, *standings: str) -> tuple[Identity, ...]:
        """The job's identities of these standings."""
        return tuple(i for i, s in self.standings.items() if s in standings)

    def done(self, **findings: Any) -> StepResult:
        """This step has ended well, with these findings."""
        return StepResult(self.claim, **findings)


@dataclass(frozen=True, slots=True)
class Batch:
    """Steps that share system, action and frozen texts, and the context of their one call."""

    members: tuple[Member, ...]
    ctx: BatchContext
    spools: Mapping[tuple[int, str], list[dict[str, Any]]]
    results: Mapping[tuple[int, str, str], dict[str, Any]]
    frozen: Frozen
    connector: Any  # a `Connector` and whatever else it declares; None at the desk

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """Whom the call is about."""
        return tuple(m.subject for m in self.members)

    @property
    def by_ref(self) -> dict[str, Member]:
        """Members by their subjects' references."""
        return {m.subject.ref: m for m in self.members}

    def frames(self, member: Member, name: str) -> list[dict[str, Any]]:
        """The sealed frames of this name that finished steps of the member's job left."""
        return self.spools.get((member.job.id, name), [])

    def part(self, members: Sequence[Member]) -> Batch:
        """The same work for some of the members."""
        kept = tuple(members)
        return replace(self, members=kept, ctx=self.ctx.for_members(kept))

    def among(self, members: Sequence[Member], verb: Verb) -> Batch:
        """Some of the members, by a verb's tables, as a part of the same call."""
        kept = tuple(members)
        ctx = self.ctx.part(tuple(m.subject for m in kept)).doing(verb)
        return replace(self, members=kept, ctx=ctx)


Performer = Callable[[Batch], Sequence[StepResult]]


class CallDivided(Exception):  # noqa: N818 - reads as what it says
    """A call was handed to the units: its steps have to wait."""


class BoundExceeded(Exception):  # noqa: N818 - reads as what it says
    """An effect would go further than what was approved: its approval is void."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__(", ".join(reasons))
        self.reasons = list(reasons)


def waits_for_units(member: Member) -> StepResult:
    """This step waits until the units have ended that a call of its was handed to."""
    alone = member.claim.batch_size == 1
    return StepResult(
        member.claim,
        state="waiting",
        code=IN_UNITS,
        wait_s=_LOOK_AGAIN_S,
        charge=-1 if alone else 0,
    )


def work_off(batch: Batch, perform: Performer) -> Iterator[StepResult]:
    """Have a batch performed; yield one result for each member.

    Raises LeaseLost, and LedgerUnreachable: then nothing is known and the lease runs out by itself.
    """
    unsure = [m for m in batch.members if _may_have_happened(batch, m.claim)]
    yield from (_stop(m, "needs_human", "may_have_happened") for m in unsure)
    if unsure:
        batch = batch.part([m for m in batch.members if m not in unsure])
    if not batch.members:
        return
    try:
        results = perform(batch)
    except (LeaseLost, LedgerUnreachable):
        raise
    except CallDivided:
        yield from map(waits_for_units, batch.members)
    except Transient as error:
        _warn(batch, "transient", error)
        yield from (_wait(m, "transient", error, error.retry_after_s) for m in batch.members)
    except Configuration as error:
        _warn(batch, "configuration", error)
        yield from (_stop(m, "needs_human", "configuration", error) for m in batch.members)
    except Exception as error:  # noqa: BLE001 - whatever a connector raises must not stop the others
        yield from _split(batch, perform, error)
    else:
        missing = {m.claim.id for m in batch.members} - {r.claim.id for r in results}
        if missing:
            message = f"a performer left {len(missing)} steps without a result"
            raise RuntimeError(message)
        yield from results


def _may_have_happened(batch: Batch, claim: Claim) -> bool:
    """A `manual` effect that an earlier call was about to make is never made by itself."""
    return claim.effect == "manual" and bool(batch.ctx.earlier(claim))


def _split(batch: Batch, perform: Performer, error: Exception) -> Iterator[StepResult]:
    members = batch.members
    if len(members) == 1 or (isinstance(error, NeedsHuman) and error.for_all):
        yield from (_alone(batch, member, error) for member in members)
        return
    batch.ctx.check()
    middle = len(members) // 2
    halves = (members[:middle], members[middle:])
    results: Iterator[StepResult] = (
        result for half in halves for result in work_off(batch.part(half), perform)
    )
    if members[0].claim.action in _DRY_RUNS:
        results = _stopped_together(batch, perform, list(results))
    yield from results


def _stopped_together(
    batch: Batch, perform: Performer, results: Sequence[StepResult]
) -> Iterator[StepResult]:
    """The halves' results, but for those who meet a stop only together: it is theirs all.

    Split, they would each be carried out in turn, and the last of them would prevail unseen.
    """
    done = {result.claim.id for result in results if result.state == "done"}
    left = [m for m in batch.members if m.claim.id in done]
    stops: dict[int, StepResult] = {}
    try:
        while stop := _met(batch, left, perform):
            few = _fewest(batch, left, perform, stop.code)
            for m in few:
                stops[m.claim.id] = _stop(m, "needs_human", stop.code, details=stop.fields)
            left = [m for m in left if m not in few]
    except Transient as error:  # whether they meet a stop is not known: the system went away
        _warn(batch.part(left), "transient", error)
        stops |= {m.claim.id: _wait(m, "transient", error, error.retry_after_s) for m in left}
    for result in results:
        yield stops.get(result.claim.id, result)


def _fewest(batch: Batch, members: Sequence[Member], perform: Performer, code: str) -> list[Member]:
    """Of members who meet a stop those who do as long as none of them is missing, by bisection.

    Where some of them meet a fault instead, more are named than need be, never fewer.
    """
    found: list[Member] = []
    rest = list(members)
    while True:
        fewest, enough = 0, len(rest)
        while fewest < enough:
            middle = (fewest + enough) // 2
            stop = _met(batch, [*found, *rest[:middle]], perform)
            if stop is not None and stop.code == code:
                enough = middle
            else:
                fewest = middle + 1
        if enough == 0:
            return found
        found.append(rest[enough - 1])
        rest = rest[: enough - 1]


def _met(batch: Batch, members: Sequence[Member], perform: Performer) -> NeedsHuman | None:
    """The stop that these members meet together, if it is one.

    Raises Transient. Any other fault is told in the log and is no stop: each of them was carried
    out in a smaller part, whose result is as good without the others.
    """
    if not members:
        return None
    batch.ctx.check()
    try:
        perform(batch.part(members))
    except (LeaseLost, LedgerUnreachable, Transient):
        raise
    except NeedsHuman as stop:
        return stop
    except Exception as error:  # noqa: BLE001 - whatever a connector raises, those parts are done
        _log.error("batch_failed_together", extra=_told_of(batch, members, error))
    return None


def _alone(batch: Batch, member: Member, error: Exception) -> StepResult:
    if isinstance(error, NeedsHuman):
        return _stop(member, "needs_human", error.code, details=error.fields)
    if isinstance(error, Permanent):
        _warn(batch, "permanent", error)
        return _stop(member, "failed", "permanent", error)
    claim = member.claim
    charge = 1 if claim.batch_size > 1 else 0
    extra = {"step": claim.id, "job": member.job.ref, **_told_of(batch, [member], error)}
    _log.error("step_failed", extra=extra)
    if claim.charged + charge >= ALONE_LIMIT:
        return replace(_stop(member, "needs_human", "quarantined", error), charge=charge)
    return replace(_wait(member, "fault", error), charge=charge)


def _told_of(batch: Batch, members: Sequence[Member], error: Exception) -> dict[str, Any]:
    """What the log says of a fault: class and place, since its text could carry values."""
    return {
        "action": members[0].claim.action,
        "system": batch.ctx.system.name,
        "steps": len(members),
        "error": type(error).__name__,
        "at": place(error),
    }


def _warn(batch: Batch, code: str, error: Exception) -> None:
    """Log what a connector said, once however many steps and attempts meet it."""
    head = batch.members[0]
    why = told(error)
    if all(m.claim.error == why for m in batch.members):
        return
    _log.warning(  # without a traceback, which could carry values
        "step_stopped",
        extra={
            "system": head.claim.system,
            "action": head.claim.action,
            "job": head.job.ref,
            "steps": len(batch.members),
            "code": code,
            "error": type(error).__name__,
            "why": why,
        },
    )


def _stop(
    member: Member,
    state: str,
    code: str,
    error: Exception | None = None,
    details: Mapping[str, Any] | None = None,
) -> StepResult:
    why = told(error) if error else ""
    return StepResult(member.claim, state=state, code=code, error=why, details=details)


def _wait(member: Member, code: str, error: Exception, after_s: float | None = None) -> StepResult:
    claim = member.claim
    backoff = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** min(claim.attempt - 1, 10))
    jitter = random.uniform(0.8, 1.2)  # noqa: S311 - spreads retries, protects nothing
    wait_s = after_s if after_s is not None else backoff * jitter
    charge = -1 if claim.batch_size == 1 else 0
    return StepResult(
        claim, state="waiting", code=code, error=told(error), wait_s=wait_s, charge=charge
    )
