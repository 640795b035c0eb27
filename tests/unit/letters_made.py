"""Letters as tests make them: facts under one law or several, and what has to stand in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from dsr_worker.letters import (
    About,
    ByLaw,
    Facts,
    Letter,
    Sender,
    languages,
    sentence_of,
    words_of,
)
from dsr_worker.letters.contents import RECOURSE
from dsr_worker.statutes import LawPack, Right, load_pack, packs
from dsr_worker.statutes.model import RightsRow

ALL = sorted(languages())
SENDER = Sender("Laden GmbH", "Weg 1\n10115 Berlin", "privacy@laden.example")
LAWS = [name for name in packs() if load_pack(name).rights]


def by_law(pack: LawPack, on: date, **more: Any) -> ByLaw:
    """One law as a letter goes by it."""
    law = ByLaw(
        pack=pack,
        country=pack.default_country or pack.countries[0],
        received_on=on,
        due_on=date(2026, 12, 1),
    )
    return replace(law, **more)


def facts_of(pack: LawPack, right: Right, on: date, **more: Any) -> Facts:
    """A case under one law; what is of the law goes to it, what is of the case to the facts."""
    of_law = {name: more.pop(name) for name in _OF_LAW & more.keys()}
    facts = Facts(
        about=About.REFUSAL,
        ref="A-2026-000001",
        right=right,
        sender=SENDER,
        written_on=date(2026, 11, 22),
        received_on=on,
        laws=(by_law(pack, on, **of_law),),
    )
    return replace(facts, **more)


_OF_LAW = {"country", "due_on", "has_number", "authority", "effect", "new_due_on", "reason"}
_OF_LAW |= {"grounds"}


def of_eu(**more: Any) -> Facts:
    """An erasure under the GDPR."""
    return facts_of(load_pack("eu-gdpr"), Right.ERASURE, date(2026, 11, 1), **more)


def day(language: str, on: date) -> str:
    """A day as letters write it."""
    return words_of(language).day(on)


def gdpr(language: str) -> str:
    """What a language calls the GDPR in a citation."""
    return str(languages()[language]["statute"]["GDPR"])


def rows_of(pack: LawPack) -> Iterator[tuple[RightsRow, Right, date]]:
    """Every row that is or was law, with each of its rights and a day on which it binds."""
    for row in pack.rights:
        if row.effective_from is not None:
            for right in row.provisions:
                yield row, right, row.effective_from


def require_contents(letter: Letter, rows: Sequence[RightsRow], language: str) -> None:
    """Each sentence that a row asks for is there, and none is there more often than laws ask."""
    said = languages()[language]["sentence"]
    assert "{" not in letter.text
    greeting = str(languages()[language]["greeting"])
    paragraphs = letter.text.partition(greeting)[2].split("\n\n")
    assert len(set(paragraphs)) == len(paragraphs), "said twice"
    for row in rows:
        keys = {sentence_of(code) for code in row.refusal.contents}
        if RECOURSE in keys:  # says the complaint as well
            keys.discard("complaint_to_authority")
        for key in keys:
            start = said[key].partition("{")[0]
            found = [one for one in paragraphs if one.startswith(start)]
            most = 2 if key == "complaint_to_authority" else 1  # a recourse begins like it
            assert 1 <= len(found) <= most * len(rows), (row.id, key)
            if "{" not in said[key]:
                assert len(found) == 1, (row.id, key)


APPEALS = [
    (name, row, right, on)
    for name in LAWS
    for row, right, on in rows_of(load_pack(name))
    if row.appeal is not None and row.appeal.answer is not None
]
