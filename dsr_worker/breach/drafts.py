"""Drafts of the notices: what each authority asks for, and plain words for the people affected.

In: a breach's facts, its open duties, prose written by people. Out: a sealed blob of texts, per
duty and per language, with what is still missing named in them. Nothing goes out that has a gap:
approval refuses it. Art. 33(3) GDPR says what authorities hear, Art. 34(2) what people hear.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any

from dsr_worker.breach.leak import PARTS
from dsr_worker.domain.calendar import zone_of
from dsr_worker.domain.decision import canonical_json
from dsr_worker.evidence import words
from dsr_worker.notify.texts import FALLBACK, MailText, Texts, languages_of
from dsr_worker.organisation import Organisation
from dsr_worker.store import Store, new_name
from dsr_worker.vault import CaseKey

PURPOSE = "breach drafts"
_TOLD_IN_WRITING = frozenset({"authority", "attorney-general", "controller"})
_SPOKEN = {  # of the languages that templates are written in
    **dict.fromkeys(("DE", "AT", "LI"), "de"),
    **dict.fromkeys(("FR", "CA-QC"), "fr"),
    **dict.fromkeys(("ES", "MX", "AR"), "es"),
}
_LATE = timedelta(0)
_WORDS = {
    "en": {
        "yes": "yes",
        "no": "no",
        "unknown": "not known yet",
        "in_time": "Not applicable: this comes in time.",
        "people": "Approximately {people} people, of whom the residence of {unknown} is not known.",
        "not_counted": "Not counted yet.",
        "missing": "[MISSING: {part}]",
    },
    "de": {
        "yes": "ja",
        "no": "nein",
        "unknown": "noch nicht bekannt",
        "in_time": "Entfällt: diese Meldung kommt rechtzeitig.",
        "people": "Ungefähr {people} Personen; von {unknown} ist der Wohnsitz nicht bekannt.",
        "not_counted": "Noch nicht gezählt.",
        "missing": "[FEHLT: {part}]",
    },
    "fr": {
        "yes": "oui",
        "no": "non",
        "unknown": "pas encore connu",
        "in_time": "Sans objet\u00a0: cette notification est faite à temps.",
        "people": (
            "Environ {people} personnes, dont {unknown} dont le lieu de résidence est inconnu."
        ),
        "not_counted": "Pas encore comptées.",
        "missing": "[MANQUE\u00a0: {part}]",
    },
    "es": {
        "yes": "sí",
        "no": "no",
        "unknown": "aún no se sabe",
        "in_time": "No procede: esta notificación llega a tiempo.",
        "people": (
            "Aproximadamente {people} personas, de las cuales se desconoce la residencia de"
            " {unknown}."
        ),
        "not_counted": "Aún sin contar.",
        "missing": "[FALTA: {part}]",
    },
}


@dataclass(frozen=True, slots=True)
class Drafts:
    """Texts by language for people, by clock for authorities; what is missing, by language."""

    people: Mapping[str, MailText] = field(repr=False)
    reports: Mapping[str, MailText] = field(repr=False)
    missing: Mapping[str, tuple[str, ...]]

    @property
    def hash(self) -> str:
        """The SHA-256 (hex) of what people would be sent, in every language."""
        plain = {k: [t.subject, t.body] for k, t in sorted(self.people.items())}
        return hashlib.sha256(canonical_json(plain).encode()).hexdigest()

    def to_bytes(self) -> bytes:
        """The drafts as JSON, to be sealed."""
        plain = {
            "people": {k: [t.subject, t.body] for k, t in self.people.items()},
            "reports": {k: [t.subject, t.body] for k, t in self.reports.items()},
            "missing": {k: list(v) for k, v in self.missing.items()},
        }
        return json.dumps(plain).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> Drafts:
        """The drafts that `to_bytes` wrote."""
        plain = json.loads(content)
        return cls(
            {k: MailText(*t) for k, t in plain["people"].items()},
            {k: MailText(*t) for k, t in plain["reports"].items()},
            {k: tuple(v) for k, v in plain["missing"].items()},
        )


@dataclass(frozen=True, slots=True)
class Told:
    """What drafts are written from. `clocks` are rows of open clocks, `prose` is by language."""

    case: str
    facts: Mapping[str, Any]
    clocks: Sequence[Any]
    prose: Mapping[str, Mapping[str, str]] = field(repr=False)
    rows: int
    now: datetime


class Writer:
    """Writes drafts in the organisation's name."""

    def __init__(self, organisation: Organisation) -> None:
        self._organisation = organisation
        self._texts = Texts()
        self.languages = tuple(
            language
            for language in organisation.languages
            if language in languages_of("breach_individuals")
        ) or (FALLBACK,)

    def language_of(self, residence: str | None) -> str:
        """The language in which somebody who lives there is written to."""
        place = residence or ""
        wanted = _SPOKEN.get(place) or _SPOKEN.get(place.partition("-")[0], FALLBACK)
        return wanted if wanted in self.languages else self.languages[0]

    def write(self, told: Told) -> Drafts:
        """Every draft of a breach."""
        return Drafts(
            people={language: self._for_people(told, language) for language in self.languages},
            reports={
                clock.name: self._report(told, clock)
                for clock in told.clocks
                if clock.facts["recipient"] in _TOLD_IN_WRITING
            },
            missing={
                language: missing
                for language in self.languages
                if (missing := tuple(p for p in PARTS if not _said(told, language, p)))
            },
        )

    def _for_people(self, told: Told, language: str) -> MailText:
        return self._texts.render(
            "breach_individuals",
            language,
            {**self._common(told, language), **self._house(language)},
        )

    def _report(self, told: Told, clock: Any) -> MailText:
        language = self.language_of(clock.facts["jurisdiction"])
        table = _WORDS[language]
        found = told.facts.get("affected")
        due_at = clock.due_at or clock.conservative_due_at
        late = told.now - due_at >= _LATE
        values = {
            **self._common(told, language),
            **self._house(language),
            "case": told.case,
            "body": clock.recipient,
            "citation": clock.citation,
            "zone": clock.zone,
            "due_local": _local(due_at, clock.zone),
            "aware_local": _local(datetime.fromisoformat(told.facts["aware_at"]), clock.zone),
            "window": _window(told.facts),
            "systems": ", ".join(told.facts["scopes"]),
            "people_line": table["not_counted"]
            if found is None
            else table["people"].format(**found),
            "residences": [] if found is None else _residences(found),
            "records": told.rows,
            "encrypted": table[_certainty(told.facts["encrypted"])],
            "late_reasons": _said(told, language, "late_reasons")
            or (table["missing"].format(part="late_reasons") if late else table["in_time"]),
            "complete": found is not None and found["complete"],
        }
        return self._texts.render("breach_authority", language, values)

    def _common(self, told: Told, language: str) -> dict[str, Any]:
        table = _WORDS[language]
        aware_at = datetime.fromisoformat(told.facts["aware_at"])
        zone = zone_of(self._organisation.establishment.zone)
        return {
            **{
                part: _said(told, language, part) or table["missing"].format(part=part)
                for part in PARTS
            },
            "aware_on": _day(aware_at.astimezone(zone).date(), language),
            "categories": categories(told.facts["categories"], language),
        }

    def _house(self, language: str) -> dict[str, str]:
        own = self._organisation.controller
        return {
            "controller": own.name,
            "address": own.address,
            "contact": own.data_protection_officer or str(own.contact),
        }


def categories(keys: Sequence[str], language: str) -> list[str]:
    """Data categories in words for people, each once, in the order of their keys."""
    known = _category_words()[language]
    return list(dict.fromkeys(_word(key, known) for key in sorted(keys)))


def keep(store: Store, key: CaseKey, drafts: Drafts, on: date) -> str:
    """Keep drafts, sealed, under a new name."""
    name = new_name("drafts", on)
    with store.write(name) as blob:
        blob.write(key.seal(drafts.to_bytes(), f"{PURPOSE}:{name}"))
    return name


def read(store: Store, key: CaseKey, name: str) -> Drafts:
    """Kept drafts. Raises BlobMissing, SealBroken."""
    with store.open(name) as blob:
        return Drafts.from_bytes(key.open(blob.read(), f"{PURPOSE}:{name}"))


def _said(told: Told, language: str, part: str) -> str:
    return told.prose.get(language, {}).get(part, "").strip()


def _word(key: str, known: Mapping[str, str]) -> str:
    while key not in known and "." in key:
        key = key.rpartition(".")[0]
    return known.get(key, known["user"])


@cache
def _category_words() -> dict[str, dict[str, str]]:
    text = (files("dsr_worker.breach") / "words.json").read_text(encoding="utf-8")
    found: dict[str, dict[str, str]] = json.loads(text)
    return found


def _certainty(known: bool | None) -> str:  # noqa: FBT001 - a fact that may be unknown
    if known is None:
        return "unknown"
    return "yes" if known else "no"


def _residences(found: Mapping[str, Any]) -> list[str]:
    return [f"{code}: {count}" for code, count in sorted(found["residences"].items())]


def _window(facts: Mapping[str, Any]) -> str:
    scopes = [scope for some in facts["scopes"].values() for scope in some]
    spans = {f"{s['from_at'] or '…'} / {s['until_at'] or '…'}" for s in scopes}
    return "; ".join(sorted(span for span in spans if span != "… / …"))


def _local(at: datetime, zone: str) -> str:
    return f"{at.astimezone(zone_of(zone)):%Y-%m-%d %H:%M}"


def _day(on: date, language: str) -> str:
    return words(language).day(on)
