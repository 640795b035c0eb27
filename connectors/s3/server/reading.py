"""The headers and bytes of one version.

In: a version. Out: its headers, a range, or all of its bytes. A stream that breaks goes on from
where it broke, from the same version or not at all, and one that ends too early is never taken for
whole. What was encrypted by the customer's own key is read with the key of the config.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from connectors.s3.server.client import TRIES, Spend, Version
from connectors.s3.server.listing import Lists
from connectors.s3.server.locks import Refusal, lagging, lock_of
from connectors.s3.server.refusals import (
    DENIED,
    MISCONFIGURED,
    NOT_IMPLEMENTED,
    TRANSIENT,
    GoneError,
    backed_off,
    code_of,
    translated,
)
from dsr_worker.contract import Configuration, NeedsHuman, Transient

T = TypeVar("T")
_CHUNK_BYTES = 256 * 1024
_KEY_BYTES = (
    32  # AES-256 (S3 User Guide, "Using server-side encryption with customer-provided keys")
)
_OTHER_KEY = "InvalidRequest"  # the key is missing (S3 error responses)


class Reads(Lists):
    """Requests for what one version is and holds."""

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
        found = answer.get("ObjectLockConfiguration", {})
        return found.get("ObjectLockEnabled") == "Enabled"

    @cached_property
    def acls(self) -> bool:
        """Whether objects here have access lists of their own."""
        with translated("GetBucketOwnershipControls"):
            try:
                answer = self.reads.get_bucket_ownership_controls(Bucket=self.name)
            except ClientError as error:
                if code_of(error) in TRANSIENT | MISCONFIGURED:
                    raise
                return code_of(error) not in NOT_IMPLEMENTED  # none set, or not told: look
        rules = answer.get("OwnershipControls", {}).get("Rules", ())
        return all(rule["ObjectOwnership"] != "BucketOwnerEnforced" for rule in rules)

    @cached_property
    def customer_key(self) -> dict[str, Any]:
        """What a request says about the customer's own key; empty where the config has none."""
        secret = self.config.sse_customer_key
        if secret is None:
            return {}
        try:
            key = base64.b64decode(secret.get_secret_value(), validate=True)
        except ValueError:
            key = b""
        if len(key) != _KEY_BYTES:
            raise Configuration("sse_customer_key is not 32 bytes in base64")
        # botocore encodes the key and adds its digest
        return {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": key}

    def head(self, version: Version, spend: Spend, **more: Any) -> dict[str, Any]:
        """The headers of a version. Raises `GoneError`."""
        place = self.at(version) | more

        def ask(key: dict[str, Any]) -> dict[str, Any]:
            spend()
            try:
                return dict(self.reads.head_object(**place, **key))
            except ClientError as error:
                if code_of(error) != "400":
                    raise
                # an answer to HEAD has no body that could say why; one to GET has
                self.reads.get_object(**place, **key)["Body"].close()
                raise

        with translated("HeadObject"):
            return self._keyed(ask)

    def locked(self, version: Version, spend: Spend, now: datetime) -> Refusal | None:
        """Why and until when this version cannot be erased: a lock, a copy under way; or None.

        Of one whose headers are denied nothing is known: its erasure is tried.
        """
        follows = bool(self.config.replicas)
        if version.marker or version.upload or not (follows or self.locking):
            return None
        try:
            head = self.head(version, spend)
        except (GoneError, NeedsHuman):
            return None
        lock = lock_of(head, now, bypass_governance=self.config.bypass_governance)
        return lock or (lagging(head, now) if follows else None)

    def stream(self, version: Version, spend: Spend) -> Iterator[bytes]:
        """The bytes of a version as stored. Raises `ChangedError` or `GoneError`."""
        yield from self.opened(version, spend)[1]

    def opened(self, version: Version, spend: Spend) -> tuple[dict[str, Any], Iterator[bytes]]:
        """The headers and the stream of a version, by one request; raises as `stream` does."""
        answer = self._get(version, spend, "")
        return answer, self._followed(version, spend, answer["Body"], 0, version.size_bytes)

    def read(self, version: Version, start: int, length: int, spend: Spend) -> bytes:
        """A range of the bytes of a version. Raises `ChangedError` or `GoneError`."""
        end = min(start + length, version.size_bytes)
        if start >= end:
            return b""
        body = self._get(version, spend, f"bytes={start}-{end - 1}")["Body"]
        return b"".join(self._followed(version, spend, body, start, end))

    def _followed(
        self, version: Version, spend: Spend, body: Any, at: int, end: int
    ) -> Iterator[bytes]:
        """A stream to its end, over breaks."""
        failures = 0
        while True:
            begun = at
            with closing(body), suppress(BotoCoreError):
                for chunk in body.iter_chunks(_CHUNK_BYTES):
                    at += len(chunk)
                    yield chunk
            if at == end:
                return
            failures = 1 if at > begun else failures + 1
            if failures > TRIES or at > end:
                raise Transient("S3 GetObject: the bytes end before the object does")
            backed_off(failures)
            body = self._get(version, spend, f"bytes={at}-{end - 1}")["Body"]

    def _get(self, version: Version, spend: Spend, wanted: str) -> dict[str, Any]:
        if version.archived:
            raise NeedsHuman("s3-archived-object", {"storage_class": version.storage_class})
        place: dict[str, Any] = {**self.at(version), "IfMatch": version.etag}
        if wanted:
            place["Range"] = wanted

        def ask(key: dict[str, Any]) -> dict[str, Any]:
            spend()
            return dict(self.reads.get_object(**place, **key))

        with translated("GetObject"):
            return self._keyed(ask)

    def _keyed(self, ask: Callable[[dict[str, Any]], T]) -> T:
        """Ask without the customer's key, then with it: an object has one or has none."""
        try:
            return ask({})
        except ClientError as error:
            if code_of(error) != _OTHER_KEY:
                raise
            if not self.customer_key:
                raise NeedsHuman("s3-customer-key", {"bucket": self.name}) from None
            return ask(self.customer_key)
