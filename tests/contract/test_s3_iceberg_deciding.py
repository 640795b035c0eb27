"""What a decision table says of the rows of an Iceberg table, and what the library can do."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from dsr_worker.contract import (
    Action,
    Always,
    HeldPeople,
    HeldSubjects,
    Identity,
    Mask,
    MaskKind,
    NeedsHuman,
    Rule,
    Since,
)
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_delta import MASKED, deciding
from tests.contract.s3_erasures import ERASE, erased, outcomes
from tests.contract.s3_iceberg import World
from tests.contract.s3_support import content, number, person


def test_masks_in_an_iceberg_table(iceberg: World) -> None:
    """A row that has to stay loses its names, in old snapshots too; a repeat changes nothing."""
    ctx = deciding(MASKED)
    anna = person("case", ("customer_number", "3"), ("email", "c3@shop.example"))
    keys = list(iceberg.made.locate([anna], ctx))
    for fields in (8, 0):
        (receipt,) = iceberg.made.erase([anna], keys, ctx)
        assert [(o.outcome, o.rows, o.fields) for o in receipt.outcomes] == [("masked", 4, fields)]
    assert len(iceberg.ids()) == 20
    assert b"c3@shop.example" not in iceberg.everything()
    assert set(iceberg.made.recheck([anna], keys, TrialContext(second_path=True))) == set(keys)


def test_what_rules_keep_stays(iceberg: World) -> None:
    """A hold keeps one person's rows, a clock the newer ones of another."""
    since = Since("ordered_at", datetime(2026, 1, 10, tzinfo=UTC))
    ctx = deciding(
        Rule("hold", HeldSubjects(frozenset({"case-4"})), Action.KEEP, ground="hold"),
        Rule("minimum", since, Action.KEEP, ground="tax", clock="ordered_at"),
        ERASE,
    )
    told = outcomes(erased(iceberg.made, [number("3"), number("4")], ctx))
    assert told == {"erased": 2, "retained": 6}
    assert len(iceberg.ids()) == 18


def test_held_rows_that_only_a_snapshot_has_keep_all_of_them(iceberg: World) -> None:
    """Somebody deleted a held person's rows from the table: its old files may not go."""
    iceberg.table.delete("customer = 4")
    held = HeldPeople((Identity("customer_number", "4"),))
    ctx = deciding(Rule("hold", held, Action.KEEP, ground="hold"), ERASE)
    before = content(iceberg.s3, iceberg.bucket)
    (receipt,) = erased(iceberg.made, [number("3")], ctx)
    assert [(o.outcome, o.ground) for o in receipt.outcomes] == [("retained", "s3-table-history")]
    assert content(iceberg.s3, iceberg.bucket) == before


def test_a_mask_that_no_value_of_the_column_fits_stops(iceberg: World) -> None:
    """The column is named to a person, and nothing changes."""
    masks = {"customer": Mask(MaskKind.PSEUDONYM)}
    ctx = deciding(Rule("minimum", Always(), Action.MASK, ground="tax", masks=masks))
    before = content(iceberg.s3, iceberg.bucket)
    with pytest.raises(NeedsHuman) as stop:
        erased(iceberg.made, [number("3")], ctx)
    assert (stop.value.code, stop.value.fields) == ("s3-table-mask", {"fields": ["customer"]})
    assert content(iceberg.s3, iceberg.bucket) == before
