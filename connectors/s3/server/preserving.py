"""What an object keeps when its bytes are written anew.

In: a version and its headers. Out: the arguments of the request that writes it: content headers,
metadata, tags, storage class, encryption, access list, redirect, checksum algorithm, Object Lock.
What could not be kept is refused by name, before anything is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from botocore.compat import HAS_CRT
from botocore.exceptions import ClientError

from connectors.s3.formats.entries import UnreadableError
from connectors.s3.server.client import Spend, Version
from connectors.s3.server.labels import tags_of
from connectors.s3.server.reading import Reads
from connectors.s3.server.refusals import NOT_IMPLEMENTED, code_of, translated
from connectors.s3.server.retention import lock_headers
from dsr_worker.contract import NeedsHuman

MARK: Final = "dsr-rewritten"
_HEADERS: Final = (
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
# Amazon S3 Encryption Client, "object metadata": of its first, second and third message format
_CLIENT_SIDE: Final = frozenset({"x-amz-key", "x-amz-key-v2", "x-amz-3", "x-amz-iv", "x-amz-i"})
_BY_CRT: Final = ("CRC32C", "CRC64NVME")  # computed by awscrt alone (extra `checksums`)
_ALGORITHMS: Final = ("CRC32", "SHA1", "SHA256", *_BY_CRT)
CHECKSUMS: Final = tuple(f"Checksum{name}" for name in _ALGORITHMS)
_GRANTS: Final = {
    "FULL_CONTROL": "GrantFullControl",
    "READ": "GrantRead",
    "READ_ACP": "GrantReadACP",
    "WRITE_ACP": "GrantWriteACP",
}
_GRANTEES: Final = {"CanonicalUser": "ID", "Group": "URI", "AmazonCustomerByEmail": "EmailAddress"}
_NAMES: Final = {"ID": "id", "URI": "uri", "EmailAddress": "emailAddress"}


def refuse_client_side(headers: Mapping[str, Any]) -> None:
    """Raise UnreadableError for what its writer encrypted before it reached the bucket."""
    if not _CLIENT_SIDE.isdisjoint(name.lower() for name in headers.get("Metadata", {})):
        raise UnreadableError("client-side-encrypted")


def preserved(
    bucket: Reads, version: Version, head: Mapping[str, Any], now: datetime, spend: Spend
) -> dict[str, Any]:
    """The arguments that carry over all of `version` but its bytes.

    Raises `NeedsHuman` where the server does not tell all of it, or may not tell us.
    """
    if head.get("MissingMeta"):  # some metadata have no form as headers: they would be lost
        raise NeedsHuman("s3-refused", {"operation": "HeadObject", "error": "hidden-metadata"})
    kept = {name: _as_sent(head[name]) for name in _HEADERS if head.get(name) is not None}
    if "Expires" not in kept and head.get("ExpiresString"):
        kept["Expires"] = datetime.fromtimestamp(0, UTC)  # no date means expired (RFC 9111, 5.3)
    kept |= _tags(bucket, version, spend)
    kept |= _access(bucket, version, spend)
    kept |= _lock(lock_headers(bucket, version, head, spend), now)
    if head.get("SSECustomerAlgorithm"):
        kept |= bucket.customer_key
    algorithm = next((name for name in _ALGORITHMS if head.get(f"Checksum{name}")), None)
    if algorithm in _BY_CRT and not HAS_CRT:
        algorithm = "CRC32"
    if algorithm:
        kept["ChecksumAlgorithm"] = algorithm
    return kept


def _as_sent(value: Any) -> Any:
    """A header as a request has to say it: the client reads its bytes as Latin-1 and sends UTF-8.

    Metadata are no text; they may hold ASCII only, and the client refuses all else by itself.
    """
    if not isinstance(value, str) or value.isascii():
        return value
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        error = "header-not-UTF-8"
        raise NeedsHuman("s3-refused", {"operation": "HeadObject", "error": error}) from None


def _tags(bucket: Reads, version: Version, spend: Spend) -> dict[str, str]:
    tags = tags_of(bucket, version, spend)
    return {"Tagging": urlencode(tags)} if tags else {}


def _lock(told: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Retention that still runs, and a legal hold: the new version is bound as the old one is."""
    lock: dict[str, Any] = {}
    until = told.get("ObjectLockRetainUntilDate")
    if until is not None and until > now:
        lock = {"ObjectLockMode": told["ObjectLockMode"], "ObjectLockRetainUntilDate": until}
    if told.get("ObjectLockLegalHoldStatus") == "ON":
        lock["ObjectLockLegalHoldStatus"] = "ON"
    return lock


def _access(bucket: Reads, version: Version, spend: Spend) -> dict[str, str]:
    """The grants of the access list, unless they are those that a new object has anyway."""
    if not bucket.acls:
        return {}
    spend()
    with translated("GetObjectAcl"):
        try:
            acl = bucket.reads.get_object_acl(**bucket.at(version))
        except ClientError as error:
            if code_of(error) in NOT_IMPLEMENTED:
                return {}
            raise
    owner = acl.get("Owner", {}).get("ID")
    grants: dict[str, list[str]] = {}
    only_owners = True
    for grant in acl.get("Grants", ()):
        grantee: Mapping[str, Any] = grant.get("Grantee", {})
        permission = grant.get("Permission", "")
        field = _GRANTEES.get(grantee.get("Type", ""), "")
        name = _GRANTS.get(permission)
        if field not in grantee or name is None:  # no header could give it again
            raise NeedsHuman("s3-refused", {"operation": "GetObjectAcl", "error": "unknown-grant"})
        own = permission == "FULL_CONTROL" and grantee.get("ID") == owner
        only_owners = only_owners and own
        grants.setdefault(name, []).append(f'{_NAMES[field]}="{grantee[field]}"')
    return {} if only_owners else {name: ", ".join(them) for name, them in grants.items()}
