"""Names that came verified with a request and that are several people's all the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dsr_worker.people import digest_of
from tests.integration.engine_room import CRM, EngineRoom

MAIL = "anna@mail.example"
NEWS = """
  letters:
    key: [id]
    takes: {customer_number: reader}
    yields: {email: address}
    class: newsletter
    fields:
      id: user.unique_id
      reader: user.unique_id
      address: user.contact.email
    source: {}
    purpose: Trial.
    legal_basis: Contract.
    recipients: [nobody]
    origin: You.
"""


@pytest.fixture
def room(tmp_path: Path, ledger: Callable[[], str]) -> EngineRoom:
    """Customers, and letters that know a customer by number and name an address."""
    return EngineRoom(tmp_path, ledger(), systems={"crm": CRM + NEWS})


def _stopped(room: EngineRoom, ref: str) -> list[str]:
    (row,) = room.rows("SELECT details FROM steps WHERE code = 'several_people'")
    assert room.job(ref)["state"] == "resolving"
    collections: list[str] = row.details["collections"]
    return collections


def _customers(room: EngineRoom, *mails: str) -> None:
    rows = [{"id": str(n), "email": mail, "name": "n"} for n, mail in enumerate(mails, 1)]
    room.system("crm").load({"customers": rows}, {"customers": ("id",)})


def test_address_and_number_do_not_hide_the_second_customer(room: EngineRoom) -> None:
    """Two customers write one address in two ways: who named both number and address stops."""
    _customers(room, MAIL, MAIL.upper())
    ref = room.submit("erasure", email=MAIL, customer_number="1")
    room.settle()
    assert _stopped(room, ref) == ["crm.customers"]
    assert not room.rows("SELECT 1 FROM identities WHERE standing = 'resolved'")


def test_a_verified_address_in_anothers_row_stops(room: EngineRoom) -> None:
    """What somebody else's row carries too is told with its place, whoever verified it."""
    _customers(room, MAIL, "bert@mail.example")
    rows = [
        {"id": "1", "reader": "1", "address": MAIL},
        {"id": "2", "reader": "2", "address": MAIL},
    ]
    room.system("crm").load({"letters": rows}, {"letters": ("id",)})
    ref = room.submit("erasure", email=MAIL, customer_number="1")
    room.settle()
    assert _stopped(room, ref) == ["crm.letters"]


def test_a_choice_ends_the_stop(room: EngineRoom) -> None:
    """Once a person says who is meant, the case goes on with that one's rows alone."""
    _customers(room, MAIL, MAIL.upper())
    ref = room.submit("erasure", email=MAIL, customer_number="1")
    room.settle()
    digest = digest_of("choose", ref, kind="customer_number", value="1")
    room.office.decisions.choose(
        ref, "customer_number", "1", room.sign("anna", "choose", ref, digest)
    )
    room.settle()
    room.approve(ref)
    room.settle()
    assert room.job(ref)["state"] == "ready", room.steps(ref)
    assert room.outcomes(ref) == {("crm", "customers", "erased"): 1}


def test_one_customer_with_both_names_goes_on(room: EngineRoom) -> None:
    """Nobody is stopped for having one row that both names lead to."""
    _customers(room, MAIL, "bert@mail.example")
    ref = room.submit("erasure", email=MAIL, customer_number="1")
    room.settle()
    assert room.job(ref)["state"] == "awaiting_approval", room.steps(ref)
