"""The printed grants make a reader and an eraser, and each can do its work and no more.

The statements run as the owner of the shop, exactly as they are printed, in a database where nobody
else has any right.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from psycopg2 import errors

from connectors.postgres import Postgres
from dsr_worker.contract import (
    Action,
    Always,
    Before,
    Configuration,
    DecisionTable,
    Field,
    Form,
    Grants,
    Parent,
    Restriction,
    RestrictionKind,
    Rule,
    Severity,
    SweepOrder,
    System,
)
from dsr_worker.testing.context import TrialContext
from tests.contract.postgres_roles import ANNA, ERASER, OWNER, READER, Shop
from tests.contract.postgres_shop import (
    CUTOFF,
    connector,
    dump,
    execute,
    keep_vouchers,
    others,
    outcomes,
    query,
    subject,
    system,
)


def test_the_connector_declares_grants(owned_shop: Shop) -> None:
    """The command line asks by isinstance."""
    assert isinstance(connector(owned_shop.dsn), Grants)


def test_the_two_roles_pass_the_strict_check(granted: Shop) -> None:
    """What is printed is enough and not too much; running it again changes nothing."""
    assert granted.checked() == []
    granted.granted()
    assert granted.checked() == []


def test_the_reader_finds_everything_and_can_change_nothing(peopled: Shop) -> None:
    """Records, keys, contacts, links, mentions and verification; every writing statement fails."""
    mine, ctx = connector(peopled.by(READER)), TrialContext()
    whole = connector(peopled.dsn)
    assert sorted(mine.find([ANNA], ctx), key=repr) == sorted(whole.find([ANNA], ctx), key=repr)
    blocks = list(mine.find_blocks([ANNA], ctx))
    assert sorted(blocks, key=repr) == sorted(whole.find_blocks([ANNA], ctx), key=repr) != []
    keys = list(mine.locate([ANNA], ctx))
    assert keys == list(whole.locate([ANNA], ctx))
    assert list(mine.contacts([ANNA], ctx)) == list(whole.contacts([ANNA], ctx)) != []
    assert list(mine.resolve([ANNA], ctx)) == list(whole.resolve([ANNA], ctx)) != []
    assert list(mine.mentions([ANNA], ctx)) == []
    again = TrialContext(second_path=True)
    assert sorted(mine.recheck([ANNA], keys, again), key=repr) == sorted(keys, key=repr)
    before = dump(peopled.dsn)
    for collection in system().collections.values():
        table, field = collection.name, next(iter(collection.fields))
        for statement in (
            "UPDATE a_table SET a_field = a_field",
            "DELETE FROM a_table",
            "INSERT INTO a_table DEFAULT VALUES",
            "TRUNCATE a_table CASCADE",
            "SELECT a_field FROM a_table FOR UPDATE",
        ):
            asked = statement.replace("a_table", table).replace("a_field", field)
            assert _denied(peopled.by(READER), asked), asked
    with pytest.raises(Configuration, match="42501"):
        list(mine.erase([ANNA], keys, ctx))
    assert dump(peopled.dsn) == before


def test_the_eraser_erases_masks_and_cascades_as_the_owner_would(peopled: Shop) -> None:
    """A whole erasure with kept vouchers: the same outcomes and rows as without any limits."""
    made = connector(peopled.by(ERASER), reader_dsn=peopled.by(READER))
    before, ctx = dump(peopled.dsn), TrialContext(tables=keep_vouchers())
    keys = list(made.locate([ANNA], ctx))
    found = outcomes(made.erase([ANNA], keys, ctx))
    assert found["a", "invoices", "masked"] == 1
    assert found["a", "orders", "masked"] == 1
    assert found["a", "customers", "masked"] == 1
    assert found["a", "order_lines", "erased"] == 4
    after = dump(peopled.dsn)
    assert others(after, 1) == others(before, 1)
    assert "zq1zq" not in after["customers", "1"]
    kept = {("customers", ("1",)), ("orders", ("100",)), ("invoices", ("100",))}
    left = made.recheck([ANNA], keys, TrialContext(second_path=True))
    assert {(k.collection, k.key) for k in left} == kept
    bert = subject("b", email="bert@shop.example", number="2")
    made.erase([bert], (), TrialContext())
    keys = list(made.locate([bert], TrialContext()))
    assert outcomes(made.erase([bert], keys, TrialContext())) == {
        ("b", name, "erased"): rows
        for name, rows in {
            "customers": 1, "orders": 2, "order_lines": 4, "invoices": 1, "reviews": 2,
            "loyalty": 1, "carts": 1, "cart_items": 1,
        }.items()
    }  # fmt: skip


def test_the_eraser_sweeps(peopled: Shop) -> None:
    """Rows are picked by address, which takes a right of its own."""
    limit = Rule("limit", Before("touched_at", CUTOFF.replace(year=2027)), Action.ERASE, "old")
    order = SweepOrder("carts", DecisionTable("carts", (limit,)), 10)
    ctx = TrialContext(tables={"carts": order.table})
    counted = outcomes(connector(peopled.by(ERASER)).sweep([order], replace(ctx, dry_run=True)))
    assert counted == {(None, "carts", "erased"): 2, (None, "cart_items", "erased"): 2}
    assert outcomes(connector(peopled.by(ERASER)).sweep([order], ctx)) == counted


def test_the_eraser_can_change_nothing_outside_the_map(granted: Shop) -> None:
    """Other tables, other columns, other statements: the server refuses each."""
    for statement in (
        "UPDATE customers SET id = 9",
        "UPDATE orders SET customer_id = 2",
        "UPDATE customers SET scoring = 1",
        "SELECT scoring FROM customers",
        "SELECT * FROM customers",
        "UPDATE invoices SET amount = 0",
        "INSERT INTO orders (id) VALUES (7)",
        "TRUNCATE carts CASCADE",
        "SELECT * FROM suppliers",
        "DELETE FROM suppliers",
        "CREATE TABLE public.mine (id int)",
        "CREATE SCHEMA mine",
        "DROP TABLE carts",
        "ALTER TABLE carts DISABLE TRIGGER ALL",
        "ALTER TABLE carts ADD COLUMN more int",
        f"ALTER ROLE {ERASER} SUPERUSER",
        f"SET ROLE {OWNER}",
    ):
        assert _denied(granted.by(ERASER), statement), statement


def _denied(dsn: str, statement: str) -> bool:
    try:
        execute(dsn, statement)
    except errors.InsufficientPrivilege:
        return True
    return False


def test_row_security_gets_a_policy_and_nothing_hides(peopled: Shop) -> None:
    """Row security stops the role unless it is obeyed; then policies that hide rows are told."""
    execute(peopled.by(OWNER), "ALTER TABLE reviews ENABLE ROW LEVEL SECURITY")
    (refused,) = peopled.checked()
    assert (refused.subject, refused.severity) == ("reviews", Severity.ERROR)
    made = connector(peopled.by(ERASER), reader_dsn=peopled.by(READER), obey_row_security=True)
    found = [f for f in made.check() if f.severity is not Severity.OK]
    assert {(f.subject, f.severity) for f in found} == {("reviews", Severity.WARNING)}
    assert all("row security" in f.message for f in found)
    peopled.granted()
    assert [f for f in made.check() if f.severity is not Severity.OK] == []
    keys = list(made.locate([ANNA], TrialContext()))
    assert ("a", "reviews", "erased") in outcomes(made.erase([ANNA], keys, TrialContext()))


MEANS = """
CREATE SCHEMA aside;
CREATE TABLE aside.loyalty (LIKE loyalty INCLUDING ALL);
CREATE TABLE blocks (id serial PRIMARY KEY, review_id bigint UNIQUE REFERENCES reviews);
CREATE VIEW free_reviews AS SELECT * FROM reviews r
  WHERE NOT EXISTS (SELECT FROM blocks b WHERE b.review_id = r.id);
"""


def restricting() -> System:
    """The shop with a means of each kind."""
    collections = dict(system().collections)
    for name, means in (
        ("customers", Restriction(RestrictionKind.FLAG, "scoring", "-1", None)),
        ("loyalty", Restriction(RestrictionKind.MOVE, collection="aside")),
        ("reviews", Restriction(RestrictionKind.LIST, collection="blocks")),
    ):
        collections[name] = replace(collections[name], restriction=means)
    collections["aside"] = replace(
        system().collections["loyalty"],
        name="aside",
        source={"schema": "aside", "table": "loyalty"},
    )
    collections["blocks"] = replace(
        system().collections["reviews"],
        name="blocks",
        fields={name: Field(name, "system") for name in ("id", "review_id")},
        parent=Parent("reviews", {"review_id": "id"}),
        source={"table": "blocks"},
    )
    return replace(system(), collections=collections)


def test_the_eraser_restricts_and_puts_right_by_the_printed_grants(peopled: Shop) -> None:
    """A means of each kind and a correction: enough rights, none too many, all of it comes back."""
    execute(peopled.by(OWNER), MEANS)
    mapped = restricting()
    told = {f.message.split(":")[0] for f in peopled.checked(mapped)}
    assert any("no INSERT on" in message for message in told)
    assert any("no USAGE on schema aside" in message for message in told)
    peopled.granted(mapped)
    assert peopled.checked(mapped) == []
    made = connector(peopled.by(ERASER), mapped, reader_dsn=peopled.by(READER))
    before = dump(peopled.dsn)
    keys = list(made.locate([ANNA], TrialContext()))
    kept = Rule("default", Always(), Action.KEEP, "no_means")
    for action in (Action.RESTRICT, Action.LIFT):
        rule = Rule("default", Always(), action)
        tables = {
            name: DecisionTable(name, (rule if c.restriction else kept,))
            for name, c in mapped.collections.items()
        }
        looking = TrialContext(tables=tables, dry_run=True, second_path=True)
        assert sum(o.fields for r in made.restrict([ANNA], keys, looking) for o in r.outcomes) == 4
        list(made.restrict([ANNA], keys, TrialContext(tables=tables)))
        assert sum(o.fields for r in made.restrict([ANNA], keys, looking) for o in r.outcomes) == 0
        assert (dump(peopled.dsn) == before) is (action is Action.LIFT)
    for statement in ("INSERT INTO blocks (id) VALUES (1)", "INSERT INTO orders (id) VALUES (1)"):
        assert _denied(peopled.by(ERASER), statement), statement
    execute(peopled.by(OWNER), f"REVOKE USAGE ON SEQUENCE blocks_id_seq FROM {ERASER}")
    (finding,) = peopled.checked(mapped)
    execute(peopled.by(OWNER), finding.remedy)
    assert peopled.checked(mapped) == []


def test_odd_names_are_quoted(owned_shop: Shop) -> None:
    """A table, a column and a schema whose names hold quotes and capitals are granted exactly."""
    execute(
        owned_shop.by(OWNER),
        'CREATE SCHEMA "My""Own"; CREATE TABLE "My""Own"."Gäste; --" ("I""d" int PRIMARY KEY,'
        ' "E mail" text); CREATE INDEX ON "My""Own"."Gäste; --" ("E mail")',
    )
    base = system()
    carts = base.collections["carts"]
    odd = replace(
        carts,
        name="guests",
        key=('I"d',),
        fields={n: replace(carts.fields["id"], name=n) for n in ('I"d', "E mail")},
        takes={"customer_number": replace(carts.takes["email"], field="E mail", form=Form.EXACT)},
        clocks={},
        source={"schema": 'My"Own', "table": "Gäste; --"},
    )
    mapped = replace(base, collections={"guests": odd})
    owned_shop.granted(mapped)
    assert owned_shop.checked(mapped) == []
    made = Postgres(mapped, connector(owned_shop.by(READER), mapped).config)
    assert list(made.locate([ANNA], TrialContext())) == []


def test_a_database_that_refuses_prints_nothing(owned_shop: Shop) -> None:
    """Grants of a database that cannot be reached are an error, never half a script."""
    with pytest.raises(Configuration, match="cannot connect"):
        list(connector(owned_shop.by("zq_nobody")).grants())


def test_the_eraser_sees_which_rows_outside_the_map_need_a_mapped_one(peopled: Shop) -> None:
    """Of a table that is not mapped the eraser reads the foreign key; the check asks for it."""
    execute(
        peopled.by(OWNER),
        "CREATE TABLE pins (id int PRIMARY KEY, secret text, cart_id bigint REFERENCES carts);"
        " CREATE INDEX ON pins (cart_id); INSERT INTO pins VALUES (1, 'zq', 100)",
    )
    assert any("pins" in f.remedy for f in peopled.checked() if f.severity is Severity.ERROR)
    peopled.granted()
    keep = Rule("default", Always(), Action.KEEP, "not_due")
    cutoff = datetime(2030, 1, 1, tzinfo=UTC)
    limit = Rule("limit", Before("touched_at", cutoff), Action.ERASE, "house")
    order = SweepOrder("carts", DecisionTable("carts", (limit, keep)), 10)
    list(connector(peopled.by(ERASER)).sweep([order], TrialContext(tables={"carts": order.table})))
    assert query(peopled.dsn, "SELECT id FROM carts") == [(100,)]
    with pytest.raises(errors.InsufficientPrivilege):
        query(peopled.by(ERASER), "SELECT secret FROM pins")
    with pytest.raises(errors.InsufficientPrivilege):
        execute(peopled.by(ERASER), "DELETE FROM pins")
