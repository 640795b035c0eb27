"""Delta tables in a bucket: rows go by the table's library, and out of its history as well."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from connectors.s3 import S3
from dsr_worker.contract import (
    Action,
    Always,
    Collection,
    DecisionTable,
    Field,
    Form,
    HeldPeople,
    HeldSubjects,
    Identity,
    Mask,
    MaskKind,
    NeedsHuman,
    Rule,
    Since,
    SweepOrder,
    Taken,
    Transient,
)
from dsr_worker.testing.context import TrialContext
from tests import services as real
from tests.contract.s3_erasures import Crash, crash, erased, outcomes
from tests.contract.s3_support import connector, content, number, person, versioned

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
ERASE = Rule("default", Always(), Action.ERASE)
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


@pytest.fixture
def orders(s3: S3Client, s3_endpoint: str, bucket_name: str) -> S3:
    """A connector on a versioned bucket with a table of three commits."""
    versioned(s3, bucket_name)
    for part in range(3):
        rows = [order(n, n % 5) for n in range(part * 10, part * 10 + 10)]
        write(s3_endpoint, bucket_name, rows)
    return connector(s3_endpoint, bucket_name, ORDERS)


KEPT = sorted(f"o{n}" for n in range(30) if n % 5 != 3)


def test_a_person_goes_from_the_table_and_from_its_history(
    orders: S3, s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Hard case 21: no byte of the person is left in any version of any object under the table."""
    keys = list(orders.locate([number("3")], TrialContext()))
    assert len(keys) == 6
    assert b"c3@shop.example" in everything(s3, bucket_name)
    receipts = erased(orders, [number("3")], TrialContext())
    assert outcomes(receipts) == {"erased": 6}
    assert ids(s3_endpoint, bucket_name) == KEPT
    assert b"c3@shop.example" not in everything(s3, bucket_name)
    looked = orders.recheck([number("3")], keys, TrialContext(second_path=True))
    assert list(looked) == []


def test_the_table_goes_on_after_its_history_ended(
    orders: S3, s3_endpoint: str, bucket_name: str
) -> None:
    """Others append to the table afterwards, and a second erasure finds what came."""
    erased(orders, [number("3")], TrialContext())
    write(s3_endpoint, bucket_name, [order(40, 3), order(41, 1)])
    assert outcomes(erased(orders, [number("3")], TrialContext())) == {"erased": 1}
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


def test_a_dry_run_changes_nothing(orders: S3, s3: S3Client, bucket_name: str) -> None:
    """It counts what would go."""
    before = content(s3, bucket_name)
    assert outcomes(erased(orders, [number("3")], TrialContext(dry_run=True))) == {"erased": 6}
    assert content(s3, bucket_name) == before


def test_masks_go_through_the_library(
    orders: S3, s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """A row that has to stay loses its names, in its history as well; a repeat changes nothing."""
    masks = {n: f.mask for n, f in ORDERS.fields.items() if f.mask is not None}
    rules = (Rule("minimum", Always(), Action.MASK, ground="tax", masks=masks),)
    ctx = TrialContext(tables={"orders": DecisionTable("orders", rules)})
    anna = person("case", ("customer_number", "3"), ("email", "c3@shop.example"))
    keys = list(orders.locate([anna], ctx))
    for fields in (12, 0):
        (receipt,) = orders.erase([anna], keys, ctx)
        assert [(o.outcome, o.rows, o.fields) for o in receipt.outcomes] == [("masked", 6, fields)]
    assert len(ids(s3_endpoint, bucket_name)) == 30
    assert b"c3@shop.example" not in everything(s3, bucket_name)
    left = set(orders.recheck([anna], keys, TrialContext(second_path=True)))
    assert left == set(keys)


def test_a_mask_the_library_cannot_express_stops(
    orders: S3, s3: S3Client, bucket_name: str
) -> None:
    """A field within a struct is named to a person; nothing changes."""
    masks = {"address.street": Mask(MaskKind.NULL)}
    rules = (Rule("minimum", Always(), Action.MASK, ground="tax", masks=masks),)
    ctx = TrialContext(tables={"orders": DecisionTable("orders", rules)})
    before = content(s3, bucket_name)
    with pytest.raises(NeedsHuman) as stop:
        erased(orders, [number("3")], ctx)
    assert (stop.value.code, stop.value.fields) == ("s3-table-mask", {"fields": ["address.street"]})
    assert content(s3, bucket_name) == before


def test_a_hold_keeps_rows(orders: S3, s3_endpoint: str, bucket_name: str) -> None:
    """Held rows stay where they are, and the receipt says so."""
    rules = (
        Rule("hold", HeldSubjects(frozenset({"case-3"})), Action.KEEP, ground="hold"),
        ERASE,
    )
    ctx = TrialContext(tables={"orders": DecisionTable("orders", rules)})
    both = [number("3"), number("4")]
    assert outcomes(erased(orders, both, ctx)) == {"erased": 6, "retained": 6}
    assert len(ids(s3_endpoint, bucket_name)) == 24


def test_rules_by_a_clock(orders: S3, s3_endpoint: str, bucket_name: str) -> None:
    """Of one person's rows the newer stay, the older go."""
    since = Since("ordered_at", datetime(2026, 1, 10, tzinfo=UTC))
    rules = (Rule("minimum", since, Action.KEEP, ground="tax", clock="ordered_at"), ERASE)
    ctx = TrialContext(tables={"orders": DecisionTable("orders", rules)})
    assert outcomes(erased(orders, [number("3")], ctx)) == {"erased": 2, "retained": 4}


def test_held_rows_that_only_the_past_has_keep_all_of_it(
    orders: S3, s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Somebody deleted a held person's rows from the table: its old files may not go."""
    table(s3_endpoint, bucket_name).delete("customer = 4")
    held = HeldPeople((Identity("customer_number", "4"),))
    rules = (Rule("hold", held, Action.KEEP, ground="hold"), ERASE)
    ctx = TrialContext(tables={"orders": DecisionTable("orders", rules)})
    before = content(s3, bucket_name)
    (receipt,) = erased(orders, [number("3")], ctx)
    assert [(o.outcome, o.ground, o.rows) for o in receipt.outcomes] == [
        ("retained", "s3-table-history", 6)
    ]
    assert content(s3, bucket_name) == before


def test_rows_that_only_the_past_has_are_found_and_go(
    orders: S3, s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """A DELETE by somebody else leaves the bytes: they are located, shown and erased."""
    table(s3_endpoint, bucket_name).delete("customer = 3")
    assert len(list(orders.find([number("3")], TrialContext()))) == 6
    assert outcomes(erased(orders, [number("3")], TrialContext())) == {"erased": 6}
    assert b"c3@shop.example" not in everything(s3, bucket_name)


@pytest.mark.parametrize("dies", ["change", "files", "log"])
def test_a_death_on_the_way_is_made_good(
    dies: str,
    orders: S3,
    s3: S3Client,
    s3_endpoint: str,
    bucket_name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever was done before, a repeat from the same keys leaves nothing of the person."""
    keys = list(orders.locate([number("3")], TrialContext()))
    bucket = orders._bucket
    erase_versions, calls = type(bucket).erase_versions, iter(range(1000))
    stop_at = {"change": 0, "files": 2, "log": 6}[dies]

    def dying(*args: Any) -> Any:
        if next(calls) == stop_at:
            crash()
        return erase_versions(*args)

    with monkeypatch.context() as patch:
        patch.setattr(type(bucket), "erase_versions", dying)
        with pytest.raises(Crash):
            list(orders.erase([number("3")], keys, TrialContext()))
    assert ids(s3_endpoint, bucket_name) == KEPT
    (receipt,) = orders.erase([number("3")], keys, TrialContext())
    assert receipt.rows == 6
    assert b"c3@shop.example" not in everything(s3, bucket_name)
    assert ids(s3_endpoint, bucket_name) == KEPT


def test_a_file_that_no_commit_names_waits(orders: S3, s3: S3Client, bucket_name: str) -> None:
    """It may be of a commit under way: nothing is changed until it is old."""
    body = next(b for (key, _), b in content(s3, bucket_name).items() if key.endswith(".parquet"))
    s3.put_object(Bucket=bucket_name, Key=f"{PREFIX}under-way.parquet", Body=body)
    now = datetime.now(UTC)
    with pytest.raises(Transient):
        erased(orders, [number("3")], TrialContext(now=now))
    later = now.replace(year=now.year + 1)
    assert outcomes(erased(orders, [number("3")], TrialContext(now=later))) == {"erased": 6}
    assert b"c3@shop.example" not in everything(s3, bucket_name)


def test_owners_in_the_path(s3: S3Client, s3_endpoint: str, bucket_name: str) -> None:
    """A partitioned table keeps the owner in its folders alone."""
    rows = [order(n, n % 3) for n in range(9)]
    write(s3_endpoint, bucket_name, rows, partition_by=["customer"])
    made = connector(s3_endpoint, bucket_name, ORDERS)
    assert outcomes(erased(made, [number("2")], TrialContext())) == {"erased": 3}
    assert len(ids(s3_endpoint, bucket_name)) == 6


def test_a_sweep_of_a_table(orders: S3, s3_endpoint: str, bucket_name: str) -> None:
    """Old rows go, whoever's they are; the brake stops before the first change."""
    since = Since("ordered_at", datetime(2026, 1, 10, tzinfo=UTC))
    rules = (Rule("limit", since, Action.KEEP), ERASE)
    swept = DecisionTable("orders", rules)
    ctx = TrialContext(tables={"orders": swept})
    with pytest.raises(NeedsHuman, match="sweep_brake"):
        list(orders.sweep([SweepOrder("orders", swept, 5)], ctx))
    assert len(ids(s3_endpoint, bucket_name)) == 30
    receipts = list(orders.sweep([SweepOrder("orders", swept, 50)], ctx))
    gone = sum(o.rows for r in receipts for o in r.outcomes if o.outcome == "erased")
    assert gone == 11
    assert len(ids(s3_endpoint, bucket_name)) == 19


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
