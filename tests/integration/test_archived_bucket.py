"""An access to a bucket part of which is archived, through the engine to the second package."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from connectors.s3 import S3
from tests import services as real
from tests.integration.access_packages import handed_over, left_out
from tests.integration.engine_room import CRM, EngineRoom
from tests.integration.test_units_in_a_bucket import EVENTS, _lines

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.mark.parametrize("unit_objects", [2, 1000])
def test_what_is_archived_is_told_restored_and_handed_over(
    tmp_path: Path,
    ledger: Callable[[], str],
    s3: S3Client,
    s3_endpoint: str,
    bucket: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
    unit_objects: int,
) -> None:
    """Hard case 27: whole or in units, the answer is in time and partial; the rest comes after it.

    The next look finds what was brought back meanwhile, and the case is closed by its hand-over.
    """
    bucket_name = bucket()
    for n in range(4):
        storage: Any = "GLACIER" if n == 1 else "STANDARD"
        body = _lines(n, {1, 2})
        s3.put_object(Bucket=bucket_name, Key=f"events/{n}", Body=body, StorageClass=storage)
    monkeypatch.setenv("UNITS_S3_KEY", real.S3_KEY)
    monkeypatch.setenv("UNITS_S3_SECRET", real.S3_SECRET)
    files = EVENTS.replace("BUCKET", bucket_name).replace("ENDPOINT", s3_endpoint)
    files = files.replace("REGION", real.S3_REGION)
    files = files.replace(
        "unit_objects: 2", f"unit_objects: {unit_objects}\n  restore: {{days: 3}}"
    )
    systems = {"crm": CRM, "files": files}
    room = EngineRoom(tmp_path, ledger(), systems=systems, connectors={"s3": S3})
    room.load_people(3)
    ref = room.submit("access", email="p.zq0001zq@mail.example")
    room.settle()
    first = handed_over(room, ref)
    ((*told, until_on),) = left_out(first)
    assert told == ["files", "events", "store-archive", 1]
    assert until_on is not None
    shown = [row["id"] for row in first["data/files/events.json"] if "id" in row]
    assert shown == ["0-1", "2-1", "3-1"]
    assert room.job(ref)["state"] == "answered_with_remainders"
    room.move_clock(days=3)
    room.settle()
    assert room.job(ref)["state"] == "ready", room.steps(ref)
    second = handed_over(room, ref)
    assert left_out(second) == []
    shown = [row["id"] for row in second["data/files/events.json"]]
    assert shown == ["0-1", "1-1", "2-1", "3-1"]
    assert room.job(ref)["state"] == "closed"
