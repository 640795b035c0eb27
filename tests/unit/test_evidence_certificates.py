"""A certificate is checked with a public key alone and claims no more than was shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.exceptions import InvalidSignature

from dsr_worker.evidence import (
    Certificate,
    CertificateRefused,
    CollectionResult,
    Deferred,
    Ground,
    Kept,
    MentionsLeft,
    Requery,
    SystemResult,
    build_certificate,
    inclusion_proof,
    render_certificate,
    sign_checkpoint,
    verify_certificate,
)
from tests.unit.evidence_made import AT, DIGEST, JOB, Keys, chained


def certificate(**changes: Any) -> Certificate:
    """A certificate of an erasure with everything in it."""
    kept = (Kept(2, "de-ao-147-voucher", date(2035, 12, 31), masked=True),)
    orders = CollectionResult("orders", found=9, erased=6, already_gone=1, kept=kept)
    shop = SystemResult(
        "shop",
        "postgres",
        "0.1.0",
        DIGEST,
        DIGEST,
        "2026.1",
        (orders, CollectionResult("carts", 0)),
        Requery(AT, "second-path", 0),
    )
    made = Certificate(
        kind="erasure",
        number="C-1",
        case=JOB,
        controller="Shop GmbH",
        regime="eu-gdpr",
        country="DE",
        request_kind="erasure",
        received_at=AT,
        manner="email",
        responded_at=AT,
        response="partly_granted",
        issued_at=AT,
        systems=(shop,),
        deferred=(
            Deferred("shop", "orders", 2, "de-ao-147-voucher", date(2036, 1, 1)),
            Deferred("shop", "customers", 1, "needed_by_kept", None),
        ),
        mentions=(MentionsLeft("helpdesk", "comments", 3),),
        denial_grounds=("de-ao-147-voucher",),
        grounds=(Ground("de-ao-147-voucher", "tax law asks for it: 8 years", "AO s.147(3)"),),
        not_asked=("archive",),
        contested=("phone",),
        backups="Copies in backups are overwritten within 35 days.",
    )
    return replace(made, **changes)


def test_a_certificate_verifies_with_the_public_key_alone() -> None:
    """A certificate holds with the key of who signed it, and with no other."""
    keys = Keys()
    file = build_certificate(certificate(), keys)
    assert verify_certificate(file) == []
    assert verify_certificate(file, keys.public_key) == []
    assert verify_certificate(file, Keys(2).public_key)
    assert file == build_certificate(certificate(), keys)


def test_the_documented_check_needs_nothing_of_ours() -> None:
    """The few lines in docs/evidence.md accept a true certificate and refuse a changed one."""
    page = Path(__file__).parents[2].joinpath("docs", "evidence.md").read_text()
    code = page.split("```python\n")[1].split("```")[0]
    assert "dsr_worker" not in code
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - our own documentation is what is tried
    file = build_certificate(certificate(controller="Käse & Söhne"), Keys())
    names["check"](file, Keys().public_key)
    with pytest.raises(InvalidSignature):
        names["check"](file.replace(b'"erased": 6', b'"erased": 7'), Keys().public_key)
    with pytest.raises(InvalidSignature):
        names["check"](file, Keys(2).public_key)


def _every_leaf(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [p for key in value for p in _every_leaf(value[key], (*path, key))]
    if isinstance(value, list):
        return [p for n, item in enumerate(value) for p in _every_leaf(item, (*path, n))]
    return [path]


def test_no_value_of_a_certificate_can_be_changed() -> None:
    """Whatever single value is changed in the file, the check says so."""
    file = build_certificate(certificate(), Keys())
    paths = _every_leaf(orjson.loads(file)["certificate"])
    assert len(paths) > 40
    for path in paths:
        content = orjson.loads(file)
        *above, last = path
        place = content["certificate"]
        for step in above:
            place = place[step]
        place[last] = 77 if place[last] != 77 else 78
        assert verify_certificate(orjson.dumps(content)) != []


@pytest.mark.parametrize("file", [b"", b"[]", b"{}", b"null", b'{"certificate":1,"signature":{}}'])
def test_garbage_is_no_certificate(file: bytes) -> None:
    """A file that is something else is called so, without an error."""
    assert verify_certificate(file) == ["The file is not a certificate."]


def test_the_wording_never_claims_more() -> None:
    """A certificate says what was not returned, by whom, how and when, and what it leaves out."""
    file = build_certificate(certificate(), Keys())
    page, stated = render_certificate(file), orjson.loads(file)["certificate"]
    (system,) = stated["systems"]
    assert system["requery"]["path"] == "second-path"
    assert "(read a second time, by another way than before" in system["finding"]
    assert "at 2026-03-01T12:00:00+00:00, beside the 2 kept rows" in system["finding"]
    assert "at 1 March 2026, 12:00 (UTC), beside the 2 kept rows listed here" in page
    for sentence in stated["not_covered"]:
        assert sentence.replace("'", "&#39;") in page
    parts = ("It does not speak of other systems", "archive", "Telephone number", "Recipients")
    for part in (*parts, "materialised views, search indexes"):
        assert any(part in sentence for sentence in stated["not_covered"]), part
    for claim in ("no copy exists", "all data", "completely", "permanently"):
        assert claim not in page.lower()


def test_a_repeat_of_the_first_look_is_not_called_another_way() -> None:
    """A connector without a second path is certified as looked up again in the same way."""
    requery = Requery(AT, "located-again", 0)
    shop = replace(certificate().systems[0], requery=requery)
    page = render_certificate(build_certificate(certificate(systems=(shop,)), Keys()))
    assert "in the same way as before the erasure" in page
    assert "by another way" not in page


@pytest.mark.parametrize(
    ("backups", "said"),
    [
        ("", "copies in backups are not covered"),
        ("Overwritten within 35 days.", "Shop GmbH says of them: Overwritten within 35 days."),
    ],
)
def test_backups_are_always_spoken_of(backups: str, said: str) -> None:
    """With or without a text of the organisation, backups are named as neither seen nor changed."""
    page = render_certificate(build_certificate(certificate(backups=backups), Keys()))
    assert said in page
    assert "neither looked at nor changed" in page


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        (
            "en",
            (
                *("Germany", "carried out in part", "until 31 December 2035", "by e-mail"),
                *("tax law asks for it: 8 years (AO s.147(3))", "1 January 2036"),
                *("an entry that has to stay refers to it", "after the legal hold has ended"),
            ),
        ),
        (
            "de",
            (
                *("Deutschland", "teilweise ausgeführt", "bis 31. Dezember 2035", "per E-Mail"),
                *("ein Eintrag, der bleiben muss, bezieht sich darauf", "1. Januar 2036"),
                "nachdem die Sperre",
            ),
        ),
    ],
)
def test_the_page_is_in_words(language: str, expected: tuple[str, ...]) -> None:
    """The page speaks the certificate's language; its codes stand in the signed JSON alone."""
    file = build_certificate(certificate(language=language), Keys())
    page = render_certificate(file)
    assert f'lang="{language}"' in page
    for words in expected:
        assert words in page, words
    for code in ("needed_by_kept", "de-ao-147", "second-path", "partly_granted", "eu-gdpr"):
        assert code not in page
        assert code.encode() in file


def test_rows_still_returned_are_not_certified() -> None:
    """When the second look finds rows, the certificate says that they are not erased."""
    shop = replace(certificate().systems[0], requery=Requery(AT, "second-path", 4))
    page = render_certificate(build_certificate(certificate(systems=(shop,)), Keys()))
    assert "4 rows were still returned by shop" in page
    assert "not certified as erased" in page


@pytest.mark.parametrize(
    "change",
    [
        lambda s: replace(s, requery=None),
        lambda s: replace(s, collections=(CollectionResult("orders", found=9, erased=8),)),
        lambda s: replace(s, collections=(CollectionResult("orders", found=1, erased=2),)),
    ],
)
def test_what_does_not_add_up_is_not_certified(
    change: Callable[[SystemResult], SystemResult],
) -> None:
    """Counts that differ, or a system not looked at again, refuse the certificate."""
    with pytest.raises(CertificateRefused):
        build_certificate(certificate(systems=(change(certificate().systems[0]),)), Keys())


def test_a_sweep_is_certified_by_its_commit() -> None:
    """A sweep needs no request and no second look; it names the commit's counts."""
    shop = replace(certificate().systems[0], requery=None)
    sweep = certificate(kind="sweep", received_at=None, systems=(shop,), response="swept")
    file = build_certificate(sweep, Keys())
    assert verify_certificate(file) == []
    assert "Counted by shop when the change was committed." in render_certificate(file)


def test_the_checkpoint_proves_the_case() -> None:
    """With checkpoint and inclusion proof a certificate holds; with another leaf it does not."""
    keys, leaves = Keys(), [e.leaf for e in chained(6)]
    checkpoint = sign_checkpoint(keys, leaves, at=AT)
    proof = [node.hex() for node in inclusion_proof(leaves, 5)]
    inclusion = {"leaf": leaves[5].hex(), "index": 5, "proof": proof}
    good = certificate(checkpoint=checkpoint, inclusion=inclusion)
    assert verify_certificate(build_certificate(good, keys), keys.public_key) == []
    lying = certificate(checkpoint=checkpoint, inclusion={**inclusion, "leaf": DIGEST})
    assert verify_certificate(build_certificate(lying, keys)) == [
        "The case's last event is not under the checkpoint."
    ]
    foreign = certificate(checkpoint=sign_checkpoint(Keys(2), leaves, at=AT))
    assert verify_certificate(build_certificate(foreign, keys)) == [
        "The checkpoint is not signed by the certificate's key."
    ]


class Tags(HTMLParser):
    """Collects the elements of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the element."""
        self.tags.add(tag)


def test_texts_of_the_organisation_cannot_inject() -> None:
    """A controller's name or a ground with markup stays text on the page."""
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    page = render_certificate(build_certificate(certificate(controller=evil, backups=evil), Keys()))
    tags = Tags()
    tags.feed(page)
    assert tags.tags.isdisjoint({"script", "img", "iframe", "object"})
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
