"""Whole objects of people: every version of each is one row.

In: a collection of whole objects, a way to tell whose they are, a bucket, subjects. Out: records,
keys, mentions, affected people. A row's key is `(object key, version id)`, and `(object key,)` for
the null version, which is the only one of a bucket without versioning. What a row links in another
place is a row as well: nobody erases it here, and the answer names it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from connectors.s3.reading.unread import bytes_refused
from connectors.s3.reading.whose import LINK_ELSEWHERE, Elsewhere, Facts, Whose, key_of
from connectors.s3.server.archive import readable
from connectors.s3.server.bucket import Bucket, Version
from connectors.s3.server.locks import Refusal
from connectors.s3.server.refusals import NOT_GRANTED, ChangedError, GoneError
from connectors.s3.server.uploads import size_of
from dsr_worker.contract import (
    AffectedPerson,
    Attachment,
    Collection,
    Context,
    Identity,
    Key,
    LeakScope,
    Mention,
    NeedsHuman,
    Record,
    Remainder,
    Subject,
    Transient,
    Unseen,
    Withheld,
)

UNFINISHED = "s3-unfinished-upload"  # S3 hands out no part before an upload is complete


class Prefixes:
    """The objects of one collection, read only, under `prefix`. `whose` tells which are whose."""

    def __init__(self, collection: Collection, whose: Whose, prefix: str) -> None:
        self.collection = collection
        self.whose = whose
        self.prefix = prefix

    # ---- find

    def find(self, bucket: Bucket, subjects: Sequence[Subject], ctx: Context) -> Iterator[Record]:
        """Every version of every object, its bytes as an attachment."""
        for found in self.whose.owned(bucket, subjects, ctx):
            if isinstance(found, Elsewhere):
                yield from self._linked_elsewhere(found)
                continue
            for version in found.versions:
                for ref in sorted(found.refs.get(version, ())):
                    record = self._record(bucket, version, ref, ctx)
                    if record is not None:
                        yield record

    def locate(self, bucket: Bucket, subjects: Sequence[Subject], ctx: Context) -> Iterator[Key]:
        """The key of every version, marker and incomplete upload."""
        for found in self.whose.owned(bucket, subjects, ctx):
            if isinstance(found, Elsewhere):
                for ref in sorted(found.refs):
                    yield Key(ref, self.collection.name, found.key)
                continue
            for version in found.versions:
                for ref in sorted(found.refs.get(version, ())):
                    away = Remainder.ARCHIVED if version.archived else ""
                    yield Key(ref, self.collection.name, key_of(version), away)

    def mentions(
        self, bucket: Bucket, subjects: Sequence[Subject], ctx: Context
    ) -> Iterator[Mention]:
        """Objects that name a subject beside somebody else."""
        yield from self.whose.mentions(bucket, subjects, ctx)

    def _linked_elsewhere(self, found: Elsewhere) -> Iterator[Record]:
        text = json.dumps({"link": found.link}, ensure_ascii=False).encode("utf-8", "replace")
        withheld = (Withheld("body", LINK_ELSEWHERE),)
        for ref in sorted(found.refs):
            yield Record(ref, self.collection.name, found.key, text, None, withheld)

    def _record(self, bucket: Bucket, version: Version, ref: str, ctx: Context) -> Record | None:
        if version.upload:
            return self._upload_record(bucket, version, ref, ctx)
        body: dict[str, Any] = {
            "key": version.key,
            "version_id": version.version_id,
            "current": version.latest,
            "delete_marker": version.marker,
            "last_modified": version.last_modified.isoformat(),
        }
        attachment: Attachment | None = None
        withheld: tuple[Withheld, ...] = ()
        if not version.marker:
            try:
                head = bucket.head(version, ctx.spend)
                refusal = bytes_refused(bucket, version, head, ctx)
            except GoneError:
                return None
            except NeedsHuman as stop:
                if stop.code != NOT_GRANTED:
                    raise
                head, refusal = {}, Refusal(Remainder.DENIED)
            media_type = head.get("ContentType", "application/octet-stream")
            body |= {
                "size": version.size_bytes,
                "content_type": media_type,
                "metadata": head.get("Metadata", {}),
            }
            if refusal is not None:
                withheld = (Withheld("body", refusal.ground, until_at=refusal.until_at),)
            else:
                name = version.key.rpartition("/")[2] or "object"
                opener = partial(_content, bucket, readable(version), ctx)
                attachment = Attachment(name, media_type, opener)
        text = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        return Record(ref, self.collection.name, key_of(version), text, attachment, withheld)

    def _upload_record(
        self, bucket: Bucket, upload: Version, ref: str, ctx: Context
    ) -> Record | None:
        try:
            size_bytes = size_of(bucket, upload, ctx.spend)
        except GoneError:
            return None
        body = {
            "key": upload.key,
            "upload_id": upload.version_id,
            "initiated_at": upload.last_modified.isoformat(),
            "size": size_bytes,
        }
        text = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        withheld = (Withheld("body", UNFINISHED),)
        return Record(ref, self.collection.name, key_of(upload), text, None, withheld)

    # ---- breaches

    def affected(
        self, bucket: Bucket, scope: LeakScope, ctx: Context
    ) -> Iterator[AffectedPerson | Unseen]:
        """The people whose objects lay in the window."""
        yield from self.whose.affected(bucket, scope, ctx)


def _content(bucket: Bucket, version: Version, ctx: Context) -> Iterator[bytes]:
    try:
        yield from bucket.stream(version, ctx.spend)
    except (ChangedError, GoneError):
        raise Transient("an object changed after it was found") from None


class VersionRow:
    """A version as a decision table sees it: its key, id, size and date."""

    def __init__(self, version: Version, facts: Facts, refs: frozenset[str] = frozenset()) -> None:
        self.refs = refs
        self._version = version
        self._facts = facts

    def owned_by(self, identities: tuple[Identity, ...]) -> bool:
        """Whether one of these identities owns it."""
        return self._facts.owned_by(self._version, identities)

    def text(self, name: str) -> str | None:
        """A field as text."""
        version = self._version
        texts = {
            "key": version.key,
            "version_id": version.version_id,
            "size": str(version.size_bytes),
            "last_modified": version.last_modified.isoformat(),
        }
        return texts[name] if name in texts else self._facts.text(version, name)

    def clock(self, name: str) -> datetime | None:
        """A clock as an instant."""
        return self._version.last_modified if name == "last_modified" else None
