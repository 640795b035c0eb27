"""The story that `dsr explain` tells is for people: nothing empty or unknown, no fractions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from dsr_worker.cli import story
from dsr_worker.evidence import BODIES, Event, Kind

AT = datetime(2026, 11, 21, 10, 0, 59, 123456, tzinfo=UTC)


def said(kind: Kind, **fields: Any) -> str:
    """The sentence of an event, made from the bytes that a chain would hold."""
    told = story.told(orjson.loads(Event("7", 1, AT, kind, "system", fields).canonical()))
    return str(told["text"])


@pytest.mark.parametrize("kind", [kind for kind in Kind if "counts" in BODIES[kind]])
def test_counts_are_told_when_there_is_something_to_count(kind: Kind) -> None:
    """An event without anything counted does not speak of counts; one with counts tells them."""
    assert "counts" not in said(kind, counts={})
    assert "none" not in said(kind, counts={})
    assert "counts erased=3" in said(kind, counts={"erased": 3})
    assert "counts erased=0" in said(kind, counts={"erased": 0})


def test_a_find_tells_its_rows_where_it_has_them() -> None:
    """Rows that an event holds are told; one that holds none is told without."""
    step = {"system": "crm", "action": "find", "attempt": 1, "counts": {}}
    assert said(Kind.STEP_DONE, **step) == "find was done: attempt 1, system crm"
    assert said(Kind.STEP_DONE, **step, rows=7) == "find was done: attempt 1, rows 7, system crm"


def test_a_change_of_nothing_is_not_told_as_a_change() -> None:
    """What counted no rows beforehand, or changed none, does not say that it did."""
    none: dict[str, Any] = {"action": "apply", "system": "crm", "counts": {}}
    some = none | {"counts": {"erased": 2}}
    assert said(Kind.INTENT, **none) == "apply was about to change rows: system crm"
    assert "counted beforehand: counts erased=2" in said(Kind.INTENT, **some)
    assert said(Kind.EFFECT, **none).startswith("there were no rows to change")
    assert said(Kind.EFFECT, **some).startswith("rows were changed: ")


def test_a_clock_without_a_number_says_so() -> None:
    """Where a law names no number there is no due instant, and the story says why."""
    assert said(Kind.CLOCK_STARTED, clock="inform", due_at=None) == (
        "the clock inform started; no number in the law"
    )
    assert said(Kind.CLOCK_STARTED, clock="respond", due_at=AT) == (
        "the clock respond started, due 2026-11-21 10:00:59 UTC"
    )


def test_a_sweep_is_no_request() -> None:
    """Nobody asks for a sweep: it is started, by hand or by its schedule."""
    assert said(Kind.SUBMITTED, request_kind="sweep", channel="schedule") == (
        "a sweep was started: channel schedule"
    )
    assert said(Kind.SUBMITTED, request_kind="erasure") == "a request for erasure came in"


def test_instants_are_told_to_the_second_with_their_zone() -> None:
    """Wherever an instant stands in an event, people read seconds and the zone."""
    fields = [f for f in BODIES[Kind.BREACH_DECLARED] if f.endswith("_at")]
    text = said(Kind.BREACH_DECLARED, **dict.fromkeys(fields, AT))
    assert text.count("2026-11-21 10:00:59 UTC") == len(fields) > 1
    assert "123456" not in text
    text = said(Kind.CLOCK_EXTENDED, clock="respond", reason="complex", new_due_at=AT)
    assert text == "the clock respond was extended (complex) to 2026-11-21 10:00:59 UTC"
