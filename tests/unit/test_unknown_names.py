"""A wrong name is told with the near ones first, and with all that is known or where it stands."""

from __future__ import annotations

import pytest

from dsr_worker.domain.request import CARRIED_OUT, KindRefusedError, kind_of
from dsr_worker.fulfil.holding import hold_reasons
from dsr_worker.statutes import canonical_country, packs, packs_saying
from dsr_worker.statutes.names import UnknownNameError

SECRET = "zqsecretzq"


def _known(count: int) -> list[str]:
    return [f"rule-{number:02}" for number in range(count)]


@pytest.mark.parametrize("count", [1, 22, 30])
def test_few_names_are_all_listed(count: int) -> None:
    """Nobody is shown a part of thirty names or fewer."""
    text = str(UnknownNameError("rule", SECRET, _known(count)))
    assert all(name in text for name in _known(count))
    assert SECRET not in text


def test_of_many_names_it_is_said_where_they_stand() -> None:
    """More than thirty are not cut short: the command that lists them is named."""
    text = str(UnknownNameError("rule", SECRET, _known(31)))
    assert "31 are known: `dsr statutes list --json` lists them" in text
    assert "rule-00" not in text


def test_near_names_come_first() -> None:
    """What was probably meant stands before what there is."""
    text = str(UnknownNameError("rule", "rule-3", _known(22)))
    assert text.index("did you mean") < text.index("known:")


def test_a_ground_is_found_without_reading_every_law() -> None:
    """The laws in whose text a ground stands are all that know it."""
    every = hold_reasons(packs())
    assert "ER_LEGAL_CLAIMS" in every
    for reason in sorted(every):
        assert reason in hold_reasons(packs_saying(reason))
    assert SECRET not in hold_reasons(packs_saying(SECRET))


def test_a_wrong_country_says_where_countries_stand() -> None:
    """Of a code that is near to none the error says which command lists them."""
    with pytest.raises(UnknownNameError, match="dsr statutes list --json"):
        canonical_country("QQQQ")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("acces", "access"), ("erasrue", "erasure"), ("delete", "deletion"), ("Restrict", "restrict")],
)
def test_a_wrong_kind_gets_the_near_one(typed: str, meant: str) -> None:
    """`--kind` names the near kind before all that are carried out."""
    with pytest.raises(KindRefusedError) as caught:
        kind_of(typed)
    text = str(caught.value)
    assert f"did you mean {meant}" in text
    assert text.index("did you mean") < text.index("choose one of")
    assert all(kind in text for kind in CARRIED_OUT)


def test_a_kind_that_is_near_to_none_is_not_quoted() -> None:
    """What was typed may be a person's value, and never comes back."""
    with pytest.raises(KindRefusedError, match="choose one of") as caught:
        kind_of(f"{SECRET}@mail.example")
    assert SECRET not in str(caught.value)
