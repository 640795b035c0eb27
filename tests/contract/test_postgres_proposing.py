"""What the Postgres connector proposes: found, judged, marked; and never a value told."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources

import psycopg2
import pytest
from pydantic import SecretStr

from connectors.postgres import Postgres, PostgresConfig
from dsr_worker.contract import Collection, Configuration, MaskKind, Proposal, Severity, System
from dsr_worker.datamap import read_system
from dsr_worker.embedded import Services
from dsr_worker.testing.shop import Shop, load_postgres
from tests.contract.postgres_proposals import left_out, proposed, text_of, told
from tests.contract.postgres_shop import connected, execute

SHOP = Shop(seed=11, customers=120)


def reviewed() -> System:
    """The shop's own data map, as its people wrote it."""
    text = resources.files("dsr_worker.testing.shop").joinpath("systems/shop.yaml").read_text()
    return read_system(text.replace("$dsn_env", "SHOP_DSN")).system


@pytest.fixture(scope="module")
def shop(module_database: str) -> str:
    """The shop's database; nothing here changes it."""
    load_postgres(SHOP, module_database)
    execute(
        module_database,
        "CREATE TABLE products (sku text PRIMARY KEY, name text NOT NULL, description text);"
        "CREATE TABLE countries (code char(2) PRIMARY KEY, name text);"
        "INSERT INTO countries SELECT DISTINCT country, country FROM customers"
        " WHERE length(country) = 2;"
        "INSERT INTO products SELECT DISTINCT sku, 'A mug', 'Made of clay' FROM order_lines",
    )
    return module_database


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
    execute(dsn, "SELECT 'the beginning of proposing'")
    proposal = proposed(dsn, reviewed())
    execute(dsn, "SELECT 'the end of proposing'")
    log = "".join(f.read_text(errors="replace") for f in services.log_files())
    assert "the end of proposing" in log
    log = log[log.rindex("the beginning of proposing") :]
    assert "FROM pg_class c JOIN pg_namespace n" in log
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


def test_a_server_that_is_not_there_is_told_without_its_address() -> None:
    """No proposal is made of nothing."""
    with pytest.raises(Exception, match="cannot connect") as caught:
        proposed("postgresql://zqrole@127.0.0.1:1/zqbase")
    assert "zq" not in str(caught.value)
    assert "127.0.0.1" not in str(caught.value)
    assert not isinstance(caught.value, Configuration)
