"""Access: every row, object and ticket of a person, and not one value of anybody else's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dsr_worker.people import digest_of
from dsr_worker.testing.shop import Shop
from tests.acceptance.judge import (
    assert_package_is_whole,
    assert_package_names_nobody_else,
    hand_over,
    truth_of,
)
from tests.acceptance.world import World
from tests.integration.engine_room import EngineRoom

PEOPLE = {
    "everywhere": Shop.FULL,
    "number zero": Shop.ID_ZERO,
    "shared phone": Shop.SHARED_PHONE[0],
    "other one with that phone": Shop.SHARED_PHONE[1],
    "underscore": Shop.UNDERSCORE,
    "neighbour of the underscore": Shop.UNDERSCORE_NEIGHBOUR,
    "drop table": Shop.DROP_TABLE,
    "disputed": Shop.DISPUTED,
    "ordinary": 21,
    "newsletter alone": 42,
}


def test_packages_hold_exactly_what_is_the_persons(
    room: EngineRoom, world: World, tmp_path: Path
) -> None:
    """Ten people at once, the odd ones among them: each package is whole and names nobody else."""
    before = world.dump()
    refs = {
        number: room.submit("access", email=truth_of(world, number).identities["email"])
        for number in PEOPLE.values()
    }
    room.settle()
    for ref in refs.values():
        room.approve(ref)
    room.settle()
    for number, ref in refs.items():
        assert room.job(ref)["state"] == "ready", (room.steps(ref), room.events(ref))
        members = hand_over(room, ref, tmp_path / f"{ref}.zip")
        assert_package_is_whole(members, truth_of(world, number))
        assert_package_names_nobody_else(members, world, number)
        assert room.job(ref)["state"] == "closed"
    assert world.dump() == before, "an access changes nothing"


def test_a_shared_phone_seeds_nothing(room: EngineRoom, world: World, tmp_path: Path) -> None:
    """Calls that only a phone of two people ties to them are in neither package, which says so."""
    number = Shop.SHARED_PHONE[0]
    truth = truth_of(world, number)
    assert truth.uncertain
    ref = room.submit("access", email=truth.identities["email"])
    room.settle()
    assert room.job(ref)["plan"]["contested"] == ["phone"]
    room.approve(ref)
    room.settle()
    members = hand_over(room, ref, tmp_path / "package.zip")
    assert_package_is_whole(members, truth)
    assert len(json.loads(members["withheld.json"])["limits"]) == 1


@pytest.mark.parametrize("which", [0, 1])
def test_two_people_with_one_address_are_told_apart_by_a_human(
    room: EngineRoom, world: World, tmp_path: Path, which: int
) -> None:
    """E-mails that differ in case alone stop the case; a number that is one person's settles it."""
    number = Shop.CASE_PAIR[which]
    truth = truth_of(world, number)
    ref = room.submit("access", email=truth.identities["email"])
    room.settle()
    assert ("resolve", "shop", 1, "needs_human", "several_people") in room.steps(ref)
    value = truth.identities["customer_number"]
    digest = digest_of("choose", ref, kind="customer_number", value=value)
    signed = room.sign("berta", "choose", ref, digest)
    room.office.decisions.choose(ref, "customer_number", value, signed)
    room.settle()
    room.approve(ref)
    room.settle()
    members = hand_over(room, ref, tmp_path / "package.zip")
    assert_package_is_whole(members, truth)
    assert_package_names_nobody_else(members, world, number)


@pytest.mark.parametrize(
    "email",
    ["someone@mail.example", "under.zq00000%zq@mail.example", "Linus.zq000009zq@mail.exampIe"],
)
def test_somebody_unknown_gets_an_answer_without_anything(
    room: EngineRoom, world: World, tmp_path: Path, email: str
) -> None:
    """A stranger, a wildcard, a look-alike: an empty package, never a wide one."""
    ref = room.submit("access", email=email)
    room.settle()
    room.approve(ref)
    room.settle()
    members = hand_over(room, ref, tmp_path / "package.zip")
    assert not [name for name in members if name.startswith(("data/", "attachments/"))]
    assert_package_names_nobody_else(members, world, -1)
