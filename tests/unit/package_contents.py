"""Small access packages: what goes in, the bytes that come out, and plain reads of them.

In: items, collections, systems of a test's own. Out: a package as bytes, its members, its pages.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import BinaryIO, cast

from dsr_worker.contract import Collection, Field, System, Withheld
from dsr_worker.package import CaseFacts, Contents, OrganisationTexts, Source, write_package
from dsr_worker.vault import CaseKey, SealingWriter, opening

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
