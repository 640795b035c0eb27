"""The store: a place for sealed blobs (spools, packages, attachments), a folder or an S3 bucket.

In: names and bytes that are sealed already. Out: the same bytes. A blob appears under its name
whole and durable, or not at all; it is never changed afterwards, only destroyed. The store knows
neither keys nor what a blob means.
"""

from __future__ import annotations

import io
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)*")
_TEMPORARY = ".incoming"
_WRITE_BUFFER_BYTES = 256 * 1024
# At least 5 MiB, at most 10,000 parts (Amazon S3 user guide, "multipart upload limits").
_PART_BYTES = 16 * 1024 * 1024
_PARTS_PER_SIZE = 1_000  # after so many parts the part size doubles: 10,000 parts hold 15 TiB
_READ_BYTES = 1024 * 1024


class StoreError(Exception):
    """The store cannot do what was asked. The text names the blob, never a person."""


class BlobMissing(StoreError):  # noqa: N818 - a state of the store, like `LeaseLost`
    """There is no blob of this name."""


class Store(Protocol):
    """Sealed blobs by name. Safe for many threads; one open blob belongs to one thread."""

    def write(self, name: str) -> AbstractContextManager[BinaryIO]:
        """A new blob: published, durable, when the block ends without an error; gone otherwise.

        Raises StoreError when the name is taken.
        """
        ...

    def open(self, name: str, offset: int = 0, length: int | None = None) -> BinaryIO:
        """`length` bytes (None: all) from `offset`, as a seekable file. Raises BlobMissing."""
        ...

    def exists(self, name: str) -> bool:
        """Whether a whole blob has this name."""
        ...

    def destroy(self, name: str) -> bool:
        """Destroy a blob. Safe to repeat: False when it was gone already."""
        ...

    def names(self, prefix: str = "") -> Iterator[str]:
        """The names that begin with `prefix`, in order."""
        ...

    def destroy_unfinished(self, before: datetime) -> int:
        """Destroy what was begun before this instant and never published; how many there were.

        Its writer has died, or has not written for so long: one that is alive after all cannot
        publish it any more. Safe to repeat.
        """
        ...


def new_name(kind: str, on: date) -> str:
    """A name nobody has used: `kind/2026/11/21/<uuid>`."""
    return f"{kind}/{on:%Y/%m/%d}/{uuid.uuid4().hex}"


def open_store(url: str, client: S3Client | None = None) -> Store:
    """The store of a path, a `file:///…` or an `s3://bucket/prefix` address.

    Without a `client` a bucket is reached as boto3 finds region, credentials and endpoint
    (`AWS_ENDPOINT_URL_S3` for another endpoint than Amazon's).
    """
    parts = urlsplit(url)
    if parts.scheme == "s3":
        if not parts.netloc:
            raise StoreError("DSR_STORE names no bucket: write s3://BUCKET/PREFIX.")
        return S3Store(parts.netloc, parts.path.strip("/"), client or _client())
    if parts.scheme == "file":
        if parts.netloc not in {"", "localhost"}:
            raise StoreError("DSR_STORE names another machine: write file:///PATH.")
        return LocalStore(Path(unquote(parts.path)))
    if "://" in url or not url:
        raise StoreError("DSR_STORE is a path, file:///PATH or s3://BUCKET/PREFIX.")
    return LocalStore(Path(url))


def _client() -> S3Client:
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


class _Slice(io.RawIOBase):
    """A part of a seekable file, as a file of its own that closes the whole one."""

    def __init__(self, whole: BinaryIO, offset: int, length: int) -> None:
        super().__init__()
        self._whole = whole
        self._offset = offset
        self._length = length
        self._position = 0
        whole.seek(offset)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._length}[whence]
        target = max(0, base + offset)
        if target != self._position:
            self._whole.seek(self._offset + target)
            self._position = target
        return target

    def readinto(self, buffer: WriteableBuffer) -> int:
        target = memoryview(buffer).cast("B")
        count = max(0, min(len(target), self._length - self._position))
        data = self._whole.read(count) if count else b""
        target[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        self._whole.close()
        super().close()


class LocalStore:
    """Blobs as files (0600) in folders (0700) below `folder`."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder).absolute()
        self._incoming = self.folder / _TEMPORARY
        self._incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._known = {self.folder}

    def __repr__(self) -> str:
        return f"LocalStore({self.folder})"

    @contextmanager
    def write(self, name: str) -> Iterator[BinaryIO]:
        """As `Store.write`."""
        final = self._path(name)
        temporary = self._incoming / uuid.uuid4().hex
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb", _WRITE_BUFFER_BYTES) as file:
                yield file
                file.flush()
                os.fdatasync(file.fileno())
            self._publish(temporary, final, name)
        finally:
            temporary.unlink(missing_ok=True)

    def open(self, name: str, offset: int = 0, length: int | None = None) -> BinaryIO:
        """As `Store.open`."""
        try:
            file = self._path(name).open("rb")
        except FileNotFoundError:
            raise BlobMissing(f"The store holds no {name}.") from None
        if length is None and offset == 0:
            return file
        size = os.fstat(file.fileno()).st_size
        within = min(size - offset, size if length is None else length)
        return cast("BinaryIO", _Slice(file, offset, max(0, within)))

    def exists(self, name: str) -> bool:
        """As `Store.exists`."""
        return self._path(name).is_file()

    def destroy(self, name: str) -> bool:
        """As `Store.destroy`."""
        path = self._path(name)
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        _sync_folder(path.parent)
        return True

    def names(self, prefix: str = "") -> Iterator[str]:
        """As `Store.names`."""
        start = self.folder / prefix.rpartition("/")[0]
        for folder, folders, files in os.walk(start):
            folders[:] = sorted(f for f in folders if f != _TEMPORARY)
            for file in sorted(files):
                name = (Path(folder) / file).relative_to(self.folder).as_posix()
                if name.startswith(prefix):
                    yield name

    def destroy_unfinished(self, before: datetime) -> int:
        """As `Store.destroy_unfinished`, by when each was last written to."""
        left = [file for file in self._incoming.iterdir() if _is_older(file, before)]
        for file in left:
            file.unlink(missing_ok=True)
        return len(left)

    def _path(self, name: str) -> Path:
        return self.folder / _checked(name)

    def _publish(self, temporary: Path, final: Path, name: str) -> None:
        """Give it its name, and make that durable."""
        self._make_folder(final.parent)
        if final.exists():
            raise StoreError(f"The store holds {name} already: blobs are never replaced.")
        temporary.rename(final)
        _sync_folder(final.parent)

    def _make_folder(self, folder: Path) -> None:
        if folder in self._known:
            return
        self._make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        _sync_folder(folder.parent)
        self._known.add(folder)


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
        except BaseException:
            upload.abort()
            raise

    def open(self, name: str, offset: int = 0, length: int | None = None) -> BinaryIO:
        """As `Store.open`."""
        size = self._size(name)
        if size is None:
            raise BlobMissing(f"The store holds no {name}.")
        within = min(size - offset, size if length is None else length)
        whole = _Download(self._client, self._bucket, self._key(name), size)
        return cast("BinaryIO", _Slice(cast("BinaryIO", whole), offset, max(0, within)))

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
        return self._prefix + _checked(name)

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


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name) or ".." in name:
        raise StoreError("A blob's name is made by `new_name`; this one could leave the store.")
    return name


def _is_older(file: Path, before: datetime) -> bool:
    """Whether a file was last written to before an instant; one that is gone is not."""
    try:
        return file.stat().st_mtime < before.timestamp()
    except FileNotFoundError:
        return False


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
