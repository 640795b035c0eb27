"""Taking an object away of which no record is left.

In: the version that was read. Out: it is no longer the current one: a bucket without versions has
it no more, one with versions has a delete marker, and the version goes by its id like every other.
"""

from __future__ import annotations

from connectors.s3.server.bucket import Bucket, Spend, Version
from connectors.s3.server.refusals import translated


def erase_current(bucket: Bucket, version: Version, spend: Spend) -> None:
    """Erase the current version. Raises ChangedError where it is another one by now."""
    spend()
    with translated("DeleteObject"):
        bucket.writes.delete_object(Bucket=bucket.name, Key=version.key, IfMatch=version.etag)
