"""What is left out of a record is not in it, in every format and behind every list."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import fastavro
import pyarrow as pa
import pytest

from connectors.s3.formats.avro.records import AVRO
from connectors.s3.formats.content import scalars_in, without
from connectors.s3.formats.entries import Broken, Entry
from connectors.s3.formats.ndjson import ndjson
from tests.contract.s3_parquet import entries, file_of

RECORD = {"id": 1, "people": [{"name": "anna", "tags": ["x", "y"]}, {"name": "ben", "tags": []}]}
PEOPLE = {
    "type": "array",
    "items": {
        "type": "record",
        "name": "person",
        "fields": [
            {"name": "name", "type": "string"},
            {"name": "tags", "type": {"type": "array", "items": "string"}},
        ],
    },
}


def from_ndjson() -> Entry:
    """The record as a line."""
    (found,) = ndjson().entries(iter([json.dumps(RECORD).encode() + b"\n"]), None)
    assert not isinstance(found, Broken)
    return found


def from_parquet() -> Entry:
    """The record as a row."""
    return entries(file_of(pa.Table.from_pylist([RECORD])))[0]


def from_avro() -> Entry:
    """The record in a block."""
    fields = [{"name": "id", "type": "int"}, {"name": "people", "type": PEOPLE}]
    out = io.BytesIO()
    fastavro.writer(out, {"type": "record", "name": "r", "fields": fields}, [RECORD])
    (found,) = AVRO.entries(iter([out.getvalue()]), None)
    assert not isinstance(found, Broken)
    return found


@pytest.mark.parametrize("made", [from_ndjson, from_parquet, from_avro])
def test_a_withheld_field_behind_a_list_is_left_out(made: Callable[[], Entry]) -> None:
    """Hard case 12: what is another person's in a list is not handed to the one who asks."""
    entry = made()
    assert json.loads(entry.body(frozenset())) == RECORD
    left = json.loads(entry.body(frozenset({"people[].name"})))
    assert left == {"id": 1, "people": [{"tags": ["x", "y"]}, {"tags": []}]}
    left = json.loads(entry.body(frozenset({"people[].tags[]", "id"})))
    assert left == {"people": [{"name": "anna"}, {"name": "ben"}]}
    assert json.loads(entry.body(frozenset({"people", "other"}))) == {"id": 1}


def test_a_name_with_a_dot_comes_before_a_path() -> None:
    """The field of that very name goes, and the one at that path stays."""
    assert without({"a.b": 1, "a": {"b": 2}}, {"a.b"}) == {"a": {"b": 2}}
    assert without({"a": {"b": 2, "c": 3}}, {"a.b"}) == {"a": {"c": 3}}


def test_every_scalar_has_its_place() -> None:
    """Objects make paths, lists do not, and null is nothing."""
    found = list(scalars_in({"a": {"b": [1, None, {"c": "x"}]}, "d": False}))
    assert found == [("a.b", 1), ("a.b.c", "x"), ("d", False)]
