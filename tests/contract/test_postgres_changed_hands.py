"""A row that gets another owner between being located and being changed stays as it is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from connectors.postgres import Postgres
from dsr_worker.contract import (
    OWNER_CHANGED,
    Action,
    Always,
    Correction,
    DecisionTable,
    Receipt,
    Restriction,
    RestrictionKind,
    Rule,
    Subject,
)
from dsr_worker.testing.context import TrialContext
from tests.contract.postgres_shop import (
    add_customer,
    await_a_lock,
    belongings,
    connected,
    connector,
    dump,
    emptied,
    execute,
    keep_vouchers,
    others,
    query,
    subject,
    system,
)

ANNA = subject("a", email="anna@shop.example", number="1")
BERT = subject("b", email="bert@shop.example", number="2")
TABLES = {"everything goes": dict, "vouchers stay": keep_vouchers}


@pytest.fixture
def shop(module_database: str) -> str:
    """Two customers with a row in every table, the invoices due to go."""
    dsn = emptied(module_database)
    add_customer(dsn, 1, "anna@shop.example", issued="2015-01-01")
    add_customer(dsn, 2, "bert@shop.example", issued="2015-01-01")
    return dsn


HANDED_ON = {
    "the name in a row": (
        "UPDATE carts SET email = 'Bert@Shop.example' WHERE id = 100",
        {("carts", "100"), ("cart_items", "100")},
    ),
    "the number in a row": (
        "UPDATE loyalty SET customer_id = 2 WHERE customer_id = 1",
        {("loyalty", "00000000-0000-4000-8000-000000000001")},
    ),
    "the row above it": (
        "UPDATE orders SET customer_id = 2 WHERE id = 100",
        {
            ("orders", "100"),
            ("order_lines", "100 0"),
            ("order_lines", "100 1"),
            ("invoices", "100"),
        },
    ),
    "a look-alike of the name": (
        "UPDATE carts SET email = 'änna@shop.example' WHERE id = 100",
        {("carts", "100"), ("cart_items", "100")},
    ),
}


@pytest.mark.parametrize("tables", TABLES.values(), ids=TABLES)
@pytest.mark.parametrize(("change", "stays"), HANDED_ON.values(), ids=HANDED_ON)
def test_what_is_somebody_elses_by_now_stays(
    shop: str,
    change: str,
    stays: set[tuple[str, str]],
    tables: Callable[[], dict[str, DecisionTable]],
) -> None:
    """They and what is below them stay byte-identical, as `owner_changed`; the rest goes."""
    keys = list(connector(shop).locate([ANNA], TrialContext()))
    execute(shop, change)
    before, ctx = dump(shop), TrialContext(tables=tables())
    receipts = list(connector(shop).erase([ANNA], keys, ctx))
    assert dump(shop) == {
        at: row for at, row in before.items() if at in stays or at not in belongings(1)
    }
    assert left_alone(receipts) == len(stays)
    kept = {digest for receipt in receipts for digest in receipt.kept}
    assert {k for k in keys if ctx.digest(k.collection, k.key) in kept} == {
        k for k in keys if (k.collection, " ".join(k.key)) in stays
    }


def test_one_who_lost_a_row_does_not_stop_another(shop: str) -> None:
    """In a batch each goes as they would alone."""
    people = [ANNA, BERT]
    keys = list(connector(shop).locate(people, TrialContext()))
    execute(shop, "UPDATE carts SET email = 'carl@shop.example' WHERE id = 200")
    before = dump(shop)
    receipts = list(connector(shop).erase(people, keys, TrialContext()))
    stays = {("carts", "200"), ("cart_items", "200")}
    assert dump(shop) == {at: row for at, row in before.items() if at in stays}
    assert {r.subject_ref for r in receipts if left_alone([r])} == {"b"}


@pytest.mark.parametrize("tables", TABLES.values(), ids=TABLES)
def test_a_row_that_changes_hands_while_it_is_waited_for_stays(
    shop: str, tables: Callable[[], dict[str, DecisionTable]]
) -> None:
    """What counts is whose it is once it is locked."""
    keys = list(connector(shop).locate([ANNA], TrialContext()))
    receipts: list[Receipt] = []
    ctx = TrialContext(tables=tables())
    with connected(shop) as rival, rival.cursor() as cursor:
        cursor.execute("BEGIN; UPDATE carts SET email = 'bert@shop.example' WHERE id = 100")
        erasing = threading.Thread(
            target=lambda: receipts.extend(connector(shop).erase([ANNA], keys, ctx))
        )
        erasing.start()
        await_a_lock(shop)
        cursor.execute("COMMIT")
        erasing.join(100)
    assert left_alone(receipts) == 2
    assert {at for at in dump(shop) if at in belongings(1)} == {
        ("carts", "100"),
        ("cart_items", "100"),
    }


NOBODYS = {
    "no name": "UPDATE orders SET customer_id = NULL WHERE id = 100",
    "a text that stands for none": "UPDATE carts SET email = 'unknown' WHERE id = 100",
    "a blank": "UPDATE carts SET email = '' WHERE id = 100",
}


@pytest.mark.parametrize("change", NOBODYS.values(), ids=NOBODYS)
def test_what_names_nobody_goes_with_whom_it_was_located_for(shop: str, change: str) -> None:
    """A row that nobody else claims is still the one that was found for the person."""
    keys = list(connector(shop).locate([ANNA], TrialContext()))
    execute(shop, change)
    before = dump(shop)
    receipts = list(connector(shop).erase([ANNA], keys, TrialContext()))
    assert dump(shop) == others(before, 1)
    assert not left_alone(receipts)


def test_what_was_masked_is_still_theirs(shop: str) -> None:
    """Once nothing keeps them any more, rows go by their keys whose names were masked before."""
    execute(shop, "UPDATE invoices SET issued_on = '2024-01-01' WHERE id = 100")
    before = dump(shop)
    keys = list(connector(shop).locate([ANNA], TrialContext()))
    list(connector(shop).erase([ANNA], keys, TrialContext(tables=keep_vouchers())))
    again = list(connector(shop).erase([ANNA], keys, TrialContext(tables=keep_vouchers())))
    assert not left_alone(again)
    assert query(shop, "SELECT count(*) FROM customers WHERE email LIKE '%.invalid'") == [(1,)]
    receipts = list(connector(shop).erase([ANNA], keys, TrialContext()))
    assert not left_alone(receipts)
    assert dump(shop) == others(before, 1)


def test_a_row_whose_parent_is_gone_is_still_theirs(shop: str) -> None:
    """Located with its parent, a row goes although somebody else erased that meanwhile."""
    execute(shop, "ALTER TABLE order_lines DROP CONSTRAINT order_lines_order_id_fkey")
    keys = list(connector(shop).locate([ANNA], TrialContext()))
    execute(shop, "DELETE FROM orders WHERE id = 101")
    before = dump(shop)
    assert not left_alone(list(connector(shop).erase([ANNA], keys, TrialContext())))
    assert dump(shop) == others(before, 1)


def test_a_dry_run_tells_it(shop: str) -> None:
    """The plan of a case whose rows are somebody else's by now does not count them as going."""
    keys = list(connector(shop).locate([ANNA], TrialContext()))
    execute(shop, "UPDATE carts SET email = 'bert@shop.example' WHERE id = 100")
    before = dump(shop)
    assert left_alone(list(connector(shop).erase([ANNA], keys, TrialContext(dry_run=True)))) == 2
    assert dump(shop) == before


# ---- putting right, restricting


def test_what_is_somebody_elses_by_now_is_not_put_right(shop: str) -> None:
    """A correction reaches the person's rows alone; nothing below them has to be located."""
    asked = {"order_lines": (Correction("article", "a lamp", was="article zq1zq"),)}
    person = replace(ANNA, corrections=asked)
    postgres = connector(shop)
    keys = [k for k in postgres.locate([person], TrialContext()) if k.collection in asked]
    execute(shop, "UPDATE orders SET customer_id = 2 WHERE id = 100")
    before = dump(shop)
    receipts = list(postgres.rectify([person], keys, everything(Action.RECTIFY)))
    changed = {at for at, row in dump(shop).items() if row != before[at]}
    assert changed == {("order_lines", "101 0"), ("order_lines", "101 1")}
    assert left_alone(receipts) == 2


def test_a_name_that_was_put_right_is_theirs(shop: str) -> None:
    """A repeat finds the row under the name that the person asked for."""
    asked = {"customers": (Correction("email", "anna.neu@shop.example"),)}
    person, postgres = Subject("a", ANNA.identities[:1], asked), connector(shop)
    keys = [k for k in postgres.locate([person], TrialContext()) if k.collection in asked]
    for _ in range(2):
        receipts = list(postgres.rectify([person], keys, everything(Action.RECTIFY)))
        assert not left_alone(receipts)
    assert ("anna.neu@shop.example",) in query(shop, "SELECT email FROM customers")


def test_what_is_somebody_elses_by_now_is_not_restricted(shop: str) -> None:
    """Nor is it freed: its owner's own restriction says what may be done with it."""
    execute(shop, "ALTER TABLE carts ADD restricted boolean NOT NULL DEFAULT false")
    postgres = restricting(shop)
    keys = list(postgres.locate([ANNA], TrialContext()))
    for action, flag in ((Action.RESTRICT, False), (Action.LIFT, True)):
        execute(shop, "UPDATE carts SET email = %s, restricted = %s", [("bert@shop.example", flag)])
        receipts = list(postgres.restrict([ANNA], keys, everything(action)))
        assert left_alone([r for r in receipts if r.collection == "carts"]) == 1
        assert query(shop, "SELECT restricted FROM carts WHERE id = 100") == [(flag,)]


def restricting(dsn: str) -> Postgres:
    """A connector to the shop, whose carts have a flag."""
    mapped = system()
    means = Restriction(RestrictionKind.FLAG, "restricted")
    carts = replace(mapped.collections["carts"], restriction=means)
    return connector(dsn, replace(mapped, collections={**mapped.collections, "carts": carts}))


def everything(action: Action) -> TrialContext:
    """Decisions that say this of every row of the collections concerned, and keep the others."""
    said = {Action.RECTIFY: "order_lines customers", Action.RESTRICT: "carts", Action.LIFT: "carts"}
    tables = {
        name: Rule("default", Always(), action if name in said[action].split() else Action.KEEP)
        for name in system().collections
    }
    return TrialContext(
        tables={name: DecisionTable(name, (rule,)) for name, rule in tables.items()}
    )


def left_alone(receipts: list[Receipt]) -> int:
    """How many rows are told to be somebody else's by now."""
    return sum(o.rows for r in receipts for o in r.outcomes if o.ground == OWNER_CHANGED)
