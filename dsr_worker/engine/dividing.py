"""Calls made in units, as a performer sees them: it asks the connector, and the answer is there.

In: a batch at a connector that is `InUnits`. Out: the performer's results; or, where a call of its
own was not made in units yet, steps that wait for it. Once the last unit has ended they are claimed
anew, the performer is run from its start, and each call made in units is answered from the spools.
A call that is one unit only is made whole, at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

from dsr_worker.contract import (
    Attachment,
    Call,
    InOnePass,
    InUnits,
    Key,
    Mention,
    Record,
    Subject,
    content_of,
)
from dsr_worker.engine.batch import Batch, Member, Performer
from dsr_worker.engine.context import BatchContext
from dsr_worker.ledger import Ledger, scans
from dsr_worker.ledger.rows import StepResult
from dsr_worker.ledger.scans import FOR_ALL, IN_UNITS, Scan
from dsr_worker.spool import Frame, KeySpool, read_keys, read_records
from dsr_worker.store import Store, new_name
from dsr_worker.vault import KeyRing

UNIT = "unit"
"""The purpose under which names of units are sealed."""
_LOOK_AGAIN_S = 86_400.0  # the last unit wakes the steps; this is for what nobody thought of
_Asked = tuple[str, bool]  # the call, and whether by the second path


class CallDivided(Exception):  # noqa: N818 - reads as what it says
    """A call was handed to the units: its steps have to wait."""


@dataclass(frozen=True, slots=True)
class Dividing:
    """What calls in units need: where their rows and spools lie."""

    ledger: Ledger
    keys: KeyRing
    store: Store

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
        yield from stopped.values()
        alike: dict[frozenset[_Asked], list[Member]] = {}
        for member in batch.members:
            mine = made[member.claim.id]
            if member.claim.id in stopped:
                continue
            if all(scan.ended for scan in mine):
                asked = frozenset((scan.call, scan.second_path) for scan in mine)
                alike.setdefault(asked, []).append(member)
            else:
                yield _waiting(member)
        for members in alike.values():
            part = batch.part(members)
            answered = [scan for m in members for scan in made[m.claim.id]]
            try:
                yield from perform(replace(part, connector=_Divided(self, part, answered)))
            except CallDivided:
                yield from map(_waiting, members)

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


def _waiting(member: Member) -> StepResult:
    alone = member.claim.batch_size == 1
    return StepResult(
        member.claim,
        state="waiting",
        code=IN_UNITS,
        wait_s=_LOOK_AGAIN_S,
        charge=-1 if alone else 0,
    )


class _Divided:
    """A connector some of whose calls are answered from what their units found.

    It has what the connector has but for blocks: units hand over records.
    """

    def __init__(self, dividing: Dividing, batch: Batch, made: Sequence[Scan]) -> None:
        whole = batch.connector
        for name in dir(whole):
            if not name.startswith("_") and name not in {"find_blocks", "units", "in_unit"}:
                setattr(self, name, getattr(whole, name))
        self._dividing = dividing
        self._batch = batch
        self._scans = made
        for call, read in _READ.items():
            if hasattr(whole, call):
                setattr(self, call, partial(self._asked, call, read))

    def _asked(
        self,
        call: Call,
        read: _Read,
        subjects: Sequence[Subject],
        *given: Any,  # the keys of a recheck, and the context
    ) -> Iterator[Any]:
        ctx: BatchContext = given[-1]
        keys: Iterable[Key] | None = given[0] if len(given) > 1 else None
        members = [self._batch.by_ref[subject.ref] for subject in subjects]
        found = {
            scan.step_id: scan
            for scan in self._scans
            if (scan.call, scan.second_path) == (call, ctx.second_path)
        }
        if all(member.claim.id in found for member in members):
            return self._answers(read, members, found)
        if self._is_whole(call, subjects, ctx):
            answer: Iterator[Any] = getattr(self._batch.connector, call)(subjects, *given)
            return answer
        self._hand_over(call, members, keys, ctx)
        raise CallDivided

    def _is_whole(self, call: Call, subjects: Sequence[Subject], ctx: BatchContext) -> bool:
        parts = self._batch.connector.units(call, subjects, ctx, "")
        return len(list(islice(parts, 2))) < 2  # noqa: PLR2004 - several are to be shared

    def _hand_over(
        self, call: Call, members: Sequence[Member], keys: Iterable[Key] | None, ctx: BatchContext
    ) -> None:
        segment, frames = "", {}
        if keys is not None:
            segment = new_name("keys", ctx.now.date())
            case_keys = {m.subject.ref: m.key for m in members}
            with KeySpool(self._dividing.store, segment, case_keys) as spool:
                for key in keys:
                    spool.add(key)
                found = spool.finish()
            frames = {m.claim.id: found[m.subject.ref].to_json() for m in members}
        scans.open_scan(
            self._dividing.ledger,
            [m.claim for m in members],
            call,
            second_path=ctx.second_path,
            name=self._dividing.keys.seal_alone(b"", UNIT),
            shared_by=self._shared_by(call, ctx),
            segment=segment,
            frames=frames,
        )

    def _shared_by(self, call: Call, ctx: BatchContext) -> str:
        """The map whose scans may share units; empty for who looks again: they read themselves."""
        batch = self._batch
        alone = call is Call.RECHECK or ctx.second_path
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
