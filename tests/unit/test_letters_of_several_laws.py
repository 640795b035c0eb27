"""Letters under several laws: what each asks for, nothing twice, each thing under its laws."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsr_worker.domain.period import PauseEffect
from dsr_worker.letters import (
    About,
    ByLaw,
    Facts,
    Kept,
    LetterRefused,
    composed,
    languages,
    words_of,
)
from dsr_worker.letters.contents import FORBIDDEN
from dsr_worker.statutes import Right, load_pack
from dsr_worker.statutes.model import RightsRow
from tests.unit.letters_made import (
    ALL,
    APPEALS,
    LAWS,
    by_law,
    day,
    facts_of,
    require_contents,
    rows_of,
)


def _refusable(right: Right) -> list[tuple[ByLaw, RightsRow]]:
    """Each law that gives a right and knows a ground against it, with the row that holds."""
    found = []
    for name in LAWS:
        pack = load_pack(name)
        grounds = [e.code for e in pack.exemptions if right in e.rights]
        rows = [(row, on) for row, of, on in rows_of(pack) if of is right]
        if grounds and rows and FORBIDDEN not in rows[-1][0].refusal.contents:
            row, on = max(rows, key=lambda one: one[1])
            found.append((by_law(pack, on, grounds=(grounds[0],)), row))
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
    facts = facts_of(laws[0].pack, right, date(2026, 11, 1))
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
    require_contents(letter, [row for _, row in chosen], language)
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
    eu = by_law(load_pack("eu-gdpr"), date(2026, 11, 1), grounds=("ANY_UNFOUNDED",), country="FR")
    ca = by_law(load_pack("us-ca-ccpa"), date(2026, 11, 1), grounds=("CA_SPEECH",))
    va = by_law(load_pack("us-va"), date(2026, 11, 1), grounds=("US_NOT_AUTHENTICATED",))
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
    eu = by_law(load_pack("eu-gdpr"), date(2026, 11, 1), due_on=date(2026, 12, 1))
    ca = by_law(load_pack("us-ca-ccpa"), date(2026, 11, 1), due_on=date(2026, 12, 16))
    facts = _under(Right.ERASURE, [ca, eu], about=About.ACKNOWLEDGEMENT)
    text = composed(facts, language).text
    for law in (eu, ca):
        assert day(language, law.due_on) in text
        assert words_of(language).table("law")[law.pack.name] in text
    promised = languages()[language]["sentence"]["answer_by"].format(
        due_on=day(language, eu.due_on)
    )
    assert promised in text


@pytest.mark.parametrize("language", ALL)
def test_an_extension_under_several_laws_tells_which_times_move_and_which_stay(
    language: str,
) -> None:
    """Old and new day by law; a law whose time is not extended is not passed over in silence."""
    moved = {"new_due_on": date(2027, 2, 1), "reason": "complex"}
    eu = by_law(load_pack("eu-gdpr"), date(2026, 11, 1), due_on=date(2026, 12, 1), **moved)
    va = {"new_due_on": date(2027, 1, 30), "reason": "many_requests"}
    us = by_law(load_pack("us-va"), date(2026, 11, 1), due_on=date(2026, 12, 16), **va)
    stays = by_law(load_pack("br-lgpd"), date(2026, 11, 1), due_on=date(2026, 11, 30))
    past = by_law(load_pack("ar-pdpa"), date(2026, 11, 1), due_on=date(2026, 11, 11))
    facts = _under(Right.ACCESS, [eu, us, stays, past], about=About.EXTENSION)
    text = composed(facts, language).text
    said = languages()[language]["sentence"]
    for law in (eu, us, stays, past):
        assert text.count(day(language, law.due_on)) == 1
    for law in (eu, us):
        assert law.new_due_on is not None
        assert text.count(day(language, law.new_due_on)) == 1
        assert languages()[language]["reason"][law.reason] in text
    assert said["not_extended"].partition("{")[0] in text
    assert said["not_extended_past"].partition("{")[0] in text


@pytest.mark.parametrize("language", ALL)
def test_a_question_says_by_law_what_the_time_does(language: str) -> None:
    """Where laws agree it is said once, without their names; else under them."""
    laws = [
        by_law(load_pack(name), date(2026, 11, 1), effect=effect)
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
    laws = [by_law(load_pack(name), date(2026, 11, 1)) for name in ("eu-gdpr", "uk-gdpr")]
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
        facts = facts_of(
            load_pack(name), right, since, about=About.APPEAL_ACKNOWLEDGEMENT, appealed_on=on
        )
        text = composed(facts, language).text
        assert day(language, on) in text, row.id
        assert day(language, facts.laws[0].due_on) in text
    two = [by_law(load_pack(name), date(2026, 11, 1)) for name in ("us-va", "us-tx")]
    two[0] = replace(two[0], due_on=date(2027, 1, 19))
    facts = _under(Right.ERASURE, two, about=About.APPEAL_ACKNOWLEDGEMENT, appealed_on=on)
    text = composed(facts, language).text
    assert day(language, date(2027, 1, 19)) in text
    assert text.count(day(language, date(2026, 12, 1))) == 2
    with pytest.raises(LetterRefused, match="dsr appeal"):
        composed(replace(facts, appealed_on=None), language)


@pytest.mark.parametrize("language", ALL)
def test_an_appeal_under_several_laws_names_each_authority_and_the_way_once(language: str) -> None:
    """Va. Code 59.1-577(C) and its like, side by side."""
    laws = [
        by_law(load_pack(name), date(2026, 11, 1), grounds=("US_NOT_AUTHENTICATED",))
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
