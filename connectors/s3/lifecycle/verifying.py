"""What a listing says of the rules that should have let objects go.

In: the ways that were installed, an instant. Out: one check per rule: whether it stands as it was
written, and what is left that it should have let go. Reads only. A rule is proof of a policy and of
nothing else; that objects are gone is proved here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from connectors.s3.lifecycle.compiling import COPIES, STRANGERS, VERSIONED, Compiled
from connectors.s3.lifecycle.rules import BucketRules
from connectors.s3.reading.keyed import Keyed
from connectors.s3.server import lifecycle
from connectors.s3.server.bucket import Bucket
from connectors.s3.server.uploads import uploads_under
from dsr_worker.contract import StandingCheck, StandingWay

_RUNS_LATE = timedelta(days=2)
"""Rounded up to the next midnight UTC, then at most once a day: what is older was passed by."""
NOT_THERE = "s3-rule-not-there"
OTHERWISE = "s3-rule-otherwise"
UNMAPPED = "s3-collection-unmapped"


def checks(
    rules: BucketRules,
    rooms: Mapping[str, Keyed],
    bucket: Bucket,
    ways: Sequence[StandingWay],
    now: datetime,
    spend: Callable[[], None],
) -> Iterator[StandingCheck]:
    """A check of each rule, on connections of its own."""
    stands = {rule.id: rule.says for rule in lifecycle.read(bucket, spend).rules}
    versioned = bucket.versioning(spend) != "Never"
    for way in ways:
        if not way.rule:
            continue
        room = rooms.get(way.collection)
        if room is None:
            yield StandingCheck(way.collection, way.rule, 0, 0, 0, None, (UNMAPPED,))
            continue
        rule = rules.stated(way)
        faults = []
        if rule.id not in stands:
            faults.append(NOT_THERE)
        elif not rule.stands_in(stands[rule.id]):
            faults.append(OTHERWISE)
        if bucket.config.replicas:
            faults.append(COPIES)
        if versioned:
            faults.append(VERSIONED)
        yield _listed(rule, room, bucket, now, faults, spend)


def _listed(
    rule: Compiled,
    room: Keyed,
    bucket: Bucket,
    now: datetime,
    faults: list[str],
    spend: Callable[[], None],
) -> StandingCheck:
    seen = _Seen(timedelta(days=rule.after_days), now)
    strangers = 0
    for versions in bucket.objects(rule.prefix, spend):
        strangers += not room.names_somebody(versions[0].key)
        for version in versions:
            seen.add(version.last_modified)
    for upload in uploads_under(bucket, rule.prefix, spend):
        seen.add(upload.last_modified)
    if strangers:
        faults = [*faults, STRANGERS]
    told = (seen.rows, seen.due, seen.overdue, seen.oldest_at)
    return StandingCheck(rule.collection, rule.id, *told, tuple(faults))


@dataclass
class _Seen:
    """Versions and uploads that were listed, by age."""

    age: timedelta
    now: datetime
    rows: int = 0
    due: int = 0
    overdue: int = 0
    oldest_at: datetime | None = None

    def add(self, at: datetime) -> None:
        """Count one of this date."""
        self.rows += 1
        self.due += at + self.age <= self.now
        self.overdue += at + self.age + _RUNS_LATE <= self.now
        self.oldest_at = at if self.oldest_at is None else min(self.oldest_at, at)
