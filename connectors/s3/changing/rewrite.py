"""Erasing records inside shared objects: everybody else's bytes pass through unchanged.

In: the versions of one object and a judge that knows which records are meant. Out: fates. A pass
writes the object without the erased records to a bounded spool; the commit is conditional on the
ETag that was read, so that a concurrent writer's bytes are never overwritten: the object is read
again instead. Old versions cannot be rewritten. One that holds such a record is erased whole,
because the current version carries what stays; unless something that must stay (on a hold, a law, a
mask) is in it and not in the current one. What the current version lacks otherwise, because others
took it out or a delete marker is current, goes with it. While versioning is suspended, new bytes
take the null version's place: where that one has to stay, nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile
from typing import IO

from connectors.s3.changing.judges import Fates, Judge, Judgement, RowKey
from connectors.s3.changing.tally import ACCESS_DENIED, OLD_VERSION, Tally
from connectors.s3.formats.entries import (
    ERASE,
    KEEP,
    Broken,
    Change,
    Entry,
    UnreadableError,
)
from connectors.s3.formats.leftover import Leftover
from connectors.s3.reading.shared import Shared, with_bytes
from connectors.s3.server.bucket import Version
from connectors.s3.server.commit import Staged, staged
from connectors.s3.server.draft import Draft, NoDraft
from connectors.s3.server.emptied import Emptied
from connectors.s3.server.erasing import NO_CONDITION, OTHER_BYTES, replaceable
from connectors.s3.server.locks import Refusal
from connectors.s3.server.probe import Honoured
from connectors.s3.server.readable import ReadableBucket
from connectors.s3.server.refusals import ChangedError, GoneError
from connectors.s3.server.source import VersionSource
from dsr_worker.contract import (
    Action,
    Context,
    DecisionTable,
    Guard,
    Proof,
    Transient,
)

_ATTEMPTS = 5
_IN_MEMORY_BYTES = 8 * 1024 * 1024
_PROTECTED_AT_ONCE = 100_000


# ---- one object


@dataclass
class _Copy:
    """What a pass over one version found."""

    version: Version
    fates: Fates
    protected: set[RowKey] = field(default_factory=set)
    stays: set[RowKey] = field(default_factory=set)
    refusal: Refusal | None = None  # why its changes cannot be made
    emptied: bool = False  # no record is left, and the map says that the object goes then


@dataclass
class _Plan:
    """What to do to an object, before anything is done."""

    current: _Copy | None
    old: list[_Copy]
    draft: Draft | None = None
    source: VersionSource | None = None
    proof: Proof | None = None
    in_place: bool = True  # new bytes take no version's place that has to stay

    @property
    def rewrites(self) -> bool:
        """Also where the version that is current has to stay: it will not be current then."""
        return self.in_place and self.current is not None and self.current.fates.changes()

    @property
    def doomed(self) -> list[_Copy]:
        return [copy for copy in self.old if copy.fates.changes() and copy.refusal is None]

    def told(self, empty: Fates) -> Tally:
        """The counts, with what proves the write where that is asked for."""
        tally = self.fates(empty).tally()
        if self.proof is not None:
            tally.prove(self.proof)
        return tally

    def fates(self, empty: Fates) -> Fates:
        for copy in (*self.old, *([self.current] if self.current else [])):
            empty.merge(copy.fates, copy.refusal)
        return empty


class Rewriter:
    """Changes shared objects of one collection."""

    def __init__(
        self, shared: Shared, bucket: ReadableBucket, honoured: Honoured, ctx: Context
    ) -> None:
        self._shared = shared
        self._name = shared.collection.name
        self._bucket = bucket
        self._honoured = honoured
        self._ctx = ctx

    def settle(self, versions: list[Version], judge: Judge, *, dry: bool) -> Tally:
        """Decide and, unless `dry`, change one object. A repeat finds nothing left to change.

        Raises `Transient` when others write it all the time.
        """
        key = versions[0].key if versions else ""
        table = self._ctx.table(self._name)
        for _ in range(_ATTEMPTS):
            self._ctx.check()
            try:
                with self._plan(versions, judge, table, dry=dry) as plan:
                    if dry or not (plan.rewrites or plan.doomed):
                        return plan.fates(judge.fates()).tally()
                    with self._staged(plan) as write, self._ctx.guard() as guard:
                        newest = guard.table(self._name)
                        if newest == table:
                            self._commit(plan, write, judge, guard)
                            return plan.told(judge.fates())
                        table = newest
            except (ChangedError, GoneError):
                versions = with_bytes(self._bucket.versions_of(key, self._ctx.spend))
        raise Transient("an object changed each time it was read")

    def _staged(self, plan: _Plan) -> AbstractContextManager[Staged | None]:
        if not plan.rewrites or plan.current is None or plan.draft is None:
            return nullcontext()
        version, ctx = plan.current.version, self._ctx
        if plan.current.emptied and self._honoured.delete:  # otherwise it stays, empty
            return nullcontext(Emptied(self._bucket, version, ctx.spend))
        place = ctx.digest(self._name, (version.key,))
        return staged(self._bucket, version, plan.draft, self._honoured, place, ctx)

    def _commit(self, plan: _Plan, write: Staged | None, judge: Judge, guard: Guard) -> None:
        versioning = self._bucket.versioning(self._ctx.spend)
        guard.intend(tuple(plan.fates(judge.fates()).tally().receipts()))
        doomed = {copy.version: copy for copy in plan.doomed}
        if write is not None and plan.current is not None:
            write.commit()
            plan.proof = self._proof(plan, write)
            if plan.current.refusal is None:
                doomed[plan.current.version] = plan.current
            if versioning != "Enabled":  # the new bytes took the null version's place
                doomed = {v: copy for v, copy in doomed.items() if v.version_id != "null"}
        for version, code in self._erased(plan, tuple(doomed), versioning).items():
            if code == NO_CONDITION:
                doomed[version].refusal = Refusal(OLD_VERSION)
                continue
            locked = self._bucket.locked(version, self._ctx.spend, self._ctx.now)
            doomed[version].refusal = locked or Refusal(ACCESS_DENIED)

    def _erased(
        self, plan: _Plan, doomed: tuple[Version, ...], versioning: str
    ) -> dict[Version, str]:
        """Erase versions by their ids; those that stay, with the code.

        Raises ChangedError, having erased none, where somebody has written in one's place.
        """
        loose = [version for version in doomed if replaceable(version, versioning)]
        named = [version for version in doomed if version not in loose]
        newest = {plan.current.version.key: plan.current.version} if plan.current else {}
        stay = dict.fromkeys(loose, NO_CONDITION)
        if self._honoured.delete:
            stay = self._bucket.erase_unchanged(loose, versioning, newest, self._ctx.spend)
        if OTHER_BYTES in stay.values():
            raise ChangedError("a version was replaced after it was read")
        return stay | self._bucket.erase_versions(named, versioning, self._ctx.spend)

    def _proof(self, plan: _Plan, write: Staged) -> Proof | None:
        if not self._bucket.config.proofs or plan.source is None or plan.current is None:
            return None
        ctx, sha256 = self._ctx, plan.source.sha256
        place = ctx.digest(self._name, (plan.current.version.key,))
        return Proof(place, ctx.digest(self._name, (sha256,)) if sha256 else "", write.sha256)

    @contextmanager
    def _plan(
        self, versions: list[Version], judge: Judge, table: DecisionTable, *, dry: bool
    ) -> Iterator[_Plan]:
        old = [self._read(v, judge, table) for v in versions if not v.latest]
        protected = set[RowKey]().union(*(copy.protected for copy in old))
        with SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as spool:
            current, draft, source = None, None, None
            for version in versions:
                if version.latest:
                    proven = self._bucket.config.proofs and not dry
                    source = VersionSource(self._bucket, version, self._ctx.spend, proven=proven)
                    draft = None if dry else self._draft(version, source, spool)
                    current = self._rewrite(version, source, judge, table, protected, draft)
            stays = current.stays if current else set()
            for copy in (*old, *([current] if current else [])):
                if copy.fates.changes():
                    copy.refusal = copy.refusal or self._obstacle(copy, current, stays)
            in_place = True
            if current is not None and current.fates.changes() and self._displaces(current, old):
                current.refusal, in_place = Refusal(OLD_VERSION), False
            yield _Plan(current, old, draft, source, in_place=in_place)

    def _displaces(self, current: _Copy, old: list[_Copy]) -> bool:
        """Whether what is written would take the place of another version, which has to stay.

        Without versioning switched on it is the null version, whichever the current one is.
        """
        version = current.version
        if version.version_id == "null":
            return False
        stays = [c for c in old if not c.fates.changes() or c.refusal is not None]
        nulls = {c.version.version_id for c in stays} | self._bucket.of_object(version.key).keys()
        return "null" in nulls and self._bucket.versioning(self._ctx.spend) != "Enabled"

    def _obstacle(self, copy: _Copy, current: _Copy | None, stays: set[RowKey]) -> Refusal | None:
        if not copy.version.latest and copy.protected - stays:
            return Refusal(OLD_VERSION)
        if copy.version.version_id == "null" and current is None:  # no condition would tell it
            versioning = self._bucket.versioning(self._ctx.spend)
            if replaceable(copy.version, versioning):
                return Refusal(OLD_VERSION)
        return self._bucket.locked(copy.version, self._ctx.spend, self._ctx.now)

    def _read(self, version: Version, judge: Judge, table: DecisionTable) -> _Copy:
        copy = _Copy(version, judge.fates())
        wanted = judge.wanted(table, old=True)
        for entry in self._shared.records(self._bucket, version, wanted, self._ctx):
            if isinstance(entry, Broken):
                continue
            key = self._shared.key_of(version, entry)
            judgement = judge.judge(entry, key, table, old=True)
            if judgement is None:
                continue
            copy.fates.add(judgement.refs, key, judgement.fate)
            if judgement.action is not Action.ERASE:
                if len(copy.protected) >= _PROTECTED_AT_ONCE:
                    copy.refusal = Refusal(OLD_VERSION)
                else:
                    copy.protected.add(key)
        return copy

    def _draft(self, version: Version, source: VersionSource, spool: IO[bytes]) -> Draft:
        """The server copies ranges of what cannot change meanwhile, or where it would say so."""
        steady = self._honoured.copy or version.version_id != "null"
        return Draft(source, spool, ranges=self._honoured.complete and steady)

    def _rewrite(
        self,
        version: Version,
        source: VersionSource,
        judge: Judge,
        table: DecisionTable,
        protected: set[RowKey],
        draft: Draft | None,
    ) -> _Copy:
        copy = _Copy(version, judge.fates())

        def decided(entry: Entry) -> Change:
            key = self._shared.key_of(version, entry)
            judgement = judge.judge(entry, key, table, old=False)
            change = KEEP if judgement is None else _change(judgement)
            if judgement is not None:
                copy.fates.add(judgement.refs, key, judgement.fate)
            if key in protected and not change.erases:
                copy.stays.add(key)
            return change

        wanted = None if protected else judge.wanted(table, old=False)
        edits = Leftover(NoDraft() if draft is None else draft)
        try:
            self._shared.format_of(source).rewrite(source, wanted, decided, edits)
            copy.emptied = copy.fates.changes() and self._shared.goes_empty(edits.left())
        except UnreadableError as error:
            raise self._shared.unreadable(version, error.reason, self._ctx) from None
        return copy


def _change(judgement: Judgement) -> Change:
    return ERASE if judgement.action is Action.ERASE else Change(masks=judgement.masks)
