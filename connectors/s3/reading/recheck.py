"""What is still in the bucket: every located key by itself, then whatever an identity still finds.

In: located keys by object, subjects, a bucket with connections of its own. Out: keys, each once.
Versions are listed object by object, not by a person's prefix; shared objects are read in full, and
those that a located key names also when no listing of the collection shows them any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from connectors.s3.formats.entries import Entry
from connectors.s3.reading.owners import Owners
from connectors.s3.reading.prefix import Prefixes
from connectors.s3.reading.shared import Shared, with_bytes
from connectors.s3.reading.whose import Located, key_of
from connectors.s3.scanning.verdicts import Verdicts
from connectors.s3.server.bucket import Bucket, Version
from dsr_worker.contract import Collection, Context, Key, Subject


def versions_left(
    room: Prefixes, bucket: Bucket, subjects: Sequence[Subject], located: Located, ctx: Context
) -> Iterator[Key]:
    """The located versions and markers that still exist, and every other one of the subjects.

    One that names others by now was written in the place of the one that was located.
    """
    told: set[Key] = set()
    for object_key, rows in located.items():
        ctx.check()
        for version in bucket.versions_of(object_key, ctx.spend):
            refs = rows.get(key_of(version), set())
            named = room.whose.named(bucket, version, subjects, ctx) if refs else None
            for ref in sorted(refs if named is None else refs & named):
                key = Key(ref, room.collection.name, key_of(version))
                told.add(key)
                yield key
    for key in room.locate(bucket, subjects, ctx):
        if key not in told:
            yield key


def lines_left(
    room: Shared, bucket: Bucket, subjects: Sequence[Subject], located: Located, ctx: Context
) -> Iterator[Key]:
    """The located rows that are still there, and every other one that the subjects own.

    A row is a key and its owner: a line with a located key that names an owner who is not of these
    subjects is somebody else's. One whose owner a mask has taken out is the row that was located.
    """
    owners = Owners(room.collection, subjects, ctx)
    verdicts = Verdicts(room.collection, ctx)

    def read(versions: list[Version]) -> Iterator[Key]:
        rows = located.get(versions[0].key, {}) if versions else {}
        for version, entry in room.in_full(bucket, versions, verdicts, ctx):
            key, refs = room.key_of(version, entry), set(owners.of(entry))
            if key in rows and any(key[1:]) and is_masked(entry, room.collection):
                refs |= rows[key]
            yield from (Key(ref, room.collection.name, key) for ref in sorted(refs))

    for versions in _objects(room, bucket, located, listed=bool(owners), ctx=ctx):
        told: set[Key] = set()
        for key in room.steady(bucket, versions, ctx, read):
            if key not in told:
                told.add(key)
                yield key


def _objects(
    room: Shared, bucket: Bucket, located: Located, *, listed: bool, ctx: Context
) -> Iterator[list[Version]]:
    unseen = dict.fromkeys(located)
    for versions in room.objects(bucket, ctx) if listed else ():
        unseen.pop(versions[0].key, None)
        yield versions
    for object_key in unseen:
        ctx.check()
        versions = with_bytes(bucket.versions_of(object_key, ctx.spend))
        if versions:
            yield versions


def is_masked(entry: Entry, collection: Collection) -> bool:
    """Whether masks took the place of whoever owned it: no owner field names anybody."""
    masked = False
    for taken in collection.takes.values():
        value, field = entry.value(taken.field), collection.fields.get(taken.field)
        mask = field.mask if field is not None else None
        if value in (None, "") or (mask is not None and mask.holds(value)):
            masked = masked or mask is not None
        else:
            return False
    return masked
