"""A large object goes up in parts: what stays is copied by the server, the rest is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectors.s3.server.draft import MIB
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_erasures import erased, event, outcomes
from tests.contract.s3_support import EVENTS, connector, current, lines, number, versioned
from tests.s3_shim import Shim

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def large(rows: int, mine: set[int]) -> list[dict[str, object]]:
    """About so many kilobytes of events."""
    return [event(n, "1" if n in mine else "2", pad="x" * 1000) for n in range(rows)]


def test_what_stays_is_copied_and_little_is_sent(
    s3: S3Client, shim: Shim, bucket_name: str
) -> None:
    """One record out of a large object sends less than 10 MiB, and every other byte is the same."""
    rows = large(40_000, {20_000})
    body = lines(rows)
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=body)
    made = connector(shim.endpoint, bucket_name, EVENTS)
    assert outcomes(erased(made, [number("1")], TrialContext())) == {"erased": 1}
    assert current(s3, bucket_name, "events/a") == lines([r for r in rows if r["customer"] == "2"])
    assert shim.sent_bytes() <= 10 * MIB
    assert len(shim.of("UploadPartCopy")) >= 2
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket_name)


def test_many_changes_go_up_mixed(s3: S3Client, shim: Shim, bucket_name: str) -> None:
    """Copied, borrowed and sent parts together are the object, old versions gone."""
    versioned(s3, bucket_name)
    rows = large(45_000, {0, 1, 9_000, 9_500, 9_501, 30_000, 44_000, 44_999})
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines(rows), Metadata={"by": "one"})
    made = connector(shim.endpoint, bucket_name, EVENTS)
    ctx = TrialContext()
    assert outcomes(erased(made, [number("1")], ctx)) == {"erased": 8}
    assert current(s3, bucket_name, "events/a") == lines([r for r in rows if r["customer"] == "2"])
    assert len(s3.list_object_versions(Bucket=bucket_name)["Versions"]) == 1
    assert s3.head_object(Bucket=bucket_name, Key="events/a")["Metadata"] == {"by": "one"}
    assert shim.of("UploadPart")
    assert list(ctx.state.values) == [f"s3-honoured {shim.endpoint} {bucket_name}"]
