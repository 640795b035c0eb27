"""The lock that a version is under, as far as the grants let us see it.

In: a version and its headers. Out: the lock as headers tell it. A HEAD leaves out a lock that we
may not see, exactly as if there were none (S3 API reference, HeadObject: x-amz-object-lock-mode and
x-amz-object-lock-legal-hold): where Object Lock is on, and it says nothing, each is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from botocore.exceptions import ClientError

from connectors.s3.server.client import Spend, Version
from connectors.s3.server.reading import Reads
from connectors.s3.server.refusals import NOT_GRANTED, NOT_IMPLEMENTED, code_of, translated
from dsr_worker.contract import NeedsHuman

_NO_LOCK: Final = NOT_IMPLEMENTED | {"NoSuchObjectLockConfiguration", "InvalidRequest"}


def lock_headers(
    bucket: Reads, version: Version, head: Mapping[str, Any], spend: Spend
) -> dict[str, Any]:
    """Retention and legal hold by the names of headers; what there is none of is missing.

    Raises `NeedsHuman`, which names the grant, where one cannot be seen, and `GoneError`.
    """
    found = {name: value for name, value in head.items() if name.startswith("ObjectLock")}
    if not bucket.locking:
        return found
    if "ObjectLockMode" not in found:
        found |= _retention(bucket, version, spend)
    if "ObjectLockLegalHoldStatus" not in found:
        found |= _hold(bucket, version, spend)
    return found


def hidden_locks(bucket: Reads, version: Version, spend: Spend) -> Iterator[str]:
    """The grants that are missing to see a version's lock."""
    for ask in (_retention, _hold):
        try:
            ask(bucket, version, spend)
        except NeedsHuman as stop:
            if stop.code != NOT_GRANTED:
                raise
            yield str(stop.fields["operation"])


def _retention(bucket: Reads, version: Version, spend: Spend) -> dict[str, Any]:
    get = bucket.reads.get_object_retention
    told = _asked("GetObjectRetention", get, bucket, version, spend).get("Retention", {})
    names = {"ObjectLockMode": "Mode", "ObjectLockRetainUntilDate": "RetainUntilDate"}
    return {name: told[of] for name, of in names.items() if told.get(of)}


def _hold(bucket: Reads, version: Version, spend: Spend) -> dict[str, Any]:
    get = bucket.reads.get_object_legal_hold
    told = _asked("GetObjectLegalHold", get, bucket, version, spend).get("LegalHold", {})
    return {"ObjectLockLegalHoldStatus": told["Status"]} if told.get("Status") else {}


def _asked(
    operation: str,
    get: Callable[..., Mapping[str, Any]],
    bucket: Reads,
    version: Version,
    spend: Spend,
) -> Mapping[str, Any]:
    spend()
    with translated(operation):
        try:
            return get(**bucket.at(version))
        except ClientError as error:
            if code_of(error) in _NO_LOCK:
                return {}
            raise
