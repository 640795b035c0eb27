"""Drills take as long as the machine does; what is promised is measured inside them."""

from __future__ import annotations

from pathlib import Path

import pytest

_TIMEOUT_S = 900


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every drill a generous limit of its own."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(_TIMEOUT_S))
