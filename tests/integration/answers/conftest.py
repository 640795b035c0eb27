"""The installation of these tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.answers.answered import SECOND_LOOK
from tests.integration.engine_room import EngineRoom


@pytest.fixture
def room(tmp_path: Path, ledger: Callable[[], str]) -> EngineRoom:
    """An installation with ten people in two systems; access cases are looked at by a second."""
    made = EngineRoom(tmp_path, ledger(), organisation=SECOND_LOOK)
    made.load_people(10)
    return made
