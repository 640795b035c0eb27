"""A file of retention policy as it is written: which keys it has, and what each may say.

In: plain values from YAML. Out: frozen models, whose faults name what to write instead.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from dsr_worker.documents import Strict
from dsr_worker.domain.calendar import zone_of
from dsr_worker.domain.retention import AnchorKind, CalendarPeriod, YearEnd

_NAME = r"^[a-z][a-z0-9_-]{0,62}$"
_EXAMPLE_TIME = datetime(2024, 1, 1, tzinfo=UTC)


def _is_zone(name: str) -> str:
    zone_of(name)
    return name


def _is_period(text: str) -> str:
    CalendarPeriod.parse(text)
    return text


def _is_cron(text: str) -> str:
    try:
        CronSim(text, _EXAMPLE_TIME)
    except CronSimError as error:
        raise ValueError('not a cron expression; write "15 3 * * *" for 03:15 every day') from error
    return text


def year_end_of(text: str) -> YearEnd:
    """Return the day that `03-31` names. Raises ValueError for none."""
    month, dash, day = text.partition("-")
    if not dash or not month.isdigit() or not day.isdigit():
        raise ValueError('write month and day, such as "03-31"')
    return YearEnd(int(month), int(day))


def _is_year_end(text: str) -> str:
    year_end_of(text)
    return text


def _is_text(value: object) -> object:
    if isinstance(value, int | float):
        raise ValueError('put it in quotes, three numbers with dots: "1.0.0"')  # noqa: TRY004 - pydantic takes no TypeError
    return value


def _is_filled(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Refuse an empty list; one whose only part has a fault of its own is not empty."""
    if not values:
        raise ValueError("empty; write at least one")
    return values


_FILLED = (AfterValidator(_is_filled), Field(json_schema_extra={"minItems": 1}))
Name = Annotated[str, Field(pattern=_NAME)]
Text = Annotated[str, Field(min_length=1)]
Zone = Annotated[str, AfterValidator(_is_zone)]


class KeepFile(Strict):
    """A period: a row of the law by id, or a period of one's own with its source.

    A row that no law orders is named as what it is: the house takes it up.
    """

    statute: Name | None = None
    limitation: Name | None = None
    guidance: Name | None = None
    period: Annotated[str, AfterValidator(_is_period)] | None = None
    anchor: AnchorKind | None = None
    citation: Text | None = None
    year_end: Annotated[str, AfterValidator(_is_year_end)] | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        own = (self.period, self.anchor, self.citation)
        named = [name for name in (self.statute, self.limitation, self.guidance) if name]
        if len(named) > 1:
            raise ValueError("name one of statute, limitation and guidance")
        if named and any(own):
            raise ValueError("a statute brings its own period, anchor and citation; leave one out")
        if not named and not all(own):
            raise ValueError("write {statute: id}, or period, anchor and citation together")
        return self

    @property
    def row(self) -> str | None:
        """The row of the law that it names."""
        return self.statute or self.limitation or self.guidance


class RuleFile(Strict):
    """One rule of a policy."""

    id: Name
    record_class: Annotated[Name, Field(alias="class")]
    keep_at_least: KeepFile | None = None
    keep_at_most: KeepFile | None = None
    clock: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    action: Literal["erase", "mask"] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.keep_at_least is None and self.keep_at_most is None:
            raise ValueError("a rule has keep_at_least, keep_at_most or both")
        if self.keep_at_most is None and self.action is not None:
            raise ValueError("an action belongs to keep_at_most; take it out")
        return self


class LimitsFile(Strict):
    """How much one sweep may touch without asking a person."""

    rows: Annotated[int, Field(ge=0)]
    share: Annotated[float, Field(ge=0, le=1, strict=False)]


class PolicyFile(Strict):
    """One file of retention policy."""

    policy: Name
    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$"), BeforeValidator(_is_text)]
    title: Text
    owner: Text
    jurisdictions: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$")], ...],
        *_FILLED,
    ]
    zone: Zone
    schedule: Annotated[str, AfterValidator(_is_cron)] | None = None
    limits: LimitsFile
    rules: Annotated[tuple[RuleFile, ...], *_FILLED]
