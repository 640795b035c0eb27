"""A call in units is resumed after any death, by whoever is alive, and its outcome is the same."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsr_worker.bootstrap import Workshop
from dsr_worker.engine import crash
from dsr_worker.engine import units as work
from tests.examples import examples
from tests.integration.engine_room import EngineRoom
from tests.integration.test_units import answered, outcome, room_of
from tests.integration.unit_systems import Journal

PARTS = 4
POINTS = 34
"""Passes of a border in one access of these systems, at least; some deaths come late or never."""


class Killed(BaseException):
    """A worker's death: nothing of its process goes on."""


class Deaths:
    """Kills whoever comes to the n-th border or call inside a unit, for each n of a set."""

    def __init__(self) -> None:
        self.left: set[int] = set()
        self.died = 0
        self._passed = 0
        self._lock = threading.Lock()

    def order(self, at: set[int]) -> None:
        """Begin to count anew."""
        with self._lock:
            self.left, self._passed, self.died = set(at), 0, 0

    @property
    def passes(self) -> int:
        """How many have come by."""
        return self._passed

    def passed(self) -> None:
        """Somebody comes by."""
        with self._lock:
            self._passed += 1
            if self._passed not in self.left:
                return
            self.left.discard(self._passed)
            self.died += 1
        raise Killed


class Mortal(Journal):
    """Notes calls, and lets workers die inside them."""

    def __init__(self, deaths: Deaths) -> None:
        super().__init__()
        self._deaths = deaths

    def note(self, call: str, unit: str) -> None:
        """A call inside a unit is a place to die."""
        super().note(call, unit)
        self._deaths.passed()


class Crew:
    """Two workers on one ledger; who dies is replaced."""

    def __init__(self, room: EngineRoom, deaths: Deaths) -> None:
        self._room = room
        self._deaths = deaths

    def answer(self, ref: str) -> None:
        """Work until the case is answered."""
        self.work_until(lambda: bool(self._room.job(ref)["state"] == "ready"))
        assert self._room.job(ref)["state"] == "ready", self._room.steps(ref)

    def work_until(self, reached: Callable[[], bool]) -> None:
        """Work until this is so, for a hundred seconds at most."""
        ended = threading.Event()
        threads = [threading.Thread(target=self._work, args=(ended,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        until = time.monotonic() + 100
        while not reached() and time.monotonic() < until:
            time.sleep(0.02)
        ended.set()
        for thread in threads:
            thread.join()

    def _work(self, ended: threading.Event) -> None:
        shop = self._hired()
        while not ended.is_set():
            try:
                shop.ticker.tick()
                for system in self._room.office.systems:
                    shop.drainer(system)
            except Killed:
                _bury(shop)
                shop = self._hired()
            time.sleep(0.01)
        _bury(shop)

    def _hired(self) -> Workshop:
        shop = Workshop(self._room.office)
        shop.worker.enlist()
        return shop


def _bury(shop: Workshop) -> None:
    """Its session ends, as that of a dead process does."""
    session = shop.worker._session
    if session is not None:
        session.close()


@pytest.fixture
def deaths(monkeypatch: pytest.MonkeyPatch) -> Iterator[Deaths]:
    """Deaths at every border of a unit, and inside."""
    made = Deaths()
    monkeypatch.setattr(work, "crash_point", lambda _point: made.passed())
    yield made
    crash.arm(None)


@pytest.fixture
def baseline(tmp_path: Path, ledger: Callable[[], str]) -> list[tuple[object, ...]]:
    """What an access says when every call is made whole."""
    room, _ = room_of(tmp_path / "whole", ledger(), 1)
    ref = room.submit("access", email="p.zq0001zq@mail.example")
    answered(room, ref)
    return outcome(room, ref)


def test_deaths_at_any_border_change_nothing(
    tmp_path: Path,
    ledger: Callable[[], str],
    deaths: Deaths,
    baseline: list[tuple[object, ...]],
) -> None:
    """Wherever one of two workers dies, a case is answered as if every call were made at once."""
    room, connector = room_of(tmp_path / "parted", ledger(), PARTS)
    connector.journal = Mortal(deaths)
    crew = Crew(room, deaths)
    struck: list[int] = []

    @settings(
        max_examples=examples(12), suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(at=st.sets(st.integers(1, POINTS), min_size=1, max_size=2))
    def holds(at: set[int]) -> None:
        deaths.order(at)
        ref = room.submit("access", email="p.zq0001zq@mail.example")
        crew.answer(ref)
        struck.append(deaths.died)
        assert outcome(room, ref) == baseline

    holds()
    assert sum(struck) >= len(struck)


def test_a_division_goes_on_where_it_came_to(
    tmp_path: Path,
    ledger: Callable[[], str],
    deaths: Deaths,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each page of units is kept by itself; after a death the connector is asked for the rest."""
    monkeypatch.setattr(work, "PAGE", 2)
    room, connector = room_of(tmp_path / "parted", ledger(), 9)
    asked: list[tuple[str, str]] = connector.journal.calls
    ref = room.submit("access", email="p.zq0001zq@mail.example")
    died = _once(monkeypatch, "after-page")
    Crew(room, deaths).answer(ref)
    assert died == ["after-page"]
    divisions = [after for call, after in asked if call == "units of find"]
    assert "1" in divisions
    numbers = room.rows("SELECT scan_id, max(number) AS last FROM units GROUP BY scan_id")
    assert {row.last for row in numbers} == {9}


def _once(monkeypatch: pytest.MonkeyPatch, where: str) -> list[str]:
    died: list[str] = []
    lock = threading.Lock()

    def point(name: str) -> None:
        with lock:
            if name != where or died:
                return
            died.append(name)
        raise Killed

    monkeypatch.setattr(work, "crash_point", point)
    return died


def test_a_unit_that_kills_its_workers_is_quarantined(
    tmp_path: Path,
    ledger: Callable[[], str],
    deaths: Deaths,
) -> None:
    """Three deaths over one unit stop it for a person; nobody else dies of it."""
    room, connector = room_of(tmp_path / "parted", ledger(), PARTS)
    connector.journal = Poison()
    ref = room.submit("access", email="p.zq0001zq@mail.example")
    crew = Crew(room, deaths)

    def stuck() -> list[str]:
        return [row[4] for row in room.steps(ref) if row[3] == "needs_human"]

    crew.work_until(lambda: len(stuck()) == 2)
    assert stuck() == ["quarantined"] * 2
    assert connector.journal.made("find").count("2") == 6


class Poison(Journal):
    """Whoever finds in unit 2 dies."""

    def note(self, call: str, unit: str) -> None:
        """Die there."""
        super().note(call, unit)
        if (call, unit) == ("find", "2"):
            raise Killed
