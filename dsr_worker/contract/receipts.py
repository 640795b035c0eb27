"""What became of located rows: counts and keyed digests, no personal data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self

OWNER_CHANGED = "owner_changed"
"""The ground on which a located row stays that names somebody else by the time it would change."""
STATED_OTHERWISE = "stated_otherwise"
"""The ground on which a row stays that says neither what `was` says nor the right value."""


class Outcome(StrEnum):
    """What became of rows."""

    ERASED = "erased"
    MASKED = "masked"
    REDACTED = "redacted"
    RECTIFIED = "rectified"
    RESTRICTED = "restricted"
    LIFTED = "lifted"
    RETAINED = "retained"
    ALREADY_GONE = "already_gone"
    PENDING_REMOTE = "pending_remote"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class OutcomeCount:
    """Rows of one outcome and ground.

    `fields`: values changed; `latest_at` and `earliest_at`: the newest and the oldest clock value,
    None where no row has one. Each kept row is free when its own period has ended: the oldest says
    when the first of them is.
    """

    outcome: Outcome
    rows: int
    fields: int = 0
    ground: str = ""
    latest_at: datetime | None = None
    earliest_at: datetime | None = None

    @classmethod
    def one(
        cls, outcome: Outcome, *, fields: int = 0, ground: str = "", clock: datetime | None = None
    ) -> Self:
        """A single row, with its clock value."""
        return cls(outcome, 1, fields, ground, clock, clock)

    def plus(self, other: OutcomeCount) -> OutcomeCount:
        """Both together, as rows of this outcome and ground."""
        return OutcomeCount(
            self.outcome,
            self.rows + other.rows,
            self.fields + other.fields,
            self.ground,
            max(filter(None, (self.latest_at, other.latest_at)), default=None),
            min(filter(None, (self.earliest_at, other.earliest_at)), default=None),
        )


@dataclass(frozen=True, slots=True)
class Receipt:
    """Exactly one per subject and collection (`subject_ref` None in a sweep). No personal data.

    The outcomes add up to the rows located. `kept` holds `Context.digest`s of the keys of rows that
    stay (retained or masked), so that verification can subtract exactly those.
    """

    subject_ref: str | None
    collection: str
    outcomes: tuple[OutcomeCount, ...]
    kept: frozenset[str] = frozenset()

    @property
    def rows(self) -> int:
        """Every row it accounts for."""
        return sum(o.rows for o in self.outcomes)


@dataclass(frozen=True, slots=True)
class Key:
    """Where a row, object or ticket of a subject is: enough to reach it again, and no more."""

    subject_ref: str
    collection: str
    key: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Key({self.subject_ref}, {self.collection})"
