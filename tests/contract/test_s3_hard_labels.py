"""Hard layouts: tags and metadata say whose an object is. All is invented."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from dsr_worker.contract import (
    OWNER_CHANGED,
    Action,
    Configuration,
    DecisionTable,
    HeldRows,
    Identity,
    LeakScope,
    Rule,
)
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_erasures import ERASE, erased, outcomes
from tests.contract.s3_support import affected, connector, content, number, person, versioned

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

from tests.contract.s3_layouts import (
    LABELLED,
    LINKED,
    ORDERS,
    found,
    keys,
    objects,
    order,
    put,
    shop,
)


def test_tags_and_metadata_name_the_owner(s3: S3Client, s3_endpoint: str, bucket_name: str) -> None:
    """Hard case 19: each version is whose its own tag or metadata says; the others' stay."""
    versioned(s3, bucket_name)
    for tag, body in (("8", b"8s"), ("7", b"7s")):
        s3.put_object(Bucket=bucket_name, Key="up/a", Body=body, Tagging=f"customer={tag}")
    s3.put_object(
        Bucket=bucket_name, Key="up/b", Body=b"7m", Metadata={"Owner": "Anna@Shop.example"}
    )
    s3.put_object(Bucket=bucket_name, Key="up/c", Body=b"70", Tagging="customer=70")
    s3.put_object(Bucket=bucket_name, Key="up/d", Body=b"-", Tagging="reviewer=7")
    s3.put_object(Bucket=bucket_name, Key="up/e", Body=b"-")
    s3.put_object(Bucket=bucket_name, Key="elsewhere/f", Body=b"-", Tagging="customer=7")
    made = connector(s3_endpoint, bucket_name, LABELLED)
    anna = person("case", ("customer_number", "7"), ("email", "anna@shop.example"))
    ctx = TrialContext()
    records = list(made.find([anna], ctx))
    assert {b"".join(r.attachment.open()) for r in records if r.attachment} == {b"7s", b"7m"}
    assert ctx.calls > 2 * 6
    assert found(made, anna) == {"case": {"up/a", "up/b"}}
    people = {p.identities for p in affected(made, LeakScope("uploads", ()))}
    assert people == {(Identity("customer_number", n),) for n in ("7", "8", "70")} | {
        (Identity("email", "anna@shop.example"),)
    }
    assert outcomes(erased(made, [anna], TrialContext())) == {"erased": 2}
    left = sorted(content(s3, bucket_name).values())
    assert left == [b"(marker)", b"-", b"-", b"-", b"70", b"8s"]


def test_a_label_that_changed_hands_is_believed(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Hard case 19: located, then labelled as somebody else's, it stays; with no label it goes."""
    for key in ("up/a", "up/b"):
        s3.put_object(Bucket=bucket_name, Key=key, Body=b"x", Tagging="customer=7")
    made = connector(s3_endpoint, bucket_name, LABELLED)
    located = list(made.locate([number("7")], TrialContext()))
    hers: Any = {"TagSet": [{"Key": "customer", "Value": "8"}]}
    s3.put_object_tagging(Bucket=bucket_name, Key="up/a", Tagging=hers)
    s3.delete_object_tagging(Bucket=bucket_name, Key="up/b")
    (receipt,) = made.erase([number("7")], located, TrialContext())
    assert outcomes([receipt]) == {"erased": 1, "retained": 1}
    assert {o.ground for o in receipt.outcomes} == {"", OWNER_CHANGED}
    assert keys(s3, bucket_name) == {"up/a"}


def test_a_hold_by_a_label_or_by_a_row(s3: S3Client, s3_endpoint: str, bucket_name: str) -> None:
    """A tag's value holds its versions; a row's field cannot hold what it links, and says so."""
    for n in ("7", "8"):
        s3.put_object(Bucket=bucket_name, Key=f"up/{n}", Body=b"x", Tagging=f"customer={n}")
    put(s3, bucket_name, "papers/1.pdf")
    shop(s3, bucket_name, order(1, "7", "papers/1.pdf"))
    made = connector(s3_endpoint, bucket_name, LABELLED, ORDERS, LINKED)
    for name, field in (("uploads", "tag:customer"), ("papers", "row:customer")):
        hold = Rule("hold", HeldRows(field, ("7",)), Action.KEEP, "dispute")
        ctx = TrialContext(tables={name: DecisionTable(name, (hold, ERASE))})
        keys_ = [k for k in made.locate([number("7")], ctx) if k.collection == name]
        if name == "papers":
            with pytest.raises(Configuration):
                list(made.erase([number("7")], keys_, ctx))
        else:
            assert outcomes(list(made.erase([number("7")], keys_, ctx))) == {"retained": 1}
    assert {"up/7", "papers/1.pdf"} < keys(s3, bucket_name)


def test_a_label_is_not_taken_from_the_wrong_place() -> None:
    """A collection of labelled objects takes tags and metadata, and nothing else."""
    for field in ("key", "tag:", "customer"):
        wrong = objects("x", {"customer_number": field}, layout="objects", prefix="")
        with pytest.raises(Configuration):
            connector("http://127.0.0.1:1", "some-bucket", wrong)


def test_what_is_derived_of_labelled_objects_goes_too(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Hard case 20: a thumbnail with no label is its object's; with another's label it is not."""
    s3.put_object(Bucket=bucket_name, Key="up/a.jpg", Body=b"x", Tagging="customer=7")
    s3.put_object(Bucket=bucket_name, Key="up/b.jpg", Body=b"x", Tagging="customer=7")
    s3.put_object(Bucket=bucket_name, Key="up/b.thumb.jpg", Body=b"x", Tagging="customer=8")
    put(s3, bucket_name, "up/a.thumb.jpg", "up/c.thumb.jpg")
    made = connector(s3_endpoint, bucket_name, LABELLED)
    assert found(made, number("7")) == {"case-7": {"up/a.jpg", "up/a.thumb.jpg", "up/b.jpg"}}
    located = list(made.locate([number("7")], TrialContext()))
    s3.delete_object(Bucket=bucket_name, Key="up/a.jpg")
    receipts = list(made.erase([number("7")], located, TrialContext()))
    assert outcomes(receipts) == {"already_gone": 1, "erased": 2}
    assert keys(s3, bucket_name) == {"up/b.thumb.jpg", "up/c.thumb.jpg"}
