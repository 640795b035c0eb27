"""Instants that Python's own types cannot hold: found, shown and erased like any other value."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow as pa
from deltalake import write_deltalake

from dsr_worker.contract import Collection, Taken
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_delta import options
from tests.contract.s3_erasures import erased, outcomes
from tests.contract.s3_parquet import file_of, rows_of
from tests.contract.s3_support import connector, current, number

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

FINE = 1_700_000_000_123_456_789
LATE = 300_000_000_000_000_000  # the year 11476, in microseconds


def orders(**source: str) -> Collection:
    """Orders under a prefix."""
    return Collection(
        name="orders",
        key=("order_id",),
        fields={},
        takes={"customer_number": Taken("customer")},
        source={"prefix": "orders/", **source},
    )


def test_nanoseconds_in_a_parquet_object(s3: S3Client, s3_endpoint: str, bucket_name: str) -> None:
    """A record shows all nine digits; erasing one row leaves those of the others."""
    table = pa.table(
        {
            "order_id": ["o1", "o2", "o3"],
            "customer": [1, 2, None],
            "at": pa.array([FINE, FINE + 1, None], pa.timestamp("ns")),
            "took": pa.array([1, 2, 3], pa.duration("ns")),
        }
    )
    key = "orders/a.parquet"
    s3.put_object(Bucket=bucket_name, Key=key, Body=file_of(table, max_rows_per_page=2))
    made = connector(s3_endpoint, bucket_name, orders(layout="shared", format="parquet"))
    (record,) = made.find([number("1")], TrialContext())
    assert json.loads(record.body)["at"] == "2023-11-14T22:13:20.123456789"
    assert outcomes(erased(made, [number("1")], TrialContext())) == {"erased": 1}
    left = rows_of(current(s3, bucket_name, key))
    assert [(row["order_id"], row["at"]) for row in left] == [("o2", FINE + 1), ("o3", None)]


def test_far_years_in_a_delta_table(s3_endpoint: str, bucket_name: str) -> None:
    """A row is found, shown and erased though no library of Python can say when it was."""
    table = pa.table(
        {
            "order_id": ["o1", "o2"],
            "customer": [1, 2],
            "at": pa.array([LATE, LATE], pa.timestamp("us", "UTC")),
        }
    )
    write_deltalake(f"s3://{bucket_name}/orders/", table, storage_options=options(s3_endpoint))
    made = connector(s3_endpoint, bucket_name, orders(layout="table", format="delta"))
    (record,) = made.find([number("1")], TrialContext())
    assert json.loads(record.body)["at"] == "3472222 days after 1970-01-01T05:20:00Z"
    assert outcomes(erased(made, [number("1")], TrialContext())) == {"erased": 1}
    assert [key.key[1] for key in made.locate([number("2")], TrialContext())] == ["o2"]
