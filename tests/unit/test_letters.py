"""Letters: whatever a law asks for has a sentence in every language, and nothing is left out."""

from __future__ import annotations

import string
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from dsr_worker.domain.period import PauseEffect
from dsr_worker.evidence.wording import languages as evidence_languages
from dsr_worker.fulfil.clocks import EXTENSION_REASONS
from dsr_worker.letters import (
    SENTENCES,
    About,
    Facts,
    Kept,
    Letter,
    LetterRefused,
    Sender,
    composed,
    languages,
    sentence_of,
    words_of,
)
from dsr_worker.letters.contents import FORBIDDEN
from dsr_worker.letters.texts import BORROWED, day_of, knows
from dsr_worker.statutes import LawPack, Right, load_pack, packs
from dsr_worker.statutes.model import RightsRow

ALL = sorted(languages())
SENDER = Sender("Laden GmbH", "Weg 1\n10115 Berlin", "privacy@laden.example")
LAWS = [name for name in packs() if load_pack(name).rights]


def _facts(pack: LawPack, right: Right, on: date, **more: Any) -> Facts:
    facts = Facts(
        about=About.REFUSAL,
        ref="A-2026-000001",
        right=right,
        pack=pack,
        country=pack.default_country or pack.countries[0],
        sender=SENDER,
        written_on=date(2026, 11, 22),
        received_on=on,
        due_on=date(2026, 12, 1),
    )
    return replace(facts, **more)


def _eu(**more: Any) -> Facts:
    return _facts(load_pack("eu-gdpr"), Right.ERASURE, date(2026, 11, 1), **more)


def _rows(pack: LawPack) -> Iterator[tuple[RightsRow, Right, date]]:
    """Every row that is or was law, with each of its rights and a day on which it binds."""
    for row in pack.rights:
        if row.effective_from is not None:
            for right in row.provisions:
                yield row, right, row.effective_from


def _keys(value: Any, path: str = "") -> Iterator[tuple[str, frozenset[str]]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _keys(part, f"{path}/{key}")
        return
    assert value.strip(), path
    yield path, frozenset(name for _, name, _, _ in string.Formatter().parse(value) if name)


def test_the_authority_that_the_house_names_stands_in_its_letters() -> None:
    """A person is told where to complain by name, not by how a country is organised."""
    told = composed(_eu(ground="ANY_UNFOUNDED", authority="Behörde am Ort"), "de").text
    assert "Behörde am Ort" in told


@pytest.mark.parametrize("language", ALL)
def test_languages_have_the_same_sentences_with_the_same_blanks(language: str) -> None:
    """A language is complete: each key of English, none empty, no blank of its own."""
    assert set(ALL) >= {"en", "de", "fr", "es"}
    told, model = (
        dict(_keys({k: v for k, v in languages()[one].items() if k != BORROWED}))
        for one in (language, "en")
    )
    assert told.keys() == model.keys()
    for key, blanks in told.items():
        assert blanks <= model[key] | {"law", "provision", "ref", "contact"}, key
        assert {"ground", "authority", "new_due_on", "reason", "file_within"} & model[key] <= blanks
    assert (BORROWED in languages()[language]) == (language not in evidence_languages())


@pytest.mark.parametrize("law", LAWS)
def test_every_content_that_a_law_asks_for_has_a_sentence_in_every_language(law: str) -> None:
    """For every row of every pack: each code of a refusal, and the time for an appeal, is said."""
    for row in load_pack(law).rights:
        for code in row.refusal.contents:
            if code == FORBIDDEN:
                assert row.refusal.contents == (FORBIDDEN,)
                continue
            key = sentence_of(code)
            special = {"appeal", "deadline"}
            for language in ALL:
                assert languages()[language]["sentence"][key].strip() or key in special
        if row.appeal is not None and row.appeal.file_within:
            for language in ALL:
                assert row.appeal.file_within in languages()[language]["file_within"], row.id


def test_no_code_has_a_sentence_that_no_law_asks_for() -> None:
    """A sentence for a code that has gone from the packs is dead text."""
    asked = {c for n in LAWS for r in load_pack(n).rights for c in r.refusal.contents}
    assert set(SENTENCES) == asked - {FORBIDDEN}


@pytest.mark.parametrize("language", ALL)
@pytest.mark.parametrize("law", LAWS)
def test_a_refusal_under_every_law_has_what_its_row_asks_for(law: str, language: str) -> None:
    """Each sentence that the row asks for stands in the letter, and authority and appeal."""
    pack = load_pack(law)
    for row, right, on in _rows(pack):
        grounds = [e for e in pack.exemptions if right in e.rights]
        if not grounds or FORBIDDEN in row.refusal.contents:
            continue
        letter = composed(_facts(pack, right, on, ground=grounds[0].code), language)
        assert "{" not in letter.text
        assert "A-2026-000001" in letter.text
        assert SENDER.contact in letter.text
        body = pack.authorities.body(pack.default_country or pack.countries[0])
        assert body in letter.text
        for code in row.refusal.contents:
            start = languages()[language]["sentence"][sentence_of(code)].partition("{")[0]
            assert start in letter.text, (row.id, code)
        if row.appeal is not None and row.appeal.file_within:
            assert languages()[language]["file_within"][row.appeal.file_within] in letter.text
        if row.appeal is not None and row.appeal.answer is not None:
            amount = row.appeal.answer.period.amount
            assert not amount or str(amount) in letter.text


@pytest.mark.parametrize("language", [one for one in ALL if one not in evidence_languages()])
def test_every_ground_of_every_law_has_words(language: str) -> None:
    """A language of its own names each ground that a law pack knows, in itself."""
    grounds = [e for name in packs() for e in load_pack(name).exemptions]
    codes = {e.code for e in grounds} | {e.words for e in grounds}
    missing = [code for code in sorted(codes) if not knows(language, "ground", code)]
    assert missing == []
    assert set(languages()[language][BORROWED]["ground"]) == codes
    assert set(languages()[language][BORROWED]["law"]) <= set(packs())


def test_an_unknown_code_is_an_error_and_never_left_out() -> None:
    """What a law asks for and no letter says stops the letter, with the way out."""
    pack = load_pack("eu-gdpr")
    (row,) = pack.rights
    refusal = row.refusal.model_copy(update={"contents": ("reasons", "a_seal_of_wax")})
    changed = pack.model_copy(update={"rights": (row.model_copy(update={"refusal": refusal}),)})
    facts = _facts(changed, Right.ERASURE, date(2026, 11, 1), ground="ANY_UNFOUNDED")
    with pytest.raises(LetterRefused, match="a_seal_of_wax"):
        composed(facts, "en")


def test_an_unknown_time_for_an_appeal_is_an_error() -> None:
    """A time that no language says stops the letter instead of being told in another language."""
    pack = load_pack("us-va")
    row = pack.rights[0]
    assert row.appeal is not None
    appeal = row.appeal.model_copy(update={"file_within": "until the next full moon"})
    changed = pack.model_copy(
        update={"rights": (row.model_copy(update={"appeal": appeal}), *pack.rights[1:])}
    )
    right = next(iter(row.provisions))
    ground = next(e.code for e in pack.exemptions if right in e.rights)
    with pytest.raises(LetterRefused, match="full moon"):
        composed(_facts(changed, right, date(2026, 11, 1), ground=ground), "fr")


def test_what_nobody_may_refuse_has_no_letter_of_refusal() -> None:
    """Where the law allows no refusal, none is written."""
    facts = _facts(load_pack("hk-pdpo"), Right.OPT_OUT, date(2026, 11, 1))
    ground = next(e.code for e in facts.pack.exemptions)
    with pytest.raises(LetterRefused, match="lets nobody refuse"):
        composed(replace(facts, ground=ground), "en")


def test_a_refusal_needs_a_ground_of_the_law() -> None:
    """Without a ground, or on one that the law does not know, there is no letter of refusal."""
    with pytest.raises(LetterRefused, match="is not refused"):
        composed(_eu(), "en")
    with pytest.raises(LetterRefused, match="CA_SPEECH"):
        composed(_eu(ground="CA_SPEECH"), "en")


def test_a_refusal_by_the_gdpr_names_ground_authority_and_court() -> None:
    """Art. 12(4) GDPR: reasons, complaint to the authority of the country, judicial remedy."""
    facts = _eu(ground="ER_LEGAL_CLAIMS", country="FR")
    text = composed(facts, "fr").text
    assert "Art. 17(3)(e) RGPD" in text
    assert "nécessaire à la constatation" in text
    assert "CNIL" in text
    assert "recours en justice" in text
    assert "BayLDA" in composed(replace(facts, country="DE-BY"), "de").text


@pytest.mark.parametrize("language", ALL)
def test_an_extension_tells_both_dates_the_reason_and_the_provision(language: str) -> None:
    """Art. 12(3) GDPR: the person hears of the new date with the reason for it."""
    for reason in EXTENSION_REASONS:
        facts = _eu(about=About.EXTENSION, new_due_on=date(2027, 2, 1), reason=reason)
        text = composed(facts, language).text
        assert day_of(language, date(2026, 12, 1)) in text
        assert day_of(language, date(2027, 2, 1)) in text
        assert languages()[language]["reason"][reason] in text
        assert f"Art. 12(3) {languages()[language]['gdpr']}" in text
    with pytest.raises(LetterRefused):
        composed(_eu(about=About.EXTENSION, reason="complex"), language)


@pytest.mark.parametrize("language", ALL)
@pytest.mark.parametrize("about", [About.IDENTITY, About.CLARIFICATION])
def test_a_question_tells_what_the_time_to_answer_does(about: About, language: str) -> None:
    """Stands, runs anew or runs on: the letter says what the law of the case makes of it."""
    texts = languages()[language]["sentence"]
    told = {
        effect: composed(_eu(about=about, effect=effect), language)
        for effect in (None, PauseEffect.RESTART, PauseEffect.SUSPEND)
    }
    assert texts["time_restarts"] in told[PauseEffect.RESTART].text
    assert texts["time_stands"] in told[PauseEffect.SUSPEND].text
    assert texts["time_runs"].partition("{")[0] in told[None].text
    assert {letter.to_complete for letter in told.values()} == {1}


@pytest.mark.parametrize("language", ALL)
def test_an_acknowledgement_names_day_reference_law_and_date(language: str) -> None:
    """What came, when, under which law, until when it is answered: a date of the house as such."""
    facts = _eu(about=About.ACKNOWLEDGEMENT)
    text = composed(facts, language).text
    for day in (facts.received_on, facts.due_on, facts.written_on):
        assert day_of(language, day) in text
    assert facts.ref in text
    assert f"Art. 17 {languages()[language]['gdpr']}" in text
    by_house = composed(replace(facts, has_number=False), language).text
    assert languages()[language]["sentence"]["answer_by_house"].partition("{")[0] in by_house


@pytest.mark.parametrize("language", ALL)
def test_a_partial_answer_names_each_ground_with_rows_day_and_remedies(language: str) -> None:
    """What stays is told by ground, with provision and last day, and what one can do against it."""
    kept = (Kept("ER_LEGAL_OBLIGATION", 3, date(2031, 12, 31)), Kept("de-ao-147-letters", 1))
    letter: Letter = composed(_eu(about=About.PARTIAL, kept=kept, country="ES"), language)
    cited = words_of(language).citation("GDPR Art 17(3)(b)")
    assert cited.replace("GDPR", languages()[language]["gdpr"]) in letter.text
    assert day_of(language, date(2031, 12, 31)) in letter.text
    assert "AO" in letter.text
    assert "AEPD" in letter.text
    texts = languages()[language]["sentence"]
    assert texts["judicial_remedy"] in letter.text
    assert texts["reasons"].partition("{")[0] not in letter.text
    lent = () if language in evidence_languages() else ("de-ao-147-letters",)
    assert letter.in_english == lent
    with pytest.raises(LetterRefused, match="nothing is known"):
        composed(_eu(about=About.PARTIAL), language)


def test_what_can_be_done_comes_after_what_was_decided() -> None:
    """Reasons first, then authority and court, the time for them last."""
    pack = load_pack("ca-qc-law25")
    letter = composed(
        _facts(pack, Right.ACCESS, date(2026, 11, 1), ground="AC_RIGHTS_OF_OTHERS"), "en"
    )
    parts = [letter.text.index(one) for one in ("The reason is", "reviewed by", "Time for turning")]
    assert parts == sorted(parts)


APPEALS = [
    (name, row, right, on)
    for name in LAWS
    for row, right, on in _rows(load_pack(name))
    if row.appeal is not None and row.appeal.answer is not None
]


@pytest.mark.parametrize("language", ALL)
def test_a_dismissed_appeal_names_reasons_and_the_authority_by_every_law(language: str) -> None:
    """Va. Code 59.1-577(C) and its like: reasons in writing, and how to reach the authority."""
    assert len(APPEALS) > 20
    for name, row, right, on in APPEALS:
        pack = load_pack(name)
        facts = _facts(
            pack, right, on, about=About.APPEAL_DISMISSED, appealed_on=date(2026, 11, 20)
        )
        letter = composed(facts, language)
        assert pack.authorities.body(facts.country) in letter.text, row.id
        assert day_of(language, date(2026, 11, 20)) in letter.text
        assert languages()[language]["sentence"]["appeal_how"] in letter.text
        assert languages()[language]["sentence"]["appeal"].partition("{")[0] not in letter.text
        assert letter.to_complete >= 2


@pytest.mark.parametrize("language", ALL)
@pytest.mark.parametrize("about", [About.APPEAL_GRANTED, About.APPEAL_PARTLY])
def test_a_granted_appeal_tells_until_when_the_new_answer_comes(
    about: About, language: str
) -> None:
    """What follows and when; of a part also what is still open against the rest."""
    name, _row, right, on = APPEALS[0]
    facts = _facts(load_pack(name), right, on, about=about, appealed_on=date(2026, 11, 20))
    text = composed(facts, language).text
    assert day_of(language, facts.due_on) in text
    how = languages()[language]["sentence"]["appeal_how"]
    assert (how in text) == (about is About.APPEAL_PARTLY)


@pytest.mark.parametrize("language", ALL)
@pytest.mark.parametrize(
    "about", [About.APPEAL_DISMISSED, About.APPEAL_GRANTED, About.APPEAL_PARTLY]
)
def test_without_an_appeal_there_is_no_letter_on_one(about: About, language: str) -> None:
    """A letter answers an appeal that was decided so, and tells what comes first."""
    with pytest.raises(LetterRefused, match="dsr appeal"):
        composed(_eu(about=about), language)
