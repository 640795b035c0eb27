"""Rows of a table's data files: every value as it is, whatever Python's own types can hold."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pyarrow as pa
import pytest

from connectors.s3.tables.rows import RowEntry, rows_of
from dsr_worker.contract import NeedsHuman
from tests.contract.s3_parquet import Stored, exactly, file_of

FINE = 1_700_000_000_123_456_789
LATE = 300_000_000_000_000_000  # the year 11476, in microseconds
NUMBER = uuid.UUID("6f1b2d0e-0000-4000-8000-0000000000aa")


def rows(table: Any, key: str = "part.parquet", *values: str, **options: Any) -> list[RowEntry]:
    """The rows of a file, or those that may hold one of these values as their owner."""
    wanted = exactly(values, "owner") if values else None
    return list(rows_of(Stored(file_of(table, **options)), key, wanted))


def test_instants_beyond_pythons_are_shown_with_all_digits() -> None:
    """Nanoseconds, years over 9999 and far days are read, found beside, and never cut."""
    table = pa.table(
        {
            "owner": ["a", "b"],
            "fine": pa.array([FINE, None], pa.timestamp("ns", "UTC")),
            "clock": pa.array([3_600_000_000_001, None], pa.time64("ns")),
            "late": pa.array([LATE, None], pa.timestamp("us")),
            "day": pa.array([2**30, None], pa.date32()),
        }
    )
    (row,) = rows(table, "part.parquet", "a")
    assert json.loads(row.body(frozenset())) == {
        "owner": "a",
        "fine": "2023-11-14T22:13:20.123456789Z",
        "clock": "01:00:00.000000001",
        "late": "3472222 days after 1970-01-01T05:20:00",
        "day": f"{2**30} days after 1970-01-01",
    }
    assert row.stored("owner") == "a"


@pytest.mark.parametrize("name", ["late", "day", "clock"])
def test_a_row_is_not_told_by_an_instant_that_python_cannot_hold(name: str) -> None:
    """Such a field decides nothing by a rounded value: the step stops and names it."""
    kinds = {"late": pa.timestamp("us"), "day": pa.date32(), "clock": pa.timestamp("ms")}
    table = pa.table({name: pa.array([2**30 if name == "day" else 2**61], kinds[name])})
    (row,) = rows(table)
    with pytest.raises(NeedsHuman, match="s3-table-unsupported"):
        row.stored(name)


def test_old_instants_of_twelve_bytes_are_the_same_in_every_year() -> None:
    """Spark's INT96 is read in microseconds, as the tables' libraries do; years do not wrap."""
    table = pa.table({"at": pa.array([-62_000_000_000_000_000, 0], pa.timestamp("us"))})
    old, epoch = rows(table, use_deprecated_int96_timestamps=True)
    assert old.value("at") == "0005-04-19T09:46:40"
    assert epoch.value("at") == "1970-01-01T00:00:00"


def test_a_uuid_names_its_owner() -> None:
    """A column of UUIDs is found by the text of one."""
    storage = pa.array([NUMBER.bytes, bytes(16)], pa.binary(16))
    table = pa.table({"owner": pa.ExtensionArray.from_storage(pa.uuid(), storage)})
    (row,) = [r for r in rows(table, "p", str(NUMBER)) if r.value("owner") == str(NUMBER)]
    assert row.stored("owner") == NUMBER


def test_what_is_withheld_is_not_in_the_record() -> None:
    """A column whose own name has a dot, and one within a list of structs, are left out."""
    table = pa.table({"a.b": [1], "c": [[{"d": 2, "e": 3}]], "f": [4]})
    (row,) = rows(table, "g=5/part.parquet")
    assert json.loads(row.body(frozenset({"a.b", "c[].d", "g"}))) == {"c": [{"e": 3}], "f": 4}
    assert row.value("g") == "5"
