"""The conformance suite against the S3 connector: the standard people in a bucket's objects.

In: the suite's own world, an S3 API. Out: the same facts as records a line, in NDJSON and CSV, and
as objects under a prefix per person. A bucket has no references between rows, so that nothing stays
because something below it does; and it knows no contacts, so that this part is not joined.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import pytest

from connectors.s3 import S3
from dsr_worker.contract import (
    Collection,
    Connector,
    DecisionTable,
    Field,
    LeakScope,
    Mask,
    MaskKind,
    Rule,
    Since,
    System,
    Taken,
)
from dsr_worker.testing.conformance import (
    Adapter,
    AffectedPart,
    ChangesInUnitsPart,
    MentionsPart,
    OnePassPart,
    RechecksPart,
    ResidencesPart,
    ResolvesPart,
    StandingPart,
    SweepsPart,
    Where,
    World,
    large_world,
    standard_world,
)
from tests.contract.s3_support import connector as connected
from tests.services import free_port

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_OBJECTS: Final = {
    "people": "people/all.ndjson",
    "orders": "orders/all.ndjson",
    "invoices": "invoices/all.ndjson",
    "remarks": "remarks/all.csv",
    "logins": "logins/all.ndjson",
}


def in_a_bucket(world: World) -> World:
    """The same facts, as a bucket holds them."""
    rows = {
        name: tuple(_row(name, row, world) for row in some) for name, some in world.rows.items()
    }
    numbers = {row["id"] for row in rows["people"]}
    files = tuple({"key": f"customers/{n}/photo.jpg", "id": n} for n in sorted(numbers))
    own = {s.ref: s.values("customer_number")[0] for s in world.people}
    owned = {
        ref: frozenset(map(_place, places)) | {("files", (f"customers/{own[ref]}/photo.jpg",))}
        for ref, places in world.owned.items()
    }
    staying = {place for place in world.staying if place[0] in {"orders", "invoices"}}
    return replace(
        world,
        system=_system(world.system),
        rows={**rows, "files": files},
        owned=owned,
        keeping=_keeping(world),
        staying=frozenset(map(_place, staying)),
        contacts=frozenset(),
        mentions=frozenset((ref, *_place((name, key)), f) for ref, name, key, f in world.mentions),
        swept=frozenset(map(_place, world.swept)),
        leak=LeakScope("orders", ("ship_to",)),
        lone_keys=False,  # a writer may put another's record under the same key
    )


def _place(place: Where) -> Where:
    name, key = place
    return name, (_OBJECTS[name], *key)


def _row(name: str, row: Mapping[str, Any], world: World) -> Mapping[str, Any]:
    """Whose an invoice is has to stand in it."""
    if name != "invoices":
        return row
    (order,) = (o for o in world.rows["orders"] if o["id"] == row["order_id"])
    return {**row, "person_id": order["person_id"]}


def _system(system: System) -> System:
    made = {name: _collection(c) for name, c in system.collections.items()}
    fields = {name: Field(name, "user.content") for name in ("key", "size", "last_modified")}
    made["files"] = Collection(
        "files",
        ("key",),
        fields,
        takes={"customer_number": Taken("key")},
        clocks={"record_date": "last_modified"},
        source={
            "layout": "prefix",
            "template": "customers/{customer_number}/",
            "lifecycle": True,
        },
    )
    return replace(system, collections=made)


def _collection(collection: Collection) -> Collection:
    prefix, _, name = _OBJECTS[collection.name].partition("/")
    fields = dict(collection.fields)
    takes = dict(collection.takes)
    if collection.parent is not None:
        takes = {"customer_number": Taken("person_id")}
        fields["person_id"] = Field("person_id", "user.unique_id")
    if collection.name == "invoices":  # no identity leads to what a mask has left of these
        fields["person_id"] = replace(fields["person_id"], mask=Mask(MaskKind.PSEUDONYM))
    for taken in takes.values():
        fields[taken.field] = replace(fields[taken.field], category="user.unique_id.owner")
    return replace(
        collection,
        parent=None,
        takes=takes,
        fields=fields,
        source={"layout": "shared", "prefix": f"{prefix}/", "format": name.rpartition(".")[2]},
    )


def _keeping(world: World) -> dict[str, DecisionTable]:
    """Recent orders and invoices stay, for a minimum of their own."""
    erase = world.keeping["remarks"].rules[-1]
    tables = {name: DecisionTable(name, (erase,)) for name in (*world.keeping, "files")}
    for name, clock in (("orders", "ordered_at"), ("invoices", "issued_at")):
        (minimum, *_) = world.keeping["invoices"].rules
        assert isinstance(minimum.when, Since)
        fields = _collection(world.system.collections[name]).fields.values()
        masks: dict[str, Mask] = {f.name: f.mask for f in fields if f.mask is not None}
        stays = Rule(
            "minimum",
            Since(clock, minimum.when.cutoff),
            minimum.action,
            "trial-minimum",
            masks,
            clock,
        )
        tables[name] = DecisionTable(name, (stays, erase))
    return tables


@dataclass
class BucketAdapter:
    """A world in a bucket of its own."""

    world: World
    s3: S3Client
    endpoint: str
    bucket: str
    made: list[S3] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name, rows in self.world.rows.items():
            if name == "files":
                for row in rows:
                    self._put(row["key"], b"a photo of %d" % row["id"])
            elif name == "remarks":
                self._put(_OBJECTS[name], _csv(rows))
            else:
                body = b"".join(json.dumps(dict(row)).encode() + b"\n" for row in rows)
                self._put(_OBJECTS[name], body)

    def _put(self, key: str, body: bytes) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)

    def connector(self) -> Connector:
        """A new connector on the bucket."""
        return self._connector(self.endpoint)

    def unreachable(self) -> Connector:
        """A connector to a port at which nobody listens."""
        return self._connector(f"http://127.0.0.1:{free_port()}")

    def divided(self) -> Connector:
        """A connector for which each object is a unit."""
        return self._connector(self.endpoint, unit_objects=1)

    def _connector(self, endpoint: str, **config: Any) -> S3:
        collections = self.world.system.collections.values()
        made = connected(endpoint, self.bucket, *collections, **config)
        self.made.append(made)
        return made

    def dump(self) -> Mapping[Where, bytes]:
        """Every line of every object, and every other object whole."""
        names = {key: name for name, key in _OBJECTS.items()}
        found: dict[Where, bytes] = {}
        for item in self.s3.list_objects_v2(Bucket=self.bucket).get("Contents", ()):
            key = item["Key"]
            body = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
            if key not in names:
                found["files", (key,)] = body
                continue
            for line in body.splitlines(keepends=True):
                found[names[key], (key, _id_in(line, key))] = line
        return found

    def close(self) -> None:
        """Close the connectors' connections; the bucket's name is its own."""
        for connector in self.made:
            connector.close()


def _csv(rows: tuple[Mapping[str, Any], ...]) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def _id_in(line: bytes, key: str) -> str:
    if key.endswith(".csv"):
        return line.split(b",", 1)[0].decode()
    return str(json.loads(line)["id"])


class TestS3(
    ResidencesPart,
    ResolvesPart,
    MentionsPart,
    AffectedPart,
    RechecksPart,
    SweepsPart,
    OnePassPart,
    ChangesInUnitsPart,
    StandingPart,
):
    """The S3 connector on a real S3 API, without versions."""

    most_moments = 6
    new: Callable[[], tuple[S3Client, str, str]]

    @pytest.fixture(autouse=True)
    def _services(self, s3: S3Client, s3_endpoint: str, bucket: Callable[[], str]) -> None:
        self.new = lambda: (s3, s3_endpoint, bucket())

    def world(self) -> World:
        """The standard people in a bucket."""
        return in_a_bucket(standard_world())

    def large(self) -> World:
        """One of them with much in one object."""
        return in_a_bucket(large_world(3000, 4000))

    def make(self, world: World) -> Adapter:
        """A bucket of its own."""
        return BucketAdapter(world, *self.new())

    def divided(self, adapter: Adapter) -> Connector:
        """Each object is a unit."""
        assert isinstance(adapter, BucketAdapter)
        return adapter.divided()
