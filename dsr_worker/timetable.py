"""The house's timetable for complaints, as `organisation.yaml` writes it.

In: the file's part `complaints`. Out: the periods as `dsr_worker.domain.complaint` counts them, and
whom a person can turn to; or faults that say what to write.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from dsr_worker.documents import Strict
from dsr_worker.domain.complaint import Stage, Timetable, whole_period
from dsr_worker.domain.retention import CalendarPeriod

Text = Annotated[str, Field(min_length=1)]
Country = Annotated[str, Field(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$")]


def _whole(text: str) -> str:
    whole_period(text)
    return text


_Whole = Annotated[str, AfterValidator(_whole)]
_EXAMPLE = (
    "complaints: {acknowledge_within: P3D, resolve_within: P30D, refer_after: P60D,"
    " rest_at_most: P7D, refer_to: {DE: name and address of the body}}"
)
_ANY_DAY = date(2001, 1, 1)


def written(value: Any) -> Any:
    """Return the timetable as written. Raises ValueError where there is none: it has no default."""
    if value is None:
        raise ValueError(f"the timetable for complaints is missing; write {_EXAMPLE}")
    return value


class Complaints(Strict):
    """The house's timetable for complaints, counted from receipt. Nothing of it has a default.

    What nobody has decided, nobody keeps. `refer_to` names, by country, whom a person can turn to
    outside the house; for complaints about personal data the law's authority is told beside it.
    """

    acknowledge_within: _Whole
    resolve_within: _Whole
    refer_after: _Whole
    """When a complaint that is still open goes before the body of `refer_to`."""
    rest_at_most: _Whole
    """For how long an investigation may stand still before somebody is warned."""
    refer_to: Annotated[dict[Country, Text], Field(min_length=1)]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        written = (self.acknowledge_within, self.resolve_within, self.refer_after)
        ends = [CalendarPeriod.parse(text).after(_ANY_DAY) for text in written]
        if ends != sorted(ends):
            raise ValueError(
                "acknowledge_within is not longer than resolve_within, nor that than refer_after"
            )
        return self

    @property
    def timetable(self) -> Timetable:
        """The periods as `dsr_worker.domain.complaint` takes them."""
        return Timetable(
            {
                Stage.ACKNOWLEDGE: whole_period(self.acknowledge_within),
                Stage.RESOLVE: whole_period(self.resolve_within),
                Stage.REFER: whole_period(self.refer_after),
                Stage.REST: whole_period(self.rest_at_most),
            }
        )

    def body(self, country: str | None) -> str | None:
        """The body for a country, or for the country that a part belongs to; None without one."""
        while country:
            if country in self.refer_to:
                return self.refer_to[country]
            country = country.rpartition("-")[0]
        return None
