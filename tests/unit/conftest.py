"""Fixtures of the unit tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsr_worker.store import LocalStore


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """A store in a folder."""
    return LocalStore(tmp_path)
