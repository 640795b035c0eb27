"""What a law says of a request or a complaint: clocks, refusal, fee, appeal, records, grounds."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from dsr_worker.statutes.model.rows import (
    LAX,
    ClockRow,
    DatedRow,
    SourcedRow,
    Text,
    Texts,
)


class Right(StrEnum):
    """What a person may ask for."""

    ACCESS = "access"
    PORTABILITY = "portability"
    ERASURE = "erasure"
    RECTIFICATION = "rectification"
    RESTRICTION = "restriction"
    OBJECTION = "objection"
    OPT_OUT = "opt-out"


class RefusalRow(SourcedRow):
    """What a refusal must contain."""

    contents: Texts


class FeeRow(SourcedRow):
    """What may be charged."""

    rule: Text


class AppealRow(SourcedRow):
    """How a refusal is looked at again by whoever refused. No `answer`: the law gives no appeal."""

    answer: ClockRow | None = None
    file_within: str = ""
    """How long the person has for it, as the law says it."""
    channel: Text
    """Where the person may complain beside it, or when it fails: every denial names it."""


class RightsRow(DatedRow):
    """The clocks that one or several rights share, with each right's own provision."""

    provisions: Annotated[dict[Annotated[Right, LAX], Text], Field(min_length=1)]
    respond: ClockRow
    acknowledge: ClockRow | None = None
    refusal: RefusalRow
    fee: FeeRow
    appeal: AppealRow | None = None


class ComplaintRow(DatedRow):
    """The clocks of a complaint to the controller."""

    acknowledge: ClockRow
    respond: ClockRow


class ExemptionRow(SourcedRow):
    """A ground on which something is withheld or kept, as a code."""

    code: Annotated[str, Field(pattern=r"^[A-Z][A-Z_]+$")]
    variant: Annotated[str, Field(pattern=r"^[a-z][a-z_]+$")] | None = None
    """Where this law's ground differs in substance from others of its code: words of its own."""
    meaning: Text
    rights: Annotated[tuple[Annotated[Right, LAX], ...], LAX]

    @property
    def words(self) -> str:
        """The key of its words in the files of languages."""
        return self.code if self.variant is None else f"{self.code}.{self.variant}"


class Kept(StrEnum):
    """Of what records are kept."""

    REQUESTS = "requests"
    BREACHES = "breaches"


class RecordsRow(SourcedRow):
    """What must be kept to show that the law was followed, and how long."""

    of: Annotated[Kept, LAX]
    contents: Text
    period: str | None
    """ISO 8601; None: the law asks for the record and names no term."""
