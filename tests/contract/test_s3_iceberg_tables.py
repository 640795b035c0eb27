"""Iceberg tables in a bucket: rows go by the table's library, and out of its snapshots as well."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fastavro
import pyarrow as pa
import pytest
from pyiceberg.catalog import load_catalog

from dsr_worker.contract import (
    Action,
    Always,
    Configuration,
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
from tests import services as real
from tests.contract import s3_delta
from tests.contract.s3_delta import HOSTILE, KEPT, SCHEMA, order
from tests.contract.s3_erasures import ERASE, Crash, crash, erased, outcomes
from tests.contract.s3_support import connector, content, number, person, versioned

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ORDERS = replace(
    s3_delta.ORDERS,
    source={
        "layout": "table",
        "format": "iceberg",
        "prefix": "lake/shop/orders/",
        "catalog": "lake",
        "table": "shop.orders",
    },
)


class World:
    """A versioned bucket with a table of two snapshots, its catalogue, and a connector."""

    def __init__(self, s3: S3Client, endpoint: str, bucket: str, folder: Path) -> None:
        versioned(s3, bucket)
        self.s3, self.bucket, self.endpoint = s3, bucket, endpoint
        self.catalog = {
            "type": "sql",
            "uri": f"sqlite:///{folder}/catalog.db",
            "warehouse": f"s3://{bucket}/lake",
        }
        found: Any = load_catalog("lake", **self.catalog, **self._access())
        found.create_namespace("shop")
        self._catalog = found
        found.create_table("shop.orders", schema=SCHEMA)
        for part in range(2):
            self.write(*(order(n, n % 5) for n in range(part * 10, part * 10 + 10)))
        self.made = connector(endpoint, bucket, ORDERS, catalogs={"lake": self.catalog})

    def _access(self) -> dict[str, str]:
        return {
            "s3.endpoint": self.endpoint,
            "s3.region": real.S3_REGION,
            "s3.access-key-id": real.S3_KEY,
            "s3.secret-access-key": real.S3_SECRET,
        }

    @property
    def table(self) -> Any:
        """The table as anybody sees it."""
        return self._catalog.load_table("shop.orders")

    def write(self, *rows: Mapping[str, Any]) -> None:
        """A snapshot that adds these rows."""
        self.table.append(pa.Table.from_pylist([dict(row) for row in rows], SCHEMA))

    def ids(self) -> list[str]:
        """The orders in the table."""
        return sorted(self.table.scan().to_arrow().column("order_id").to_pylist())

    def everything(self) -> bytes:
        """Every byte of the bucket, data files and manifests without compression."""
        found = s3_delta.everything(self.s3, self.bucket)
        for body in content(self.s3, self.bucket).values():
            if body.startswith(b"Obj\x01"):
                found += repr(list(fastavro.reader(io.BytesIO(body)))).encode()
        return found


@pytest.fixture
def world(s3: S3Client, s3_endpoint: str, bucket_name: str, tmp_path: Path) -> World:
    """A table for this test alone."""
    return World(s3, s3_endpoint, bucket_name, tmp_path)


def deciding(*rules: Rule) -> TrialContext:
    """A call under these rules."""
    return TrialContext(tables={"orders": DecisionTable("orders", rules)})


def test_a_person_goes_from_the_table_and_from_its_snapshots(world: World) -> None:
    """Hard case 21: nothing is left in data files, nor in the bounds that manifests name."""
    world.write(order(99, 99, "zz@shop.example"))  # its values are the greatest: bounds hold them
    anna = number("99")
    keys = list(world.made.locate([anna], TrialContext()))
    assert b"zz@shop.example" in world.everything()
    assert outcomes(erased(world.made, [anna], TrialContext())) == {"erased": 1}
    assert len(world.ids()) == 20
    assert b"zz@shop.example" not in world.everything()
    assert len(world.table.snapshots()) == 1
    assert list(world.made.recheck([anna], keys, TrialContext(second_path=True))) == []


def test_a_file_of_several_people_is_written_anew(world: World) -> None:
    """Everybody else's rows stay, others append, and a second erasure finds what came."""
    assert outcomes(erased(world.made, [number("3")], TrialContext())) == {"erased": 4}
    assert world.ids() == KEPT
    assert b"c3@shop.example" not in world.everything()
    world.write(order(40, 3), order(41, 1))
    assert outcomes(erased(world.made, [number("3")], TrialContext())) == {"erased": 1}
    assert world.ids() == sorted([*KEPT, "o41"])


def test_hostile_values_are_compared_as_values(world: World) -> None:
    """Quotes in a key and nothing in an owner field select exactly their row."""
    world.write(order(50, 50) | {"order_id": HOSTILE}, order(51, None, "n@shop.example"))
    mail = person("case", ("email", "n@shop.example"))
    assert outcomes(erased(world.made, [number("50")], TrialContext())) == {"erased": 1}
    assert outcomes(erased(world.made, [mail], TrialContext())) == {"erased": 1}
    assert world.ids() == sorted(f"o{n}" for n in range(20))


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


@pytest.mark.parametrize("stop_at", [0, 1, 2])
def test_a_death_on_the_way_is_made_good(
    stop_at: int, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was done before, a repeat from the same keys leaves nothing of the person."""
    keys = list(world.made.locate([number("3")], TrialContext()))
    bucket = type(world.made._bucket)
    erase_versions, calls = bucket.erase_versions, iter(range(1000))

    def dying(*args: Any) -> Any:
        if next(calls) == stop_at:
            crash()
        return erase_versions(*args)

    with monkeypatch.context() as patch:
        patch.setattr(bucket, "erase_versions", dying)
        with pytest.raises(Crash):
            list(world.made.erase([number("3")], keys, TrialContext()))
    (receipt,) = world.made.erase([number("3")], keys, TrialContext())
    assert receipt.rows == 4
    assert b"c3@shop.example" not in world.everything()
    assert world.ids() == KEPT


def test_a_snapshot_that_somebody_tagged_stops(world: World) -> None:
    """A tag holds on to the old rows: a person has to let it go first."""
    table = world.table
    (snapshot, *_) = table.snapshots()
    table.manage_snapshots().create_tag(snapshot.snapshot_id, "audit").commit()
    with pytest.raises(NeedsHuman) as stop:
        list(world.made.locate([number("3")], TrialContext()))
    assert stop.value.code == "s3-table-unsupported"
    assert "tags" in stop.value.fields["feature"]


def test_a_renamed_column_stops(world: World) -> None:
    """Old files hold the column under its old name: nobody's rows would be found there."""
    with world.table.update_schema() as change:
        change.rename_column("customer", "buyer")
    with pytest.raises(NeedsHuman) as stop:
        list(world.made.locate([number("3")], TrialContext()))
    assert stop.value.fields["feature"] == "renamed columns"


def test_a_catalogue_that_is_not_configured(s3_endpoint: str, bucket_name: str) -> None:
    """The error says which entry is missing."""
    made = connector(s3_endpoint, bucket_name, ORDERS)
    with pytest.raises(Configuration, match="`catalogs` entry lake"):
        list(made.locate([number("3")], TrialContext()))


def test_a_mask_that_no_value_of_the_column_fits_stops(world: World) -> None:
    """The column is named to a person, and nothing changes."""
    masks = {"customer": Mask(MaskKind.PSEUDONYM)}
    ctx = deciding(Rule("minimum", Always(), Action.MASK, ground="tax", masks=masks))
    before = content(world.s3, world.bucket)
    with pytest.raises(NeedsHuman) as stop:
        erased(world.made, [number("3")], ctx)
    assert (stop.value.code, stop.value.fields) == ("s3-table-mask", {"fields": ["customer"]})
    assert content(world.s3, world.bucket) == before
