"""Whole objects under a key, linked from rows or labelled, and who is found by them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dsr_worker.contract import (
    Collection,
    Field,
    Form,
    Taken,
)
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_support import content, lines

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_s3 import S3Client

    from connectors.s3 import S3


_WHOLE = ("key", "size", "last_modified", "body")


def objects(name: str, takes: Mapping[str, str | Taken], **source: Any) -> Collection:
    """A collection of whole objects."""
    taken = {kind: t if isinstance(t, Taken) else Taken(t) for kind, t in takes.items()}
    fields = {*_WHOLE, *(t.field for t in taken.values())}
    return Collection(
        name,
        ("key",),
        {field: Field(field, "user.content") for field in sorted(fields)},
        takes=taken,
        clocks={"record_date": "last_modified"},
        source=source,
    )


def by_key(template: str, *kinds: str, **more: Any) -> Collection:
    """Objects whose keys hold these kinds of identity."""
    takes = dict.fromkeys(kinds or ("customer_number",), "key")
    return objects("files", takes, layout="prefix", template=template, **more)


def put(s3: S3Client, bucket: str, *keys: str) -> None:
    """An object under each key, which holds its own key."""
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())


def keys(s3: S3Client, bucket: str) -> set[str]:
    """The keys of all versions and markers."""
    return {key for key, _ in content(s3, bucket)}


def found(made: S3, *people: Any) -> dict[str, set[str]]:
    """What is located, by subject: the object keys of both paths, which must be the same."""
    by_ref: dict[str, set[str]] = {}
    located = list(made.locate(people, TrialContext()))
    assert len(set(located)) == len(located)
    assert set(made.recheck(people, (), TrialContext(second_path=True))) == set(located)
    for key in located:
        by_ref.setdefault(key.subject_ref, set()).add(key.key[0])
    return by_ref


ORDERS = Collection(
    name="orders",
    key=("order_id",),
    fields={n: Field(n, "user.content") for n in ("order_id", "customer", "email", "papers", "at")},
    takes={"customer_number": Taken("customer"), "email": Taken("email", Form.ASCII_CASE)},
    clocks={"record_date": "at"},
    source={"layout": "shared", "prefix": "orders/", "format": "ndjson"},
)


LINKED = objects(
    "papers",
    {"customer_number": "row:customer", "email": Taken("row:email", Form.ASCII_CASE)},
    layout="linked",
    **{"from": "orders"},
    field="papers",
    prefix="papers/",
)


def order(n: int, customer: str, *papers: str) -> dict[str, Any]:
    """An invented order and what it links."""
    return {"order_id": f"o{n}", "customer": customer, "papers": list(papers), "at": "2026-01-01"}


def shop(s3: S3Client, bucket: str, *orders: Mapping[str, Any]) -> None:
    """The orders of a shop, as one object."""
    s3.put_object(Bucket=bucket, Key="orders/a", Body=lines(orders))


LABELLED = objects(
    "uploads",
    {"customer_number": "tag:customer", "email": Taken("meta:owner", Form.ASCII_CASE)},
    layout="objects",
    prefix="up/",
    derived=["{stem}.thumb.jpg"],
)
