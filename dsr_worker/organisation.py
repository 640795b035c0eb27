"""Who answers requests, and how this house does it: one reviewed file.

Why this room exists: the controller's name, its markets, who approves what, who is warned when and
the texts of Art. 15 GDPR are decisions of an organisation, not of code. One YAML file enters; a
frozen model leaves, or every fault with file and line. The strict choice is the default: without a
word in the file, a second actor approves every kind of request.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from dsr_worker.datamap import SecretMissing
from dsr_worker.documents import Document, Strict, parse, read, read_file
from dsr_worker.documents import Path as Place
from dsr_worker.domain.calendar import zone_of
from dsr_worker.domain.identity import ROLE_LOCAL_PARTS, ClaimRules
from dsr_worker.domain.retention import CalendarPeriod
from dsr_worker.statutes import UnknownNameError, load_pack
from dsr_worker.timetable import Complaints, Country, Text, written

_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_PLACEHOLDER = re.compile(r"replace[ -](me|street)\b", re.IGNORECASE)


def _zone(name: str) -> str:
    zone_of(name)
    return name


def _period(text: str) -> str:
    if CalendarPeriod.parse(text) == CalendarPeriod(0, 0):
        raise ValueError("the period is empty; write P14D or another length")
    return text


def _address(text: str) -> str:
    if _ADDRESS.fullmatch(text) is None:
        raise ValueError("not one bare e-mail address")
    return text


def _declared(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        try:
            load_pack(name)
        except UnknownNameError as error:
            raise ValueError(str(error)) from None
    return names


def _webhook(text: str) -> str:
    if not text.startswith("https://") and not text.startswith("http://127.0.0.1"):
        raise ValueError("a webhook is an https address")
    return text


Language = Annotated[str, Field(pattern=r"^[a-z]{2}$")]
Period = Annotated[str, AfterValidator(_period)]
Address = Annotated[str, AfterValidator(_address)]


class Approval(StrEnum):
    """Who lets a plan go ahead."""

    AUTOMATIC = "automatic"
    SECOND_ACTOR = "second_actor"


class Reference(Strict):
    """Where a secret is; exactly one of the two."""

    env: Text | None = None
    file: Text | None = None

    @model_validator(mode="before")
    @classmethod
    def _not_written_out(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise ValueError("a secret is written out; write {env: NAME} or {file: path}")  # noqa: TRY004 - pydantic's own way to refuse
        return value

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.env is None) == (self.file is None):
            raise ValueError("write {env: NAME} or {file: path}")
        return self

    def read(self, environment: Mapping[str, str] = os.environ) -> str:
        """Return the secret now.

        Raises:
            SecretMissing: the variable is not set, or the file cannot be read.

        """
        if self.env is not None:
            value = environment.get(self.env)
            if not value:
                raise SecretMissing(f"environment variable {self.env} is not set; set it")
            return value
        try:
            return Path(self.file or "").expanduser().read_text("utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise SecretMissing(f"the file {self.file} cannot be read") from error


class Controller(Strict):
    """The controller, as its answers name it (Art. 13(1)(a) and (b) GDPR)."""

    name: Text
    address: Text
    contact: Address
    data_protection_officer: Text | None = None
    representative: Text | None = None  # Art. 27 GDPR


class Establishment(Strict):
    """The main establishment (Art. 4(16) GDPR), whose days deadlines are counted in."""

    country: Country
    zone: Annotated[str, AfterValidator(_zone)]


class Approvals(Strict):
    """Who approves which kind of request. What changes rows, a second person approves always."""

    access: Approval = Approval.SECOND_ACTOR
    erasure: Approval = Approval.SECOND_ACTOR

    @field_validator("erasure")
    @classmethod
    def _by_a_person(cls, value: Approval) -> Approval:
        if value is Approval.AUTOMATIC:
            raise ValueError(
                "an erasure cannot be undone, so a second person approves each plan; write"
                " second_actor (`access` alone may be automatic)"
            )
        return value


class Verification(Strict):
    """How a person shows who they are."""

    code_valid_s: Annotated[int, Field(ge=60, le=86_400)] = 900
    code_tries: Annotated[int, Field(ge=1, le=10)] = 5
    contact_settled_days: Annotated[int, Field(ge=0, le=365)] = 14
    """A contact on file that changed more recently goes to a person."""
    answer_within: Period = "P14D"
    """The time that a person who was asked who they are has for it; then the case asks a human."""


class Link(Strict):
    """One link of the warning chain: a name, and exactly one way to reach it."""

    name: Text
    email: Address | None = None
    webhook: Annotated[str, AfterValidator(_webhook)] | None = None
    command: Annotated[tuple[Text, ...], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum(way is not None for way in (self.email, self.webhook, self.command)) != 1:
            raise ValueError("give exactly one of email, webhook or command")
        return self


class Warnings(Strict):
    """When people are warned of a clock, and who, first to last."""

    lead_times: Annotated[tuple[Period, ...], Field(min_length=1)] = ("P7D", "P3D", "P1D")
    chain: Annotated[tuple[Link, ...], Field(min_length=1)]
    escalate_after_s: Annotated[int, Field(ge=60)] = 14_400
    """Unacknowledged for this long, a warning goes to the next of the chain as well."""


class Packages(Strict):
    """What becomes of an access package after it is made."""

    expire_after: Period = "P14D"


class Remainders(Strict):
    """What becomes of rows that a store refuses for now without naming a day."""

    look_again_after: Period = "P30D"


class Appeals(Strict):
    """What the house takes for a reasonable time, where a law gives an appeal and no number."""

    file_within: Period = "P60D"


class Claims(Strict):
    """What is refused in a request beside the fixed rules: role mailboxes, the house's domains."""

    denied_local_parts: tuple[Text, ...] = tuple(sorted(ROLE_LOCAL_PARTS))
    denied_domains: tuple[Text, ...] = ()

    @property
    def rules(self) -> ClaimRules:
        """The rules as `dsr_worker.domain.identity.claimed` takes them."""
        return ClaimRules(
            frozenset(part.lower() for part in self.denied_local_parts),
            frozenset(domain.lower() for domain in self.denied_domains),
        )


class Information(Strict):
    """The texts of Art. 15(1) and (2) GDPR that the data map does not give, in one language."""

    retention: str = ""  # Art. 15(1)(d)
    rights: str = ""  # Art. 15(1)(e)
    complaint: str = ""  # Art. 15(1)(f)
    automated_decisions: str = ""  # Art. 15(1)(h)
    transfers: str = ""  # Art. 15(2)

    @property
    def missing(self) -> tuple[str, ...]:
        """The names of the texts that are not written."""
        return tuple(name for name, text in self if not text.strip())


class Mail(Strict):
    """The SMTP server for codes, warnings and notices."""

    host: Text
    port: Annotated[int, Field(ge=1, le=65_535)] = 587
    sender: Address
    tls: Annotated[str, Field(pattern="^(starttls|implicit|none)$")] = "starttls"
    user: Text | None = None
    password: Reference | None = None

    @model_validator(mode="after")
    def _whole_login(self) -> Self:
        if (self.user is None) != (self.password is None):
            raise ValueError("a login has user and password")
        if self.user is not None and self.tls == "none":
            raise ValueError("a password is not sent without TLS; use starttls or implicit")
        return self


class Organisation(Strict):
    """The whole file. `policies` names the retention policies in force."""

    controller: Controller
    establishment: Establishment
    authority: Text | None = None
    """The lead supervisory authority (Art. 56 GDPR), where it is not the country's only one."""
    markets: Annotated[tuple[Country, ...], Field(min_length=1)]
    declared: Annotated[tuple[Text, ...], AfterValidator(_declared)] = ()
    """Laws of a sector or a status that bind this house, such as `us-ca-drop` (data brokers)."""
    languages: Annotated[tuple[Language, ...], Field(min_length=1)] = ("en",)
    policies: tuple[Text, ...] = ()
    approval: Approvals = Approvals()
    verification: Verification = Verification()
    warnings: Warnings
    packages: Packages = Packages()
    remainders: Remainders = Remainders()
    complaints: Annotated[Complaints, BeforeValidator(written)] = Field(None, validate_default=True)
    """Its absence is a fault: there is no timetable that holds for nobody having written one."""
    appeals: Appeals = Appeals()
    claims: Claims = Claims()
    information: dict[Language, Information]
    backups: dict[Language, Text] = Field(default_factory=dict)
    """How long copies in backups last, as certificates of erasure tell it, by language."""
    smtp: Mail

    def backups_in(self, language: str) -> str:
        """What certificates say of backups: in a language, else in the first there is."""
        return self.backups.get(language) or next(iter(self.backups.values()), "")

    @model_validator(mode="after")
    def _every_language(self) -> Self:
        for language in self.languages:
            if language not in self.information:
                raise ValueError(f"information has no texts for {language}; add them")
        return self

    @property
    def text(self) -> str:
        """The canonical JSON that is frozen with what was answered from it."""
        plain = self.model_dump(mode="json")
        return json.dumps(plain, ensure_ascii=False, sort_keys=True, separators=(",", ":"))

    @property
    def hash(self) -> str:
        """The SHA-256 (hex) of `text`."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def load_organisation(file: Path) -> Organisation:
    """Return the organisation written in `file`.

    Raises:
        DocumentError: every fault, each with file and line.

    """
    return parse(read_file(file), Organisation)


def read_organisation(text: str, name: str = "organisation") -> Organisation:
    """Return the organisation written in `text` (YAML, or its frozen text).

    Raises:
        DocumentError: every fault, each with line.

    """
    return parse(read(text, name), Organisation)


def unfilled(document: Document) -> Iterator[str]:
    """Yield a fault for every place that still reads as `dsr init` wrote it."""

    def walk(value: object, path: Place) -> Iterator[Place]:
        if isinstance(value, Mapping):
            for key, part in value.items():
                yield from walk(part, (*path, key))
        elif isinstance(value, list):
            for at, part in enumerate(value):
                yield from walk(part, (*path, at))
        elif isinstance(value, str) and _PLACEHOLDER.search(value):
            yield path

    for place in walk(document.data, ()):
        yield document.fault(place, "still as `dsr init` wrote it; write your own")
