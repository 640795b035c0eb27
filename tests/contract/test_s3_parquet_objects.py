"""Parquet objects in a bucket: found, shown, erased and masked by row, as the map says."""

from __future__ import annotations

import base64
import gzip
import io
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dsr_worker.contract import (
    Action,
    Always,
    Collection,
    DecisionTable,
    Field,
    Form,
    HeldPeople,
    Identity,
    Mask,
    MaskKind,
    NeedsHuman,
    Rule,
    Taken,
)
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_erasures import erased, outcomes
from tests.contract.s3_parquet import file_of, rows_of
from tests.contract.s3_support import connector, current, number, person

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from connectors.s3 import S3

KEY = "orders/a.parquet"


def orders(owner: str, **more: Any) -> Collection:
    """Orders in Parquet, owned by this field."""
    return Collection(
        name="orders",
        key=("order_id",),
        fields={name: Field(name, "user.content") for name in ("order_id", owner)},
        takes={"customer_number": Taken(owner)},
        source={"layout": "shared", "prefix": "orders/", "format": "parquet"},
        **more,
    )


def table(owner: Any, name: str = "customer") -> Any:
    """Orders of these owners."""
    return pa.table({"order_id": [f"o{n}" for n in range(len(owner))], name: owner})


def left(s3: S3Client, bucket: str) -> list[str]:
    """The orders that are still there."""
    return [row["order_id"] for row in rows_of(current(s3, bucket, KEY))]


@pytest.mark.parametrize(
    ("owners", "path"),
    [
        ([{"id": 1}, None, {"id": None}, {"id": 10}, {"id": 1}], "customer.id"),
        ([[{"id": 1}, {"id": 2}], [], None, [{"id": 10}, None], [{"id": 2}, {"id": 1}]], "c.id"),
        ([[("id", 1)], [("x", 1)], None, [("id", 10)], [("x", 3), ("id", 1)]], "facts.id"),
        (
            [
                {"a": {"b": [{"id": "1"}]}},
                None,
                {"a": None},
                {"a": {"b": []}},
                {"a": {"b": [{"id": "1"}]}},
            ],
            "r.a.b.id",
        ),
        ([[{"id": 1}], [], None, [{"id": 10}, None], [{"id": 2}, {"id": 1}]], "c[].id"),
        ([[1], [], None, [10, None], [2, 1]], "c[]"),
    ],
    ids=["struct", "list of structs", "map", "deep", "named list", "list of numbers"],
)
def test_owners_lie_in_nested_columns(
    s3: S3Client, s3_endpoint: str, bucket_name: str, owners: list[Any], path: str
) -> None:
    """Hard case 12: structures, lists of them and maps on the way; a null one names nobody."""
    kind = pa.map_(pa.string(), pa.int64()) if path == "facts.id" else None
    column = pa.array(owners, kind) if kind else pa.array(owners)
    s3.put_object(
        Bucket=bucket_name,
        Key=KEY,
        Body=file_of(table(column, path.split(".", maxsplit=1)[0].rstrip("[]"))),
    )
    made = connector(s3_endpoint, bucket_name, orders(path))
    found = list(made.find([number("1")], TrialContext()))
    assert [json.loads(record.body)["order_id"] for record in found] == ["o0", "o4"]
    assert outcomes(erased(made, [number("1")], TrialContext())) == {"erased": 2}
    assert left(s3, bucket_name) == ["o1", "o2", "o3"]
    assert not list(made.recheck([number("1")], [], TrialContext(second_path=True)))


def test_a_hold_on_one_of_several_owners_keeps_the_row(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Hard case 12: a row that names two people in a list is both's, and a hold on one counts."""
    column = pa.array([[{"id": 1}, {"id": 2}], [{"id": 1}]])
    s3.put_object(Bucket=bucket_name, Key=KEY, Body=file_of(table(column, "c")))
    held = Rule("hold", HeldPeople((Identity("customer_number", "2"),)), Action.KEEP)
    rules = (held, Rule("default", Always(), Action.ERASE))
    ctx = TrialContext(tables={"orders": DecisionTable("orders", rules)})
    made = connector(s3_endpoint, bucket_name, orders("c.id"))
    assert outcomes(erased(made, [number("1")], ctx)) == {"retained": 1, "erased": 1}
    assert left(s3, bucket_name) == ["o0"]


@pytest.mark.parametrize(
    ("owners", "value", "gone"),
    [
        (pa.array([0, 1, 0]), "0", ["o0", "o2"]),
        (pa.array([True, False, True]), "1", []),
        (pa.array(["1", "01", "1.0"]), "1", ["o0"]),
        (pa.array([1.0, 1.5, 2.0]), "1", []),
        (
            pa.array([Decimal(10**40), Decimal(10**40 + 1)], pa.decimal256(50, 0)),
            str(10**40),
            ["o0"],
        ),
        (pa.array([2**63 - 1, 2**63 - 2]), str(2**63 - 1), ["o0"]),
        (pa.array([2**64 - 1, 1], pa.uint64()), str(2**64 - 1), ["o0"]),
        (pa.array(["7", "8"]).dictionary_encode(), "7", ["o0"]),
        (pa.array(["7", "8"], pa.large_string()), "7", ["o0"]),
        (pa.array([b"7", b"\xff", b"8"]), "7", ["o0"]),
        (pa.array([None, None], pa.string()), "7", []),
        (pa.array([UUID(int=7).bytes, UUID(int=8).bytes], pa.uuid()), str(UUID(int=7)), ["o0"]),
    ],
    ids=[
        *("zero", "bool", "text", "float", "decimal256", "int64", "uint64", "coded", "large"),
        *("bytes", "nulls", "uuid"),
    ],
)
def test_owners_are_compared_as_typed(
    s3: S3Client, s3_endpoint: str, bucket_name: str, owners: Any, value: str, gone: list[str]
) -> None:
    """Hard case 13: whole numbers of any type and texts name people; booleans and floats do not."""
    s3.put_object(Bucket=bucket_name, Key=KEY, Body=file_of(table(owners)))
    made = connector(s3_endpoint, bucket_name, orders("customer"))
    assert sorted(key.key[1] for key in made.locate([number(value)], TrialContext())) == gone
    erased(made, [number(value)], TrialContext())
    assert left(s3, bucket_name) == [f"o{n}" for n in range(len(owners)) if f"o{n}" not in gone]


def test_letters_of_addresses_in_any_case(s3: S3Client, s3_endpoint: str, bucket_name: str) -> None:
    """The canonicaliser decides: case, blanks and an encoded domain, and no look-alike."""
    texts = [
        "Anna@Shop.example",
        " anna@shop.example ",
        "anna@shop\u3002example",
        "hanna@shop.example",
    ]
    s3.put_object(Bucket=bucket_name, Key=KEY, Body=file_of(table(pa.array(texts))))
    mapped = orders("customer")
    by_mail = Collection(
        mapped.name,
        mapped.key,
        mapped.fields,
        {"email": Taken("customer", Form.ASCII_CASE)},
        source=mapped.source,
    )
    made = connector(s3_endpoint, bucket_name, by_mail)
    anna = person("case", ("email", "anna@shop.example"))
    ctx = TrialContext()
    expected = [t for t in texts if ctx.canonical("email", t) == "anna@shop.example"]
    assert len(expected) > 1
    assert len(list(made.locate([anna], ctx))) == len(expected)


def test_a_file_without_the_owner_column_is_nobodys(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Hard case 13, schema evolution: older files lack the column; they stay byte for byte."""
    old = file_of(pa.table({"order_id": ["o0"]}))
    s3.put_object(Bucket=bucket_name, Key="orders/old.parquet", Body=old)
    s3.put_object(Bucket=bucket_name, Key=KEY, Body=file_of(table([1, 2])))
    made = connector(s3_endpoint, bucket_name, orders("customer"))
    assert outcomes(erased(made, [number("1")], TrialContext())) == {"erased": 1}
    assert current(s3, bucket_name, "orders/old.parquet") == old
    assert left(s3, bucket_name) == ["o1"]


def test_all_rows_erased_leave_an_empty_file(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Hard case 14: what is left opens, has the schema and its metadata, and no rows."""
    made_of = table([1, 1]).replace_schema_metadata({"made by": "a test"})
    s3.put_object(Bucket=bucket_name, Key=KEY, Body=file_of(made_of, compression="zstd"))
    made = connector(s3_endpoint, bucket_name, orders("customer"))
    assert outcomes(erased(made, [number("1")], TrialContext())) == {"erased": 2}
    found = pq.read_table(io.BytesIO(current(s3, bucket_name, KEY)))
    assert (found.num_rows, found.schema.metadata) == (0, {b"made by": b"a test"})
    assert found.schema.names == ["order_id", "customer"]
    assert outcomes(erased(made, [number("1")], TrialContext())) == {}


def test_a_file_under_gzip_is_compressed_alike(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Hard case 1: a Parquet file that somebody compressed once more is read and written so."""
    body = gzip.compress(file_of(table([1, 2, 3])))
    s3.put_object(Bucket=bucket_name, Key=KEY, Body=body)
    made = connector(s3_endpoint, bucket_name, orders("customer"))
    assert outcomes(erased(made, [number("2")], TrialContext())) == {"erased": 1}
    rows = rows_of(gzip.decompress(current(s3, bucket_name, KEY)))
    assert [row["customer"] for row in rows] == [1, 3]


def test_masked_rows_keep_their_place(s3: S3Client, s3_endpoint: str, bucket_name: str) -> None:
    """A mask takes the value out, whatever the type; a repeat finds nothing left to change."""
    rows = pa.table(
        {
            "order_id": ["o0", "o1"],
            "customer": ["1", "2"],
            "born": pa.array([datetime(1980, 5, 4, tzinfo=UTC)] * 2, pa.timestamp("ms", "UTC")),
            "user": [{"name": "Anna", "age": 44}, {"name": "Bert", "age": 45}],
        }
    )
    s3.put_object(Bucket=bucket_name, Key=KEY, Body=file_of(rows))
    masks = {
        "customer": Mask(MaskKind.TOMBSTONE),
        "born": Mask(MaskKind.YEAR),
        "user.name": Mask(MaskKind.NULL),
        "user.age": Mask(MaskKind.CONSTANT, "0"),
    }
    rules = (Rule("default", Always(), Action.MASK, masks=masks),)
    ctx = TrialContext(tables={"orders": DecisionTable("orders", rules)})
    made = connector(s3_endpoint, bucket_name, orders("customer"))
    keys = list(made.locate([number("1")], ctx))
    assert outcomes(list(made.erase([number("1")], keys, ctx))) == {"masked": 1}
    first, second = pq.read_table(io.BytesIO(current(s3, bucket_name, KEY))).to_pylist()
    assert first["customer"].endswith("@erased.invalid")
    assert str(first["born"]).startswith("1980-01-01 00:00:00")
    assert first["user"] == {"name": None, "age": 0}
    assert (second["customer"], second["user"]) == ("2", {"name": "Bert", "age": 45})
    before = current(s3, bucket_name, KEY)
    list(made.erase([number("1")], keys, ctx))
    assert current(s3, bucket_name, KEY) == before


def test_a_mask_that_does_not_fit_stops(s3: S3Client, s3_endpoint: str, bucket_name: str) -> None:
    """A text does not go into a column of numbers: a person decides, and nothing has changed."""
    body = file_of(table([1, 2]))
    s3.put_object(Bucket=bucket_name, Key=KEY, Body=body)
    rules = (Rule("default", Always(), Action.MASK, masks={"customer": Mask(MaskKind.TOMBSTONE)}),)
    ctx = TrialContext(tables={"orders": DecisionTable("orders", rules)})
    made = connector(s3_endpoint, bucket_name, orders("customer"))
    with pytest.raises(NeedsHuman) as stop:
        erased(made, [number("1")], ctx)
    assert stop.value.fields["reason"] == "mask-does-not-fit"
    assert current(s3, bucket_name, KEY) == body


def test_records_show_exact_values(s3: S3Client, s3_endpoint: str, bucket_name: str) -> None:
    """Decimals as written, instants with all digits, bytes in base64, days, maps as objects."""
    rows = pa.table(
        {
            "order_id": ["o0"],
            "customer": [1],
            "price": pa.array([Decimal("12.50")], pa.decimal128(9, 2)),
            "big": pa.array([Decimal(10**40)], pa.decimal256(50, 0)),
            "at": pa.array([1_600_000_000_123_456_789], pa.timestamp("ns", "UTC")),
            "local": pa.array([0], pa.timestamp("s")),
            "day": pa.array([1], pa.date32()),
            "time": pa.array([3_723_000_001], pa.time64("us")),
            "raw": pa.array([b"\xff\x00"]),
            "text": pa.array([b"plain"]),
            "facts": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())),
            "odd": pa.array([float("nan")]),
            "none": pa.array([None], pa.string()),
        }
    )
    s3.put_object(Bucket=bucket_name, Key=KEY, Body=file_of(rows))
    (record,) = connector(s3_endpoint, bucket_name, orders("customer")).find(
        [number("1")], TrialContext()
    )
    assert json.loads(record.body) == {
        "order_id": "o0",
        "customer": 1,
        "price": "12.50",
        "big": 10**40,
        "at": "2020-09-13T12:26:40.123456789Z",
        "local": "1970-01-01T00:00:00",
        "day": "1970-01-02",
        "time": "01:02:03.000001",
        "raw": {"base64": base64.b64encode(b"\xff\x00").decode()},
        "text": "plain",
        "facts": {"a": 1},
        "odd": "nan",
        "none": None,
    }


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"PAR1" + b"\0" * 40 + b"PARE", "parquet-encrypted"),
        (b"PAR1 cut off somewhere", "cut-parquet"),
        (b'{"order_id": 1}\n', "not-parquet"),
        (gzip.compress(b'{"order_id": 1}\n'), "not-parquet"),
    ],
    ids=["encrypted", "cut", "text", "text in gzip"],
)
def test_what_cannot_be_read_stops_by_name(
    s3: S3Client, s3_endpoint: str, bucket_name: str, body: bytes, reason: str
) -> None:
    """Hard case 13: modular encryption is refused by name, as is what only looks like Parquet."""
    s3.put_object(Bucket=bucket_name, Key=KEY, Body=body)
    with pytest.raises(NeedsHuman) as stop:
        list(
            connector(s3_endpoint, bucket_name, orders("customer")).find(
                [number("1")], TrialContext()
            )
        )
    assert stop.value.fields["reason"] == reason


def test_a_summary_of_other_files_is_reported(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Hard case 20: a `_metadata` file holds bounds of rows in other files, and goes stale."""
    collector: list[Any] = []
    out = io.BytesIO()
    pq.write_table(table([1, 2]), out, metadata_collector=collector)
    collector[0].set_file_path("a.parquet")
    summary = io.BytesIO()
    collector[0].write_metadata_file(summary)
    s3.put_object(Bucket=bucket_name, Key="orders/_metadata", Body=summary.getvalue())
    made: S3 = connector(s3_endpoint, bucket_name, orders("customer"))
    with pytest.raises(NeedsHuman) as stop:
        list(made.find([number("1")], TrialContext()))
    assert stop.value.fields["reason"] == "parquet-sidecar"
