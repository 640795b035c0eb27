"""Letters: whatever a law asks for has a sentence in every language, and nothing is left out."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsr_worker.domain.period import PauseEffect
from dsr_worker.evidence.wording import languages as evidence_languages
from dsr_worker.fulfil.clocks import EXTENSION_REASONS
from dsr_worker.letters import (
    SENTENCES,
    About,
    ByLaw,
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
from dsr_worker.letters.contents import FORBIDDEN, RECOURSE, REMEDIES
from dsr_worker.package.texts import languages as package_languages
from dsr_worker.statutes import LawPack, Right, load_pack, packs
from dsr_worker.statutes.model import ExemptionRow, RightsRow

ALL = sorted(languages())
SENDER = Sender("Laden GmbH", "Weg 1\n10115 Berlin", "privacy@laden.example")
LAWS = [name for name in packs() if load_pack(name).rights]


def _by(pack: LawPack, on: date, **more: Any) -> ByLaw:
    law = ByLaw(
        pack=pack,
        country=pack.default_country or pack.countries[0],
        received_on=on,
        due_on=date(2026, 12, 1),
    )
    return replace(law, **more)


def _facts(pack: LawPack, right: Right, on: date, **more: Any) -> Facts:
    """A case under one law; what is of the law goes to it, what is of the case to the facts."""
    of_law = {name: more.pop(name) for name in _OF_LAW & more.keys()}
    facts = Facts(
        about=About.REFUSAL,
        ref="A-2026-000001",
        right=right,
        sender=SENDER,
        written_on=date(2026, 11, 22),
        received_on=on,
        laws=(_by(pack, on, **of_law),),
    )
    return replace(facts, **more)


_OF_LAW = {"country", "due_on", "has_number", "authority", "effect", "new_due_on", "reason"}
_OF_LAW |= {"grounds"}


def _eu(**more: Any) -> Facts:
    return _facts(load_pack("eu-gdpr"), Right.ERASURE, date(2026, 11, 1), **more)


def _day(language: str, on: date) -> str:
    return words_of(language).day(on)


def _gdpr(language: str) -> str:
    return str(languages()[language]["statute"]["GDPR"])


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
    told = composed(_eu(grounds=("ANY_UNFOUNDED",), authority="Behörde am Ort"), "de").text
    assert "Behörde am Ort" in told


OPEN = ("statute", "gloss", "authority")
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


def _require_contents(letter: Letter, rows: Sequence[RightsRow], language: str) -> None:
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


@pytest.mark.parametrize("language", ALL)
@pytest.mark.parametrize("law", LAWS)
def test_a_refusal_under_every_law_has_what_its_row_asks_for(law: str, language: str) -> None:
    """Each sentence that the row asks for stands in the letter, and authority and appeal."""
    pack = load_pack(law)
    for row, right, on in _rows(pack):
        grounds = [e for e in pack.exemptions if right in e.rights]
        if not grounds or FORBIDDEN in row.refusal.contents:
            continue
        for ground in grounds:
            letter = composed(_facts(pack, right, on, grounds=(ground.code,)), language)
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
    assert texts["authority"].get(body, body) in letter.text
    _require_contents(letter, [row], language)
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
        for row, _, _ in _rows(pack):
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
    facts = _facts(changed, Right.ERASURE, date(2026, 11, 1), grounds=("ANY_UNFOUNDED",))
    with pytest.raises(LetterRefused, match="a_seal_of_wax"):
        composed(facts, "en")


def test_a_ground_that_has_no_words_any_more_is_told_in_english_and_named() -> None:
    """A frozen pack may know what today's do not: the person is told, and who sends it sees."""
    pack = load_pack("eu-gdpr")
    old = pack.exemptions[0].model_copy(update={"code": "AC_OF_OLD", "meaning": "a law of old"})
    changed = pack.model_copy(update={"exemptions": (old,)})
    facts = _facts(changed, Right.ACCESS, date(2026, 11, 1), grounds=("AC_OF_OLD",))
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
        composed(_facts(changed, right, date(2026, 11, 1), grounds=(ground,)), "fr")


def test_what_nobody_may_refuse_has_no_letter_of_refusal() -> None:
    """Where the law allows no refusal, none is written."""
    pack = load_pack("hk-pdpo")
    ground = next(e.code for e in pack.exemptions)
    with pytest.raises(LetterRefused, match="lets nobody refuse"):
        composed(_facts(pack, Right.OPT_OUT, date(2026, 11, 1), grounds=(ground,)), "en")


def test_a_refusal_needs_a_ground_of_the_law() -> None:
    """Without a ground, or on one that the law does not know, there is no letter of refusal."""
    with pytest.raises(LetterRefused, match="is not refused"):
        composed(_eu(), "en")
    with pytest.raises(LetterRefused, match="CA_SPEECH"):
        composed(_eu(grounds=("CA_SPEECH",)), "en")


def test_a_refusal_by_the_gdpr_names_ground_authority_and_court() -> None:
    """Art. 12(4) GDPR: reasons, complaint to the authority of the country, judicial remedy."""
    text = composed(_eu(grounds=("ER_LEGAL_CLAIMS",), country="FR"), "fr").text
    assert "Art. 17(3)(e) RGPD" in text
    assert "nécessaire à la constatation" in text
    assert "CNIL" in text
    assert "recours en justice" in text
    assert "BayLDA" in composed(_eu(grounds=("ER_LEGAL_CLAIMS",), country="DE-BY"), "de").text


@pytest.mark.parametrize("language", ALL)
def test_an_extension_tells_both_dates_the_reason_and_the_provision(language: str) -> None:
    """Art. 12(3) GDPR: the person hears of the new date with the reason for it."""
    for reason in EXTENSION_REASONS:
        facts = _eu(about=About.EXTENSION, new_due_on=date(2027, 2, 1), reason=reason)
        text = composed(facts, language).text
        assert _day(language, date(2026, 12, 1)) in text
        assert _day(language, date(2027, 2, 1)) in text
        assert languages()[language]["reason"][reason] in text
        assert f"Art. 12(3) {_gdpr(language)}" in text
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
    for day in (facts.received_on, facts.laws[0].due_on, facts.written_on):
        assert _day(language, day) in text
    assert facts.ref in text
    assert f"Art. 17 {_gdpr(language)}" in text
    by_house = composed(_eu(about=About.ACKNOWLEDGEMENT, has_number=False), language).text
    assert languages()[language]["sentence"]["answer_by_house"].partition("{")[0] in by_house


@pytest.mark.parametrize("language", ALL)
def test_a_partial_answer_names_each_ground_with_rows_day_and_remedies(language: str) -> None:
    """What stays is told by ground, with provision and last day, and what one can do against it."""
    kept = (Kept("ER_LEGAL_OBLIGATION", 3, date(2031, 12, 31)), Kept("de-ao-147-letters", 1))
    letter: Letter = composed(_eu(about=About.PARTIAL, kept=kept, country="ES"), language)
    cited = words_of(language).citation("GDPR Art 17(3)(b)")
    assert cited in letter.text
    assert _day(language, date(2031, 12, 31)) in letter.text
    assert "AO" in letter.text
    assert "AEPD" in letter.text
    texts = languages()[language]["sentence"]
    assert texts["judicial_remedy"] in letter.text
    assert texts["reasons"].partition("{")[0] not in letter.text
    assert letter.in_english == ()
    with pytest.raises(LetterRefused, match="nothing is known"):
        composed(_eu(about=About.PARTIAL), language)


def test_what_can_be_done_comes_after_what_was_decided() -> None:
    """Reasons first, then authority and court, the time for them last."""
    pack = load_pack("ca-qc-law25")
    letter = composed(
        _facts(pack, Right.ACCESS, date(2026, 11, 1), grounds=("AC_RIGHTS_OF_OTHERS",)), "en"
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
        assert pack.authorities.body(facts.laws[0].country) in letter.text, row.id
        assert _day(language, date(2026, 11, 20)) in letter.text
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
    assert _day(language, facts.laws[0].due_on) in text
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


# ---- several laws


def _refusable(right: Right) -> list[tuple[ByLaw, RightsRow]]:
    """Each law that gives a right and knows a ground against it, with the row that holds."""
    found = []
    for name in LAWS:
        pack = load_pack(name)
        grounds = [e.code for e in pack.exemptions if right in e.rights]
        rows = [(row, on) for row, of, on in _rows(pack) if of is right]
        if grounds and rows and FORBIDDEN not in rows[-1][0].refusal.contents:
            row, on = max(rows, key=lambda one: one[1])
            found.append((_by(pack, on, grounds=(grounds[0],)), row))
    return found


REFUSABLE = {
    right: {law.pack.name: (law, row) for law, row in _refusable(right)} for right in Right
}


@st.composite
def _several(draw: st.DrawFn) -> tuple[Right, list[str]]:
    right = draw(st.sampled_from([right for right in Right if len(REFUSABLE[right]) > 3]))
    names = st.sampled_from(sorted(REFUSABLE[right]))
    return right, draw(st.lists(names, min_size=2, max_size=5, unique=True))


def _under(right: Right, laws: Sequence[ByLaw], **more: Any) -> Facts:
    facts = _facts(laws[0].pack, right, date(2026, 11, 1))
    return replace(facts, laws=tuple(laws), **more)


@pytest.mark.parametrize("language", ALL)
@given(asked=_several())
@settings(max_examples=60, deadline=None)
def test_a_refusal_under_several_laws_has_what_each_asks_for_and_nothing_twice(
    language: str, asked: tuple[Right, list[str]]
) -> None:
    """One letter: each law's contents, ground, provision, authority and time; once each."""
    right, chosen = asked[0], [REFUSABLE[asked[0]][name] for name in asked[1]]
    laws = [law for law, _ in chosen]
    letter = composed(_under(right, laws), language)
    _require_contents(letter, [row for _, row in chosen], language)
    assert letter.laws == tuple(law.pack.name for law in laws)
    assert letter.in_english == ()
    for law, row in chosen:
        alone = composed(_under(right, [law]), language).text
        greeting = str(languages()[language]["greeting"])
        told = letter.text.partition(greeting)[2].split("\n\n")
        for paragraph in alone.partition(greeting)[2].split("\n\n"):
            assert paragraph in told, (law.pack.name, paragraph)
        if row.appeal is not None and row.appeal.file_within:
            assert languages()[language]["file_within"][row.appeal.file_within] in letter.text


@pytest.mark.parametrize("language", ALL)
def test_a_remedy_stands_under_the_laws_that_give_it(language: str) -> None:
    """Nobody is told of a court or an appeal that their law does not give."""
    eu = _by(load_pack("eu-gdpr"), date(2026, 11, 1), grounds=("ANY_UNFOUNDED",), country="FR")
    ca = _by(load_pack("us-ca-ccpa"), date(2026, 11, 1), grounds=("CA_SPEECH",))
    va = _by(load_pack("us-va"), date(2026, 11, 1), grounds=("US_NOT_AUTHENTICATED",))
    text = composed(_under(Right.ERASURE, [eu, ca, va]), language).text
    said, names = languages()[language]["sentence"], words_of(language).table("law")
    sections = [
        text.index(said["under_one"].format(laws=names[name]))
        for name in ("eu-gdpr", "us-ca-ccpa", "us-va")
    ]
    assert sections == sorted(sections)
    first, second, third = (text[a:b] for a, b in zip(sections, [*sections[1:], None], strict=True))
    appeal = said["appeal"].partition("{")[0]
    assert [said["judicial_remedy"] in part for part in (first, second, third)] == [1, 0, 0]
    assert [appeal in part for part in (first, second, third)] == [0, 0, 1]
    assert [said["kept_for_nothing_else"] in part for part in (first, second, third)] == [0, 1, 0]
    assert "CNIL" in first
    assert "CPPA" in second
    assert "Virginia Attorney General" in third


@pytest.mark.parametrize("language", ALL)
def test_an_acknowledgement_under_several_laws_names_each_day_and_promises_the_first(
    language: str,
) -> None:
    """Whoever lives under two laws hears of both, and has the answer by the sooner day."""
    eu = _by(load_pack("eu-gdpr"), date(2026, 11, 1), due_on=date(2026, 12, 1))
    ca = _by(load_pack("us-ca-ccpa"), date(2026, 11, 1), due_on=date(2026, 12, 16))
    facts = _under(Right.ERASURE, [ca, eu], about=About.ACKNOWLEDGEMENT)
    text = composed(facts, language).text
    for law in (eu, ca):
        assert _day(language, law.due_on) in text
        assert words_of(language).table("law")[law.pack.name] in text
    promised = languages()[language]["sentence"]["answer_by"].format(
        due_on=_day(language, eu.due_on)
    )
    assert promised in text


@pytest.mark.parametrize("language", ALL)
def test_an_extension_under_several_laws_tells_which_times_move_and_which_stay(
    language: str,
) -> None:
    """Old and new day by law; a law whose time is not extended is not passed over in silence."""
    moved = {"new_due_on": date(2027, 2, 1), "reason": "complex"}
    eu = _by(load_pack("eu-gdpr"), date(2026, 11, 1), due_on=date(2026, 12, 1), **moved)
    va = {"new_due_on": date(2027, 1, 30), "reason": "many_requests"}
    us = _by(load_pack("us-va"), date(2026, 11, 1), due_on=date(2026, 12, 16), **va)
    stays = _by(load_pack("br-lgpd"), date(2026, 11, 1), due_on=date(2026, 11, 30))
    past = _by(load_pack("ar-pdpa"), date(2026, 11, 1), due_on=date(2026, 11, 11))
    facts = _under(Right.ACCESS, [eu, us, stays, past], about=About.EXTENSION)
    text = composed(facts, language).text
    said = languages()[language]["sentence"]
    for law in (eu, us, stays, past):
        assert text.count(_day(language, law.due_on)) == 1
    for law in (eu, us):
        assert law.new_due_on is not None
        assert text.count(_day(language, law.new_due_on)) == 1
        assert languages()[language]["reason"][law.reason] in text
    assert said["not_extended"].partition("{")[0] in text
    assert said["not_extended_past"].partition("{")[0] in text


@pytest.mark.parametrize("language", ALL)
def test_a_question_says_by_law_what_the_time_does(language: str) -> None:
    """Where laws agree it is said once, without their names; else under them."""
    laws = [
        _by(load_pack(name), date(2026, 11, 1), effect=effect)
        for name, effect in (("eu-gdpr", PauseEffect.RESTART), ("us-ca-ccpa", None))
    ]
    said = languages()[language]["sentence"]
    text = composed(_under(Right.ERASURE, laws, about=About.IDENTITY), language).text
    assert said["time_restarts"] in text
    assert said["time_runs"].partition("{")[0] in text
    assert said["several"] in text
    same = [replace(law, effect=PauseEffect.SUSPEND) for law in laws]
    text = composed(_under(Right.ERASURE, same, about=About.IDENTITY), language).text
    assert text.count(said["time_stands"]) == 1
    assert said["several"] not in text


@pytest.mark.parametrize("language", ALL)
def test_a_part_is_told_once_with_the_provision_of_each_law(language: str) -> None:
    """What stays is one list; a ground that laws share names where each of them has it."""
    laws = [_by(load_pack(name), date(2026, 11, 1)) for name in ("eu-gdpr", "uk-gdpr")]
    kept = (Kept("ER_LEGAL_CLAIMS", 2), Kept("de-ao-147-voucher", 1), Kept("needed_by_kept", 1))
    facts = _under(Right.ERASURE, laws, about=About.PARTIAL, kept=kept)
    letter = composed(facts, language)
    listed = [line for line in letter.text.splitlines() if line.startswith("- ")]
    assert len(listed) == len(kept)
    used = words_of(language)
    assert used.say("ground", "ER_LEGAL_CLAIMS") in listed[0]
    assert used.citation("GDPR Art 17(3)(e)") in listed[0]
    assert "UK GDPR Art 17(3)(e)" in listed[0]
    assert used.say("ground", "needed_by_kept") in listed[2]
    court = languages()[language]["sentence"]["judicial_remedy"]
    assert letter.text.count(court) == 1
    assert letter.in_english == ()


@pytest.mark.parametrize("language", ALL)
def test_an_appeal_is_acknowledged_with_the_day_of_its_clock(language: str) -> None:
    """That it came, that somebody else looks at it, and until when the decision comes, by law."""
    on = date(2026, 11, 20)
    for name, row, right, since in APPEALS:
        facts = _facts(
            load_pack(name), right, since, about=About.APPEAL_ACKNOWLEDGEMENT, appealed_on=on
        )
        text = composed(facts, language).text
        assert _day(language, on) in text, row.id
        assert _day(language, facts.laws[0].due_on) in text
    two = [_by(load_pack(name), date(2026, 11, 1)) for name in ("us-va", "us-tx")]
    two[0] = replace(two[0], due_on=date(2027, 1, 19))
    facts = _under(Right.ERASURE, two, about=About.APPEAL_ACKNOWLEDGEMENT, appealed_on=on)
    text = composed(facts, language).text
    assert _day(language, date(2027, 1, 19)) in text
    assert text.count(_day(language, date(2026, 12, 1))) == 2
    with pytest.raises(LetterRefused, match="dsr appeal"):
        composed(replace(facts, appealed_on=None), language)


@pytest.mark.parametrize("language", ALL)
def test_an_appeal_under_several_laws_names_each_authority_and_the_way_once(language: str) -> None:
    """Va. Code 59.1-577(C) and its like, side by side."""
    laws = [
        _by(load_pack(name), date(2026, 11, 1), grounds=("US_NOT_AUTHENTICATED",))
        for name in ("us-va", "us-tx")
    ]
    on = date(2026, 11, 20)
    facts = _under(Right.ERASURE, laws, about=About.APPEAL_DISMISSED, appealed_on=on)
    text = composed(facts, language).text
    assert "Virginia Attorney General" in text
    assert "Texas Attorney General" in text
    for key in ("appeal_how", "appeal_why"):
        assert text.count(languages()[language]["sentence"][key]) == 1


ENGLISH = re.compile(
    r"\b(the|and|which|would|with|your|you|law|kept|until|appeal|request|complaint|section|entry)\b"
)
"""Words that only English has, and that no name of a law or an authority below holds."""


@pytest.mark.parametrize("language", [one for one in ALL if one != "en"])
@pytest.mark.parametrize("right", [Right.ERASURE, Right.ACCESS])
def test_a_letter_has_no_english_beside_names(language: str, right: Right) -> None:
    """By every law and ground: what is not a name, or a provision as it is cited, is translated."""
    for name in LAWS:
        pack = load_pack(name)
        if name not in REFUSABLE[right]:
            continue
        law, _ = REFUSABLE[right][name]
        known = {pack.authorities.body(law.country), words_of(language).table("law")[name]}
        known |= {e.citation for e in pack.exemptions}
        known |= set(languages()[language]["channel"].values())
        for ground in [e.code for e in pack.exemptions if right in e.rights]:
            text = composed(_under(right, [replace(law, grounds=(ground,))]), language).text
            for name_of in known:
                text = text.replace(name_of, "")
            assert not ENGLISH.findall(text), (name, ground)
