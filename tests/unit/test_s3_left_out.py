"""What is about other people is left out of a record wherever it stands."""

from __future__ import annotations

import json

import pytest

from connectors.s3.formats.entries import Broken
from connectors.s3.formats.json_document import json_of

RECORD = {
    "id": 1,
    "flat.name": "B",
    "to": {"name": "C", "city": "Oslo"},
    "people": [{"name": "A", "id": 1}, {"name": {"first": "D"}}, "E", {"id": 2}],
    "ids": [1, 2, 3],
    "rooms": [{"guests": [{"name": "F"}, {"name": "G", "id": 4}]}, {"guests": "none"}],
}


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("flat.name", {key: value for key, value in RECORD.items() if key != "flat.name"}),
        ("to.name", RECORD | {"to": {"city": "Oslo"}}),
        ("people[].name", RECORD | {"people": [{"id": 1}, {}, "E", {"id": 2}]}),
        ("ids[]", {key: value for key, value in RECORD.items() if key != "ids"}),
        (
            "rooms[].guests[].name",
            RECORD | {"rooms": [{"guests": [{}, {"id": 4}]}, {"guests": "none"}]},
        ),
        ("people.name", RECORD | {"people": [{"id": 1}, {}, "E", {"id": 2}]}),
        ("to[].name", RECORD | {"to": {"city": "Oslo"}}),
        ("nowhere[].name", RECORD),
    ],
)
def test_a_field_is_left_out_wherever_its_name_leads(name: str, left: dict[str, object]) -> None:
    """Hard case 12: within objects and every element of a list, also one that the map knows not."""
    body = json.dumps(RECORD).encode()
    (entry,) = json_of("", "utf-8").entries(iter((body,)), None)
    assert not isinstance(entry, Broken)
    assert json.loads(entry.body(frozenset({name}))) == left
