"""A lock that the grants do not let us see is not taken for none."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from dsr_worker.contract import DecisionTable, NeedsHuman, Remainder, Severity, SweepOrder
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_erasures import ERASE, erased, event, outcomes
from tests.contract.s3_refusals import refused
from tests.contract.s3_support import EVENTS, connector, content, lines, number, versioned

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Answers = Callable[..., None]
UNTIL = TrialContext().now + timedelta(days=30)
BODY = lines([event(1, "1"), event(2, "2")])
UNSEEN: dict[str, Any] = {
    "ObjectLockMode": None,
    "ObjectLockRetainUntilDate": None,
    "ObjectLockLegalHoldStatus": None,
}


def locking(client: S3Client, bucket: str, **lock: Any) -> None:
    """A bucket under Object Lock with an object of two people."""
    versioned(client, bucket)
    client.put_object_lock_configuration(
        Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"}
    )
    client.put_object(Bucket=bucket, Key="events/a", Body=BODY, **lock)


def without_locks(head: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What HEAD says to whom has no grant to see locks."""
    return {name: value for name, value in head().items() if name not in UNSEEN}


@pytest.mark.parametrize("denied", ["GetObjectRetention", "GetObjectLegalHold"])
def test_an_object_whose_lock_nobody_shows_us_is_not_rewritten(
    s3: S3Client, s3_endpoint: str, bucket_name: str, answers: Answers, denied: str
) -> None:
    """Hard case 26: its new bytes would be without the lock; it stays, and `check` names the grant.

    A sweep stops by the same name.
    """
    lock = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": UNTIL}
    hold = {"ObjectLockLegalHoldStatus": "ON"}
    locking(s3, bucket_name, **(lock if denied == "GetObjectRetention" else hold))
    answers("HeadObject", bucket_name, without_locks)
    answers(denied, bucket_name, "AccessDenied")
    made = connector(s3_endpoint, bucket_name, EVENTS)
    (error,) = [f for f in made.check() if f.severity is Severity.ERROR]
    assert denied in error.message
    receipts = erased(made, [number("1")], TrialContext())
    assert outcomes(receipts) == {"retained": 1}
    assert set(refused(receipts)) == {Remainder.DENIED}
    assert list(content(s3, bucket_name).values()) == [BODY]
    order = SweepOrder("events", DecisionTable("events", (ERASE,)), 10)
    with pytest.raises(NeedsHuman) as stop:
        list(made.sweep([order], TrialContext()))
    assert stop.value.fields == {"operation": denied}


def test_a_lock_that_headers_leave_out_is_kept(
    s3: S3Client, s3_endpoint: str, bucket_name: str, answers: Answers
) -> None:
    """What we may see in another way binds the new version as it does the old one."""
    locking(
        s3,
        bucket_name,
        ObjectLockMode="COMPLIANCE",
        ObjectLockRetainUntilDate=UNTIL,
        ObjectLockLegalHoldStatus="ON",
    )
    answers("HeadObject", bucket_name, without_locks)
    made = connector(s3_endpoint, bucket_name, EVENTS)
    erased(made, [number("1")], TrialContext())
    answers("HeadObject", bucket_name, None)
    head = s3.head_object(Bucket=bucket_name, Key="events/a")
    assert (head["ObjectLockMode"], head["ObjectLockRetainUntilDate"]) == ("COMPLIANCE", UNTIL)
    assert head["ObjectLockLegalHoldStatus"] == "ON"


def test_an_object_without_a_lock_is_rewritten_under_object_lock(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """That there is none is an answer as well."""
    locking(s3, bucket_name)
    made = connector(s3_endpoint, bucket_name, EVENTS)
    assert not [f for f in made.check() if f.severity is Severity.ERROR]
    assert outcomes(erased(made, [number("1")], TrialContext())) == {"erased": 1}
    assert list(content(s3, bucket_name).values()) == [lines([event(2, "2")])]
