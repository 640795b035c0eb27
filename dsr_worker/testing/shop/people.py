"""Who the shop's customers are: names, addresses and numbers, each with a marker of its own.

In: seed, size, a person's number. Out: one invented person, the same one each time. A marker such
as `zq0001f3zq` stands in every text of that person, so that a test can find a value that went
astray by reading bytes. All e-mail domains are reserved ones (RFC 2606), all telephone numbers
invented.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

ID_ZERO: Final = 0
SHARED_PHONE: Final = (1, 2)
UNDERSCORE: Final = 3
UNDERSCORE_NEIGHBOUR: Final = 4  # a `_` taken as a wildcard hits this one
CASE_PAIR: Final = (5, 6)
DROP_TABLE: Final = 7
DISPUTED: Final = 8
FULL: Final = 9  # has rows in every collection of every system
OLD_INVOICES: Final = (10, 11)
INVOICES_IN_PERIOD: Final = (12, 13, 14)
LAST_DAY_OF_PERIOD: Final = 15  # invoiced on the 31 December that ends the year still kept
FIRST_DAY_OUT: Final = 16  # invoiced on the 31 December a year earlier
OLD_AND_NEW_INVOICES: Final = 17
FEWEST_CUSTOMERS: Final = 40  # room for every special one and its neighbours

_WIDTH: Final = 6
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_UNKNOWN_RESIDENCE_EVERY: Final = 29
_COUNTRIES: Final = ("DE",) * 6 + ("AT", "FR", "GB-ENG", "US-CA")
_FIRST: Final = (
    "Mara", "Jonas", "Aylin", "Piet", "Svea", "Luca", "Noor", "Emil", "Ida", "Tariq",
    "Greta", "Milan", "Zoe", "Oskar", "Amara", "Linus", "Freya", "Bruno", "Leila", "Anton",
)  # fmt: skip
_LAST: Final = (
    "Falk", "Berger", "Okoye", "Lindner", "Petit", "Haddad", "Moss", "Novak", "Steiner", "Quist",
    "Arslan", "Weiss", "Duarte", "Kranz", "Ellery", "Brandt",
)  # fmt: skip
_CITIES: Final = ("Berlin", "Hamburg", "Wien", "Lyon", "Leeds", "Fresno", "Bremen", "Graz")


def marker(number: int) -> str:
    """Return the text that stands in every value of one person: `zq`, six base-36 digits, `zq`."""
    digits = []
    for _ in range(_WIDTH):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return f"zq{''.join(reversed(digits))}zq"


def chance(rng: random.Random, probability: float) -> bool:
    """Draw once: true this often."""
    return rng.random() < probability


@dataclass(frozen=True, slots=True)
class Person:
    """One invented person. Without an account there is no customer number, phone or address."""

    number: int
    account: bool
    marker: str
    name: str
    first_name: str
    email: str
    phone: str
    country: str | None
    street: str
    postcode: str
    city: str
    born_on: date
    ip: str

    def __repr__(self) -> str:
        """Return no value of the person."""
        return f"Person({self.number})"

    @property
    def customer_number(self) -> str:
        """The number by which tables, object keys and the loyalty cards know this customer."""
        return str(self.number)

    @property
    def phone_digits(self) -> str:
        """The telephone number without punctuation."""
        return "".join(c for c in self.phone if c.isdigit())


def person(rng: random.Random, number: int, *, account: bool) -> Person:
    """Invent the person of this number; `rng` is that person's own and is drawn from."""
    mark = marker(number)
    first, last = rng.choice(_FIRST), rng.choice(_LAST)
    unknown = number % _UNKNOWN_RESIDENCE_EVERY == _UNKNOWN_RESIDENCE_EVERY - 1
    return Person(
        number=number,
        account=account,
        marker=mark,
        name=_name(number, f"{first} {last}", mark),
        first_name=f"{first} {mark}",
        email=_email(number, first, mark),
        phone=_phone(number),
        country=None if unknown else rng.choice(_COUNTRIES),
        street=f"{rng.choice(_LAST)}weg {rng.randint(1, 99)} {mark}",
        postcode=f"{rng.randint(10000, 99998)}",
        city=f"{rng.choice(_CITIES)} {mark}",
        born_on=date(1950, 1, 1) + timedelta(days=rng.randrange(20000)),
        ip=f"2001:0db8:{number >> 16:04x}:{number & 0xFFFF:04x}:0000:0000:0000:0001",
    )


def _name(number: int, name: str, mark: str) -> str:
    return "Robert'); DROP TABLE customers;--" if number == DROP_TABLE else f"{name} {mark}"


def _email(number: int, first: str, mark: str) -> str:
    if number == UNDERSCORE:
        return f"under.{marker(UNDERSCORE_NEIGHBOUR)[:-3]}_zq@mail.example"
    if number == UNDERSCORE_NEIGHBOUR:
        return f"under.{mark}@mail.example"
    if number in CASE_PAIR:
        return ("casey.zqcasepairzq@mail.example", "Casey.zqCasePairzq@mail.example")[
            CASE_PAIR.index(number)
        ]
    return f"{first.lower()}.{mark}@mail.example"


def _phone(number: int) -> str:
    of = SHARED_PHONE[0] if number in SHARED_PHONE else number
    digits = f"{of:010d}"
    if of % 3:
        return f"+4915{digits}"
    return f"+49 15{digits[:3]} {digits[3:6]}-{digits[6:]}"


def markers(who: Person) -> frozenset[str]:
    """Texts that stand in this person's values and nowhere else in the shop."""
    found = {who.marker}
    if who.account:
        found.add(who.ip)
        if who.number not in SHARED_PHONE:
            found.add(who.phone)
    if who.number == UNDERSCORE:
        found.add(who.email)
    if who.number == DROP_TABLE:
        found.add(who.name)
    return frozenset(found)


def shared_markers(who: Person) -> frozenset[str]:
    """Texts that this person shares with one other: the pair's phone, the e-mail in two cases."""
    found = set()
    if who.number in SHARED_PHONE:
        found.add(who.phone)
    if who.number in CASE_PAIR:
        found.add(who.email.lower())
    return frozenset(found)
