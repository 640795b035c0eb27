"""The lifecycle configuration of a bucket, rule by rule as the server wrote it.

In: a bucket, rules as XML. Out: the configuration with each rule's own bytes. The API replaces the
configuration as a whole, and a client rebuilds only the elements it knows: a rule that others wrote
is therefore put back as the very bytes that were read.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from connectors.s3.server.bucket import Bucket
from connectors.s3.server.refusals import code_of, translated
from dsr_worker.contract import NeedsHuman

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import PutBucketLifecycleConfigurationRequestTypeDef

_RULE = re.compile(rb"<Rule>.*?</Rule>", re.DOTALL)  # rules do not nest
_HEAD = b'<LifecycleConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
_TAIL = b"</LifecycleConfiguration>"
_NONE = frozenset({"NoSuchLifecycleConfiguration"})
_UNKNOWN = frozenset({"NotImplemented", "MethodNotAllowed", "501", "405"})
_BODY = "dsr-body"
_WRITTEN: ContextVar[bytes] = ContextVar("the bytes of the configuration that a call writes")
_READ = "after-call.s3.GetBucketLifecycleConfiguration"
_WRITE = "before-call.s3.PutBucketLifecycleConfiguration"


@dataclass(frozen=True, slots=True)
class WrittenRule:
    """One rule: its id, its bytes, and what a client reads in them."""

    id: str
    raw: bytes
    says: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Configuration:
    """The whole configuration; empty where there is none. `known`: the server has lifecycles."""

    raw: bytes = b""
    rules: tuple[WrittenRule, ...] = ()
    known: bool = True
    more: Mapping[str, Any] = field(default_factory=dict)
    """What stands beside the rules and has to be written with them."""

    @property
    def digest(self) -> str:
        """The SHA-256 (hex) of what was read."""
        return hashlib.sha256(self.raw).hexdigest()

    def around(self) -> tuple[bytes, bytes]:
        """The bytes before the first rule and behind the last."""
        found = list(_RULE.finditer(self.raw))
        if not found:
            return _HEAD, _TAIL
        return self.raw[: found[0].start()], self.raw[found[-1].end() :]


def read(bucket: Bucket, spend: Callable[[], None]) -> Configuration:
    """The configuration as it is.

    Raises NeedsHuman("s3-lifecycle-unreadable") where its rules cannot be told apart.
    """
    spend()
    with translated("GetBucketLifecycleConfiguration"):
        bucket.reads.meta.events.register(_READ, _with_body, unique_id=_READ)
        try:
            answer = bucket.reads.get_bucket_lifecycle_configuration(Bucket=bucket.name)
        except ClientError as error:
            if code_of(error) in _NONE:
                return Configuration()
            if code_of(error) in _UNKNOWN:
                return Configuration(known=False)
            raise
    said: dict[str, Any] = dict(answer)
    return _told_apart(said.pop(_BODY), said)


def _with_body(http_response: Any, parsed: dict[str, Any], **_: Any) -> None:
    """Hand the answer's bytes over beside what the client reads in them."""
    parsed[_BODY] = http_response.content


def _told_apart(body: bytes, answer: Mapping[str, Any]) -> Configuration:
    parts, said = _RULE.findall(body), answer.get("Rules", [])
    if len(parts) != len(said):
        raise NeedsHuman("s3-lifecycle-unreadable", {"rules": len(said)})
    size = answer.get("TransitionDefaultMinimumObjectSize")
    return Configuration(
        body,
        tuple(
            WrittenRule(says.get("ID", ""), raw, says)
            for raw, says in zip(parts, said, strict=True)
        ),
        more={"TransitionDefaultMinimumObjectSize": size} if size else {},
    )


def write(
    bucket: Bucket, before: Configuration, rules: Sequence[bytes], spend: Callable[[], None]
) -> None:
    """Put these rules in the place of all that stand; without any, there is no configuration."""
    spend()
    if not rules:
        with translated("DeleteBucketLifecycle"):
            bucket.writes.delete_bucket_lifecycle(Bucket=bucket.name)
        return
    head, tail = before.around()
    request: PutBucketLifecycleConfigurationRequestTypeDef = {
        "Bucket": bucket.name,
        "LifecycleConfiguration": {"Rules": []},
        **before.more,  # type: ignore[typeddict-item]  # as it was read
    }
    bucket.writes.meta.events.register(_WRITE, _as_written, unique_id=_WRITE)
    mine = _WRITTEN.set(head + b"".join(rules) + tail)
    try:
        with translated("PutBucketLifecycleConfiguration"):
            bucket.writes.put_bucket_lifecycle_configuration(**request)
    finally:
        _WRITTEN.reset(mine)


def _as_written(params: dict[str, Any], **_: Any) -> None:
    """Send this call's bytes in the place of what the client made; the checksum comes later."""
    params["body"] = _WRITTEN.get()
