"""What a report of S3 Inventory says of how a bucket's objects lie: how many, how large, where.

In: the folder into which reports are delivered. Out: loads by key, from which units are cut. A
report is a day or a week old and S3 has no call for what changed since: it decides where ranges of
keys begin and end, never which objects are read. A bounded sample of its keys is kept in memory.
(Amazon S3 User Guide, "Locating your inventory list" and "Amazon S3 Inventory list".)
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import IO, Any
from urllib.parse import unquote_plus
from zlib import crc32

from connectors.s3.config import Inventory
from connectors.s3.scanning.parts import Load
from connectors.s3.server.bucket import Bucket, Spend
from connectors.s3.server.refusals import GoneError
from connectors.s3.server.reports import folders, small, verified
from dsr_worker.contract import Context

_DELIVERY = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}-\d{2}Z")
_MOST_KEYS = 100_000
_ROWS = 10_000
_LARGE = 4  # an object of a quarter of a unit counts by itself


class ReportUnusableError(Exception):
    """There is no report that could be used; the text says why, without a key."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """A delivered report, its manifest verified."""

    bucket: Bucket
    name: str  # of the bucket in which it lies
    format: str
    columns: tuple[str, ...]
    files: tuple[tuple[str, str], ...]  # key, MD5

    def read(self, prefixes: Iterable[str], unit_bytes: int, ctx: Context) -> Report:
        """Read all of it. Raises ReportUnusableError where a file is not what the manifest says."""
        report = Report({prefix: Sample(unit_bytes) for prefix in prefixes})
        rows = {"CSV": _csv_rows, "Parquet": _parquet_rows}[self.format]
        for key, md5 in self.files:
            ctx.check()
            with verified(self.bucket, self.name, key, md5, ctx.spend) as file:
                if file is None:
                    raise ReportUnusableError("a file of the report is not what its manifest says")
                for number, (name, size_bytes) in enumerate(rows(file, self.columns)):
                    if number % _ROWS == 0:
                        ctx.check()
                    report.add(name, size_bytes)
        return report


@dataclass(frozen=True, slots=True)
class Report:
    """The loads of each prefix."""

    samples: dict[str, Sample]

    def add(self, key: str, size_bytes: int) -> None:
        """One object or version."""
        for prefix, sample in self.samples.items():
            if key.startswith(prefix):
                sample.add(key, size_bytes)

    def loads(self, prefix: str, after: str) -> Iterator[Load]:
        """The loads of a prefix behind a key, in the order of keys."""
        border = after.encode()
        return (load for load in self.samples[prefix].loads() if load[0].encode() > border)


class Sample:
    """Some keys for many: every n-th by a digest, and each large object."""

    def __init__(self, unit_bytes: int, most_keys: int = _MOST_KEYS) -> None:
        self._large_bytes = max(1, unit_bytes // _LARGE)
        self._most_keys = most_keys
        self._large: list[Load] = []
        self._kept: list[str] = []
        self._objects = 0
        self._size_bytes = 0
        self._stride = 1

    def add(self, key: str, size_bytes: int) -> None:
        """One object or version."""
        if size_bytes >= self._large_bytes:
            self._large.append((key, 1, size_bytes))
            return
        self._objects += 1
        self._size_bytes += size_bytes
        if self._is_kept(key):
            self._kept.append(key)
            while len(self._kept) > self._most_keys:
                self._stride *= 2
                self._kept = [k for k in self._kept if self._is_kept(k)]

    def loads(self) -> list[Load]:
        """What lies about each kept key, in the order of keys."""
        each = self._size_bytes * self._stride // max(1, self._objects)
        kept = [(key, self._stride, each) for key in self._kept]
        return sorted(self._large + kept, key=lambda load: load[0].encode())

    def _is_kept(self, key: str) -> bool:
        return crc32(key.encode()) % self._stride == 0


def newest(bucket: Bucket, wanted: Inventory, spend: Spend, now: datetime | None) -> Manifest:
    """The newest report. Raises ReportUnusableError; too old is one by `now`, or by this clock."""
    prefix = wanted.prefix.rstrip("/") + "/"
    deliveries = sorted(
        (f for f in folders(bucket, wanted.bucket, prefix, spend) if _DELIVERY.fullmatch(f)),
        reverse=True,
    )
    for delivery in deliveries:
        place = f"{prefix}{delivery}/manifest"
        try:
            text = small(bucket, wanted.bucket, f"{place}.json", spend)
            md5 = small(bucket, wanted.bucket, f"{place}.checksum", spend).decode().strip()
        except GoneError:
            continue  # it is being delivered: the checksum comes last
        if hashlib.md5(text, usedforsecurity=False).hexdigest() != md5.lower():
            raise ReportUnusableError("the manifest is not what its checksum says")
        try:
            return _manifest(bucket, wanted, json.loads(text), now or datetime.now(UTC))
        except (KeyError, TypeError, ValueError):
            raise ReportUnusableError("the manifest does not say what one has to") from None
    raise ReportUnusableError("no report was delivered yet")


def _manifest(bucket: Bucket, wanted: Inventory, said: dict[str, Any], now: datetime) -> Manifest:
    if said.get("sourceBucket") != bucket.name:
        raise ReportUnusableError("the report is about another bucket")
    made_at = datetime.fromtimestamp(int(said["creationTimestamp"]) / 1000, UTC)
    if now - made_at > timedelta(days=wanted.max_age_days):
        raise ReportUnusableError(f"the newest report is of {made_at:%Y-%m-%d}")
    kind = said.get("fileFormat")
    if kind not in ("CSV", "Parquet"):
        raise ReportUnusableError(f"a report in {kind} is not read: choose CSV or Parquet")
    columns = tuple(name.strip() for name in said["fileSchema"].split(","))
    if kind == "CSV":
        columns.index("Key")
    files = tuple((f["key"], f["MD5checksum"]) for f in said["files"])
    return Manifest(bucket, wanted.bucket, kind, columns, files)


def _csv_rows(file: IO[bytes], columns: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    """Keys stand URL-encoded in a CSV report; a delete marker has no size."""
    key_at, size_at = columns.index("Key"), columns.index("Size") if "Size" in columns else None
    with gzip.open(file) as raw, io.TextIOWrapper(raw, encoding="utf-8", newline="") as text:
        for row in csv.reader(text):
            size = row[size_at] if size_at is not None else ""
            yield unquote_plus(row[key_at]), int(size or 0)


def _parquet_rows(file: IO[bytes], _columns: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    try:
        from pyarrow import parquet  # noqa: PLC0415 - only who has such reports needs it
    except ImportError:
        raise ReportUnusableError("reading a Parquet report needs the package pyarrow") from None
    table = parquet.ParquetFile(file)
    names = [name for name in ("key", "size") if name in table.schema_arrow.names]
    for batch in table.iter_batches(batch_size=_ROWS, columns=names):
        columns = batch.to_pydict()
        sizes = columns.get("size") or [0] * batch.num_rows
        yield from ((key, size or 0) for key, size in zip(columns["key"], sizes, strict=True))
