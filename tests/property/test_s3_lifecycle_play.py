"""What an installed lifecycle rule would let go, played day by day against the policies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsr_worker.contract import Identity, System
from dsr_worker.domain.decision import Bound, Term, compile_decisions
from dsr_worker.domain.hold import DatasetHeld, Hold, PeopleHeld, RowsHeld
from dsr_worker.domain.retention import Anchor, AnchorKind, CalendarPeriod, ends_on
from dsr_worker.domain.standing import standing_orders
from tests.contract.s3_aged import Aged, AgedBucket, gone, server
from tests.contract.s3_support import FILES, connector
from tests.examples import examples

START = datetime(2026, 3, 1, tzinfo=UTC)
DECLARED = replace(FILES, source={**FILES.source, "lifecycle": True})
SYSTEM = System("files", "s3", {"files": DECLARED})


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """An S3 API for this file."""
    with server() as address:
        yield address


_PERIODS = st.sampled_from(("P1D", "P30D", "P1M", "P90D", "P6M", "P1Y", "P1Y1D"))
_ZONES = st.sampled_from(("UTC", "Europe/Berlin", "America/Los_Angeles", "Pacific/Kiritimati"))
_ANCHORS = st.sampled_from((AnchorKind.RECORD_DATE, AnchorKind.CALENDAR_YEAR_END))
_TERMS = st.builds(
    lambda period, anchor, zone: Term(
        "trial/rule", "trial", CalendarPeriod.parse(period), Anchor(anchor), zone, "record_date"
    ),
    _PERIODS,
    _ANCHORS,
    _ZONES,
)
_HOLDS = st.sampled_from(
    (
        DatasetHeld("files"),
        DatasetHeld("files", "files"),
        RowsHeld("files", "files", "key", ("customers/1/0",)),
        PeopleHeld((Identity("customer_number", "1"),)),
        DatasetHeld("elsewhere"),
    )
)
_AGES_MIN = st.lists(st.integers(0, 60 * 24 * 500), min_size=1, max_size=6)


def may_go(version: Aged, bound: Bound, now: datetime) -> bool:
    """Whether the policies let a version go, by civil days alone: no cut-off, no table."""
    over = [_over(term, version.at, now) for term in bound.limits]
    return any(over) and all(_over(term, version.at, now) for term in bound.minimums)


def _over(term: Term, at: datetime, now: datetime) -> bool:
    on: date = max(at.astimezone(ZoneInfo(term.zone)).date(), at.astimezone(UTC).date())
    last = ends_on(term.period, term.anchor, on, term.zone)
    return now.astimezone(ZoneInfo(term.zone)).date() > last


@settings(
    max_examples=examples(25),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    limits=st.lists(_TERMS, min_size=1, max_size=2),
    minimums=st.lists(_TERMS, max_size=1),
    scopes=st.lists(_HOLDS, max_size=1),
    ages_min=_AGES_MIN,
    stranger=st.booleans(),
)
def test_a_rule_lets_go_only_what_the_policies_let_go(
    endpoint: str,
    limits: list[Term],
    minimums: list[Term],
    scopes: list[DatasetHeld | RowsHeld | PeopleHeld],
    ages_min: list[int],
    *,
    stranger: bool,
) -> None:
    """On no day, rounded to midnight or not, is anything gone that a policy or a hold keeps."""
    aged, bound = AgedBucket.made(endpoint), Bound(tuple(minimums), tuple(limits))
    for n, age in enumerate(ages_min):
        aged.put(f"customers/{n % 3}/{n}", START - timedelta(minutes=age))
    if stranger:
        aged.put("customers/readme", START)
    decisions = compile_decisions(SYSTEM, {"files": bound}, START)
    holds = [Hold("H-1", "m-1", "ER_LEGAL_CLAIMS", s, date(2027, 1, 1)) for s in scopes]
    made = connector(endpoint, aged.name, DECLARED)
    plan = made.standing(standing_orders(decisions, holds), START)
    made.install(plan)
    rules, versions = aged.rules(), aged.versions()
    held = any(getattr(scope, "system", "files") == "files" for scope in scopes)
    if held or stranger:
        assert rules == []
    for days in range(0, 900, 3):
        now = START + timedelta(days=days, hours=days % 24)
        for rounds in (True, False):
            for version in gone(rules, versions, now, rounds=rounds):
                assert may_go(version, bound, now)
    (way,) = plan.ways
    assert bool(rules) is bool(way.rule)
    if rules:
        late = START + timedelta(days=(way.after_days or 0) + 1)
        assert gone(rules, versions, late, rounds=True) == set(versions)
    made.close()
    for rule in rules:
        assert rule["Filter"]["Prefix"] == "customers/"
