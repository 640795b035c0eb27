"""Desks for the tests of the command line: one for a file, or one for a test that changes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.cli_desk import Desk


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
def alone(tmp_path: Path, database: Callable[[], str]) -> Iterator[Desk]:
    """An installation for a test that changes clock, keys, files or events."""
    desk = Desk(tmp_path, database())
    yield desk
    desk.room.office.ledger.dispose()
