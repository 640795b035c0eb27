"""Objects that belong to a table are not changed by themselves, and what goes stale is told."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from dsr_worker.contract import (
    Configuration,
    DecisionTable,
    NeedsHuman,
    Severity,
    SweepOrder,
    Transient,
)
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_delta import ORDERS
from tests.contract.s3_erasures import ERASE, erased, event, outcomes
from tests.contract.s3_support import EVENTS, FILES, connector, content, lines, number
from tests.services import free_port

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MARKS = {
    "delta": "_delta_log/00000000000000000000.json",
    "iceberg": "metadata/00000-5f.metadata.json",
    "hudi": ".hoodie/hoodie.properties",
}
BODY = lines([event(1, "1"), event(2, "2")])


@pytest.mark.parametrize("folder", ["", "events/", "events/2026/"])
@pytest.mark.parametrize("found", sorted(MARKS))
def test_an_object_in_a_table_is_not_rewritten(
    found: str, folder: str, s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Hard case 21: a table above, at or below the prefix stops before anything changes."""
    s3.put_object(Bucket=bucket_name, Key=folder + MARKS[found], Body=b"{}\n")
    s3.put_object(Bucket=bucket_name, Key="events/2026/a", Body=BODY)
    if folder.startswith("events/"):  # the marks themselves are no records of the collection
        s3.put_object(Bucket=bucket_name, Key=folder + MARKS[found], Body=b"")
    before = content(s3, bucket_name)
    made = connector(s3_endpoint, bucket_name, EVENTS)
    for dry in (True, False):
        with pytest.raises(NeedsHuman) as stop:
            erased(made, [number("1")], TrialContext(dry_run=dry))
        assert stop.value.code == "s3-table-format"
        assert stop.value.fields == {"collection": "events", "format": found}
    orders = [SweepOrder("events", DecisionTable("events", (ERASE,)), 100)]
    with pytest.raises(NeedsHuman, match="s3-table-format"):
        list(made.sweep(orders, TrialContext()))
    assert content(s3, bucket_name) == before
    (told,) = (f for f in made.check() if f.severity is Severity.ERROR)
    assert found in told.message
    assert told.remedy


def test_a_folder_of_a_person_within_a_table_is_not_erased(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Hard case 21: a partition is a folder like any other, and the table knows its files."""
    s3.put_object(Bucket=bucket_name, Key=f"customers/{MARKS['delta']}", Body=b"{}\n")
    s3.put_object(Bucket=bucket_name, Key="customers/1/part-0.parquet", Body=b"PAR1")
    made = connector(s3_endpoint, bucket_name, FILES)
    with pytest.raises(NeedsHuman, match="s3-table-format"):
        erased(made, [number("1")], TrialContext())
    with pytest.raises(NeedsHuman, match="s3-table-format"):
        list(made.sweep([SweepOrder("files", TrialContext().table("files"), 9)], TrialContext()))


@pytest.mark.parametrize(
    "beside",
    ["table/_delta_log/00000000000000000000.json", "events/metadata/a.json", "events2/.hoodie/x"],
)
def test_a_table_elsewhere_is_no_obstacle(
    beside: str, s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """A sibling's table, and a folder that is only called like a part of one, stop nobody."""
    s3.put_object(Bucket=bucket_name, Key=beside, Body=b"")
    s3.put_object(Bucket=bucket_name, Key="events/2026/a", Body=BODY)
    made = connector(s3_endpoint, bucket_name, EVENTS)
    assert outcomes(erased(made, [number("1")], TrialContext())) == {"erased": 1}
    assert all(f.severity is Severity.OK for f in made.check())


@pytest.mark.parametrize(
    "name",
    [
        "_SUCCESS",
        "manifest.json",
        "a.md5",
        "a.ndjson.sha256",
        ".part-0.crc",
        "x-manifest",
        "SHA256SUMS",
    ],
)
def test_what_goes_stale_is_told(
    name: str, s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Hard case 20: checksums and manifests beside objects that are rewritten are counted."""
    s3.put_object(Bucket=bucket_name, Key=f"events/{name}", Body=b"")
    s3.put_object(Bucket=bucket_name, Key="events/manifested.ndjson", Body=BODY)
    told = [f for f in connector(s3_endpoint, bucket_name, EVENTS).check() if f.remedy]
    assert [(f.severity, f.subject, f.message[:2]) for f in told] == [
        (Severity.WARNING, "events", "1 ")
    ]


def test_hudi_tables_are_refused_by_name() -> None:
    """Hard case 21: no library of ours changes them; the error says what to do."""
    source = {"layout": "table", "format": "hudi", "prefix": "lake/orders/"}
    with pytest.raises(Configuration, match="Hudi tables are changed by Hudi alone"):
        connector("http://127.0.0.1:9", "lake", replace(ORDERS, source=source))


def test_an_iceberg_table_needs_its_catalogue() -> None:
    """The map says by which catalogue and name the table is reached."""
    source = {"layout": "table", "format": "iceberg", "prefix": "lake/orders/"}
    with pytest.raises(Configuration, match="`catalog`"):
        connector("http://127.0.0.1:9", "lake", replace(ORDERS, source=source))


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to guess what to install."""
    monkeypatch.setitem(__import__("sys").modules, "deltalake", None)
    made = connector("http://127.0.0.1:9", "lake", ORDERS)
    with pytest.raises(Configuration, match="extra `tables`"):
        list(made.locate([number("1")], TrialContext()))


def test_a_table_that_cannot_be_reached_is_tried_again() -> None:
    """Nobody listens there: the step waits, and the error says no more than that."""
    made = connector(f"http://127.0.0.1:{free_port()}", "lake", ORDERS)
    with pytest.raises(Transient, match="deltalake"):
        list(made.locate([number("1")], TrialContext()))


def test_a_folder_without_a_table(s3_endpoint: str, bucket_name: str) -> None:
    """The map says that a table is there: its absence is no proof that nobody's rows are."""
    made = connector(s3_endpoint, bucket_name, ORDERS)
    with pytest.raises(NeedsHuman) as stop:
        list(made.locate([number("1")], TrialContext()))
    assert stop.value.fields == {"feature": "no Delta table here"}
