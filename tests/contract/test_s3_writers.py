"""Somebody else writes at any request, or the endpoint is busy: nobody's bytes are lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from dsr_worker.testing.context import TrialContext
from tests.contract.s3_erasures import erased, event, outcomes
from tests.contract.s3_rewrites import (
    PARTS,
    WHOLE,
    others,
    parts_left,
    probed,
    rows_of,
    small_parts,
)
from tests.contract.s3_support import (
    EVENTS,
    connector,
    content,
    current,
    lines,
    number,
    versioned,
)
from tests.s3_shim import Answer, Seen, Shim, error

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    """Parts are small here."""
    with small_parts() as endpoint:
        yield endpoint


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.nightly)])
@pytest.mark.parametrize(
    ("going_up", "states"), [(WHOLE, "Never"), (WHOLE, "Enabled"), (PARTS, "Never")]
)
def test_a_writer_at_any_request_is_not_overwritten(
    s3: S3Client, shim: Shim, bucket: Callable[[], str], going_up: str, states: str, *, every: bool
) -> None:
    """Hard case 33: somebody appends just before each request in turn; their line is there.

    In every run before the last request of each kind, at night before each single one.
    """
    rows = rows_of(going_up)
    requests, _ = _appended(s3, shim, bucket(), rows, states, before=None)
    assert set(requests) >= {"GetObject", "PutObject" if going_up == WHOLE else "UploadPartCopy"}
    last = {request: at for at, request in enumerate(requests)}
    moments = range(len(requests)) if every else sorted(last.values())
    repeated = [_appended(s3, shim, bucket(), rows, states, before=at)[1] for at in moments]
    assert any(repeated)


def _appended(
    s3: S3Client,
    shim: Shim,
    name: str,
    rows: list[dict[str, Any]],
    states: str,
    before: int | None,
) -> tuple[list[str], bool]:
    """Erase while somebody appends before a request; all requests, and whether some came twice."""
    late = lines([event(999, "2")])
    if states == "Enabled":
        versioned(s3, name)
    s3.put_object(Bucket=name, Key="events/a", Body=lines(rows))
    made, ctx = connector(shim.endpoint, name, EVENTS), probed(shim.endpoint, name)
    keys = list(made.locate([number("1")], ctx))
    shim.seen.clear()

    def append(_seen: Seen) -> None:
        if before is not None and len(shim.seen) == before + 1:
            body = current(s3, name, "events/a") + late
            s3.put_object(Bucket=name, Key="events/a", Body=body)

    shim.before = append
    list(made.erase([number("1")], keys, ctx))
    shim.before = lambda _seen: None
    made.close()
    assert len(shim.seen) > (before or 0), "nobody came to append"
    expected = others(rows) if before is None else others(rows) + late
    assert current(s3, name, "events/a") == expected
    assert not list(parts_left(s3, name))
    assert not any(b'"customer": "1"' in body for body in content(s3, name).values())
    return shim.operations(), len(ctx.intents) > 1 or len(shim.of("CreateMultipartUpload")) > 1


@pytest.mark.parametrize("going_up", [WHOLE, PARTS])
@pytest.mark.parametrize("code", ["ConditionalRequestConflict", "SlowDown"])
def test_a_busy_endpoint_is_asked_again(
    s3: S3Client, shim: Shim, bucket_name: str, going_up: str, code: str
) -> None:
    """Hard case 35: 409 and 503 are repeated after a pause; a conflict voids the whole upload."""
    rows = rows_of(going_up)
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines(rows))
    commits = ("PutObject", "CompleteMultipartUpload")
    writes = (*commits, "UploadPart", "UploadPartCopy")
    played: set[str] = set()

    def busy(seen: Seen) -> Answer | None:
        meant = commits if code == "ConditionalRequestConflict" else writes
        if seen.operation not in meant or ".dsr-probe" in seen.path or seen.operation in played:
            return None
        if code == "SlowDown" and seen.operation == "CompleteMultipartUpload":
            return None
        played.add(seen.operation)
        return error(409 if code == "ConditionalRequestConflict" else 503, code)

    shim.before = busy
    made = connector(shim.endpoint, bucket_name, EVENTS)
    assert outcomes(erased(made, [number("1")], TrialContext())) == {"erased": 2}
    assert played
    assert current(s3, bucket_name, "events/a") == others(rows)
    begun = [seen for seen in shim.of("CreateMultipartUpload") if "events" in seen.path]
    assert len(begun) == (
        0 if going_up == WHOLE else 2 if code == "ConditionalRequestConflict" else 1
    )
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket_name)
