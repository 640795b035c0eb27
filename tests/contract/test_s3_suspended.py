"""Rewriting while versioning is suspended: new bytes take the null version's place."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from botocore.response import StreamingBody

from dsr_worker.contract import Remainder
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_erasures import erased, event, outcomes
from tests.contract.s3_refusals import refused
from tests.contract.s3_support import EVENTS, connector, lines, number, versioned

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BEFORE = lines([event(5, "5"), event(6, "6")])


def suspended(client: S3Client, bucket: str, answers: Callable[..., None], before: bytes) -> None:
    """A null version, then a named one that is current; versioning was switched off again."""
    client.put_object(Bucket=bucket, Key="events/a", Body=before)
    versioned(client, bucket)
    now = lines([event(1, "1"), event(2, "2")])
    client.put_object(Bucket=bucket, Key="events/a", Body=now)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})

    def told(get: partial[Any]) -> Any:
        """Moto hands out the current version for the null one; S3 does not."""
        answer = get()
        if get.args[-1].get("VersionId") == "null":
            answer["Body"] = StreamingBody(io.BytesIO(before), len(before))
        return answer

    answers("GetObject", f"{bucket}/events/a", told)


@pytest.mark.parametrize("dry", [True, False])
def test_what_is_written_never_takes_the_place_of_a_null_version_that_stays(
    s3: S3Client,
    s3_endpoint: str,
    bucket_name: str,
    answers: Callable[..., None],
    *,
    dry: bool,
) -> None:
    """The records of others in the null version stay: nothing is written, and the rest is told."""
    suspended(s3, bucket_name, answers, BEFORE)
    made = connector(s3_endpoint, bucket_name, EVENTS)
    (told,) = refused(erased(made, [number("1")], TrialContext(dry_run=dry))).values()
    assert (told.ground, told.rows) == (Remainder.BESIDE, 1)
    listed = s3.list_object_versions(Bucket=bucket_name)["Versions"]
    assert [v["Size"] for v in listed if v["VersionId"] == "null"] == [len(BEFORE)]
    assert len(listed) == 2


def test_a_null_version_that_cannot_be_read_is_not_overwritten(
    s3: S3Client, s3_endpoint: str, bucket_name: str, answers: Callable[..., None]
) -> None:
    """Nobody knows what is in an archived null version: it stays, and so does what is newer."""
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=BEFORE, StorageClass="GLACIER")
    versioned(s3, bucket_name)
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines([event(1, "1")]))
    s3.put_bucket_versioning(Bucket=bucket_name, VersioningConfiguration={"Status": "Suspended"})
    answers("HeadObject", f"{bucket_name}/events/a", lambda _: {"StorageClass": "GLACIER"})
    made = connector(s3_endpoint, bucket_name, EVENTS)
    receipts = erased(made, [number("1")], TrialContext())
    assert outcomes(receipts) == {"retained": 2}
    assert len(s3.list_object_versions(Bucket=bucket_name)["Versions"]) == 2
