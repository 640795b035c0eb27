"""Installations: a room for a test alone, desks of the command line for a file or a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli_desk import Desk
from tests.integration.engine_room import EngineRoom
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
