"""One level of a bucket's keys, as `/` divides them: what proposals walk.

In: a prefix. Out: the first page of what lies right under it. Old versions are not listed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from connectors.s3.server.bucket import Bucket, Spend, Version
from connectors.s3.server.listing import current
from connectors.s3.server.refusals import translated


@dataclass(frozen=True, slots=True)
class Folder:
    """The objects and folders right under a prefix, by whole keys; `more`: not all of them."""

    prefix: str = field(repr=False)
    objects: tuple[Version, ...] = field(repr=False)
    folders: tuple[str, ...] = field(repr=False)
    more: bool


def folder(bucket: Bucket, prefix: str, spend: Spend, most: int = 1000) -> Folder:
    """What lies right under a prefix: one request, at most a thousand names."""
    spend()
    with translated("ListObjectsV2"):
        page = bucket.reads.list_objects_v2(
            Bucket=bucket.name, Prefix=prefix, Delimiter="/", MaxKeys=most
        )
    objects = tuple(map(current, page.get("Contents", [])))
    folders = tuple(common["Prefix"] for common in page.get("CommonPrefixes", []))
    return Folder(prefix, objects, folders, bool(page.get("IsTruncated")))
