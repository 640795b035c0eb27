"""Any shape of tables is proposed for: odd names, partitions, references without a key, doubt."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from pydantic import SecretStr

from connectors.postgres import Postgres, PostgresConfig
from dsr_worker.contract import Proposal, Severity, System
from tests.contract.postgres_proposals import left_out, proposed, proposed_for, text_of
from tests.contract.postgres_shop import execute

HOSTILE = """
CREATE SCHEMA "Select";
CREATE TABLE "Select"."Kunden" (
  "Order" bigint PRIMARY KEY, "E-Mail" text UNIQUE NOT NULL, "Näme ""der"" Person" text,
  "full name" varchar(4) NOT NULL, "group" text, "a->>b" text, "Straße" text,
  "Geburtsdatum" date);
CREATE TABLE "Select"."user" (
  "from" bigint REFERENCES "Select"."Kunden", "table" int, "Telefon'" text,
  "doc" jsonb, PRIMARY KEY ("from", "table"));
CREATE TABLE public."Kunden" (id int PRIMARY KEY, email text NOT NULL, name text);
CREATE TABLE "Pers.onen;--" (id int PRIMARY KEY, "e_mail" text);
INSERT INTO "Select"."Kunden" VALUES (1, 'a@mail.example', 'x', 'y');
INSERT INTO "Select"."user" VALUES (1, 1, '+49 30 1234567', '{"e''mail->x": "q@mail.example"}');
"""


def test_hostile_names_are_read_written_and_read_back(dsn: str) -> None:
    """Quotes, upper case, reserved words, arrows and letters beyond ASCII, in two schemas."""
    execute(dsn, HOSTILE)
    proposal = proposed(dsn)
    text_of(proposal)
    at = {
        (c.source.get("schema", "public"), c.source["table"]): c
        for c in proposal.collections.values()
    }
    kunden = at["Select", "Kunden"]
    assert kunden.person
    assert kunden.takes["email"].field == "E-Mail"
    assert kunden.fields["Straße"].category == "user.contact.address.street"
    assert kunden.fields["full name"].mask is None  # too short for any
    assert kunden.fields["full name"].review
    child = at["Select", "user"].parent
    assert child is not None
    assert dict(child.on) == {"from": "Order"}
    assert at["public", "Kunden"].name != kunden.name
    assert ("public", "Pers.onen;--") in at
    system = System("shop", "postgres", dict(proposal.collections))
    findings = Postgres(system, PostgresConfig(dsn=SecretStr(dsn))).check()
    assert [f for f in findings if f.severity is Severity.ERROR] == []


SHAPES = """
CREATE TABLE customers (id int PRIMARY KEY, email text UNIQUE NOT NULL, name text,
  referred_by int REFERENCES customers, address_id int, country char(2));
CREATE TABLE customer_addresses (id int PRIMARY KEY, street text, city text);
CREATE TABLE places (id int PRIMARY KEY, street text, phone text);
ALTER TABLE customers ADD FOREIGN KEY (address_id) REFERENCES places;
CREATE TABLE countries (code char(2) PRIMARY KEY, name text);
ALTER TABLE customers ADD FOREIGN KEY (country) REFERENCES countries;
CREATE TABLE products (id int PRIMARY KEY, name text, created_by int REFERENCES customers,
  owner_id int REFERENCES customers);
CREATE TABLE bookings (customer_id int NOT NULL REFERENCES customers, day date, seat int,
  follows_day date, follows_seat int, PRIMARY KEY (day, seat),
  FOREIGN KEY (follows_day, follows_seat) REFERENCES bookings);
CREATE TABLE booking_lines (day date, seat int, n int, product_id int REFERENCES products,
  PRIMARY KEY (day, seat, n), FOREIGN KEY (day, seat) REFERENCES bookings);
CREATE TABLE payments (id int, customer_id int REFERENCES customers, paid_at timestamptz NOT NULL,
  PRIMARY KEY (id, paid_at)) PARTITION BY RANGE (paid_at);
CREATE TABLE payments_2025 PARTITION OF payments FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE payments_2026 PARTITION OF payments FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE messages (id int PRIMARY KEY, sender_id int REFERENCES customers,
  recipient_id int REFERENCES customers, body text);
CREATE TABLE devices (id int PRIMARY KEY, customer_id int, label text);
CREATE VIEW people AS SELECT email FROM customers;
CREATE MATERIALIZED VIEW people_now AS SELECT email FROM customers;
CREATE TABLE letters (email text, subject text);
CREATE TABLE staff (id int PRIMARY KEY, email text, name text);
INSERT INTO places VALUES (1, 'Weg 1', '+49 30 1234567');
INSERT INTO customers SELECT n, 'a' || n || '@mail.example', 'N', NULL, 1
  FROM generate_series(1, 30) n;
INSERT INTO devices SELECT n, n, 'phone' FROM generate_series(1, 30) n;
"""


@pytest.fixture(scope="module")
def shapes(module_databases: Callable[[], str]) -> Proposal:
    """What is proposed for tables of every shape."""
    return proposed_for(module_databases(), SHAPES)


def test_partitions_are_one_collection_and_views_are_named(shapes: Proposal) -> None:
    """A partitioned table stands for its partitions; views hold nothing of their own."""
    parent = shapes.collections["payments"].parent
    assert parent is not None
    assert parent.collection == "customers"
    assert not {"payments_2025", "payments_2026", "people", "people_now"} & set(shapes.collections)
    out = left_out(shapes)
    assert out["public.people"] == "view"
    assert out["public.people_now"] == "materialised_view"
    assert "public.payments_2025" not in out


def test_composite_keys_and_self_references(shapes: Proposal) -> None:
    """A composite reference is a path; a table is never its own parent."""
    lines = shapes.collections["booking_lines"].parent
    assert lines is not None
    assert (lines.collection, dict(lines.on)) == ("bookings", {"day": "day", "seat": "seat"})
    bookings = shapes.collections["bookings"].parent
    assert bookings is not None
    assert bookings.collection == "customers"
    assert shapes.collections["customers"].parent is None


def test_products_and_countries_belong_to_nobody(shapes: Proposal) -> None:
    """Who made a product, or sells it, does not own it as a customer owns an order."""
    out = left_out(shapes)
    assert out["public.countries"] == "referred_to"
    assert "public.products" in out


def test_what_a_customer_refers_to_and_is_about_them_is_proposed_for_review(
    shapes: Proposal,
) -> None:
    """An address that customers point at is theirs, by the way back, unless a person says no."""
    places = shapes.collections["places"]
    assert places.review
    assert places.parent is not None
    assert dict(places.parent.on) == {"id": "address_id"}


def test_who_served_a_customer_is_no_second_owner(dsn: str) -> None:
    """A rental names a clerk too; it is the customer's all the same, and so is the address."""
    execute(
        dsn,
        "CREATE TABLE address (id int PRIMARY KEY, street text, phone text);"
        "CREATE TABLE staff (id int PRIMARY KEY, email text, name text,"
        " address_id int REFERENCES address);"
        "CREATE TABLE customer (id int PRIMARY KEY, email text, name text,"
        " address_id int REFERENCES address);"
        "CREATE TABLE rental (id int PRIMARY KEY, staff_id int NOT NULL REFERENCES staff,"
        " customer_id int NOT NULL REFERENCES customer)",
    )
    proposal = proposed(dsn)
    for name in ("rental", "address"):
        parent = proposal.collections[name].parent
        assert parent is not None
        assert parent.collection == "customer"
    assert not proposal.collections["rental"].review


def test_tables_called_like_people_are_not_all_people(dsn: str) -> None:
    """A program is a client too, and the contacts of an account are other people."""
    execute(
        dsn,
        "CREATE TABLE oauth_clients (id int PRIMARY KEY, name text, redirect_uri text);"
        "CREATE TABLE accounts (id int PRIMARY KEY, email text UNIQUE NOT NULL);"
        "CREATE TABLE contacts (id int PRIMARY KEY, email text, name text,"
        " account_id int NOT NULL REFERENCES accounts)",
    )
    proposal = proposed(dsn)
    assert proposal.collections["oauth_clients"].review
    assert proposal.collections["contacts"].review
    assert proposal.collections["accounts"].review  # customers, or those who sell to the contacts


def test_doubt_is_marked(shapes: Proposal) -> None:
    """Two owners, no key, people who work here: proposed, and marked `review`."""
    for name in ("messages", "letters", "staff"):
        assert shapes.collections[name].review, name
    assert not shapes.collections["customers"].review
    assert shapes.grounds["letters", ""].confidence < 0.5


def test_a_reference_without_a_key_is_counted(shapes: Proposal) -> None:
    """Name, type and sampled inclusion together make a path, and the evidence counts them."""
    parent = shapes.collections["devices"].parent
    assert parent is not None
    assert dict(parent.on) == {"customer_id": "id"}
    assert [str(e) for e in shapes.grounds["devices", ""].evidence] == ["inclusion 30/30"]


def test_inclusion_that_fails_is_no_reference(dsn: str) -> None:
    """A column called like a reference whose values are elsewhere is none."""
    execute(
        dsn,
        "CREATE TABLE customers (id int PRIMARY KEY, email text);"
        "CREATE TABLE gadgets (id int PRIMARY KEY, customer_id int);"
        "CREATE TABLE widgets (id int PRIMARY KEY, customer_id int);"
        "INSERT INTO customers SELECT n, n || '@mail.example' FROM generate_series(1, 20) n;"
        "INSERT INTO gadgets SELECT n, n + 900 FROM generate_series(1, 20) n;"
        "INSERT INTO widgets SELECT n, n + 6 FROM generate_series(1, 20) n",
    )
    proposal = proposed(dsn)
    assert "gadgets" not in proposal.collections
    assert proposal.collections["widgets"].review  # some are, some are orphans


def test_five_hundred_tables_take_seconds(dsn: str) -> None:
    """Effort grows with tables, not with pairs of tables."""
    execute(
        dsn,
        "CREATE TABLE customers (id int PRIMARY KEY, email text, name text);"
        "DO $$ BEGIN FOR n IN 1..500 LOOP EXECUTE format('CREATE TABLE t_%s (id int PRIMARY KEY,"
        " customer_id int, ref_%s_id int, note text, at timestamptz)', n, n); END LOOP; END $$",
    )
    begun = time.monotonic()
    proposal = proposed(dsn)
    assert time.monotonic() - begun < 100
    assert len(proposal.collections) == 501
    text_of(proposal)
