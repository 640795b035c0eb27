"""New bytes in an object's place, over nobody else's change, or not at all.

In: a version that was read, and the draft of what it is to be. Out: a staged write whose `commit`
is one conditional request: PutObject for what is small or wholly new, CompleteMultipartUpload where
the server copies what stays. What was written is looked at before anybody relies on it. An upload
that is not committed is aborted; one whose worker died, by the repeat.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any, Protocol, TypeVar, cast

from botocore.exceptions import ClientError

from connectors.s3.server.begun import Begun
from connectors.s3.server.bucket import Bucket, Version
from connectors.s3.server.client import TRIES
from connectors.s3.server.draft import Draft, Segment
from connectors.s3.server.parts import LONGEST_PART_BYTES, MOST_PARTS, Part, copied, parts_of
from connectors.s3.server.preserving import CHECKSUMS, MARK, preserved
from connectors.s3.server.probe import Honoured
from connectors.s3.server.refusals import (
    CONFLICT,
    TRANSIENT,
    GoneError,
    backed_off,
    code_of,
    told,
    translated,
)
from dsr_worker.contract import ConnectorError, Context, NeedsHuman

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

T = TypeVar("T")


class Staged(Protocol):
    """A write that lacks nothing but its commit."""

    @property
    def sha256(self) -> str:
        """Of what was committed: hex, or as the server tells it; empty where nobody computed it."""
        ...

    def commit(self) -> None:
        """Put the new bytes in the object's place.

        Raises `ChangedError`, having changed nothing, when the version is no longer current.
        """
        ...


@contextmanager
def staged(
    bucket: Bucket, version: Version, draft: Draft, honoured: Honoured, place: str, ctx: Context
) -> Iterator[Staged]:
    """Prepare a write; parts go up here, so that nobody's hold waits for them.

    `place` names the object in the connector's state: a digest.
    """
    segments = draft.segments()
    size_bytes = sum(segment.length for segment in segments)
    head = bucket.head(version, ctx.spend, IfMatch=version.etag, ChecksumMode="ENABLED")
    kept = preserved(bucket, version, head, ctx.now, ctx.spend)
    if bucket.config.mark_rewrites:
        mark = ctx.digest(MARK, (ctx.operation_id,))
        kept["Metadata"] = {**kept.get("Metadata", {}), MARK: mark}
    if bucket.config.proofs:
        kept["ChecksumAlgorithm"] = "SHA256"
    whole = not any(segment.stays for segment in segments)
    longest = bucket.config.single_put_bytes if honoured.complete else LONGEST_PART_BYTES
    if whole and size_bytes <= longest:
        yield _Put(bucket, version, draft.spool, size_bytes, kept, ctx)
        return
    if not honoured.complete:
        error = "IfMatch is ignored"
        raise NeedsHuman("s3-refused", {"operation": "CompleteMultipartUpload", "error": error})
    begun = Begun(bucket, version.key, place, ctx)
    upload = _Upload(bucket, version, draft, segments, kept, begun, ctx)
    try:
        upload.send()
        yield upload
    finally:
        upload.abort()


class _Put:
    """All bytes in one request."""

    def __init__(
        self,
        bucket: Bucket,
        version: Version,
        body: IO[bytes],
        size_bytes: int,
        kept: Mapping[str, Any],
        ctx: Context,
    ) -> None:
        self._bucket = bucket
        self._version = version
        self._body = body
        self._size_bytes = size_bytes
        self._kept = kept
        self._ctx = ctx
        self.sha256 = ""

    def commit(self) -> None:
        """Write it."""

        def put() -> Mapping[str, Any]:
            self._body.seek(0)
            return self._bucket.writes.put_object(
                Bucket=self._bucket.name,
                Key=self._version.key,
                Body=self._body,
                IfMatch=self._version.etag,
                **self._kept,
            )

        # A repeat of a write that did happen is refused (412): the object is read again, and done.
        with translated("PutObject"):
            done = _repeated(put, TRANSIENT | {CONFLICT}, self._ctx)
        self.sha256 = base64.b64decode(done.get("ChecksumSHA256", "")).hex()
        looked_at(self._bucket, self._version, done, self._size_bytes, self._kept, self._ctx)


class _Upload:
    """Parts: what stays is copied by the server, the rest is sent."""

    def __init__(
        self,
        bucket: Bucket,
        version: Version,
        draft: Draft,
        segments: list[Segment],
        kept: dict[str, Any],
        begun: Begun,
        ctx: Context,
    ) -> None:
        self._bucket = bucket
        self._version = version
        self._draft = draft
        self._size_bytes = sum(segment.length for segment in segments)
        self._parts = parts_of(segments)
        if len(self._parts) > MOST_PARTS:
            error = "more than 10,000 parts"
            raise NeedsHuman("s3-refused", {"operation": "UploadPart", "error": error})
        self._kept = kept
        self._customer = _customer_key(kept)
        self._begun = begun
        self._ctx = ctx
        self.sha256 = ""
        self._place: dict[str, Any] = {"Bucket": bucket.name, "Key": version.key}
        self._sent: list[CompletedPartTypeDef] = []

    def send(self) -> None:
        """Begin an upload and give it all its parts."""
        self._begun.abort_left()
        self._ctx.spend()
        with translated("CreateMultipartUpload"):
            upload = self._bucket.writes.create_multipart_upload(**self._place, **self._kept)
        self._place["UploadId"] = upload["UploadId"]
        self._begun.add(upload["UploadId"])
        self._sent = []
        for number, part in enumerate(self._parts, start=1):
            self._ctx.check()
            done = self._copy(number, part[0]) if copied(part) else self._send(number, part)
            sums = {name: done[name] for name in CHECKSUMS if done.get(name)}
            etag = told(done, "ETag", "UploadPart")
            sent: Any = {"PartNumber": number, "ETag": etag, **sums}
            self._sent.append(sent)

    def commit(self) -> None:
        """Complete it, a few times; where a conflict voided the upload, all over again.

        A repeat of what did happen finds no upload: the object is read again, and done.
        """
        for failures in range(1, TRIES + 1):
            with translated("CompleteMultipartUpload"):
                try:
                    done = self._complete()
                except ClientError as error:
                    code = code_of(error)
                    if code not in TRANSIENT | {CONFLICT} or failures == TRIES:
                        raise
                    backed_off(failures)
                    if code == CONFLICT:
                        self.abort()
                        self.send()
                    continue
            self._begun.forget(self._place.pop("UploadId"))
            head = looked_at(
                self._bucket, self._version, done, self._size_bytes, self._kept, self._ctx
            )
            self.sha256 = done.get("ChecksumSHA256") or head.get("ChecksumSHA256", "")
            return

    def abort(self) -> None:
        """Let go of the parts, unless they are the object by now. Never hides another error."""
        upload_id = self._place.pop("UploadId", None)
        if upload_id:
            with suppress(ConnectorError):
                self._begun.abort(upload_id)

    def _complete(self) -> Mapping[str, Any]:
        self._ctx.spend()
        return self._bucket.writes.complete_multipart_upload(
            **self._place,
            **self._customer,
            MultipartUpload={"Parts": self._sent},
            MpuObjectSize=self._size_bytes,
            IfMatch=self._version.etag,
        )

    def _copy(self, number: int, segment: Segment) -> Mapping[str, Any]:
        source: Any = self._bucket.at(self._version)
        from_key = {f"CopySource{name}": value for name, value in self._customer.items()}

        def copy() -> Mapping[str, Any]:
            answer = self._bucket.writes.upload_part_copy(
                **self._place,
                **self._customer,
                **from_key,
                PartNumber=number,
                CopySource=source,
                CopySourceIfMatch=self._version.etag,
                CopySourceRange=f"bytes={segment.start}-{segment.start + segment.length - 1}",
            )
            return answer["CopyPartResult"]

        with translated("UploadPartCopy"):
            return _repeated(copy, TRANSIENT, self._ctx)

    def _send(self, number: int, part: Part) -> Mapping[str, Any]:
        stretches = [self._spooled(segment) for segment in part]
        body = cast("IO[bytes]", _Window(self._draft.spool, stretches))
        algorithm = {n: v for n, v in self._kept.items() if n == "ChecksumAlgorithm"}

        def send() -> Mapping[str, Any]:
            body.seek(0)
            return self._bucket.writes.upload_part(
                **self._place, **self._customer, **algorithm, PartNumber=number, Body=body
            )

        with translated("UploadPart"):
            return _repeated(send, TRANSIENT, self._ctx)

    def _spooled(self, segment: Segment) -> Segment:
        """What a part borrows of the stored object is read for it."""
        if not segment.stays:
            return segment
        start = self._draft.spool.seek(0, os.SEEK_END)
        self._draft.spool_stored(segment.start, segment.length)
        return Segment(stays=False, start=start, length=segment.length)


class _Window(io.RawIOBase):
    """Stretches of a spool as one file."""

    def __init__(self, spool: IO[bytes], stretches: list[Segment]) -> None:
        self._spool = spool
        self._stretches = stretches
        self._size_bytes = sum(stretch.length for stretch in stretches)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size_bytes}[whence]
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        skipped = 0
        for stretch in self._stretches:
            inside = self._at - skipped
            if inside < stretch.length:
                self._spool.seek(stretch.start + inside)
                data = self._spool.read(min(len(buffer), stretch.length - inside))
                buffer[: len(data)] = data
                self._at += len(data)
                return len(data)
            skipped += stretch.length
        return 0


def _repeated(call: Callable[[], T], again: frozenset[str], ctx: Context) -> T:
    """Call until it is answered otherwise than by one of these codes, a few times."""
    for failures in range(1, TRIES):
        ctx.spend()
        try:
            return call()
        except ClientError as error:
            if code_of(error) not in again:
                raise
        backed_off(failures)
    ctx.spend()
    return call()


def looked_at(
    bucket: Bucket,
    version: Version,
    done: Mapping[str, Any],
    size_bytes: int,
    kept: Mapping[str, Any],
    ctx: Context,
) -> Mapping[str, Any]:
    """Compare what stands there with what was written, unless somebody wrote since; its headers.

    Raises `NeedsHuman` where it is not the whole of it: the old version is still there.
    """
    place: dict[str, Any] = {"Bucket": bucket.name, "Key": version.key, "ChecksumMode": "ENABLED"}
    if done.get("VersionId", "null") != "null":
        place["VersionId"] = done["VersionId"]
    ctx.spend()
    try:
        with translated("HeadObject"):
            head: Mapping[str, Any] = bucket.reads.head_object(**place, **_customer_key(kept))
    except GoneError:
        return {}
    if "VersionId" not in place and head.get("ETag") != done.get("ETag"):
        return {}
    sums = [(done[name], head[name]) for name in CHECKSUMS if done.get(name) and head.get(name)]
    if head["ContentLength"] != size_bytes or any(ours != theirs for ours, theirs in sums):
        raise NeedsHuman("s3-refused", {"operation": "HeadObject", "error": "not-whole"})
    return head


def _customer_key(kept: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in kept.items() if name.startswith("SSECustomer")}
