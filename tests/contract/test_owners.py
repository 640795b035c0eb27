"""Who else carries a name: the same rows in memory and in Postgres, counted alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from connectors.postgres import Postgres, PostgresConfig
from dsr_worker.contract import (
    Collection,
    Connector,
    Field,
    Form,
    Identity,
    Parent,
    Resolves,
    Subject,
    System,
    Taken,
)
from dsr_worker.datamap import read_system
from dsr_worker.testing.context import TrialContext
from dsr_worker.testing.memory import Memory, MemoryConfig, store
from tests.contract.postgres_shop import execute

MAIL, OTHER_MAIL = "anna@mail.example", "bert@mail.example"
ANNA = Subject("anna", (Identity("customer_number", "1"), Identity("email", MAIL)))
COLUMNS = {
    "people": ("id", "email"),
    "letters": ("id", "reader", "address", "session"),
    "slips": ("id", "letter", "address"),
}
Rows = dict[str, list[tuple[str | None, ...]]]


def _collection(name: str, **rest: Any) -> Collection:
    fields = {column: Field(column, "user") for column in COLUMNS[name]}
    return Collection(name, ("id",), fields, source={"table": name}, **rest)


PEOPLE = _collection(
    "people",
    takes={"customer_number": Taken("id"), "email": Taken("email", Form.ASCII_CASE)},
    person=True,
)
LETTERS = _collection(
    "letters",
    takes={"customer_number": Taken("reader")},
    yields={"email": "address", "session_id": "session"},
)
SLIPS = _collection(
    "slips", parent=Parent("letters", {"letter": "id"}), yields={"email": "address"}
)
MAP = System("crm", "any", {c.name: c for c in (PEOPLE, LETTERS, SLIPS)})
Made = Callable[[System, Rows], Connector]


def _in_memory(system: System, rows: Rows) -> Connector:
    name = uuid4().hex
    loaded = {
        c: [dict(zip(COLUMNS[c], row, strict=True)) for row in some] for c, some in rows.items()
    }
    store(name).load(loaded, dict.fromkeys(rows, ("id",)))
    return Memory(system, MemoryConfig(name=name))


@pytest.fixture(params=["memory", "postgres"])
def made(request: pytest.FixtureRequest, database: Callable[[], str]) -> Made:
    """Makes a connector that holds the rows it is given."""
    if request.param == "memory":
        return _in_memory
    dsn = database()

    def in_postgres(system: System, rows: Rows) -> Connector:
        for name, columns in COLUMNS.items():
            execute(dsn, f"CREATE TABLE {name} ({', '.join(f'{c} text' for c in columns)})")
            places = ", ".join(["%s"] * len(columns))
            execute(dsn, f"INSERT INTO {name} VALUES ({places})", rows.get(name, []))  # noqa: S608 - our own names
        return Postgres(system, PostgresConfig(dsn=SecretStr(dsn)))

    return in_postgres


def _letter(
    key: str, reader: str | None, address: str | None, *more: str
) -> tuple[str | None, ...]:
    return (key, reader, address, *more, *[None] * (1 - len(more)))


OWN = _letter("1", "1", MAIL)
CASES: dict[str, tuple[Rows, dict[str, int]]] = {
    "a guest's letter without reader": ({"letters": [_letter("2", None, MAIL)]}, {}),
    "a guest's letter with a session": ({"letters": [_letter("2", None, MAIL, "s")]}, {}),
    "a letter of an empty reader": ({"letters": [_letter("2", " ", MAIL)]}, {}),
    "somebody else's letter": ({"letters": [_letter("2", "2", MAIL.upper())]}, {"letters": 1}),
    "two other readers": (
        {"letters": [_letter("2", "2", MAIL), _letter("3", "3", MAIL)]},
        {"letters": 2},
    ),
    "a slip of a guest's letter": (
        {"letters": [_letter("2", None, None)], "slips": [("9", "2", MAIL)]},
        {},
    ),
    "a slip of nobody's letter": ({"slips": [("9", "no letter", MAIL)]}, {}),
    "a slip of another's letter": (
        {"letters": [_letter("2", "2", None)], "slips": [("9", "2", MAIL)]},
        {"slips": 1},
    ),
    "a slip of a letter that names another": (
        {"letters": [_letter("2", None, OTHER_MAIL)], "slips": [("9", "2", MAIL)]},
        {"slips": 1},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_only_rows_of_another_owner_contest_a_name(made: Made, case: str) -> None:
    """A row counts against a name when it names somebody else too, itself or by rows above it."""
    rows, counted = CASES[case]
    own: Rows = {"letters": [OWN], "slips": [("1", "1", MAIL)], "people": [("1", MAIL)]}
    desk = made(MAP, {name: own[name] + rows.get(name, []) for name in COLUMNS})
    assert isinstance(desk, Resolves)
    links = [link for link in desk.resolve([ANNA], TrialContext()) if link.owners]
    assert {link.collection: link.owners for link in links} == counted
    assert {link.identity for link in links} <= {Identity("email", MAIL)}


def _guests(system: System, *nulls: str) -> System:
    """The same map, with these texts declared to name nobody as the reader of a letter."""
    fields = {**LETTERS.fields, "reader": Field("reader", "user", null_values=frozenset(nulls))}
    letters = replace(
        LETTERS,
        fields=fields,
        takes={**LETTERS.takes, "email": Taken("address", Form.ASCII_CASE)},
        yields={"customer_number": "reader"},
    )
    return replace(system, collections={**system.collections, "letters": letters})


GUESTS: Rows = {
    "letters": [_letter("1", "0", MAIL), _letter("2", "0", OTHER_MAIL)],
    "people": [("0", "zoe@mail.example")],
}


def test_a_number_declared_null_unites_nobody(made: Made) -> None:
    """Guests who share a declared number are not one person, nor anybody's namesake."""
    desk = made(_guests(MAP, "0"), GUESTS)
    assert isinstance(desk, Resolves)
    anna = Subject("anna", (Identity("email", MAIL),))
    assert not list(desk.resolve([anna], TrialContext()))
    assert {r.key for r in desk.find([anna], TrialContext())} == {("1",)}
    zero = Subject("zero", (Identity("customer_number", "0"),))
    found = {(r.collection, r.key) for r in desk.find([zero], TrialContext())}
    assert found == {("people", ("0",))}, "the real customer 0 has her row, and no guest's letter"


def test_a_real_customer_may_be_number_0(made: Made) -> None:
    """Where nothing is declared, 0 is a number like any other: found, and counted."""
    desk = made(_guests(MAP), GUESTS)
    assert isinstance(desk, Resolves)
    zero = Subject("zero", (Identity("customer_number", "0"),))
    found = {(r.collection, r.key) for r in desk.find([zero], TrialContext())}
    assert found == {("people", ("0",)), ("letters", ("1",)), ("letters", ("2",))}
    links = desk.resolve([Subject("anna", (Identity("email", MAIL),))], TrialContext())
    assert [(x.identity.value, x.owners) for x in links] == [("0", 1)]


def test_a_map_says_which_texts_name_nobody() -> None:
    """`null_values` of a field are read from the map's file, for that field alone."""
    text = """
system: shop
connector: memory
collections:
  orders:
    source: {}
    key: [id]
    takes: {customer_number: customer}
    class: voucher
    fields:
      id: user.unique_id
      customer: {category: user.unique_id, null_values: ["0", "-1"]}
    purpose: Sale.
    legal_basis: Contract.
    recipients: [nobody]
    origin: You.
"""
    orders = read_system(text).system.collections["orders"]
    assert orders.names_nobody("customer", "0")
    assert not orders.names_nobody("customer", "00")
    assert not orders.names_nobody("id", "0")
