"""The in-memory connector cut into units by a digest of each row's key, for tests of the engine."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from threading import Lock
from typing import Any, Self, TypeVar
from zlib import crc32

from dsr_worker.contract import Ask, Call, Context, Key, Mention, Record, Subject, Unit
from dsr_worker.testing.memory import Memory

T = TypeVar("T", Record, Key, Mention)


class Journal:
    """What was asked of all connectors of this process, and what is to go wrong."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []  # call and unit ("" is the whole)
        self.trouble: dict[tuple[str, str], list[Exception]] = {}
        self.poison: dict[tuple[str, str], str] = {}  # a customer number that a unit cannot bear
        self._lock = Lock()

    def note(self, call: str, unit: str) -> None:
        """Note a call; raises what was ordered for it."""
        with self._lock:
            self.calls.append((call, unit))
            waiting = self.trouble.get((call, unit))
            error = waiting.pop(0) if waiting else None
        if error is not None:
            raise error

    def made(self, call: str) -> list[str]:
        """The units in which a call was made, in order."""
        return [unit for name, unit in self.calls if name == call]


class InParts(Memory):
    """A system of `parts` units; what a unit does not hold it does not find."""

    parts = 7
    journal = Journal()
    _unit: str | None = None

    def units(
        self, call: Call, subjects: Sequence[Subject], ctx: Context, after: str
    ) -> Iterator[Unit]:
        """The units are numbers."""
        self.journal.note(f"units of {call}", after)
        for number in range(int(after) + 1 if after else 0, self.parts):
            ctx.check()
            yield Unit(str(number), 100)

    def in_unit(self, name: str) -> Self:
        """A copy that filters."""
        made = copy.copy(self)
        made._unit = name
        return made

    def find(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Record]:
        """The unit's records."""
        poison = self.journal.poison.get(("find", self._unit or ""))
        if any(poison in subject.values("customer_number") for subject in subjects):
            raise RuntimeError
        return self._mine("find", super().find(subjects, ctx))

    def locate(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Key]:
        """The unit's keys."""
        return self._mine("locate", super().locate(subjects, ctx))

    def recheck(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Key]:
        """What is left in the unit."""
        mine = [key for key in keys if self._holds(key.collection, key.key)]
        return self._mine("recheck", super().recheck(subjects, mine, ctx))

    def mentions(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Mention]:
        """The unit's mentions."""
        return self._mine("mentions", super().mentions(subjects, ctx))

    def _mine(self, call: str, found: Iterator[T]) -> Iterator[T]:
        self.journal.note(call, self._unit or "")
        for item in found:
            if self._holds(item.collection, item.key):
                yield item

    def _holds(self, collection: str, key: tuple[str, ...]) -> bool:
        if self._unit is None:
            return True
        return crc32(repr((collection, key)).encode()) % self.parts == int(self._unit)


class InOnePassToo(InParts):
    """The same, which takes calls together: a pass is noted, then what each call in it finds."""

    def together(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Record | Key | Mention]]:
        """One ask after the other; what they read is at hand."""
        self.journal.note("pass", self._unit or "")
        for number, ask in enumerate(asks):
            found = getattr(self, ask.call)(ask.subjects, ask.ctx)
            yield from ((number, item) for item in found)


def fresh(parts: int, *, together: bool = False) -> type[InParts]:
    """A connector class with a journal of its own."""
    base = InOnePassToo if together else InParts
    made: Any = type("Parted", (base,), {"parts": parts, "journal": Journal()})
    connector: type[InParts] = made
    return connector
