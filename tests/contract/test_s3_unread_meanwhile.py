"""A version that can be read when rows are located, and not when they are erased."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from connectors.s3.server.probe import Honoured
from dsr_worker.contract import Remainder
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_erasures import event, outcomes, sound
from tests.contract.s3_refusals import refused
from tests.contract.s3_support import EVENTS, connector, current, lines, number, versioned

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def test_a_row_is_not_told_erased_while_a_version_that_may_hold_it_cannot_be_read(
    s3: S3Client, s3_endpoint: str, bucket_name: str, answers: Callable[..., None]
) -> None:
    """What is erased from an old version is still in the current one, which is denied by now."""
    versioned(s3, bucket_name)
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines([event(1, "1"), event(2, "2")]))
    put = s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines([event(1, "1")]))
    made = connector(s3_endpoint, bucket_name, EVENTS)
    ctx = trusted(s3_endpoint, bucket_name)
    keys = list(made.locate([number("1")], ctx))
    assert len(keys) == 1

    def denied(get: partial[Any]) -> Any:
        if get.args[-1].get("VersionId") == put["VersionId"]:
            raise ClientError({"Error": {"Code": "AccessDenied"}}, "GetObject")
        return get()

    answers("GetObject", f"{bucket_name}/events/a", denied)
    (told,) = refused(list(made.erase([number("1")], keys, ctx))).values()
    assert (told.ground, told.rows) == (Remainder.DENIED, 1)
    answers("GetObject", f"{bucket_name}/events/a", None)
    assert outcomes(list(made.erase([number("1")], keys, ctx))) == {"erased": 1}
    assert current(s3, bucket_name, "events/a") == b""


def trusted(endpoint: str, bucket: str) -> TrialContext:
    """A context in which nobody probes the endpoint."""
    return sound(TrialContext(), endpoint, bucket, Honoured(put=True, delete=True))
