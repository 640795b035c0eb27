"""Shapes of schemas that nobody tuned for: tenants, the software's own tables, any owner."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dsr_worker.contract import Field, Mask, MaskKind, Parent, Proposal, System
from tests.contract.postgres_proposals import claims, left_out, proposed, proposed_for, told
from tests.contract.postgres_shop import execute

TENANTS = """
CREATE TABLE accounts (id int PRIMARY KEY, name text, support_email text, domain text);
CREATE TABLE users (id int PRIMARY KEY, name text, email text UNIQUE, encrypted_password text,
  tokens jsonb, custom_attributes jsonb, web text,
  pass text);
CREATE TABLE account_users (id int PRIMARY KEY, account_id int, user_id int);
CREATE TABLE contacts (id int PRIMARY KEY, account_id int, name text, email text, phone text);
CREATE TABLE inboxes (id int PRIMARY KEY, account_id int, name text, greeting_message text);
CREATE TABLE canned_responses (id int PRIMARY KEY, account_id int, content text);
CREATE TABLE conversations (id int PRIMARY KEY, account_id int, contact_id int, inbox_id int);
CREATE TABLE messages (id int PRIMARY KEY, account_id int, conversation_id int NOT NULL,
  content text, sender_type text, sender_id int);
CREATE TABLE access_tokens (id int PRIMARY KEY, owner_type text, owner_id int, token text);
CREATE TABLE blobs (id int PRIMARY KEY, filename text, byte_size int, checksum text);
CREATE TABLE notes (id int PRIMARY KEY, contact_id int, user_id int, content text);
CREATE TABLE webhooks (id int PRIMARY KEY, account_id int, url text, basic_auth_username text);
CREATE TABLE report_profiles (id int PRIMARY KEY, name text);
INSERT INTO accounts SELECT n, 'Lamp ' || n || ' Ltd', 'support@lamp' || n || '.example',
  'l.example' FROM generate_series(1, 20) n;
INSERT INTO users SELECT n, 'Ada Ahorn', 'a' || n || '@mail.example', 'x', '{"n": 1}',
  '{"mode": "a"}', 'https://pages.example/' || n, 'X' || 70000 + n FROM generate_series(1, 20) n;
INSERT INTO account_users SELECT n, n, n FROM generate_series(1, 20) n;
INSERT INTO contacts SELECT n, n, 'Ben Birke', 'b' || n || '@mail.example', '+49 30 555' || 1000 + n
  FROM generate_series(1, 20) n;
INSERT INTO inboxes SELECT n, n, 'Inbox', 'Welcome to the lamp shop, how are you today?'
  FROM generate_series(1, 20) n;
INSERT INTO canned_responses SELECT n, n, 'Thank you for your letter, we shall answer it ' || n
  FROM generate_series(1, 20) n;
INSERT INTO conversations SELECT n, n, n, n FROM generate_series(1, 20) n;
INSERT INTO messages SELECT n, n, n, 'The bell is hard to hear from the garden, ring twice ' || n,
  'Contact', n FROM generate_series(1, 20) n;
INSERT INTO access_tokens SELECT n, 'Robot', n, md5(n::text) FROM generate_series(1, 20) n;
INSERT INTO blobs SELECT n, 'letter' || n || '.pdf', n, md5(n::text) FROM generate_series(1, 20) n;
INSERT INTO notes SELECT n, n, n, 'Likes the blue one best of all that we showed ' || n
  FROM generate_series(1, 20) n;
INSERT INTO webhooks SELECT n, n, 'https://hook.example/' || n, 'robot' || n
  FROM generate_series(1, 20) n;
INSERT INTO report_profiles SELECT n, 'Profile ' || n FROM generate_series(1, 20) n;
"""

DESK = """
CREATE TABLE users (id int PRIMARY KEY, login text UNIQUE, firstname text, lastname text,
  email text);
CREATE TABLE tickets (id int PRIMARY KEY, title text, owner_id int NOT NULL REFERENCES users,
  customer_id int NOT NULL REFERENCES users, checklist_id int UNIQUE);
CREATE TABLE checklists (id int PRIMARY KEY, name text);
ALTER TABLE tickets ADD FOREIGN KEY (checklist_id) REFERENCES checklists;
CREATE TABLE recent_views (id int PRIMARY KEY, o_id int, created_by_id int REFERENCES users);
CREATE TABLE macros (id int PRIMARY KEY, name text, perform text, note text,
  updated_by_id int REFERENCES users, created_by_id int REFERENCES users);
CREATE TABLE groups (id int PRIMARY KEY, name text, updated_by_id int REFERENCES users,
  created_by_id int REFERENCES users);
CREATE TABLE ticket_drafts (id int PRIMARY KEY, body text, updated_by_id int REFERENCES users,
  created_by_id int NOT NULL REFERENCES users);
CREATE TABLE ticket_notes (id int PRIMARY KEY, ticket_id int REFERENCES tickets, content text,
  user_id int NOT NULL REFERENCES users);
CREATE TABLE histories (id int PRIMARY KEY, value_from text, value_to text);
CREATE TABLE calls (id int PRIMARY KEY, "from" text, "to" text);
CREATE TABLE drafted (id int PRIMARY KEY, user_id int REFERENCES users, state text, options text);
CREATE TABLE features (id int PRIMARY KEY, payload jsonb);
CREATE TABLE chats (id int PRIMARY KEY, block_ip text);
CREATE TABLE rooms (id int PRIMARY KEY, user_ids int[]);
CREATE TABLE bookings (house int, number int, user_id int NOT NULL REFERENCES users,
  PRIMARY KEY (house, number));
CREATE TABLE booking_meals (id int PRIMARY KEY, house int, number int, comment text);
INSERT INTO users SELECT n, 'ada' || n, 'Ada', 'Ahorn', 'a' || n || '@mail.example'
  FROM generate_series(1, 20) n;
INSERT INTO checklists SELECT n, 'List ' || n FROM generate_series(1, 20) n;
INSERT INTO tickets SELECT n, 'lamp ' || n, n, n, n FROM generate_series(1, 20) n;
INSERT INTO macros SELECT n, 'M' || n, E'---\\nstate.id:\\n  value: 3\\n', 'n', 1, 1
  FROM generate_series(1, 20) n;
INSERT INTO calls SELECT n, '4930555' || 1000 + n, '4930777' || 1000 + n
  FROM generate_series(1, 20) n;
INSERT INTO drafted SELECT n, n, E'---\\nsubject: lamp\\nbody: The lamp flickers in the evening '
  || n || E'\\n', E'---\\nstate.id:\\n  value: ' || n % 3 || E'\\n' FROM generate_series(1, 20) n;
INSERT INTO features SELECT n, jsonb_build_object('user_id', n, 'kind', 'a')
  FROM generate_series(1, 20) n;
INSERT INTO chats SELECT n, '192.0.2.' || n || ';198.51.100.' || n FROM generate_series(1, 20) n;
INSERT INTO rooms SELECT n, ARRAY[n, 21 - n] FROM generate_series(1, 20) n;
INSERT INTO bookings SELECT n % 4, n, n FROM generate_series(1, 20) n;
INSERT INTO booking_meals SELECT n, n % 4, n, 'c' FROM generate_series(1, 20) n;
"""


MEMBERS = """
CREATE TABLE accounts (id int PRIMARY KEY, name text);
CREATE TABLE members (id int PRIMARY KEY, email text UNIQUE, first_name text);
CREATE TABLE memberships (id int PRIMARY KEY, owner_id int REFERENCES accounts,
  member_id int REFERENCES members);
CREATE TABLE invoices (id int PRIMARY KEY, owner_id int REFERENCES accounts);
CREATE TABLE projects (id int PRIMARY KEY, owner_id int REFERENCES accounts);
CREATE TABLE returns (id int PRIMARY KEY, owner_id int REFERENCES accounts);
INSERT INTO accounts SELECT n, 'Ada Ahorn' FROM generate_series(1, 20) n;
INSERT INTO members SELECT n, 'a' || n || '@mail.example', 'Ada' FROM generate_series(1, 20) n;
"""


@pytest.fixture(scope="module")
def tenants(module_databases: Callable[[], str]) -> Proposal:
    """A service that many companies share: their agents, and the people who write to them."""
    return proposed_for(module_databases(), TENANTS)


@pytest.fixture(scope="module")
def desk(module_databases: Callable[[], str]) -> Proposal:
    """Customers and agents in one table, and rows that tell only who made them."""
    return proposed_for(module_databases(), DESK)


def codes(proposal: Proposal, collection: str, field: str = "") -> set[str]:
    """The evidence of a collection or a field."""
    return {e.code for e in proposal.grounds[collection, field].evidence}


def test_a_tenant_is_nobody_and_its_people_are_their_own(tenants: Proposal) -> None:
    """Companies that everything refers to own nothing here; the people below them are people."""
    assert not {"accounts", "inboxes", "canned_responses"} & set(tenants.collections)
    assert left_out(tenants)["public.accounts"] == "referred_to"
    assert tenants.collections["contacts"].person
    assert tenants.collections["contacts"].parent is None
    assert tenants.collections["conversations"].parent == Parent("contacts", {"contact_id": "id"})
    assert tenants.collections["messages"].parent is not None
    assert tenants.collections["account_users"].parent == Parent("users", {"user_id": "id"})


def test_users_beside_contacts_are_those_who_serve_them(tenants: Proposal) -> None:
    """Agents are people too, of another kind: marked, with the reason, and after customers."""
    users = tenants.collections["users"]
    assert users.person
    assert users.review
    assert "beside_customers" in codes(tenants, "users")
    assert not tenants.collections["contacts"].review
    assert tenants.collections["notes"].parent == Parent("contacts", {"contact_id": "id"})


def test_a_row_of_any_kind_of_owner_is_marked(tenants: Proposal) -> None:
    """A token that may be anybody's is proposed without a way to it, never by a guessed one."""
    tokens = tenants.collections["access_tokens"]
    assert tokens.review
    assert tokens.parent is None
    assert claims(tenants, "access_tokens.token")
    assert {"any_owner", "no_way_to_it"} <= codes(tenants, "access_tokens", "token") | codes(
        tenants, "access_tokens"
    )


def test_uploads_that_nothing_leads_to_are_somebodys(tenants: Proposal) -> None:
    """A file's name beside its size may say whose it is."""
    assert claims(tenants, "blobs.filename")
    assert tenants.collections["blobs"].review


def test_what_the_software_needs_is_nobodys(tenants: Proposal) -> None:
    """A webhook's user name is a program's, and a profile of reports is no person."""
    assert not {"webhooks", "report_profiles"} & set(tenants.collections)


def test_a_persons_own_row_is_read_more_closely(tenants: Proposal) -> None:
    """Pages, codes, tokens in a document and whatever else is kept of a person are marked."""
    for name in ("web", "pass", "tokens", "custom_attributes"):
        assert claims(tenants, f"users.{name}")
    assert codes(tenants, "users", "web") == {"person.url"}


def test_a_ticket_is_the_customers_and_not_its_owners(desk: Proposal) -> None:
    """`customer_id` says whose a row is, `owner_id` who works on it; the two are told apart."""
    tickets = desk.collections["tickets"]
    assert tickets.parent == Parent("users", {"customer_id": "id"})
    assert "several_owners" in codes(desk, "tickets")


def test_what_lies_in_another_row_goes_with_it(desk: Proposal) -> None:
    """A ticket's note lies in the ticket whoever wrote it; so does the list that it alone has."""
    assert desk.collections["ticket_notes"].parent == Parent("tickets", {"ticket_id": "id"})
    assert desk.collections["checklists"].parent == Parent("tickets", {"id": "checklist_id"})


def test_who_made_a_row_owns_what_was_done_and_no_setting(desk: Proposal) -> None:
    """Rows made and not kept up are the maker's doing, drafts the writer's; settings nobody's."""
    for name in ("recent_views", "ticket_drafts"):
        assert desk.collections[name].parent == Parent("users", {"created_by_id": "id"})
        assert desk.collections[name].review
        assert codes(desk, name) == {"made_by"}
    assert not {"macros", "groups"} & set(desk.collections)


def test_changes_and_calls_hold_people_though_nothing_leads_there(desk: Proposal) -> None:
    """Old values of whatever changed, both ends of a call, addresses in a list."""
    for place in ("histories.value_from", "calls.from", "calls.to", "chats.block_ip"):
        assert claims(desk, place), place
        assert desk.collections[place.partition(".")[0]].review


def test_documents_in_texts_are_looked_into(desk: Proposal) -> None:
    """A text that holds YAML is a setting by its words and a draft by its sentences."""
    assert claims(desk, "drafted.state")
    assert not claims(desk, "drafted.options")


def test_a_number_inside_a_document_names_its_person(desk: Proposal) -> None:
    """`payload->>user_id` is counted like any reference, and taken as the person's number."""
    features = desk.collections["features"]
    assert features.takes["customer_number"].field == "payload->>user_id"
    assert features.review
    assert [str(e) for e in desk.grounds["features", ""].evidence] == ["inclusion.inside 20/20"]


def test_numbers_in_an_array_are_told_and_no_way(desk: Proposal) -> None:
    """An array of people's numbers makes rows theirs, for a person to settle how."""
    assert desk.collections["rooms"].review
    assert {"inclusion.inside", "no_way_to_it"} <= codes(desk, "rooms")


def test_a_reference_of_several_columns_is_counted(desk: Proposal) -> None:
    """Columns called like another table's whole key are a path when the rows are there."""
    meals = desk.collections["booking_meals"]
    assert meals.parent == Parent("bookings", {"house": "house", "number": "number"})
    assert [str(e) for e in desk.grounds["booking_meals", ""].evidence] == ["inclusion 20/20"]


def test_nothing_but_left_out_settles_an_unmapped_column(dsn: str) -> None:
    """A column that looks personal fails the check, mapped or marked around it as one likes."""
    execute(
        dsn,
        "CREATE TABLE customers (id int PRIMARY KEY, email text, phone text, note text);"
        "INSERT INTO customers SELECT n, 'a' || n || '@mail.example', '+49 30 555' || 1000 + n,"
        " 'Likes to walk along the river' FROM generate_series(1, 20) n",
    )
    whole = dict(proposed(dsn).collections)
    customers = whole["customers"]
    for name in ("phone", "note"):
        del customers.fields[name]  # type: ignore[attr-defined]  # a dict, in a proposal
    marked = Field("id", "user.unique_id", Mask(MaskKind.NULL), review=True, free_text=True)
    customers.fields["id"] = marked  # type: ignore[index]  # as above
    system = System("shop", "postgres", whole)
    places = {"public.customers.phone", "public.customers.note"}
    assert places == set(told(proposed(dsn, system)))
    for written in ("customers.{}", "public.customers.{}"):
        out = {written.format(name): "kept elsewhere" for name in ("phone", "note")}
        assert told(proposed(dsn, System("shop", "postgres", whole, left_out=out))) == {}


def test_a_line_tells_what_was_sold_and_a_key_is_no_address(dsn: str) -> None:
    """What a line copies from the product is the product's; `address_id` is no address."""
    execute(
        dsn,
        "CREATE TABLE customers (id text PRIMARY KEY, email text, name text);"
        "CREATE TABLE addresses (id text PRIMARY KEY, street text, city text, phone text,"
        " customer_id text REFERENCES customers);"
        "CREATE TABLE orders (id text PRIMARY KEY, customer_id text REFERENCES customers,"
        " address_id text REFERENCES addresses, canceled_by text, parcels jsonb);"
        "CREATE TABLE line_items (id text PRIMARY KEY, order_id text REFERENCES orders,"
        " title text, description text, variant_id text, note text);"
        "CREATE TABLE gift_cards (id text PRIMARY KEY, order_id text REFERENCES orders,"
        " code text);"
        "INSERT INTO customers SELECT 'K' || n, 'a' || n || '@mail.example', 'Ada'"
        " FROM generate_series(10, 30) n;"
        "INSERT INTO addresses SELECT 'A' || n, 'Seeweg ' || n, 'Ostried', '+49 30 555' || n,"
        " 'K' || n FROM generate_series(10, 30) n;"
        "INSERT INTO orders SELECT 'B' || n, 'K' || n, 'A' || n, 'K' || n,"
        " jsonb_build_array('1Z70' || n) FROM generate_series(10, 30) n;"
        "INSERT INTO line_items SELECT 'L' || n, 'B' || n, 'Blue lamp ' || n,"
        " 'A warm light for long evenings ' || n, 'V' || n, 'Wrap it well, it is a gift ' || n"
        " FROM generate_series(10, 30) n;"
        "INSERT INTO gift_cards SELECT 'G' || n, 'B' || n, 'LAMP-' || n"
        " FROM generate_series(10, 30) n",
    )
    proposal = proposed(dsn)
    for place in ("line_items.note", "gift_cards.code", "addresses.street"):
        assert claims(proposal, place), place
    for name in ("title", "description"):
        assert not claims(proposal, f"line_items.{name}"), name
    for name in ("address_id", "canceled_by", "parcels"):
        assert not claims(proposal, f"orders.{name}"), name


@pytest.mark.parametrize(
    ("name", "between", "nobodys"),
    [
        ("accounts", "memberships", True),
        ("accounts", "orders", False),
        ("customers", "memberships", False),
    ],
)
def test_only_members_make_a_tenant(dsn: str, name: str, between: str, *, nobodys: bool) -> None:
    """Accounts with members are companies; customers whom people serve stay customers."""
    execute(dsn, MEMBERS.replace("accounts", name).replace("memberships", between))
    proposal = proposed(dsn)
    assert (name not in proposal.collections) is nobodys
    assert "members" in proposal.collections
