"""A customer's rows in the shop's database, parents before children.

In: the person, that person's random numbers, today, and whom a call note of theirs names. Out:
`(table, row)` pairs; a row's keys are the table's columns in order. Years at which a statutory
period turns are set on purpose for the customers named in `people`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

from dsr_worker.testing.shop import people
from dsr_worker.testing.shop.people import Person

Row = dict[str, Any]

TABLES: Final = (
    "customers", "addresses", "orders", "order_lines", "payments", "invoices", "returns",
    "reviews", "carts", "newsletter", "support_calls", "sessions", "audit_log", "loyalty",
)  # fmt: skip
_MOST_ORDERS: Final = 8  # per customer: the room between two customers' order ids
_MOST_PARTS: Final = 4  # of anything that hangs on one order or one customer
_CALLERS: Final = 7  # one in so many has called
_KEEP_YEARS: Final = 8  # § 147 (3) AO, counted from the end of the calendar year
_SKUS: Final = ("lamp-oak", "mug-blue", "chair-ash", "rug-wool", "vase-clay", "desk-pine")


@dataclass(frozen=True, slots=True)
class _Order:
    on: date
    status: str  # shipped | cancelled | new | disputed

    @property
    def invoiced(self) -> bool:
        return self.status in {"shipped", "disputed"}


def noon(on: date) -> datetime:
    """Return midday UTC: the same civil day in every zone the shop sells to."""
    return datetime.combine(on, time(12), tzinfo=UTC)


def rows(
    who: Person, rng: random.Random, today: date, names: Person | None
) -> Iterator[tuple[str, Row]]:
    """Every row of one person; `names` is the other customer whom a call note mentions."""
    if who.account:
        orders = _orders(who.number, rng, today)
        yield "customers", _customer(who, rng, today, orders)
        yield from _addresses(who, rng, today)
        for index, order in enumerate(orders):
            yield from _order(who, rng, who.number * _MOST_ORDERS + index, order)
        yield from _behaviour(who, rng, today)
        yield from _calls(who, rng, today, names)
    yield from _by_email(who, rng, today)


def _chance(who: Person, rng: random.Random, probability: float) -> bool:
    drawn = people.chance(rng, probability)
    return drawn or who.number == people.FULL


def _ago(rng: random.Random, today: date, most_days: int) -> datetime:
    return noon(today - timedelta(days=rng.randint(1, most_days)))


def _id(who: Person, index: int = 0) -> int:
    return who.number * _MOST_PARTS + index


def _orders(number: int, rng: random.Random, today: date) -> list[_Order]:
    old = _Order(date(today.year - 10, 6, 15), "shipped")
    new = _Order(today - timedelta(days=rng.randint(20, 900)), "shipped")
    last_day = date(today.year - _KEEP_YEARS, 12, 31)
    special = {
        **{each: [old] for each in people.OLD_INVOICES},
        **{each: [new] for each in people.INVOICES_IN_PERIOD},
        people.OLD_AND_NEW_INVOICES: [old, new],
        people.FULL: [old, new],
        people.LAST_DAY_OF_PERIOD: [_Order(last_day, "shipped")],
        people.FIRST_DAY_OUT: [_Order(last_day.replace(year=last_day.year - 1), "shipped")],
        people.DISPUTED: [old, _Order(today - timedelta(days=40), "disputed")],
    }
    return special.get(number) or _ordinary_orders(rng, today, old)


def _ordinary_orders(rng: random.Random, today: date, old: _Order) -> list[_Order]:
    found = [old] if people.chance(rng, 0.1) else []
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        status = rng.choices(("shipped", "cancelled", "new"), (8, 1, 1))[0]
        found.append(_Order(today - timedelta(days=rng.randint(3, 1500)), status))
    return found


def _customer(who: Person, rng: random.Random, today: date, orders: list[_Order]) -> Row:
    first = min((o.on for o in orders), default=today - timedelta(days=rng.randint(30, 1500)))
    return {
        "id": who.number,
        "email": who.email,
        "name": who.name,
        "phone": who.phone,
        "birth_on": who.born_on,
        "password_hash": f"scrypt${who.marker}",
        "country": who.country,
        "notes": f"prefers {rng.choice(('mail', 'calls'))} {who.marker}",
        "created_at": noon(first - timedelta(days=1)),
        "last_seen_at": _ago(rng, today, 700),
        "restricted": False,
    }


def _addresses(who: Person, rng: random.Random, today: date) -> Iterator[tuple[str, Row]]:
    for index in range(rng.choice((1, 1, 2))):
        yield (
            "addresses",
            {
                "id": _id(who, index),
                "customer_id": who.number,
                "recipient": who.name,
                "street": who.street,
                "postcode": who.postcode,
                "city": who.city,
                "created_at": _ago(rng, today, 1500),
            },
        )


def _order(
    who: Person, rng: random.Random, order_id: int, order: _Order
) -> Iterator[tuple[str, Row]]:
    gross = Decimal(rng.randint(900, 90000)) / 100
    yield (
        "orders",
        {
            "id": order_id,
            "customer_id": who.number,
            "ordered_at": noon(order.on),
            "status": order.status,
            "total": gross,
            "delivery_name": who.name,
            "delivery_address": f"{who.street}, {who.postcode} {who.city}",
            "note": f"leave at the door {who.marker}" if people.chance(rng, 0.4) else None,
        },
    )
    skus = [rng.choice(_SKUS) for _ in range(rng.randint(1, 3))]
    for index, sku in enumerate(skus):
        yield (
            "order_lines",
            {
                "id": order_id * _MOST_PARTS + index,
                "order_id": order_id,
                "sku": sku,
                "quantity": 1,
                "amount": (gross / len(skus)).quantize(Decimal("0.01")),
                "engraving": f"for {who.first_name}" if index == 0 else None,
            },
        )
    if order.invoiced:
        yield "payments", _payment(who, order_id, order, gross)
        yield "invoices", _invoice(who, order_id, order, gross, skus)
    if order.invoiced and _chance(who, rng, 0.15):
        yield (
            "returns",
            {
                "id": order_id,
                "order_id": order_id,
                "returned_at": noon(order.on + timedelta(days=9)),
                "reason": f"too small for {who.first_name}",
            },
        )


def _payment(who: Person, order_id: int, order: _Order, gross: Decimal) -> Row:
    return {
        "id": order_id,
        "order_id": order_id,
        "paid_at": noon(order.on),
        "amount": gross,
        "method": "transfer",
        "account_holder": who.name,
        "account_ref": f"account {who.marker}",
    }


def _invoice(who: Person, order_id: int, order: _Order, gross: Decimal, skus: list[str]) -> Row:
    net = (gross / Decimal("1.19")).quantize(Decimal("0.01"))
    return {
        "id": order_id,
        "order_id": order_id,
        "number": f"R{order.on.year}-{order_id:08d}",
        "issued_on": order.on,
        "net": net,
        "vat": gross - net,
        "gross": gross,
        "positions": [{"sku": sku, "quantity": 1} for sku in skus],
        "bill_name": who.name,
        "bill_email": who.email,
        "bill_to": f"{who.street}, {who.postcode} {who.city}",
    }


def _behaviour(who: Person, rng: random.Random, today: date) -> Iterator[tuple[str, Row]]:
    if _chance(who, rng, 0.25):
        yield (
            "reviews",
            {
                "id": _id(who),
                "customer_id": who.number,
                "sku": rng.choice(_SKUS),
                "stars": rng.randint(1, 5),
                "display_name": who.first_name,
                "body": f"nice and sturdy, says {who.marker}",
                "written_at": _ago(rng, today, 900),
            },
        )
    if _chance(who, rng, 0.4):
        yield (
            "carts",
            {
                "id": _id(who),
                "customer_id": who.number,
                "updated_at": _ago(rng, today, 200),
                "items": [{"sku": rng.choice(_SKUS), "quantity": 1}],
                "gift_note": f"from {who.first_name}",
            },
        )
    count = max(rng.choice((0, 1, 2)), int(who.number == people.FULL))
    for index in range(count):
        yield (
            "sessions",
            {
                "id": f"s-{who.marker}-{index}",
                "customer_id": who.number,
                "started_at": _ago(rng, today, 120),
                "ip": who.ip,
                "user_agent": f"Browser/1.0 ({who.marker})",
            },
        )
    if _chance(who, rng, 0.3):
        yield (
            "loyalty",
            {
                "card_no": f"L-{who.number:09d}",
                "member_no": who.customer_number,
                "member_name": who.name,
                "points": rng.randint(0, 9000),
                "joined_at": _ago(rng, today, 1500),
            },
        )


def has_call(number: int) -> bool:
    """Whether this customer has called the support line."""
    return (number - 2) % _CALLERS == 0 or number in {*people.SHARED_PHONE, people.FULL}


def call_id(number: int) -> int:
    """The id of the customer's first call."""
    return number * _MOST_PARTS


def recording_key(number: int) -> str:
    """The object that holds the customer's recorded call."""
    return f"customers/{number}/calls/{call_id(number)}.wav"


def _calls(
    who: Person, rng: random.Random, today: date, names: Person | None
) -> Iterator[tuple[str, Row]]:
    """One call by number, and for some one more that only the telephone number ties to them.

    The pair with one phone has such a call as well: it belongs to neither for certain.
    """
    if not has_call(who.number):
        return
    about = "" if names is None else f"; parcel was swapped with that of {names.email} by mistake"
    yield (
        "support_calls",
        {
            "id": call_id(who.number),
            "customer_id": who.number,
            "caller_phone": who.phone,
            "called_at": _ago(rng, today, 300),
            "agent_name": "Agent Anders",
            "notes": f"{who.first_name} asks for a delivery date{about}",
            "recording_key": recording_key(who.number),
        },
    )
    if people.chance(rng, 0.5) or who.number in {people.SHARED_PHONE[0], people.FULL}:
        yield (
            "support_calls",
            {
                "id": call_id(who.number) + 1,
                "customer_id": None,
                "caller_phone": f"+{who.phone_digits}",
                "called_at": _ago(rng, today, 300),
                "agent_name": "Agent Ayo",
                "notes": "caller hung up",
                "recording_key": None,
            },
        )


def _by_email(who: Person, rng: random.Random, today: date) -> Iterator[tuple[str, Row]]:
    """Rows that know the person by e-mail alone; none for the two whose e-mails differ in case."""
    if who.number in people.CASE_PAIR:
        return
    if not who.account or _chance(who, rng, 0.4):
        yield (
            "newsletter",
            {
                "id": _id(who),
                "email": who.email,
                "first_name": who.first_name,
                "signed_up_at": _ago(rng, today, 1500),
            },
        )
    if not who.account:
        return
    for index in range(rng.choice((1, 2))):
        spelled = who.email[0].upper() + who.email[1:] if who.number % 4 == 1 else who.email
        yield (
            "audit_log",
            {
                "id": _id(who, index),
                "at": _ago(rng, today, 900),
                "event": rng.choice(("login", "password_changed")),
                "payload": {"email": spelled, "ip": who.ip, "ok": True},
            },
        )
