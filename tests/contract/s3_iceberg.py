"""An Iceberg table of orders in a test's bucket, with its catalogue. All people are invented."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fastavro
import pyarrow as pa
from pyiceberg.catalog import load_catalog

from tests import services as real
from tests.contract import s3_delta
from tests.contract.s3_delta import SCHEMA, order
from tests.contract.s3_support import connector, content, versioned

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ORDERS = replace(
    s3_delta.ORDERS,
    source={
        "layout": "table",
        "format": "iceberg",
        "prefix": "lake/shop/orders/",
        "catalog": "lake",
        "table": "shop.orders",
    },
)


class World:
    """A versioned bucket with a table of two snapshots, its catalogue, and a connector."""

    def __init__(self, s3: S3Client, endpoint: str, bucket: str, folder: Path) -> None:
        versioned(s3, bucket)
        self.s3, self.bucket, self.endpoint = s3, bucket, endpoint
        self.catalog = {
            "type": "sql",
            "uri": f"sqlite:///{folder}/catalog.db",
            "warehouse": f"s3://{bucket}/lake",
        }
        found: Any = load_catalog("lake", **self.catalog, **self._access())
        found.create_namespace("shop")
        self._catalog = found
        found.create_table("shop.orders", schema=SCHEMA)
        for part in range(2):
            self.write(*(order(n, n % 5) for n in range(part * 10, part * 10 + 10)))
        self.made = connector(endpoint, bucket, ORDERS, catalogs={"lake": self.catalog})

    def _access(self) -> dict[str, str]:
        return {
            "s3.endpoint": self.endpoint,
            "s3.region": real.S3_REGION,
            "s3.access-key-id": real.S3_KEY,
            "s3.secret-access-key": real.S3_SECRET,
        }

    @property
    def table(self) -> Any:
        """The table as anybody sees it."""
        return self._catalog.load_table("shop.orders")

    def write(self, *rows: Mapping[str, Any]) -> None:
        """A snapshot that adds these rows."""
        self.table.append(pa.Table.from_pylist([dict(row) for row in rows], SCHEMA))

    def ids(self) -> list[str]:
        """The orders in the table."""
        return sorted(self.table.scan().to_arrow().column("order_id").to_pylist())

    def everything(self) -> bytes:
        """Every byte of the bucket, data files and manifests without compression."""
        found = s3_delta.everything(self.s3, self.bucket)
        for body in content(self.s3, self.bucket).values():
            if body.startswith(b"Obj\x01"):
                found += repr(list(fastavro.reader(io.BytesIO(body)))).encode()
        return found
