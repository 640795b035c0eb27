"""The S3 connector over a bucket and its copies: each is visited like the first.

In: a system of the data map and its typed config. Out: the contract's protocols. Replication copies
new versions and, where it is told to, delete markers; that a version was erased it never copies (S3
User Guide, "What does Amazon S3 replicate?"). A row of a copy has the bucket's name in its key:
`(…, "replica", bucket)`; a copy that we may not list is one row of each subject, `("", …)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import blake2b
from typing import Self

from connectors.s3.config import Config
from connectors.s3.connector import OneBucket
from connectors.s3.scanning.parts import is_first
from connectors.s3.server.refusals import NOT_GRANTED
from dsr_worker.contract import (
    Ask,
    Call,
    Context,
    DecisionTable,
    Finding,
    Guard,
    Key,
    Mention,
    NeedsHuman,
    Outcome,
    OutcomeCount,
    Receipt,
    Record,
    Remainder,
    State,
    Subject,
    SweepOrder,
    System,
    Withheld,
)

_MARK = "replica"
_NOT_LISTED = ("",)  # the key, within a copy, of all that we may not see there


class S3(OneBucket):
    """A bucket and its copies. Making it sends no request; it may be used by many threads.

    Who is who, mentions and breaches are read in the first bucket alone: a copy says the same.
    """

    def __init__(self, system: System, config: Config) -> None:
        super().__init__(system, config)
        self._whole = frozenset(name for name, room in self._rooms.items() if room.whole)
        lengths = {name: room.key_lengths for name, room in self._rooms.items()}
        self._copies = [_Copy(system, config, n, lengths) for n in range(len(config.replicas))]
        self._visited = self._copies  # in a unit: all of them, or none

    def close(self) -> None:
        """Close the connections; the connector is not used afterwards."""
        super().close()
        for copy in self._copies:
            copy.bucket.close()

    def check(self) -> Iterator[Finding]:
        """What there is to say of the bucket, then of each copy."""
        yield from super().check()
        for copy in self._copies:
            for finding in copy.bucket.check():
                yield replace(finding, subject=f"replica {copy.name}: {finding.subject}")

    def find(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Record]:
        """Every record of the first bucket, then what only a copy still has."""
        if not self._copies:
            yield from super().find(subjects, ctx)
            return
        told: set[bytes] = set()
        for record in super().find(subjects, ctx):
            told.add(self._told(record))
            yield record
        for copy in self._visited:
            for record in copy.find(subjects, ctx):
                if self._told(record) not in told:
                    yield replace(record, key=copy.outer(record.key))

    def locate(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Key]:
        """The keys of the first bucket, then those of each copy."""
        yield from super().locate(subjects, ctx)
        for copy in self._visited:
            yield from copy.keys(copy.bucket.locate(subjects, copy.context(ctx)), subjects)

    def erase(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Receipt]:
        """Erase the located rows in the first bucket, then in each copy. Idempotent."""
        if not self._copies:
            yield from super().erase(subjects, keys, ctx)
            return
        own, of_copies = self._parted(keys)
        found = {
            (receipt.subject_ref, receipt.collection): receipt
            for receipt in super().erase(subjects, own, ctx)
        }
        for copy, theirs in zip(self._visited, of_copies, strict=False):
            for receipt in copy.erase(subjects, theirs, ctx):
                place = (receipt.subject_ref, receipt.collection)
                found[place] = _together(found[place], receipt) if place in found else receipt
        yield from found.values()

    def recheck(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Key]:
        """What is left in the first bucket, then what is left in each copy."""
        own, of_copies = self._parted(keys)
        yield from super().recheck(subjects, own, ctx)
        for copy, theirs in zip(self._visited, of_copies, strict=False):
            listed = (key for key in theirs if key.key != _NOT_LISTED)
            left = copy.bucket.recheck(subjects, listed, copy.context(ctx))
            yield from copy.keys(left, subjects)

    def sweep(self, orders: Sequence[SweepOrder], ctx: Context) -> Iterator[Receipt]:
        """Sweep the first bucket, then each copy; the brake counts in each by itself."""
        yield from super().sweep(orders, ctx)
        for copy in self._visited:
            yield from copy.bucket.sweep(orders, copy.context(ctx))

    def together(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Record | Key | Mention]]:
        """What these calls find in the first bucket, then what `locate` finds in each copy."""
        yield from super().together(asks)
        for copy in self._visited:
            for number, ask in enumerate(asks):
                if ask.call is Call.LOCATE:
                    found = copy.bucket.locate(ask.subjects, copy.context(ask.ctx))
                    yield from ((number, key) for key in copy.keys(found, ask.subjects))

    # ---- InUnits: they divide the first bucket; the first of them visits each copy whole

    def in_unit(self, name: str) -> Self:
        """The same connector within one unit."""
        part = super().in_unit(name)
        if not is_first(name, self._rooms):
            vars(part).update(_visited=[])
        return part

    def unit_of(self, names: Sequence[str]) -> Callable[[Key], int | None]:
        """Which of these units holds a key; those of copies are in the first of all."""
        of_bucket = super().unit_of(names)
        first = 0 if names and is_first(names[0], self._rooms) else None

        def unit_of(key: Key) -> int | None:
            return first if self._of_copy(key) else of_bucket(key)

        return unit_of

    def _own(self, keys: Iterable[Key]) -> Iterator[Key]:
        """Those of these keys that are of the first bucket."""
        return (key for key in keys if not self._of_copy(key))

    def _of_copy(self, key: Key) -> bool:
        return any(copy.has(key) for copy in self._copies)

    def _divides(self, call: Call) -> bool:
        """What only a copy still has is told by comparing with all of the first bucket."""
        return call is not Call.FIND or not self._copies

    def _parted(self, keys: Iterable[Key]) -> tuple[list[Key], list[list[Key]]]:
        """The keys of the first bucket, and those of each copy as they are named there."""
        own: list[Key] = []
        theirs: list[list[Key]] = [[] for _ in self._copies]
        for key in keys:
            for copy, mine in zip(self._copies, theirs, strict=True):
                if copy.has(key):
                    mine.append(replace(key, key=key.key[:-2]))
                    break
            else:
                own.append(key)
        return own, theirs

    def _told(self, record: Record) -> bytes:
        """A mark of what a record says: whole versions by their ids, records by their text too."""
        body = b"" if record.collection in self._whole else record.body
        place = repr((record.subject_ref, record.collection, record.key))
        return blake2b(place.encode("utf-8", "replace") + body, digest_size=16).digest()


class _Copy:
    """A copy of the bucket, and how its rows are named outside of it."""

    def __init__(
        self,
        system: System,
        config: Config,
        number: int,
        lengths: Mapping[str, frozenset[int]],
    ) -> None:
        reach = config.replicas[number]
        own = {name: getattr(reach, name) for name in type(reach).model_fields}
        own["expected_bucket_owner"] = reach.expected_bucket_owner or config.expected_bucket_owner
        there = config.model_copy(update={**own, "replicas": (), "inventory": None})
        self.name = reach.bucket
        self.bucket = OneBucket(system, there, first=config)
        self._system = system
        self._mark = (_MARK, reach.bucket)
        self._lengths = lengths

    def outer(self, key: tuple[str, ...]) -> tuple[str, ...]:
        """What a row of this copy is called outside of it."""
        return (*key, *self._mark)

    def has(self, key: Key) -> bool:
        """Whether a key names a row of this copy."""
        inner = key.key[:-2]
        fits = inner == _NOT_LISTED or len(inner) in self._lengths[key.collection]
        return fits and key.key[-2:] == self._mark

    def context(self, ctx: Context) -> Context:
        """The context of a call about this copy: digests are of the names outside of it."""
        return _AtCopy(ctx, self._mark)

    def keys(self, found: Iterator[Key], subjects: Sequence[Subject]) -> Iterator[Key]:
        """Keys by their names outside; where the copy may not be read, all of it is one row."""
        try:
            for key in found:
                yield replace(key, key=self.outer(key.key))
        except NeedsHuman as stop:
            if stop.code != NOT_GRANTED:
                raise
            for key in self._not_listed(subjects):
                yield replace(key, key=self.outer(key.key))

    def find(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Record]:
        """The records of this copy; where it may not be read, all of it is one, and withheld."""
        try:
            yield from self.bucket.find(subjects, ctx)
        except NeedsHuman as stop:
            if stop.code != NOT_GRANTED:
                raise
            withheld = (Withheld("", Remainder.REPLICA),)
            for key in self._not_listed(subjects):
                yield Record(key.subject_ref, key.collection, key.key, b"{}", withheld=withheld)

    def _not_listed(self, subjects: Sequence[Subject]) -> Iterator[Key]:
        for collection in self._system.collections.values():
            for subject in subjects:
                if any(i.kind in collection.identity_kinds for i in subject.identities):
                    yield Key(subject.ref, collection.name, _NOT_LISTED, Remainder.REPLICA)

    def erase(
        self, subjects: Sequence[Subject], keys: Sequence[Key], ctx: Context
    ) -> Iterator[Receipt]:
        """Erase in this copy; where we may not list it, its rows stay for now."""
        at_copy = self.context(ctx)
        unseen = {(key.subject_ref, key.collection) for key in keys if key.key == _NOT_LISTED}
        listed = [key for key in keys if key.key != _NOT_LISTED]
        for receipt in self.bucket.erase(subjects, listed, at_copy):
            if (receipt.subject_ref, receipt.collection) not in unseen:
                yield receipt
                continue
            one = OutcomeCount.one(Outcome.RETAINED, ground=Remainder.REPLICA)
            kept = frozenset({at_copy.digest(receipt.collection, _NOT_LISTED)})
            yield _together(receipt, Receipt(receipt.subject_ref, receipt.collection, (one,), kept))


def _together(one: Receipt, other: Receipt) -> Receipt:
    """Both receipts of a subject and collection as one."""
    counts: dict[tuple[Outcome, str], OutcomeCount] = {}
    for part in (*one.outcomes, *other.outcomes):
        place = (part.outcome, part.ground)
        counts[place] = counts[place].plus(part) if place in counts else part
    told = [part for part in counts.values() if part.outcome is not Outcome.ABSENT]
    outcomes = tuple(told or counts.values())
    proofs = one.proofs + other.proofs
    return Receipt(one.subject_ref, one.collection, outcomes, one.kept | other.kept, proofs)


@dataclass(frozen=True)
class _AtCopy:
    """A context in which rows have the names that they have outside of a copy."""

    _ctx: Context
    _mark: tuple[str, str]

    @property
    def operation_id(self) -> str:
        return self._ctx.operation_id

    @property
    def now(self) -> datetime:
        return self._ctx.now

    @property
    def dry_run(self) -> bool:
        return self._ctx.dry_run

    @property
    def second_path(self) -> bool:
        return self._ctx.second_path

    @property
    def state(self) -> State:
        return self._ctx.state

    def table(self, collection: str) -> DecisionTable:
        return self._ctx.table(collection)

    def guard(self) -> AbstractContextManager[Guard]:
        return self._ctx.guard()

    def part(self, subjects: Sequence[Subject]) -> Context:
        return _AtCopy(self._ctx.part(subjects), self._mark)

    def check(self) -> None:
        self._ctx.check()

    def spend(self, calls: int = 1) -> None:
        self._ctx.spend(calls)

    def digest(self, collection: str, key: Sequence[str]) -> str:
        return self._ctx.digest(collection, (*key, *self._mark))

    def pseudonym(self, subject_ref: str, value: str) -> str:
        return self._ctx.pseudonym(subject_ref, value)

    def canonical(self, kind: str, value: str) -> str | None:
        return self._ctx.canonical(kind, value)
