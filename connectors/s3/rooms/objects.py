"""The room of whole objects: found by whose they are, erased version by version.

In and out: see `Room`. What a row links in another place is located, and stays: it is not here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Self

from connectors.s3.changing.erase_versions import Rows, VersionEraser
from connectors.s3.changing.tally import Fate, Tally
from connectors.s3.reading.keyed import Keyed
from connectors.s3.reading.linked import is_elsewhere
from connectors.s3.reading.prefix import Prefixes
from connectors.s3.reading.recheck import versions_left
from connectors.s3.reading.whose import LINK_ELSEWHERE, Located, Whose
from connectors.s3.server.bucket import Bucket, with_no_budget
from connectors.s3.server.probe import REMEDY, UNGUARDED, Endpoint, deletes
from connectors.s3.server.ranges import KeyRange
from connectors.s3.tables.marks import Marks, findings
from dsr_worker.contract import (
    Ask,
    Collection,
    ConnectorError,
    Context,
    Finding,
    Key,
    Link,
    Mention,
    Outcome,
    Record,
    Residence,
    Severity,
    Subject,
    Transient,
)

_ATTEMPTS = 5


class ObjectsRoom(Prefixes):
    """Objects of one person each, whether their key, their labels or a row's link says whose."""

    whole: ClassVar[bool] = True
    apart: ClassVar[bool] = False  # it lists by whose they are
    key_lengths = frozenset({1, 2, 3})  # see `whose.key_of`

    def __init__(
        self, collection: Collection, whose: Whose, prefix: str, endpoint: Endpoint
    ) -> None:
        super().__init__(collection, whose, prefix)
        self._endpoint = endpoint

    @property
    def keyed(self) -> Keyed | None:
        """How their keys name people, where it is the keys that do."""
        return self.whose if isinstance(self.whose, Keyed) else None

    def check(self, bucket: Bucket) -> Iterator[Finding]:
        """Tables whose files these are, and masks that cannot be had."""
        name = self.collection.name
        yield from findings(name, self.prefix, bucket)
        if self.keyed is None and not _guarded(bucket):
            yield Finding(Severity.ERROR, name, UNGUARDED, REMEDY)
        if any(f.mask and f.name == "body" for f in self.collection.fields.values()):
            yield Finding(
                Severity.WARNING,
                name,
                "an object cannot be masked: where its row has to stay, it stays whole",
                "leave out the mask of `body`",
            )

    def resolve(
        self,
        bucket: Bucket,
        subjects: Sequence[Subject],
        ctx: Context,
        owner_kinds: frozenset[str],
    ) -> Iterator[Link]:
        """None: an object yields no identity."""
        del bucket, subjects, ctx, owner_kinds
        return iter(())

    def residences(
        self, bucket: Bucket, subjects: Sequence[Subject], ctx: Context
    ) -> Iterator[Residence]:
        """None: an object has no field that says it."""
        del bucket, subjects, ctx
        return iter(())

    def together(
        self, bucket: Bucket, asks: Sequence[Ask]
    ) -> Iterator[tuple[int, Record | Key | Mention]]:
        """One call after the other: each lists the objects of its own people."""
        for number, ask in enumerate(asks):
            found = getattr(self, ask.call)(bucket, ask.subjects, ask.ctx)
            yield from ((number, item) for item in found)

    def erase(
        self, bucket: Bucket, located: Located, subjects: Sequence[Subject], ctx: Context
    ) -> Tally:
        """Erase the located versions; links that lead elsewhere stay."""
        tally = Tally()
        if not located:
            return tally
        name = self.collection.name
        Marks(bucket, ctx.spend).refuse(name, located)
        rows = {key: refs for of_object in located.values() for key, refs in of_object.items()}
        for key in filter(is_elsewhere, rows):
            kept = ctx.digest(name, key)
            for ref in sorted(rows[key]):
                tally.add(ref, name, Fate(Outcome.RETAINED, ground=LINK_ELSEWHERE), kept)
        meant: Rows = {key: refs for key, refs in rows.items() if not is_elsewhere(key)}
        objects = {key: found for key, found in located.items() if meant.keys() & found.keys()}
        eraser = VersionEraser(self, bucket, self._endpoint, ctx)
        for _ in range(_ATTEMPTS):
            owned = self.whose.still_owned(bucket, subjects, objects, ctx)
            meant = eraser.erase(owned, meant, tally)
            if not meant:
                return tally
            objects = {key: found for key, found in objects.items() if meant.keys() & found.keys()}
        raise Transient("an object changed each time it was looked at")

    def left(
        self, bucket: Bucket, subjects: Sequence[Subject], located: Located, ctx: Context
    ) -> Iterator[Key]:
        """The located versions and markers that still exist, and every other one."""
        yield from versions_left(self, bucket, subjects, located, ctx)

    def sweep(self, bucket: Bucket, ctx: Context, *, dry: bool) -> Iterator[Tally]:
        """Every version of every object, a batch at a time."""
        Marks(bucket, ctx.spend).refuse(self.collection.name, [self.prefix])
        yield from VersionEraser(self, bucket, self._endpoint, ctx).sweep(dry)

    def within(self, keys: KeyRange) -> Self:
        """The same room: it is never divided."""
        del keys
        return self


def _guarded(bucket: Bucket) -> bool:
    """Whether nobody's object can come into the place of one that is to be erased, and go."""
    try:
        return bucket.versioning(with_no_budget) == "Enabled" or deletes(bucket, with_no_budget)
    except ConnectorError:
        return True  # the bucket's own finding says it
