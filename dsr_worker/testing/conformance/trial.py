"""What the suite works with: adapters, hostile values, a context that dies on order.

In: an author's `make`. Out: an adapter that is closed again, subjects to try, crashes at a chosen
moment. Nothing here asserts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final, Protocol

from dsr_worker.contract import (
    Action,
    Affected,
    Connector,
    Contacts,
    DecisionTable,
    Erases,
    Frozen,
    Identity,
    Key,
    Mentions,
    Predicate,
    Receipt,
    Rechecks,
    Record,
    Residences,
    Resolves,
    Rule,
    Subject,
    SweepOrder,
    Sweeps,
)
from dsr_worker.testing.conformance.world import Where, World
from dsr_worker.testing.context import TrialContext

_HOSTILE: Final = (
    "", " ", "%", "_", "%%", "*", "?", ".*", "null", "NULL", "None", "nan", "0x0", "true", "''",
    "' OR '1'='1", '"; DROP TABLE people;--', "\\", "\\'", "$1", "%s", "{}", "../", "../../1",
    "1/", "01", "+1", "1.0", "1e0", " 1", "1 ", "\uff11", "\u0660", "-0", "1;2", "1,2", "\n1", "@",
    "@mail.example", "%@mail.example", "a" * 10_000, "\uff21nn@mail.example",
    "\u0430nn@mail.example", "\u202eann",
)  # fmt: skip


class Crash(BaseException):
    """The process dies here: nothing may catch it but what rolls back."""


class Adapter(Protocol):
    """How the suite reaches one connector's system. Each is used for one test and closed."""

    @property
    def world(self) -> World:
        """What was put into the system."""
        ...

    def connector(self) -> Connector:
        """A new connector on it."""
        ...

    def unreachable(self) -> Connector:
        """A connector with the same map whose system cannot be reached."""
        ...

    def dump(self) -> Mapping[Where, bytes]:
        """Everything in the system, byte for byte, read without the connector."""
        ...

    def close(self) -> None:
        """Let go of what was made for this adapter."""
        ...


class Maker(Protocol):
    """The part of a test class that an author writes."""

    def make(self, world: World) -> Adapter:
        """Put a world into a fresh system."""
        ...

    def world(self) -> World:
        """The world to try on."""
        ...


@contextmanager
def made(test: Maker, world: World | None = None) -> Iterator[Adapter]:
    """A fresh system with a world in it, let go of afterwards."""
    adapter = test.make(world or test.world())
    try:
        yield adapter
    finally:
        adapter.close()


@dataclass
class DyingContext(TrialContext):
    """Counts checks and intents, and dies at the chosen one, such as `("intent", 2)`."""

    die_at: tuple[str, int] | None = None
    checked: int = 0
    intended: int = 0

    def check(self) -> None:
        """Count, and perhaps die."""
        self.checked += 1
        if self.die_at == ("check", self.checked):
            raise Crash

    def intend(self, receipts: Sequence[Receipt]) -> None:
        """Count, and perhaps die."""
        super().intend(receipts)
        self.intended += 1
        if self.die_at == ("intent", self.intended):
            raise Crash


@dataclass
class HeldSinceContext(TrialContext):
    """A hold on everything was placed after planning: only the guard knows of it."""

    @contextmanager
    def guard(self) -> Iterator[TrialContext]:
        """A guard whose tables begin with the hold."""
        with TrialContext(tables=held(self.tables, Frozen())).guard() as guard:
            yield guard


def held(tables: Mapping[str, DecisionTable], when: Predicate) -> dict[str, DecisionTable]:
    """The tables with a hold as their first rule."""
    hold = Rule("hold", when, Action.KEEP, "hold")
    return {name: replace(t, rules=(hold, *t.rules)) for name, t in tables.items()}


def named_like(world: World, values: Iterable[str]) -> tuple[Subject, ...]:
    """Subjects who go by these values, each as an identity of every kind that the world takes."""
    return tuple(
        Subject(f"hostile-{number}", tuple(Identity(kind, value) for kind in sorted(world.kinds)))
        for number, value in enumerate(values)
    )


def hostile(world: World) -> tuple[Subject, ...]:
    """Subjects under hostile values, among them real ones with a letter made a wildcard."""
    real = sorted(i.value for person in world.people for i in person.identities if len(i.value) > 1)
    wide = [value[:1] + sign + value[2:] for value in real for sign in ("_", "%", "?", ".")]
    return named_like(world, (*_HOSTILE, *wide, *(f"{value}%" for value in real)))


def bodies(records: Iterable[Record]) -> list[tuple[str, str, tuple[str, ...], bytes]]:
    """Records as comparable values."""
    return [(r.subject_ref, r.collection, r.key, r.body) for r in records]


def calls(connector: Connector, world: World) -> list[Callable[[], object]]:
    """Every reading or dry call that the connector offers, on the people of the world."""
    ctx, dry, people = (
        TrialContext(),
        TrialContext(tables=world.keeping, dry_run=True),
        world.people,
    )
    found: list[Callable[[], object]] = [lambda: list(connector.find(people, ctx))]
    if isinstance(connector, Contacts):
        found.append(lambda: list(connector.contacts(world.claimed, ctx)))
    if isinstance(connector, Resolves):
        found.append(lambda: list(connector.resolve(world.claimed, ctx)))
    marks = any(c.residence for c in world.system.collections.values())
    if marks and isinstance(connector, Residences):
        found.append(lambda: list(connector.residences(people, ctx)))
    if isinstance(connector, Erases):
        found.append(lambda: list(connector.locate(people, ctx)))
        found.append(lambda: list(connector.erase(people, keys(world), dry)))
    if isinstance(connector, Rechecks):
        again = TrialContext(second_path=True)
        found.append(lambda: list(connector.recheck(people, keys(world), again)))
    if isinstance(connector, Mentions):
        found.append(lambda: list(connector.mentions(people, ctx)))
    if isinstance(connector, Sweeps):
        order = SweepOrder(world.sweeping.collection, world.sweeping, 100)
        found.append(lambda: list(connector.sweep((order,), dry)))
    if isinstance(connector, Affected):
        found.append(lambda: list(connector.affected((world.leak,), ctx)))
    return found


def keys(world: World) -> tuple[Key, ...]:
    """Where everything of the people asked about is, by the world's own account."""
    return tuple(
        Key(ref, collection, key)
        for ref, places in sorted(world.owned.items())
        for collection, key in sorted(places)
    )


def named_in(world: World, text: str) -> bool:
    """Whether a value of anybody in the world stands in the text."""
    return any(mark in text for mark in (*world.markers.values(), world.withheld))
