"""Hard cases of what S3 lets nobody erase for now: locks, archives, denied keys and grants."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from dsr_worker.contract import Remainder
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_erasures import erased, event, outcomes
from tests.contract.s3_refusals import NOW, left, refused
from tests.contract.s3_support import (
    EVENTS,
    FILES,
    connector,
    content,
    current,
    lines,
    number,
    versioned,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LATER = NOW + timedelta(days=30)


def locked(client: S3Client, bucket: str) -> None:
    """Switch versioning and Object Lock on."""
    versioned(client, bucket)
    client.put_object_lock_configuration(
        Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"}
    )


def test_a_compliance_lock_is_a_remainder_with_its_date(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Hard case 26: what is locked stays until its date, which the receipt carries."""
    locked(s3, bucket_name)
    for key, until_at in (("customers/1/a", LATER), ("customers/1/b", LATER + timedelta(days=9))):
        s3.put_object(
            Bucket=bucket_name,
            Key=key,
            Body=b"x",
            ObjectLockMode="COMPLIANCE",
            ObjectLockRetainUntilDate=until_at,
        )
    made = connector(s3_endpoint, bucket_name, FILES)
    told = refused(erased(made, [number("1")], TrialContext()))[Remainder.LOCKED]
    assert (told.rows, told.first_until_at, told.until_at) == (2, LATER, LATER + timedelta(days=9))
    assert len(content(s3, bucket_name)) == 2


def test_a_legal_hold_in_the_store_has_no_date(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Hard case 26: a legal hold ends when somebody ends it: no date is made up, whatever lock."""
    locked(s3, bucket_name)
    s3.put_object(
        Bucket=bucket_name,
        Key="customers/1/a",
        Body=b"x",
        ObjectLockLegalHoldStatus="ON",
        ObjectLockMode="COMPLIANCE",
        ObjectLockRetainUntilDate=LATER,
    )
    made = connector(s3_endpoint, bucket_name, FILES)
    (told,) = refused(erased(made, [number("1")], TrialContext())).values()
    assert (told.ground, told.until_at) == (Remainder.HELD, None)


@pytest.mark.parametrize("bypass", [False, True])
def test_governance_is_bypassed_only_where_the_map_says_so(
    s3: S3Client, s3_endpoint: str, bucket_name: str, *, bypass: bool
) -> None:
    """Hard case 26: a lock in governance mode holds, unless the map lets us bypass it."""
    locked(s3, bucket_name)
    s3.put_object(
        Bucket=bucket_name,
        Key="customers/1/a",
        Body=b"x",
        ObjectLockMode="GOVERNANCE",
        ObjectLockRetainUntilDate=LATER,
    )
    made = connector(s3_endpoint, bucket_name, FILES, bypass_governance=bypass)
    receipts = erased(made, [number("1")], TrialContext())
    assert outcomes(receipts) == ({"erased": 1} if bypass else {"retained": 1})
    assert len(content(s3, bucket_name)) == (0 if bypass else 1)


def test_a_record_in_a_locked_object_is_a_remainder_with_its_date(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Hard case 26: rows of a locked shared object stay until the lock's end."""
    locked(s3, bucket_name)
    s3.put_object(
        Bucket=bucket_name,
        Key="events/a",
        Body=lines([event(1, "1"), event(2, "2")]),
        ObjectLockMode="COMPLIANCE",
        ObjectLockRetainUntilDate=LATER,
    )
    made = connector(s3_endpoint, bucket_name, EVENTS)
    receipts = erased(made, [number("1")], TrialContext())
    told = refused(receipts)[Remainder.LOCKED]
    assert (told.rows, told.first_until_at, told.until_at) == (1, LATER, LATER)
    assert receipts[0].kept == {TrialContext().digest("events", ("events/a", "e1"))}


@pytest.mark.parametrize("storage_class", ["GLACIER", "DEEP_ARCHIVE"])
def test_an_archived_object_of_one_person_goes_without_a_restore(
    s3: S3Client, s3_endpoint: str, bucket_name: str, storage_class: Any
) -> None:
    """Hard case 27: to erase a whole version needs none of its bytes."""
    s3.put_object(Bucket=bucket_name, Key="customers/1/a", Body=b"x", StorageClass=storage_class)
    made = connector(s3_endpoint, bucket_name, FILES)
    assert outcomes(erased(made, [number("1")], TrialContext())) == {"erased": 1}
    assert content(s3, bucket_name) == {}


def test_an_archived_shared_object_is_a_remainder_of_whoever_may_be_in_it(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Hard case 27: nobody can say whether it holds the person: named, looked at, never clean."""
    body = lines([event(1, "1"), event(2, "2")])
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=body)
    s3.put_object(Bucket=bucket_name, Key="events/old", Body=body, StorageClass="GLACIER")
    made = connector(s3_endpoint, bucket_name, EVENTS)
    receipts = erased(made, [number("1")], TrialContext())
    assert outcomes(receipts) == {"erased": 1, "retained": 1}
    told = refused(receipts)[Remainder.ARCHIVED]
    assert (told.rows, told.until_at) == (1, None)
    (key,) = left(made, "1")
    assert receipts[0].kept == {TrialContext().digest("events", key.key)}
    assert current(s3, bucket_name, "events/a") == lines([event(2, "2")])


def test_what_the_map_lets_us_restore_is_restored_read_and_erased(
    s3: S3Client, s3_endpoint: str, bucket_name: str, answers: Callable[..., None]
) -> None:
    """Hard case 27: asked for once, a remainder until it is there, then rewritten."""
    body = lines([event(1, "1"), event(2, "2")])
    s3.put_object(Bucket=bucket_name, Key="events/old", Body=body, StorageClass="GLACIER")
    made = connector(s3_endpoint, bucket_name, EVENTS, restore={"days": 3, "tier": "Standard"})
    keys = list(made.locate([number("1")], TrialContext()))
    list(made.erase([number("1")], keys, TrialContext(dry_run=True)))
    assert "Restore" not in s3.head_object(Bucket=bucket_name, Key="events/old")
    answers("HeadObject", f"{bucket_name}/events/old", {"Restore": 'ongoing-request="true"'})
    for _ in range(2):
        told = refused(list(made.erase([number("1")], keys, TrialContext())))[Remainder.ARCHIVED]
        assert told.until_at == NOW + timedelta(hours=5)
    answers("HeadObject", f"{bucket_name}/events/old", None)
    assert "Restore" in s3.head_object(Bucket=bucket_name, Key="events/old")
    (owed,) = refused(list(made.erase([number("1")], keys, TrialContext()))).values()
    assert owed.until_at == NOW, "it is back: somebody has to look in it now"
    assert outcomes(erased(made, [number("1")], TrialContext())) == {"erased": 1}
    assert left(made, "1") == []


def test_an_archive_tier_that_no_listing_shows_is_a_remainder(
    s3: S3Client, s3_endpoint: str, bucket_name: str, answers: Callable[..., None]
) -> None:
    """Hard case 27: Intelligent-Tiering's archive shows when the object is read."""
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines([event(1, "1")]))
    s3.put_object(Bucket=bucket_name, Key="events/b", Body=lines([event(3, "1")]))
    answers("GetObject", f"{bucket_name}/events/a", "InvalidObjectState")
    made = connector(s3_endpoint, bucket_name, EVENTS)
    receipts = erased(made, [number("1")], TrialContext())
    assert outcomes(receipts) == {"erased": 1, "retained": 1}
    assert list(refused(receipts)) == [Remainder.ARCHIVED]


def test_an_archived_object_of_one_person_is_named_and_withheld(
    s3: S3Client, s3_endpoint: str, bucket_name: str, answers: Callable[..., None]
) -> None:
    """Hard case 27: an access names it whichever archive it is in; once it is back, it is shown."""
    s3.put_object(Bucket=bucket_name, Key="customers/1/a", Body=b"x")
    answers("HeadObject", bucket_name, {"ArchiveStatus": "DEEP_ARCHIVE_ACCESS"})
    made = connector(s3_endpoint, bucket_name, FILES)
    (record,) = made.find([number("1")], TrialContext())
    assert (record.attachment, [w.ground for w in record.withheld]) == (
        None,
        [Remainder.ARCHIVED],
    )
    answers("HeadObject", bucket_name, None)
    s3.put_object(Bucket=bucket_name, Key="customers/1/a", Body=b"x", StorageClass="GLACIER")
    s3.restore_object(Bucket=bucket_name, Key="customers/1/a", RestoreRequest={"Days": 1})
    (record,) = made.find([number("1")], TrialContext())
    assert record.attachment is not None
    assert b"".join(record.attachment.open()) == b"x"


@pytest.mark.parametrize("code", ["AccessDenied", "KMS.DisabledException"])
def test_an_object_under_a_denied_key_is_a_remainder(
    s3: S3Client,
    s3_endpoint: str,
    bucket_name: str,
    answers: Callable[..., None],
    code: str,
) -> None:
    """Hard cases 27, 29: a key that is denied hides what an object says, and says nothing clean."""
    versioned(s3, bucket_name)
    for n in range(8):
        s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines([event(n, "1")]))
    s3.put_object(Bucket=bucket_name, Key="events/b", Body=lines([event(9, "1")]))
    answers("GetObject", f"{bucket_name}/events/a", code)
    made = connector(s3_endpoint, bucket_name, EVENTS)
    receipts = erased(made, [number("1")], TrialContext())
    assert outcomes(receipts) == {"erased": 1, "retained": 8}
    assert list(refused(receipts)) == [Remainder.DENIED]
    assert {TrialContext().digest("events", k.key) for k in left(made, "1")} == receipts[0].kept


def test_a_key_that_is_denied_after_locating_makes_no_row_gone(
    s3: S3Client, s3_endpoint: str, bucket_name: str, answers: Callable[..., None]
) -> None:
    """Hard case 29: a row in an object that can no longer be read is not taken for gone."""
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines([event(1, "1")]))
    made = connector(s3_endpoint, bucket_name, EVENTS)
    keys = list(made.locate([number("1")], TrialContext()))
    answers("GetObject", f"{bucket_name}/events/a", "AccessDenied")
    receipts = list(made.erase([number("1")], keys, TrialContext()))
    assert outcomes(receipts) == {"retained": 1}
    assert list(refused(receipts)) == [Remainder.DENIED]


@pytest.mark.parametrize("operation", ["PutObject", "DeleteObjects"])
def test_a_denied_write_is_a_remainder(
    s3: S3Client,
    s3_endpoint: str,
    bucket_name: str,
    answers: Callable[..., None],
    operation: str,
) -> None:
    """Hard case 29: where the grants deny the change, nothing changed, and the row is named."""
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines([event(1, "1")]))
    s3.put_object(Bucket=bucket_name, Key="customers/1/a", Body=b"x")
    made = connector(s3_endpoint, bucket_name, EVENTS, FILES)
    list(made.check())
    answers(operation, f"{bucket_name}/events" if operation == "PutObject" else bucket_name, "403")
    receipts = erased(made, [number("1")], TrialContext())
    assert outcomes(receipts)["retained"] == 1
    assert list(refused(receipts)) == [Remainder.DENIED]
