"""A user in the helpdesk's bin is a person: nobody else's package or erasure takes them in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dsr_worker.contract import Form, Identity, Subject, System, Taken
from dsr_worker.domain.resolution import Resolution, absorb, start
from dsr_worker.testing.context import TrialContext
from dsr_worker.testing.zendesk import Fake
from tests.contract.zendesk_world import COMMENTS, FILES, SINCE, TICKETS, USERS, connect

WITH_PHONES = replace(
    USERS,
    takes={**USERS.takes, "phone": Taken("phone", Form.DIGITS)},
    yields={"zendesk_user": "id", "phone": "phone"},
)
DESK = System("helpdesk", "zendesk", {c.name: c for c in (WITH_PHONES, TICKETS, COMMENTS, FILES)})
ANNA = Identity("email", "anna@mail.example")
PHONE = "+49301234567"


def _walk(users: list[dict[str, Any]], binned: set[int]) -> tuple[Resolution, set[str]]:
    """What is known of Anna once no name is new, and which users are then found."""
    with Fake() as fake:
        fake.load(users=[{"name": "N", "created_at": SINCE, **user} for user in users], tickets=[])
        for number in binned:
            fake.desk.delete_user(number)
        desk = connect(fake, DESK)
        known = start([ANNA])
        for _ in range(3):
            subject = Subject("s", known.identities)
            known = absorb(known, DESK, desk.resolve([subject], TrialContext()))
        records = desk.find([Subject("s", known.identities)], TrialContext())
        found = {record.key[0] for record in records if record.collection == "users"}
        desk.close()
    return known, found


def test_a_phone_that_a_user_in_the_bin_carries_too_is_contested() -> None:
    """A shared phone leads nowhere, though the other who has it was deleted softly."""
    known, found = _walk(
        [
            {"id": 1, "email": ANNA.value, "phone": PHONE},
            {"id": 2, "email": "bert@mail.example", "phone": PHONE},
        ],
        {2},
    )
    assert Identity("phone", PHONE) in known.contested
    assert found == {"1"}


def test_an_address_of_a_user_in_the_bin_is_two_people() -> None:
    """Two users of one address, of whom one was deleted softly, stop for a human."""
    known, _ = _walk([{"id": 1, "email": ANNA.value}, {"id": 2, "email": ANNA.value}], {2})
    assert known.several_people


@pytest.mark.parametrize("binned", [set(), {1}])
def test_a_user_alone_is_one_person_in_the_bin_as_well(binned: set[int]) -> None:
    """Whoever shares nothing is known by the same names, in the bin and outside."""
    known, found = _walk(
        [
            {"id": 1, "email": ANNA.value, "phone": PHONE},
            {"id": 2, "email": "bert@mail.example", "phone": "+49301234568"},
        ],
        binned,
    )
    assert known.known == {ANNA, Identity("phone", PHONE), Identity("zendesk_user", "1")}
    assert not known.contested
    assert not known.several_people
    assert not known.dropped
    assert found == {"1"}
