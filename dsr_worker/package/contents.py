"""What goes into a package: values handed in, and what is missing before anything is written.

In: nothing but values. Out: the list of missing texts, long before a deadline (`dsr check`), and
the same list as the refusal to write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeGuard

from dsr_worker.contract import System, Withheld


class PackageRefused(ValueError):  # noqa: N818 - reads as what happened
    """The package cannot be made as it should be. The text holds no personal data.

    `fields` say where the fault lies: the names of a system and a collection, if it lies there.
    """

    def __init__(self, text: str, **fields: str) -> None:
        super().__init__(text)
        self.fields = fields


class AttachmentSource(Protocol):
    """A spooled file."""

    @property
    def name(self) -> str:
        """The original name."""
        ...

    @property
    def media_type(self) -> str:
        """As the system told it."""
        ...

    @property
    def size_bytes(self) -> int:
        """Of the content."""
        ...

    def open(self) -> Iterator[bytes]:
        """A fresh stream of the content."""
        ...


class RecordSource(Protocol):
    """A spooled record."""

    @property
    def collection(self) -> str:
        """The collection's name in the data map."""
        ...

    @property
    def key(self) -> tuple[str, ...]:
        """Where the record is in its collection."""
        ...

    @property
    def body(self) -> bytes:
        """A JSON object in UTF-8."""
        ...

    @property
    def withheld(self) -> tuple[Withheld, ...]:
        """What the connector left out."""
        ...

    @property
    def attachment(self) -> AttachmentSource | None:
        """The file that belongs to it."""
        ...


class BlockSource(Protocol):
    """Many spooled records of one collection, none of which has an attachment."""

    @property
    def collection(self) -> str:
        """The collection's name in the data map."""
        ...

    @property
    def rows(self) -> int:
        """How many records."""
        ...

    @property
    def withheld(self) -> tuple[Withheld, ...]:
        """What the connector left out of all of them together, always whole fields."""
        ...

    @property
    def size_bytes(self) -> int:
        """Of the lines."""
        ...

    def lines(self) -> bytes:
        """The records as JSON objects in UTF-8, one a line, no line break after the last."""
        ...

    def keep(self) -> None:
        """Hold the lines in memory from now on."""
        ...


Found = RecordSource | BlockSource


def is_block(found: Found) -> TypeGuard[BlockSource]:
    """Whether it is many records at once."""
    return hasattr(found, "lines")


@dataclass(frozen=True, slots=True)
class CaseFacts:
    """The case, as the person may know it."""

    case: str
    kind: str  # access | portability
    regime: str  # gdpr, uk-gdpr, ccpa, …
    country: str  # ISO 3166
    received_at: datetime
    made_at: datetime
    language: str = "en"  # of the frame texts; English where we have none of that language
    zone: str = "UTC"  # in which the pages tell times
    verified: str = ""  # how the person was verified: `code`, or the method of an attestation
    known_by: tuple[tuple[str, str], ...] = ()  # kinds of identity, each with its standing


@dataclass(frozen=True, slots=True)
class OrganisationTexts:
    """What the organisation has to tell, in the package's language. Empty means missing."""

    controller: str = ""
    address: str = ""
    contact: str = ""  # how to reach the data protection officer or team
    rights: str = ""  # Art. 15(1)(e) GDPR: rectification, erasure, restriction, objection
    complaint: str = ""  # Art. 15(1)(f): the authority of the case's country, and how to reach it
    automated_decisions: str = ""  # Art. 15(1)(h): logic and consequences, or that there are none
    transfers: str = ""  # Art. 15(2): safeguards for transfers to third countries, or none
    storage: Mapping[str, str] = field(default_factory=dict, hash=False)  # Art. 15(1)(d): by class
    terms: Mapping[str, Sequence[Mapping[str, str]]] = field(default_factory=dict, hash=False)
    """The periods behind `storage`, by class, for machines."""


@dataclass(frozen=True, slots=True)
class Source:
    """One system's answer. `read` starts afresh each time it is called and is called several times.

    `read_of` reads one collection where that is cheaper than reading everything.
    `searched_at` is when the system was asked, None where it was not. `complete` False with a code
    in `note` says that the answer is known to be partial; `note` also says why nobody asked.
    """

    system: System
    read: Callable[[], Iterable[Found]] = field(repr=False)
    searched_at: datetime | None
    complete: bool = True
    note: str = ""
    read_of: Callable[[str], Iterable[Found]] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class WithheldPart:
    """Something left out: where, on which ground, how many values. `field` may be empty.

    `part` says that places within the field were replaced and the rest of it is handed out.
    """

    system: str
    collection: str
    ground: str
    values: int
    field: str = ""
    part: bool = False


@dataclass(frozen=True, slots=True)
class Contents:
    """Everything a package is made of.

    `limits` are codes of what could not be settled (a contested identity, a shared phone).
    `portable` names the (system, collection) pairs given or observed under consent or contract: for
    a portability request only these are handed out, in `portable/` (Art. 20(1) GDPR).
    """

    case: CaseFacts
    organisation: OrganisationTexts
    sources: Sequence[Source]
    withheld: Sequence[WithheldPart] = ()
    limits: Sequence[str] = ()
    portable: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class MissingText:
    """A text that the law asks for and nobody has written: where it belongs, and the article.

    `remedy` is what to write in a file, as its key.
    """

    where: str
    text: str
    article: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text} ({self.article})"


_ORGANISATION = (
    ("controller", "the controller's name", "Art. 12(1) GDPR"),
    ("address", "the controller's address", "Art. 12(1) GDPR"),
    ("contact", "the data protection contact", "Art. 12(1) GDPR"),
    ("rights", "the person's rights", "Art. 15(1)(e) GDPR"),
    ("complaint", "the supervisory authority", "Art. 15(1)(f) GDPR"),
    ("automated_decisions", "automated decisions, or that there are none", "Art. 15(1)(h) GDPR"),
    ("transfers", "transfers to third countries, or that there are none", "Art. 15(2) GDPR"),
)


def missing_texts(organisation: OrganisationTexts, systems: Iterable[System]) -> list[MissingText]:
    """Every text that Art. 15 GDPR asks for and that is not there, for all mapped collections."""
    missing = [
        MissingText("organisation", text, article, f"`{name}:`")
        for name, text, article in _ORGANISATION
        if not getattr(organisation, name).strip()
    ]
    for system in systems:
        for collection in system.collections.values():
            where = f"{system.name}.{collection.name}"
            needed = (
                (collection.purpose, "purpose", "Art. 15(1)(a) GDPR", "`purpose:`"),
                (collection.legal_basis, "legal basis", "Art. 15(1)(a) GDPR", "`legal_basis:`"),
                (
                    " ".join(collection.recipients),
                    "recipients",
                    "Art. 15(1)(c) GDPR",
                    "`recipients:`",
                ),
                (collection.origin, "origin", "Art. 15(1)(g) GDPR", "`origin:`"),
                (
                    organisation.storage.get(collection.record_class or "", ""),
                    *_storage(collection.record_class),
                ),
            )
            missing += [
                MissingText(where, text, article, remedy)
                for value, text, article, remedy in needed
                if not value.strip()
            ]
    return missing


def _storage(record_class: str | None) -> tuple[str, str, str]:
    """What is missing where nobody says how long rows of a class are kept, and what to write."""
    article, criteria = "Art. 15(1)(d) GDPR", "`retention:` in organisation.yaml"
    if record_class is None:
        return "storage period", article, f"`class:` (or {criteria})"
    policy = f"a policy for the class {record_class} (or {criteria})"
    return f"storage period of class {record_class!r}", article, policy
