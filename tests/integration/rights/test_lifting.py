"""A lifting frees what its case restricted, once the last restriction of it is over."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from dsr_worker.fulfil.decisions import DecisionRefused
from dsr_worker.people import ActorRefused
from tests.integration.engine_room import EngineRoom
from tests.integration.rights.restrictable import (
    MAIL,
    certificate,
    restricted,
    results,
    rows_of,
    system_dump,
)


def test_a_restriction_is_lifted_to_the_state_before(room: EngineRoom) -> None:
    """The lifting is a job of its own with a certificate, and leaves the systems as they were."""
    before = system_dump(room)
    ref = restricted(room)
    job = room.lift(ref)
    room.settle()
    assert room.job(job)["state"] == "closed", (room.steps(job), room.events(job))
    assert system_dump(room) == before
    stated = certificate(room, job)
    assert (stated["kind"], stated["lifts"]) == ("lifting", ref)
    assert stated["informed_on"] == datetime.now(UTC).date().isoformat()
    assert results(stated)["crm.carts"] == {"found": 1, "lifted": 1}
    assert results(stated)["files.documents"] == {"found": 1, "lifted": 1}
    assert stated["recipients_to_tell"] == []
    assert room.events(ref)[-2:] == ["lift_ordered", "restriction_lifted"]


def test_a_lifting_frees_nothing_that_the_case_never_restricted(room: EngineRoom) -> None:
    """What staff flagged later by the same means stays as they left it."""
    ref = restricted(room)
    with room.system("crm").transaction() as (tables, changes):
        row = tables.rows["customers"]["3",]
        changes.append(("customers", ("30",), {**row, "id": "30", "blocked": "yes"}))
    job = room.lift(ref)
    room.settle()
    assert room.job(job)["state"] == "closed"
    customers = rows_of(room, "crm", "customers")
    assert (customers["3"]["blocked"], customers["30"]["blocked"]) == ("no", "yes")


def test_the_last_lifting_frees_what_an_earlier_one_left(room: EngineRoom) -> None:
    """Rows that came between two restrictions do not stay restricted when both have ended."""
    one = restricted(room)
    with room.system("crm").transaction() as (tables, changes):
        cart = tables.rows["set_aside"]["cart-3",]
        changes.append(("carts", ("cart-33",), {**cart, "id": "cart-33"}))
    two = restricted(room)
    for ref in (two, one):
        assert set(rows_of(room, "crm", "set_aside")) == {"cart-3", "cart-33"}
        room.lift(ref)
        room.settle()
    assert rows_of(room, "crm", "set_aside") == {}
    assert {"cart-3", "cart-33"} <= set(rows_of(room, "crm", "carts"))


def test_the_last_lifting_frees(room: EngineRoom) -> None:
    """What another case of the same person restricts too stays restricted, on that ground."""
    before = system_dump(room)
    one, two = restricted(room), restricted(room)
    restricts = system_dump(room)
    first = room.lift(one)
    room.settle()
    assert system_dump(room) == restricts
    stated = certificate(room, first)
    assert stated["response"]["nature"] == "denied"
    assert {g["code"] for g in stated["grounds"]} == {"RESTRICTION"}
    room.lift(two)
    room.settle()
    assert system_dump(room) == before


def test_liftings_of_two_people_share_a_batch(room: EngineRoom) -> None:
    """Each ends its own; neither keeps the other's rows restricted."""
    before = system_dump(room)
    one, two = restricted(room), restricted(room, "p.zq0004zq@mail.example")
    for ref in (one, two):
        room.lift(ref)
    room.settle()
    assert system_dump(room) == before


def _settle_systems(room: EngineRoom) -> None:
    """Tick and drain the systems and not the desk, so that nothing is certified."""
    for _ in range(6):
        room.tick()
        for name in ("crm", "files"):
            room.workshop.drainer(name)


@pytest.mark.parametrize("overtaking", [False, True])
def test_two_liftings_of_one_person_under_way_at_once_free(
    room: EngineRoom, *, overtaking: bool
) -> None:
    """Neither keeps for the other what both end, in one batch or applied before a certificate."""
    before = system_dump(room)
    one, two = restricted(room), restricted(room)
    first = room.lift(one)
    if overtaking:
        _settle_systems(room)
        assert [s[0] for s in room.steps(first) if s[3] == "ready"] == ["certify"]
    second = room.lift(two)
    if overtaking:
        _settle_systems(room)
    room.settle()
    assert [room.job(job)["state"] for job in (first, second)] == ["closed"] * 2
    assert system_dump(room) == before


def test_who_may_lift_and_when(room: EngineRoom) -> None:
    """Answered, told beforehand, once, and never by who submitted it."""
    ref = room.submit("restriction", email=MAIL)
    room.settle()
    with pytest.raises(DecisionRefused, match="once it is answered"):
        room.lift(ref)
    room.approve(ref)
    room.settle()
    tomorrow = (datetime.now(UTC) + timedelta(days=2)).date()
    with pytest.raises(DecisionRefused, match="before a restriction is lifted"):
        room.lift(ref, tomorrow)
    with pytest.raises(ActorRefused, match="second person"):
        room.lift(ref, actor="anna")
    erasure = room.submit("erasure", email="p.zq0001zq@mail.example")
    with pytest.raises(DecisionRefused, match="no restriction"):
        room.lift(erasure)
    job = room.lift(ref)
    with pytest.raises(DecisionRefused, match=job):
        room.lift(ref)


def test_a_standing_restriction_is_not_shredded(room: EngineRoom, tmp_path: Path) -> None:
    """Whom to free has to be known until the lifting; afterwards the case's key goes as any."""
    ref = restricted(room)
    signed = room.sign("anna", "hand-over", ref)
    room.office.delivery.certificate(ref, tmp_path / "certificate.json", signed)
    room.move_clock(days=400)
    room.settle()
    assert room.job(ref)["data_key"] is not None
    job = room.lift(ref, date(2026, 11, 22))
    room.settle()
    assert room.job(job)["state"] == "closed", room.steps(job)
    room.settle()
    assert room.job(ref)["data_key"] is None
    room.move_clock(days=181)
    room.settle()
    assert room.job(job)["data_key"] is None
    assert not room.rows("SELECT 1 FROM spools")


def test_a_shredded_restriction_cannot_be_lifted(room: EngineRoom) -> None:
    """Nobody knows any more whom to free, and the refusal says what to do instead."""
    ref = restricted(room)
    room.rows("UPDATE jobs SET data_key = NULL WHERE ref = %s RETURNING id", ref)
    with pytest.raises(DecisionRefused, match="submit a new restriction"):
        room.lift(ref)
