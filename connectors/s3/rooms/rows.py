"""What rooms of shared objects and of tables have in common: rows of many people in one object.

In and out: see `Room`. What cannot be read now is left out of links and mentions, and located as a
row of everyone who may have rows in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import ClassVar

from connectors.s3.changing.completeness import abort_stale
from connectors.s3.config import Config, SharedLayout
from connectors.s3.reading.shared import Shared
from connectors.s3.reading.unread import unread_keys, unread_records, unseen
from connectors.s3.server.bucket import Bucket
from connectors.s3.server.readable import ReadableBucket
from dsr_worker.contract import (
    AffectedPerson,
    Ask,
    Call,
    Collection,
    Context,
    Key,
    LeakScope,
    Link,
    Mention,
    Record,
    Residence,
    Subject,
    Unseen,
)


class RowsRoom(Shared):
    """The reading side of a room whose objects hold rows of many."""

    whole: ClassVar[bool] = False
    keyed: ClassVar[None] = None

    def __init__(self, collection: Collection, layout: SharedLayout, config: Config) -> None:
        super().__init__(collection, layout)
        self.config = config

    @property
    def prefix(self) -> str:
        """What the keys of all its objects begin with."""
        return self.layout.prefix

    @property
    def key_lengths(self) -> frozenset[int]:
        """The object and the key fields; of an unread version its ground and id as well."""
        fields = len(self.collection.key)
        return frozenset({fields + 1, fields + 3})

    def find(self, bucket: Bucket, subjects: Sequence[Subject], ctx: Context) -> Iterator[Record]:
        """Each owned record, and one with all of it withheld for each version that is unread."""
        readable = ReadableBucket(bucket)
        yield from super().find(readable, subjects, ctx)
        yield from unread_records(self, readable, subjects, ctx)

    def resolve(
        self,
        bucket: Bucket,
        subjects: Sequence[Subject],
        ctx: Context,
        owner_kinds: frozenset[str],
    ) -> Iterator[Link]:
        """The identities that owned records yield, with how many others carry them."""
        yield from super().resolve(ReadableBucket(bucket), subjects, ctx, owner_kinds)

    def residences(
        self, bucket: Bucket, subjects: Sequence[Subject], ctx: Context
    ) -> Iterator[Residence]:
        """What owned records say of where people live."""
        yield from super().residences(ReadableBucket(bucket), subjects, ctx)

    def mentions(
        self, bucket: Bucket, subjects: Sequence[Subject], ctx: Context
    ) -> Iterator[Mention]:
        """Places in records of others, and unreadable lines, that name a subject."""
        yield from super().mentions(ReadableBucket(bucket), subjects, ctx)

    def affected(
        self, bucket: Bucket, scope: LeakScope, ctx: Context
    ) -> Iterator[AffectedPerson | Unseen]:
        """Everyone who has data in the scope, and each version that could not be read."""
        readable = ReadableBucket(bucket)
        yield from super().affected(readable, scope, ctx)
        yield from unseen(self.collection.name, readable, ctx)

    def locate(self, bucket: Bucket, subjects: Sequence[Subject], ctx: Context) -> Iterator[Key]:
        """Each owned row once, and each version that could not be read."""
        readable = ReadableBucket(bucket)
        yield from super().locate(readable, subjects, ctx)
        yield from unread_keys(self, readable, subjects)

    def together(
        self, bucket: Bucket, asks: Sequence[Ask]
    ) -> Iterator[tuple[int, Record | Key | Mention]]:
        """Each object is read once for all calls."""
        readable = ReadableBucket(bucket)
        yield from super().together(readable, asks)
        for number, ask in enumerate(asks):
            yield from ((number, item) for item in self._unread(readable, ask))

    def _unread(self, bucket: ReadableBucket, ask: Ask) -> Iterator[Record | Key]:
        """What a call tells of versions that could not be read."""
        if ask.call is Call.FIND:
            yield from unread_records(self, bucket, ask.subjects, ask.ctx)
        if ask.call is Call.LOCATE:
            yield from unread_keys(self, bucket, ask.subjects)

    def abort_stale(self, bucket: Bucket, ctx: Context) -> None:
        """Abort the uploads that the config calls stale. In no dry run."""
        days = self.config.abort_uploads_after_days
        if days is not None:
            abort_stale(self, bucket, timedelta(days=days), ctx)
