"""What a law asks for when data leaks: one row per recipient and stage."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from dsr_worker.domain.breach import DutyRule, Harm, HarmTest, Recipient, Role, Stage
from dsr_worker.domain.headcount import Compare, Counted, Threshold
from dsr_worker.domain.period import StartKind, Unit
from dsr_worker.statutes.model.rows import (
    LAX,
    ClockRow,
    DatedRow,
    PeriodRow,
    Row,
    SourcedRow,
    Text,
    Texts,
)


class ThresholdRow(Row):
    """A number of people, and who counts towards it."""

    count: Annotated[int, Field(gt=0)]
    compare: Annotated[Compare, LAX]
    counted: Annotated[Counted, LAX] = Counted.RESIDENTS

    def rule(self) -> Threshold:
        """Return the threshold that `dsr_worker.domain.headcount` decides with."""
        return Threshold(self.count, self.compare, self.counted)


class HarmRow(Row):
    """The least harm at which a duty binds."""

    level: Annotated[Harm, LAX]
    presumed: bool
    wording: Text


class BreachRow(DatedRow):
    """One duty towards one recipient.

    `after` is the recipient, or the row, whose notice starts the period. `follow_ups` are duties
    without a clock of their own; one that has one is a row with a later `stage`.
    """

    recipient: Annotated[Recipient, LAX]
    stage: Annotated[Stage, LAX] = Stage.NOTICE
    body: str = ""
    clock: ClockRow
    after: Text | None = None
    role: Annotated[Role, LAX] = Role.CONTROLLER
    trigger: Text
    condition: Text
    threshold: ThresholdRow | None = None
    harm: HarmRow | None = None
    encryption_exempts: bool = False
    contents: Texts
    follow_ups: Texts = ()

    @model_validator(mode="after")
    def _names_the_other_notice(self) -> Self:
        follows = self.clock.start is StartKind.AFTER_OTHER_NOTICE
        if follows != (self.after is not None):
            raise ValueError("`after` and a start `after_other_notice` belong together")
        if (self.recipient is Recipient.AUTHORITY) == bool(self.body):
            raise ValueError("`body` names every recipient but the authority, which has a table")
        return self

    @property
    def weaker(self) -> SourcedRow:
        """The less sure one of the duty and its deadline: nothing is surer than both."""
        return min((self.clock, self), key=lambda row: (row.standing.sureness, row.checked_on))

    def rule(self, *, alone: bool = True) -> DutyRule:
        """Return the rule that `dsr_worker.domain.breach` decides with."""
        threshold, harm = self.threshold, self.harm
        return DutyRule(
            id=self.id,
            recipient=self.recipient,
            stage=self.stage,
            clock=self.clock.rule(),
            start=self.clock.start,
            after=self.after,
            role=self.role,
            trigger=self.trigger,
            condition=self.condition,
            threshold=threshold.rule() if threshold else None,
            harm=HarmTest(harm.level, harm.presumed, harm.wording) if harm else None,
            encryption_exempts=self.encryption_exempts,
            contents=self.contents,
            citation=self.citation,
            verified=self.weaker.verified,
            alone=alone,
        )


class RecurringRow(DatedRow):
    """Something to be done again and again, first on the day on which the row comes into force."""

    what: Text
    every: PeriodRow

    @model_validator(mode="after")
    def _is_counted_in_days(self) -> Self:
        if self.every.unit not in {Unit.CALENDAR_DAYS, Unit.MONTHS} or self.every.amount < 1:
            raise ValueError("`every` is a number of calendar_days or months")
        return self


class AuthorityTable(SourcedRow):
    """Who supervises, by country or part of one; `generic` for those not listed."""

    generic: Text
    by_country: dict[Text, Text] = Field(default_factory=dict)

    def body(self, country: str | None) -> str:
        """Return the name for the longest prefix of `country` that is listed."""
        while country:
            if country in self.by_country:
                return self.by_country[country]
            country = country.rpartition("-")[0]
        return self.generic
