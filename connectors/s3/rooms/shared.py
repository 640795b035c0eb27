"""The room of shared objects: each is written anew without the rows that go.

In and out: see `Room`. An object that belongs to a table is refused: its library must change it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from connectors.s3.changing.completeness import SharedEraser
from connectors.s3.changing.tally import Tally
from connectors.s3.config import Config, SharedLayout
from connectors.s3.formats.content import EACH
from connectors.s3.reading.recheck import lines_left
from connectors.s3.reading.shared import with_bytes
from connectors.s3.reading.unread import unread_keys
from connectors.s3.reading.whose import Located
from connectors.s3.rooms.rows import RowsRoom
from connectors.s3.scanning.undue import Undue
from connectors.s3.scanning.verdicts import Verdicts
from connectors.s3.server.bucket import Bucket, with_no_budget
from connectors.s3.server.probe import Endpoint, Honoured
from connectors.s3.server.readable import ReadableBucket
from connectors.s3.server.refusals import GoneError
from connectors.s3.server.retention import hidden_locks
from connectors.s3.tables.marks import Marks, findings
from dsr_worker.contract import Collection, ConnectorError, Context, Finding, Key, Severity, Subject


class SharedRoom(RowsRoom):
    """Objects with the records of many people, rewritten one by one."""

    apart: ClassVar[bool] = True

    def __init__(
        self, collection: Collection, layout: SharedLayout, config: Config, endpoint: Endpoint
    ) -> None:
        super().__init__(collection, layout, config)
        self._endpoint = endpoint

    def check(self, bucket: Bucket) -> Iterator[Finding]:
        """Tables whose files these are, and records that may be several people's."""
        name = self.collection.name
        yield from findings(name, self.prefix, bucket)
        several = sorted(t.field for t in self.collection.takes.values() if EACH in t.field)
        if several:
            yield Finding(
                Severity.WARNING,
                name,
                f"a record may be several people's ({', '.join(several)}): erasing one of them "
                "erases all of it, and an access shows all of it",
                "where each element is a record of one person, name the list: `records: PATH`",
            )

        hidden = self._hidden_locks(bucket)
        if hidden:
            yield Finding(
                Severity.ERROR,
                name,
                f"Object Lock is on and the worker may not see locks ({', '.join(hidden)} denied):"
                " nothing is rewritten, since new bytes could be without the lock of the old",
                "grant GetObjectRetention and GetObjectLegalHold",
            )

    def _hidden_locks(self, bucket: Bucket) -> list[str]:
        """The grants that are missing to see whether objects are locked, tried on one of them."""
        try:
            listed = bucket.objects(self.prefix, with_no_budget) if bucket.locking else iter(())
            found = next(filter(None, map(with_bytes, listed)), None)
            return list(hidden_locks(bucket, found[0], with_no_budget)) if found else []
        except (ConnectorError, GoneError):
            return []  # the bucket's own finding says it

    def erase(
        self, bucket: Bucket, located: Located, subjects: Sequence[Subject], ctx: Context
    ) -> Tally:
        """Erase the located records, one object after the other."""
        tally = Tally()
        self.abort_stale(bucket, ctx)
        if not located:
            return tally
        Marks(bucket, ctx.spend).refuse(self.collection.name, located)
        eraser = self._eraser(ReadableBucket(bucket), ctx, dry=ctx.dry_run)
        verdicts = Verdicts(self.collection, ctx)
        for object_key, rows in located.items():
            tally.merge(eraser.erase(object_key, rows, subjects))
            if not ctx.dry_run:
                verdicts.forget(object_key)
        return tally

    def left(
        self, bucket: Bucket, subjects: Sequence[Subject], located: Located, ctx: Context
    ) -> Iterator[Key]:
        """The located rows that are still there, every other one, and what cannot be read."""
        readable = ReadableBucket(bucket)
        yield from lines_left(self, readable, subjects, located, ctx)
        yield from unread_keys(self, readable, subjects)

    def sweep(self, bucket: Bucket, ctx: Context, *, dry: bool) -> Iterator[Tally]:
        """Every record, an object at a time, then what could not be read.

        An object that is known to have nothing due is not read again.
        """
        readable, marks = ReadableBucket(bucket), Marks(bucket, ctx.spend)
        eraser = self._eraser(readable, ctx, dry=dry)
        verdicts, undue = Verdicts(self.collection, ctx), Undue(self.collection, ctx)
        for versions in self.objects(readable, ctx):
            key = versions[0].key
            marks.refuse(self.collection.name, [key])
            if undue.holds(versions):
                continue
            swept = eraser.sweep(versions, dry=dry)
            if not dry and swept.changes():
                verdicts.forget(key)
                undue.forget(versions)
            elif swept.nothing and not readable.of_object(key):
                undue.note(versions)
            yield swept
        yield eraser.unswept()

    def _eraser(self, bucket: ReadableBucket, ctx: Context, *, dry: bool) -> SharedEraser:
        honoured = Honoured() if dry else self._endpoint.honoured(bucket, ctx)
        return SharedEraser(self, bucket, honoured, ctx)
