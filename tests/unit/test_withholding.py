"""Other people's addresses stay out of what a person is given; their own stay in."""

from __future__ import annotations

import json

from dsr_worker.contract import Collection, Field, Identity, Record, Subject, Withheld
from dsr_worker.fulfil.withholding import PLACE, without_strangers

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
