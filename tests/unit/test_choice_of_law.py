"""Choice of law by evidence: what places add, what they never move, what they contradict."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsr_worker.cli import regimes
from dsr_worker.domain.calendar import has_holidays
from dsr_worker.fulfil.laws import RESIDENCE, SUGGESTED, clocks_by
from dsr_worker.statutes import (
    chosen,
    chosen_beside,
    country_of,
    hinted,
    laws_of,
    locality,
    unsupported,
)
from dsr_worker.statutes.load import countries

_AT = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
_PLACES = ("DE", "FR", "GB", "GB-ENG", "US-CA", "US-VA", "CH", "BR", "KR", "JP", "KP", "IN", "US")
_clocks = clocks_by("access", _AT, None, "Europe/Berlin")
places = st.lists(st.sampled_from(_PLACES), max_size=8)


@given(places)
def test_the_order_of_evidence_does_not_matter(found: list[str]) -> None:
    """Whoever answers first, and however often: the same laws with the same clocks."""
    turned = [*reversed(found), *found]
    assert chosen_beside((), found, _clocks) == chosen_beside((), turned, _clocks)


@given(st.sampled_from(("DE", "GB", "US-CA", "CH")), places)
def test_evidence_never_moves_a_stated_clock(stated: str, found: list[str]) -> None:
    """What is added is beside the stated law, never of it, and brings in no law twice."""
    (own,) = chosen([(stated, None)], _clocks)
    added = chosen_beside({own.pack.name}, found, _clocks)
    names = [choice.pack.name for choice in added.choices]
    assert own.pack.name not in names
    assert len(names) == len(set(names))


@given(places)
def test_what_is_added_comes_strictest_first(found: list[str]) -> None:
    """The law whose answer is due first is first."""
    dues = [
        choice.clocks[0].due.conservative_due_at
        for choice in chosen_beside((), found, _clocks).choices
    ]
    assert dues == sorted(dues)


@given(places, places)
def test_more_evidence_adds_and_never_takes_away(some: list[str], more: list[str]) -> None:
    """Whatever some places bring in, more of them bring in as well."""
    few = {c.pack.name for c in chosen_beside((), some, _clocks).choices}
    assert few <= {c.pack.name for c in chosen_beside((), [*some, *more], _clocks).choices}


@pytest.mark.parametrize(
    ("known", "found", "laws", "silent", "uncovered"),
    [
        (["eu-gdpr"], ["US-CA"], ["us-ca-ccpa"], [], []),
        (["eu-gdpr"], ["AT", "FR"], [], [], []),
        (["us-ca-ccpa"], ["AT", "FR"], ["eu-gdpr"], [], []),
        (["eu-gdpr"], ["KP"], [], [], ["KP"]),
        (["eu-gdpr"], ["IN"], [], [("in-dpdp", "IN")], []),
        (["eu-gdpr", "in-dpdp"], ["IN"], [], [], []),
        ([], [], [], [], []),
    ],
)
def test_what_places_add(
    known: list[str],
    found: list[str],
    laws: list[str],
    silent: list[tuple[str, str]],
    uncovered: list[str],
) -> None:
    """A law joins once; one without the right, and a country without a law, are told."""
    added = chosen_beside(known, found, _clocks)
    assert [choice.pack.name for choice in added.choices] == laws
    assert (list(added.silent), list(added.uncovered)) == (silent, uncovered)


@pytest.mark.parametrize(
    ("stated", "found", "told"),
    [
        ({"eu-gdpr": "DE"}, ["US-CA"], ["eu-gdpr"]),
        ({"eu-gdpr": "DE"}, ["US-CA", "FR"], []),
        ({"eu-gdpr": "DE"}, [], []),
        ({"eu-gdpr": "DE"}, ["KP"], ["eu-gdpr"]),
        ({"us-ca-ccpa": "US-CA"}, ["US"], []),
        ({"us-ca-ccpa": "US-CA"}, ["US-VA"], ["us-ca-ccpa"]),
        ({"uk-gdpr": "GB"}, ["GB-ENG"], []),
        ({"eu-gdpr": "DE", "ch-fadp": "CH"}, ["CH"], ["eu-gdpr"]),
    ],
)
def test_what_places_contradict(stated: dict[str, str], found: list[str], told: list[str]) -> None:
    """A stated law is contradicted where rows name places, and none of them speaks for it."""
    assert list(unsupported(stated, found)) == told


@pytest.mark.parametrize(
    ("stored", "code"),
    [
        ("DE", "DE"),
        (" de ", "DE"),
        ("uk", "GB"),
        ("DE-BY", "DE-BY"),
        ("us-ca", "US-CA"),
        ("KP", "KP"),
        ("NL-NH", "NL"),
        ("FR-75", "FR"),
        ("uk-zzz", "GB"),
        ("US-ZZ", "US"),
        ("kp-01", "KP"),
        ("XX", None),
        ("EU", None),
        ("ZZ-ANN", None),
        ("Germany", None),
        ("D", None),
        ("276", None),
        ("ß", None),
        ("\u0131e", None),
        ("\0DE", None),
        ("", None),
        (None, None),
    ],
)
def test_a_residence_is_a_code_or_nothing(stored: str | None, code: str | None) -> None:
    """ISO 3166 codes in any letter case, an unknown part as its country; nothing is guessed."""
    assert country_of(stored) == code


@given(st.text(max_size=8) | st.from_regex(r"(?i)[a-z]{2}-[a-z0-9]{1,3}", fullmatch=True))
def test_no_stored_value_leaves_as_it_was_stored(stored: str) -> None:
    """Whatever stands in a store, what leaves it is a code of a list: no part of a name."""
    code = country_of(stored)
    if code is not None:
        nation, _, part = code.partition("-")
        known = nation in countries().countries or has_holidays(nation, None)
        assert known
        assert not part or code in countries().countries or has_holidays(nation, part)


@pytest.mark.parametrize(
    ("phone", "country"),
    [
        ("+41445550123", "CH"),
        ("+4930555010", "DE"),
        ("+353155501", "IE"),
        ("+12125550123", None),
        ("+74955550123", None),
        ("0445550123", None),
        ("+", None),
    ],
)
def test_a_calling_code_hints_at_one_country_or_none(phone: str, country: str | None) -> None:
    """A number with the code of one country; shared codes and national numbers say nothing."""
    assert hinted(phone) == country


def test_calling_codes_are_prefix_free_and_of_known_countries() -> None:
    """No code begins another (E.164), so that a number has one reading; each country is known."""
    calling = countries().calling
    assert not [(a, b) for a in calling for b in calling if a != b and b.startswith(a)]
    for code, country in calling.items():
        assert 1 <= len(code) <= 3
        assert code.isdecimal()
        assert locality(country).country == country


@pytest.mark.parametrize(
    ("because", "told"),
    [
        (None, "stated"),
        ({"reason": "found", "places": ["a.b", "c.d"]}, "found in a.b, c.d"),
        ({"reason": "named", "by": "anna"}, "added by anna"),
    ],
)
def test_each_law_has_its_reason(because: dict[str, object] | None, told: str) -> None:
    """Stated with the request, found in the data, or added by somebody."""
    assert regimes.reason(because) == told


def test_a_hint_ends_once_the_law_is_there() -> None:
    """What the case stands under already is hinted at no more."""
    facts = {SUGGESTED: ["CH", "DE"]}

    def hints(laws: Sequence[str]) -> list[str]:
        return [one["country"] for one in regimes.residence(facts, laws)["suggested"]]

    assert hints([]) == ["CH", "DE"]
    assert hints(laws_of("CH")) == ["DE"]
    assert not list(regimes.lines("C-1", regimes.found({RESIDENCE: {"found": {"DE": ["a.b"]}}})))
