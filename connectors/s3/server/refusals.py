"""What the errors of the S3 API mean for the work.

In: an exception of the client. Out: one of the contract's errors, or one of the two that this
connector answers by reading again. No text names an object's key: keys can hold identities.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError

from dsr_worker.contract import Configuration, NeedsHuman, Transient

_SERVER_ERROR = 500
TRANSIENT = frozenset(
    {
        "InternalError",
        "OperationAborted",
        "RequestTimeout",
        "RequestTimeTooSkewed",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
        "500",
        "502",
        "503",
        "504",
    }
)
MISCONFIGURED = frozenset(
    {
        "AuthorizationHeaderMalformed",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidBucketName",
        "InvalidToken",
        "NoSuchBucket",
        "PermanentRedirect",
        "SignatureDoesNotMatch",
        "301",
    }
)
GONE = frozenset({"NoSuchKey", "NoSuchVersion", "404"})
NOT_GRANTED = "s3-access-denied"  # the stop for a person
DENIED = frozenset({"AccessDenied", "AllAccessDisabled", "ObjectLocked", "403"})


class ChangedError(Exception):
    """The object is no longer the one that was read: read again."""


class GoneError(Exception):
    """The version is not there any more."""


def code_of(error: ClientError) -> str:
    """The S3 code of an error."""
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def translated(operation: str) -> Iterator[None]:
    """Turn the client's errors into ones that state their consequence and name no key."""
    try:
        yield
    except ClientError as error:
        raise _consequence(operation, error) from None
    except BotoCoreError as error:
        raise Transient(f"S3 {operation}: {type(error).__name__}") from None


def _consequence(operation: str, error: ClientError) -> Exception:
    code = code_of(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    text = f"S3 {operation}: {code or status}"
    if code in ("PreconditionFailed", "412"):
        return ChangedError(text)
    if code in GONE:
        return GoneError(text)
    if code in MISCONFIGURED:
        return Configuration(text)
    if code in DENIED:
        return NeedsHuman(NOT_GRANTED, {"operation": operation})
    if code in TRANSIENT or code == "ConditionalRequestConflict" or status >= _SERVER_ERROR:
        return Transient(text)
    return NeedsHuman("s3-refused", {"operation": operation, "error": code})
