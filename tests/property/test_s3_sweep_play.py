"""Sweeps of a bucket against a model: random objects, dates, versions, holds and brakes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from dsr_worker.contract import (
    Action,
    Always,
    Before,
    DecisionTable,
    Frozen,
    HeldPeople,
    HeldRows,
    Identity,
    NeedsHuman,
    Outcome,
    Predicate,
    Receipt,
    Rule,
    Since,
    SweepOrder,
)
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_aged import Aged, AgedBucket, server
from tests.contract.s3_support import EVENTS, FILES, connector
from tests.examples import examples

NOW = datetime(2026, 11, 1, tzinfo=UTC)
LIMIT_AT = NOW - timedelta(days=90)
MINIMUM_AT = NOW - timedelta(days=120)
PLAIN = replace(EVENTS, source={**EVENTS.source, "compression": "none"})


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """An S3 API for this file."""
    with server() as address:
        yield address


_SETTINGS = settings(
    max_examples=examples(15),
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@dataclass(frozen=True)
class Hold:
    """A hold: what its predicate matches, told without the connector."""

    when: Predicate
    people: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()
    everything: bool = False

    def keeps(self, person: str, key: str) -> bool:
        """Whether it holds a row of this person, of this key."""
        return self.everything or person in self.people or key in self.keys


def table(name: str, clock: str, holds: list[Hold], *, minimum: bool) -> DecisionTable:
    """The table of a sweep as the core compiles it."""
    rules = [Rule("hold", hold.when, Action.KEEP, "hold") for hold in holds]
    if minimum:
        rules.append(Rule("minimum", Since(clock, MINIMUM_AT), Action.KEEP, "law", clock=clock))
    rules += [
        Rule("limit", Before(clock, LIMIT_AT), Action.ERASE, "house", clock=clock),
        Rule("default", Always(), Action.KEEP, "not_due"),
    ]
    return DecisionTable(name, tuple(rules))


def due(at: datetime | None, *, minimum: bool) -> bool:
    """Whether a clock value is past the limit, and past the minimum where there is one."""
    return at is not None and at < (MINIMUM_AT if minimum else LIMIT_AT)


def outcomes(receipts: list[Receipt]) -> Counter[tuple[str, str]]:
    """Rows by outcome and ground."""
    found: Counter[tuple[str, str]] = Counter()
    for receipt in receipts:
        assert receipt.subject_ref is None
        for part in receipt.outcomes:
            if part.rows:
                found[part.outcome, part.ground] += part.rows
    return found


_AGES = st.integers(0, 240)


# ---- objects of one person


@dataclass(frozen=True)
class Written:
    """One write of a bucket's history."""

    person: int
    name: int
    age_days: int
    marker: bool


_HISTORY = st.lists(
    st.builds(Written, st.integers(0, 2), st.integers(0, 1), _AGES, st.booleans()), max_size=10
)
_FILE_HOLDS = st.lists(
    st.sampled_from(
        (
            Hold(
                HeldPeople((Identity("customer_number", "1"), Identity("email", "x@y.test"))),
                people=frozenset({"1"}),
            ),
            Hold(HeldRows("key", ("customers/0/0",)), keys=frozenset({"customers/0/0"})),
            Hold(Frozen(), everything=True),
        )
    ),
    max_size=1,
)


def written(aged: AgedBucket, history: list[Written], *, versions: bool) -> None:
    """Play a history, oldest first; what is not there cannot be marked as deleted."""
    there = set[str]()
    for n, entry in enumerate(sorted(history, key=lambda e: -e.age_days)):
        key = f"customers/{entry.person}/{entry.name}"
        at = NOW - timedelta(days=entry.age_days) + timedelta(seconds=n)
        if entry.marker and versions and key in there:
            aged.mark(key, at)
        else:
            aged.put(key, at)
            there.add(key)


def person_of(version: Aged) -> str:
    """Whose object it is."""
    return version.key.split("/")[1]


@_SETTINGS
@given(
    history=_HISTORY,
    holds=_FILE_HOLDS,
    minimum=st.booleans(),
    versions=st.booleans(),
    dry_run=st.booleans(),
    slack=st.integers(-1, 1),
)
def test_versions_go_by_their_own_date(
    endpoint: str,
    history: list[Written],
    holds: list[Hold],
    slack: int,
    *,
    minimum: bool,
    versions: bool,
    dry_run: bool,
) -> None:
    """Exactly what is due and not held goes, version by version; no hidden version comes back."""
    aged = AgedBucket.made(endpoint)
    if versions:
        aged.version("Enabled")
    aged.put("customers/readme", NOW - timedelta(days=999))
    aged.put("elsewhere/1/a", NOW - timedelta(days=999))
    written(aged, history, versions=versions)
    before = aged.versions()
    rows = [v for v in before if v.key.count("/") == 2 and v.key.startswith("customers/")]
    doomed = {
        v
        for v in rows
        if due(v.at, minimum=minimum) and not any(h.keeps(person_of(v), v.key) for h in holds)
    }
    hiding = {
        v
        for v in doomed
        if v.marker
        and v.latest
        and any(o.key == v.key and not o.marker for o in rows if o not in doomed)
    }
    doomed -= hiding
    order = SweepOrder("files", table("files", "last_modified", holds, minimum=minimum), 0)
    order = replace(order, max_rows=max(0, len(doomed) + slack))
    made = connector(endpoint, aged.name, FILES)
    ctx = TrialContext(now=NOW, tables={"files": order.table}, dry_run=dry_run)
    if not dry_run and len(doomed) > order.max_rows:
        with pytest.raises(NeedsHuman) as stopped:
            list(made.sweep([order], ctx))
        assert stopped.value.code == "sweep_brake"
        assert aged.versions() == before
        return
    counted = outcomes(list(made.sweep([order], ctx)))
    assert counted[Outcome.ERASED, "house"] == len(doomed)
    assert counted[Outcome.RETAINED, "s3-hides-version"] == len(hiding)
    left = {(v.key, v.version_id) for v in aged.versions()}
    gone = set() if dry_run else doomed
    assert left == {(v.key, v.version_id) for v in before if v not in gone}
    if not dry_run:
        _nothing_came_back(before, aged.versions())
        again = outcomes(list(made.sweep([order], ctx)))
        assert again[Outcome.ERASED, "house"] == 0


def _nothing_came_back(before: list[Aged], after: list[Aged]) -> None:
    """No version that was old is the current one now."""
    was = {(v.key, v.version_id): v.latest for v in before}
    for version in after:
        if version.latest and not version.marker:
            assert was[version.key, version.version_id]


# ---- records in shared objects


_RECORDS = st.lists(
    st.tuples(st.integers(0, 3), st.one_of(st.none(), _AGES), st.integers(0, 2)), max_size=6
)
_EVENT_HOLDS = st.lists(
    st.sampled_from(
        (
            Hold(HeldPeople((Identity("customer_number", "1"),)), people=frozenset({"1"})),
            Hold(HeldRows("event_id", ("e0",)), keys=frozenset({"e0"})),
            Hold(Frozen(), everything=True),
        )
    ),
    max_size=1,
)


def record(n: int, age_days: int | None, person: int) -> dict[str, Any]:
    """An invented event; without an age its clock is missing."""
    at = {} if age_days is None else {"at": (NOW - timedelta(days=age_days)).isoformat()}
    return {"event_id": f"e{n}", "customer": str(person), "note": "ä", **at}


def line(stated: Mapping[str, Any]) -> bytes:
    """One line of an object."""
    return json.dumps(stated, ensure_ascii=False).encode() + b"\n"


@_SETTINGS
@given(
    objects=st.lists(st.lists(_RECORDS, min_size=1, max_size=3), min_size=1, max_size=2),
    holds=_EVENT_HOLDS,
    minimum=st.booleans(),
    versions=st.booleans(),
    slack=st.integers(-1, 1),
)
def test_records_go_by_their_own_clock(
    endpoint: str,
    objects: list[list[list[tuple[int, int | None, int]]]],
    holds: list[Hold],
    slack: int,
    *,
    minimum: bool,
    versions: bool,
) -> None:
    """The current object keeps exactly what is not due; an old version with a due record goes.

    It stays where it has a row that must stay and that the current one lacks. The object's own
    date decides nothing, and a record without a clock is never due.
    """
    aged = AgedBucket.made(endpoint)
    if versions:
        aged.version("Enabled")
    model = _Model(holds, minimum=minimum)
    expected: dict[tuple[str, str], bytes] = {}
    changes = 0
    for n, history in enumerate(objects):
        key, kept = f"events/{n}", history if versions else history[-1:]
        stored = [[record(*row) for row in rows] for rows in kept]
        ids = [
            aged.put(key, NOW + timedelta(seconds=at), b"".join(map(line, rows)))
            for at, rows in enumerate(stored)
        ]
        part, counted = model.left(key, ids, stored)
        expected |= part
        changes += counted
    order = SweepOrder(
        "events", table("events", "at", holds, minimum=minimum), max(0, changes + slack)
    )
    made = connector(endpoint, aged.name, PLAIN)
    ctx = TrialContext(now=NOW, tables={"events": order.table})
    before = _bodies(aged)
    if changes > order.max_rows:
        with pytest.raises(NeedsHuman) as stopped:
            list(made.sweep([order], ctx))
        assert stopped.value.code == "sweep_brake"
        assert _bodies(aged) == before
        return
    assert outcomes(list(made.sweep([order], ctx)))[Outcome.ERASED, "house"] == changes
    after = _bodies(aged)
    rewritten = {place: body for place, body in after.items() if place not in before}
    untouched = {place: body for place, body in after.items() if place in before}
    assert {(k, b) for (k, _), b in rewritten.items()} | {
        (k, b) for (k, _), b in untouched.items()
    } == {(k, b) for (k, _), b in expected.items()}
    assert len(after) == len(expected)


@dataclass(frozen=True)
class _Model:
    """What must be left of an object, record by record."""

    holds: list[Hold]
    minimum: bool

    def __init__(self, holds: list[Hold], *, minimum: bool) -> None:
        object.__setattr__(self, "holds", holds)
        object.__setattr__(self, "minimum", minimum)

    def goes(self, stated: Mapping[str, Any]) -> bool:
        """Whether a record goes."""
        if any(h.keeps(str(stated["customer"]), str(stated["event_id"])) for h in self.holds):
            return False
        at = stated.get("at")
        return due(None if at is None else datetime.fromisoformat(at), minimum=self.minimum)

    def stays_by_ground(self, stated: Mapping[str, Any]) -> bool:
        """Whether a record is kept by more than not being due."""
        at = stated.get("at")
        young = at is None or datetime.fromisoformat(at) >= MINIMUM_AT
        held = any(h.keeps(str(stated["customer"]), str(stated["event_id"])) for h in self.holds)
        return held or (self.minimum and young)

    def left(
        self, key: str, ids: list[str], stored: list[list[dict[str, Any]]]
    ) -> tuple[dict[tuple[str, str], bytes], int]:
        """What is left of an object, and how many records change."""
        current, old = stored[-1], list(zip(ids[:-1], stored[:-1], strict=True))
        stay = {str(r["event_id"]) for r in current if not self.goes(r)}
        left = {(key, ids[-1]): b"".join(line(r) for r in current if not self.goes(r))}
        changes = sum(map(self.goes, current))
        for version_id, rows in old:
            protected = {str(r["event_id"]) for r in rows if self.stays_by_ground(r)}
            if any(map(self.goes, rows)) and not protected - stay:
                changes += sum(map(self.goes, rows))
            else:
                left[key, version_id] = b"".join(map(line, rows))
        return left, changes


def _bodies(aged: AgedBucket) -> dict[tuple[str, str], bytes]:
    found = {}
    for version in aged.versions():
        place: dict[str, Any] = {"Bucket": aged.name, "Key": version.key}
        if version.version_id != "null":
            place["VersionId"] = version.version_id
        found[version.key, version.version_id] = aged.client.get_object(**place)["Body"].read()
    return found
