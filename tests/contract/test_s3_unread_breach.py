"""A breach: what cannot be looked into is named, and everybody else in the scope is counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from connectors.s3 import S3
from dsr_worker.contract import AffectedPerson, LeakScope, Remainder, Unseen
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_erasures import event
from tests.contract.s3_layouts import LINKED, ORDERS, objects
from tests.contract.s3_support import EVENTS, connector, lines

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Answers = Callable[..., None]
UPLOADS = objects(
    "uploads", {"customer_number": "tag:customer"}, layout="objects", prefix="uploads/"
)


def answered(made: S3, collection: str) -> tuple[set[str], list[Unseen]]:
    """The customers in a scope, and what is unseen of it."""
    found = list(made.affected([LeakScope(collection, ())], TrialContext()))
    people = [one for one in found if isinstance(one, AffectedPerson)]
    numbers = {i.value for one in people for i in one.identities}
    return numbers, [one for one in found if isinstance(one, Unseen)]


def test_an_archived_object_stops_no_breach(
    s3: S3Client, s3_endpoint: str, bucket_name: str, answers: Answers
) -> None:
    """Hard case 27: an archived and a denied object are named by digest, whatever their order."""
    for n, key in enumerate(("events/a", "events/b", "events/c", "events/d"), 1):
        archived = {"StorageClass": "GLACIER"} if key == "events/a" else {}
        body = lines([event(n, str(n))])
        s3.put_object(Bucket=bucket_name, Key=key, Body=body, **archived)  # type: ignore[arg-type] # a class of storage
    answers("GetObject", f"{bucket_name}/events/c", "AccessDenied")
    made = connector(s3_endpoint, bucket_name, EVENTS)
    people, unseen = answered(made, "events")
    assert people == {"2", "4"}
    digest = TrialContext().digest
    assert {(one.digest, one.ground) for one in unseen} == {
        (digest("events", ("events/a",)), Remainder.ARCHIVED),
        (digest("events", ("events/c",)), Remainder.DENIED),
    }


def test_rows_that_cannot_be_read_may_link_anybodys_object(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Hard case 18: who links an object in an archived row is not counted, and that is told."""
    for n, storage in enumerate(("STANDARD", "GLACIER"), 1):
        row = {"order_id": f"o{n}", "customer": str(n), "papers": f"papers/{n}", "at": "2026-01-01"}
        key = f"orders/{n}"
        s3.put_object(Bucket=bucket_name, Key=key, Body=lines([row]), StorageClass=storage)  # type: ignore[arg-type] # as above
        s3.put_object(Bucket=bucket_name, Key=f"papers/{n}", Body=b"paper")
    people, unseen = answered(connector(s3_endpoint, bucket_name, ORDERS, LINKED), "papers")
    assert people == {"1"}
    assert [one.ground for one in unseen] == [Remainder.ARCHIVED]


def test_labels_that_are_denied_are_told(
    s3: S3Client, s3_endpoint: str, bucket_name: str, answers: Answers
) -> None:
    """Hard case 19: an object whose tags we may not see may be anybody's."""
    for n in (1, 2):
        s3.put_object(Bucket=bucket_name, Key=f"uploads/{n}", Tagging=f"customer={n}")
    answers("GetObjectTagging", f"{bucket_name}/uploads/1", "AccessDenied")
    people, unseen = answered(connector(s3_endpoint, bucket_name, UPLOADS), "uploads")
    assert people == {"2"}
    assert [one.ground for one in unseen] == [Remainder.DENIED]
