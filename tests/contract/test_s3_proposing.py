"""What is proposed for which keys and bytes, what is left out, and where a map grew old."""

from __future__ import annotations

import gzip
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from connectors.s3 import S3
from connectors.s3.config import Config
from connectors.s3.proposing import walking
from connectors.s3.proposing.shapes import Shape, shape_of
from connectors.s3.server.bucket import Bucket
from connectors.s3.server.folders import folder
from dsr_worker.contract import Collection, Proposal, Severity
from tests import services as real
from tests.contract.s3_support import EVENTS, connector, lines, system

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


_PEOPLE = [
    {"id": n, "customer_id": 700 + n, "email": f"p{n}@mail.example", "at": "2026-01-01"}
    for n in range(12)
]


def proposed(s3: S3Client, endpoint: str, bucket: str, objects: dict[str, bytes]) -> Proposal:
    """What is proposed for these objects."""
    for key, body in objects.items():
        s3.put_object(Bucket=bucket, Key=key, Body=body)
    return connector(endpoint, bucket).propose()


def _config(endpoint: str, bucket: str) -> Config:
    return Config.model_validate(
        {
            "bucket": bucket,
            "endpoint_url": endpoint,
            "region": real.S3_REGION,
            "access_key_id": real.S3_KEY,
            "secret_access_key": real.S3_SECRET,
        }
    )


def sources(proposal: Proposal) -> dict[str, Any]:
    """The layouts, by collection."""
    return {name: dict(c.source) for name, c in proposal.collections.items()}


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("2026", "date"),
        ("2026-01-31", "date"),
        ("20260131", "date"),
        ("2026-01-31T10-00-00Z", "date"),
        ("5007", "number"),
        ("anna@shop.example", "email"),
        ("5f0c2b8e-0000-4000-8000-000000000001", "uuid"),
        ("cus_19fk2", "code"),
        ("letters", "constant"),
        ("db-backups", "constant"),
    ],
)
def test_names_have_shapes(name: str, shape: str) -> None:
    """Dates are no ids, ids are no words."""
    assert shape_of(name) is Shape(shape)


def test_keys_become_templates(s3: S3Client, s3_endpoint: str, bucket_name: str) -> None:
    """Ids in folders, partitions and names become placeholders, dates one segment of anything."""
    keys = [f"media/2026/0{m}/users/{n}/a.jpg" for m in (1, 2) for n in (501, 502, 503)]
    keys += [f"voice/dt=2026-01-0{d}/customer_id={n}/x.wav" for d in (1, 2) for n in (501, 502)]
    keys += [f"customers/avatars/{n}.png" for n in (501, 502, 503, 504)]
    keys += [f"users/{name}/a.bin" for name in ("anna", "bert", "cleo", "dirk", *"efghij")]
    keys += [f"mail/{n}@shop.example/inbox.bin" for n in "abc"]
    keys += [f"cases/{n}/scan.bin" for n in (901, 902, 903)]
    found = proposed(s3, s3_endpoint, bucket_name, dict.fromkeys(keys, b"\x89PNG"))
    templates = {c.source["template"]: c.review for c in found.collections.values()}
    assert templates == {
        "media/*/*/users/{customer_number}/**": False,
        "voice/dt=*/customer_id={customer_number}/**": False,
        "customers/avatars/{customer_number}.png": False,
        "users/{customer_number}/**": False,
        "mail/{email}/**": False,
        "cases/{customer_number}/**": True,
    }


def test_formats_are_told_by_content(s3: S3Client, s3_endpoint: str, bucket_name: str) -> None:
    """Names lie: records in gzip called .txt are found, and pictures called .json are not."""
    body = lines(_PEOPLE)
    found = proposed(
        s3,
        s3_endpoint,
        bucket_name,
        {
            "a/x.txt": gzip.compress(body),
            "b/y.json": b"\x89PNG\r\n\x1a\n",
            "c/z.dat": b"customer_id;email;at\n"
            + b"".join(f"{p['customer_id']};{p['email']};2026-01-01\n".encode() for p in _PEOPLE),
        },
    )
    a = {"layout": "shared", "prefix": "a/", "format": "ndjson", "compression": "gzip"}
    c = {"layout": "shared", "prefix": "c/", "format": "csv", "dialect": {"delimiter": ";"}}
    assert sources(found) == {"a": a, "c": c}
    assert [(left.place, left.code) for left in found.left_out] == [("b/", "image")]


def test_tables_and_opaque_objects_are_told_apart(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Delta, Iceberg and Hudi are named and not entered; the rest is named by its kind."""
    found = proposed(
        s3,
        s3_endpoint,
        bucket_name,
        {
            "t/delta/_delta_log/0.json": lines(_PEOPLE),
            "t/delta/part.json": lines(_PEOPLE),
            "t/ice/metadata/v1.metadata.json": b"{}",
            "t/ice/data/part.json": lines(_PEOPLE),
            "t/hudi/.hoodie/hoodie.properties": b"x",
            "t/plain/metadata/about.json": lines(_PEOPLE),
            "o/orc/a": b"ORC" + bytes(9),
            "o/zip/a": b"PK\x03\x04" + bytes(9),
            "o/text/a": b"nothing to see here\n",
            "o/bin/a": bytes(range(256)),
            "o/wide/a": "anna".encode("utf-16"),
            "o/cut/a": gzip.compress(lines(_PEOPLE))[:40],
            "o/nohead/a": b"anna,delft,31\nbert,graz,44\n",
        },
    )
    left = {each.place: each.code for each in found.left_out}
    assert sources(found).keys() == {"t_plain_metadata"}
    assert left == {
        "t/delta/": "table_delta",
        "t/ice/": "table_iceberg",
        "t/hudi/": "table_hudi",
        "o/orc/": "orc",
        "o/zip/": "archive",
        "o/text/": "text",
        "o/bin/": "binary",
        "o/wide/": "utf_16",
        "o/cut/": "text",
        "o/nohead/": "csv_without_header",
    }


def test_names_that_are_data_are_no_fields(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """A document whose keys are addresses, a header that is a person: neither is told."""
    rows = [{"customer_id": n, "seen": {f"p{n}@mail.example": 1}, f"x{n}": 2} for n in range(20)]
    same = [{**row, "by": {"boss@mail.example": "yes"}} for row in rows]
    found = proposed(s3, s3_endpoint, bucket_name, {"a/x": lines(same)})
    (collection,) = found.collections.values()
    assert set(collection.fields) == {"customer_id"}
    assert "mail.example" not in repr(found)


def test_two_kinds_of_files_in_a_folder_are_two_collections(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Files that begin with other words and hold other fields get a prefix each; copies do not."""
    other = [{"payment_id": n, "iban": "DE02120300000000202051", "holder": "x y"} for n in range(9)]
    objects = {"in/people-1.json": lines(_PEOPLE), "in/people-2.json": lines(_PEOPLE)}
    objects |= {"in/money-1.json": lines(other)}
    found = proposed(s3, s3_endpoint, bucket_name, objects)
    assert {c.source["prefix"] for c in found.collections.values()} == {"in/people", "in/money"}


def test_the_walk_is_bounded(
    s3: S3Client, s3_endpoint: str, bucket_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folders that differ in an id are entered three times; beyond the bound it is told."""
    for n in range(40):
        s3.put_object(Bucket=bucket_name, Key=f"customers/{n}/a/b.bin", Body=b"x")
        s3.put_object(Bucket=bucket_name, Key=f"{chr(97 + n % 26)}{n // 26}x/a.bin", Body=b"x")
    asked: list[str] = []

    def counted(*given: Any) -> Any:
        asked.append(given[1])
        return folder(*given)

    monkeypatch.setattr(walking, "folder", counted)
    bucket = Bucket(_config(s3_endpoint, bucket_name))
    list(walking.walk(bucket))
    assert len([at for at in asked if at.startswith("customers/")]) == 1 + 2 * 3
    asked.clear()
    monkeypatch.setattr(walking, "_MOST_REQUESTS", 5)
    places = list(walking.walk(bucket))
    assert len(asked) == 5
    assert any(place.more and not place.objects for place in places)
    bucket.close()


@pytest.mark.parametrize("name", ["country", "country_code"])
def test_a_country_in_records_is_their_residence(
    s3: S3Client, s3_endpoint: str, bucket_name: str, name: str
) -> None:
    """A field that holds codes of countries is proposed; names of countries are no residence."""
    codes = [{**row, name: ("DE", "FR", "CH")[n % 3]} for n, row in enumerate(_PEOPLE)]
    names = [{**row, name: f"Zq{n}land"} for n, row in enumerate(_PEOPLE)]
    found = proposed(
        s3,
        s3_endpoint,
        bucket_name,
        {"codes/a": lines(codes), "names/a": lines(names), "plain/a": lines(_PEOPLE)},
    )
    told = {c.source["prefix"]: c.residence for c in found.collections.values()}
    assert told == {"codes/": name, "names/": None, "plain/": None}


# ---- drift


def events(**change: Any) -> Collection:
    """A map that was right once."""
    fields = {n: EVENTS.fields[n] for n in ("event_id", "customer")}
    source = {"layout": "shared", "prefix": "events/", "format": "ndjson"}
    takes = {"customer_number": EVENTS.takes["customer_number"]}
    found = replace(EVENTS, takes=takes, fields=fields, yields={}, clocks={}, residence=None)
    return replace(found, source={**source, **change})


def told(made: S3, severity: Severity) -> dict[str, str]:
    """The findings of a severity."""
    return {f.subject: f.message for f in made.propose().drift if f.severity is severity}


def test_a_map_that_grew_old_is_told(s3: S3Client, s3_endpoint: str, bucket_name: str) -> None:
    """A place without a collection, one where nothing lies, another format, an unmapped field."""
    rows = [{"event_id": n, "customer": n, "email": f"p{n}@mail.example"} for n in range(9)]
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines(rows))
    s3.put_object(Bucket=bucket_name, Key="new/a", Body=lines(_PEOPLE))
    found = told(connector(s3_endpoint, bucket_name, events()), Severity.ERROR)
    assert found.keys() == {"new/", "events.email"}
    assert "user.contact.email" in found["events.email"]
    csv = connector(s3_endpoint, bucket_name, events(format="csv"))
    assert "is mapped as csv, and its objects are ndjson" in told(csv, Severity.ERROR)["events"]
    empty = connector(s3_endpoint, bucket_name, events(prefix="gone/"))
    assert told(empty, Severity.ERROR).keys() == {"new/", "events/", "events"}


def test_what_people_left_out_is_not_told(s3: S3Client, s3_endpoint: str, bucket_name: str) -> None:
    """A place and a field that are left out with a reason are fine; one that is gone is stale."""
    rows = [{"event_id": n, "customer": n, "email": f"p{n}@mail.example"} for n in range(9)]
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines(rows))
    s3.put_object(Bucket=bucket_name, Key="new/a", Body=lines(_PEOPLE))
    left = {"new/": "a copy", "events/:email": "hashed", "old/": "was a copy"}
    made = S3(replace(system(events()), left_out=left), _config(s3_endpoint, bucket_name))
    assert told(made, Severity.ERROR) == {}
    assert told(made, Severity.WARNING).keys() == {"old/"}
