"""JSON at the edge of what parsers take: told as it is or refused by a word, and never a crash."""

from __future__ import annotations

import json

import orjson
import pytest

from connectors.s3.formats.entries import Broken, Change, UnreadableError
from connectors.s3.formats.json_document import json_of
from connectors.s3.formats.ndjson import JsonEntry

FINE = b'{"id":1,"mail":"anna@shop.example"}\n'


class _Out:
    def __init__(self) -> None:
        self.made = b""

    def keep(self, start: int, data: bytes | memoryview) -> None:
        assert start >= 0
        self.made += data

    def write(self, data: bytes) -> None:
        self.made += data


def _masked(body: bytes) -> bytes:
    out = _Out()
    masks = Change(masks={"mail": "-"})
    json_of("", "utf-8").rewrite(iter((body,)), None, lambda _: masks, out)
    return out.made


def _nested(levels: int, opens: bytes, closes: bytes) -> bytes:
    """A record of so many levels in all, its number not exactly told by the quick parser."""
    inner = opens * (levels - 1) + b"7" + closes * (levels - 1)
    return b'{"n":18446744073709551617,"mail":"anna@shop.example","x":%b}\n' % inner


def test_what_is_no_number_stays_beside_a_mask() -> None:
    """Numbers that only some parsers know are the same after a mask."""
    body = b'{"mail":"anna@shop.example","a":NaN,"b":[Infinity,-Infinity],"c":"NaN"}\n'
    assert _masked(body) == b'{"mail":"-","a":NaN,"b":[Infinity,-Infinity],"c":"NaN"}\n'


def test_what_is_no_number_is_shown_as_a_text() -> None:
    """An access is JSON for every reader, also where a record holds what only some take for it."""
    body = b'{"a":NaN,"b":[Infinity,-Infinity,1e400],"c":1.5,"d":18446744073709551617,"mail":"a"}\n'
    (entry,) = json_of("", "utf-8").entries(iter((body,)), None)
    assert isinstance(entry, JsonEntry)
    shown = orjson.loads(entry.body(frozenset({"mail", "d"})))
    assert shown == {"a": "NaN", "b": ["Infinity", "-Infinity", "1e400"], "c": 1.5}
    assert b"18446744073709551617" in entry.body(frozenset())


@pytest.mark.parametrize(("opens", "closes"), [(b"[", b"]"), (b'{"k":', b"}")])
@pytest.mark.parametrize("levels", [2, 252, 253, 254, 255, 399, 400, 401, 850, 1020, 5000])
def test_a_record_of_many_levels_is_read_or_told_as_none(
    levels: int, opens: bytes, closes: bytes
) -> None:
    """A record that nothing could walk through is none; a mask that cannot be written is refused.

    Others beside it are found.
    """
    body = FINE + _nested(levels, opens, closes)
    first, second = json_of("", "utf-8").entries(iter((body,)), None)
    assert isinstance(first, JsonEntry)
    if isinstance(second, Broken):
        assert levels > 400
        assert _masked(body) == b'{"id":1,"mail":"-"}\n' + second.raw
        return
    assert levels <= 401
    assert isinstance(second, JsonEntry)
    assert second.value("n") == 2**64 + 1
    assert ("mail", "anna@shop.example") in list(second.scalars())
    assert json.loads(second.body(frozenset({"mail"}))).keys() == {"n", "x"}
    if levels > 254:
        with pytest.raises(UnreadableError, match="nested-too-deep"):
            _masked(body)
        return
    assert _masked(body).endswith(
        _nested(levels, opens, closes).replace(b"anna@shop.example", b"-")
    )


FORMS = pytest.mark.parametrize("form", [b'{%b:1,"r":[{"id":1}]}', b'{"r":[{"id":1}],%b:1}'])


@FORMS
@pytest.mark.parametrize("name", [b'"a\nb"', b'"a\\qb"'])
def test_a_damaged_name_beside_the_records_is_refused(form: bytes, name: bytes) -> None:
    """A name that is no text of JSON is told as damage, and no fault."""
    with pytest.raises(UnreadableError, match="not-json"):
        list(json_of("r", "utf-8").entries(iter((form % name,)), None))


@FORMS
@pytest.mark.parametrize("name", [b'"a\xffb"', b'"a\\ud800b"', b'"\\u0071"'])
def test_any_other_name_beside_the_records_is_passed(form: bytes, name: bytes) -> None:
    """Letters of no encoding in other names hinder nobody."""
    (found,) = json_of("r", "utf-8").entries(iter((form % name,)), None)
    assert found == JsonEntry(b'{"id":1}', {"id": 1})


@pytest.mark.parametrize("again", [b'"r"', b'"\\u0072"'])
def test_records_at_a_place_that_comes_twice_are_refused(again: bytes) -> None:
    """Of two lists at one place readers see the last; neither is passed unread."""
    for body, path in (
        (b'{"r":[{"id":1}],"x":{"r":0},%b:[{"id":2}]}' % again, "r"),
        (b'{"r":{"s":[{"id":1}]},"x":0,%b:{"s":[]}}' % again, "r.s"),
        (b'{"q":{"r":[{"id":1}],%b:[]}}' % again, "q.r"),
    ):
        with pytest.raises(UnreadableError, match="repeated-records"):
            list(json_of(path, "utf-8").entries(iter((body,)), None))
