"""The standard world with means of restriction, corrections, and what must come of them.

In: nothing. Out: `RightsWorld`: people are flagged, remarks moved, logins listed, orders and
invoices have no means. A connector whose system holds no tables, or knows fewer means, brings a
world of its own with the same facts filled in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from dsr_worker.contract import (
    Action,
    Always,
    Collection,
    Correction,
    DecisionTable,
    Field,
    Parent,
    Restriction,
    RestrictionKind,
    Rule,
    Since,
    Subject,
)
from dsr_worker.testing.conformance.world import Where, World, standard_world

_CUTOFF: Final = datetime(2018, 1, 1, tzinfo=UTC)
NO_MEANS: Final = "no_means"


@dataclass(frozen=True)
class RightsWorld:
    """A world, and what its people ask for beside erasure.

    After `rectifying` the fields in `right` read so and everything else as before; the rows in
    `retained` stay as they are, each on its ground, and those in `partly` name theirs. Under
    `restricting` and `lifting` every collection with means is decided.
    """

    world: World
    people: tuple[Subject, ...]  # with their corrections
    rectifying: Mapping[str, DecisionTable] = field(repr=False)
    right: Mapping[Where, Mapping[str, str | None]] = field(repr=False)
    retained: Mapping[Where, str] = field(repr=False)
    partly: Mapping[Where, str] = field(repr=False)

    @property
    def restricting(self) -> Mapping[str, DecisionTable]:
        """What has means is restricted, the rest kept."""
        return self._by_means(Action.RESTRICT)

    @property
    def lifting(self) -> Mapping[str, DecisionTable]:
        """What has means is freed, the rest kept."""
        return self._by_means(Action.LIFT)

    def _by_means(self, action: Action) -> Mapping[str, DecisionTable]:
        kept = Rule("default", Always(), Action.KEEP, NO_MEANS)
        done = Rule("default", Always(), action)
        return {
            name: DecisionTable(name, (done if collection.restriction else kept,))
            for name, collection in self.world.system.collections.items()
        }


def rights_world() -> RightsWorld:
    """The standard world with three kinds of means and corrections of three people."""
    world = _with_means(standard_world())
    return RightsWorld(
        world=world,
        people=tuple(replace(s, corrections=_CORRECTIONS[s.ref]) for s in world.people),
        rectifying={name: _rectifying(c) for name, c in world.system.collections.items()},
        right={
            ("people", ("1",)): {"name": "Ann Right", "phone": "+49 30 555 11"},
            ("people", ("2",)): {"country": None},
            ("invoices", ("1000",)): {"bill_to": "Ann Right"},
            ("invoices", ("1020",)): {"bill_to": "Ann Right"},
            ("invoices", ("1010",)): {"bill_to": "Ann Right", "gross": "1200"},
            ("invoices", ("1100",)): {"gross": "1200"},
        },
        retained={
            ("invoices", ("1200",)): "trial-minimum",
            **{("orders", (key,)): "stated_otherwise" for key in ("100", "101", "102")},
        },
        partly={("invoices", (key,)): "trial-minimum" for key in ("1000", "1020")},
    )


_GROSS: Final = Correction("gross", "1200")
_CORRECTIONS: Final[Mapping[str, Mapping[str, tuple[Correction, ...]]]] = {
    "ann": {
        "people": (
            Correction("name", "Ann Right"),
            Correction("phone", "+49 30 555 11", was="+49 30 555 10"),
        ),
        "invoices": (Correction("bill_to", "Ann Right"), _GROSS),
        "orders": (Correction("ship_to", "Ann Right", was="nobody"),),
    },
    "ben": {"people": (Correction("country", None, was="AT"),), "invoices": (_GROSS,)},
    "dan": {"invoices": (_GROSS,)},
}


def _rectifying(collection: Collection) -> DecisionTable:
    right = Rule("default", Always(), Action.RECTIFY)
    if collection.kept_fields is None:
        return DecisionTable(collection.name, (right,))
    minimum = Rule(
        "minimum",
        Since("issued_at", _CUTOFF),
        Action.RECTIFY,
        "trial-minimum",
        clock="issued_at",
        kept_fields=collection.kept_fields,
    )
    return DecisionTable(collection.name, (minimum, right))


def _with_means(world: World) -> World:
    collections = dict(world.system.collections)
    people, remarks, logins = (collections[name] for name in ("people", "remarks", "logins"))
    collections["people"] = replace(
        people,
        fields={**people.fields, "blocked": Field("blocked", "system.operations")},
        restriction=Restriction(RestrictionKind.FLAG, "blocked", "yes", "no"),
    )
    collections["remarks"] = replace(
        remarks, restriction=Restriction(RestrictionKind.MOVE, collection="remarks_aside")
    )
    collections["remarks_aside"] = replace(
        remarks, name="remarks_aside", source={"table": "remarks_aside"}
    )
    collections["logins"] = replace(
        logins, restriction=Restriction(RestrictionKind.LIST, collection="login_blocks")
    )
    collections["login_blocks"] = Collection(
        name="login_blocks",
        key=("login_id",),
        fields={"login_id": Field("login_id", "user.unique_id")},
        parent=Parent("logins", {"login_id": "id"}),
        source={"table": "login_blocks"},
    )
    rows = {
        **world.rows,
        "people": tuple({**row, "blocked": "no"} for row in world.rows["people"]),
        "remarks_aside": (),
        "login_blocks": (),
    }
    system = replace(world.system, collections=collections)
    return replace(world, system=system, rows=rows)
