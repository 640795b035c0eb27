"""A report of S3 Inventory says how a bucket is divided, and never what is read."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

import pyarrow as pa
import pytest
from pyarrow import parquet

from connectors.s3 import S3
from connectors.s3.scanning.inventory import Sample
from connectors.s3.server.bucket import Bucket
from dsr_worker.contract import Call, Severity
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_support import EVENTS, connector, lines, number

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

NOW = TrialContext().now
PREFIX = "reports/shop-files/weekly"
OBJECTS = 12


@pytest.fixture
def name(bucket: Callable[[], str], s3: S3Client) -> str:
    """A bucket with a dozen objects, one key of them unlike the others."""
    made = bucket()
    for key in keys():
        s3.put_object(Bucket=made, Key=key, Body=lines([{"event_id": key, "customer": 1}]))
    return made


def keys() -> list[str]:
    """The keys of the bucket."""
    return [f"events/{n:02} a+b,\u00fc" for n in range(OBJECTS)]


def deliver(
    s3: S3Client,
    name: str,
    *,
    kind: str = "CSV",
    at: datetime = NOW - timedelta(days=1),
    about: str = "",
    listed: Sequence[str] | None = None,
    spoil: str = "",
) -> None:
    """Put an invented report into the bucket, as S3 does: data, manifest, checksum."""
    rows = [(key, 40) for key in (keys() if listed is None else listed)]
    files = []
    for number_, part in enumerate((rows[::2], rows[1::2])):
        body = {"CSV": _csv, "Parquet": _parquet, "ORC": _csv}[kind](name, part)
        key = f"{PREFIX}/data/{number_}.{kind.lower()}"
        md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
        s3.put_object(Bucket=name, Key=key, Body=body + (b"x" if spoil == "data" else b""))
        files.append({"key": key, "size": len(body), "MD5checksum": md5})
    manifest = {
        "sourceBucket": about or name,
        "destinationBucket": f"arn:aws:s3:::{name}",
        "version": "2016-11-30",
        "creationTimestamp": str(int(at.timestamp() * 1000)),
        "fileFormat": kind,
        "fileSchema": "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size",
        "files": files,
    }
    text = json.dumps(manifest).encode()
    md5 = hashlib.md5(text, usedforsecurity=False).hexdigest()
    place = f"{PREFIX}/{at:%Y-%m-%dT%H-%MZ}/manifest"
    s3.put_object(Bucket=name, Key=f"{place}.json", Body=text)
    if spoil != "unfinished":
        checksum = md5[::-1] if spoil == "manifest" else md5
        s3.put_object(Bucket=name, Key=f"{place}.checksum", Body=checksum.encode())


def _csv(name: str, rows: Sequence[tuple[str, int]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    for key, size in rows:
        writer.writerow([name, quote_plus(key, safe="/"), "v1", "true", "false", size])
    writer.writerow([name, "elsewhere/x", "v1", "true", "true", ""])
    return gzip.compress(text.getvalue().encode())


def _parquet(name: str, rows: Sequence[tuple[str, int]]) -> bytes:
    table = pa.table(
        {"bucket": [name] * len(rows), "key": [k for k, _ in rows], "size": [s for _, s in rows]}
    )
    out = io.BytesIO()
    parquet.write_table(table, out)
    return out.getvalue()


def made(endpoint: str, name: str) -> S3:
    """The connector, told of the reports."""
    inventory = {"bucket": name, "prefix": PREFIX}
    return connector(endpoint, name, EVENTS, unit_objects=3, inventory=inventory)


def borders(whole: S3) -> list[str | None]:
    """Where the units of a call end."""
    units = whole.units(Call.LOCATE, [number("1")], TrialContext(), "")
    return [piece[2] for unit in units for piece in json.loads(unit.name)]


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The listings that were made to divide."""
    prefixes: list[str] = []
    whole = Bucket.objects

    def objects(bucket: Bucket, prefix: str, *given: Any) -> Any:
        prefixes.append(prefix)
        return whole(bucket, prefix, *given)

    monkeypatch.setattr(Bucket, "objects", objects)
    return prefixes


@pytest.mark.parametrize("kind", ["CSV", "Parquet"])
def test_a_report_divides_the_bucket_without_listing_it(
    s3_endpoint: str, name: str, s3: S3Client, listed: list[str], kind: str
) -> None:
    """The units are those that a listing gives, keys of any letters included."""
    deliver(s3, name, kind=kind)
    found = borders(made(s3_endpoint, name))
    assert listed == []
    assert found == [keys()[2], keys()[5], keys()[8], None]
    assert found == borders(connector(s3_endpoint, name, EVENTS, unit_objects=3))


def test_what_no_report_knows_is_read_all_the_same(
    s3_endpoint: str, name: str, s3: S3Client
) -> None:
    """Objects written after the report, and those it leaves out, lie in a unit and are found."""
    deliver(s3, name, listed=keys()[3:9])
    for key in ("events/00", "events/zz"):
        s3.put_object(Bucket=name, Key=key, Body=lines([{"event_id": key, "customer": 1}]))
    whole = made(s3_endpoint, name)
    units = list(whole.units(Call.LOCATE, [number("1")], TrialContext(), ""))
    found = [
        key.key[0]
        for unit in units
        for key in whole.in_unit(unit.name).locate([number("1")], TrialContext())
    ]
    assert found == sorted([*keys(), "events/00", "events/zz"], key=str.encode)
    assert len(units) > 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"at": NOW - timedelta(days=30)}, "the newest report is of 2026-10-22"),
        ({"about": "another-bucket"}, "the report is about another bucket"),
        ({"kind": "ORC"}, "a report in ORC is not read: choose CSV or Parquet"),
        ({"spoil": "manifest"}, "the manifest is not what its checksum says"),
        ({"spoil": "unfinished"}, "no report was delivered yet"),
    ],
)
def test_a_report_of_no_use_is_told_and_the_bucket_listed(
    s3_endpoint: str, name: str, s3: S3Client, wrong: dict[str, Any], said: str
) -> None:
    """Too old, foreign, unreadable or not what its checksum says: listing does, and check warns."""
    deliver(s3, name, **wrong)
    whole = made(s3_endpoint, name)
    assert len(borders(whole)) == 4
    (finding,) = [f for f in whole.check() if f.subject == "inventory"]
    assert finding.severity is Severity.WARNING
    assert finding.message == f"{said}: the bucket is listed instead"


def test_a_spoilt_file_of_a_report_is_not_believed(
    s3_endpoint: str, name: str, s3: S3Client, listed: list[str]
) -> None:
    """A data file that differs from its checksum makes the division go by listing."""
    deliver(s3, name, spoil="data")
    assert len(borders(made(s3_endpoint, name))) == 4
    assert listed == ["events/"]


def test_the_newest_finished_report_counts(s3_endpoint: str, name: str, s3: S3Client) -> None:
    """A report that is being delivered is passed over for the one before it."""
    deliver(s3, name, at=NOW - timedelta(days=3))
    deliver(s3, name, at=NOW - timedelta(hours=1), spoil="unfinished")
    (finding,) = [f for f in made(s3_endpoint, name).check() if f.subject == "inventory"]
    assert finding.severity is Severity.OK


def test_a_sample_stands_for_all() -> None:
    """However many keys, a bounded sample carries about all objects and bytes, in order."""
    sample = Sample(unit_bytes=1000, most_keys=500)
    for n in range(20_000):
        sample.add(f"k{n * 7919 % 20_000:05}", 10)
    sample.add("k00007x", 5000)
    loads = sample.loads()
    assert len(loads) <= 501
    assert [key for key, _, _ in loads] == sorted(key for key, _, _ in loads)
    assert 15_000 < sum(objects for _, objects, _ in loads) < 25_000
    assert 150_000 < sum(size for _, _, size in loads) < 260_000
    assert ("k00007x", 1, 5000) in loads
