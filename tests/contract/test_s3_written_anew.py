"""Between the look and the erasure an object may become another's: what is his stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from dsr_worker.contract import (
    OWNER_CHANGED,
    Action,
    Always,
    Configuration,
    DecisionTable,
    Outcome,
    Rule,
    Severity,
    Since,
    SweepOrder,
    Transient,
)
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_erasures import ERASE, erased, event, outcomes
from tests.contract.s3_layouts import LINKED, ORDERS, objects
from tests.contract.s3_support import EVENTS, FILES, connector, content, lines, number, versioned
from tests.s3_shim import Answer, Seen, Shim

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

UPLOADS = objects(
    "uploads", {"customer_number": "tag:customer"}, layout="objects", prefix="uploads/"
)
KEY = "uploads/a"


def tagged(client: S3Client, bucket: str, customer: str, body: bytes) -> None:
    """An upload of a customer."""
    tags = f"customer={customer}"
    client.put_object(Bucket=bucket, Key=KEY, Body=body, Tagging=tags)


def suspended(client: S3Client, bucket: str) -> None:
    """Switch versioning off again."""
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})


def meanwhile(
    shim: Shim, operation: str, key: str, write: Callable[[], object], times: int = 1
) -> None:
    """Somebody writes just before such a request for the object arrives, so many times."""
    left = [write] * times

    def before(seen: Seen) -> Answer | None:
        if left and seen.operation == operation and (key in seen.target or key in str(seen.body)):
            left.pop()()
        return None

    shim.before = before


def test_an_object_that_is_anothers_by_now_is_not_erased(
    s3: S3Client, shim: Shim, bucket_name: str
) -> None:
    """Hard case 33: what has no id goes by its ETag, and is looked at again where that fails."""
    tagged(s3, bucket_name, "1", b"of 1")
    meanwhile(shim, "DeleteObject", KEY, lambda: tagged(s3, bucket_name, "2", b"of 2"))
    made = connector(shim.endpoint, bucket_name, UPLOADS)
    receipts = erased(made, [number("1")], TrialContext())
    told = {(o.outcome, o.ground): o.rows for r in receipts for o in r.outcomes}
    assert told == {(Outcome.RETAINED, OWNER_CHANGED): 1}
    assert list(content(s3, bucket_name).values()) == [b"of 2"]


def test_a_sweep_leaves_what_is_written_anew_to_the_next(
    s3: S3Client, shim: Shim, bucket_name: str
) -> None:
    """It was due, what lies there now may not be: it is neither erased nor counted."""
    tagged(s3, bucket_name, "1", b"old")
    s3.put_object(Bucket=bucket_name, Key="uploads/b", Body=b"old", Tagging="customer=1")
    meanwhile(shim, "DeleteObject", KEY, lambda: tagged(s3, bucket_name, "1", b"young"))
    made = connector(shim.endpoint, bucket_name, UPLOADS)
    order = SweepOrder("uploads", DecisionTable("uploads", (ERASE,)), 10)
    ctx = TrialContext(tables={"uploads": order.table})
    assert outcomes(list(made.sweep([order], ctx))) == {"erased": 1}
    assert list(content(s3, bucket_name).values()) == [b"young"]


def test_what_is_written_anew_is_decided_anew(s3: S3Client, shim: Shim, bucket_name: str) -> None:
    """An object that is still the same person's goes, in the same call."""
    s3.put_object(Bucket=bucket_name, Key="orders/a", Body=lines([paper("o1", "7")]))
    s3.put_object(Bucket=bucket_name, Key="papers/a.pdf", Body=b"first")

    def write() -> None:
        s3.put_object(Bucket=bucket_name, Key="papers/a.pdf", Body=b"second")

    meanwhile(shim, "DeleteObject", "papers/a.pdf", write)
    made = connector(shim.endpoint, bucket_name, ORDERS, LINKED)
    assert outcomes(erased(made, [number("7")], TrialContext())) == {"erased": 2}
    assert [key for key, _ in content(s3, bucket_name)] == ["orders/a"]


def test_what_another_links_by_now_stays(s3: S3Client, shim: Shim, bucket_name: str) -> None:
    """Looking again looks at the rows again as well."""
    s3.put_object(Bucket=bucket_name, Key="orders/a", Body=lines([paper("o1", "7")]))
    s3.put_object(Bucket=bucket_name, Key="papers/a.pdf", Body=b"first")

    def write() -> None:
        s3.put_object(Bucket=bucket_name, Key="papers/a.pdf", Body=b"second")
        s3.put_object(Bucket=bucket_name, Key="orders/b", Body=lines([paper("o2", "8")]))

    meanwhile(shim, "DeleteObject", "papers/a.pdf", write)
    made = connector(shim.endpoint, bucket_name, ORDERS, LINKED)
    assert outcomes(erased(made, [number("7")], TrialContext())) == {"erased": 1, "retained": 1}
    assert b"second" in content(s3, bucket_name).values()


def paper(order: str, customer: str) -> dict[str, Any]:
    """An order that links a paper."""
    return {"order_id": order, "customer": customer, "papers": "papers/a.pdf", "at": "2026-01-01"}


def test_an_object_that_others_write_all_the_time_waits(
    s3: S3Client, shim: Shim, bucket_name: str
) -> None:
    """After five looks the step waits, and nothing of it is gone."""
    tagged(s3, bucket_name, "1", b"0")
    bodies = iter(range(1, 100))

    def write() -> None:
        tagged(s3, bucket_name, "1", str(next(bodies)).encode())

    meanwhile(shim, "DeleteObject", KEY, write, times=50)
    made = connector(shim.endpoint, bucket_name, UPLOADS)
    with pytest.raises(Transient):
        erased(made, [number("1")], TrialContext())
    assert len(content(s3, bucket_name)) == 1


def test_an_object_under_its_owners_key_is_decided_anew_where_the_endpoint_tells(
    s3: S3Client, shim: Shim, bucket_name: str
) -> None:
    """Who lies in a folder stays its owner; what came meanwhile may be too young to go."""
    s3.put_object(Bucket=bucket_name, Key="customers/1/a", Body=b"old")
    first = s3.head_object(Bucket=bucket_name, Key="customers/1/a")

    def before(seen: Seen) -> Answer | None:
        """S3 holds the ETag against what lies there; moto does not look at it."""
        if seen.operation != "DeleteObjects" or first["ETag"].strip('"') not in str(seen.body):
            return None
        s3.put_object(Bucket=bucket_name, Key="customers/1/a", Body=b"new")
        failed = "<Error><Key>customers/1/a</Key><Code>PreconditionFailed</Code></Error>"
        return Answer(200, [], f"<DeleteResult>{failed}</DeleteResult>".encode())

    shim.before = before
    made = connector(shim.endpoint, bucket_name, FILES)
    assert outcomes(erased(made, [number("1")], TrialContext())) == {"erased": 1}
    assert len(shim.of("DeleteObjects")) == 2
    s3.put_object(Bucket=bucket_name, Key="customers/1/a", Body=b"old")
    young = Rule("young", Since("last_modified", first["LastModified"]), Action.KEEP, ground="law")
    everything = Rule("default", Always(), Action.ERASE)
    ctx = TrialContext(tables={"files": DecisionTable("files", (young, everything))})
    assert outcomes(erased(made, [number("1")], ctx)) == {"retained": 1}


@pytest.mark.parametrize("versioning", ["Never", "Suspended"])
def test_an_endpoint_without_conditional_deletes_is_refused_by_name(
    s3: S3Client, shim: Shim, bucket_name: str, versioning: str
) -> None:
    """Nothing goes unguarded: `check` says so, erasing stops, and versioning is the remedy."""
    if versioning == "Suspended":
        suspended(s3, bucket_name)
    tagged(s3, bucket_name, "1", b"of 1")
    shim.ignoring = frozenset({"DeleteObject"})
    made = connector(shim.endpoint, bucket_name, UPLOADS, FILES)
    errors = [f for f in made.check() if f.severity is Severity.ERROR]
    assert [(f.subject, "If-Match of DeleteObject" in f.message) for f in errors] == [
        ("uploads", True)
    ]
    with pytest.raises(Configuration, match="versioning on"):
        erased(made, [number("1")], TrialContext())
    assert list(content(s3, bucket_name).values()) == [b"of 1"]
    versioned(s3, bucket_name)
    assert not [f for f in made.check() if f.severity is Severity.ERROR]
    assert outcomes(erased(made, [number("1")], TrialContext())) == {"erased": 1}
    assert content(s3, bucket_name) == {}


def test_an_endpoint_with_conditional_deletes_is_told_sound(
    s3: S3Client, shim: Shim, bucket_name: str
) -> None:
    """The probe leaves nothing behind."""
    suspended(s3, bucket_name)
    made = connector(shim.endpoint, bucket_name, UPLOADS)
    assert not [f for f in made.check() if f.severity is Severity.ERROR]
    assert content(s3, bucket_name) == {}


def test_an_emptied_object_stays_empty_where_no_delete_is_guarded(
    s3: S3Client, shim: Shim, bucket_name: str
) -> None:
    """`emptied: erase`: a record that somebody adds meanwhile does not go with the object."""
    emptied = replace(EVENTS, source={**EVENTS.source, "emptied": "erase"})
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines([event(1, "1")]))
    shim.ignoring = frozenset({"DeleteObject"})
    made = connector(shim.endpoint, bucket_name, emptied)
    assert outcomes(erased(made, [number("1")], TrialContext())) == {"erased": 1}
    assert content(s3, bucket_name) == {("events/a", "null"): b""}
