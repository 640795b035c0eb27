"""What a decision table says of the rows of a Delta table, and what of it the library can do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from connectors.s3 import S3
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
    SweepOrder,
)
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_delta import MASKED, deciding, everything, ids, table
from tests.contract.s3_erasures import ERASE, erased, outcomes
from tests.contract.s3_support import content, number, person

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def test_masks_go_through_the_library(
    delta_orders: S3, s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """A row that has to stay loses its names, in its history as well; a repeat changes nothing."""
    ctx = deciding(MASKED)
    anna = person("case", ("customer_number", "3"), ("email", "c3@shop.example"))
    keys = list(delta_orders.locate([anna], ctx))
    for fields in (8, 0):
        (receipt,) = delta_orders.erase([anna], keys, ctx)
        assert [(o.outcome, o.rows, o.fields) for o in receipt.outcomes] == [("masked", 4, fields)]
    assert len(ids(s3_endpoint, bucket_name)) == 20
    assert b"c3@shop.example" not in everything(s3, bucket_name)
    left = set(delta_orders.recheck([anna], keys, TrialContext(second_path=True)))
    assert left == set(keys)


def test_a_hold_keeps_rows(delta_orders: S3, s3_endpoint: str, bucket_name: str) -> None:
    """Held rows stay where they are, and the receipt says so."""
    rules = (
        Rule("hold", HeldSubjects(frozenset({"case-3"})), Action.KEEP, ground="hold"),
        ERASE,
    )
    ctx = deciding(*rules)
    both = [number("3"), number("4")]
    assert outcomes(erased(delta_orders, both, ctx)) == {"erased": 4, "retained": 4}
    assert len(ids(s3_endpoint, bucket_name)) == 16


def test_rules_by_a_clock(delta_orders: S3) -> None:
    """Of one person's rows the newer stay, the older go."""
    since = Since("ordered_at", datetime(2026, 1, 10, tzinfo=UTC))
    rules = (Rule("minimum", since, Action.KEEP, ground="tax", clock="ordered_at"), ERASE)
    ctx = deciding(*rules)
    assert outcomes(erased(delta_orders, [number("3")], ctx)) == {"erased": 2, "retained": 2}


def test_held_rows_that_only_the_past_has_keep_all_of_it(
    delta_orders: S3, s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Somebody deleted a held person's rows from the table: its old files may not go."""
    table(s3_endpoint, bucket_name).delete("customer = 4")
    held = HeldPeople((Identity("customer_number", "4"),))
    rules = (Rule("hold", held, Action.KEEP, ground="hold"), ERASE)
    ctx = deciding(*rules)
    before = content(s3, bucket_name)
    (receipt,) = erased(delta_orders, [number("3")], ctx)
    assert [(o.outcome, o.ground, o.rows) for o in receipt.outcomes] == [
        ("retained", "s3-table-history", 4)
    ]
    assert content(s3, bucket_name) == before


def test_a_sweep_of_a_table(delta_orders: S3, s3_endpoint: str, bucket_name: str) -> None:
    """Old rows go, whoever's they are; the brake stops before the first change."""
    since = Since("ordered_at", datetime(2026, 1, 10, tzinfo=UTC))
    rules = (Rule("limit", since, Action.KEEP), ERASE)
    swept = DecisionTable("orders", rules)
    ctx = TrialContext(tables={"orders": swept})
    with pytest.raises(NeedsHuman, match="sweep_brake"):
        list(delta_orders.sweep([SweepOrder("orders", swept, 5)], ctx))
    assert len(ids(s3_endpoint, bucket_name)) == 20
    receipts = list(delta_orders.sweep([SweepOrder("orders", swept, 50)], ctx))
    gone = sum(o.rows for r in receipts for o in r.outcomes if o.outcome == "erased")
    assert gone == 9
    assert len(ids(s3_endpoint, bucket_name)) == 11


def test_a_mask_beyond_the_library_stops(delta_orders: S3, s3: S3Client, bucket_name: str) -> None:
    """A field within a struct is named to a person; nothing changes."""
    masks = {"address.street": Mask(MaskKind.NULL)}
    rules = (Rule("minimum", Always(), Action.MASK, ground="tax", masks=masks),)
    ctx = deciding(*rules)
    before = content(s3, bucket_name)
    with pytest.raises(NeedsHuman) as stop:
        erased(delta_orders, [number("3")], ctx)
    assert (stop.value.code, stop.value.fields) == ("s3-table-mask", {"fields": ["address.street"]})
    assert content(s3, bucket_name) == before
