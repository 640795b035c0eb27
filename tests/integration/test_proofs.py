"""Proofs of rewritten objects, from the bucket to the certificate."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from connectors.s3 import S3
from dsr_worker.domain.decision import canonical_json
from tests import services as real
from tests.integration.engine_room import CRM, EngineRoom
from tests.integration.test_units_in_a_bucket import EVENTS, _lines

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def test_a_certificate_carries_proofs_and_the_chain_their_digest(
    tmp_path: Path,
    ledger: Callable[[], str],
    s3: S3Client,
    s3_endpoint: str,
    bucket: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Hard case 31: who has the object checks it by the certificate, and that by the log."""
    name = bucket()
    s3.put_object(Bucket=name, Key="events/0", Body=_lines(0, {1, 2}))
    monkeypatch.setenv("UNITS_S3_KEY", real.S3_KEY)
    monkeypatch.setenv("UNITS_S3_SECRET", real.S3_SECRET)
    files = EVENTS.replace("BUCKET", name).replace("ENDPOINT", s3_endpoint)
    files = files.replace("REGION", real.S3_REGION)
    files = files.replace("unit_objects: 2", "proofs: true")
    room = EngineRoom(
        tmp_path, ledger(), systems={"crm": CRM, "files": files}, connectors={"s3": S3}
    )
    room.load_people(3)
    ref = room.submit("erasure", email="p.zq0001zq@mail.example")
    room.settle()
    room.approve(ref)
    room.settle()
    made = room.hand_over(ref)
    (of_bucket,) = [s for s in made["systems"] if s["system"] == "files"]
    (proof,) = of_bucket["proofs"]
    now = s3.get_object(Bucket=name, Key="events/0")["Body"].read()
    assert now == _lines(0, {2})
    assert proof["after"] == hashlib.sha256(now).hexdigest()
    assert proof["before"] != hashlib.sha256(_lines(0, {1, 2})).hexdigest()
    digest = hashlib.sha256(canonical_json([proof]).encode()).hexdigest()
    effects = room.rows("SELECT body FROM events WHERE kind = 'effect'")
    told = [json.loads(e.body)["body"].get("proofs_sha256") for e in effects]
    assert [found for found in told if found] == [digest]
    assert not [s for s in made["systems"] if s["system"] == "crm" and "proofs" in s]
