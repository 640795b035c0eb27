"""What names and values of a database say by themselves."""

from __future__ import annotations

import json

import pytest

from connectors.naming.forms import (
    Seen,
    form_of,
    naming,
    observe,
    observe_documents,
)
from connectors.naming.hints import hint
from connectors.naming.words import Part, part_of, says_who_did_it, words


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ("anna@shop.example", "email"),
        ("Änne@shop.example", "email"),
        ("anna@shop", "word"),
        ("+49 30 1234567", "phone"),
        ("030/123 45 67", "phone"),
        ("1234567", "number"),
        ("2024-01-31", "date"),
        ("2024-01-31 10:00:00+00", "date"),
        ("192.0.2.7", "ip"),
        ("2001:db8::1", "ip"),
        ("10", "number"),
        ("DE89370400440532013000", "iban"),
        ("DE89370400440532013001", "code"),
        ("4111 1111 1111 1111", "card"),
        ("4111 1111 1111 1112", "number"),
        ("00000000-0000-4000-8000-000000000001", "uuid"),
        ("DE", "country"),
        ("GB-ENG", "country"),
        ("3f2a9c0d41e84b7796aa10", "token"),
        ("an-article-with-a-long-name", "word"),
        ('{"theme": "dark", "size": 12, "more": 1}', "document"),
        ("She asked for it twice and never came", "prose"),
        ("---\nsubject: lamp\n", "document"),
        ("https://pages.example/anna", "url"),
        ("<20240131.1@mail.example>", "mail_id"),
        ("01J8XH3T1QZ6V9K2M4N7P5R8SA", "code"),
        ("Lamp & Chair GmbH", "company"),
        ("Anna Sa", "words"),
    ],
)
def test_forms(value: str, form: str) -> None:
    """A value has one form, and check digits are looked at."""
    assert form_of(value) == form


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("email", "user.contact.email"),
        ("EMAIL_ADDRESS", "user.contact.email"),
        ("billToEmail", "user.contact.email"),
        ("FirstName", "user.name"),
        ("nachname", "user.name"),
        ("company_name", None),
        ("product_name", None),
        ("filename", None),
        ("name_id", None),
        ("dob", "user.demographic.date_of_birth"),
        ("address2", "user.contact.address"),
        ("ip_address", "user.device.ip_address"),
        ("shipping", None),
        ("zip", "user.contact.address.postal_code"),
        ("total", None),
        ("Straße", "user.contact.address.street"),
        ("", None),
    ],
)
def test_names(name: str, category: str | None) -> None:
    """Words decide, not letters: shipping holds no ip."""
    found = hint(name)
    assert (found and found.category) == category


def test_words_come_out_of_any_spelling() -> None:
    """Camel case, snake case, capitals and signs."""
    assert words("billToEMail") == ("bill", "to", "e", "mail")
    assert words("BILL_TO") == ("bill", "to")
    assert words("order-line no.") == ("order", "line", "no")


def test_parts_of_tables() -> None:
    """A table is what its last word says."""
    assert part_of("customers") is Part.CUSTOMER
    assert part_of("shop_users") is Part.CUSTOMER
    assert part_of("admin_users") is Part.STAFF
    assert part_of("product_categories") is Part.REFERENCE
    assert part_of("orders") is Part.OTHER
    assert part_of("'") is Part.OTHER


def test_who_worked_on_a_row_is_not_its_owner() -> None:
    """`created_by` says who did it; `customer_id` whose it is."""
    assert says_who_did_it("created_by")
    assert says_who_did_it("approved_by_user_id")
    assert not says_who_did_it("customer_id")
    assert not says_who_did_it("ordered_by_date_id".replace("by", "at"))


def test_documents_are_seen_by_path_and_data_keys_are_hidden() -> None:
    """Keys that many documents share are structure; a key seen once may be a person's name."""
    documents = [
        json.dumps({"who": {"email": f"a{n}@x.example"}, f"person{100 + n}": "b@x.example"})
        for n in range(10)
    ]
    seen = observe_documents([*documents, None, '{"cut'])
    assert ("who", "email") in seen.paths
    assert seen.paths["who", "email"].share("email") == 1.0
    assert all("person" not in part for path in seen.paths for part in path)
    assert seen.hidden is not None
    assert seen.hidden.forms["email"] == 10
    assert (seen.rows, seen.values, seen.forms) == (12, 11, {"cut": 1})


@pytest.mark.parametrize("text", ["[" * 8000, '{"a":' * 1600, "1" * 5000, '"\\ud800"', "NaN"])
def test_no_document_is_too_odd_to_be_counted(text: str) -> None:
    """What cannot be read is counted as cut off, and nothing fails."""
    assert observe_documents([text]).rows == 1


def test_arrays_are_seen_by_element() -> None:
    """An address in an array is seen, and no path is claimed to reach it."""
    seen = observe_documents(['["a@x.example", "b@x.example"]', '[{"mail": "c@x.example"}]'])
    assert seen.elements is not None
    assert seen.elements.forms == {"email": 2}
    assert seen.paths == {}
    assert seen.hidden is not None


def test_nothing_but_counts_is_kept() -> None:
    """What was seen holds no value in any form."""
    seen = observe(["zq@zq.example", "call zq at zq@zq.example", None, ""])
    assert "zq" not in repr(seen)
    assert (seen.rows, seen.values, seen.inside) == (4, 2, {"email": 1})
    assert Seen().share("email") == 0.0


def test_values_that_hold_their_rows_name() -> None:
    """Counted row by row, in any case; names too short to mean anything and nulls do not count."""
    names = ["anna.b@mail.example", "Bernd", "Al", None, "carla"]
    values = ["/people/ANNA.B", "/people/carla", "/people/al", "/people/x", None]
    assert naming(names, values) == (1, 2)


def test_a_roles_mailbox_is_counted_apart() -> None:
    """`info@` is nobody's by itself; a person's address is no role's."""
    seen = observe(["info@lamp.example", "Support@lamp.example", "anna@lamp.example"])
    assert seen.forms == {"email": 3}
    assert seen.inside == {"role_mailbox": 2}


@pytest.mark.parametrize(
    ("text", "forms"),
    [
        ("---\nfrom: anna@mail.example\nn: 3\n", {"email": 1, "number": 1}),
        ('{"to": ["anna@mail.example"], "n": 3}', {"email": 1, "number": 1}),
        ("---\n- '192.0.2.1'\n", {"ip": 1}),
    ],
)
def test_documents_that_texts_hold_are_read(text: str, forms: dict[str, int]) -> None:
    """YAML by line and JSON whole, values only."""
    elements = observe([text]).elements
    assert elements is not None
    assert elements.forms == forms


@pytest.mark.parametrize(
    ("text", "found"),
    [("192.0.2.1;192.0.2.2", True), ("Chrome/139.0.0.0 on Linux", False), ("v1.2.3.4.5", False)],
)
def test_addresses_in_longer_texts(text: str, found: bool) -> None:  # noqa: FBT001 - a parameter
    """A list of addresses is told from a version."""
    assert ("ip" in observe([text]).inside) is found
