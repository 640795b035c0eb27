"""Suspended versioning: what has no id of its own may be another's by the time it is erased."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from connectors.s3 import S3
from connectors.s3.server.bucket import Version
from connectors.s3.server.erasing import NO_CONDITION
from connectors.s3.server.probe import Honoured
from dsr_worker.contract import Action, Before, DecisionTable, Outcome, Receipt, Remainder, Rule
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_erasures import ERASE, erased, event, outcomes, sound
from tests.contract.s3_layouts import objects
from tests.contract.s3_support import EVENTS, FILES, connector, lines, number
from tests.s3_memory import ENDPOINT, Memory, Params, installed

UPLOADS = objects(
    "uploads", {"customer_number": "tag:customer"}, layout="objects", prefix="uploads/"
)
KEY = "uploads/a"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Memory:
    """An empty bucket."""
    return installed(monkeypatch)


@pytest.fixture
def uploads(bucket: Memory) -> S3:
    """The connector on it."""
    assert not bucket.objects
    return connector(ENDPOINT, "memory", UPLOADS)


def trial(*, dry_run: bool = False) -> TrialContext:
    """A context in which conditions are known to hold."""
    honoured = Honoured(put=True, delete=True)
    return sound(TrialContext(dry_run=dry_run), ENDPOINT, "memory", honoured)


def history(bucket: Memory, *steps: str) -> None:
    """Customers who write, markers (`-`) and states of versioning, one after the other."""
    for step in steps:
        if step in ("Enabled", "Suspended"):
            bucket.status = step
        else:
            body = None if step == "-" else b"of " + step.encode()
            bucket.put(KEY, body, "" if step == "-" else f"customer={step}")


def bodies(bucket: Memory) -> list[bytes | None]:
    """What is there, the oldest first."""
    return [held.body for held in bucket.objects.get(KEY, ())]


def once(bucket: Memory, write: Callable[[], object]) -> None:
    """Somebody writes just before the object is deleted."""

    def before(operation: str, params: Params) -> None:
        if operation == "DeleteObject" and params["Key"] == KEY:
            bucket.before = lambda _operation, _params: None
            write()

    bucket.before = before


def grounds(receipts: list[Receipt]) -> dict[str, int]:
    """Rows that stay, by ground."""
    told = (o for r in receipts for o in r.outcomes if o.outcome is Outcome.RETAINED)
    return {o.ground: o.rows for o in told}


@pytest.mark.parametrize(
    "before", [("1",), ("1", "Enabled", "3"), ("Enabled", "3", "Suspended", "1")]
)
def test_an_object_that_is_anothers_by_now_is_not_erased(
    bucket: Memory, uploads: S3, before: tuple[str, ...]
) -> None:
    """Hard case 23: whoever writes takes the null version's place, and what he wrote stays."""
    history(bucket, *before, "Suspended")
    once(bucket, lambda: history(bucket, "2"))
    assert grounds(erased(uploads, [number("1")], trial())) == {"owner_changed": 1}
    assert b"of 2" in bodies(bucket)
    assert bucket.shown(KEY) == b"of 2"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("Suspended", "1"), []),
        (("1", "Enabled", "3", "Suspended"), [b"of 3"]),
        (("1", "Enabled", "1", "Suspended"), []),
        (("Enabled", "1", "Suspended", "1"), []),
        (("1", "Enabled", "-", "1", "Suspended"), []),
    ],
)
def test_what_nobody_writes_meanwhile_goes(
    bucket: Memory, uploads: S3, before: tuple[str, ...], after: list[bytes]
) -> None:
    """Hard case 23: the condition names the version that is current, whichever is to go."""
    history(bucket, *before)
    receipts = erased(uploads, [number("1")], trial())
    assert not grounds(receipts)
    assert bodies(bucket) == after


@pytest.mark.parametrize("against", ["current", "named"])
def test_either_way_to_hold_a_condition_is_understood(
    bucket: Memory, uploads: S3, against: str
) -> None:
    """S3 holds it against the current version, other endpoints against the one that is named."""
    history(bucket, "1", "Enabled", "3", "Suspended")
    old = bucket.objects[KEY][0]

    def before(operation: str, params: Params) -> None:
        if against == "named" and operation == "DeleteObject" and params["Key"] == KEY:
            unchanged = params["IfMatch"] == old.etag
            params["IfMatch"] = bucket.objects[KEY][-1].etag if unchanged else "another"

    bucket.before = before
    assert not grounds(erased(uploads, [number("1")], trial()))
    assert bodies(bucket) == [b"of 3"]


def test_a_marker_without_an_id_stays_where_another_may_write(bucket: Memory, uploads: S3) -> None:
    """It holds nothing and no condition guards it: it is named, what it hid goes, none is owed."""
    history(bucket, "Enabled", "1", "Suspended", "-")
    located = list(uploads.locate([number("1")], TrialContext()))
    ctx = trial()
    receipts = erased(uploads, [number("1")], ctx)
    assert outcomes(receipts) == {"erased": 1, "retained": 1}
    assert grounds(receipts) == {"s3-null-marker": 1}
    assert bodies(bucket) == [None]
    left = uploads.recheck([number("1")], located, TrialContext(second_path=True))
    kept = set().union(*(r.kept for r in receipts))
    assert {ctx.digest(key.collection, key.key) for key in left} <= kept


def test_an_object_without_an_id_under_a_marker_is_owed(bucket: Memory, uploads: S3) -> None:
    """What holds data and cannot be guarded is a remainder until versioning is on again."""
    history(bucket, "1", "Enabled", "-", "Suspended")
    plan = erased(uploads, [number("1")], trial(dry_run=True))
    receipts = erased(uploads, [number("1")], trial())
    assert grounds(receipts) == grounds(plan) == {Remainder.BESIDE: 2}
    assert bucket.shown(KEY) is None
    history(bucket, "Enabled")
    assert outcomes(erased(uploads, [number("1")], trial())) == {"erased": 2}
    assert not bucket.content()


def test_the_marker_that_took_an_objects_place_is_no_surprise(bucket: Memory, uploads: S3) -> None:
    """What we lay over an older version has the erased row's key, and is among what is kept."""
    history(bucket, "Enabled", "2", "Suspended", "1")
    ctx = trial()
    located = list(uploads.locate([number("1")], ctx))
    receipts = erased(uploads, [number("1")], ctx)
    assert outcomes(receipts) == {"erased": 1}
    assert bodies(bucket) == [b"of 2", None]
    left = list(uploads.recheck([number("1")], located, TrialContext(second_path=True)))
    assert left
    kept = set().union(*(r.kept for r in receipts))
    assert {ctx.digest(key.collection, key.key) for key in left} <= kept


@pytest.mark.parametrize("status", ["Enabled", "Suspended"])
def test_a_marker_over_what_a_law_keeps_is_told(bucket: Memory, status: str) -> None:
    """What we lay over an older version is no surprise to the second look, whatever its id."""
    bucket.status = "Enabled"
    old = bucket.put("customers/1/a", b"old")
    bucket.put("customers/1/a", b"new")
    bucket.status = status
    law = Rule(
        "law", Before("last_modified", old.at + timedelta(seconds=1)), Action.KEEP, ground="x"
    )
    ctx = trial()
    ctx = replace(ctx, tables={"files": DecisionTable("files", (law, ERASE))})
    made = connector(ENDPOINT, "memory", FILES)
    located = list(made.locate([number("1")], ctx))
    receipts = erased(made, [number("1")], ctx)
    assert outcomes(receipts) == {"erased": 1, "retained": 1}
    assert [held.body for held in bucket.objects["customers/1/a"]] == [b"old", None]
    left = list(made.recheck([number("1")], located, TrialContext(second_path=True)))
    assert len(left) == 2
    kept = set().union(*(r.kept for r in receipts))
    assert {ctx.digest(key.collection, key.key) for key in left} == kept


def test_an_old_version_of_many_is_not_erased_once_it_is_new(bucket: Memory) -> None:
    """Shared objects: what somebody writes in an old null version's place is read, then changed."""
    bucket.put("events/a", lines([event(1, "1")]))
    bucket.status = "Enabled"
    bucket.put("events/a", lines([event(2, "2")]))
    bucket.status = "Suspended"

    def before(operation: str, params: Params) -> None:
        if operation == "DeleteObject" and params["Key"] == "events/a":
            bucket.before = lambda _operation, _params: None
            bucket.put("events/a", lines([event(2, "2"), event(3, "3"), event(1, "1")]))

    bucket.before = before
    made = connector(ENDPOINT, "memory", EVENTS)
    assert outcomes(erased(made, [number("1")], trial())) == {"erased": 1}
    assert bucket.shown("events/a") == lines([event(2, "2"), event(3, "3")])


def test_an_old_version_of_many_under_a_marker_is_owed(bucket: Memory) -> None:
    """Shared objects: where nothing is current no condition tells it; the dry run says so too."""
    bucket.put("events/a", lines([event(1, "1")]))
    bucket.status = "Enabled"
    bucket.put("events/a", None)
    bucket.status = "Suspended"
    made = connector(ENDPOINT, "memory", EVENTS)
    plan = erased(made, [number("1")], trial(dry_run=True))
    receipts = erased(made, [number("1")], trial())
    assert grounds(receipts) == grounds(plan) == {Remainder.BESIDE: 1}
    bucket.status = "Enabled"
    assert outcomes(erased(made, [number("1")], trial())) == {"erased": 1}


def test_nothing_is_deleted_unconditionally_where_no_condition_tells(
    bucket: Memory, uploads: S3
) -> None:
    """The wire itself refuses a marker, and what lies under one."""
    history(bucket, "1", "Enabled", "-", "Suspended")
    wire = uploads._bucket
    found = wire.versions_of(KEY, lambda: None)
    newest = {v.key: v for v in found if v.latest}

    def stays(version: Version) -> str:
        return wire.erase_unchanged([version], "Suspended", newest, lambda: None).get(version, "")

    (null,) = (v for v in found if v.version_id == "null")
    assert stays(null) == NO_CONDITION
    history(bucket, "2")
    newest = {v.key: v for v in wire.versions_of(KEY, lambda: None) if v.latest}
    assert stays(null) == ""  # by the ETag of what is there now: whoever calls has looked again
