"""What is of others stays out of a package, what is withheld is told, portability is a part."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from dsr_worker.contract import Attachment, Field, Key, Record, Withheld
from dsr_worker.package import Contents, PackageRefused, Source, WithheldPart, verify_package
from dsr_worker.spool import KeySpool, RecordSpool, read_keys, read_records
from dsr_worker.store import LocalStore
from tests.unit.package_contents import (
    AT,
    CASE,
    KEY,
    ORDINARY,
    TEXTS,
    Item,
    Page,
    build,
    collection,
    contents,
    members,
    system,
)


def test_what_is_withheld_is_told_without_content() -> None:
    """Everything left out is counted with place and ground, from connectors and from the case."""
    item = replace(ORDINARY, withheld=(Withheld("agent", "AC_RIGHTS_OF_OTHERS", 2),))
    more = WithheldPart("helpdesk", "comments", "contested", 3)
    package = build(
        replace(contents(item, item), withheld=[more], limits=["contested-phone", "odd"])
    )
    told = json.loads(members(package)["withheld.json"])
    assert [(w["system"], w["collection"], w["field"], w["values"]) for w in told["withheld"]] == [
        ("helpdesk", "comments", "", 3),
        ("shop", "orders", "agent", 4),
    ]
    contested, odd = told["limits"]
    assert (contested["code"], odd) == ("contested-phone", {"code": "odd", "explanation": "odd"})
    text = Page(members(package)["index.html"]).text
    assert "(Telephone number) could belong to you or to someone else" in text
    assert "about other people, whose rights would be affected (Art. 15(4), 20(4) GDPR)" in text


def test_a_part_of_a_text_is_not_called_the_whole_field() -> None:
    """Where places within a text were replaced, the answer says a part; where it is gone, whole."""
    texts = collection("orders", Field("text", "user.content", free_text=True))
    body = b'{"id":1,"text":"[withheld] and [withheld]","doc":{"b":"[withheld]"}}'
    left_out = tuple(
        Withheld(field, "AC_RIGHTS_OF_OTHERS", count)
        for field, count in (("text", 2), ("doc->>b", 1), ("agent", 1))
    )
    found = members(build(contents(Item("orders", ("1",), body, left_out), of=system(texts))))
    told = json.loads(found["withheld.json"])["withheld"]
    assert {w["field"]: w["extent"] for w in told} == {
        "text": "part",
        "doc->>b": "part",
        "agent": "whole",
    }
    page = Page(found["index.html"]).text
    assert "a part of the text (2 \N{MULTIPLICATION SIGN}); the rest is there" in page
    assert "the whole field (1 \N{MULTIPLICATION SIGN})" in page


def test_what_was_not_looked_for_in_texts_is_said() -> None:
    """A package with free texts names where they are, and that names alone were not looked for."""
    texts = collection("orders", Field("text", "user.content", free_text=True))
    item = Item("orders", ("1",), b'{"id":1,"text":"Ida was there."}')
    of = system(texts, collection("carts"))
    found = members(build(contents(item, replace(ORDINARY, collection="carts"), of=of)))
    free = json.loads(found["withheld.json"])["free_texts"]
    assert free == [{"system": "shop", "collection": "orders", "records": 1}]
    page = Page(found["index.html"]).text
    assert "Names that no system could tell us" in page
    assert "shop, orders: 1" in page
    without = members(build(contents(replace(ORDINARY, collection="carts"), of=of)))
    assert "Names that no system could tell us" not in Page(without["index.html"]).text


@pytest.mark.parametrize(
    ("body", "left"),
    [
        (b'{"id":1,"agent":"MARKER"}', {"id": 1}),
        (b'{"id":1,"\\u0061gent":"MARKER"}', {"id": 1}),
        (b'{"id":1,"doc":{"cc":{"to":"MARKER"},"x":2}}', {"id": 1, "doc": {"cc": {}, "x": 2}}),
        (b'{"id":1,"doc->cc->>to":"MARKER"}', {"id": 1}),
        ('{"id":1,"größe":"MARKER"}'.encode(), {"id": 1}),
        (b'{"id":1,"doc":"agent"}', {"id": 1, "doc": "agent"}),
        (b'{"id":1,"agent":"MARKER","agent":null}', {"id": 1}),
        (b'{"id":1,"agent":null}', {"id": 1}),
        (
            b'{"id":1,"doc":{"cc":{"to":"MARKER","to":null},"x":2}}',
            {"id": 1, "doc": {"cc": {}, "x": 2}},
        ),
        (
            b'{"id":1,"doc->cc->>to":null,"doc":{"cc":{"to":"MARKER"}}}',
            {"id": 1, "doc": {"cc": {}}},
        ),
        (
            b'{"id":1,"doc->cc->>to":"MARKER","doc":{"cc":{"to":"MARKER"}}}',
            {"id": 1, "doc": {"cc": {}}},
        ),
    ],
)
def test_other_peoples_fields_never_get_in(body: bytes, left: dict[str, object]) -> None:
    """A field mapped as third party stays out although a connector let it through, and counts."""
    _without_others(body, left, 1 if b"MARKER" in body else 0)


@pytest.mark.parametrize(
    ("body", "left"),
    [
        (b'{"id":1,"doc":{"cc":{"to":"MARKER"}},"doc":{}}', {"id": 1, "doc": {}}),
        (b'{"id":1,"doc":{"cc":{"to":"MARKER"}},"doc":"to"}', {"id": 1, "doc": "to"}),
    ],
)
def test_an_object_that_is_hidden_by_its_own_name_stays_out(
    body: bytes, left: dict[str, object]
) -> None:
    """Of a key that stands twice only the last is handed out; what it hid is nowhere."""
    _without_others(body, left, 0)


def _without_others(body: bytes, left: dict[str, object], values: int) -> None:
    fields = (
        Field("agent", "user.name", third_party=True),
        Field("doc->cc->>to", "user.contact.email", third_party=True),
        Field("größe", "user.name", third_party=True),
    )
    item = Item("orders", ("1",), body)
    package = build(contents(item, of=system(collection("orders", *fields))))
    found = members(package)
    assert not any(b"MARKER" in data for data in found.values())
    assert json.loads(found["data/shop/orders.json"]) == [left]
    counted = json.loads(found["withheld.json"])["withheld"]
    assert sum(w["values"] for w in counted) == values


def test_half_a_surrogate_pair_makes_no_package_impossible(tmp_path: Path) -> None:
    """Texts, names and keys that were cut within a sign are spooled, packed and shown."""
    half = "\ud83d"
    store = LocalStore(tmp_path)
    body = json.dumps({"id": half, "agent": "MARKER", "name": f"cut {half}"}).encode()
    file = Attachment(f"cut {half}.txt", "text/plain", lambda: iter([b"content"]))
    with RecordSpool(store, "records/1", {"a": KEY}) as spool:
        spool.add(Record("a", "orders", (half,), body, file))
        frame = spool.finish()["a"]
    (record,) = read_records(store, frame, KEY)
    assert record.key == (half,)
    with KeySpool(store, "keys/1", {"a": KEY}) as keys:
        keys.add(Key("a", "orders", (half,)))
        located = keys.finish()["a"]
    assert list(read_keys(store, located, KEY, "a")) == [Key("a", "orders", (half,))]
    of = system(collection("orders", Field("agent", "user.name", third_party=True)))
    package = build(Contents(CASE, TEXTS, [Source(of, lambda: (record,), AT)]))
    assert verify_package(io.BytesIO(package)) == []
    found = members(package)
    assert json.loads(found["data/shop/orders.json"]) == [{"id": half, "name": f"cut {half}"}]
    assert found["attachments/shop/orders/000001.txt"] == b"content"


def test_a_refusal_names_system_and_collection() -> None:
    """Whoever has to mend a record is told where it lies."""
    with pytest.raises(PackageRefused) as refused:
        build(contents(Item("orders", ("1",), b"\xff")))
    assert refused.value.fields == {"system": "shop", "collection": "orders"}


def test_portability_hands_out_what_is_portable() -> None:
    """A portability request gets the portable collections and is told of the others."""
    case = replace(CASE, kind="portability")
    other = Item("carts", ("1",), b'{"id":"MARKER"}')
    made = replace(contents(ORDINARY, other, case=case), portable=frozenset({("shop", "orders")}))
    found = members(build(made))
    assert json.loads(found["portable/shop/orders.json"]) == [{"id": 1, "name": "Anna"}]
    assert not any(b"MARKER" in data for data in found.values())
    (told,) = json.loads(found["withheld.json"])["withheld"]
    assert (told["collection"], told["ground"], told["values"]) == ("carts", "not_portable", 1)
