"""A bucket's erasure and sweep in units: what goes first, what is divided, what each is given."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import pytest

from connectors.s3 import S3
from dsr_worker.contract import (
    Action,
    Always,
    Call,
    Configuration,
    DecisionTable,
    HeldPeople,
    Key,
    Outcome,
    Receipt,
    Rule,
    SweepOrder,
)
from dsr_worker.testing.context import TrialContext, erase_everything
from tests.contract.s3_support import content
from tests.contract.test_s3_units_rooms import DAYS, ONE, OTHER, archive, copied, fill, made

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CTX = TrialContext()


@pytest.fixture
def name(bucket: Callable[[], str], s3: S3Client) -> str:
    """A bucket with objects of two people in every kind of room."""
    made = bucket()
    fill(s3, made)
    return made


def counted(receipts: Iterable[Receipt]) -> Counter[tuple[str | None, str, Outcome, str]]:
    """Rows by subject, collection, outcome and ground."""
    counts: Counter[tuple[str | None, str, Outcome, str]] = Counter()
    for receipt in receipts:
        for part in receipt.outcomes:
            counts[receipt.subject_ref, receipt.collection, part.outcome, part.ground] += part.rows
    return +counts


def in_units(
    whole: S3, keys: list[Key], ctx: TrialContext
) -> Counter[tuple[str | None, str, Outcome, str]]:
    """An erasure, unit by unit, each with its own keys alone."""
    names = [unit.name for unit in whole.units_of(keys, ctx, "")]
    place_of, total = whole.unit_of(names), Counter[tuple[str | None, str, Outcome, str]]()
    for number, unit in enumerate(names):
        mine = [key for key in keys if place_of(key) == number]
        assert mine
        total += counted(whole.in_unit(unit).erase([ONE, OTHER], mine, ctx))
    return total


def test_what_is_not_divided_is_in_the_first_unit_and_leads(s3_endpoint: str, name: str) -> None:
    """Objects found by keys, tags and links come before any row of a shared object goes."""
    whole = made(s3_endpoint, name)
    first, *rest = whole.units_of(whole.locate([ONE], CTX), CTX, "")
    assert first.leads
    assert rest
    assert not any(unit.leads for unit in rest)
    undivided = {"files", "tagged", "linked"}
    assert undivided <= {collection for collection, _, _ in json.loads(first.name)}
    for unit in rest:
        assert undivided.isdisjoint(collection for collection, _, _ in json.loads(unit.name))


def test_only_objects_with_located_rows_are_divided(
    s3_endpoint: str, name: str, s3: S3Client
) -> None:
    """However big a bucket is, an erasure of few objects has few units."""
    for n in range(40):
        s3.put_object(Bucket=name, Key=f"events/0-other-{n:02}", Body=b'{"event_id": "x"}\n')
    whole = made(s3_endpoint, name)
    assert len(list(whole.units(Call.LOCATE, [ONE], CTX, ""))) > 2 * DAYS + 2
    assert len(list(whole.units_of(whole.locate([ONE], CTX), CTX, ""))) <= 2 * DAYS + 1
    assert len(list(whole.units_of((), CTX, ""))) == 1


def test_a_hold_on_the_owner_of_a_linked_object_is_seen_in_units(
    s3_endpoint: str, name: str, s3: S3Client
) -> None:
    """It is the rows that say whose it is; they go after it, whoever takes which unit."""
    whole = made(s3_endpoint, name)
    hold = Rule("hold", HeldPeople(ONE.identities), Action.KEEP, "hold")
    go = Rule("default", Always(), Action.ERASE)
    ctx = TrialContext(tables={"linked": DecisionTable("linked", (hold, go))})
    total = in_units(whole, list(whole.locate([ONE], ctx)), ctx)
    assert total["one", "linked", Outcome.RETAINED, "hold"] == DAYS
    assert total["one", "events", Outcome.ERASED, ""] == DAYS
    assert sum(key.startswith("linked/") for key, _ in content(s3, name)) == DAYS


def test_copies_are_erased_in_units_as_in_one_call(
    s3_endpoint: str, name: str, s3: S3Client, bucket: Callable[[], str]
) -> None:
    """Their rows are told by one unit each, with those that nobody can read."""
    copy = bucket()
    fill(s3, copy)
    archive(s3, name, copy)
    whole = copied(s3_endpoint, name, copy)
    keys = list(whole.locate([ONE, OTHER], CTX))
    dry = TrialContext(dry_run=True)
    assert in_units(whole, keys, dry) == counted(whole.erase([ONE, OTHER], keys, dry))
    assert sum(in_units(whole, keys, CTX).values()) == len(keys)
    for each in (name, copy):
        for day in (0, 2):
            s3.delete_object(Bucket=each, Key=f"exports/{day}-old")
    left = [key for each in (name, copy) for key, _ in content(s3, each)]
    assert all(key.startswith(("events/", "exports/")) for key in left)


def test_a_sweep_in_units_takes_every_room_of_bucket_and_copy(
    s3_endpoint: str, name: str, s3: S3Client, bucket: Callable[[], str]
) -> None:
    """Each object is swept by one unit; the first has what is not divided, and the copies."""
    copy = bucket()
    fill(s3, copy)
    whole = copied(s3_endpoint, name, copy)
    orders = [
        SweepOrder(collection, erase_everything(collection), 1000)
        for collection in ("events", "exports", "files", "linked", "tagged")
    ]
    dry = TrialContext(dry_run=True)
    expected = counted(whole.sweep(orders, dry))
    for ctx in (dry, CTX):
        first, *rest = list(whole.units(Call.SWEEP, (), ctx, ""))
        assert first.leads
        total = Counter[tuple[str | None, str, Outcome, str]]()
        for unit in (first, *reversed(rest)):
            total += counted(whole.in_unit(unit.name).sweep(orders, ctx))
        assert total == expected
    assert all(not body.strip() or b"@" not in body for body in content(s3, copy).values())


def test_a_key_of_no_collection_is_refused(s3_endpoint: str, name: str) -> None:
    """What lies where the map knows nothing is never left out in silence."""
    whole = made(s3_endpoint, name)
    with pytest.raises(Configuration):
        list(whole.units_of([Key("one", "unknown", ("a",))], CTX, ""))
