"""Never the wrong person: a code, a choice or a contested name goes no further than it reaches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from dsr_worker.engine.batch import Batch, Performer
from dsr_worker.ledger.rows import StepResult
from dsr_worker.people import digest_of
from dsr_worker.testing.memory import Memory
from tests.integration.engine_room import CRM, FILES, EngineRoom
from tests.integration.person_three import MAIL
from tests.integration.postmen import Postman, perform, with_postman

_TEXTS = FILES[FILES.index("    source:") :]
_TICKETS = f"""
system: tickets
connector: gossip
config: {{name: NAME-tickets}}
collections:
  users:
    key: [id]
    person: true
    takes: {{email: {{field: email, form: ascii-case}}, helpdesk_user: id}}
    yields: {{helpdesk_user: id, phone: phone}}
    class: customer-account
    fields:
      id: user.unique_id
      email: user.contact.email
      phone: user.contact.phone_number
{_TEXTS}
"""


class Gossip(Memory):
    """A helpdesk; its users are people like the shop's."""


@pytest.fixture
def wide(tmp_path: Path, ledger: Callable[[], str]) -> EngineRoom:
    """The same with a helpdesk, in which user `u3` is customer 3 and `u4` is customer 4."""
    systems = {"crm": CRM, "files": FILES, "tickets": _TICKETS}
    made = EngineRoom(tmp_path, ledger(), systems=systems, connectors={"gossip": Gossip})
    made.load_people(10)
    users = [
        {"id": f"u{n}", "email": f"p.zq{n:04x}zq@mail.example", "phone": f"+49 30 1{n:06}"}
        for n in (3, 4)
    ]
    made.system("tickets").load({"users": users}, {"users": ("id",)})
    return made


def _identities(room: EngineRoom, ref: str, standing: str) -> set[str]:
    return {
        row.kind
        for row in room.rows(
            "SELECT i.kind FROM identities i JOIN jobs j ON j.id = i.job_id"
            " WHERE j.ref = %s AND i.standing = %s",
            ref,
            standing,
        )
    }


def test_a_code_verifies_only_the_names_that_led_to_it(wide: EngineRoom) -> None:
    """A code sent to one's own address proves nothing about somebody else's name in the request."""
    postman = with_postman(wide, Postman())
    ref = wide.submit("access", verification="code", email=MAIL, helpdesk_user="u4")
    wide.settle()
    ((to, code),) = postman.sent
    assert to == MAIL
    wide.office.decisions.enter_code(ref, code, wide.sign("anna", "enter-code", ref))
    wide.settle()
    found = {
        bytes(row.digest)
        for row in wide.rows("SELECT digest FROM identities WHERE standing <> 'claimed'")
    }
    assert wide.office.keys.index_digest("helpdesk_user", "u4") not in found
    assert wide.office.keys.index_digest("helpdesk_user", "u3") in found


def test_a_choice_stops_what_the_shared_name_had_begun(wide: EngineRoom) -> None:
    """After a choice between people, answers under way for the shared name are not believed."""
    wide.system("crm").load(
        {
            "customers": [
                {"id": n, "email": MAIL, "name": n, "phone": None, "country": "DE"}
                for n in ("3", "33")
            ]
        },
        {"customers": ("id",)},
    )
    ref = wide.submit("access", email=MAIL)

    def chosen_meanwhile(perform: Performer) -> Performer:
        def performed(batch: Batch) -> Sequence[StepResult]:
            results = perform(batch)
            if batch.ctx.system.name == "tickets" and wide.job(ref)["round"] == 1:
                digest = digest_of("choose", ref, kind="customer_number", value="33")
                signed = wide.sign("anna", "choose", ref, digest)
                wide.office.decisions.choose(ref, "customer_number", "33", signed)
            return results

        return performed

    perform(wide, "resolve", chosen_meanwhile)
    wide.tick()
    wide.workshop.drainer("crm")
    assert ("resolve", "crm", 1, "needs_human", "several_people") in wide.steps(ref)
    wide.workshop.drainer("tickets")
    assert "helpdesk_user" not in _identities(wide, ref, "resolved")
    wide.settle()
    assert "helpdesk_user" not in _identities(wide, ref, "resolved")
    wide.approve(ref)
    wide.settle()
    assert wide.job(ref)["state"] == "ready", (wide.steps(ref), wide.events(ref))


def test_an_identity_contested_anywhere_seeds_nowhere(wide: EngineRoom) -> None:
    """A phone that two customers share is contested, in whatever order the systems answer."""
    phone = "+49 30 1000003"
    wide.system("crm").load(
        {
            "customers": [
                {"id": "3", "email": MAIL, "name": "a", "phone": phone, "country": "DE"},
                {"id": "5", "email": "b@mail.example", "name": "b", "phone": phone},
            ]
        },
        {"customers": ("id",)},
    )
    ref = wide.submit("access", email=MAIL)
    wide.tick()
    for system in ("tickets", "crm"):
        wide.workshop.drainer(system)
    assert "phone" in _identities(wide, ref, "contested"), wide.steps(ref)
    assert "phone" not in _identities(wide, ref, "resolved")
