"""What sampled values look like, counted: the only form in which a sample leaves this room.

In: values of one column. Out: `Seen`, numbers by form. Values are looked at one at a time and
dropped; keys inside documents are kept only where they are plainly the structure's own.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors.naming.hints import known_word

_EMAIL = re.compile(r"[^\s@<>\"',;:]{1,64}@[^\s@<>\"',;:]{1,190}\.[^\W\d_]{2,24}")
_INSIDE_EMAIL = re.compile(r"[\w.+'-]{1,64}@[\w-]+(?:\.[\w-]+)+")
_PHONE = re.compile(r"\+?[0-9][0-9 ()./-]{5,22}[0-9]")
_PHONE_SIGNS = re.compile(r"^\+|^0[1-9 /(-]|[ ()/-]")
_INSIDE_PHONE = re.compile(r"(?<![\w.-])(?:\+[0-9]{1,3}|0[1-9])[0-9 ()/-]{6,18}[0-9](?![\w-])")
_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9 ]{11,34}")
_CARD = re.compile(r"[0-9]{4}(?:[ -]?[0-9]{4}){3}|[0-9]{13,16}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_COUNTRY = re.compile(r"[A-Z]{2}(?:-[A-Z0-9]{1,3})?")
_DATE = re.compile(r"[0-9]{4}-[01][0-9]-[0-3][0-9]([ T].*)?")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_TOKEN = re.compile(r"(?=.*[0-9])(?=.*[a-z])[A-Za-z0-9_+/=.$-]{20,}")
_KEY = re.compile(r"[A-Za-z_][A-Za-z_-]{0,39}[0-9]?")
_CODE = re.compile(r"(?=.*[0-9])[A-Z0-9][A-Z0-9_-]{2,35}")
_URL = re.compile(r"(?:https?|ftp)://\S+")
_MAIL_ID = re.compile(r"<[^<>\s]+@[^<>\s]+>")
_COMPANY = re.compile(
    r".*\b(?:Ltd|Limited|GmbH|AG|KG|UG|OHG|e\.K|Inc|LLC|LLP|PLC|Corp|Corporation|Co|SA|S\.A|SAS"
    r"|SARL|Sp\. z o\.o|S\.r\.l|SpA|B\.V|BV|NV|Oy|AB|A/S|ApS|Pty)\.?"
)
"""Legal forms of companies, as they end a name."""
_ROLES = re.compile(
    r"(?:admin|billing|contact|contacto|customer-?service|hello|help|helpdesk|hr|info|jobs|kontakt"
    r"|mail|marketing|no-?reply|office|orders?|postmaster|press|privacy|sales|service|shop|support"
    r"|team|webmaster)@.*",
    re.IGNORECASE,
)
"""Mailboxes of a role and not of one person, RFC 2142 and those of the trade."""
_LINE = re.compile(r"[\s-]*(?:['\"]?[\w.-]+['\"]?:)?\s*['\"]?(.*?)['\"]?")
_INSIDE_IP = re.compile(r"(?<![\w./-])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![\w-]|\.[0-9])")
_LARGE_PROSE = 24
_SHORTEST_NAME = 5
_COMMON_SHARE, _COMMON_LEAST = 0.2, 3
_MOST_KEYS = 60
_MOST_LEAVES = 200
_DEEPEST = 6
_IBAN_REST = 1


@dataclass(frozen=True, slots=True)
class Seen:
    """How many sampled values had which form. `rows` were read, `values` of them were not null."""

    rows: int = 0
    values: int = 0
    distinct: int = 0
    forms: Mapping[str, int] = field(default_factory=dict)
    inside: Mapping[str, int] = field(default_factory=dict)  # forms found within longer text
    paths: Mapping[tuple[str, ...], Seen] = field(default_factory=dict)  # of objects in documents
    elements: Seen | None = None  # of arrays at the top of a value, or of documents in texts
    hidden: Seen | None = None  # what lies where no path reaches: deep arrays, keys that are data
    naming: int = 0  # of `nameable` values, those that hold the name or e-mail of their own row
    nameable: int = 0

    def share(self, form: str) -> float:
        """How many of the values had a form, from 0 to 1."""
        return self.forms.get(form, 0) / self.values if self.values else 0.0

    @property
    def repeats(self) -> bool:
        """Whether few distinct values stand for all: a kind, a status."""
        return self.values >= 8 and self.distinct <= max(2, self.values // 4)  # noqa: PLR2004 - too few to tell


def form_of(value: str) -> str:
    """The form of one value."""
    text = value.strip()
    return next((form for form, has in _FORMS if has(text)), "words" if " " in text else "word")


def _is_phone(text: str) -> bool:
    return bool(_PHONE.fullmatch(text) and _PHONE_SIGNS.search(text) and not _DATE.match(text))


def _is_document(text: str) -> bool:
    return text[:1] + text[-1:] in {"{}", "[]"} or text.startswith("---\n")


def _leaves_of_text(text: str) -> Iterator[str]:
    """The values of a document that a text holds: JSON, or YAML line by line."""
    if not text.startswith("---\n"):
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            return
        yield from (leaf for _, _, leaf in _leaves(document, ()) if leaf)
        return
    for line in text.splitlines()[1:]:
        found = _LINE.fullmatch(line)
        if found is not None and found[1]:
            yield found[1]


def naming(names: Iterable[str | None], values: Iterable[str | None]) -> tuple[int, int]:
    """How many values hold the name that stands in the same row, and how many could."""
    held = could = 0
    for name, value in zip(names, values, strict=True):
        core = (name or "").partition("@")[0].casefold()
        if value and len(core) >= _SHORTEST_NAME:
            could += 1
            held += core in value.casefold()
    return held, could


def observe(values: Iterable[str | None]) -> Seen:
    """Count the forms of a text column's values."""
    forms: Counter[str] = Counter()
    inside: Counter[str] = Counter()
    seen: set[int] = set()
    leaves: list[str | None] = []
    rows = kept = 0
    for value in values:
        rows += 1
        if value is None or not value.strip():
            continue
        kept += 1
        seen.add(hash(value))
        form = form_of(value)
        forms[form] += 1
        if form in {"prose", "words", "word", "token", "document", "company"}:
            inside.update(_found_inside(value))
        if form == "email" and _ROLES.fullmatch(value.strip()):
            inside["role_mailbox"] += 1
        if form == "document":
            leaves += _leaves_of_text(value.strip())
    elements = observe(leaves) if leaves else None
    return Seen(rows, kept, len(seen), dict(forms), dict(inside), elements=elements)


def _found_inside(text: str) -> Iterator[str]:
    if _INSIDE_EMAIL.search(text):
        yield "email"
    if _INSIDE_PHONE.search(text):
        yield "phone"
    if _INSIDE_IP.search(text):
        yield "ip"


def observe_documents(texts: Iterable[str | None]) -> Seen:
    """Count the forms of what stands in JSON texts, by path where keys are the structure's own."""
    documents = []
    rows = broken = 0
    for text in texts:
        rows += 1
        if text is None:
            continue
        try:
            documents.append(json.loads(text))
        except (ValueError, RecursionError):  # cut off, or too deep to be looked at
            broken += 1
    common = _structure(documents)
    leaves: dict[tuple[str, ...], list[str | None]] = {}
    elements: list[str | None] = []
    hidden: list[str | None] = []
    for document in documents:
        for path, reachable, value in _leaves(document, ()):
            if not path:
                elements.append(value)
            elif reachable and all(path[: n + 1] in common for n in range(len(path))):
                leaves.setdefault(path, []).append(value)
            else:
                hidden.append(value)
    return Seen(
        rows,
        len(documents) + broken,
        len(documents) + broken,
        {"cut": broken} if broken else {},
        paths={path: observe(found) for path, found in leaves.items()},
        elements=observe(elements) if elements else None,
        hidden=observe(hidden) if hidden else None,
    )


def _structure(documents: list[Any]) -> frozenset[tuple[str, ...]]:
    """Paths whose keys belong to the structure: in many documents, or of the vocabulary."""
    counted: Counter[tuple[str, ...]] = Counter()
    for document in documents:
        counted.update(_paths(document, ()))
    least = max(_COMMON_LEAST, _COMMON_SHARE * len(documents))
    siblings = Counter(path[:-1] for path in counted)
    return frozenset(
        path
        for path, times in counted.items()
        if known_word(path[-1])
        or (times >= least and _KEY.fullmatch(path[-1]) and siblings[path[:-1]] <= _MOST_KEYS)
    )


def _paths(value: Any, at: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict) and len(at) < _DEEPEST:
        for key, part in value.items():
            yield (*at, key)
            yield from _paths(part, (*at, key))


def _leaves(value: Any, at: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], bool, str | None]]:
    """Path, whether a path of keys reaches it, and text of each leaf; bounded per document."""
    left = [(at, True, value)]
    told = 0
    while left and told < _MOST_LEAVES:
        path, reachable, part = left.pop()
        if isinstance(part, dict):
            left += [((*path, key), reachable, inner) for key, inner in part.items()]
        elif isinstance(part, list):
            left += [(path, False, inner) for inner in part]
        elif not isinstance(part, bool):
            told += 1
            yield path, reachable, None if part is None else str(part)


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text.partition("/")[0])
    except ValueError:
        return False
    return "." in text or ":" in text


def _is_iban(text: str) -> bool:
    if not _IBAN.fullmatch(text):
        return False
    compact = text.replace(" ", "")
    turned = "".join(str(int(sign, 36)) for sign in compact[4:] + compact[:4])
    return int(turned) % 97 == _IBAN_REST  # ISO 7064, MOD 97-10


def _luhn(text: str) -> bool:
    digits = [int(sign) for sign in reversed(text) if sign.isdigit()]
    doubled = sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[::2]) + doubled) % 10 == 0  # ISO/IEC 7812-1, annex B


_FORMS: tuple[tuple[str, Callable[[str], object]], ...] = (
    ("email", _EMAIL.fullmatch),
    ("uuid", _UUID.fullmatch),
    ("date", _DATE.fullmatch),
    ("country", _COUNTRY.fullmatch),
    ("iban", _is_iban),
    ("ip", _is_ip),
    ("card", lambda text: _CARD.fullmatch(text) and _luhn(text)),
    ("number", _CARD.fullmatch),
    ("phone", _is_phone),
    ("number", _NUMBER.fullmatch),
    ("document", _is_document),
    ("code", _CODE.fullmatch),
    ("url", _URL.fullmatch),
    ("mail_id", _MAIL_ID.fullmatch),
    ("company", _COMPANY.fullmatch),
    ("prose", lambda text: len(text) > _LARGE_PROSE and " " in text),
    ("token", _TOKEN.fullmatch),
)
"""The forms of values, in the order in which they are tried."""
