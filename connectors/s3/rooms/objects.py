"""The room of whole objects: found by whose they are, erased version by version.

In and out: see `Room`. What a row links in another place is located, and stays: it is not here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Self

from connectors.s3.changing.erase_versions import VersionEraser
from connectors.s3.changing.tally import Fate, Tally
from connectors.s3.reading.keyed import Keyed
from connectors.s3.reading.linked import is_elsewhere
from connectors.s3.reading.prefix import Prefixes
from connectors.s3.reading.recheck import versions_left
from connectors.s3.reading.whose import LINK_ELSEWHERE, Located
from connectors.s3.server.bucket import Bucket
from connectors.s3.server.ranges import KeyRange
from connectors.s3.tables.marks import Marks, findings
from dsr_worker.contract import (
    Ask,
    Context,
    Finding,
    Key,
    Link,
    Mention,
    Outcome,
    Record,
    Severity,
    Subject,
)


class ObjectsRoom(Prefixes):
    """Objects of one person each, whether their key, their labels or a row's link says whose."""

    whole: ClassVar[bool] = True
    apart: ClassVar[bool] = False  # it lists by whose they are
    key_lengths = frozenset({1, 2, 3})  # see `whose.key_of`

    @property
    def keyed(self) -> Keyed | None:
        """How their keys name people, where it is the keys that do."""
        return self.whose if isinstance(self.whose, Keyed) else None

    def check(self, bucket: Bucket) -> Iterator[Finding]:
        """Tables whose files these are, and masks that cannot be had."""
        name = self.collection.name
        yield from findings(name, self.prefix, bucket)
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
        meant = {key: refs for key, refs in rows.items() if not is_elsewhere(key)}
        objects = {key: found for key, found in located.items() if meant.keys() & found.keys()}
        owned = self.whose.still_owned(bucket, subjects, objects, ctx)
        VersionEraser(self, bucket, ctx).erase(owned, meant, tally)
        return tally

    def left(
        self, bucket: Bucket, subjects: Sequence[Subject], located: Located, ctx: Context
    ) -> Iterator[Key]:
        """The located versions and markers that still exist, and every other one."""
        yield from versions_left(self, bucket, subjects, located, ctx)

    def sweep(self, bucket: Bucket, ctx: Context, *, dry: bool) -> Iterator[Tally]:
        """Every version of every object, a batch at a time."""
        Marks(bucket, ctx.spend).refuse(self.collection.name, [self.prefix])
        yield from VersionEraser(self, bucket, ctx).sweep(dry)

    def within(self, keys: KeyRange) -> Self:
        """The same room: it is never divided."""
        del keys
        return self
