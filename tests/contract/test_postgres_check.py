"""The check of a Postgres system: indexes, plans, encryption, copies and loose references."""

from __future__ import annotations

import pytest

from connectors.postgres.server.reaching import judged
from dsr_worker.contract import Finding, NeedsHuman, Severity
from dsr_worker.testing.context import TrialContext
from tests.contract.postgres_shop import add_customer, connector, emptied, erase, execute, subject

ROWS = 120_000
ANNA = subject("a", email="anna@shop.example", number="1")
SECOND = TrialContext(second_path=True)


@pytest.fixture
def shop(module_database: str) -> str:
    """The shop's tables, with an index for every finding that names one."""
    emptied(module_database)
    for finding in connector(module_database).check():
        if finding.remedy.startswith("CREATE INDEX"):
            execute(module_database, finding.remedy)
    return module_database


def checked(dsn: str) -> list[Finding]:
    """What is not in order, but for the superuser by whom these tests connect."""
    found = connector(dsn).check()
    return [f for f in found if f.severity is not Severity.OK and "superuser" not in f.message]


# ---- indexes and plans


def test_a_foreign_key_without_an_index_is_told_of_any_table(shop: str) -> None:
    """Each erased row would read the whole table that refers to it, mapped or not."""
    execute(
        shop,
        "DROP INDEX reviews_answers_idx;"
        " CREATE TABLE visits (id int PRIMARY KEY, cart_id bigint REFERENCES carts)",
    )
    found = {(f.subject, f.remedy): f for f in checked(shop) if "each erased row" in f.message}
    assert [what for what, f in found.items() if f.severity is Severity.WARNING] == [
        ("reviews", 'CREATE INDEX CONCURRENTLY ON "public"."reviews" ("answers");'),
        ("carts", 'CREATE INDEX CONCURRENTLY ON "public"."visits" ("cart_id");'),
    ]
    for _, remedy in found:
        execute(shop, remedy)
    assert not [f for f in checked(shop) if "each erased row" in f.message]


def test_a_big_table_without_an_index_on_its_foreign_key_is_an_error(shop: str) -> None:
    """From 100,000 rows on that is no advice any more: the check fails."""
    execute(shop, "CREATE TABLE visits (id int PRIMARY KEY, cart_id bigint REFERENCES carts)")
    execute(shop, "INSERT INTO visits SELECT generate_series(1, %s)", [(ROWS,)])
    execute(shop, "ANALYZE visits")
    (found,) = [f for f in checked(shop) if f.severity is Severity.ERROR]
    assert f"about {ROWS:,} rows" in found.message
    execute(shop, found.remedy)
    assert not [f for f in checked(shop) if f.severity is Severity.ERROR]


def test_an_index_of_a_partitioned_table_is_made_as_the_server_can(shop: str) -> None:
    """CONCURRENTLY is refused there, so the printed statement leaves it out."""
    execute(
        shop,
        "CREATE TABLE visits (id int, cart_id bigint REFERENCES carts) PARTITION BY RANGE (id);"
        " CREATE TABLE visits_1 PARTITION OF visits FOR VALUES FROM (0) TO (9)",
    )
    (found,) = [f for f in checked(shop) if "each erased row" in f.message]
    execute(shop, found.remedy)
    assert not [f for f in checked(shop) if "each erased row" in f.message]


def test_sequential_scans_of_big_tables_are_seen_in_the_plan(shop: str) -> None:
    """An index that the names of columns promise and the server cannot use: EXPLAIN tells."""
    execute(
        shop,
        "SET session_replication_role = replica; INSERT INTO orders SELECT n, n, 'n', 1, NULL,"
        " now() FROM generate_series(1, %s) n; ANALYZE orders",
        [(ROWS,)],
    )
    assert not [f for f in checked(shop) if "reads all" in f.message]
    execute(
        shop,
        "DROP INDEX orders_customer_id_idx;"
        " CREATE INDEX ON orders (customer_id) WHERE customer_id < 0",
    )
    (found,) = [f for f in checked(shop) if "reads all" in f.message]
    assert (found.subject, found.severity) == ("orders", Severity.WARNING)
    assert found.message.startswith("finding reads all of public.orders, about 120,000 rows")
    assert "ANALYZE" in found.remedy


def test_explaining_reads_locks_and_changes_nothing(shop: str) -> None:
    """The plans are those of an erasure, and no row is touched for them."""
    add_customer(shop, 1, "anna@shop.example")
    execute(
        shop,
        "INSERT INTO carts SELECT -n, 'x', '{}', now() FROM generate_series(1, 120000) n;"
        " ANALYZE carts;"
        " CREATE FUNCTION never() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'touched'; END $$;"
        " CREATE TRIGGER never BEFORE UPDATE OR DELETE ON carts"
        " FOR EACH STATEMENT EXECUTE FUNCTION never()",
    )
    assert not [f for f in checked(shop) if f.severity is Severity.ERROR]


def test_a_small_table_without_an_index_is_no_warning(shop: str) -> None:
    """Hundreds of rows are read as fast without one: told, not warned of, and once a column."""
    execute(shop, "DROP INDEX carts_touched_at_idx; DROP INDEX orders_customer_id_idx")
    told = [f for f in connector(shop).check() if "no index" in f.message]
    assert [(f.subject, f.severity) for f in told] == [
        ("orders", Severity.OK),
        ("carts", Severity.OK),
    ]
    execute(
        shop,
        "INSERT INTO carts SELECT -n, 'x', '{}', now() FROM generate_series(1, 1500) n;"
        " ANALYZE carts",
    )
    assert [f.subject for f in checked(shop) if "no index" in f.message] == ["carts"]


# ---- encryption


@pytest.mark.parametrize(
    ("host", "sslmode", "encrypted", "told"),
    [
        ("", "prefer", False, None),
        ("/var/run/postgresql", "prefer", False, None),
        ("127.0.0.1", "disable", False, None),
        ("::1", "disable", False, None),
        ("localhost", "disable", False, None),
        ("db.shop.example", "prefer", False, "in the clear"),
        ("10.0.0.5", "disable", False, "in the clear"),
        ("db.shop.example", "require", True, "nobody checks"),
        ("10.0.0.5", "prefer", True, "nobody checks"),
        ("db.shop.example", "verify-full", True, None),
        ("db.shop.example", "verify-ca", True, None),
    ],
)
def test_what_travels_in_the_clear_is_warned_of(
    host: str, sslmode: str, told: str | None, *, encrypted: bool
) -> None:
    """Another machine is reached encrypted and by its certificate; within this one nothing asks."""
    found = list(judged("shop", "dsn", host, sslmode, encrypted=encrypted))
    assert [told in f.message for f in found if told] == ([True] if told else [])
    assert all("verify-full" in f.remedy for f in found)
    assert len(found) == (told is not None)


def test_a_socket_needs_no_encryption(shop: str) -> None:
    """The connection itself is asked, and this one leaves no machine."""
    assert not [f for f in checked(shop) if "encrypted" in f.message]


# ---- copies


def test_materialised_views_over_mapped_tables_are_reported(shop: str) -> None:
    """Also where a plain view lies in between; with what makes them anew."""
    execute(
        shop,
        "CREATE VIEW latest AS SELECT * FROM orders;"
        " CREATE MATERIALIZED VIEW totals AS SELECT customer_id, sum(total) FROM latest GROUP BY 1;"
        " CREATE UNIQUE INDEX ON totals (customer_id);"
        " CREATE MATERIALIZED VIEW constants AS SELECT 1 AS one",
    )
    (found,) = [f for f in checked(shop) if "materialised" in f.message]
    assert "public.totals" in found.message
    statement = found.remedy.rpartition(": ")[2]
    assert statement == "REFRESH MATERIALIZED VIEW public.totals;"
    execute(shop, statement)
    refreshing = connector(shop, refresh_views=True).check()
    assert not [f for f in refreshing if "materialised" in f.message]


# ---- loose references


def test_columns_that_look_like_references_are_warned_of(shop: str) -> None:
    """No foreign key, not in the map, and called like those that are: nobody would look there."""
    execute(
        shop,
        "CREATE TABLE logins (at timestamptz, customer_id bigint);"
        " CREATE TABLE parcels (order_id text); CREATE TABLE colours (id int, name text);"
        " CREATE VIEW seen AS SELECT customer_id FROM logins",
    )
    found = {f.subject: f for f in checked(shop) if "looks like a reference" in f.message}
    assert {name: f.message.partition(" ")[0] for name, f in found.items()} == {
        "customers": "public.logins.customer_id",
        "orders": "public.parcels.order_id",
    }


def test_an_unmapped_orphan_stops_the_verification(shop: str) -> None:
    """A row outside the map that names an erased customer: a human is told where, and no value."""
    add_customer(shop, 1, "anna@shop.example")
    add_customer(shop, 2, "bert@shop.example")
    execute(
        shop,
        "CREATE TABLE logins (at timestamptz, customer_id bigint);"
        " INSERT INTO logins VALUES (now(), 2), (now(), NULL);"
        " CREATE TABLE parcels (order_id text); INSERT INTO parcels VALUES ('200'), ('1e2')",
    )
    postgres = connector(shop)
    keys = list(postgres.locate([ANNA], TrialContext()))
    erase(shop, [ANNA], TrialContext(), keys)
    assert list(postgres.recheck([ANNA], keys, SECOND)) == []
    execute(
        shop, "INSERT INTO logins VALUES (now(), 1), (now(), 1); INSERT INTO parcels VALUES ('101')"
    )
    with pytest.raises(NeedsHuman) as raised:
        list(postgres.recheck([ANNA], keys, SECOND))
    places = ["public.logins.customer_id", "public.parcels.order_id"]
    assert raised.value.code == "unmapped_rows_left"
    assert raised.value.fields == {"places": places, "rows": 3}
    execute(shop, "DELETE FROM logins WHERE customer_id = 1; DELETE FROM parcels")
    assert list(postgres.recheck([ANNA], keys, SECOND)) == []


@pytest.mark.parametrize("number", [0, -7])
def test_orphans_of_falsy_keys_are_found(shop: str, number: int) -> None:
    """Zero and negative numbers are keys like any other."""
    execute(shop, "INSERT INTO customers VALUES (%s, 'zero@shop.example')", [(number,)])
    zero = subject("z", email="zero@shop.example")
    execute(shop, "CREATE TABLE logins (customer_id int)")
    execute(shop, "INSERT INTO logins VALUES (%s)", [(number,)])
    postgres = connector(shop)
    keys = list(postgres.locate([zero], TrialContext()))
    erase(shop, [zero], TrialContext(), keys)
    with pytest.raises(NeedsHuman):
        list(postgres.recheck([zero], keys, SECOND))


def test_a_row_that_stays_has_no_orphans(shop: str) -> None:
    """What refers to a row that is still there is no orphan: only the row itself is told."""
    add_customer(shop, 1, "anna@shop.example")
    execute(shop, "CREATE TABLE logins (customer_id bigint); INSERT INTO logins VALUES (1)")
    postgres = connector(shop)
    keys = list(postgres.locate([ANNA], TrialContext()))
    assert len(list(postgres.recheck([ANNA], keys, SECOND))) == len(keys)


def test_orphans_two_levels_below_are_found_by_the_located_keys(shop: str) -> None:
    """A line of an erased order carries no name of anybody; the order's key still finds it."""
    add_customer(shop, 1, "anna@shop.example")
    postgres = connector(shop)
    keys = list(postgres.locate([ANNA], TrialContext()))
    erase(shop, [ANNA], TrialContext(), keys)
    execute(
        shop,
        "ALTER TABLE order_lines DROP CONSTRAINT order_lines_order_id_fkey;"
        " INSERT INTO order_lines VALUES (101, 9, 'late'), (999, 1, 'of nobody')",
    )
    left = list(postgres.recheck([ANNA], keys, SECOND))
    assert [(k.subject_ref, k.collection, k.key) for k in left] == [
        ("a", "order_lines", ("101", "9"))
    ]


# ---- names that nobody is found by


@pytest.mark.parametrize(
    "stored", [" carol@x.example", "carol@x.example\n", "carol@x.example\u00a0"]
)
def test_blanks_around_stored_names_are_told(shop: str, stored: str) -> None:
    """By such a name nobody is found: the field is told, and no value of it."""
    add_customer(shop, 1, "anna@shop.example")
    execute(shop, "UPDATE carts SET email = ''; UPDATE orders SET guest_email = ' '")
    assert not [f for f in checked(shop) if "blanks" in f.message]
    add_customer(shop, 2, stored)
    found = [f for f in checked(shop) if "blanks" in f.message]
    assert [f.subject for f in found] == ["customers.email", "carts.email"]
    assert "carol" not in str(found)
    execute(
        shop, "UPDATE customers SET email = btrim(email, E' \\n\u00a0'); DELETE FROM cart_items"
    )
    execute(shop, "DELETE FROM carts")
    assert not [f for f in checked(shop) if "blanks" in f.message]
