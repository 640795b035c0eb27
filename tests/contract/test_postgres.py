"""The Postgres connector reads: exact, whole, streamed, and silent about people."""

from __future__ import annotations

import json
import resource
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from dsr_worker.contract import (
    Affected,
    Configuration,
    Connector,
    Contacts,
    Erases,
    Field,
    Identity,
    LeakScope,
    Mask,
    MaskKind,
    Mentions,
    Parent,
    Rechecks,
    Resolves,
    Severity,
    Subject,
    Sweeps,
    Taken,
    Transient,
)
from dsr_worker.testing.context import TrialContext
from tests.contract.postgres_shop import (
    NULL,
    add_customer,
    connector,
    dump,
    erase,
    execute,
    outcomes,
    query,
    subject,
    system,
)

HOSTILE = (
    "%",
    "_",
    "a%",
    "a_na@shop.example",
    "",
    " ",
    "null",
    "'; DROP TABLE customers; --",
    "Robert'); DROP TABLE customers;--",
    "\\",
    "\\.",
    "x\n\\.\ny",
    "аnna@shop.example",  # noqa: RUF001 - a Cyrillic letter is the point
    "anna@shop.example\0",
    "\ud800",
    "\x01\x02\t\r\n",
    "a" * 10_000,
    "00",
    "-0",
    "1.0",
    "0x1",
    "9" * 30,
)


def test_every_capability_is_declared(shop: str) -> None:
    """The core asks by isinstance, so each protocol has to be met."""
    made = connector(shop)
    for protocol in (Connector, Contacts, Resolves, Erases, Rechecks, Mentions, Sweeps, Affected):
        assert isinstance(made, protocol)


def test_find_gives_every_row_and_withholds_what_is_of_others(shop: str) -> None:
    """A person gets all of their rows, none of anybody else's, and is told what was left out."""
    add_customer(shop, 1, "anna@shop.example", agent="Agent zq9zq")
    add_customer(shop, 2, "bert@shop.example")
    records = list(connector(shop).find([subject("a", email="anna@shop.example")], TrialContext()))
    assert Counter(r.collection for r in records) == {
        "customers": 1,
        "orders": 2,
        "order_lines": 4,
        "invoices": 1,
        "reviews": 2,
        "carts": 1,
        "cart_items": 1,
    }
    text = b"".join(r.body for r in records)
    assert b"zq1zq" in text
    assert b"zq2zq" not in text
    assert b"zq9zq" not in text
    customer = next(r for r in records if r.collection == "customers")
    assert [(w.field, w.ground) for w in customer.withheld] == [("agent", "AC_RIGHTS_OF_OTHERS")]
    assert json.loads(customer.body)["profile->>nick"] == "nick zq1zq"
    assert all(b"\n" not in r.body and isinstance(json.loads(r.body), dict) for r in records)


def test_bodies_are_exact(shop: str) -> None:
    """Quotes, line breaks, control and non-ASCII characters and long numbers arrive unaltered."""
    name = 'A "q" \\ \n\t\x01\x02 ß 漢 \U0001f600'
    add_customer(shop, 1, "a@shop.example", name=name)
    execute(shop, "UPDATE orders SET total = 1234567890.10 WHERE id = 100")
    records = list(connector(shop).find([subject("a", email="a@shop.example")], TrialContext()))
    bodies = {(r.collection, r.key): r.body for r in records}
    assert json.loads(bodies["customers", ("1",)])["name"] == name
    assert b'"total":1234567890.10' in bodies["orders", ("100",)]


def test_hostile_values_match_nothing_or_themselves(shop: str) -> None:
    """An identity equals a stored value or it does not: nothing widens it, nothing breaks on it."""
    add_customer(shop, 0, "null-island@shop.example")
    add_customer(shop, 1, "anna@shop.example")
    execute(shop, "UPDATE carts SET email = '' WHERE id = 0")
    execute(shop, "UPDATE carts SET email = NULL WHERE id = 100")
    before = dump(shop)
    kinds = ("email", "customer_number")
    hostile = [
        Subject(f"h{n}", tuple(Identity(kind, value) for kind in kinds))
        for n, value in enumerate(HOSTILE)
    ]
    assert list(connector(shop).locate(hostile, TrialContext())) == []
    assert outcomes(erase(shop, hostile, TrialContext())) == {}
    assert dump(shop) == before


def test_stored_hostile_values_are_found_by_exactly_themselves(shop: str) -> None:
    """Whatever a text column can hold is found by its own text and by no other."""
    storable = [v for v in HOSTILE if v.strip() and "\0" not in v and v != "\ud800"]
    execute(shop, "INSERT INTO carts VALUES (%s, %s)", list(enumerate(storable)))
    base = system()
    named = replace(base.collections["carts"], takes={"nick": Taken("email")})
    mapped = replace(base, collections={**base.collections, "carts": named})
    people = [Subject(f"h{n}", (Identity("nick", v),)) for n, v in enumerate(storable)]
    found = list(connector(shop, mapped).locate(people, TrialContext()))
    assert sorted((k.subject_ref, k.key) for k in found) == sorted(
        (f"h{n}", (str(n),)) for n in range(len(storable))
    )


def test_letter_case_is_folded_for_ascii_alone(shop: str) -> None:
    """`Anna@Shop.example` on file is found; the Kelvin sign does not become a k."""
    add_customer(shop, 1, "Anna@Shop.Example")
    add_customer(shop, 2, "Kai@shop.example")
    add_customer(shop, 3, "\u212aai@shop.example")
    subjects = [subject("a", email="anna@shop.example"), subject("k", email="kai@shop.example")]
    found = {
        (k.subject_ref, k.key)
        for k in connector(shop).locate(subjects, TrialContext())
        if k.collection == "customers"
    }
    assert found == {("a", ("1",)), ("k", ("2",))}


def test_resolve_counts_the_owners_of_a_shared_phone(shop: str) -> None:
    """A phone that others carry, however written, is contested; a customer number is not."""
    add_customer(shop, 1, "anna@shop.example", phone="+49 170 123456")
    add_customer(shop, 2, "bert@shop.example", phone="+49-170-123456")
    add_customer(shop, 3, "cora@shop.example", phone="+49 170 999999")
    subjects = [subject("a", email="anna@shop.example"), subject("c", email="cora@shop.example")]
    links = {
        (k.subject_ref, k.identity.kind): k
        for k in connector(shop).resolve(subjects, TrialContext())
    }
    assert set(links) == {
        (ref, kind) for ref in ("a", "c") for kind in ("customer_number", "phone", "email")
    }
    assert links["a", "email"].key == ("1",), "the row itself, by what found it"
    assert links["a", "customer_number"].identity.value == "1"
    assert links["a", "customer_number"].owners == 0
    assert links["a", "phone"].owners == 1
    assert links["a", "customer_number"].via == "email"
    assert links["c", "phone"].owners == 0


def test_same_spelling_of_a_shared_phone_is_contested(shop: str) -> None:
    """Two customers with one phone: neither may be found by it."""
    for number in (1, 2):
        add_customer(shop, number, f"c{number}@shop.example", phone="+49170123456")
    links = list(connector(shop).resolve([subject("a", number="1")], TrialContext()))
    assert [(k.identity.kind, k.owners) for k in links if k.identity.kind != "email"] == [
        ("phone", 1),
        ("customer_number", 0),
    ]


def test_a_known_name_that_others_carry_is_told(shop: str) -> None:
    """An address that came with the request is another customer's too, as the store writes it."""
    add_customer(shop, 1, "anna@shop.example")
    add_customer(shop, 2, "ANNA@shop.example")
    base = system()
    customers = replace(
        base.collections["customers"],
        person=False,
        takes={"customer_number": Taken("id")},
        yields={"email": "email"},
    )
    mapped = replace(base, collections={**base.collections, "customers": customers})
    anna = subject("a", email="anna@shop.example", number="1")
    links = connector(shop, mapped).resolve([anna], TrialContext())
    told = [(k.identity, k.owners, k.key) for k in links if k.collection == "customers"]
    assert told == [(Identity("email", "anna@shop.example"), 1, ("1",))]


def test_two_customers_of_one_known_name_are_two_rows(shop: str) -> None:
    """Address and number came with the request: the other customer's row still shows."""
    add_customer(shop, 1, "anna@shop.example")
    add_customer(shop, 2, "ANNA@shop.example")
    anna = subject("a", email="anna@shop.example", number="1")
    links = connector(shop).resolve([anna], TrialContext())
    assert {k.key for k in links if k.collection == "customers"} == {("1",), ("2",)}


def test_contacts_come_from_rows_that_match_themselves(shop: str) -> None:
    """A code goes to the stored address; whoever is unknown has none."""
    add_customer(shop, 1, "Anna@Shop.example")
    asked = [subject("a", email="anna@shop.example"), subject("u", email="u@shop.example")]
    points = list(connector(shop).contacts(asked, TrialContext()))
    assert [(p.subject_ref, p.kind, p.value) for p in points] == [
        ("a", "email", "Anna@Shop.example")
    ]


def test_mentions_are_whole_names_in_other_peoples_rows(shop: str) -> None:
    """A name inside a longer one is none, and one's own row is no mention."""
    add_customer(shop, 1, "anna@shop.example")
    add_customer(shop, 2, "bert@shop.example")
    bodies = {
        20: "ask Anna@shop.example.",
        21: "ask joanna@shop.example",
        22: "anna@shop.example.org",
        23: "(anna@shop.example)",
        24: "nothing",
        25: "order 10",
    }
    execute(shop, "INSERT INTO reviews VALUES (%s, 2, NULL, %s)", bodies.items())
    execute(shop, "UPDATE reviews SET body = 'I am anna@shop.example' WHERE id = 100")
    person = subject("a", email="anna@shop.example", number="10")
    found = list(connector(shop).mentions([person], TrialContext()))
    assert sorted((m.key, m.field) for m in found) == [(("20",), "body"), (("23",), "body")]


def test_memory_stays_flat_over_many_rows(shop: str) -> None:
    """200,000 rows of one person stream through; nothing holds them."""
    add_customer(shop, 1, "anna@shop.example")
    execute(
        shop,
        "SET session_replication_role = replica;"
        " INSERT INTO orders SELECT 1000 + n, 1, repeat('x', 100), 1, NULL, now()"
        " FROM generate_series(1, 200000) n",
    )
    postgres, person = connector(shop), [subject("a", email="anna@shop.example")]
    next(iter(postgres.find(person, TrialContext())))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rows = sum(1 for _ in postgres.find(person, TrialContext()))
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert rows == 200_012
    assert grown_kib < 16 * 1024


def test_affected_people_come_once_with_their_residence(shop: str) -> None:
    """Owners are found up the parents; a window leaves out rows that came after it."""
    add_customer(shop, 1, "Anna@shop.example")
    add_customer(shop, 2, "bert@shop.example")
    execute(shop, "UPDATE orders SET placed_at = '2026-05-01' WHERE customer_id = 2")
    execute(shop, "INSERT INTO orders VALUES (9, NULL, 'n', 1, 'guest@shop.example', '2024-01-01')")
    postgres, ctx = connector(shop), TrialContext()
    until = datetime(2025, 1, 1, tzinfo=UTC)
    people = list(postgres.affected([LeakScope("orders", ("note",), until_at=until)], ctx))
    found = {tuple(i.value for i in p.identities): (p.residence, p.rows) for p in people}
    assert found == {("1", "anna@shop.example"): ("DE", 2), ("guest@shop.example",): (None, 1)}
    assert len(list(postgres.affected([LeakScope("order_lines", ("article",))], ctx))) == 2


def test_check_names_what_is_missing(shop: str) -> None:
    """Unknown columns, keys that are not unique, masks that cannot fit: errors with a remedy."""
    assert not [f for f in connector(shop).check() if f.severity is Severity.ERROR]
    base = system()
    carts, lines = base.collections["carts"], base.collections["order_lines"]
    wrong = {
        "column": replace(carts, takes={"email": Taken('email"; DROP TABLE carts; --')}),
        "key": replace(lines, key=("order_id",)),
        "clock": replace(carts, clocks={"record_date": "email"}),
        "mask": replace(carts, fields={**carts.fields, "id": Field("id", "user", NULL)}),
        "length": replace(
            base.collections["customers"],
            fields={"country": Field("country", "user", Mask(MaskKind.TOMBSTONE))},
        ),
        "parent": replace(lines, parent=Parent("orders", {"order_id": "note"})),
        "table": replace(carts, source={"table": "nowhere"}),
    }
    for what, collection in wrong.items():
        mapped = replace(base, collections={**base.collections, collection.name: collection})
        errors = [f for f in connector(shop, mapped).check() if f.severity is Severity.ERROR]
        assert errors, what
        assert all(f.remedy for f in errors), what


def test_a_missing_index_is_a_warning_with_its_statement(shop: str) -> None:
    """The printed DDL makes the warning go; that these tests connect as a superuser stays one."""
    execute(shop, "DROP INDEX orders_customer_id_idx")
    found = [f for f in connector(shop).check() if "refer to the parent" in f.message]
    assert [f.subject for f in found] == ["orders"]
    for finding in connector(shop).check():
        if finding.remedy.startswith("CREATE INDEX"):
            execute(shop, finding.remedy)
    (left,) = [f for f in connector(shop).check() if f.severity is Severity.WARNING]
    assert "superuser" in left.message


def test_an_unknown_column_is_refused_and_nothing_runs(shop: str) -> None:
    """A name that the catalogue does not know never becomes a statement."""
    base = system()
    carts = replace(base.collections["carts"], takes={"email": Taken("mail")})
    mapped = replace(base, collections={"carts": carts})
    with pytest.raises(Configuration, match="mail"):
        list(connector(shop, mapped).find([subject("a", email="x@shop.example")], TrialContext()))


def test_a_server_that_is_not_there_is_transient_and_says_no_secret() -> None:
    """The DSN's password never reaches the error."""
    away = "postgresql://user:zqsecretzq@127.0.0.1:1/none"
    with pytest.raises(Transient) as raised:
        list(connector(away).find([subject("a", email="a@shop.example")], TrialContext()))
    assert "zqsecretzq" not in repr(raised.value)
    assert raised.value.__cause__ is None


def test_reading_stops_when_the_consumer_does(shop: str) -> None:
    """An abandoned stream ends its statement; the connector goes on working."""
    add_customer(shop, 1, "anna@shop.example")
    execute(
        shop,
        "SET session_replication_role = replica;"
        " INSERT INTO orders SELECT 1000 + n, 1, repeat('x', 300), 1, NULL, now()"
        " FROM generate_series(1, 50000) n",
    )
    postgres, person = connector(shop), [subject("a", email="anna@shop.example")]
    stream = iter(postgres.find(person, TrialContext()))
    for _ in range(5):
        next(stream)
    stream.close()  # type: ignore[attr-defined]  # the protocol promises an iterator, ours is a generator
    running = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'dsr_worker'"
        " AND datname = current_database() AND state <> 'idle'"
    )
    until = time.monotonic() + 100
    while query(shop, running) != [(0,)]:
        assert time.monotonic() < until
    assert sum(1 for _ in postgres.find(person, TrialContext())) == 50_012
