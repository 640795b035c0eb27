"""The Postgres connector sweeps: what is due goes in parts, what is held stays."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from dsr_worker.contract import (
    Action,
    Always,
    Before,
    DecisionTable,
    HeldPeople,
    HeldRows,
    Identity,
    LeaseLost,
    NeedsHuman,
    Receipt,
    Rule,
    SweepOrder,
)
from dsr_worker.testing.context import TrialContext
from tests.contract.postgres_shop import (
    CUTOFF,
    ERASED,
    NULL,
    TOMBSTONE,
    add_customer,
    connector,
    dump,
    execute,
    outcomes,
    query,
)

KEEP = Rule("default", Always(), Action.KEEP, "not_due")


def cart_order(most: int = 100, *before: Rule) -> SweepOrder:
    """Carts older than the cut-off go."""
    limit = Rule("limit", Before("touched_at", CUTOFF), Action.ERASE, "house", clock="touched_at")
    return SweepOrder("carts", DecisionTable("carts", (*before, limit, KEEP)), most)


def swept(receipts: Iterable[Receipt]) -> dict[tuple[str, str], int]:
    """Rows by collection and outcome."""
    return {(name, outcome): n for (_, name, outcome), n in outcomes(receipts).items()}


def trial(order: SweepOrder, **more: DecisionTable) -> TrialContext:
    """A context whose tables are the orders'."""
    return TrialContext(tables={order.collection: order.table, **more})


def test_a_sweep_takes_the_due_rows_and_what_hangs_below(shop: str) -> None:
    """Old carts and their items go; the young and undated stay; the dry run agrees."""
    for number, touched in enumerate(("2010-01-01", "2017-12-31", "2018-01-01", None)):
        add_customer(shop, number, f"c{number}@shop.example", touched=touched)
    before = dump(shop)
    order = cart_order()
    dry = swept(connector(shop).sweep([order], replace(trial(order), dry_run=True)))
    assert dump(shop) == before
    ctx = trial(order)
    receipts = list(connector(shop).sweep([order], ctx))
    assert swept(receipts) == dry
    assert dry == {("carts", "erased"): 2, ("carts", "retained"): 2, ("cart_items", "erased"): 2}
    assert ctx.intents == [tuple(r for r in receipts if r.outcomes[0].outcome == "erased")]
    assert set(before) - set(dump(shop)) == {
        (name, key) for name in ("carts", "cart_items") for key in ("0", "100")
    }


def test_the_brake_stops_before_the_first_change(shop: str) -> None:
    """One row more than allowed: nothing happens, a person is asked."""
    for number in range(3):
        add_customer(shop, number, f"c{number}@shop.example", touched="2010-01-01")
    before = dump(shop)
    order = cart_order(2)
    with pytest.raises(NeedsHuman) as raised:
        list(connector(shop).sweep([order], trial(order)))
    assert raised.value.code == "sweep_brake"
    assert raised.value.fields == {"collection": "carts", "rows": 3, "limit": 2}
    assert dump(shop) == before


def test_a_sweep_spares_held_people_and_rows(shop: str) -> None:
    """A hold, even one placed after planning, keeps rows by owner, value and child."""
    for number in range(4):
        add_customer(shop, number, f"C{number}@shop.example", touched="2010-01-01")
    order = cart_order()
    person = HeldPeople((Identity("email", "c1@shop.example"),))
    hold = Rule("hold", person, Action.KEEP, "dispute")
    items = Rule("hold", HeldRows("article", ("item zq2zq",)), Action.KEEP, "recall")
    ctx = trial(
        order,
        carts=DecisionTable("carts", (hold, *order.table.rules)),
        cart_items=DecisionTable("cart_items", (items, KEEP)),
    )
    dry = swept(connector(shop).sweep([order], replace(ctx, dry_run=True)))
    assert swept(connector(shop).sweep([order], ctx)) == dry
    assert query(shop, "SELECT id FROM carts ORDER BY id") == [(100,), (200,)]
    assert query(shop, "SELECT id FROM cart_items ORDER BY id") == [(100,), (200,)]


def test_a_sweep_masks_once(shop: str) -> None:
    """Masking rows past their limit changes each once; a second sweep finds nothing to do."""
    for number in range(3):
        add_customer(shop, number, f"c{number}@shop.example", seen="2010-01-01")
    masks = {"email": TOMBSTONE, "name": ERASED, "phone": NULL}
    limit = Rule("limit", Before("last_seen_at", CUTOFF), Action.MASK, "idle", masks)
    order = SweepOrder("customers", DecisionTable("customers", (limit, KEEP)), 10)
    assert swept(connector(shop).sweep([order], trial(order))) == {("customers", "masked"): 3}
    after = dump(shop)
    assert query(shop, "SELECT count(*) FROM customers WHERE email LIKE 'erased-%'") == [(3,)]
    assert swept(connector(shop).sweep([order], trial(order))) == {}
    assert dump(shop) == after


def test_a_sweep_in_many_parts_loses_nothing_to_a_crash(
    shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part commits by itself; a crash leaves whole parts, and a repeat goes on."""
    monkeypatch.setattr("connectors.postgres.changing.pace._FIRST_ROWS", 100)
    monkeypatch.setattr("connectors.postgres.changing.pace._MOST_ROWS", 100)
    execute(
        shop,
        "INSERT INTO carts SELECT n, 'x', NULL, '2010-01-01' FROM generate_series(1, 450) n;"
        " INSERT INTO cart_items SELECT n, n, 'y' FROM generate_series(1, 450) n",
    )
    order = cart_order(1000)
    ctx = trial(order)

    def crash() -> None:
        if len(ctx.intents) == 3:
            raise LeaseLost

    ctx.on_intent = crash
    with pytest.raises(LeaseLost):
        list(connector(shop).sweep([order], ctx))
    assert query(shop, "SELECT count(*) FROM carts") == [(250,)]
    assert query(shop, "SELECT count(*) FROM cart_items") == [(250,)]
    assert swept(connector(shop).sweep([order], trial(order))) == {
        ("carts", "erased"): 250,
        ("cart_items", "erased"): 250,
    }
