"""From a request to its end over a real S3 API, where Object Lock keeps some of it for a while."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from connectors.s3 import S3
from tests import services as real
from tests.contract.s3_support import content, current, lines, versioned
from tests.integration.engine_room import EngineRoom

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_TEXTS = """
    purpose: Trial.
    legal_basis: Contract.
    recipients: [nobody]
    origin: You.
"""

SYSTEM = f"""
system: lake
connector: s3
config:
  bucket: BUCKET
  endpoint_url: ENDPOINT
  region: {real.S3_REGION}
  access_key_id: {{env: LAKE_KEY}}
  secret_access_key: {{env: LAKE_SECRET}}
  abort_uploads_after_days: 7
collections:
  letters:
    key: [key]
    takes: {{customer_number: key}}
    class: attachment
    clocks: {{record_date: last_modified}}
    source: {{layout: prefix, template: "customers/{{customer_number}}/"}}
    fields:
      key: user.unique_id
      last_modified: user.content
      body: user.content
{_TEXTS}
  events:
    key: [event_id]
    takes: {{customer_number: customer}}
    class: attachment
    source: {{layout: shared, prefix: events/, format: ndjson}}
    fields:
      event_id: user.unique_id
      customer: user.unique_id
{_TEXTS}
"""


@pytest.fixture
def lake(s3: S3Client, bucket: Callable[[], str]) -> str:
    """A bucket with Object Lock, in which a letter and an object of events are locked."""
    name = bucket()
    versioned(s3, name)
    s3.put_object_lock_configuration(
        Bucket=name, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"}
    )
    until_at = datetime.now(UTC) + timedelta(days=40)
    for customer in ("7", "8"):
        s3.put_object(Bucket=name, Key=f"customers/{customer}/free", Body=customer.encode())
    s3.put_object(
        Bucket=name,
        Key="customers/7/locked",
        Body=b"7",
        ObjectLockMode="GOVERNANCE",
        ObjectLockRetainUntilDate=until_at,
    )
    events = [{"event_id": f"e{n}", "customer": str(n)} for n in (7, 8)]
    s3.put_object(Bucket=name, Key="events/free", Body=lines(events))
    s3.put_object(
        Bucket=name,
        Key="events/locked",
        Body=lines(events),
        ObjectLockMode="GOVERNANCE",
        ObjectLockRetainUntilDate=until_at + timedelta(days=20),
    )
    s3.put_object(Bucket=name, Key="events/archived", Body=lines(events), StorageClass="GLACIER")
    return name


@pytest.fixture
def room(
    tmp_path: Path,
    ledger: Callable[[], str],
    s3_endpoint: str,
    lake: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[EngineRoom]:
    """An installation that answers for the bucket."""
    monkeypatch.setenv("LAKE_KEY", real.S3_KEY)
    monkeypatch.setenv("LAKE_SECRET", real.S3_SECRET)
    text = SYSTEM.replace("BUCKET", lake).replace("ENDPOINT", s3_endpoint)
    made = EngineRoom(tmp_path, ledger(), systems={"lake": text}, connectors={"s3": S3})
    yield made
    made.office.ledger.dispose()


def unlock(client: S3Client, bucket: str, key: str) -> None:
    """The store's clock cannot be moved: its locks end by hand, on the day they would.

    The locked version is an old one where a new one took its place.
    """
    for version in client.list_object_versions(Bucket=bucket, Prefix=key)["Versions"]:
        client.put_object_retention(
            Bucket=bucket,
            Key=key,
            VersionId=version["VersionId"],
            Retention={"Mode": "GOVERNANCE", "RetainUntilDate": datetime.now(UTC)},
            BypassGovernanceRetention=True,
        )


def holding(client: S3Client, bucket: str) -> list[str]:
    """The keys of versions that hold customer 7, an archived one among them."""
    found = []
    for listed in client.list_object_versions(Bucket=bucket)["Versions"]:
        key, version_id = listed["Key"], listed["VersionId"]
        try:
            answer = client.get_object(Bucket=bucket, Key=key, VersionId=version_id)
        except client.exceptions.InvalidObjectState:
            found.append(key)
        else:
            found += [key] if b"7" in answer["Body"].read() else []
    return sorted(found)


def test_nothing_is_done_while_a_version_remains(room: EngineRoom, s3: S3Client, lake: str) -> None:
    """The answer leaves in time and names each remainder; the case ends with the last version."""
    ref = room.submit("erasure", customer_number="7")
    room.settle()
    room.approve(ref)
    room.settle()
    made = room.hand_over(ref)
    assert made["response"]["nature"] == "partly_granted"
    told = {(d["collection"], d["ground"]): d for d in made["deferred"]}
    today = datetime.now(UTC).date()
    locked_on = {place: d["due_on"] for place, d in told.items() if place[1] == "store-lock"}
    assert locked_on == {
        ("letters", "store-lock"): str(today + timedelta(days=40)),
        ("events", "store-lock"): str(today + timedelta(days=60)),
    }
    assert told["events", "store-archive"]["rows"] == 1
    assert all(d["refused_by_store"] for d in told.values())
    (system,) = made["systems"]
    assert system["requery"]["returned"] == 0, "what stays was told; nothing else was found"
    assert b'"e7"' not in current(s3, lake, "events/free")
    assert room.job(ref)["state"] == "answered_with_remainders"
    locked = ["customers/7/locked", "events/locked"]
    assert holding(s3, lake) == [locked[0], "events/archived", locked[1]]
    for days, key in zip((41, 20), list(locked), strict=True):
        unlock(s3, lake, key)
        room.move_clock(days=days)
        room.settle()
        locked.remove(key)
        assert holding(s3, lake) == sorted([*locked, "events/archived"])
        assert room.job(ref)["state"] == "answered_with_remainders"
    s3.restore_object(Bucket=lake, Key="events/archived", RestoreRequest={"Days": 1})
    for _ in range(3):
        room.move_clock(days=31)
        room.settle()
    assert holding(s3, lake) == []
    assert room.job(ref)["state"] == "closed"
    jobs = room.rows("SELECT ref, state, phase FROM jobs WHERE kind = 'deferred'")
    assert {job.state for job in jobs} == {"closed"}, jobs
    others = [json.loads(v)["event_id"] for k, v in content(s3, lake).items() if "events" in k[0]]
    assert others == ["e8"] * 3
    assert content(s3, lake)[next(k for k in content(s3, lake) if "customers" in k[0])] == b"8"
