"""Objects under a prefix per person: every version of each is one row.

In: a collection in the `prefix` layout, a bucket, subjects. Out: records, keys, fates. A row's key
is `(object key, version id)`, and `(object key,)` for the null version, which is the only one of a
bucket without versioning. An identity is compared as one whole path segment; one that could not
stand in a key as such (`..`, `/`, `%`, empty) finds nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from itertools import chain
from typing import Any

from connectors.s3.config import PrefixLayout
from connectors.s3.server.archive import is_away, readable
from connectors.s3.server.bucket import Bucket, Version
from connectors.s3.server.refusals import ChangedError, GoneError
from connectors.s3.server.uploads import size_of, uploads_under
from dsr_worker.contract import (
    AffectedPerson,
    Attachment,
    Collection,
    Context,
    Identity,
    Key,
    LeakScope,
    Record,
    Subject,
    Transient,
    Withheld,
)

_SAFE = re.compile(r"[A-Za-z0-9_-]+")
_PAGE = 1000  # ListObjectVersions: at most 1,000 keys an answer (S3 API reference)
_FEW = 50  # so many listings of their own are always cheap
ARCHIVED = "s3-archived-object"
UNFINISHED = "s3-unfinished-upload"  # S3 hands out no part before an upload is complete


class Prefixes:
    """The objects of one collection, read only."""

    def __init__(self, collection: Collection, layout: PrefixLayout) -> None:
        self.collection = collection
        self.layout = layout

    # ---- whose object is this

    def identity_in(self, key: str) -> str | None:
        """The identity that stands in an object's key as a whole segment, by the template."""
        if not key.startswith(self.layout.before):
            return None
        segment, _, _ = key[len(self.layout.before) :].partition("/")
        stem = f"{self.layout.before}{segment}{self.layout.after}"
        return segment if _SAFE.fullmatch(segment) and key.startswith(stem) else None

    def owned(
        self, bucket: Bucket, subjects: Sequence[Subject], ctx: Context
    ) -> Iterator[tuple[list[Version], frozenset[str]]]:
        """Each object of the subjects with all its versions, and its owners."""
        refs: dict[str, set[str]] = {}
        for subject in subjects:
            for value in subject.values(self.layout.kind):
                if _SAFE.fullmatch(value):
                    refs.setdefault(value, set()).add(subject.ref)
        for versions in chain(
            self._under(bucket, sorted(refs), ctx), self._uploads(bucket, sorted(refs), ctx)
        ):
            identity = self.identity_in(versions[0].key)
            if identity in refs:
                yield versions, frozenset(refs[identity])

    def _under(self, bucket: Bucket, ids: list[str], ctx: Context) -> Iterator[list[Version]]:
        """The objects of these ids, listed together while that takes fewer requests.

        One listing is in key order, so that when it is given up what it passed is complete.
        """
        left = ids
        if len(ids) > _FEW:
            passed, before = "", None
            for number, versions in enumerate(bucket.objects(self.layout.before, ctx.spend)):
                ctx.check()
                identity = self.identity_in(versions[0].key)
                if number >= _PAGE * len(ids) and identity not in (None, before):
                    passed = self._stem(str(identity))
                    break
                before = identity or before
                yield versions
            else:
                return
            left = [i for i in ids if self._stem(i) >= passed]
        for identity in left:
            ctx.check()
            yield from bucket.objects(self._stem(identity), ctx.spend)

    def _uploads(self, bucket: Bucket, ids: list[str], ctx: Context) -> Iterator[list[Version]]:
        """The incomplete uploads of these ids, each alone; listed together where ids are many."""
        stems = [self.layout.before] if len(ids) > _FEW else [self._stem(i) for i in ids]
        for stem in stems:
            yield from ([upload] for upload in uploads_under(bucket, stem, ctx.spend))

    def everything(self, bucket: Bucket, ctx: Context) -> Iterator[list[Version]]:
        """Every object with all its versions, then every incomplete upload, whosever it is."""
        before = self.layout.before
        yield from bucket.objects(before, ctx.spend)
        yield from ([upload] for upload in uploads_under(bucket, before, ctx.spend))

    def _stem(self, identity: str) -> str:
        return f"{self.layout.before}{identity}{self.layout.after}"

    # ---- find

    def find(self, bucket: Bucket, subjects: Sequence[Subject], ctx: Context) -> Iterator[Record]:
        """Every version of every object, its bytes as an attachment."""
        for versions, refs in self.owned(bucket, subjects, ctx):
            for version in versions:
                for ref in sorted(refs):
                    record = self._record(bucket, version, ref, ctx)
                    if record is not None:
                        yield record

    def locate(self, bucket: Bucket, subjects: Sequence[Subject], ctx: Context) -> Iterator[Key]:
        """The key of every version, marker and incomplete upload."""
        for versions, refs in self.owned(bucket, subjects, ctx):
            for version in versions:
                for ref in sorted(refs):
                    yield Key(ref, self.collection.name, key_of(version))

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
            except GoneError:
                return None
            media_type = head.get("ContentType", "application/octet-stream")
            body |= {
                "size": version.size_bytes,
                "content_type": media_type,
                "metadata": head.get("Metadata", {}),
            }
            if is_away(version, head):
                withheld = (Withheld("body", ARCHIVED),)
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

    def affected(self, bucket: Bucket, scope: LeakScope, ctx: Context) -> Iterator[AffectedPerson]:
        """The people under whose prefix an object lay in the window."""
        at, rows = "", 0
        for versions in bucket.objects(self.layout.before, ctx.spend):
            ctx.check()
            identity = self.identity_in(versions[0].key)
            if identity is None:
                continue
            if identity != at:
                yield from self._person(at, rows, ctx)
                at, rows = identity, 0
            until_at = scope.until_at
            rows += sum(
                not v.marker and (until_at is None or v.last_modified <= until_at) for v in versions
            )
        yield from self._person(at, rows, ctx)

    def _person(self, identity: str, rows: int, ctx: Context) -> Iterator[AffectedPerson]:
        canonical = ctx.canonical(self.layout.kind, identity) if identity else None
        if rows and canonical:
            found = (Identity(self.layout.kind, canonical),)
            yield AffectedPerson(self.collection.name, found, None, rows)


def _content(bucket: Bucket, version: Version, ctx: Context) -> Iterator[bytes]:
    try:
        yield from bucket.stream(version, ctx.spend)
    except (ChangedError, GoneError):
        raise Transient("an object changed after it was found") from None


class VersionRow:
    """A version as a decision table sees it: its key, id, size and date."""

    def __init__(
        self, version: Version, identity: Identity | None, refs: frozenset[str] = frozenset()
    ) -> None:
        self.refs = refs
        self._version = version
        self._identity = identity

    def owned_by(self, identities: tuple[Identity, ...]) -> bool:
        """Whether one of these identities owns it."""
        return self._identity is not None and self._identity in identities

    def text(self, name: str) -> str | None:
        """A field as text."""
        version = self._version
        texts = {
            "key": version.key,
            "version_id": version.version_id,
            "size": str(version.size_bytes),
            "last_modified": version.last_modified.isoformat(),
        }
        return texts.get(name)

    def clock(self, name: str) -> datetime | None:
        """A clock as an instant."""
        return self._version.last_modified if name == "last_modified" else None


def key_of(version: Version) -> tuple[str, ...]:
    """A version's key in receipts and spools."""
    if version.upload:
        return (version.key, "upload", version.version_id)
    if version.version_id == "null":
        return (version.key,)
    return (version.key, version.version_id)
