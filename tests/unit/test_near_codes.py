"""A wrong code of a country is answered with the codes that were probably meant."""

from __future__ import annotations

import pytest

from dsr_worker.statutes import UnknownNameError, applicable, canonical_country


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        pytest.param("DX", ("DE", "DK", "MX"), id="the first letter, then the second"),
        pytest.param("ED", ("DE", "EE", "ES"), id="letters turned around come first"),
        pytest.param("USA", ("US",), id="three letters of ISO 3166-1"),
        pytest.param("gbr", ("GB",), id="in any case"),
        pytest.param("DEE", ("EE", "DE"), id="a letter too many"),
        pytest.param("US-C", ("US-CA", "US-CO", "US-CT"), id="a part half written"),
        pytest.param("US-XX", ("US-TX",), id="a part that there is not"),
        pytest.param("GB-XX", ("GB-ENG", "GB-NIR", "GB-SCT"), id="no part like it"),
        pytest.param("DE-XX", ("DE",), id="a country whose parts have no row of their own"),
        pytest.param("ENG", ("GB-ENG",), id="a part without its country"),
        pytest.param("DX-XX", ("DE", "DK", "MX"), id="country and part wrong"),
        pytest.param("", (), id="nothing"),
        pytest.param("Deutschland", (), id="a name is not guessed from its letters"),
    ],
)
def test_a_wrong_code_gets_the_near_ones(wrong: str, near: tuple[str, ...]) -> None:
    """Codes are too short for a measure of likeness: what counts is which letter is right."""
    with pytest.raises(UnknownNameError) as refused:
        canonical_country(wrong)
    assert refused.value.near == near


def test_the_united_kingdom_is_known_by_both_its_codes() -> None:
    """`UK` is what people write, `GB` what ISO 3166-1 says; parts follow either."""
    assert (canonical_country("UK"), canonical_country("uk-sct")) == ("GB", "GB-SCT")


def test_a_country_whose_parts_have_the_laws_says_so() -> None:
    """The United States have no one law on these rights: a state has to be named."""
    with pytest.raises(UnknownNameError, match="each part has laws of its own, such as US-"):
        applicable("US")
