"""The tables that no one law owns: countries with their zones, and retention rules."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from dsr_worker.domain.calendar import zone_of
from dsr_worker.domain.retention import AnchorKind, CalendarPeriod
from dsr_worker.statutes.model.pack import refuse_repeats
from dsr_worker.statutes.model.rows import LAX, Row, SourcedRow, Text


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
    calling: dict[Text, Text]
    """Country by country calling code (E.164), where a code is one country's."""
    countries: dict[Text, CountryRow]


class Nature(StrEnum):
    """Who asks for a period of keeping."""

    STATUTE_MINIMUM = "statute_minimum"
    """A law orders keeping; it may order an end as well."""
    MAXIMUM = "maximum"
    """A law orders an end."""
    LIMITATION = "limitation"
    """Claims may be brought for so long; nobody orders keeping."""
    GUIDANCE = "guidance"
    """An authority or a standard advises it."""

    @property
    def ordered(self) -> bool:
        """Say whether a law orders it; what is not binds only where a policy takes it up."""
        return self in {Nature.STATUTE_MINIMUM, Nature.MAXIMUM}


class RetentionRow(SourcedRow):
    """How long a class of records must be kept (minimum) or may be (maximum)."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)+$")]
    country: str | None
    """ISO 3166 code; None: not bound to one country."""
    title: Text
    nature: Annotated[Nature, LAX]
    minimum: str | None = None
    maximum: str | None = None
    anchor: Annotated[AnchorKind, LAX]
    effective_from: date | None = None
    effective_to: date | None = None

    @model_validator(mode="after")
    def _has_a_period(self) -> Self:
        periods = [CalendarPeriod.parse(text) for text in (self.minimum, self.maximum) if text]
        if not periods:
            raise ValueError("a minimum, a maximum or both are needed")
        if self.nature is Nature.STATUTE_MINIMUM and not self.minimum:
            raise ValueError("a statute_minimum has a minimum")
        if self.nature is Nature.MAXIMUM and self.minimum:
            raise ValueError("a maximum has no minimum; a law that orders both is statute_minimum")
        return self


class RetentionTable(Row):
    """All retention rules."""

    version: date
    rules: Annotated[tuple[RetentionRow, ...], LAX]

    @model_validator(mode="after")
    def _is_unambiguous(self) -> Self:
        refuse_repeats([row.id for row in self.rules], "retention rule")
        return self
