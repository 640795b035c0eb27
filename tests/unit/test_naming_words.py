"""What names say: which words make a column a person's, and which only a remark on one."""

from __future__ import annotations

import pytest

from connectors.naming.classifying import SURE
from connectors.naming.hints import hint, names_a_person_elsewhere, names_a_thing
from connectors.naming.words import Part, part_of, people_by_name_alone, words


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("payer_country", "user.contact.address.country"),
        ("recipient", "user.name"),
        ("cardHolderName", "user.name"),
        ("billing_postal_code", "user.contact.address.postal_code"),
        ("private_key", "user.authorization.credentials"),
        ("time_zone", "user.location.imprecise"),
        ("session_id", "user.device.cookie_id"),
    ],
)
def test_a_name_suggests_what_it_ends_in(name: str, category: str) -> None:
    """A payer's country is a country, a card holder's name is a name."""
    found = hint(name)
    assert found is not None
    assert found.category == category


@pytest.mark.parametrize(
    "name", ["logo_content_type", "message_status", "note_template", "comment_count"]
)
def test_a_remark_on_a_text_is_not_the_text(name: str) -> None:
    """The type of an upload's content is no content, a number of comments is no comment."""
    assert hint(name) is None


@pytest.mark.parametrize("name", ["blood_type", "marital_status", "email_status"])
def test_a_remark_on_a_person_is_looked_at(name: str) -> None:
    """What kind of blood somebody has says more than that they have some; never surely, though."""
    found = hint(name)
    assert found is not None
    assert found.sure < SURE


@pytest.mark.parametrize(
    ("table", "part"),
    [
        ("customer_groups", Part.REFERENCE),
        ("product_groups", Part.REFERENCE),
        ("enterprise_groups", Part.ORGANISATION),
        ("groups", Part.OTHER),
        ("film_actors", Part.REFERENCE),
        ("users", Part.CUSTOMER),
        ("webhooks", Part.SYSTEM),
        ("channel_whatsapp", Part.SYSTEM),
        ("oauth_access_tokens", Part.OTHER),
    ],
)
def test_a_group_of_something_is_no_person(table: str, part: Part) -> None:
    """A group of customers is a kind of customer, a group of companies is an organisation."""
    assert part_of(table) is part


@pytest.mark.parametrize("name", ["fee_name", "column_name", "event_name"])
def test_names_of_things(name: str) -> None:
    """A fee's name names nobody."""
    assert names_a_thing(words(name))


@pytest.mark.parametrize(
    "name", ["file_name", "owner_name", "company_name", "guest_name", "borrower_name", "pet_name"]
)
def test_names_that_may_be_a_persons(name: str) -> None:
    """A file's name may say whose it is, a company's its owner's; unknown words are looked at."""
    assert not names_a_thing(words(name))


def test_numbers_of_people_in_other_systems() -> None:
    """A text called like somebody's id; an id of a thing is not."""
    assert names_a_person_elsewhere("gateway_customer_profile_id")
    assert names_a_person_elsewhere("payer_id")
    assert not names_a_person_elsewhere("transaction_id")
    assert not names_a_person_elsewhere("payer")


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("from", "user.contact"),
        ("reply_to", "user.contact"),
        ("from_date", None),
        ("caller_id", "user.contact.phone_number"),
        ("tokens", "user.authorization.credentials"),
        ("cvv_response_code", None),
        ("message_id_md5", None),
        ("channel_name", None),
    ],
)
def test_ends_of_mails_and_remarks_on_them(name: str, category: str | None) -> None:
    """Who a mail or call is from and to is a contact; its number and its answer are none."""
    found = hint(name)
    assert (found.category if found else None) == category


@pytest.mark.parametrize(
    ("table", "alone"),
    [("profiles", True), ("user_profiles", True), ("report_profiles", False), ("clients", True)],
)
def test_a_name_alone_makes_people_of_few_tables(table: str, *, alone: bool) -> None:
    """A profile of a report has a name as well, and is nobody."""
    assert people_by_name_alone(table) is alone
