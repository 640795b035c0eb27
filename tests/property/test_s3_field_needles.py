"""The search behind a field's name tells whom parsing tells, however name and value are written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.s3.formats.entries import key_text
from connectors.s3.formats.ndjson import JsonEntry, ndjson
from connectors.s3.formats.text import raw_of
from connectors.s3.formats.wanted import Wanted
from connectors.s3.reading.owners import Owners
from dsr_worker.contract import Collection, Field, Form, Identity, Subject, Taken
from dsr_worker.testing.context import TrialContext
from tests.examples import examples
from tests.native_scan import ROADS, searched_by

LONG = "cus_0012345@shop"
PEOPLE = ["7", "0", "-7", "12345", "+4912345", "a:7", "1e3", "id", "7.0", str(2**64 + 1), LONG]
FORMS = {
    "exact": (Form.EXACT, {}),
    "text": (Form.EXACT, {"a.id": "text"}),
    "number": (Form.EXACT, {"a.id": "number"}),
    "decimal": (Form.EXACT, {"a.id": "decimal"}),
    "any case": (Form.ASCII_CASE, {}),
    "digits": (Form.DIGITS, {}),
}
values = st.one_of(
    st.sampled_from(
        ['"7"', "7", "-0", "7.0", "7.00", "0.7e1", "-7", "70", '"0"', "0", "null", "true", "[7]"]
    ),
    st.sampled_from(['"12345"', '"12-345"', '"+49 (12) 345"', '"+49\\u0031"', '"1\\t2345"', "1e3"]),
    st.sampled_from(['{"id":7}', '"id"', '"a:7"', '"A:7"', '" a:7"', '"\\u0061:7"', '"id\\": 7"']),
    st.sampled_from([f'"{LONG}"', f'"{LONG.upper()}"', f'"{LONG}  "', f'" {LONG}"', f'"{LONG}x"']),
    st.sampled_from(['"cus_0012345\\u0040shop"', '"cus_00é2345@shop"', '"a:7      "', '"a:7é"']),
    st.sampled_from(["123450", "12345000e-3", "7e0", "1234567890123", "70000000e-7", '"id":']),
    st.sampled_from([str(2**64 + 1), str(2**64), f"{2**64 + 1}.0", '"x"', '""', '"\\\\"']),
)
names = st.sampled_from(
    ['"id"', '"\\u0069d"', '"i\\u0064"', '"xid"', '"a.id"', '"id "', '"x\\"id"']
)
spaces = st.sampled_from(["", " ", "  ", "\t", "\r"])
members = st.builds(
    lambda name, before, behind, value, end: f"{name}{before}:{behind}{value}{end}",
    *(names, spaces, spaces, values, spaces),
)
objects = st.lists(members, max_size=3).map(lambda found: "{" + ",".join(found) + "}")
lines = st.one_of(
    st.builds(lambda key, inner: f'{{"key":{key},"a":{inner}}}', values, objects),
    st.builds(
        lambda inner, last: f"{inner[:-1]}{',' if inner != '{}' else ''}{last}}}", objects, members
    ),
    st.sampled_from(['{"id": "7', '"id":7}', "", '{"a":{"id":"a', 'id":7', "{'id': 7}"]),
)


@pytest.fixture(scope="module", autouse=True, params=ROADS)
def _road(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever holds here holds with the library and without it."""
    with searched_by(request.param):
        yield


class _Phones(TrialContext):
    """Compares the digits of numbers as the engine does those of telephones."""

    def canonical(self, kind: str, value: str) -> str | None:
        return super().canonical("phone" if kind == "phone" else kind, value)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=examples(250))
@given(
    st.lists(lines, max_size=8),
    st.lists(st.sampled_from(PEOPLE), min_size=1, unique=True),
    st.lists(st.sampled_from(["7", "7.0", "a:7", "12345"]), max_size=2, unique=True),
    st.sampled_from([7, 10**6]),
)
def test_nobody_hides_behind_a_field(
    form: str, found: list[str], people: list[str], located: list[str], size: int
) -> None:
    """Records of these people, and records with these keys, are all looked at; bytes stay."""
    stated, equals = FORMS[form]
    kind = "phone" if stated is Form.DIGITS else "number"
    collection = Collection(
        "rows",
        ("key",),
        {"key": Field("key", "user")},
        takes={kind: Taken("a.id", stated)},
        source={"format": "ndjson", "equals": equals},
    )
    subjects = [Subject(value, (Identity(kind, value),)) for value in people]
    owners = Owners(collection, subjects, _Phones())
    body = "\n".join(found).encode()

    def told(wanted: Wanted | None) -> list[tuple[bytes, dict[str, str]]]:
        chunks = (body[at : at + size] for at in range(0, len(body), size))
        pieces = list(chain.from_iterable(ndjson().pieces(chunks, wanted)))
        assert b"".join(map(raw_of, pieces)) == body
        entries = [piece for piece in pieces if isinstance(piece, JsonEntry)]
        return [
            (entry.raw, own)
            for entry in entries
            if (own := owners.of(entry)) or key_text(entry.value("key")) in located
        ]

    if not any(_is_record(line) for line in found):
        return  # refused as a whole, where every line is looked at
    assert told(owners.wanted([("object", key) for key in located])) == told(None)


def _is_record(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
