"""An access package tells the whole truth, in order and in words of the person's language."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from dsr_worker.contract import Withheld
from dsr_worker.package import CaseFacts, Contents, WithheldPart, verify_package
from dsr_worker.package.texts import languages
from tests.unit.package_contents import (
    AT,
    CASE,
    ORDINARY,
    TEXTS,
    Item,
    Page,
    Piece,
    build,
    collection,
    contents,
    members,
    source,
    system,
)

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


def test_a_system_that_nobody_asked_is_called_so() -> None:
    """Where the person is known by nothing, no time of asking and no empty result is claimed."""
    unasked = replace(source([], system(collection("logs"), name="events")), searched_at=None)
    both = Contents(CASE, TEXTS, [source([ORDINARY]), replace(unasked, note="not-applicable")])
    text = Page(members(build(both))["index.html"]).text
    assert "events: was not asked: we know you by nothing that this system uses" in text
    assert "logs" not in text


@pytest.mark.parametrize("language", ["en", "de", "fr", "es"])
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
        "fr": ("Allemagne", "Règlement général sur la protection", "Numéro de client (trouvé dans",
               "1er mars 2026, 13:00 (Europe/Berlin)", "par une pièce d"),
        "es": ("Alemania", "Reglamento general de protección", "Número de cliente (hallado en",
               "1 de marzo de 2026, 13:00 (Europe/Berlin)", "con un documento de identidad"),
    }[language]:  # fmt: skip
        assert word in text, word
    withheld = json.loads(found["withheld.json"])["withheld"]
    assert {w["ground"] for w in withheld} == {"AC_RIGHTS_OF_OTHERS", "s3-archived-object"}


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
