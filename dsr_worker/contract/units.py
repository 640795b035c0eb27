"""How a connector lets one call be shared among workers. Whoever does not need it never sees it.

A call that reads a petabyte is no call for one worker. A connector that is `InUnits` names the
parts its system falls into; the engine keeps each as a row with a lease of its own, has any free
worker carry it out, and joins what they found: the same as the whole call, whoever of them died.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, Self, runtime_checkable

from dsr_worker.contract.context import Context
from dsr_worker.contract.people import Subject
from dsr_worker.contract.receipts import Key
from dsr_worker.contract.records import Mention, Record


class Call(StrEnum):
    """The calls that may be made in units."""

    FIND = "find"
    LOCATE = "locate"
    RECHECK = "recheck"
    MENTIONS = "mentions"
    ERASE = "erase"  # these two, and their dry runs, of a connector that is `ChangesInUnits`
    SWEEP = "sweep"


READS = (Call.FIND, Call.LOCATE, Call.RECHECK, Call.MENTIONS)
"""The calls that only read, and repeat without harm."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One part of a system. The name is the connector's own; the engine seals it.

    `size_bytes` says about how much there is to read. Where the first one `leads`, the others are
    begun once it has ended.
    """

    name: str = field(repr=False)
    size_bytes: int = 0
    leads: bool = False


@runtime_checkable
class InUnits(Protocol):
    """One batch's work is many objects."""

    def units(
        self, call: Call, subjects: Sequence[Subject], ctx: Context, after: str
    ) -> Iterator[Unit]:
        """The parts in which to make this call, in a fixed order. Reads only.

        Together they cover everything that the whole call would reach, also what comes to be while
        they are worked on, and nothing twice. A worker that dies over them is succeeded by one that
        asks again for those `after` the last name that was kept; empty: from the first. A single
        unit means that the call is as well made whole.
        """
        ...

    def in_unit(self, name: str) -> Self:
        """The same connector, which reaches nothing but this unit.

        Every call on it is the whole call's share: it passes over keys that lie elsewhere. Sends no
        request.
        """
        ...


@runtime_checkable
class ChangesInUnits(InUnits, Protocol):
    """What one erasure or one sweep changes is many objects as well.

    `erase` and `sweep` within a unit are the whole call's share, in receipts of the unit's own
    collections; those of all units add up to the receipts of the whole call. Several units may be
    worked on at the same time; what has to come before the rest lies in a first one that `leads`.
    """

    def units_of(self, keys: Iterable[Key], ctx: Context, after: str) -> Iterator[Unit]:
        """The parts in which these keys lie, for a call about them alone; see `units`.

        At least one; the same for the same keys in any order. Sends no request.
        """
        ...

    def unit_of(self, names: Sequence[str]) -> Callable[[Key], int | None]:
        """Tells in which of these units a key lies; None where in another. Sends no request."""
        ...


@dataclass(frozen=True, slots=True)
class Ask:
    """One call among several that are made in one pass: by the first path, about these subjects."""

    call: Call
    subjects: Sequence[Subject]
    ctx: Context


@runtime_checkable
class InOnePass(InUnits, Protocol):
    """What one call reads of a unit, others need as well: it is read once for all of them.

    Whoever declares it divides alike for all: the parts that `units` names for one call by the
    first path serve every other that falls into several parts, whoever it is about.
    """

    def together(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Record | Key | Mention]]:
        """What each of these calls (`find`, `locate`, `mentions`) finds, each item with its ask.

        An ask is answered as if it were made alone: from its own subjects, by its own context.
        Whatever is raised ends the pass for all; each is then made by itself. Reads only.
        """
        ...
