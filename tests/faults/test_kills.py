"""An erasure whose worker is killed at any of its crash points ends as if nothing had happened."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from dsr_worker.engine.crash import POINTS
from tests.faults.room import RESUMED_WITHIN_S, DrillRoom, customers_room, email
from tests.faults.watch import Watch

_NIGHTLY = pytest.mark.nightly
PASSES = {
    "after-claim": (1, 5, 8, 13),
    "after-spool": (2,),
    "after-locate": (3,),
    "before-intent": (1, 2, 3),
    "after-intent": (1, 2, 3),
    "after-effect": (1, 2, 3),
    "before-finish": (3, 5, 8, 13),
    "after-finish": (6, 9, 13),
    "before-ring": (6, 12),
}
"""After approval: confirm, locate, apply and recheck in each of three systems, a certificate."""

ONE_EACH = {
    "after-claim": (5,),
    "after-spool": (2,),
    "after-locate": (3,),
    "before-intent": (2,),
    "after-intent": (1,),
    "after-effect": (1, 3),
    "before-finish": (8,),
    "after-finish": (9,),
    "before-ring": (6,),
}
"""Each point; an effect in the second Postgres and in the last of the three systems."""


def approved_one_by_one(room: DrillRoom, kills: list[str]) -> None:
    """Erase person 0 undisturbed, then one person a kill, and compare each with person 0."""
    whole = room.world()
    refs = [room.submit("erasure", email=email(n)) for n in range(len(kills) + 1)]
    room.settle()
    assert room.in_state("awaiting_approval") == len(refs), room.stuck()
    room.approve(refs[0])
    room.settle()
    undisturbed = room.account(refs[0])
    assert {row[2] for row in undisturbed} == {"erased", "masked"}
    with room.watch() as watched, room.brood() as crash:
        for ref, spec in zip(refs[1:], kills, strict=True):
            room.approve(ref)
            assert crash(spec) == signal.SIGKILL, f"{spec} was not reached"
            room.settle()
            assert room.job(ref)["state"] == "ready", (spec, room.steps(ref))
            assert room.account(ref) == undisturbed, spec
            assert room.events(ref).count("certificate_made") == 1, spec
    resumed_in_time(watched, len(kills))
    others_are_untouched(room, whole, len(refs))


def resumed_in_time(watched: Watch, deaths: int) -> None:
    """Every death was seen, and another worker went on within the promised time."""
    assert len(watched.resumed_s) >= deaths, "not every kill was seen"
    assert max(watched.resumed_s) < RESUMED_WITHIN_S


def others_are_untouched(room: DrillRoom, whole: dict[tuple[str, ...], bytes], erased: int) -> None:
    """Of the erased only what must be kept is left; all other rows are the same byte for byte."""
    after = room.world()
    names = {str(n) for n in range(erased)}
    for place, body in whole.items():
        if _owner(place) in names:
            assert after.get(place) != body, place
        else:
            assert after.get(place) == body, place
    kept = {"customers", "invoices", "members", "bills"}
    assert {p[1] for p in after if _owner(p) in names} == kept


def _owner(place: tuple[str, ...]) -> str:
    system, collection, key = place
    if system == "club":
        per = {"members": 1, "bills": 2, "visits": 3}[collection]
        return str(int(key) // per)
    return key.removeprefix("cart-").removeprefix("doc-").split("-")[0]


@pytest.mark.parametrize(
    "passes",
    [
        pytest.param(ONE_EACH, id="one each"),
        pytest.param(PASSES, id="every", marks=[pytest.mark.faults, _NIGHTLY]),
    ],
)
def test_a_kill_at_any_pass_of_any_point_changes_nothing(
    tmp_path: Path, database: Callable[[], str], passes: Mapping[str, tuple[int, ...]]
) -> None:
    """Wherever an erasure's worker dies, the case ends once and as if nobody had died."""
    assert set(passes) == set(POINTS)
    kills = [f"{point}:{n}" for point, some in passes.items() for n in some]
    approved_one_by_one(customers_room(tmp_path, database, len(kills) + 4), kills)


@pytest.mark.faults
@pytest.mark.parametrize(
    "points",
    [
        ("before-finish:3", "before-intent:2", "after-effect"),
        pytest.param(("after-claim:2", "after-spool:2", "after-intent"), marks=_NIGHTLY),
        pytest.param(("after-finish:3", "after-locate", "before-ring:2"), marks=_NIGHTLY),
    ],
    ids=lambda points: points[0].partition(":")[0],
)
def test_supervised_workers_killed_again_and_again_finish_every_case(
    tmp_path: Path, database: Callable[[], str], redis_url: str, points: tuple[str, ...]
) -> None:
    """After each death of a Dramatiq process another goes on within a minute, until all is done."""
    room = customers_room(tmp_path, database, 9, redis_url=redis_url)
    whole = room.world()
    undisturbed = _one_undisturbed(room)
    refs = [room.submit("erasure", email=email(n)) for n in range(1, 6)]
    with room.workers(*points), room.watch() as watched:
        room.wait(lambda: room.in_state("awaiting_approval") == len(refs))
        for ref in refs:
            room.approve(ref)
        room.wait(lambda: room.in_state("ready") == len(refs) + 1)
    assert (tmp_path / "points").read_text() == "", "not every kill happened"
    resumed_in_time(watched, len(points))
    for ref in refs:
        assert room.account(ref) == undisturbed
        assert room.events(ref).count("certificate_made") == 1
    others_are_untouched(room, whole, len(refs) + 1)


def _one_undisturbed(room: DrillRoom) -> list[tuple[object, ...]]:
    ref = room.submit("erasure", email=email(0))
    room.settle()
    room.approve(ref)
    room.settle()
    return room.account(ref)
