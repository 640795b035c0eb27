"""Iceberg tables in a bucket: rows go by the table's library, and out of its snapshots as well."""

from __future__ import annotations

from typing import Any

import pytest

from dsr_worker.contract import (
    Configuration,
    NeedsHuman,
)
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_delta import HOSTILE, KEPT, order
from tests.contract.s3_erasures import Crash, crash, erased, outcomes
from tests.contract.s3_iceberg import ORDERS, World
from tests.contract.s3_support import connector, number, person


def test_a_person_goes_from_the_table_and_from_its_snapshots(iceberg: World) -> None:
    """Hard case 21: nothing is left in data files, nor in the bounds that manifests name."""
    iceberg.write(order(99, 99, "zz@shop.example"))  # its values are the greatest: bounds hold them
    anna = number("99")
    keys = list(iceberg.made.locate([anna], TrialContext()))
    assert b"zz@shop.example" in iceberg.everything()
    assert outcomes(erased(iceberg.made, [anna], TrialContext())) == {"erased": 1}
    assert len(iceberg.ids()) == 20
    assert b"zz@shop.example" not in iceberg.everything()
    assert len(iceberg.table.snapshots()) == 1
    assert list(iceberg.made.recheck([anna], keys, TrialContext(second_path=True))) == []


def test_a_file_of_several_people_is_written_anew(iceberg: World) -> None:
    """Everybody else's rows stay, others append, and a second erasure finds what came."""
    assert outcomes(erased(iceberg.made, [number("3")], TrialContext())) == {"erased": 4}
    assert iceberg.ids() == KEPT
    assert b"c3@shop.example" not in iceberg.everything()
    iceberg.write(order(40, 3), order(41, 1))
    assert outcomes(erased(iceberg.made, [number("3")], TrialContext())) == {"erased": 1}
    assert iceberg.ids() == sorted([*KEPT, "o41"])


def test_hostile_values_are_compared_as_values(iceberg: World) -> None:
    """Quotes in a key and nothing in an owner field select exactly their row."""
    iceberg.write(order(50, 50) | {"order_id": HOSTILE}, order(51, None, "n@shop.example"))
    mail = person("case", ("email", "n@shop.example"))
    assert outcomes(erased(iceberg.made, [number("50")], TrialContext())) == {"erased": 1}
    assert outcomes(erased(iceberg.made, [mail], TrialContext())) == {"erased": 1}
    assert iceberg.ids() == sorted(f"o{n}" for n in range(20))


@pytest.mark.parametrize("stop_at", [0, 1, 2])
def test_a_death_on_the_way_is_made_good(
    stop_at: int, iceberg: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was done before, a repeat from the same keys leaves nothing of the person."""
    keys = list(iceberg.made.locate([number("3")], TrialContext()))
    bucket = type(iceberg.made._bucket)
    erase_versions, calls = bucket.erase_versions, iter(range(1000))

    def dying(*args: Any) -> Any:
        if next(calls) == stop_at:
            crash()
        return erase_versions(*args)

    with monkeypatch.context() as patch:
        patch.setattr(bucket, "erase_versions", dying)
        with pytest.raises(Crash):
            list(iceberg.made.erase([number("3")], keys, TrialContext()))
    (receipt,) = iceberg.made.erase([number("3")], keys, TrialContext())
    assert receipt.rows == 4
    assert b"c3@shop.example" not in iceberg.everything()
    assert iceberg.ids() == KEPT


def test_a_snapshot_that_somebody_tagged_stops(iceberg: World) -> None:
    """A tag holds on to the old rows: a person has to let it go first."""
    table = iceberg.table
    (snapshot, *_) = table.snapshots()
    table.manage_snapshots().create_tag(snapshot.snapshot_id, "audit").commit()
    with pytest.raises(NeedsHuman) as stop:
        list(iceberg.made.locate([number("3")], TrialContext()))
    assert stop.value.code == "s3-table-unsupported"
    assert "tags" in stop.value.fields["feature"]


def test_a_renamed_column_stops(iceberg: World) -> None:
    """Old files hold the column under its old name: nobody's rows would be found there."""
    with iceberg.table.update_schema() as change:
        change.rename_column("customer", "buyer")
    with pytest.raises(NeedsHuman) as stop:
        list(iceberg.made.locate([number("3")], TrialContext()))
    assert stop.value.fields["feature"] == "renamed columns"


def test_a_catalogue_that_is_not_configured(s3_endpoint: str, bucket_name: str) -> None:
    """The error says which entry is missing."""
    made = connector(s3_endpoint, bucket_name, ORDERS)
    with pytest.raises(Configuration, match="`catalogs` entry lake"):
        list(made.locate([number("3")], TrialContext()))
