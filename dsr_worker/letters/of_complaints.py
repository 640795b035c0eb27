"""Letters about complaints: that one came in, and how it ended.

In: the facts of a complaint, a language. Out: a text that a person completes and sends; the same
facts give the same text. Sentences lie in `complaints/`, one file a language, all with the same
keys; greeting, closing and dates are those of all letters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

import orjson

from dsr_worker.domain.complaint import Outcome, Topic
from dsr_worker.letters.contents import LetterRefused
from dsr_worker.letters.facts import Letter, Sender
from dsr_worker.letters.texts import languages, words_of

_TO_COMPLETE = re.compile(r"\[[^\]]+\]")


class ComplaintLetter(StrEnum):
    """What a letter about a complaint says."""

    ACKNOWLEDGEMENT = "acknowledgement"
    OUTCOME = "outcome"


@dataclass(frozen=True, slots=True)
class ComplaintFacts:
    """One complaint as a letter tells it; no value of the person is part of it."""

    about: ComplaintLetter
    ref: str
    topic: Topic
    sender: Sender
    written_on: date
    received_on: date
    due_on: date
    """When the outcome is told: the strictest of house and law."""
    held: bool = False
    outcome: Outcome | None = None
    referred_to: str = ""
    """Before whom it is already: the `body` or the `authority` below; empty for neither."""
    body: str | None = None
    """Of the house's timetable; where it names none, the letter leaves its place open."""
    authority: str | None = None
    """Of the law; None where the complaint is not about personal data."""


@cache
def sentences() -> Mapping[str, Mapping[str, Any]]:
    """What is said, by language."""
    folder = resources.files("dsr_worker.letters") / "complaints"
    return MappingProxyType(
        {
            file.name.removesuffix(".json"): MappingProxyType(orjson.loads(file.read_bytes()))
            for file in sorted(folder.iterdir(), key=lambda entry: entry.name)
            if file.name.endswith(".json")
        }
    )


def composed_of_complaint(facts: ComplaintFacts, language: str) -> Letter:
    """The letter of these facts in a language that letters are written in.

    Raises LetterRefused for an outcome that is not decided yet.
    """
    texts, common = sentences()[language], languages()[language]
    filled = {
        "ref": facts.ref,
        "topic": texts["topic"][facts.topic.value],
        "received_on": words_of(language).day(facts.received_on),
        "due_on": words_of(language).day(facts.due_on),
        "contact": facts.sender.contact,
        "name": facts.sender.name,
        "body": facts.body or texts["no_body"],
        "authority": words_of(language).authority(facts.authority or ""),
    }
    said = [_said(texts["sentence"], key, filled) for key in _keys(facts)]
    if facts.outcome is not None and facts.about is ComplaintLetter.OUTCOME:
        said.insert(1, texts["outcome"][facts.outcome.value])
    parts = [
        f"{facts.sender.name}\n{facts.sender.address.strip()}",
        words_of(language).day(facts.written_on),
        texts["subject"][facts.about.value].format(ref=facts.ref),
        common["greeting"],
        *said,
        common["closing"].format(name=facts.sender.name),
    ]
    text = "\n\n".join(parts) + "\n"
    return Letter(language, text, len(_TO_COMPLETE.findall(text)))


def _keys(facts: ComplaintFacts) -> Iterator[str]:
    """The sentences of a letter, in order."""
    yield "received"
    if facts.about is ComplaintLetter.ACKNOWLEDGEMENT:
        yield "next"
        if facts.held:
            yield "held"
        yield "add"
        return
    if facts.outcome is None:
        message = (
            f"the outcome of {facts.ref} is not decided:"
            f" `dsr complaint resolve {facts.ref} --outcome …` comes first"
        )
        raise LetterRefused(message)
    yield from ("reasons", "follows", "higher")
    if facts.authority is not None:
        yield "before_authority" if facts.referred_to == "authority" else "authority"
    yield "referred" if facts.referred_to == "body" else "body"


def _said(sentences: Mapping[str, str], key: str, filled: Mapping[str, Any]) -> str:
    if key == "before_authority":  # the same sentence, of somebody else
        return sentences["referred"].format(**{**filled, "body": filled["authority"]})
    return sentences[key].format(**filled)
