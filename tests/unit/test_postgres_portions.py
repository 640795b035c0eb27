"""Portions of an erasure: whole subjects, about as many rows as the pace says, nothing lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.postgres.changing.pace import Pace
from connectors.postgres.changing.portions import portions
from dsr_worker.contract import Key, Permanent, Subject


def _pace(rows: int) -> Pace:
    pace = Pace()
    pace.rows = rows
    return pace


def _keys(counts: list[int]) -> list[Key]:
    return [
        Key(str(n), "orders", (f"{n}-{k}",)) for n, rows in enumerate(counts) for k in range(rows)
    ]


@given(st.lists(st.integers(0, 30), min_size=1, max_size=12), st.integers(1, 25))
def test_every_subject_and_key_is_in_exactly_one_portion(counts: list[int], rows: int) -> None:
    """Subjects stay whole and none is left out; a portion is over the pace by one subject alone."""
    subjects, keys = [Subject(str(n), ()) for n in range(len(counts))], _keys(counts)
    seen: list[Key] = []
    refs: list[str] = []
    for portion in portions(subjects, keys, _pace(rows)):
        own = list(portion.keys)
        assert {key.subject_ref for key in own} <= {s.ref for s in portion.subjects}
        assert portion.rows in {0, len(own)}
        big = [n for n in {k.subject_ref for k in own} if counts[int(n)] >= rows]
        assert len(own) < rows + max((counts[int(n)] for n in big), default=1)
        seen += own
        refs += [s.ref for s in portion.subjects]
    assert sorted(refs) == sorted(s.ref for s in subjects)
    assert seen == keys


@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=12),
    st.lists(st.integers(1, 25), min_size=1, max_size=12),
)
def test_a_pace_that_changes_between_portions_loses_no_key(
    counts: list[int], paces: list[int]
) -> None:
    """Every key of a large subject comes, however the pace is adapted meanwhile."""
    subjects, keys = [Subject(str(n), ()) for n in range(len(counts))], _keys(counts)
    pace, seen = _pace(paces[0]), list[Key]()
    for number, portion in enumerate(portions(subjects, keys, pace), 1):
        seen += portion.keys
        pace.rows = paces[number % len(paces)]
    assert seen == keys


def test_few_keys_may_come_in_any_order() -> None:
    """What fits into one transaction is one portion, as a connector's own `locate` gives it."""
    subjects, keys = [Subject("0", ()), Subject("1", ())], _keys([2, 2])[::2] + _keys([2, 2])[1::2]
    (portion,) = portions(subjects, keys, _pace(10))
    assert list(portion.keys) == keys


@pytest.mark.parametrize("ref", ["0", "9"])
def test_a_stranger_or_a_torn_subject_is_refused(ref: str) -> None:
    """Keys of nobody asked about, or of somebody whose portion is done, change nothing."""
    keys = [*_keys([2, 2]), Key(ref, "orders", ("x",))]
    with pytest.raises(Permanent, match="do not come together"):
        list(portions([Subject("0", ()), Subject("1", ())], keys, _pace(2)))
