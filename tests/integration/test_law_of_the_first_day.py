"""A request is judged by the law pack of its first day, whatever is planned or begun anew later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dsr_worker.ledger import jobs
from dsr_worker.ledger.rows import Event
from dsr_worker.statutes import load
from tests.integration.cli_desk import Desk

_PERIODS = "period: {{amount: {}, unit: {}}}\n      extension: {{amount: 2, unit: {}}}"
_MONTH = _PERIODS.format(1, "months", "months")
_WEEK = _PERIODS.format(7, "calendar_days", "calendar_days")


def _told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release whose pack gives a week where this one gives a month."""
    texts = dict(load._texts())
    source, text = texts["eu-gdpr"]
    assert _MONTH in text
    texts["eu-gdpr"] = (source, text.replace(_MONTH, _WEEK).replace("-21\n", "-22\n", 1))
    monkeypatch.setattr(load, "_texts", lambda: texts)


def _planned(desk: Desk, _case: str) -> None:
    desk.room.settle()


def _begun_anew(desk: Desk, case: str) -> None:
    desk.room.settle()
    room = desk.room
    with room.office.ledger.transaction() as cursor:
        job = jobs.lock_ref(cursor, case)
        assert job is not None
        again = Event("approval_voided", {"reason": "new_identity"})
        jobs.change(cursor, [room.office.course.begun_anew(cursor, job, again)])
    room.settle()


def _respond(desk: Desk, case: str) -> dict[str, Any]:
    clocks = desk.ok("status", case)["clocks"]
    (found,) = [c for c in clocks if c["name"] == "respond"]
    return dict(found)


@pytest.mark.parametrize("later", [_planned, _begun_anew])
def test_a_later_pack_moves_no_clock_of_a_case(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, later: Callable[[Desk, str], None]
) -> None:
    """Planning goes by today's map and policies, never by today's law: a turn keeps the dates."""
    case = desk.submit("erasure")
    stood = _respond(desk, case)
    _told_otherwise(monkeypatch)
    later(desk, case)
    (row,) = desk.ok("replay", case)["clocks"]
    assert row["frozen"]["due_on"] == stood["due_on"]
    assert (row["moves"], row["today"]["due_on"] < stood["due_on"]) == (True, True)
    desk.ok("pause", case, "--ground", "clarification", actor="anna")
    assert _respond(desk, case)["due_on"] == stood["due_on"]


def test_a_pack_that_is_gone_keeps_no_case_from_its_plan(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A case whose law pack a release took away is planned by the text that was kept."""
    case = desk.submit("erasure")
    texts = {name: text for name, text in load._texts().items() if name != "eu-gdpr"}
    monkeypatch.setattr(load, "_texts", lambda: texts)
    desk.room.settle()
    assert desk.ok("status", case)["state"] == "awaiting_approval"
