"""A house whose first language is French or Spanish: its answers are in it, from end to end."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from dsr_worker.evidence import words
from dsr_worker.package.texts import languages
from tests.integration.access_packages import handed_over
from tests.integration.engine_room import ORGANISATION, POLICY, EngineRoom

_ENGLISH = re.compile(r"\b(the|which|would|with|your|kept|request|this|that|what)\b")


def _house(language: str) -> str:
    """The organisation of the other tests, with its texts in another language."""
    return (
        re.sub(
            r"  en: \{.*?\}\n",
            f"  {language}: {{retention: a, rights: a, complaint: a, automated_decisions: a,"
            " transfers: a}\n",
            ORGANISATION,
            flags=re.DOTALL,
        )
        + f"languages: [{language}]\n"
    )


def _read(page: str) -> str:
    """What a person reads of a page."""
    return re.sub(r"<[^>]+>", " ", re.sub(r"(?s)<style.*?</style>", "", page))


@pytest.mark.parametrize("language", ["fr", "es"])
def test_package_and_certificate_speak_the_language_of_the_house(
    tmp_path: Path, ledger: Callable[[], str], language: str
) -> None:
    """Frame, words for codes, dates and periods: what a person reads has no English in it."""
    room = EngineRoom(tmp_path, ledger(), organisation=_house(language), policies={"trial": POLICY})
    room.load_people(1)
    person = {"email": "p.zq0000zq@mail.example"}
    access = room.submit("access", **person)
    room.settle()
    package = handed_over(room, access)
    assert f'lang="{language}"' in package["page"]
    assert languages()[language]["intro"][:40] in package["page"]
    erasure = room.submit("erasure", **person)
    room.settle()
    room.approve(erasure)
    room.settle()
    room.hand_over(erasure)
    (page,) = tmp_path.rglob(f"{erasure}*.html")
    text = page.read_text("utf-8")
    assert f'lang="{language}"' in text
    assert words(language).table("certificate")["title_erasure"] in text
    assert words(language).table("rule")["statute_minimum"].partition("{")[0] in text
    assert _ENGLISH.findall(_read(text)) == []
    assert _ENGLISH.findall(_read(package["page"]).replace("manifest.json", "")) == []
    room.office.ledger.dispose()
