"""What became of located rows: counts and keyed digests, no personal data."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as attribute
from datetime import datetime
from enum import StrEnum
from typing import Self

OWNER_CHANGED = "owner_changed"
"""The ground on which a located row stays that names somebody else by the time it would change."""
STATED_OTHERWISE = "stated_otherwise"
"""The ground on which a row stays that says neither what `was` says nor the right value."""


class Remainder(StrEnum):
    """The grounds on which a store refuses for now what was decided: technical ones, no law's.

    Rows `retained` on one of these are owed: the answer names them, and the engine comes back on
    the day of `until_at`, or where there is none, from time to time until nothing of them is left.
    """

    LOCKED = "store-lock"  # locked until a date
    HELD = "store-hold"  # a hold placed in the store itself: no date
    ARCHIVED = "store-archive"  # to be brought back before it can be read
    DENIED = "store-denied"  # a grant or a key that the store withholds from us
    REPLICA = "store-replica"  # a copy that follows late, or cannot be reached
    UPLOAD = "store-upload"  # an unfinished upload that cannot be aborted
    BESIDE = "store-beside"  # goes with something beside it that has to stay for now


def is_remainder(ground: str) -> bool:
    """Whether a ground is a store's refusal for now."""
    return ground in _REMAINDERS


_REMAINDERS = frozenset(Remainder)


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
    when the first of them is. On the ground of a `Remainder`, the store says itself when the first
    (`first_until_at`) and the last (`until_at`) of them can go, as far as it knows.
    """

    outcome: Outcome
    rows: int
    fields: int = 0
    ground: str = ""
    latest_at: datetime | None = None
    earliest_at: datetime | None = None
    until_at: datetime | None = None
    first_until_at: datetime | None = None

    @classmethod
    def one(
        cls,
        outcome: Outcome,
        *,
        fields: int = 0,
        ground: str = "",
        clock: datetime | None = None,
        until: datetime | None = None,
    ) -> Self:
        """A single row, with its clock value, and until when the store refuses it."""
        return cls(outcome, 1, fields, ground, clock, clock, until, until)

    def plus(self, other: OutcomeCount) -> OutcomeCount:
        """Both together, as rows of this outcome and ground."""
        return OutcomeCount(
            self.outcome,
            self.rows + other.rows,
            self.fields + other.fields,
            self.ground,
            max(filter(None, (self.latest_at, other.latest_at)), default=None),
            min(filter(None, (self.earliest_at, other.earliest_at)), default=None),
            max(filter(None, (self.until_at, other.until_at)), default=None),
            min(filter(None, (self.first_until_at, other.first_until_at)), default=None),
        )


@dataclass(frozen=True, slots=True)
class Proof:
    """What an object was that was written anew, and what it is, for whoever has both to compare.

    `place` is the `Context.digest` of its key, `before` that of the SHA-256 (hex) of the bytes that
    were read: what was erased must not be recognised by its digest. `after` is the SHA-256 of what
    was written: hex, or as the store tells it of an upload in parts. Empty is what nobody computed.
    """

    place: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """Exactly one per subject and collection (`subject_ref` None in a sweep). No personal data.

    The outcomes add up to the rows located. `kept` holds `Context.digest`s of the keys of rows that
    stay (retained or masked), so that verification can subtract exactly those. `proofs` are of the
    objects that were written anew for its rows, where the map asks for them.
    """

    subject_ref: str | None
    collection: str
    outcomes: tuple[OutcomeCount, ...]
    kept: frozenset[str] = frozenset()
    proofs: tuple[Proof, ...] = ()

    @property
    def rows(self) -> int:
        """Every row it accounts for."""
        return sum(o.rows for o in self.outcomes)


@dataclass(frozen=True, slots=True)
class Key:
    """Where a row, object or ticket of a subject is: enough to reach it again, and no more.

    `withheld` is the ground of a `Remainder` where it is known already that `find` could not show
    it now: the plan of an access tells it. Two keys are equal without it.
    """

    subject_ref: str
    collection: str
    key: tuple[str, ...]
    withheld: str = attribute(default="", compare=False)

    def __repr__(self) -> str:
        return f"Key({self.subject_ref}, {self.collection})"
