"""The S3 connector looks again: located keys by themselves, identities beside them, nobody else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dsr_worker.contract import (
    Action,
    Always,
    DecisionTable,
    Field,
    HeldRows,
    Key,
    Mask,
    MaskKind,
    Rechecks,
    Rule,
    Since,
    Subject,
)
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_support import (
    EVENTS,
    EXPORTS,
    FILES,
    connector,
    lines,
    number,
    person,
    versioned,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from connectors.s3 import S3

ERASE = Rule("default", Always(), Action.ERASE)
PSEUDONYM = Mask(MaskKind.PSEUDONYM)
MASKED_EVENTS = replace(
    EVENTS,
    takes={"customer_number": EVENTS.takes["customer_number"]},
    fields={**EVENTS.fields, "customer": Field("customer", "user.unique_id", PSEUDONYM)},
)
ANNA = person("anna", ("customer_number", "1"), ("email", "anna@mail.example"))


def again(made: S3, subjects: list[Subject], keys: list[Key]) -> list[Key]:
    """What a recheck tells, in a stable order."""
    assert isinstance(made, Rechecks)
    found = made.recheck(subjects, keys, TrialContext(second_path=True))
    return sorted(found, key=lambda key: (key.subject_ref, key.collection, key.key))


def located(made: S3, subjects: list[Subject]) -> list[Key]:
    """The located keys, in the same order."""
    found = made.locate(subjects, TrialContext())
    return sorted(found, key=lambda key: (key.subject_ref, key.collection, key.key))


def fill(s3: S3Client, name: str) -> None:
    """Two people in every layout, with versions, a marker and an old copy of a shared object."""
    versioned(s3, name)
    for body in (b"one", b"two"):
        s3.put_object(Bucket=name, Key="customers/1/a.txt", Body=body)
    s3.delete_object(Bucket=name, Key="customers/1/a.txt")
    s3.put_object(Bucket=name, Key="customers/2/a.txt", Body=b"other")
    for body in (
        lines([{"event_id": "e1", "customer": 1}]),
        lines([{"event_id": "e2", "customer": 1}, {"event_id": "e3", "customer": 2}]),
    ):
        s3.put_object(Bucket=name, Key="events/a", Body=body)
    rows = "row_id,email,name\r\nr1,Anna@mail.example,A\r\nr2,ben@mail.example,B\r\n"
    s3.put_object(Bucket=name, Key="exports/x.csv", Body=rows.encode())


def test_before_an_erasure_every_located_key_comes_back_once(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """The second path sees what the first one saw: versions, markers, lines of old copies too."""
    fill(s3, bucket_name)
    made = connector(s3_endpoint, bucket_name, FILES, EVENTS, EXPORTS)
    keys = located(made, [ANNA, number("2")])
    assert len(keys) == 8
    assert again(made, [ANNA, number("2")], keys) == keys
    assert again(made, [ANNA, number("2")], []) == keys


def test_a_located_key_is_found_although_no_identity_leads_there(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Whatever became of the identities, a version that was located and is there is told."""
    fill(s3, bucket_name)
    made = connector(s3_endpoint, bucket_name, FILES)
    keys = located(made, [ANNA])
    stranger = person("anna", ("customer_number", "77"))
    assert again(made, [stranger], keys) == keys


def test_after_an_erasure_nothing_is_left_and_what_comes_back_is_seen(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """An erased line that somebody writes again under the same key is not called erased."""
    fill(s3, bucket_name)
    made = connector(s3_endpoint, bucket_name, FILES, EVENTS, EXPORTS)
    keys = located(made, [ANNA])
    list(made.erase([ANNA], keys, TrialContext()))
    assert again(made, [ANNA], keys) == []
    s3.put_object(
        Bucket=bucket_name, Key="events/a", Body=lines([{"event_id": "e2", "customer": "1"}] * 2)
    )
    assert again(made, [ANNA], keys) == [Key("anna", "events", ("events/a", "e2"))]
    assert again(made, [ANNA], []) == [Key("anna", "events", ("events/a", "e2"))]


def test_what_stays_is_told_and_can_be_subtracted(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """A masked line names nobody any more; by its key it is found, and its digest was kept."""
    records = [
        {"event_id": "e1", "at": "2026-06-01T00:00:00Z", "customer": "1"},
        {"event_id": "e2", "at": "2020-06-01T00:00:00Z", "customer": "1"},
        {"event_id": "e3", "customer": "1"},
        {"event_id": "e4", "customer": "2"},
    ]
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines(records))
    s3.put_object(Bucket=bucket_name, Key="customers/1/a", Body=b"x")
    s3.put_object(Bucket=bucket_name, Key="customers/1/b", Body=b"x")
    minimum = Rule(
        "minimum",
        Since("at", datetime(2026, 3, 1, tzinfo=UTC)),
        Action.MASK,
        "law",
        {"customer": PSEUDONYM},
    )
    held = Rule("hold", HeldRows("event_id", ("e3",)), Action.KEEP, "matter")
    held_file = Rule("hold", HeldRows("key", ("customers/1/b",)), Action.KEEP, "matter")
    ctx = TrialContext(
        tables={
            "events": DecisionTable("events", (held, minimum, ERASE)),
            "files": DecisionTable("files", (held_file, ERASE)),
        }
    )
    made = connector(s3_endpoint, bucket_name, FILES, MASKED_EVENTS)
    keys = located(made, [ANNA])
    receipts = list(made.erase([ANNA], keys, ctx))
    left = again(made, [ANNA], keys)
    assert {key.key for key in left} == {
        ("events/a", "e1"),
        ("events/a", "e3"),
        ("customers/1/b",),
    }
    kept = frozenset[str]().union(*(receipt.kept for receipt in receipts))
    assert {ctx.digest(key.collection, key.key) for key in left} == kept


def test_somebody_elses_line_with_the_same_key_is_not_the_persons(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Writers reuse keys: a located key counts where its line names the person, or a mask."""
    shared = [{"event_id": "e1", "customer": "1"}, {"event_id": "e1", "customer": "2"}]
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines(shared))
    made = connector(s3_endpoint, bucket_name, MASKED_EVENTS)
    keys = located(made, [ANNA])
    list(made.erase([ANNA], keys, TrialContext()))
    assert again(made, [ANNA], keys) == []
    assert [k.key for k in located(made, [number("2")])] == [("events/a", "e1")]
