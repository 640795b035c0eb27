"""Counting people for a duty: what is not known never lightens it."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from dsr_worker.domain.headcount import (
    Affected,
    Compare,
    Counted,
    DutyState,
    Threshold,
    by_threshold,
)

PLACES = ["US", "US-TX", "US-CA", "US-TX-A", "DE", "DE-BY", "FR"]
counts = st.dictionaries(st.sampled_from(PLACES), st.integers(1, 12), max_size=5)
wanted = st.sampled_from([("US",), ("US-TX",), ("DE",), ("DE", "FR")])
thresholds = st.builds(
    Threshold,
    st.integers(1, 20),
    st.sampled_from([Compare.AT_LEAST, Compare.MORE_THAN]),
    st.sampled_from(Counted),
)


@given(counts, st.integers(0, 8), st.booleans(), wanted, thresholds, st.sampled_from(PLACES))
def test_one_person_more_never_turns_a_duty_off(
    known: dict[str, int],
    unknown: int,
    complete: bool,  # noqa: FBT001 - a fact, as in Affected
    where: tuple[str, ...],
    threshold: Threshold,
    place: str,
) -> None:
    """Whoever counts, another affected person brings a duty nearer or leaves it as it is."""
    order = [DutyState.NOT_DUE, DutyState.CONDITIONAL, DutyState.LIVE]
    before, _ = by_threshold(threshold, where, Affected(known, unknown, complete))
    more = {**known, place: known.get(place, 0) + 1}
    after, _ = by_threshold(threshold, where, Affected(more, unknown, complete))
    assert order.index(after) >= order.index(before)
    strangers, _ = by_threshold(threshold, where, Affected(known, unknown + 1, complete))
    assert order.index(strangers) >= order.index(before)


@given(counts, st.integers(1, 8), wanted, thresholds, st.sampled_from(PLACES))
def test_a_duty_is_off_only_where_no_residence_could_turn_it_on(
    known: dict[str, int],
    unknown: int,
    where: tuple[str, ...],
    threshold: Threshold,
    home: str,
) -> None:
    """Off with people of unknown residence stays off wherever all of them turn out to live."""
    state, _ = by_threshold(threshold, where, Affected(known, unknown, complete=True))
    assume(state is DutyState.NOT_DUE)
    found = {**known, home: known.get(home, 0) + unknown}
    told, _ = by_threshold(threshold, where, Affected(found, 0, complete=True))
    assert told is not DutyState.LIVE


@given(counts, st.integers(0, 8), wanted, thresholds)
def test_an_incomplete_count_turns_nothing_off(
    known: dict[str, int], unknown: int, where: tuple[str, ...], threshold: Threshold
) -> None:
    """Before every system has answered a threshold that is not met is open, never missed."""
    state, _ = by_threshold(threshold, where, Affected(known, unknown, complete=False))
    assert state is not DutyState.NOT_DUE
