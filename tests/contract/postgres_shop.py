"""A small shop for trying the Postgres connector: schema, data map, people, dumps.

In: a database's DSN. Out: tables with hostile names, keys and neighbours, and plain reads of all
of it that owe nothing to the connector.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with a small name
from psycopg2.sql import SQL, Identifier
from pydantic import SecretStr

from connectors.postgres import Postgres, PostgresConfig
from dsr_worker.contract import (
    Action,
    Always,
    Collection,
    DecisionTable,
    Field,
    Form,
    Identity,
    Key,
    Mask,
    MaskKind,
    NeededByKept,
    Parent,
    Receipt,
    Rule,
    Since,
    Subject,
    System,
    Taken,
)
from dsr_worker.testing.context import TrialContext
from tests.services import Databases

SCHEMA = """
CREATE TABLE customers (
  id bigint PRIMARY KEY, email text UNIQUE NOT NULL, phone text, name varchar(80), country char(2),
  profile jsonb, agent text, created_at timestamptz, last_seen_at timestamptz);
CREATE TABLE orders (
  id bigint PRIMARY KEY, customer_id bigint REFERENCES customers, note text, total numeric(12, 2),
  guest_email text, placed_at timestamptz);
CREATE INDEX ON orders (customer_id);
CREATE TABLE order_lines (
  order_id bigint REFERENCES orders, line int, article text, PRIMARY KEY (order_id, line));
CREATE TABLE invoices (
  id bigint PRIMARY KEY, order_id bigint REFERENCES orders, name text, email text, amount numeric,
  issued_on date);
CREATE INDEX ON invoices (order_id);
CREATE TABLE reviews (
  id bigint PRIMARY KEY, customer_id bigint REFERENCES customers, answers bigint REFERENCES reviews,
  body text);
CREATE INDEX ON reviews (customer_id);
CREATE TABLE loyalty (customer_id bigint, points int, card uuid PRIMARY KEY);
CREATE INDEX ON loyalty (customer_id);
CREATE TABLE carts (id bigint PRIMARY KEY, email text, content json, touched_at timestamptz);
CREATE INDEX ON carts (touched_at);
CREATE TABLE cart_items (id bigint PRIMARY KEY, cart_id bigint REFERENCES carts, article text);
CREATE INDEX ON cart_items (cart_id);
"""

NOTHING = """
DO $$ DECLARE name name; BEGIN
  FOR name IN SELECT nspname FROM pg_namespace
    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
  LOOP EXECUTE format('DROP SCHEMA %I CASCADE', name); END LOOP;
END $$;
CREATE SCHEMA public;
"""

NULL, TOMBSTONE = Mask(MaskKind.NULL), Mask(MaskKind.TOMBSTONE)
PSEUDONYM, ERASED = Mask(MaskKind.PSEUDONYM), Mask(MaskKind.CONSTANT, "erased")
ERASE = Rule("default", Always(), Action.ERASE)
CUTOFF = datetime(2018, 1, 1, tzinfo=UTC)


def _fields(*plain: str, **masked: Mask) -> dict[str, Field]:
    fields = {name: Field(name, "user") for name in plain}
    return fields | {name: Field(name, "user", mask) for name, mask in masked.items()}


def system() -> System:
    """The data map of the shop."""
    customers = Collection(
        "customers",
        ("id",),
        _fields("id", "country", "created_at", "last_seen_at", "profile")
        | _fields(email=TOMBSTONE, phone=NULL, name=ERASED)
        | {"agent": Field("agent", "user.name", NULL, third_party=True)}
        | {"profile->>nick": Field("profile->>nick", "user.name", NULL)},
        takes={"email": Taken("email", Form.ASCII_CASE), "customer_number": Taken("id")},
        yields={"customer_number": "id", "phone": "phone", "email": "email"},
        person=True,
        contact={"email": "email"},
        residence="country",
        clocks={"record_date": "created_at", "last_contact": "last_seen_at"},
        source={"table": "customers"},
    )
    orders = Collection(
        "orders",
        ("id",),
        _fields("id", "customer_id", "total", "placed_at", note=NULL, guest_email=PSEUDONYM),
        takes={"email": Taken("guest_email", Form.ASCII_CASE)},
        parent=Parent("customers", {"customer_id": "id"}),
        clocks={"record_date": "placed_at"},
        source={"table": "orders"},
    )
    lines = Collection(
        "order_lines",
        ("order_id", "line"),
        _fields("order_id", "line", "article"),
        parent=Parent("orders", {"order_id": "id"}),
        source={"table": "order_lines"},
    )
    invoices = Collection(
        "invoices",
        ("id",),
        _fields("id", "order_id", "amount", "issued_on", name=ERASED, email=PSEUDONYM),
        parent=Parent("orders", {"order_id": "id"}),
        clocks={"record_date": "issued_on"},
        record_class="voucher",
        kept_fields=frozenset({"id", "order_id", "amount", "issued_on"}),
        source={"table": "invoices"},
    )
    reviews = Collection(
        "reviews",
        ("id",),
        _fields("id", "customer_id", "answers")
        | {"body": Field("body", "user.content", NULL, free_text=True)},
        parent=Parent("customers", {"customer_id": "id"}),
        source={"table": "reviews"},
    )
    loyalty = Collection(
        "loyalty",
        ("card",),
        _fields("customer_id", "points", "card"),
        takes={"customer_number": Taken("customer_id")},
        source={"table": "loyalty"},
    )
    carts = Collection(
        "carts",
        ("id",),
        _fields("id", "email", "touched_at", "content"),
        takes={"email": Taken("email", Form.ASCII_CASE)},
        clocks={"record_date": "touched_at"},
        source={"table": "carts"},
    )
    items = Collection(
        "cart_items",
        ("id",),
        _fields("id", "cart_id", "article"),
        parent=Parent("carts", {"cart_id": "id"}),
        source={"table": "cart_items"},
    )
    found = (customers, orders, lines, invoices, reviews, loyalty, carts, items)
    return System("shop", "postgres", {c.name: c for c in found})


def connector(dsn: str, mapped: System | None = None, **config: Any) -> Postgres:
    """A connector to the shop."""
    return Postgres(mapped or system(), PostgresConfig(dsn=SecretStr(dsn), **config))


def subject(ref: str, *, email: str | None = None, number: str | None = None) -> Subject:
    """A person by e-mail, customer number, or both."""
    given = (("email", email), ("customer_number", number))
    return Subject(ref, tuple(Identity(kind, value) for kind, value in given if value is not None))


@contextmanager
def connected(dsn: str) -> Iterator[Connection]:
    """A plain connection of the test's own."""
    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    try:
        yield connection
    finally:
        connection.close()


def execute(dsn: str, statement: str, rows: Iterable[tuple[Any, ...]] | None = None) -> None:
    """Run a statement, once per row where rows are given."""
    with connected(dsn) as connection, connection.cursor() as cursor:
        if rows is None:
            cursor.execute(statement)
        else:
            cursor.executemany(statement, list(rows))


def query(dsn: str, statement: str) -> list[tuple[Any, ...]]:
    """The rows of a statement."""
    with connected(dsn) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def dump(dsn: str) -> dict[tuple[str, str], str]:
    """Every row of every table as text, by table and key."""
    with connected(dsn) as connection, connection.cursor() as cursor:
        rows: dict[tuple[str, str], str] = {}
        for collection in system().collections.values():
            key = SQL(" || ' ' || ").join(
                SQL("{}::text").format(Identifier(k)) for k in collection.key
            )
            cursor.execute(
                SQL("SELECT {}, t::text FROM {} t").format(key, Identifier(collection.name))
            )
            rows |= {(collection.name, found): text for found, text in cursor.fetchall()}
    return rows


def add_customer(dsn: str, number: int, email: str, **more: Any) -> None:
    """A customer with a row in every table; ids are made of the customer's number."""
    marker, base = more.get("marker", f"zq{number}zq"), number * 100
    execute(
        dsn,
        "INSERT INTO customers VALUES (%s, %s, %s, %s, 'DE', %s, %s, '2020-01-01', %s)",
        [
            (
                number,
                email,
                more.get("phone"),
                more.get("name", f"Name {marker}"),
                f'{{"nick": "nick {marker}", "size": 4}}',
                more.get("agent"),
                more.get("seen", "2026-01-01"),
            )
        ],
    )
    for n in range(2):
        execute(
            dsn,
            "INSERT INTO orders VALUES (%s, %s, %s, 12.50, NULL, '2024-03-01')",
            [(base + n, number, f"note {marker}")],
        )
        execute(
            dsn,
            "INSERT INTO order_lines VALUES (%s, %s, %s)",
            [(base + n, i, f"article {marker}") for i in range(2)],
        )
    execute(
        dsn,
        "INSERT INTO invoices VALUES (%s, %s, %s, %s, 12.50, %s)",
        [(base, base, f"Name {marker}", email, more.get("issued", "2024-03-02"))],
    )
    execute(
        dsn,
        "INSERT INTO reviews VALUES (%s, %s, %s, %s)",
        [(base, number, None, f"fine {marker}"), (base + 1, number, base, f"still {marker}")],
    )
    execute(
        dsn,
        "INSERT INTO loyalty VALUES (%s, 7, %s)",
        [(number, f"00000000-0000-4000-8000-{number:012d}")],
    )
    execute(
        dsn,
        "INSERT INTO carts VALUES (%s, %s, %s, %s)",
        [(base, email, '{"a":\n 1}', more.get("touched", "2026-11-01"))],
    )
    execute(dsn, "INSERT INTO cart_items VALUES (%s, %s, %s)", [(base, base, f"item {marker}")])


def belongings(number: int) -> set[tuple[str, str]]:
    """Table and key of every row that `add_customer` makes."""
    base = number * 100
    return {
        ("customers", f"{number}"),
        ("orders", f"{base}"),
        ("orders", f"{base + 1}"),
        *(("order_lines", f"{base + n} {i}") for n in range(2) for i in range(2)),
        ("invoices", f"{base}"),
        ("reviews", f"{base}"),
        ("reviews", f"{base + 1}"),
        ("loyalty", f"00000000-0000-4000-8000-{number:012d}"),
        ("carts", f"{base}"),
        ("cart_items", f"{base}"),
    }


@contextmanager
def database_of_a_module(postgres_dsn: str) -> Iterator[str]:
    """A database of its own for the tests of one module."""
    databases = Databases(postgres_dsn)
    try:
        yield databases()
    finally:
        databases.drop_all()


def emptied(dsn: str) -> str:
    """The same database with the shop's empty tables and nothing else."""
    execute(dsn, NOTHING + SCHEMA)
    return dsn


def keep_vouchers() -> dict[str, DecisionTable]:
    """Invoices since the cut-off stay with their tax fields; what they need stays masked."""
    minimum = Rule(
        "minimum",
        Since("issued_on", CUTOFF),
        Action.MASK,
        "tax",
        {"name": ERASED, "email": PSEUDONYM},
        "issued_on",
    )
    masks = {"note": NULL, "guest_email": PSEUDONYM}
    orders = Rule("needed", NeededByKept(("invoices",)), Action.MASK, "needed", masks)
    masks = {"email": TOMBSTONE, "phone": NULL, "name": ERASED, "agent": NULL}
    masks |= {"profile->>nick": NULL}
    people = Rule("needed", NeededByKept(("orders", "reviews")), Action.MASK, "needed", masks)
    return {
        "invoices": DecisionTable("invoices", (minimum, ERASE)),
        "orders": DecisionTable("orders", (orders, ERASE)),
        "customers": DecisionTable("customers", (people, ERASE)),
    }


def erase(
    dsn: str, subjects: Sequence[Subject], ctx: TrialContext, keys: Iterable[Key] | None = None
) -> list[Receipt]:
    """Locate and erase."""
    postgres = connector(dsn)
    located = list(postgres.locate(subjects, TrialContext())) if keys is None else keys
    return list(postgres.erase(subjects, located, ctx))


def outcomes(receipts: Iterable[Receipt]) -> dict[tuple[str | None, str, str], int]:
    """Rows by subject, collection and outcome, absences left out."""
    rows: Counter[tuple[str | None, str, str]] = Counter()
    for receipt in receipts:
        for count in receipt.outcomes:
            rows[receipt.subject_ref, receipt.collection, count.outcome] += count.rows
    return {what: count for what, count in rows.items() if count}


def others(rows: dict[tuple[str, str], str], number: int) -> dict[tuple[str, str], str]:
    """The rows of a dump that are not the customer's."""
    own = belongings(number)
    return {at: row for at, row in rows.items() if at not in own}


def await_a_lock(shop: str) -> None:
    """Until a connection of ours waits for a row."""
    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'dsr_worker'"
        " AND datname = current_database() AND wait_event_type = 'Lock'"
    )
    until = time.monotonic() + 100
    while query(shop, waiting) == [(0,)]:
        assert time.monotonic() < until
        time.sleep(0.02)
