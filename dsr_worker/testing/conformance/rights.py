"""The parts of the suite about a person's further rights: putting right, restricting, lifting.

In: an author's adapter. Out: test methods, one class per protocol. Effects are judged by dumps that
the connector had no hand in; what a row says is read back by `find`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar, Final

from dsr_worker.contract import (
    Action,
    Connector,
    DecisionTable,
    Frozen,
    HeldPeople,
    Key,
    Outcome,
    Receipt,
    Rectifies,
    RestrictionKind,
    Restricts,
    Rule,
    Subject,
)
from dsr_worker.testing.conformance.basics import PARTS
from dsr_worker.testing.conformance.effects import ErasesPart
from dsr_worker.testing.conformance.rights_world import NO_MEANS, RightsWorld, rights_world
from dsr_worker.testing.conformance.trial import (
    Adapter,
    Crash,
    DyingContext,
    HeldSinceContext,
    held,
    keys,
    made,
    named_like,
)
from dsr_worker.testing.conformance.world import Where, World
from dsr_worker.testing.context import TrialContext

_Counts = dict[tuple[str | None, str, Outcome, str], tuple[int, int]]
_CHANGED: Final = {Outcome.RECTIFIED, Outcome.RESTRICTED, Outcome.LIFTED}


class _RightsPart(ErasesPart):
    """What both rights have in common: a world with means, and calls that are alike."""

    most_moments: ClassVar[int] = 20

    def rights(self) -> RightsWorld:
        """The world to try rights on; override it where the system holds no tables."""
        return rights_world()


def _rectify(connector: Connector, trial: RightsWorld, ctx: TrialContext) -> list[Receipt]:
    assert isinstance(connector, Rectifies)
    return list(connector.rectify(trial.people, _corrected_keys(trial), ctx))


def _restrict(connector: Connector, trial: RightsWorld, ctx: TrialContext) -> list[Receipt]:
    assert isinstance(connector, Restricts)
    return list(connector.restrict(trial.world.people, keys(trial.world), ctx))


def _corrected_keys(trial: RightsWorld) -> list[Key]:
    """The rows of each person in the collections in which they ask to have something put right."""
    asked = {s.ref: set(s.corrections) for s in trial.people}
    return [key for key in keys(trial.world) if key.collection in asked[key.subject_ref]]


def _counts(receipts: Iterable[Receipt]) -> _Counts:
    return {
        (r.subject_ref, r.collection, o.outcome, o.ground): (o.rows, o.fields)
        for r in receipts
        for o in r.outcomes
        if o.rows
    }


def _left(receipts: Iterable[Receipt]) -> int:
    return sum(o.fields for r in receipts for o in r.outcomes if o.outcome in _CHANGED)


def _sums(receipts: Iterable[Receipt]) -> dict[tuple[str | None, str], int]:
    return {(r.subject_ref, r.collection): r.rows for r in receipts}


def _expected(world: World, located: Iterable[Key]) -> dict[tuple[str | None, str], int]:
    found: dict[tuple[str | None, str], int] = {
        (s.ref, name): 0 for s in world.people for name in world.system.collections
    }
    for key in located:
        found[key.subject_ref, key.collection] += 1
    return found


def _read(connector: Connector, people: Sequence[Subject]) -> dict[Where, dict[str, Any]]:
    """What the people's rows say, by place."""
    records = connector.find(people, TrialContext())
    return {(r.collection, r.key): json.loads(r.body) for r in records}


def _require_accounted(
    receipts: Sequence[Receipt], world: World, located: Sequence[Key], ctx: TrialContext
) -> None:
    assert len(receipts) == len(_expected(world, ()))
    assert _sums(receipts) == _expected(world, located)
    kept = {digest for receipt in receipts for digest in receipt.kept}
    assert kept == {ctx.digest(key.collection, key.key) for key in located}


class RectifiesPart(_RightsPart):
    """Put right what was stated, in the rows that the tables let be changed."""

    def test_what_was_stated_is_put_right_and_nothing_else(self) -> None:
        """The fields read as they should; all else of everybody reads and lies as before."""
        trial = self.rights()
        with made(self, trial.world) as adapter:
            connector, before = adapter.connector(), adapter.dump()
            read = _read(connector, trial.people)
            _rectify(connector, trial, TrialContext(tables=trial.rectifying))
            after = adapter.dump()
            assert {p for p in before if before[p] != after[p]} == set(trial.right)
            assert set(before) == set(after)
            for place, body in _read(connector, trial.people).items():
                right = trial.right.get(place, {})
                said = {name: None if body[name] is None else str(body[name]) for name in right}
                assert said == right, place
                assert {n: v for n, v in body.items() if n not in right} == {
                    n: v for n, v in read[place].items() if n not in right
                }, place

    def test_a_rectification_is_accounted_for(self) -> None:
        """Every located row has an outcome and is kept; grounds stand where something stays."""
        trial = self.rights()
        with made(self, trial.world) as adapter:
            ctx, located = TrialContext(tables=trial.rectifying), _corrected_keys(trial)
            receipts = _rectify(adapter.connector(), trial, ctx)
            _require_accounted(receipts, trial.world, located, ctx)
            told = {
                (name, outcome, ground): rows
                for (_, name, outcome, ground), (rows, _) in _counts(receipts).items()
                if ground
            }
            wanted: dict[tuple[str, Outcome, str], int] = {}
            for outcome, grounds in (
                (Outcome.RETAINED, trial.retained),
                (Outcome.RECTIFIED, trial.partly),
            ):
                for (name, _), ground in grounds.items():
                    wanted[name, outcome, ground] = wanted.get((name, outcome, ground), 0) + 1
            assert told == wanted
            assert _left(receipts) == sum(map(len, trial.right.values()))

    def test_a_dry_rectification_tells_and_changes_nothing(self) -> None:
        """Its receipts are those of the run that follows; nothing is intended."""
        trial = self.rights()
        with made(self, trial.world) as adapter:
            before = adapter.dump()
            dry = TrialContext(tables=trial.rectifying, dry_run=True)
            told = _rectify(adapter.connector(), trial, dry)
            assert adapter.dump() == before
            assert not dry.intents
            ctx = TrialContext(tables=trial.rectifying)
            assert _counts(told) == _counts(_rectify(adapter.connector(), trial, ctx))

    def test_a_repeated_rectification_changes_nothing_more(self) -> None:
        """All is in place: the same rows, no value left, and so says the second path."""
        trial = self.rights()
        with made(self, trial.world) as adapter:
            ctx = TrialContext(tables=trial.rectifying)
            first = _rectify(adapter.connector(), trial, ctx)
            after = adapter.dump()
            looking = TrialContext(tables=trial.rectifying, dry_run=True, second_path=True)
            for again in (ctx, looking):
                receipts = _rectify(adapter.connector(), trial, again)
                assert adapter.dump() == after
                assert {k: rows for k, (rows, _) in _counts(receipts).items()} == {
                    k: rows for k, (rows, _) in _counts(first).items()
                }
                assert _left(receipts) == 0

    def test_the_second_path_sees_what_is_not_yet_right(self) -> None:
        """Asked before the effect, it tells all that is left to change."""
        trial = self.rights()
        with made(self, trial.world) as adapter:
            looking = TrialContext(tables=trial.rectifying, dry_run=True, second_path=True)
            receipts = _rectify(adapter.connector(), trial, looking)
            assert _left(receipts) == sum(map(len, trial.right.values()))

    def test_a_hold_keeps_rows_from_being_put_right(self) -> None:
        """Planned for or placed at the last moment, it leaves everything byte for byte."""
        trial = self.rights()
        with made(self, trial.world) as adapter:
            before = adapter.dump()
            ctx = TrialContext(tables=held(trial.rectifying, Frozen()))
            receipts = _rectify(adapter.connector(), trial, ctx)
            assert {(o, g) for _, _, o, g in _counts(receipts)} == {(Outcome.RETAINED, "hold")}
            _rectify(adapter.connector(), trial, HeldSinceContext(tables=trial.rectifying))
            assert adapter.dump() == before

    def test_nobody_is_put_right_for_nobody(self) -> None:
        """An empty batch has no receipts; a stranger and a person without keys change nothing."""
        trial = self.rights()
        with made(self, trial.world) as adapter:
            connector, before = adapter.connector(), adapter.dump()
            assert isinstance(connector, Rectifies)
            ctx = TrialContext(tables=trial.rectifying)
            assert not list(connector.rectify((), (), ctx))
            people = (*trial.people, *named_like(trial.world, ("nobody-7",)))
            receipts = list(connector.rectify(people, (), ctx))
            assert {o.outcome for r in receipts for o in r.outcomes} == {Outcome.ABSENT}
            assert adapter.dump() == before

    def test_a_crash_amid_a_rectification_is_made_good(self) -> None:
        """Killed at each intent, the repeat ends where no crash would have."""
        trial = self.rights()

        def act(connector: Connector, ctx: TrialContext) -> list[Receipt]:
            return _rectify(connector, trial, ctx)

        _crashes(self, trial, trial.rectifying, act)


class RestrictsPart(_RightsPart):
    """Restrict by the means that are mapped, and free again."""

    def test_each_means_restricts_its_rows_and_no_others(self) -> None:
        """Flagged, moved or listed; what has no means and what is others' stays byte for byte."""
        trial = self.rights()
        with made(self, trial.world) as adapter:
            connector, before = adapter.connector(), adapter.dump()
            _restrict(connector, trial, TrialContext(tables=trial.restricting))
            after = adapter.dump()
            read = _read(connector, trial.world.people)
            for key in keys(trial.world):
                _require_restricted(trial.world, key, after, read, before)
            untouched = set(before) - {(k.collection, k.key) for k in keys(trial.world)}
            assert {p: after[p] for p in untouched} == {p: before[p] for p in untouched}
            means = [c.restriction for c in trial.world.system.collections.values()]
            stores = {m.collection for m in means if m is not None and m.collection}
            assert {name for name, _ in set(after) - set(before)} <= stores
            listed = sum(_kind(trial.world, k.collection) is not None for k in keys(trial.world))
            flagged = [
                k for k in keys(trial.world)
                if _kind(trial.world, k.collection) is RestrictionKind.FLAG
            ]  # fmt: skip
            assert len(set(after) - set(before)) == listed - len(flagged)

    def test_a_restriction_is_accounted_for(self) -> None:
        """Every located row has an outcome and is kept; what has no means is `retained`."""
        trial = self.rights()
        with made(self, trial.world) as adapter:
            ctx, located = TrialContext(tables=trial.restricting), keys(trial.world)
            receipts = _restrict(adapter.connector(), trial, ctx)
            _require_accounted(receipts, trial.world, located, ctx)
            for _, name, outcome, ground in _counts(receipts):
                has_means = _kind(trial.world, name) is not None
                wanted = (Outcome.RESTRICTED, "") if has_means else (Outcome.RETAINED, NO_MEANS)
                assert (outcome, ground) == wanted, name

    def test_a_dry_restriction_tells_and_changes_nothing(self) -> None:
        """Its receipts are those of the run that follows; nothing is intended."""
        trial = self.rights()
        with made(self, trial.world) as adapter:
            before = adapter.dump()
            dry = TrialContext(tables=trial.restricting, dry_run=True)
            told = _restrict(adapter.connector(), trial, dry)
            assert adapter.dump() == before
            assert not dry.intents
            ctx = TrialContext(tables=trial.restricting)
            assert _counts(told) == _counts(_restrict(adapter.connector(), trial, ctx))

    def test_a_repeated_restriction_changes_nothing_more(self) -> None:
        """A row restricted already is told as such with nothing left, a moved one as well."""
        trial = self.rights()
        with made(self, trial.world) as adapter:
            self._repeats(adapter, trial, trial.restricting)

    def test_lifting_restores_exactly_the_state_before(self) -> None:
        """Byte for byte, whatever the means; lifting again changes nothing more."""
        trial = self.rights()
        with made(self, trial.world) as adapter:
            before = adapter.dump()
            _restrict(adapter.connector(), trial, TrialContext(tables=trial.restricting))
            assert adapter.dump() != before
            ctx, located = TrialContext(tables=trial.lifting), keys(trial.world)
            receipts = _restrict(adapter.connector(), trial, ctx)
            assert adapter.dump() == before
            _require_accounted(receipts, trial.world, located, ctx)
            outcomes = {o for _, _, o, _ in _counts(receipts)}
            assert outcomes <= {Outcome.LIFTED, Outcome.RETAINED}
            self._repeats(adapter, trial, trial.lifting)

    def test_a_lifting_leaves_what_another_restricts_and_no_more(self) -> None:
        """A row stays restricted for its own held owners alone, wherever it was moved."""
        trial = self.rights()
        with made(self, trial.world) as adapter:
            before = adapter.dump()
            _restrict(adapter.connector(), trial, TrialContext(tables=trial.restricting))
            restricted = adapter.dump()
            one = trial.world.people[0]
            kept = Rule("hold", HeldPeople(one.identities), Action.KEEP, "RESTRICTION")
            tables = {
                name: DecisionTable(name, (kept, *table.rules))
                for name, table in trial.lifting.items()
            }
            _restrict(adapter.connector(), trial, TrialContext(tables=tables))
            after = adapter.dump()
            owned = trial.world.owned[one.ref]
            for place in before:
                as_before = restricted if place in owned else before
                assert after.get(place) == as_before.get(place), place

    def test_nobody_is_restricted_for_nobody(self) -> None:
        """An empty batch has no receipts; a stranger and a person without keys change nothing."""
        trial = self.rights()
        with made(self, trial.world) as adapter:
            connector, before = adapter.connector(), adapter.dump()
            assert isinstance(connector, Restricts)
            ctx = TrialContext(tables=trial.restricting)
            assert not list(connector.restrict((), (), ctx))
            people = (*trial.world.people, *named_like(trial.world, ("nobody-7",)))
            receipts = list(connector.restrict(people, (), ctx))
            assert {o.outcome for r in receipts for o in r.outcomes} == {Outcome.ABSENT}
            assert adapter.dump() == before

    def test_a_crash_amid_a_restriction_is_made_good(self) -> None:
        """Killed at each intent, the repeat ends where no crash would have."""
        trial = self.rights()

        def act(connector: Connector, ctx: TrialContext) -> list[Receipt]:
            return _restrict(connector, trial, ctx)

        _crashes(self, trial, trial.restricting, act)

    def _repeats(
        self, adapter: Adapter, trial: RightsWorld, tables: Mapping[str, DecisionTable]
    ) -> None:
        first = _restrict(adapter.connector(), trial, TrialContext(tables=tables))
        after = adapter.dump()
        looking = TrialContext(tables=tables, dry_run=True, second_path=True)
        for again in (TrialContext(tables=tables), looking):
            receipts = _restrict(adapter.connector(), trial, again)
            assert adapter.dump() == after
            assert _sums(receipts) == _sums(first)
            assert _left(receipts) == 0
            assert not [o for _, _, o, _ in _counts(receipts) if o is Outcome.ALREADY_GONE]


def _kind(world: World, collection: str) -> RestrictionKind | None:
    means = world.system.collections[collection].restriction
    return None if means is None else means.kind


def _require_restricted(
    world: World,
    key: Key,
    after: Mapping[Where, bytes],
    read: Mapping[Where, Mapping[str, Any]],
    before: Mapping[Where, bytes],
) -> None:
    """That a row is where its means put it, and says what its means say."""
    means, place = world.system.collections[key.collection].restriction, (key.collection, key.key)
    if means is None or means.kind is RestrictionKind.LIST:
        assert after[place] == before[place], place
    elif means.kind is RestrictionKind.FLAG:
        assert str(read[place][means.field]) == means.value, place
    else:
        assert place not in after, place
        assert (means.collection, key.key) in after, place


def _crashes(
    part: _RightsPart, trial: RightsWorld, tables: Mapping[str, DecisionTable], act: Any
) -> None:
    with made(part, trial.world) as adapter:
        counted = DyingContext(tables=tables)
        wanted_receipts = act(adapter.connector(), counted)
        wanted = adapter.dump()
    assert counted.intended, "an effect without an intent cannot be told from none"
    for moment in range(1, 1 + min(counted.intended, part.most_moments)):
        with made(part, trial.world) as adapter:
            before = adapter.dump()
            ctx = DyingContext(tables=tables, die_at=("intent", moment))
            with suppress(Crash):
                act(adapter.connector(), ctx)
            assert ctx.intended == moment
            if moment == 1:
                assert adapter.dump() == before, "an effect came before its intent"
            again = TrialContext(tables=tables, state=ctx.state)
            receipts = act(adapter.connector(), again)
            assert adapter.dump() == wanted, moment
            assert _sums(receipts) == _sums(wanted_receipts), moment


PARTS.update({Rectifies: RectifiesPart, Restricts: RestrictsPart})
