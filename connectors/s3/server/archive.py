"""Archived objects: whether their bytes can be read now, and asking for them back.

In: a version and its headers. Out: whether it is back, and when it may be. To erase a whole version
needs no restore; to read or rewrite one does (S3 User Guide, "Restoring an archived object").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from connectors.s3.config import Restore
from connectors.s3.server.bucket import Bucket, Spend, Version
from connectors.s3.server.refusals import code_of, translated

_BACK = 'ongoing-request="false"'
_WAIT = {
    ("GLACIER", "Expedited"): timedelta(hours=1),
    ("GLACIER", "Standard"): timedelta(hours=5),
    ("GLACIER", "Bulk"): timedelta(hours=12),
    ("DEEP_ARCHIVE", "Standard"): timedelta(hours=12),
}
"""How long a restore usually takes at most (S3 User Guide, "Archive retrieval options")."""
_LONGEST = timedelta(hours=48)


def is_back(head: Mapping[str, Any]) -> bool:
    """Whether these are the headers of a version that was brought back."""
    return _BACK in head.get("Restore", "")


def is_away(version: Version, head: Mapping[str, Any]) -> bool:
    """Whether a version's bytes cannot be read before somebody brings them back."""
    tiered = bool(head.get("ArchiveStatus"))  # Intelligent-Tiering's archive access tiers
    return (version.archived or tiered) and not is_back(head)


def readable(version: Version) -> Version:
    """An archived version that was brought back, as one whose bytes may be asked for."""
    return replace(version, storage_class="STANDARD") if version.archived else version


def bring_back(
    bucket: Bucket, version: Version, how: Restore, now: datetime, spend: Spend
) -> datetime:
    """Ask for an archived version, unless somebody has; when it should be back. Idempotent."""
    spend()
    tier = (
        "Standard"
        if version.storage_class == "DEEP_ARCHIVE" and how.tier == "Expedited"
        else how.tier
    )
    wanted: dict[str, Any] = {"GlacierJobParameters": {"Tier": tier}}
    if version.archived:  # Intelligent-Tiering moves it back for good and takes no days
        wanted["Days"] = how.days
    request: dict[str, Any] = {**bucket.at(version), "RestoreRequest": wanted}
    with translated("RestoreObject"):
        try:
            bucket.writes.restore_object(**request)
        except ClientError as error:
            if code_of(error) != "RestoreAlreadyInProgress":
                raise
    return now + _WAIT.get((version.storage_class, tier), _LONGEST)
