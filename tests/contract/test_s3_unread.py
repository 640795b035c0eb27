"""What cannot be read now: an access tells of it and goes on; what a lock keeps has its own day."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from connectors.s3 import S3
from dsr_worker.contract import Remainder, Taken, Withheld
from dsr_worker.testing.context import TrialContext
from tests import services as real
from tests.contract.s3_erasures import erased, event
from tests.contract.s3_support import (
    EVENTS,
    FILES,
    connector,
    lines,
    number,
    person,
    versioned,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

NOW = TrialContext().now
LATER = NOW + timedelta(days=30)


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Call it to have requests of a name for a place refused with a code."""
    plain = BaseClient._make_api_call  # type: ignore[attr-defined]
    orders: dict[tuple[str, str], str] = {}

    def call(self: Any, operation: str, params: dict[str, Any]) -> Any:
        place = f"{params.get('Bucket')}/{params.get('Key', '')}"
        for (wanted, of), code in orders.items():
            if wanted == operation and place.startswith(of):
                raise ClientError({"Error": {"Code": code}}, operation)
        return plain(self, operation, params)

    monkeypatch.setattr(BaseClient, "_make_api_call", call)

    def order(operation: str, of: str, code: str) -> None:
        orders[operation, of] = code

    return order


@pytest.fixture
def copy(bucket: Callable[[], str]) -> str:
    """A second bucket, for copies."""
    return bucket()


def replicated(endpoint: str, bucket: str, copy: str) -> S3:
    """The connector on a bucket and a copy of it."""
    reach = {
        "bucket": copy,
        "endpoint_url": endpoint,
        "region": real.S3_REGION,
        "access_key_id": real.S3_KEY,
        "secret_access_key": real.S3_SECRET,
    }
    return connector(endpoint, bucket, FILES, replicas=[reach])


def locked(client: S3Client, bucket: str) -> None:
    """Switch versioning and Object Lock on."""
    versioned(client, bucket)
    client.put_object_lock_configuration(
        Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"}
    )


def test_each_row_waits_for_the_lock_of_its_own_versions(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Hard case 26: a row of the current version alone waits for that lock, not the longest."""
    locked(s3, bucket_name)
    for rows, days in (([1, 2], 9), ([2, 3], 0)):
        s3.put_object(
            Bucket=bucket_name,
            Key="events/a",
            Body=lines([event(n, str(n)) for n in rows]),
            ObjectLockMode="COMPLIANCE",
            ObjectLockRetainUntilDate=LATER + timedelta(days=days),
        )
    made = connector(s3_endpoint, bucket_name, EVENTS)
    receipts = erased(made, [number(n) for n in "123"], TrialContext())
    dates = [o.until_at for r in receipts for o in r.outcomes]
    assert dates == [LATER + timedelta(days=9), LATER + timedelta(days=9), LATER]


def test_an_access_tells_of_an_archived_shared_object_and_goes_on(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Hard case 27: the answer goes out with all that can be read, and names what cannot.

    A restore is asked for where the map lets us, and its day told; never in a dry run. Once it is
    back, its records are shown.
    """
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines([event(1, "1")]))
    old = lines([event(3, "1"), event(4, "2")])
    s3.put_object(Bucket=bucket_name, Key="events/old", Body=old, StorageClass="GLACIER")
    made = connector(s3_endpoint, bucket_name, EVENTS)
    keys = [key.key for key in made.locate([number("1")], TrialContext())]
    for restore, until_at in ((None, None), ({"tier": "Standard"}, NOW + timedelta(hours=5))):
        made = connector(s3_endpoint, bucket_name, EVENTS, restore=restore)
        list(made.find([number("1")], TrialContext(dry_run=True)))
        assert "Restore" not in s3.head_object(Bucket=bucket_name, Key="events/old")
        shown, unread = made.find([number("1")], TrialContext())
        assert [shown.key, unread.key] == keys
        assert shown.withheld == ()
        assert unread.withheld == (Withheld("", Remainder.ARCHIVED, 1, until_at),)
        assert b"events/old" not in unread.body
    found = [r.key for r in made.find([number("1")], TrialContext())]
    assert found == [("events/a", "e1"), ("events/old", "e3")]
    assert not list(made.find([person("other", ("phone", "+491234567"))], TrialContext()))


@pytest.mark.parametrize("code", ["AccessDenied", "KMS.DisabledException"])
def test_an_access_tells_of_what_is_denied_and_goes_on(
    s3: S3Client, s3_endpoint: str, bucket_name: str, refuse: Callable[..., None], code: str
) -> None:
    """Hard case 29: a denied key or grant, of a shared object or of the person's own, is named."""
    for key in ("events/a", "events/b"):
        s3.put_object(Bucket=bucket_name, Key=key, Body=lines([event(1, "1")]))
    sealed: Any = {"ServerSideEncryption": "aws:kms"}
    for name in ("a", "b"):
        s3.put_object(Bucket=bucket_name, Key=f"customers/1/{name}", Body=b"x", **sealed)
    for place in ("events/b", "customers/1/b"):
        refuse("GetObject", f"{bucket_name}/{place}", code)
    made = connector(s3_endpoint, bucket_name, FILES, EVENTS)
    told = {
        r.key[0]: [w.ground for w in r.withheld] for r in made.find([number("1")], TrialContext())
    }
    denied = [Remainder.DENIED]
    assert told == {
        "customers/1/a": [],
        "customers/1/b": denied,
        "events/a": [],
        "events/b": denied,
    }
    refuse("HeadObject", f"{bucket_name}/customers/1/b", "403")
    *_, last = (r for r in made.find([number("1")], TrialContext()) if r.collection == "files")
    assert [w.ground for w in last.withheld] == denied


def test_an_access_tells_of_a_copy_that_we_may_not_list(
    s3: S3Client, s3_endpoint: str, bucket_name: str, copy: str, refuse: Callable[..., None]
) -> None:
    """Hard case 28: a copy out of reach may hold more than the bucket: an access names it."""
    s3.put_object(Bucket=bucket_name, Key="customers/1/a", Body=b"mine")
    refuse("ListObjectVersions", copy, "AccessDenied")
    made = replicated(s3_endpoint, bucket_name, copy)
    mine, unseen = made.find([number("1")], TrialContext())
    assert mine.key == ("customers/1/a",)
    assert unseen.withheld == (Withheld("", Remainder.REPLICA),)
    assert [unseen.key] == [k.key for k in made.locate([number("1")], TrialContext())][1:]


def test_a_key_that_names_others_beside_is_mentioned_from_an_archive_too(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Hard case 27: what a key says needs no restore: it is told as of any other object."""
    both = replace(
        FILES,
        takes={"customer_number": Taken("key"), "tenant": Taken("key")},
        source={"layout": "prefix", "template": "{tenant}/users/{customer_number}/**"},
    )
    s3.put_object(Bucket=bucket_name, Key="t2/users/1/a", Body=b"x", StorageClass="GLACIER")
    made = connector(s3_endpoint, bucket_name, both)
    asked = person("case", ("customer_number", "1"), ("tenant", "t1"))
    (mention,) = made.mentions([asked], TrialContext())
    assert mention.key == ("t2/users/1/a",)
