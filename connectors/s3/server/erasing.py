"""Versions that go for good, by their ids.

In: versions. Out: those that did not go, with the error's code. A version without an id of its own
may be another one by the time that its request arrives: `replaceable` ones are named by their ETag
as well. S3 holds that against the current version alone, whichever is to be deleted (S3 User Guide,
"How to perform conditional deletes").
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from botocore.exceptions import ClientError

from connectors.s3.server.client import TRIES, Spend, Version
from connectors.s3.server.reading import Reads
from connectors.s3.server.refusals import (
    CHANGED,
    CONFLICT,
    DENIED,
    GONE,
    TRANSIENT,
    backed_off,
    code_of,
    translated,
)
from dsr_worker.contract import Transient

OTHER_BYTES: Final = "PreconditionFailed"  # the version is another one by now
NO_CONDITION: Final = "dsr-no-condition"  # none tells it from what may take its place
_NOT_IN_XML = re.compile(r"[^\t\n\r -\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")  # XML 1.0, Char
_BATCH = 1000  # DeleteObjects: at most 1,000 keys (S3 API reference, DeleteObjects)
_AGAIN = TRANSIENT | {CONFLICT}


def replaceable(version: Version, versioning: str) -> bool:
    """Whether whoever writes the object puts other bytes in this version's place."""
    if version.upload or versioning == "Enabled":
        return False
    return versioning == "Never" or version.version_id == "null"


class Erases(Reads):
    """Requests that delete."""

    def erase_versions(
        self, versions: Sequence[Version], versioning: str, spend: Spend
    ) -> dict[Version, str]:
        """Delete these versions for good; returns those that stay, with the error's code.

        Each is named by its id, so that a repeat, and a version that is gone, are no error. Other
        bytes in a version's place stay where the endpoint looks at ETags in a DeleteObjects; not
        all do: this is for objects that are one person's whoever writes them.
        """
        stay: dict[Version, str] = {}
        for start in range(0, len(versions), _BATCH):
            batch = versions[start : start + _BATCH]
            for version in (v for v in batch if _NOT_IN_XML.search(v.key)):
                code = self._delete_alone(version, versioning, _etag(version, versioning), spend)
                stay |= {version: code} if code else {}
            todo = {(v.key, v.version_id): v for v in batch if not _NOT_IN_XML.search(v.key)}
            for failures in range(1, TRIES + 1):
                todo = self._delete(todo, versioning, spend, stay) if todo else {}
                if not todo:
                    break
                backed_off(failures)
            if todo:
                raise Transient(f"DeleteObjects left {len(todo)} versions for later")
        return stay

    def erase_unchanged(
        self,
        versions: Sequence[Version],
        versioning: str,
        newest: Mapping[str, Version],
        spend: Spend,
    ) -> dict[Version, str]:
        """Delete replaceable versions, and no other bytes than those that were read.

        `newest`: of each object the version that was current. `Honoured.delete` must hold. Returns
        those that stay, with the error's code, OTHER_BYTES or NO_CONDITION.
        """
        stay: dict[Version, str] = {}
        for version in versions:
            code = self._delete_unchanged(version, versioning, newest.get(version.key), spend)
            stay |= {version: code} if code else {}
        return stay

    def _delete_unchanged(
        self, version: Version, versioning: str, newest: Version | None, spend: Spend
    ) -> str:
        """Delete on the condition that nobody has written since; empty, or why it stays."""
        if version.marker or newest is None or newest.marker:
            return NO_CONDITION
        for etag in dict.fromkeys((newest.etag, version.etag)):  # some hold it against the version
            code = self._delete_alone(version, versioning, etag, spend)
            if code != OTHER_BYTES:
                return code
        return OTHER_BYTES

    def _delete_alone(self, version: Version, versioning: str, etag: str, spend: Spend) -> str:
        """Delete one version by a request of its own; empty, or the code with which it stays."""
        place: dict[str, Any] = {"Bucket": self.name, "Key": version.key}
        if versioning != "Never":
            place["VersionId"] = version.version_id
        if etag:
            place["IfMatch"] = etag
        if self.config.bypass_governance:
            place["BypassGovernanceRetention"] = True
        code = self._tried(place, spend)
        for failures in range(1, TRIES):
            if code not in _AGAIN:
                break
            backed_off(failures)
            code = self._tried(place, spend)
        if code in _AGAIN:
            raise Transient(f"S3 DeleteObject: {code}")
        if code in GONE:  # on a condition: no object is current
            return OTHER_BYTES if etag and versioning != "Never" else ""
        return OTHER_BYTES if code in CHANGED else code

    def _tried(self, place: Mapping[str, Any], spend: Spend) -> str:
        """Ask once; empty where it is done."""
        spend()
        with translated("DeleteObject"):
            try:
                self.writes.delete_object(**place)
            except ClientError as error:
                code = code_of(error)
                if code not in DENIED | GONE | CHANGED | _AGAIN:
                    raise
                return code
        return ""

    def _delete(
        self,
        todo: dict[tuple[str, str], Version],
        versioning: str,
        spend: Spend,
        stay: dict[Version, str],
    ) -> dict[tuple[str, str], Version]:
        names: list[Any] = [_named(version, versioning) for version in todo.values()]
        request: dict[str, Any] = {"Bucket": self.name, "Delete": {"Objects": names, "Quiet": True}}
        if self.config.bypass_governance:
            request["BypassGovernanceRetention"] = True
        spend()
        with translated("DeleteObjects"):
            answer = self.writes.delete_objects(**request)
        again: dict[tuple[str, str], Version] = {}
        for failure in answer.get("Errors", []):
            meant = _meant(failure, todo)
            code = failure.get("Code", "")
            if code in _AGAIN:
                again |= meant
            elif len(meant) > 1:  # each asked for alone says whose error it is
                for place, version in meant.items():
                    again |= self._delete({place: version}, versioning, spend, stay)
            elif code in CHANGED:
                stay |= dict.fromkeys(meant.values(), OTHER_BYTES)
            elif code not in GONE:
                stay |= dict.fromkeys(meant.values(), code)
            elif versioning != "Never":  # on a condition: no object is current
                conditional = (v for v in meant.values() if _etag(v, versioning))
                stay |= dict.fromkeys(conditional, OTHER_BYTES)
        return again


def _etag(version: Version, versioning: str) -> str:
    """The condition that tells a version from what may take its place; empty where none does."""
    return version.etag if version.latest and replaceable(version, versioning) else ""


def _named(version: Version, versioning: str) -> dict[str, str]:
    """A version in the list of a DeleteObjects."""
    name = {"Key": version.key}
    if versioning != "Never":
        name["VersionId"] = version.version_id
    etag = _etag(version, versioning)
    return name | {"ETag": etag} if etag else name


def _meant(
    failure: Mapping[str, Any], todo: dict[tuple[str, str], Version]
) -> dict[tuple[str, str], Version]:
    """Of which versions an error speaks: key and id are optional in it (S3 API reference, Error).

    One that leaves them out, or spells a key as XML does, may be any that fits.
    """
    place = (failure.get("Key", ""), failure.get("VersionId", ""))
    if place in todo:
        return {place: todo[place]}
    return {at: version for at, version in todo.items() if at[0] == place[0]} or todo
