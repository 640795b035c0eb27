"""An erasure in units goes on after any death, and its account is that of the whole call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from dsr_worker.engine import context
from dsr_worker.engine import units as work
from tests.examples import examples
from tests.integration.engine_room import EngineRoom
from tests.integration.test_units import answered, outcome, receipts
from tests.integration.test_units_erasing import (
    PARTS,
    approved,
    documents,
    fill,
    others,
    room_of,
)
from tests.integration.test_units_killed import Crew, Deaths, Mortal
from tests.integration.unit_systems import Journal

APART = (16, 60)
"""Borders, intents and calls from death to death, of some 250 in all: three deaths over one unit
would stop it for a person."""


def account(room: EngineRoom, ref: str) -> tuple[Any, ...]:
    """Rows and values by outcome and ground, whenever counted; what else its steps told."""
    counts: Counter[tuple[Any, ...]] = Counter()
    for system, collection, how, rows, fields, ground in receipts(room, ref):
        counts[system, collection, how, ground, "rows"] += rows
        counts[system, collection, how, ground, "fields"] += fields
    told = outcome(room, ref)
    return counts, [row for row in told if row[1] == "files" and row[0] != "apply"]


def test_deaths_anywhere_in_an_erasure_change_nothing(
    tmp_path: Path, ledger: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever two workers die, receipts are those of the whole call, others' bytes identical."""
    whole, _ = room_of(tmp_path / "whole", ledger(), 1)
    one = approved(whole, 1)
    answered(whole, one)
    baseline = account(whole, one)
    room, connector = room_of(tmp_path / "parted", ledger(), PARTS)
    untouched = others(room, 1)
    deaths = Deaths()
    for place in (work, context):
        monkeypatch.setattr(place, "crash_point", lambda _point: deaths.passed())
    struck: list[int] = []

    @settings(
        max_examples=examples(5),
        phases=[Phase.generate],  # two workers race: no death is the same twice
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(apart=st.lists(st.integers(*APART), min_size=3, max_size=8))
    def holds(apart: list[int]) -> None:
        fill(room)
        deaths.order(set())
        connector.journal = Journal()
        ref = approved(room, 1)
        connector.journal = Mortal(deaths)
        deaths.order(set(accumulate(apart)))
        Crew(room, deaths).answer(ref)
        struck.append(deaths.died)
        assert account(room, ref) == baseline
        assert documents(room, 1) == 0
        assert others(room, 1) == untouched

    holds()
    assert sum(struck) >= len(struck)
