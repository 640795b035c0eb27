"""Hard cases of where bytes stay in S3: old versions, markers, uploads, locks, archives, copies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from connectors.s3 import S3
from dsr_worker.contract import Key, OutcomeCount, Receipt, Remainder
from dsr_worker.testing.context import TrialContext
from tests import services as real
from tests.contract.s3_erasures import Crash, crash, erased, event, outcomes
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

Answer = str | Mapping[str, Any] | Callable[[Callable[[], Any]], Any]
NOW = TrialContext().now
LATER = NOW + timedelta(days=30)


def refused(receipts: list[Receipt]) -> dict[str, OutcomeCount]:
    """What the store refuses for now, by ground."""
    return {o.ground: o for r in receipts for o in r.outcomes if o.ground.startswith("store-")}


def left(made: S3, *people: str) -> list[Key]:
    """What the second look returns beyond nothing."""
    return list(made.recheck([number(p) for p in people], [], TrialContext(second_path=True)))


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Call it to have requests for a key refused with a code, or answered in another way."""
    plain = BaseClient._make_api_call  # type: ignore[attr-defined]
    orders: list[tuple[str, str, Answer]] = []

    def call(self: Any, operation: str, params: dict[str, Any]) -> Any:
        place = f"{params.get('Bucket')}/{params.get('Key', '')}"
        for wanted, of, answer in orders:
            if wanted != operation or not place.startswith(of):
                continue
            if isinstance(answer, str):
                raise ClientError({"Error": {"Code": answer}}, operation)
            if callable(answer):
                return answer(partial(plain, self, operation, params))
            return {**plain(self, operation, params), **answer}
        return plain(self, operation, params)

    monkeypatch.setattr(BaseClient, "_make_api_call", call)

    def order(operation: str, of: str, answer: Answer | None) -> None:
        orders[:] = [o for o in orders if o[:2] != (operation, of)]
        if answer is not None:
            orders.append((operation, of, answer))

    return order


def locked(client: S3Client, bucket: str) -> None:
    """Switch versioning and Object Lock on."""
    versioned(client, bucket)
    client.put_object_lock_configuration(
        Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"}
    )


# ---- versions and markers


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


# ---- incomplete uploads


def begun(client: S3Client, bucket: str, key: str, body: bytes = b"part") -> str:
    """An upload with one part that nobody finishes; its id."""
    upload = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    client.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=body)
    return upload


def unfinished(client: S3Client, bucket: str) -> list[str]:
    """The keys of unfinished uploads."""
    return [u["Key"] for u in client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])]


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


# ---- Object Lock


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


# ---- archives and keys


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


# ---- copies


@pytest.fixture
def copy(bucket: Callable[[], str]) -> str:
    """A second bucket."""
    return bucket()


def replicated(endpoint: str, bucket: str, copy: str, *collections: Any) -> S3:
    """The connector on a bucket with one copy."""
    reach = {
        "bucket": copy,
        "endpoint_url": endpoint,
        "region": real.S3_REGION,
        "access_key_id": real.S3_KEY,
        "secret_access_key": real.S3_SECRET,
    }
    return connector(endpoint, bucket, *collections, replicas=[reach])


def test_every_copy_is_visited(s3: S3Client, s3_endpoint: str, bucket_name: str, copy: str) -> None:
    """Hard case 28: a version that is erased here stays in the copy, until that is erased there."""
    body = lines([event(1, "1"), event(2, "2")])
    for name in (bucket_name, copy):
        versioned(s3, name)
        s3.put_object(Bucket=name, Key="customers/1/a", Body=b"mine")
        s3.put_object(Bucket=name, Key="customers/2/a", Body=b"another's")
        s3.put_object(Bucket=name, Key="events/a", Body=body)
    s3.put_object(Bucket=copy, Key="customers/1/only-here", Body=b"mine")
    begun(s3, copy, "customers/1/film")
    made = replicated(s3_endpoint, bucket_name, copy, FILES, EVENTS)
    subjects = [number("1")]
    receipts = erased(made, subjects, TrialContext())
    assert outcomes(receipts) == {"erased": 6}
    assert len(receipts) == 2, "one receipt per subject and collection, copies included"
    for name in (bucket_name, copy):
        assert sorted(set(content(s3, name).values())) == [b"another's", lines([event(2, "2")])]
    assert unfinished(s3, copy) == []
    assert left(made, "1") == []


def test_a_death_between_the_bucket_and_its_copy_loses_nothing(
    s3: S3Client, s3_endpoint: str, bucket_name: str, copy: str
) -> None:
    """Hard case 28: a repeat from the same keys finishes the copy and counts each row once."""
    for name in (bucket_name, copy):
        s3.put_object(Bucket=name, Key="customers/1/a", Body=b"mine")
    made = replicated(s3_endpoint, bucket_name, copy, FILES)
    keys = list(made.locate([number("1")], TrialContext()))
    dying = TrialContext()
    dying.on_intent = lambda: crash() if len(dying.intents) > 1 else None
    with pytest.raises(Crash):
        list(made.erase([number("1")], keys, dying))
    assert [len(content(s3, name)) for name in (bucket_name, copy)] == [0, 1]
    again = list(made.erase([number("1")], keys, TrialContext()))
    assert outcomes(again) == {"already_gone": 1, "erased": 1}
    assert content(s3, copy) == {}


def test_an_access_tells_what_only_a_copy_has_left(
    s3: S3Client, s3_endpoint: str, bucket_name: str, copy: str
) -> None:
    """Hard case 28: what both have is told once; what the copy alone has is told as well."""
    body = lines([event(1, "1")])
    for name in (bucket_name, copy):
        s3.put_object(Bucket=name, Key="customers/1/a", Body=b"mine")
        s3.put_object(Bucket=name, Key="events/a", Body=body)
    s3.put_object(Bucket=copy, Key="customers/1/b", Body=b"only there")
    made = replicated(s3_endpoint, bucket_name, copy, FILES, EVENTS)
    found = [record.key for record in made.find([number("1")], TrialContext())]
    assert sorted(found) == [
        ("customers/1/a",),
        ("customers/1/b", "replica", copy),
        ("events/a", "e1"),
    ]


def test_a_copy_that_we_may_not_list_is_a_remainder(
    s3: S3Client, s3_endpoint: str, bucket_name: str, copy: str, answers: Callable[..., None]
) -> None:
    """Hard case 28: a copy out of reach may hold everything: it is named, not passed over."""
    s3.put_object(Bucket=bucket_name, Key="customers/1/a", Body=b"mine")
    s3.put_object(Bucket=copy, Key="customers/1/a", Body=b"mine")
    answers("ListObjectVersions", copy, "AccessDenied")
    made = replicated(s3_endpoint, bucket_name, copy, FILES)
    receipts = erased(made, [number("1")], TrialContext())
    assert outcomes(receipts) == {"erased": 1, "retained": 1}
    assert list(refused(receipts)) == [Remainder.REPLICA]
    (key,) = left(made, "1")
    assert receipts[0].kept == {TrialContext().digest("files", key.key)}
    answers("ListObjectVersions", copy, None)
    assert outcomes(erased(made, [number("1")], TrialContext())) == {"erased": 1}


def test_a_version_whose_copy_is_under_way_waits_for_it(
    s3: S3Client, s3_endpoint: str, bucket_name: str, copy: str, answers: Callable[..., None]
) -> None:
    """Hard case 28: what is erased before its copy arrives would come to light there afterwards."""
    versioned(s3, bucket_name)
    s3.put_object(Bucket=bucket_name, Key="customers/1/a", Body=b"mine")
    answers("HeadObject", bucket_name, {"ReplicationStatus": "PENDING"})
    made = replicated(s3_endpoint, bucket_name, copy, FILES)
    (told,) = refused(erased(made, [number("1")], TrialContext())).values()
    assert (told.ground, told.until_at) == (Remainder.REPLICA, NOW + timedelta(days=1))
    for status in ("COMPLETED", "FAILED"):
        answers("HeadObject", bucket_name, {"ReplicationStatus": status})
        planned = erased(made, [number("1")], TrialContext(dry_run=True))
        assert outcomes(planned) == {"erased": 1}


def test_a_shared_object_whose_copy_is_under_way_waits_too(
    s3: S3Client, s3_endpoint: str, bucket_name: str, copy: str, answers: Callable[..., None]
) -> None:
    """Hard case 28: nor is a record taken out of an object that is just being copied."""
    versioned(s3, bucket_name)
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines([event(1, "1")]))
    answers("HeadObject", bucket_name, {"ReplicationStatus": "PENDING"})
    made = replicated(s3_endpoint, bucket_name, copy, EVENTS)
    (told,) = refused(erased(made, [number("1")], TrialContext())).values()
    assert (told.ground, told.until_at) == (Remainder.REPLICA, NOW + timedelta(days=1))


def test_a_record_is_not_taken_for_one_of_a_copy(
    s3: S3Client, s3_endpoint: str, bucket_name: str, copy: str
) -> None:
    """Hard case 28: key fields that read like a copy's mark name a record of the first bucket."""
    two_fields = replace(EVENTS, key=("event_id", "note"))
    mine = {**event(1, "1", note=copy), "event_id": "replica"}
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines([mine, event(2, "2")]))
    made = replicated(s3_endpoint, bucket_name, copy, two_fields)
    assert [k.key for k in made.locate([number("1")], TrialContext())] == [
        ("events/a", "replica", copy)
    ]
    assert outcomes(erased(made, [number("1")], TrialContext())) == {"erased": 1}
    assert current(s3, bucket_name, "events/a") == lines([event(2, "2")])


def test_copies_that_the_map_does_not_name_are_an_error(
    s3: S3Client, s3_endpoint: str, bucket_name: str, copy: str
) -> None:
    """Hard case 28: `dsr check` reads the bucket's replication and names what is not in the map."""
    for name in (bucket_name, copy):
        versioned(s3, name)
    rule: Any = {
        "ID": "all",
        "Priority": 1,
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "DeleteMarkerReplication": {"Status": "Disabled"},
        "Destination": {"Bucket": f"arn:aws:s3:::{copy}"},
    }
    s3.put_bucket_replication(
        Bucket=bucket_name,
        ReplicationConfiguration={"Role": "arn:aws:iam::123456789012:role/r", "Rules": [rule]},
    )
    alone = [f for f in connector(s3_endpoint, bucket_name, FILES).check() if copy in f.message]
    assert [(f.severity, f.subject) for f in alone] == [("error", "replication")]
    made = replicated(s3_endpoint, bucket_name, copy, FILES)
    assert not [f for f in made.check() if f.subject == "replication"]


# ---- where ids go by themselves


def test_check_names_where_logs_inventories_and_query_results_go(
    s3: S3Client, s3_endpoint: str, bucket_name: str, copy: str
) -> None:
    """Hard case 36: access logs, inventories and query results hold ids, and no erasure of ours."""
    delivering: Any = "log-delivery-write"
    s3.put_bucket_acl(Bucket=copy, ACL=delivering)
    s3.put_bucket_logging(
        Bucket=bucket_name,
        BucketLoggingStatus={"LoggingEnabled": {"TargetBucket": copy, "TargetPrefix": "logs/"}},
    )
    s3.put_bucket_inventory_configuration(
        Bucket=bucket_name,
        Id="daily",
        InventoryConfiguration={
            "Id": "daily",
            "IsEnabled": True,
            "IncludedObjectVersions": "All",
            "Schedule": {"Frequency": "Daily"},
            "Destination": {
                "S3BucketDestination": {
                    "Bucket": f"arn:aws:s3:::{copy}",
                    "Format": "CSV",
                    "Prefix": "lists/",
                }
            },
        },
    )
    s3.put_object(Bucket=bucket_name, Key="athena-results/q.csv", Body=b"1")
    found = {f.subject: f.message for f in connector(s3_endpoint, bucket_name, FILES).check()}
    assert f"{copy}/logs/" in found["access logs"]
    assert f"{copy}/lists/" in found["inventory"]
    assert f"{bucket_name}/athena-results/" in found["query results"]


def test_check_says_where_it_may_not_look(
    s3: S3Client, s3_endpoint: str, bucket_name: str, answers: Callable[..., None]
) -> None:
    """Hard case 36: a set-up that the grants hide is told as such, not taken for none."""
    s3.put_object(Bucket=bucket_name, Key="a", Body=b"")
    answers("GetBucketLogging", bucket_name, "AccessDenied")
    found = {f.subject: f for f in connector(s3_endpoint, bucket_name, FILES).check()}
    assert found["access logs"].severity == "warning"
    assert "grants do not let" in found["access logs"].message
