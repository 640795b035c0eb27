"""The page of a certificate does not contradict itself, nor speak of what it does not have."""

from __future__ import annotations

import html
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dsr_worker.evidence import (
    Certificate,
    CollectionResult,
    MentionsLeft,
    Requery,
    SystemResult,
    build_certificate,
    render_certificate,
    verify_certificate,
)

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
DIGEST = "ab" * 32


class Keys:
    """A signer with a fixed key."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))

    @property
    def public_key(self) -> bytes:
        """The public key."""
        return self._key.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """The signature."""
        return self._key.sign(message)


def system(name: str, *collections: str, law_pack: str = DIGEST) -> SystemResult:
    """A system in which nothing was found, looked at twice."""
    empty = tuple(CollectionResult(collection, 0) for collection in collections)
    requery = Requery(AT, "second-path", 0)
    return SystemResult(name, "some", "0.1.0", DIGEST, DIGEST, law_pack, empty, requery)


def made(**changes: Any) -> bytes:
    """The file of an erasure's certificate with these changes."""
    parts: dict[str, Any] = {
        "kind": "erasure",
        "number": "C-1",
        "case": "C",
        "controller": "Shop GmbH",
        "regime": "eu-gdpr",
        "country": "DE",
        "request_kind": "erasure",
        "received_at": AT,
        "manner": "email",
        "responded_at": AT,
        "response": "granted",
        "issued_at": AT,
        "systems": (system("crm", "customers"), system("helpdesk", "users")),
    }
    return build_certificate(Certificate(**parts | changes), Keys())


def limits(file: bytes) -> list[str]:
    """What the certificate says that it does not cover; all of it stands on an English page."""
    said: list[str] = orjson.loads(file)["certificate"]["not_covered"]
    page = html.unescape(render_certificate(file))
    assert [sentence for sentence in said if sentence not in page] == []
    return said


def test_what_was_read_twice_is_only_what_is_listed() -> None:
    """A system of which a part was not looked in is not said to be read in every collection."""
    file = made(not_asked=("archive", "helpdesk.comments", "helpdesk.tickets"))
    page = render_certificate(file)
    assert "every collection" not in page
    assert "in each collection listed here" in page
    (whole,) = [s for s in limits(file) if "were not asked" in s]
    (part,) = [s for s in limits(file) if "not looked in" in s]
    assert whole.endswith(": archive.")
    assert "helpdesk" not in whole
    assert part.endswith(": helpdesk (comments, tickets).")
    assert "neither the first time nor the second" in part


@pytest.mark.parametrize(
    ("not_asked", "asked_of", "looked_in"),
    [((), 0, 0), (("archive",), 1, 0), (("crm.carts", "helpdesk.tickets"), 0, 1)],
)
def test_each_way_of_not_asking_is_named_when_it_happened(
    not_asked: tuple[str, ...], asked_of: int, looked_in: int
) -> None:
    """Neither sentence on what was left out appears without something to name."""
    said = limits(made(not_asked=not_asked))
    assert sum("were not asked" in s for s in said) == asked_of
    assert sum("not looked in" in s for s in said) == looked_in


@pytest.mark.parametrize(
    ("language", "counted"),
    [
        ("en", "are counted above"),
        ("de", "sind oben gezählt"),
        ("fr", "sont comptées ci-dessus"),
        ("es", "se cuentan arriba"),
    ],
)
def test_mentions_are_counted_above_only_when_there_are_any(language: str, counted: str) -> None:
    """The page points to a list of mentions only where it has one."""
    left = (MentionsLeft("helpdesk", "comments", 3),)
    assert counted in render_certificate(made(mentions=left, language=language))
    assert counted not in render_certificate(made(language=language))
    assert any("were not changed." in sentence for sentence in limits(made()))


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "law pack none."),
        ("de", "Rechtsstand keiner."),
        ("fr", "état du droit aucun."),
        ("es", "conjunto de leyes ninguno."),
    ],
)
def test_a_sweep_names_no_law_pack(language: str, said: str) -> None:
    """Where no law pack decided, the page says none; where one did, it is named."""
    swept = (system("crm", "carts", law_pack=""),)
    assert said in render_certificate(made(kind="sweep", systems=swept, language=language))
    page = render_certificate(made(language=language))
    assert said not in page
    assert DIGEST in page


def test_certificates_of_before_still_verify() -> None:
    """The sentences may get better: a file with earlier ones is as true as it was."""
    content = orjson.loads(made())
    stated, keys = content["certificate"], Keys()
    stated["not_covered"] = ["an earlier wording"]
    message = b"dsr certificate\0" + orjson.dumps(stated, option=orjson.OPT_SORT_KEYS)
    content["signature"]["value"] = keys.sign(message).hex()
    file = orjson.dumps(content)
    assert verify_certificate(file, keys.public_key) == []
    assert render_certificate(file)
