"""A restriction in the shop: the database has a means, bucket and helpdesk have none."""

from __future__ import annotations

from typing import Any

from dsr_worker.testing.shop import Shop
from tests.acceptance.judge import truth_of
from tests.acceptance.world import Dump, Where, World
from tests.integration.engine_room import EngineRoom

_NUMBER = Shop.FULL


def _changed(before: Dump, after: Dump) -> dict[Where, dict[str, tuple[str | None, str | None]]]:
    """What fields said and say, by place, where that is not the same."""
    return {
        place: {
            name: (was.get(name), now.get(name))
            for name in was.keys() | now.keys()
            if was.get(name) != now.get(name)
        }
        for place in before.keys() | after.keys()
        for was in [before[place].fields if place in before else {}]
        for now in [after[place].fields if place in after else {}]
        if was != now
    }


def _by_ground(stated: dict[str, Any]) -> dict[str, set[str]]:
    """On which grounds rows are kept, by system; `restricted` where they are."""
    found: dict[str, set[str]] = {}
    for system in stated["systems"]:
        of_system = found.setdefault(system["system"], set())
        for result in system["collections"]:
            of_system |= {kept["ground"] for kept in result["kept"]}
            of_system |= {"restricted"} if result["restricted"] else set()
    return found


def test_a_customer_is_restricted_where_the_shop_has_a_means_and_freed_again(
    room: EngineRoom, world: World
) -> None:
    """One flag changes and changes back; what stays in use is planned and certified as that."""
    truth = truth_of(world, _NUMBER)
    before = world.dump()
    ref = room.submit("restriction", email=truth.identities["email"])
    room.settle()
    assert room.job(ref)["state"] == "awaiting_approval", (room.steps(ref), room.events(ref))
    planned = room.job(ref)["plan"]["outcomes"]
    assert {o["system"] for o in planned} == {"shop", "files", "helpdesk"}
    assert {o["outcome"] for o in planned if o["system"] != "shop"} == {"retained"}
    room.approve(ref)
    room.settle()
    assert room.job(ref)["state"] == "ready", (room.steps(ref), room.events(ref))
    assert _changed(before, world.dump()) == {
        ("shop", "customers", (str(_NUMBER),)): {"restricted": ("false", "true")}
    }
    stated = room.hand_over(ref)
    assert stated["response"]["nature"] == "partly_granted"
    assert _by_ground(stated) == {
        "shop": {"restricted", "no_means"},
        "files": {"no_means"},
        "helpdesk": {"no_means"},
    }
    job = room.lift(ref)
    room.settle()
    assert room.job(job)["state"] == "closed", (room.steps(job), room.events(job))
    assert _changed(before, world.dump()) == {}
