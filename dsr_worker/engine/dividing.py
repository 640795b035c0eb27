"""Calls made in units, as a performer sees them: it asks the connector, and the answer is there.

In: a batch at a connector that is `InUnits`. Out: the performer's results; or, where a call of its
own was not made in units yet, steps that wait for it. Once the last unit has ended they are claimed
anew, the performer is run from its start, and each call made in units is answered from the spools,
or from the receipts of its units. A call that is one unit only is made whole, at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from typing import Any

from dsr_worker.contract import (
    Attachment,
    Call,
    ChangesInUnits,
    InOnePass,
    InUnits,
    Key,
    Mention,
    Outcome,
    Receipt,
    Record,
    Subject,
    SweepOrder,
    Unit,
    content_of,
)
from dsr_worker.engine.batch import (
    Batch,
    BoundExceeded,
    CallDivided,
    Member,
    Performer,
    waits_for_units,
)
from dsr_worker.engine.context import BatchContext
from dsr_worker.engine.shares import Total
from dsr_worker.ledger import Ledger, scans, stated
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.rows import StepResult
from dsr_worker.ledger.scans import FOR_ALL, Scan
from dsr_worker.spool import Frame, KeySpool, read_keys, read_records
from dsr_worker.store import Store, new_name
from dsr_worker.vault import KeyRing

UNIT = "unit"
"""The purpose under which names of units are sealed."""
EXCEEDED = "exceeded"
"""How a unit stops for a step whose approval it would go beyond: its performer answers for that."""
_FEW = 1_000  # so many keys wait in memory until it is known whether they lie in several units
_CHANGED = frozenset({Outcome.ERASED, Outcome.MASKED, Outcome.REDACTED, Outcome.RESTRICTED})
_Asked = tuple[str, bool, bool]  # the call, whether by the second path, whether it changes
Change = Callable[[Batch, Any, Iterable[Key]], Mapping[int, Sequence[Receipt]]]
"""Makes a call that changes, or its dry run, in one unit: of the batch that waits for it, with the
connector within the unit and the keys given to the unit. Receipts by step."""


@dataclass(frozen=True, slots=True)
class Dividing:
    """What calls in units need: where their rows and spools lie."""

    ledger: Ledger
    keys: KeyRing
    store: Store
    changes: Mapping[Call, Change]

    def performing(self, perform: Performer) -> Performer:
        """The same performer; what it asks of a connector that is `InUnits` is made in units."""

        def performed(batch: Batch) -> Sequence[StepResult]:
            if not isinstance(batch.connector, InUnits):
                return perform(batch)
            return list(self._performed(batch, perform))

        return performed

    def _performed(self, batch: Batch, perform: Performer) -> Iterator[StepResult]:
        made: dict[int, list[Scan]] = {m.claim.id: [] for m in batch.members}
        for scan in scans.of_steps(self.ledger, list(made)):
            made[scan.step_id].append(scan)
        stopped = dict(self._stopped(batch, made))
        exceeded = {step: r for step, r in stopped.items() if r.state == EXCEEDED}
        stopped = {step: r for step, r in stopped.items() if step not in exceeded}
        yield from stopped.values()
        alike: dict[frozenset[_Asked], list[Member]] = {}
        waiting = [m.claim.id for m in batch.members if not all(s.ended for s in made[m.claim.id])]
        for member in batch.members:
            mine = made[member.claim.id]
            if member.claim.id in stopped:
                continue
            if all(scan.ended for scan in mine):
                asked = frozenset((s.call, s.second_path, s.changes) for s in mine)
                alike.setdefault(asked, []).append(member)
            else:
                apart = partial(_wait_apart, [s.id for s in mine if not s.ended], waiting)
                yield replace(waits_for_units(member), also=apart)
        for members in alike.values():
            part = batch.part(members)
            answered = [scan for m in members for scan in made[m.claim.id]]
            divided = _Divided(self, part, answered, exceeded)
            ctx = part.ctx.after(divided.intents())
            try:
                yield from perform(replace(part, ctx=ctx, connector=divided))
            except CallDivided:
                yield from map(waits_for_units, members)

    def total(self, scan: Scan) -> Total:
        """What the units of a scan gave receipts of for its step."""
        total = Total()
        for frame in scans.frames(self.ledger, scan.id, scan.step_id):
            total.add(frame)
        return total

    def _stopped(
        self, batch: Batch, made: Mapping[int, Sequence[Scan]]
    ) -> Iterator[tuple[int, StepResult]]:
        """Steps for which a unit stopped: told once, then it may be tried again for them alone."""
        ended = sorted({scan.id for mine in made.values() for scan in mine if scan.ended})
        for number, why in scans.stops(self.ledger, ended) if ended else ():
            theirs = [
                (member, stop)
                for member in batch.members
                if any(scan.id == number for scan in made[member.claim.id])
                and (stop := why.get(str(member.claim.id)) or why.get(FOR_ALL)) is not None
            ]
            apart = partial(scans.set_apart, scan=number, steps=[m.claim.id for m, _ in theirs])
            for member, stop in theirs:
                yield member.claim.id, StepResult(member.claim, **stop, also=apart)


class _Divided:
    """A connector some of whose calls are answered from what their units found.

    It has what the connector has but for blocks: units hand over records.
    """

    def __init__(
        self,
        dividing: Dividing,
        batch: Batch,
        made: Sequence[Scan],
        exceeded: Mapping[int, StepResult],
    ) -> None:
        whole = batch.connector
        for name in dir(whole):
            if not name.startswith("_") and name not in _OWN:
                setattr(self, name, getattr(whole, name))
        self._dividing = dividing
        self._batch = batch
        self._scans = made
        self._exceeded = exceeded
        self._totals = {
            (scan.id, scan.step_id): dividing.total(scan) for scan in made if scan.call in _SHARED
        }
        for call, read in _READ.items():
            if hasattr(whole, call):
                setattr(self, call, partial(self._asked, call, read))
        if isinstance(whole, ChangesInUnits):
            for call, made_in_units in ((Call.ERASE, self._erased), (Call.SWEEP, self._swept)):
                if hasattr(whole, call):
                    setattr(self, call, made_in_units)

    def intents(self) -> dict[int, list[dict[str, Any]]]:
        """What units had done for each step before their last attempts; all, if it is void."""
        before: dict[int, list[dict[str, Any]]] = {}
        for scan in (scan for scan in self._scans if scan.changes):
            total = self._total(scan)
            told = total.intents()
            if scan.step_id in self._exceeded:
                stopped = stated.of_stopped(self._dividing.ledger, scan.id, scan.step_id)
                told = [*total.effects(), *stopped]
            before.setdefault(scan.step_id, []).extend(told)
        return before

    def _total(self, scan: Scan) -> Total:
        return self._totals[scan.id, scan.step_id]

    def _asked(
        self,
        call: Call,
        read: _Read,
        subjects: Sequence[Subject],
        *given: Any,  # the keys of a recheck, and the context
    ) -> Iterator[Any]:
        ctx: BatchContext = given[-1]
        keys: Iterable[Key] | None = given[0] if len(given) > 1 else None
        members = self._members(subjects)
        found = self._made(call, ctx)
        if all(member.claim.id in found for member in members):
            return self._answers(read, members, found)
        if self._is_whole(call, subjects, ctx):
            answer: Iterator[Any] = getattr(self._batch.connector, call)(subjects, *given)
            return answer
        self._hand_over(call, members, self._sealed(keys, members, ctx), ctx)
        raise CallDivided

    def _members(self, subjects: Sequence[Subject]) -> list[Member]:
        return [self._batch.by_ref[subject.ref] for subject in subjects]

    def _made(self, call: Call, ctx: BatchContext) -> dict[int, Scan]:
        """The scans that answer such a call, by step."""
        asked = (call, ctx.second_path, _changes(call, ctx))
        return {s.step_id: s for s in self._scans if (s.call, s.second_path, s.changes) == asked}

    def _is_whole(self, call: Call, subjects: Sequence[Subject], ctx: BatchContext) -> bool:
        return _single(self._batch.connector.units(call, subjects, ctx, ""))

    # ---- calls that change, and their dry runs

    def _erased(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: BatchContext
    ) -> Iterator[Receipt]:
        members = self._members(subjects)
        found = self._made(Call.ERASE, ctx)
        if all(member.claim.id in found for member in members):
            if not ctx.dry_run:
                self._refuse_exceeded(members)
            return self._receipts(members, found)
        whole = self._batch.connector
        rest = iter(keys)
        few = list(islice(rest, _FEW))
        if len(few) < _FEW and _single(whole.units_of(few, ctx, "")):
            answer: Iterator[Receipt] = whole.erase(subjects, few, ctx)
            return answer
        sealed = self._sealed(chain(few, rest), members, ctx)
        if _single(whole.units_of(self._opened(members, sealed), ctx, "")):
            return self._erased_whole(subjects, members, sealed, ctx)
        self._hand_over(Call.ERASE, members, sealed, ctx)
        raise CallDivided

    def _erased_whole(
        self,
        subjects: Sequence[Subject],
        members: Sequence[Member],
        sealed: Mapping[int, Frame],
        ctx: BatchContext,
    ) -> Iterator[Receipt]:
        try:
            keys = self._opened(members, sealed)
            yield from self._batch.connector.erase(subjects, keys, ctx)
        finally:
            self._dividing.store.destroy(next(iter(sealed.values())).segment)

    def _swept(self, orders: Sequence[SweepOrder], ctx: BatchContext) -> Iterator[Receipt]:
        mine = {claim.id for claim in ctx.claims}
        members = [m for m in self._batch.members if m.claim.id in mine]
        found = self._made(Call.SWEEP, ctx)
        if all(member.claim.id in found for member in members):
            return self._counts(members, found)
        if self._is_whole(Call.SWEEP, ctx.subjects, ctx):
            answer: Iterator[Receipt] = self._batch.connector.sweep(orders, ctx)
            return answer
        self._hand_over(Call.SWEEP, members, {}, ctx)
        raise CallDivided

    def _refuse_exceeded(self, members: Sequence[Member]) -> None:
        stops = [self._exceeded[m.claim.id] for m in members if m.claim.id in self._exceeded]
        if stops:
            reasons = {reason for stop in stops for reason in (stop.details or {})["reasons"]}
            raise BoundExceeded(sorted(reasons))

    def _receipts(self, members: Sequence[Member], found: Mapping[int, Scan]) -> Iterator[Receipt]:
        """One for each subject and collection, as the whole call gives them."""
        for member in members:
            total = self._total(found[member.claim.id])
            for name in self._batch.ctx.system.collections:
                yield total.receipt(member.subject.ref, name)

    def _counts(self, members: Sequence[Member], found: Mapping[int, Scan]) -> Iterator[Receipt]:
        """What a sweep counted or did; once it is over, nothing of what it counted is still due."""
        for member in members:
            scan = found[member.claim.id]
            over = any(s.changes for s in self._scans if s.step_id == scan.step_id)
            total = self._total(scan)
            for name in total.collections():
                told = total.receipt(None, name)
                if over and not scan.changes and not scan.second_path:
                    left = tuple(o for o in told.outcomes if o.outcome not in _CHANGED)
                    told = replace(told, outcomes=left)
                yield told

    # ---- handing over

    def _sealed(
        self, keys: Iterable[Key] | None, members: Sequence[Member], ctx: BatchContext
    ) -> dict[int, Frame]:
        """Seal the keys that a call was given; by step."""
        if keys is None:
            return {}
        segment = new_name("keys", ctx.now.date())
        case_keys = {m.subject.ref: m.key for m in members}
        with KeySpool(self._dividing.store, segment, case_keys) as spool:
            for key in keys:
                spool.add(key)
            found = spool.finish()
        return {m.claim.id: found[m.subject.ref] for m in members}

    def _opened(self, members: Sequence[Member], sealed: Mapping[int, Frame]) -> Iterator[Key]:
        for m in members:
            yield from read_keys(self._dividing.store, sealed[m.claim.id], m.key, m.subject.ref)

    def _hand_over(
        self,
        call: Call,
        members: Sequence[Member],
        sealed: Mapping[int, Frame],
        ctx: BatchContext,
    ) -> None:
        scans.open_scan(
            self._dividing.ledger,
            [m.claim for m in members],
            call,
            second_path=ctx.second_path,
            changes=_changes(call, ctx),
            name=self._dividing.keys.seal_alone(b"", UNIT),
            shared_by=self._shared_by(call, ctx),
            segment=next((frame.segment for frame in sealed.values()), ""),
            frames={step: frame.to_json() for step, frame in sealed.items()},
        )

    def _shared_by(self, call: Call, ctx: BatchContext) -> str:
        """The map whose scans may share units; empty for who looks again: they read themselves."""
        batch = self._batch
        alone = call in {Call.RECHECK, Call.ERASE, Call.SWEEP} or ctx.second_path
        shares = isinstance(batch.connector, InOnePass) and not alone
        return batch.frozen.versions["map"] if shares else ""

    def _answers(
        self, read: _Read, members: Sequence[Member], made: Mapping[int, Scan]
    ) -> Iterator[Any]:
        dividing = self._dividing
        for member in members:
            step = member.claim.id
            for frame in scans.frames(dividing.ledger, made[step].id, step):
                self._batch.ctx.check()
                yield from read(dividing.store, Frame.from_json(frame), member)


def _wait_apart(open_scans: Sequence[int], steps: Sequence[int], cursor: Cursor) -> None:
    for scan in sorted(open_scans):
        scans.wait_apart(cursor, scan, steps)


def _changes(call: Call, ctx: BatchContext) -> bool:
    return call in _SHARED and not ctx.dry_run


def _single(parts: Iterator[Unit]) -> bool:
    return len(list(islice(parts, 2))) < 2  # noqa: PLR2004 - several are to be shared


_OWN = frozenset({"find_blocks", "units", "in_unit", "units_of", "unit_of"})
"""What of a connector performers have no use for here."""
_SHARED = frozenset({Call.ERASE, Call.SWEEP})
"""Calls of which each unit gives receipts."""
_Read = Callable[[Store, Frame, Member], Iterator[Any]]


def _records(store: Store, frame: Frame, member: Member) -> Iterator[Record]:
    for found in read_records(store, frame, member.key):
        file = found.attachment
        yield Record(
            member.subject.ref,
            found.collection,
            found.key,
            found.body,
            None if file is None else Attachment(file.name, file.media_type, file.open),
            found.withheld,
        )


def _keys(store: Store, frame: Frame, member: Member) -> Iterator[Key]:
    return read_keys(store, frame, member.key, member.subject.ref)


def _mentions(store: Store, frame: Frame, member: Member) -> Iterator[Mention]:
    for found in read_records(store, frame, member.key):
        field = content_of(found.body)["field"]
        yield Mention(member.subject.ref, found.collection, found.key, field)


_READ: Mapping[Call, _Read] = {
    Call.FIND: _records,
    Call.LOCATE: _keys,
    Call.RECHECK: _keys,
    Call.MENTIONS: _mentions,
}
