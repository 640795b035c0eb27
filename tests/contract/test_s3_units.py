"""A bucket falls into units: together they are the whole, wherever it is cut and resumed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from connectors.s3 import S3
from connectors.s3.server.ranges import KeyRange
from dsr_worker.contract import Call, InUnits, Key, Outcome, Receipt, Subject
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_support import EVENTS, EXPORTS, FILES, connector, content, lines, person

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ANNA = person("anna", ("customer_number", "1"), ("email", "anna@mail.example"))
BERT = person("bert", ("customer_number", "2"), ("email", "bert@mail.example"))
BOTH = [ANNA, BERT]
DAYS = 5


@pytest.fixture
def name(bucket: Callable[[], str], s3: S3Client) -> str:
    """A bucket with a week of events and exports, and files of three people."""
    made = bucket()
    for day in range(DAYS):
        events = [
            {"event_id": f"{day}-{n}", "customer": n % 4, "note": "wrote to anna@mail.example"}
            for n in range(1, 9)
        ]
        s3.put_object(Bucket=made, Key=f"events/2026-11-0{day}.ndjson", Body=lines(events))
        rows = (
            f"row_id,email,name,comment\n{day},bert@mail.example,B,\n{day}9,eva@mail.example,E,\n"
        )
        s3.put_object(Bucket=made, Key=f"exports/{day}.csv", Body=rows.encode())
    for customer in "123":
        s3.put_object(Bucket=made, Key=f"customers/{customer}/photo", Body=b"picture")
    return made


def made(endpoint: str, name: str, **config: Any) -> S3:
    """The connector, of all three layouts."""
    return connector(endpoint, name, FILES, EVENTS, EXPORTS, **config)


def names(
    whole: S3, call: Call, after: str = "", subjects: list[Subject] | None = None
) -> list[str]:
    """The names of a call's units."""
    assert isinstance(whole, InUnits)
    parts = whole.units(call, BOTH if subjects is None else subjects, TrialContext(), after)
    return [unit.name for unit in parts]


def in_parts(whole: S3, call: Call) -> Iterator[S3]:
    """The connector within each of a call's units."""
    return map(whole.in_unit, names(whole, call))


@pytest.mark.parametrize("most", [2, 100])
def test_what_units_find_is_what_the_whole_finds(s3_endpoint: str, name: str, most: int) -> None:
    """Records, keys and mentions of all units, one after the other, are those of the whole call."""
    whole = made(s3_endpoint, name, unit_objects=most)
    ctx = TrialContext()
    for call in (Call.FIND, Call.LOCATE, Call.MENTIONS):
        parts = [getattr(part, call)(BOTH, ctx) for part in in_parts(whole, call)]
        found = sorted(repr_of(item) for part in parts for item in part)
        assert found == sorted(repr_of(item) for item in getattr(whole, call)(BOTH, ctx))
        assert found
    assert (len(names(whole, Call.FIND)) == 1) is (most == 100)


def repr_of(item: Any) -> str:
    """A record, key or mention as text."""
    fields = [getattr(item, n) for n in ("subject_ref", "collection", "key")]
    return repr([*fields, getattr(item, "body", None), getattr(item, "field", None)])


def test_units_are_bounded_and_follow_each_other(s3_endpoint: str, name: str) -> None:
    """Ranges of keys meet without a gap, each with no more objects than a unit may read."""
    whole = made(s3_endpoint, name, unit_objects=3)
    borders: dict[str, list[tuple[str, str | None]]] = {}
    for unit in names(whole, Call.FIND):
        for collection, after, upto in json.loads(unit):
            borders.setdefault(collection, []).append((after, upto))
    for ranges in borders.values():
        assert ranges[0][0] == ""
        assert ranges[-1][1] is None
        assert [upto for _, upto in ranges[:-1]] == [after for after, _ in ranges[1:]]
    assert len(borders["events"]) == 2
    assert borders["files"] == [("", None)]


def test_a_large_object_is_a_unit_of_its_own(s3_endpoint: str, name: str, s3: S3Client) -> None:
    """Bytes bound a unit as well as objects; one object is never cut."""
    big = lines([{"event_id": str(n), "customer": 3, "note": "x" * 100} for n in range(100)])
    s3.put_object(Bucket=name, Key="events/2026-11-03.ndjson", Body=big)
    whole = made(s3_endpoint, name, unit_bytes=5_000)
    alone = [
        keys
        for unit in names(whole, Call.FIND)
        for keys in json.loads(unit)
        if keys[0] == "events" and keys[2] == "events/2026-11-03.ndjson"
    ]
    assert alone == [["events", "events/2026-11-02.ndjson", "events/2026-11-03.ndjson"]]


def test_a_division_resumes_after_any_unit(s3_endpoint: str, name: str) -> None:
    """Asked for the units after any of them, the connector names exactly the rest."""
    whole = made(s3_endpoint, name, unit_objects=2)
    for call in Call:
        all_names = names(whole, call)
        for number, unit in enumerate(all_names):
            assert names(whole, call, after=unit) == all_names[number + 1 :]


def test_what_is_written_meanwhile_lies_in_a_unit(
    s3_endpoint: str, name: str, s3: S3Client
) -> None:
    """An object that appears after the division, anywhere, is found by exactly one unit."""
    whole = made(s3_endpoint, name, unit_objects=2)
    units = names(whole, Call.LOCATE)
    new = ["events/2026-11-00", "events/2026-11-03.ndjson.part", "events/zzz", "events/\u00fc"]
    for key in new:
        s3.put_object(Bucket=name, Key=key, Body=lines([{"event_id": "new", "customer": 1}]))
    found = [
        key.key[0]
        for unit in units
        for key in whole.in_unit(unit).locate(BOTH, TrialContext())
        if key.key[-1] == "new"
    ]
    assert sorted(found) == sorted(new)


def test_erasing_in_units_is_erasing(
    s3_endpoint: str, name: str, s3: S3Client, bucket: Callable[[], str]
) -> None:
    """Receipts of units add up to those of the whole call, and the buckets are the same after."""
    other = bucket()
    for (key, _), body in content(s3, name).items():
        s3.put_object(Bucket=other, Key=key, Body=body)
    parted, whole = made(s3_endpoint, name, unit_objects=2), made(s3_endpoint, other)
    keys = list(parted.locate(BOTH, TrialContext()))
    receipts = [
        receipt
        for part in in_parts(parted, Call.LOCATE)
        for receipt in part.erase(BOTH, keys, TrialContext())
    ]
    assert _rows(receipts) == _rows(whole.erase(BOTH, keys, TrialContext()))
    assert {k: b for (k, _), b in content(s3, name).items()} == {
        k: b for (k, _), b in content(s3, other).items()
    }


def _rows(receipts: Any) -> dict[tuple[str | None, str, Outcome], int]:
    rows: dict[tuple[str | None, str, Outcome], int] = {}
    receipt: Receipt
    for receipt in receipts:
        for part in receipt.outcomes:
            if part.outcome is not Outcome.ABSENT:
                place = (receipt.subject_ref, receipt.collection, part.outcome)
                rows[place] = rows.get(place, 0) + part.rows
    return rows


def test_rechecking_in_units_is_rechecking(s3_endpoint: str, name: str) -> None:
    """Every unit looks for the keys that lie in it, and what is left is told once."""
    whole = made(s3_endpoint, name, unit_objects=2)
    keys = list(whole.locate([ANNA], TrialContext()))
    left = list(whole.recheck([ANNA], keys, TrialContext(second_path=True)))
    told: list[Key] = []
    for part in in_parts(whole, Call.RECHECK):
        told += part.recheck([ANNA], keys, TrialContext(second_path=True))
    assert sorted(map(repr_of, told)) == sorted(map(repr_of, left))
    assert len(told) == len(keys) > 0


def test_nothing_is_listed_for_people_whom_no_collection_knows(s3_endpoint: str, name: str) -> None:
    """A subject without an identity that a collection takes makes no units of it."""
    whole = made(s3_endpoint, name, unit_objects=1)
    stranger = person("carl", ("phone", "+49301"))
    ctx = TrialContext()
    (unit,) = list(whole.units(Call.FIND, [stranger], ctx, ""))
    assert ctx.calls == 0
    assert not list(whole.in_unit(unit.name).find([stranger], ctx))


def test_a_range_of_keys_goes_by_their_bytes() -> None:
    """Keys compare as UTF-8, as S3 lists them, not as code units or letters."""
    keys = KeyRange("a", "a\ufb01")
    assert "a" not in keys
    assert "aZ" in keys
    assert "a\ufb01" in keys
    assert "a\U0001f600" not in keys
    assert "b" in KeyRange("a")
