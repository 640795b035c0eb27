"""Tables for erasing and sweeping, and holds over them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time

import pytest

from dsr_worker.contract import (
    Action,
    Collection,
    Field,
    Identity,
    Mask,
    MaskKind,
    Outcome,
    OutcomeCount,
    Parent,
    Subject,
    System,
    Taken,
)
from dsr_worker.domain.decision import (
    Bound,
    DecisionError,
    Decisions,
    Term,
    compile_decisions,
)
from dsr_worker.domain.explain import Surroundings, evaluate, explain
from dsr_worker.domain.frozen import freeze, thaw
from dsr_worker.domain.hold import DatasetHeld, Hold, PeopleHeld, RowsHeld
from dsr_worker.domain.retention import Anchor, AnchorKind, CalendarPeriod

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)

MARA = Identity("email", "mara@mail.example")
SUBJECT = Subject("s1", (MARA,))
NULL = Mask(MaskKind.NULL)


def _fields(**masks: Mask | None) -> dict[str, Field]:
    return {name: Field(name, "user.content", mask) for name, mask in masks.items()}


CUSTOMERS = Collection(
    "customers",
    ("id",),
    _fields(id=None, email=NULL, seen_at=None),
    takes={"email": Taken("email")},
    clocks={"last_contact": "seen_at"},
)
ORDERS = Collection(
    "orders",
    ("id",),
    _fields(id=None, customer_id=None),
    parent=Parent("customers", {"customer_id": "id"}),
)
INVOICES = Collection(
    "invoices",
    ("id",),
    _fields(id=None, order_id=None, issued_on=None, net=None, name=NULL),
    parent=Parent("orders", {"order_id": "id"}),
    clocks={"record_date": "issued_on"},
    kept_fields=frozenset({"id", "order_id", "issued_on", "net"}),
)
SHOP = System("shop", "memory", {c.name: c for c in (CUSTOMERS, ORDERS, INVOICES)})
TAX = Term(
    "de-ao-147-voucher",
    "§ 147 (3) AO",
    CalendarPeriod.parse("P8Y"),
    Anchor(AnchorKind.CALENDAR_YEAR_END),
    "Europe/Berlin",
    "record_date",
)
INACTIVE = Term(
    "house/inactive",
    "house rule",
    CalendarPeriod.parse("P3Y"),
    Anchor(AnchorKind.LAST_CONTACT),
    "Europe/Berlin",
    "last_contact",
)


def _decisions(**bound: Bound) -> Decisions:
    return compile_decisions(SHOP, bound, NOW)


TAXED = _decisions(invoices=Bound(minimums=(TAX,)))


def _hold(scope: PeopleHeld | RowsHeld | DatasetHeld, number: str = "h1") -> Hold:
    return Hold(number, "m1", "ER_LEGAL_CLAIMS", scope, date(2027, 1, 31))


def test_an_invoice_in_its_tax_period_keeps_its_tax_fields_only() -> None:
    """Under a minimum the protected fields stay and the masked rest goes."""
    table = TAXED.erasure()["invoices"]
    rule = evaluate(table, {"issued_on": date(2019, 5, 1)})
    assert (rule.code, rule.action, set(rule.masks)) == ("minimum", Action.MASK, {"name"})
    assert rule.ground == "de-ao-147-voucher"


@pytest.mark.parametrize("kept", [None, frozenset({"id", "issued_on", "net", "name"})])
def test_a_minimum_with_nothing_to_mask_keeps_the_row(kept: frozenset[str] | None) -> None:
    """Where every field is protected the row is kept, and the answer does not say masked."""
    whole = replace(INVOICES, kept_fields=kept, parent=None)
    system = System("s", "memory", {"invoices": whole})
    decisions = compile_decisions(system, {"invoices": Bound(minimums=(TAX,))}, NOW)
    rule = evaluate(decisions.erasure()["invoices"], {"issued_on": NOW})
    assert (rule.code, rule.action, rule.masks) == ("minimum", Action.KEEP, {})


@pytest.mark.parametrize(
    ("issued", "action"),
    [
        (date(2017, 12, 31), Action.ERASE),
        (date(2018, 1, 1), Action.MASK),
        (datetime(2017, 12, 31, 22, 59, tzinfo=UTC), Action.ERASE),
        (datetime(2017, 12, 31, 23, 0, tzinfo=UTC), Action.MASK),
        ("2018-01-01", Action.MASK),
        ("2017-12-30T10:00:00+01:00", Action.ERASE),
        (None, Action.MASK),
        ("soon", Action.MASK),
    ],
)
def test_the_period_ends_with_a_local_year(issued: object, action: Action) -> None:
    """Eight years from the year's end in Berlin; a clock that says nothing keeps the row."""
    assert evaluate(TAXED.erasure()["invoices"], {"issued_on": issued}).action is action


@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Europe/Berlin", "Pacific/Kiritimati"])
@pytest.mark.parametrize(
    ("issued", "code"), [(date(2017, 12, 31), "default"), (date(2018, 1, 1), "minimum")]
)
def test_bare_dates_are_exact_in_every_zone(zone: str, issued: date, code: str) -> None:
    """A store reads a date as midnight in UTC; that must not cut a year off west of Greenwich."""
    decisions = _decisions(invoices=Bound(minimums=(replace(TAX, zone=zone),)))
    table = decisions.erasure()["invoices"]
    for value in (issued, issued.isoformat(), datetime.combine(issued, time.min, UTC)):
        assert evaluate(table, {"issued_on": value}).code == code
        if isinstance(value, datetime):
            part = OutcomeCount.one(Outcome.RETAINED, ground=TAX.ground, clock=value)
            ends = date(issued.year + 8, 12, 31)
            assert decisions.ends("invoices", part) == (ends, ends)


def test_rows_that_a_kept_row_needs_are_masked_up_to_the_top() -> None:
    """A parent of a staying row is not erased, and neither is its own parent."""
    tables = TAXED.erasure()
    needed = Surroundings(staying_children=frozenset({"invoices"}))
    assert evaluate(tables["orders"], {}, needed).action is Action.KEEP
    assert evaluate(tables["orders"], {}).action is Action.ERASE
    above = Surroundings(staying_children=frozenset({"orders"}))
    assert evaluate(tables["customers"], {}, above).masks == {"email": NULL}
    assert all(rule.code == "default" for rule in _decisions().erasure()["customers"].rules)


def test_a_hold_on_a_person_keeps_their_rows_whole() -> None:
    """A hold comes before a minimum and masks nothing; others keep what is also the held one's."""
    tables = TAXED.erasure([SUBJECT], [_hold(PeopleHeld((MARA,)))])
    row = {"issued_on": date(2020, 1, 1)}
    held = evaluate(tables["invoices"], row, Surroundings(subject_ref="s1"))
    assert (held.code, held.action, held.ground) == ("hold", Action.KEEP, "ER_LEGAL_CLAIMS")
    assert evaluate(tables["invoices"], row, Surroundings(subject_ref="s2")).code == "minimum"
    other = Subject("s2", (Identity("email", "pia@mail.example"),))
    alone = TAXED.erasure([other], [_hold(PeopleHeld((MARA,)))])
    assert evaluate(alone["invoices"], row, Surroundings(subject_ref="s2")).code == "minimum"
    shared = Surroundings(subject_ref="s2", owners=frozenset({MARA}))
    assert evaluate(alone["invoices"], row, shared).ground == "ER_LEGAL_CLAIMS"


def test_a_hold_on_several_people_is_whole_whoever_is_in_the_batch() -> None:
    """One of the held in the batch takes nothing of another's protection from a shared row."""
    noor, ida = Identity("email", "noor@mail.example"), Identity("email", "ida@mail.example")
    hold = _hold(PeopleHeld((MARA, noor)))
    shared = Surroundings(subject_ref="s2", owners=frozenset({noor, ida}))
    for batch in ([Subject("s2", (ida,))], [Subject("s2", (ida,)), SUBJECT]):
        table = TAXED.erasure(batch, [hold])["invoices"]
        assert evaluate(table, {"issued_on": date(2010, 1, 1)}, shared).code == "hold"


def test_a_hold_on_rows_keeps_those_rows() -> None:
    """A row-set hold names a field's values, whatever their type, in one collection."""
    tables = _decisions().erasure(holds=[_hold(RowsHeld("shop", "orders", "id", ("7",)))])
    assert evaluate(tables["orders"], {"id": 7}).action is Action.KEEP
    assert evaluate(tables["orders"], {"id": 70}).action is Action.ERASE
    assert evaluate(tables["invoices"], {"id": 7}).action is Action.ERASE
    needed = Surroundings(staying_children=frozenset({"orders"}))
    assert evaluate(tables["customers"], {}, needed).code == "needed"


@pytest.mark.parametrize(("collection", "kept"), [(None, 3), ("orders", 1)])
def test_a_hold_on_a_dataset_keeps_all_of_it(collection: str | None, kept: int) -> None:
    """A dataset is a system or one of its collections, and no other system."""
    tables = _decisions().erasure(holds=[_hold(DatasetHeld("shop", collection))])
    assert sum(evaluate(t, {}).action is Action.KEEP for t in tables.values()) == kept
    elsewhere = _decisions().erasure(holds=[_hold(DatasetHeld("files", collection))])
    assert elsewhere == _decisions().erasure()


def test_a_row_is_free_when_the_last_hold_is_released() -> None:
    """Holds overlap; releasing one of two frees nothing."""
    holds = [_hold(DatasetHeld("shop"), "h1"), _hold(DatasetHeld("shop", "orders"), "h2")]
    one = [replace(holds[0], released_at=NOW), holds[1]]
    both = [replace(hold, released_at=NOW) for hold in holds]
    assert evaluate(_decisions().erasure(holds=one)["orders"], {}).action is Action.KEEP
    assert evaluate(_decisions().erasure(holds=both)["orders"], {}).action is Action.ERASE


def test_holds_that_hold_nothing_are_refused() -> None:
    """A hold names something, and its reason is a code."""
    for scope in (PeopleHeld(()), RowsHeld("shop", "orders", "id", ())):
        with pytest.raises(ValueError, match="at least one"):
            _hold(scope)
    with pytest.raises(ValueError, match="code"):
        Hold("h", "m", "because of the dispute", DatasetHeld("shop"), date(2027, 1, 1))


def test_a_hold_never_ends_by_itself() -> None:
    """Past its review date a hold still holds."""
    hold = replace(_hold(DatasetHeld("shop")), review_on=date(2020, 1, 1))
    assert evaluate(_decisions().erasure(holds=[hold])["orders"], {}).code == "hold"


def test_a_sweep_takes_what_is_past_its_limit_and_nothing_else() -> None:
    """Rows past the limit go; younger ones and those without a clock stay."""
    table = _decisions(customers=Bound(limits=(INACTIVE,))).sweep()["customers"]
    old, young = datetime(2020, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
    assert evaluate(table, {"seen_at": old}).action is Action.ERASE
    assert evaluate(table, {"seen_at": young}).action is Action.KEEP
    assert evaluate(table, {"seen_at": None}).action is Action.KEEP


def test_a_sweep_masks_a_needed_row_only_when_it_is_due() -> None:
    """A customer with invoices is masked after the limit and left alone before it."""
    decisions = _decisions(customers=Bound(limits=(INACTIVE,)), invoices=Bound(minimums=(TAX,)))
    table = decisions.sweep()["customers"]
    needed = Surroundings(staying_children=frozenset({"orders"}))
    old, young = datetime(2020, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
    assert evaluate(table, {"seen_at": old}, needed).action is Action.MASK
    assert evaluate(table, {"seen_at": young}, needed).action is Action.KEEP
    assert evaluate(table, {"seen_at": old}).action is Action.ERASE


def test_a_sweep_spares_held_people() -> None:
    """A hold on a person counts in sweeps by the row's owners."""
    decisions = _decisions(customers=Bound(limits=(INACTIVE,)))
    table = decisions.sweep([_hold(PeopleHeld((MARA,)))])["customers"]
    row = {"seen_at": datetime(2020, 1, 1, tzinfo=UTC)}
    assert evaluate(table, row, Surroundings(owners=frozenset({MARA}))).code == "hold"
    assert evaluate(table, row).action is Action.ERASE


def test_of_two_limits_passed_the_erasing_one_counts() -> None:
    """A row masked after one period is erased after the next, however the two are ordered."""
    mask = replace(INACTIVE, ground="house/quiet", period=CalendarPeriod.parse("P1Y"))
    bound = Bound(limits=(replace(mask, action=Action.MASK), INACTIVE))
    table = _decisions(customers=bound).sweep()["customers"]
    ages = {"2020-01-01": Action.ERASE, "2025-01-01": Action.MASK, "2026-10-01": Action.KEEP}
    for text, action in ages.items():
        assert evaluate(table, {"seen_at": text}).action is action


def test_only_swept_collections_and_what_hangs_below_get_a_table() -> None:
    """A sweep of a child leaves its parent out; a sweep of a parent takes its children in."""
    limit = replace(INACTIVE, clock="record_date")
    assert set(_decisions(invoices=Bound(limits=(limit,))).sweep()) == {"invoices"}
    assert set(_decisions(customers=Bound(limits=(INACTIVE,))).sweep()) == set(SHOP.collections)


def test_what_protects_is_known_of_collections_that_are_not_swept() -> None:
    """While children are swept, a hold on their parent and minimums elsewhere still speak."""
    decisions = _decisions(customers=Bound(limits=(INACTIVE,)), invoices=Bound(minimums=(TAX,)))
    tables = decisions.protection([_hold(DatasetHeld("shop"))])
    assert set(tables) == set(SHOP.collections)
    assert [r.code for r in tables["customers"].rules] == ["hold", "default"]
    assert [r.code for r in tables["invoices"].rules] == ["hold", "minimum", "default"]
    assert {r.action for table in tables.values() for r in table.rules} == {Action.KEEP}


def test_terms_that_do_not_fit_the_map_are_refused() -> None:
    """A clock or collection that the map lacks is a fault, never a rule that matches nothing."""
    with pytest.raises(DecisionError, match="does not map"):
        _decisions(orders=Bound(minimums=(TAX,)))
    with pytest.raises(DecisionError, match="no collection"):
        _decisions(parcels=Bound(minimums=(TAX,)))
    mask = replace(TAX, action=Action.MASK)
    bare = replace(INVOICES, fields=_fields(id=None, issued_on=None), parent=None)
    decisions = compile_decisions(
        System("s", "memory", {"invoices": bare}), {"invoices": Bound(limits=(mask,))}, NOW
    )
    with pytest.raises(DecisionError, match="no mask"):
        decisions.sweep()


def test_frozen_decisions_come_back_the_same() -> None:
    """What a job froze decides alike after any restart."""
    decisions = _decisions(invoices=Bound((TAX,)), customers=Bound(limits=(INACTIVE,)))
    again = thaw(freeze(decisions), SHOP)
    assert again == decisions
    assert freeze(again) == freeze(decisions)
    with pytest.raises(DecisionError, match="not of files"):
        thaw(freeze(decisions), replace(SHOP, name="files"))


def test_a_ground_says_until_when_and_by_which_law() -> None:
    """The oldest and the newest clock value of kept rows give the first and last day of keeping."""
    kept = OutcomeCount(
        Outcome.RETAINED,
        2,
        ground="de-ao-147-voucher",
        latest_at=datetime(2026, 2, 10, tzinfo=UTC),
        earliest_at=datetime(2019, 2, 10, tzinfo=UTC),
    )
    assert TAXED.ends("invoices", kept) == (date(2027, 12, 31), date(2034, 12, 31))
    newest_alone = replace(kept, earliest_at=None)
    assert TAXED.ends("invoices", newest_alone) == (date(2034, 12, 31), date(2034, 12, 31))
    assert TAXED.citation("de-ao-147-voucher") == "§ 147 (3) AO"
    assert TAXED.ends("invoices", replace(kept, ground="ER_LEGAL_CLAIMS")) == (None, None)
    assert TAXED.ends("customers", kept) == (None, None)
    assert TAXED.ends("invoices", replace(kept, latest_at=None)) == (None, None)


def test_explaining_names_the_winner_and_the_losers_without_values() -> None:
    """An explanation gives grounds and cut-offs, and never what is in the row."""
    table = TAXED.erasure([SUBJECT], [_hold(PeopleHeld((MARA,)))])["invoices"]
    row = {"issued_on": "2020-01-01", "name": "zq-marker"}
    text = explain(table, row, Surroundings(subject_ref="s1"))
    assert text.splitlines()[0].startswith("invoices: kept whole: a legal hold stands")
    assert "before: minimum would mask (de-ao-147-voucher" in text
    assert "before: default would erase" in text
    assert "zq-marker" not in text


BEFORE, AFTER = (replace(TAX, ground=ground) for ground in ("old-law", "new-law"))
BEFORE = replace(BEFORE, effective_to=date(2027, 7, 10))
AFTER = replace(AFTER, effective_from=date(2027, 7, 10))


@pytest.mark.parametrize(
    ("now", "ground"),
    [
        (datetime(2027, 7, 9, 21, 59, 59, tzinfo=UTC), "old-law"),
        (datetime(2027, 7, 9, 22, tzinfo=UTC), "new-law"),
    ],
)
def test_the_law_of_the_day_of_the_decision_binds(now: datetime, ground: str) -> None:
    """A rule binds from its first day until the day before its last, by the policy's zone."""
    decisions = compile_decisions(SHOP, {"invoices": Bound((BEFORE, AFTER))}, now)
    rule = evaluate(decisions.erasure()["invoices"], {"issued_on": date(2026, 5, 1)})
    assert rule.ground == ground
    assert list(decisions.cutoffs()) == [f"shop.invoices:{ground}"]


def test_a_limit_that_is_no_law_yet_lets_nothing_go() -> None:
    """A sweep before the day on which a maximum comes into force takes nothing by it."""
    bound = {"customers": Bound(limits=(replace(INACTIVE, effective_from=date(2027, 5, 13)),))}
    assert not compile_decisions(SHOP, bound, NOW).sweep()
    assert compile_decisions(SHOP, bound, datetime(2027, 5, 13, tzinfo=UTC)).sweep()


def test_a_frozen_term_keeps_its_days() -> None:
    """What is frozen is judged by the instant put in on use, so its dates are frozen with it."""
    decisions = compile_decisions(SHOP, {"invoices": Bound((BEFORE, AFTER))}, NOW)
    assert thaw(freeze(decisions), SHOP) == decisions
