"""Fields of somebody else stay out of an access, wherever in a record they stand."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from connectors.s3.tables.rows import Rows
from dsr_worker.contract import Field, Taken
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_support import EVENTS, connector, lines, number

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

STRANGER = "Olga Beispiel"


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("agent", {"agent": STRANGER}),
        ("agent.name", {"agent": {"name": STRANGER, "desk": 4}}),
        ("agent.name", {"agent.name": STRANGER}),
        ("agents[].name", {"agents": [{"name": STRANGER, "desk": 4}, {"desk": 5}]}),
        ("teams[].agents[].name", {"teams": [{"agents": [{"name": STRANGER}]}]}),
        ("agents[]", {"agents": [STRANGER]}),
    ],
)
def test_a_field_of_a_third_party_is_withheld(
    s3: S3Client, s3_endpoint: str, bucket_name: str, name: str, row: dict[str, Any]
) -> None:
    """What an access calls withheld is not in it: at the top, on a path, within lists."""
    orders = replace(
        EVENTS,
        fields={"note": Field("note", "user.content"), name: Field(name, "x", third_party=True)},
        takes={"customer_number": Taken("customer")},
        yields={},
        source={"layout": "shared", "prefix": "events/", "format": "ndjson"},
    )
    mine = {"event_id": "e1", "customer": "1", "note": "mine", **row}
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines([mine]))
    (record,) = connector(s3_endpoint, bucket_name, orders).find([number("1")], TrialContext())
    assert [withheld.field for withheld in record.withheld] == [name]
    assert STRANGER not in record.body.decode()
    assert json.loads(record.body)["note"] == "mine"


def test_a_list_that_the_map_does_not_know_of_hides_nobody(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """A field of somebody else is out of records in which a list stands where none was mapped."""
    orders = replace(
        EVENTS,
        fields={"agent.name": Field("agent.name", "user.name", third_party=True)},
        takes={"customer_number": Taken("customer")},
        yields={},
        source={"layout": "shared", "prefix": "events/", "format": "ndjson"},
    )
    mine = {"event_id": "e1", "customer": "1", "agent": [{"name": STRANGER, "desk": 4}]}
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines([mine]))
    (record,) = connector(s3_endpoint, bucket_name, orders).find([number("1")], TrialContext())
    assert json.loads(record.body) == {**mine, "agent": [{"desk": 4}]}


def test_a_column_of_a_table_with_a_dot_in_its_name_is_withheld() -> None:
    """A name that is a column's own is that column, whatever dots it has."""
    columns = pa.record_batch({"agent.name": [STRANGER], "note": ["mine"]})
    (row,) = Rows(columns, {})
    assert json.loads(row.body(frozenset({"agent.name"}))) == {"note": "mine"}
