"""Works on units: any free worker takes one, has the connector carry it out, spools what it found.

In: a unit under lease and the steps that wait for it. Out: sealed segments and, per step, where in
them its part lies. The first unit of each scan makes the others, a page at a time. A unit in which
some steps fail is done for the others; it stops for those.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import Any

from dsr_worker.contract import Call, Configuration, Key, LeaseLost, Mention, Record, body_of
from dsr_worker.engine.assembly import Assembly
from dsr_worker.engine.batch import Batch, work_off
from dsr_worker.engine.crash import crash_point
from dsr_worker.engine.dividing import UNIT, Dividing
from dsr_worker.engine.errors import told
from dsr_worker.engine.leases import Lease, Worker
from dsr_worker.ledger import scans, steps, units
from dsr_worker.ledger.rows import Claim, StepResult
from dsr_worker.ledger.scans import FOR_ALL
from dsr_worker.ledger.units import UnitClaim, UnitEnd
from dsr_worker.spool import Frame, KeySpool, RecordSpool, read_keys
from dsr_worker.store import new_name
from dsr_worker.vault import SealBroken

_log = logging.getLogger(__name__)

PAGE = 500
"""So many units are made in one transaction."""


class UnitWork:
    """Takes and works on the units of any system; used by many threads at once."""

    def __init__(self, dividing: Dividing, worker: Worker, assembly: Assembly) -> None:
        self.dividing = dividing
        self._worker = worker
        self._assembly = assembly

    def __call__(self, system: str, *, urgent_only: bool) -> bool:
        """Work on the next unit of a system; whether there was one."""
        ledger = self.dividing.ledger
        claimed = units.claim(ledger, system, self._worker.id, urgent_only=urgent_only)
        if claimed is None:
            return False
        unit, claims = claimed
        lease = self._worker.hold(claims, unit)
        crash_point("after-claim")
        try:
            ended = self._worked(unit, claims, lease)
            crash_point("before-finish")
            units.end(ledger, unit, ended)
        except LeaseLost:
            if self._worker.stopping.is_set():
                units.end(ledger, unit, UnitEnd(again_s=0.0, charge=-1))
            _log.info("unit_given_up", extra={"system": system, "call": unit.call})
        finally:
            self._worker.let_go(lease)
        crash_point("after-finish")
        return True

    def _worked(self, unit: UnitClaim, claims: Sequence[Claim], lease: Lease) -> UnitEnd:
        try:
            batch = self._batch(unit, claims, lease)
        except (Configuration, LookupError, SealBroken) as error:
            code = "configuration" if isinstance(error, Configuration) else "not_openable"
            return UnitEnd(stops={FOR_ALL: _reason("needs_human", code, told(error))})
        if unit.divides:
            return self._divide(unit, batch)
        return _ended(list(work_off(batch, self._carrying_out(unit))))

    def _batch(self, unit: UnitClaim, claims: Sequence[Claim], lease: Lease) -> Batch:
        """The steps that wait, as a batch that is charged as the unit is."""
        alone = [
            c._replace(attempt=unit.attempt, charged=unit.charged, batch_size=1) for c in claims
        ]
        batch = self._assembly.batch(steps.load(self.dividing.ledger, alone), lease)
        ctx = replace(batch.ctx, unit=unit, second_path=unit.second_path)
        return replace(batch, ctx=ctx)

    def _divide(self, unit: UnitClaim, batch: Batch) -> UnitEnd:
        """Make the other units, from where an earlier attempt came to. What stops it, stops all."""

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

    def _carrying_out(self, unit: UnitClaim) -> Callable[[Batch], list[StepResult]]:
        def carry_out(batch: Batch) -> list[StepResult]:
            name = self.dividing.keys.open_alone(unit.name, UNIT).decode()
            part = replace(batch, connector=batch.connector.in_unit(name))
            frames = self._spooled(unit, part)
            return [
                m.done(result=f.to_json())
                if (f := frames.get(m.subject.ref)) is not None and f.records
                else m.done()
                for m in batch.members
            ]

        return carry_out

    def _spooled(self, unit: UnitClaim, batch: Batch) -> dict[str, Frame]:
        """Seal what the unit's call finds; nothing is written where it finds nothing."""
        call, connector = Call(unit.call), batch.connector
        given = (self._keys_given(unit, batch),) if call is Call.RECHECK else ()
        found = iter(getattr(connector, call)(batch.subjects, *given, batch.ctx))
        first = next(found, None)
        if first is None:
            return {}
        keys = {m.subject.ref: m.key for m in batch.members}
        in_keys = call in {Call.LOCATE, Call.RECHECK}
        name = new_name("keys" if in_keys else "records", batch.ctx.now.date())
        made: Any = KeySpool if in_keys else RecordSpool
        with made(self.dividing.store, name, keys) as spool:
            for item in chain([first], found):
                spool.add(_record(item) if isinstance(item, Mention) else item)
            frames: dict[str, Frame] = spool.finish()
        crash_point("after-spool")
        return frames

    def _keys_given(self, unit: UnitClaim, batch: Batch) -> Iterator[Key]:
        given = {s.step_id: s.frame for s in scans.of_scan(self.dividing.ledger, unit.scan_id)}
        for member in batch.members:
            frame = given.get(member.claim.id)
            if frame is not None:
                place = Frame.from_json(frame)
                yield from read_keys(self.dividing.store, place, member.key, member.subject.ref)


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
