"""Objects under a person's own prefix: exactly theirs, with every version, and no others."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dsr_worker.contract import (
    Action,
    Affected,
    Connector,
    DecisionTable,
    Erases,
    HeldSubjects,
    Mentions,
    Resolves,
    Rule,
    Sweeps,
)
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_support import (
    EVENTS,
    FILES,
    connector,
    content,
    lines,
    number,
    person,
    versioned,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

from tests.contract.s3_erasures import ERASE, erased, outcomes


def test_it_is_what_it_says(s3_endpoint: str, bucket_name: str) -> None:
    """The connector offers every protocol that it documents."""
    made = connector(s3_endpoint, bucket_name, FILES)
    for protocol in (Connector, Resolves, Erases, Mentions, Sweeps, Affected):
        assert isinstance(made, protocol)


def test_only_the_whole_segment_is_the_person(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Customer 1 is neither 10, nor 1x, nor the empty segment; neighbours stay byte-identical."""
    keys = ["customers/1/a.pdf", "customers/1/deep/b", "customers/10/a.pdf", "customers/1x/a"]
    keys += ["customers//a", "customers/1", "other/customers/1/a", "customers/01/a"]
    for key in keys:
        s3.put_object(Bucket=bucket_name, Key=key, Body=key.encode())
    made = connector(s3_endpoint, bucket_name, FILES)
    receipts = erased(made, [number("1")], TrialContext())
    assert outcomes(receipts) == {"erased": 2}
    assert {k: v for (k, _), v in content(s3, bucket_name).items()} == {
        k: k.encode() for k in keys[2:]
    }


def test_customer_zero_is_a_customer(s3: S3Client, s3_endpoint: str, bucket_name: str) -> None:
    """An identity that is false in some language is still an identity, in both layouts."""
    s3.put_object(Bucket=bucket_name, Key="customers/0/a", Body=b"x")
    rest = lines([{"event_id": "2", "customer": False}, {"event_id": "3", "customer": 0.0}])
    mine = lines([{"event_id": "1", "customer": 0}, {"event_id": "4", "customer": "0"}])
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=mine + rest)
    receipts = erased(
        connector(s3_endpoint, bucket_name, FILES, EVENTS), [number("0")], TrialContext()
    )
    assert outcomes(receipts) == {"erased": 3}
    assert {k: v for (k, _), v in content(s3, bucket_name).items()} == {"events/a": rest}


HOSTILE = ("", "%", "_", "*", "../", "..", "1/../10", "/", "null", "\u0661", "1\n", "'", '"')


def test_a_hostile_identity_finds_nothing(s3: S3Client, s3_endpoint: str, bucket_name: str) -> None:
    """No spelling of an identity widens what is found, alone or in a batch."""
    s3.put_object(Bucket=bucket_name, Key="customers/1/a", Body=b"x")
    s3.put_object(Bucket=bucket_name, Key="customers//a", Body=b"x")
    seen = {"event_id": "1", "customer": "1", "user": {"email": None}}
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines([seen, {"customer": ""}, {}]))
    before = content(s3, bucket_name)
    made = connector(s3_endpoint, bucket_name, FILES, EVENTS)
    people = [
        person(f"case-{n}", ("customer_number", value), ("email", value))
        for n, value in enumerate((*HOSTILE, "9" * 10_000))
    ]
    for batch in (*([one] for one in people), people):
        assert list(made.find(batch, TrialContext())) == []
    receipts = erased(made, people, TrialContext())
    assert len(receipts) == 2 * len(people)
    assert outcomes(receipts) == {}
    assert content(s3, bucket_name) == before


def test_no_version_and_no_marker_remains(s3: S3Client, s3_endpoint: str, bucket_name: str) -> None:
    """Current and old versions and delete markers go; the neighbour's versions stay."""
    versioned(s3, bucket_name)
    for number_ in ("1", "10"):
        for body in (b"old", b"new"):
            s3.put_object(Bucket=bucket_name, Key=f"customers/{number_}/a", Body=body)
        s3.put_object(Bucket=bucket_name, Key=f"customers/{number_}/gone", Body=b"was here")
        s3.delete_object(Bucket=bucket_name, Key=f"customers/{number_}/gone")
    neighbour = {
        k: v for k, v in content(s3, bucket_name).items() if k[0].startswith("customers/10/")
    }
    made = connector(s3_endpoint, bucket_name, FILES)
    records = list(made.find([number("1")], TrialContext()))
    assert len(records) == 4
    texts = {b"".join(r.attachment.open()) for r in records if r.attachment is not None}
    assert texts == {b"old", b"new", b"was here"}
    assert outcomes(erased(made, [number("1")], TrialContext())) == {"erased": 4}
    assert content(s3, bucket_name) == neighbour
    assert list(made.locate([number("1")], TrialContext(second_path=True))) == []


def test_a_locked_version_is_a_remainder(s3: S3Client, s3_endpoint: str, bucket_name: str) -> None:
    """Object Lock keeps its version and the marker that hides it; both are named with a ground."""
    versioned(s3, bucket_name)
    s3.put_object_lock_configuration(
        Bucket=bucket_name, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"}
    )
    s3.put_object(
        Bucket=bucket_name,
        Key="customers/1/locked",
        Body=b"kept",
        ObjectLockMode="COMPLIANCE",
        ObjectLockRetainUntilDate=datetime(2099, 1, 1, tzinfo=UTC),
    )
    s3.delete_object(Bucket=bucket_name, Key="customers/1/locked")
    s3.put_object(Bucket=bucket_name, Key="customers/1/free", Body=b"goes")
    made = connector(s3_endpoint, bucket_name, FILES)
    planned = outcomes(erased(made, [number("1")], TrialContext(dry_run=True)))
    receipts = erased(made, [number("1")], TrialContext())
    assert outcomes(receipts) == planned == {"erased": 1, "retained": 2}
    assert {o.ground for r in receipts for o in r.outcomes} == {
        "",
        "store-lock",
        "store-beside",
    }
    assert sorted(content(s3, bucket_name).values()) == [b"(marker)", b"kept"]


def test_many_people_cost_one_listing(s3: S3Client, s3_endpoint: str, bucket_name: str) -> None:
    """A batch larger than the bucket is one listing of objects and one of unfinished uploads.

    It finds what single listings find.
    """
    people = [number(str(n)) for n in range(60)]
    for n in range(0, 60, 6):
        s3.put_object(Bucket=bucket_name, Key=f"customers/{n}/a", Body=b"x")
    made = connector(s3_endpoint, bucket_name, FILES)
    together, apart = TrialContext(), TrialContext()
    found = {(k.subject_ref, k.key) for k in made.locate(people, together)}
    assert found == {(k.subject_ref, k.key) for p in people for k in made.locate([p], apart)}
    assert len(found) == 10
    assert together.calls == 2


def test_a_hold_keeps_what_is_held(s3: S3Client, s3_endpoint: str, bucket_name: str) -> None:
    """A held subject's objects stay and their keys are digested as kept; the others' go."""
    for n in ("1", "2"):
        s3.put_object(Bucket=bucket_name, Key=f"customers/{n}/a", Body=b"x")
    hold = Rule("hold", HeldSubjects(frozenset({"case-2"})), Action.KEEP, "dispute")
    ctx = TrialContext(tables={"files": DecisionTable("files", (hold, ERASE))})
    receipts = erased(connector(s3_endpoint, bucket_name, FILES), [number("1"), number("2")], ctx)
    assert outcomes(receipts) == {"erased": 1, "retained": 1}
    assert receipts[1].kept == {ctx.digest("files", ("customers/2/a",))}
    assert [k for k, _ in content(s3, bucket_name)] == ["customers/2/a"]
