"""The Postgres connector erases: all of a person, nothing of anybody else, once."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest

from dsr_worker.contract import (
    Action,
    DecisionTable,
    HeldRows,
    HeldSubjects,
    Key,
    LeaseLost,
    NeededByKept,
    Outcome,
    Permanent,
    Rule,
    Severity,
)
from dsr_worker.testing.context import TrialContext
from tests.contract.postgres_shop import (
    ERASE,
    add_customer,
    connector,
    dump,
    erase,
    execute,
    keep_vouchers,
    others,
    outcomes,
    query,
    subject,
    system,
)


def test_number_zero_is_a_person(shop: str) -> None:
    """A falsy key finds exactly its own rows."""
    add_customer(shop, 0, "zero@shop.example")
    add_customer(shop, 1, "one@shop.example")
    before = dump(shop)
    receipts = erase(shop, [subject("z", number="0", email="zero@shop.example")], TrialContext())
    assert sum(outcomes(receipts).values()) == 13
    assert dump(shop) == others(before, 0)


def test_erasure_leaves_everybody_else_byte_identical(shop: str) -> None:
    """Every row of the person goes, in every table, and no other byte changes."""
    for number, name in enumerate(("anna", "bert", "an_a")):
        add_customer(shop, number, f"{name}@shop.example")
    before = dump(shop)
    person = subject("b", email="bert@shop.example", number="1")
    receipts = erase(shop, [person], TrialContext())
    assert len(receipts) == len(system().collections)
    assert set(outcomes(receipts).values()) == {1, 2, 4}
    assert all(o.outcome is Outcome.ERASED for r in receipts for o in r.outcomes)
    assert dump(shop) == others(before, 1)


def test_many_people_go_a_few_a_transaction_and_a_crash_loses_none(
    shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each person goes whole; after a crash between two, a repeat takes those who are left."""
    monkeypatch.setattr("connectors.postgres.changing.pace._FIRST_ROWS", 10)
    monkeypatch.setattr("connectors.postgres.changing.pace._FEWEST_ROWS", 10)
    monkeypatch.setattr("connectors.postgres.changing.pace._MOST_ROWS", 10)
    people = [subject(str(n), number=str(n), email=f"c{n}@shop.example") for n in range(5)]
    for number in range(6):
        add_customer(shop, number, f"c{number}@shop.example")
    before = dump(shop)

    def third_intent() -> None:
        if len(ctx.intents) == 3:
            raise LeaseLost

    ctx = TrialContext(on_intent=third_intent)
    keys = sorted(connector(shop).locate(people, ctx), key=lambda key: key.subject_ref)
    with pytest.raises(LeaseLost):
        list(connector(shop).erase(people, keys, ctx))
    assert dump(shop) == others(others(before, 0), 1)
    receipts = list(connector(shop).erase(people, keys, TrialContext()))
    for number in range(5):
        before = others(before, number)
    assert dump(shop) == before
    told = Counter((r.subject_ref, o.outcome) for r in receipts for o in r.outcomes)
    assert {ref for ref, outcome in told if outcome is Outcome.ALREADY_GONE} == {"0", "1"}
    assert {ref for ref, outcome in told if outcome is Outcome.ERASED} == {"2", "3", "4"}
    assert Counter(r.subject_ref for r in receipts) == dict.fromkeys(
        "01234", len(system().collections)
    )


def test_people_are_located_alike_however_many_at_once(
    shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each row's key comes once, whether its owner is asked for alone or among all."""
    people = [subject(str(n), number=str(n), email=f"c{n}@shop.example") for n in range(5)]
    for number in range(6):
        add_customer(shop, number, f"c{number}@shop.example")
    together = sorted(map(repr_of, connector(shop).locate(people, TrialContext())))
    monkeypatch.setattr("connectors.postgres.connector._LOCATED_AT_ONCE", 2)
    parted = sorted(map(repr_of, connector(shop).locate(people, TrialContext())))
    assert parted == together
    assert len(set(together)) == len(together) == 5 * 13


def repr_of(key: Key) -> tuple[str, str, tuple[str, ...]]:
    """A key as plain values, to be sorted and compared."""
    return key.subject_ref, key.collection, key.key


def test_a_row_of_two_subjects_is_accounted_for_by_both(shop: str) -> None:
    """Whoever shares a row with somebody of the same call is told of it like the other."""
    add_customer(shop, 1, "anna@shop.example")
    people = [subject("a", number="1"), subject("b", number="1")]
    keys = list(connector(shop).locate(people, TrialContext()))
    receipts = list(connector(shop).erase(people, keys, TrialContext()))
    found = outcomes(receipts)
    assert {outcome for _, _, outcome in found} == {"erased"}
    assert {(name, rows) for (ref, name, _), rows in found.items() if ref == "a"} == {
        (name, rows) for (ref, name, _), rows in found.items() if ref == "b"
    }
    assert sum(found.values()) == len(keys)
    assert query(shop, "SELECT count(*) FROM customers") == [(0,)]


@pytest.mark.parametrize("gone", [False, True])
def test_a_key_that_comes_twice_counts_once(shop: str, *, gone: bool) -> None:
    """Receipts add up to the located rows, though keys come twice and some rows are gone."""
    add_customer(shop, 1, "anna@shop.example")
    person = [subject("a", number="1", email="anna@shop.example")]
    keys = list(connector(shop).locate(person, TrialContext()))
    if gone:
        execute(shop, "DELETE FROM order_lines WHERE order_id = 100")
    receipts = list(connector(shop).erase(person, keys + keys, TrialContext()))
    found = outcomes(receipts)
    assert sum(found.values()) == len(keys)
    assert {outcome for _, _, outcome in found} == {"erased"} | (
        {"already_gone"} if gone else set()
    )
    assert dump(shop) == {}


@pytest.mark.parametrize("dry_run", [False, True])
def test_where_nothing_was_located_the_database_is_not_asked(*, dry_run: bool) -> None:
    """People of whom nothing is there get their receipts, though the server is not even there."""
    ctx = TrialContext(dry_run=dry_run)
    nobody = [subject("a", number="1"), subject("b", number="2")]
    postgres = connector("host=127.0.0.1 port=1 dbname=nowhere")
    receipts = list(postgres.erase(nobody, iter(()), ctx))
    assert {(r.subject_ref, r.collection) for r in receipts} == {
        (ref, name) for ref in "ab" for name in system().collections
    }
    assert len(receipts) == 2 * len(system().collections)
    assert all(o.outcome is Outcome.ABSENT and o.rows == 0 for r in receipts for o in r.outcomes)


def test_tax_rows_stay_masked_with_what_they_need(shop: str) -> None:
    """An invoice inside its period keeps its tax fields; order and customer stay masked for it."""
    add_customer(shop, 1, "anna@shop.example", phone="1", agent="A")
    add_customer(shop, 2, "bert@shop.example")
    before = dump(shop)
    person = subject("a", email="anna@shop.example", number="1")
    ctx = TrialContext(tables=keep_vouchers())
    receipts = erase(shop, [person], ctx)
    found = outcomes(receipts)
    assert found["a", "invoices", "masked"] == 1
    assert found["a", "orders", "masked"] == 1
    assert found["a", "orders", "erased"] == 1
    assert found["a", "customers", "masked"] == 1
    assert found["a", "order_lines", "erased"] == 4
    after = dump(shop)
    assert others(after, 1) == others(before, 1)
    assert "zq1zq" not in str(after)
    assert "anna" not in str(after)
    assert query(shop, "SELECT email, phone, name, agent, profile FROM customers WHERE id = 1") == [
        (
            ctx.pseudonym("a", "anna@shop.example") + "@erased.invalid",
            None,
            "erased",
            None,
            {"size": 4},
        )
    ]
    invoice = next(r for r in receipts if r.collection == "invoices")
    assert invoice.outcomes[0].latest_at == datetime(2024, 3, 2, tzinfo=UTC)
    assert invoice.outcomes[0].ground == "tax"
    assert invoice.outcomes[0].fields == 2
    assert invoice.kept == {ctx.digest("invoices", ("100",))}


def test_an_old_invoice_goes(shop: str) -> None:
    """Outside its period nothing is kept."""
    add_customer(shop, 1, "anna@shop.example", issued="2011-01-01")
    person = subject("a", email="anna@shop.example", number="1")
    erase(shop, [person], TrialContext(tables=keep_vouchers()))
    assert dump(shop) == {}


def test_receipts_add_up_and_name_absence(shop: str) -> None:
    """One receipt for every subject and collection; its outcomes add up to the keys."""
    add_customer(shop, 1, "anna@shop.example")
    people = [subject("a", email="anna@shop.example", number="1"), subject("u", number="77")]
    postgres = connector(shop)
    keys = list(postgres.locate(people, TrialContext()))
    receipts = list(postgres.erase(people, [*keys, keys[0]], TrialContext()))
    located = Counter((k.subject_ref, k.collection) for k in keys)
    assert {(r.subject_ref, r.collection): r.rows for r in receipts} == {
        (p.ref, c): located[p.ref, c] for p in people for c in system().collections
    }
    assert {o.outcome for r in receipts if r.subject_ref == "u" for o in r.outcomes} == {
        Outcome.ABSENT
    }


@pytest.mark.parametrize("tables", [{}, keep_vouchers()])
def test_dry_run_says_what_apply_does(shop: str, tables: dict[str, DecisionTable]) -> None:
    """The same receipts, and nothing changed."""
    add_customer(shop, 1, "anna@shop.example")
    person = [subject("a", email="anna@shop.example", number="1")]
    before = dump(shop)
    dry = erase(shop, person, TrialContext(tables=tables, dry_run=True))
    assert dump(shop) == before
    assert erase(shop, person, TrialContext(tables=tables)) == dry


def test_a_crash_before_the_commit_changes_nothing_and_the_repeat_is_whole(shop: str) -> None:
    """Whoever dies while recording the intent has changed nothing."""
    add_customer(shop, 1, "anna@shop.example")
    person = [subject("a", email="anna@shop.example", number="1")]
    keys = list(connector(shop).locate(person, TrialContext()))
    before = dump(shop)

    def lost() -> None:
        raise LeaseLost

    with pytest.raises(LeaseLost):
        erase(shop, person, TrialContext(on_intent=lost), keys)
    assert dump(shop) == before
    assert sum(outcomes(erase(shop, person, TrialContext(), keys)).values()) == len(keys)
    assert dump(shop) == {}


def test_a_repeat_after_the_commit_finds_everything_done(shop: str) -> None:
    """Erased rows are already gone, masked ones stay as they are."""
    add_customer(shop, 1, "anna@shop.example")
    person = [subject("a", email="anna@shop.example", number="1")]
    keys = list(connector(shop).locate(person, TrialContext()))
    first = erase(shop, person, TrialContext(tables=keep_vouchers()), keys)
    after = dump(shop)
    again = erase(shop, person, TrialContext(tables=keep_vouchers()), keys)
    assert dump(shop) == after
    assert outcomes(again) == {
        (ref, name, "already_gone" if outcome == "erased" else outcome): rows
        for (ref, name, outcome), rows in outcomes(first).items()
        if (name, outcome) != ("orders", "erased")
    } | {("a", "orders", "already_gone"): 1}
    assert sum(o.fields for r in again for o in r.outcomes) == 0
    assert [r.kept for r in again] == [r.kept for r in first]


def test_a_held_subject_keeps_even_a_shared_row(shop: str) -> None:
    """A row of two people stays when one of them is held."""
    add_customer(shop, 1, "anna@shop.example")
    add_customer(shop, 2, "bert@shop.example")
    execute(shop, "UPDATE orders SET guest_email = 'bert@shop.example' WHERE id = 100")
    people = [subject("a", email="anna@shop.example"), subject("b", email="bert@shop.example")]
    before = dump(shop)
    hold = Rule("hold", HeldSubjects(frozenset({"b"})), Action.KEEP, "dispute")
    tables = {
        name: DecisionTable(
            name,
            (
                hold,
                Rule(
                    "needed",
                    NeededByKept(
                        tuple(
                            c.name
                            for c in system().collections.values()
                            if c.parent and c.parent.collection == name
                        )
                    ),
                    Action.KEEP,
                    "needed",
                ),
                ERASE,
            ),
        )
        for name in system().collections
    }
    found = outcomes(erase(shop, people, TrialContext(tables=tables)))
    assert found["a", "orders", "retained"] == 1
    assert found["a", "orders", "erased"] == 1
    assert found["a", "customers", "retained"] == 1
    assert not any(ref == "b" and outcome == "erased" for ref, _, outcome in found)
    kept = {at for at, row in before.items() if at not in dump(shop)}
    assert ("orders", "100") not in kept
    assert ("orders", "200") not in kept


def test_held_rows_stay(shop: str) -> None:
    """A row-set hold keeps the rows with its values."""
    add_customer(shop, 1, "anna@shop.example")
    hold = Rule("hold", HeldRows("article", ("article zq1zq",)), Action.KEEP, "recall")
    needed = Rule("needed", NeededByKept(("order_lines",)), Action.KEEP, "needed")
    above = Rule("needed", NeededByKept(("orders", "reviews")), Action.KEEP, "needed")
    tables = {
        "order_lines": DecisionTable("order_lines", (hold, ERASE)),
        "orders": DecisionTable("orders", (needed, ERASE)),
        "customers": DecisionTable("customers", (above, ERASE)),
    }
    found = outcomes(
        erase(shop, [subject("a", email="anna@shop.example")], TrialContext(tables=tables))
    )
    assert found["a", "order_lines", "retained"] == 4
    assert found["a", "orders", "retained"] == 2
    assert found["a", "invoices", "erased"] == 1


def test_a_child_that_appeared_since_makes_the_erasure_fail_whole(shop: str) -> None:
    """A reference that nobody planned for rolls everything back and names no value."""
    add_customer(shop, 1, "anna@shop.example")
    person = [subject("a", email="anna@shop.example", number="1")]
    keys = list(connector(shop).locate(person, TrialContext()))
    execute(shop, "INSERT INTO orders VALUES (199, 1, 'late', 1, NULL, now())")
    before = dump(shop)
    with pytest.raises(Permanent, match="23503") as raised:
        erase(shop, person, TrialContext(), keys)
    assert raised.value.__cause__ is None
    assert dump(shop) == before


def test_a_cascade_beyond_the_plan_is_refused(shop: str) -> None:
    """ON DELETE CASCADE into a table outside the map: an error of the check, and no erasure."""
    add_customer(shop, 1, "anna@shop.example")
    execute(
        shop,
        "CREATE TABLE logins (id int PRIMARY KEY,"
        " customer_id bigint REFERENCES customers ON DELETE CASCADE);"
        " INSERT INTO logins VALUES (1, 1)",
    )
    with pytest.raises(Permanent, match="CASCADE"):
        erase(shop, [subject("a", email="anna@shop.example", number="1")], TrialContext())
    assert query(shop, "SELECT count(*) FROM customers") == [(1,)]
    errors = [f for f in connector(shop).check() if f.severity is Severity.ERROR]
    assert ["logins" in f.message for f in errors] == [True]


def test_a_row_that_resists_rolls_everything_back(shop: str) -> None:
    """A trigger that keeps a row silently must not pass for an erasure."""
    add_customer(shop, 1, "anna@shop.example")
    execute(
        shop,
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        " CREATE TRIGGER keep BEFORE DELETE ON loyalty FOR EACH ROW EXECUTE FUNCTION keep()",
    )
    before = dump(shop)
    with pytest.raises(Permanent, match="loyalty"):
        erase(shop, [subject("a", email="anna@shop.example", number="1")], TrialContext())
    assert dump(shop) == before


def test_recheck_sees_orphans_and_located_rows(shop: str) -> None:
    """Verification looks by key and by every identity, never along the references that were cut."""
    add_customer(shop, 1, "anna@shop.example")
    person = [subject("a", email="anna@shop.example", number="1")]
    postgres = connector(shop)
    keys = list(postgres.locate(person, TrialContext()))
    ctx = TrialContext(second_path=True)
    assert sorted(map(_key, postgres.recheck(person, keys, ctx))) == sorted(map(_key, keys))
    erase(shop, person, TrialContext(), keys)
    assert list(postgres.recheck(person, keys, ctx)) == []
    execute(
        shop,
        "ALTER TABLE reviews DROP CONSTRAINT reviews_customer_id_fkey;"
        " INSERT INTO reviews VALUES (5, 1, NULL, 'late')",
    )
    assert [_key(k) for k in postgres.recheck(person, keys, ctx)] == [("a", "reviews", ("5",))]


def _key(key: Key) -> tuple[str, str, tuple[str, ...]]:
    return key.subject_ref, key.collection, key.key
