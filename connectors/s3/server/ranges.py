"""A listing of part of a prefix: the objects whose keys lie between two keys.

In: a prefix and a range of keys. Out: versions by object, as `Bucket.objects` gives them. Keys are
in the order of their UTF-8 bytes, in which S3 lists general purpose buckets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from connectors.s3.server.bucket import Bucket, Spend, Version
from connectors.s3.server.refusals import code_of, translated


@dataclass(frozen=True, slots=True)
class KeyRange:
    """Keys after `after` up to and with `upto`; empty and None: no border."""

    after: str = field(default="", repr=False)
    upto: str | None = field(default=None, repr=False)

    def __contains__(self, key: str) -> bool:
        place = key.encode()
        return self.after.encode() < place and (self.upto is None or place <= self.upto.encode())


def objects_in(
    bucket: Bucket, prefix: str, keys: KeyRange, spend: Spend
) -> Iterator[list[Version]]:
    """The objects under a prefix whose keys lie in the range, each with all its versions."""
    group: list[Version] = []
    for version in _versions(bucket, prefix, keys.after, spend):
        if keys.upto is not None and version.key.encode() > keys.upto.encode():
            break
        if version.key not in keys:
            continue
        if group and group[0].key != version.key:
            yield group
            group = []
        group.append(version)
    if group:
        yield group


def _versions(bucket: Bucket, prefix: str, after: str, spend: Spend) -> Iterator[Version]:
    request: dict[str, Any] = {"Bucket": bucket.name, "Prefix": prefix}
    if after:
        request["KeyMarker"] = after
    while True:
        spend()
        with translated("ListObjectVersions"):
            try:
                page = bucket.reads.list_object_versions(**request)
            except ClientError as error:
                if code_of(error) not in ("NotImplemented", "501"):
                    raise
                break
        found = [_version(v, marker=False) for v in page.get("Versions", [])]
        found += [_version(m, marker=True) for m in page.get("DeleteMarkers", [])]
        yield from sorted(found, key=lambda v: v.key.encode())
        if not page.get("IsTruncated"):
            return
        request["KeyMarker"] = page["NextKeyMarker"]
        request["VersionIdMarker"] = page.get("NextVersionIdMarker", "")
    yield from _current(bucket, prefix, after, spend)


def _current(bucket: Bucket, prefix: str, after: str, spend: Spend) -> Iterator[Version]:
    """The same from an endpoint without versions."""
    request: dict[str, Any] = {"Bucket": bucket.name, "Prefix": prefix}
    if after:
        request["StartAfter"] = after
    while True:
        spend()
        with translated("ListObjectsV2"):
            page = bucket.reads.list_objects_v2(**request)
        for listed in page.get("Contents", []):
            yield _version({**listed, "IsLatest": True}, marker=False)
        if not page.get("IsTruncated"):
            return
        request["ContinuationToken"] = page["NextContinuationToken"]


def _version(listed: Any, *, marker: bool) -> Version:
    at: datetime = listed["LastModified"]
    return Version(
        key=listed["Key"],
        version_id=listed.get("VersionId") or "null",
        latest=listed["IsLatest"],
        marker=marker,
        last_modified=at.astimezone(UTC),
        size_bytes=listed.get("Size", 0),
        etag=listed.get("ETag", ""),
        storage_class=listed.get("StorageClass", "STANDARD"),
    )
