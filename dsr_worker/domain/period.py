"""What a statutory period is made of, as values.

Why this room exists: law packs are data, and these are the words in which they speak. The text
of a row enters; a rule that `dsr_worker.domain.clock` can compute with leaves, or an error where
a row asks for something that no law knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Unit(StrEnum):
    """The five units of statutory periods; none converts into another."""

    CALENDAR_DAYS = "calendar_days"
    BUSINESS_DAYS = "business_days"
    MONTHS = "months"
    HOURS = "hours"
    NONE = "none"
    """No number in the law ("without undue delay"): a house period stands beside it."""


class StartKind(StrEnum):
    """The event from which a period runs."""

    RECEIPT = "receipt"
    ID_VERIFIED = "id_verified"
    FEE_PAID = "fee_paid"
    DETERMINATION = "determination"
    AWARENESS = "awareness"
    DISCOVERY = "discovery"
    CLASSIFICATION = "classification"
    AFTER_OTHER_NOTICE = "after_other_notice"
    YEAR_END = "year_end"
    """The end of the calendar year of the discovery."""
    RANSOM_PAYMENT = "ransom_payment"


class Roll(StrEnum):
    """What happens to a last day that is no working day."""

    NEXT_WORKING_DAY = "next_working_day"
    NONE = "none"


class FirstDay(StrEnum):
    """Whether the day of the event counts."""

    EXCLUDED = "excluded"
    AMBIGUOUS = "ambiguous"
    """The texts disagree: statutory excludes it, conservative counts it."""


class PauseGround(StrEnum):
    """What we wait for from the person."""

    IDENTITY = "identity"
    FEE = "fee"
    CLARIFICATION = "clarification"


class PauseEffect(StrEnum):
    """What the answer does to the clock."""

    RESTART = "restart"
    """The whole period runs anew from the day of the answer."""
    SUSPEND = "suspend"
    """The days from asking to answer are excluded, both inclusive (conservative: one fewer)."""


@dataclass(frozen=True, slots=True)
class Period:
    """A number of units."""

    amount: int
    unit: Unit

    def __post_init__(self) -> None:
        """Refuse amounts that make no period.

        Raises:
            ValueError: negative, or a number without a unit.

        """
        if self.amount < 0 or (self.unit is Unit.NONE and self.amount):
            raise ValueError(f"not a period: {self.amount} {self.unit}")

    def plus(self, other: Period) -> Period:
        """Return the sum, which is added to a start at once and never in two steps.

        Raises:
            ValueError: the units differ.

        """
        if other.unit is not self.unit:
            raise ValueError(f"cannot extend {self.unit} by {other.unit}")
        return Period(self.amount + other.amount, self.unit)


@dataclass(frozen=True, slots=True)
class PauseRule:
    """What one ground does under one law; `firm` is False where nobody has verified it."""

    ground: PauseGround
    effect: PauseEffect
    firm: bool


@dataclass(frozen=True, slots=True)
class ClockRule:
    """One statutory period as data."""

    period: Period
    extension: Period | None = None
    """Added to `period`, both counted from the original start."""
    roll: Roll = Roll.NONE
    first_day: FirstDay = FirstDay.EXCLUDED
    pauses: tuple[PauseRule, ...] = ()
    house: Period | None = None
    """Our own period where the law names no number."""

    def __post_init__(self) -> None:
        """Refuse combinations that no law knows and the arithmetic does not define.

        Raises:
            ValueError: see the message.

        """
        unit = self.period.unit
        if unit is not Unit.NONE and self.period.amount == 0:
            raise ValueError(f"a period of no {unit}")
        if unit is Unit.NONE and (self.house is None or self.house.unit is Unit.NONE):
            raise ValueError("a period without a number needs a house period with one")
        if unit in {Unit.NONE, Unit.HOURS} and (self.pauses or self.roll is not Roll.NONE):
            raise ValueError(f"a period in {unit} neither pauses nor rolls")
        if self.extension is not None:
            self.period.plus(self.extension)
        if len({pause.ground for pause in self.pauses}) != len(self.pauses):
            raise ValueError("two pause rules for one ground")

    def pause_for(self, ground: PauseGround) -> PauseRule | None:
        """Return the rule for `ground`, or None where waiting for it moves nothing."""
        return next((pause for pause in self.pauses if pause.ground is ground), None)
