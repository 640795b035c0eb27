"""A signature covers what was decided, and nothing else is carried out under it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dsr_worker.contract import Identity
from dsr_worker.domain.hold import DatasetHeld, PeopleHeld, RowsHeld, Scope
from dsr_worker.fulfil.holding import hold_digest
from dsr_worker.people import ActorRefused, digest_of
from tests.integration.engine_room import EngineRoom
from tests.integration.person_three import MAIL, review_on


@pytest.mark.parametrize(
    ("action", "signed_over", "decided"),
    [
        ("refuse", {"ground": "ANY_EXCESSIVE"}, "ANY_UNFOUNDED"),
        ("extend", {"reason": "complex"}, "many_requests"),
    ],
)
def test_a_signature_covers_what_was_decided(
    room: EngineRoom, action: str, signed_over: dict[str, str], decided: str
) -> None:
    """A signature over one ground or reason lets nobody refuse or extend on another, or on none."""
    ref = room.submit("erasure", email=MAIL)
    other = room.submit("erasure", email="p.zq0004zq@mail.example")
    office = room.office
    decide = getattr(office.clocks if action == "extend" else office.decisions, action)
    (right,) = signed_over.values()
    for stated in (
        room.sign("anna", action, ref, digest_of(action, ref, **signed_over)),
        room.sign("anna", action, ref),
    ):
        with pytest.raises(ActorRefused, match="another action"):
            decide(ref, decided, stated)
    of_another = room.sign("anna", action, ref, digest_of(action, other, **signed_over))
    with pytest.raises(ActorRefused, match="another action"):
        decide(ref, right, of_another)
    decide(ref, right, room.sign("anna", action, ref, digest_of(action, ref, **signed_over)))
    wanted = {"refuse": "closed", "extend": "clock_extended"}
    assert wanted[action] in room.events(ref)


def test_an_attestation_is_signed_with_its_method(room: EngineRoom) -> None:
    """Whoever signed that they saw a passport has not signed that they know the voice."""
    ref = room.submit("access", verification="code", email=MAIL)
    passport = digest_of("attest", ref, method="passport")
    for digest in ("", passport):
        signed = room.sign("anna", "attest", ref, digest)
        with pytest.raises(ActorRefused, match="another action"):
            room.office.decisions.attest(ref, "voice", signed)
    signed = room.sign("anna", "attest", ref, passport)
    room.office.decisions.attest(ref, "passport", signed)
    assert "identity_verified" in room.events(ref)


def test_a_choice_is_signed_with_who_was_chosen(room: EngineRoom) -> None:
    """A signature that names one of two people settles nothing for the other."""
    twins = [{"id": n, "email": MAIL, "name": n, "country": "DE"} for n in ("3", "33")]
    room.system("crm").load({"customers": twins}, {"customers": ("id",)})
    ref = room.submit("access", email=MAIL)
    room.settle()
    chosen = digest_of("choose", ref, kind="customer_number", value="33")
    for digest in ("", chosen):
        signed = room.sign("anna", "choose", ref, digest)
        with pytest.raises(ActorRefused, match="another action"):
            room.office.decisions.choose(ref, "customer_number", "3", signed)
    signed = room.sign("anna", "choose", ref, chosen)
    room.office.decisions.choose(ref, "customer_number", "33", signed)
    room.settle()
    assert room.job(ref)["state"] == "awaiting_approval", room.steps(ref)


@pytest.mark.parametrize(
    "scope",
    [
        DatasetHeld("crm", "invoices"),
        DatasetHeld("files"),
        RowsHeld("crm", "invoices", "id", ("1-old",)),
        PeopleHeld((Identity("customer_number", "4"),)),
    ],
)
def test_a_hold_is_signed_with_its_scope(room: EngineRoom, scope: Scope) -> None:
    """A signature under one hold places no other: not on another scope, reason, matter or day."""
    day = review_on(room)
    wanted = PeopleHeld((Identity("customer_number", "3"),))
    signed_over = (
        "",
        hold_digest(wanted, "ER_LEGAL_CLAIMS", "m-1", day),
        hold_digest(scope, "ER_FREE_SPEECH", "m-1", day),
        hold_digest(scope, "ER_LEGAL_CLAIMS", "m-2", day),
        hold_digest(scope, "ER_LEGAL_CLAIMS", "m-1", day + timedelta(days=1)),
    )
    for digest in signed_over:
        signed = room.sign("anna", "place-hold", "new", digest)
        with pytest.raises(ActorRefused, match="another action"):
            room.office.holding.place(scope, "ER_LEGAL_CLAIMS", "m-1", day, signed)
    assert room.rows("SELECT 1 FROM holds") == []
    room.place_hold(scope, "m-1", day)
    assert len(room.rows("SELECT 1 FROM holds")) == 1
