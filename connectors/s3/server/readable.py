"""A bucket without the versions whose bytes cannot be had now: archived ones, and denied ones.

In: a bucket. Out: the same one, for those who read what is in objects; what it left out is
remembered, so that nobody takes it for clean. That a key or a grant is denied shows in reading
alone: the version is left out from then on, and whoever reads it is told that the object changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from connectors.s3.server.archive import is_away, readable
from connectors.s3.server.bucket import ARCHIVES, Bucket, Spend, Version
from connectors.s3.server.ranges import EVERY_KEY, KeyRange
from connectors.s3.server.refusals import NOT_GRANTED, ChangedError, GoneError
from dsr_worker.contract import NeedsHuman, Remainder

_ARCHIVED_CODES = frozenset({"InvalidObjectState"})
_KEY_CODES = "KMS."  # KMS.DisabledException, KMS.KMSInvalidStateException, …
_Name = tuple[str, str]  # key and version id


class ReadableBucket(Bucket):
    """The same clients; `refused` are the versions that were left out, each with the ground."""

    def __init__(self, bucket: Bucket) -> None:
        vars(self).update(vars(bucket))
        self._refused: dict[_Name, tuple[Version, Remainder]] = {}

    @property
    def refused(self) -> list[tuple[Version, Remainder]]:
        """What was left out so far."""
        return list(self._refused.values())

    def of_object(self, key: str) -> dict[str, Remainder]:
        """What of one object was left out so far, by version id."""
        return {v.version_id: ground for v, ground in self._refused.values() if v.key == key}

    def pages(
        self, prefix: str, spend: Spend, keys: KeyRange = EVERY_KEY
    ) -> Iterator[list[Version]]:
        """The pages, without what cannot be read."""
        for page in super().pages(prefix, spend, keys):
            yield [have for version in page if (have := self._having(version, spend)) is not None]

    def head(self, version: Version, spend: Spend, **more: Any) -> dict[str, Any]:
        """The headers, without an archive's storage class.

        What takes the place of a version that was brought back must be readable, to be looked at
        again; the bucket's own lifecycle archives it anew.
        """
        head = super().head(version, spend, **more)
        return head if head.get("StorageClass") not in ARCHIVES else head | {"StorageClass": None}

    def opened(self, version: Version, spend: Spend) -> tuple[dict[str, Any], Iterator[bytes]]:
        """The bytes. Raises ChangedError as well where they are denied or archived."""
        try:
            headers, stream = super().opened(version, spend)
        except NeedsHuman as stop:
            raise self._left_out(version, stop, spend) from None
        return headers, self._followed_on(version, stream, spend)

    def read(self, version: Version, start: int, length: int, spend: Spend) -> bytes:
        """A range. Raises ChangedError as well where it is denied or archived."""
        try:
            return super().read(version, start, length, spend)
        except NeedsHuman as stop:
            raise self._left_out(version, stop, spend) from None

    def _followed_on(
        self, version: Version, stream: Iterator[bytes], spend: Spend
    ) -> Iterator[bytes]:
        try:
            yield from stream
        except NeedsHuman as stop:
            raise self._left_out(version, stop, spend) from None

    def _having(self, version: Version, spend: Spend) -> Version | None:
        if (version.key, version.version_id) in self._refused:
            return None
        if not version.archived:
            return version
        try:
            head = self.head(version, spend)
        except GoneError:
            return version
        except NeedsHuman as stop:
            if stop.code != NOT_GRANTED:
                raise
            self._refuse(version, Remainder.DENIED)
            return None
        if is_away(version, head):
            self._refuse(version, Remainder.ARCHIVED)
            return None
        return readable(version)

    def _refuse(self, version: Version, ground: Remainder) -> None:
        self._refused[version.key, version.version_id] = (version, ground)

    def _left_out(self, version: Version, stop: NeedsHuman, spend: Spend) -> Exception:
        """What to raise for a version that cannot be read; its siblings are tried as well."""
        ground = ground_of(stop)
        if ground is None:
            return stop
        self._refuse(version, ground)
        for other in self.versions_of(version.key, spend):
            if not other.marker and other.size_bytes:
                try:
                    super().read(other, 0, 1, spend)
                except NeedsHuman as also:
                    self._refuse(other, ground_of(also) or ground)
                except (ChangedError, GoneError):
                    continue
        return ChangedError("a version is no longer readable")


def ground_of(stop: NeedsHuman) -> Remainder | None:
    """On which ground a store refused bytes for now; None where it is no such refusal."""
    fields: dict[str, Any] = stop.fields
    code = str(fields.get("error", ""))
    if stop.code == NOT_GRANTED or code.startswith(_KEY_CODES):
        return Remainder.DENIED
    return Remainder.ARCHIVED if code in _ARCHIVED_CODES else None
