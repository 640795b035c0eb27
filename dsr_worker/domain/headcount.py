"""How many people a breach concerns, as each law counts them, and what their number decides.

In: counts per residence, as far as the systems have answered. Out: whether a threshold is met.
People of unknown residence may live anywhere: they turn no duty off.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType


class Compare(StrEnum):
    """Whether the threshold's own number already triggers."""

    MORE_THAN = "more_than"
    AT_LEAST = "at_least"
    FEWER_THAN = "fewer_than"


class Counted(StrEnum):
    """Who counts towards a threshold."""

    RESIDENTS = "residents"
    """Those who live in the jurisdiction."""
    PERSONS_TOLD = "persons_told"
    """Everybody told of the incident, wherever they live, once a resident may be among them."""
    PERSONS = "persons"
    """Everybody affected, wherever they live."""
    ONE_PART = "one_part"
    """The residents of the one state or part of the jurisdiction that has the most."""


class DutyState(StrEnum):
    """Whether a duty binds, on what is known."""

    LIVE = "live"
    CONDITIONAL = "conditional"
    """Something that decides it is not known yet; its clock runs all the same."""
    NOT_DUE = "not_due"


@dataclass(frozen=True, slots=True)
class Threshold:
    """A number of people, and which people count towards it."""

    count: int
    compare: Compare
    counted: Counted = Counted.RESIDENTS

    def met_by(self, people: int) -> bool:
        """Say whether so many people trigger the duty."""
        match self.compare:
            case Compare.AT_LEAST:
                return people >= self.count
            case Compare.MORE_THAN:
                return people > self.count
            case Compare.FEWER_THAN:
                return 0 < people < self.count


@dataclass(frozen=True, slots=True)
class Affected:
    """People affected, by residence (ISO 3166 codes), as far as the systems have answered."""

    by_residence: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    unknown: int = 0
    complete: bool = False
    """True once every system has answered; before that no count turns a duty off."""

    def __post_init__(self) -> None:
        """Refuse counts below zero.

        Raises:
            ValueError: a count is negative.

        """
        if self.unknown < 0 or any(count < 0 for count in self.by_residence.values()):
            raise ValueError("a number of people cannot be negative")

    def residents(self, jurisdictions: Collection[str]) -> int:
        """Return those known to live in one of `jurisdictions` or a part of it."""
        return sum(
            count
            for code, count in self.by_residence.items()
            if any(within(code, jurisdiction) for jurisdiction in jurisdictions)
        )

    def possible(self, jurisdictions: Collection[str]) -> int:
        """Return those who may live there: residents, unknown ones, and "US" for "US-CA"."""
        return self.unknown + sum(
            count
            for code, count in self.by_residence.items()
            if any(
                within(code, jurisdiction) or within(jurisdiction, code)
                for jurisdiction in jurisdictions
            )
        )

    @property
    def everybody(self) -> int:
        """Return how many there are, wherever they live."""
        return self.unknown + sum(self.by_residence.values())

    def most_in_one_part(self, jurisdictions: Collection[str]) -> int:
        """Return how many are known to live in the part (`US-TX` of `US`) that has the most."""
        return max(self._parts(jurisdictions).values(), default=0)

    def possible_in_one_part(self, jurisdictions: Collection[str]) -> int:
        """Return how many may: unknown people, and those of no known part, all in one."""
        in_parts = sum(self._parts(jurisdictions).values())
        apart = self.possible(jurisdictions) - in_parts
        return self.most_in_one_part(jurisdictions) + apart

    def _parts(self, jurisdictions: Collection[str]) -> Counter[str]:
        parts: Counter[str] = Counter()
        for code, count in self.by_residence.items():
            nation, _, part = code.partition("-")
            if part and any(within(code, wider) for wider in jurisdictions):
                parts[f"{nation}-{part.partition('-')[0]}"] += count
        return parts


def within(code: str, wider: str) -> bool:
    """Say whether the place `code` is `wider` or a part of it."""
    return code == wider or code.startswith(f"{wider}-")


_Count = Callable[[Affected, Collection[str]], int]
_SURELY: Mapping[Counted, _Count] = {
    Counted.RESIDENTS: Affected.residents,
    Counted.PERSONS_TOLD: lambda affected, _counted: affected.everybody,
    Counted.PERSONS: lambda affected, _counted: affected.everybody,
    Counted.ONE_PART: Affected.most_in_one_part,
}
_POSSIBLY: Mapping[Counted, _Count] = {
    **_SURELY,
    Counted.RESIDENTS: Affected.possible,
    Counted.ONE_PART: Affected.possible_in_one_part,
}


def by_threshold(
    threshold: Threshold, counted: Collection[str], affected: Affected | None
) -> tuple[DutyState, str]:
    """Say whether the number of people makes a duty bind in `counted`, and the reason as a code."""
    if affected is None:
        return DutyState.CONDITIONAL, "residents_not_counted"
    surely = _SURELY[threshold.counted](affected, counted)
    possibly = _POSSIBLY[threshold.counted](affected, counted)
    if threshold.counted is Counted.PERSONS_TOLD:
        surely = surely if affected.residents(counted) else 0
        possibly = possibly if affected.possible(counted) else 0
    if threshold.compare is Compare.FEWER_THAN:
        return _by_fewer(threshold, surely, possibly, complete=affected.complete)
    if threshold.met_by(surely):
        return DutyState.LIVE, "threshold_met"
    if not affected.complete:
        return DutyState.CONDITIONAL, "count_not_complete"
    if threshold.met_by(possibly):
        return DutyState.CONDITIONAL, "unknown_residence_may_count"
    return DutyState.NOT_DUE, "below_threshold"


def _by_fewer(
    threshold: Threshold, surely: int, possibly: int, *, complete: bool
) -> tuple[DutyState, str]:
    """A duty that a larger number replaces: what is not counted yet may only turn it off."""
    if surely >= threshold.count:
        return DutyState.NOT_DUE, "above_threshold"
    if not complete:
        return DutyState.CONDITIONAL, "count_not_complete"
    if not possibly:
        return DutyState.NOT_DUE, "no_resident_affected"
    if possibly >= threshold.count or not threshold.met_by(surely):
        return DutyState.CONDITIONAL, "unknown_residence_may_count"
    return DutyState.LIVE, "threshold_met"
