"""What stays below an erased version stays as hidden as it was, whoever's it is."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from dsr_worker.contract import Collection, Field, Outcome, Receipt, Remainder, Taken
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_erasures import Crash, erased, outcomes
from tests.contract.s3_rewrites import Dying
from tests.contract.s3_support import FILES, connector, content, number, versioned
from tests.s3_shim import Answer, Seen, Shim, error

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

KEY = "customers/1/a"
UPLOADS = Collection(
    "uploads",
    ("key",),
    {name: Field(name, "user.content") for name in ("key", "tag:customer", "body")},
    takes={"customer_number": Taken("tag:customer")},
    clocks={"record_date": "last_modified"},
    source={"layout": "objects", "prefix": "uploads/"},
)
NOW = TrialContext().now
LATER = NOW + timedelta(days=30)


def locked(client: S3Client, bucket: str, body: bytes) -> str:
    """An old version under a lock that the map may let us bypass; its id."""
    versioned(client, bucket)
    client.put_object_lock_configuration(
        Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"}
    )
    lock: Any = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": LATER}
    return client.put_object(Bucket=bucket, Key=KEY, Body=body, **lock)["VersionId"]


def shows(client: S3Client, bucket: str, key: str = KEY) -> bytes | None:
    """What a plain request gives; None where that is nothing."""
    try:
        return client.get_object(Bucket=bucket, Key=key)["Body"].read()
    except client.exceptions.NoSuchKey:
        return None


def grounds(receipts: list[Receipt]) -> dict[str, tuple[int, Any]]:
    """Rows that stay and until when, by ground."""
    told = (o for r in receipts for o in r.outcomes if o.outcome is Outcome.RETAINED)
    return {o.ground: (o.rows, o.until_at) for o in told}


def tagged(client: S3Client, bucket: str, customer: str) -> str:
    """A version of one upload that is a customer's; its id."""
    done = client.put_object(
        Bucket=bucket,
        Key="uploads/a",
        Body=b"of " + customer.encode(),
        Tagging=f"customer={customer}",
    )
    return done.get("VersionId", "null")


def test_a_locked_old_version_does_not_come_to_light(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Hard case 26: the newer version goes, the locked one stays, and a plain request shows none.

    The marker over it is a row like any other: it goes with what it hides.
    """
    locked(s3, bucket_name, b"locked")
    s3.put_object(Bucket=bucket_name, Key=KEY, Body=b"newer")
    made = connector(s3_endpoint, bucket_name, FILES)
    receipts = erased(made, [number("1")], TrialContext())
    assert outcomes(receipts) == {"erased": 1, "retained": 1}
    assert grounds(receipts) == {Remainder.LOCKED: (1, LATER)}
    assert shows(s3, bucket_name) is None
    again = erased(made, [number("1")], TrialContext())
    assert grounds(again) == {Remainder.LOCKED: (1, LATER), Remainder.BESIDE: (1, LATER)}
    assert sorted(content(s3, bucket_name).values()) == [b"(marker)", b"locked"]
    free = connector(s3_endpoint, bucket_name, FILES, bypass_governance=True)
    assert outcomes(erased(free, [number("1")], TrialContext())) == {"erased": 2}
    assert content(s3, bucket_name) == {}


def test_a_denied_old_version_does_not_come_to_light(
    s3: S3Client, shim: Shim, bucket_name: str
) -> None:
    """Nor does one whose erasure is refused only when it is tried."""
    versioned(s3, bucket_name)
    old = s3.put_object(Bucket=bucket_name, Key=KEY, Body=b"old")["VersionId"]
    s3.put_object(Bucket=bucket_name, Key=KEY, Body=b"newer")

    def denied(seen: Seen) -> Answer | None:
        if seen.operation != "DeleteObjects" or old.encode() not in seen.body:
            return None
        told = (
            f"<Error><Key>{KEY}</Key><VersionId>{old}</VersionId><Code>AccessDenied</Code></Error>"
        )
        return Answer(200, [], f"<DeleteResult>{told}</DeleteResult>".encode())

    shim.before = denied
    receipts = erased(connector(shim.endpoint, bucket_name, FILES), [number("1")], TrialContext())
    assert grounds(receipts) == {Remainder.DENIED: (1, None)}
    assert outcomes(receipts) == {"erased": 1, "retained": 1}
    assert shows(s3, bucket_name) is None


def test_where_no_marker_may_be_laid_the_newer_version_stays_too(
    s3: S3Client, shim: Shim, bucket_name: str
) -> None:
    """A grant that lets us erase versions and lay no marker brings nothing to light either."""
    locked(s3, bucket_name, b"locked")
    s3.put_object(Bucket=bucket_name, Key=KEY, Body=b"newer")
    shim.before = lambda seen: (
        error(403, "AccessDenied") if seen.operation == "DeleteObject" else None
    )
    receipts = erased(connector(shim.endpoint, bucket_name, FILES), [number("1")], TrialContext())
    assert grounds(receipts) == {Remainder.LOCKED: (1, LATER), Remainder.DENIED: (1, None)}
    assert shows(s3, bucket_name) == b"newer"


def test_a_death_after_the_marker_shows_nothing_and_is_finished(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """The marker is laid before the version goes; the repeat erases that by its id."""
    locked(s3, bucket_name, b"locked")
    s3.put_object(Bucket=bucket_name, Key=KEY, Body=b"newer")
    made = connector(s3_endpoint, bucket_name, FILES)
    keys = list(made.locate([number("1")], TrialContext()))
    Dying(lambda requests: "DeleteObject" in requests).watch(made)
    with pytest.raises(Crash):
        list(made.erase([number("1")], keys, TrialContext()))
    assert shows(s3, bucket_name) is None
    again = connector(s3_endpoint, bucket_name, FILES)
    receipts = list(again.erase([number("1")], keys, TrialContext()))
    assert outcomes(receipts) == {"erased": 1, "retained": 1}
    assert sorted(content(s3, bucket_name).values()) == [b"(marker)", b"locked"]


def test_what_somebody_writes_meanwhile_is_not_hidden(
    s3: S3Client, shim: Shim, bucket_name: str
) -> None:
    """The marker names the version that it is to hide: a newer one is left alone."""
    locked(s3, bucket_name, b"locked")
    s3.put_object(Bucket=bucket_name, Key=KEY, Body=b"newer")

    def written(seen: Seen) -> Answer | None:
        if seen.operation == "DeleteObject":
            s3.put_object(Bucket=bucket_name, Key=KEY, Body=b"newest")
        return None

    shim.before = written
    receipts = erased(connector(shim.endpoint, bucket_name, FILES), [number("1")], TrialContext())
    assert outcomes(receipts) == {"erased": 1, "retained": 1}
    assert shows(s3, bucket_name) == b"newest"


@pytest.mark.parametrize("hidden", [False, True])
def test_an_old_version_of_another_person_does_not_come_to_light(
    s3: S3Client, s3_endpoint: str, bucket_name: str, *, hidden: bool
) -> None:
    """Labels: what was not current before an erasure is not current after it; nothing is owed."""
    versioned(s3, bucket_name)
    tagged(s3, bucket_name, "2")
    tagged(s3, bucket_name, "1")
    if hidden:
        s3.delete_object(Bucket=bucket_name, Key="uploads/a")
    made = connector(s3_endpoint, bucket_name, UPLOADS)
    assert outcomes(erased(made, [number("1")], TrialContext())) == {"erased": 1}
    assert shows(s3, bucket_name, "uploads/a") is None
    assert sorted(content(s3, bucket_name).values()) == [b"(marker)", b"of 2"]
    assert not list(made.recheck([number("1")], [], TrialContext(second_path=True)))
    assert outcomes(erased(made, [number("2")], TrialContext())) == {"erased": 2}
    assert content(s3, bucket_name) == {}


def test_a_marker_never_takes_the_place_of_a_null_version_that_stays(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Suspended versioning: a marker would erase another's null version, so none is laid."""
    tagged(s3, bucket_name, "2")
    versioned(s3, bucket_name)
    tagged(s3, bucket_name, "1")
    s3.put_bucket_versioning(Bucket=bucket_name, VersioningConfiguration={"Status": "Suspended"})
    made = connector(s3_endpoint, bucket_name, UPLOADS)
    assert grounds(erased(made, [number("1")], TrialContext())) == {Remainder.BESIDE: (1, None)}
    assert shows(s3, bucket_name, "uploads/a") == b"of 1"
    assert len(s3.list_object_versions(Bucket=bucket_name)["Versions"]) == 2
