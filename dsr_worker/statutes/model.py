"""The shape of a law pack: strict rows, each with its citation and its standing.

Why this module exists: a row that a lawyer cannot check or a machine cannot replay is worth
nothing, so unknown keys, missing citations, overlapping rows and impossible periods are refused
when a pack is read. Plain mappings enter; frozen models leave, with the rules of
`dsr_worker.domain` made from them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dsr_worker.domain.breach import (
    Compare,
    DutyRule,
    Harm,
    HarmTest,
    Recipient,
    Role,
    Threshold,
)
from dsr_worker.domain.calendar import zone_of
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
from dsr_worker.domain.retention import AnchorKind, CalendarPeriod

_LAX = Field(strict=False)
"""YAML writes words and lists where Python has enumerations and tuples."""

Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[tuple[Text, ...], _LAX]


class Standing(StrEnum):
    """How sure we are of a row."""

    STATUTE = "statute"
    """The wording of the law itself was read."""
    SECONDARY = "secondary"
    """A secondary source was read."""
    UNVERIFIED = "no"
    """Believed; nobody has read it anywhere. Shown as unverified wherever it is shown."""


class Right(StrEnum):
    """What a person may ask for."""

    ACCESS = "access"
    PORTABILITY = "portability"
    ERASURE = "erasure"
    RECTIFICATION = "rectification"
    RESTRICTION = "restriction"
    OBJECTION = "objection"
    OPT_OUT = "opt-out"


class Row(BaseModel):
    """A row that refuses unknown keys and silent conversions."""

    # Built when first read: a question about one deadline needs no model of retention.
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, defer_build=True)


class SourcedRow(Row):
    """A row with its source."""

    citation: Text
    standing: Annotated[Standing, _LAX]
    checked_on: date
    note: str = ""

    @property
    def verified(self) -> bool:
        """False where nobody has read a source for this row."""
        return self.standing is not Standing.UNVERIFIED


class DatedRow(SourcedRow):
    """A row in force from `effective_from` until the day before `effective_to`."""

    id: Text
    effective_from: date
    effective_to: date | None = None

    @model_validator(mode="after")
    def _ends_after_start(self) -> Self:
        if self.effective_to is not None and self.effective_to <= self.effective_from:
            raise ValueError("effective_to must lie after effective_from")
        return self

    def in_force(self, on: date) -> bool:
        """Say whether the row is law on `on`."""
        return self.effective_from <= on and (self.effective_to is None or on < self.effective_to)


class PeriodRow(Row):
    """A number of units."""

    amount: int
    unit: Annotated[Unit, _LAX]

    @model_validator(mode="after")
    def _is_a_period(self) -> Self:
        self.period()
        return self

    def period(self) -> Period:
        """Return it as the arithmetic's value."""
        return Period(self.amount, self.unit)


class PauseRow(SourcedRow):
    """What waiting for the person does to a clock."""

    ground: Annotated[PauseGround, _LAX]
    effect: Annotated[PauseEffect, _LAX]


class ClockRow(SourcedRow):
    """One period with everything that moves it."""

    start: Annotated[StartKind, _LAX]
    period: PeriodRow
    extension: PeriodRow | None = None
    extension_grounds: str = ""
    roll: Annotated[Roll, _LAX] = Roll.NONE
    first_day: Annotated[FirstDay, _LAX] = FirstDay.EXCLUDED
    pauses: Annotated[tuple[PauseRow, ...], _LAX] = ()
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


class RefusalRow(SourcedRow):
    """What a refusal must contain."""

    contents: Texts


class FeeRow(SourcedRow):
    """What may be charged."""

    rule: Text


class RightsRow(DatedRow):
    """The clocks that one or several rights share, with each right's own provision."""

    provisions: Annotated[dict[Annotated[Right, _LAX], Text], Field(min_length=1)]
    respond: ClockRow
    acknowledge: ClockRow | None = None
    refusal: RefusalRow
    fee: FeeRow


class ComplaintRow(DatedRow):
    """The clocks of a complaint to the controller."""

    acknowledge: ClockRow
    respond: ClockRow


class ThresholdRow(Row):
    """A number of affected residents."""

    count: Annotated[int, Field(gt=0)]
    compare: Annotated[Compare, _LAX]


class HarmRow(Row):
    """The least harm at which a duty binds."""

    level: Annotated[Harm, _LAX]
    presumed: bool
    wording: Text


class BreachRow(DatedRow):
    """One duty towards one recipient."""

    recipient: Annotated[Recipient, _LAX]
    body: str = ""
    clock: ClockRow
    after: Annotated[Recipient, _LAX] | None = None
    role: Annotated[Role, _LAX] = Role.CONTROLLER
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

    def rule(self) -> DutyRule:
        """Return the rule that `dsr_worker.domain.breach` decides with."""
        threshold, harm = self.threshold, self.harm
        return DutyRule(
            id=self.id,
            recipient=self.recipient,
            clock=self.clock.rule(),
            start=self.clock.start,
            after=self.after,
            role=self.role,
            trigger=self.trigger,
            condition=self.condition,
            threshold=Threshold(threshold.count, threshold.compare) if threshold else None,
            harm=HarmTest(harm.level, harm.presumed, harm.wording) if harm else None,
            encryption_exempts=self.encryption_exempts,
            contents=self.contents,
            citation=self.citation,
            verified=self.verified and self.clock.verified,
        )


class ExemptionRow(SourcedRow):
    """A ground on which something is withheld or kept, as a code."""

    code: Annotated[str, Field(pattern=r"^[A-Z][A-Z_]+$")]
    meaning: Text
    rights: Annotated[tuple[Annotated[Right, _LAX], ...], _LAX]


class AuthorityTable(SourcedRow):
    """Who supervises, by country or part of one; `generic` for those not listed."""

    generic: Text
    by_country: dict[Text, Text] = {}

    def body(self, country: str | None) -> str:
        """Return the name for the longest prefix of `country` that is listed."""
        while country:
            if country in self.by_country:
                return self.by_country[country]
            country = country.rpartition("-")[0]
        return self.generic


_Dated = TypeVar("_Dated", bound=DatedRow)


def _refuse_overlap(rows: Iterable[_Dated], what: str) -> None:
    ordered = sorted(rows, key=lambda row: row.effective_from)
    for earlier, later in pairwise(ordered):
        if earlier.effective_to is None or earlier.effective_to > later.effective_from:
            raise ValueError(f"{earlier.id} and {later.id} are both in force for {what}")


def _refuse_repeats(names: Sequence[str], what: str) -> None:
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise ValueError(f"{what} given twice: {', '.join(repeated)}")


class LawPack(Row):
    """All that one regime says about requests, complaints and breaches."""

    name: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z0-9]+)+$")]
    title: Text
    version: date
    countries: Annotated[tuple[Text, ...], _LAX, Field(min_length=1)]
    default_country: str | None = None
    """Taken where none is given, if the law implies one."""
    calendar: str | None = None
    """The one calendar of this law; None: that of the country."""
    authorities: AuthorityTable
    rights: Annotated[tuple[RightsRow, ...], _LAX]
    complaints: Annotated[tuple[ComplaintRow, ...], _LAX] = ()
    breach: Annotated[tuple[BreachRow, ...], _LAX]
    exemptions: Annotated[tuple[ExemptionRow, ...], _LAX]

    @model_validator(mode="after")
    def _is_unambiguous(self) -> Self:
        rows = [*self.rights, *self.complaints, *self.breach]
        _refuse_repeats([row.id for row in rows], "row id")
        _refuse_repeats([row.code for row in self.exemptions], "exemption code")
        for right in Right:
            _refuse_overlap((row for row in self.rights if right in row.provisions), right)
        _refuse_overlap(self.complaints, "complaints")
        for recipient in Recipient:
            _refuse_overlap((row for row in self.breach if row.recipient is recipient), recipient)
        if self.default_country is not None:
            self.jurisdiction(self.default_country)
        return self

    def covers(self, country: str) -> bool:
        """Say whether this law applies to residents of `country`."""
        return any(country == own or country.startswith(f"{own}-") for own in self.countries)

    def jurisdiction(self, country: str) -> str:
        """Return the entry of `countries` under which `country` falls.

        Raises:
            ValueError: this law does not cover it.

        """
        for own in self.countries:
            if country == own or country.startswith(f"{own}-"):
                return own
        raise ValueError(f"{self.name} does not apply in {country}")


class CountryRow(Row):
    """One country or part of one."""

    name: Text
    zone: Text
    calendar: str | None = None

    @model_validator(mode="after")
    def _zone_exists(self) -> Self:
        zone_of(self.zone)
        return self


class CountryTable(Row):
    """Zones by ISO 3166 code: the capital's, or the state's own."""

    version: date
    aliases: dict[Text, Text]
    countries: dict[Text, CountryRow]


class RetentionRow(SourcedRow):
    """How long a class of records must be kept (minimum) or may be (maximum)."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)+$")]
    country: str | None
    """ISO 3166 code; None: not bound to one country."""
    title: Text
    minimum: str | None = None
    maximum: str | None = None
    anchor: Annotated[AnchorKind, _LAX]
    effective_from: date | None = None
    effective_to: date | None = None

    @model_validator(mode="after")
    def _has_a_period(self) -> Self:
        periods = [CalendarPeriod.parse(text) for text in (self.minimum, self.maximum) if text]
        if not periods:
            raise ValueError("a minimum, a maximum or both are needed")
        return self


class RetentionTable(Row):
    """All retention rules."""

    version: date
    rules: Annotated[tuple[RetentionRow, ...], _LAX]

    @model_validator(mode="after")
    def _is_unambiguous(self) -> Self:
        _refuse_repeats([row.id for row in self.rules], "retention rule")
        return self
