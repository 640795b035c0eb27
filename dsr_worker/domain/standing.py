"""Retention terms as a number of days, for stores that let rows go by themselves.

Why this room exists: a store counts days from a row's own date; policies count civil days, months
and years in a zone, and holds and minimums stop them. A system's decisions and the holds of the
moment enter; for each collection with a limit, the days after which nothing protects a row leave,
or the code of the reason why no number of days can say it. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, timedelta

from dsr_worker.contract import Action, Collection, DecisionTable, StandingOrder
from dsr_worker.domain.decision import Bound, Decisions, Term
from dsr_worker.domain.hold import Hold

HELD = "held"
"""A hold stands on the collection, or on people whose rows it may have."""
MASKS = "masks"
"""A limit masks: a store's own rule can only let a whole row go."""
YEAR_END = "year_end"
"""A limit counts from a year's end: in days it would be up to a year late."""
SEVERAL_CLOCKS = "several_clocks"
"""Limits and minimums count from different fields."""
LIMIT_ENDS = "limit_ends"
"""A limit goes out of force on a day that the store does not know."""
FAMILY = "family"
"""The collection has a parent or children, which go or stay together."""

_ONE_DAY = timedelta(days=1)
_YEARS = (*range(1900, 1905), *range(1996, 2005))
"""Years in which the longest keeping begins: from some month of them, up to 200 years hold as many
leap days as so many years ever do, because 2000 was a leap year and 1900 and 2100 are not met."""


def standing_orders(decisions: Decisions, holds: Iterable[Hold] = ()) -> tuple[StandingOrder, ...]:
    """Return an order for every collection with a limit, by all policies in force.

    Raises:
        DecisionError: as `Decisions.sweep`.

    """
    tables = decisions.sweep(holds)
    return tuple(
        _order(decisions, decisions.system.collections[name], bound, tables[name])
        for name in sorted(decisions.bound)
        if (bound := _standing(decisions, name)).limits
    )


def _standing(decisions: Decisions, name: str) -> Bound:
    """The terms that the store's rules have to honour: limits of today, minimums that still come.

    Nobody looks at what the store does later, so a minimum that is no law yet counts already.
    """
    minimums = decisions.bound[name].minimums
    ended = {t for t in minimums if t.effective_to and t.effective_to <= decisions.at.date()}
    return Bound(
        tuple(term for term in minimums if term not in ended or term.in_force(decisions.at)),
        decisions.terms_of(name).limits,
    )


def longest_days(term: Term) -> int:
    """Return for how many times 24 hours a row may have to be kept by `term`, at the most.

    Its last civil day ends at most so many days after the first civil day began; where zone and UTC
    differ, the two days do not begin together, and clocks are changed: one day more.
    """
    kept = max((term.ends_on(on) - on).days for on in _starts(term)) + 1
    return kept if term.zone == "UTC" else kept + 1


def _order(
    decisions: Decisions, collection: Collection, bound: Bound, table: DecisionTable
) -> StandingOrder:
    clocks = {collection.clocks[term.clock] for term in (*bound.limits, *bound.minimums)}
    reason = _reason(decisions, collection, bound, table, clocks)
    if reason:
        return StandingOrder(collection.name, reason=reason)
    after_days = max(
        min(longest_days(term) for term in bound.limits),
        *(longest_days(term) for term in bound.minimums),
        0,
    )
    return StandingOrder(collection.name, clocks.pop(), after_days)


def _reason(
    decisions: Decisions,
    collection: Collection,
    bound: Bound,
    table: DecisionTable,
    clocks: set[str],
) -> str:
    return next(
        (
            code
            for code, holds in (
                (HELD, any(rule.code == "hold" for rule in table.rules)),
                (FAMILY, _has_family(decisions, collection)),
                (MASKS, any(term.action is not Action.ERASE for term in bound.limits)),
                (YEAR_END, any(term.anchor.closes is not None for term in bound.limits)),
                (SEVERAL_CLOCKS, len(clocks) > 1),
                (LIMIT_ENDS, any(term.effective_to is not None for term in bound.limits)),
            )
            if holds
        ),
        "",
    )


def _has_family(decisions: Decisions, collection: Collection) -> bool:
    collections = decisions.system.collections.values()
    return collection.parent is not None or any(
        other.parent is not None and other.parent.collection == collection.name
        for other in collections
    )


def _starts(term: Term) -> Iterator[date]:
    """Yield days among which the longest keeping begins.

    A month's first day is clipped by no shorter month; the day after a year's end waits longest.
    """
    closes = term.anchor.closes
    for year in _YEARS:
        if closes is not None:
            yield closes.in_year(year) + _ONE_DAY
        for month in range(1, 13):
            yield date(year, month, 1)
