"""The S3 connector against a real S3 API: never the wrong person, never more than asked."""

from __future__ import annotations

import csv as stdlib_csv
import gzip
import io
import json
import logging
import resource
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib import resources
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.s3.bucket import Bucket
from connectors.s3.csv_records import CsvEntry, csv
from connectors.s3.owners import Owners
from connectors.s3.records import BOM, JsonEntry, Piece, line_blocks, ndjson, opened
from dsr_worker.contract import (
    Action,
    Affected,
    Always,
    Before,
    Configuration,
    Connector,
    DecisionTable,
    Erases,
    HeldPeople,
    HeldRows,
    HeldSubjects,
    Identity,
    LeakScope,
    Mask,
    MaskKind,
    Mentions,
    NeedsHuman,
    Outcome,
    Receipt,
    Resolves,
    Rule,
    Severity,
    Since,
    Subject,
    SweepOrder,
    Sweeps,
)
from dsr_worker.datamap import read_system
from dsr_worker.testing.context import TrialContext
from dsr_worker.testing.shop import Shop
from dsr_worker.testing.shop.load import load_s3
from tests.contract.s3_support import (
    EVENTS,
    EXPORTS,
    FILES,
    connector,
    content,
    current,
    lines,
    members,
    number,
    person,
    versioned,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from connectors.s3 import S3

ERASE = Rule("default", Always(), Action.ERASE)


class Crash(BaseException):
    """The worker dies here."""


def crash() -> None:
    """Die."""
    raise Crash


@pytest.fixture
def name(bucket: Callable[[], str]) -> str:
    """A bucket."""
    return bucket()


def erased(s3_connector: S3, subjects: Sequence[Subject], ctx: TrialContext) -> list[Receipt]:
    """Locate, then erase what was located; the receipts must add up to it."""
    keys = list(s3_connector.locate(subjects, ctx))
    receipts = list(s3_connector.erase(subjects, keys, ctx))
    assert sum(r.rows for r in receipts) == len(keys)
    return receipts


def outcomes(receipts: Sequence[Receipt]) -> dict[str, int]:
    """Rows by outcome over all receipts."""
    counts: dict[str, int] = {}
    for receipt in receipts:
        for outcome in receipt.outcomes:
            if outcome.rows:
                counts[outcome.outcome] = counts.get(outcome.outcome, 0) + outcome.rows
    return counts


# ---- prefixes


def test_it_is_what_it_says(s3_endpoint: str, name: str) -> None:
    """The connector offers every protocol that it documents."""
    made = connector(s3_endpoint, name, FILES)
    for protocol in (Connector, Resolves, Erases, Mentions, Sweeps, Affected):
        assert isinstance(made, protocol)


def test_only_the_whole_segment_is_the_person(s3: S3Client, s3_endpoint: str, name: str) -> None:
    """Customer 1 is neither 10, nor 1x, nor the empty segment; neighbours stay byte-identical."""
    keys = ["customers/1/a.pdf", "customers/1/deep/b", "customers/10/a.pdf", "customers/1x/a"]
    keys += ["customers//a", "customers/1", "other/customers/1/a", "customers/01/a"]
    for key in keys:
        s3.put_object(Bucket=name, Key=key, Body=key.encode())
    made = connector(s3_endpoint, name, FILES)
    receipts = erased(made, [number("1")], TrialContext())
    assert outcomes(receipts) == {"erased": 2}
    assert {k: v for (k, _), v in content(s3, name).items()} == {k: k.encode() for k in keys[2:]}


def test_customer_zero_is_a_customer(s3: S3Client, s3_endpoint: str, name: str) -> None:
    """An identity that is false in some language is still an identity, in both layouts."""
    s3.put_object(Bucket=name, Key="customers/0/a", Body=b"x")
    rest = lines([{"event_id": "2", "customer": False}, {"event_id": "3", "customer": 0.0}])
    mine = lines([{"event_id": "1", "customer": 0}, {"event_id": "4", "customer": "0"}])
    s3.put_object(Bucket=name, Key="events/a", Body=mine + rest)
    receipts = erased(connector(s3_endpoint, name, FILES, EVENTS), [number("0")], TrialContext())
    assert outcomes(receipts) == {"erased": 3}
    assert {k: v for (k, _), v in content(s3, name).items()} == {"events/a": rest}


HOSTILE = ("", "%", "_", "*", "../", "..", "1/../10", "/", "null", "\u0661", "1\n", "'", '"')


def test_a_hostile_identity_finds_nothing(s3: S3Client, s3_endpoint: str, name: str) -> None:
    """No spelling of an identity widens what is found, alone or in a batch."""
    s3.put_object(Bucket=name, Key="customers/1/a", Body=b"x")
    s3.put_object(Bucket=name, Key="customers//a", Body=b"x")
    seen = {"event_id": "1", "customer": "1", "user": {"email": None}}
    s3.put_object(Bucket=name, Key="events/a", Body=lines([seen, {"customer": ""}, {}]))
    before = content(s3, name)
    made = connector(s3_endpoint, name, FILES, EVENTS)
    people = [
        person(f"case-{n}", ("customer_number", value), ("email", value))
        for n, value in enumerate((*HOSTILE, "9" * 10_000))
    ]
    for batch in (*([one] for one in people), people):
        assert list(made.find(batch, TrialContext())) == []
    receipts = erased(made, people, TrialContext())
    assert len(receipts) == 2 * len(people)
    assert outcomes(receipts) == {}
    assert content(s3, name) == before


def test_no_version_and_no_marker_remains(s3: S3Client, s3_endpoint: str, name: str) -> None:
    """Current and old versions and delete markers go; the neighbour's versions stay."""
    versioned(s3, name)
    for number_ in ("1", "10"):
        for body in (b"old", b"new"):
            s3.put_object(Bucket=name, Key=f"customers/{number_}/a", Body=body)
        s3.put_object(Bucket=name, Key=f"customers/{number_}/gone", Body=b"was here")
        s3.delete_object(Bucket=name, Key=f"customers/{number_}/gone")
    neighbour = {k: v for k, v in content(s3, name).items() if k[0].startswith("customers/10/")}
    made = connector(s3_endpoint, name, FILES)
    records = list(made.find([number("1")], TrialContext()))
    assert len(records) == 4
    texts = {b"".join(r.attachment.open()) for r in records if r.attachment is not None}
    assert texts == {b"old", b"new", b"was here"}
    assert outcomes(erased(made, [number("1")], TrialContext())) == {"erased": 4}
    assert content(s3, name) == neighbour
    assert list(made.locate([number("1")], TrialContext(second_path=True))) == []


def test_a_locked_version_is_a_remainder(s3: S3Client, s3_endpoint: str, name: str) -> None:
    """Object Lock keeps its version and the marker that hides it; both are named with a ground."""
    versioned(s3, name)
    s3.put_object_lock_configuration(
        Bucket=name, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"}
    )
    s3.put_object(
        Bucket=name,
        Key="customers/1/locked",
        Body=b"kept",
        ObjectLockMode="COMPLIANCE",
        ObjectLockRetainUntilDate=datetime(2099, 1, 1, tzinfo=UTC),
    )
    s3.delete_object(Bucket=name, Key="customers/1/locked")
    s3.put_object(Bucket=name, Key="customers/1/free", Body=b"goes")
    made = connector(s3_endpoint, name, FILES)
    planned = outcomes(erased(made, [number("1")], TrialContext(dry_run=True)))
    receipts = erased(made, [number("1")], TrialContext())
    assert outcomes(receipts) == planned == {"erased": 1, "retained": 2}
    assert {o.ground for r in receipts for o in r.outcomes} == {
        "",
        "s3-object-lock",
        "s3-hides-version",
    }
    assert sorted(content(s3, name).values()) == [b"(marker)", b"kept"]


def test_many_people_cost_one_listing(s3: S3Client, s3_endpoint: str, name: str) -> None:
    """A batch larger than the bucket is one listing, and finds what single listings find."""
    people = [number(str(n)) for n in range(60)]
    for n in range(0, 60, 6):
        s3.put_object(Bucket=name, Key=f"customers/{n}/a", Body=b"x")
    made = connector(s3_endpoint, name, FILES)
    together, apart = TrialContext(), TrialContext()
    found = {(k.subject_ref, k.key) for k in made.locate(people, together)}
    assert found == {(k.subject_ref, k.key) for p in people for k in made.locate([p], apart)}
    assert len(found) == 10
    assert together.calls == 1


def test_a_hold_keeps_what_is_held(s3: S3Client, s3_endpoint: str, name: str) -> None:
    """A held subject's objects stay and their keys are digested as kept; the others' go."""
    for n in ("1", "2"):
        s3.put_object(Bucket=name, Key=f"customers/{n}/a", Body=b"x")
    hold = Rule("hold", HeldSubjects(frozenset({"case-2"})), Action.KEEP, "dispute")
    ctx = TrialContext(tables={"files": DecisionTable("files", (hold, ERASE))})
    receipts = erased(connector(s3_endpoint, name, FILES), [number("1"), number("2")], ctx)
    assert outcomes(receipts) == {"erased": 1, "retained": 1}
    assert receipts[1].kept == {ctx.digest("files", ("customers/2/a",))}
    assert [k for k, _ in content(s3, name)] == ["customers/2/a"]


# ---- lines


def event(n: int, customer: object, **more: object) -> dict[str, object]:
    """An invented event."""
    return {"event_id": f"e{n}", "at": "2026-01-01T00:00:00Z", "customer": customer, **more}


def test_other_lines_pass_byte_for_byte(s3: S3Client, s3_endpoint: str, name: str) -> None:
    """Odd spacing, number spellings, blank and broken lines, BOM, CRLF: all stay as they were."""
    others = [
        b'{ "event_id":"a", "customer" : "10", "price": 1.10e1 }\r\n',
        b"\n",
        b'{"event_id":"b","customer":1.0}\n',
        b'{"event_id":"c","customer":true}\n',
        b"not json at all\n",
        '{"event_id":"d","customer":["1"],"note":"Käse 1"}\n'.encode(),
        b'{"event_id":"e","customer":"10","referrer":"1"}',
    ]
    mine = [b'{"event_id":"x","customer":1}\r\n', b'{"event_id":"y","customer":"\\u0031"}\n']
    body = BOM + mine[0] + b"".join(others[:3]) + mine[1] + b"".join(others[3:])
    s3.put_object(Bucket=name, Key="events/a", Body=body)
    made = connector(s3_endpoint, name, EVENTS)
    assert outcomes(erased(made, [number("1")], TrialContext())) == {"erased": 2}
    assert current(s3, name, "events/a") == BOM + b"".join(others)


def test_whole_numbers_keep_all_their_digits(s3: S3Client, s3_endpoint: str, name: str) -> None:
    """Neighbouring numbers beyond 64 bits are two people."""
    huge = 2**70
    body = lines([event(1, huge), event(2, huge + 1)])
    s3.put_object(Bucket=name, Key="events/a", Body=body)
    made = connector(s3_endpoint, name, EVENTS)
    assert outcomes(erased(made, [number(str(huge))], TrialContext())) == {"erased": 1}
    assert current(s3, name, "events/a") == lines([event(2, huge + 1)])


def test_gzip_is_told_by_content_and_keeps_its_headers(
    s3: S3Client, s3_endpoint: str, name: str
) -> None:
    """Several gzip members under any name are one stream; headers, metadata and tags survive."""
    first, second = lines([event(1, "1"), event(2, "2")]), lines([event(3, "3"), event(4, "1")])
    s3.put_object(
        Bucket=name,
        Key="events/log.txt",
        Body=members(first, second),
        ContentType="application/x-ndjson",
        CacheControl="no-store",
        Metadata={"shipper": "one"},
        Tagging="team=shop&a=b%2Bc%3D1",
        StorageClass="STANDARD_IA",
    )
    made = connector(s3_endpoint, name, EVENTS)
    assert outcomes(erased(made, [number("1")], TrialContext())) == {"erased": 2}
    expected = lines([event(2, "2"), event(3, "3")])
    assert gzip.decompress(current(s3, name, "events/log.txt")) == expected
    head = s3.head_object(Bucket=name, Key="events/log.txt")
    assert (head["ContentType"], head["CacheControl"]) == ("application/x-ndjson", "no-store")
    assert (head["Metadata"], head["StorageClass"]) == ({"shipper": "one"}, "STANDARD_IA")
    tags = s3.get_object_tagging(Bucket=name, Key="events/log.txt")["TagSet"]
    assert {t["Key"]: t["Value"] for t in tags} == {"team": "shop", "a": "b+c=1"}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (gzip.compress(lines([event(1, "1")]) * 500)[:-20], "cut-gzip"),
        (b"PAR1 and so on", "parquet"),
        (b"\x28\xb5\x2f\xfd....", "zstd"),
        ("\ufeff{}".encode("utf-16-le"), "utf-16"),
        (b'{\n  "pretty": 1\n', "not-ndjson"),
    ],
)
def test_what_cannot_be_read_stops_for_a_person(
    s3: S3Client, s3_endpoint: str, name: str, body: bytes, reason: str
) -> None:
    """An object that is not what the map says is never taken for one without the person."""
    s3.put_object(Bucket=name, Key="events/anna@shop.example", Body=body)
    made = connector(s3_endpoint, name, EVENTS)
    with pytest.raises(NeedsHuman) as stop:
        list(made.find([number("1")], TrialContext(second_path=True)))
    assert stop.value.fields["reason"] == reason
    assert "anna" not in repr(stop.value.fields)


def test_csv_records_survive_quotes_and_newlines(s3: S3Client, s3_endpoint: str, name: str) -> None:
    """Quoted newlines, doubled quotes, stray quotes and a BOM: only the person's records go."""
    head = b"row_id,email,name,comment\r\n"
    others = [
        b'1,bo@shop.example,"Bo ""B"" Berg","two\r\nlines, and anna@shop.example"\r\n',
        b'2,hanna@shop.example,5" pipe,x\n',
        b'3,"anna@shop.example.test",,\n',
        b"4,bo@shop.example",
    ]
    mine = [b'5,"Anna@Shop.example","A","my\nown"\r\n', b"6,anna@shop.example,A,\n"]
    body = BOM + head + others[0] + mine[0] + others[1] + mine[1] + others[2] + others[3]
    s3.put_object(Bucket=name, Key="exports/a.csv", Body=body)
    made = connector(s3_endpoint, name, EXPORTS)
    anna = person("case", ("email", "anna@shop.example"))
    found = [json.loads(r.body) for r in made.find([anna], TrialContext())]
    assert [r["comment"] for r in found] == ["my\nown", ""]
    assert outcomes(erased(made, [anna], TrialContext())) == {"erased": 2}
    assert current(s3, name, "exports/a.csv") == BOM + head + b"".join(others)
    assert [m.key for m in made.mentions([anna], TrialContext())] == [
        ("exports/a.csv", "1"),
        ("exports/a.csv", "3"),
    ]


def test_a_csv_without_its_owner_column_stops(s3: S3Client, s3_endpoint: str, name: str) -> None:
    """A renamed column is a question for a person, not an empty answer."""
    s3.put_object(Bucket=name, Key="exports/a.csv", Body=b"row_id,mail\n1,anna@shop.example\n")
    made = connector(s3_endpoint, name, EXPORTS)
    with pytest.raises(NeedsHuman, match="s3-unreadable-object"):
        list(made.find([person("case", ("email", "anna@shop.example"))], TrialContext()))


def test_an_emptied_object_stays(s3: S3Client, s3_endpoint: str, name: str) -> None:
    """An object without records left is an empty object: nobody guesses that it may go."""
    s3.put_object(Bucket=name, Key="events/a", Body=lines([event(1, "1")]))
    erased(connector(s3_endpoint, name, EVENTS), [number("1")], TrialContext())
    assert current(s3, name, "events/a") == b""


def test_old_versions_of_shared_objects(s3: S3Client, s3_endpoint: str, name: str) -> None:
    """Old versions with the person's records go; those without them stay; a row is one row."""
    versioned(s3, name)
    clean, both = lines([event(2, "2")]), lines([event(1, "1"), event(2, "2")])
    for body in (clean, both, lines([event(1, "1", seen=2), event(2, "2"), event(3, "2")])):
        s3.put_object(Bucket=name, Key="events/a", Body=body)
    made = connector(s3_endpoint, name, EVENTS)
    assert len(list(made.find([number("1")], TrialContext()))) == 2
    assert outcomes(erased(made, [number("1")], TrialContext())) == {"erased": 1}
    assert sorted(content(s3, name).values()) == sorted(
        [clean, lines([event(2, "2"), event(3, "2")])]
    )
    assert list(made.locate([number("1")], TrialContext(second_path=True))) == []


def test_an_old_version_with_held_rows_stays(s3: S3Client, s3_endpoint: str, name: str) -> None:
    """What a hold protects and the current version lacks keeps its old version, with a ground."""
    versioned(s3, name)
    old = lines([event(1, "1"), event(2, "2")])
    s3.put_object(Bucket=name, Key="events/a", Body=old)
    s3.put_object(Bucket=name, Key="events/a", Body=lines([event(3, "3")]))
    hold = Rule("hold", HeldRows("event_id", ("e2",)), Action.KEEP, "matter")
    ctx = TrialContext(tables={"events": DecisionTable("events", (hold, ERASE))})
    receipts = erased(connector(s3_endpoint, name, EVENTS), [number("1")], ctx)
    assert [(o.outcome, o.ground) for o in receipts[0].outcomes] == [
        (Outcome.RETAINED, "s3-noncurrent-version")
    ]
    assert old in content(s3, name).values()


def test_minimum_masks_and_repeats(s3: S3Client, s3_endpoint: str, name: str) -> None:
    """A record inside its minimum is masked, other values as spelled; twice is once."""
    kept = b'{"event_id":"e1","at":"2026-06-01T00:00:00Z","customer":"1","price":1.10,"n":1E2}\n'
    other = b'{"event_id":"e3", "customer":"2"}\n'
    s3.put_object(Bucket=name, Key="events/a", Body=kept + lines([event(2, "1")]) + other)
    masks = {"customer": Mask(MaskKind.PSEUDONYM), "name": Mask(MaskKind.NULL)}
    since = Since("at", datetime(2026, 3, 1, tzinfo=UTC))
    minimum = Rule("minimum", since, Action.MASK, "law", masks, "at")
    ctx = TrialContext(tables={"events": DecisionTable("events", (minimum, ERASE))})
    made = connector(s3_endpoint, name, EVENTS)
    keys = list(made.locate([number("1")], ctx))
    receipt = next(iter(made.erase([number("1")], keys, ctx)))
    counts = {o.outcome: (o.rows, o.fields, o.latest_at) for o in receipt.outcomes}
    assert counts[Outcome.MASKED] == (1, 1, datetime(2026, 6, 1, tzinfo=UTC))
    assert counts[Outcome.ERASED][0] == 1
    assert receipt.kept == {ctx.digest("events", ("events/a", "e1"))}
    pseudonym = ctx.pseudonym("case-1", "1").encode()
    after = kept.replace(b'"customer":"1"', b'"customer":"' + pseudonym + b'"') + other
    assert current(s3, name, "events/a") == after
    again = next(iter(made.erase([number("1")], keys, ctx)))
    assert {o.outcome: (o.rows, o.fields) for o in again.outcomes} == {
        Outcome.MASKED: (1, 0),
        Outcome.ALREADY_GONE: (1, 0),
    }
    assert current(s3, name, "events/a") == after


def test_a_record_of_two_people_goes_as_far_as_both_allow(
    s3: S3Client, s3_endpoint: str, name: str
) -> None:
    """A hold on one owner keeps the shared record whole for the other as well."""
    body = lines([event(1, "1", user={"email": "Bo@shop.example"})])
    s3.put_object(Bucket=name, Key="events/a", Body=body)
    hold = Rule("hold", HeldSubjects(frozenset({"bo"})), Action.KEEP, "dispute")
    ctx = TrialContext(tables={"events": DecisionTable("events", (hold, ERASE))})
    people = [number("1"), person("bo", ("email", "bo@shop.example"))]
    receipts = erased(connector(s3_endpoint, name, EVENTS), people, ctx)
    assert outcomes(receipts) == {"retained": 2}
    assert current(s3, name, "events/a") == body


def test_a_concurrent_writer_is_never_overwritten(
    s3: S3Client, s3_endpoint: str, name: str
) -> None:
    """A write between our read and our write is read again, and its records are all there."""
    s3.put_object(Bucket=name, Key="events/a", Body=lines([event(1, "1"), event(2, "2")]))
    late = lines([event(1, "1"), event(2, "2"), event(3, "3")])
    writes: list[None] = []

    def write_late() -> None:
        if not writes:
            writes.append(None)
            s3.put_object(Bucket=name, Key="events/a", Body=late)

    ctx = TrialContext(on_intent=write_late)
    receipts = erased(connector(s3_endpoint, name, EVENTS), [number("1")], ctx)
    assert outcomes(receipts) == {"erased": 1}
    assert len(ctx.intents) == 2
    assert current(s3, name, "events/a") == lines([event(2, "2"), event(3, "3")])


def test_a_hold_at_the_last_moment_wins(s3: S3Client, s3_endpoint: str, name: str) -> None:
    """The guard's table decides, even after the object was read under another."""

    class Late(TrialContext):
        def table(self, collection: str) -> DecisionTable:
            table = super().table(collection)
            held = Rule("hold", Always(), Action.KEEP, "late")
            self.tables = {"events": DecisionTable("events", (held, ERASE))}
            return table

    body = lines([event(1, "1")])
    s3.put_object(Bucket=name, Key="events/a", Body=body)
    made = connector(s3_endpoint, name, EVENTS)
    keys = list(made.locate([number("1")], TrialContext()))
    assert outcomes(list(made.erase([number("1")], keys, Late()))) == {"retained": 1}
    assert current(s3, name, "events/a") == body


def test_a_crash_before_the_write_changes_nothing_and_a_repeat_ends_it(
    s3: S3Client, s3_endpoint: str, name: str
) -> None:
    """Dying at the intent leaves every byte; the repeat erases, and one more finds it gone."""
    versioned(s3, name)
    s3.put_object(Bucket=name, Key="events/a", Body=lines([event(1, "1"), event(2, "2")]))
    s3.put_object(Bucket=name, Key="customers/1/a", Body=b"x")
    before = content(s3, name)
    made = connector(s3_endpoint, name, FILES, EVENTS)
    keys = list(made.locate([number("1")], TrialContext()))
    with pytest.raises(Crash):
        list(made.erase([number("1")], keys, TrialContext(on_intent=crash)))
    assert content(s3, name) == before
    assert outcomes(list(made.erase([number("1")], keys, TrialContext()))) == {"erased": 2}
    after = content(s3, name)
    assert outcomes(list(made.erase([number("1")], keys, TrialContext()))) == {"already_gone": 2}
    assert content(s3, name) == after


def test_a_crash_between_write_and_old_version_is_finished(
    s3: S3Client, s3_endpoint: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dying after the new bytes, before the old version went, leaves nothing behind for long."""
    versioned(s3, name)
    s3.put_object(Bucket=name, Key="events/a", Body=lines([event(1, "1"), event(2, "2")]))
    made = connector(s3_endpoint, name, EVENTS)
    keys = list(made.locate([number("1")], TrialContext()))
    with monkeypatch.context() as patch:
        patch.setattr(Bucket, "erase_versions", lambda *_: crash())
        with pytest.raises(Crash):
            list(made.erase([number("1")], keys, TrialContext()))
    assert len(content(s3, name)) == 2
    assert outcomes(list(made.erase([number("1")], keys, TrialContext()))) == {"erased": 1}
    assert list(content(s3, name).values()) == [lines([event(2, "2")])]


def test_a_dry_run_counts_what_the_real_one_does(s3: S3Client, s3_endpoint: str, name: str) -> None:
    """A dry run changes nothing and its receipts are those of the run that follows."""
    versioned(s3, name)
    for n in range(3):
        s3.put_object(Bucket=name, Key=f"customers/1/{n}", Body=b"x")
        body = lines([event(n, "1", at=f"2026-0{n + 1}-01"), event(9, "2")])
        s3.put_object(Bucket=name, Key=f"events/{n}", Body=body)
    before = content(s3, name)
    masks = {"customer": Mask(MaskKind.TOMBSTONE)}
    since = Since("at", datetime(2026, 2, 1, tzinfo=UTC))
    table = DecisionTable(
        "events", (Rule("minimum", since, Action.MASK, "law", masks, "at"), ERASE)
    )
    made = connector(s3_endpoint, name, FILES, EVENTS)
    dry = TrialContext(tables={"events": table}, dry_run=True)
    planned = erased(made, [number("1")], dry)
    assert content(s3, name) == before
    assert dry.intents == []
    assert erased(made, [number("1")], TrialContext(tables={"events": table})) == planned


def test_an_endpoint_without_conditional_writes_is_refused(
    s3_endpoint: str, s3: S3Client, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where If-Match is ignored nothing shared is rewritten, and `check` says so."""
    body = lines([event(1, "1")])
    s3.put_object(Bucket=name, Key="events/a", Body=body)
    made = connector(s3_endpoint, name, EVENTS)
    assert {f.severity for f in made.check()} == {Severity.OK}
    assert [k for k, _ in content(s3, name)] == ["events/a"]
    put = made._bucket._writes.put_object
    ignoring = lambda **kw: put(**{k: v for k, v in kw.items() if k != "IfMatch"})  # noqa: E731
    monkeypatch.setattr(made._bucket._writes, "put_object", ignoring)
    assert Severity.ERROR in {f.severity for f in made.check()}
    keys = list(made.locate([number("1")], TrialContext()))
    with pytest.raises(Configuration, match="If-Match"):
        list(made.erase([number("1")], keys, TrialContext()))
    assert {k: v for (k, _), v in content(s3, name).items()} == {"events/a": body}


def test_a_large_object_goes_up_in_parts(s3: S3Client, s3_endpoint: str, name: str) -> None:
    """Above the size of a single write the parts arrive whole and in order."""
    rows = [event(n, "1" if n % 1000 == 0 else "2", pad="x" * 1000) for n in range(6000)]
    s3.put_object(Bucket=name, Key="events/a", Body=lines(rows))
    made = connector(s3_endpoint, name, EVENTS, single_put_bytes=5 * 1024 * 1024)
    assert outcomes(erased(made, [number("1")], TrialContext())) == {"erased": 6}
    assert current(s3, name, "events/a") == lines([r for r in rows if r["customer"] == "2"])
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=name)


# ---- mentions, links, breaches


def test_mentions_are_reported_and_stay(s3: S3Client, s3_endpoint: str, name: str) -> None:
    """Another's record that names the subject is reported by place; parts of words are not."""
    rows = [
        event(1, "2", note="call ANNA@shop.example, please"),
        event(2, "2", note="hanna@shop.example"),
        event(3, "2", referrer="1", quantity="1"),
        event(4, "1", note="anna@shop.example"),
    ]
    body = lines(rows) + b'{"broken": "anna@shop.example\n'
    s3.put_object(Bucket=name, Key="events/a", Body=body)
    made = connector(s3_endpoint, name, EVENTS)
    anna = person("case", ("email", "anna@shop.example"), ("customer_number", "1"))
    found = {(m.key[1], m.field) for m in made.mentions([anna], TrialContext())}
    place = f"byte {len(lines(rows))}"
    assert found == {("e1", "note"), ("e3", "referrer"), (place, "(unreadable line)")}


def test_third_parties_are_withheld(s3: S3Client, s3_endpoint: str, name: str) -> None:
    """A mapped field about others is left out of the record and named."""
    s3.put_object(Bucket=name, Key="events/a", Body=lines([event(1, "1", agent="Kim")]))
    (record,) = connector(s3_endpoint, name, EVENTS).find([number("1")], TrialContext())
    assert [(w.field, w.ground) for w in record.withheld] == [("agent", "AC_RIGHTS_OF_OTHERS")]
    assert b"Kim" not in record.body
    assert json.loads(record.body)["event_id"] == "e1"


def test_links_count_other_owners(s3: S3Client, s3_endpoint: str, name: str) -> None:
    """An identity that others' records carry as well is contested."""
    rows = [event(1, "1", session="s1"), event(2, "1", session="s2"), event(3, "2", session="s2")]
    s3.put_object(Bucket=name, Key="events/a", Body=lines(rows))
    links = connector(s3_endpoint, name, EVENTS).resolve([number("1")], TrialContext())
    found = {(link.identity, link.owners, link.via) for link in links}
    assert found == {
        (Identity("session_id", "s1"), 0, "customer_number"),
        (Identity("session_id", "s2"), 1, "customer_number"),
    }


def test_a_known_name_that_others_carry_is_told(s3: S3Client, s3_endpoint: str, name: str) -> None:
    """A session that came with the request stands in somebody else's record as well."""
    rows = [event(1, "1", session="s1"), event(2, "1", session="s2"), event(3, "2", session="s2")]
    s3.put_object(Bucket=name, Key="events/a", Body=lines(rows))
    known = person("case", ("customer_number", "1"), ("session_id", "s1"), ("session_id", "s2"))
    links = connector(s3_endpoint, name, EVENTS).resolve([known], TrialContext())
    assert [(link.identity.value, link.owners) for link in links] == [("s2", 1)]


def test_each_record_that_is_a_person_is_told(s3: S3Client, s3_endpoint: str, name: str) -> None:
    """Where a record is a person, two records of one known address are two people."""
    rows = [
        event(1, "1", user={"email": "anna@shop.example"}),
        event(2, "2", user={"email": "ANNA@shop.example"}),
    ]
    s3.put_object(Bucket=name, Key="events/a", Body=lines(rows))
    anna = person("case", ("email", "anna@shop.example"), ("customer_number", "1"))
    made = connector(s3_endpoint, name, replace(EVENTS, person=True, yields={}))
    links = list(made.resolve([anna], TrialContext()))
    assert {link.key for link in links} == {("events/a", "e1"), ("events/a", "e2")}
    assert {link.identity for link in links} <= set(anna.identities)


def test_affected_people(s3: S3Client, s3_endpoint: str, name: str) -> None:
    """A leak reaches each person with a record in its window and fields, wherever they live."""
    rows = [event(1, "1", country="DE", note="x"), event(2, "2", note="x"), event(3, "3")]
    rows.append(event(4, "4", note="x") | {"at": "2026-12-01T00:00:00Z"})
    s3.put_object(Bucket=name, Key="events/a", Body=lines(rows))
    s3.put_object(Bucket=name, Key="customers/7/a", Body=b"x")
    made = connector(s3_endpoint, name, FILES, EVENTS)
    scopes = [LeakScope("events", ("note",), None, datetime(2026, 6, 1, tzinfo=UTC))]
    scopes.append(LeakScope("files", ("body",)))
    found = {(p.identities, p.residence) for p in made.affected(scopes, TrialContext())}
    assert found == {
        ((Identity("customer_number", "1"),), "DE"),
        ((Identity("customer_number", "2"),), None),
        ((Identity("customer_number", "7"),), None),
    }


# ---- sweeps


def limit(collection: str, field: str, *held: Rule) -> DecisionTable:
    """What is older than March goes, unless held."""
    before = Before(field, datetime(2026, 3, 1, tzinfo=UTC))
    rest = Rule("default", Always(), Action.KEEP)
    return DecisionTable(collection, (*held, Rule("limit", before, Action.ERASE), rest))


def test_a_sweep_erases_what_is_due_and_holds_win(
    s3: S3Client, s3_endpoint: str, name: str
) -> None:
    """Records past their limit go; held people's, younger ones and unreadable clocks stay."""
    rows = [
        event(n, str(n), at=at) for n, at in enumerate(("2026-01-01", "2026-02-01", "2026-03-01"))
    ]
    rows += [event(7, "7", at="yesterday"), event(8, "8", at=None)]
    s3.put_object(Bucket=name, Key="events/a", Body=lines(rows))
    hold = Rule("hold", HeldPeople((Identity("customer_number", "1"),)), Action.KEEP, "dispute")
    table = limit("events", "at", hold)
    made = connector(s3_endpoint, name, EVENTS)
    order = SweepOrder("events", table, 10)
    planned = list(made.sweep([order], TrialContext(tables={"events": table}, dry_run=True)))
    done = list(made.sweep([order], TrialContext(tables={"events": table})))
    assert outcomes(done) == outcomes(planned) == {"erased": 1, "retained": 1}
    assert current(s3, name, "events/a") == lines(rows[1:])
    again = list(made.sweep([order], TrialContext(tables={"events": table})))
    assert outcomes(again) == {"retained": 1}


@pytest.mark.parametrize("collection", ["events", "files"])
def test_the_brake_stops_before_the_first_change(
    s3: S3Client, s3_endpoint: str, name: str, collection: str
) -> None:
    """One row more than the brake allows, in any object, and not one row goes."""
    for n in range(3):
        s3.put_object(Bucket=name, Key=f"events/{n}", Body=lines([event(n, "1")]))
        s3.put_object(Bucket=name, Key=f"customers/{n}/a", Body=b"x")
    before = content(s3, name)
    made = connector(s3_endpoint, name, FILES, EVENTS)
    table = DecisionTable(collection, (Rule("limit", Always(), Action.ERASE),))
    ctx = TrialContext(tables={collection: table})
    with pytest.raises(NeedsHuman, match="sweep_brake"):
        list(made.sweep([SweepOrder(collection, table, 2)], ctx))
    assert content(s3, name) == before
    assert outcomes(list(made.sweep([SweepOrder(collection, table, 3)], ctx))) == {"erased": 3}


# ---- properties


values = st.sampled_from(
    ["1", "10", 1, 1.0, True, None, "a@b.example", "A@b.Example", "\u0131", "x"]
)
records = st.fixed_dictionaries(
    {"event_id": st.integers(0, 3), "customer": values},
    optional={"user": st.fixed_dictionaries({"email": values}), "note": st.text(max_size=6)},
)


@settings(max_examples=150, deadline=None)
@given(st.lists(records, max_size=12), st.booleans(), st.sampled_from([7, 64, 4096]))
def test_the_prefilter_agrees_with_full_parsing(
    found: list[dict[str, object]],
    ascii_only: bool,  # noqa: FBT001 - hypothesis passes by position
    block: int,
) -> None:
    """Skipping blocks never changes who owns what, and every byte comes out again."""
    body = b"".join(json.dumps(r, ensure_ascii=ascii_only).encode() + b"\n" for r in found)
    subjects = [person("p", ("customer_number", "1"), ("email", "a@b.example"))]
    owners = Owners(EVENTS, subjects, TrialContext())

    def run(*, skipping: bool) -> tuple[bytes, list[bytes]]:
        chunks = (body[i : i + block] for i in range(0, len(body), block))
        pieces = list(ndjson(line_blocks(opened(chunks)[1]), owners.skip() if skipping else None))
        out = b"".join(map(raw_of, pieces))
        mine = [p.raw for p in pieces if isinstance(p, JsonEntry) and owners.of(p)]
        return out, mine

    assert run(skipping=True) == run(skipping=False)
    assert run(skipping=True)[0] == body
    independent = [
        r
        for r in map(json.loads, body.splitlines())
        if (r["customer"] == "1" or (type(r["customer"]) is int and r["customer"] == 1))
        or str(r.get("user", {}).get("email")).lower() == "a@b.example"
    ]
    assert [json.loads(raw) for raw in run(skipping=True)[1]] == independent


def raw_of(piece: Piece) -> bytes:
    """The bytes a piece came from."""
    return piece if isinstance(piece, bytes) else piece.raw


cells = st.text(alphabet='ab",\n\r é', max_size=6)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(cells, min_size=3, max_size=3), max_size=6), st.integers(1, 9))
def test_csv_agrees_with_the_standard_reader(rows: list[list[str]], block: int) -> None:
    """Whatever the standard writer writes is split as the standard reader reads it."""
    text = io.StringIO(newline="")
    writer = stdlib_csv.writer(text)
    writer.writerow(["row_id", "email", "x"])
    writer.writerows(rows)
    body = text.getvalue().encode()
    chunks = (body[i : i + block] for i in range(0, len(body), block))
    pieces = list(csv(line_blocks(chunks), ",", ["email"], None))
    assert b"".join(p if isinstance(p, bytes) else p.raw for p in pieces) == body
    found = [[v for _, v in p.scalars()] for p in pieces if isinstance(p, CsvEntry)]
    assert found == rows
    for piece in pieces:
        if isinstance(piece, CsvEntry):
            changed = CsvEntry(piece.masked({"x": 'q"\n'}), piece.columns, b",")
            assert [v for _, v in changed.scalars()][:2] == [v for _, v in piece.scalars()][:2]
            assert changed.value("x") == 'q"\n'


# ---- bounds


@pytest.mark.slow
def test_memory_does_not_grow_with_the_object(s3: S3Client, s3_endpoint: str, name: str) -> None:
    """Ten times the object is not ten times the memory, compressed or not."""
    line = lines([event(2, "2", pad="abcdefgh" * 60)])
    made = connector(s3_endpoint, name, EVENTS)

    def run(repeats: int, key: str) -> int:
        part = line * 2000
        body = members(*[part] * repeats, lines([event(1, "1")]))
        s3.put_object(Bucket=name, Key=key, Body=body)
        assert outcomes(erased(made, [number("1")], TrialContext())) == {"erased": 1}
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

    small = run(3, "events/small.gz")
    large = run(60, "events/large.gz")
    assert large - small < 20, f"{small} MiB, then {large} MiB for 66 MB more"


def test_nothing_personal_is_said(
    s3: S3Client, s3_endpoint: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """No log line and no error text names a key, an identity or a value."""
    marker = "zqmarkerzq"
    s3.put_object(Bucket=name, Key=f"customers/{marker}/a", Body=b"x")
    body = b'{"event_id":"1","customer":"zqmarkerzq"}\nbroken zqmarkerzq\n'
    s3.put_object(Bucket=name, Key=f"events/{marker}", Body=body)
    with caplog.at_level(logging.INFO):
        made = connector(s3_endpoint, name, FILES, EVENTS)
        erased(made, [number(marker)], TrialContext())
        missing = connector(s3_endpoint, "no-such-bucket", FILES)
        with pytest.raises(Configuration) as error:
            list(missing.find([number(marker)], TrialContext()))
    assert marker not in caplog.text
    assert marker not in str(error.value)


def test_the_shop_comes_out_as_its_generator_says(
    s3: S3Client, s3_endpoint: str, name: str
) -> None:
    """The generator's truth is what is found, goes, is mentioned, and what stays as it was."""
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    shop = Shop(seed=7, customers=40)
    load_s3(shop, s3, name)
    map_text = resources.files("dsr_worker.testing.shop").joinpath("systems/files.yaml").read_text()
    made = connector(s3_endpoint, name, *read_system(map_text).system.collections.values())

    def people(numbers: Iterable[int]) -> list[Subject]:
        truths = [shop.truth(n, now=now) for n in numbers]
        return [person(str(t.number), *t.identities.items()) for t in truths]

    def found(numbers: Iterable[int]) -> dict[tuple[object, ...], bytes]:
        records = made.find(people(numbers), TrialContext(second_path=True))
        return {(int(r.subject_ref), r.collection, r.key): r.body for r in records}

    leaving, staying = (0, 3, 11), [n for n in range(40) if n not in (0, 3, 11)]
    expected = {
        (n, row.collection, row.key)
        for n in leaving
        for row in shop.truth(n, now=now).rows
        if row.system == "files"
    }
    assert set(found(leaving)) == expected
    others = found(staying)
    mentioned = {
        (m.subject_ref, m.collection, m.key) for m in made.mentions(people(leaving), TrialContext())
    }
    for n in leaving:
        for place in shop.truth(n, now=now).mentions:
            if place.system == "files":
                assert (str(n), place.collection, place.key) in mentioned
    assert outcomes(erased(made, people(leaving), TrialContext())) == {"erased": len(expected)}
    assert found(leaving) == {}
    assert found(staying) == others
