"""Every kind of room in units: together they tell what the whole tells, and nothing twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from connectors.s3 import S3, Config
from connectors.s3.config import SharedLayout
from connectors.s3.reading.shared import Shared
from connectors.s3.reading.unread import unread_keys
from connectors.s3.server.bucket import Bucket, with_no_budget
from connectors.s3.server.readable import ReadableBucket
from dsr_worker.contract import READS, Call, Form, Key, Outcome, Taken
from dsr_worker.testing.context import TrialContext
from tests import services as real
from tests.contract import s3_delta
from tests.contract.s3_layouts import objects
from tests.contract.s3_support import EVENTS, EXPORTS, FILES, connector, content, lines, person

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ONE = person("one", ("customer_number", "1"), ("email", "one@mail.example"))
OTHER = person("other", ("customer_number", "2"), ("email", "other@mail.example"))
TAGGED = objects("tagged", {"customer_number": "tag:customer"}, layout="objects", prefix="tagged/")
ROWS = {"customer_number": Taken("row:customer"), "email": Taken("row:user.email", Form.ASCII_CASE)}
LINKED = objects(
    "linked", ROWS, layout="linked", prefix="linked/", field="file", **{"from": "events"}
)
DAYS = 3


@pytest.fixture
def name(bucket: Callable[[], str], s3: S3Client) -> str:
    """A bucket with objects of two people in every kind of room."""
    made = bucket()
    fill(s3, made)
    return made


def archive(s3: S3Client, *buckets: str) -> None:
    """Put two more objects there that nobody can read now."""
    for name in buckets:
        for day in (0, 2):
            key, body = f"exports/{day}-old", b"row_id,email\n"
            s3.put_object(Bucket=name, Key=key, Body=body, StorageClass="GLACIER")


def fill(s3: S3Client, name: str) -> None:
    """Put them there."""
    for day in range(DAYS):
        rows = [
            {"event_id": f"{day}-{n}", "customer": n, "file": f"linked/{day}-{n}"} for n in (1, 2)
        ]
        s3.put_object(Bucket=name, Key=f"events/{day}", Body=lines(rows))
        s3.put_object(Bucket=name, Key=f"linked/{day}-1", Body=b"scan")
        exported = "row_id,email\n1,one@mail.example\n2,other@mail.example\n"
        s3.put_object(Bucket=name, Key=f"exports/{day}", Body=exported.encode())
    for customer in "12":
        s3.put_object(Bucket=name, Key=f"customers/{customer}/a", Body=b"picture")
        s3.create_multipart_upload(Bucket=name, Key=f"customers/{customer}/film")
        tag = f"customer={customer}"
        s3.put_object(Bucket=name, Key=f"tagged/{customer}", Body=b"form", Tagging=tag)


def made(endpoint: str, name: str, **config: Any) -> S3:
    """The connector, of all these rooms."""
    return connector(
        endpoint, name, FILES, TAGGED, LINKED, EVENTS, EXPORTS, unit_objects=2, **config
    )


def copied(endpoint: str, name: str, copy: str) -> S3:
    """The same over the bucket and a copy."""
    reach = {
        "bucket": copy,
        "endpoint_url": endpoint,
        "region": real.S3_REGION,
        "access_key_id": real.S3_KEY,
        "secret_access_key": real.S3_SECRET,
    }
    return made(endpoint, name, replicas=[reach])


def parts(whole: S3, call: Call) -> Iterator[S3]:
    """The connector within each unit of a call."""
    units = [unit.name for unit in whole.units(call, [ONE, OTHER], TrialContext(), "")]
    return map(whole.in_unit, units)


def told(parts: Iterator[S3] | list[S3], call: Call, keys: list[Key]) -> Counter[str]:
    """What these tell, each with how often."""
    given = [keys] if call is Call.RECHECK else []
    found: Counter[str] = Counter()
    for part in parts:
        ctx = TrialContext(second_path=call is Call.RECHECK)
        for item in getattr(part, call)([ONE, OTHER], *given, ctx):
            place = (item.subject_ref, item.collection, item.key, getattr(item, "field", ""))
            found[repr(place)] += 1
    return found


@pytest.mark.parametrize("call", READS)
def test_units_of_every_room_tell_what_the_whole_tells(
    s3_endpoint: str, name: str, s3: S3Client, call: Call
) -> None:
    """Keys, tags, links, uploads and unreadable versions come once each, in whichever unit."""
    if call is not Call.FIND:  # which stops over what is archived
        archive(s3, name)
    whole = made(s3_endpoint, name)
    keys = list(whole.locate([ONE, OTHER], TrialContext()))
    found = told(parts(whole, call), call, keys)
    assert found == told([whole], call, keys)
    assert len(list(parts(whole, call))) > 2
    if call in {Call.LOCATE, Call.RECHECK}:
        assert set(found.values()) == {1}
        assert sum("film" in place for place in found) == 2
        assert sum("store-" in place for place in found) == 2 * 2
        assert sum("'linked/" in place for place in found) == DAYS


def test_an_object_is_found_by_rows_of_every_unit(s3_endpoint: str, name: str) -> None:
    """The unit of linked objects reads all rows, though its own range of them is a part."""
    whole = made(s3_endpoint, name)
    first = next(parts(whole, Call.LOCATE))
    linked = [k for k in first.locate([ONE], TrialContext()) if k.collection == "linked"]
    assert len(linked) == DAYS


def test_an_erasure_in_units_takes_every_room(
    s3_endpoint: str, name: str, s3: S3Client, bucket: Callable[[], str]
) -> None:
    """A row is counted by one unit, copies included, and what is left is the others' alone."""
    copy = bucket()
    fill(s3, copy)
    archive(s3, name, copy)
    whole = copied(s3_endpoint, name, copy)
    keys = list(whole.locate([ONE], TrialContext()))
    rows: Counter[Outcome] = Counter()
    for part in parts(whole, Call.LOCATE):
        for receipt in part.erase([ONE], keys, TrialContext()):
            for outcome in receipt.outcomes:
                rows[outcome.outcome] += outcome.rows
    assert sum(rows.values()) == len(keys)
    assert rows[Outcome.ALREADY_GONE] == 0
    assert rows[Outcome.RETAINED] == 2 * 2
    for each in (name, copy):
        old = [{"Key": f"exports/{day}-old"} for day in (0, 2)]
        s3.delete_objects(Bucket=each, Delete={"Objects": old})  # type: ignore[typeddict-item]  # a list of the like
        left = content(s3, each)
        assert {key for key, _ in left if not key.startswith(("events/", "exports/"))} == {
            "customers/2/a",
            "tagged/2",
        }
        said = b"".join(left.values())
        assert b'"customer": 1' not in said
        assert b"one@" not in said
        assert b"other@" in said


@pytest.mark.parametrize("call", READS)
def test_copies_are_visited_once(
    s3_endpoint: str, name: str, s3: S3Client, bucket: Callable[[], str], call: Call
) -> None:
    """Whatever a copy has is told by exactly one unit; what only it has left is found."""
    copy = bucket()
    fill(s3, copy)
    if call is not Call.FIND:
        archive(s3, name, copy)
    s3.put_object(Bucket=copy, Key="events/9", Body=lines([{"event_id": "n", "customer": 1}]))
    whole = copied(s3_endpoint, name, copy)
    keys = list(whole.locate([ONE, OTHER], TrialContext()))
    found = told(parts(whole, call), call, keys)
    assert found == told([whole], call, keys)
    assert (len(list(parts(whole, call))) == 1) is (call is Call.FIND)
    if call is not Call.MENTIONS:
        assert sum("'events/9'" in place for place in found) == 1
    if call is Call.FIND:
        assert sum("'tagged/1'" in place for place in found) == 1


def test_an_object_that_is_read_again_asks_nothing_of_its_neighbours(
    s3_endpoint: str, name: str, s3: S3Client
) -> None:
    """Those whose keys begin alike may lie in another unit, which tells of them by itself."""
    archive(s3, name)
    key, neighbour = "exports/2", "exports/2-old"
    settings = {
        "bucket": name,
        "endpoint_url": s3_endpoint,
        "access_key_id": real.S3_KEY,
        "secret_access_key": real.S3_SECRET,
    }
    bucket = ReadableBucket(Bucket(Config.model_validate(settings)))
    assert {version.key for version in bucket.versions_of(key, with_no_budget)} == {key}
    assert bucket.refused == []
    bucket.versions_of(neighbour, with_no_budget)
    assert [version.key for version, _ in bucket.refused] == [neighbour]
    room = Shared(EXPORTS, SharedLayout.model_validate(EXPORTS.source))
    assert len(list(unread_keys(room, bucket, [ONE]))) == 1


def test_a_table_is_one_unit(s3_endpoint: str, bucket: Callable[[], str], s3: S3Client) -> None:
    """A table's rows have no key of their own object: its files are not divided."""
    del s3
    name = bucket()
    s3_delta.write(s3_endpoint, name, [s3_delta.order(n, n % 3) for n in range(9)])
    whole = connector(s3_endpoint, name, s3_delta.ORDERS, unit_objects=1)
    (unit,) = list(whole.units(Call.LOCATE, [ONE, OTHER], TrialContext(), ""))
    assert json.loads(unit.name) == [["orders", "", None]]
    found = list(whole.in_unit(unit.name).locate([ONE], TrialContext()))
    assert len(found) == 3
    assert found == list(whole.locate([ONE], TrialContext()))
