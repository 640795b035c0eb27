"""A sweep of a bucket in units: how often it reads an object, and what it may not pass over."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from connectors.s3 import S3
from connectors.s3.scanning import undue
from connectors.s3.server.bucket import Bucket
from dsr_worker.contract import Identity
from tests import services as real
from tests.integration.sweep_room import LONG_AGO, SHARED, SweepRoom

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CLEAN, DUE = range(6), range(6, 8)
CARTS = """
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
  carts:
    source: {layout: shared, prefix: "carts/", format: ndjson}
    key: [id]
    takes: {customer_number: customer}
    class: cart
    clocks: {record_date: at}
    fields:
      id: user.unique_id
      customer: user.unique_id
      at: user.content
    purpose: Trial.
    legal_basis: Contract.
    recipients: [nobody]
    origin: You.
"""


def lines(number: int, *, due: bool) -> bytes:
    """Four carts of an object; the first two long past their limit where any are due."""
    rows = [
        {"id": f"{number}-{n}", "customer": n, "at": LONG_AGO if due and n < 2 else "2026-11-20"}
        for n in range(4)
    ]
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


@pytest.fixture
def name(bucket: Callable[[], str], s3: S3Client) -> str:
    """A bucket in which two of eight objects have carts to go."""
    made = bucket()
    for n in (*CLEAN, *DUE):
        s3.put_object(Bucket=made, Key=f"carts/{n}", Body=lines(n, due=n in DUE))
    return made


@pytest.fixture
def room(
    tmp_path: Path,
    ledger: Callable[[], str],
    s3_endpoint: str,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> SweepRoom:
    """An installation that sweeps the bucket."""
    monkeypatch.setenv("UNITS_S3_KEY", real.S3_KEY)
    monkeypatch.setenv("UNITS_S3_SECRET", real.S3_SECRET)
    text = CARTS.replace("BUCKET", name).replace("ENDPOINT", s3_endpoint)
    systems = {"files": text.replace("REGION", real.S3_REGION)}
    return SweepRoom(
        tmp_path, ledger(), policies={"trial": SHARED}, systems=systems, connectors={"s3": S3}
    )


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the bytes of each object were asked for."""
    keys: Counter[str] = Counter()
    whole = Bucket.opened

    def opened(bucket: Bucket, version: Any, *given: Any) -> Any:
        keys[version.key] += 1
        return whole(bucket, version, *given)

    monkeypatch.setattr(Bucket, "opened", opened)
    return keys


def swept(room: SweepRoom) -> str:
    """A sweep, carried through."""
    ref = room.start()
    room.approve_sweep(ref)
    assert room.job(ref)["state"] == "closed", room.steps(ref)
    return ref


def body(s3: S3Client, name: str, number: int) -> bytes:
    """The bytes of an object."""
    return s3.get_object(Bucket=name, Key=f"carts/{number}")["Body"].read()


def test_what_has_nothing_due_is_read_to_count_and_to_look_again(
    room: SweepRoom, name: str, s3: S3Client, read: Counter[str]
) -> None:
    """Of a clean object two readings of four are left; everybody else's bytes are as they were."""
    ref = swept(room)
    assert {read[f"carts/{n}"] for n in CLEAN} == {2}
    assert {read[f"carts/{n}"] for n in DUE} == {5}
    assert room.outcomes(ref) == {("files", "carts", "erased"): 4}
    assert {row.call for row in room.rows("SELECT call FROM scans WHERE changes")} == {"sweep"}
    for n in CLEAN:
        assert body(s3, name, n) == lines(n, due=False)
    for n in DUE:
        assert body(s3, name, n) == b"".join(lines(n, due=True).splitlines(keepends=True)[2:])


def test_without_what_is_known_a_clean_object_is_read_four_times(
    room: SweepRoom, read: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planned, counted, counted for the brake, swept, counted again: what it saves is measured."""
    monkeypatch.setattr(undue.Undue, "holds", lambda *_: False)
    swept(room)
    assert {read[f"carts/{n}"] for n in CLEAN} == {2 + 2}  # a unit without a due row is not swept
    assert {read[f"carts/{n}"] for n in DUE} == {5}


def test_an_object_that_changed_since_it_was_counted_is_read(
    room: SweepRoom, name: str, s3: S3Client
) -> None:
    """What is known of an object is of its versions: a cart that came meanwhile goes as well."""
    ref = room.start()
    s3.put_object(Bucket=name, Key="carts/0", Body=lines(0, due=True))
    room.approve_sweep(ref)
    assert room.job(ref)["state"] == "closed", room.steps(ref)
    assert room.outcomes(ref) == {("files", "carts", "erased"): 6}
    assert len(body(s3, name, 0).splitlines()) == 2


def test_another_table_knows_nothing_of_what_was_read_by_this_one(
    room: SweepRoom, read: Counter[str]
) -> None:
    """A hold is another table: what was read before it is placed is read anew."""
    swept(room)
    read.clear()
    again = room.start()
    assert room.job(again)["state"] == "closed"
    assert set(read) == {f"carts/{n}" for n in DUE}  # they were written anew
    read.clear()
    room.hold_person(Identity("customer_number", "1"))
    room.start()
    assert {read[f"carts/{n}"] for n in CLEAN} == {1}
