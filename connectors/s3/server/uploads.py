"""Incomplete multipart uploads: parts that nobody can read, that no listing of objects shows.

In: a bucket and a prefix. Out: each upload as a version that is one; aborted, its parts are gone.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC
from typing import Any
from urllib.parse import unquote_plus

from botocore.exceptions import ClientError

from connectors.s3.server.bucket import Bucket, Spend, Version
from connectors.s3.server.refusals import DENIED, GONE, GoneError, code_of, told, translated

_NO_UPLOAD = "NoSuchUpload"
_NONE = ("NotImplemented", "501", "MethodNotAllowed", _NO_UPLOAD)  # the last by rclone


def uploads_under(bucket: Bucket, prefix: str, spend: Spend) -> Iterator[Version]:
    """The incomplete uploads of keys with a prefix, in key order; none where there are no such.

    Keys are asked for in the form of URLs: XML has no way to write every one (as of listings of
    objects, where the client asks for it by itself).
    """
    request: dict[str, Any] = {"Bucket": bucket.name, "Prefix": prefix, "EncodingType": "url"}
    while True:
        spend()
        with translated("ListMultipartUploads"):
            try:
                page = bucket.reads.list_multipart_uploads(**request)
            except ClientError as error:
                if code_of(error) in _NONE:
                    return
                raise
        plain = unquote_plus if page.get("EncodingType") == "url" else str
        for upload in page.get("Uploads", []):
            yield Version(
                key=plain(upload["Key"]),
                version_id=upload["UploadId"],
                latest=False,
                marker=False,
                last_modified=upload["Initiated"].astimezone(UTC),
                storage_class=upload.get("StorageClass", "STANDARD"),
                upload=True,
            )
        if not page.get("IsTruncated"):
            return
        request["KeyMarker"] = plain(told(page, "NextKeyMarker", "ListMultipartUploads"))
        request["UploadIdMarker"] = told(page, "NextUploadIdMarker", "ListMultipartUploads")


def abort(bucket: Bucket, key: str, upload_id: str, spend: Spend) -> bool:
    """Abort an upload with all its parts; False where that is denied. Idempotent."""
    spend()
    with translated("AbortMultipartUpload"):
        try:
            bucket.writes.abort_multipart_upload(Bucket=bucket.name, Key=key, UploadId=upload_id)
        except ClientError as error:
            if code_of(error) in DENIED:
                return False
            if code_of(error) not in GONE:
                raise
    return True


def size_of(bucket: Bucket, upload: Version, spend: Spend) -> int:
    """The bytes of the parts that have arrived. Raises GoneError."""
    request: dict[str, Any] = {
        "Bucket": bucket.name,
        "Key": upload.key,
        "UploadId": upload.version_id,
    }
    total = 0
    while True:
        spend()
        with translated("ListParts"):
            try:
                page = bucket.reads.list_parts(**request)
            except ClientError as error:
                if code_of(error) == _NO_UPLOAD:
                    raise GoneError("S3 ListParts: the upload is gone") from None
                raise
        total += sum(part.get("Size", 0) for part in page.get("Parts", []))
        if not page.get("IsTruncated"):
            return total
        request["PartNumberMarker"] = told(page, "NextPartNumberMarker", "ListParts")
