"""What the connector asks of a collection, whatever its layout.

In: a bucket, subjects, located keys. Out: what the contract wants of one collection. The connector
loops over rooms and never needs to know their kinds: whole objects, shared objects, tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Protocol, Self

from connectors.s3.changing.tally import Tally
from connectors.s3.reading.keyed import Keyed
from connectors.s3.reading.whose import Located
from connectors.s3.server.bucket import Bucket
from connectors.s3.server.ranges import KeyRange
from dsr_worker.contract import (
    AffectedPerson,
    Ask,
    Collection,
    Context,
    Finding,
    Key,
    LeakScope,
    Link,
    Mention,
    Record,
    Residence,
    Subject,
    Unseen,
)


class Room(Protocol):
    """One collection of a bucket."""

    whole: ClassVar[bool]
    """Whether each version is one row; in any other object are rows of many: it is rewritten."""
    apart: ClassVar[bool]
    """Whether its objects are read one by one, so that several units may share them."""

    @property
    def collection(self) -> Collection:
        """The collection."""
        ...

    @property
    def prefix(self) -> str:
        """What the keys of all its objects begin with."""
        ...

    @property
    def key_lengths(self) -> frozenset[int]:
        """Of how many parts the keys of its rows may be."""
        ...

    @property
    def keyed(self) -> Keyed | None:
        """The keys that tell whose its objects are; None where something else does."""
        ...

    def check(self, bucket: Bucket) -> Iterator[Finding]:
        """What there is to say of the collection as it is mapped. Reads only."""
        ...

    # ---- reading

    def find(self, bucket: Bucket, subjects: Sequence[Subject], ctx: Context) -> Iterator[Record]:
        """Every record of the subjects."""
        ...

    def resolve(
        self,
        bucket: Bucket,
        subjects: Sequence[Subject],
        ctx: Context,
        owner_kinds: frozenset[str],
    ) -> Iterator[Link]:
        """One hop; `owner_kinds` are those by which any collection of the system takes rows."""
        ...

    def residences(
        self, bucket: Bucket, subjects: Sequence[Subject], ctx: Context
    ) -> Iterator[Residence]:
        """What its records say of where the subjects live."""
        ...

    def mentions(
        self, bucket: Bucket, subjects: Sequence[Subject], ctx: Context
    ) -> Iterator[Mention]:
        """Where something of somebody else, or of nobody, names a subject."""
        ...

    def affected(
        self, bucket: Bucket, scope: LeakScope, ctx: Context
    ) -> Iterator[AffectedPerson | Unseen]:
        """Everyone who has data in the scope; a person may come in several parts."""
        ...

    def locate(self, bucket: Bucket, subjects: Sequence[Subject], ctx: Context) -> Iterator[Key]:
        """The key of every row, and of what may hold rows and cannot be read now."""
        ...

    def together(
        self, bucket: Bucket, asks: Sequence[Ask]
    ) -> Iterator[tuple[int, Record | Key | Mention]]:
        """What several of these calls find, each item with the number of its call."""
        ...

    # ---- changing

    def erase(
        self, bucket: Bucket, located: Located, subjects: Sequence[Subject], ctx: Context
    ) -> Tally:
        """Erase the located rows, each commit under a guard of its own. Idempotent."""
        ...

    def left(
        self, bucket: Bucket, subjects: Sequence[Subject], located: Located, ctx: Context
    ) -> Iterator[Key]:
        """The located rows that still exist, and whatever else the identities find."""
        ...

    def sweep(self, bucket: Bucket, ctx: Context, *, dry: bool) -> Iterator[Tally]:
        """Decide, and unless `dry` change, every row, a part at a time."""
        ...

    # ---- units

    def within(self, keys: KeyRange) -> Self:
        """The same room over this range of keys; whole where its objects are not apart."""
        ...


Rooms = dict[str, Room]
"""By collection, in the order in which they are asked."""
