"""Sweeps and foreign keys beside the map's parents: what a staying row refers to stays."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import replace

import pytest

from dsr_worker.contract import (
    Action,
    Always,
    Before,
    DecisionTable,
    Field,
    HeldRows,
    Mask,
    NeededByKept,
    Permanent,
    Receipt,
    Rule,
    Since,
    SweepOrder,
)
from dsr_worker.testing.context import TrialContext
from tests.contract.postgres_shop import (
    CUTOFF,
    NULL,
    add_customer,
    connected,
    connector,
    dump,
    emptied,
    execute,
    query,
)

KEEP = Rule("default", Always(), Action.KEEP, "not_due")
STAYS = ("retained", "needed_by_kept")
Counts = dict[tuple[str, str, str], int]


@pytest.fixture
def shop(module_database: str) -> str:
    """The shop with three old carts of customers 1 to 3, an item in each, and a young one."""
    dsn = emptied(module_database)
    for number in (1, 2, 3):
        add_customer(dsn, number, f"c{number}@shop.example", touched=f"200{number}-01-01")
    add_customer(dsn, 9, "young@shop.example", touched="2024-01-01")
    return dsn


def order(collection: str, clock: str, *before: Rule) -> SweepOrder:
    """Rows before the cut-off go."""
    limit = Rule("limit", Before(clock, CUTOFF), Action.ERASE, "house", clock=clock)
    return SweepOrder(collection, DecisionTable(collection, (*before, limit, KEEP)), 100)


CARTS = order("carts", "touched_at")


def swept(dsn: str, *orders: SweepOrder, **tables: DecisionTable) -> Counts:
    """Rows by collection, outcome and ground; a dry run has said the same and changed nothing."""
    every = {o.collection: o.table for o in orders} | tables
    plain = {name: DecisionTable(name, (KEEP,)) for name in connector(dsn).system.collections}
    ctx = TrialContext(tables=plain | every)
    before = dump(dsn)
    dry = _counted(connector(dsn).sweep(orders, replace(ctx, dry_run=True)))
    assert dump(dsn) == before
    assert _counted(connector(dsn).sweep(orders, ctx)) == dry
    return dry


def _counted(receipts: Iterable[Receipt]) -> Counts:
    found: Counts = {}
    for receipt in receipts:
        for one in receipt.outcomes:
            at = (receipt.collection, str(one.outcome), one.ground)
            found[at] = found.get(at, 0) + one.rows
    return found


def ids(dsn: str, table: str) -> list[int]:
    """The keys that are left."""
    return [key for (key,) in query(dsn, f"SELECT id FROM {table} ORDER BY id")]  # noqa: S608 - our own names


@pytest.mark.parametrize("action", ["NO ACTION", "RESTRICT"])
@pytest.mark.parametrize("referred", ["carts", "cart_items"])
def test_a_row_that_a_row_outside_the_map_refers_to_stays(
    shop: str, referred: str, action: str
) -> None:
    """Itself or what would go along: the cart stays with its items, the others go."""
    execute(
        shop,
        f"CREATE TABLE pins (id int PRIMARY KEY, pinned bigint REFERENCES {referred}"
        f" ON DELETE {action})",
    )
    execute(shop, "INSERT INTO pins VALUES (1, 200)")
    told = swept(shop, CARTS)
    assert ids(shop, "carts") == ids(shop, "cart_items") == [200, 900]
    assert told["carts", *STAYS] == 1
    assert told["carts", "erased", "house"] == told["cart_items", "erased", ""] == 2
    assert told["carts", "retained", "not_due"] == 1


def test_a_needed_row_is_masked_where_its_table_says_so(shop: str) -> None:
    """The order's own rule for needed rows counts for what foreign keys need; young rows wait."""
    execute(
        shop,
        "CREATE TABLE pins (id int PRIMARY KEY, pinned bigint REFERENCES carts);"
        " INSERT INTO pins VALUES (1, 200), (2, 900)",
    )
    masks: dict[str, Mask] = {"email": NULL}
    not_due = Rule("default", HeldRows("id", ("900",)), Action.KEEP, "not_due")
    needed = Rule("needed", NeededByKept(()), Action.MASK, "needed_by_kept", masks)
    told = swept(shop, order("carts", "touched_at", not_due, needed))
    assert told["carts", "masked", "needed_by_kept"] == 1
    assert query(shop, "SELECT id FROM carts WHERE email IS NULL") == [(200,)]
    assert ids(shop, "carts") == [200, 900]


@pytest.mark.parametrize("action", ["SET NULL", "SET DEFAULT"])
def test_no_sweep_lets_the_schema_change_a_protected_row(shop: str, action: str) -> None:
    """ON DELETE SET NULL empties a free order; the cart of a held one stays."""
    execute(
        shop,
        f"ALTER TABLE orders ADD cart_id bigint REFERENCES carts ON DELETE {action}",
    )
    execute(
        shop,
        "UPDATE orders SET cart_id = id WHERE id % 100 = 0",
    )
    hold = Rule("hold", HeldRows("id", ("200",)), Action.KEEP, "dispute")
    told = swept(shop, CARTS, orders=DecisionTable("orders", (hold, KEEP)))
    assert ids(shop, "carts") == [200, 900]
    assert told["carts", *STAYS] == 1
    left = query(shop, "SELECT id, cart_id FROM orders WHERE id % 100 = 0 ORDER BY id")
    assert left == [(100, None), (200, 200), (300, None), (900, 900)]


def test_a_cascade_beyond_the_plan_is_refused_before_the_first_change(shop: str) -> None:
    """A cascade into rows outside the map: nothing goes at all, and a dry run tells it too."""
    execute(
        shop,
        "CREATE TABLE pins (id int PRIMARY KEY, pinned bigint REFERENCES carts ON DELETE CASCADE);"
        " INSERT INTO pins VALUES (1, 200)",
    )
    for dry in (True, False):
        ctx = TrialContext(tables={"carts": CARTS.table}, dry_run=dry)
        with pytest.raises(Permanent, match="CASCADE of pins_pinned_fkey"):
            list(connector(shop).sweep([CARTS], ctx))
    assert (ids(shop, "pins"), ids(shop, "carts")) == ([1], [100, 200, 300, 900])


@pytest.mark.parametrize("action", ["NO ACTION", "CASCADE"])
def test_what_refers_goes_first_however_long_the_way(
    shop: str, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Carts merged into carts: the whole row of them goes, but not what a young one refers to."""
    monkeypatch.setattr("connectors.postgres.changing.pace._FIRST_ROWS", 2)
    execute(
        shop,
        f"ALTER TABLE carts ADD merged bigint REFERENCES carts ON DELETE {action}",
    )
    execute(
        shop,
        "INSERT INTO carts SELECT n, 'x', NULL, '2010-01-01', NULL"
        " FROM generate_series(1, 6) n; UPDATE carts SET merged = id - 1 WHERE id BETWEEN 2 AND 6;"
        " UPDATE carts SET merged = 200 WHERE id = 100; UPDATE carts SET merged = id WHERE id = 1",
    )
    assert swept(shop, CARTS)["carts", "erased", "house"] == 9
    assert ids(shop, "carts") == [900]


def test_a_circle_of_due_rows_stays(shop: str) -> None:
    """Two old carts that refer to each other keep each other: said, and nothing is refused."""
    execute(
        shop,
        "ALTER TABLE carts ADD merged bigint REFERENCES carts; UPDATE carts SET merged = 300"
        " WHERE id = 100; UPDATE carts SET merged = 100 WHERE id = 300",
    )
    assert swept(shop, CARTS)["carts", *STAYS] == 2
    assert ids(shop, "carts") == [100, 300, 900]


def test_two_orders_of_one_sweep_free_each_other(shop: str) -> None:
    """Old orders refer to old carts: the orders go first, then their carts, as the dry run says."""
    execute(
        shop,
        "ALTER TABLE orders ADD cart_id bigint REFERENCES carts;"
        " UPDATE orders SET cart_id = id WHERE id % 100 = 0;"
        " UPDATE orders SET placed_at = CASE WHEN id < 300 THEN date '2001-01-01' END",
    )
    told = swept(shop, CARTS, order("orders", "placed_at"))
    assert ids(shop, "carts") == [i for i in ids(shop, "orders") if i % 100 == 0] == [300, 900]
    assert told["carts", *STAYS] == 1
    assert told["carts", "erased", "house"] == 2


def test_a_reference_that_is_masked_keeps_nothing(shop: str) -> None:
    """Orders past their limit lose the name of their cart, and the cart goes with the sweep."""
    execute(
        shop,
        "ALTER TABLE orders ADD cart_id bigint REFERENCES carts;"
        " UPDATE orders SET placed_at = '2001-01-01';"
        " UPDATE orders SET cart_id = id WHERE id % 100 = 0 AND id < 900",
    )
    mapped = connector(shop).system
    orders = mapped.collections["orders"]
    fields = {**orders.fields, "cart_id": Field("cart_id", "user", NULL)}
    named = replace(orders, fields=fields)
    system = replace(mapped, collections={**mapped.collections, "orders": named})
    limit = Rule("limit", Before("placed_at", CUTOFF), Action.MASK, "house", {"cart_id": NULL})
    masking = SweepOrder("orders", DecisionTable("orders", (limit, KEEP)), 100)
    ctx = TrialContext(tables={"carts": CARTS.table, "orders": masking.table})
    both = (CARTS, masking)
    dry = _counted(connector(shop, system).sweep(both, replace(ctx, dry_run=True)))
    assert _counted(connector(shop, system).sweep(both, ctx)) == dry
    assert dry["carts", "erased", "house"] == 3
    assert ids(shop, "carts") == [900]


def test_a_reference_that_comes_while_rows_are_locked_counts(shop: str) -> None:
    """A row that another transaction begins to refer to is spared as soon as it has committed."""
    execute(shop, "CREATE TABLE pins (id int PRIMARY KEY, pinned bigint REFERENCES carts)")
    with connected(shop) as other, other.cursor() as cursor:
        cursor.execute("BEGIN; INSERT INTO pins VALUES (1, 200)")
        committing = threading.Timer(0.3, cursor.execute, ["COMMIT"])
        committing.start()
        told = _counted(connector(shop).sweep([CARTS], TrialContext(tables={"carts": CARTS.table})))
        committing.join()
    assert ids(shop, "carts") == [200, 900]
    assert told["carts", *STAYS] == 1


@pytest.mark.parametrize(
    "change",
    [
        "INSERT INTO invoices VALUES (777, 200, 'n', 'e', 1, '2024-01-01')",
        "UPDATE invoices SET issued_on = '2024-01-01' WHERE order_id = 200",
    ],
)
def test_a_child_that_comes_to_stay_while_rows_are_locked_stays(shop: str, change: str) -> None:
    """What another transaction puts inside a minimum meanwhile keeps what it hangs on."""
    execute(
        shop,
        "UPDATE orders SET placed_at = '2010-01-01'; UPDATE invoices SET issued_on = '2010-01-01'",
    )
    young = DecisionTable(
        "invoices",
        (
            Rule("minimum", Since("issued_on", CUTOFF), Action.KEEP, "tax"),
            Rule("default", Always(), Action.ERASE),
        ),
    )
    old = order("orders", "placed_at")
    tables = {name: DecisionTable(name, (KEEP,)) for name in connector(shop).system.collections}
    tables |= {"orders": old.table, "invoices": young}
    with connected(shop) as other, other.cursor() as cursor:
        cursor.execute(f"BEGIN; {change}")
        committing = threading.Timer(0.4, cursor.execute, ["COMMIT"])
        committing.start()
        list(connector(shop).sweep([old], TrialContext(tables=tables)))
        committing.join()
    left = query(shop, "SELECT order_id FROM invoices WHERE issued_on >= '2018-01-01'")
    assert left == [(200,)]
    assert ids(shop, "orders") == [200]


def test_the_brake_counts_what_only_waits_for_others(shop: str) -> None:
    """Rows that go once others have gone are counted before the first change."""
    execute(
        shop,
        "ALTER TABLE carts ADD merged bigint REFERENCES carts;"
        " UPDATE carts SET merged = id - 100 WHERE id IN (200, 300)",
    )
    before = dump(shop)
    tight = replace(CARTS, max_rows=2)
    with pytest.raises(Exception, match="sweep_brake"):
        list(connector(shop).sweep([tight], TrialContext(tables={"carts": tight.table})))
    assert dump(shop) == before
