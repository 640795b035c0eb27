"""Buckets whose versions have dates of the test's choosing, and a small lifecycle that is played.

moto keeps lifecycle rules and never runs them. The server runs in this process, so that dates can
be set behind the API; what the rules would let go is computed here from the rules as any client
reads them, by the words of the S3 User Guide ("Lifecycle configuration elements") alone.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from moto.s3.models import s3_backends

from tests import services as real
from tests.s3_server import threaded

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_DAY = timedelta(days=1)
_ACCOUNT, _PARTITION = "123456789012", "aws"
_NAMES = itertools.count(1)


@contextlib.contextmanager
def server() -> Iterator[str]:
    """The address of an S3 API whose objects this process can reach behind it."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = threaded()
    running.start()
    try:
        host, port = running.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        running.stop()


@dataclass(frozen=True)
class AgedBucket:
    """One bucket, its client, and the dates of its versions."""

    client: S3Client
    name: str
    endpoint: str

    @classmethod
    def made(cls, endpoint: str) -> AgedBucket:
        """A new, empty bucket."""
        client, name = real.s3_client(endpoint), f"aged-{next(_NAMES)}"
        client.create_bucket(
            Bucket=name, CreateBucketConfiguration={"LocationConstraint": real.S3_REGION}
        )
        return cls(client, name, endpoint)

    def version(self, state: str) -> None:
        """Switch versioning."""
        self.client.put_bucket_versioning(
            Bucket=self.name,
            VersioningConfiguration={"Status": state},  # type: ignore[typeddict-item]  # one of two
        )

    def put(self, key: str, at: datetime, body: bytes = b"x") -> str:
        """An object of this date; its version id, `null` without versioning."""
        done = self.client.put_object(Bucket=self.name, Key=key, Body=body)
        return self._dated(key, at, done.get("VersionId", "null"))

    def mark(self, key: str, at: datetime) -> str:
        """A delete marker of this date, in a bucket with versions; its id."""
        done = self.client.delete_object(Bucket=self.name, Key=key)
        return self._dated(key, at, done["VersionId"])

    def _dated(self, key: str, at: datetime, version_id: str) -> str:
        kept = s3_backends[_ACCOUNT][_PARTITION].buckets[self.name].keys.getlist(key)
        kept[-1].last_modified = at.astimezone(UTC).replace(tzinfo=None)
        return version_id

    def versions(self) -> list[Aged]:
        """Every version and marker, newest first within a key."""
        found: list[Aged] = []
        pages: Any = self.client.get_paginator("list_object_versions")
        for page in pages.paginate(Bucket=self.name):
            for kind in ("Versions", "DeleteMarkers"):
                for listed in page.get(kind, []):
                    found.append(  # noqa: PERF401 - two nested conditions read worse in one
                        Aged(
                            listed["Key"],
                            listed.get("VersionId") or "null",
                            listed["LastModified"].astimezone(UTC),
                            listed["IsLatest"],
                            kind == "DeleteMarkers",
                        )
                    )
        return sorted(found, key=lambda v: (v.key, not v.latest, -v.at.timestamp()))

    def rules(self) -> list[Mapping[str, Any]]:
        """The lifecycle rules as any client reads them."""
        try:
            found = self.client.get_bucket_lifecycle_configuration(Bucket=self.name)
        except self.client.exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchLifecycleConfiguration":
                raise
            return []
        return list(found["Rules"])


@dataclass(frozen=True)
class Aged:
    """One version as it is listed."""

    key: str
    version_id: str
    at: datetime
    latest: bool
    marker: bool

    @property
    def row(self) -> tuple[str, ...]:
        """Its key as a row of the map."""
        return (self.key,) if self.version_id == "null" else (self.key, self.version_id)


def gone(
    rules: Sequence[Mapping[str, Any]], versions: Sequence[Aged], now: datetime, *, rounds: bool
) -> set[Aged]:
    """What rules for prefixes let go for good until `now`, in a bucket that never had versions.

    `rounds`: up to the next midnight UTC, as AWS does; others let go on the minute.
    """
    found = set[Aged]()
    for rule in rules:
        assert set(rule) <= {"ID", "Filter", "Status", "Expiration", *_UPLOADS}, rule
        assert rule["Status"] == "Enabled"
        prefix, days = rule["Filter"]["Prefix"], rule["Expiration"]["Days"]
        for version in versions:
            assert version.version_id == "null"
            due_at = version.at + timedelta(days=days)
            if rounds:
                due_at = midnight_from(due_at)
            if version.key.startswith(prefix) and due_at <= now:
                found.add(version)
    return found


_UPLOADS = frozenset({"AbortIncompleteMultipartUpload"})


def midnight_from(at: datetime) -> datetime:
    """The next midnight UTC, or `at` where it is one."""
    start = at.replace(hour=0, minute=0, second=0, microsecond=0)
    return at if at == start else start + _DAY
