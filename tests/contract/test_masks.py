"""What a mask leaves behind, as every connector and every verification reads it."""

from __future__ import annotations

from functools import partial

import pytest

from dsr_worker.contract import Mask, MaskKind
from dsr_worker.datamap import read_system
from dsr_worker.documents import DocumentError
from dsr_worker.testing.context import TrialContext

_NULL = Mask(MaskKind.NULL)
_CONSTANT = Mask(MaskKind.CONSTANT, "erased")
_PSEUDONYM = Mask(MaskKind.PSEUDONYM)
_TOMBSTONE = Mask(MaskKind.TOMBSTONE)
_YEAR, _NETWORK = Mask(MaskKind.YEAR), Mask(MaskKind.NETWORK)


@pytest.mark.parametrize(
    "mask", [_NULL, _CONSTANT, _PSEUDONYM, _TOMBSTONE, _YEAR, _NETWORK], ids=str
)
def test_nothing_needs_no_mask(mask: Mask) -> None:
    """A null shows nobody, so that every mask holds where there is nothing."""
    assert mask.holds(None)


@pytest.mark.parametrize("empty", ["", [], {}], ids=repr)
def test_emptiness_stands_for_null_and_for_no_other_mask(empty: object) -> None:
    """Where a store knows no null, its empty value is what `null` leaves."""
    assert _NULL.holds(empty)
    assert not any(
        mask.holds(empty) for mask in (_CONSTANT, _PSEUDONYM, _TOMBSTONE, _YEAR, _NETWORK)
    )


@pytest.mark.parametrize(
    ("mask", "value", "held"),
    [
        (_NULL, " ", False),
        (_NULL, 0, False),
        (_NULL, False, False),
        (_CONSTANT, "erased", True),
        (_CONSTANT, "Erased", False),
        (_PSEUDONYM, "erased-0123456789abcdef", True),
        (_PSEUDONYM, "Name", False),
        (_PSEUDONYM, 7, False),
        (_TOMBSTONE, "erased-0123456789abcdef@erased.invalid", True),
        (_TOMBSTONE, "anna@mail.example", False),
        (_YEAR, "1987-01-01", True),
        (_YEAR, "1987-01-01 00:00:00+00", True),
        (_YEAR, "1987-05-12", False),
        (_YEAR, "1987-01-01T00:00:01Z", False),
        (_YEAR, "in May", False),
        (_YEAR, 1987, False),
        (_NETWORK, "203.0.113.0/24", True),
        (_NETWORK, "203.0.113.7", False),
        (_NETWORK, "203.0.113.0/25", False),
        (_NETWORK, "2001:db8::/48", True),
        (_NETWORK, "localhost", False),
    ],
)
def test_only_the_mask_itself_holds(mask: Mask, value: object, held: bool) -> None:  # noqa: FBT001 - a table of cases
    """What somebody had there before is never taken for a mask."""
    assert mask.holds(value) is held


GENERAL = [
    (_YEAR, "1987-05-12", "1987-01-01"),
    (_YEAR, "1987-05-12T10:11:12.345+02:00", "1987-01-01T00:00:00+02:00"),
    (_YEAR, "1987-05-12 10:11", "1987-01-01 00:00:00"),
    (_YEAR, "12.05.1987", None),
    (_YEAR, "", None),
    (_NETWORK, "203.0.113.77", "203.0.113.0/24"),
    (_NETWORK, "10.1.2.3/8", "10.1.2.0/24"),
    (_NETWORK, "2001:DB8:1:2::5", "2001:db8:1::/48"),
    (_NETWORK, "::5", "::/48"),
    (_NETWORK, "203.0.113", None),
    (_NETWORK, "%", None),
]


@pytest.mark.parametrize(("mask", "value", "general"), GENERAL)
def test_a_general_value_needs_no_further_mask(mask: Mask, value: str, general: str | None) -> None:
    """What is no date or address leaves nothing; what is left needs no further mask."""
    assert mask.generalised(value) == general
    assert mask.holds(general)


@pytest.mark.parametrize(
    "mask", [_NULL, _CONSTANT, _PSEUDONYM, _TOMBSTONE, _YEAR, _NETWORK], ids=str
)
@pytest.mark.parametrize("value", ["anna@example.com", "1987-05-12", "203.0.113.77", ""])
def test_what_a_mask_puts_in_place_is_a_mask(mask: Mask, value: str) -> None:
    """A replaced value holds and is as long as announced."""
    new = mask.replaced(value, partial(TrialContext().pseudonym, "anna"))
    assert mask.holds(new)
    assert mask.kind.characters in (None, len(new or ""))


def test_a_map_writes_generalising_masks_by_their_names() -> None:
    """`year` and `network` are read from the map's file; a word that is no mask is refused."""
    text = """
system: shop
connector: memory
collections:
  visits:
    source: {}
    key: [id]
    takes: {customer_number: customer}
    class: visit
    fields:
      id: user.unique_id
      customer: user.unique_id
      born: {category: user.demographic.date_of_birth, mask: year}
      ip: {category: user.device.ip_address, mask: network}
    purpose: Safety.
    legal_basis: Legitimate interest.
    recipients: [nobody]
    origin: You.
"""
    fields = read_system(text).system.collections["visits"].fields
    assert (fields["born"].mask, fields["ip"].mask) == (_YEAR, _NETWORK)
    with pytest.raises(DocumentError, match="year, network or"):
        read_system(text.replace("mask: year", "mask: month"))
