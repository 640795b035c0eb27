"""The parts of the suite for connectors whose calls are shared: in units, and in one pass.

What changes is judged by dumps that the connector had no hand in.

In: an author's adapter, and a connector that falls into several units. Out: test methods.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

from dsr_worker.contract import (
    READS,
    Ask,
    Call,
    ChangesInUnits,
    Connector,
    Context,
    Erases,
    InOnePass,
    InUnits,
    LeaseLost,
    Mentions,
    Receipt,
    Rechecks,
    Subject,
    SweepOrder,
    Sweeps,
    Unit,
)
from dsr_worker.testing.conformance.basics import PARTS, Basics
from dsr_worker.testing.conformance.trial import Adapter, keys, made
from dsr_worker.testing.conformance.world import World
from dsr_worker.testing.context import TrialContext

_PROTOCOLS: dict[Call, type] = {
    Call.LOCATE: Erases,
    Call.RECHECK: Rechecks,
    Call.MENTIONS: Mentions,
}


class UnitsPart(Basics):
    """One call shared among workers."""

    def divided(self, adapter: Adapter) -> Connector:
        """A connector on the adapter's system that falls into several units; override it."""
        return adapter.connector()

    def test_units_together_are_the_whole_call(self) -> None:
        """Whatever a call tells is told by exactly one of its units."""
        with made(self) as adapter:
            whole, world = self.divided(adapter), adapter.world
            several = 0
            for call in _calls(whole):
                names = _names(whole, call, world.people)
                several += len(names) > 1
                told = Counter[str]()
                for name in names:
                    told += _told(_within(whole, name), call, world)
                assert told == _told(whole, call, world), call
            assert several, "the world is one unit: let `divided` make a connector that divides it"

    def test_a_division_goes_on_after_any_unit(self) -> None:
        """Named again they are the same; asked for those after one of them, it names the rest."""
        with made(self) as adapter:
            whole, people = self.divided(adapter), adapter.world.people
            for call in _calls(whole):
                names = _names(whole, call, people)
                assert len(set(names)) == len(names)
                for number in range(len(names) + 1):
                    after = names[number - 1] if number else ""
                    assert _names(whole, call, people, after) == names[number:], call

    def test_dividing_changes_nothing(self) -> None:
        """Units are named by reading; a connector within one leaves the whole as it was."""
        with made(self) as adapter:
            whole, world, before = self.divided(adapter), adapter.world, adapter.dump()
            found = _told(whole, Call.FIND, world)
            for name in _names(whole, Call.FIND, world.people):
                _within(whole, name)
            assert _told(whole, Call.FIND, world) == found
            assert adapter.dump() == before

    def test_lost_work_stops_within_a_unit(self) -> None:
        """When the work is taken away, a unit ends with LeaseLost."""
        with made(self) as adapter:
            whole, people = self.divided(adapter), adapter.world.people
            lost = TrialContext(on_check=_taken)
            stopped = 0
            for name in _names(whole, Call.FIND, people):
                try:
                    list(_within(whole, name).find(people, lost))
                except LeaseLost:
                    stopped += 1
            assert stopped, "no unit ever asked whether it may go on"


class OnePassPart(UnitsPart):
    """Several calls that read a unit once."""

    def test_calls_in_one_pass_tell_what_each_tells(self) -> None:
        """In the units of any division a pass gives each ask what its call alone finds, no more."""
        with made(self) as adapter:
            whole, world = self.divided(adapter), adapter.world
            for divides in [call for call in _calls(whole) if call is not Call.RECHECK]:
                asks = list(_asks(whole, world.people))
                total = [Counter[str]() for _ in asks]
                for name in _names(whole, divides, world.people):
                    part = _within(whole, name)
                    for number, item in cast("InOnePass", part).together(asks):
                        assert item.subject_ref in {s.ref for s in asks[number].subjects}
                        total[number][_shown(item)] += 1
                for ask, told in zip(asks, total, strict=True):
                    alone = getattr(whole, ask.call)(ask.subjects, TrialContext())
                    assert told == Counter(map(_shown, alone)), (divides, ask.call)

    def test_lost_work_stops_a_pass_at_once(self) -> None:
        """When the work is taken away, a pass ends with LeaseLost."""
        with made(self) as adapter:
            whole, people, stopped = self.divided(adapter), adapter.world.people, 0
            for name in _names(whole, Call.FIND, people):
                part = cast("InOnePass", _within(whole, name))
                asks = [Ask(Call.FIND, people, TrialContext(on_check=_taken)) for _ in range(2)]
                try:
                    list(part.together(asks))
                except LeaseLost:
                    stopped += 1
            assert stopped, "no pass ever asked whether it may go on"


class ChangesInUnitsPart(UnitsPart):
    """What changes, shared among workers: in whichever order, as far as none of them leads."""

    def test_each_located_key_lies_in_one_unit(self) -> None:
        """The units of some keys hold each of them once, as does any other division."""
        with made(self) as adapter:
            whole, world = _changing(self.divided(adapter)), adapter.world
            located = keys(world)
            of_keys = [part.name for part in whole.units_of(located, TrialContext(), "")]
            assert len(of_keys) > 1, "the world is one unit: let `divided` divide it"
            for names in (of_keys, _names(cast("Connector", whole), Call.RECHECK, world.people)):
                place_of = whole.unit_of(names)
                assert {place_of(key) for key in located} <= set(range(len(names)))
                for number, name in enumerate(names):
                    alone = whole.unit_of([name])
                    held = [key for key in located if alone(key) is not None]
                    assert held == [key for key in located if place_of(key) == number]

    def test_a_division_by_keys_goes_on_after_any_unit(self) -> None:
        """The same for keys in any order; asked for those after one of them, it names the rest."""
        with made(self) as adapter:
            whole, located = _changing(self.divided(adapter)), keys(adapter.world)
            names = [p.name for p in whole.units_of(located, TrialContext(), "")]
            for number in range(len(names) + 1):
                after = names[number - 1] if number else ""
                parts = whole.units_of(located[::-1], TrialContext(), after)
                assert [p.name for p in parts] == names[number:]
            assert len(list(whole.units_of((), TrialContext(), ""))) == 1

    def test_an_erasure_in_units_does_and_tells_what_the_whole_does(self) -> None:
        """A dry run adds up to the whole's, and so do the receipts; what is left is the same."""
        with made(self) as one, made(self) as other:
            world, located = one.world, keys(one.world)
            for dry in (True, False):
                ctx = TrialContext(tables=world.keeping, dry_run=dry)
                whole = cast("Erases", one.connector())
                total = _counted(whole.erase(world.people, located, ctx))
                told = Counter[str]()
                parted = _changing(self.divided(other))
                place_of = parted.unit_of([u.name for u in parted.units_of(located, ctx, "")])
                for number, name in _by_turns(parted.units_of(located, ctx, "")):
                    mine = [key for key in located if place_of(key) == number]
                    part = cast("Erases", parted.in_unit(name))
                    told += _counted(part.erase(world.people, mine, ctx))
                assert told == total
                assert one.dump() == other.dump()

    def test_a_sweep_in_units_does_and_tells_what_the_whole_does(self) -> None:
        """Counts add up to the whole's, and what is left is the same."""
        with made(self) as one, made(self) as other:
            if not isinstance(one.connector(), Sweeps):
                return
            table = one.world.sweeping
            order = SweepOrder(table.collection, table, 1000)
            for dry in (True, False):
                ctx = TrialContext(tables={table.collection: table}, dry_run=dry)
                total = _counted(cast("Sweeps", one.connector()).sweep((order,), ctx))
                parted, told = _changing(self.divided(other)), Counter[str]()
                parts = parted.units(Call.SWEEP, (), cast("Context", ctx), "")
                for _, name in _by_turns(parts):
                    part = cast("Sweeps", parted.in_unit(name))
                    told += _counted(part.sweep((order,), ctx))
                assert told == total
                assert one.dump() == other.dump()


def _changing(connector: Connector) -> ChangesInUnits:
    assert isinstance(connector, ChangesInUnits)
    return connector


def _by_turns(parts: Iterator[Unit]) -> list[tuple[int, str]]:
    """Units with their numbers: one that leads first, then the last of them to the first."""
    numbered = list(enumerate(parts))
    leading = [(number, part.name) for number, part in numbered if part.leads]
    return leading + [(n, part.name) for n, part in reversed(numbered) if not part.leads]


def _counted(receipts: Iterable[Receipt]) -> Counter[str]:
    """Rows and values by subject, collection, outcome and ground."""
    counts = Counter[str]()
    for receipt in receipts:
        for part in receipt.outcomes:
            place = (receipt.subject_ref, receipt.collection, part.outcome, part.ground)
            counts[f"rows {place}"] += part.rows
            counts[f"values {place}"] += part.fields
    return +counts


def _taken() -> None:
    raise LeaseLost


def _calls(connector: Connector) -> list[Call]:
    """The reading calls in units that a connector offers."""
    return [c for c in READS if c is Call.FIND or isinstance(connector, _PROTOCOLS[c])]


def _asks(connector: Connector, people: Sequence[Subject]) -> Iterator[Ask]:
    """Every call by the first path: about each person by themselves, and about all."""
    for call in _calls(connector):
        if call is not Call.RECHECK:
            for some in ((person,) for person in people):
                yield Ask(call, some, TrialContext())
            yield Ask(call, people, TrialContext())


def _names(
    connector: Connector, call: Call, people: Sequence[Subject], after: str = ""
) -> list[str]:
    assert isinstance(connector, InUnits)
    return [unit.name for unit in connector.units(call, people, TrialContext(), after)]


def _within(connector: Connector, name: str) -> Connector:
    assert isinstance(connector, InUnits)
    return cast("Connector", connector.in_unit(name))


def _told(connector: Connector, call: Call, world: World) -> Counter[str]:
    again = call is Call.RECHECK
    given = (keys(world),) if again else ()
    ctx = TrialContext(second_path=again)
    return Counter(map(_shown, getattr(connector, call)(world.people, *given, ctx)))


def _shown(item: Any) -> str:
    """A record, key or mention as a comparable text."""
    fields = ("subject_ref", "collection", "key", "body", "field")
    return repr([getattr(item, field, None) for field in fields])


PARTS.update({InUnits: UnitsPart, InOnePass: OnePassPart, ChangesInUnits: ChangesInUnitsPart})
