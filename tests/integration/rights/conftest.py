"""The installation of these tests: six people whose data can be put right and restricted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.engine_room import EngineRoom
from tests.integration.rights.restrictable import restrictable


@pytest.fixture
def room(tmp_path: Path, ledger: Callable[[], str]) -> EngineRoom:
    """An installation with six people, whose customers, carts and documents can be restricted."""
    made = EngineRoom(tmp_path, ledger(), systems=restrictable())
    made.load_people(6)
    with made.system("crm").transaction() as (tables, changes):
        rows = tables.rows["customers"].items()
        changes.extend(("customers", key, {**row, "blocked": "no"}) for key, row in rows)
    return made
