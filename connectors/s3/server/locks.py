"""Whether a version may be erased today, and if not, from when on: Object Lock, copies under way.

In: the headers of a version. Out: the refusal to expect. A lock in compliance mode ends for nobody
before its date; one in governance mode may be bypassed by whoever the bucket lets, and is by us
only where the map says so; a legal hold has no date (S3 User Guide, "Locking objects").
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from dsr_worker.contract import Remainder

_COPIED_WITHIN = timedelta(days=1)  # S3 copies most objects within 15 minutes, few within hours


class Refusal(NamedTuple):
    """Why something cannot go for now, and until when, where that is known."""

    ground: str
    until_at: datetime | None = None

    @property
    def length(self) -> tuple[bool, float]:
        """How long it lasts, to be compared: a hold ends last, without a date of its own."""
        until_at = self.until_at
        return self.ground == Remainder.HELD, until_at.timestamp() if until_at else 0.0


def lock_of(head: Mapping[str, Any], now: datetime, *, bypass_governance: bool) -> Refusal | None:
    """What keeps the version with these headers from being erased; None where nothing does."""
    if head.get("ObjectLockLegalHoldStatus") == "ON":
        return Refusal(Remainder.HELD)
    until_at = head.get("ObjectLockRetainUntilDate")
    if until_at is None or until_at <= now:
        return None
    if bypass_governance and head.get("ObjectLockMode") == "GOVERNANCE":
        return None
    return Refusal(Remainder.LOCKED, until_at)


def lagging(head: Mapping[str, Any], now: datetime) -> Refusal | None:
    """What keeps a version whose copy is under way: erased now, its copy would come after us."""
    if head.get("ReplicationStatus") == "PENDING":
        return Refusal(Remainder.REPLICA, now + _COPIED_WITHIN)
    return None
