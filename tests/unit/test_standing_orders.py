"""Which collections a number of days suffices for, and which code says why it does not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from connectors.s3.lifecycle.compiling import Compiled, compiled
from dsr_worker.contract import (
    Action,
    Collection,
    Field,
    Identity,
    Mask,
    MaskKind,
    Parent,
    StandingOrder,
    System,
)
from dsr_worker.domain.decision import Bound, Decisions, Term, compile_decisions
from dsr_worker.domain.hold import DatasetHeld, Hold, PeopleHeld, RowsHeld, Scope
from dsr_worker.domain.retention import Anchor, AnchorKind, CalendarPeriod
from dsr_worker.domain.standing import longest_days, standing_orders
from tests.contract.s3_support import EVENTS, FILES

NOW = datetime(2026, 11, 22, tzinfo=UTC)
DECLARED = replace(FILES, source={**FILES.source, "lifecycle": True})


def term(period: str = "P90D", anchor: AnchorKind = AnchorKind.RECORD_DATE, **more: object) -> Term:
    """A term of the test's policy."""
    told = {"zone": "UTC", "clock": "record_date", **more}
    return Term("trial/rule", "trial", CalendarPeriod.parse(period), Anchor(anchor), **told)  # type: ignore[arg-type]  # keywords of one call


def decisions(bound: Bound, *collections: Collection) -> Decisions:
    """The decisions of a bucket in which the first collection is bound."""
    system = System("files", "s3", {c.name: c for c in collections})
    return compile_decisions(system, {collections[0].name: bound}, NOW)


def order(bound: Bound, *collections: Collection, scope: Scope | None = None) -> StandingOrder:
    """The order of the first collection."""
    holds = (
        [] if scope is None else [Hold("H-1", "m-1", "ER_LEGAL_CLAIMS", scope, date(2027, 1, 1))]
    )
    (found,) = standing_orders(decisions(bound, *(collections or (FILES,))), holds)
    return found


@pytest.mark.parametrize(
    ("period", "zone", "days"),
    [
        ("P90D", "UTC", 91),
        ("P90D", "Europe/Berlin", 92),
        ("P6M", "UTC", 185),
        ("P1Y", "UTC", 367),
        ("P8Y", "UTC", 2923),
        ("P10Y", "America/New_York", 3655),
        ("P0D", "UTC", 1),
    ],
)
def test_periods_in_days(period: str, zone: str, days: int) -> None:
    """Months and years count as long as they ever are; a zone that is not UTC costs one day."""
    assert longest_days(term(period, zone=zone)) == days
    assert order(Bound(limits=(term(period, zone=zone),))).after_days == days


@pytest.mark.parametrize("period", ["P1M", "P3M", "P11M", "P7Y", "P97Y", "P150Y", "P199Y", "P200Y"])
def test_days_are_the_most_of_four_hundred_years(period: str) -> None:
    """No start in a whole cycle of the calendar is kept for longer."""
    bound = term(period)
    firsts = [date(year, month, 1) for year in range(1800, 2200) for month in range(1, 13)]
    assert longest_days(bound) == max((bound.ends_on(on) - on).days for on in firsts) + 1


def test_the_shortest_limit_counts_and_every_minimum() -> None:
    """A rule runs after the first limit and after the last minimum."""
    limits = (term("P400D"), term("P100D"))
    assert order(Bound(limits=limits)).after_days == 101
    assert order(Bound((term("P200D"),), limits)).after_days == 201
    eight = term("P8Y", AnchorKind.CALENDAR_YEAR_END)
    whole = order(Bound((eight,), (term("P10Y"),))).after_days
    assert whole == longest_days(term("P10Y"))
    assert order(Bound((eight,), (term("P1Y"),))).after_days == longest_days(eight)


def test_a_minimum_that_is_still_to_come_counts_and_one_that_ended_does_not() -> None:
    """Nobody looks at what the store lets go later, so tomorrow's law is honoured today."""
    coming = term("P200D", effective_from=date(2027, 7, 10))
    ended = term("P300D", effective_to=date(2026, 11, 22))
    assert order(Bound((coming, ended), (term("P100D"),))).after_days == 201
    later = Bound(limits=(term("P100D", effective_from=date(2027, 7, 10)),))
    assert standing_orders(decisions(later, FILES)) == ()


MASKED = replace(
    FILES, fields={**FILES.fields, "body": Field("body", "user.content", Mask(MaskKind.NULL))}
)
CHILD = replace(FILES, name="previews", parent=Parent("files", {"key": "key"}), takes={})
OTHER = replace(FILES, clocks={"record_date": "last_modified", "last_contact": "seen_at"})


@pytest.mark.parametrize(
    ("reason", "bound", "collections", "scope"),
    [
        ("held", Bound(limits=(term(),)), (FILES,), DatasetHeld("files")),
        ("held", Bound(limits=(term(),)), (FILES,), DatasetHeld("files", "files")),
        ("held", Bound(limits=(term(),)), (FILES,), RowsHeld("files", "files", "key", ("a",))),
        ("held", Bound(limits=(term(),)), (FILES,), PeopleHeld((Identity("email", "a@b.test"),))),
        ("", Bound(limits=(term(),)), (FILES,), DatasetHeld("files", "events")),
        ("", Bound(limits=(term(),)), (FILES,), DatasetHeld("crm")),
        ("masks", Bound(limits=(term(action=Action.MASK),)), (MASKED,), None),
        ("family", Bound(limits=(term(),)), (FILES, CHILD), None),
        ("year_end", Bound(limits=(term("P1Y", AnchorKind.CALENDAR_YEAR_END),)), (FILES,), None),
        ("year_end", Bound(limits=(term("P1Y", AnchorKind.FINANCIAL_YEAR_END),)), (FILES,), None),
        ("several_clocks", Bound((term(clock="last_contact"),), (term(),)), (OTHER,), None),
        ("several_clocks", Bound(limits=(term(), term(clock="last_contact"))), (OTHER,), None),
        ("limit_ends", Bound(limits=(term(effective_to=date(2027, 7, 10)),)), (FILES,), None),
    ],
)
def test_reasons_of_the_core(
    reason: str, bound: Bound, collections: tuple[Collection, ...], scope: Scope | None
) -> None:
    """Holds, masks, families, year ends and several clocks are no number of days."""
    found = order(bound, *collections, scope=scope)
    assert found.reason == reason
    assert (found.after_days is None) is bool(reason)


def test_without_a_limit_nothing_is_ordered() -> None:
    """A collection that nothing limits goes by no rule, whatever minimum it has."""
    assert standing_orders(decisions(Bound((term(),)), FILES)) == ()


def template(text: str, **more: object) -> Collection:
    """The collection with another template."""
    source = {"layout": "prefix", "template": text, "lifecycle": True, **more}
    return replace(FILES, source=source)


NESTED = replace(EVENTS, source={**EVENTS.source, "prefix": "customers/exports/"})


@pytest.mark.parametrize(
    ("reason", "collection", "clock", "others"),
    [
        ("s3-rows-in-shared-objects", EVENTS, "at", ()),
        ("s3-clock-inside-objects", DECLARED, "seen_at", ()),
        ("s3-lifecycle-not-declared", FILES, "last_modified", ()),
        ("s3-whole-bucket", template("{customer_number}/"), "last_modified", ()),
        ("s3-prefix-below-person", template("c/{customer_number}/in/"), "last_modified", ()),
        ("s3-prefixes-overlap", DECLARED, "last_modified", (NESTED,)),
        ("s3-prefixes-overlap", DECLARED, "last_modified", (template("{customer_number}/"),)),
    ],
)
def test_reasons_of_the_bucket(
    reason: str, collection: Collection, clock: str, others: tuple[Collection, ...]
) -> None:
    """A rule reads no record and no template: where it would reach more, there is none."""
    asked = StandingOrder(collection.name, clock, 91)
    assert compiled("files", collection, asked, others) == reason


def test_a_rule_for_objects_under_one_prefix() -> None:
    """Objects whose own date is the clock go by a rule with our mark, their uploads with them."""
    asked = StandingOrder("files", "last_modified", 91)
    made = compiled("files", DECLARED, asked, (EVENTS,))
    assert made == Compiled("dsr-files.files", "files", "customers/", 91)


def test_the_reason_of_the_core_stands_first() -> None:
    """A hold is told before anything about the bucket."""
    assert compiled("files", FILES, StandingOrder("files", reason="held"), ()) == "held"
