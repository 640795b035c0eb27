"""What a decision table says of the rows of an Iceberg table, and what the library can do."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dsr_worker.contract import (
    Action,
    Always,
    DecisionTable,
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
from tests.contract.s3_erasures import ERASE, erased, outcomes
from tests.contract.s3_iceberg import ORDERS, World
from tests.contract.s3_support import content, number, person

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture
def world(s3: S3Client, s3_endpoint: str, bucket_name: str, tmp_path: Path) -> World:
    """A table for this test alone."""
    return World(s3, s3_endpoint, bucket_name, tmp_path)


def deciding(*rules: Rule) -> TrialContext:
    """A call under these rules."""
    return TrialContext(tables={"orders": DecisionTable("orders", rules)})


def test_masks_in_an_iceberg_table(world: World) -> None:
    """A row that has to stay loses its names, in old snapshots too; a repeat changes nothing."""
    masks = {n: f.mask for n, f in ORDERS.fields.items() if f.mask is not None}
    ctx = deciding(Rule("minimum", Always(), Action.MASK, ground="tax", masks=masks))
    anna = person("case", ("customer_number", "3"), ("email", "c3@shop.example"))
    keys = list(world.made.locate([anna], ctx))
    for fields in (8, 0):
        (receipt,) = world.made.erase([anna], keys, ctx)
        assert [(o.outcome, o.rows, o.fields) for o in receipt.outcomes] == [("masked", 4, fields)]
    assert len(world.ids()) == 20
    assert b"c3@shop.example" not in world.everything()
    assert set(world.made.recheck([anna], keys, TrialContext(second_path=True))) == set(keys)


def test_what_rules_keep_stays(world: World) -> None:
    """A hold keeps one person's rows, a clock the newer ones of another."""
    since = Since("ordered_at", datetime(2026, 1, 10, tzinfo=UTC))
    ctx = deciding(
        Rule("hold", HeldSubjects(frozenset({"case-4"})), Action.KEEP, ground="hold"),
        Rule("minimum", since, Action.KEEP, ground="tax", clock="ordered_at"),
        ERASE,
    )
    told = outcomes(erased(world.made, [number("3"), number("4")], ctx))
    assert told == {"erased": 2, "retained": 6}
    assert len(world.ids()) == 18


def test_held_rows_that_only_a_snapshot_has_keep_all_of_them(world: World) -> None:
    """Somebody deleted a held person's rows from the table: its old files may not go."""
    world.table.delete("customer = 4")
    held = HeldPeople((Identity("customer_number", "4"),))
    ctx = deciding(Rule("hold", held, Action.KEEP, ground="hold"), ERASE)
    before = content(world.s3, world.bucket)
    (receipt,) = erased(world.made, [number("3")], ctx)
    assert [(o.outcome, o.ground) for o in receipt.outcomes] == [("retained", "s3-table-history")]
    assert content(world.s3, world.bucket) == before


def test_a_mask_that_no_value_of_the_column_fits_stops(world: World) -> None:
    """The column is named to a person, and nothing changes."""
    masks = {"customer": Mask(MaskKind.PSEUDONYM)}
    ctx = deciding(Rule("minimum", Always(), Action.MASK, ground="tax", masks=masks))
    before = content(world.s3, world.bucket)
    with pytest.raises(NeedsHuman) as stop:
        erased(world.made, [number("3")], ctx)
    assert (stop.value.code, stop.value.fields) == ("s3-table-mask", {"fields": ["customer"]})
    assert content(world.s3, world.bucket) == before
