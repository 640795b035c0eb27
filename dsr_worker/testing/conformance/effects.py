"""The parts of the suite with effects: erasing, looking again, sweeping.

In: an author's adapter. Out: test methods, one class per protocol. Effects are judged by dumps that
the connector had no hand in.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import ClassVar, Final

from dsr_worker.contract import (
    OWNER_CHANGED,
    Connector,
    DecisionTable,
    Erases,
    Frozen,
    HeldPeople,
    HeldSubjects,
    Key,
    Mask,
    NeedsHuman,
    Outcome,
    Receipt,
    Rechecks,
    Since,
    Subject,
    SweepOrder,
    Sweeps,
)
from dsr_worker.testing.conformance.basics import PARTS, Basics
from dsr_worker.testing.conformance.trial import (
    Adapter,
    Crash,
    DyingContext,
    HeldSinceContext,
    held,
    hostile,
    keys,
    made,
)
from dsr_worker.testing.conformance.world import Where, World
from dsr_worker.testing.context import TrialContext, erase_everything

_GONE: Final = {Outcome.ERASED, Outcome.ALREADY_GONE, Outcome.ABSENT}


def _erase(connector: Connector, world: World, ctx: TrialContext) -> list[Receipt]:
    assert isinstance(connector, Erases)
    return list(connector.erase(world.people, keys(world), ctx))


def _rows(receipts: Iterable[Receipt]) -> dict[tuple[str | None, str], int]:
    return {(r.subject_ref, r.collection): r.rows for r in receipts}


def _counts(receipts: Iterable[Receipt]) -> dict[tuple[str | None, str, Outcome, str], int]:
    return {
        (r.subject_ref, r.collection, o.outcome, o.ground): o.rows
        for r in receipts
        for o in r.outcomes
        if o.rows
    }


def _clocks(
    connector: Connector, world: World
) -> dict[tuple[str | None, str, str], list[datetime]]:
    """The clock values that keep each person's rows, by collection and ground."""
    found: dict[tuple[str | None, str, str], list[datetime]] = {}
    for record in connector.find(world.people, TrialContext()):
        body = json.loads(record.body)
        for rule in world.keeping[record.collection].rules:
            if isinstance(rule.when, Since) and rule.when.field in body:
                at = datetime.fromisoformat(body[rule.when.field])
                at = at.replace(tzinfo=at.tzinfo or UTC)
                if at >= rule.when.cutoff:
                    place = (record.subject_ref, record.collection, rule.ground)
                    found.setdefault(place, []).append(at)
    return found


def _masked_fields(
    connector: Connector, world: World
) -> dict[Where, dict[str, tuple[Mask, object]]]:
    """The fields of everybody's records that have a mask, with the mask and what they hold."""
    found: dict[Where, dict[str, tuple[Mask, object]]] = {}
    for record in connector.find(world.people, TrialContext()):
        collection, body = world.system.collections[record.collection], json.loads(record.body)
        kept = collection.kept_fields or frozenset()
        found[record.collection, record.key] = {
            field.name: (field.mask, body.get(field.name))
            for field in collection.fields.values()
            if field.mask is not None and field.name not in kept
        }
    return found


def _others(world: World, dump: Mapping[Where, bytes]) -> dict[Where, bytes]:
    own = {place for places in world.owned.values() for place in places}
    return {place: row for place, row in dump.items() if place not in own}


class ErasesPart(Basics):
    """Locate, then erase what was located, as the decision tables say."""

    most_moments: ClassVar[int] = 50
    """Crash points tried, evenly spread; fewer where making a system takes its time."""

    def test_locate_finds_each_row_once(self) -> None:
        """The keys are those of the world's own account, each once per person."""
        with made(self) as adapter:
            connector = adapter.connector()
            assert isinstance(connector, Erases)
            found = list(connector.locate(adapter.world.people, TrialContext()))
            assert sorted(found, key=_order) == sorted(keys(adapter.world), key=_order)

    def test_nothing_happens_for_nobody(self) -> None:
        """An empty batch has no receipts, a person without keys one `absent` per collection."""
        with made(self) as adapter:
            connector, world, before = adapter.connector(), adapter.world, adapter.dump()
            assert isinstance(connector, Erases)
            assert not list(connector.erase((), (), TrialContext()))
            receipts = list(connector.erase(world.people, (), TrialContext()))
            assert set(_rows(receipts)) == _expected_receipts(world)
            assert {o.outcome for r in receipts for o in r.outcomes} == {Outcome.ABSENT}
            assert adapter.dump() == before

    def test_everything_located_goes_and_nothing_else(self) -> None:
        """With a table that keeps nothing, a person's rows are gone, others' byte-identical."""
        with made(self) as adapter:
            world, before = adapter.world, adapter.dump()
            _erase(adapter.connector(), world, TrialContext())
            assert adapter.dump() == _others(world, before)

    def test_what_has_to_stay_is_masked(self) -> None:
        """A statutory minimum keeps exactly its rows and those above them, without the person."""
        with made(self) as adapter:
            world, before = adapter.world, adapter.dump()
            _erase(adapter.connector(), world, TrialContext(tables=world.keeping))
            after = adapter.dump()
            assert set(after) - set(_others(world, before)) == world.staying
            assert _others(world, after) == _others(world, before)
            kept = b"".join(after[place] for place in world.staying)
            assert not [r for r in world.owned if world.markers[r].encode() in kept]

    def test_receipts_tell_the_clocks_of_what_a_period_keeps(self) -> None:
        """The oldest and the newest clock value of the rows kept: each is promised for its day."""
        with made(self) as adapter:
            connector, world = adapter.connector(), adapter.world
            clocks = _clocks(connector, world)
            assert clocks, "the world keeps rows by a period"
            told = {
                (r.subject_ref, r.collection, o.ground): (o.earliest_at, o.latest_at)
                for r in _erase(connector, world, TrialContext(tables=world.keeping))
                for o in r.outcomes
            }
            for place, values in clocks.items():
                assert told[place] == (min(values), max(values)), place

    def test_a_masked_row_reads_as_its_masks(self) -> None:
        """Read back, each masked field shows its mask, and what was null is null."""
        with made(self) as adapter:
            connector, world = adapter.connector(), adapter.world
            before = _masked_fields(connector, world)
            receipts = _erase(connector, world, TrialContext(tables=world.keeping))
            masked = {(c, o) for _, c, o, _ in _counts(receipts)}
            read = 0
            for place, fields in _masked_fields(connector, world).items():
                if (place[0], Outcome.MASKED) not in masked:
                    continue
                for name, (mask, value) in fields.items():
                    assert mask.holds(value), (place[0], name)
                    assert (value is None) >= (before[place][name][1] is None), (place[0], name)
                    read += 1
            assert read, "no masked row was found again by what is left of it"

    def test_receipts_add_up(self) -> None:
        """One receipt per person and collection; their rows are the located ones."""
        with made(self) as adapter:
            world = adapter.world
            ctx = TrialContext(tables=world.keeping)
            receipts = _erase(adapter.connector(), world, ctx)
            assert len(receipts) == len(_expected_receipts(world))
            assert _rows(receipts) == _expected_rows(world)
            kept = {digest for receipt in receipts for digest in receipt.kept}
            assert kept == {ctx.digest(collection, key) for collection, key in world.staying}

    def test_a_dry_run_tells_and_changes_nothing(self) -> None:
        """The dry run's receipts are those of the run that follows; the system stays as it was."""
        with made(self) as adapter:
            world, before = adapter.world, adapter.dump()
            dry = TrialContext(tables=world.keeping, dry_run=True)
            told = _erase(adapter.connector(), world, dry)
            assert adapter.dump() == before
            assert not dry.intents
            done = _erase(adapter.connector(), world, TrialContext(tables=world.keeping))
            assert _counts(told) == _counts(done)

    def test_a_repeat_changes_nothing_more(self) -> None:
        """The same keys again leave the same state; what went before is already gone."""
        with made(self) as adapter:
            world, ctx = adapter.world, TrialContext(tables=adapter.world.keeping)
            first = _erase(adapter.connector(), world, ctx)
            after = adapter.dump()
            again = _erase(adapter.connector(), world, TrialContext(tables=world.keeping))
            assert adapter.dump() == after
            assert _rows(again) == _rows(first)
            assert Outcome.ERASED not in {o.outcome for r in again for o in r.outcomes if o.rows}

    def test_the_intent_comes_before_the_effect(self) -> None:
        """A crash while the first intent is written leaves the system as it was."""
        with made(self) as adapter:
            world, before = adapter.world, adapter.dump()
            ctx = DyingContext(tables=world.keeping, die_at=("intent", 1))
            with suppress(Crash):
                _erase(adapter.connector(), world, ctx)
            assert ctx.intended == 1, "nothing was intended before the effect"
            assert adapter.dump() == before

    def test_a_crash_at_any_moment_is_made_good_by_a_repeat(self) -> None:
        """Killed at each check and each intent in turn, the repeat ends where no crash would."""
        counted, wanted = self._uninterrupted()
        moments = [("intent", n + 1) for n in range(counted.intended)]
        moments += [("check", n + 1) for n in range(counted.checked)]
        for moment in moments[:: 1 + len(moments) // self.most_moments]:
            with made(self) as adapter:
                world, before = adapter.world, adapter.dump()
                ctx = DyingContext(tables=world.keeping, die_at=moment)
                crashed = False
                try:
                    _erase(adapter.connector(), world, ctx)
                except Crash:
                    crashed = True
                assert crashed, moment
                assert _others(world, adapter.dump()) == _others(world, before), moment
                again = TrialContext(tables=world.keeping, state=ctx.state)
                receipts = _erase(adapter.connector(), world, again)
                assert adapter.dump() == wanted, moment
                assert _rows(receipts) == _expected_rows(world), moment

    def _uninterrupted(self) -> tuple[DyingContext, Mapping[Where, bytes]]:
        with made(self) as adapter:
            counted = DyingContext(tables=adapter.world.keeping)
            _erase(adapter.connector(), adapter.world, counted)
            assert counted.intended, "an effect without an intent cannot be told from none"
            return counted, adapter.dump()

    def test_a_hold_keeps_everything(self) -> None:
        """A frozen collection is left byte for byte as it is, and the receipts say why."""
        with made(self) as adapter:
            world, before = adapter.world, adapter.dump()
            ctx = TrialContext(tables=held(world.keeping, Frozen()))
            receipts = _erase(adapter.connector(), world, ctx)
            assert adapter.dump() == before
            assert {(o, g) for _, _, o, g in _counts(receipts)} == {(Outcome.RETAINED, "hold")}

    def test_a_hold_on_one_person_is_not_a_hold_on_another(self) -> None:
        """Of a batch only the held person's rows stay."""
        with made(self) as adapter:
            world, before = adapter.world, adapter.dump()
            kept = world.people[0].ref
            tables = held(_erasing(world), HeldSubjects(frozenset({kept})))
            _erase(adapter.connector(), world, TrialContext(tables=tables))
            wanted = _others(world, before) | {p: before[p] for p in world.owned[kept]}
            assert adapter.dump() == wanted

    def test_a_hold_placed_at_the_last_moment_wins(self) -> None:
        """The guard's tables decide, not those of the plan."""
        with made(self) as adapter:
            world, before = adapter.world, adapter.dump()
            _erase(adapter.connector(), world, HeldSinceContext(tables=world.keeping))
            assert adapter.dump() == before

    def test_hostile_people_and_keys_change_nothing(self) -> None:
        """Neither a hostile identity nor a hostile key widens what is touched."""
        with made(self) as adapter:
            connector, world, before = adapter.connector(), adapter.world, adapter.dump()
            assert isinstance(connector, Erases)
            people = hostile(world)
            assert not list(connector.locate(people, TrialContext()))
            parts = {name: len(key) for name, key in before}
            wild = [
                Key(person.ref, name, (person.identities[0].value,) * count)
                for person in people
                for name, count in parts.items()
            ]
            receipts = list(connector.erase(people, wild, TrialContext()))
            assert {o.outcome for r in receipts for o in r.outcomes} <= _GONE - {Outcome.ERASED}
            assert adapter.dump() == before

    def test_what_is_somebody_elses_by_now_stays(self) -> None:
        """Keys of rows that name another person erase nothing: their owner changed meanwhile."""
        with made(self) as adapter:
            connector, world, before = adapter.connector(), adapter.world, adapter.dump()
            assert isinstance(connector, Erases)
            first, *_, last = world.people
            taken = world.owned[last.ref] - world.owned[first.ref]
            wrong = [Key(first.ref, *place) for place in sorted(taken)]
            receipts = list(connector.erase([first], wrong, TrialContext()))
            assert adapter.dump() == before
            assert {(o.outcome, o.ground) for r in receipts for o in r.outcomes if o.rows} <= {
                (Outcome.RETAINED, OWNER_CHANGED),
                (Outcome.ALREADY_GONE, ""),
            }
            assert sum(_rows(receipts).values()) == len(wrong)


class RechecksPart(ErasesPart):
    """Look again, by another path."""

    def test_before_an_erasure_everything_is_still_there(self) -> None:
        """All keys come back, each once: the second path sees what the first one saw."""
        with made(self) as adapter:
            world = adapter.world
            found = self._recheck(adapter, world.people)
            assert sorted(found, key=_order) == sorted(keys(world), key=_order)

    def test_after_an_erasure_only_what_stays_is_there(self) -> None:
        """What a mask has left is found by its key, although no identity leads there any more."""
        with made(self) as adapter:
            world = adapter.world
            _erase(adapter.connector(), world, TrialContext(tables=world.keeping))
            found = self._recheck(adapter, world.claimed if world.lone_keys else world.people)
            assert {(k.collection, k.key) for k in found} == world.staying

    def _recheck(self, adapter: Adapter, people: Sequence[Subject]) -> list[Key]:
        connector = adapter.connector()
        assert isinstance(connector, Rechecks)
        ctx = TrialContext(second_path=True)
        return list(connector.recheck(people, keys(adapter.world), ctx))


class SweepsPart(Basics):
    """Take what is past its period."""

    def test_a_sweep_takes_exactly_what_is_past_its_limit(self) -> None:
        """Rows past the limit go, all others stay byte-identical, and the count is told."""
        with made(self) as adapter:
            world, before = adapter.world, adapter.dump()
            receipts = _sweep(adapter, TrialContext(tables=_sweeping(world)))
            gone = set(before) - set(adapter.dump())
            assert gone == world.swept
            assert adapter.dump() == {p: row for p, row in before.items() if p not in gone}
            assert _erased(receipts) == _swept_rows(world)

    def test_a_dry_sweep_counts_and_changes_nothing(self) -> None:
        """The plan's counts are those of the run."""
        with made(self) as adapter:
            world, before = adapter.world, adapter.dump()
            told = _sweep(adapter, TrialContext(tables=_sweeping(world), dry_run=True))
            assert adapter.dump() == before
            assert _erased(told) == _swept_rows(world)

    def test_a_repeated_sweep_finds_nothing_more(self) -> None:
        """Swept is swept."""
        with made(self) as adapter:
            ctx = TrialContext(tables=_sweeping(adapter.world))
            _sweep(adapter, ctx)
            after = adapter.dump()
            assert _erased(_sweep(adapter, ctx)) == 0
            assert adapter.dump() == after

    def test_the_brake_stops_before_the_first_change(self) -> None:
        """One row more than allowed changes nothing and asks a person."""
        with made(self) as adapter:
            world, before = adapter.world, adapter.dump()
            asked = ""
            try:
                _sweep(adapter, TrialContext(tables=_sweeping(world)), _swept_rows(world) - 1)
            except NeedsHuman as stop:
                asked = stop.code
            assert asked == "sweep_brake"
            assert adapter.dump() == before

    def test_a_held_person_is_not_swept(self) -> None:
        """A hold on a person stands before every limit."""
        with made(self) as adapter:
            world, before = adapter.world, adapter.dump()
            kept = world.people[0]
            tables = held(_sweeping(world), HeldPeople(kept.identities))
            _sweep(adapter, TrialContext(tables=tables))
            assert set(before) - set(adapter.dump()) == world.swept - world.owned[kept.ref]


def _order(key: Key) -> tuple[str, str, tuple[str, ...]]:
    return key.subject_ref, key.collection, key.key


def _expected_receipts(world: World) -> set[tuple[str | None, str]]:
    return {(person.ref, name) for person in world.people for name in world.system.collections}


def _expected_rows(world: World) -> dict[tuple[str | None, str], int]:
    return {
        (ref, name): sum(collection == name for collection, _ in world.owned[str(ref)])
        for ref, name in _expected_receipts(world)
    }


def _erasing(world: World) -> dict[str, DecisionTable]:
    return {name: erase_everything(name) for name in world.system.collections}


def _sweeping(world: World) -> dict[str, DecisionTable]:
    return {world.sweeping.collection: world.sweeping}


def _sweep(adapter: Adapter, ctx: TrialContext, max_rows: int = 1000) -> list[Receipt]:
    connector, name = adapter.connector(), adapter.world.sweeping.collection
    assert isinstance(connector, Sweeps)
    return list(connector.sweep((SweepOrder(name, ctx.table(name), max_rows),), ctx))


def _swept_rows(world: World) -> int:
    """Rows of the collection that is swept; what hangs on them goes along."""
    return sum(name == world.sweeping.collection for name, _ in world.swept)


def _erased(receipts: Iterable[Receipt]) -> int:
    return sum(o.rows for r in receipts for o in r.outcomes if o.outcome is Outcome.ERASED)


PARTS.update({Erases: ErasesPart, Rechecks: RechecksPart, Sweeps: SweepsPart})
