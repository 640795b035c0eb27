"""What the errors of the S3 API mean for the work.

In: an exception of the client. Out: one of the contract's errors, or one of the two that this
connector answers by reading again. No text names an object's key: keys can hold identities.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

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
GONE = frozenset({"NoSuchKey", "NoSuchUpload", "NoSuchVersion", "404"})
CHANGED = frozenset({"PreconditionFailed", "412"})
NOT_GRANTED = "s3-access-denied"  # the stop for a person
NOT_IMPLEMENTED = frozenset({"NotImplemented", "501"})
CONFLICT = "ConditionalRequestConflict"
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
DENIED = frozenset({"AccessDenied", "AllAccessDisabled", "ObjectLocked", "403"})


class ChangedError(Exception):
    """The object is no longer the one that was read: read again."""


class GoneError(Exception):
    """The version is not there any more."""


def code_of(error: ClientError) -> str:
    """The S3 code of an error."""
    return str(error.response.get("Error", {}).get("Code", ""))


def told(answer: Mapping[str, Any], name: str, operation: str) -> Any:
    """What S3 always says in this answer; a server that does not say it is refused by name."""
    value = answer.get(name)
    if value in (None, ""):
        raise NeedsHuman("s3-refused", {"operation": operation, "error": f"no {name}"})
    return value


def backed_off(failures: int) -> None:
    """Wait after so many failures in a row, twice as long each time, not all at once."""
    longest = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** (failures - 1))
    time.sleep(longest * random.uniform(0.5, 1))  # noqa: S311 - spreads retries, keeps no secret


@contextmanager
def translated(operation: str) -> Iterator[None]:
    """Turn the client's errors into ones that state their consequence and name no key."""
    try:
        yield
    except ClientError as error:
        raise _consequence(operation, error) from None
    except ParamValidationError:  # its text holds the value
        raise NeedsHuman("s3-refused", {"operation": operation, "error": "not-ASCII"}) from None
    except BotoCoreError as error:
        raise Transient(f"S3 {operation}: {type(error).__name__}") from None


def _consequence(operation: str, error: ClientError) -> Exception:
    code = code_of(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    text = f"S3 {operation}: {code or status}"
    if code in CHANGED:
        return ChangedError(text)
    if code in GONE:
        return GoneError(text)
    if code in MISCONFIGURED:
        return Configuration(text)
    if code in DENIED:
        return NeedsHuman(NOT_GRANTED, {"operation": operation})
    if code in TRANSIENT or code == CONFLICT or status >= _SERVER_ERROR:
        return Transient(text)
    return NeedsHuman("s3-refused", {"operation": operation, "error": code})
