"""What only several members of a batch meet together: told as it is, also where faults cross it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from dsr_worker.contract import NeedsHuman, Transient
from dsr_worker.engine.batch import Batch, Performer
from dsr_worker.ledger.rows import StepResult
from tests.integration.engine_room import EngineRoom

_PEOPLE = 6
_PAIR = (1, 4)


@pytest.fixture
def room(tmp_path: Path, database: Callable[[], str]) -> EngineRoom:
    """An installation with six people."""
    made = EngineRoom(tmp_path, database())
    made.load_people(_PEOPLE)
    return made


def _planned(
    room: EngineRoom, meet: Callable[[Sequence[int], int], None]
) -> dict[int, tuple[str, str]]:
    """How each person's plan in `crm` ended, where `meet` judges each call for these people."""
    refs = [room.submit("erasure", email=f"p.zq{n:04x}zq@mail.example") for n in range(_PEOPLE)]
    performers: Any = room.workshop.drainer._performers
    plan: Performer = performers["plan"]
    calls = 0

    def judged(batch: Batch) -> Sequence[StepResult]:
        nonlocal calls
        if batch.ctx.system.name == "crm":
            calls += 1
            meet(sorted(refs.index(m.job.ref) for m in batch.members), calls)
        return plan(batch)

    performers["plan"] = judged
    room.settle()
    performers["plan"] = plan
    return {
        n: next((s[3], s[4]) for s in room.steps(ref) if s[0] == "plan" and s[1] == "crm")
        for n, ref in enumerate(refs)
    }


def _contradict(people: Sequence[int]) -> None:
    if set(_PAIR) <= set(people):
        raise NeedsHuman("contradict", {"collection": "customers"})


def test_a_system_that_goes_away_meanwhile_lets_nobody_pass_unseen(room: EngineRoom) -> None:
    """Where it cannot be said whether two contradict each other, both wait and are asked again."""
    away = False

    def meet(people: Sequence[int], calls: int) -> None:
        nonlocal away
        if calls > 1 and away and set(_PAIR) <= set(people):
            raise Transient("away", retry_after_s=60)
        away = True
        _contradict(people)

    found = _planned(room, meet)
    assert {found[n] for n in _PAIR} == {("waiting", "transient")}
    room.rows("UPDATE steps SET run_at = now() WHERE state = 'waiting' RETURNING id")
    performers: Any = room.workshop.drainer._performers
    plan: Performer = performers["plan"]

    def back(batch: Batch) -> Sequence[StepResult]:
        people = [int(str(m.job.ref).rpartition("-")[2]) - 1 for m in batch.members]
        _contradict(people)
        return plan(batch)

    performers["plan"] = back
    room.settle()
    codes = room.rows("SELECT state, code, count(*) FROM steps WHERE code <> '' GROUP BY 1, 2")
    assert [tuple(row) for row in codes] == [("needs_human", "contradict", len(_PAIR))]


def test_a_fault_of_the_smaller_batch_is_told_and_frees_no_culprit(
    room: EngineRoom, caplog: pytest.LogCaptureFixture
) -> None:
    """Where every part between one and all of them fails, those who contradict still stop."""

    def meet(people: Sequence[int], _calls: int) -> None:
        if 1 < len(people) < _PEOPLE:
            raise ValueError("zq-secret-zq")
        _contradict(people)

    with caplog.at_level(logging.ERROR):
        found = _planned(room, meet)
    assert {found[n] for n in _PAIR} == {("needs_human", "contradict")}
    told = [r for r in caplog.records if r.getMessage() == "batch_failed_together"]
    assert told
    assert {vars(r)["error"] for r in told} == {"ValueError"}
    assert "zq-secret-zq" not in caplog.text


def test_a_fault_of_all_together_leaves_the_parts_as_they_were(
    room: EngineRoom, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody is stopped for what only a large batch meets, and the log says that it did."""

    def meet(people: Sequence[int], _calls: int) -> None:
        if len(people) > _PEOPLE // 2:
            raise ValueError("too many")

    with caplog.at_level(logging.ERROR):
        found = _planned(room, meet)
    assert set(found.values()) == {("done", "")}
    assert [r for r in caplog.records if r.getMessage() == "batch_failed_together"]
