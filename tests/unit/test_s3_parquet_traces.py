"""Parquet: nothing of an erased value stays anywhere in the file, whoever wrote it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors.s3.formats.parquet.footer import chunk_range, read_footer
from connectors.s3.formats.parquet.format import PARQUET
from tests.contract.s3_parquet import (
    Stored,
    entries,
    exactly,
    file_of,
    rows_of,
    table_of,
    without,
)

ROWS = 600
KEPT = Path(__file__).parent / "parquet"  # files that others wrote


def marked(rows: int = ROWS) -> Any:
    """Rows whose every value is their own: `zq…` texts, numbers above 2^40, bytes."""
    return pa.table(
        {
            "id": [f"zq-{row:04}-key" for row in range(rows)],
            "name": [f"zq-{row:04}-{'long ' * 30}name" for row in range(rows)],
            "number": pa.array([2**40 + row * 7919 for row in range(rows)]),
            "raw": [f"zq-{row:04}-raw".encode() for row in range(rows)],
            "fixed": pa.array([f"zq-{row:04}".encode() for row in range(rows)], pa.binary(7)),
            "user": [{"mail": f"zq-{row:04}@shop.example"} for row in range(rows)],
            "tags": [[f"zq-{row:04}-a", f"zq-{row:04}-b"] for row in range(rows)],
        }
    )


def traces(data: bytes, row: int) -> list[bytes]:
    """What of a row's values stands in the bytes."""
    number = (2**40 + row * 7919).to_bytes(8, "little")
    return [value for value in (f"zq-{row:04}".encode(), number) if value in data]


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("dictionary", [True, False])
@pytest.mark.parametrize("paged", [True, False], ids=["page index", "page statistics"])
def test_no_erased_value_stays_in_the_bytes(
    version: str,
    dictionary: bool,  # noqa: FBT001 - pytest passes by name
    paged: bool,  # noqa: FBT001 - pytest passes by name
) -> None:
    """Hard case 13: not in pages, dictionaries, bounds, page index; every other value stays."""
    before = file_of(
        marked(),
        compression="none",
        use_dictionary=dictionary,
        data_page_version=version,
        write_page_index=paged,
        row_group_size=200,
        max_rows_per_page=50,
        bloom_filter_options={"id": True},
    )
    gone = [0, 49, 50, 120, 199, *range(210, 270), *range(400, 600)]
    assert all(traces(before, row) for row in gone)
    after = without(before, "id", [f"zq-{row:04}-key" for row in gone])
    assert not any(traces(after, row) for row in gone)
    kept = [row for row in range(ROWS) if row not in gone]
    assert all(traces(after, row) for row in kept)
    assert [row["id"] for row in rows_of(after)] == [f"zq-{row:04}-key" for row in kept]


def test_masked_values_leave_no_trace() -> None:
    """Hard case 13: bounds and dictionaries of a masked column know only what stands there now."""
    before = file_of(marked(), compression="none", write_page_index=True, max_rows_per_page=50)
    masks: dict[str, str | None] = {
        "name": "a",
        "number": "5",
        "raw": None,
        "user.mail": None,
        "tags": None,
    }
    of_rows: dict[object, dict[str, str | None]] = {
        f"zq-{row:04}-key": {**masks, "fixed": "aaaaaaa"} for row in (0, 300, 599)
    }
    after = without(before, "id", [], of_rows)
    for row in (0, 300, 599):
        assert after.count(f"zq-{row:04}".encode()) == after.count(f"zq-{row:04}-key".encode()) > 0
        assert (2**40 + row * 7919).to_bytes(8, "little") not in after
    told = pq.read_metadata(io.BytesIO(after)).row_group(0)
    bounds = {told.column(n).path_in_schema: told.column(n).statistics for n in range(3)}
    assert (bounds["number"].min, bounds["number"].max) == (5, 2**40 + 598 * 7919)
    assert bounds["name"].min == "a"


def test_bounds_stay_where_nothing_of_them_went() -> None:
    """Hard case 13: statistics of a changed row group are exact, and as good as before."""
    table = pa.table({"id": range(100), "few": ["a", "b"] * 50})
    after = without(file_of(table), "id", [0, 50])
    told = pq.read_metadata(io.BytesIO(after)).row_group(0)
    ids, few = (told.column(n).statistics for n in range(2))
    assert (ids.min, ids.max, ids.null_count) == (1, 99, 0)
    assert (few.min, few.max) == ("a", "b")


def test_a_bloom_filter_stays_with_values_that_stay() -> None:
    """Hard case 13: filters of changed columns go, as they answer for erased values."""
    before = file_of(marked(), row_group_size=200, bloom_filter_options={"id": True})
    after = without(before, "id", ["zq-0250-key"])
    filters = []
    for data in (before, after):
        file = pq.read_metadata(io.BytesIO(data))
        columns = [file.row_group(group).column(0) for group in range(3)]
        filters.append(
            [
                c.bloom_filter_offset
                and data[c.bloom_filter_offset : c.bloom_filter_offset + c.bloom_filter_length]
                for c in columns
            ]
        )
    assert all(filters[0])
    assert filters[1] == [filters[0][0], None, filters[0][2]]


def test_bytes_that_nothing_refers_to_do_not_survive() -> None:
    """Hard case 13: what an earlier writer forgot between the parts is not carried over."""
    before = file_of(marked(20), compression="none", row_group_size=10)
    footer = read_footer(Stored(before))
    forgotten = b"zq-0003-forgotten"
    data = before[: footer.at] + forgotten + before[footer.at :]
    assert forgotten in data
    assert forgotten not in without(data, "id", ["zq-0003-key"])


def test_untouched_row_groups_are_copied_unread() -> None:
    """Finding reads owner columns alone; row groups whose bounds say no are not read at all."""
    table = pa.table({"id": [f"{row:06}" for row in range(4000)], "pad": ["x" * 50] * 4000})
    data = file_of(table, row_group_size=1000, compression="none", use_dictionary=False)
    source = Stored(data)
    footer = read_footer(source)
    source.reads.clear()
    wanted = exactly(["001500"], "id")
    (entry,) = PARQUET.entries(source, wanted)
    assert entry.value("id") == "001500"  # type: ignore[union-attr] # no broken rows in Parquet
    (ids,) = [chunk_range(group.items(1)[0], footer.at) for group in footer.groups[1:2]]
    inside = [(start, length) for start, length in source.reads if start < footer.tail_at]
    assert inside == [(ids[0], ids[1] - ids[0])]


# ---- other writers


def by_duckdb(folder: Path) -> Path:
    """Written by DuckDB."""
    path = folder / "duckdb.parquet"
    query = (
        "SELECT i AS id, 'zq-' || i || '@shop.example' AS mail, i % 3 AS few,"
        " {'a': i, 'b': [i, NULL]} AS nested, (i / 100)::DECIMAL(9, 2) AS price,"
        " DATE '2020-01-01' + i::INTEGER AS day, CASE WHEN i % 5 = 0 THEN NULL ELSE i END AS gap"
        " FROM range(5000) t(i)"
    )
    with duckdb.connect() as db:
        db.sql(query).write_parquet(str(path), row_group_size=2048)
    return path


@pytest.mark.parametrize("writer", ["duckdb", "polars", "fastparquet"])
def test_files_of_other_writers(writer: str, tmp_path: Path) -> None:
    """Hard case 13: whoever wrote a file, the rest reads the same, by pyarrow and others.

    Those of polars 2.1.0 and of fastparquet (instants of twelve bytes, LZ4 in Hadoop's frames) were
    written once and are kept, since neither is otherwise needed here.
    """
    path = by_duckdb(tmp_path) if writer == "duckdb" else KEPT / f"{writer}.parquet"
    before = path.read_bytes()
    gone = {0, 1, 1023, 2500, 4999}
    after = without(before, "id", sorted(gone))
    assert rows_of(after) == [row for row in rows_of(before) if row["id"] not in gone]
    assert table_of(after).schema.equals(table_of(before).schema, check_metadata=True)
    made = tmp_path / "after.parquet"
    made.write_bytes(after)
    with duckdb.connect() as db:
        found = db.read_parquet(str(made)).filter("id IN (0, 2, 2500, 4998)").order("id").fetchall()
    assert [row[1] for row in found] == ["zq-2@shop.example", "zq-4998@shop.example"]
    assert without(before, "id", [5000]) == before


def test_masks_in_int96() -> None:
    """Hard case 13: instants of twelve bytes are read beyond 1677 to 2262, and masked."""
    at = pa.array([0, 253_402_214_400], pa.timestamp("s"))  # 1970-01-01 and 9999-12-31
    table = pa.table({"id": [1, 2], "at": at.cast(pa.timestamp("us"))})
    before = file_of(table, use_deprecated_int96_timestamps=True)
    assert [e.value("at") for e in entries(before)] == [
        "1970-01-01T00:00:00",
        "9999-12-31T00:00:00",
    ]
    after = without(before, "id", [], {1: {"at": "2020-01-01T00:00:00"}})
    assert [e.value("at") for e in entries(after)] == ["2020-01-01T00:00:00", "9999-12-31T00:00:00"]
