"""The pre-filter of shared objects never changes whose a record is, whatever bytes it stands in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.s3.formats.csv import CsvEntry, csv
from connectors.s3.formats.csv_dialect import Dialect
from connectors.s3.formats.ndjson import JsonEntry, ndjson
from connectors.s3.formats.text import Lines, raw_of, split
from connectors.s3.formats.wanted import Wanted
from connectors.s3.reading.owners import Owners
from dsr_worker.contract import Collection, Field, Form, Identity, Subject, Taken
from dsr_worker.testing.context import TrialContext
from tests.examples import examples
from tests.native_scan import ROADS, searched_by

EXACT = ["7", "77", "0", "-7", "7.0", "a/b", "a", "true", "7, 8"]
MAILS = ["anna@shop.example", "k@shop.example", "ann@shop.example"]
SPELLED = [
    *MAILS,
    "Anna@Shop.Example",
    " anna@shop.example\t",
    "\u212a@shop.example",  # KELVIN SIGN, which means no K
    "anna@shop\u3002example",  # a full stop between labels
    "anna@shop\uff0eexample",
    "joanna@shop.example",
    "ärger@shop.example",
    "",
]
COLLECTION = Collection(
    "events",
    ("id",),
    {name: Field(name, "user") for name in ("id", "number", "mail")},
    takes={"number": Taken("number"), "mail": Taken("mail", Form.ASCII_CASE)},
)
EXACTLY = Collection("events", ("id",), COLLECTION.fields, takes={"number": Taken("number")})

values = st.one_of(
    st.sampled_from([*EXACT, *SPELLED]),
    st.sampled_from([7, 77, 0, -7, 7.0, True, None, 10**18 + 7, [7], {"a": 7}]),
    st.text(alphabet='7a/\\"\n\r .,:äK', max_size=4),
)
records = st.fixed_dictionaries({"id": values, "number": values, "mail": values, "note": values})
people = st.lists(
    st.one_of(
        st.sampled_from([Identity("number", value) for value in EXACT]),
        st.sampled_from([Identity("mail", value) for value in MAILS]),
    ),
    min_size=1,
    max_size=6,
    unique=True,
)


@pytest.fixture(scope="module", autouse=True, params=ROADS)
def _road(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever holds here holds with the library and without it."""
    with searched_by(request.param):
        yield


class _Context(TrialContext):
    """Compares e-mail addresses as the engine does."""

    def canonical(self, kind: str, value: str) -> str | None:
        return super().canonical("email" if kind == "mail" else kind, value)


def _owners(collection: Collection, identities: list[Identity]) -> Owners:
    subjects = [Subject(str(n), (identity,)) for n, identity in enumerate(identities)]
    return Owners(collection, subjects, _Context())


def _chunks(body: bytes, size: int) -> Iterator[bytes]:
    return (body[at : at + size] for at in range(0, len(body), size))


def _looked_at(wanted: Wanted | None, block: bytes) -> list[bytes]:
    assert wanted is not None
    needles = wanted.json_needles()
    assert needles is not None
    lines = Lines(block, 0, len(block))
    return [bytes(line) for line, looks in split(lines, needles) if looks]


def _escaped(text: str) -> str:
    return "".join(f"\\u{ord(c):04x}" for c in text)


WRITTEN = {
    "as it is": '"anna@shop.example"',
    "in capitals": '"ANNA@SHOP.EXAMPLE"',
    "escaped": f'"{_escaped("anna@shop.example")}"',
    "escaped in part": '"anna\\u0040shop.example"',
    "with another dot": '"anna@shop\u3002example"',
    "between blanks": '" \\tanna@shop.example\\n "',
}
WHOLE = {
    "a string": '"77"',
    "a number": "77",
    "a number at the end": "77}",
    "escaped": '"\\u0037\\u0037"',
    "with a slash": '"a\\/b"',
}


@pytest.mark.parametrize("text", WRITTEN.values(), ids=WRITTEN)
def test_an_address_is_found_however_it_is_written(text: str) -> None:
    """The line is looked at, and nothing else of the object is."""
    line = f'{{"id": 1, "mail": {text}}}\n'.encode()
    other = b'{"id": 2, "mail": "joan@shop.example"}\n'
    wanted = _owners(COLLECTION, [Identity("mail", MAILS[0])]).wanted()
    assert _looked_at(wanted, other + line + other) == [line]


@pytest.mark.parametrize("text", WHOLE.values(), ids=WHOLE)
def test_an_exact_value_is_found_however_it_is_written(text: str) -> None:
    """A short value within another says nothing, nor does it hide a longer one."""
    line = f'{{"id": 1, "number": {text}{"" if text.endswith("}") else "}"}\n'.encode()
    other = b'{"id": 1770, "number": "x77", "at": "1977-07-07"}\n'
    people = [Identity("number", value) for value in ("7", "77", "a/b")]
    wanted = _owners(EXACTLY, people).wanted()
    assert _looked_at(wanted, other + line + other) == [line]


@settings(max_examples=examples(400))
@given(
    st.lists(records, max_size=10),
    people,
    st.sampled_from([COLLECTION, EXACTLY]),
    st.booleans(),
    st.sampled_from([(", ", ": "), (",", ":"), (" ,\t", "\t:")]),
    st.sampled_from([5, 64, 4096]),
)
def test_ndjson_names_whom_full_parsing_names(
    found: list[dict[str, object]],
    identities: list[Identity],
    collection: Collection,
    ascii_only: bool,  # noqa: FBT001 - hypothesis passes by position
    between: tuple[str, str],
    size: int,
) -> None:
    """Owners are the same with and without needles, and every byte comes out again."""
    body = b"".join(
        json.dumps(r, ensure_ascii=ascii_only, separators=between).encode() + b"\n" for r in found
    )
    owners = _owners(collection, identities)

    def named(wanted: Wanted | None) -> list[tuple[bytes, dict[str, str]]]:
        pieces = list(chain.from_iterable(ndjson().pieces(_chunks(body, size), wanted)))
        assert b"".join(map(raw_of, pieces)) == body
        entries = (piece for piece in pieces if isinstance(piece, JsonEntry))
        return [(e.raw, told) for e in entries if (told := owners.of(e))]

    assert named(owners.wanted()) == named(None)


cells = st.one_of(
    st.sampled_from([*EXACT, *SPELLED]), st.text(alphabet='7a/" .ä', max_size=4)
).filter(lambda text: not set(text) & set("\r\n"))


@settings(max_examples=examples(200))
@given(st.lists(st.tuples(cells, cells, cells), max_size=10), people, st.sampled_from([7, 4096]))
def test_csv_names_whom_full_parsing_names(
    rows: list[tuple[str, str, str]], identities: list[Identity], size: int
) -> None:
    """The same for CSV, quoted fields among others."""
    quoted = [
        ['"' + c.replace('"', '""') + '"' if set(c) & set('",') else c for c in row] for row in rows
    ]
    body = "".join(",".join(row) + "\n" for row in [["id", "number", "mail"], *quoted]).encode()
    owners = _owners(COLLECTION, identities)

    def named(wanted: Wanted | None) -> list[tuple[bytes, dict[str, str]]]:
        blocks = csv(Dialect(), ["number", "mail"]).pieces(_chunks(body, size), wanted)
        pieces = list(chain.from_iterable(blocks))
        assert b"".join(map(raw_of, pieces)) == body
        entries = (piece for piece in pieces if isinstance(piece, CsvEntry))
        return [(e.raw, told) for e in entries if (told := owners.of(e))]

    assert named(owners.wanted()) == named(None)
