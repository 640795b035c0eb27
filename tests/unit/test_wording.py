"""Words for codes: every code that people may read has words, and an unknown one never fails."""

from __future__ import annotations

import re
import string
from datetime import UTC, date, datetime
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsr_worker.contract import Outcome
from dsr_worker.domain.request import CARRIED_OUT
from dsr_worker.domain.retention import AnchorKind, CalendarPeriod
from dsr_worker.evidence.wording import Words, languages, readable, words
from dsr_worker.fulfil.access import NOT_ASKED
from dsr_worker.fulfil.rechecking import LOCATED_AGAIN, SECOND_PATH
from dsr_worker.package import texts as frames
from dsr_worker.package.grounds import explained
from dsr_worker.statutes import load_pack, packs, retention_rules
from dsr_worker.statutes.load import countries

EN, DE = words("en"), words("de")


def _fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_languages_have_the_same_codes() -> None:
    """Each language has each table and each code of English, none empty, with the same blanks."""
    assert set(languages()) == set(frames.languages())
    for said in languages().values():
        assert set(said.tables) == set(EN.tables)
        for kind, table in EN.tables.items():
            assert set(said.table(kind)) == set(table), kind
            for code, text in table.items():
                other = said.table(kind)[code]
                assert other.strip(), (kind, code)
                assert _fields(other) <= _fields(text), (kind, code)


@pytest.mark.parametrize("said", languages().values(), ids=lambda w: w.language)
def test_every_code_of_the_house_has_words(said: object) -> None:
    """Laws, their exemptions and countries, anchors, outcomes, kinds and paths: none is missing."""
    used = words(said.language)  # type: ignore[attr-defined]  # a `Words`, as the parameter says
    known = {
        "law": packs(),
        "ground": [e.words for name in packs() for e in load_pack(name).exemptions],
        "country": [
            c for n in packs() for c in load_pack(n).countries if c in countries().countries
        ],
        "anchor": [kind.value for kind in AnchorKind],
        "outcome": [outcome.value for outcome in Outcome],
        "request": [*CARRIED_OUT, "deferred", "sweep"],
        "path": [SECOND_PATH, LOCATED_AGAIN, "recount"],
        "note": [NOT_ASKED],
        "response": ["granted", "partly_granted", "denied", "nothing_found", "swept"],
        "standing": ["verified", "resolved", "contested", "claimed"],
    }
    missing = [
        (kind, code)
        for kind, codes in known.items()
        for code in codes
        if not used.known(kind, code)
    ]
    assert missing == []


@pytest.mark.parametrize("said", languages().values(), ids=lambda w: w.language)
def test_every_retention_rule_is_told_with_its_period_and_source(said: object) -> None:
    """A statute's row reads as years, where they run from and its provision, never as its id."""
    used = words(said.language)  # type: ignore[attr-defined]  # a `Words`, as the parameter says
    for rule in retention_rules():
        text = str(explained(rule.id, used, None))
        assert rule.id not in text
        assert used.citation(rule.citation) in text
        assert re.search(r"\d+ \w+", text), rule.id
        assert "{" not in text


@given(st.sampled_from(sorted(EN.tables)), st.text(max_size=30))
def test_an_unknown_code_is_read_aloud(kind: str, code: str) -> None:
    """Whatever a code is, words come back, in every language."""
    for used in languages().values():
        assert isinstance(used.say(kind, code), str)
        assert isinstance(used.category(code), str)
        assert isinstance(str(explained(code, used, "eu-gdpr")), str)


def test_codes_are_read_aloud_without_their_marks() -> None:
    """Underscores, dashes and dots become blanks; prose stays as it is."""
    assert readable("bank_account.iban-x") == "bank account iban x"
    assert readable("schedule, policy de-shop 1.0.0") == "schedule, policy de-shop 1.0.0"
    assert readable("_") == "_"


@pytest.mark.parametrize(
    ("period", "english", "german", "french", "spanish"),
    [
        ("P8Y", "8 years", "8 Jahre", "8 ans", "8 años"),
        ("P1Y", "1 year", "1 Jahr", "1 an", "1 año"),
        ("P24M", "2 years", "2 Jahre", "2 ans", "2 años"),
        ("P1Y6M", "1 year 6 months", "1 Jahr 6 Monate", "1 an 6 mois", "1 año 6 meses"),
        ("P90D", "90 days", "90 Tage", "90 jours", "90 días"),
        ("P0D", "0 days", "0 Tage", "0 jours", "0 días"),
    ],
)
def test_periods_are_counted_in_words(
    period: str, english: str, german: str, french: str, spanish: str
) -> None:
    """A duration reads as numbers of years, months and days."""
    told = {"en": english, "de": german, "fr": french, "es": spanish}
    for language, said in told.items():
        assert words(language).period(CalendarPeriod.parse(period)) == said


def test_categories_are_named_or_put_under_their_group() -> None:
    """A known Fideslang key has a label; an unknown one is named below its nearest known group."""
    assert EN.category("user.contact.email") == "e-mail address"
    assert DE.category("user.contact.email") == "E-Mail-Adresse"
    assert EN.category("user.financial.iban_no") == "payment and invoice data: iban no"
    assert EN.category("user.contact.pigeon.post_box") == "contact data: pigeon post box"
    assert EN.category("odd_key") == "odd key"


def test_times_are_told_in_a_zone_that_is_named() -> None:
    """Days have their month's name; an instant is told as the zone's civil time."""
    at = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)
    assert EN.instant(at, "Europe/Berlin") == "2 March 2026, 00:30 (Europe/Berlin)"
    assert DE.instant(at) == "1. März 2026, 23:30 Uhr (UTC)"
    assert DE.day(date(2035, 12, 31)) == "31. Dezember 2035"


def test_grounds_name_their_provision() -> None:
    """An exemption is told in the language's words with the law's citation; a policy's rule too."""
    claims = explained("ER_LEGAL_CLAIMS", EN, "eu-gdpr")
    assert (
        str(claims) == "needed to establish, exercise or defend legal claims (Art. 17(3)(e) GDPR)"
    )
    assert explained("ER_LEGAL_CLAIMS", DE, "uk-gdpr").citation == "UK GDPR Art 17(3)(e)"
    voucher = str(explained("de-ao-147-voucher", EN, "eu-gdpr"))
    assert "accounting vouchers and invoices" in voucher
    assert "at least 8 years from the end of the calendar year" in voucher
    own = explained("trial/support-calls", EN, "eu-gdpr", "house rule")
    assert str(own) == "a retention rule of ours: support calls (our own rule)"
    assert str(explained("ER_LEGAL_CLAIMS", EN, "no-such-law")).startswith("needed to establish")


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("us-tcpa-consent-proof", "rule of ours, as long as claims may be brought"),
        ("fr-cnil-logs", "rule of ours, by the guidance"),
        ("de-ao-147-voucher", "a law asks for it"),
    ],
)
def test_an_answer_calls_only_a_law_a_law(code: str, says: str) -> None:
    """Certificates and answers say of limitation and guidance that the house took them up."""
    assert says in explained(code, EN, None).words


@pytest.mark.parametrize(
    ("law", "says"),
    [
        ("eu-gdpr", "the request is manifestly unfounded"),
        ("au-privacy", "the request is frivolous or vexatious"),
        ("nz-privacy", "the request is frivolous or vexatious, or what it asks for is trivial"),
    ],
)
def test_a_ground_is_told_as_its_own_law_means_it(law: str, says: str) -> None:
    """Laws share a code of a ground and differ in substance: each has the words that fit it."""
    assert explained("ANY_UNFOUNDED", EN, law).words == says


@pytest.mark.parametrize("said", languages().values(), ids=lambda w: w.language)
def test_a_country_stands_where_no_grammar_bends_it(said: Words) -> None:
    """Names of countries need articles and cases that a table has not: the authority's has none."""
    assert "({country})" in said.table("format")["authority"]


ENGLISH = re.compile(
    r"\b(the|and|which|would|with|your|you|kept|until|request|this|that|were|not|from|what)\b"
)
NAMES = {"law", "citation", "country", "authority"}
"""Tables of names, which a language may leave as they are."""


@pytest.mark.parametrize("language", sorted(set(languages()) - {"en"}))
def test_no_language_falls_back_to_english_words(language: str) -> None:
    """Codes, frames of packages and mails are translated whole, not key by key."""
    tables = [table for kind, table in words(language).tables.items() if kind not in NAMES]
    texts = [text for table in (*tables, frames.languages()[language]) for text in table.values()]
    for name in ("verification_code", "warning", "breach_individuals", "breach_authority"):
        template = files("dsr_worker.notify") / "templates" / f"{name}.{language}.txt"
        texts.append(re.sub(r"\{[{%].*?[}%]\}", "", template.read_text("utf-8")))
    assert [text for text in texts if ENGLISH.search(re.sub(r"\{\w+\}", "", text))] == []


def test_french_has_its_own_signs() -> None:
    """A space that does not break before high signs, the typographic apostrophe, the first."""
    tables = [table for kind, table in words("fr").tables.items() if kind not in NAMES]
    texts = [text for table in (*tables, frames.languages()["fr"]) for text in table.values()]
    assert [text for text in texts if re.search(r"[^\u00a0] ?[;?!]|\w'|\S :", text)] == []
    assert words("fr").day(date(2026, 3, 1)) == "1er mars 2026"
    assert words("fr").day(date(2026, 3, 21)) == "21 mars 2026"
    assert words("es").day(date(2026, 3, 1)) == "1 de marzo de 2026"


def test_authorities_with_words_are_authorities_of_a_pack() -> None:
    """A name that no pack writes any more would be dead text, and the pack's told in English."""
    bodies = {
        load_pack(name).authorities.body(country)
        for name in packs()
        for country in (None, *load_pack(name).countries)
    }
    assert set(EN.table("authority")) <= bodies
    assert DE.authority("Datatilsynet") == "Datatilsynet"


def test_no_citation_speaks_of_the_house_in_words_without_a_translation() -> None:
    """What rules and ready-made policies call their own reading has words in every language."""
    own = {rule.citation for rule in retention_rules() if "house" in rule.citation}
    files_of = (Path(__file__).parents[2] / "retention_policies").glob("*.yaml")
    cited = (re.findall(r'citation: "([^"]+)"', file.read_text("utf-8")) for file in files_of)
    own |= {one for some in cited for one in some if "house" in one}
    assert own
    assert own <= set(EN.table("citation"))
