"""Works on units: any free worker takes one, has the connector carry it out, spools what it found.

In: a unit under lease with its companions (the same part of the system for other scans), and the
steps that wait for each. Out: sealed segments and, per step, where in them its part lies. The first
unit of each scan makes the others, a page at a time. What companions ask is read once for all of
them; where that fails, each is carried out by itself. A unit in which some steps fail is done for
the others; it stops for those.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from typing import Any

from dsr_worker.contract import (
    Ask,
    Call,
    Configuration,
    InOnePass,
    Key,
    LeaseLost,
    Mention,
    Record,
    Transient,
    body_of,
)
from dsr_worker.engine.assembly import Assembly
from dsr_worker.engine.batch import Batch, work_off
from dsr_worker.engine.crash import crash_point
from dsr_worker.engine.dividing import UNIT, Dividing
from dsr_worker.engine.errors import place, told
from dsr_worker.engine.leases import Lease, Worker
from dsr_worker.ledger import LedgerUnreachable, scans, steps, units
from dsr_worker.ledger.rows import Claim, StepResult
from dsr_worker.ledger.scans import FOR_ALL
from dsr_worker.ledger.units import Claimed, Turn, UnitClaim, UnitEnd
from dsr_worker.spool import Frame, KeySpool, RecordSpool, read_keys
from dsr_worker.store import new_name
from dsr_worker.vault import SealBroken

_log = logging.getLogger(__name__)

PAGE = 500
"""So many units are made in one transaction."""
_LOOK_AGAIN_S = 1.0  # whether somebody has named the units that are ours as well

Known = dict[int, Batch]
"""Batches by scan. Opening the names of two hundred people takes longer than all else in a unit."""
_Found = Iterator[tuple[int, Record | Key | Mention]]  # each with the ask that it answers


class UnitWork:
    """Takes and works on the units of any system; used by many threads at once."""

    def __init__(self, dividing: Dividing, worker: Worker, assembly: Assembly) -> None:
        self.dividing = dividing
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
            batch = self._assembly.batch(steps.load(self.dividing.ledger, alone), lease)
            known[unit.scan_id] = batch
        ctx = replace(batch.ctx, claims=alone, lease=lease, unit=unit, second_path=unit.second_path)
        members = tuple(
            replace(member, claim=claim) for member, claim in zip(batch.members, alone, strict=True)
        )
        return replace(batch, members=members, ctx=ctx)

    # ---- dividing

    def _divide(self, unit: UnitClaim, batch: Batch) -> UnitEnd:
        """Make the other units, from where an earlier attempt came to. What stops it, stops all."""
        turn = units.begin(self.dividing.ledger, unit)
        if turn is Turn.TAKEN:
            return UnitEnd()
        if turn is Turn.LATER:
            return UnitEnd(again_s=_LOOK_AGAIN_S, charge=-1)

        def divide(one: Batch) -> list[StepResult]:
            ledger, keys = self.dividing.ledger, self.dividing.keys
            after = keys.open_alone(unit.name, UNIT).decode()
            made = units.divided(ledger, unit)
            parts = batch.connector.units(Call(unit.call), batch.subjects, batch.ctx, after)
            while page := list(islice(parts, PAGE)):
                batch.ctx.check()
                sealed = [(keys.seal_alone(p.name.encode(), UNIT), p.size_bytes) for p in page]
                units.add_page(ledger, unit, made + 1, sealed)
                made += len(page)
                crash_point("after-page")
            return [member.done() for member in one.members]

        ended = _ended(list(work_off(batch.part(batch.members[:1]), divide)))
        return replace(ended, stops=dict(zip([FOR_ALL], ended.stops.values(), strict=False)))

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
            given = (self._keys_given(unit, batch),) if call is Call.RECHECK else ()
            found = getattr(connector, call)(batch.subjects, *given, batch.ctx)
            (frames,) = self._spooled([call], [batch], ((0, item) for item in found))
            return _results(batch, frames)

        return carry_out

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

    def _keys_given(self, unit: UnitClaim, batch: Batch) -> Iterator[Key]:
        given = {s.step_id: s.frame for s in scans.of_scan(self.dividing.ledger, unit.scan_id)}
        for member in batch.members:
            frame = given.get(member.claim.id)
            if frame is not None:
                lies = Frame.from_json(frame)
                yield from read_keys(self.dividing.store, lies, member.key, member.subject.ref)


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
    segments = sorted({str(frame["segment"]) for frame in found.values()})
    return UnitEnd(segments, found, stopped)


def _reason(state: str, code: str, error: str, details: Any = None) -> dict[str, Any]:
    return {"state": state, "code": code, "error": error, "details": details}
