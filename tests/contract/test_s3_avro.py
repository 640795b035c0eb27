"""Avro objects in a bucket: found, shown, erased and masked like any shared object."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import fastavro
import pytest

from dsr_worker.contract import (
    Action,
    Always,
    Collection,
    DecisionTable,
    Field,
    Form,
    Identity,
    Mask,
    MaskKind,
    NeedsHuman,
    Rule,
    Taken,
)
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_erasures import erased, outcomes
from tests.contract.s3_support import connector, current, number, person, versioned

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

VISITS = Collection(
    name="visits",
    key=("visit_id",),
    fields={
        "visit_id": Field("visit_id", "user.unique_id"),
        "user.number": Field("user.number", "user.unique_id", Mask(MaskKind.NULL)),
        "user.email": Field("user.email", "user.contact.email", Mask(MaskKind.TOMBSTONE)),
        "note": Field("note", "user.content", free_text=True),
    },
    takes={
        "customer_number": Taken("user.number"),
        "email": Taken("user.email", Form.ASCII_CASE),
    },
    yields={"session_id": "session"},
    clocks={"record_date": "at"},
    source={"layout": "shared", "prefix": "visits/", "format": "avro"},
)
SCHEMA = {
    "type": "record",
    "name": "Visit",
    "namespace": "shop",
    "fields": [
        {"name": "visit_id", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "session", "type": ["null", "string"]},
        {
            "name": "user",
            "type": {
                "type": "record",
                "name": "User",
                "fields": [
                    {"name": "number", "type": ["null", "long"]},
                    {"name": "email", "type": ["null", "string"]},
                ],
            },
        },
        {"name": "tags", "type": {"type": "array", "items": {"type": "map", "values": "double"}}},
        {"name": "note", "type": "string"},
    ],
}
WITHOUT_OWNER = {
    "type": "record",
    "name": "Visit",
    "fields": [f for f in SCHEMA["fields"] if f["name"] != "user"],  # type: ignore[index] # a dict
}


def visit(n: int, customer: int | None, email: str | None = None, note: str = "") -> dict[str, Any]:
    """An invented visit."""
    return {
        "visit_id": f"v{n}",
        "at": 1_767_225_600_000 + n,
        "session": f"s{n}",
        "user": {"number": customer, "email": email},
        "tags": [{"a": 0.5}, {}],
        "note": note,
    }


def avro(rows: Sequence[Any], schema: Any = SCHEMA, codec: str = "deflate") -> bytes:
    """An Avro object with few records a block."""
    out = io.BytesIO()
    fastavro.writer(out, fastavro.parse_schema(schema), rows, codec=codec, sync_interval=100)
    return out.getvalue()


def masking(masks: Mapping[str, Mask]) -> DecisionTable:
    """Every record stays, masked."""
    rule = Rule("minimum", Always(), Action.MASK, ground="tax", masks=masks)
    return DecisionTable("visits", (rule,))


def read(data: bytes) -> list[Any]:
    """What an independent reader finds."""
    return list(fastavro.reader(io.BytesIO(data)))


ROWS = [visit(n, n % 5, f"p{n % 5}@shop.example") for n in range(40)]


@pytest.mark.parametrize("codec", ["null", "deflate", "snappy", "bzip2", "xz", "zstandard"])
def test_records_of_a_person_go_and_the_rest_stays(
    codec: str, s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Whatever the codec of its blocks, an independent reader finds everybody else's records."""
    s3.put_object(Bucket=bucket_name, Key="visits/a.bin", Body=avro(ROWS, codec=codec))
    made = connector(s3_endpoint, bucket_name, VISITS)
    receipts = erased(made, [number("3")], TrialContext())
    assert outcomes(receipts) == {"erased": 8}
    left = read(current(s3, bucket_name, "visits/a.bin"))
    assert [row["visit_id"] for row in left] == [
        row["visit_id"] for row in ROWS if row["user"]["number"] != 3
    ]
    assert list(made.recheck([number("3")], [], TrialContext(second_path=True))) == []


def test_an_avro_object_within_gzip(s3: S3Client, s3_endpoint: str, bucket_name: str) -> None:
    """The content says what it is, under a codec as well, whatever the map and the name say."""
    body = gzip.compress(avro(ROWS))
    s3.put_object(Bucket=bucket_name, Key="visits/a.json", Body=body)
    made = connector(s3_endpoint, bucket_name, VISITS)
    mail = person("case", ("email", "p3@shop.example"))
    assert outcomes(erased(made, [mail], TrialContext())) == {"erased": 8}
    assert len(read(gzip.decompress(current(s3, bucket_name, "visits/a.json")))) == 32


def test_an_access_shows_a_record_as_its_types_mean_it(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """A moment is readable, a nested record is nested."""
    s3.put_object(Bucket=bucket_name, Key="visits/a", Body=avro([visit(0, 1, note="ä")]))
    (record,) = connector(s3_endpoint, bucket_name, VISITS).find([number("1")], TrialContext())
    assert record.key == ("visits/a", "v0")
    assert json.loads(record.body) == {
        "visit_id": "v0",
        "at": "2026-01-01T00:00:00+00:00",
        "session": "s0",
        "user": {"number": 1, "email": None},
        "tags": [{"a": 0.5}, {}],
        "note": "ä",
    }


def test_links_and_mentions_of_avro_records(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Names that a record yields are told; another's record that names the person is reported."""
    rows = [visit(0, 1), visit(1, 2, note="call p1@shop.example")]
    s3.put_object(Bucket=bucket_name, Key="visits/a", Body=avro(rows))
    made = connector(s3_endpoint, bucket_name, VISITS)
    (link,) = made.resolve([number("1")], TrialContext())
    assert link.identity == Identity("session_id", "s0")
    anna = person("case", ("customer_number", "1"), ("email", "p1@shop.example"))
    (mention,) = made.mentions([anna], TrialContext())
    assert (mention.key, mention.field) == (("visits/a", "v1"), "note")


def test_masks_in_avro_records(s3: S3Client, s3_endpoint: str, bucket_name: str) -> None:
    """A record that has to stay loses its names; what was masked is known again."""
    s3.put_object(Bucket=bucket_name, Key="visits/a", Body=avro(ROWS))
    made = connector(s3_endpoint, bucket_name, VISITS)
    masks = {n: f.mask for n, f in VISITS.fields.items() if f.mask is not None}
    tables = {"visits": masking(masks)}
    anna = person("case", ("customer_number", "3"), ("email", "p3@shop.example"))
    keys = list(made.locate([anna], TrialContext()))
    for fields in (16, 0):  # a repeat changes nothing
        (receipt,) = made.erase([anna], keys, TrialContext(tables=tables))
        assert [(o.outcome, o.rows, o.fields) for o in receipt.outcomes] == [("masked", 8, fields)]
    left = [row["user"] for row in read(current(s3, bucket_name, "visits/a"))]
    assert sum(user["number"] is None for user in left) == 8
    assert sum(user["email"].endswith("@erased.invalid") for user in left) == 8
    assert len(list(made.recheck([anna], keys, TrialContext(second_path=True)))) == 8


def test_a_mask_that_fits_no_value_stops_before_anything_changes(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """The stop names the reason; the object is as it was."""
    s3.put_object(Bucket=bucket_name, Key="visits/a", Body=avro(ROWS))
    made = connector(s3_endpoint, bucket_name, VISITS)
    masks = {"user.number": Mask(MaskKind.PSEUDONYM)}
    tables = {"visits": masking(masks)}
    keys = list(made.locate([number("3")], TrialContext()))
    with pytest.raises(NeedsHuman) as stop:
        list(made.erase([number("3")], keys, TrialContext(tables=tables)))
    assert stop.value.fields["reason"] == "mask-does-not-fit"
    assert read(current(s3, bucket_name, "visits/a")) == read(avro(ROWS))


def test_an_object_without_the_owner_field_is_nobodys(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Schemas change over the years: an older object that lacks the field stays as it is."""
    old = avro([{k: v for k, v in row.items() if k != "user"} for row in ROWS], WITHOUT_OWNER)
    s3.put_object(Bucket=bucket_name, Key="visits/a", Body=old)
    s3.put_object(Bucket=bucket_name, Key="visits/b", Body=avro(ROWS))
    made = connector(s3_endpoint, bucket_name, VISITS)
    assert outcomes(erased(made, [number("3")], TrialContext())) == {"erased": 8}
    assert current(s3, bucket_name, "visits/a") == old


def test_old_versions_of_avro_objects_go(s3: S3Client, s3_endpoint: str, bucket_name: str) -> None:
    """An object of which all records go stays as a valid one without records."""
    versioned(s3, bucket_name)
    rows = [visit(0, 3)]
    for _ in range(2):
        s3.put_object(Bucket=bucket_name, Key="visits/a", Body=avro(rows))
    made = connector(s3_endpoint, bucket_name, VISITS)
    assert outcomes(erased(made, [number("3")], TrialContext())) == {"erased": 1}
    assert read(current(s3, bucket_name, "visits/a")) == []
    listed = s3.list_object_versions(Bucket=bucket_name)
    assert len(listed["Versions"]) == 1


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (avro(ROWS)[:-3], "cut-avro"),
        (avro(ROWS)[:2000], "cut-avro"),
        (avro(ROWS)[:-3] + b"abc", "damaged-avro"),
        (avro(ROWS).replace(b"avro.codec\x0edeflate", b"avro.codec\x0ebrotli7"), "avro-codec"),
        (avro(ROWS).replace(b'"string"', b'"strung"'), "avro-schema"),
        (b'{"visit_id": "v1"}\n', "not-avro"),
    ],
)
def test_a_damaged_avro_object_is_refused_by_name(
    body: bytes, reason: str, s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """What cannot be read to its end stops for a person, before anything of it changes."""
    s3.put_object(Bucket=bucket_name, Key="visits/a", Body=body)
    with pytest.raises(NeedsHuman) as stop:
        list(connector(s3_endpoint, bucket_name, VISITS).locate([number("3")], TrialContext()))
    assert stop.value.code == "s3-unreadable-object"
    assert stop.value.fields["reason"] == reason
