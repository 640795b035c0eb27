"""Hard cases of whose a record is: matched exactly, mentions and emptied objects told apart."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from dsr_worker.contract import Form, Taken
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_erasures import erased, event, outcomes
from tests.contract.s3_support import (
    EVENTS,
    EXPORTS,
    content,
    lines,
    number,
    person,
    versioned,
)
from tests.contract.s3_texts import ANNA, MINE, OTHER, Texts, events, exports

if TYPE_CHECKING:
    from dsr_worker.contract import Collection


@pytest.mark.parametrize(
    "line",
    [
        '{"event_id":"x","customer":"a\\/b"}',
        '{"event_id":"x","customer":"\\u0061/b"}',
        '{"event_id":"x","cus\\u0074omer":"a/b"}',
        '{"event_id":"x","\\u0063\\u0075stomer"\t:  "a\\u002Fb"}',
        '{"event_id":"x","customer" : "a/b"}',
        '{"event_id":"x","customer":\t"a/b"}',
    ],
)
def test_escapes_hide_nobody(texts: Texts, line: str) -> None:
    """Hard case 8: escapes in a value or in a field's name, and any spacing, are seen through."""
    other = b'{"event_id":"y","customer":"a\\/c","note":"\\u0061/b"}\n'
    assert texts.without(EVENTS, other + line.encode() + b"\n" + other, number("a/b")) == other * 2


NUMBERS: dict[str, object] = {
    "whole": 123, "text": "123", "decimal": 123.0, "true": True, "near": 1234, "part": 123.5,
}  # fmt: skip


@pytest.mark.parametrize(
    ("equals", "meant"),
    [
        ({}, {"whole", "text"}),
        ({"customer": "both"}, {"whole", "text"}),
        ({"customer": "text"}, {"text"}),
        ({"customer": "number"}, {"whole"}),
        ({"customer": "decimal"}, {"whole", "text", "decimal"}),
    ],
)
def test_what_a_number_equals_the_map_says(
    texts: Texts, equals: dict[str, str], meant: set[str]
) -> None:
    """Hard case 9: 123, "123" and 123.0 are what the map says they are; true is never 1."""
    records = {name: lines([event(name, value)]) for name, value in NUMBERS.items()}  # type: ignore[arg-type] # any id will do
    records["written"] = b'{"event_id":"w","customer":1.23e2}\n'
    meant = meant | ({"written"} if "decimal" in meant else set())
    left = texts.without(events(equals=equals), b"".join(records.values()), number("123"))
    assert left == b"".join(raw for name, raw in records.items() if name not in meant)
    ones = lines([event(1, True), event(2, [1]), event(3, {"customer": 1})])
    assert texts.without(events(equals=equals), ones, number("true"), "b") == ones


def test_numbers_keep_their_last_digit(texts: Texts) -> None:
    """Hard case 9: ids above 2**53 and above 64 bits are compared digit by digit, 1.0 forms too."""
    for huge in (2**53 + 1, 2**70 + 1):
        spelled = [
            f'{{"event_id":"e","customer":{huge + n}{tail}}}\n'.encode()
            for n in (-1, 0, 1)
            for tail in ("", ".0")
        ]
        left = texts.without(
            events(equals={"customer": "decimal"}), b"".join(spelled), number(str(huge))
        )
        assert left == b"".join(spelled[:2] + spelled[4:])


def test_addresses_are_equal_as_the_canonicaliser_says(texts: Texts) -> None:
    """Hard case 10: ASCII case folds, other letters and plus tags count, NFC and NFD are one."""
    mail = replace(EVENTS, takes={"email": Taken("mail", Form.ASCII_CASE)})
    written = {
        "same": "J\u00f6rg+x@Shop.Example",
        "decomposed": "Jo\u0308rg+x@shop.example",
        "no tag": "j\u00f6rg@shop.example",
        "capital": "J\u00d6rg+x@shop.example",
        "plain": "jorg+x@shop.example",
    }
    for ascii_only in (True, False):
        records = {
            name: json.dumps({"event_id": name, "mail": text}, ensure_ascii=ascii_only).encode()
            + b"\n"
            for name, text in written.items()
        }
        joerg = person("j", ("email", "j\u00f6rg+x@shop.example"))
        left = texts.without(mail, b"".join(records.values()), joerg)
        stays = [raw for name, raw in records.items() if name not in ("same", "decomposed")]
        assert left == b"".join(stays)


def test_odd_lines_stay_and_are_reported(texts: Texts) -> None:
    """Hard case 11: blank lines, a damaged one, no newline at the end: all as they were."""
    broken = b'{"event_id":"x","customer":"1", "note":"anna@shop.ex'
    body = b"\n" + MINE + b"  \r\n" + broken + b"\n" + OTHER + MINE.rstrip(b"\n")
    left = texts.without(EVENTS, body, number("1"))
    assert left == b"\n  \r\n" + broken + b"\n" + OTHER
    shopper = person("s", ("email", "anna@shop.ex"))
    told = list(texts.made(EVENTS).mentions([shopper], TrialContext()))
    assert [m.field for m in told] == ["(unreadable line)"]


@pytest.mark.parametrize("emptied", ["keep", "erase"])
def test_a_damaged_line_stays_where_no_record_does(texts: Texts, emptied: str) -> None:
    """Hard case 11, 14: what is left is no record, and none that anybody may let go or stop at."""
    broken = b'{"event_id":"x","customer":"1", "note":"anna@shop.ex\n'
    assert texts.without(events(emptied=emptied), MINE + broken, number("1")) == broken


def test_owners_within_lists_of_objects(texts: Texts) -> None:
    """Hard case 12: a path goes into objects, with `[]` into each element of a list as well."""
    nested = replace(EVENTS, takes={"customer_number": Taken("trip.people[].id")})
    mine: dict[str, object] = {"event_id": "a", "trip": {"people": [{"id": "2"}, {"id": 1}]}}
    others: list[dict[str, object]] = [
        {"event_id": "b", "trip": {"people": [{"id": "11"}, {"guest": {"id": "1"}}, "1"]}},
        {"event_id": "c", "trip": {"people": {"id": "1"}}, "id": "1"},
        {"event_id": "d", "trip": None},
        {"event_id": "e", "trip": {"people": [["1"]]}},
    ]
    left = texts.without(nested, lines([others[0], mine, *others[1:]]), number("1"))
    assert left == lines(others)
    listed = replace(EVENTS, takes={"customer_number": Taken("ids[]")})
    rows = lines([{"event_id": "a", "ids": ["1", 2]}, {"event_id": "b", "ids": "1"}])
    assert texts.without(listed, rows, number("1"), "b") == rows.splitlines(keepends=True)[1]


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("keeps", ["none", "all"])
def test_an_emptied_object_goes_where_the_map_says_so(
    texts: Texts, pack: Callable[[bytes], bytes], keeps: str
) -> None:
    """Hard case 14: without records left it goes, versions and all; a header is no record."""
    if keeps == "all":
        versioned(texts.client, texts.name)
    table = exports(emptied="erase")
    mine = b"row_id,email\n1,anna@shop.example\n"
    texts.put(table, pack(mine), "mine")
    both = texts.put(table, pack(mine + b"2,bo@shop.example\n"), "both")
    bare = texts.put(table, pack(b"row_id,email\n"), "bare")
    assert outcomes(erased(texts.made(table), [ANNA], TrialContext())) == {"erased": 2}
    left = content(texts.client, texts.name)
    assert {key for (key, _), body in left.items() if body != b"(marker)"} == {both, bare}
    assert not list(texts.made(table).locate([ANNA], TrialContext(second_path=True)))


@pytest.mark.parametrize(
    ("collection", "body", "left"),
    [
        (EXPORTS, b"row_id,email\n1,anna@shop.example\n", b"row_id,email\n"),
        (EVENTS, b'[{"user":{"email":"anna@shop.example"}}]', b"[]"),
        (EVENTS, b'{"user":{"email":"anna@shop.example"}}\n', b""),
    ],
    ids=["csv", "list", "lines"],
)
def test_an_emptied_object_stays_where_the_map_says_nothing(
    texts: Texts, collection: Collection, body: bytes, left: bytes
) -> None:
    """Hard case 14: by default what is no record stays: a header, brackets, nothing."""
    assert texts.without(collection, body, ANNA) == left


def test_a_mention_is_reported_and_stays(texts: Texts) -> None:
    """Hard case 15: another's record that names the person in a text, a list or a comment stays."""
    bodies = {
        "lines": lines([event(1, "2", note="for anna@shop.example")]),
        "list": b'[{"event_id":"e2","customer":"2","note":"anna@shop.example"}]',
    }
    for key, body in bodies.items():
        assert texts.without(EVENTS, body, ANNA, key) == body
    told = {m.key for m in texts.made(EVENTS).mentions([ANNA], TrialContext())}
    assert told == {("events/lines", "e1"), ("events/list", "e2")}
