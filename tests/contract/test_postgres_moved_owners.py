"""Whose rows are held does not end where a restriction moves them: theirs they are all the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from connectors.postgres import Postgres
from dsr_worker.contract import (
    Action,
    Always,
    Before,
    Collection,
    DecisionTable,
    Form,
    HeldPeople,
    Identity,
    Key,
    Parent,
    Restriction,
    RestrictionKind,
    Rule,
    Subject,
    SweepOrder,
    Taken,
)
from dsr_worker.testing.context import TrialContext
from tests.contract.postgres_shop import execute, query
from tests.contract.postgres_tables import collection, connected

PHONE = Identity("phone", "+49301")  # of both
ANNA = Subject("anna", (Identity("email", "anna@mail.example"), PHONE))
BERT = Subject("bert", (Identity("email", "bert@mail.example"), PHONE))
OF_BERT = Rule("hold", HeldPeople(BERT.identities), Action.KEEP, "RESTRICTION")
ERASE = Rule("default", Always(), Action.ERASE)
LIFT, RESTRICT = (Rule("default", Always(), a) for a in (Action.LIFT, Action.RESTRICT))

TABLES = """
CREATE TABLE people (id int PRIMARY KEY, email text, phone text, at date);
CREATE TABLE orders (id int PRIMARY KEY, person int, at date);
CREATE TABLE notes (id int PRIMARY KEY, person int, at date);
CREATE TABLE people_aside (LIKE people INCLUDING ALL);
CREATE TABLE orders_aside (LIKE orders INCLUDING ALL);
INSERT INTO people VALUES (0, 'Anna@mail.example', NULL, '2010-01-01'),
  (1, 'anna@mail.example', '+49301', '2010-01-01'), (2, 'Bert@mail.example', NULL, '2010-01-01'),
  (3, 'carl@mail.example', NULL, '2010-01-01');
INSERT INTO orders SELECT id + 10, id, at FROM people;
INSERT INTO notes SELECT id + 20, id, at FROM people;
"""


@pytest.fixture
def dsn(module_database: str) -> str:
    """People with orders and notes; number 1 is Anna's and, by the phone, Bert's as well."""
    execute(module_database, f"DROP SCHEMA public CASCADE; CREATE SCHEMA public; {TABLES}")
    return module_database


def mapped(dsn: str) -> Postgres:
    """People and their orders move when they are restricted; notes have no means."""
    takes = {"email": Taken("email", Form.ASCII_CASE), "phone": Taken("phone")}
    plain = collection("people", "email", "phone", "at", owner=None)
    people = replace(plain, takes=takes, clocks={"record_date": "at"})
    above, clocks = Parent("people", {"person": "id"}), {"record_date": "at"}
    orders, notes = (
        collection(name, "person", "at", owner=None, parent=above, clocks=clocks)
        for name in ("orders", "notes")
    )
    aside = replace(people, name="people_aside", source={"table": "people_aside"})
    orders_aside = collection(
        "orders_aside", "person", "at", owner=None, parent=Parent("people_aside", {"person": "id"})
    )
    moving = [_moved(people, "people_aside"), _moved(orders, "orders_aside")]
    return connected(dsn, *moving, notes, aside, orders_aside)


def _moved(one: Collection, aside: str) -> Collection:
    return replace(one, restriction=Restriction(RestrictionKind.MOVE, collection=aside))


def ctx(*rules: Rule, dry_run: bool = False) -> TrialContext:
    """People and orders by these rules, all else kept."""
    keep = Rule("default", Always(), Action.KEEP)
    names = ("people", "orders", "notes", "people_aside", "orders_aside")
    tables = {
        name: DecisionTable(name, rules if name in {"people", "orders"} else (keep,))
        for name in names
    }
    return TrialContext(tables=tables, dry_run=dry_run)


def restricted(postgres: Postgres) -> list[Key]:
    """Move what is Anna's and Bert's; the keys."""
    keys = list(postgres.locate([ANNA, BERT], TrialContext()))
    list(postgres.restrict([ANNA, BERT], keys, ctx(RESTRICT)))
    return keys


def ids(dsn: str, table: str) -> list[int]:
    """The keys in a table."""
    return [n for (n,) in query(dsn, f"SELECT id FROM {table} ORDER BY id")]  # noqa: S608 - our own names


def test_a_lifting_frees_what_two_restricted_people_do_not_share(dsn: str) -> None:
    """They share a name and one row with what is below: that stays moved, Anna's own comes back."""
    postgres = mapped(dsn)
    keys = restricted(postgres)
    assert (ids(dsn, "people"), ids(dsn, "orders")) == ([3], [13])
    annas = [key for key in keys if key.subject_ref == "anna"]
    said = list(postgres.restrict([ANNA], annas, ctx(OF_BERT, LIFT, dry_run=True)))
    done = list(postgres.restrict([ANNA], annas, ctx(OF_BERT, LIFT)))
    assert said == done
    assert (ids(dsn, "people"), ids(dsn, "orders")) == ([0, 3], [10, 13])
    assert (ids(dsn, "people_aside"), ids(dsn, "orders_aside")) == ([1, 2], [11, 12])
    list(postgres.restrict([ANNA, BERT], keys, ctx(LIFT)))
    assert ids(dsn, "people_aside") == ids(dsn, "orders_aside") == []


def test_what_is_below_a_moved_row_is_held_with_it(dsn: str) -> None:
    """Notes stay where they are when their people move: neither erasure nor sweep takes a held one.

    No foreign key ties them, so that nothing but the map says whose they are.
    """
    postgres = mapped(dsn)
    keys = restricted(postgres)
    notes = [key for key in keys if key.collection == "notes"]
    tables = {"notes": DecisionTable("notes", (OF_BERT, ERASE))}
    list(postgres.erase([ANNA, BERT], notes, TrialContext(tables=tables)))
    assert ids(dsn, "notes") == [21, 22, 23]
    old = Rule("limit", Before("at", datetime(2020, 1, 1, tzinfo=UTC)), Action.ERASE)
    keep = Rule("default", Always(), Action.KEEP)
    order = SweepOrder("notes", DecisionTable("notes", (OF_BERT, old, keep)), 100)
    list(postgres.sweep([order], TrialContext(tables={"notes": order.table})))
    assert ids(dsn, "notes") == [21, 22]
