"""From a bucket to a proposed map to the person: also where records stand in lists of documents."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from connectors.s3 import S3
from dsr_worker.contract import Collection, Field, Finding, Severity, System, Taken
from dsr_worker.datamap import read_system
from dsr_worker.map_text import written
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_support import connector, lines, number, person

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Put = Mapping[str, bytes]


def orders(first: int = 0, many: int = 9) -> list[dict[str, Any]]:
    """Orders, each another customer's."""
    return [
        {"id": n, "customer_id": 700 + n, "email": f"p{n}@mail.example", "at": "2026-01-01"}
        for n in range(first, first + many)
    ]


def reviewed(made: S3) -> S3:
    """A connector by the map that was proposed, written to its file and read back, marks out."""
    text = written(System("files", "s3", {}), {}, made.propose())
    collections = {}
    for name, each in read_system(text).system.collections.items():
        fields = {n: replace(f, review=False) for n, f in each.fields.items()}
        collections[name] = replace(each, review=False, fields=fields)
    return S3(System("files", "s3", collections), made._config)


def found(made: S3, subject: Any) -> list[Any]:
    """The records of a person, as JSON."""
    return [json.loads(record.body) for record in made.find([subject], TrialContext())]


@pytest.fixture
def bucket_of(s3: S3Client, s3_endpoint: str, bucket_name: str) -> Iterator[Any]:
    """Puts objects and gives a connector without a map."""
    made = connector(s3_endpoint, bucket_name)

    def put(objects: Put) -> S3:
        for key, body in objects.items():
            s3.put_object(Bucket=bucket_name, Key=key, Body=body)
        return made

    yield put
    made.close()


def document(records: list[dict[str, Any]], **written_as: Any) -> bytes:
    """Records in a list beside other members."""
    whole = {"meta": {"made_by": "shop 7", "count": len(records)}, "orders": records, "end": True}
    return json.dumps(whole, **written_as).encode()


@pytest.mark.parametrize(
    "written_as",
    [
        pytest.param(document, id="on one line"),
        pytest.param(lambda rows: document(rows, indent=2), id="over lines"),
        pytest.param(lambda rows: gzip.compress(document(rows)), id="in gzip"),
        pytest.param(lambda rows: document(rows) + b"\n" + document(rows), id="one after another"),
        pytest.param(lambda rows: b"\xef\xbb\xbf" + document(rows), id="behind a mark"),
        pytest.param(
            lambda rows: json.dumps({"data": {"page": {"orders": rows}}}).encode(), id="deeper"
        ),
    ],
)
def test_the_proposed_map_finds_the_person_in_a_list(bucket_of: Any, written_as: Any) -> None:
    """A document with its records at a path gets `records`, and the map finds whom it holds."""
    made = bucket_of({"in/a.json": written_as(orders()), "in/b.json": written_as(orders(20))})
    again = reviewed(made)
    (collection,) = again._system.collections.values()
    assert collection.source["records"].split(".")[-1] == "orders"
    assert collection.source["format"] == "json"
    shown = found(again, number("703"))
    assert {record["email"] for record in shown} == {"p3@mail.example"}
    shown = found(again, person("case", ("email", "p21@mail.example")))
    assert {record["customer_id"] for record in shown} == {721}
    assert [f for f in again.propose().drift if f.severity is Severity.ERROR] == []
    assert [f for f in again.check() if f.subject.startswith("in")] == []


def test_a_document_longer_than_the_sample_is_read_by_its_list(bucket_of: Any) -> None:
    """A document of which only the beginning is sampled is proposed all the same."""
    made = bucket_of({"in/a.json": document([dict(o, pad="x" * 200) for o in orders(0, 3000)])})
    again = reviewed(made)
    (collection,) = again._system.collections.values()
    assert collection.source["records"] == "orders"
    assert found(again, number("3600"))[0]["email"] == "p2900@mail.example"


def test_two_lists_are_two_collections(bucket_of: Any) -> None:
    """Customers and orders in one document are two collections with a path each."""
    people = [{"customer_id": n, "name": f"Ann{n} Berg", "email": f"p{n}@mail.example"} for n in
              range(700, 709)]  # fmt: skip
    body = json.dumps({"customers": people, "orders": orders()}).encode()
    again = reviewed(bucket_of({"in/a.json": body}))
    paths = {c.source["records"] for c in again._system.collections.values()}
    assert paths == {"customers", "orders"}
    assert len(found(again, number("704"))) == 2


def test_a_persons_own_document_stays_one_record(bucket_of: Any) -> None:
    """A document that names its customer beside its lists is the record; nobody in them owns it."""
    bodies = {
        f"in/{n}.json": json.dumps(
            {"customer_id": n, "friends": [{"email": f"f{n}{m}@mail.example"} for m in range(3)]}
        ).encode()
        for n in range(700, 706)
    }
    again = reviewed(bucket_of(bodies))
    (collection,) = again._system.collections.values()
    assert "records" not in collection.source
    assert {t.field for t in collection.takes.values()} == {"customer_id"}
    assert [record["customer_id"] for record in found(again, number("703"))] == [703]
    assert found(again, person("case", ("email", "f7031@mail.example"))) == []


def test_people_in_the_lists_of_lines_are_found(bucket_of: Any) -> None:
    """Plain values in a list, and lists of lists, are named so that the reader enters them."""
    rows = [{"id": n, "emails": [f"p{n}@mail.example", f"q{n}@mail.example"]} for n in range(9)]
    again = reviewed(bucket_of({"in/a": lines(rows)}))
    (collection,) = again._system.collections.values()
    assert collection.takes["email"].field == "emails[]"
    assert [r["id"] for r in found(again, person("case", ("email", "q4@mail.example")))] == [4]


def test_people_in_lists_of_parquet_are_found(bucket_of: Any) -> None:
    """The same of plain values in a list column."""
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    rows = [{"id": n, "emails": [f"p{n}@mail.example", f"q{n}@mail.example"]} for n in range(9)]
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out)
    again = reviewed(bucket_of({"in/a": out.getvalue()}))
    assert [r["id"] for r in found(again, person("case", ("email", "q4@mail.example")))] == [4]


def test_records_of_people_yield_their_names(bucket_of: Any) -> None:
    """A customer's own record leads from the number to the address; of others a comment says so."""
    people = [{"customer_id": n, "email": f"p{n}@mail.example"} for n in range(700, 709)]
    made = bucket_of({"customers/a": lines(people), "orders/a": lines(orders() * 2)})
    text = written(System("files", "s3", {}), {}, made.propose())
    again = reviewed(made)
    yields = {name: dict(c.yields) for name, c in again._system.collections.items()}
    both = {"customer_number": "customer_id", "email": "email"}
    assert yields == {"customers": both, "orders": {}}
    assert "could_yield.customer_number.email" in text
    links = [link.identity for link in again.resolve([number("703")], TrialContext())]
    assert [(link.kind, link.value) for link in links] == [("email", "p703@mail.example")]


# ---- the check


def events(source: Mapping[str, Any], **takes: str) -> Collection:
    """A shared collection as somebody wrote it by hand."""
    names = {"id", *takes.values()}
    return Collection(
        "in",
        ("id",),
        {name: Field(name, "user.unique_id") for name in names},
        takes={kind: Taken(name) for kind, name in takes.items()},
        source={"layout": "shared", "prefix": "in/", **source},
    )


def told(made: S3, collection: Collection) -> list[Finding]:
    """What the check says of a collection."""
    checked = S3(System("files", "s3", {collection.name: collection}), made._config)
    findings = [f for f in checked.check() if f.subject.startswith("in")]
    checked.close()
    return findings


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(document(orders()), id="short"),
        pytest.param(document(orders(0, 6000)), id="longer than the sample"),
        pytest.param(gzip.compress(document(orders(0, 90_000)), 1), id="in gzip"),
    ],
)
def test_an_owner_field_that_meets_a_list_is_an_error(bucket_of: Any, body: bytes) -> None:
    """The map that finds nobody while all seems well is refused by the check, with the way out."""
    made = bucket_of({"in/a.json": body})
    (error,) = told(made, events({"format": "json"}, email="orders.email"))
    assert (error.severity, error.subject) == (Severity.ERROR, "in.orders.email")
    assert "`records: orders`" in error.remedy
    assert "`email`" in error.remedy
    assert "orders[].email" in error.remedy
    mended = events({"format": "json", "records": "orders"}, email="email")
    assert told(made, mended) == []


def test_a_path_that_meets_a_list_in_some_records_is_a_warning(bucket_of: Any) -> None:
    """Where some records have a plain value and some a list, the latter are told."""
    rows = [{"id": 1, "email": "a@mail.example"}, {"id": 2, "email": ["b@mail.example"]}]
    (warning,) = told(bucket_of({"in/a": lines(rows)}), events({"format": "ndjson"}, email="email"))
    assert (warning.severity, "some are not found" in warning.message) == (Severity.WARNING, True)


@pytest.mark.parametrize(
    ("source", "body"),
    [
        ({"format": "json", "records": "order"}, document(orders())),
        ({"format": "json", "records": "order"}, document(orders(0, 6000))),
        ({"format": "ndjson"}, b"nothing\nto see\n"),
        ({"format": "csv"}, b"id;email\n1;a@mail.example\n"),
    ],
)
def test_objects_without_a_record_are_told(bucket_of: Any, source: Any, body: bytes) -> None:
    """A sampled object in which the map finds no record at all is a warning with the reason."""
    (warning,) = told(bucket_of({"in/a": body}), events(source, email="email"))
    assert warning.severity is Severity.WARNING
    assert warning.message.startswith("1 of 1 objects sampled give no record (")


@pytest.mark.parametrize(
    ("source", "body"),
    [
        ({"format": "json", "records": "orders"}, document([])),
        ({"format": "json"}, b"[]"),
        ({"format": "csv"}, b"id,email\n"),
    ],
)
def test_emptied_objects_are_fine(bucket_of: Any, source: Any, body: bytes) -> None:
    """What an erasure leaves of an object whose last record went is no fault of the map."""
    assert told(bucket_of({"in/a": body}), events(source, email="email")) == []


def test_a_number_that_the_map_takes_for_a_name_is_one(bucket_of: Any) -> None:
    """Whether a value may name somebody, the map's equality says."""
    made = bucket_of({"in/a": b'{"id": 1, "number": 7.0}\n'})
    plain = {"format": "ndjson"}
    assert len(told(made, events(plain, customer_number="number"))) == 1
    equal = {**plain, "equals": {"number": "decimal"}}
    assert told(made, events(equal, customer_number="number")) == []


def test_records_that_name_nobody_are_told(bucket_of: Any) -> None:
    """An owner field that stands in no sampled record is a warning."""
    made = bucket_of({"in/a": lines(orders())})
    (warning,) = told(made, events({"format": "ndjson"}, email="mail"))
    assert "none of 9 records sampled names anybody by mail" in warning.message
