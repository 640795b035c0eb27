"""The printed grants make a reader and an eraser; the check says what a role has not or too much.

The statements run as the owner of the shop, exactly as they are printed, in a database where nobody
else has any right.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest
from psycopg2 import errors

from connectors.postgres import Postgres
from dsr_worker.contract import (
    Action,
    Always,
    Before,
    Collection,
    Configuration,
    Correction,
    DecisionTable,
    Field,
    Finding,
    Form,
    Grants,
    NeedsHuman,
    Parent,
    Restriction,
    RestrictionKind,
    Rule,
    Severity,
    SweepOrder,
    System,
)
from dsr_worker.testing.context import TrialContext
from tests.contract.postgres_shop import (
    CUTOFF,
    SCHEMA,
    add_customer,
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

OWNER, READER, ERASER = "zq_owner", "dsr_shop_reader", "dsr_shop_eraser"
CASCADING = """
ALTER TABLE order_lines DROP CONSTRAINT order_lines_order_id_fkey;
ALTER TABLE order_lines ADD FOREIGN KEY (order_id) REFERENCES orders ON DELETE CASCADE;
CREATE TABLE suppliers (id int PRIMARY KEY, name text);
ALTER TABLE customers ADD COLUMN scoring int;
"""


@dataclass(frozen=True)
class Shop:
    """The shop's database, as each of its roles connects to it."""

    dsn: str

    def by(self, role: str) -> str:
        """The DSN of a role."""
        return self.dsn.replace("//dsr@", f"//{role}@")

    def granted(self, mapped: System | None = None) -> None:
        """Run the printed statements as the owner."""
        for role in connector(self.by(OWNER), mapped).grants():
            execute(self.by(OWNER), "\n".join(role.statements))

    def checked(self, mapped: System | None = None) -> list[Finding]:
        """What the check says of the two roles, beyond what is in order."""
        made = connector(self.by(ERASER), mapped, reader_dsn=self.by(READER))
        return [f for f in made.check() if f.severity is not Severity.OK]


@pytest.fixture(scope="module")
def owned_database(module_database: str) -> Iterator[str]:
    """One database for the module, and its owner."""
    dsn = module_database
    execute(dsn, f"CREATE ROLE {OWNER} LOGIN CREATEROLE")
    execute(
        dsn,
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I OWNER TO zq_owner',"
        " current_database()); END $$",
    )
    yield dsn
    drop_roles(dsn)
    execute(dsn, f"REASSIGN OWNED BY {OWNER} TO dsr; DROP OWNED BY {OWNER}; DROP ROLE {OWNER}")


def drop_roles(dsn: str) -> None:
    """Take away the roles that the grants made."""
    for (role,) in query(dsn, "SELECT rolname FROM pg_roles WHERE rolname ~ '^dsr_shop_'"):
        execute(dsn, f"DROP OWNED BY {role}; DROP ROLE {role}")


@pytest.fixture
def shop(owned_database: str) -> Shop:
    """The shop's tables as somebody's own, whole roles dropped, nobody else with any right."""
    dsn = owned_database
    execute(dsn, "DROP SCHEMA public CASCADE; DROP SCHEMA IF EXISTS aside CASCADE")
    execute(dsn, f"CREATE SCHEMA public AUTHORIZATION {OWNER}")
    drop_roles(dsn)
    found = Shop(dsn)
    execute(found.by(OWNER), SCHEMA + CASCADING)
    execute(
        found.by(OWNER),
        "DO $$ BEGIN EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC',"
        " current_database()); END $$",
    )
    return found


@pytest.fixture
def granted(shop: Shop) -> Shop:
    """The same with both roles made, and an index for every warning."""
    remedies = [f.remedy for f in connector(shop.by(OWNER)).check()]
    indexes = [r.replace(" CONCURRENTLY", "") for r in remedies if r.startswith("CREATE INDEX")]
    execute(shop.by(OWNER), "\n".join(indexes))
    shop.granted()
    return shop


@pytest.fixture
def peopled(granted: Shop) -> Shop:
    """The same with two customers."""
    add_customer(granted.dsn, 1, "anna@shop.example")
    add_customer(granted.dsn, 2, "bert@shop.example")
    return granted


ANNA = subject("a", email="anna@shop.example", number="1")


def test_the_connector_declares_grants(shop: Shop) -> None:
    """The command line asks by isinstance."""
    assert isinstance(connector(shop.dsn), Grants)


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


TOO_FEW = (
    ("REVOKE SELECT (email) ON customers FROM dsr_shop_eraser", "error", "no SELECT on email"),
    ("REVOKE UPDATE (phone) ON customers FROM dsr_shop_eraser", "warning", "no UPDATE on phone"),
    ("REVOKE UPDATE ON loyalty FROM dsr_shop_eraser", "warning", "masked or put right"),
    ("REVOKE DELETE ON carts FROM dsr_shop_eraser", "warning", "cannot be erased"),
    ("REVOKE SELECT (body) ON reviews FROM dsr_shop_reader", "error", "no SELECT on body"),
    ("REVOKE USAGE ON SCHEMA public FROM dsr_shop_reader", "error", "no USAGE on schema public"),
)


def test_too_few_rights_are_told_with_the_grant_that_mends_them(granted: Shop) -> None:
    """Each right that is taken is one finding; the printed statement, run as it is, ends it."""
    for statement, severity, told in TOO_FEW:
        execute(granted.by(OWNER), statement)
        found = granted.checked()
        assert [(f.severity.value, told in f.message) for f in found] == [(severity, True)], told
        assert found[0].remedy.startswith("GRANT "), statement
        execute(granted.by(OWNER), found[0].remedy)
        assert granted.checked() == [], statement


def test_a_table_of_which_nothing_changes_needs_a_right_to_be_locked(granted: Shop) -> None:
    """Where no field is masked or put right, one column's UPDATE locks the rows."""
    base = system()
    loyalty = base.collections["loyalty"]
    fields = {"card": loyalty.fields["card"]}
    mapped = replace(base, collections={"loyalty": replace(loyalty, fields=fields)})
    granted.granted(mapped)
    execute(granted.by(OWNER), f"REVOKE UPDATE ON loyalty FROM {ERASER}")
    found = [f for f in granted.checked(mapped) if "cannot be locked" in f.message]
    assert [f.severity for f in found] == [Severity.WARNING]
    execute(granted.by(OWNER), found[0].remedy)
    assert not [f for f in granted.checked(mapped) if "no UPDATE" in f.message]


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


def test_a_correction_without_the_right_says_which_is_missing(peopled: Shop) -> None:
    """A kept field is not among the eraser's rights; whoever is asked gets the GRANT."""
    right = {"invoices": (Correction("amount", "7"), Correction("name", "Anna"))}
    anna = replace(ANNA, corrections=right)
    made = connector(peopled.by(ERASER))
    rule = Rule("default", Always(), Action.RECTIFY)
    tables = {name: DecisionTable(name, (rule,)) for name in system().collections}
    ctx, keys = TrialContext(tables=tables), list(made.locate([anna], TrialContext()))
    before = dump(peopled.dsn)
    with pytest.raises(NeedsHuman) as stopped:
        list(made.rectify([anna], keys, ctx))
    assert stopped.value.code == "correction_not_granted"
    assert dump(peopled.dsn) == before
    execute(peopled.by(OWNER), stopped.value.fields["remedy"])
    list(made.rectify([anna], keys, ctx))
    assert query(peopled.dsn, "SELECT amount::text, name FROM invoices WHERE order_id = 100") == [
        ("7", "Anna")
    ]


def test_no_temporary_tables_is_an_error_with_its_grant(granted: Shop) -> None:
    """Without them nothing can be read, and nothing else is told."""
    execute(granted.by(OWNER), _on_database("REVOKE TEMPORARY ON DATABASE %I FROM", ERASER))
    (found,) = granted.checked()
    assert (found.severity, "temporary" in found.message) == (Severity.ERROR, True)
    execute(granted.by(OWNER), found.remedy)
    assert granted.checked() == []


def _on_database(statement: str, role: str) -> str:
    return f"DO $$ BEGIN EXECUTE format('{statement} {role}', current_database()); END $$"


TOO_MANY = (
    (f"ALTER ROLE {ERASER} BYPASSRLS", "BYPASSRLS"),
    (f"ALTER ROLE {ERASER} CREATEROLE", "CREATEROLE"),
    (f"ALTER ROLE {ERASER} CREATEDB", "CREATEDB"),
    (f"ALTER ROLE {ERASER} REPLICATION", "REPLICATION"),
    (_on_database("GRANT CREATE ON DATABASE %I TO", ERASER), "make schemas"),
    (f"GRANT CREATE ON SCHEMA public TO {ERASER}", "make tables in schema public"),
    ("GRANT CREATE ON SCHEMA public TO PUBLIC", "make tables in schema public"),
    (f"GRANT INSERT ON suppliers TO {ERASER}", "may write public.suppliers"),
    (f"GRANT UPDATE (name) ON suppliers TO {ERASER}", "may write public.suppliers"),
    (f"GRANT DELETE ON suppliers TO {READER}", "may write public.suppliers"),
    (f"GRANT INSERT, TRUNCATE ON carts TO {ERASER}", "has INSERT, TRUNCATE on public.carts"),
    (f"GRANT UPDATE ON customers TO {ERASER}", "may UPDATE id, scoring"),
    (f"GRANT UPDATE (email) ON customers TO {READER}", "may UPDATE email of public.customers"),
    (f"GRANT DELETE ON carts TO {READER}", "has DELETE on public.carts"),
)


def test_too_many_rights_are_warned_of_with_what_takes_them(granted: Shop) -> None:
    """The printed statement, run as it is, makes each warning go and takes nothing needed."""
    for statement, told in TOO_MANY:
        execute(granted.dsn, statement)
        found = granted.checked()
        assert found, statement
        for finding in found:
            assert told in finding.message, statement
            assert finding.severity is Severity.WARNING, statement
        for remedy in {f.remedy for f in found}:
            execute(granted.dsn, remedy)
        assert granted.checked() == [], statement


@pytest.mark.parametrize("role", ["dsr", OWNER])
def test_superusers_and_owners_are_warned_of(granted: Shop, role: str) -> None:
    """Whoever may do everything is told so once, with what to do instead."""
    found = [f for f in connector(granted.by(role)).check() if f.severity is Severity.WARNING]
    whole = [f for f in found if "superuser" in f.message or "owns" in f.message]
    assert [f.remedy for f in whole] == [
        "connect by the roles that `dsr connectors grants shop` prints"
    ]


def test_odd_names_are_quoted(shop: Shop) -> None:
    """A table, a column and a schema whose names hold quotes and capitals are granted exactly."""
    execute(
        shop.by(OWNER),
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
    shop.granted(mapped)
    assert shop.checked(mapped) == []
    made = Postgres(mapped, connector(shop.by(READER), mapped).config)
    assert list(made.locate([ANNA], TrialContext())) == []


def test_a_database_that_refuses_prints_nothing(shop: Shop) -> None:
    """Grants of a database that cannot be reached are an error, never half a script."""
    with pytest.raises(Configuration, match="cannot connect"):
        list(connector(shop.by("zq_nobody")).grants())


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


AUDITED = """
CREATE TABLE audit (n serial PRIMARY KEY, email text);
CREATE FUNCTION remember() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
  INSERT INTO audit (email) VALUES ('gone'); RETURN OLD; END$$;
CREATE TRIGGER remember AFTER DELETE ON carts FOR EACH ROW EXECUTE FUNCTION remember();
"""


def test_a_trigger_writes_by_the_printed_rights_where_its_table_is_mapped(shop: Shop) -> None:
    """An invoker's trigger inserts with the eraser's rights: grants print them, the check asks."""
    execute(shop.by(OWNER), AUDITED)
    add_customer(shop.dsn, 1, "anna@shop.example")
    audit = Collection("audit", ("n",), {"n": Field("n", "user")}, source={"table": "audit"})
    mapped = System("shop", "postgres", {**system().collections, "audit": audit})
    shop.granted()
    outside = [f for f in shop.checked() if "trigger remember" in f.message]
    assert outside
    assert all("map the table that it writes to" in f.remedy for f in outside)
    assert all("SECURITY DEFINER" in f.remedy for f in outside)
    assert [f.remedy for f in shop.checked(mapped) if "no INSERT" in f.message]
    shop.granted(mapped)
    found = shop.checked(mapped)
    assert not [f for f in found if "no INSERT" in f.message or "no USAGE" in f.message]
    assert not [f for f in found if "map the table that it writes to" in f.remedy]
    assert not [f for f in found if "which nothing needs" in f.message]
    eraser = connector(shop.by(ERASER), mapped)
    anna = [subject("a", email="anna@shop.example")]
    receipts = eraser.erase(anna, list(eraser.locate(anna, TrialContext())), TrialContext())
    assert outcomes(receipts)["a", "carts", "erased"] == 1
    assert query(shop.dsn, "SELECT email FROM audit") == [("gone",)]
    execute(shop.by(OWNER), "ALTER FUNCTION remember() SECURITY DEFINER")
    found = shop.checked(mapped)
    assert not [f for f in found if "trigger remember" in f.message and "GRANT" in f.remedy]
