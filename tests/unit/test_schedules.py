"""When schedules fire, and when a standing approval lets a sweep go on: pure rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsr_worker.contract import Outcome, OutcomeCount, Receipt
from dsr_worker.domain.decision import NOT_DUE
from dsr_worker.sweep.counts import Counts, first_rows, intended
from dsr_worker.sweep.proposal import Standing, hash_of, reasons_void, stops
from dsr_worker.sweep.times import last_fire, next_fire
from tests.examples import examples

NIGHTLY = "15 3 * * *"
BERLIN = "Europe/Berlin"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def utc(*parts: int) -> datetime:
    """An instant in UTC."""
    year, month, day, hour, minute = parts
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "zone", "after", "at"),
    [
        (NIGHTLY, BERLIN, utc(2026, 7, 1, 0, 0), utc(2026, 7, 1, 1, 15)),
        (NIGHTLY, BERLIN, utc(2026, 12, 1, 0, 0), utc(2026, 12, 1, 2, 15)),
        (NIGHTLY, BERLIN, utc(2026, 12, 1, 2, 15), utc(2026, 12, 2, 2, 15)),
        # 2026-03-29: 02:00 is 03:00; 02:30 does not exist and fires right after the gap
        ("30 2 * * *", BERLIN, utc(2026, 3, 28, 12, 0), utc(2026, 3, 29, 1, 0)),
        # 2026-10-25: 02:30 comes twice; the first pass alone fires
        ("30 2 * * *", BERLIN, utc(2026, 10, 24, 12, 0), utc(2026, 10, 25, 0, 30)),
        ("30 2 * * *", BERLIN, utc(2026, 10, 25, 0, 30), utc(2026, 10, 26, 1, 30)),
        ("30 2 * * *", BERLIN, utc(2026, 10, 25, 1, 10), utc(2026, 10, 26, 1, 30)),
        ("0 0 29 2 *", "UTC", utc(2026, 3, 1, 0, 0), utc(2028, 2, 29, 0, 0)),
        ("0 4 L * *", "Asia/Tokyo", utc(2027, 2, 1, 0, 0), utc(2027, 2, 27, 19, 0)),
    ],
)
def test_the_next_fire_goes_by_the_policys_zone(
    cron: str, zone: str, after: datetime, at: datetime
) -> None:
    """A schedule fires at its civil time, once a day, across changes of the clock."""
    assert next_fire(cron, zone, after) == at


@settings(max_examples=examples(60))
@given(
    cron=st.sampled_from(["30 2 * * *", NIGHTLY, "*/20 * * * *", "0 1 * * 0", "45 2 25 10 *"]),
    zone=st.sampled_from([BERLIN, "America/Los_Angeles", "Australia/Lord_Howe", "UTC"]),
    start_h=st.integers(0, 366 * 24),
    outage_min=st.integers(0, 9 * 24 * 60),
)
def test_a_catch_up_is_the_last_of_all_missed_fires(
    cron: str, zone: str, start_h: int, outage_min: int
) -> None:
    """After an outage the last missed fire is found, the same as by walking through all of them."""
    due_at = next_fire(cron, zone, utc(2026, 1, 1, 0, 7) + timedelta(hours=start_h))
    now = due_at + timedelta(minutes=outage_min)
    walked = due_at
    while (following := next_fire(cron, zone, walked)) <= now:
        assert following > walked
        walked = following
    assert last_fire(cron, zone, due_at, now) == walked
    assert next_fire(cron, zone, now) > now


def test_a_schedule_that_never_fires_is_refused() -> None:
    """A date that never comes is an error, not silence."""
    with pytest.raises(ValueError, match="never fires"):
        next_fire("0 0 */28 2 1#3", "UTC", NOW)


# ---- standing approvals


def plan(**changes: Any) -> dict[str, Any]:
    """A plan of a scheduled sweep."""
    outcomes = [
        {"system": "crm", "collection": "carts", "outcome": "erased", "ground": "p/c", "rows": 40}
    ]
    return {
        "policy": "p",
        "policy_hash": "h1",
        "collections": [["crm", "carts"]],
        "outcomes": outcomes,
        "rows": 40,
        "share": 0.02,
        "versions": {"map": "m"},
        "cutoffs": {},
        **changes,
    }


PLACES = frozenset({("crm", "carts")})
STANDING = Standing("h1", 100, 0.05, "berta")


@pytest.mark.parametrize(
    ("changes", "standing", "before", "code"),
    [
        ({}, [STANDING], PLACES, ""),
        ({}, [STANDING], frozenset(), "first_run"),
        ({}, [], PLACES, "no_standing_approval"),
        ({}, [Standing("h0", 100, 0.05, "berta")], PLACES, "policy_changed"),
        ({}, [Standing("h1", 100, 0.05, "b", revoked_at=NOW)], PLACES, "no_standing_approval"),
        ({}, [Standing("h1", 100, 0.05, "b", NOW)], PLACES, "standing_approval_expired"),
        ({}, [Standing("h1", 100, 0.05, "b", NOW + timedelta(1))], PLACES, ""),
        ({"rows": 100, "share": 0.05}, [STANDING], PLACES, ""),
        ({"rows": 101}, [STANDING], PLACES, "over_rows"),
        ({"share": 0.0501}, [STANDING], PLACES, "over_share"),
        ({"rows": 1}, [Standing("h1", 0, 1.0, "b")], PLACES, "over_rows"),
        ({"share": 0.001}, [Standing("h1", 100, 0.0, "b")], PLACES, "over_share"),
        (
            {"collections": [["crm", "carts"], ["crm", "orders"]]},
            [STANDING],
            PLACES,
            "new_collection",
        ),
    ],
)
def test_a_scheduled_sweep_goes_on_by_itself_only_inside_a_standing_approval(
    changes: dict[str, Any],
    standing: list[Standing],
    before: frozenset[tuple[str, str]],
    code: str,
) -> None:
    """First run, new places, another policy text, an end, or one row over: a person is asked."""
    assert stops(plan(**changes), standing, before, NOW) == code


def test_the_hash_covers_the_policy_and_every_count() -> None:
    """A plan with another policy text, count, cut-off or collection has another hash."""
    other = [{**plan()["outcomes"][0], "rows": 41}]
    hashes = {
        hash_of(p)
        for p in (
            plan(),
            plan(policy_hash="h2"),
            plan(outcomes=other),
            plan(cutoffs={"crm.carts:p/c": "2026-08-23T00:00:00+00:00"}),
            plan(collections=[["crm", "carts"], ["crm", "orders"]]),
        )
    }
    assert len(hashes) == 5
    assert hash_of(plan(samples={"crm": {}})) == hash_of(plan())


def test_what_grew_is_not_covered_by_the_approval() -> None:
    """Up to ten rows more are covered; an eleventh, or another collection, is not."""
    (row,) = plan()["outcomes"]
    assert reasons_void(plan(), "crm", [{**row, "rows": 50}]) == ()
    (over,) = reasons_void(plan(), "crm", [{**row, "rows": 51}])
    assert (over.code, over.place, over.approved, over.now) == ("over_bound", "crm.carts", 40, 51)
    (new,) = reasons_void(plan(), "crm", [row, {**row, "collection": "orders", "rows": 1}])
    assert (new.code, new.place) == ("new_collection", "crm.orders")


# ---- counts


def receipt(collection: str, *parts: tuple[Outcome, int, str]) -> Receipt:
    """A sweep's receipt."""
    return Receipt(None, collection, tuple(OutcomeCount(o, n, n, g) for o, n, g in parts))


def test_parts_of_a_sweep_add_up() -> None:
    """Several receipts of one collection are one account; rows not due are no outcome."""
    erased, kept = Outcome.ERASED, Outcome.RETAINED
    counts = Counts.of(
        [
            receipt("carts", (erased, 30, "p/c"), (kept, 2, "ER_LEGAL_CLAIMS")),
            receipt("carts", (erased, 20, "p/c"), (kept, 948, NOT_DUE)),
            receipt("items", (erased, 70, "")),
        ]
    )
    assert {k: v.rows for k, v in counts.parts.items()} == {
        ("carts", erased, "p/c"): 50,
        ("carts", kept, "ER_LEGAL_CLAIMS"): 2,
        ("items", erased, ""): 70,
    }
    assert counts.changed() == 120
    assert counts.changed("carts") == 50
    assert counts.share(["carts"]) == 0.05


def test_an_unknown_share_counts_as_the_whole() -> None:
    """Where a connector does not count what is not due, no share below one covers a change."""
    assert Counts.of([receipt("logs", (Outcome.ERASED, 1, "p/l"))]).share(["logs"]) == 1.0
    assert Counts.of([receipt("logs", (Outcome.RETAINED, 1, "hold"))]).share(["logs"]) == 0.0


def test_intents_of_earlier_attempts_are_cut_to_what_is_gone() -> None:
    """The last intent of an attempt that died is counted only as far as rows are gone."""

    def intent(attempt: int, rows: int) -> dict[str, Any]:
        outcome = {"outcome": "erased", "rows": rows, "fields": 0, "ground": "p"}
        outcome |= {"latest_at": None, "earliest_at": None}
        return {"attempt": attempt, "receipts": [{"collection": "carts", "outcomes": [outcome]}]}

    earlier = intended([intent(1, 100), intent(1, 100), intent(2, 7)], 2)
    assert [(name, part.rows) for name, part in earlier] == [("carts", 100), ("carts", 100)]
    parts = [part for _, part in earlier]
    assert [p.rows for p in first_rows(parts, 100)] == [100]
    assert [p.rows for p in first_rows(parts, 130)] == [100, 30]
    assert [p.rows for p in first_rows(parts, 999)] == [100, 100]
