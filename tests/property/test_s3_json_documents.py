"""Elements leave a JSON document with one comma each; everything else stays byte for byte."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.s3.formats.entries import ERASE, KEEP, Broken, Change, Entry
from connectors.s3.formats.json_document import json_of
from connectors.s3.reading.owners import Owners
from dsr_worker.contract import Collection, Field, Identity, Subject, Taken
from dsr_worker.testing.context import TrialContext
from tests.examples import examples

COLLECTION = Collection(
    "events",
    ("id",),
    {"id": Field("id", "user"), "number": Field("number", "user")},
    takes={"number": Taken("number")},
)
OWNERS = Owners(
    COLLECTION,
    [Subject("a", (Identity("number", "7"), Identity("number", "}, {")))],
    TrialContext(),
)

texts = st.one_of(
    st.sampled_from(["7", "77", "}, {", '},\n{"id": 7', '"', "\\", "[", "]}", "ä\u2028", ""]),
    st.text(max_size=5),
)
scalars = st.one_of(texts, st.integers(-9, 99), st.booleans(), st.none(), st.floats(0, 9))
nested = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
elements = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {
                "id": st.integers(0, 9),
                "number": st.one_of(st.sampled_from([7, "7", "}, {"]), nested),
            },
            optional={"more": nested},
        ),
        st.sampled_from([1, "x", None, [7], [{"number": 7}]]),
    ),
    max_size=8,
)
layouts = st.sampled_from(
    [
        {"indent": None, "separators": (",", ":")},
        {"indent": None, "separators": (", ", ": ")},
        {"indent": 2, "separators": (",", ": ")},
        {"indent": "\t", "separators": (" ,", " :")},
    ]
)


class _Out:
    """What a rewrite tells, checked against the bytes there were."""

    def __init__(self, body: bytes) -> None:
        self.body, self.written = body, b""

    def keep(self, start: int, data: bytes | memoryview) -> None:
        assert self.body[start : start + len(data)] == data
        self.written += data

    def write(self, data: bytes) -> None:
        self.written += data


def _chunks(body: bytes, size: int) -> Iterator[bytes]:
    return (body[at : at + size] for at in range(0, len(body), size))


def _is_mine(element: object) -> bool:
    """The model: an object whose number is the text 7, the whole number, or the odd text."""
    if not isinstance(element, dict):
        return False
    number = element.get("number")
    return number in ("7", "}, {") or (type(number) is int and number == 7)


def _erased(body: bytes, path: str, size: int, *, filtered: bool) -> bytes:
    out = _Out(body)

    def decided(entry: Entry) -> Change:
        return ERASE if OWNERS.of(entry) else KEEP

    wanted = OWNERS.wanted() if filtered else None
    json_of(path, "utf-8").rewrite(_chunks(body, size), wanted, decided, out)
    return out.written


@settings(max_examples=examples(300))
@given(elements, layouts, st.sampled_from([3, 50, 10**6]), st.booleans(), st.booleans())
def test_a_list_loses_exactly_its_elements(
    found: list[Any],
    layout: dict[str, Any],
    size: int,
    ascii_only: bool,  # noqa: FBT001 - hypothesis passes by position
    inside: bool,  # noqa: FBT001 - hypothesis passes by position
) -> None:
    """Hard case 7: a list, by itself or in a document, reads as the model; so does what stays."""
    document: dict[str, Any] = {
        "meta": [found, {"data": {"items": 1}}],
        "data": {"no": "}", "items": found, "z": [1]},
    }
    body = json.dumps(document if inside else found, ensure_ascii=ascii_only, **layout).encode()
    # a list of nothing but other things than records is no list of records
    if found and not any(isinstance(element, dict) for element in found):
        return
    path = "data.items" if inside else ""
    written = _erased(body, path, size, filtered=True)
    assert written == _erased(body, path, size, filtered=False)
    left = [element for element in found if not _is_mine(element)]
    expected = {**document, "data": {**document["data"], "items": left}} if inside else left
    assert json.loads(written) == expected
    if len(left) == len(found):
        assert written == body


@settings(max_examples=examples(100))
@given(
    st.lists(
        st.fixed_dictionaries({"id": st.integers(0, 9), "number": scalars}),
        min_size=40,
        max_size=60,
    ),
    layouts,
)
def test_many_elements_are_found_as_one_by_one(
    found: list[dict[str, Any]], layout: dict[str, Any]
) -> None:
    """Windows of many elements tell the same records as a parser of the whole."""
    body = json.dumps(found, **layout).encode()
    entries = json_of("", "utf-8").entries(_chunks(body, 700), OWNERS.wanted())
    mine = [json.loads(e.mark()) for e in entries if not isinstance(e, Broken) and OWNERS.of(e)]
    assert mine == [element for element in found if _is_mine(element)]


@settings(max_examples=examples(100))
@given(st.lists(st.dictionaries(texts, nested, min_size=1, max_size=3), min_size=1, max_size=4))
def test_pretty_documents_may_follow_each_other(found: list[dict[str, Any]]) -> None:
    """Objects of several lines, one or more, are records; lines of one object each are lines."""
    body = "\n".join(json.dumps(element, indent=1) for element in found).encode()
    entries = list(json_of("", "utf-8").entries(_chunks(body, 9), None))
    assert [json.loads(e.mark()) for e in entries if not isinstance(e, Broken)] == found
