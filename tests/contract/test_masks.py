"""What a mask leaves behind, as every connector and every verification reads it."""

from __future__ import annotations

import pytest

from dsr_worker.contract import Mask, MaskKind

_NULL = Mask(MaskKind.NULL)
_CONSTANT = Mask(MaskKind.CONSTANT, "erased")
_PSEUDONYM = Mask(MaskKind.PSEUDONYM)
_TOMBSTONE = Mask(MaskKind.TOMBSTONE)


@pytest.mark.parametrize("mask", [_NULL, _CONSTANT, _PSEUDONYM, _TOMBSTONE], ids=str)
def test_nothing_needs_no_mask(mask: Mask) -> None:
    """A null shows nobody, so that every mask holds where there is nothing."""
    assert mask.holds(None)


@pytest.mark.parametrize("empty", ["", [], {}], ids=repr)
def test_emptiness_stands_for_null_and_for_no_other_mask(empty: object) -> None:
    """Where a store knows no null, its empty value is what `null` leaves."""
    assert _NULL.holds(empty)
    assert not any(mask.holds(empty) for mask in (_CONSTANT, _PSEUDONYM, _TOMBSTONE))


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
    ],
)
def test_only_the_mask_itself_holds(mask: Mask, value: object, held: bool) -> None:  # noqa: FBT001 - a table of cases
    """What somebody had there before is never taken for a mask."""
    assert mask.holds(value) is held
