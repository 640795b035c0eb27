"""Other people's addresses stay out of what a person is given; their own stay in."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from dsr_worker.contract import Collection, Field, Identity, Record, Subject, Withheld, body_of
from dsr_worker.fulfil.withholding import PLACE, addresses, without_strangers

NOTES = Collection(
    "notes",
    ("id",),
    {
        "id": Field("id", "user.unique_id"),
        "email": Field("email", "user.contact.email"),
        "text": Field("text", "user.content", free_text=True),
    },
)
MARA = Subject("a", (Identity("email", "mara@mail.example"),))


def given(text: object) -> Record:
    """A record with a free text."""
    body = {"id": 1, "email": "old@mail.example", "text": text}
    return Record("a", "notes", ("1",), json.dumps(body).encode())


def test_a_strangers_address_goes_and_is_counted() -> None:
    """Each foreign address in a free text is replaced; the person's own stays, in any case."""
    shown = without_strangers(
        given("Mara@mail.example wrote to <ida@mail.example>, and to ida@mail.example."),
        NOTES,
        MARA,
    )
    text = json.loads(shown.body)["text"]
    assert text == f"Mara@mail.example wrote to <{PLACE}>, and to {PLACE}."
    assert shown.withheld == (Withheld("text", "AC_RIGHTS_OF_OTHERS", 2),)


def test_other_fields_are_the_maps_business() -> None:
    """A field that is no free text is shown as it is."""
    assert (
        json.loads(without_strangers(given("x"), NOTES, MARA).body)["email"] == "old@mail.example"
    )


def test_nothing_to_withhold_leaves_the_record_alone() -> None:
    """Texts without an address, empty ones and other types pass untouched."""
    for text in ("half @ price", "", None, 7, "mara@mail.example"):
        record = given(text)
        assert without_strangers(record, NOTES, MARA) is record


def test_strangers_go_from_any_depth() -> None:
    """A free text that is a list or an object loses foreign addresses in each value and key."""
    said: object = [
        {"from": "ida@mail.example", "body": ["call mara@mail.example", 7, None, True]},
        {"read by": {"ida@mail.example": 1, "udo@mail.example": 2, PLACE: 3}},
    ]
    shown = without_strangers(given(said), NOTES, MARA)
    assert json.loads(shown.body)["text"] == [
        {"from": PLACE, "body": ["call mara@mail.example", 7, None, True]},
        {"read by": {f"{PLACE} 2": 1, f"{PLACE} 3": 2, PLACE: 3}},
    ]
    assert shown.withheld == (Withheld("text", "AC_RIGHTS_OF_OTHERS", 3),)


def test_a_free_text_within_a_document_is_found_by_its_path() -> None:
    """A map names `note->>text` for a text inside a document; its neighbours are not touched."""
    name = "note->>text"
    documents = Collection("notes", ("id",), {name: Field(name, "user.content", free_text=True)})
    for note, left in (
        ({"text": "to ida@mail.example", "by": "x@mail.example"}, f"to {PLACE}"),
        ({"text": ["ida@mail.example"], "by": "x@mail.example"}, [PLACE]),
    ):
        body = json.dumps({"id": 1, "note": note}).encode()
        shown = without_strangers(Record("a", "notes", ("1",), body), documents, MARA)
        assert json.loads(shown.body)["note"] == {"text": left, "by": "x@mail.example"}
        assert shown.withheld == (Withheld(name, "AC_RIGHTS_OF_OTHERS", 1),)
    others: tuple[object, ...] = (None, [], "ida@mail.example")
    for other in others:
        body = json.dumps({"id": 1, "note": other}).encode()
        record = Record("a", "notes", ("1",), body)
        assert without_strangers(record, documents, MARA) is record


def test_the_rest_of_a_record_stays_as_it_is() -> None:
    """Big numbers and broken characters survive; an escaped `@` hides no address."""
    body = rb'{"id":123456789012345678901234567890,"text":"\ud800 ida\u0040mail.example"}'
    shown = without_strangers(Record("a", "notes", ("1",), body), NOTES, MARA)
    row = json.loads(shown.body.decode("utf-8", "surrogatepass"))
    assert row == {"id": 123456789012345678901234567890, "text": f"\ud800 {PLACE}"}


# ---- what an address is, and how long it takes to see

# The rule in one line; it takes quadratic time, so it is said here and never run on a long text.
_RULE = re.compile(r"""[^\s@<>()\[\]{}",;:']+@[^\s@<>()\[\]{}",;:']+\.[^\s@<>()\[\]{}",;:'.!?]+""")


@drawn(st.text(st.sampled_from("ab@.!?<>,;:' \n\u00e4"), max_size=40))
def test_addresses_are_those_of_the_rule(text: str) -> None:
    """Whatever stands around an `@`, it is an address exactly where the one-line rule says so."""
    assert list(addresses(text)) == [found.span() for found in _RULE.finditer(text)]


def test_a_part_of_any_length_goes_whole() -> None:
    """An address longer than mail allows leaves no rest of itself behind."""
    long = f"{'a' * 400}@{'b' * 400}.example"
    shown = without_strangers(given(f"from {long}, today"), NOTES, MARA)
    assert json.loads(shown.body)["text"] == f"from {PLACE}, today"


@pytest.mark.parametrize(
    "made",
    [
        lambda n: "a@b.example " + "A" * n,
        lambda n: "A" * n + "@",
        lambda n: "a@" + "b" * n,
        lambda n: "a@" + "b." * (n // 2),
        lambda n: "@" * n,
        lambda n: "a@b.c!" * (n // 6),
        lambda n: "a@" + "\u00e4" * n + ".example",
    ],
    ids=["run", "run-before", "run-after", "dots", "ats", "many", "not-ascii"],
)
def test_time_grows_with_the_text_and_no_faster(made: Callable[[int], str]) -> None:
    """Eight times the text takes about eight times the time, not sixty-four times."""

    def took_s(size: int) -> float:
        record, times = given(made(size)), []
        for _ in range(5):
            began = time.process_time()
            without_strangers(record, NOTES, MARA)
            times.append(time.process_time() - began)
        return min(times)

    took_s(1_000)
    assert took_s(80_000) < 8 * 3 * took_s(10_000)


def test_half_a_surrogate_pair_stays_valid_utf8() -> None:
    """A text cut within a sign stays what it says, in a body that every reader can read."""
    content = {"text": "Grüße \ud83d cut", "b": 1}
    assert json.loads(body_of(content).decode()) == content
    shown = without_strangers(given("ida@mail.example \ud83d cut"), NOTES, MARA)
    assert json.loads(shown.body.decode())["text"] == f"{PLACE} \ud83d cut"
