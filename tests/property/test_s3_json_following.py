"""JSON objects that follow each other are records, with a newline between them or without."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.s3.formats import json_document
from connectors.s3.formats.entries import ERASE, KEEP, Broken, Change, Entry, UnreadableError
from connectors.s3.formats.json_document import json_of
from connectors.s3.reading.owners import Owners
from dsr_worker.contract import Collection, Field, Identity, Subject, Taken
from dsr_worker.testing.context import TrialContext

OWNERS = Owners(
    Collection(
        "events",
        ("id",),
        {"id": Field("id", "user"), "number": Field("number", "user")},
        takes={"number": Taken("number")},
    ),
    [Subject("a", (Identity("number", "7"), Identity("number", "}{")))],
    TrialContext(),
)
MIB = 1 << 20
texts = st.sampled_from(["7", "77", "}{", '}{"number":7}{', '"', "\\", "[", "]}", "ä\u2028", ""])
values = st.recursive(
    texts | st.integers(-9, 99) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
records = st.fixed_dictionaries(
    {"id": st.integers(0, 9), "number": st.sampled_from([7, "7", "}{", 8, "8", None])},
    optional={"more": values, "7": values},
)
between = st.sampled_from(["", "", "", " ", "\n", "\r\n", "\n\n", "\t"])


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


def _rewritten(body: bytes, size: int, *, filtered: bool, path: str = "") -> bytes:
    def decided(entry: Entry) -> Change:
        return ERASE if OWNERS.of(entry) else KEEP

    out = _Out(body)
    wanted = OWNERS.wanted() if filtered else None
    json_of(path, "utf-8").rewrite(_chunks(body, size), wanted, decided, out)
    return out.written


def _decoded(body: bytes) -> list[Any]:
    """The model of reading: one value after the other."""
    text, at, found = body.decode().lstrip(), 0, []
    while at < len(text):
        value, at = json.JSONDecoder().raw_decode(text, at)
        at += len(text[at:]) - len(text[at:].lstrip())
        found.append(value)
    return found


def _is_mine(record: dict[str, Any]) -> bool:
    return record["number"] in ("7", "}{") or record["number"] == 7


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(records, between), min_size=1, max_size=12),
    st.sampled_from([(",", ":"), (", ", ": ")]),
    st.sampled_from([3, 50, 10**6]),
    st.sampled_from([8, 100, 10**5]),
)
def test_what_stands_between_records_changes_nothing(
    found: list[tuple[dict[str, Any], str]], signs: tuple[str, str], size: int, window: int
) -> None:
    """Hard case 7: objects on one line, on lines of their own, or both, are told like the model."""
    body = "".join(json.dumps(r, separators=signs) + mark for r, mark in found).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_document, "_TELLING_BYTES", window)
        patch.setattr(json_document, "_WINDOW_BYTES", window)
        written = _rewritten(body, size, filtered=True)
        assert written == _rewritten(body, size, filtered=False)
    left = [record for record, _ in found if not _is_mine(record)]
    assert _decoded(written) == left
    if len(left) == len(found):
        assert written == body


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(records, max_size=4), min_size=1, max_size=5), between)
def test_documents_with_lists_follow_each_other(
    found: list[list[dict[str, Any]]], mark: str
) -> None:
    """Hard case 7: lists, by themselves or at a path, one after the other, lose their own."""
    for path in ("", "data.items"):
        bodies = [{"n": 1, "data": {"items": each}} if path else each for each in found]
        body = mark.join(map(json.dumps, bodies)).encode()
        if path == "" and not any(found):
            continue
        written = _rewritten(body, 50, filtered=True, path=path)
        left = [[record for record in each if not _is_mine(record)] for each in found]
        expected = [{"n": 1, "data": {"items": each}} if path else each for each in left]
        assert _decoded(written) == expected


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.one_of(records, st.lists(records, max_size=3)), min_size=1, max_size=9),
    st.sampled_from(["", " ", "\n "]),
    st.sampled_from([8, 100, 10**5]),
)
def test_lists_and_records_follow_each_other(
    found: list[dict[str, Any] | list[dict[str, Any]]], mark: str, window: int
) -> None:
    """Hard case 7: no list hides among records on one line, nor a record among lists."""
    body = ("[]" + mark + mark.join(map(json.dumps, found))).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_document, "_WINDOW_BYTES", window)
        written = _rewritten(body, 50, filtered=True)
        assert written == _rewritten(body, 50, filtered=False)
    left: list[Any] = [[]]
    for each in found:
        if isinstance(each, list):
            left.append([record for record in each if not _is_mine(record)])
        elif not _is_mine(each):
            left.append(each)
    assert _decoded(written) == left


@pytest.mark.parametrize("first", ["{}", '{"id":0,"number":8}', '{"id":0,"number":8}\n{}'])
@pytest.mark.parametrize("size", [3, 10**6])
def test_records_of_several_lines_follow_those_of_one(first: str, size: int) -> None:
    """Hard case 7: printers leave a short object on its line; nobody hides in those behind it."""
    found = [{"id": 1, "number": 7}, {"id": 2, "number": 8}, {"id": 3, "number": 7}]
    body = "\n".join([first, *(json.dumps(each, indent=1) for each in found)]).encode()
    for filtered in (True, False):
        written = _rewritten(body, size, filtered=filtered)
        assert _decoded(written) == [*_decoded(first.encode()), found[1]]


@pytest.mark.parametrize("other", [b"7", b'"a"', b"null", b"x", b"]", b","])
@pytest.mark.parametrize("before", [2, 400])
def test_what_is_no_record_between_records_is_refused(other: bytes, before: int) -> None:
    """Hard case 7: on a line that is no line of records alone, nothing is told as read."""
    one = b'{"id":1,"number":8,"note":"} 7"}'
    for wanted in (None, OWNERS.wanted()):
        with pytest.raises(UnreadableError, match=r"not-json|not-ndjson"):
            list(json_of("", "utf-8").entries(iter((one * before + other + one,)), wanted))


def test_a_damaged_line_of_several_stays_a_line() -> None:
    """Hard case 11: where not all of a line is records, none of it is taken for one."""
    mine, broken = b'{"id":1,"number":7}', b'{"id":1,"number":7}{"id":2,"number":"7'
    body = mine + mine + b"\n" + broken + b"\n" + mine + b"7\n"
    assert _rewritten(body, 10**6, filtered=True) == b"\n" + broken + b"\n" + mine + b"7\n"
    told = json_of("", "utf-8").entries(iter((body,)), OWNERS.wanted())
    assert [each.raw for each in told if isinstance(each, Broken)] == [
        broken + b"\n",
        mine + b"7\n",
    ]


def test_marks_within_joined_objects_hide_nobody() -> None:
    """Hard case 4: objects that were put together have a mark before a line in their middle."""
    mark, mine = b"\xef\xbb\xbf", b'{"id":1,"number":7}'
    other = b'{"id":1,"number":8}\n'
    body = mark + other + mark + mine + b"\n" + mark + other
    assert _rewritten(body, 10**6, filtered=True) == mark + other + mark + b"\n" + mark + other


@pytest.mark.parametrize("start", [b"", b'{"id":0,"number":8}\n'], ids=["one line", "lines"])
def test_a_line_of_any_length_is_read_by_its_records(start: bytes) -> None:
    """Hard case 7: of 64 MiB without a newline, no more is held than a record may be long."""
    one = json.dumps({"id": 1, "number": 8, "note": "}{" + "x" * 900}).encode()
    most = given = taken = 0

    def plain() -> Iterator[bytes]:
        nonlocal given
        many = (one * 200 for _ in range(64 * MIB // (200 * len(one))))
        for piece in chain((start,), many, (b'{"id":2,"number":7}', one)):
            given += len(piece)
            yield piece

    class Measured:
        def keep(self, start: int, data: bytes | memoryview) -> None:
            nonlocal most, taken
            most, taken = max(most, given - start), taken + len(data)

        def write(self, data: bytes) -> None:
            raise AssertionError(data)

    gone: list[int] = []

    def decided(entry: Entry) -> Change:
        gone.append(entry.value("id"))
        return ERASE if OWNERS.of(entry) else KEEP

    json_of("", "utf-8").rewrite(plain(), OWNERS.wanted(), decided, Measured())
    assert 2 in gone
    assert taken == given - len(b'{"id":2,"number":7}')
    assert most < (20 * MIB if start else MIB)


def test_a_record_too_long_is_told_as_such() -> None:
    """What bounds memory bounds a record: one that does not end within 16 MiB is refused."""
    endless = chain((b'{"id":"',), islice(iter(lambda: b"x" * MIB, None), 18))
    with pytest.raises(UnreadableError, match="record-too-long"):
        list(json_of("", "utf-8").entries(endless, OWNERS.wanted()))
