"""A bucket is cut where units are full: bounded, without a gap, the same again after any unit."""

from __future__ import annotations

import json
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from connectors.s3.scanning.parts import Cutter, Load

MOST_OBJECTS, MOST_BYTES = 3, 100
SIZES = st.lists(st.integers(0, 150), max_size=8)
BUCKET = st.lists(st.one_of(st.none(), SIZES), min_size=1, max_size=5)


@given(BUCKET)
def test_units_are_bounded_follow_each_other_and_resume(bucket: list[list[int] | None]) -> None:
    """Each object lies in one unit; one that holds several holds no more than a unit may."""
    collections = {f"c{n}": sizes is not None for n, sizes in enumerate(bucket)}
    objects = {f"c{n}": {f"{k:02}": s for k, s in enumerate(z or ())} for n, z in enumerate(bucket)}

    def loads(name: str, after: str) -> Iterator[Load]:
        return ((key, 1, size) for key, size in objects[name].items() if key > after)

    def names(after: str = "") -> list[str]:
        cutter = Cutter(MOST_OBJECTS, MOST_BYTES)
        return [unit.name for unit in cutter.units(collections, loads, after)]

    found = names()
    for number, name in enumerate(found):
        assert names(name) == found[number + 1 :]
    reached = dict.fromkeys(collections, "")
    ended: list[str] = []
    for unit in found:
        held = []
        for name, after, upto in json.loads(unit):
            assert after == reached[name]
            held += [s for key, s in objects[name].items() if after < key <= (upto or "~")]
            reached[name] = upto or "~"
            ended += [name] if upto is None else []
        assert len(held) <= 1 or (len(held) <= MOST_OBJECTS and sum(held) <= MOST_BYTES)
    assert ended == list(collections)
