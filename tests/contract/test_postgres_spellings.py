"""Every spelling of an address that the canonicaliser calls equal is found in Postgres."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsr_worker.domain.identity import canonical_stored, claimed
from dsr_worker.domain.resolution import absorb, start
from dsr_worker.testing.context import TrialContext
from tests.contract.postgres_shop import add_customer, connector, erase, execute, subject, system
from tests.examples import examples

NFC, NFD = "m\u00fcller@mail.example", "mu\u0308ller@mail.example"
READ, SENT = "anna@m\u00fcnchen.example", "anna@xn--mnchen-3ya.example"


def _found(dsn: str, email: str) -> set[str]:
    anna = subject("a", email=claimed("email", email).value)
    keys = connector(dsn).locate([anna], TrialContext())
    return {key.key[0] for key in keys if key.collection == "carts"}


def _write(dsn: str, *stored: str) -> None:
    execute(dsn, "TRUNCATE carts CASCADE")
    rows = [(n, text) for n, text in enumerate(stored)]
    execute(dsn, "INSERT INTO carts (id, email) VALUES (%s, %s)", rows)


@pytest.mark.parametrize("claim", [NFC, NFD, NFC.upper()])
def test_composed_and_decomposed_letters_are_one_address(shop: str, claim: str) -> None:
    """However the store composes a letter, the row is found, and an other letter is not."""
    _write(shop, NFC, NFD, NFD.replace("m", "M"), "muller@mail.example", "m\u00fc@mail.example")
    expected = {"0", "1", "2"} if claim != NFC.upper() else set()
    assert _found(shop, claim) == expected


@pytest.mark.parametrize("claim", [READ, SENT])
def test_a_domain_is_found_as_read_and_as_sent(shop: str, claim: str) -> None:
    """A domain's words in letters and in A-labels are one domain, mixed and decomposed as well."""
    decomposed = unicodedata.normalize("NFD", READ)
    ideographic = READ.replace(".", "\u3002")
    _write(shop, READ, SENT, SENT.upper(), decomposed, ideographic, "anna@munchen.example")
    assert _found(shop, claim) == {"0", "1", "2", "3", "4"}


_letters = st.sampled_from(
    ["a", "A", "u\u0308", "\u00fc", "\u00dc", "U\u0308", "\u00e9", "h\u0331", "H\u0331", "\u4e2d"]
)
_local = st.lists(_letters, min_size=1, max_size=3).map("".join)
_word = st.sampled_from(
    ["m\u00fcnchen", "xn--mnchen-3ya", "mu\u0308nchen", "MU\u0308NCHEN", "b", "B", "\u4e2d"]
)
_address = st.builds(
    "{}@{}{}example".format, _local, _word, st.sampled_from([".", "\u3002"])
).filter(
    # an address of ASCII letters alone with another dot is not looked for (docs/data-map.md)
    lambda text: "\u3002" not in text or "xn--" in text or not text.replace("\u3002", "").isascii()
)


@settings(max_examples=examples(25), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_address, min_size=2, max_size=12))
def test_found_is_exactly_what_is_equal(shop: str, stored: list[str]) -> None:
    """For whatever is on file, the rows found are those whose canonical address is the person's."""
    _write(shop, *stored)
    canonical = [canonical_stored("email", text) for text in stored]
    anna = subject("a", email=canonical[0])
    keys = list(connector(shop).locate([anna], TrialContext()))
    expected = sorted(str(n) for n, one in enumerate(canonical) if one == canonical[0])
    assert sorted(key.key[0] for key in keys) == expected, "each once, none of anybody else's"


def test_two_customers_of_one_address_are_two_people(shop: str) -> None:
    """One address in two spellings at two customers stops for a human."""
    add_customer(shop, 1, NFC)
    add_customer(shop, 2, NFD)
    anna = subject("a", email=NFC, number="1")
    links = list(connector(shop).resolve([anna], TrialContext()))
    assert absorb(start(anna.identities), system(), links).several_people
    by_number = subject("b", number="1")
    links = list(connector(shop).resolve([by_number], TrialContext()))
    assert {x.owners for x in links if x.identity.kind == "email"} == {1}


def test_looking_again_finds_every_spelling(shop: str) -> None:
    """What an erasure left, because it came later, is seen in another spelling as well."""
    add_customer(shop, 1, NFC)
    anna = subject("a", email=NFC)
    erase(shop, [anna], TrialContext())
    execute(shop, "INSERT INTO carts (id, email) VALUES (%s, %s)", [(900, NFD)])
    left = connector(shop).recheck([anna], [], TrialContext(second_path=True))
    assert {(key.collection, key.key) for key in left} == {("carts", ("900",))}
