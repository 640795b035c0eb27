"""Copies of a bucket: what is said of the first holds in each of them. All people are invented."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from dsr_worker.contract import Collection, Field, Taken
from dsr_worker.testing.context import TrialContext
from tests import services as real
from tests.contract.s3_erasures import erased, event, outcomes
from tests.contract.s3_support import (
    EVENTS,
    FILES,
    connector,
    content,
    lines,
    number,
    versioned,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from connectors.s3 import S3
    from tests.s3_shim import Shim

OWNER, COPY_OWNER = "111111111111", "222222222222"
ORDERS = replace(
    EVENTS,
    name="orders",
    takes={"customer_number": Taken("customer")},
    yields={},
    source={"layout": "shared", "prefix": "orders/", "format": "ndjson"},
)
PAPERS = Collection(
    name="papers",
    key=("key",),
    fields={name: Field(name, "user.content") for name in ("key", "body", "row:customer")},
    takes={"customer_number": Taken("row:customer")},
    source={
        "layout": "linked",
        "from": "orders",
        "field": "papers",
        "prefix": "papers/",
        "hosts": ["cdn.example"],
    },
)


@pytest.fixture
def copy(bucket: Callable[[], str]) -> str:
    """A second bucket."""
    return bucket()


def replicated(endpoint: str, bucket: str, copy: str, *collections: Collection, **reach: Any) -> S3:
    """The connector on a bucket with one copy; `reach` is said of the copy."""
    there = {
        "bucket": copy,
        "endpoint_url": endpoint,
        "region": real.S3_REGION,
        "access_key_id": real.S3_KEY,
        "secret_access_key": real.S3_SECRET,
        **reach,
    }
    return connector(endpoint, bucket, *collections, replicas=[there], expected_bucket_owner=OWNER)


@pytest.mark.parametrize(
    "link",
    [
        "papers/1.pdf",
        "s3://{bucket}/papers/1.pdf",
        "{endpoint}/{bucket}/papers/1.pdf",
        "https://cdn.example/papers/1.pdf",
    ],
)
def test_what_rows_link_is_found_in_a_copy_under_the_same_key(
    s3: S3Client, s3_endpoint: str, bucket_name: str, copy: str, link: str
) -> None:
    """Hard case 28: a copied row names the first bucket; the copy of what it links goes as well."""
    told = link.format(endpoint=s3_endpoint, bucket=bucket_name)
    for name in (bucket_name, copy):
        s3.put_object(Bucket=name, Key="papers/1.pdf", Body=b"mine")
        s3.put_object(Bucket=name, Key="papers/2.pdf", Body=b"another's")
        rows = [event(1, "1", papers=told), event(2, "2", papers="papers/2.pdf")]
        s3.put_object(Bucket=name, Key="orders/a", Body=lines(rows))
    made = replicated(s3_endpoint, bucket_name, copy, ORDERS, PAPERS)
    assert outcomes(erased(made, [number("1")], TrialContext())) == {"erased": 4}
    for name in (bucket_name, copy):
        kept = [key for key, _ in content(s3, name) if key.startswith("papers/")]
        assert kept == ["papers/2.pdf"]


def test_a_copy_may_be_in_another_account(
    s3: S3Client, shim: Shim, bucket_name: str, copy: str
) -> None:
    """Hard case 34: each bucket has its own owner; a copy of which none is said is the first's."""
    for reach, owner in (({"expected_bucket_owner": COPY_OWNER}, COPY_OWNER), ({}, OWNER)):
        for name in (bucket_name, copy):
            s3.put_object(Bucket=name, Key="customers/1/a", Body=b"mine")
        shim.seen.clear()
        made = replicated(shim.endpoint, bucket_name, copy, FILES, **reach)
        assert outcomes(erased(made, [number("1")], TrialContext())) == {"erased": 2}
        for name, expected in ((bucket_name, OWNER), (copy, owner)):
            seen = [s for s in shim.seen if s.path.split("/")[1] == name]
            assert {s.headers.get("x-amz-expected-bucket-owner") for s in seen} == {expected}


def test_copies_that_copy_back_are_no_strangers(
    s3: S3Client, s3_endpoint: str, bucket_name: str, copy: str
) -> None:
    """Hard case 28: buckets that copy each other are named, each by the map of the other."""
    for name in (bucket_name, copy):
        versioned(s3, name)
    for source, target in ((bucket_name, copy), (copy, bucket_name)):
        rule: Any = {
            "ID": "all",
            "Priority": 1,
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "DeleteMarkerReplication": {"Status": "Disabled"},
            "Destination": {"Bucket": f"arn:aws:s3:::{target}"},
        }
        s3.put_bucket_replication(
            Bucket=source,
            ReplicationConfiguration={"Role": "arn:aws:iam::123456789012:role/r", "Rules": [rule]},
        )
    made = replicated(s3_endpoint, bucket_name, copy, FILES)
    assert not [f for f in made.check() if f.subject.endswith("replication")]


def test_each_bucket_is_probed_once_a_day(
    s3: S3Client, shim: Shim, bucket_name: str, copy: str
) -> None:
    """What holds at the first bucket and at its copy is known for a day, for each by itself."""
    for name in (bucket_name, copy):
        rows = [event(n, str(n)) for n in range(1, 4)]
        s3.put_object(Bucket=name, Key="events/a", Body=lines(rows))
    made = replicated(shim.endpoint, bucket_name, copy, EVENTS)
    ctx = TrialContext()
    for customer in ("1", "2"):
        assert outcomes(erased(made, [number(customer)], ctx)) == {"erased": 2}
    probes = [s for s in shim.of("CreateMultipartUpload") if "/.dsr-probe/" in s.path]
    assert len(probes) == 2
