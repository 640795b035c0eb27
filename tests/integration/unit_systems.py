"""The in-memory connector cut into units by a digest of each row's key, for tests of the engine."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from threading import Lock
from typing import Any, Self, TypeVar

from dsr_worker.contract import (
    Ask,
    Call,
    Context,
    Key,
    Mention,
    Receipt,
    Record,
    Subject,
    SweepOrder,
    Unit,
)
from dsr_worker.testing.memory import Memory
from dsr_worker.testing.memory.rows import Change, Store, Tables

T = TypeVar("T", Record, Key, Mention)


class Journal:
    """What was asked of all connectors of this process, and what is to go wrong."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []  # call and unit ("" is the whole)
        self.given: list[int] = []  # how many keys each call was given
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
        return self._unit is None or self._number(collection, key) == int(self._unit)

    def _number(self, collection: str, key: tuple[str, ...]) -> int:
        return blake2b(repr((collection, key)).encode()).digest()[0] % self.parts


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


class ChangingInParts(InParts):
    """The same, which erases and sweeps in units as well; its rows must not lie below others."""

    def units_of(self, keys: Iterable[Key], ctx: Context, after: str) -> Iterator[Unit]:
        """The numbers of the units in which these keys lie; the first of all leads."""
        ctx.check()
        numbers = {self._number(key.collection, key.key) for key in keys} or {0}
        for number in sorted(numbers):
            if not after or number > int(after):
                yield Unit(str(number), 100, leads=number == min(numbers))

    def unit_of(self, names: Sequence[str]) -> Callable[[Key], int | None]:
        """By number."""
        places = {int(name): at for at, name in enumerate(names)}
        return lambda key: places.get(self._number(key.collection, key.key))

    def erase(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Receipt]:
        """The unit's rows; it was given no other keys."""
        self.journal.note("count" if ctx.dry_run else "erase", self._unit or "")
        yield from super().erase(subjects, self._noted(keys), ctx)

    def recheck(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Key]:
        """What is left in the unit; it was given no other keys."""
        yield from super().recheck(subjects, self._noted(keys), ctx)

    def _noted(self, keys: Iterable[Key]) -> list[Key]:
        given = list(keys)
        assert all(self._holds(key.collection, key.key) for key in given)
        self.journal.given.append(len(given))
        return given

    def sweep(self, orders: Sequence[SweepOrder], ctx: Context) -> Iterator[Receipt]:
        """Whatever lies in the unit."""
        self.journal.note("count" if ctx.dry_run else "sweep", self._unit or "")
        part = copy.copy(self)
        part.store = _Part(self.store, self._holds)
        yield from Memory.sweep(part, orders, ctx)


class _Part(Store):
    """Of a store, the rows of one unit."""

    def __init__(self, whole: Store, holds: Callable[[str, tuple[str, ...]], bool]) -> None:
        vars(self).update(vars(whole))
        self._whole = whole
        self._holds = holds

    def _of(self, tables: Tables) -> Tables:
        """The rows of the unit."""
        mine = Tables(refusals=tables.refusals)
        for name, rows in tables.rows.items():
            mine.rows[name] = {key: row for key, row in rows.items() if self._holds(name, key)}
        return mine

    @contextmanager
    def reading(self) -> Iterator[Tables]:
        """Its rows as they are."""
        with self._whole.reading() as tables:
            yield self._of(tables)

    @contextmanager
    def transaction(self) -> Iterator[tuple[Tables, list[Change]]]:
        """Its rows, and a list that is applied to the whole."""
        with self._whole.transaction() as (tables, changes):
            yield self._of(tables), changes


def changing(parts: int) -> type[ChangingInParts]:
    """A connector class with a journal of its own, which changes in units as well."""
    made: Any = type("Parted", (ChangingInParts,), {"parts": parts, "journal": Journal()})
    connector: type[ChangingInParts] = made
    return connector
