"""The clients of one bucket, and what every request of theirs has in common.

In: a config. Out: a client that retries reads and one that does not retry writes, since only the
room that writes knows what a repeat of a conditional write may mean; the place of a version in a
request. Requester pays and the owner that the bucket is expected to have go with every request
that knows them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

import boto3
from botocore.config import Config as ClientConfig

from connectors.s3.config import Config

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Spend = Callable[[], None]

TRIES = 3
ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE"})


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an object, or a delete marker. Without versioning, the object itself."""

    key: str = field(repr=False)
    version_id: str
    latest: bool
    marker: bool
    last_modified: datetime
    size_bytes: int = 0
    etag: str = ""
    storage_class: str = "STANDARD"
    upload: bool = False  # an incomplete multipart upload, by whose id it is named

    @property
    def archived(self) -> bool:
        """Whether its bytes must be restored before anyone can read them."""
        return self.storage_class in ARCHIVES


class Clients:
    """One bucket by its own pair of clients; made without a request, usable by many threads."""

    def __init__(self, config: Config, session: boto3.Session | None = None) -> None:
        self.config = config
        self.name = config.bucket
        self._session = session or _session(config)
        self.reads = _client(config, self._session, attempts=TRIES)
        self.writes = _client(config, self._session, attempts=1)
        self._making = threading.Lock()  # a session may make clients for one thread at a time

    def fresh(self) -> Self:
        """The same bucket by new clients and connections."""
        with self._making:
            return type(self)(self.config, self._session)

    def close(self) -> None:
        """Close the connections; the bucket is not used afterwards."""
        self.reads.close()
        self.writes.close()

    def at(self, version: Version) -> dict[str, Any]:
        """The place of a version in a request."""
        place: dict[str, Any] = {"Bucket": self.name, "Key": version.key}
        if version.version_id != "null" or not version.latest:
            place["VersionId"] = version.version_id
        return place


def _session(config: Config) -> boto3.Session:
    key_id, secret = config.access_key_id, config.secret_access_key
    return boto3.Session(
        aws_access_key_id=key_id.get_secret_value() if key_id else None,
        aws_secret_access_key=secret.get_secret_value() if secret else None,
        region_name=config.region,
    )


def _client(config: Config, session: boto3.Session, *, attempts: int) -> S3Client:
    client = session.client(
        "s3",
        endpoint_url=config.endpoint_url,
        config=ClientConfig(
            connect_timeout=config.connect_timeout_s,
            read_timeout=config.read_timeout_s,
            retries={"mode": "standard", "total_max_attempts": attempts},
            max_pool_connections=16,
            s3={"addressing_style": "path"} if config.endpoint_url else {},
        ),
    )
    common = {"RequestPayer": "requester"} if config.requester_pays else {}
    if config.expected_bucket_owner:
        common |= dict.fromkeys(
            ("ExpectedBucketOwner", "ExpectedSourceBucketOwner"), config.expected_bucket_owner
        )

    def add(params: dict[str, Any], model: Any, **_: Any) -> None:
        known = model.input_shape.members
        params.update({name: value for name, value in common.items() if name in known})

    if common:
        client.meta.events.register("provide-client-params.s3", add)
    return client
