"""What leaked, and whose data it was."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from dsr_worker.contract.people import Identity


@dataclass(frozen=True, slots=True)
class LeakScope:
    """What leaked from one collection: its fields, and the window in which rows existed."""

    collection: str
    fields: tuple[str, ...]
    from_at: datetime | None = None
    until_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AffectedPerson:
    """A person whose data was in a leaked scope: the row's identities, and where they live."""

    collection: str
    identities: tuple[Identity, ...]
    residence: str | None = None  # ISO 3166; None is unknown and counted as unknown
    rows: int = 1

    def __repr__(self) -> str:
        return f"AffectedPerson({self.collection}, {len(self.identities)} identities)"


@dataclass(frozen=True, slots=True)
class Unseen:
    """A part of a leaked scope that cannot be looked into now: the people in it are not counted."""

    collection: str
    digest: str  # of its name, by `Context.digest`
    ground: str  # a Remainder
