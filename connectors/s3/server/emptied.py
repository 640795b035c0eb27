"""Taking an object away of which no record is left, or below which something stays hidden.

In: the version that was current. Out: it is no longer that: a bucket without versions has it no
more, one with versions has a delete marker, and the version goes by its id like every other. Where
versioning is suspended, the marker takes the place of the null version.
"""

from __future__ import annotations

from connectors.s3.server.bucket import Bucket, Spend, Version
from connectors.s3.server.refusals import translated


class Emptied:
    """Takes the object away instead of writing it, as a staged write does."""

    sha256 = ""  # of nothing

    def __init__(self, bucket: Bucket, version: Version, spend: Spend) -> None:
        self._bucket = bucket
        self._version = version
        self._spend = spend
        self.marker_id = ""  # of the marker that was laid

    def commit(self) -> None:
        """Erase the current version. Raises ChangedError where it is another one by now."""
        self._spend()
        with translated("DeleteObject"):
            done = self._bucket.writes.delete_object(
                Bucket=self._bucket.name, Key=self._version.key, IfMatch=self._version.etag
            )
        self.marker_id = done.get("VersionId", "null")
