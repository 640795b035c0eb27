"""What lies in a bucket: versions and delete markers, page by page.

In: a prefix, with a range of keys where part of it is meant, or a key. Out: versions, grouped by
object. An endpoint without versions lists its objects, each as its null version.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from connectors.s3.server.client import Clients, Spend, Version
from connectors.s3.server.ranges import EVERY_KEY, KeyRange
from connectors.s3.server.refusals import NOT_IMPLEMENTED, code_of, told, translated


class Lists(Clients):
    """Listing requests."""

    def versioning(self, spend: Spend) -> str:
        """`Enabled`, `Suspended` or `Never`."""
        spend()
        with translated("GetBucketVersioning"):
            try:
                answer = self.reads.get_bucket_versioning(Bucket=self.name)
            except ClientError as error:
                if code_of(error) in NOT_IMPLEMENTED:
                    return "Never"
                raise
            return answer.get("Status", "Never")

    def pages(
        self, prefix: str, spend: Spend, keys: KeyRange = EVERY_KEY
    ) -> Iterator[list[Version]]:
        """The versions and markers under a prefix, in key order, a page at a time."""
        for page in self._pages(prefix, spend, keys.after):
            yield [version for version in page if version.key in keys]
            if page and keys.ends_before(page[-1].key):
                return

    def _pages(self, prefix: str, spend: Spend, after: str) -> Iterator[list[Version]]:
        request: dict[str, Any] = {"Bucket": self.name, "Prefix": prefix}
        if after:
            request["KeyMarker"] = after
        while True:
            spend()
            with translated("ListObjectVersions"):
                try:
                    page = self.reads.list_object_versions(**request)
                except ClientError as error:
                    if code_of(error) not in NOT_IMPLEMENTED:
                        raise
                    break
            yield _sorted_versions(page)
            if not page.get("IsTruncated"):
                return
            request["KeyMarker"] = told(page, "NextKeyMarker", "ListObjectVersions")
            request.pop("VersionIdMarker", None)  # an empty one is refused
            if page.get("NextVersionIdMarker"):
                request["VersionIdMarker"] = page["NextVersionIdMarker"]
        yield from self._plain_pages(prefix, spend, after)

    def objects(
        self, prefix: str, spend: Spend, keys: KeyRange = EVERY_KEY
    ) -> Iterator[list[Version]]:
        """The versions under a prefix, grouped by object."""
        group: list[Version] = []
        for page in self.pages(prefix, spend, keys):
            for version in page:
                if group and group[0].key != version.key:
                    yield group
                    group = []
                group.append(version)
        if group:
            yield group

    def versions_of(self, key: str, spend: Spend) -> list[Version]:
        """All versions of exactly this key; siblings that share it as a prefix are not."""
        return [v for page in self.pages(key, spend, KeyRange(upto=key)) for v in page]

    def _plain_pages(self, prefix: str, spend: Spend, after: str) -> Iterator[list[Version]]:
        request: dict[str, Any] = {"Bucket": self.name, "Prefix": prefix}
        if after:
            request["StartAfter"] = after
        while True:
            spend()
            with translated("ListObjectsV2"):
                page = self.reads.list_objects_v2(**request)
            yield [current(listed) for listed in page.get("Contents", [])]
            if not page.get("IsTruncated"):
                return
            token = told(page, "NextContinuationToken", "ListObjectsV2")
            request["ContinuationToken"] = token


def current(listed: Any) -> Version:
    """An object as a listing without versions tells it."""
    return _version(listed, "null", latest=True)


def _sorted_versions(page: Any) -> list[Version]:
    found = [
        _version(v, v.get("VersionId") or "null", latest=v["IsLatest"])
        for v in page.get("Versions", [])
    ]
    found += [
        Version(m["Key"], m.get("VersionId") or "null", m["IsLatest"], True, _utc(m))
        for m in page.get("DeleteMarkers", [])
    ]
    return sorted(found, key=lambda v: v.key.encode())


def _utc(listed: Any) -> datetime:
    at: datetime = listed["LastModified"]
    return at.astimezone(UTC)


def _version(listed: Any, version_id: str, *, latest: bool) -> Version:
    return Version(
        key=listed["Key"],
        version_id=version_id,
        latest=latest,
        marker=False,
        last_modified=_utc(listed),
        size_bytes=listed["Size"],
        etag=listed.get("ETag", ""),
        storage_class=listed.get("StorageClass", "STANDARD"),
    )
