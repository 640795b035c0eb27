"""Records in shared objects: a person's lines go, others pass byte for byte."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from connectors.s3.formats.text import BOM
from dsr_worker.contract import (
    Action,
    DecisionTable,
    HeldRows,
    HeldSubjects,
    Mask,
    MaskKind,
    NeedsHuman,
    Outcome,
    Rule,
    Since,
)
from dsr_worker.testing.context import TrialContext
from tests import zstd
from tests.contract.s3_support import (
    EVENTS,
    EXPORTS,
    connector,
    content,
    current,
    lines,
    number,
    person,
    versioned,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

from tests.contract.s3_erasures import ERASE, erased, event, outcomes


def test_other_lines_pass_byte_for_byte(s3: S3Client, s3_endpoint: str, bucket_name: str) -> None:
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
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=body)
    made = connector(s3_endpoint, bucket_name, EVENTS)
    assert outcomes(erased(made, [number("1")], TrialContext())) == {"erased": 2}
    assert current(s3, bucket_name, "events/a") == BOM + b"".join(others)


def test_whole_numbers_keep_all_their_digits(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Neighbouring numbers beyond 64 bits are two people."""
    huge = 2**70
    body = lines([event(1, huge), event(2, huge + 1)])
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=body)
    made = connector(s3_endpoint, bucket_name, EVENTS)
    assert outcomes(erased(made, [number(str(huge))], TrialContext())) == {"erased": 1}
    assert current(s3, bucket_name, "events/a") == lines([event(2, huge + 1)])


@pytest.mark.parametrize(
    ("compress", "decompress"),
    [
        (gzip.compress, gzip.decompress),
        (zstd.compress, zstd.decompress),
        (bz2.compress, bz2.decompress),
        (lzma.compress, lzma.decompress),
    ],
    ids=["gzip", "zstd", "bzip2", "xz"],
)
def test_compression_is_told_by_content_and_headers_survive(
    s3: S3Client,
    s3_endpoint: str,
    bucket_name: str,
    compress: Callable[[bytes], bytes],
    decompress: Callable[[bytes], bytes],
) -> None:
    """Several members under any name are one stream; what is written is compressed alike."""
    first, second = lines([event(1, "1"), event(2, "2")]), lines([event(3, "3"), event(4, "1")])
    s3.put_object(
        Bucket=bucket_name,
        Key="events/log.txt",
        Body=compress(first) + compress(second),
        ContentType="application/x-ndjson",
        CacheControl="no-store",
        Metadata={"shipper": "one"},
        Tagging="team=shop&a=b%2Bc%3D1",
        StorageClass="STANDARD_IA",
    )
    made = connector(s3_endpoint, bucket_name, EVENTS)
    assert outcomes(erased(made, [number("1")], TrialContext())) == {"erased": 2}
    expected = lines([event(2, "2"), event(3, "3")])
    assert decompress(current(s3, bucket_name, "events/log.txt")) == expected
    head = s3.head_object(Bucket=bucket_name, Key="events/log.txt")
    assert (head["ContentType"], head["CacheControl"]) == ("application/x-ndjson", "no-store")
    assert (head["Metadata"], head["StorageClass"]) == ({"shipper": "one"}, "STANDARD_IA")
    tags = s3.get_object_tagging(Bucket=bucket_name, Key="events/log.txt")["TagSet"]
    assert {t["Key"]: t["Value"] for t in tags} == {"team": "shop", "a": "b+c=1"}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (gzip.compress(lines([event(1, "1")]) * 500)[:-20], "cut-gzip"),
        (b"PAR1 and so on", "cut-parquet"),
        (b"\x28\xb5\x2f\xfd....", "damaged-zstd"),
        ("\ufeff{}".encode("utf-16-le"), "utf-16"),
        (b'{\n  "pretty": 1\n', "cut-json"),
        (b"no line of this\nis a record\n", "not-ndjson"),
    ],
)
def test_what_cannot_be_read_stops_for_a_person(
    s3: S3Client, s3_endpoint: str, bucket_name: str, body: bytes, reason: str
) -> None:
    """An object that is not what the map says is never taken for one without the person."""
    s3.put_object(Bucket=bucket_name, Key="events/anna@shop.example", Body=body)
    made = connector(s3_endpoint, bucket_name, EVENTS)
    with pytest.raises(NeedsHuman) as stop:
        list(made.find([number("1")], TrialContext(second_path=True)))
    assert stop.value.fields["reason"] == reason
    assert "anna" not in repr(stop.value.fields)


def test_csv_records_survive_quotes_and_newlines(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
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
    s3.put_object(Bucket=bucket_name, Key="exports/a.csv", Body=body)
    made = connector(s3_endpoint, bucket_name, EXPORTS)
    anna = person("case", ("email", "anna@shop.example"))
    found = [json.loads(r.body) for r in made.find([anna], TrialContext())]
    assert [r["comment"] for r in found] == ["my\nown", ""]
    assert outcomes(erased(made, [anna], TrialContext())) == {"erased": 2}
    assert current(s3, bucket_name, "exports/a.csv") == BOM + head + b"".join(others)
    assert [m.key for m in made.mentions([anna], TrialContext())] == [
        ("exports/a.csv", "1"),
        ("exports/a.csv", "3"),
    ]


def test_a_csv_without_its_owner_column_stops(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """A renamed column is a question for a person, not an empty answer."""
    s3.put_object(
        Bucket=bucket_name, Key="exports/a.csv", Body=b"row_id,mail\n1,anna@shop.example\n"
    )
    made = connector(s3_endpoint, bucket_name, EXPORTS)
    with pytest.raises(NeedsHuman, match="s3-unreadable-object"):
        list(made.find([person("case", ("email", "anna@shop.example"))], TrialContext()))


def test_an_emptied_object_stays(s3: S3Client, s3_endpoint: str, bucket_name: str) -> None:
    """An object without records left is an empty object: nobody guesses that it may go."""
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines([event(1, "1")]))
    erased(connector(s3_endpoint, bucket_name, EVENTS), [number("1")], TrialContext())
    assert current(s3, bucket_name, "events/a") == b""


def test_old_versions_of_shared_objects(s3: S3Client, s3_endpoint: str, bucket_name: str) -> None:
    """Old versions with the person's records go; those without them stay; a row is one row."""
    versioned(s3, bucket_name)
    clean, both = lines([event(2, "2")]), lines([event(1, "1"), event(2, "2")])
    for body in (clean, both, lines([event(1, "1", seen=2), event(2, "2"), event(3, "2")])):
        s3.put_object(Bucket=bucket_name, Key="events/a", Body=body)
    made = connector(s3_endpoint, bucket_name, EVENTS)
    assert len(list(made.find([number("1")], TrialContext()))) == 2
    assert outcomes(erased(made, [number("1")], TrialContext())) == {"erased": 1}
    assert sorted(content(s3, bucket_name).values()) == sorted(
        [clean, lines([event(2, "2"), event(3, "2")])]
    )
    assert list(made.locate([number("1")], TrialContext(second_path=True))) == []


def test_an_old_version_with_held_rows_stays(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """What a hold protects and the current version lacks keeps its old version, with a ground."""
    versioned(s3, bucket_name)
    old = lines([event(1, "1"), event(2, "2")])
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=old)
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines([event(3, "3")]))
    hold = Rule("hold", HeldRows("event_id", ("e2",)), Action.KEEP, "matter")
    ctx = TrialContext(tables={"events": DecisionTable("events", (hold, ERASE))})
    receipts = erased(connector(s3_endpoint, bucket_name, EVENTS), [number("1")], ctx)
    assert [(o.outcome, o.ground) for o in receipts[0].outcomes] == [
        (Outcome.RETAINED, "store-beside")
    ]
    assert old in content(s3, bucket_name).values()


def test_minimum_masks_and_repeats(s3: S3Client, s3_endpoint: str, bucket_name: str) -> None:
    """A record inside its minimum is masked, other values as spelled; twice is once."""
    kept = b'{"event_id":"e1","at":"2026-06-01T00:00:00Z","customer":"1","price":1.10,"n":1E2}\n'
    other = b'{"event_id":"e3", "customer":"2"}\n'
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=kept + lines([event(2, "1")]) + other)
    masks = {"customer": Mask(MaskKind.PSEUDONYM), "name": Mask(MaskKind.NULL)}
    since = Since("at", datetime(2026, 3, 1, tzinfo=UTC))
    minimum = Rule("minimum", since, Action.MASK, "law", masks, "at")
    ctx = TrialContext(tables={"events": DecisionTable("events", (minimum, ERASE))})
    made = connector(s3_endpoint, bucket_name, EVENTS)
    keys = list(made.locate([number("1")], ctx))
    receipt = next(iter(made.erase([number("1")], keys, ctx)))
    counts = {o.outcome: (o.rows, o.fields, o.latest_at) for o in receipt.outcomes}
    assert counts[Outcome.MASKED] == (1, 1, datetime(2026, 6, 1, tzinfo=UTC))
    assert counts[Outcome.ERASED][0] == 1
    assert receipt.kept == {ctx.digest("events", ("events/a", "e1"))}
    pseudonym = ctx.pseudonym("case-1", "1").encode()
    after = kept.replace(b'"customer":"1"', b'"customer":"' + pseudonym + b'"') + other
    assert current(s3, bucket_name, "events/a") == after
    again = next(iter(made.erase([number("1")], keys, ctx)))
    assert {o.outcome: (o.rows, o.fields) for o in again.outcomes} == {
        Outcome.MASKED: (1, 0),
        Outcome.ALREADY_GONE: (1, 0),
    }
    assert current(s3, bucket_name, "events/a") == after


def test_a_record_of_two_people_goes_as_far_as_both_allow(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """A hold on one owner keeps the shared record whole for the other as well."""
    body = lines([event(1, "1", user={"email": "Bo@shop.example"})])
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=body)
    hold = Rule("hold", HeldSubjects(frozenset({"bo"})), Action.KEEP, "dispute")
    ctx = TrialContext(tables={"events": DecisionTable("events", (hold, ERASE))})
    people = [number("1"), person("bo", ("email", "bo@shop.example"))]
    receipts = erased(connector(s3_endpoint, bucket_name, EVENTS), people, ctx)
    assert outcomes(receipts) == {"retained": 2}
    assert current(s3, bucket_name, "events/a") == body
