"""What a proposal sees of JSON documents is what the reader of the map finds in them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from connectors.s3.config import SharedLayout
from connectors.s3.formats.detecting import format_of
from connectors.s3.formats.entries import Broken
from connectors.s3.formats.leftover import Bytes
from connectors.s3.proposing.documents import outline, texts_of

_NAMES = st.sampled_from(["a", "b", "orders", "data", "ü", 'q"', "x y"])
_LEAVES = st.none() | st.booleans() | st.integers(0, 99) | st.text('aä\\"[]{}:,\n', max_size=4)
_RECORDS = st.lists(st.dictionaries(_NAMES, _LEAVES, max_size=3), max_size=4)
_VALUES = st.recursive(
    _LEAVES | _RECORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=12,
)
_DOCUMENTS = st.dictionaries(_NAMES, _VALUES, max_size=4)


def model(document: Any, path: tuple[str, ...] = ()) -> dict[str, list[Any]]:
    """The lists that begin with an object, by path through objects alone."""
    found: dict[str, list[Any]] = {}
    for name, value in document.items():
        if isinstance(value, dict):
            found |= model(value, (*path, name))
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            found[".".join((*path, name))] = value
    return found


@given(document=_DOCUMENTS, indent=st.sampled_from([None, 1]))
def test_every_list_of_records_is_seen_and_read_by_its_path(
    document: dict[str, Any], indent: int | None
) -> None:
    """The paths are those of the document, and with each the reader finds the list's objects."""
    text = json.dumps(document, indent=indent, ensure_ascii=False)
    lists = outline(text).lists
    expected = {path: found for path, found in model(document).items() if path.count(".") < 6}
    assert list(lists) == list(expected)[:8]
    for path in lists:
        layout = SharedLayout.model_validate(
            {"layout": "shared", "prefix": "", "format": "json", "records": path}
        )
        source = Bytes(text.encode())
        entries = format_of(source, layout, ()).entries(source, None)
        read = [json.loads(e.body(frozenset())) for e in entries if not isinstance(e, Broken)]
        assert read == [each for each in expected[path] if isinstance(each, dict)]


@given(document=_DOCUMENTS, cut=st.integers(0, 400))
def test_the_beginning_of_a_document_tells_no_other_lists(
    document: dict[str, Any], cut: int
) -> None:
    """Wherever the text ends, nothing raises, and what is told is in the whole as well."""
    text = json.dumps(document)
    whole, begun = outline(text), outline(text[:cut])
    assert list(begun.lists) == list(whole.lists)[: len(begun.lists)]
    assert begun.beside.items() <= whole.beside.items()


@given(document=_DOCUMENTS)
def test_every_text_has_a_path_that_finds_it(document: dict[str, Any]) -> None:
    """What a sample calls a field, the reader's own path leads to, through lists as well."""
    source = Bytes(json.dumps(document).encode() + b"\n")
    layout = SharedLayout.model_validate({"layout": "shared", "prefix": "", "format": "json"})
    for entry in format_of(source, layout, ()).entries(source, None):
        assert not isinstance(entry, Broken)
        for name, text in texts_of(document).items():
            if "[][]" in name:
                continue  # no path enters a list in a list
            found = entry.value(name)
            values = found if isinstance(found, list) else [found]
            assert text in map(str, values), name
