"""What nobody can read now: which it is, on what ground, and when that may end.

In: a bucket that remembers what it left out. Out: of each such version of a shared object a key or
a record of every subject who may have rows in it: `(object key, "", …, ground, version id)`, with
one empty part per key field, so that it is never taken for a record's key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from connectors.s3.reading.shared import Shared
from connectors.s3.server.archive import bring_back, is_away, readable
from connectors.s3.server.bucket import Bucket, Version
from connectors.s3.server.locks import Refusal
from connectors.s3.server.readable import ReadableBucket, ground_of
from connectors.s3.server.refusals import NOT_GRANTED, ChangedError
from dsr_worker.contract import (
    Context,
    Key,
    NeedsHuman,
    Record,
    Remainder,
    Subject,
    Unseen,
    Withheld,
    body_of,
)

_GROUNDS = frozenset(Remainder)
_KMS = "aws:kms"  # and aws:kms:dsse: the headers are told without the key, the bytes are not


def unread_keys(room: Shared, bucket: ReadableBucket, subjects: Sequence[Subject]) -> Iterator[Key]:
    """A key for each version that could not be read, for each subject who may have rows in it."""
    for version, ground in bucket.refused:
        for ref in _whose(room, subjects):
            yield Key(ref, room.collection.name, _key(room, version, ground), ground)


def unread_records(
    room: Shared, bucket: ReadableBucket, subjects: Sequence[Subject], ctx: Context
) -> Iterator[Record]:
    """The same as records of which everything is withheld, with the day where one is known.

    The object is named by its digest: its key is nobody's in particular.
    """
    name, refs = room.collection.name, list(_whose(room, subjects))
    for version, ground in bucket.refused if refs else ():
        said = {
            "object": ctx.digest(name, (version.key,)),
            "last_modified": version.last_modified.isoformat(),
            "size": version.size_bytes,
        }
        until_at = refusal_of(bucket, version, ground, ctx).until_at
        withheld = (Withheld("", ground, until_at=until_at),)
        for ref in refs:
            yield Record(ref, name, _key(room, version, ground), body_of(said), withheld=withheld)


def unseen(collection: str, bucket: ReadableBucket, ctx: Context) -> Iterator[Unseen]:
    """Each version that could not be read, for a breach: whoever may be in it is not counted."""
    for version, ground in bucket.refused:
        yield Unseen(collection, ctx.digest(collection, (version.key,)), ground)


def is_unread(room: Shared, key: tuple[str, ...]) -> bool:
    """Whether a row's key is that of a version that could not be read."""
    return len(key) == len(room.collection.key) + 3 and key[-2] in _GROUNDS


def refusal_of(bucket: Bucket, version: Version, ground: Remainder, ctx: Context) -> Refusal:
    """The ground with the day on which it may end: an archived version is asked back if it may be.

    Idempotent. In a dry run nothing is asked for.
    """
    restore = bucket.config.restore
    if ground is not Remainder.ARCHIVED or restore is None or ctx.dry_run:
        return Refusal(ground)
    try:
        back_at: datetime = bring_back(bucket, version, restore, ctx.now, ctx.spend)
    except NeedsHuman as stop:
        if stop.code != NOT_GRANTED:
            raise
        return Refusal(ground)
    return Refusal(ground, back_at)


def bytes_refused(
    bucket: Bucket, version: Version, head: Mapping[str, Any], ctx: Context
) -> Refusal | None:
    """Why the bytes of a version with these headers cannot be had now; None where they can.

    Raises GoneError.
    """
    if is_away(version, head):
        return refusal_of(bucket, version, Remainder.ARCHIVED, ctx)
    if not str(head.get("ServerSideEncryption", "")).startswith(_KMS):
        return None
    try:
        with suppress(ChangedError):  # whoever opens it is told
            bucket.read(readable(version), 0, 1, ctx.spend)
    except NeedsHuman as stop:
        ground = ground_of(stop)
        if ground is None:
            raise
        return Refusal(ground)
    return None


def _whose(room: Shared, subjects: Sequence[Subject]) -> Iterator[str]:
    kinds = room.collection.identity_kinds
    return (s.ref for s in subjects if any(i.kind in kinds for i in s.identities))


def _key(room: Shared, version: Version, ground: Remainder) -> tuple[str, ...]:
    return (version.key, *("" for _ in room.collection.key), ground, version.version_id)
