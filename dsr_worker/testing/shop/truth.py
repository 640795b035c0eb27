"""What must come out: every row of a person, what an erasure leaves of it, who else names them.

In: what the generator made for that person, and the instant by which the law is read. Out: `Truth`.
It is worked out from the invented orders themselves and shares no code with connectors, data maps
or decision tables, so that it can judge them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from dsr_worker.contract import Outcome

ZONE: Final = ZoneInfo("Europe/Berlin")  # the shop's main establishment
KEEP_YEARS: Final = 8  # § 147 (3) AO, § 14b (1) UStG: from the end of the calendar year

#: Fields that go where their row has to stay.
MASKED: Final[Mapping[str, frozenset[str]]] = {
    "customers": frozenset({"email", "name", "phone", "birth_on", "password_hash", "notes"}),
    "orders": frozenset({"delivery_name", "delivery_address", "note"}),
    "payments": frozenset({"account_holder", "account_ref"}),
    "invoices": frozenset({"bill_name", "bill_email", "bill_to"}),
}
_VOUCHERS: Final = {"invoices": "issued_on", "payments": "paid_at"}


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Exactly one field of one row, object record or ticket."""

    system: str
    collection: str
    key: tuple[str, ...]
    field: str

    def __repr__(self) -> str:
        """Return no key: it may hold a customer's number."""
        return f"Place({self.system}.{self.collection}.{self.field})"


@dataclass(frozen=True, slots=True)
class Made:
    """One thing that the generator made for a person; `content` is a file's bytes."""

    system: str
    collection: str
    key: tuple[str, ...]
    values: Mapping[str, Any] = field(repr=False)
    content: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Expected:
    """One row of a person and what an erasure does to it.

    `outcome` is erased, masked or retained. Of a masked row the fields in `masked` change and all
    others stay as in `values`. `ground` is `minimum`, `needed` (a kept row refers to it), `hold` or
    empty; `kept_until` is the last day that the law asks for.
    """

    system: str
    collection: str
    key: tuple[str, ...]
    values: Mapping[str, Any] = field(repr=False)
    content: bytes | None = field(repr=False)
    outcome: Outcome
    ground: str = ""
    kept_until: date | None = None
    masked: frozenset[str] = frozenset()

    @property
    def place(self) -> tuple[str, str, tuple[str, ...]]:
        """Where it is: system, collection, key."""
        return self.system, self.collection, self.key


@dataclass(frozen=True, slots=True)
class Truth:
    """Everything that is known of one person.

    `markers` stand in this person's values and in nobody else's; `shared_markers` in one other's
    too. `mentions` are places in other people's records that name this person; `names_others` are
    places in this person's own records that name somebody else (whose number comes with it).
    `uncertain` are rows that only a shared telephone number ties to this person.
    """

    number: int
    identities: Mapping[str, str] = field(repr=False)
    markers: frozenset[str] = field(repr=False)
    shared_markers: frozenset[str] = field(repr=False)
    held: bool
    rows: tuple[Expected, ...] = field(repr=False)
    mentions: tuple[Place, ...] = field(repr=False)
    names_others: tuple[tuple[Place, int], ...] = field(repr=False)
    uncertain: tuple[Made, ...] = field(repr=False)

    def staying(self) -> Iterator[Expected]:
        """The rows that an erasure leaves, masked or whole."""
        return (row for row in self.rows if row.outcome is not Outcome.ERASED)


def kept_until(on: date) -> date:
    """Return the last day on which a voucher of this day has to be kept."""
    return date(on.year + KEEP_YEARS, 12, 31)


def judge(made: Iterable[Made], now: datetime, *, held: bool) -> Iterator[Expected]:
    """Say of each thing what an erasure at `now` does to it."""
    things = tuple(made)
    if held:
        yield from (_expect(thing, Outcome.RETAINED, "hold") for thing in things)
        return
    today = now.astimezone(ZONE).date()
    until = {_name(thing): end for thing in things if (end := _minimum(thing)) and end >= today}
    orders = {str(t.values["order_id"]) for t in things if _name(t) in until}
    for thing in things:
        if (end := until.get(_name(thing))) is not None:
            yield _expect(thing, Outcome.MASKED, "minimum", end)
        elif (thing.collection == "orders" and thing.key[0] in orders) or (
            thing.collection == "customers" and orders
        ):
            yield _expect(thing, Outcome.MASKED, "needed")
        else:
            yield _expect(thing, Outcome.ERASED)


def _name(thing: Made) -> tuple[str, tuple[str, ...]]:
    return thing.collection, thing.key


def _minimum(thing: Made) -> date | None:
    clock = _VOUCHERS.get(thing.collection)
    if clock is None:
        return None
    at = thing.values[clock]
    return kept_until(at.astimezone(ZONE).date() if isinstance(at, datetime) else at)


def _expect(thing: Made, outcome: Outcome, ground: str = "", until: date | None = None) -> Expected:
    masks = MASKED.get(thing.collection, frozenset()) if outcome is Outcome.MASKED else frozenset()
    masked = frozenset(name for name in masks if thing.values[name] is not None)
    return Expected(
        thing.system,
        thing.collection,
        thing.key,
        thing.values,
        thing.content,
        outcome,
        ground,
        until,
        masked,
    )
