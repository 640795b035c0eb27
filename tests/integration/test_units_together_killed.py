"""Cases that join and share passes are answered as if apart, whoever dies over them and when."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsr_worker.engine import crash
from dsr_worker.engine import units as work
from tests.integration.engine_room import EngineRoom
from tests.integration.test_units import answered, outcome, room_of
from tests.integration.test_units_killed import Crew, Deaths, Mortal
from tests.integration.test_units_together import address, sharing

PARTS = 4
PEOPLE = 3
BORDERS = 40
"""Passes of a border over one access and one erasure of these systems, at least."""
Joining = tuple[str, int, int]  # kind, person, and the border at which the case comes in


@pytest.fixture
def deaths(monkeypatch: pytest.MonkeyPatch) -> Iterator[Deaths]:
    """Deaths at every border of a unit, and inside."""
    made = Deaths()
    monkeypatch.setattr(work, "crash_point", lambda _point: made.passed())
    yield made
    crash.arm(None)


@pytest.fixture
def apart(tmp_path: Path, ledger: Callable[[], str]) -> dict[tuple[str, int], object]:
    """What each case says when every call is made whole, by itself."""
    room, _ = room_of(tmp_path / "whole", ledger(), 1)
    found: dict[tuple[str, int], object] = {}
    for person in range(1, PEOPLE + 1):
        ref = room.submit("access", email=address(person))
        answered(room, ref)
        found["access", person] = said(room, ref)
        ref = room.submit("erasure", email=address(person))
        for _ in range(20):
            room.settle()
        assert room.job(ref)["plan_hash"]
        found["erasure", person] = said(room, ref)
    return found


def said(room: EngineRoom, ref: str) -> object:
    """What a case says; a plan's outcomes in one order, whichever its keys came in."""
    found = []
    for action, system, state, result, code in outcome(room, ref):
        told = json.loads(result)
        told.get("outcomes", []).sort(key=repr)
        found.append((action, system, state, told, code))
    return found


def is_through(room: EngineRoom, ref: str) -> bool:
    """Whether a case is answered, or planned and waits for an approval."""
    job = room.job(ref)
    return bool(job["state"] == "ready" or (job["kind"] == "erasure" and job["plan_hash"]))


@pytest.mark.nightly  # random deaths take their time; the rule by day: test_units_together
def test_cases_that_share_passes_are_answered_as_if_apart(
    tmp_path: Path,
    ledger: Callable[[], str],
    deaths: Deaths,
    apart: dict[tuple[str, int], object],
) -> None:
    """Accesses and erasures that come in at any time, among deaths at any border, are the same."""
    room, connector = sharing(tmp_path / "shared", ledger(), PARTS)
    connector.journal = Mortal(deaths)
    crew = Crew(room, deaths)
    struck: list[int] = []

    @settings(
        max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(
        cases=st.lists(
            st.tuples(
                st.sampled_from(["access", "erasure"]),
                st.integers(1, PEOPLE),
                st.integers(0, BORDERS),
            ),
            min_size=2,
            max_size=4,
        ),
        at=st.sets(st.integers(1, BORDERS), min_size=1, max_size=2),
    )
    def holds(cases: list[Joining], at: set[int]) -> None:
        deaths.order(at)
        coming = sorted(cases, key=lambda case: case[2])
        refs: dict[str, tuple[str, int]] = {}

        def through() -> bool:
            idle = all(is_through(room, ref) for ref in refs)
            while coming and (idle or deaths.passes >= coming[0][2]):
                kind, person, _ = coming.pop(0)
                refs[room.submit(kind, email=address(person))] = (kind, person)
                idle = False
            return idle and not coming

        crew.work_until(through)
        assert not coming
        struck.append(deaths.died)
        for ref, case in refs.items():
            assert said(room, ref) == apart[case], room.steps(ref)

    holds()
    assert sum(struck) >= len(struck)
    assert connector.journal.made("pass")
