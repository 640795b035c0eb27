"""A bucket in units, through the engine: erased, looked at again, and known to be clean after."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from connectors.s3 import S3
from connectors.s3.server.bucket import Bucket
from tests import services as real
from tests.integration.engine_room import CRM, EngineRoom
from tests.integration.test_rotated_keys import _rotate
from tests.integration.test_units import answered, erased
from tests.integration.test_units_together import Gate, open_calls

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

OBJECTS = 6
EVENTS = """
system: files
connector: s3
config:
  bucket: BUCKET
  endpoint_url: ENDPOINT
  region: REGION
  access_key_id: {env: UNITS_S3_KEY}
  secret_access_key: {env: UNITS_S3_SECRET}
  unit_objects: 2
collections:
  events:
    source: {layout: shared, prefix: "events/", format: ndjson}
    key: [id]
    takes: {customer_number: customer}
    class: attachment
    fields:
      id: user.unique_id
      customer: user.unique_id
    purpose: Trial.
    legal_basis: Contract.
    recipients: [nobody]
    origin: You.
"""


@pytest.fixture
def name(bucket: Callable[[], str], s3: S3Client) -> str:
    """A bucket with events of four customers in each of six objects."""
    made = bucket()
    for n in range(OBJECTS):
        s3.put_object(Bucket=made, Key=f"events/{n}", Body=_lines(n, {0, 1, 2, 3}))
    return made


def _lines(number: int, customers: set[int]) -> bytes:
    rows = [{"id": f"{number}-{c}", "customer": c} for c in sorted(customers)]
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


@pytest.fixture
def room(
    tmp_path: Path,
    ledger: Callable[[], str],
    s3_endpoint: str,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> EngineRoom:
    """Customers in memory, their events in the bucket."""
    monkeypatch.setenv("UNITS_S3_KEY", real.S3_KEY)
    monkeypatch.setenv("UNITS_S3_SECRET", real.S3_SECRET)
    files = EVENTS.replace("BUCKET", name).replace("ENDPOINT", s3_endpoint)
    systems = {"crm": CRM, "files": files.replace("REGION", real.S3_REGION)}
    made = EngineRoom(tmp_path, ledger(), systems=systems, connectors={"s3": S3})
    made.load_people(10)
    return made


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The objects whose bytes were asked for."""
    keys: list[str] = []
    whole = Bucket.opened

    def opened(bucket: Bucket, version: Any, *given: Any) -> Any:
        keys.append(version.key)
        return whole(bucket, version, *given)

    monkeypatch.setattr(Bucket, "opened", opened)
    return keys


def test_two_people_are_erased_from_a_bucket_in_units(
    room: EngineRoom, name: str, s3: S3Client
) -> None:
    """Their lines go from every object, each other byte stays, and nothing is found again."""
    refs = erased(room, 1, 2)
    for n in range(OBJECTS):
        body = s3.get_object(Bucket=name, Key=f"events/{n}")["Body"].read()
        assert body == _lines(n, {0, 3})
    calls = {row.call for row in room.rows("SELECT call FROM scans WHERE system = 'files'")}
    assert calls == {"locate", "erase", "recheck", "mentions"}
    left = room.rows("SELECT result FROM steps WHERE action = 'recheck' AND system = 'files'")
    assert [row.result["remaining"] for row in left] == [0] * len(refs)
    counts = room.rows("SELECT sum(row_count) AS n FROM receipts WHERE system = 'files'")
    assert counts[0].n == 2 * OBJECTS


def test_the_case_after_an_erasure_leaves_clean_objects_alone(
    room: EngineRoom, name: str, s3: S3Client, read: list[str]
) -> None:
    """What the recheck saw is known to the next case, also after a rotation of the keys."""
    erased(room, 1)
    _rotate(room)
    s3.put_object(Bucket=name, Key="events/5", Body=_lines(5, {4}))
    read.clear()
    ref = room.submit("access", email="p.zq0004zq@mail.example")
    answered(room, ref)
    assert set(read) == {"events/5"}
    (found,) = room.rows(
        "SELECT result FROM steps s JOIN jobs j ON j.id = s.job_id"
        " WHERE j.ref = %s AND s.action = 'find' AND s.system = 'files'",
        ref,
    )
    assert found.result["rows"] == {"events": 1}


def test_an_access_an_erasure_and_mentions_read_each_object_once(
    room: EngineRoom, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for the bucket at the same time opens each of its objects once for all three."""
    gate = Gate(monkeypatch)
    first = room.submit("erasure", email="p.zq0003zq@mail.example")
    room.settle()
    gate.shuts = lambda: "mentions" in open_calls(room).get("files", ())
    room.approve(first)
    room.settle()
    assert gate.shut
    gate.shuts = lambda: False
    access = room.submit("access", email="p.zq0001zq@mail.example")
    erasure = room.submit("erasure", email="p.zq0002zq@mail.example")
    for _ in range(5):
        room.settle()
    assert open_calls(room)["files"] == {"find", "locate", "mentions"}
    read.clear()
    gate.shut = False
    while room.workshop.drainer._next_unit("files", {}, urgent_only=False):
        pass
    assert Counter(read) == Counter(f"events/{n}" for n in range(OBJECTS))
    answered(room, access, first)
    room.settle()
    assert _result(room, access, "find")["rows"] == {"events": OBJECTS}
    planned = _result(room, erasure, "plan")["outcomes"]
    assert sum(part["rows"] for part in planned if part["collection"] == "events") == OBJECTS


def _result(room: EngineRoom, ref: str, action: str) -> dict[str, Any]:
    (told,) = room.rows(
        "SELECT s.result FROM steps s JOIN jobs j ON j.id = s.job_id"
        " WHERE j.ref = %s AND s.action = %s AND s.system = 'files'",
        ref,
        action,
    )
    result: dict[str, Any] = told.result
    return result
