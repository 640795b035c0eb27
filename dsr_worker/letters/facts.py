"""What a letter is made of, as values, and the letter itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from dsr_worker.domain.period import PauseEffect
from dsr_worker.statutes import LawPack, Right


class About(StrEnum):
    """What a letter says."""

    ACKNOWLEDGEMENT = "acknowledgement"
    IDENTITY = "identity"
    CLARIFICATION = "clarification"
    EXTENSION = "extension"
    REFUSAL = "refusal"
    PARTIAL = "partial"
    APPEAL_ACKNOWLEDGEMENT = "appeal_acknowledgement"
    APPEAL_DISMISSED = "appeal_dismissed"
    APPEAL_GRANTED = "appeal_granted"
    APPEAL_PARTLY = "appeal_partly"


@dataclass(frozen=True, slots=True)
class Sender:
    """Who writes, and where an answer goes."""

    name: str
    address: str
    contact: str


@dataclass(frozen=True, slots=True)
class Kept:
    """Entries that were not treated as was asked, by ground; `citation`: of a rule of the house."""

    ground: str
    rows: int
    until_on: date | None = None
    citation: str | None = None


@dataclass(frozen=True, slots=True)
class ByLaw:
    """What one law of a case makes of it."""

    pack: LawPack
    country: str | None
    received_on: date
    """The day of receipt where this law counts: it tells which of its rows holds."""
    due_on: date
    """When the answer is due by this law; by the house where it names no number."""
    has_number: bool = True
    authority: str | None = None
    """As the house names its own, for a case of its country; else the pack's words count."""
    effect: PauseEffect | None = None
    """What waiting for the person does to the time to answer, by this law."""
    new_due_on: date | None = None
    """When the answer is due once the time is extended; None where this law extends none."""
    reason: str = ""
    """Why the time is extended, as a code."""
    grounds: tuple[str, ...] = ()
    """Why it is refused: the stated grounds that this law knows, as its codes."""


@dataclass(frozen=True, slots=True)
class Facts:
    """One case as a letter tells it; no value of the person is part of it."""

    about: About
    ref: str
    right: Right
    sender: Sender
    written_on: date
    received_on: date
    laws: tuple[ByLaw, ...]
    """Every law that this letter goes by, the case's own first."""
    kept: tuple[Kept, ...] = ()
    appealed_on: date | None = None
    """When the appeal came that this answers; None where there is none that stands so."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A text to be read, completed and sent."""

    language: str
    text: str
    to_complete: int
    """How many places in [brackets] only a person can fill."""
    laws: tuple[str, ...] = ()
    """The laws that it goes by, as names of packs."""
    in_english: tuple[str, ...] = ()
    """Codes, and ways that a law names, for which this language has no words: told in English."""
