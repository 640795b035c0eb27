"""What the Postgres connector proposes: found, judged, marked; and never a value told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from importlib import resources

import psycopg2
import pytest
from pydantic import SecretStr

from connectors.postgres import Postgres, PostgresConfig
from dsr_worker.contract import (
    Collection,
    Configuration,
    MaskKind,
    Proposal,
    Proposes,
    Severity,
    System,
)
from dsr_worker.datamap import read_system
from dsr_worker.embedded import Services
from dsr_worker.map_text import written
from dsr_worker.testing.shop import Shop, load_postgres
from tests.contract.postgres_shop import connected, database_of_a_module, execute

SHOP = Shop(seed=11, customers=120)
EMPTY = System("shop", "postgres", {})
CONFIG = {"dsn": {"env": "SHOP_DSN"}}


def proposed(dsn: str, system: System = EMPTY) -> Proposal:
    """The proposal for a database."""
    connector = Postgres(system, PostgresConfig(dsn=SecretStr(dsn)))
    assert isinstance(connector, Proposes)
    try:
        return connector.propose()
    finally:
        connector.close()


def text_of(proposal: Proposal, system: System = EMPTY) -> str:
    """The file of a proposal, which the data map takes as it stands."""
    text = written(system, CONFIG, proposal)
    assert dict(read_system(text).system.collections) == dict(proposal.collections)
    return text


def left_out(proposal: Proposal) -> dict[str, str]:
    """What was not proposed, and why."""
    return {left.place: left.code for left in proposal.left_out}


def reviewed() -> System:
    """The shop's own data map, as its people wrote it."""
    text = resources.files("dsr_worker.testing.shop").joinpath("systems/shop.yaml").read_text()
    return read_system(text.replace("$dsn_env", "SHOP_DSN")).system


def told(proposal: Proposal, severity: Severity = Severity.ERROR) -> dict[str, str]:
    """Findings of the comparison, by what they are about."""
    return {f.subject: f.message for f in proposal.drift if f.severity is severity}


@pytest.fixture(scope="module")
def shop(postgres_dsn: str) -> Iterator[str]:
    """The shop's database; nothing here changes it."""
    with database_of_a_module(postgres_dsn) as made:
        load_postgres(SHOP, made)
        execute(
            made,
            "CREATE TABLE products (sku text PRIMARY KEY, name text NOT NULL, description text);"
            "CREATE TABLE countries (code char(2) PRIMARY KEY, name text);"
            "INSERT INTO countries SELECT DISTINCT country, country FROM customers"
            " WHERE length(country) = 2;"
            "INSERT INTO products SELECT DISTINCT sku, 'A mug', 'Made of clay' FROM order_lines",
        )
        yield made


@pytest.fixture(scope="module")
def proposal(shop: str) -> Proposal:
    """What is proposed for it."""
    return proposed(shop)


PERSONAL = ("contact", "name", "demographic", "authorization", "device", "financial")


def is_personal(collection: Collection, field: str) -> bool:
    """Whether the reviewed map says that a field says something of a person by itself."""
    mapped = collection.fields[field]
    topic = mapped.category.split(".")[1]
    return mapped.mask is not None or mapped.free_text or topic in PERSONAL


def test_every_personal_column_of_the_shop_is_found(proposal: Proposal) -> None:
    """What people labelled personal is proposed with the same sense, or marked `review`."""
    missed, wanted = [], 0
    for collection in reviewed().collections.values():
        found = proposal.collections[collection.name]
        for name in collection.fields:
            if not is_personal(collection, name):
                continue
            wanted += 1
            field = found.fields.get(name)
            told = field and (field.mask or field.free_text or field.review or field.third_party)
            said = field and field.category == collection.fields[name].category
            if not told and not said:
                missed.append(f"{collection.name}.{name}")
    assert wanted > 30
    assert missed == []


def test_little_is_called_personal_that_is_not(proposal: Proposal) -> None:
    """Of what carries a mask or a mark, four in five are labelled personal by people."""
    labels = reviewed().collections
    claimed = [
        (c.name, f.name)
        for c in proposal.collections.values()
        for f in c.fields.values()
        if f.mask or f.review or f.free_text
    ]
    right = [
        (name, field)
        for name, field in claimed
        if field in labels[name].fields and is_personal(labels[name], field)
    ]
    assert len(right) >= 0.8 * len(claimed), sorted(set(claimed) - set(right))


def test_ways_and_names_are_those_that_people_wrote(proposal: Proposal) -> None:
    """The same owners, parents, keys and identities, the reference without a key included."""
    labels = reviewed().collections
    assert set(proposal.collections) == set(labels)
    for name, label in labels.items():
        found = proposal.collections[name]
        assert (found.key, found.parent, dict(found.takes), found.person) == (
            label.key,
            label.parent,
            dict(label.takes),
            label.person,
        ), name
    customers = proposal.collections["customers"]
    assert dict(customers.yields) == dict(labels["customers"].yields)
    assert customers.residence == "country"
    marked = [c.name for c in proposal.collections.values() if c.review]
    assert marked == ["support_calls"]  # a caller's number beside a parent that may be missing


def test_what_is_merely_referred_to_is_not_the_customers(proposal: Proposal) -> None:
    """Products and countries are named and left out."""
    assert {"public.products", "public.countries"} <= set(left_out(proposal))


def test_masks_fit_their_columns(shop: str, proposal: Proposal) -> None:
    """The connector's own check finds no error in the proposed map."""
    system = System("shop", "postgres", dict(proposal.collections))
    connector = Postgres(system, PostgresConfig(dsn=SecretStr(shop)))
    assert [f for f in connector.check() if f.severity is Severity.ERROR] == []
    connector.close()
    mask = proposal.collections["customers"].fields["email"].mask
    assert mask is not None
    assert mask.kind is MaskKind.TOMBSTONE


def test_the_reviewed_map_fits_and_what_grew_since_is_named(
    shop: str, database: Callable[[], str]
) -> None:
    """A comparison names a new personal column, a column that went, a path that broke."""
    del shop
    dsn = database()
    load_postgres(SHOP, dsn)
    assert told(proposed(dsn, reviewed())) == {}
    execute(
        dsn,
        "ALTER TABLE orders ADD COLUMN courier_email text;"
        "ALTER TABLE customers DROP COLUMN birth_on;"
        "ALTER TABLE reviews RENAME COLUMN customer_id TO writer;"
        "ALTER TABLE orders DROP CONSTRAINT orders_pkey CASCADE;"
        "CREATE TABLE leads (id int PRIMARY KEY, email text)",
    )
    found = told(proposed(dsn, reviewed()))
    assert "not mapped" in found["public.orders.courier_email"]
    assert "no collection maps it" in found["public.leads"]
    assert "is gone" in found["customers.birth_on"]
    assert "path is broken" in found["reviews → customers"]
    assert "several parents" in found["invoices → orders"]


def test_what_people_left_out_is_not_asked_for_again(shop: str) -> None:
    """A place under `left_out` is reviewed: the comparison is silent about it."""
    whole = reviewed()
    fewer = {n: c for n, c in whole.collections.items() if n != "newsletter"}
    assert "public.newsletter" in told(proposed(shop, System("shop", "postgres", fewer)))
    out = {"public.newsletter": "goes next month", "public.gone": "went"}
    system = System("shop", "postgres", fewer, left_out=out)
    proposal = proposed(shop, system)
    assert told(proposal) == {}
    assert "not there any more" in told(proposal, Severity.WARNING)["public.gone"]


def test_no_value_leaves_by_any_way(
    database: Callable[[], str], services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in the proposal, not in the server's log with everything logged, not in ours."""
    dsn = database()
    caplog.set_level(0)
    load_postgres(SHOP, dsn)
    execute(
        dsn,
        "CREATE TABLE odd (id int PRIMARY KEY, by_person jsonb, tags text[], free text);"
        "INSERT INTO odd SELECT n, jsonb_build_object('zqkey' || n || 'zq', 'x@zqmail.example',"
        " 'zqkey' || n || '@zq.example', 1), ARRAY['zqtag' || n || '@zq.example'],"
        " 'zqfree wrote to a.zq' || n || '@zq.example about it' FROM generate_series(1, 40) n",
    )
    with connected(dsn) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT current_database()")
        (name,) = cursor.fetchone() or ("",)
        for setting in ("log_statement = 'all'", "log_error_verbosity = 'verbose'"):
            cursor.execute(f"ALTER DATABASE {name} SET {setting}")
    proposal = proposed(dsn, reviewed())
    execute(dsn, "SELECT 'the end of proposing'")
    log = "".join(f.read_text(errors="replace") for f in services.log_files())
    assert "the end of proposing" in log
    log = log[log.index("FROM pg_class c JOIN pg_namespace n") :]
    assert "TRANSACTION READ ONLY" in log
    for text in (text_of(proposal), repr(proposal), log, caplog.text):
        assert "zq" not in text
    fields = proposal.collections["odd"].fields
    assert fields["by_person"].review
    assert fields["tags"].review
    assert fields["free"].free_text


def test_nothing_is_changed_and_the_server_sees_to_it(database: Callable[[], str]) -> None:
    """Reading a table whose policy would write is refused by the server, and the rest goes on."""
    dsn = database()
    execute(
        dsn,
        "CREATE TABLE seen (n int);"
        "CREATE TABLE customers (id int PRIMARY KEY, email text, shadow text);"
        "CREATE FUNCTION spy(int) RETURNS bool LANGUAGE plpgsql AS"
        " 'BEGIN INSERT INTO public.seen VALUES ($1); RETURN true; END';"
        "INSERT INTO customers VALUES (1, 'a@mail.example');"
        "CREATE ROLE spied LOGIN; GRANT SELECT ON customers, seen TO spied;"
        "GRANT INSERT ON seen TO spied; ALTER TABLE customers ENABLE ROW LEVEL SECURITY;"
        "CREATE POLICY p ON customers USING (spy(id))",
    )
    try:
        other = psycopg2.extensions.make_dsn(dsn, user="spied")
        proposal = proposed(other)
        with connected(dsn) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM seen")
            assert cursor.fetchone() == (0,)
        assert proposal.collections["customers"].review
        codes = [str(e) for e in proposal.grounds["customers", ""].evidence]
        assert "not_read" in codes
    finally:
        execute(dsn, "DROP OWNED BY spied; DROP ROLE spied")


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


def test_hostile_names_are_read_written_and_read_back(database: Callable[[], str]) -> None:
    """Quotes, upper case, reserved words, arrows and letters beyond ASCII, in two schemas."""
    dsn = database()
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
def shapes(postgres_dsn: str) -> Iterator[Proposal]:
    """What is proposed for tables of every shape."""
    with database_of_a_module(postgres_dsn) as made:
        execute(made, SHAPES)
        yield proposed(made)


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


def test_who_served_a_customer_is_no_second_owner(database: Callable[[], str]) -> None:
    """A rental names a clerk too; it is the customer's all the same, and so is the address."""
    dsn = database()
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


def test_tables_called_like_people_are_not_all_people(database: Callable[[], str]) -> None:
    """A program is a client too, and the contacts of an account are other people."""
    dsn = database()
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


def test_inclusion_that_fails_is_no_reference(database: Callable[[], str]) -> None:
    """A column called like a reference whose values are elsewhere is none."""
    dsn = database()
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


def test_empty_tables_are_proposed_by_name(database: Callable[[], str]) -> None:
    """Without a single row, names and keys speak, less surely."""
    dsn = database()
    load_postgres(Shop(seed=1, customers=40), dsn)
    execute(dsn, "TRUNCATE customers CASCADE; TRUNCATE newsletter, audit_log, loyalty")
    proposal = proposed(dsn)
    assert {"customers", "orders", "newsletter"} <= set(proposal.collections)
    email = proposal.grounds["customers", "email"]
    assert "no_sample" in [e.code for e in email.evidence]
    assert proposal.collections["loyalty"].review
    text_of(proposal)
    assert proposed(database()).collections == {}


def test_what_may_not_be_read_is_marked(database: Callable[[], str]) -> None:
    """A table or column without privilege is told by its name, for a person to look at."""
    dsn = database()
    execute(
        dsn,
        "CREATE TABLE customers (id int PRIMARY KEY, email text, phone text);"
        "CREATE TABLE clients (id int PRIMARY KEY, email text);"
        "CREATE TABLE numbers (id int PRIMARY KEY);"
        "CREATE ROLE shy LOGIN; GRANT SELECT (id, email) ON customers TO shy",
    )
    try:
        proposal = proposed(psycopg2.extensions.make_dsn(dsn, user="shy"))
        assert proposal.collections["customers"].fields["phone"].review
        assert not proposal.collections["customers"].fields["email"].review
        assert proposal.collections["clients"].review
        assert left_out(proposal)["public.numbers"] == "no_select"
    finally:
        execute(dsn, "DROP OWNED BY shy; DROP ROLE shy")


def test_five_hundred_tables_take_seconds(database: Callable[[], str]) -> None:
    """Effort grows with tables, not with pairs of tables."""
    dsn = database()
    execute(
        dsn,
        "CREATE TABLE customers (id int PRIMARY KEY, email text, name text);"
        "DO $$ BEGIN FOR n IN 1..500 LOOP EXECUTE format('CREATE TABLE t_%s (id int PRIMARY KEY,"
        " customer_id int, ref_%s_id int, note text, at timestamptz)', n, n); END LOOP; END $$",
    )
    begun = time.monotonic()
    proposal = proposed(dsn)
    assert time.monotonic() - begun < 15
    assert len(proposal.collections) == 501
    text_of(proposal)


def test_a_server_that_is_not_there_is_told_without_its_address() -> None:
    """No proposal is made of nothing."""
    with pytest.raises(Exception, match="cannot connect") as caught:
        proposed("postgresql://nobody@127.0.0.1:1/none")
    assert "nobody" not in str(caught.value)
    assert not isinstance(caught.value, Configuration)
