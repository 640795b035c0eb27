"""Delta tables in a bucket: rows go by the table's library, and out of its history as well."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from connectors.s3 import S3
from dsr_worker.contract import NeedsHuman, Transient
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_delta import (
    HOSTILE,
    KEPT,
    ORDERS,
    PREFIX,
    everything,
    ids,
    order,
    table,
    write,
)
from tests.contract.s3_erasures import Crash, crash, erased, outcomes
from tests.contract.s3_support import connector, content, number

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def test_a_person_goes_from_the_table_and_from_its_history(
    delta_orders: S3, s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Hard case 21: no byte of the person is left in any version of any object under the table."""
    keys = list(delta_orders.locate([number("3")], TrialContext()))
    assert len(keys) == 4
    assert b"c3@shop.example" in everything(s3, bucket_name)
    receipts = erased(delta_orders, [number("3")], TrialContext())
    assert outcomes(receipts) == {"erased": 4}
    assert ids(s3_endpoint, bucket_name) == KEPT
    assert b"c3@shop.example" not in everything(s3, bucket_name)
    looked = delta_orders.recheck([number("3")], keys, TrialContext(second_path=True))
    assert list(looked) == []


def test_the_table_goes_on_after_its_history_ended(
    delta_orders: S3, s3_endpoint: str, bucket_name: str
) -> None:
    """Others append to the table afterwards, and a second erasure finds what came."""
    erased(delta_orders, [number("3")], TrialContext())
    write(s3_endpoint, bucket_name, [order(40, 3), order(41, 1)])
    assert outcomes(erased(delta_orders, [number("3")], TrialContext())) == {"erased": 1}
    assert ids(s3_endpoint, bucket_name) == sorted([*KEPT, "o41"])


def test_values_are_compared_and_never_read_as_a_statement(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """A key and an owner full of quotes are erased, others stay, and no log holds them."""
    rows = [order(1, 1, note="kept"), order(2, 2) | {"order_id": HOSTILE}]
    write(s3_endpoint, bucket_name, rows)
    made = connector(s3_endpoint, bucket_name, ORDERS)
    assert outcomes(erased(made, [number("2")], TrialContext())) == {"erased": 1}
    assert ids(s3_endpoint, bucket_name) == ["o1"]
    assert b"DROP TABLE" not in everything(s3, bucket_name)


def test_a_dry_run_changes_nothing(delta_orders: S3, s3: S3Client, bucket_name: str) -> None:
    """It counts what would go."""
    before = content(s3, bucket_name)
    assert outcomes(erased(delta_orders, [number("3")], TrialContext(dry_run=True))) == {
        "erased": 4
    }
    assert content(s3, bucket_name) == before


def test_rows_that_only_the_past_has_are_found_and_go(
    delta_orders: S3, s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """A DELETE by somebody else leaves the bytes: they are located, shown and erased."""
    table(s3_endpoint, bucket_name).delete("customer = 3")
    assert len(list(delta_orders.find([number("3")], TrialContext()))) == 4
    assert outcomes(erased(delta_orders, [number("3")], TrialContext())) == {"erased": 4}
    assert b"c3@shop.example" not in everything(s3, bucket_name)


@pytest.mark.parametrize("stop_at", [0, 1])
def test_a_death_on_the_way_is_made_good(
    stop_at: int,
    delta_orders: S3,
    s3: S3Client,
    s3_endpoint: str,
    bucket_name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever was done before, a repeat from the same keys leaves nothing of the person."""
    keys = list(delta_orders.locate([number("3")], TrialContext()))
    bucket = delta_orders._bucket
    erase_versions, calls = type(bucket).erase_versions, iter(range(1000))

    def dying(*args: Any) -> Any:
        if next(calls) == stop_at:
            crash()
        return erase_versions(*args)

    with monkeypatch.context() as patch:
        patch.setattr(type(bucket), "erase_versions", dying)
        with pytest.raises(Crash):
            list(delta_orders.erase([number("3")], keys, TrialContext()))
    assert ids(s3_endpoint, bucket_name) == KEPT
    (receipt,) = delta_orders.erase([number("3")], keys, TrialContext())
    assert receipt.rows == 4
    assert b"c3@shop.example" not in everything(s3, bucket_name)
    assert ids(s3_endpoint, bucket_name) == KEPT


def test_a_file_that_no_commit_names_waits(
    delta_orders: S3, s3: S3Client, bucket_name: str
) -> None:
    """It may be of a commit under way: nothing is changed until it is old."""
    body = next(b for (key, _), b in content(s3, bucket_name).items() if key.endswith(".parquet"))
    s3.put_object(Bucket=bucket_name, Key=f"{PREFIX}under-way.parquet", Body=body)
    now = datetime.now(UTC)
    with pytest.raises(Transient):
        erased(delta_orders, [number("3")], TrialContext(now=now))
    later = now.replace(year=now.year + 1)
    assert outcomes(erased(delta_orders, [number("3")], TrialContext(now=later))) == {"erased": 4}
    assert b"c3@shop.example" not in everything(s3, bucket_name)


def test_owners_in_the_path(s3_endpoint: str, bucket_name: str) -> None:
    """A partitioned table keeps the owner in its folders alone."""
    rows = [order(n, n % 3) for n in range(9)]
    write(s3_endpoint, bucket_name, rows, partition_by=["customer"])
    made = connector(s3_endpoint, bucket_name, ORDERS)
    assert outcomes(erased(made, [number("2")], TrialContext())) == {"erased": 3}
    assert len(ids(s3_endpoint, bucket_name)) == 6


def test_a_table_with_features_that_hide_rows_is_refused_by_name(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Where a column's name in the files is another one, nobody's rows would be found."""
    write(s3_endpoint, bucket_name, [order(1, 1)])
    log = f"{PREFIX}_delta_log/00000000000000000000.json"
    body = s3.get_object(Bucket=bucket_name, Key=log)["Body"].read()
    mapped = body.replace(
        b'"configuration":{}', b'"configuration":{"delta.columnMapping.mode":"name"}'
    )
    assert mapped != body
    s3.put_object(Bucket=bucket_name, Key=log, Body=mapped)
    with pytest.raises(NeedsHuman) as stop:
        list(connector(s3_endpoint, bucket_name, ORDERS).locate([number("1")], TrialContext()))
    assert stop.value.code == "s3-table-unsupported"
    assert "columnMapping" in stop.value.fields["feature"]


@pytest.mark.parametrize("meanwhile", ["append", "delete"])
def test_whoever_commits_meanwhile_is_not_overwritten(
    meanwhile: str, delta_orders: S3, s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """A commit between reading and changing stays; where the two do not agree, the step waits."""

    def commit() -> None:
        if meanwhile == "append":
            write(s3_endpoint, bucket_name, [order(60, 1), order(61, 3)])
        else:
            table(s3_endpoint, bucket_name).delete("order_id = 'o1'")

    with suppress(Transient):
        erased(delta_orders, [number("3")], TrialContext(on_intent=commit))
    erased(delta_orders, [number("3")], TrialContext())
    kept = [*KEPT, "o60"] if meanwhile == "append" else [n for n in KEPT if n != "o1"]
    assert ids(s3_endpoint, bucket_name) == sorted(kept)
    assert b"c3@shop.example" not in everything(s3, bucket_name)


def test_change_data_goes_as_well(s3: S3Client, s3_endpoint: str, bucket_name: str) -> None:
    """A table that keeps what changed for its readers would keep the erased rows of all."""
    feed = {"delta.enableChangeDataFeed": "true"}
    write(s3_endpoint, bucket_name, [order(n, n % 5) for n in range(10)], configuration=feed)
    made = connector(s3_endpoint, bucket_name, ORDERS)
    assert outcomes(erased(made, [number("3")], TrialContext())) == {"erased": 2}
    assert b"c3@shop.example" not in everything(s3, bucket_name)
    assert len(ids(s3_endpoint, bucket_name)) == 8
