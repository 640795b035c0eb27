"""A store in a bucket of any S3 API: uploads in parts, downloads by range, so memory stays flat."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, BinaryIO, cast

from dsr_worker.store.blobs import BlobMissing, StoreError, checked, part_of

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

# At least 5 MiB, at most 10,000 parts (Amazon S3 user guide, "multipart upload limits").
_PART_BYTES = 16 * 1024 * 1024
_PARTS_PER_SIZE = 1_000  # after so many parts the part size doubles: 10,000 parts hold 15 TiB
_READ_BYTES = 1024 * 1024


def default_client() -> S3Client:
    """A client by region, credentials and endpoint as boto3 finds them. Raises StoreError."""
    import boto3  # noqa: PLC0415 - loads slowly, and most stores are folders
    from botocore.config import Config  # noqa: PLC0415 - as above
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - as above

    patience = Config(
        connect_timeout=5, read_timeout=30, retries={"mode": "standard", "max_attempts": 4}
    )
    try:
        client: S3Client = boto3.client("s3", config=patience)
    except BotoCoreError as error:
        raise StoreError(f"The bucket of the store cannot be reached: {error}") from None
    return client


class S3Store:
    """Blobs as objects below `prefix` of a bucket; uploads in parts, so memory stays flat."""

    def __init__(self, bucket: str, prefix: str, client: S3Client) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._client = client

    def __repr__(self) -> str:
        return f"S3Store({self._bucket}/{self._prefix})"

    @contextmanager
    def write(self, name: str) -> Iterator[BinaryIO]:
        """As `Store.write`."""
        if self.exists(name):
            raise StoreError(f"The store holds {name} already: blobs are never replaced.")
        upload = _Upload(self._client, self._bucket, self._key(name))
        try:
            yield cast("BinaryIO", upload)
            upload.publish()
        except BaseException:  # also Ctrl-C: parts that nobody completes stay, and no listing shows
            upload.abort()
            raise

    def open(self, name: str, offset: int = 0, length: int | None = None) -> BinaryIO:
        """As `Store.open`."""
        size = self._size(name)
        if size is None:
            raise BlobMissing(f"The store holds no {name}.")
        within = min(size - offset, size if length is None else length)
        whole = _Download(self._client, self._bucket, self._key(name), size)
        return part_of(cast("BinaryIO", whole), offset, within)

    def exists(self, name: str) -> bool:
        """As `Store.exists`."""
        return self._size(name) is not None

    def destroy(self, name: str) -> bool:
        """As `Store.destroy`."""
        if not self.exists(name):
            return False
        self._client.delete_object(Bucket=self._bucket, Key=self._key(name))
        return True

    def names(self, prefix: str = "") -> Iterator[str]:
        """As `Store.names`."""
        pages = self._client.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix + prefix):
            for found in page.get("Contents", []):
                yield found["Key"][len(self._prefix) :]

    def destroy_unfinished(self, before: datetime) -> int:
        """As `Store.destroy_unfinished`: a bucket keeps the parts until told."""
        pages = self._client.get_paginator("list_multipart_uploads")
        left = [
            (upload["Key"], upload["UploadId"])
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix)
            for upload in page.get("Uploads", [])
            if upload["Initiated"] < before
        ]
        for key, upload_id in left:
            with suppress(self._client.exceptions.NoSuchUpload):
                self._client.abort_multipart_upload(
                    Bucket=self._bucket, Key=key, UploadId=upload_id
                )
        return len(left)

    def _key(self, name: str) -> str:
        return self._prefix + checked(name)

    def _size(self, name: str) -> int | None:
        try:
            about = self._client.head_object(Bucket=self._bucket, Key=self._key(name))
        except self._client.exceptions.ClientError as error:
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:  # noqa: PLR2004 - HTTP's own number
                return None
            raise
        return about["ContentLength"]


class _Upload(io.RawIOBase):
    """Collects parts; a blob smaller than one part is a single put."""

    def __init__(self, client: S3Client, bucket: str, key: str) -> None:
        super().__init__()
        self._client = client
        self._bucket = bucket
        self._key = key
        self._buffer = bytearray()
        self._upload_id: str | None = None
        self._parts: list[CompletedPartTypeDef] = []
        self._taken = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._taken

    def write(self, data: ReadableBuffer) -> int:
        view = memoryview(data).cast("B")
        self._taken += len(view)
        self._buffer += view
        if len(self._buffer) >= _PART_BYTES << (len(self._parts) // _PARTS_PER_SIZE):
            self._send_part()
        return len(view)

    def publish(self) -> None:
        if self._upload_id is None:
            self._client.put_object(Bucket=self._bucket, Key=self._key, Body=bytes(self._buffer))
            return
        if self._buffer:
            self._send_part()
        self._client.complete_multipart_upload(
            Bucket=self._bucket,
            Key=self._key,
            UploadId=self._upload_id,
            MultipartUpload={"Parts": self._parts},
        )

    def abort(self) -> None:
        if self._upload_id is not None:
            self._client.abort_multipart_upload(
                Bucket=self._bucket, Key=self._key, UploadId=self._upload_id
            )

    def _send_part(self) -> None:
        if self._upload_id is None:
            started = self._client.create_multipart_upload(Bucket=self._bucket, Key=self._key)
            self._upload_id = started["UploadId"]
        number = len(self._parts) + 1
        sent = self._client.upload_part(
            Bucket=self._bucket,
            Key=self._key,
            UploadId=self._upload_id,
            PartNumber=number,
            Body=bytes(self._buffer),
        )
        self._parts.append({"ETag": sent["ETag"], "PartNumber": number})
        self._buffer.clear()


class _Download(io.RawIOBase):
    """An object as a seekable file: one ranged request per MiB at most, none for a seek."""

    def __init__(self, client: S3Client, bucket: str, key: str, size: int) -> None:
        super().__init__()
        self._client = client
        self._bucket = bucket
        self._key = key
        self._size = size
        self._position = 0
        self._held_at = 0
        self._held = b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        target = memoryview(buffer).cast("B")
        if self._position >= self._size:
            return 0
        start = self._position - self._held_at
        if not 0 <= start < len(self._held):
            self._fetch()
            start = 0
        data = self._held[start : start + len(target)]
        target[: len(data)] = data
        self._position += len(data)
        return len(data)

    def _fetch(self) -> None:
        end = min(self._size, self._position + _READ_BYTES) - 1
        answer = self._client.get_object(
            Bucket=self._bucket, Key=self._key, Range=f"bytes={self._position}-{end}"
        )
        self._held = answer["Body"].read()
        self._held_at = self._position
