"""Streams begun while others are read: their values in order, few open at a time, none left."""

from __future__ import annotations

import threading
from collections.abc import Generator
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.postgres.reading.ahead import one_after_the_other

COUNTS = st.lists(st.integers(0, 4), max_size=7)
MOST = st.integers(1, 4)


class _Streams:
    """Streams of numbers that count how many of them are open; one may fail at a value."""

    def __init__(self, counts: list[int], fails: int | None = None) -> None:
        self.counts, self.fails = counts, fails
        self.opened = self.open = self.most_open = 0
        self._lock = threading.Lock()

    def all(self) -> list[Generator[int, None, None]]:
        """The streams, none of them open yet."""
        return [self._stream(n) for n in range(len(self.counts))]

    def expected(self) -> list[int]:
        """Every value up to the failing one, in order."""
        values = [10 * n + k for n, count in enumerate(self.counts) for k in range(count)]
        return values if self.fails not in values else values[: values.index(self.fails)]

    def _stream(self, number: int) -> Generator[int, None, None]:
        self._count(1)
        try:
            for k in range(self.counts[number]):
                if 10 * number + k == self.fails:
                    raise LookupError
                yield 10 * number + k
        finally:
            self._count(-1)

    def _count(self, by: int) -> None:
        with self._lock:
            self.opened += by > 0
            self.open += by
            self.most_open = max(self.most_open, self.open)


@given(COUNTS, MOST)
def test_values_come_in_the_streams_order(counts: list[int], most: int) -> None:
    """Reading ahead changes neither values nor order, and opens no more streams than it may."""
    streams = _Streams(counts)
    assert list(one_after_the_other(streams.all(), most)) == streams.expected()
    assert (streams.opened, streams.open) == (len(counts), 0)
    assert streams.most_open <= most


@given(COUNTS, MOST, st.integers(0, 12))
def test_nothing_stays_open_behind_a_reader_who_leaves(
    counts: list[int], most: int, read: int
) -> None:
    """Whoever stops in the middle leaves no stream open, those begun ahead included."""
    streams = _Streams(counts)
    reading = one_after_the_other(streams.all(), most)
    assert list(islice(reading, read)) == streams.expected()[:read]
    reading.close()
    assert streams.open == 0


@given(st.lists(st.integers(1, 4), min_size=1, max_size=7), MOST, st.data())
def test_a_failing_stream_fails_at_its_turn(
    counts: list[int], most: int, data: st.DataObject
) -> None:
    """What comes before the failure is told first, then it comes out, and nothing stays open."""
    failing = data.draw(st.integers(0, len(counts) - 1))
    fails = 10 * failing + data.draw(st.integers(0, counts[failing] - 1))
    streams, seen = _Streams(counts, fails), list[int]()
    with pytest.raises(LookupError):
        seen.extend(one_after_the_other(streams.all(), most))
    assert seen == streams.expected()
    assert streams.open == 0
