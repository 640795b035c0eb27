"""Letters: whatever a law asks for has a sentence in every language, and nothing is left out."""

from __future__ import annotations

import string
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from dsr_worker.domain.period import PauseEffect
from dsr_worker.evidence.wording import languages as evidence_languages
from dsr_worker.fulfil.clocks import EXTENSION_REASONS
from dsr_worker.letters import (
    SENTENCES,
    About,
    Kept,
    Letter,
    LetterRefused,
    composed,
    languages,
    sentence_of,
    words_of,
)
from dsr_worker.letters.contents import FORBIDDEN, REMEDIES
from dsr_worker.package.texts import languages as package_languages
from dsr_worker.statutes import LawPack, Right, load_pack
from dsr_worker.statutes.model import ExemptionRow, RightsRow
from tests.unit.letters_made import (
    ALL,
    APPEALS,
    LAWS,
    SENDER,
    day,
    facts_of,
    gdpr,
    of_eu,
    require_contents,
    rows_of,
)


def _keys(value: Any, path: str = "") -> Iterator[tuple[str, frozenset[str]]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _keys(part, f"{path}/{key}")
        return
    assert value.strip(), path
    yield path, frozenset(name for _, name, _, _ in string.Formatter().parse(value) if name)


def test_the_authority_that_the_house_names_stands_in_its_letters() -> None:
    """A person is told where to complain by name, not by how a country is organised."""
    told = composed(of_eu(grounds=("ANY_UNFOUNDED",), authority="Behörde am Ort"), "de").text
    assert "Behörde am Ort" in told


OPEN = ("statute", "gloss")
"""What a language says of names that it has words of its own for, and another has not."""


@pytest.mark.parametrize("language", ALL)
def test_languages_have_the_same_sentences_with_the_same_blanks(language: str) -> None:
    """A language is complete: each key of English, none empty, no blank of its own."""
    assert set(ALL) >= {"en", "de", "fr", "es"}
    assert set(ALL) == set(evidence_languages()) == set(package_languages())
    told, model = (
        dict(_keys({k: v for k, v in languages()[one].items() if k not in OPEN}))
        for one in (language, "en")
    )
    assert told.keys() == model.keys()
    for key, blanks in told.items():
        assert blanks <= model[key] | {"law", "provision", "ref", "contact"}, key
        assert {"ground", "authority", "new_due_on", "reason", "file_within"} & model[key] <= blanks


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
    for row, right, on in rows_of(pack):
        grounds = [e for e in pack.exemptions if right in e.rights]
        if not grounds or FORBIDDEN in row.refusal.contents:
            continue
        for ground in grounds:
            letter = composed(facts_of(pack, right, on, grounds=(ground.code,)), language)
            _require_refusal(letter, pack, row, ground, language)
            assert "A-2026-000001" in letter.text


def _require_refusal(
    letter: Letter, pack: LawPack, row: RightsRow, ground: ExemptionRow, language: str
) -> None:
    """The ground in words, each content once, the authority, the appeal with its times."""
    texts = languages()[language]
    said = words_of(language).known("ground", ground.words)
    assert said is not None
    assert said in letter.text
    assert SENDER.contact in letter.text
    body = pack.authorities.body(pack.default_country or pack.countries[0])
    assert words_of(language).authority(body) in letter.text
    require_contents(letter, [row], language)
    assert letter.in_english == ()
    if row.appeal is not None and row.appeal.file_within:
        assert texts["file_within"][row.appeal.file_within] in letter.text
    if row.appeal is not None and row.appeal.answer is not None:
        amount = row.appeal.answer.period.amount
        assert not amount or str(amount) in letter.text


@pytest.mark.parametrize("language", ALL)
def test_every_way_to_a_remedy_that_a_letter_names_has_words(language: str) -> None:
    """What a law names beside its authority is told in the language of the letter."""
    for name in LAWS:
        pack = load_pack(name)
        for row, _, _ in rows_of(pack):
            codes = [code for code in row.refusal.contents if code != FORBIDDEN]
            asked = {sentence_of(code) for code in codes}
            body = pack.authorities.body(pack.default_country or pack.countries[0])
            if row.appeal is None or asked & REMEDIES or row.appeal.channel in body:
                continue
            assert languages()[language]["channel"][row.appeal.channel].strip(), row.id


def test_an_unknown_code_is_an_error_and_never_left_out() -> None:
    """What a law asks for and no letter says stops the letter, with the way out."""
    pack = load_pack("eu-gdpr")
    (row,) = pack.rights
    refusal = row.refusal.model_copy(update={"contents": ("reasons", "a_seal_of_wax")})
    changed = pack.model_copy(update={"rights": (row.model_copy(update={"refusal": refusal}),)})
    facts = facts_of(changed, Right.ERASURE, date(2026, 11, 1), grounds=("ANY_UNFOUNDED",))
    with pytest.raises(LetterRefused, match="a_seal_of_wax"):
        composed(facts, "en")


def test_a_ground_that_has_no_words_any_more_is_told_in_english_and_named() -> None:
    """A frozen pack may know what today's do not: the person is told, and who sends it sees."""
    pack = load_pack("eu-gdpr")
    old = pack.exemptions[0].model_copy(update={"code": "AC_OF_OLD", "meaning": "a law of old"})
    changed = pack.model_copy(update={"exemptions": (old,)})
    facts = facts_of(changed, Right.ACCESS, date(2026, 11, 1), grounds=("AC_OF_OLD",))
    assert composed(facts, "en").in_english == ()
    letter = composed(facts, "fr")
    assert "a law of old" in letter.text
    assert letter.in_english == ("AC_OF_OLD",)


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
        composed(facts_of(changed, right, date(2026, 11, 1), grounds=(ground,)), "fr")


def test_what_nobody_may_refuse_has_no_letter_of_refusal() -> None:
    """Where the law allows no refusal, none is written."""
    pack = load_pack("hk-pdpo")
    ground = next(e.code for e in pack.exemptions)
    with pytest.raises(LetterRefused, match="lets nobody refuse"):
        composed(facts_of(pack, Right.OPT_OUT, date(2026, 11, 1), grounds=(ground,)), "en")


def test_a_refusal_needs_a_ground_of_the_law() -> None:
    """Without a ground, or on one that the law does not know, there is no letter of refusal."""
    with pytest.raises(LetterRefused, match="is not refused"):
        composed(of_eu(), "en")
    with pytest.raises(LetterRefused, match="CA_SPEECH"):
        composed(of_eu(grounds=("CA_SPEECH",)), "en")


def test_a_refusal_by_the_gdpr_names_ground_authority_and_court() -> None:
    """Art. 12(4) GDPR: reasons, complaint to the authority of the country, judicial remedy."""
    text = composed(of_eu(grounds=("ER_LEGAL_CLAIMS",), country="FR"), "fr").text
    assert "Art. 17(3)(e) RGPD" in text
    assert "nécessaire à la constatation" in text
    assert "CNIL" in text
    assert "recours en justice" in text
    assert "BayLDA" in composed(of_eu(grounds=("ER_LEGAL_CLAIMS",), country="DE-BY"), "de").text


@pytest.mark.parametrize("language", ALL)
def test_an_extension_tells_both_dates_the_reason_and_the_provision(language: str) -> None:
    """Art. 12(3) GDPR: the person hears of the new date with the reason for it."""
    for reason in EXTENSION_REASONS:
        facts = of_eu(about=About.EXTENSION, new_due_on=date(2027, 2, 1), reason=reason)
        text = composed(facts, language).text
        assert day(language, date(2026, 12, 1)) in text
        assert day(language, date(2027, 2, 1)) in text
        assert languages()[language]["reason"][reason] in text
        assert f"Art. 12(3) {gdpr(language)}" in text
    with pytest.raises(LetterRefused):
        composed(of_eu(about=About.EXTENSION, reason="complex"), language)


@pytest.mark.parametrize("language", ALL)
@pytest.mark.parametrize("about", [About.IDENTITY, About.CLARIFICATION])
def test_a_question_tells_what_the_time_to_answer_does(about: About, language: str) -> None:
    """Stands, runs anew or runs on: the letter says what the law of the case makes of it."""
    texts = languages()[language]["sentence"]
    told = {
        effect: composed(of_eu(about=about, effect=effect), language)
        for effect in (None, PauseEffect.RESTART, PauseEffect.SUSPEND)
    }
    assert texts["time_restarts"] in told[PauseEffect.RESTART].text
    assert texts["time_stands"] in told[PauseEffect.SUSPEND].text
    assert texts["time_runs"].partition("{")[0] in told[None].text
    assert {letter.to_complete for letter in told.values()} == {1}


@pytest.mark.parametrize("language", ALL)
def test_an_acknowledgement_names_day_reference_law_and_date(language: str) -> None:
    """What came, when, under which law, until when it is answered: a date of the house as such."""
    facts = of_eu(about=About.ACKNOWLEDGEMENT)
    text = composed(facts, language).text
    for on in (facts.received_on, facts.laws[0].due_on, facts.written_on):
        assert day(language, on) in text
    assert facts.ref in text
    assert f"Art. 17 {gdpr(language)}" in text
    by_house = composed(of_eu(about=About.ACKNOWLEDGEMENT, has_number=False), language).text
    assert languages()[language]["sentence"]["answer_by_house"].partition("{")[0] in by_house


@pytest.mark.parametrize("language", ALL)
def test_a_partial_answer_names_each_ground_with_rows_day_and_remedies(language: str) -> None:
    """What stays is told by ground, with provision and last day, and what one can do against it."""
    kept = (Kept("ER_LEGAL_OBLIGATION", 3, date(2031, 12, 31)), Kept("de-ao-147-letters", 1))
    letter: Letter = composed(of_eu(about=About.PARTIAL, kept=kept, country="ES"), language)
    cited = words_of(language).citation("GDPR Art 17(3)(b)")
    assert cited in letter.text
    assert day(language, date(2031, 12, 31)) in letter.text
    assert "AO" in letter.text
    assert "AEPD" in letter.text
    texts = languages()[language]["sentence"]
    assert texts["judicial_remedy"] in letter.text
    assert texts["reasons"].partition("{")[0] not in letter.text
    assert letter.in_english == ()
    with pytest.raises(LetterRefused, match="nothing is known"):
        composed(of_eu(about=About.PARTIAL), language)


def test_what_can_be_done_comes_after_what_was_decided() -> None:
    """Reasons first, then authority and court, the time for them last."""
    pack = load_pack("ca-qc-law25")
    letter = composed(
        facts_of(pack, Right.ACCESS, date(2026, 11, 1), grounds=("AC_RIGHTS_OF_OTHERS",)), "en"
    )
    parts = [letter.text.index(one) for one in ("The reason is", "reviewed by", "Time for turning")]
    assert parts == sorted(parts)


@pytest.mark.parametrize("language", ALL)
def test_a_dismissed_appeal_names_reasons_and_the_authority_by_every_law(language: str) -> None:
    """Va. Code 59.1-577(C) and its like: reasons in writing, and how to reach the authority."""
    assert len(APPEALS) > 20
    for name, row, right, on in APPEALS:
        pack = load_pack(name)
        facts = facts_of(
            pack, right, on, about=About.APPEAL_DISMISSED, appealed_on=date(2026, 11, 20)
        )
        letter = composed(facts, language)
        body = pack.authorities.body(facts.laws[0].country)
        assert words_of(language).authority(body) in letter.text, row.id
        assert day(language, date(2026, 11, 20)) in letter.text
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
    facts = facts_of(load_pack(name), right, on, about=about, appealed_on=date(2026, 11, 20))
    text = composed(facts, language).text
    assert day(language, facts.laws[0].due_on) in text
    how = languages()[language]["sentence"]["appeal_how"]
    assert (how in text) == (about is About.APPEAL_PARTLY)


@pytest.mark.parametrize("language", ALL)
@pytest.mark.parametrize(
    "about", [About.APPEAL_DISMISSED, About.APPEAL_GRANTED, About.APPEAL_PARTLY]
)
def test_without_an_appeal_there_is_no_letter_on_one(about: About, language: str) -> None:
    """A letter answers an appeal that was decided so, and tells what comes first."""
    with pytest.raises(LetterRefused, match="dsr appeal"):
        composed(of_eu(about=about), language)
