"""What becomes of a clock: foreseen from what is known, and never better than that."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsr_worker.domain.forecast import Forecast, Outlook, Owed, forecast, owed
from dsr_worker.domain.request import State

_NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
_LEAD = timedelta(days=7)
_DUE = Outlook(_NOW, _NOW + timedelta(days=10))

_days = st.none() | st.integers(-40, 40).map(lambda days: _NOW + timedelta(days=days))
_outlooks = st.builds(
    Outlook,
    now=st.just(_NOW),
    due_at=_days,
    is_paused=st.booleans(),
    is_firm=st.booleans(),
    is_stuck=st.booleans(),
    waits_until=_days,
    worked_off_at=_days,
    owed=st.none() | st.sampled_from(Owed),
)


@pytest.mark.parametrize(
    ("outlook", "expected"),
    [
        (_DUE, Forecast.OPEN),
        (replace(_DUE, waits_until=_NOW + timedelta(days=11)), Forecast.LATE),
        (replace(_DUE, waits_until=_NOW + timedelta(days=9)), Forecast.OPEN),
        (replace(_DUE, worked_off_at=_NOW + timedelta(days=10)), Forecast.LATE),
        (replace(_DUE, is_stuck=True), Forecast.STUCK),
        (replace(_DUE, owed=Owed.APPROVAL), Forecast.OPEN),
        (replace(_DUE, owed=Owed.APPROVAL, now=_NOW + timedelta(days=3)), Forecast.AT_RISK),
        (replace(_DUE, now=_NOW + timedelta(days=10)), Forecast.OVERDUE),
        (replace(_DUE, is_paused=True), Forecast.PAUSED),
        (replace(_DUE, is_paused=True, now=_NOW + timedelta(days=10)), Forecast.OVERDUE),
        (replace(_DUE, due_at=None, waits_until=_NOW), Forecast.OPEN),
    ],
)
def test_a_clock_is_foreseen_by_what_is_known(outlook: Outlook, expected: Forecast) -> None:
    """Each cause has its word: wait, queue, stop, a person's duty, the instant itself."""
    assert forecast(outlook, _LEAD) is expected


@given(_outlooks)
def test_a_passed_clock_is_never_told_as_open(outlook: Outlook) -> None:
    """Past its instant a clock is overdue, but where a source says that it stands."""
    if outlook.due_at is not None and outlook.now >= outlook.due_at:
        firm = outlook.is_paused and outlook.is_firm
        told = forecast(outlook, _LEAD)
        assert told is (Forecast.PAUSED if firm else Forecast.OVERDUE)


@given(_outlooks)
def test_a_stop_or_a_wait_never_makes_it_better(outlook: Outlook) -> None:
    """What is added to what stands in the way leaves no clock `open` that was not."""
    plain = replace(outlook, is_stuck=False, waits_until=None, worked_off_at=None, owed=None)
    if forecast(outlook, _LEAD) is Forecast.OPEN:
        assert forecast(plain, _LEAD) is Forecast.OPEN


def test_what_a_person_owes_follows_from_the_state() -> None:
    """A refusal, an appeal and an answer that lies ready wait for somebody; a breach is no case."""
    assert owed("erasure", State.REFUSED, "respond") is Owed.REFUSAL_LETTER
    assert owed("access", State.APPEAL_ANSWERED, "appeal") is Owed.APPEAL_LETTER
    assert owed("access", State.WORKING, "respond") is None
    assert owed("breach", State.AWAITING_APPROVAL, "authority:DE") is None


def test_an_acknowledgement_is_owed_whatever_the_case_waits_for() -> None:
    """Its clock is met by a letter of its own, and not by the approval that waits beside it."""
    for clock in ("acknowledge", "acknowledge:us-ca-ccpa"):
        assert owed("access", State.AWAITING_APPROVAL, clock) is Owed.ACKNOWLEDGEMENT
        assert owed("complaint", "received", clock) is Owed.ACKNOWLEDGEMENT
    assert owed("access", State.AWAITING_APPROVAL, "respond:us-ca-ccpa") is Owed.APPROVAL
