"""The Postgres connector asked again and again: statements kept from one batch serve the next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from connectors.postgres import Postgres
from dsr_worker.contract import Form, Identity, Record, Subject, System, Taken
from dsr_worker.testing.context import TrialContext
from tests.contract.postgres_shop import add_customer, belongings, connector, subject, system

ANNA = subject("a", email="anna@shop.example")
BEN = subject("b", email="ben@shop.example")
JUERGEN = subject("c", email="jürgen@xn--mller-kva.example")
SECOND = subject("d", number="2")
NOBODY = subject("e", email="nobody@shop.example", number="77")
BATCHES: tuple[list[Subject], ...] = (
    [ANNA],
    [BEN],
    [ANNA, BEN],
    [JUERGEN],
    [SECOND],
    [NOBODY],
    [],
    [JUERGEN, ANNA, SECOND, NOBODY],
)


def test_a_batch_finds_the_same_whatever_was_asked_before(shop: str) -> None:
    """Batches of other sizes, spellings and paths through one connector change no answer."""
    add_customer(shop, 1, "Anna@shop.example")
    add_customer(shop, 2, "ben@shop.example")
    add_customer(shop, 3, "Jürgen@Müller.example")
    paths = [TrialContext(), TrialContext(second_path=True)]
    used = connector(shop)
    for number, batch in enumerate((*BATCHES, *reversed(BATCHES))):
        ctx = paths[number % 2]
        assert _all(used, batch, ctx) == _all(connector(shop), batch, ctx)
    assert {key for _, key, _ in _all(used, [ANNA], TrialContext())} >= {("1",), ("100",)}
    assert {ref for ref, _, _ in _all(used, BATCHES[-1], TrialContext())} == {"a", "c", "d"}


def _all(
    postgres: Postgres, batch: Sequence[Subject], ctx: TrialContext
) -> Counter[tuple[str, tuple[str, ...], bytes]]:
    """Everything that find, blocks and locate say."""
    found = [(r.subject_ref, r.key, r.body) for r in postgres.find(batch, ctx)]
    for one in postgres.find_blocks(batch, ctx):
        if isinstance(one, Record):
            found.append((one.subject_ref, one.key, one.body))
        else:
            found += [(one.subject_ref, one.key, body) for body in one.bodies.split(b"\n")]
    found += [(k.subject_ref, k.key, b"") for k in postgres.locate(batch, ctx)]
    return Counter(found)


@pytest.mark.parametrize("length", [149, 150, 151, 450, 451, 2_000])
def test_a_name_may_be_long(shop: str, length: int) -> None:
    """However long a name is, it finds its rows and their children, and so do those beside it."""
    long = "a" * (length - len("@shop.example")) + "@shop.example"
    add_customer(shop, 1, long)
    add_customer(shop, 2, "ben@shop.example")
    for batch in ([subject("l", email=long)], [subject("l", email=long), BEN]):
        keys = list(connector(shop).locate(batch, TrialContext()))
        for ref, number in zip(("l", "b"), (1, 2), strict=True):
            found = {(k.collection, " ".join(k.key)) for k in keys if k.subject_ref == ref}
            assert found == (
                belongings(number) - _by_number(number) if len(batch) >= number else set()
            )


def test_a_spelling_on_file_may_be_longer_than_any_name(shop: str) -> None:
    """Punctuation between digits counts for nothing, however much of it there is."""
    add_customer(shop, 1, "anna@shop.example", phone="+49" + "-" * 600 + "30 1234567")
    found = system()
    people = found.collections["customers"]
    mapped = replace(people, takes={**people.takes, "phone": Taken("phone", Form.DIGITS)})
    shape = System("shop", "postgres", {**found.collections, "customers": mapped})
    person = Subject("a", (Identity("phone", "+49301234567"),))
    keys = list(connector(shop, shape).locate([person], TrialContext()))
    assert {(k.collection, " ".join(k.key)) for k in keys} == {
        (name, key)
        for name, key in belongings(1) - _by_number(1)
        if name not in {"carts", "cart_items"}  # known by their e-mail alone
    }


@pytest.mark.parametrize("kind", ["short", "long" * 20])
def test_a_kind_of_identity_may_have_a_long_name(shop: str, kind: str) -> None:
    """What was found through a parent tells the kind by which the parent was found."""
    add_customer(shop, 1, "anna@shop.example")
    found = system().collections
    people = replace(found["customers"], takes={kind: Taken("email")})
    orders = replace(found["orders"], takes={}, yields={"order_number": "id"})
    shape = System("shop", "postgres", {**found, "customers": people, "orders": orders})
    person = Subject("a", (Identity(kind, "anna@shop.example"),))
    links = connector(shop, shape).resolve([person], TrialContext())
    assert {link.via for link in links if link.collection == "orders"} == {kind}


def _by_number(number: int) -> set[tuple[str, str]]:
    """What only the customer number finds."""
    return {one for one in belongings(number) if one[0] == "loyalty"}
