"""`dsr replay` over complaints and acknowledgements: what another pack would date otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dsr_worker.statutes import load, pack_text_and_hash
from tests.integration.cli_desk import Desk

Change = Callable[[str, str, str], None]


@pytest.fixture
def change(monkeypatch: pytest.MonkeyPatch) -> Change:
    """Give a law another text from now on."""

    def to(law: str, old: str, new: str) -> None:
        text, _ = pack_text_and_hash(law)
        assert text.count(old) == 1
        texts = {**load._texts(), law: ("changed.yaml", text.replace(old, new))}
        monkeypatch.setattr(load, "_texts", lambda: texts)

    return to


def _complaint(desk: Desk, topic: str = "data_handling", *more: str) -> str:
    args = ("submit", "--kind", "complaint", "--topic", topic, *desk.named, *more)
    return str(desk.ok(*args, actor="anna")["case"])


def _replayed(desk: Desk, case: str) -> dict[str, dict[str, Any]]:
    return {row["clock"]: row for row in desk.ok("replay", case)["clocks"]}


def _due(desk: Desk, case: str) -> dict[str, tuple[Any, Any]]:
    rows = [row for row in desk.ok("due")["clocks"] if row["case"] == case]
    return {row["clock"]: (row["due_at"], row["conservative_due_at"]) for row in rows}


def test_a_changed_pack_lists_the_complaints_whose_dates_move(desk: Desk, change: Change) -> None:
    """Thirty days that became fourteen are told, move nothing, and leave the house's clocks out."""
    case = _complaint(desk, "data_handling", "--country", "GB-ENG")
    before, replayed = _due(desk, case), _replayed(desk, case)
    assert set(replayed) == {"acknowledge:uk-gdpr", "respond:uk-gdpr"}
    assert not any(row["moves"] for row in replayed.values())
    change(
        "uk-gdpr",
        "period: {amount: 30, unit: calendar_days}",
        "period: {amount: 14, unit: calendar_days}",
    )
    after = _replayed(desk, case)
    assert {name: row["moves"] for name, row in after.items()} == {
        "acknowledge:uk-gdpr": True,
        "respond:uk-gdpr": False,
    }
    moved = after["acknowledge:uk-gdpr"]
    assert moved["today"]["due_on"] < moved["frozen"]["due_on"]
    assert _due(desk, case) == before


def test_a_complaint_under_two_laws_keeps_both_texts(desk: Desk, change: Change) -> None:
    """A law that was named beside the first one is replayed by the text of its own first day."""
    case = _complaint(desk, "other", "--country", "DE", "--also", "GB-ENG")
    replayed = _replayed(desk, case)
    assert {row["law"] for row in replayed.values()} == {"uk-gdpr"}
    change("uk-gdpr", "  - id: uk-dpa-164a\n", "  - id: uk-dpa-164a-other\n")
    assert all(row["frozen"] and not row["moves"] for row in _replayed(desk, case).values())
    change("uk-gdpr", "effective_from: 2026-06-19", "effective_from: 2036-06-19")
    gone = _replayed(desk, case)
    assert all((row["today"], row["moves"]) == (None, True) for row in gone.values())


def test_a_complaint_that_no_law_dates_has_nothing_to_replay(desk: Desk) -> None:
    """Of a parcel that came late only the house's timetable speaks, which comes from no pack."""
    case = _complaint(desk, "delivery", "--country", "GB-ENG")
    assert _replayed(desk, case) == {}


def test_an_acknowledgement_is_replayed_like_an_answer(desk: Desk, change: Change) -> None:
    """California's ten business days: the clock of the receipt is a clock of the law as well."""
    case = desk.submit("access", "--country", "US-CA")
    replayed = _replayed(desk, case)
    assert set(replayed) == {"acknowledge", "respond"}
    assert not any(row["moves"] for row in replayed.values())
    change(
        "us-ca-ccpa",
        "period: {amount: 10, unit: business_days}",
        "period: {amount: 5, unit: business_days}",
    )
    moves = {name: row["moves"] for name, row in _replayed(desk, case).items()}
    assert moves == {"acknowledge": True, "respond": False}
