"""Whoever approves an access sees what it cannot show yet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from connectors.s3 import S3
from dsr_worker.cli import desk
from dsr_worker.cli.plans import plan_data, plan_lines
from tests import services as real
from tests.integration.engine_room import CRM, ORGANISATION, EngineRoom
from tests.integration.test_units_in_a_bucket import EVENTS, _lines

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_SECOND_LOOK = ORGANISATION.replace("access: automatic", "access: second_actor")


@pytest.mark.parametrize("unit_objects", [2, 1000])
def test_the_plan_of_an_access_names_what_is_archived(
    tmp_path: Path,
    ledger: Callable[[], str],
    s3: S3Client,
    s3_endpoint: str,
    bucket: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
    unit_objects: int,
) -> None:
    """Hard case 27: whole or in units, an archived object stands in the plan with its ground."""
    bucket_name = bucket()
    for n in range(4):
        storage: Any = "GLACIER" if n == 1 else "STANDARD"
        body = _lines(n, {1, 2})
        s3.put_object(Bucket=bucket_name, Key=f"events/{n}", Body=body, StorageClass=storage)
    monkeypatch.setenv("UNITS_S3_KEY", real.S3_KEY)
    monkeypatch.setenv("UNITS_S3_SECRET", real.S3_SECRET)
    files = EVENTS.replace("BUCKET", bucket_name).replace("ENDPOINT", s3_endpoint)
    files = files.replace("REGION", real.S3_REGION)
    files = files.replace("unit_objects: 2", f"unit_objects: {unit_objects}")
    systems = {"crm": CRM, "files": files}
    room = EngineRoom(
        tmp_path, ledger(), systems=systems, connectors={"s3": S3}, organisation=_SECOND_LOOK
    )
    room.load_people(3)
    ref = room.submit("access", email="p.zq0001zq@mail.example")
    room.settle()
    job = desk.job_of(room.office, ref)
    found = {
        (o["collection"], o["ground"]): o["rows"]
        for o in plan_data(job)["outcomes"]
        if o["system"] == "files"
    }
    assert found == {("events", ""): 3, ("events", "store-archive"): 1}
    assert any(
        line.startswith("1 row(s) are there and cannot be shown") for line in plan_lines(job)
    )
