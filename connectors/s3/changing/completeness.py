"""Shared objects to the end: what of them cannot be read, written or erased now is told, not lost.

In: located keys of one collection. Out: counts, in which every version that nobody could read is a
row of each subject, since it may hold records of theirs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta

from connectors.s3.changing.judges import EveryRecord, LocatedRecords, RowKey
from connectors.s3.changing.rewrite import Rewriter
from connectors.s3.changing.tally import Fate, Tally
from connectors.s3.reading.shared import Shared, with_bytes
from connectors.s3.reading.unread import is_unread, refusal_of
from connectors.s3.server.bucket import Bucket, Version
from connectors.s3.server.probe import Honoured
from connectors.s3.server.readable import ReadableBucket
from connectors.s3.server.refusals import NOT_GRANTED
from connectors.s3.server.uploads import abort, uploads_under
from dsr_worker.contract import Context, NeedsHuman, Outcome, Remainder, Subject

_GONE = Fate(Outcome.ALREADY_GONE)


def abort_stale(room: Shared, bucket: Bucket, after: timedelta, ctx: Context) -> None:
    """Abort uploads under the prefix that nobody has finished for so long, in no dry run."""
    if ctx.dry_run:
        return
    for upload in uploads_under(bucket, room.layout.prefix, ctx.spend):
        if upload.key in room.keys and upload.last_modified < ctx.now - after:
            with ctx.guard() as guard:
                guard.intend(())
                abort(bucket, upload.key, upload.version_id, ctx.spend)


class SharedEraser:
    """Erases located rows of shared objects, and sweeps them."""

    def __init__(
        self,
        room: Shared,
        bucket: ReadableBucket,
        honoured: Honoured,
        ctx: Context,
    ) -> None:
        self._room = room
        self._name = room.collection.name
        self._bucket = bucket
        self._ctx = ctx
        self._rewriter = Rewriter(room, bucket, honoured, ctx)

    def erase(
        self, object_key: str, rows: Mapping[RowKey, set[str]], subjects: Sequence[Subject]
    ) -> Tally:
        """Erase the located rows of one object. What is refused for now stays and is told."""
        tally = Tally()
        listed = self._bucket.versions_of(object_key, self._ctx.spend)
        for key in (key for key in rows if is_unread(self._room, key)):
            fate = self._unread(object_key, key, {v.version_id: v for v in listed})
            self._tell(tally, {key: rows[key]}, fate)
        records = {key: refs for key, refs in rows.items() if not is_unread(self._room, key)}
        if records:
            told = {key[-1] for key in rows.keys() - records.keys()}
            tally.merge(self._records(object_key, listed, records, subjects, told))
        return tally

    def sweep(self, versions: list[Version], *, dry: bool) -> Tally:
        """Sweep one object."""
        return self._rewriter.settle(versions, EveryRecord(self._room, self._ctx), dry=dry)

    def unswept(self) -> Tally:
        """The versions that a sweep could not read, each as a row that stays."""
        tally = Tally()
        for _, ground in self._bucket.refused:
            tally.add(None, self._name, Fate(Outcome.RETAINED, ground=ground))
        return tally

    # ---- records that were located

    def _records(
        self,
        object_key: str,
        listed: list[Version],
        rows: Mapping[RowKey, set[str]],
        subjects: Sequence[Subject],
        told: Collection[str],
    ) -> Tally:
        """`told` are the versions that are rows of their own since nobody could read them."""
        versions = with_bytes(listed)

        def as_far_as_read(fate: Fate) -> Fate:
            """Of a row that may also stand in a version that nobody can read, something stays."""
            if fate.outcome is Outcome.RETAINED:
                return fate
            gone = fate.outcome is Outcome.ALREADY_GONE
            left_out = self._bucket.of_object(object_key).items()
            grounds = (ground for version, ground in left_out if gone or version not in told)
            ground = next(grounds, None)
            return fate if ground is None else fate.retained(ground)

        judge = LocatedRecords(self._room, subjects, rows, self._ctx, as_far_as_read)
        try:
            tally = self._rewriter.settle(versions, judge, dry=self._ctx.dry_run)
        except NeedsHuman as stop:
            if stop.code != NOT_GRANTED:
                raise
            tally = Tally()
            self._tell(tally, rows, Fate(Outcome.RETAINED, ground=Remainder.DENIED))
        return tally

    def _tell(self, tally: Tally, rows: Mapping[RowKey, set[str]], fate: Fate) -> None:
        for key, refs in rows.items():
            kept = self._ctx.digest(self._name, key) if fate.stays else None
            for ref in sorted(refs):
                tally.add(ref, self._name, fate, kept)

    # ---- versions that nobody could read

    def _unread(self, object_key: str, key: RowKey, readable: Mapping[str, Version]) -> Fate:
        """What becomes of a version that was unreadable when rows were located."""
        version_id = key[-1]
        if version_id in readable:  # somebody has to look in it, from the beginning
            return Fate(Outcome.RETAINED, ground=key[-2], until_at=self._ctx.now)
        ground = self._bucket.of_object(object_key).get(version_id)
        if ground is None:
            return _GONE
        place = (object_key, version_id)
        (version,) = (v for v, _ in self._bucket.refused if (v.key, v.version_id) == place)
        refusal = refusal_of(self._bucket, version, ground, self._ctx)
        return Fate(Outcome.RETAINED).retained(*refusal)
