"""Erasure: nothing of the person anywhere but what must be kept, and nobody else touched."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from dsr_worker.contract import Identity, Outcome
from dsr_worker.evidence import verify_certificate
from dsr_worker.people import digest_of
from dsr_worker.testing.shop import Shop, Truth
from tests.acceptance.judge import (
    GROWING,
    assert_erased,
    assert_only_mentions_are_left,
    mentions_by_collection,
    rows_by_outcome,
    truth_of,
)
from tests.acceptance.world import World, places_of
from tests.integration.engine_room import EngineRoom

SPECIAL = (
    Shop.ID_ZERO,
    Shop.SHARED_PHONE[0],
    Shop.UNDERSCORE,
    Shop.DROP_TABLE,
    Shop.FULL,
    Shop.OLD_INVOICES[0],
    Shop.INVOICES_IN_PERIOD[0],
    Shop.LAST_DAY_OF_PERIOD,
    Shop.FIRST_DAY_OUT,
    Shop.OLD_AND_NEW_INVOICES,
    21,
    24,
    41,
)


def erase(room: EngineRoom, truths: Iterable[Truth]) -> dict[int, str]:
    """Erase these people, asked for by e-mail; their cases."""
    refs = {t.number: room.submit("erasure", email=t.identities["email"]) for t in truths}
    room.settle()
    for ref in refs.values():
        assert room.job(ref)["state"] == "awaiting_approval", (room.steps(ref), room.events(ref))
        room.approve(ref)
    room.settle(200)
    for ref in refs.values():
        assert room.job(ref)["state"] == "ready", (room.steps(ref), room.events(ref))
    return refs


def certificate(room: EngineRoom, ref: str, to: Path) -> dict[str, Any]:
    """Have a certificate handed over, check it with public keys alone, and read it."""
    room.office.delivery.certificate(ref, to, room.sign("berta", "hand-over", ref))
    content = to.read_bytes()
    assert verify_certificate(content, room.office.keys.public_key) == []
    said: dict[str, Any] = json.loads(content)
    return said


def test_what_is_erased_is_gone_and_nobody_else_is_touched(
    room: EngineRoom, world: World, tmp_path: Path
) -> None:
    """Thirteen people in one batch: rows, objects and tickets end exactly as the law asks."""
    before = world.dump()
    truths = [truth_of(world, number) for number in SPECIAL]
    refs = erase(room, truths)
    after = world.dump()
    assert_erased(before, after, truths)
    for truth in truths:
        assert_only_mentions_are_left(after, truth)
        ref = refs[truth.number]
        assert room.outcomes(ref) == rows_by_outcome(truth)
        said = certificate(room, ref, tmp_path / f"{ref}.json")
        assert said["certificate"]["case"] == ref


def test_a_held_person_is_not_touched(room: EngineRoom, world: World) -> None:
    """The disputed customer is under a legal hold: everything stays, and the receipts say why."""
    truth = truth_of(world, Shop.DISPUTED)
    room.hold_person(Identity("customer_number", truth.identities["customer_number"]))
    before = world.dump()
    refs = erase(room, [truth])
    assert world.dump() == before
    assert room.outcomes(refs[truth.number]) == rows_by_outcome(truth)
    assert {o.outcome for o in truth.rows} == {Outcome.RETAINED}


def test_what_a_minimum_kept_goes_when_its_day_has_come(room: EngineRoom, world: World) -> None:
    """Eight years and more later the tick erases the kept invoices, and the customer with them."""
    truths = [truth_of(world, n) for n in (*Shop.INVOICES_IN_PERIOD, Shop.LAST_DAY_OF_PERIOD)]
    before = world.dump()
    erase(room, truths)
    room.move_clock(days=366 * 10)
    room.settle(200)
    deferred = room.rows("SELECT ref, state FROM jobs WHERE kind = 'deferred'")
    assert deferred
    assert {job.state for job in deferred} == {"closed"}, [room.steps(j.ref) for j in deferred]
    after = world.dump()
    theirs = {row.place for truth in truths for row in truth.rows}
    assert {w for w in theirs if w in after} <= {w for w in theirs if w[1] == "users"}
    for where, stored in before.items():
        if where not in theirs and where[1] not in GROWING:
            assert after[where].raw == stored.raw, where[:2]


@pytest.mark.parametrize("which", [pytest.param(0, marks=pytest.mark.nightly), 1])
def test_of_two_people_with_one_address_only_the_chosen_is_erased(
    room: EngineRoom, world: World, which: int
) -> None:
    """E-mails that differ in case alone stop for a human, who says by number who is meant."""
    truth = truth_of(world, Shop.CASE_PAIR[which])
    before = world.dump()
    ref = room.submit("erasure", email=truth.identities["email"])
    room.settle()
    assert ("resolve", "shop", 1, "needs_human", "several_people") in room.steps(ref)
    assert world.dump() == before
    number = truth.identities["customer_number"]
    digest = digest_of("choose", ref, kind="customer_number", value=number)
    signed = room.sign("berta", "choose", ref, digest)
    room.office.decisions.choose(ref, "customer_number", number, signed)
    room.settle()
    room.approve(ref)
    room.settle()
    assert room.job(ref)["state"] == "ready", (room.steps(ref), room.events(ref))
    assert_erased(before, world.dump(), [truth])


def test_mentions_are_listed_and_left_to_a_human(
    room: EngineRoom, world: World, tmp_path: Path
) -> None:
    """Places in other people's records that name an erased person are counted, not changed."""
    number = next(n for n in range(18, 40) if len(truth_of(world, n).mentions) > 1)
    truth = truth_of(world, number)
    refs = erase(room, [truth])
    said = certificate(room, refs[number], tmp_path / "certificate.json")
    listed = {
        (m["system"], m["collection"]): m["places"]
        for m in said["certificate"]["mentions_left_for_a_human"]
    }
    assert listed == mentions_by_collection(truth)
    after = world.dump()
    left = {p for mark in truth.markers for p in places_of(after, mark)}
    assert left <= set(truth.mentions)


def test_a_second_erasure_finds_what_is_kept_and_nothing_else(
    room: EngineRoom, world: World
) -> None:
    """Asking again changes nothing: the kept rows stay, what is gone is not found."""
    truth = truth_of(world, Shop.OLD_AND_NEW_INVOICES)
    erase(room, [truth])
    before = world.dump()
    number = truth.identities["customer_number"]
    ref = room.submit("erasure", customer_number=number)
    room.settle()
    room.approve(ref)
    room.settle()
    assert room.job(ref)["state"] == "ready", (room.steps(ref), room.events(ref))
    assert {k[2] for k in room.outcomes(ref)} <= {"masked", "retained"}
    after = world.dump()
    assert {w: s.raw for w, s in after.items()} == {w: s.raw for w, s in before.items()}
