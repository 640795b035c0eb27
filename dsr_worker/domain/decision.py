"""What happens to a row: the order of grounds, compiled to one decision table per collection.

Why this room exists: database, object store, preview and certificate must all decide alike, so the
decision is data. A system of the data map, the periods that policies bind to its
collections, holds and an instant enter; tables leave, in which the first matching rule decides.

Erasure: hold > statutory minimum > needed by a staying row > erase.
Sweep:   hold > statutory minimum > needed by a staying row > limit > keep.

`Decisions` is what a job freezes: periods and cut-offs stay as they were approved, while holds are
put in anew at every use.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple

from dsr_worker.contract import (
    Action,
    Always,
    Before,
    Collection,
    DecisionTable,
    Mask,
    NeededByKept,
    OutcomeCount,
    Rule,
    Since,
    Subject,
    System,
)
from dsr_worker.domain.calendar import local_date, start_of_day
from dsr_worker.domain.hold import Hold, rules_for
from dsr_worker.domain.retention import (
    Anchor,
    CalendarPeriod,
    cutoff_on,
    ends_on,
)

NEEDED = "needed_by_kept"
"""The ground of a row that stays because a staying row refers to it."""
NOT_DUE = "not_due"
"""The ground of a row that a sweep leaves because no limit is reached."""


@dataclass(frozen=True, slots=True)
class Term:
    """A period that binds a class of records: a minimum or a limit.

    A store's bare date reads as its midnight in UTC. West of Greenwich that instant lies on the day
    before, so a clock value counts as the later of its civil days in `zone` and in UTC: bare dates
    are exact everywhere, instants are exact in the east and in the west at most a day later.

    `ground` is the id of a statute's row or `policy/rule`; `clock` is the start event, which the
    collection maps to a field; `action` counts for limits alone. A law binds from `effective_from`
    until the day before `effective_to`, by the day of the decision.
    """

    ground: str
    citation: str
    period: CalendarPeriod
    anchor: Anchor
    zone: str
    clock: str
    action: Action = Action.ERASE
    effective_from: date | None = None
    effective_to: date | None = None

    def in_force(self, now: datetime) -> bool:
        """Say whether the term is law on the civil day of `now` in its zone."""
        on = local_date(now, self.zone)
        began = self.effective_from is None or on >= self.effective_from
        return began and (self.effective_to is None or on < self.effective_to)

    def cutoff(self, now: datetime) -> datetime:
        """Return the instant from which clock values are still inside the period at `now`."""
        on = cutoff_on(self.period, self.anchor, now, self.zone)
        return min(start_of_day(on, self.zone), start_of_day(on, "UTC"))

    def ends_on(self, clock_value: datetime | date) -> date:
        """Return the last civil day on which a record of this clock value is kept."""
        if isinstance(clock_value, datetime):
            clock_value = max(local_date(clock_value, self.zone), local_date(clock_value, "UTC"))
        return ends_on(self.period, self.anchor, clock_value, self.zone)


@dataclass(frozen=True, slots=True)
class Bound:
    """The terms that bind one collection."""

    minimums: tuple[Term, ...] = ()
    limits: tuple[Term, ...] = ()

    @property
    def all(self) -> tuple[Term, ...]:
        """Return minimums and limits together."""
        return (*self.minimums, *self.limits)

    def in_force(self, now: datetime) -> Bound:
        """Return those that are in force at `now`."""
        return Bound(
            tuple(term for term in self.minimums if term.in_force(now)),
            tuple(term for term in self.limits if term.in_force(now)),
        )


class Ends(NamedTuple):
    """The last civil days on which the first and the last of some rows are kept."""

    first_on: date | None
    last_on: date | None


UNBOUND = Bound()


class DecisionError(ValueError):
    """Map and policies do not fit; the text says what to change."""


@dataclass(frozen=True, slots=True)
class Decisions:
    """The compiled rules of one system as of `at`, without holds."""

    system: System
    at: datetime
    bound: Mapping[str, Bound] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse terms for collections or clocks that the map does not have.

        Raises:
            DecisionError: see the message.

        """
        for name, bound in self.bound.items():
            collection = self.system.collections.get(name)
            if collection is None:
                raise DecisionError(f"{self.system.name} has no collection {name}")
            for term in bound.all:
                _clock_field(collection, term)

    def erasure(
        self, subjects: Sequence[Subject] = (), holds: Iterable[Hold] = ()
    ) -> dict[str, DecisionTable]:
        """Return the table of every collection for erasing `subjects` under `holds`."""
        tables: dict[str, DecisionTable] = {}
        standing = tuple(holds)
        for collection in self.system.children_first():
            rules = (
                *rules_for(self.system.name, collection, standing, subjects),
                *(self._minimum(collection, term) for term in self._minimums(collection)),
                *_needed(collection, self._staying_children(collection, tables)),
                Rule("default", Always(), Action.ERASE),
            )
            tables[collection.name] = DecisionTable(collection.name, rules)
        return tables

    def sweep(self, holds: Iterable[Hold] = ()) -> dict[str, DecisionTable]:
        """Return the tables of the collections with a limit, and of all that hang below them.

        A table without a limit keeps by default and says which rows may not go with their parent.

        Raises:
            DecisionError: limits on different clocks where children may have to stay.

        """
        standing = tuple(holds)
        tables: dict[str, DecisionTable] = {}
        for collection in self.system.children_first():
            if not self._is_swept(collection):
                continue
            limits = self._limits(collection)
            children = self._staying_children(collection, tables)
            rules = (
                *self._protecting(collection, standing),
                *self._needed_in_sweep(collection, children),
                *(self._limit(collection, term) for term in limits),
                Rule("default", Always(), Action.KEEP, ground=NOT_DUE),
            )
            tables[collection.name] = DecisionTable(collection.name, rules)
        return tables

    def protection(self, holds: Iterable[Hold] = ()) -> dict[str, DecisionTable]:
        """Return, for every collection, what protects its rows while others are swept."""
        standing = tuple(holds)
        default = Rule("default", Always(), Action.KEEP, ground=NOT_DUE)
        return {
            name: DecisionTable(name, (*self._protecting(collection, standing), default))
            for name, collection in self.system.collections.items()
        }

    def kept_by_minimum(self, collection: Collection) -> tuple[Rule, ...]:
        """Return the rules by which statutory minimums keep rows just as they are."""
        whens = [(t, self._since(collection, t)) for t in self._minimums(collection)]
        return tuple(
            Rule("minimum", when, Action.KEEP, term.ground, clock=when.field)
            for term, when in whens
        )

    def ends(self, collection: str, part: OutcomeCount) -> Ends:
        """Return until when rows of a collection have to be kept; no days where no period says."""
        minimums = self.terms_of(collection).minimums
        terms = [term for term in minimums if term.ground == part.ground]
        if not terms or part.latest_at is None:
            return Ends(None, None)
        oldest = part.earliest_at or part.latest_at
        return Ends(
            max(term.ends_on(oldest) for term in terms),
            max(term.ends_on(part.latest_at) for term in terms),
        )

    def citation(self, ground: str) -> str | None:
        """Return the source of a ground that a term gives; None for holds and needed rows."""
        terms = (term for bound in self.bound.values() for term in bound.all)
        return next((term.citation for term in terms if term.ground == ground), None)

    def cutoffs(self) -> dict[str, datetime]:
        """Return the cut-off instants by collection and ground, for the plan that is approved."""
        return {
            f"{self.system.name}.{name}:{term.ground}": term.cutoff(self.at)
            for name in sorted(self.bound)
            for term in self.terms_of(name).all
        }

    def terms_of(self, collection: str) -> Bound:
        """Return the terms that bind a collection at `at`: those of laws that are in force."""
        return self.bound.get(collection, UNBOUND).in_force(self.at)

    def _minimums(self, collection: Collection) -> list[Term]:
        terms = self.terms_of(collection.name).minimums
        return sorted(terms, key=lambda term: (term.cutoff(self.at), term.ground))

    def _limits(self, collection: Collection) -> list[Term]:
        """Return the limits, erasing ones first: a row past two of them takes the harsher."""
        terms = self.terms_of(collection.name).limits
        return sorted(terms, key=lambda term: term.action is not Action.ERASE)

    def _since(self, collection: Collection, term: Term) -> Since:
        return Since(_clock_field(collection, term), term.cutoff(self.at))

    def _minimum(self, collection: Collection, term: Term) -> Rule:
        masks = masks_outside_kept(collection)
        when = self._since(collection, term)
        action = Action.MASK if masks else Action.KEEP
        return Rule("minimum", when, action, term.ground, masks, when.field)

    def _protecting(self, collection: Collection, standing: tuple[Hold, ...]) -> tuple[Rule, ...]:
        return (
            *rules_for(self.system.name, collection, standing, ()),
            *self.kept_by_minimum(collection),
        )

    def _limit(self, collection: Collection, term: Term) -> Rule:
        clock = _clock_field(collection, term)
        masks = all_masks(collection) if term.action is Action.MASK else {}
        if term.action is Action.MASK and not masks:
            raise DecisionError(
                f"{term.ground} masks {self.system.name}.{collection.name}, which maps no mask: "
                "give a field a mask or let the rule erase"
            )
        when = Before(clock, term.cutoff(self.at))
        return Rule("limit", when, term.action, term.ground, masks, clock)

    def _needed_in_sweep(
        self, collection: Collection, children: tuple[str, ...]
    ) -> tuple[Rule, ...]:
        """Return rules that mask a needed row once a limit is reached, and not before.

        A row without a limit of its own only goes with its parent; needed, it stays as it is.
        """
        dues = [self._since(collection, term) for term in self._limits(collection)]
        if not children:
            return ()
        if not dues:
            return (Rule("needed", NeededByKept(children), Action.KEEP, NEEDED),)
        if len({due.field for due in dues}) > 1:
            raise DecisionError(
                f"the limits of {self.system.name}.{collection.name} run on different clocks while "
                f"{', '.join(children)} may have to stay: give them one clock"
            )
        latest = max(dues, key=lambda due: due.cutoff)
        return (Rule("default", latest, Action.KEEP, NOT_DUE), *_needed(collection, children))

    def _is_swept(self, collection: Collection) -> bool:
        if self.terms_of(collection.name).limits:
            return True
        above = collection.parent
        return above is not None and self._is_swept(self.system.collections[above.collection])

    def _staying_children(
        self, collection: Collection, tables: Mapping[str, DecisionTable]
    ) -> tuple[str, ...]:
        return tuple(
            sorted(
                child.name
                for child in self.system.collections.values()
                if child.parent is not None
                and child.parent.collection == collection.name
                and any(rule.code in _STAY for rule in tables[child.name].rules)
            )
        )


_STAY = frozenset({"hold", "minimum", "needed"})


def compile_decisions(system: System, bound: Mapping[str, Bound], now: datetime) -> Decisions:
    """Return the rules of `system` as of `now`; collections without terms may be left out.

    Raises:
        DecisionError: a term names a collection or clock that the map does not have.

    """
    kept = {name: terms for name, terms in sorted(bound.items()) if terms != UNBOUND}
    return Decisions(system, now, kept)


def all_masks(collection: Collection) -> dict[str, Mask]:
    """Return every mask that the collection maps."""
    return {f.name: f.mask for f in collection.fields.values() if f.mask is not None}


def masks_outside_kept(collection: Collection) -> dict[str, Mask]:
    """Return the masks of the fields that a statutory minimum does not protect."""
    kept = collection.kept_fields
    if kept is None:
        return {}
    return {name: mask for name, mask in all_masks(collection).items() if name not in kept}


def _needed(collection: Collection, children: tuple[str, ...]) -> tuple[Rule, ...]:
    if not children:
        return ()
    masks = all_masks(collection)
    action = Action.MASK if masks else Action.KEEP
    return (Rule("needed", NeededByKept(children), action, NEEDED, masks),)


def _clock_field(collection: Collection, term: Term) -> str:
    clock = collection.clocks.get(term.clock)
    if clock is None:
        known = ", ".join(sorted(collection.clocks)) or "none"
        raise DecisionError(
            f"{term.ground} counts from {term.clock}, which {collection.name} does not map "
            f"(clocks: {known}): add it to the data map or name another clock in the policy"
        )
    return clock


def canonical_json(value: object) -> str:
    """Return JSON with sorted keys and no spaces: the same text for the same value."""
    return json.dumps(
        value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
    )
