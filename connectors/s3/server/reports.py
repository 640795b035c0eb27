"""Requests to the bucket in which S3 Inventory puts its reports; it may be another than the data's.

In: a bucket's name and keys. Out: names of deliveries, and verified or unverified bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from tempfile import SpooledTemporaryFile
from typing import IO

from connectors.s3.server.bucket import Bucket, Spend
from connectors.s3.server.refusals import told, translated

_IN_MEMORY_BYTES = 16 * 1024 * 1024
_CHUNK_BYTES = 256 * 1024


def folders(bucket: Bucket, name: str, prefix: str, spend: Spend) -> list[str]:
    """The folders right under a prefix that ends in `/`, by their own names."""
    found: list[str] = []
    request = {"Bucket": name, "Prefix": prefix, "Delimiter": "/"}
    while True:
        spend()
        with translated("ListObjectsV2"):
            page = bucket.reads.list_objects_v2(**request)  # type: ignore[arg-type]  # a TypedDict that grows by a token
        folders_here = (p.get("Prefix", "") for p in page.get("CommonPrefixes", []))
        found += [folder[len(prefix) :].rstrip("/") for folder in folders_here]
        if not page.get("IsTruncated"):
            return found
        request["ContinuationToken"] = told(page, "NextContinuationToken", "ListObjectsV2")


def small(bucket: Bucket, name: str, key: str, spend: Spend) -> bytes:
    """A whole small object. Raises `GoneError`."""
    spend()
    with (
        translated("GetObject"),
        closing(bucket.reads.get_object(Bucket=name, Key=key)["Body"]) as body,
    ):
        return body.read()


@contextmanager
def verified(
    bucket: Bucket, name: str, key: str, md5: str, spend: Spend
) -> Iterator[IO[bytes] | None]:
    """An object as a file, from its start; None where its bytes have another MD5 (hex)."""
    with SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as file:
        digest = hashlib.md5(usedforsecurity=False)  # what the manifests of S3 Inventory carry
        spend()
        with translated("GetObject"):
            answer = bucket.reads.get_object(Bucket=name, Key=key)
            with closing(answer["Body"]) as body:
                for part in body.iter_chunks(_CHUNK_BYTES):
                    digest.update(part)
                    file.write(part)
        file.seek(0)
        yield file if digest.hexdigest() == md5.lower() else None
