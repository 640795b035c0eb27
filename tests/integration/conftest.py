"""Installations: a room for a test alone, desks of the command line for a file or a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests import services as real
from tests.contract.s3_aged import AgedBucket, server
from tests.integration.cli_desk import Desk
from tests.integration.engine_room import EngineRoom
from tests.integration.rules_bench import Bench
from tests.integration.sweep_room import SHARED, Make, SweepRoom


@pytest.fixture
def room(tmp_path: Path, ledger: Callable[[], str]) -> EngineRoom:
    """An installation with ten people in two systems."""
    made = EngineRoom(tmp_path, ledger())
    made.load_people(10)
    return made


@pytest.fixture(scope="module")
def shared(
    tmp_path_factory: pytest.TempPathFactory, module_databases: Callable[[], str]
) -> Iterator[Desk]:
    """One installation for every test that leaves others alone."""
    desk = Desk(tmp_path_factory.mktemp("desk"), module_databases())
    yield desk
    desk.room.office.ledger.dispose()


@pytest.fixture
def desk(shared: Desk) -> Desk:
    """The shared installation, and a person of it for this test alone."""
    shared.person += 1
    return shared


@pytest.fixture
def alone(tmp_path: Path, ledger: Callable[[], str]) -> Iterator[Desk]:
    """An installation for a test that changes clock, keys, files or events."""
    desk = Desk(tmp_path, ledger())
    yield desk
    desk.room.office.ledger.dispose()


@pytest.fixture
def make(tmp_path: Path, ledger: Callable[[], str]) -> Make:
    """Makes an installation; `policies` are the texts of its policy files."""

    def made(**texts: Any) -> SweepRoom:
        return SweepRoom(tmp_path, ledger(), **{"policies": {"trial": SHARED}, **texts})

    return made


@pytest.fixture(scope="module")
def aged_endpoint() -> Iterator[str]:
    """An S3 API whose objects' dates a test may choose."""
    with server() as address:
        yield address


@pytest.fixture
def bench(
    tmp_path: Path,
    ledger: Callable[[], str],
    aged_endpoint: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Bench]:
    """An installation with a young letter of two customers."""
    monkeypatch.setenv("TRIAL_S3_KEY", real.S3_KEY)
    monkeypatch.setenv("TRIAL_S3_SECRET", real.S3_SECRET)
    aged = AgedBucket.made(aged_endpoint)
    for customer in ("1", "2"):
        aged.put(f"letters/{customer}/a", datetime.now(UTC) - timedelta(days=1))
    made = Bench(tmp_path, ledger(), aged)
    yield made
    made.room.office.ledger.dispose()
