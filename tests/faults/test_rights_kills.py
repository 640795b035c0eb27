"""A rectification, restriction or lifting whose worker is killed ends as if nobody had died."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from dsr_worker.engine.crash import POINTS
from tests.faults.rights_room import CORRECTIONS, RightsRoom, expected, rights_room
from tests.faults.room import email
from tests.faults.test_kills import resumed_in_time

_CASES: Mapping[str, str] = {
    "rectification": "rectified",
    "restriction": "restricted",
    "lifting": "lifted",
}
_STEPS: Mapping[str, tuple[int, ...]] = {
    "rectification": (1, 4, 7, 10, 13),
    "restriction": (1, 4, 7, 8, 11, 14),
    "lifting": (1, 4, 7, 10),
}
"""One step of each phase: confirm, locate, (protect,) apply and recheck in three systems, certify.
A lifting begins at locate."""
_IN_EACH = (1, 2, 3)
_SMOKE: Mapping[str, tuple[int, ...]] = {"after-intent": (3,), "after-effect": (1, 2)}
"""Where an effect is about to happen, and has happened unseen."""


def _every(kind: str) -> Mapping[str, tuple[int, ...]]:
    passes = {
        "after-claim": _STEPS[kind],
        "after-spool": _IN_EACH,
        "after-locate": _IN_EACH,
        "before-intent": _IN_EACH,
        "after-intent": _IN_EACH,
        "after-effect": _IN_EACH,
        "before-finish": _STEPS[kind],
        "after-finish": _STEPS[kind],
        "before-ring": _STEPS[kind][1:-1],
    }
    assert set(passes) == set(POINTS)
    return passes


class _Drill:
    """Cases of one kind, each disturbed by a kill but for the first."""

    def __init__(self, room: RightsRoom, kind: str, people: int) -> None:
        self.room = room
        self.kind = kind
        self.whole = room.world()
        asked = "restriction" if kind == "lifting" else kind
        corrections = CORRECTIONS if kind == "rectification" else ()
        self.refs = [room.submit(asked, corrections, email=email(n)) for n in range(people)]
        room.settle()
        assert room.in_state("awaiting_approval") == people, room.stuck()
        if kind == "lifting":
            for ref in self.refs:
                room.approve(ref)
            room.settle()
            assert room.in_state("ready") == people, room.stuck()
            assert room.world() == expected("restriction", self.whole, self._names())

    def start(self, ref: str) -> str:
        """Let a case be carried out; the job that does it."""
        if self.kind == "lifting":
            return self.room.lift(ref)
        self.room.approve(ref)
        return ref

    def ended(self, job: str, why: str) -> list[tuple[object, ...]]:
        """The receipts of a job that has ended well, once."""
        room = self.room
        end = "closed" if self.kind == "lifting" else "ready"
        assert room.job(job)["state"] == end, (why, room.steps(job), room.stuck())
        assert room.events(job).count("certificate_made") == 1, why
        return room.account(job)

    def check_world(self) -> None:
        """Everybody's rows are what they would be without a kill, byte for byte."""
        world = self.room.world()
        wanted = (
            self.whole if self.kind == "lifting" else expected(self.kind, self.whole, self._names())
        )
        assert world.keys() == wanted.keys()
        assert [place for place, body in wanted.items() if world[place] != body] == []
        matters = [
            row.matter
            for row in self.room.rows("SELECT matter FROM holds WHERE released_at IS NULL")
        ]
        assert sorted(matters) == (sorted(self.refs) if self.kind == "restriction" else [])

    def _names(self) -> set[str]:
        return {str(n) for n in range(len(self.refs))}


def killed_one_by_one(
    folder: Path, database: Callable[[], str], kind: str, passes: Mapping[str, tuple[int, ...]]
) -> None:
    """Carry out one case undisturbed, then one a kill, and compare each with the first."""
    kills = [f"{point}:{n}" for point, some in passes.items() for n in some]
    room = rights_room(folder, database, len(kills) + 3)
    drill = _Drill(room, kind, len(kills) + 1)
    first = drill.start(drill.refs[0])
    room.settle()
    undisturbed = drill.ended(first, "undisturbed")
    assert _CASES[kind] in {row[2] for row in undisturbed}
    with room.watch() as watched, room.brood() as crash:
        for ref, spec in zip(drill.refs[1:], kills, strict=True):
            job = drill.start(ref)
            assert crash(spec) == signal.SIGKILL, f"{spec} was not reached"
            room.settle()
            assert drill.ended(job, spec) == undisturbed, spec
    resumed_in_time(watched, len(kills))
    drill.check_world()


@pytest.mark.parametrize("kind", _CASES)
def test_a_kill_around_an_effect_neither_loses_nor_doubles_it(
    tmp_path: Path, database: Callable[[], str], kind: str
) -> None:
    """A worker killed around the commit of an effect leaves the receipts that another would."""
    killed_one_by_one(tmp_path, database, kind, _SMOKE)


@pytest.mark.faults
@pytest.mark.nightly
@pytest.mark.parametrize("kind", _CASES)
def test_a_kill_at_any_pass_of_any_point_changes_nothing(
    tmp_path: Path, database: Callable[[], str], kind: str
) -> None:
    """Wherever the worker dies, the case ends once and as if nobody had died."""
    killed_one_by_one(tmp_path, database, kind, _every(kind))


@pytest.mark.faults
@pytest.mark.nightly
@pytest.mark.parametrize("kind", _CASES)
def test_supervised_workers_killed_again_and_again_finish_every_case(
    tmp_path: Path, database: Callable[[], str], redis_url: str, kind: str
) -> None:
    """After each death of a Dramatiq process another goes on within a minute, until all is done."""
    points = ("after-spool:2", "after-intent", "after-effect:2", "before-finish:4")
    room = rights_room(tmp_path, database, 7, redis_url=redis_url)
    drill = _Drill(room, kind, 4)
    first = drill.start(drill.refs[0])
    room.settle()
    undisturbed = drill.ended(first, "undisturbed")
    with room.workers(*points), room.watch() as watched:
        jobs = [drill.start(ref) for ref in drill.refs[1:]]
        end = "closed" if kind == "lifting" else "ready"
        room.wait(lambda: all(room.job(job)["state"] == end for job in jobs))
    assert (tmp_path / "points").read_text() == "", "not every kill happened"
    resumed_in_time(watched, len(points))
    for job in jobs:
        assert drill.ended(job, "supervised") == undisturbed
    drill.check_world()
