"""Standing rules: what a store lets go by itself, on its own schedule, as it was once told.

In: for each collection, after how many days its rows may go, or why no number of days says it. Out:
a plan: which way each collection goes, and what changes in the store. A rule knows no legal hold
and no brake, so one is only made where neither can be met by it; every other way is a sweep's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class StandingOrder:
    """What the retention terms say of one collection, for a store that counts days.

    A row whose `clock` field lies `after_days` times 24 hours or more in the past is past a limit
    and past every minimum, whatever the zone and the length of months. Without a number, `reason`
    is the code that says why.
    """

    collection: str
    clock: str = ""
    after_days: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class StandingWay:
    """Which way a collection goes: by `rule` of the store after `after_days`, or by sweeps.

    `reason` is the code that says why no rule suffices; empty exactly where there is one.
    """

    collection: str
    rule: str = ""
    after_days: int | None = None
    reason: str = ""


class Change(StrEnum):
    """What becomes of one rule of the store."""

    ADD = "add"
    REPLACE = "replace"
    TAKE_OUT = "take_out"
    KEEP = "keep"  # ours, and as it should be
    FOREIGN = "foreign"  # somebody else's: never touched


@dataclass(frozen=True, slots=True)
class RuleDiff:
    """One rule of the store, as it is and as it is to be, each in a line; empty for none.

    `reaches` names our collections in which somebody else's rule lets objects go.
    """

    change: Change
    rule: str
    was: str = ""
    becomes: str = ""
    reaches: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StandingPlan:
    """What would change in a store. `seen` names the state of it that was read, by digest."""

    ways: tuple[StandingWay, ...]
    diffs: tuple[RuleDiff, ...]
    seen: str

    @property
    def changes(self) -> bool:
        """Whether the store would be another afterwards."""
        return any(diff.change not in (Change.KEEP, Change.FOREIGN) for diff in self.diffs)


@dataclass(frozen=True, slots=True)
class StandingCheck:
    """What listing a collection says of its rule.

    `rows` were looked at; `due` of them are past the rule's days, `overdue` so long that the store
    should have let them go; `oldest_at` is the oldest clock value of all. `faults` are codes: the
    rule is not there, is another, or no longer does what it was made for.
    """

    collection: str
    rule: str
    rows: int
    due: int
    overdue: int
    oldest_at: datetime | None = None
    faults: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        """Whether the rule stands and has done its work."""
        return not (self.faults or self.overdue)
