"""Which conditions an endpoint honours, tried before anything is rewritten.

In: a bucket. Out: `Honoured`, kept in the connector's state for a day, for each bucket by itself. A
sound endpoint refuses each of them; what another wrote in spite of its condition is erased at once,
and so is the object on which deleting is tried. Only names under `.dsr-probe/` are written to.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from botocore.exceptions import ClientError

from connectors.s3.server.bucket import ARCHIVES, Bucket, Spend
from connectors.s3.server.refusals import (
    CHANGED,
    DENIED,
    MISCONFIGURED,
    TRANSIENT,
    GoneError,
    code_of,
    translated,
)
from connectors.s3.server.uploads import abort
from dsr_worker.contract import Configuration, Context, NeedsHuman

UNGUARDED: Final = (
    "the endpoint ignores If-Match of DeleteObject: what somebody else writes meanwhile would go"
)
REMEDY: Final = "switch the bucket's versioning on, or use an endpoint with conditional deletes"
_NO_OBJECTS = '"no such object"'  # an ETag that no object has
_HOLDS = timedelta(days=1)
_STATE = "s3-honoured"
_LOOKED_AT = 20
_REFUSALS = frozenset({"PreconditionFailed", "412", "NoSuchKey", "404"})


@dataclass(frozen=True, slots=True)
class Honoured:
    """The conditions that hold: If-Match of both ways to write, of copying a part, of deleting."""

    put: bool = False
    complete: bool = False
    copy: bool = False
    delete: bool = False


class Endpoint:
    """What rooms that change objects ask of a bucket's endpoint; one thread at a time probes."""

    def __init__(self) -> None:
        self._probing = threading.Lock()

    def honoured(self, bucket: Bucket, ctx: Context) -> Honoured:
        """What holds. Raises `Configuration` where a concurrent writer would be overwritten."""
        found = self._known(bucket, ctx)
        if not found.put:
            raise Configuration("the endpoint ignores If-Match: shared objects cannot be rewritten")
        return found

    def require_deletes(self, bucket: Bucket, ctx: Context) -> None:
        """Raise `Configuration` where what somebody wrote meanwhile would be deleted."""
        if not self._known(bucket, ctx).delete:
            raise Configuration(f"{UNGUARDED}: {REMEDY}")

    def _known(self, bucket: Bucket, ctx: Context) -> Honoured:
        with self._probing:
            return _honoured(bucket, ctx)


def _honoured(bucket: Bucket, ctx: Context) -> Honoured:
    """What holds by the state, or by a probe where nothing is known or that is a day old."""
    name = f"{_STATE} {bucket.config.endpoint_url or 'aws'} {bucket.name}"
    kept = ctx.state.get(name)
    if kept is not None:
        known = json.loads(kept)
        age = ctx.now - datetime.fromisoformat(known["at"])
        whole = known["honoured"].keys() == asdict(Honoured()).keys()
        if whole and timedelta(0) <= age < _HOLDS:
            return Honoured(**known["honoured"])
    found = probe(bucket, ctx.spend)
    value = {"at": ctx.now.isoformat(), "honoured": asdict(found)}
    ctx.state.put(name, json.dumps(value).encode())
    return found


def probe(bucket: Bucket, spend: Spend) -> Honoured:
    """Try each condition against an ETag that no object has."""
    place: Any = {"Bucket": bucket.name, "Key": f".dsr-probe/{uuid.uuid4()}"}

    def put() -> Mapping[str, Any]:
        return bucket.writes.put_object(**place, Body=b"", IfMatch=_NO_OBJECTS)

    if not _refused("PutObject", put, bucket, place, spend):
        return Honoured()
    spend()
    with translated("CreateMultipartUpload"):
        place["UploadId"] = bucket.writes.create_multipart_upload(**place)["UploadId"]
    try:
        copy = _copy_refused(bucket, place, spend)
        complete = _complete_refused(bucket, place, spend)
        return Honoured(put=True, complete=complete, copy=copy, delete=deletes(bucket, spend))
    finally:
        abort(bucket, place["Key"], place["UploadId"], spend)


def deletes(bucket: Bucket, spend: Spend) -> bool:
    """Whether If-Match of DeleteObject holds: tried on an object of our own, which goes afterwards.

    Where that would be under a lock nobody knows: no.
    """
    if bucket.locking:
        return False
    place: Any = {"Bucket": bucket.name, "Key": f".dsr-probe/{uuid.uuid4()}"}
    versioning = bucket.versioning(spend)
    forms: list[Any] = [{}, {"VersionId": "null"}] if versioning == "Suspended" else [{}]
    spend()
    with translated("PutObject"):
        bucket.writes.put_object(**place, Body=b"")
    try:
        return all(_delete_refused(bucket, place | form, spend) for form in forms)
    finally:
        bucket.erase_versions(bucket.versions_of(place["Key"], spend), versioning, spend)


def _delete_refused(bucket: Bucket, place: Any, spend: Spend) -> bool:
    spend()
    with translated("DeleteObject"):
        try:
            bucket.writes.delete_object(**place, IfMatch=_NO_OBJECTS)
        except ClientError as error:
            if code_of(error) in DENIED | TRANSIENT | MISCONFIGURED:
                raise
            return code_of(error) in CHANGED
    return False


def _copy_refused(bucket: Bucket, place: Any, spend: Spend) -> bool:
    """Tried on some object; where there is none to be seen, nobody knows: no."""
    with suppress(NeedsHuman, GoneError):
        spend()
        with translated("ListObjectsV2"):
            page = bucket.reads.list_objects_v2(Bucket=bucket.name, MaxKeys=_LOOKED_AT)
        found = (o for o in page.get("Contents", ()) if o.get("StorageClass") not in ARCHIVES)
        source: Any = next(({"Bucket": bucket.name, "Key": o["Key"]} for o in found), None)

        def copy() -> Mapping[str, Any]:
            return bucket.writes.upload_part_copy(
                **place, PartNumber=2, CopySource=source, CopySourceIfMatch=_NO_OBJECTS
            )

        return source is not None and _refused("UploadPartCopy", copy, bucket, place, spend)
    return False


def _complete_refused(bucket: Bucket, place: Any, spend: Spend) -> bool:
    spend()
    with translated("UploadPart"):
        part = bucket.writes.upload_part(**place, PartNumber=1, Body=b"probe")

    def complete() -> Mapping[str, Any]:
        parts: Any = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        return bucket.writes.complete_multipart_upload(
            **place, MultipartUpload=parts, IfMatch=_NO_OBJECTS
        )

    with suppress(NeedsHuman):
        return _refused("CompleteMultipartUpload", complete, bucket, place, spend)
    return False


def _refused(
    operation: str, call: Callable[[], Mapping[str, Any]], bucket: Bucket, place: Any, spend: Spend
) -> bool:
    """Whether the call is refused for its condition; what it wrote otherwise goes at once."""
    spend()
    with translated(operation):
        try:
            done = call()
        except ClientError as error:
            if code_of(error) in _REFUSALS:
                return True
            raise
    if "ETag" in done:
        spend()
        at: Any = {"Bucket": place["Bucket"], "Key": place["Key"]}
        if done.get("VersionId"):
            at["VersionId"] = done["VersionId"]
        with translated("DeleteObject"):
            bucket.writes.delete_object(**at)
    return False
