"""Erasing what rows link: which rows are read for it, however a link is written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from connectors.s3.reading.linked import LINKED_BY_OTHERS
from connectors.s3.reading.shared import Shared
from dsr_worker.contract import Collection, Field, Remainder, Taken
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_erasures import erased, outcomes
from tests.contract.s3_support import connector, content, current, lines, number

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PAPER = "invoices/2026 a/1.pdf"
ORDERS = Collection(
    "orders",
    ("id",),
    {name: Field(name, "user.content") for name in ("id", "customer", "paper")},
    takes={"customer_number": Taken("customer")},
    source={"layout": "shared", "prefix": "orders/", "format": "ndjson"},
)
PAPERS = Collection(
    "papers",
    ("key",),
    {name: Field(name, "user.content") for name in ("key", "body")},
    takes={"customer_number": Taken("row:customer")},
    clocks={"record_date": "last_modified"},
    source={
        "layout": "linked",
        "from": "orders",
        "field": "paper",
        "prefix": "invoices/",
        "hosts": ["cdn.shop.example"],
        "derived": ["{stem}.thumb.jpg", "small/{key}"],
    },
)
DERIVED = ("invoices/2026 a/1.thumb.jpg", f"small/{PAPER}")
FORMS = {
    "key": json.dumps(PAPER),
    "uri": json.dumps(f"s3://BUCKET/{PAPER}"),
    "url": '"https://cdn.shop.example/invoices/2026%20a/1.pdf"',
    "encoded": '"https://cdn.shop.example/%69nvoices%2F2026%20a%2F%31.pdf"',
    "slashes": r'"invoices\/2026 a\/1.pdf"',
    "escapes": r'"\u0069nvoices/2026 a/1.pdf"',
    "percent escaped": r'"https://cdn.shop.example/invoices/2026\u002520a/1.pdf"',
    "padded": json.dumps(f"  {PAPER}\t"),
    "among others": json.dumps(["invoices/other.pdf", PAPER]),
}


def row(n: int, customer: str, paper: object) -> dict[str, Any]:
    """An invented order."""
    return {"id": f"o{n}", "customer": customer, "paper": paper}


@pytest.mark.parametrize(
    ("form", "located"),
    [
        *((form, PAPER) for form in FORMS),
        *((form, place) for form in ("key", "encoded") for place in DERIVED),
    ],
)
def test_what_anothers_row_links_stays_however_it_is_written(
    s3: S3Client, s3_endpoint: str, bucket_name: str, form: str, located: str
) -> None:
    """Hard case 18: rows are looked for by the key they link, and none that links it is missed."""
    theirs = f'{{"id": "o9", "customer": "2", "paper": {FORMS[form]}}}\n'
    body = lines([row(1, "1", PAPER)]) + theirs.replace("BUCKET", bucket_name).encode()
    s3.put_object(Bucket=bucket_name, Key="orders/a", Body=body)
    s3.put_object(Bucket=bucket_name, Key=located, Body=b"paper")
    made = connector(s3_endpoint, bucket_name, PAPERS, ORDERS)
    papers = [r for r in erased(made, [number("1")], TrialContext()) if r.collection == "papers"]
    assert [(o.ground, o.rows) for r in papers for o in r.outcomes] == [(LINKED_BY_OTHERS, 1)]
    assert b"paper" in content(s3, bucket_name).values()


def test_only_rows_that_could_link_it_are_parsed(
    s3: S3Client, s3_endpoint: str, bucket_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hard case 18: an erasure of one paper does not parse the orders of everybody else."""
    rows = [row(n, "2", f"invoices/{n}.pdf") for n in range(10, 310)]
    s3.put_object(Bucket=bucket_name, Key="orders/a", Body=lines([*rows, row(1, "1", PAPER)]))
    s3.put_object(Bucket=bucket_name, Key=PAPER, Body=b"paper")
    made = connector(s3_endpoint, bucket_name, PAPERS, ORDERS)
    keys = list(made.locate([number("1")], TrialContext()))
    parsed: list[object] = []
    plain = Shared.records

    def counted(*args: Any) -> Iterator[Any]:
        for entry in plain(*args):
            parsed.append(entry)
            yield entry

    monkeypatch.setattr(Shared, "records", counted)
    receipts = list(made.erase([number("1")], keys, TrialContext()))
    assert outcomes(receipts) == {"erased": 2}
    assert len(parsed) <= 3


def test_what_rows_in_an_archive_may_link_stays_for_now(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Hard case 27: rows that nobody can read stop no answer, and may be another's who links it."""
    s3.put_object(Bucket=bucket_name, Key="orders/a", Body=lines([row(1, "1", PAPER)]))
    old: Any = {"StorageClass": "GLACIER", "Body": lines([row(2, "2", PAPER)])}
    s3.put_object(Bucket=bucket_name, Key="orders/old", **old)
    s3.put_object(Bucket=bucket_name, Key=PAPER, Body=b"paper")
    made = connector(s3_endpoint, bucket_name, PAPERS, ORDERS)
    found = [r.key[0] for r in made.find([number("1")], TrialContext())]
    assert found == [PAPER, "orders/a", "orders/old"]
    receipts = erased(made, [number("1")], TrialContext())
    kept = {(r.collection, o.ground) for r in receipts for o in r.outcomes if o.ground}
    assert kept == {("papers", Remainder.ARCHIVED), ("orders", Remainder.ARCHIVED)}
    assert current(s3, bucket_name, PAPER) == b"paper"
