"""Versions that go for good, by their ids.

In: versions. Out: those that are denied, with the error's code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from connectors.s3.server.client import TRIES, Spend, Version
from connectors.s3.server.reading import Reads
from connectors.s3.server.refusals import (
    DENIED,
    GONE,
    TRANSIENT,
    backed_off,
    code_of,
    translated,
)
from dsr_worker.contract import Transient

_NOT_IN_XML = re.compile(r"[^\t\n\r -\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")  # XML 1.0, Char
_BATCH = 1000  # DeleteObjects: at most 1,000 keys (S3 API reference, DeleteObjects)


class Erases(Reads):
    """Requests that delete."""

    def erase_versions(
        self, versions: Sequence[Version], versioning: str, spend: Spend
    ) -> dict[Version, str]:
        """Delete these versions for good; returns those that are denied, with the error's code.

        Each is named by its id, so that a repeat, and a version that is gone, are no error.
        """
        denied: dict[Version, str] = {}
        for start in range(0, len(versions), _BATCH):
            batch = versions[start : start + _BATCH]
            for version in (v for v in batch if _NOT_IN_XML.search(v.key)):
                self._delete_alone(version, versioning, spend, denied)
            todo = {(v.key, v.version_id): v for v in batch if not _NOT_IN_XML.search(v.key)}
            for failures in range(1, TRIES + 1):
                todo = self._delete(todo, versioning, spend, denied) if todo else {}
                if not todo:
                    break
                backed_off(failures)
            if todo:
                raise Transient(f"DeleteObjects left {len(todo)} versions for later")
        return denied

    def _delete_alone(
        self, version: Version, versioning: str, spend: Spend, denied: dict[Version, str]
    ) -> None:
        """Delete a version whose key one cannot write into the list of a DeleteObjects."""
        place: dict[str, Any] = {"Bucket": self.name, "Key": version.key}
        if versioning != "Never":
            place["VersionId"] = version.version_id
        if self.config.bypass_governance:
            place["BypassGovernanceRetention"] = True
        spend()
        with translated("DeleteObject"):
            try:
                self.writes.delete_object(**place)
            except ClientError as error:
                if code_of(error) in DENIED:
                    denied[version] = code_of(error)
                elif code_of(error) not in GONE:
                    raise

    def _delete(
        self,
        todo: dict[tuple[str, str], Version],
        versioning: str,
        spend: Spend,
        denied: dict[Version, str],
    ) -> dict[tuple[str, str], Version]:
        with_ids = versioning != "Never"
        names: list[Any] = [
            {"Key": key, "VersionId": version_id} if with_ids else {"Key": key}
            for key, version_id in todo
        ]
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
            if code in TRANSIENT:
                again |= meant
            elif len(meant) > 1:  # each asked for alone says whose error it is
                for place, version in meant.items():
                    again |= self._delete({place: version}, versioning, spend, denied)
            elif code not in GONE:
                denied |= dict.fromkeys(meant.values(), code)
        return again


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
