"""A small world of people and rows that every connector can be tried on, with its truth beside it.

In: nothing. Out: `World`, standard or large. A connector whose system holds no tables brings a
world of its own with the same facts filled in. All values of a person carry that person's marker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from dsr_worker.contract import (
    Action,
    Always,
    Before,
    Collection,
    DecisionTable,
    Field,
    Form,
    Identity,
    LeakScope,
    Mask,
    MaskKind,
    NeededByKept,
    Parent,
    Rule,
    Since,
    Subject,
    System,
    Taken,
)

Row = Mapping[str, Any]
Where = tuple[str, tuple[str, ...]]  # collection, key

_NULL: Final = Mask(MaskKind.NULL)
_ERASE: Final = Rule("default", Always(), Action.ERASE)
_KEEP: Final = Rule("default", Always(), Action.KEEP)
_CUTOFF: Final = datetime(2018, 1, 1, tzinfo=UTC)
_RECENT: Final = "2024-05-01T10:00:00+00:00"
_LATER: Final = "2025-07-02T09:30:00+00:00"
_OLD: Final = "2015-05-01T10:00:00+00:00"


@dataclass(frozen=True)
class World:
    """Rows, the people asked about, and what must come of it.

    `people` go by their whole closed set of identities, `claimed` by the one they state. `owned`
    says whose each row is, bystanders' left out. Under `keeping` exactly `staying` of them stay.
    `sharing` go by a name that two customers have, and `shared` says in which collections that
    shows. `sweeping` takes exactly `swept`; `leak` concerns `leaked` people with so many rows each.
    """

    system: System
    rows: Mapping[str, tuple[Row, ...]] = field(repr=False)
    people: tuple[Subject, ...]
    claimed: tuple[Subject, ...]
    markers: Mapping[str, str] = field(repr=False)
    owned: Mapping[str, frozenset[Where]] = field(repr=False)
    withheld: str  # text that stands in people's rows but is about others
    keeping: Mapping[str, DecisionTable] = field(repr=False)
    staying: frozenset[Where] = field(repr=False)
    contacts: frozenset[tuple[str, str, str]] = field(repr=False)  # ref, kind, stored value
    links: frozenset[tuple[str, str, str]] = field(repr=False)  # ref, kind, value: uncontested
    contested: frozenset[tuple[str, str]] = field(repr=False)  # ref, kind
    sharing: tuple[Subject, ...]
    shared: frozenset[tuple[str, str]] = field(repr=False)  # ref, collection
    mentions: frozenset[tuple[str, str, tuple[str, ...], str]] = field(repr=False)
    sweeping: DecisionTable = field(repr=False)
    swept: frozenset[Where] = field(repr=False)
    leak: LeakScope
    leaked: Mapping[str, int] = field(repr=False)  # customer number -> rows
    lone_keys: bool = True
    """Whether a key names one row for ever; else only together with whose it is, or was."""

    @property
    def residences(self) -> frozenset[tuple[str, str, str]]:
        """What the asked people's own rows say of where they live: ref, collection, text."""
        fields = {n: c.residence for n, c in self.system.collections.items() if c.residence}
        return frozenset(
            (ref, collection, str(row[field]))
            for ref, places in self.owned.items()
            for collection, field in fields.items()
            for row in self.rows[collection]
            if row[field]
            and any(c == collection and key[-1] == str(row["id"]) for c, key in places)
        )

    @property
    def kinds(self) -> frozenset[str]:
        """The identity kinds that any collection takes."""
        return frozenset(k for c in self.system.collections.values() for k in c.takes)


def standard_world() -> World:
    """Seven people, five tables, three people asked about; two others share an address."""
    return _world(extra_remarks=())


def large_world(rows: int, row_bytes: int) -> World:
    """The standard world, with one person who has `rows` more rows of about `row_bytes` each."""
    filler = "x" * row_bytes
    return _world(
        tuple(
            _remark(10_000 + n, "ann", f"{filler} {_MARKS['ann']}", at=_RECENT) for n in range(rows)
        )
    )


_NUMBERS: Final = {"ann": 1, "ben": 2, "dan": 0, "cat": 3, "eve": 10, "fay": 7, "gil": 8}
_MARKS: Final = {name: f"zq{name}{name}zq" for name in _NUMBERS}
_ASKED: Final = ("ann", "ben", "dan")
_AGENT: Final = "Agent zqagentzq"


def _email(name: str) -> str:
    return f"{name}.{_MARKS[name]}@mail.example"


def _field(
    name: str, mask: Mask | None = None, *, third_party: bool = False, free_text: bool = False
) -> tuple[str, Field]:
    return name, Field(name, "user.content", mask, third_party, free_text)


def _system() -> System:
    people = Collection(
        name="people",
        key=("id",),
        person=True,
        takes={"email": Taken("email", Form.ASCII_CASE), "customer_number": Taken("id")},
        yields={"customer_number": "id", "phone": "phone"},
        contact={"email": "email"},
        residence="country",
        clocks={"record_date": "created_at"},
        fields=dict(
            (
                _field("id"),
                _field("email", Mask(MaskKind.TOMBSTONE)),
                _field("name", Mask(MaskKind.CONSTANT, "erased")),
                _field("phone", _NULL),
                _field("country"),
                _field("created_at"),
            )
        ),
        source={"table": "people"},
    )
    orders = Collection(
        name="orders",
        key=("id",),
        parent=Parent("people", {"person_id": "id"}),
        clocks={"record_date": "ordered_at"},
        fields=dict(
            (
                _field("id"),
                _field("person_id"),
                _field("ordered_at"),
                _field("ship_to", Mask(MaskKind.PSEUDONYM)),
            )
        ),
        source={"table": "orders"},
    )
    invoices = Collection(
        name="invoices",
        key=("id",),
        parent=Parent("orders", {"order_id": "id"}),
        clocks={"record_date": "issued_at"},
        kept_fields=frozenset({"id", "order_id", "issued_at", "gross"}),
        fields=dict(
            (
                _field("id"),
                _field("order_id"),
                _field("issued_at"),
                _field("gross"),
                _field("bill_to", _NULL),
            )
        ),
        source={"table": "invoices"},
    )
    remarks = Collection(
        name="remarks",
        key=("id",),
        takes={"email": Taken("author", Form.ASCII_CASE)},
        clocks={"record_date": "written_at"},
        fields=dict(
            (
                _field("id"),
                _field("author"),
                _field("written_at"),
                _field("body", free_text=True),
                _field("agent", third_party=True),
            )
        ),
        source={"table": "remarks"},
    )
    logins = Collection(
        name="logins",
        key=("id",),
        takes={"customer_number": Taken("person_id")},
        yields={"email": "address"},
        fields=dict((_field("id"), _field("person_id"), _field("address"))),
        source={"table": "logins"},
    )
    every = (people, orders, invoices, remarks, logins)
    return System("trial", "trial", {collection.name: collection for collection in every})


def _person(name: str, phone: str | None, country: str | None) -> dict[str, Any]:
    stored = _email(name).replace(name, name.capitalize(), 1) if name == "ann" else _email(name)
    return {
        "id": _NUMBERS[name],
        "email": stored,
        "name": f"{name} {_MARKS[name]}",
        "phone": phone,
        "country": country,
        "created_at": _OLD,
    }


def _login(number: int, name: str, address: str) -> Row:
    return {"id": number, "person_id": _NUMBERS[name], "address": address}


def _remark(number: int, name: str, body: str, at: str = _OLD) -> Row:
    return {
        "id": number,
        "author": _email(name),
        "written_at": at,
        "body": body,
        "agent": _AGENT,
    }


def _order(number: int, name: str, at: str) -> tuple[Row, Row]:
    order = {
        "id": number,
        "person_id": _NUMBERS[name],
        "ordered_at": at,
        "ship_to": f"{name} {_MARKS[name]}",
    }
    bill_to = f"{name} {_MARKS[name]}"
    return order, {
        "id": number * 10,
        "order_id": number,
        "issued_at": at,
        "gross": 1190,
        "bill_to": bill_to,
    }


def _rows(extra_remarks: tuple[Row, ...]) -> dict[str, tuple[Row, ...]]:
    sold = (
        _order(100, "ann", _RECENT),
        _order(101, "ann", _OLD),
        _order(102, "ann", _LATER),
        _order(110, "ben", _OLD),
        _order(120, "dan", _RECENT),
        _order(130, "cat", _RECENT),
        _order(140, "eve", _OLD),
    )
    remarks = (
        _remark(1, "ann", f"likes tea {_MARKS['ann']}"),
        _remark(2, "ann", f"likes rain {_MARKS['ann']}", at=_RECENT),
        _remark(3, "ben", f"likes snow {_MARKS['ben']}"),
        _remark(4, "cat", f"ask {_email('ann')}, says {_MARKS['cat']}"),
        _remark(5, "eve", f"hums {_MARKS['eve']}", at=_RECENT),
        *extra_remarks,
    )
    shared_phone = "+49 30 555 01"
    fay = _person("fay", "+49 30 555 40", "DE")
    gil = _person("gil", "+49 30 555 50", "DE") | {"email": _email("fay").upper()}
    return {
        "people": (
            _person("ann", "+49 30 555 10", "DE"),
            _person("ben", shared_phone, "AT"),
            _person("dan", None, None) | {"name": None},
            _person("cat", shared_phone, "DE"),
            _person("eve", "+49 30 555 30", "FR"),
            fay,
            gil,
        ),
        "orders": tuple(order for order, _ in sold),
        "invoices": tuple(invoice for _, invoice in sold),
        "remarks": remarks,
        "logins": (
            _login(1, "ann", _email("ann")),
            _login(2, "fay", fay["email"]),
            _login(3, "gil", gil["email"]),
        ),
    }


def _owner_of(collection: str, row: Row, rows: Mapping[str, tuple[Row, ...]]) -> str:
    by_number = {number: name for name, number in _NUMBERS.items()}
    if collection == "people":
        return by_number[row["id"]]
    if collection in {"orders", "logins"}:
        return by_number[row["person_id"]]
    if collection == "invoices":
        return _owner_of(
            "orders", next(o for o in rows["orders"] if o["id"] == row["order_id"]), rows
        )
    return str(row["author"]).split(".", 1)[0]


def _keeping() -> dict[str, DecisionTable]:
    def masks(collection: str) -> dict[str, Mask]:
        fields = _system().collections[collection].fields.values()
        return {f.name: f.mask for f in fields if f.mask is not None}

    minimum = Rule(
        "minimum",
        Since("issued_at", _CUTOFF),
        Action.MASK,
        "trial-minimum",
        masks("invoices"),
        "issued_at",
    )

    def needed(collection: str, child: str) -> Rule:
        return Rule("needed", NeededByKept((child,)), Action.MASK, "needed", masks(collection))

    rules = {
        "people": (needed("people", "orders"), _ERASE),
        "orders": (needed("orders", "invoices"), _ERASE),
        "invoices": (minimum, _ERASE),
        "remarks": (_ERASE,),
        "logins": (_ERASE,),
    }
    return {name: DecisionTable(name, some) for name, some in rules.items()}


def _world(extra_remarks: tuple[Row, ...]) -> World:
    rows = _rows(extra_remarks)
    owned: dict[str, set[Where]] = {name: set() for name in _ASKED}
    for collection, some in rows.items():
        for row in some:
            owner = _owner_of(collection, row, rows)
            if owner in owned:
                owned[owner].add((collection, (str(row["id"]),)))
    claims = {name: Identity("email", _email(name)) for name in _ASKED}
    numbers = {name: Identity("customer_number", str(_NUMBERS[name])) for name in _ASKED}
    stored = {row["id"]: row["email"] for row in rows["people"]}
    fay = Identity("email", _email("fay")), Identity("customer_number", str(_NUMBERS["fay"]))
    limit = Rule("limit", Before("written_at", _CUTOFF), Action.ERASE, "trial-limit")
    return World(
        system=_system(),
        rows=rows,
        people=tuple(Subject(name, (claims[name], numbers[name])) for name in _ASKED),
        claimed=tuple(Subject(name, (claims[name],)) for name in _ASKED),
        markers=_MARKS,
        owned={name: frozenset(places) for name, places in owned.items()},
        withheld=_AGENT,
        keeping=_keeping(),
        staying=frozenset(
            (collection, (key,))
            for collection, keys in {
                "people": ("1", "0"),
                "orders": ("100", "102", "120"),
                "invoices": ("1000", "1020", "1200"),
            }.items()
            for key in keys
        ),
        contacts=frozenset((name, "email", stored[_NUMBERS[name]]) for name in _ASKED),
        links=frozenset((name, "customer_number", str(_NUMBERS[name])) for name in _ASKED)
        | {("ann", "phone", "+493055510")},
        contested=frozenset({("ben", "phone")}),
        sharing=(Subject("fay", fay[:1]), Subject("fay and number", fay)),
        shared=frozenset(
            {("fay", "people"), ("fay and number", "people"), ("fay and number", "logins")}
        ),
        mentions=frozenset({("ann", "remarks", ("4",), "body")}),
        sweeping=DecisionTable("remarks", (limit, _KEEP)),
        swept=frozenset(("remarks", (str(number),)) for number in (1, 3, 4)),
        leak=LeakScope("orders", ("ship_to",)),
        leaked={"1": 3, "2": 1, "0": 1, "3": 1, "10": 1},
    )
