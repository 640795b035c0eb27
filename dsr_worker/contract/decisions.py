"""What happens to a row, as data: rules in order, the first that matches decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from dataclasses import field as attribute
from datetime import datetime
from enum import StrEnum

from dsr_worker.contract.masks import Mask
from dsr_worker.contract.people import Identity


class Action(StrEnum):
    """What a rule does with the rows it matches."""

    KEEP = "keep"
    MASK = "mask"  # the row stays, the masked fields go
    ERASE = "erase"
    RECTIFY = "rectify"  # the subject's corrections are put in place
    RESTRICT = "restrict"  # by the means that the collection maps
    LIFT = "lift"  # the restriction ends: the same means, backwards


@dataclass(frozen=True, slots=True)
class Always:
    """Matches every row."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """Matches every row: the whole collection is under a legal hold."""


@dataclass(frozen=True, slots=True)
class HeldSubjects:
    """Matches the rows of these subjects of the batch (by `ref`)."""

    refs: frozenset[str]


@dataclass(frozen=True, slots=True)
class HeldPeople:
    """Matches rows owned, directly or through parents, by any of these identities.

    A row that a restriction has moved is owned as it was, and what lies below it likewise.
    """

    identities: tuple[Identity, ...]


@dataclass(frozen=True, slots=True)
class HeldRows:
    """Matches rows whose `field`, as text, is one of `values` (a row-set hold)."""

    field: str
    values: tuple[str, ...] = attribute(repr=False)


@dataclass(frozen=True, slots=True)
class Since:
    """Matches rows whose clock `field` is at or after `cutoff`, and those where it is null."""

    field: str
    cutoff: datetime


@dataclass(frozen=True, slots=True)
class Before:
    """Matches rows whose clock `field` is before `cutoff`; a null never matches."""

    field: str
    cutoff: datetime


@dataclass(frozen=True, slots=True)
class NeededByKept:
    """Matches rows that a staying row (kept or masked) of one of these children refers to."""

    children: tuple[str, ...]


Predicate = Always | Frozen | HeldSubjects | HeldPeople | HeldRows | Since | Before | NeededByKept


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of a decision table. `ground` says why a row stays (a code, never prose)."""

    code: str  # hold | minimum | needed | limit | default
    when: Predicate
    action: Action
    ground: str = ""
    masks: Mapping[str, Mask] = field(default_factory=dict)  # for MASK: field -> mask
    clock: str | None = None  # the clock field whose newest value dates the end of the keeping
    kept_fields: frozenset[str] = frozenset()  # for RECTIFY: these stay as they are, by `ground`


@dataclass(frozen=True, slots=True)
class DecisionTable:
    """The rules of one collection in order; the first that matches a row decides it.

    The last rule's predicate is `Always`, so that no row is left undecided.
    """

    collection: str
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class SweepOrder:
    """What a sweep is to do in one collection: the table decides, the limits stop it.

    `max_rows` is a brake: more matching rows than this changes nothing and raises `NeedsHuman`.
    """

    collection: str
    table: DecisionTable
    max_rows: int
