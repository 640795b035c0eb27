"""Who the people are and what stands beside them: shapes that other people's schemas have."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dsr_worker.contract import Parent, Proposal
from tests.contract.postgres_proposals import claims, field, proposed_for

PROFILES = """
CREATE TABLE accounts (id int PRIMARY KEY, username text NOT NULL, bio text, page text,
  language text);
CREATE TABLE users (id int PRIMARY KEY, email text UNIQUE NOT NULL, language text,
  account_id int NOT NULL REFERENCES accounts);
CREATE TABLE posts (id int PRIMARY KEY, account_id int NOT NULL REFERENCES accounts, body text,
  language text, shares int[], options text[]);
CREATE TABLE follows (id int PRIMARY KEY, account_id int NOT NULL REFERENCES accounts,
  target_account_id int NOT NULL REFERENCES accounts);
CREATE TABLE logins (id int PRIMARY KEY, user_id int NOT NULL REFERENCES users, ip inet);
CREATE TABLE events (id int PRIMARY KEY, login_id int, login_type text, account_id int);
CREATE TABLE locations (id int PRIMARY KEY, user_id int NOT NULL REFERENCES users, lat float8,
  lng float8);
CREATE TABLE companies (id int PRIMARY KEY, owner_id int NOT NULL REFERENCES users, name text,
  phone text);
CREATE TABLE suppliers (id int PRIMARY KEY, company_name text, contact_name text, phone text,
  address text, city text);
INSERT INTO accounts SELECT n, 'person' || n, 'Likes to walk along the river in spring.',
  'https://social.example/people/person' || n, 'en' FROM generate_series(1, 20) n;
INSERT INTO users SELECT n, 'a' || n || '@mail.example', 'en', n FROM generate_series(1, 20) n;
INSERT INTO posts SELECT n, n, 'A fine day for a walk, said everybody today.', 'en',
  ARRAY[n, n + 1], ARRAY['the blue one of ' || n, 'the other one'] FROM generate_series(1, 20) n;
INSERT INTO events SELECT n, n, 'Login', n FROM generate_series(1, 20) n;
INSERT INTO logins SELECT n, n, '192.0.2.1' FROM generate_series(1, 20) n;
"""

BESIDE = """
CREATE TABLE users (id int PRIMARY KEY, username text, settings text);
CREATE TABLE user_emails (id int PRIMARY KEY, user_id int NOT NULL REFERENCES users,
  email text UNIQUE NOT NULL);
CREATE TABLE staff (id int PRIMARY KEY, first_name text, last_name text, title text,
  home_phone text, extension text, street text, city text, region text, status text, state text);
CREATE TABLE orders (id int PRIMARY KEY, user_id int NOT NULL REFERENCES users, state text,
  ship_city text, ship_street text, ship_state text, gateway_customer_id text, fee_name text);
CREATE TABLE credit_cards (id int PRIMARY KEY, user_id int NOT NULL REFERENCES users,
  month text, year text, last_digits text, kind text, created_at timestamptz);
CREATE TABLE sessions (id int PRIMARY KEY, session_id text, data text, updated_at timestamptz);
INSERT INTO users SELECT n, 'person' || n, '{"theme": "dark", "size": 3}'
  FROM generate_series(1, 20) n;
INSERT INTO user_emails SELECT n, n, 'a' || n || '@mail.example' FROM generate_series(1, 20) n;
INSERT INTO orders SELECT n, n, 'open', 'Ostried', 'Seeweg ' || n, 'Nordmark', 'cus_' || n,
  'fee ' || n FROM generate_series(1, 20) n;
"""


@pytest.fixture(scope="module")
def profiles(module_databases: Callable[[], str]) -> Proposal:
    """Accounts that users have, and what hangs on either."""
    return proposed_for(module_databases(), PROFILES)


@pytest.fixture(scope="module")
def beside(module_databases: Callable[[], str]) -> Proposal:
    """Columns that only their neighbours explain."""
    return proposed_for(module_databases(), BESIDE)


def test_the_people_are_those_who_can_be_found_by_mail(profiles: Proposal) -> None:
    """Users have the e-mail; the account they point at is theirs, and no second person."""
    users, accounts = profiles.collections["users"], profiles.collections["accounts"]
    assert users.person
    assert users.takes["email"].field == "email"
    assert not accounts.person
    assert accounts.parent == Parent("users", {"id": "account_id"})
    assert accounts.review


def test_what_hangs_on_the_account_is_theirs_too(profiles: Proposal) -> None:
    """Posts follow the account; a row between two people is for a person to settle."""
    assert profiles.collections["posts"].parent == Parent("accounts", {"account_id": "id"})
    assert not profiles.collections["posts"].review
    assert profiles.collections["follows"].review


def test_a_reference_into_any_table_is_not_guessed(profiles: Proposal) -> None:
    """`login_id` beside `login_type` may point anywhere, however well the numbers fit."""
    assert profiles.collections["events"].parent == Parent("accounts", {"account_id": "id"})


def test_what_a_user_owns_by_name_is_theirs_and_a_company_is_not(profiles: Proposal) -> None:
    """Places of a user are the user's, marked; a company that a user runs is a company."""
    assert profiles.collections["locations"].review
    assert claims(profiles, "locations.lat")
    assert "companies" not in profiles.collections


def test_a_supplier_is_its_contact_person(profiles: Proposal) -> None:
    """Who speaks for a supplier, and that number; not where its house stands."""
    assert claims(profiles, "suppliers.contact_name")
    assert claims(profiles, "suppliers.phone")
    assert not claims(profiles, "suppliers.address")
    assert not claims(profiles, "suppliers.company_name")


def test_a_text_has_a_language_and_so_has_a_person(profiles: Proposal) -> None:
    """Only in a person's own row does a language say something of the person."""
    assert claims(profiles, "users.language")
    assert not claims(profiles, "posts.language")


def test_an_address_that_holds_the_persons_name_is_found(profiles: Proposal) -> None:
    """A page with the user's name in it, whatever the column is called; counted, never told."""
    assert field(profiles, "accounts.page").category == "user.account.username"
    codes = [str(e) for e in profiles.grounds["accounts", "page"].evidence]
    assert codes == ["contains.name 20/20"]


def test_numbers_in_an_array_are_nobodys_words(profiles: Proposal) -> None:
    """An array of numbers needs no look, one of people's own words does."""
    assert not claims(profiles, "posts.shares")
    assert claims(profiles, "posts.options")


def test_mails_in_a_table_of_their_own_lead_to_their_people(beside: Proposal) -> None:
    """Where users have no e-mail, the table of e-mails takes it and yields the user's number."""
    mails = beside.collections["user_emails"]
    assert mails.takes["email"].field == "email"
    assert dict(mails.yields) == {"customer_number": "user_id"}
    assert beside.collections["users"].takes["customer_number"].field == "id"
    assert mails.review


def test_a_state_beside_a_street_is_a_place(beside: Proposal) -> None:
    """`state` alone is how far an order is; beside `street` and `city` it is where somebody is."""
    assert claims(beside, "staff.region")
    assert claims(beside, "orders.ship_state")
    assert not claims(beside, "orders.state")


def test_titles_and_extensions_beside_names_and_numbers(beside: Proposal) -> None:
    """What completes a name or a number goes with it."""
    assert field(beside, "staff.title").category == "user.job_title"
    assert field(beside, "staff.extension").category == "user.contact.phone_number"
    assert claims(beside, "orders.gateway_customer_id")
    assert not claims(beside, "orders.fee_name")


def test_a_cards_parts_are_means_of_payment(beside: Proposal) -> None:
    """Month, year and last digits of a card, by what their table is; not when the row was made."""
    for name in ("month", "year", "last_digits"):
        assert field(beside, f"credit_cards.{name}").category == "user.financial.credit_card"
    assert not claims(beside, "credit_cards.created_at")


def test_sessions_are_somebodys(beside: Proposal) -> None:
    """A session's key and its data are found though nothing leads to them; a setting is none."""
    assert claims(beside, "sessions.session_id")
    assert claims(beside, "sessions.data")
    assert beside.collections["sessions"].review
    assert not claims(beside, "users.settings")
