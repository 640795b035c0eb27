"""What every row of a law pack is made of: source, standing, time in force, periods.

In: plain values from YAML. Out: frozen rows; unknown keys, missing citations and impossible periods
are refused.
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dsr_worker.domain.period import (
    ClockRule,
    FirstDay,
    PauseEffect,
    PauseGround,
    PauseRule,
    Period,
    Roll,
    StartKind,
    Unit,
)

LAX = Field(strict=False)
"""YAML writes words and lists where Python has enumerations and tuples."""

Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[tuple[Text, ...], LAX]


class Standing(StrEnum):
    """How sure we are of a row."""

    STATUTE = "statute"
    """The wording of the law itself was read."""
    SECONDARY = "secondary"
    """A secondary source was read."""
    UNVERIFIED = "no"
    """Believed; nobody has read it anywhere. Shown as unverified wherever it is shown."""

    @property
    def sureness(self) -> int:
        """A number that is higher the surer we are."""
        return (Standing.UNVERIFIED, Standing.SECONDARY, Standing.STATUTE).index(self)


class Row(BaseModel):
    """A row that refuses unknown keys and silent conversions."""

    # Built when first read: a question about one deadline needs no model of retention.
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, defer_build=True)


class SourcedRow(Row):
    """A row with its source."""

    citation: Text
    standing: Annotated[Standing, LAX]
    checked_on: date
    note: str = ""

    @property
    def verified(self) -> bool:
        """False where nobody has read a source for this row."""
        return self.standing is not Standing.UNVERIFIED


class DatedRow(SourcedRow):
    """A row in force from `effective_from` until the day before `effective_to`.

    Without a first day it is adopted or proposed and not in force yet: shown, never applied.
    """

    id: Text
    effective_from: date | None
    effective_to: date | None = None

    @model_validator(mode="after")
    def _ends_after_start(self) -> Self:
        first, end = self.effective_from, self.effective_to
        if end is not None and (first is None or end <= first):
            raise ValueError("effective_to must lie after effective_from")
        return self

    def in_force(self, on: date) -> bool:
        """Say whether the row is law on `on`."""
        if self.effective_from is None or on < self.effective_from:
            return False
        return self.effective_to is None or on < self.effective_to


class PeriodRow(Row):
    """A number of units."""

    amount: int
    unit: Annotated[Unit, LAX]

    @model_validator(mode="after")
    def _is_a_period(self) -> Self:
        self.period()
        return self

    def period(self) -> Period:
        """Return it as the arithmetic's value."""
        return Period(self.amount, self.unit)


class PauseRow(SourcedRow):
    """What waiting for the person does to a clock."""

    ground: Annotated[PauseGround, LAX]
    effect: Annotated[PauseEffect, LAX]


class ClockRow(SourcedRow):
    """One period with everything that moves it."""

    start: Annotated[StartKind, LAX]
    period: PeriodRow
    extension: PeriodRow | None = None
    extension_grounds: str = ""
    roll: Annotated[Roll, LAX] = Roll.NONE
    first_day: Annotated[FirstDay, LAX] = FirstDay.EXCLUDED
    pauses: Annotated[tuple[PauseRow, ...], LAX] = ()
    house: PeriodRow | None = None

    @model_validator(mode="after")
    def _is_computable(self) -> Self:
        self.rule()
        return self

    def rule(self) -> ClockRule:
        """Return the rule that the arithmetic computes with.

        Raises:
            ValueError: the row asks for something that no law knows.

        """
        return ClockRule(
            period=self.period.period(),
            extension=None if self.extension is None else self.extension.period(),
            roll=self.roll,
            first_day=self.first_day,
            pauses=tuple(
                PauseRule(pause.ground, pause.effect, pause.verified) for pause in self.pauses
            ),
            house=None if self.house is None else self.house.period(),
        )
