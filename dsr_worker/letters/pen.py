"""The voice of a letter under one law: its sentences, provisions and grounds in a language."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from dsr_worker.domain.period import Period
from dsr_worker.evidence import Words
from dsr_worker.letters.facts import ByLaw, Facts
from dsr_worker.letters.texts import languages, words_of
from dsr_worker.package.grounds import explained
from dsr_worker.statutes.model import RightsRow

_ASIDE = re.compile(r" \([a-z]{3,}[^)]*\)(?=;|$)")
"""What a pack says beside a provision for its own reader, such as "(direct marketing)"."""


@dataclass(frozen=True)
class Pen:
    """One law of a letter while that is written."""

    facts: Facts
    law: ByLaw
    language: str
    row: RightsRow
    in_english: list[str]
    """What was told in English for want of words; shared by all laws of the letter."""

    @property
    def texts(self) -> Mapping[str, Any]:
        """The sentences of the language."""
        return languages()[self.language]

    @property
    def words(self) -> Words:
        """The words for codes."""
        return words_of(self.language)

    @property
    def name(self) -> str:
        """The law, as this language calls it."""
        return self.words.known("law", self.law.pack.name) or self.law.pack.title

    @property
    def provision(self) -> str:
        """Where this law gives the right that was asked for."""
        return self.cite(self.row.provisions[self.facts.right])

    @property
    def authority(self) -> str:
        """Where this law lets the person complain; some names only describe, and have words."""
        body = self.law.authority or self.law.pack.authorities.body(self.law.country)
        return self.words.authority(body)

    def say(self, key: str, **more: object) -> str:
        """A sentence of this language with its blanks filled."""
        facts = self.facts
        filled: dict[str, object] = {
            "ref": facts.ref,
            "right": self.texts["right"][facts.right.value],
            "law": self.name,
            "provision": self.provision,
            "received_on": self.day(facts.received_on),
            "due_on": self.day(self.law.due_on),
            "authority": self.authority,
            "name": facts.sender.name,
            "contact": facts.sender.contact,
        }
        return str(self.texts["sentence"][key]).format(**(filled | more))

    def day(self, on: date) -> str:
        """A civil day."""
        return self.words.day(on)

    def period(self, period: Period) -> str:
        """A number of days or months."""
        return str(self.texts["period"][period.unit.value].format(amount=period.amount))

    def cite(self, citation: str) -> str:
        """A provision as this language writes it."""
        known = self.words.known("citation", citation)
        if known is not None:
            return known
        for english, said in self.texts["gloss"].items():
            citation = citation.replace(english, said)
        if self.language != "en":
            citation = _ASIDE.sub("", citation)
        names: Mapping[str, str] = self.texts["statute"]
        known_as = "|".join(map(re.escape, names))
        article = re.compile(rf"(?<!UK )\b({known_as}) (?:Arts? |ss?\.)([0-9][^;]*)")
        return article.sub(lambda found: f"Art. {found[2]} {names[found[1]]}", citation)

    def ground(self, code: str, citation: str | None = None) -> tuple[str, str]:
        """A ground in words, and its provision (empty where there is none)."""
        pack = self.law.pack
        exemption = next((e for e in pack.exemptions if e.code == code), None)
        if exemption is None:
            said, cited = explained(code, self.words, pack.name, citation)
            return said, self.cite(cited)
        known = self.words.known("ground", exemption.words)
        if known is None:
            self.borrowed(code)
        return known or exemption.meaning, self.cite(exemption.citation)

    def channel(self, channel: str) -> str:
        """A way to a remedy in words."""
        known = self.texts["channel"].get(channel)
        if known is None:
            self.borrowed(channel)
        return str(known or channel)

    def borrowed(self, what: str) -> None:
        """Note that something is told in English."""
        if self.language != "en" and what not in self.in_english:
            self.in_english.append(what)


def with_citation(said: str, cited: str) -> str:
    """Words with the provision behind them, where there is one."""
    return f"{said} ({cited})" if cited else said
