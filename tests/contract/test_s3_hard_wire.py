"""The hard cases of getting an object's new bytes into its place, one test each."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from moto.s3.models import s3_backends

from connectors.s3.server import draft, parts
from dsr_worker.contract import NeedsHuman, Outcome, Remainder
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_erasures import Crash, crash, erased, event, outcomes
from tests.contract.s3_rewrites import (
    PARTS,
    Dying,
    others,
    parts_left,
    probed,
    rows_of,
    small_parts,
)
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
from tests.s3_shim import Answer, Seen, Shim, error
from tests.services import s3_client

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BODY = lines([event(1, "1"), event(2, "2")])
REST = lines([event(2, "2")])
KEY = base64.b64encode(b"an invented key of 32 bytes long").decode()


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    """Parts are small here."""
    with small_parts() as endpoint:
        yield endpoint


def test_24_parts_of_a_dead_worker_are_aborted(s3: S3Client, shim: Shim, bucket_name: str) -> None:
    """Hard case 24: the repeat aborts what its death left, and another batch at work does not."""
    rows = rows_of(PARTS)
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines(rows))
    ctx = probed(shim.endpoint, bucket_name)
    made = connector(shim.endpoint, bucket_name, EVENTS)
    keys = list(made.locate([number("1")], ctx))

    Dying(lambda requests: requests.count("UploadPartCopy") == 1).watch(made)
    with pytest.raises(Crash):
        list(made.erase([number("1")], keys, ctx))
    assert list(parts_left(s3, bucket_name))
    again = connector(shim.endpoint, bucket_name, EVENTS)
    other = replace(ctx, operation_id="another batch")
    assert outcomes(list(again.erase([number("1")], keys, other))) == {"erased": 2}
    assert list(parts_left(s3, bucket_name)), "the first batch may still be at work"
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines(rows))
    assert outcomes(list(again.erase([number("1")], keys, ctx))) == {"erased": 2}
    assert not list(parts_left(s3, bucket_name))
    assert current(s3, bucket_name, "events/a") == others(rows)


def test_24_parts_that_nobody_claims_go_after_a_day(
    s3: S3Client, shim: Shim, bucket_name: str
) -> None:
    """Hard case 24: an upload of another operation is aborted once it is a day old."""
    rows = rows_of(PARTS)
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines(rows))
    ctx = probed(shim.endpoint, bucket_name)
    made = connector(shim.endpoint, bucket_name, EVENTS)
    keys = list(made.locate([number("1")], ctx))
    shim.before = _only("AbortMultipartUpload", lambda _seen: error(503, "SlowDown"))
    with pytest.raises(Crash):
        list(made.erase([number("1")], keys, replace(ctx, on_intent=crash)))
    shim.before = lambda _seen: None
    assert list(parts_left(s3, bucket_name))
    later = replace(ctx, operation_id="another batch", now=ctx.now + timedelta(hours=25))
    assert outcomes(list(made.erase([number("1")], keys, later))) == {"erased": 2}
    assert not list(parts_left(s3, bucket_name))


def _only(operation: str, play: Callable[[Seen], Answer | None]) -> Callable[[Seen], Answer | None]:
    return lambda seen: play(seen) if seen.operation == operation else None


def test_25_more_versions_than_a_page_holds(
    s3: S3Client, s3_endpoint: str, bucket_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hard case 25: behind pages of versions of one key all are found, nobody else's are."""
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "50")  # S3 has 1000 on a page
    versioned(s3, bucket_name)
    for key, count in (("1/a", 103), ("1/a-sibling", 12), ("10/a", 12)):
        _seed(bucket_name, f"customers/{key}", count)
    made, ctx = connector(s3_endpoint, bucket_name, FILES), TrialContext()
    keys = list(made.locate([number("1")], ctx))
    assert len({key.key for key in keys}) == len(keys) == 103 + 12
    of_one = [key for key in keys if key.key[0] == "customers/1/a"]
    siblings = [key for key in keys if key.key[0] != "customers/1/a"]
    last = [*of_one[-3:], *siblings]
    assert outcomes(list(made.erase([number("1")], last, ctx))) == {"erased": 3 + 12}
    left = list(made.recheck([number("1")], keys, replace(ctx, second_path=True)))
    assert {key.key for key in left} == {key.key for key in of_one[:-3]}
    versions = s3.list_object_versions(Bucket=bucket_name, Prefix="customers/10/")["Versions"]
    assert len(versions) == 12
    made.close()


def _seed(bucket: str, key: str, count: int) -> None:
    """Many versions of one object: one by one, moto copies its list for each."""
    memory = s3_backends["123456789012"]["aws"]
    made = [memory.put_object(bucket, f"{key}/{n}", b"%d" % n) for n in range(count)]
    keys = memory.get_bucket(bucket).keys
    for version in made:
        dict.pop(keys, version.name)  # moto's own closes what it takes out
        version.name = key
    keys.setlist(key, made)


@pytest.mark.parametrize(
    ("status", "code"), [(403, "AccessDenied"), (400, "KMS.DisabledException")]
)
def test_29_a_key_that_is_denied_or_disabled(
    s3: S3Client, shim: Shim, bucket_name: str, status: int, code: str
) -> None:
    """Hard case 29: where KMS does not let the bytes be read, that is told, and nothing goes."""
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=BODY)
    shim.before = _only("GetObject", lambda _seen: error(status, code))
    made = connector(shim.endpoint, bucket_name, EVENTS)
    keys = list(made.locate([number("1")], TrialContext()))
    assert [key.key[-2:] for key in keys] == [(Remainder.DENIED, "null")]
    (receipt,) = made.erase([number("1")], keys, TrialContext())
    assert [(o.outcome, o.ground) for o in receipt.outcomes] == [
        (Outcome.RETAINED, Remainder.DENIED)
    ]
    assert current(s3, bucket_name, "events/a") == BODY


def test_29_a_kms_key_and_its_bucket_key_stay(s3: S3Client, shim: Shim, bucket_name: str) -> None:
    """Hard case 29: the new bytes are under the same KMS key, with the bucket key."""
    s3.put_object(
        Bucket=bucket_name,
        Key="events/a",
        Body=BODY,
        ServerSideEncryption="aws:kms",
        SSEKMSKeyId="arn:aws:kms:eu-central-1:123456789012:key/invented",
        BucketKeyEnabled=True,
    )
    erased(connector(shim.endpoint, bucket_name, EVENTS), [number("1")], TrialContext())
    head = s3.head_object(Bucket=bucket_name, Key="events/a")
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"], head["BucketKeyEnabled"]) == (
        "aws:kms",
        "arn:aws:kms:eu-central-1:123456789012:key/invented",
        True,
    )
    assert current(s3, bucket_name, "events/a") == REST


@pytest.mark.parametrize("going_up", ["whole", PARTS])
def test_29_a_customers_own_key(s3: S3Client, shim: Shim, bucket_name: str, going_up: str) -> None:
    """Hard case 29: SSE-C is read and written with the key of the config, and refused without."""
    rows = rows_of(going_up)
    with_key: Any = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": base64.b64decode(KEY)}
    through = s3_client(shim.endpoint)
    through.put_object(Bucket=bucket_name, Key="events/a", Body=lines(rows), **with_key)
    s3.put_object(Bucket=bucket_name, Key="events/b", Body=BODY)
    blind = connector(shim.endpoint, bucket_name, EVENTS)
    with pytest.raises(NeedsHuman, match="s3-customer-key"):
        list(blind.locate([number("1")], TrialContext()))
    made = connector(shim.endpoint, bucket_name, EVENTS, sse_customer_key=KEY)
    ctx = probed(shim.endpoint, bucket_name)
    assert outcomes(erased(made, [number("1")], ctx)) == {"erased": 3}
    found = through.get_object(Bucket=bucket_name, Key="events/a", **with_key)
    assert found["Body"].read() == others(rows)
    assert current(s3, bucket_name, "events/b") == REST
    name = "x-amz-server-side-encryption-customer-algorithm"
    copies = [s.headers.get(f"x-amz-copy-source-{name[6:]}") for s in shim.of("UploadPartCopy")]
    assert copies == (["AES256"] * len(copies))
    assert bool(copies) == (going_up == PARTS)
    through.close()


@pytest.mark.parametrize("marker", ["x-amz-key-v2", "x-amz-key", "X-Amz-Iv"])
def test_29_what_its_writer_encrypted_is_refused(
    s3: S3Client, shim: Shim, bucket_name: str, marker: str
) -> None:
    """Hard case 29: client-side encryption is told by its metadata, not taken for no records."""
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=b"\x01\x02", Metadata={marker: "w=="})
    made = connector(shim.endpoint, bucket_name, EVENTS)
    with pytest.raises(NeedsHuman) as told:
        list(made.locate([number("1")], TrialContext()))
    assert told.value.fields["reason"] == "client-side-encrypted"


@pytest.mark.parametrize("going_up", ["whole", PARTS])
def test_30_all_but_the_bytes_is_kept(
    s3: S3Client, shim: Shim, bucket_name: str, going_up: str
) -> None:
    """Hard case 30: headers, metadata, tags, class, ACL, redirect, checksum algorithm, expiry."""
    rows = rows_of(going_up)
    expires = datetime(2031, 1, 1, tzinfo=UTC)
    s3.put_object(
        Bucket=bucket_name,
        Key="events/a",
        Body=lines(rows),
        CacheControl="no-store",
        ContentDisposition='attachment; filename="a.ndjson"',
        ContentLanguage="de",
        ContentType="application/x-ndjson",
        Expires=expires,
        Metadata={"shipper": "one"},
        Tagging="team=shop&a=b%2Bc%3D1",
        StorageClass="STANDARD_IA",
        WebsiteRedirectLocation="/elsewhere",
        GrantRead='uri="http://acs.amazonaws.com/groups/global/AuthenticatedUsers"',
        GrantFullControl='id="an-invented-owner"',
        ChecksumAlgorithm="SHA256",
    )
    before = s3.get_object_acl(Bucket=bucket_name, Key="events/a")["Grants"]
    ctx = probed(shim.endpoint, bucket_name)
    made = connector(shim.endpoint, bucket_name, EVENTS)
    assert outcomes(erased(made, [number("1")], ctx)) == {"erased": 2}
    head: Any = s3.head_object(Bucket=bucket_name, Key="events/a", ChecksumMode="ENABLED")
    assert (head["CacheControl"], head["ContentType"]) == ("no-store", "application/x-ndjson")
    assert head["ContentDisposition"] == 'attachment; filename="a.ndjson"'
    assert (head["ContentLanguage"], head["Expires"]) == ("de", expires)
    assert (head["Metadata"], head["StorageClass"]) == ({"shipper": "one"}, "STANDARD_IA")
    assert head["WebsiteRedirectLocation"] == "/elsewhere"
    assert head.get("ChecksumSHA256")
    after = s3.get_object_acl(Bucket=bucket_name, Key="events/a")["Grants"]
    assert sorted(map(str, after)) == sorted(map(str, before))
    assert len(before) == 2
    tags = s3.get_object_tagging(Bucket=bucket_name, Key="events/a")["TagSet"]
    assert {t["Key"]: t["Value"] for t in tags} == {"team": "shop", "a": "b+c=1"}
    assert current(s3, bucket_name, "events/a") == others(rows)


def test_30_a_lock_is_carried_and_the_locked_version_stays(
    s3: S3Client, shim: Shim, bucket: Callable[[], str]
) -> None:
    """Hard case 30: the new version is bound as the old one, which stays and is told so."""
    name = bucket()
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object_lock_configuration(
        Bucket=name, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"}
    )
    until = datetime(2099, 1, 1, tzinfo=UTC)
    s3.put_object(
        Bucket=name,
        Key="events/a",
        Body=BODY,
        ObjectLockMode="COMPLIANCE",
        ObjectLockRetainUntilDate=until,
        ObjectLockLegalHoldStatus="ON",
    )
    made, ctx = connector(shim.endpoint, name, EVENTS), TrialContext()
    keys = list(made.locate([number("1")], ctx))
    for _ in range(2):
        (receipt,) = made.erase([number("1")], keys, ctx)
        (outcome,) = receipt.outcomes
        assert (outcome.outcome, outcome.ground) == (Outcome.RETAINED, Remainder.HELD)
        assert sorted(content(s3, name).values()) == sorted([BODY, REST])
    head = s3.head_object(Bucket=name, Key="events/a")
    assert (head["ObjectLockMode"], head["ObjectLockLegalHoldStatus"]) == ("COMPLIANCE", "ON")
    assert head["ObjectLockRetainUntilDate"] == until
    assert current(s3, name, "events/a") == REST


def test_31_an_etag_that_is_no_digest(s3: S3Client, shim: Shim, bucket_name: str) -> None:
    """Hard case 31: an object that went up in parts has an ETag that only serves to compare."""
    rows = rows_of(PARTS)
    body = lines(rows)
    place: Any = {"Bucket": bucket_name, "Key": "events/a"}
    place["UploadId"] = s3.create_multipart_upload(**place)["UploadId"]
    sent: Any = [
        {"PartNumber": n, "ETag": s3.upload_part(**place, PartNumber=n, Body=part)["ETag"]}
        for n, part in ((1, body[:100_000]), (2, body[100_000:]))
    ]
    s3.complete_multipart_upload(**place, MultipartUpload={"Parts": sent})
    assert "-2" in s3.head_object(Bucket=bucket_name, Key="events/a")["ETag"]
    ctx = probed(shim.endpoint, bucket_name)
    made = connector(shim.endpoint, bucket_name, EVENTS)
    assert outcomes(erased(made, [number("1")], ctx)) == {"erased": 2}
    assert current(s3, bucket_name, "events/a") == others(rows)


@pytest.mark.parametrize("header", ["Content-Length", "x-amz-checksum-crc32"])
def test_31_what_was_written_is_compared(
    s3: S3Client, shim: Shim, bucket_name: str, header: str
) -> None:
    """Hard case 31: where what stands there is not what was sent, the old version stays."""
    versioned(s3, bucket_name)
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=BODY)

    def wrong(seen: Seen) -> Answer | None:
        if seen.operation != "HeadObject" or not shim.of("PutObject")[1:]:
            return None
        etag = s3.head_object(Bucket=bucket_name, Key="events/a")["ETag"]
        told = {"ETag": etag, "Content-Length": str(len(REST)), "x-amz-checksum-crc32": ""}
        return Answer(
            200, list({**told, header: "AAAAAA==" if "crc" in header else "3"}.items()), b""
        )

    shim.before = wrong
    made = connector(shim.endpoint, bucket_name, EVENTS)
    with pytest.raises(NeedsHuman) as told:
        erased(made, [number("1")], TrialContext())
    assert told.value.fields["error"] == "not-whole"
    assert BODY in content(s3, bucket_name).values()


def test_32_above_a_single_write_it_goes_in_parts(
    s3: S3Client, shim: Shim, bucket_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hard case 32: what is wholly new and above the limit of one write is sent in parts."""
    monkeypatch.setattr(draft, "LARGE_BYTES", 1 << 60)
    rows = rows_of(PARTS)
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines(rows))
    ctx = probed(shim.endpoint, bucket_name)
    monkeypatch.setattr(parts, "_SENT_BYTES", 100_000)
    made = connector(shim.endpoint, bucket_name, EVENTS)
    made._bucket.config = made._bucket.config.model_copy(update={"single_put_bytes": 100_000})
    assert outcomes(erased(made, [number("1")], ctx)) == {"erased": 2}
    assert (len(shim.of("UploadPart")), shim.of("UploadPartCopy")) == (2, [])
    assert current(s3, bucket_name, "events/a") == others(rows)


def test_34_who_pays_and_whose_bucket_it_is(s3: S3Client, shim: Shim, bucket_name: str) -> None:
    """Hard case 34: every request says that we pay, and whose account it expects there."""
    versioned(s3, bucket_name)
    rows = rows_of(PARTS)
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines(rows))
    s3.put_object(Bucket=bucket_name, Key="customers/1/a", Body=b"x")
    made = connector(
        shim.endpoint,
        bucket_name,
        FILES,
        EVENTS,
        requester_pays=True,
        expected_bucket_owner="123456789012",
    )
    ctx = probed(shim.endpoint, bucket_name)
    assert outcomes(erased(made, [number("1")], ctx)) == {"erased": 3}
    of_objects = [s for s in shim.seen if s.path.count("/") > 1 or "delete" in s.target]
    silent = {"GetObjectTagging", "GetObjectAcl"}  # S3 takes it there as well; botocore knows
    assert {
        s.headers.get("x-amz-request-payer") for s in of_objects if s.operation not in silent
    } == {"requester"}
    assert {s.headers.get("x-amz-expected-bucket-owner") for s in shim.seen} == {"123456789012"}
    (copy, *_) = shim.of("UploadPartCopy")
    assert copy.headers["x-amz-source-expected-bucket-owner"] == "123456789012"


def test_35_a_rewrite_is_marked_for_who_consumes_events(
    s3: S3Client, shim: Shim, bucket_name: str
) -> None:
    """Hard case 35: where the map asks, the new version says that this operation wrote it."""
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=BODY, Metadata={"shipper": "one"})
    made = connector(shim.endpoint, bucket_name, EVENTS, mark_rewrites=True)
    ctx = TrialContext(operation_id="an operation")
    erased(made, [number("1")], ctx)
    metadata = s3.head_object(Bucket=bucket_name, Key="events/a")["Metadata"]
    mark = ctx.digest("dsr-rewritten", ("an operation",))
    assert metadata == {"shipper": "one", "dsr-rewritten": mark}
