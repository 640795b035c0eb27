"""The helpdesk connector reads exactly, withholds others, and bears the bad days of an API."""

from __future__ import annotations

import json
import logging
import time
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from connectors.helpdesk import Zendesk, ZendeskConfig
from connectors.helpdesk.withhold import addresses
from dsr_worker.contract import (
    Affected,
    Configuration,
    Connector,
    Contacts,
    Erases,
    Identity,
    LeakScope,
    Mention,
    Mentions,
    NeedsHuman,
    Permanent,
    Record,
    Resolves,
    Severity,
    Subject,
    Sweeps,
    System,
    Transient,
)
from dsr_worker.statutes import country_of
from dsr_worker.testing.context import TrialContext
from dsr_worker.testing.zendesk import Fake
from tests.contract.zendesk_world import (
    AGENT,
    ANNA,
    ANNA_MAIL,
    BERT,
    ERASED,
    OTHER,
    SYSTEM,
    TICKET,
    TICKETS,
    connect,
    erase,
    field,
    subject,
)


def test_it_declares_all_that_it_can_do(desk: Zendesk) -> None:
    """The engine finds capabilities by protocol."""
    for protocol in (Connector, Contacts, Resolves, Erases, Mentions, Sweeps, Affected):
        assert isinstance(desk, protocol)


# ---- finding the person


def test_a_partial_match_never_becomes_the_person(fake: Fake, desk: Zendesk) -> None:
    """The search answers `anna@…` with `joanna@…` too; only the equal address counts."""
    assert len(fake.desk.matching_users(ANNA_MAIL)) == 2
    keys = list(desk.locate([subject(user=None)], TrialContext()))
    assert {k.key for k in keys if k.collection == "users"} == {(str(ANNA),)}
    assert {k.key for k in keys if k.collection == "tickets"} == {(str(TICKET),)}


HOSTILE = [
    "%", "_", "*", "", " ", "null", "None", "0", '"', '" OR "', "a*", "@", "mail.example",
    "anna@mail_example", "\u0430nna@mail.example", "anna@mail.example.test",
    "x" * 10_000 + "@a.example",
    "../users", "role:agent", "email:*", "-x", "\r\nX: y", "\x00",
]  # fmt: skip


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_identifiers_find_nobody(desk: Zendesk, value: str) -> None:
    """No wildcard, operator, look-alike or huge text widens a search."""
    person = Subject("s1", (Identity("email", value), Identity("zendesk_user", value)))
    ctx = TrialContext()
    assert not list(desk.find([person], ctx))
    assert not list(desk.locate([person], ctx))
    assert not list(desk.resolve([person], ctx))
    assert not list(desk.contacts([person], ctx))


def test_an_empty_batch_costs_nothing(fake: Fake, desk: Zendesk) -> None:
    """No subject, no request."""
    ctx = TrialContext()
    assert not [*desk.find([], ctx), *desk.locate([], ctx), *desk.erase([], [], ctx)]
    assert not [*desk.mentions([], ctx), *desk.contacts([], ctx), *desk.resolve([], ctx)]
    assert not fake.requests


def test_a_code_goes_to_the_stored_address(fake: Fake, desk: Zendesk) -> None:
    """The contact point is spelled as stored, for the exact match only."""
    fake.load(users=[{"id": 300, "name": "Zoe", "email": "Zoe@Mail.example"}])
    points = list(desk.contacts([subject("zoe@Mail.example".lower(), user=None)], TrialContext()))
    assert [(p.subject_ref, p.kind, p.value) for p in points] == [
        ("s1", "email", "Zoe@Mail.example")
    ]


def test_resolve_gives_the_user_and_verified_addresses(fake: Fake, desk: Zendesk) -> None:
    """An address that nobody confirmed could be anybody's: it is not handed on."""
    fake.load(
        users=[
            {
                "id": 300,
                "name": "Zoe",
                "email": "zoe@mail.example",
                "identities": [
                    {"type": "email", "value": "Zoe.Two@mail.example", "verified": True},
                    {"type": "email", "value": ANNA_MAIL.upper(), "verified": False},
                ],
            }
        ]
    )
    links = list(desk.resolve([subject("zoe@mail.example", user=None)], TrialContext()))
    assert {(link.identity.kind, link.identity.value) for link in links} == {
        ("zendesk_user", "300"),
        ("email", "zoe@mail.example"),
        ("email", "zoe.two@mail.example"),
    }
    assert all(link.owners == 0 and link.via == "email" for link in links)


def test_an_unconfirmed_address_finds_nobody(fake: Fake, desk: Zendesk) -> None:
    """Whoever writes somebody else's address into their profile does not become them."""
    claimed = {"type": "email", "value": "victim@mail.example", "verified": False}
    fake.load(users=[{"id": 300, "name": "Z", "email": "z@mail.example", "identities": [claimed]}])
    person = subject("victim@mail.example", user=None)
    assert not list(desk.locate([person], TrialContext()))
    assert not list(desk.contacts([person], TrialContext()))


def test_a_second_owner_makes_an_address_contested(fake: Fake, desk: Zendesk) -> None:
    """Two users with one address in two spellings: the link says so."""
    fake.load(users=[{"id": 300, "name": "Zoe", "email": "zoe@mail.example"}])
    fake.load(users=[{"id": 301, "name": "Zoe", "email": "ZOE@mail.example"}])
    person = Subject("s1", (Identity("zendesk_user", "300"),))
    links = [x for x in desk.resolve([person], TrialContext()) if x.identity.kind == "email"]
    assert [link.owners for link in links] == [1]


def test_every_user_of_a_known_address_is_told(fake: Fake, desk: Zendesk) -> None:
    """Who came with address and number still shows as two users where two have the address."""
    fake.load(users=[{"id": 300, "name": "Zoe", "email": "zoe@mail.example"}])
    fake.load(users=[{"id": 301, "name": "Zoe", "email": "ZOE@mail.example"}])
    links = list(desk.resolve([subject("zoe@mail.example", user=300)], TrialContext()))
    assert {link.key for link in links} == {("300",), ("301",)}


def test_an_agent_stops_for_a_human(desk: Zendesk) -> None:
    """An agent's name stands in other people's tickets."""
    agent = subject("ayo@shop.example", user=AGENT)
    for call in (desk.resolve, desk.find, desk.locate):
        with pytest.raises(NeedsHuman, match="helpdesk_agent"):
            list(call([agent], TrialContext()))


# ---- access


def records(desk: Zendesk, *people: Subject) -> list[Record]:
    """All records of the subjects, by default Anna."""
    return list(desk.find(people or (subject(),), TrialContext()))


def test_access_gives_everything_of_the_person(desk: Zendesk) -> None:
    """User, ticket, each comment and each file, once."""
    keys = sorted((r.collection, r.key[0]) for r in records(desk))
    assert keys == [
        ("attachments", "8001"),
        *(("comments", str(i)) for i in (7001, 7002, 7003, 7004)),
        ("tickets", str(TICKET)),
        ("users", str(ANNA)),
    ]


def test_access_withholds_other_people(desk: Zendesk) -> None:
    """No name, address or number of others leaves, and the record says what was left out."""
    found = records(desk)
    text = b"".join(r.body for r in found).decode()
    for value in ("Bert", "bert@", "Ayo", str(BERT), "content_url", "/attachments/token"):
        assert value not in text
    assert ANNA_MAIL in text
    by_key = {r.key[0]: r for r in found if r.collection in ("comments", "tickets")}
    grounds = {(w.field, w.values) for w in by_key["7001"].withheld}
    assert grounds == {("body", 2)}
    assert {w.field for w in by_key["7004"].withheld} == {"author_id", "body"}
    assert {"collaborator_ids", "assignee_id"} <= {w.field for w in by_key[str(TICKET)].withheld}
    assert {w.ground for r in found for w in r.withheld} == {"AC_RIGHTS_OF_OTHERS"}


def test_access_withholds_whoever_an_address_names(fake: Fake, desk: Zendesk) -> None:
    """A stranger to the ticket whom the helpdesk knows by an address in it: the name goes too."""
    told = {"body": "Joanna See, joanna@mail.example, knows; x@unknown.example too"}
    fake.load(tickets=[{"id": 900, "requester_id": ANNA, "comments": [told]}])
    bodies = [json.loads(r.body)["body"] for r in records(desk) if r.collection == "comments"]
    assert "[withheld], [withheld], knows; [withheld] too" in bodies


def test_a_text_cut_within_a_sign_is_handed_out(fake: Fake, desk: Zendesk) -> None:
    """Half of a surrogate pair stays an escape: the record is valid UTF-8 and says the same."""
    told = {"body": "cut \ud83d"}
    fake.load(tickets=[{"id": 900, "requester_id": ANNA, "comments": [told]}])
    bodies = [r.body.decode() for r in records(desk) if r.collection == "comments"]
    assert told["body"] in [json.loads(body)["body"] for body in bodies]


def test_access_shows_soft_deleted_tickets(fake: Fake, desk: Zendesk) -> None:
    """What lies in the bin is still held, and the person is told."""
    fake.desk.delete_ticket(TICKET)
    (body,) = [json.loads(r.body) for r in records(desk) if r.collection == "tickets"]
    assert (body["id"], body["deleted"]) == (TICKET, True)
    assert "collaborator_ids" not in body


def test_access_marks_internal_notes_and_roles(desk: Zendesk) -> None:
    """A note is the person's data too, and is called a note."""
    bodies = {r.key[0]: json.loads(r.body) for r in records(desk) if r.collection == "comments"}
    assert [bodies[i]["internal_note"] for i in ("7001", "7002", "7003")] == [False, False, True]
    assert [bodies[i]["author"] for i in ("7001", "7002", "7004")] == [
        "you",
        "our staff",
        "another person",
    ]


def test_files_stream_afresh_each_time(desk: Zendesk) -> None:
    """`open` may be called again after a failure."""
    attachment = next(r.attachment for r in records(desk) if r.attachment)
    assert [b"".join(attachment.open()) for _ in range(2)] == [b"the receipt"] * 2


def test_files_from_unlisted_hosts_are_not_fetched(fake: Fake, desk: Zendesk) -> None:
    """The token never travels to a host that somebody put into an answer."""
    with desk._api(TrialContext()) as api:
        assert api.may_fetch(f"{fake.base_url}/attachments/token/1/")
        for url in (
            "http://127.0.0.1:1/x",
            "http://evil.example/x",
            f"{fake.base_url}@evil.example/",
        ):
            assert not api.may_fetch(url)
            with pytest.raises(Permanent, match="not listed"):
                list(api.stream(url))


def test_a_file_over_the_cap_is_reported_not_fetched(fake: Fake) -> None:
    """Nobody can fill the disk with one attachment, and nothing is left out in silence."""
    connector = connect(fake, max_attachment_bytes=5)
    record = next(r for r in records(connector) if r.collection == "attachments")
    assert record.attachment is None
    assert [w.ground for w in record.withheld] == ["attachment_too_large"]
    with connector._api(TrialContext()) as api, pytest.raises(Permanent, match="larger"):
        list(api.stream(f"{fake.base_url}/attachments/token/8001/"))
    connector.close()


# ---- mentions


def test_mentions_are_listed_by_place(desk: Zendesk) -> None:
    """Copied in, named in a comment, wrote a comment: each place once, and no look-alike."""
    found = set(desk.mentions([subject()], TrialContext()))
    assert found == {
        Mention("s1", "tickets", (str(OTHER),), "collaborator_ids"),
        Mention("s1", "comments", ("7101",), "body"),
        Mention("s1", "comments", ("7102",), "author_id"),
    }


# ---- breaches


def test_residences_are_what_users_say(fake: Fake, desk: Zendesk) -> None:
    """The mapped field of the person's own user, as it stands; unmapped or empty, nothing."""
    lives = {"id": 300, "name": "Zoe", "email": "zoe@mail.example", "user_fields": {"land": "ch"}}
    fake.load(users=[lives, {"id": 301, "name": "Max", "email": "max@mail.example"}])
    users = replace(SYSTEM.collections["users"], residence="user_fields.land")
    system = replace(SYSTEM, collections={**SYSTEM.collections, "users": users})
    asked = [subject(f"{name}@mail.example", user=None, ref=name) for name in ("zoe", "max")]
    with closing(connect(fake, system)) as marked:
        told = list(marked.residences(asked, TrialContext()))
    assert [(r.subject_ref, r.collection, r.stated) for r in told] == [("zoe", "users", "ch")]
    assert not list(desk.residences(asked, TrialContext()))


def test_a_residence_that_is_a_list_is_told_as_it_stands(fake: Fake) -> None:
    """A field of several choices names no country and keeps nobody's answer from being found."""
    fake.load(users=[{"id": 300, "email": "zoe@mail.example", "user_fields": {"land": ["ch", 1]}}])
    users = replace(SYSTEM.collections["users"], residence="user_fields.land")
    system = replace(SYSTEM, collections={**SYSTEM.collections, "users": users})
    asked = [subject("zoe@mail.example", user=None, ref="zoe")]
    with closing(connect(fake, system)) as marked:
        (told,) = marked.residences(asked, TrialContext())
        people = marked.affected([LeakScope("users", ("email",))], TrialContext())
        (affected,) = [p for p in people if Identity("email", "zoe@mail.example") in p.identities]
    assert country_of(told.stated) is None
    assert affected.residence == told.stated


def test_a_breach_names_everyone_in_scope_once(desk: Zendesk) -> None:
    """End-users with their addresses; requesters with the number of their tickets; no agents."""
    ctx = TrialContext()
    users = list(desk.affected([LeakScope("users", ("email",))], ctx))
    assert {i.value for p in users for i in p.identities if i.kind == "zendesk_user"} == {
        "101",
        "102",
        "103",
    }
    assert {p.residence for p in users} == {None}
    until = datetime(2026, 5, 1, 23, tzinfo=UTC)
    (person,) = desk.affected([LeakScope("comments", ("body",), until_at=until)], ctx)
    assert Identity("email", ANNA_MAIL) in person.identities
    assert person.rows == 1


# ---- the API's bad days


def test_a_short_rate_limit_is_waited_for(fake: Fake, desk: Zendesk) -> None:
    """Up to two seconds the call itself waits."""
    fake.faults({"budget": {"requests": 3, "per_s": 1.0}})
    assert len(records(desk)) == 7


@pytest.mark.parametrize("date_form", [False, True])
def test_a_long_rate_limit_is_handed_to_the_engine(
    fake: Fake, desk: Zendesk, *, date_form: bool
) -> None:
    """No worker sleeps a minute; both forms of the header are understood."""
    fake.faults({"budget": {"requests": 2, "per_s": 60, "date_form": date_form}})
    with pytest.raises(Transient) as stopped:
        records(desk)
    assert stopped.value.retry_after_s == pytest.approx(60, abs=3)


def test_a_refused_token_says_what_to_do(fake: Fake) -> None:
    """401 is no absence of data and no reason to try again."""
    fake.token = "changed"
    connector = connect(fake)
    fake.token = "another"
    with pytest.raises(Permanent, match="check email and token"):
        records(connector)
    assert [f.severity for f in connector.check()] == [Severity.ERROR]
    connector.close()


def test_each_request_is_spent_from_the_budget(fake: Fake, desk: Zendesk) -> None:
    """The shared budget sees every call."""
    ctx = TrialContext()
    list(desk.find([subject()], ctx))
    assert ctx.calls == len(fake.requests) > 0


def test_check_names_masks_that_cannot_hold(fake: Fake, desk: Zendesk) -> None:
    """A map that promises what the API cannot do fails before a deadline does."""
    assert [f.severity for f in desk.check()] == [Severity.OK]
    wrong = replace(TICKETS, fields={**TICKETS.fields, "status": field("status", mask=ERASED)})
    connector = connect(fake, replace(SYSTEM, collections={**SYSTEM.collections, "tickets": wrong}))
    assert [f.subject for f in connector.check() if f.severity is Severity.ERROR] == [
        "helpdesk.tickets.status"
    ]
    connector.close()


def test_a_map_of_unknown_resources_is_refused(fake: Fake) -> None:
    """A misspelled resource is no empty one."""
    wrong = replace(TICKETS, source={"resource": "ticket"})
    with pytest.raises(Configuration, match="must be one of"):
        connect(fake, System("helpdesk", "zendesk", {"tickets": wrong}))


def test_nothing_personal_is_logged(desk: Zendesk, caplog: pytest.LogCaptureFixture) -> None:
    """Not at any level, though every search carries an address in its URL."""
    with caplog.at_level(logging.DEBUG):
        records(desk)
        list(desk.mentions([subject()], TrialContext()))
        erase(desk, TrialContext())
    for value in ("anna", "Anna", "bert", "%40"):
        assert value not in caplog.text


def test_the_token_does_not_travel_in_the_clear() -> None:
    """Plain HTTP is for this machine alone."""
    with pytest.raises(ValueError, match="use https"):
        ZendeskConfig(base_url="http://shop.zendesk.example", email="a", token=SecretStr("b"))


def test_records_are_a_stream(fake: Fake, desk: Zendesk) -> None:
    """The first record comes before the last ticket is asked for."""
    next(desk.find([subject()], TrialContext()))
    assert not [r for r in fake.requests if "/comments" in r]


def test_addresses_are_told_in_time_that_grows_with_the_text() -> None:
    """Long runs without a space (a picture's letters) cost no more than other text."""
    text = f"{'x' * 200_000} write to bert@mail.example, or <Cora.X@shop.example>. {'@' * 1000}"
    began = time.monotonic()
    assert list(addresses(text)) == ["bert@mail.example", "Cora.X@shop.example"]
    assert list(addresses("x" * 200_000 + "@" + "y" * 200_000)) == []
    assert time.monotonic() - began < 60
