"""The letters' sentences by language: one file each in `languages/`, all with the same keys.

A language that `dsr_worker.evidence.wording` lacks brings the words that a letter needs of it
(months, grounds, laws) in its own file; what it does not bring is told in English.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

import orjson

from dsr_worker.evidence import Words, words
from dsr_worker.evidence import wording as evidence

BORROWED = "words"
"""The one part of a file that only languages have that are no language of the evidence."""


@cache
def languages() -> Mapping[str, Mapping[str, Any]]:
    """Every language there is, by its two-letter tag."""
    folder = resources.files("dsr_worker.letters") / "languages"
    return MappingProxyType(
        {
            file.name.removesuffix(".json"): MappingProxyType(orjson.loads(file.read_bytes()))
            for file in sorted(folder.iterdir(), key=lambda entry: entry.name)
            if file.name.endswith(".json")
        }
    )


@cache
def words_of(language: str) -> Words:
    """The words for codes of a language that letters are written in. Raises KeyError."""
    own: Mapping[str, Mapping[str, str]] = languages()[language].get(BORROWED, {})
    if has_words(language):
        return words(language)
    lent = words("en").tables
    return Words(language, {kind: {**table, **own.get(kind, {})} for kind, table in lent.items()})


def has_words(language: str) -> bool:
    """Whether the evidence, and with it every rule of the house, speaks this language."""
    return language in evidence.languages()


def knows(language: str, kind: str, code: str) -> bool:
    """Whether the words of a code are in this language itself."""
    if has_words(language):
        return words(language).known(kind, code) is not None
    own: Mapping[str, Mapping[str, str]] = languages()[language][BORROWED]
    return code in own.get(kind, {})


def day_of(language: str, on: date) -> str:
    """A civil day as a letter writes it: the first of a month has a form of its own in French."""
    said = words_of(language).day(on)
    return said.replace("1 ", f"{languages()[language]['first']} ", 1) if on.day == 1 else said
