"""The access package: whole, safe to open, and saying no more than it may."""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import BinaryIO, cast

import pyrage  # type: ignore[import-untyped]  # ships no types
import pytest
import pyzipper
from hypothesis import given, settings
from hypothesis import strategies as st

from dsr_worker.contract import Attachment, Collection, Field, Key, Record, System, Withheld
from dsr_worker.package import (
    CaseFacts,
    Contents,
    Method,
    OrganisationTexts,
    PackageRefused,
    Source,
    WithheldPart,
    hand_over,
    missing_texts,
    new_passphrase,
    verify_package,
    write_package,
)
from dsr_worker.package.archive import Names
from dsr_worker.package.records import _HELD_BYTES
from dsr_worker.package.texts import languages
from dsr_worker.spool import KeySpool, RecordSpool, read_keys, read_records
from dsr_worker.store import LocalStore
from dsr_worker.vault import CaseKey, SealBroken, SealingWriter, opening

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = CaseKey(b"k" * 32)
CASE = CaseFacts("6f0c1d0a", "access", "eu-gdpr", "DE", AT, AT)
TEXTS = OrganisationTexts(
    controller="Shop GmbH",
    address="Beispielweg 1",
    contact="privacy@shop.example",
    rights="You have the right to rectification.",
    complaint="You may complain to the authority.",
    automated_decisions="There are none.",
    transfers="There are none.",
    storage={"order": "ten years"},
)


@dataclass(frozen=True)
class Item:
    """A spooled record, as far as a package knows it."""

    collection: str
    key: tuple[str, ...]
    body: bytes
    withheld: tuple[Withheld, ...] = ()
    attachment: Piece | None = None


@dataclass(frozen=True)
class Piece:
    """A spooled attachment."""

    name: str
    media_type: str
    content: bytes
    claimed: int | None = None

    @property
    def size_bytes(self) -> int:
        """The claimed size."""
        return len(self.content) if self.claimed is None else self.claimed

    def open(self) -> Iterator[bytes]:
        """The content in two parts."""
        yield self.content[:10]
        yield self.content[10:]


def collection(name: str, *fields: Field) -> Collection:
    """A collection with every text that the law asks for."""
    own = (Field("id", "user.unique_id"), Field("name", "user.name"))
    return Collection(
        name,
        ("id",),
        {f.name: f for f in (*own, *fields)},
        purpose="to deliver",
        legal_basis="Art. 6(1)(b) GDPR",
        recipients=("the parcel service",),
        origin="from you",
        record_class="order",
    )


def system(*collections: Collection, name: str = "shop") -> System:
    """A system of these collections."""
    return System(name, "postgres", {c.name: c for c in collections})


def source(items: Iterable[Item], of: System | None = None) -> Source:
    """A source that can be read again."""
    held = tuple(items)
    return Source(of or system(collection("orders"), collection("carts")), lambda: held, AT)


def build(contents: Contents) -> bytes:
    """The package's bytes, through a file that cannot seek."""
    raw = io.BytesIO()
    with SealingWriter(raw, KEY, "package") as sealed:
        write_package(cast("BinaryIO", sealed), contents)
    return opening(io.BytesIO(raw.getvalue()), KEY, "package").read()


def contents(*items: Item, case: CaseFacts = CASE, of: System | None = None) -> Contents:
    """A package of one system."""
    return Contents(case, TEXTS, [source(items, of)])


def members(package: bytes) -> dict[str, bytes]:
    """Every member's content."""
    with zipfile.ZipFile(io.BytesIO(package)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


class Page(HTMLParser):
    """The elements and attributes of a page, and its text."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the element."""
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        """Note the text."""
        self.text += data


ORDINARY = Item("orders", ("1",), b'{"id": 1, "name": "Anna"}')

# ---- what is in it


def test_a_package_is_whole_and_in_order() -> None:
    """A package verifies, holds every promised member, and ends with its manifest."""
    package = build(contents(ORDINARY))
    assert verify_package(io.BytesIO(package)) == []
    assert list(members(package)) == [
        "data/shop/orders.json",
        "data/shop/orders.html",
        "information/art15.json",
        "information/art15.html",
        "withheld.json",
        "index.html",
        "manifest.json",
    ]


def test_the_manifest_tells_the_truth() -> None:
    """The manifest names every other member with its true size and SHA-256."""
    found = members(build(contents(ORDINARY)))
    manifest = json.loads(found.pop("manifest.json"))
    assert manifest["case"] == CASE.case
    assert {m["path"]: (m["bytes"], m["sha256"]) for m in manifest["members"]} == {
        path: (len(data), hashlib.sha256(data).hexdigest()) for path, data in found.items()
    }


def test_the_same_contents_give_the_same_bytes() -> None:
    """A package is a function of its contents."""
    item = replace(ORDINARY, attachment=Piece("a.txt", "text/plain", b"hello" * 3000))
    assert build(contents(item)) == build(contents(item))


def test_bodies_are_handed_out_byte_for_byte() -> None:
    """JSON files hold each body exactly as spooled, formulas and long numbers included."""
    bodies = [
        b'{"id":1,"name":"=HYPERLINK(\\"http://x.test\\")"}',
        b'{"id":123456789012345678901234567890,"name":"+1"}',
        b'{"id":1.10,"name":"\\u0000\\ud83d\\ude00 \xc3\xa4"}',
    ]
    items = [Item("orders", (str(n),), body) for n, body in enumerate(bodies)]
    found = members(build(contents(*items)))
    assert found["data/shop/orders.json"] == b"[\n" + b",\n".join(bodies) + b"\n]\n"
    page = Page(found["data/shop/orders.html"]).text
    assert "123456789012345678901234567890" in page
    assert "1.10" in page


def test_every_searched_system_is_named() -> None:
    """A system without data is named with the time it was asked, and as incomplete if so."""
    empty = replace(source([], system(collection("logs"), name="events")), complete=False)
    both = Contents(CASE, TEXTS, [source([ORDINARY]), replace(empty, note="connector_down")])
    found = members(build(both))
    text = Page(found["index.html"]).text
    assert "no data found" in text
    assert "events: asked 1 March 2026, 12:00 (UTC), no data found" in text
    assert "This answer is incomplete (the system did not answer)" in text
    assert json.loads(found["manifest.json"])["complete"] is False


def test_information_is_tailored_to_the_person() -> None:
    """Art. 15 information covers the collections with data, each part of the article, no others."""
    found = members(build(contents(ORDINARY)))
    told = json.loads(found["information/art15.json"])
    assert [d["collection"] for d in told["data"]] == ["orders"]
    (data,) = told["data"]
    assert data["purpose"] == "to deliver"
    assert data["legal_basis"] == "Art. 6(1)(b) GDPR"
    assert data["categories"] == ["user.name", "user.unique_id"]
    assert data["category_names"] == ["name", "number that stands for the person"]
    assert data["recipients"] == ["the parcel service"]
    assert data["storage"] == "ten years"
    assert data["origin"] == "from you"
    for part in ("rights", "complaint", "automated_decisions", "transfers"):
        assert told[part] == getattr(TEXTS, part)
        assert told[part] in Page(found["information/art15.html"]).text


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


def test_a_system_that_nobody_asked_is_called_so() -> None:
    """Where the person is known by nothing, no time of asking and no empty result is claimed."""
    unasked = replace(source([], system(collection("logs"), name="events")), searched_at=None)
    both = Contents(CASE, TEXTS, [source([ORDINARY]), replace(unasked, note="not-applicable")])
    text = Page(members(build(both))["index.html"]).text
    assert "events: was not asked: we know you by nothing that this system uses" in text
    assert "logs" not in text


@pytest.mark.parametrize("language", ["en", "de"])
def test_pages_have_words_and_no_codes(language: str) -> None:
    """What a person reads has no code in it; each code stands in the JSON beside the page."""
    case = CaseFacts(
        "C-1",
        "access",
        "eu-gdpr",
        "DE",
        AT,
        AT,
        language,
        "Europe/Berlin",
        "id_card",
        (("customer_number", "resolved"), ("email", "verified"), ("phone", "contested")),
    )
    item = replace(ORDINARY, withheld=(Withheld("agent", "AC_RIGHTS_OF_OTHERS"),))
    more = WithheldPart("files", "objects", "s3-archived-object", 1, "body")
    made = replace(contents(item, case=case), withheld=[more], limits=["contested-phone"])
    found = members(build(made))
    text = " ".join(Page(page).text for name, page in found.items() if name.endswith(".html"))
    for code in (
        *("user.name", "user.unique_id", "AC_RIGHTS", "s3-archived", "contested-phone", "eu-gdpr"),
        *("customer_number", "id_card", "resolved", "T12:00:00"),
    ):
        assert code not in text, code
    for word in {
        "en": ("Germany", "General Data Protection", "Customer number (found in our systems",
               "1 March 2026, 13:00 (Europe/Berlin)", "by an identity document"),
        "de": ("Deutschland", "Datenschutz-Grundverordnung", "Kundennummer (in unseren Systemen",
               "1. März 2026, 13:00 Uhr (Europe/Berlin)", "durch einen Ausweis"),
    }[language]:  # fmt: skip
        assert word in text, word
    withheld = json.loads(found["withheld.json"])["withheld"]
    assert {w["ground"] for w in withheld} == {"AC_RIGHTS_OF_OTHERS", "s3-archived-object"}


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


def test_attachments_keep_their_content_and_lose_their_name() -> None:
    """An attachment comes byte for byte, under our name, with the original one in the manifest."""
    content = bytes(range(256)) * 50
    item = replace(ORDINARY, attachment=Piece("../../etc/<b>.PDF", "application/pdf", content))
    found = members(build(contents(item)))
    assert found["attachments/shop/orders/000001.pdf"] == content
    (entry,) = [
        m
        for m in json.loads(found["manifest.json"])["members"]
        if m["path"].startswith("attachments/")
    ]
    assert entry["original_name"] == "../../etc/<b>.PDF"
    assert entry["record"] == ["1"]
    page = Page(found["data/shop/orders.html"])
    assert ("href", "../../attachments/shop/orders/000001.pdf") in page.attributes
    assert "b" not in page.tags


# ---- hostile content

MARKUP = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "</td></table><iframe src=//x.test>",
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt;<!--",
    "]]><![CDATA[",
    "\x00\x1b[31m\x85",
]


@given(
    st.dictionaries(
        st.sampled_from(MARKUP) | st.text(max_size=8),
        st.sampled_from(MARKUP) | st.text(max_size=8) | st.lists(st.sampled_from(MARKUP)),
        max_size=4,
    )
)
@settings(max_examples=60, deadline=None)
def test_values_never_become_elements(row: dict[str, object]) -> None:
    """Whatever a row's names and values are, the page has only our elements and attributes."""
    item = Item("orders", ("1",), json.dumps(row).encode(), (), Piece(MARKUP[1], "x", b""))
    found = members(build(contents(item)))
    page = Page(found["data/shop/orders.html"])
    ours = "html head meta title style body nav a main h1 p div table thead tr th small tbody td"
    assert set(page.tags) <= set(ours.split())
    names = {name for name, _ in page.attributes}
    assert names <= {
        "lang",
        "dir",
        "charset",
        "http-equiv",
        "content",
        "name",
        "href",
        "class",
        "scope",
    }
    links = [value or "" for name, value in page.attributes if name == "href"]
    assert all(re.fullmatch(r"(\.\./)*[a-z0-9_/.-]+", link) for link in links)


def test_markup_shows_as_text() -> None:
    """Markup and template syntax in a value are shown as written, controls as a replacement."""
    rows = [json.dumps({"id": n, "name": value}).encode() for n, value in enumerate(MARKUP)]
    items = [Item("orders", (str(n),), row) for n, row in enumerate(rows)]
    text = Page(members(build(contents(*items)))["data/shop/orders.html"]).text
    for value in MARKUP[:-1]:
        assert value in text
    assert "\x1b" not in text
    assert "\ufffd\ufffd[31m\ufffd" in text


def test_pages_forbid_everything() -> None:
    """Every page carries a policy that loads nothing, and has no script and no remote part."""
    pages = [data for path, data in members(build(contents(ORDINARY))).items() if "html" in path]
    assert len(pages) == 3
    for page in pages:
        policy = dict(Page(page).attributes)["content"]
        assert b"default-src 'none'" in page or b"default-src &#39;none&#39;" in page, policy
        assert b"<script" not in page
        assert b"http://" not in page
        assert Page(page).tags.count("h1") == 1


@given(
    st.lists(st.text(max_size=30) | st.sampled_from(["CON", "nul", "..", "/", "a" * 300, "C:\\x"]))
)
@settings(max_examples=200, deadline=None)
def test_member_names_are_safe(names: list[str]) -> None:
    """Any system or collection name gives a relative, portable stem that nobody else has."""
    allocator = Names()
    stems = [allocator.stem(name) for name in names]
    assert len({stem.casefold() for stem in stems}) == len(names)
    for stem in stems:
        assert re.fullmatch(r"[a-z0-9_-]{1,80}", stem)
        assert stem not in {"con", "nul", "aux", "prn", "com1", "lpt9"}


@given(
    st.text(max_size=20),
    st.text(max_size=40),
    st.sampled_from(["x.exe", "a.svg", "b.html", "c.pdf.js"]),
)
@settings(max_examples=40, deadline=None)
def test_hostile_names_never_leave_the_package(shop: str, table: str, file: str) -> None:
    """Hostile system, collection and file names end in members that verify as safe."""
    item = Item(table, ("1",), b"{}", (), Piece(file, "text/html", b"<script>"))
    package = build(contents(item, of=system(collection(table), name=shop)))
    assert verify_package(io.BytesIO(package)) == []
    with zipfile.ZipFile(io.BytesIO(package)) as opened:
        (attached,) = [n for n in opened.namelist() if n.startswith("attachments/")]
    assert attached.endswith(".bin")


def test_a_bomb_passes_through_closed() -> None:
    """An attachment that would unpack to gigabytes is stored as it is, never opened."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("0", bytes(20_000_000))
    item = replace(ORDINARY, attachment=Piece("42.zip", "application/zip", inner.getvalue()))
    package = build(contents(item))
    assert members(package)["attachments/shop/orders/000001.zip"] == inner.getvalue()
    assert len(package) < len(inner.getvalue()) + 30_000


# ---- size and speed


def test_long_collections_are_paged() -> None:
    """1,201 rows become three linked pages and one JSON array."""
    items = [Item("orders", (str(n),), b'{"id":%d}' % n) for n in range(1201)]
    found = members(build(contents(*items)))
    pages = [p for p in found if p.startswith("data/") and p.endswith(".html")]
    assert pages == [
        "data/shop/orders.html",
        "data/shop/orders.p0002.html",
        "data/shop/orders.p0003.html",
    ]
    assert sum(Page(found[p]).tags.count("tr") - 1 for p in pages) == 1201
    assert ("href", "orders.p0002.html") in Page(found[pages[0]]).attributes
    assert ("href", "orders.html") in Page(found[pages[1]]).attributes
    assert ("href", "orders.p0004.html") not in Page(found[pages[2]]).attributes
    assert len(json.loads(found["data/shop/orders.json"])) == 1201


class Counted:
    """Counts how many of its items are alive at once, for a source too large to hold."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.reads = 0

    def __call__(self) -> Iterator[Item]:
        """Read once more."""
        self.reads += 1
        body = b'{"id":1,"name":"' + b"x" * 5000 + b'"}'
        for number in range(self.count):
            yield Item(("orders", "carts")[number % 2], (str(number),), body)


def test_a_large_source_is_read_again_instead_of_held() -> None:
    """An answer over the limit is read once per use, mixed collections come apart, bytes agree."""
    count = _HELD_BYTES // 5000 + 100
    read = Counted(count)
    made = replace(contents(), sources=[replace(source([]), read=read)])
    found = members(build(made))
    assert read.reads == 1 + 2 * 2
    for name in ("orders", "carts"):
        assert len(json.loads(found[f"data/shop/{name}.json"])) == count // 2
    small = Counted(10)
    build(replace(contents(), sources=[replace(source([]), read=small)]))
    assert small.reads == 1


def test_small_packages_are_quick() -> None:
    """A package of 30 small records over three collections costs a few milliseconds of CPU."""
    of = system(*(collection(f"c{n}") for n in range(3)))
    items = [Item(f"c{n % 3}", (str(n),), b'{"id":%d,"name":"Anna"}' % n) for n in range(30)]
    made = contents(*items, of=of)
    build(made)
    best = 1.0
    for _ in range(20):
        started = time.process_time()
        write_package(io.BytesIO(), made)
        best = min(best, time.process_time() - started)
    assert best < 0.006  # 1.4 ms on a quiet core; the bound leaves room for a busy one


# ---- refusals


def test_missing_texts_refuse_before_the_first_byte() -> None:
    """Each missing text is named with its article, and nothing is written."""
    bare = replace(collection("orders"), purpose=" ", recipients=(), record_class="unknown")
    made = contents(ORDINARY, of=system(bare))
    made = replace(made, organisation=replace(TEXTS, complaint=""))
    out = io.BytesIO()
    with pytest.raises(PackageRefused) as refused:
        write_package(out, made)
    assert out.getvalue() == b""
    for article in ("15(1)(a)", "15(1)(c)", "15(1)(d)", "15(1)(f)"):
        assert f"Art. {article}" in str(refused.value)
    assert missing_texts(TEXTS, [system(collection("orders"))]) == []
    everything = missing_texts(
        OrganisationTexts(), [System("s", "x", {"c": Collection("c", (), {})})]
    )
    assert len(everything) == 7 + 5
    assert (everything[-1].text, everything[-1].remedy[:8]) == ("storage period", "`class:`")


@pytest.mark.parametrize("body", [b"MARKER", b"[]", b'{"a":', b'"MARKER"', b"\xff"])
def test_a_record_that_is_no_object_stops_the_package(body: bytes) -> None:
    """A body that is not a JSON object refuses the package, without showing the body."""
    with pytest.raises(PackageRefused) as refused:
        build(contents(Item("orders", ("1",), body)))
    assert "shop.orders" in str(refused.value)
    assert "MARKER" not in str(refused.value)


def test_an_unmapped_collection_stops_the_package() -> None:
    """What the data map does not know is never handed out silently."""
    with pytest.raises(PackageRefused, match="data map"):
        build(contents(Item("secrets", ("1",), b"{}")))


def test_a_short_attachment_stops_the_package() -> None:
    """An attachment with another size than spooled is not handed out as whole."""
    item = replace(ORDINARY, attachment=Piece("x.txt", "text/plain", b"abc", claimed=4))
    with pytest.raises(PackageRefused, match="not whole"):
        build(contents(item))


def test_a_full_disk_leaves_no_package(tmp_path: Path) -> None:
    """When the disk is full the error comes through and nothing opens as a package."""
    full = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115 - a buffer would complain again
    with full, pytest.raises(OSError, match="No space left"):
        write_package(cast("BinaryIO", full), contents(ORDINARY))
    store = LocalStore(tmp_path)
    broken = Item("orders", ("2",), b"no object")
    with pytest.raises(PackageRefused), store.write("packages/1") as file:  # noqa: SIM117 - as the worker nests them
        with SealingWriter(file, KEY, "package") as sealed:
            write_package(cast("BinaryIO", sealed), contents(ORDINARY, broken))
    assert list(store.names()) == []
    out = io.BytesIO()
    with pytest.raises(PackageRefused):
        write_package(out, contents(ORDINARY, broken))
    assert verify_package(out) == ["The file is not a whole ZIP."]


# ---- checking


def rezipped(package: bytes, change: Callable[[dict[str, bytes]], None]) -> bytes:
    """The package with other members."""
    found = members(package)
    change(found)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as zipped:
        for name, data in found.items():
            zipped.writestr(name, data)
    return out.getvalue()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda f: f.update({"data/shop/orders.json": b"[]"}), "not what the manifest says"),
        (lambda f: f.pop("withheld.json"), "missing"),
        (lambda f: f.pop("manifest.json"), "no readable manifest"),
        (lambda f: f.update({"extra.txt": b""}), "not in the manifest"),
        (lambda f: f.update({"../up": b""}), "no name of ours"),
        (lambda f: f.update({"INDEX.html": b""}), "twice"),
        (lambda f: f.update({"index.html": f.pop("index.html")}), "not the last"),
    ],
)
def test_every_change_to_a_package_is_named(
    change: Callable[[dict[str, bytes]], None], problem: str
) -> None:
    """A changed, missing, added or moved member is found."""
    problems = verify_package(io.BytesIO(rezipped(build(contents(ORDINARY)), change)))
    assert any(problem in text for text in problems)


def test_truncated_packages_are_found() -> None:
    """A package cut at any point does not verify."""
    package = build(contents(ORDINARY))
    for cut in range(0, len(package), 97):
        assert verify_package(io.BytesIO(package[:cut]))


# ---- hand-over


@pytest.fixture
def sealed_package(tmp_path: Path) -> tuple[LocalStore, str]:
    """A sealed package in a store, made from a spool as the worker makes it."""
    store = LocalStore(tmp_path / "store")
    attached = Attachment("a.pdf", "application/pdf", lambda: iter([b"MARKER" * 30_000]))
    with RecordSpool(store, "spools/1", {"a": KEY}) as spool:
        spool.add(Record("a", "orders", ("1",), b'{"id":1,"name":"MARKER"}', attached))
        frame = spool.finish()["a"]
    of = Source(system(collection("orders")), lambda: read_records(store, frame, KEY), AT)
    with store.write("packages/1") as file, SealingWriter(file, KEY, "package") as sealed:
        write_package(cast("BinaryIO", sealed), Contents(CASE, TEXTS, [of]))
    return store, "packages/1"


def test_aes_zip_opens_with_the_passphrase_only(
    sealed_package: tuple[LocalStore, str], tmp_path: Path
) -> None:
    """The AES ZIP holds the same members, verifies when opened, and keeps others out."""
    store, name = sealed_package
    passphrase, to = new_passphrase(), tmp_path / "out.zip"
    with store.open(name) as raw:
        made = hand_over(opening(raw, KEY, "package"), to, method=Method.AES_ZIP, secret=passphrase)
    assert made.sha256 == hashlib.sha256(to.read_bytes()).hexdigest()
    assert to.stat().st_mode & 0o777 == 0o600
    assert b"MARKER" not in to.read_bytes()
    with pyzipper.AESZipFile(to) as zipped:
        assert all(
            info.wz_aes_version == 2 and info.wz_aes_strength == 3 for info in zipped.infolist()
        )
        with pytest.raises(RuntimeError):
            zipped.read("index.html")
        zipped.setpassword(b"another-passphrase")
        with pytest.raises(RuntimeError):
            zipped.read("index.html")
        zipped.setpassword(passphrase.encode())
        plain = {n: zipped.read(n) for n in zipped.namelist()}
    with store.open(name) as raw:
        assert plain == members(opening(raw, KEY, "package").read())


def test_age_opens_for_the_recipient_only(
    sealed_package: tuple[LocalStore, str], tmp_path: Path
) -> None:
    """The age file decrypts to the package itself, for its recipient and nobody else."""
    store, name = sealed_package
    person, other = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
    to = tmp_path / "out.age"
    with store.open(name) as raw:
        secret = str(person.to_public())
        hand_over(opening(raw, KEY, "package"), to, method=Method.AGE, secret=secret)
    plain = pyrage.decrypt(to.read_bytes(), [person])
    assert verify_package(io.BytesIO(plain)) == []
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(to.read_bytes(), [other])


@pytest.mark.parametrize(
    ("method", "secret"), [(Method.AES_ZIP, "short"), (Method.AGE, "age1nonsense")]
)
def test_unfit_secrets_are_refused(
    sealed_package: tuple[LocalStore, str], tmp_path: Path, method: Method, secret: str
) -> None:
    """A short passphrase or a wrong recipient leaves no file."""
    store, name = sealed_package
    folder = tmp_path / "out"
    folder.mkdir()
    with store.open(name) as raw, pytest.raises(PackageRefused):
        hand_over(opening(raw, KEY, "package"), folder / "x", method=method, secret=secret)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("method", list(Method))
def test_a_broken_package_is_never_handed_over(
    sealed_package: tuple[LocalStore, str], tmp_path: Path, method: Method
) -> None:
    """A package whose seal is cut or altered leaves no file, however far it got."""
    store, name = sealed_package
    secret = {
        Method.AES_ZIP: "a-long-passphrase",
        Method.AGE: str(pyrage.x25519.Identity.generate().to_public()),
    }[method]
    path, folder = store.folder / name, tmp_path / "out"
    folder.mkdir()
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[70] ^= 1
    for bad in (whole[:-1], whole[:-1000], bytes(flipped)):
        path.write_bytes(bad)
        with store.open(name) as raw, pytest.raises((SealBroken, PackageRefused)):
            hand_over(opening(raw, KEY, "package"), folder / "x", method=method, secret=secret)
        assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.update({"withheld.json": b"{}"}),
        lambda f: f.pop("withheld.json"),
        lambda f: f.update({"extra.txt": b""}),
    ],
)
@pytest.mark.parametrize("method", list(Method))
def test_an_unsealed_but_changed_package_is_never_handed_over(
    tmp_path: Path, method: Method, change: Callable[[dict[str, bytes]], None]
) -> None:
    """A package whose manifest does not fit is refused as well."""
    changed = rezipped(build(contents(ORDINARY)), change)
    secret = {
        Method.AES_ZIP: "a-long-passphrase",
        Method.AGE: str(pyrage.x25519.Identity.generate().to_public()),
    }[method]
    with pytest.raises(PackageRefused):
        hand_over(io.BytesIO(changed), tmp_path / "x", method=method, secret=secret)
    assert list(tmp_path.iterdir()) == []


def test_hand_over_never_overwrites(tmp_path: Path) -> None:
    """A file that is there stays as it is."""
    (tmp_path / "x").write_bytes(b"mine")
    package = io.BytesIO(build(contents(ORDINARY)))
    with pytest.raises(PackageRefused, match="never overwritten"):
        hand_over(package, tmp_path / "x", method=Method.AES_ZIP, secret="a-long-passphrase")
    assert (tmp_path / "x").read_bytes() == b"mine"


def test_passphrases_are_long_and_fresh() -> None:
    """Made passphrases never repeat and carry more than 120 bits."""
    made = {new_passphrase() for _ in range(200)}
    assert len(made) == 200
    assert all(re.fullmatch(r"([a-hjkmnp-z2-9]{5}-){4}[a-hjkmnp-z2-9]{5}", p) for p in made)


# ---- languages


def test_languages_are_complete() -> None:
    """Every language has every text of English, none empty."""
    assert {"en", "de"} <= set(languages())
    for texts in languages().values():
        assert set(texts) == set(languages()["en"])
        assert all(text.strip() for text in texts.values())


@pytest.mark.parametrize(
    ("asked", "used", "word"), [("de-AT", "de", "Inhalt"), ("xx", "en", "Contents")]
)
def test_pages_speak_the_persons_language(asked: str, used: str, word: str) -> None:
    """Frame texts come in the language asked for, or English, and the page says which."""
    found = members(build(contents(ORDINARY, case=replace(CASE, language=asked))))
    page = Page(found["index.html"])
    assert ("lang", used) in page.attributes
    assert word in page.text


def test_standard_tools_can_read_it(tmp_path: Path) -> None:
    """Another program than ours lists and tests the package."""
    (tmp_path / "p.zip").write_bytes(build(contents(ORDINARY)))
    tested = subprocess.run(
        ["python3", "-m", "zipfile", "-t", str(tmp_path / "p.zip")],  # noqa: S607 - any Python will do
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Done testing" in tested.stdout
