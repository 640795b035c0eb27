"""When kept rows go: every part with a day has it, and what nobody promises is not listed."""

from __future__ import annotations

from datetime import date

import pytest

from dsr_worker.contract import Collection, Field, Parent, System
from dsr_worker.fulfil.keeping import kept_for_now
from dsr_worker.ledger.answers import Accounted


def _collection(name: str, parent: str | None = None) -> Collection:
    above = Parent(parent, {"up": "id"}) if parent else None
    return Collection(name, ("id",), {"id": Field("id", "user.unique_id")}, parent=above)


SHOP = System(
    "shop",
    "postgres",
    {
        c.name: c
        for c in (
            _collection("customers"),
            _collection("orders", "customers"),
            _collection("invoices", "orders"),
            _collection("disputes", "orders"),
        )
    },
)
LAST = date(2034, 12, 31)
DUE = date(2035, 1, 1)
AGAIN = date(2026, 12, 22)


def row(
    collection: str,
    ground: str,
    until: date | None = None,
    outcome: str = "masked",
    first: date | None = None,
) -> Accounted:
    """One part of what was accounted for."""
    first = first or until
    return Accounted(
        1, "shop", collection, outcome, 3, 0, ground, until, first, before_commit=False
    )


def days(*rows: Accounted) -> dict[str, date | None]:
    """The day on which the first of each collection's part goes."""
    return {later.row.collection: later.days.due_on for later in kept_for_now(SHOP, rows, AGAIN)}


def last_days(*rows: Accounted) -> dict[str, date | None]:
    """The day on which the last of each collection's part goes."""
    return {
        later.row.collection: later.days.last_due_on for later in kept_for_now(SHOP, rows, AGAIN)
    }


def test_a_needed_parent_goes_with_what_refers_to_it() -> None:
    """Orders and customers wait for invoices, through every level."""
    kept = (
        row("customers", "needed_by_kept"),
        row("orders", "needed_by_kept"),
        row("invoices", "de-ao-147-voucher", LAST),
    )
    assert days(*kept) == last_days(*kept) == {"customers": DUE, "orders": DUE, "invoices": DUE}


def test_rows_of_several_ends_are_promised_from_the_first_to_the_last() -> None:
    """Each row goes when its own period is over: the job of the first promises the others anew."""
    kept = (
        row("customers", "needed_by_kept"),
        row("orders", "six-years", date(2030, 12, 31)),
        row("invoices", "de-ao-147-voucher", LAST, first=date(2026, 12, 31)),
    )
    first = {"customers": date(2027, 1, 1), "orders": date(2031, 1, 1)}
    assert days(*kept) == {**first, "invoices": date(2027, 1, 1)}
    assert last_days(*kept) == {"customers": DUE, "orders": date(2031, 1, 1), "invoices": DUE}


def test_a_parent_of_held_rows_waits_for_the_hold() -> None:
    """A day is not promised while a hold without an end keeps one of the children."""
    assert days(
        row("customers", "needed_by_kept"),
        row("invoices", "de-ao-147-voucher", LAST),
        row("disputes", "ER_LEGAL_CLAIMS", outcome="retained"),
        row("orders", "needed"),
    ) == {"customers": None, "orders": None, "disputes": None, "invoices": DUE}


def test_a_needed_row_without_a_mapped_child_waits_for_all_of_its_system() -> None:
    """A helpdesk's user stays for a ticket that the map does not hang below it."""
    assert days(row("invoices", "needed_by_kept"), row("orders", "x-min", LAST)) == {
        "invoices": DUE,
        "orders": DUE,
    }


@pytest.mark.parametrize(
    "alone",
    [
        row("orders", "owner_changed", outcome="retained"),
        row("orders", "", outcome="masked"),
        row("orders", "de-ao-147-voucher", LAST, outcome="erased"),
        row("orders", "needed_by_kept"),
    ],
)
def test_what_nobody_promises_is_not_listed(alone: Accounted) -> None:
    """Somebody else's rows, rows without a ground, erased rows: no promise, no day."""
    assert days(alone) == {}
