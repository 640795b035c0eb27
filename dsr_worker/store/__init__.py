"""The store: a place for sealed blobs (spools, packages, attachments), a folder or an S3 bucket.

In: an address. Out: a `Store`, which keeps bytes by name and knows neither keys nor meaning.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from dsr_worker.store.blobs import BlobMissing, Store, StoreError, new_name
from dsr_worker.store.bucket import S3Store, default_client
from dsr_worker.store.folder import LocalStore

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = [
    "BlobMissing",
    "LocalStore",
    "S3Store",
    "Store",
    "StoreError",
    "new_name",
    "open_store",
]


def open_store(url: str, client: S3Client | None = None) -> Store:
    """The store of a path, a `file:///…` or an `s3://bucket/prefix` address.

    Without a `client` a bucket is reached as boto3 finds region, credentials and endpoint
    (`AWS_ENDPOINT_URL_S3` for another endpoint than Amazon's).
    """
    parts = urlsplit(url)
    if parts.scheme == "s3":
        if not parts.netloc:
            raise StoreError("DSR_STORE names no bucket: write s3://BUCKET/PREFIX.")
        return S3Store(parts.netloc, parts.path.strip("/"), client or default_client())
    if parts.scheme == "file":
        if parts.netloc not in {"", "localhost"}:
            raise StoreError("DSR_STORE names another machine: write file:///PATH.")
        return LocalStore(Path(unquote(parts.path)))
    if "://" in url or not url:
        raise StoreError("DSR_STORE is a path, file:///PATH or s3://BUCKET/PREFIX.")
    return LocalStore(Path(url))
