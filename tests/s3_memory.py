"""A bucket in memory under the client's calls, for what moto does not do: suspended versioning.

In: calls of boto3 by operation and parameters. Out: answers as S3's (S3 User Guide, "Adding objects
to versioning-suspended buckets" and "How to perform conditional deletes"): what is written without
versioning takes the null version's place and is current, whatever lies there; so does a delete
marker; a condition of a delete is held against the current version. `before` sees each call first,
and may write meanwhile. Nothing reaches a network.
"""

from __future__ import annotations

import hashlib
import io
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qsl

import pytest
from botocore import xform_name
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from botocore.response import StreamingBody

ENDPOINT: Final = "http://127.0.0.1:1"
Params = dict[str, Any]


@dataclass(eq=False)
class Held:
    """One version or marker."""

    version_id: str
    body: bytes | None  # None: a delete marker
    at: datetime
    tags: dict[str, str]

    @property
    def etag(self) -> str:
        """The ETag of its bytes."""
        return f'"{hashlib.md5(self.body or b"").hexdigest()}"'  # noqa: S324 - what S3 does


def failed(code: str, status: int) -> ClientError:
    """An error of S3."""
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "Played")


@dataclass
class Memory:
    """The bucket; `status` is its versioning: empty, Enabled or Suspended."""

    status: str = ""
    objects: dict[str, list[Held]] = field(default_factory=dict)  # oldest first
    before: Callable[[str, Params], None] = lambda _operation, _params: None
    calls: list[str] = field(default_factory=list)
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def put(self, key: str, body: bytes | None, tags: str = "") -> Held:
        """Write an object, or lay a marker."""
        number = next(self._ids)
        held = self.objects.setdefault(key, [])
        version_id = f"v{number:04d}" if self.status == "Enabled" else "null"
        held[:] = [v for v in held if v.version_id != version_id]
        at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number)
        held.append(Held(version_id, body, at, dict(parse_qsl(tags))))
        return held[-1]

    def content(self) -> dict[tuple[str, str], bytes | None]:
        """Every version by key and id; None is a marker."""
        return {(k, v.version_id): v.body for k, held in self.objects.items() for v in held}

    def shown(self, key: str) -> bytes | None:
        """What a plain request gives."""
        current = self._current(key)
        return None if current is None else current.body

    def call(self, operation: str, params: Params) -> Any:
        """Answer one call."""
        self.calls.append(operation)
        self.before(operation, params)
        return getattr(self, f"_{xform_name(operation)}")(params)

    # ---- what is there

    def _current(self, key: str) -> Held | None:
        held = self.objects.get(key)
        return held[-1] if held and held[-1].body is not None else None

    def _found(self, params: Params) -> Held:
        found = self._current(params["Key"])
        if wanted := params.get("VersionId"):
            held = self.objects.get(params["Key"], [])
            found = next((v for v in held if v.version_id == wanted), None)
        if found is None:
            raise failed("NoSuchKey", 404)
        if found.body is None:
            raise failed("MethodNotAllowed", 405)
        if params.get("IfMatch") not in (None, found.etag):
            raise failed("PreconditionFailed", 412)
        return found

    # ---- operations

    def _get_bucket_versioning(self, _: Params) -> Any:
        return {"Status": self.status} if self.status else {}

    def _get_object_lock_configuration(self, _: Params) -> Any:
        raise failed("ObjectLockConfigurationNotFoundError", 404)

    def _get_bucket_ownership_controls(self, _: Params) -> Any:
        return {"OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}}

    def _list_multipart_uploads(self, _: Params) -> Any:
        return {"IsTruncated": False}

    def _list_object_versions(self, params: Params) -> Any:
        listed: dict[bool, list[Any]] = {False: [], True: []}
        for key in sorted(k for k in self.objects if k.startswith(params["Prefix"])):
            for held in reversed(self.objects[key]):
                told = {
                    "Key": key,
                    "VersionId": held.version_id,
                    "IsLatest": held is self.objects[key][-1],
                    "LastModified": held.at,
                    "ETag": held.etag,
                    "Size": len(held.body or b""),
                }
                listed[held.body is None].append(told)
        return {"Versions": listed[False], "DeleteMarkers": listed[True], "IsTruncated": False}

    def _head_object(self, params: Params) -> Any:
        found = self._found(params)
        named = {} if found.version_id == "null" else {"VersionId": found.version_id}
        return {
            "ETag": found.etag,
            "ContentLength": len(found.body or b""),
            "Metadata": {},
            **named,
        }

    def _get_object(self, params: Params) -> Any:
        body = self._found(params).body or b""
        if wanted := params.get("Range"):
            start, _, end = wanted.removeprefix("bytes=").partition("-")
            body = body[int(start) : int(end) + 1]
        return {**self._head_object(params), "Body": StreamingBody(io.BytesIO(body), len(body))}

    def _get_object_tagging(self, params: Params) -> Any:
        return {"TagSet": [{"Key": k, "Value": v} for k, v in self._found(params).tags.items()]}

    def _put_object(self, params: Params) -> Any:
        if params.get("IfMatch"):
            self._found({"Key": params["Key"], "IfMatch": params["IfMatch"]})
        body = params["Body"] if isinstance(params["Body"], bytes) else params["Body"].read()
        held = self.put(params["Key"], body, params.get("Tagging", ""))
        named = {} if held.version_id == "null" else {"VersionId": held.version_id}
        return {"ETag": held.etag, **named}

    def _delete_object(self, params: Params) -> Any:
        key = params["Key"]
        if params.get("IfMatch"):
            self._found({"Key": key, "IfMatch": params["IfMatch"]})
        wanted = params.get("VersionId", "" if self.status else "null")
        if not wanted:
            return {"DeleteMarker": True, "VersionId": self.put(key, None).version_id}
        left = [v for v in self.objects.pop(key, []) if v.version_id != wanted]
        if left:
            self.objects[key] = left
        return {}

    def _delete_objects(self, params: Params) -> Any:
        errors = []
        for named in params["Delete"]["Objects"]:
            try:
                self._delete_object({**named, "IfMatch": named.get("ETag")})
            except ClientError as error:
                errors.append({**named, "Code": error.response["Error"]["Code"]})
        return {"Errors": errors}


def installed(monkeypatch: pytest.MonkeyPatch) -> Memory:
    """The one bucket of every client from now on."""
    memory = Memory()

    def call(_: Any, operation: str, params: Params) -> Any:
        return memory.call(operation, params)

    monkeypatch.setattr(BaseClient, "_make_api_call", call)
    return memory
