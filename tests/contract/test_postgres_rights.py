"""The check says what a role has not, with the GRANT that mends it, and what it has too much."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dsr_worker.contract import (
    Action,
    Always,
    Collection,
    Correction,
    DecisionTable,
    Field,
    NeedsHuman,
    Rule,
    Severity,
    System,
)
from dsr_worker.testing.context import TrialContext
from tests.contract.postgres_roles import ANNA, ERASER, OWNER, READER, Shop
from tests.contract.postgres_shop import (
    add_customer,
    connector,
    dump,
    execute,
    outcomes,
    query,
    subject,
    system,
)

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


AUDITED = """
CREATE TABLE audit (n serial PRIMARY KEY, email text);
CREATE FUNCTION remember() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
  INSERT INTO audit (email) VALUES ('gone'); RETURN OLD; END$$;
CREATE TRIGGER remember AFTER DELETE ON carts FOR EACH ROW EXECUTE FUNCTION remember();
"""


def test_a_trigger_writes_by_the_printed_rights_where_its_table_is_mapped(owned_shop: Shop) -> None:
    """An invoker's trigger inserts with the eraser's rights: grants print them, the check asks."""
    execute(owned_shop.by(OWNER), AUDITED)
    add_customer(owned_shop.dsn, 1, "anna@shop.example")
    audit = Collection("audit", ("n",), {"n": Field("n", "user")}, source={"table": "audit"})
    mapped = System("shop", "postgres", {**system().collections, "audit": audit})
    owned_shop.granted()
    outside = [f for f in owned_shop.checked() if "trigger remember" in f.message]
    assert outside
    assert all("map the table that it writes to" in f.remedy for f in outside)
    assert all("SECURITY DEFINER" in f.remedy for f in outside)
    assert [f.remedy for f in owned_shop.checked(mapped) if "no INSERT" in f.message]
    owned_shop.granted(mapped)
    found = owned_shop.checked(mapped)
    assert not [f for f in found if "no INSERT" in f.message or "no USAGE" in f.message]
    assert not [f for f in found if "map the table that it writes to" in f.remedy]
    assert not [f for f in found if "which nothing needs" in f.message]
    eraser = connector(owned_shop.by(ERASER), mapped)
    anna = [subject("a", email="anna@shop.example")]
    receipts = eraser.erase(anna, list(eraser.locate(anna, TrialContext())), TrialContext())
    assert outcomes(receipts)["a", "carts", "erased"] == 1
    assert query(owned_shop.dsn, "SELECT email FROM audit") == [("gone",)]
    execute(owned_shop.by(OWNER), "ALTER FUNCTION remember() SECURITY DEFINER")
    found = owned_shop.checked(mapped)
    assert not [f for f in found if "trigger remember" in f.message and "GRANT" in f.remedy]
