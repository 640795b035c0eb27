"""A law pack as a whole, and what makes it unambiguous."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date
from enum import StrEnum
from itertools import groupby, pairwise
from typing import Annotated, Self, TypeVar

from pydantic import Field, model_validator

from dsr_worker.domain.breach import DutyRule, Recipient
from dsr_worker.domain.calendar import Closed
from dsr_worker.domain.period import StartKind
from dsr_worker.statutes.model.duties import AuthorityTable, BreachRow, RecurringRow
from dsr_worker.statutes.model.rights import (
    ComplaintRow,
    ExemptionRow,
    RecordsRow,
    Right,
    RightsRow,
)
from dsr_worker.statutes.model.rows import LAX, DatedRow, Row, SourcedRow, Text, Texts


class Scope(StrEnum):
    """Whom a law concerns."""

    RESIDENTS = "residents"
    """Whoever holds data of people who live there."""
    DECLARED = "declared"
    """A sector, a status or an agreement: only who says so by naming the law."""


class ClosedRow(SourcedRow):
    """Days of every year that the law itself takes out of its working days."""

    first: Annotated[str, Field(pattern=r"^[01][0-9]-[0-3][0-9]$")]
    last: Annotated[str, Field(pattern=r"^[01][0-9]-[0-3][0-9]$")]

    def closed(self) -> Closed:
        """Return it as the calendar's value."""
        return Closed(_month_and_day(self.first), _month_and_day(self.last))


def _month_and_day(text: str) -> tuple[int, int]:
    month, _, day = text.partition("-")
    return int(month), int(day)


class PackHead(Row):
    """What has to be known of a pack to choose it: the first paragraph of its file."""

    name: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z0-9]+)+$")]
    aliases: Texts = ()
    title: Text
    version: date
    applies: Annotated[Scope, LAX] = Scope.RESIDENTS
    countries: Annotated[tuple[Text, ...], LAX, Field(min_length=1)]
    excludes: Texts = ()
    """Parts of those countries that have a law in its place."""
    default_country: str | None = None
    """Taken where none is given, if the law implies one."""
    calendar: str | None = None
    """The one calendar of this law; None: that of the country."""

    def reach(self, country: str) -> int:
        """Return how narrowly this law covers `country`; 0 where it does not."""
        if any(_within(country, out) for out in self.excludes):
            return 0
        return max((len(own) for own in self.countries if _within(country, own)), default=0)

    def covers(self, country: str) -> bool:
        """Say whether this law applies to residents of `country`."""
        return self.reach(country) > 0

    def concerns(self, country: str) -> bool:
        """Say whether it binds all who hold data of residents of `country`."""
        return self.applies is Scope.RESIDENTS and self.covers(country)

    def jurisdiction(self, country: str) -> str:
        """Return the entry of `countries` under which `country` falls.

        Raises:
            ValueError: this law does not cover it.

        """
        if self.covers(country):
            return max((own for own in self.countries if _within(country, own)), key=len)
        raise ValueError(f"{self.name} does not apply in {country}")


def _within(country: str, wider: str) -> bool:
    return country == wider or country.startswith(f"{wider}-")


class LawPack(PackHead):
    """All that one regime says about requests, complaints and breaches."""

    closed: Annotated[tuple[ClosedRow, ...], LAX] = ()
    authorities: AuthorityTable
    rights: Annotated[tuple[RightsRow, ...], LAX] = ()
    complaints: Annotated[tuple[ComplaintRow, ...], LAX] = ()
    breach: Annotated[tuple[BreachRow, ...], LAX] = ()
    recurring: Annotated[tuple[RecurringRow, ...], LAX] = ()
    records: Annotated[tuple[RecordsRow, ...], LAX] = ()
    exemptions: Annotated[tuple[ExemptionRow, ...], LAX] = ()

    @property
    def head(self) -> PackHead:
        """The part by which the pack is chosen."""
        return PackHead(**{name: getattr(self, name) for name in PackHead.model_fields})

    @property
    def begins_on(self) -> date | None:
        """The first day on which it gives a right or asks for a notice; None where none is set."""
        days = (row.effective_from for row in (*self.rights, *self.breach))
        return min((day for day in days if day is not None), default=None)

    def refusing(self, right: str) -> list[str]:
        """The codes of the grounds on which this law lets a request of that right be refused."""
        return sorted({row.code for row in self.exemptions if right in row.rights})

    def duty(self, row: BreachRow) -> DutyRule:
        """Return the rule of one of these rows, as it is named beside the others."""
        others = [other for other in self.breach if other.recipient is row.recipient]
        alike = all(_place(other) == _place(row) for other in others)
        return row.rule(alone=alike and self.applies is Scope.RESIDENTS)

    def body_of(self, row: BreachRow, country: str | None) -> str:
        """Return the name of the body that a duty is owed to by somebody in `country`."""
        return row.body or self.authorities.body(country)

    @model_validator(mode="after")
    def _is_unambiguous(self) -> Self:
        rows = [*self.rights, *self.complaints, *self.breach, *self.recurring]
        refuse_repeats([row.id for row in rows], "row id")
        refuse_repeats([row.code for row in self.exemptions], "exemption code")
        for right in Right:
            _refuse_overlap((row for row in self.rights if right in row.provisions), right)
        _refuse_overlap(self.complaints, "complaints")
        for place, duties in groupby(sorted(self.breach, key=_place), _place):
            _refuse_overlap(duties, " ".join(place))
        if self.default_country is not None:
            self.jurisdiction(self.default_country)
        self._starts_after_a_notice_of_its_own()
        return self

    def _starts_after_a_notice_of_its_own(self) -> None:
        known = {row.id for row in self.breach} | set(Recipient)
        for row in self.breach:
            if row.clock.start is StartKind.AFTER_OTHER_NOTICE and row.after not in known:
                raise ValueError(f"{row.id}: `after` names no recipient and no row of this law")


def _place(row: BreachRow) -> tuple[str, str, str, str]:
    return (row.recipient, row.stage, row.body, row.role)


_Dated = TypeVar("_Dated", bound=DatedRow)


def _refuse_overlap(rows: Iterable[_Dated], what: str) -> None:
    dated = ((row.effective_from, row) for row in rows if row.effective_from is not None)
    for (_, earlier), (start, later) in pairwise(sorted(dated, key=lambda pair: pair[0])):
        if earlier.effective_to is None or earlier.effective_to > start:
            raise ValueError(f"{earlier.id} and {later.id} are both in force for {what}")


def refuse_repeats(names: Sequence[str], what: str) -> None:
    """Refuse a name that stands there twice. Raises ValueError."""
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise ValueError(f"{what} given twice: {', '.join(repeated)}")
