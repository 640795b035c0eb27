"""The wire to one bucket: every request the connector makes, and what its errors mean.

In: keys, version ids, spooled bodies. Out: versions, streams, failures by version. Reads are
retried a few times by the client; writes never, because a repeated conditional write cannot tell
its own success from a stranger's. Object keys can hold identities: no text of an error names one.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlencode

import boto3
from botocore.config import Config as ClientConfig
from botocore.exceptions import ClientError

from connectors.s3.config import Config
from connectors.s3.server.locks import Refusal, lagging, lock_of
from connectors.s3.server.refusals import (
    DENIED,
    GONE,
    MISCONFIGURED,
    TRANSIENT,
    GoneError,
    code_of,
    translated,
)
from dsr_worker.contract import NeedsHuman, Transient

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

Spend = Callable[[], None]

_CHUNK_BYTES = 256 * 1024
_PART_BYTES = 64 * 1024 * 1024
_BATCH = 1000  # DeleteObjects: at most 1,000 keys (S3 API reference, DeleteObjects)
_TRIES = 3
_PAUSE_S = 0.2
ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
_KEPT_HEADERS = (
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "ContentType",
    "Expires",
    "Metadata",
    "SSEKMSKeyId",
    "ServerSideEncryption",
    "BucketKeyEnabled",
    "StorageClass",
    "WebsiteRedirectLocation",
)


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


class Bucket:
    """One bucket by its own pair of clients; made without a request, usable by many threads."""

    def __init__(self, config: Config, session: boto3.Session | None = None) -> None:
        self._config = config
        self.name = config.bucket
        self._session = session or _session(config)
        self.reads = _client(config, self._session, attempts=_TRIES)
        self.writes = _client(config, self._session, attempts=1)
        self._making = threading.Lock()  # a session may make clients for one thread at a time

    def fresh(self) -> Bucket:
        """The same bucket by new clients and connections."""
        with self._making:
            return Bucket(self._config, self._session)

    def close(self) -> None:
        """Close the connections; the bucket is not used afterwards."""
        self.reads.close()
        self.writes.close()

    # ---- reading

    def versioning(self, spend: Spend) -> str:
        """`Enabled`, `Suspended` or `Never`."""
        spend()
        with translated("GetBucketVersioning"):
            try:
                answer = self.reads.get_bucket_versioning(Bucket=self.name)
            except ClientError as error:
                if code_of(error) in ("NotImplemented", "501"):
                    return "Never"
                raise
            return answer.get("Status", "Never")

    @cached_property
    def locking(self) -> bool:
        """Whether Object Lock may protect versions in this bucket."""
        with translated("GetObjectLockConfiguration"):
            try:
                answer = self.reads.get_object_lock_configuration(Bucket=self.name)
            except ClientError as error:
                if code_of(error) in TRANSIENT | MISCONFIGURED:
                    raise
                return code_of(error) in DENIED  # not told: look at each version
        return answer["ObjectLockConfiguration"].get("ObjectLockEnabled") == "Enabled"

    def pages(self, prefix: str, spend: Spend) -> Iterator[list[Version]]:
        """All versions and markers under a prefix, in key order, a page at a time."""
        request: dict[str, Any] = {"Bucket": self.name, "Prefix": prefix}
        while True:
            spend()
            with translated("ListObjectVersions"):
                try:
                    page = self.reads.list_object_versions(**request)
                except ClientError as error:
                    if code_of(error) not in ("NotImplemented", "501"):
                        raise
                    break
            yield _sorted_versions(page)
            if not page.get("IsTruncated"):
                return
            request["KeyMarker"] = page["NextKeyMarker"]
            request["VersionIdMarker"] = page.get("NextVersionIdMarker", "")
        yield from self._plain_pages(prefix, spend)

    def objects(self, prefix: str, spend: Spend) -> Iterator[list[Version]]:
        """The versions under a prefix, grouped by object."""
        group: list[Version] = []
        for page in self.pages(prefix, spend):
            for version in page:
                if group and group[0].key != version.key:
                    yield group
                    group = []
                group.append(version)
        if group:
            yield group

    def versions_of(self, key: str, spend: Spend) -> list[Version]:
        """All versions of exactly this key; siblings that share it as a prefix are not."""
        found: list[Version] = []
        for page in self.pages(key, spend):
            found += (v for v in page if v.key == key)
            if page and page[-1].key != key:
                break
        return found

    def head(self, version: Version, spend: Spend) -> dict[str, Any]:
        """The headers of a version. Raises `GoneError`."""
        spend()
        with translated("HeadObject"):
            return dict(self.reads.head_object(**self.at(version)))

    def locked(self, version: Version, spend: Spend, now: datetime) -> Refusal | None:
        """Why and until when this version cannot be erased: a lock, a copy under way; or None.

        Of one whose headers are denied nothing is known: its erasure is tried.
        """
        follows = bool(self._config.replicas)
        if version.marker or version.upload or not (follows or self.locking):
            return None
        try:
            head = self.head(version, spend)
        except (GoneError, NeedsHuman):
            return None
        lock = lock_of(head, now, bypass_governance=self._config.bypass_governance)
        return lock or (lagging(head, now) if follows else None)

    def stream(self, version: Version, spend: Spend) -> Iterator[bytes]:
        """The bytes of a version as stored. Raises `ChangedError` or `GoneError`."""
        if version.archived:
            raise NeedsHuman("s3-archived-object", {"storage_class": version.storage_class})
        spend()
        with translated("GetObject"):
            answer = self.reads.get_object(**self.at(version), IfMatch=version.etag)
            with closing(answer["Body"]) as body:
                yield from body.iter_chunks(_CHUNK_BYTES)

    def read(self, version: Version, start: int, length: int, spend: Spend) -> bytes:
        """A range of the bytes of a version. Raises `ChangedError` or `GoneError`."""
        if version.archived:
            raise NeedsHuman("s3-archived-object", {"storage_class": version.storage_class})
        spend()
        wanted = f"bytes={start}-{start + length - 1}"
        with translated("GetObject"):
            answer = self.reads.get_object(**self.at(version), IfMatch=version.etag, Range=wanted)
            with closing(answer["Body"]) as body:
                return body.read()

    # ---- writing

    def conditional(self, spend: Spend) -> bool:
        """Whether a write against a wrong ETag is refused; a sound endpoint writes nothing."""
        probe = f".dsr-probe/{uuid.uuid4()}"
        spend()
        with translated("PutObject"):
            try:
                done = self.writes.put_object(
                    Bucket=self.name, Key=probe, Body=b"", IfMatch='"no such object"'
                )
            except ClientError as error:
                if code_of(error) in GONE | {"PreconditionFailed", "412"}:
                    return True
                raise
            spend()
            place: dict[str, Any] = {"Bucket": self.name, "Key": probe}
            if done.get("VersionId"):
                place["VersionId"] = done["VersionId"]
            self.writes.delete_object(**place)
        return False

    def replace(self, version: Version, body: IO[bytes], size_bytes: int, spend: Spend) -> None:
        """Put new bytes in the place of the current version, with all its headers and tags.

        Raises `ChangedError`, having written nothing, when it is no longer the current one.
        """
        head = self.head(version, spend)
        kept = {name: head[name] for name in _KEPT_HEADERS if head.get(name) is not None}
        spend()
        with translated("GetObjectTagging"):
            tags = self.reads.get_object_tagging(**self.at(version))["TagSet"]
        if tags:
            kept["Tagging"] = urlencode([(tag["Key"], tag["Value"]) for tag in tags])
        if size_bytes > self._config.single_put_bytes:
            self._put_parts(version, body, kept, spend)
            return
        for attempt in range(1, _TRIES + 1):
            body.seek(0)
            spend()
            with translated("PutObject"):
                try:
                    self.writes.put_object(
                        Bucket=self.name, Key=version.key, Body=body, IfMatch=version.etag, **kept
                    )
                except ClientError as error:
                    if code_of(error) != "ConditionalRequestConflict" or attempt == _TRIES:
                        raise
                    time.sleep(_PAUSE_S * attempt)
                else:
                    return

    def erase_versions(
        self, versions: Sequence[Version], versioning: str, spend: Spend
    ) -> dict[Version, str]:
        """Delete these versions for good; returns those that are denied, with the error's code.

        Each is named by its id, so that a repeat, and a version that is gone, are no error.
        """
        denied: dict[Version, str] = {}
        for start in range(0, len(versions), _BATCH):
            todo = {(v.key, v.version_id): v for v in versions[start : start + _BATCH]}
            for attempt in range(1, _TRIES + 1):
                todo = self._delete(todo, versioning, spend, denied)
                if not todo:
                    break
                time.sleep(_PAUSE_S * attempt)
            if todo:
                raise Transient(f"DeleteObjects left {len(todo)} versions for later")
        return denied

    def _delete(
        self,
        todo: dict[tuple[str, str], Version],
        versioning: str,
        spend: Spend,
        denied: dict[Version, str],
    ) -> dict[tuple[str, str], Version]:
        with_ids = versioning != "Never"
        names: list[Any] = [
            {"Key": key, "VersionId": version_id} if with_ids else {"Key": key}
            for key, version_id in todo
        ]
        request: dict[str, Any] = {"Bucket": self.name, "Delete": {"Objects": names, "Quiet": True}}
        if self._config.bypass_governance:
            request["BypassGovernanceRetention"] = True
        spend()
        with translated("DeleteObjects"):
            answer = self.writes.delete_objects(**request)
        again: dict[tuple[str, str], Version] = {}
        for failure in answer.get("Errors", []):
            place = (failure.get("Key", ""), failure.get("VersionId") or "null")
            code = failure.get("Code", "")
            if code in TRANSIENT:
                again[place] = todo[place]
            elif code not in GONE:
                denied[todo[place]] = code
        return again

    def _put_parts(
        self, version: Version, body: IO[bytes], kept: dict[str, Any], spend: Spend
    ) -> None:
        place: dict[str, Any] = {"Bucket": self.name, "Key": version.key}
        spend()
        with translated("CreateMultipartUpload"):
            place["UploadId"] = self.writes.create_multipart_upload(**place, **kept)["UploadId"]
        try:
            parts: list[CompletedPartTypeDef] = []
            body.seek(0)
            for number, part in enumerate(iter(lambda: body.read(_PART_BYTES), b""), start=1):
                spend()
                with translated("UploadPart"):
                    done = self.writes.upload_part(**place, PartNumber=number, Body=part)
                parts.append({"PartNumber": number, "ETag": done["ETag"]})
            spend()
            with translated("CompleteMultipartUpload"):
                self.writes.complete_multipart_upload(
                    **place, MultipartUpload={"Parts": parts}, IfMatch=version.etag
                )
        except BaseException:
            with translated("AbortMultipartUpload"):
                self.writes.abort_multipart_upload(**place)
            raise

    def _plain_pages(self, prefix: str, spend: Spend) -> Iterator[list[Version]]:
        request: dict[str, Any] = {"Bucket": self.name, "Prefix": prefix}
        while True:
            spend()
            with translated("ListObjectsV2"):
                page = self.reads.list_objects_v2(**request)
            yield [_version(o, "null", latest=True) for o in page.get("Contents", [])]
            if not page.get("IsTruncated"):
                return
            request["ContinuationToken"] = page["NextContinuationToken"]

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
    return session.client(
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


def _sorted_versions(page: Any) -> list[Version]:
    found = [
        _version(v, v.get("VersionId") or "null", v["IsLatest"]) for v in page.get("Versions", [])
    ]
    found += [
        Version(m["Key"], m.get("VersionId") or "null", m["IsLatest"], True, _utc(m))
        for m in page.get("DeleteMarkers", [])
    ]
    return sorted(found, key=lambda v: v.key.encode())


def _utc(listed: Any) -> datetime:
    at: datetime = listed["LastModified"]
    return at.astimezone(UTC)


def _version(listed: Any, version_id: str, latest: bool) -> Version:  # noqa: FBT001 - a column
    return Version(
        key=listed["Key"],
        version_id=version_id,
        latest=latest,
        marker=False,
        last_modified=_utc(listed),
        size_bytes=listed["Size"],
        etag=listed["ETag"],
        storage_class=listed.get("StorageClass", "STANDARD"),
    )


def with_no_budget(calls: int = 1) -> None:
    """For `check`, which runs outside any step and has no rate budget."""
