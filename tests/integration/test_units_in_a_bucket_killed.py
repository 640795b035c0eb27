"""An erasure from a bucket in units: workers die anywhere, and everybody else's bytes stay."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from connectors.s3 import S3
from dsr_worker.engine import context
from dsr_worker.engine import units as work
from tests import services as real
from tests.examples import examples
from tests.integration.engine_room import CRM, EngineRoom
from tests.integration.test_units import answered
from tests.integration.test_units_erasing import approved
from tests.integration.test_units_in_a_bucket import EVENTS, _lines
from tests.integration.test_units_killed import Crew, Deaths

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

OBJECTS = 22


def room_of(
    folder: Path, dsn: str, endpoint: str, name: str, unit_objects: int, s3: S3Client
) -> EngineRoom:
    """Customers in memory, their events in a bucket."""
    folder.mkdir()
    text = EVENTS.replace("BUCKET", name).replace("ENDPOINT", endpoint)
    text = text.replace("unit_objects: 2", f"unit_objects: {unit_objects}")
    systems = {"crm": CRM, "files": text.replace("REGION", real.S3_REGION)}
    made = EngineRoom(folder, dsn, systems=systems, connectors={"s3": S3})
    made.load_people(4)
    fill(s3, name)
    return made


def fill(s3: S3Client, name: str) -> None:
    """Events of four customers in each object."""
    for n in range(OBJECTS):
        s3.put_object(Bucket=name, Key=f"events/{n:02}", Body=_lines(n, {0, 1, 2, 3}))


def account(room: EngineRoom, ref: str) -> dict[tuple[str, str, str], int]:
    """What became of the rows in the bucket."""
    return {place: n for place, n in room.outcomes(ref).items() if place[0] == "files"}


def test_deaths_in_an_erasure_from_a_bucket_change_nothing(
    tmp_path: Path,
    ledger: Callable[[], str],
    s3_endpoint: str,
    bucket: Callable[[], str],
    s3: S3Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Receipts are those of the call made whole, and every other line is there byte for byte."""
    monkeypatch.setenv("UNITS_S3_KEY", real.S3_KEY)
    monkeypatch.setenv("UNITS_S3_SECRET", real.S3_SECRET)
    whole = room_of(tmp_path / "whole", ledger(), s3_endpoint, bucket(), 1000, s3)
    one = approved(whole, 1)
    answered(whole, one)
    baseline = account(whole, one)
    assert not whole.rows("SELECT FROM scans")
    name = bucket()
    room = room_of(tmp_path / "parted", ledger(), s3_endpoint, name, 10, s3)
    deaths = Deaths()
    for place in (work, context):
        monkeypatch.setattr(place, "crash_point", lambda _point: deaths.passed())
    struck: list[int] = []

    @settings(
        max_examples=examples(1),
        phases=[Phase.generate],  # two workers race: no death is the same twice
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(apart=st.lists(st.integers(16, 50), min_size=3, max_size=8))
    def holds(apart: list[int]) -> None:
        room.load_people(4)
        fill(s3, name)
        deaths.order(set())
        ref = approved(room, 1)
        deaths.order(set(accumulate(apart)))
        Crew(room, deaths).answer(ref)
        struck.append(deaths.died)
        assert account(room, ref) == baseline == {("files", "events", "erased"): OBJECTS}
        for n in range(OBJECTS):
            body = s3.get_object(Bucket=name, Key=f"events/{n:02}")["Body"].read()
            assert body == _lines(n, {0, 2, 3})
        made = room.rows(
            "SELECT count(*) AS units FROM units u JOIN scans c ON c.id = u.scan_id"
            " WHERE c.changes AND u.number > 0 GROUP BY c.id"
        )
        assert {row.units for row in made} == {OBJECTS}

    holds()
    assert sum(struck) >= len(struck)
