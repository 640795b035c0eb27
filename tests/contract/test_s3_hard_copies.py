"""Hard cases of copies in other buckets, and of where ids go by themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from connectors.s3 import S3
from dsr_worker.contract import Remainder
from dsr_worker.testing.context import TrialContext
from tests import services as real
from tests.contract.s3_erasures import Crash, crash, erased, event, outcomes
from tests.contract.s3_refusals import NOW, begun, left, refused, unfinished
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
