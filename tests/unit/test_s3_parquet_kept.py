"""Parquet: what a rewrite by others loses is kept, and a missing extra is said."""

from __future__ import annotations

import io
import sys
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors.s3.config import SharedLayout
from connectors.s3.formats.entries import UnreadableError
from connectors.s3.reading.shared import Shared
from dsr_worker.contract import Collection, Configuration, Taken
from tests.contract.s3_parquet import entries, exactly, file_of, rows_of, without

CODECS = {
    "none": "UNCOMPRESSED",
    "snappy": "SNAPPY",
    "gzip": "GZIP",
    "brotli": "BROTLI",
    "lz4": "LZ4",
    "zstd": "ZSTD",
}


def told(data: bytes) -> list[list[tuple[Any, ...]]]:
    """Codec, encodings and type of each column of each row group."""
    file = pq.read_metadata(io.BytesIO(data))
    return [
        [
            (column.compression, column.encodings, column.physical_type)
            for column in map(file.row_group(group).column, range(file.num_columns))
        ]
        for group in range(file.num_row_groups)
    ]


@pytest.mark.parametrize("codec", CODECS)
def test_codec_and_encodings_stay(codec: str) -> None:
    """Known defect elsewhere: a changed file comes out in Snappy, whatever it was in."""
    table = pa.table({"id": range(100), "text": [f"t{n % 5}" for n in range(100)]})
    before = file_of(
        table,
        compression={"id": codec, "text": "zstd"},
        use_dictionary=["text"],
        column_encoding={"id": "DELTA_BINARY_PACKED"},
        row_group_size=50,
    )
    after = without(before, "id", [3])
    assert told(after) == told(before)
    assert told(after)[0][0][0] == CODECS[codec]


def test_metadata_of_file_and_fields_stays() -> None:
    """Known defect elsewhere: what users wrote beside the schema is dropped."""
    field = pa.field("id", pa.int64(), nullable=False, metadata={"unit": "none"})
    schema = pa.schema([field], metadata={"owner": "shop", "pandas": "{}"})
    before = file_of(pa.table({"id": range(9)}, schema=schema))
    after = pq.read_schema(io.BytesIO(without(before, "id", [3])))
    assert after.equals(schema, check_metadata=True)


def test_what_a_group_is_sorted_by_stays_while_it_is() -> None:
    """Rows that go leave the others in order; a masked value may not, so nothing is claimed."""
    table = pa.table({"id": range(9), "day": range(9)})
    before = file_of(table, sorting_columns=[pq.SortingColumn(0)])
    kept = pq.read_metadata(io.BytesIO(without(before, "id", [3])))
    assert kept.row_group(0).sorting_columns == (pq.SortingColumn(0),)
    masked = without(before, "id", [], {3: {"id": "100"}})
    assert not pq.read_metadata(io.BytesIO(masked)).row_group(0).sorting_columns
    assert [row["id"] for row in rows_of(masked)] == [0, 1, 2, 100, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("value", ["0", "7", str(2**40)])
@pytest.mark.parametrize("dictionary", [True, False])
def test_the_search_by_column_agrees_with_reading_every_row(
    value: str,
    dictionary: bool,  # noqa: FBT001 - pytest passes by name
) -> None:
    """Bounds and arrays leave out no row that reading finds, `0` among them."""
    numbers = [0, 7, 70, None, 2**40, -7, 7, 0, 1, 2, 3, 4]
    texts = ["0", "07", "7", None, str(2**40), "-7", "", "x", "y", "7", "z", "0"]
    data = file_of(
        pa.table({"number": numbers, "text": texts}), row_group_size=3, use_dictionary=dictionary
    )
    wanted = exactly([value], "number", "text")
    found = [e.mark() for e in entries(data, wanted)]
    every = [e.mark() for e in entries(data) if value in (str(e.value("number")), e.value("text"))]
    assert found == every
    assert found


def test_bounds_that_python_cannot_hold_leave_no_row_out() -> None:
    """Days and instants after the year 9999 in an owner column are read, whatever bounds say."""
    far = pa.table(
        {"id": pa.array([2**30], pa.date32()), "at": pa.array([2**61], pa.timestamp("ms"))}
    )
    day = f"{2**30} days after 1970-01-01"
    assert len(entries(file_of(far), exactly([day], "id"))) == 1
    assert entries(file_of(far), exactly([day], "at")) == []


def test_two_columns_of_one_name_are_refused() -> None:
    """Nobody can say which of them the map means; names that differ in case are two names."""
    table = pa.table([pa.array([1]), pa.array([2])], names=["id", "id"])
    with pytest.raises(UnreadableError, match="duplicate-column"):
        entries(file_of(table))
    (row,) = entries(file_of(pa.table({"ID": [5], "id": [1]})))
    assert (row.value("ID"), row.value("id")) == (5, 1)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parquet in the map and no pyarrow: an error that says what to install."""
    for name in [name for name in sys.modules if "s3.formats.parquet" in name]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    layout = SharedLayout(layout="shared", prefix="a/", format="parquet")
    collection = Collection("orders", ("id",), {}, {"email": Taken("email")})
    with pytest.raises(Configuration, match=r"pyarrow.*extra \[parquet\]"):
        Shared(collection, layout)
