"""The search in C tells what an automaton tells, whatever the bytes, and little more."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.s3.formats.field_needles import Asked, Numbers, Spelling, _Field
from connectors.s3.formats.native import Scan
from tests.examples import examples
from tests.native_scan import searched_by

VALUES = ["7", "0", "-7", "a:7", "id", "12345", "cus_0012345@shop", "1" * 16, "9" * 40]
MAILS = ["k@x", "anna@shop.example", "ab@shop.example", "\u00e4@x"]
NAMES = ["id", "customer", "aaa", "\u00e4"]
numbers = st.sampled_from(Numbers)
spellings = st.sampled_from([Spelling.EXACT, Spelling.FOLDED])
people = st.lists(st.sampled_from([*VALUES, *MAILS]), min_size=4, unique=True)
names = st.sampled_from(NAMES)
SIGNS = ['"', ":", " ", ",", "}", "]", "{", "[", "\\", "\n", "\t", "\u00e4", "\u212a", "\u3002"]
pieces = st.one_of(
    st.sampled_from([f'{name}"' for name in NAMES]),
    st.sampled_from([f'"{name}":' for name in NAMES]),
    st.sampled_from([*VALUES, *MAILS, *map(str.upper, MAILS), "null", "true", "NaN"]),
    st.sampled_from(SIGNS),
    st.sampled_from([".0", ".", "e", "+", "-", "7", "0", "x"]),
    st.sampled_from([f'"{value}"' for value in (*VALUES, *MAILS)]),
)
soups = st.lists(pieces, max_size=40).map("".join)
NUMERALS = ["-0", "-7", "7.0", "8e0", "8.5", "-0.0", "8.0", "8.00", "70", "7e0", "-", "NaN"]
TEXTS = [
    "7\\u0030",
    "a\u0308@x",
    " anna@shop.example ",
    "\u212a@X",
    "ANNA@shop\u3002example",
    "a:7x",
]
WRITTEN = [*VALUES, *NUMERALS, *(f'"{text}"' for text in (*VALUES, *MAILS, *TEXTS)), '"a:7', "[7]"]
BEFORE = [":", ": ", ":  ", ":\t", " :", ""]
BEHIND = [",", "}", "\n", " ", ""]


@pytest.fixture(scope="module", autouse=True)
def _by_the_library() -> Iterator[None]:
    with searched_by("library"):
        yield


def _field(name: str, asked: Asked) -> _Field:
    return _Field(name.encode(), asked, "utf-8")


def _scan(field: _Field, telling: bytes = b"") -> Scan:
    scan = field.scan(telling)
    assert scan is not None
    return scan


@settings(max_examples=examples(600))
@given(names, people, spellings, numbers, st.booleans(), soups, st.integers(0, 80))
def test_whatever_an_automaton_tells_is_told(
    name: str,
    values: list[str],
    spelling: Spelling,
    which: Numbers,
    texts: bool,  # noqa: FBT001 - hypothesis passes by position
    soup: str,
    cut: int,
) -> None:
    """JSON or not, cut anywhere: no place is missed, and each is one where the name stands."""
    field = _field(name, Asked(name, frozenset(values), spelling, which, texts))
    block = soup.encode()[: len(soup.encode()) - cut or None]
    told = _scan(field, block).places(block)
    automata = list(field.patterns(escaped=True))
    assert {m.start() for one in automata for m in one.finditer(block)} <= set(told)
    stands = [match.start() for match in re.finditer(re.escape(field.name + b'"'), block)]
    assert told == sorted(set(told) & set(stands))


@pytest.mark.parametrize("values", [[*VALUES, *MAILS[:3]], [*VALUES, *MAILS]], ids=["ascii", "all"])
@pytest.mark.parametrize("spelling", [Spelling.EXACT, Spelling.FOLDED])
@pytest.mark.parametrize("which", Numbers)
def test_each_way_to_write_a_value_is_told_alike(
    values: list[str], spelling: Spelling, which: Numbers
) -> None:
    """Whatever stands around a number or a text: what an automaton tells is told."""
    field = _field("id", Asked("id", frozenset(values), spelling, which))
    scan, automata = _scan(field), list(field.patterns(escaped=True))
    signs = list(field.alike())
    for before, written, behind in product(BEFORE, WRITTEN, BEHIND):
        block = f'{{"id"{before}{written}{behind}'.encode()
        told = any(True for one in automata for _ in one.finditer(block))
        told = told or any(sign in block for sign in signs)
        assert 2 in scan.places(block) or not told, block


@settings(max_examples=examples(300))
@given(
    people,
    spellings,
    st.lists(
        st.one_of(
            st.sampled_from([*VALUES, "anna@SHOP.example", " 7", "a:77", "8", ""]),
            st.sampled_from([7, 0, -7, 8, 12345, 123456, 7.5, None, True, ["7"], {"a": 7}]),
        ),
        max_size=12,
    ),
    st.sampled_from([(",", ":"), (", ", ": ")]),
)
def test_strangers_pass_unread(
    values: list[str], spelling: Spelling, written: list[object], between: tuple[str, str]
) -> None:
    """Of records in plain ASCII exactly those are told whose field says one of the values."""
    lines = [json.dumps({"a": 1, "id": v, "b": "x"}, separators=between) + "\n" for v in written]
    block = "".join(lines).encode()
    scan = _scan(_field("id", Asked("id", frozenset(values), spelling)))
    known = {value.lower() if spelling is Spelling.FOLDED else value for value in values}
    told = [block.count(b"\n", 0, place) for place in scan.places(block)]
    assert told == [n for n, value in enumerate(written) if _text(value, spelling) in known]


def _text(value: object, spelling: Spelling) -> str | None:
    if isinstance(value, str):
        return value.strip(" ").lower() if spelling is Spelling.FOLDED else value
    return str(value) if type(value) is int else None


@settings(max_examples=examples(200))
@given(st.lists(st.integers(0, 200), max_size=30), st.integers(0, 64), st.sampled_from(NAMES))
def test_no_place_hides_between_two_steps(gaps: list[int], behind: int, name: str) -> None:
    """However far places lie apart, and however little follows, each is told once and in order."""
    member = f'"{name}":7,'.encode()
    block = b"".join(b'"' * (gap % 7) + b"i" * gap + member for gap in gaps) + b"d" * behind
    places = _scan(_field(name, Asked(name, frozenset(["7"])))).places(block)
    assert places == [match.start() + 1 for match in re.finditer(re.escape(member), block)]


def test_more_places_than_are_told_at_once() -> None:
    """A block full of them is told to its end."""
    scan = _scan(_field("id", Asked("id", frozenset(["7"]))))
    assert scan.places(b'{"id":7}\n' * 1000) == list(range(2, 9000, 9))


def test_a_value_among_very_many_is_told() -> None:
    """As many values as wanted: each is told, and none that only looks like one."""
    values = [f"cus_{number:07d}" for number in range(0, 100_000, 2)]
    scan = _scan(_field("id", Asked("id", frozenset(values))))
    block = b"".join(b'{"id":"cus_%07d"}\n' % number for number in range(100_000))
    assert len(scan.places(block)) == len(values)
    assert scan.places(b'{"id":"cus_%07d"}' % 99_998)
    assert not scan.places(b'{"id":"cus_%07d"}' % 99_999)


def test_nobody_is_told_where_nobody_is_looked_for() -> None:
    """No values: nothing but what is odd."""
    scan = _scan(_field("id", Asked("id", frozenset())))
    assert scan.places(b'{"id":7}\n{"id":"7"}\n{"id":""}\n') == []
    assert scan.places(b'{"id":"\\u0037"}') == [2]
    assert scan.places(b"") == []


def test_one_search_serves_many_threads() -> None:
    """What several threads ask of one search at once, each is told as if it were alone."""
    scan = _scan(_field("id", Asked("id", frozenset(["7"]))))
    blocks = [b'{"id":8}\n' * at + b'{"id":7}\n' * 700 for at in range(40)]
    with ThreadPoolExecutor(8) as threads:
        told = list(threads.map(scan.places, blocks * 5))
    assert told == [list(range(2 + 9 * at, 9 * (at + 700), 9)) for at in range(40)] * 5
