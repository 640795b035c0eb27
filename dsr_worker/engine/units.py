"""Works on units: any free worker takes one, has the connector carry it out, spools what it found.

In: a unit under lease with its companions (the same part of the system for other scans), and the
steps that wait for each. Out: sealed segments and, per step, where in them its part lies; of a
call that changes, each step's share of the receipts. The first unit of each scan makes the others,
a page at a time. What companions ask is read once for all of them; where that fails, each is
carried out by itself. A unit in which some steps fail is done for the others; it stops for those.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from typing import Any, cast

from dsr_worker.contract import (
    Ask,
    Call,
    Configuration,
    InOnePass,
    Key,
    LeaseLost,
    Mention,
    Outcome,
    Receipt,
    Record,
    Transient,
    Unit,
    body_of,
)
from dsr_worker.engine.assembly import Assembly
from dsr_worker.engine.batch import Batch, BoundExceeded, work_off
from dsr_worker.engine.crash import crash_point
from dsr_worker.engine.dividing import EXCEEDED, UNIT, Dividing
from dsr_worker.engine.errors import place, told
from dsr_worker.engine.given import Given, at_once
from dsr_worker.engine.leases import Lease, Worker
from dsr_worker.engine.shares import settled, unsettled
from dsr_worker.ledger import LedgerUnreachable, batches, divisions, scans, stated, units
from dsr_worker.ledger.divisions import NewUnit, Turn
from dsr_worker.ledger.rows import Claim, StepResult
from dsr_worker.ledger.scans import FOR_ALL
from dsr_worker.ledger.units import Claimed, UnitClaim, UnitEnd
from dsr_worker.spool import Frame, KeySpool, RecordSpool
from dsr_worker.store import new_name
from dsr_worker.vault import SealBroken

_log = logging.getLogger(__name__)

PAGE = 500
"""So many units are made in one transaction."""
_LOOK_AGAIN_S = 1.0  # whether somebody has named the units that are ours as well

_REMOTE_WAIT_S = 5.0
_CHANGING = frozenset({Call.ERASE, Call.SWEEP})

Known = dict[int, Batch]
"""Batches by scan. Opening the names of two hundred people takes longer than all else in a unit."""
_Found = Iterator[tuple[int, Record | Key | Mention]]  # each with the ask that it answers


class UnitWork:
    """Takes and works on the units of any system; used by many threads at once."""

    def __init__(self, dividing: Dividing, worker: Worker, assembly: Assembly) -> None:
        self.dividing = dividing
        self._given = Given(dividing.ledger, dividing.store)
        self._worker = worker
        self._assembly = assembly

    def __call__(self, system: str, known: Known, *, urgent_only: bool) -> bool:
        """Work on the next unit of a system; whether there was one.

        `known` are the batches that the caller's units before this one were worked on with.
        """
        ledger = self.dividing.ledger
        claimed = units.claim(ledger, system, self._worker.id, urgent_only=urgent_only)
        if not claimed:
            return False
        waiting = [claim for claims in claimed.values() for claim in claims]
        lease = self._worker.hold(waiting, list(claimed))
        crash_point("after-claim")
        try:
            ended = self._worked(claimed, lease, known)
            crash_point("before-finish")
            units.end(ledger, ended)
        except LeaseLost:
            if self._worker.stopping.is_set():
                given_back = UnitEnd(again_s=0.0, charge=-1)
                units.end(ledger, dict.fromkeys(claimed, given_back))
            calls = sorted(unit.call for unit in claimed)
            _log.info("unit_given_up", extra={"system": system, "calls": calls})
        finally:
            self._worker.let_go(lease)
        crash_point("after-finish")
        return True

    def _worked(self, claimed: Claimed, lease: Lease, known: Known) -> dict[UnitClaim, UnitEnd]:
        """How each unit ended. One that changes is not begun for whom another one stopped."""
        stopped = {
            unit: scans.stopped(self.dividing.ledger, unit.scan_id)
            for unit in claimed
            if unit.changes and not unit.divides
        }
        going = {
            unit: [claim for claim in claims if claim.id not in stopped.get(unit, ())]
            for unit, claims in claimed.items()
        }
        ended = self._begun(going, lease, known)
        for unit, why in stopped.items():
            told = {str(c.id): why[c.id] for c in claimed[unit] if c.id in why}
            if told and (going[unit] == [] or ended[unit].again_s is None):
                ended[unit] = replace(
                    ended[unit], again_s=None, stops={**ended[unit].stops, **told}
                )
        return ended

    def _begun(self, claimed: Claimed, lease: Lease, known: Known) -> dict[UnitClaim, UnitEnd]:
        batches: dict[UnitClaim, Batch] = {}
        ended: dict[UnitClaim, UnitEnd] = {}
        for unit, claims in claimed.items():
            if not claims:  # they were cancelled right now: nobody waits for it
                ended[unit] = UnitEnd(again_s=0.0, charge=-1)
                continue
            try:
                batches[unit] = self._batch(unit, claims, lease, known)
            except (Configuration, LookupError, SealBroken) as error:
                code = "configuration" if isinstance(error, Configuration) else "not_openable"
                ended[unit] = UnitEnd(stops={FOR_ALL: _reason("needs_human", code, told(error))})
        for unit, batch in batches.items():
            if unit.divides:  # such a unit has no companions
                return {unit: self._divide(unit, batch)}
        return ended | self._carried_out(batches)

    def _batch(self, unit: UnitClaim, claims: Sequence[Claim], lease: Lease, known: Known) -> Batch:
        """The steps that wait, as a batch that is charged as the unit is."""
        alone = tuple(
            c._replace(attempt=unit.attempt, charged=unit.charged, batch_size=1) for c in claims
        )
        batch = known.get(unit.scan_id)
        if batch is None or [m.claim.id for m in batch.members] != [c.id for c in alone]:
            batch = self._assembly.batch(batches.load(self.dividing.ledger, alone), lease)
            known[unit.scan_id] = batch
        ctx = replace(
            batch.ctx,
            claims=alone,
            lease=lease,
            unit=unit,
            second_path=unit.second_path,
            dry_run=unit.call in _CHANGING and not unit.changes,
            _intended={},
        )
        members = tuple(
            replace(member, claim=claim) for member, claim in zip(batch.members, alone, strict=True)
        )
        return replace(batch, members=members, ctx=ctx)

    # ---- dividing

    def _divide(self, unit: UnitClaim, batch: Batch) -> UnitEnd:
        """Make the other units, from where an earlier attempt came to. What stops it, stops all."""
        turn = divisions.begin(self.dividing.ledger, unit)
        if turn is Turn.TAKEN:
            return UnitEnd()
        if turn is Turn.LATER:
            return UnitEnd(again_s=_LOOK_AGAIN_S, charge=-1)

        def divide(one: Batch) -> list[StepResult]:
            ledger, keys = self.dividing.ledger, self.dividing.keys
            after = keys.open_alone(unit.name, UNIT).decode()
            made = divisions.divided(ledger, unit)
            parts = self._parts(unit, batch, after)
            while page := list(islice(parts, at_once(unit, batch, PAGE))):
                batch.ctx.check()
                divisions.add_page(ledger, unit, made + 1, self._new(unit, batch, page))
                made += len(page)
                crash_point("after-page")
            return [member.done() for member in one.members]

        ended = _ended(list(work_off(batch.part(batch.members[:1]), divide)))
        return replace(ended, stops=dict(zip([FOR_ALL], ended.stops.values(), strict=False)))

    def _parts(self, unit: UnitClaim, batch: Batch, after: str) -> Iterator[Unit]:
        call, connector = Call(unit.call), batch.connector
        if call is Call.ERASE:
            keys = self._given.of_all(unit, batch)
            return cast("Iterator[Unit]", connector.units_of(keys, batch.ctx, after))
        return cast("Iterator[Unit]", connector.units(call, batch.subjects, batch.ctx, after))

    def _new(self, unit: UnitClaim, batch: Batch, page: Sequence[Unit]) -> list[NewUnit]:
        """Units to be made, each with the keys that lie in it."""
        given = self._given.parted(unit, batch, [part.name for part in page])
        seal = self.dividing.keys.seal_alone
        return [
            NewUnit(seal(part.name.encode(), UNIT), part.size_bytes, part.leads, frames)
            for part, frames in zip(page, given, strict=True)
        ]

    # ---- carrying out

    def _carried_out(self, batches: Mapping[UnitClaim, Batch]) -> dict[UnitClaim, UnitEnd]:
        """How each unit ended: in one pass, or each by itself where no pass serves them all."""
        if len(batches) > 1:
            try:
                return self._in_one_pass(batches)
            except (LeaseLost, LedgerUnreachable):
                raise
            except Transient as error:
                return {unit: _again(batch, error) for unit, batch in batches.items()}
            except Exception as error:  # noqa: BLE001 - one of them must not stop the others
                for batch in batches.values():
                    batch.ctx.check()
                told_of = {"error": type(error).__name__, "at": place(error)}
                units_of = next(iter(batches)).system
                _log.info("pass_taken_apart", extra={"system": units_of, **told_of})
        return {
            unit: _ended(list(work_off(batch, self._carrying_out(unit))))
            for unit, batch in batches.items()
        }

    def _in_one_pass(self, batches: Mapping[UnitClaim, Batch]) -> dict[UnitClaim, UnitEnd]:
        parts = list(batches.values())
        connector: InOnePass = self._within(next(iter(batches)), parts[0])
        asks = [Ask(Call(unit.call), b.subjects, b.ctx) for unit, b in batches.items()]
        calls = [ask.call for ask in asks]
        spooled = self._spooled(calls, parts, connector.together(asks))
        return {
            unit: _ended(_results(batch, frames))
            for (unit, batch), frames in zip(batches.items(), spooled, strict=True)
        }

    def _carrying_out(self, unit: UnitClaim) -> Callable[[Batch], list[StepResult]]:
        def carry_out(batch: Batch) -> list[StepResult]:
            call, connector = Call(unit.call), self._within(unit, batch)
            if call in _CHANGING:
                return self._changed(unit, batch, connector)
            given = (self._given.of(unit, batch),) if call is Call.RECHECK else ()
            found = getattr(connector, call)(batch.subjects, *given, batch.ctx)
            (frames,) = self._spooled([call], [batch], ((0, item) for item in found))
            return _results(batch, frames)

        return carry_out

    def _changed(self, unit: UnitClaim, batch: Batch, connector: Any) -> list[StepResult]:
        """Each step's share of the receipts. Where an approval is exceeded, its step stops."""
        steps_of = [m.claim.id for m in batch.members]
        before = stated.resume(self.dividing.ledger, unit, steps_of) if unit.changes else {}
        call = Call(unit.call)
        share = settled if call is Call.ERASE else unsettled
        try:
            found = self.dividing.changes[call](batch, connector, self._given.of(unit, batch))
        except BoundExceeded as exceeded:
            if len(batch.members) > 1:
                raise
            (member,) = batch.members
            reasons = {"reasons": exceeded.reasons}
            return [StepResult(member.claim, state=EXCEEDED, details=reasons)]
        if any(_pending(receipt) for told in found.values() for receipt in told):
            message = "the system has not finished yet"
            raise Transient(message, retry_after_s=_REMOTE_WAIT_S)
        results = []
        for m in batch.members:
            resumed = before.get(m.claim.id, ())
            others = [intent for intent in resumed if intent["attempt"] != unit.attempt]
            earlier = [*others, *batch.ctx.before(m.claim)]
            results.append(m.done(result=share(found[m.claim.id], earlier)))
        return results

    def _within(self, unit: UnitClaim, batch: Batch) -> Any:
        """The connector within a unit."""
        return batch.connector.in_unit(self.dividing.keys.open_alone(unit.name, UNIT).decode())

    def _spooled(
        self, calls: Sequence[Call], batches: Sequence[Batch], found: _Found
    ) -> list[dict[str, Frame]]:
        """Seal what is found, each ask's apart; nothing is written for one that finds nothing."""
        spools: dict[int, Any] = {}
        with ExitStack() as opened:
            for ask, item in found:
                if ask not in spools:
                    spools[ask] = opened.enter_context(self._spool(calls[ask], batches[ask]))
                spools[ask].add(_record(item) if isinstance(item, Mention) else item)
            frames = [spools[n].finish() if n in spools else {} for n in range(len(calls))]
        if spools:
            crash_point("after-spool")
        return frames

    def _spool(self, call: Call, batch: Batch) -> KeySpool | RecordSpool:
        in_keys = call in {Call.LOCATE, Call.RECHECK}
        name = new_name("keys" if in_keys else "records", batch.ctx.now.date())
        keys = {m.subject.ref: m.key for m in batch.members}
        return (KeySpool if in_keys else RecordSpool)(self.dividing.store, name, keys)


def _pending(receipt: Receipt) -> bool:
    return any(part.outcome is Outcome.PENDING_REMOTE for part in receipt.outcomes)


def _results(batch: Batch, frames: Mapping[str, Frame]) -> list[StepResult]:
    """What a unit's call found for each step, by their subjects' references."""
    return [
        m.done(result=f.to_json())
        if (f := frames.get(m.subject.ref)) is not None and f.records
        else m.done()
        for m in batch.members
    ]


def _again(batch: Batch, error: Transient) -> UnitEnd:
    """The end of a unit whose system went away."""

    def fails(_batch: Batch) -> list[StepResult]:
        raise error

    return _ended(list(work_off(batch, fails)))


def _record(mention: Mention) -> Record:
    """A mention as a spool keeps it."""
    body = body_of({"field": mention.field})
    return Record(mention.subject_ref, mention.collection, mention.key, body)


def _ended(results: Sequence[StepResult]) -> UnitEnd:
    """A unit's end from those of its steps: where one has to wait, all of it is made again."""
    waits = [r for r in results if r.state == "waiting"]
    if waits:
        fault = any(r.code == "fault" for r in waits)
        return UnitEnd(again_s=max(r.wait_s for r in waits), charge=0 if fault else -1)
    found = {r.claim.id: r.result for r in results if r.state == "done" and r.result}
    stopped = {
        str(r.claim.id): _reason(r.state, r.code, r.error, r.details)
        for r in results
        if r.state != "done"
    }
    segments = sorted({str(f["segment"]) for f in found.values() if "segment" in f})
    return UnitEnd(segments, found, stopped)


def _reason(state: str, code: str, error: str, details: Any = None) -> dict[str, Any]:
    return {"state": state, "code": code, "error": error, "details": details}
