"""A Delta table of orders in a test's bucket, and ways to look at it. All people are invented."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, write_deltalake

from connectors.s3 import S3
from dsr_worker.contract import (
    Action,
    Always,
    Collection,
    DecisionTable,
    Field,
    Form,
    Mask,
    MaskKind,
    Rule,
    Taken,
)
from dsr_worker.testing.context import TrialContext
from tests import services as real
from tests.contract.s3_support import connector, content, versioned

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PREFIX = "lake/orders/"
ORDERS = Collection(
    name="orders",
    key=("order_id",),
    fields={
        "order_id": Field("order_id", "user.unique_id"),
        "customer": Field("customer", "user.unique_id", Mask(MaskKind.NULL)),
        "email": Field("email", "user.contact.email", Mask(MaskKind.TOMBSTONE)),
        "note": Field("note", "user.content", free_text=True),
    },
    takes={"customer_number": Taken("customer"), "email": Taken("email", Form.ASCII_CASE)},
    clocks={"record_date": "ordered_at"},
    source={"layout": "table", "format": "delta", "prefix": PREFIX},
)
MASKS = {name: f.mask for name, f in ORDERS.fields.items() if f.mask is not None}
MASKED = Rule("minimum", Always(), Action.MASK, ground="tax", masks=MASKS)
HOSTILE = "x'; DROP TABLE t; -- \" $1 \\ %s"


def order(n: int, customer: int | None, email: str = "", note: str = "") -> dict[str, Any]:
    """An invented order."""
    return {
        "order_id": f"o{n}",
        "customer": customer,
        "email": email or f"c{customer}@shop.example",
        "ordered_at": datetime(2026, 1, 1 + n % 28, tzinfo=UTC),
        "address": {"street": f"street {customer}"},
        "note": note,
    }


SCHEMA = pa.schema(
    [
        ("order_id", pa.string()),
        ("customer", pa.int64()),
        ("email", pa.string()),
        ("ordered_at", pa.timestamp("us", "UTC")),
        ("address", pa.struct([("street", pa.string())])),
        ("note", pa.string()),
    ]
)


def deciding(*rules: Rule) -> TrialContext:
    """A call under these rules for the orders."""
    return TrialContext(tables={"orders": DecisionTable("orders", rules)})


def options(endpoint: str) -> dict[str, str]:
    """How the library reaches the test's server."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": real.S3_REGION,
        "AWS_ACCESS_KEY_ID": real.S3_KEY,
        "AWS_SECRET_ACCESS_KEY": real.S3_SECRET,
    }


def write(endpoint: str, bucket: str, rows: Sequence[Mapping[str, Any]], **more: Any) -> None:
    """A commit that adds these rows."""
    table = pa.Table.from_pylist([dict(row) for row in rows], SCHEMA)
    uri = f"s3://{bucket}/{PREFIX}"
    write_deltalake(uri, table, mode="append", storage_options=options(endpoint), **more)


def table(endpoint: str, bucket: str) -> DeltaTable:
    """The table as anybody sees it."""
    return DeltaTable(f"s3://{bucket}/{PREFIX}", storage_options=options(endpoint))


def ids(endpoint: str, bucket: str) -> list[str]:
    """The orders in the table as anybody sees them."""
    found = pa.table(table(endpoint, bucket).to_pyarrow_table())
    return sorted(found.column("order_id").to_pylist())


def everything(s3: S3Client, bucket: str) -> bytes:
    """Every byte of the bucket, Parquet files read and written again without compression."""
    found = b""
    for body in content(s3, bucket).values():
        found += body
        if body.startswith(b"PAR1"):
            found += repr(pq.read_table(io.BytesIO(body)).to_pylist()).encode()
    return found


def filled(s3: S3Client, endpoint: str, bucket: str) -> S3:
    """A connector on a versioned bucket with a table of two commits."""
    versioned(s3, bucket)
    for part in range(2):
        write(endpoint, bucket, [order(n, n % 5) for n in range(part * 10, part * 10 + 10)])
    return connector(endpoint, bucket, ORDERS)


KEPT = sorted(f"o{n}" for n in range(20) if n % 5 != 3)
