"""Hard cases of old versions, delete markers and unfinished uploads in S3."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from dsr_worker.contract import Remainder
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_erasures import erased, event, outcomes
from tests.contract.s3_refusals import begun, left, refused, unfinished
from tests.contract.s3_support import (
    EVENTS,
    FILES,
    connector,
    content,
    lines,
    number,
    versioned,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def test_old_versions_go_with_the_current_one(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Hard case 22: a version that nobody sees is still there, so it is told and erased."""
    versioned(s3, bucket_name)
    for body in (b"one", b"two", b"three"):
        s3.put_object(Bucket=bucket_name, Key="customers/1/a", Body=body)
        s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines([event(1, "1"), event(2, 2)]))
    made = connector(s3_endpoint, bucket_name, FILES, EVENTS)
    receipts = erased(made, [number("1")], TrialContext())
    assert outcomes(receipts) == {"erased": 4}, "three versions, and one row in three versions"
    assert left(made, "1") == []
    assert set(content(s3, bucket_name).values()) == {lines([event(2, 2)])}


def test_the_null_version_of_a_suspended_bucket_goes(
    s3: S3Client, s3_endpoint: str, bucket_name: str, answers: Callable[..., None]
) -> None:
    """Hard case 23: suspended versioning leaves null versions among named ones, and markers."""
    s3.put_object(Bucket=bucket_name, Key="customers/1/before", Body=b"null, from before")
    versioned(s3, bucket_name)
    s3.put_object(Bucket=bucket_name, Key="customers/1/before", Body=b"named")
    s3.put_object(Bucket=bucket_name, Key="customers/1/gone", Body=b"named")
    s3.delete_object(Bucket=bucket_name, Key="customers/1/gone")
    s3.put_bucket_versioning(Bucket=bucket_name, VersioningConfiguration={"Status": "Suspended"})
    s3.put_object(Bucket=bucket_name, Key="customers/1/after", Body=b"null, current")
    s3.put_object(Bucket=bucket_name, Key="customers/10/after", Body=b"another's")

    def as_if_enabled(erase: Callable[[], Any]) -> Any:
        """Moto's server breaks down over the versions of a suspended bucket; S3 does not."""
        versioned(s3, bucket_name)
        return erase()

    answers("DeleteObjects", bucket_name, as_if_enabled)
    made = connector(s3_endpoint, bucket_name, FILES)
    keys = {key.key for key in made.locate([number("1")], TrialContext())}
    assert ("customers/1/before",) in keys, "the null version has no id in its key"
    assert outcomes(erased(made, [number("1")], TrialContext())) == {"erased": 5}
    assert list(content(s3, bucket_name).values()) == [b"another's"]


def test_an_unfinished_upload_is_told_and_aborted(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Hard case 24: parts of an upload hold a person's data and stand in no listing of objects."""
    for key in ("customers/1/film", "customers/10/film"):
        begun(s3, bucket_name, key, b"12345")
    made = connector(s3_endpoint, bucket_name, FILES)
    (record,) = made.find([number("1")], TrialContext())
    assert b'"size": 5' in record.body
    assert [w.ground for w in record.withheld] == ["s3-unfinished-upload"]
    planned = outcomes(erased(made, [number("1")], TrialContext(dry_run=True)))
    assert planned == {"erased": 1}
    assert len(unfinished(s3, bucket_name)) == 2, "a dry run aborts nothing"
    keys = list(made.locate([number("1")], TrialContext()))
    assert outcomes(erased(made, [number("1")], TrialContext())) == planned
    assert unfinished(s3, bucket_name) == ["customers/10/film"]
    assert left(made, "1") == []
    again = list(made.erase([number("1")], keys, TrialContext()))
    assert outcomes(again) == {"already_gone": 1}


def test_an_upload_that_cannot_be_aborted_is_a_remainder(
    s3: S3Client, s3_endpoint: str, bucket_name: str, answers: Callable[..., None]
) -> None:
    """Hard case 24: where the abort is denied, the upload stays and is named; never "done"."""
    begun(s3, bucket_name, "customers/1/film")
    answers("AbortMultipartUpload", bucket_name, "AccessDenied")
    made = connector(s3_endpoint, bucket_name, FILES)
    (told,) = refused(erased(made, [number("1")], TrialContext())).values()
    assert (told.ground, told.rows, told.until_at) == (Remainder.UPLOAD, 1, None)


def test_uploads_of_shared_objects_are_reported_and_aborted_by_age(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Hard case 24: whose data an upload under a shared prefix holds nobody can tell."""
    begun(s3, bucket_name, "events/a")
    s3.put_object(Bucket=bucket_name, Key="events/b", Body=lines([event(1, "1")]))
    made = connector(s3_endpoint, bucket_name, EVENTS)
    (told,) = [f for f in made.check() if f.subject == "uploads"]
    assert "1 unfinished under events/" in told.message
    begun_at = s3.list_multipart_uploads(Bucket=bucket_name)["Uploads"][0]["Initiated"]
    erased(made, [number("1")], TrialContext(now=begun_at + timedelta(days=30)))
    assert unfinished(s3, bucket_name) == ["events/a"], "the map says nothing of aborting"
    made = connector(s3_endpoint, bucket_name, EVENTS, abort_uploads_after_days=7)
    for days, stay in ((6, ["events/a"]), (8, [])):
        ctx = TrialContext(now=begun_at + timedelta(days=days))
        list(made.erase([number("1")], [], ctx))
        assert unfinished(s3, bucket_name) == stay
