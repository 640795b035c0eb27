"""The conformance suite against tables in a bucket: the orders of the standard people in Delta.

In: the suite's own world as a bucket holds it. Out: the same, with one collection as a table, whose
rows are told by the table and not by a file.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import write_deltalake

from dsr_worker.testing.conformance import Adapter, Where, World, large_world, standard_world
from tests.contract import test_conformance_s3
from tests.contract.s3_delta import options
from tests.contract.test_conformance_s3 import BucketAdapter, in_a_bucket

_FILE = "orders/all.ndjson"
_PREFIX = "orders/"


def in_a_table(world: World) -> World:
    """The same facts, the orders in a table."""
    orders = world.system.collections["orders"]
    source = {"layout": "table", "format": "delta", "prefix": _PREFIX}
    collections = {**world.system.collections, "orders": replace(orders, source=source)}
    return replace(
        world,
        system=replace(world.system, collections=collections),
        owned={ref: frozenset(map(_place, places)) for ref, places in world.owned.items()},
        staying=frozenset(map(_place, world.staying)),
        mentions=frozenset((ref, *_place((name, key)), f) for ref, name, key, f in world.mentions),
        swept=frozenset(map(_place, world.swept)),
    )


def _place(place: Where) -> Where:
    name, key = place
    return name, (_PREFIX, *key[1:]) if name == "orders" else key


class TableAdapter(BucketAdapter):
    """A world in a bucket of its own, the orders in a table."""

    def _put(self, key: str, body: bytes) -> None:
        if key != _FILE:
            super()._put(key, body)
            return
        rows = [dict(row) for row in self.world.rows["orders"]]
        uri = f"s3://{self.bucket}/{_PREFIX}"
        write_deltalake(uri, pa.Table.from_pylist(rows), storage_options=options(self.endpoint))

    def dump(self) -> Mapping[Where, bytes]:
        """Every row of every data file, and everything else as before."""
        found = {w: b for w, b in super().dump().items() if not w[1][0].startswith(_PREFIX)}
        for item in self.s3.list_objects_v2(Bucket=self.bucket, Prefix=_PREFIX)["Contents"]:
            body = self.s3.get_object(Bucket=self.bucket, Key=item["Key"])["Body"].read()
            if "_delta_log" in item["Key"]:
                continue
            for row in _rows(body):
                found["orders", (_PREFIX, str(row["id"]))] = repr(row).encode()
        return found


def _rows(body: bytes) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(body)).to_pylist()
    return rows


class TestTables(test_conformance_s3.TestS3):
    """The S3 connector on a bucket with a table."""

    most_moments = 3

    def world(self) -> World:
        """The standard people in a bucket."""
        return in_a_table(in_a_bucket(standard_world()))

    def large(self) -> World:
        """One of them with much in one object."""
        return in_a_table(in_a_bucket(large_world(3000, 4000)))

    def make(self, world: World) -> Adapter:
        """A bucket of its own."""
        return TableAdapter(world, *self.new())
