"""The shop: who is in it, what each of them has where, and the truth about it.

In: a seed, a number of customers, a day to count back from. Out: the same shop each time, one
person at a time, so that a million customers need no more memory than forty.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from enum import IntEnum
from functools import cached_property
from typing import Any, ClassVar, Final

from dsr_worker.testing.shop import bucket, desk, people, tables
from dsr_worker.testing.shop.people import Person
from dsr_worker.testing.shop.truth import Expected, Made, Place, Truth, judge

DATABASE: Final = "shop"
FILES: Final = "files"
HELPDESK: Final = "helpdesk"
_KEYS: Final = {"loyalty": "card_no"}  # of the other tables: id


class _Facet(IntEnum):
    PERSON = 0
    DATABASE = 1
    EVENTS = 2
    EXPORTS = 3
    DESK = 4


@dataclass(frozen=True, slots=True)
class _Channel:
    """A way in which customer n names customer n + offset: every `every`-th, and the full one."""

    offset: int
    every: int
    rest: int


_CALL_NOTE = _Channel(7, 14, 2)
_EVENT_DETAIL = _Channel(3, 10, 3)
_DESK_COMMENT = _Channel(5, 9, 0)
_DESK_COPY = _Channel(3, 12, 0)


@dataclass(frozen=True)
class Shop:
    """Customers 0 to `customers` - 1, then people who only signed up for the newsletter.

    A customer's number is also their id in the database. The numbers of the special ones are the
    class's constants. Dates count back from `today`.

    Raises:
        ValueError: too few customers to hold the special ones.

    """

    seed: int = 1
    customers: int = 200
    subscribers: int = 20
    today: date = date(2026, 11, 21)

    ID_ZERO: ClassVar[int] = people.ID_ZERO
    SHARED_PHONE: ClassVar[tuple[int, int]] = people.SHARED_PHONE
    UNDERSCORE: ClassVar[int] = people.UNDERSCORE
    UNDERSCORE_NEIGHBOUR: ClassVar[int] = people.UNDERSCORE_NEIGHBOUR
    CASE_PAIR: ClassVar[tuple[int, int]] = people.CASE_PAIR
    DROP_TABLE: ClassVar[int] = people.DROP_TABLE
    DISPUTED: ClassVar[int] = people.DISPUTED
    FULL: ClassVar[int] = people.FULL
    OLD_INVOICES: ClassVar[tuple[int, ...]] = people.OLD_INVOICES
    INVOICES_IN_PERIOD: ClassVar[tuple[int, ...]] = people.INVOICES_IN_PERIOD
    LAST_DAY_OF_PERIOD: ClassVar[int] = people.LAST_DAY_OF_PERIOD
    FIRST_DAY_OUT: ClassVar[int] = people.FIRST_DAY_OUT
    OLD_AND_NEW_INVOICES: ClassVar[int] = people.OLD_AND_NEW_INVOICES

    def __post_init__(self) -> None:
        if self.customers < people.FEWEST_CUSTOMERS:
            raise ValueError(f"a shop needs at least {people.FEWEST_CUSTOMERS} customers")

    @cached_property
    def numbers(self) -> range:
        """Everybody's numbers, those without an account last."""
        return range(self.customers + self.subscribers)

    def person(self, number: int) -> Person:
        """Return the person of this number.

        Raises:
            IndexError: nobody has it.

        """
        if number not in self.numbers:
            raise IndexError("nobody in this shop has that number")
        return people.person(
            self._rng(number, _Facet.PERSON), number, account=number < self.customers
        )

    def database_rows(self, number: int) -> Iterator[tuple[str, tables.Row]]:
        """The person's rows as (table, columns), parents before children."""
        names = self._named(_CALL_NOTE, number)
        rng = self._rng(number, _Facet.DATABASE)
        return tables.rows(self.person(number), rng, self.today, self._maybe(names))

    def files(self, number: int) -> Iterator[bucket.File]:
        """The person's own objects."""
        return bucket.files(self.person(number))

    def lines(self, number: int) -> Iterator[bucket.Line]:
        """The person's records in shared objects: event logs, then exports."""
        who = self.person(number)
        names = self._maybe(self._named(_EVENT_DETAIL, number))
        yield from bucket.events(who, self._rng(number, _Facet.EVENTS), self.today, names)
        yield from bucket.exports(who, self._rng(number, _Facet.EXPORTS), self.today)

    def desk_user(self, number: int) -> dict[str, Any] | None:
        """The helpdesk's user for this person, if it knows them."""
        return desk.user(self.person(number), self.today) if self._has_desk(number) else None

    def desk_tickets(self, number: int) -> Iterator[desk.Ticket]:
        """The tickets that this person opened."""
        if not self._has_desk(number):
            return
        copied = self._maybe(self._named(_DESK_COPY, number))
        names = self._maybe(self._named(_DESK_COMMENT, number))
        rng = self._rng(number, _Facet.DESK)
        yield from desk.tickets(self.person(number), rng, self.today, copied, names)

    def truth(self, number: int, *, now: datetime, held: bool | None = None) -> Truth:
        """Return all there is to know of one person, as an erasure at `now` would find it.

        `held` says whether a legal hold lies on the person; left out, it lies on the disputed one.
        """
        who = self.person(number)
        under_hold = number == self.DISPUTED if held is None else held
        made = tuple(self.made(number))
        own = tuple(thing for thing in made if not self._is_uncertain(number, thing))
        rows: tuple[Expected, ...] = tuple(judge(own, now, held=under_hold))
        return Truth(
            number=number,
            identities=_identities(who, desk_user=self._has_desk(number)),
            markers=people.markers(who),
            shared_markers=people.shared_markers(who),
            held=under_hold,
            rows=rows,
            mentions=tuple(place for place, about in self._mentions_of(number) if about == number),
            names_others=tuple(self._mentions_by(number)),
            uncertain=tuple(thing for thing in made if self._is_uncertain(number, thing)),
        )

    def made(self, number: int) -> Iterator[Made]:
        """Everything the generator made for a person, in every system."""
        for table, row in self.database_rows(number):
            key = str(row[_KEYS.get(table, "id")])
            yield Made(DATABASE, table, (key,), _flat(row))
        for file in self.files(number):
            collection = "recordings" if "/calls/" in file.key else "attachments"
            values = {"key": file.key, "size": len(file.body)}
            yield Made(FILES, collection, (file.key,), values, file.body)
        for line in self.lines(number):
            collection = "events" if line.object_key.startswith("events/") else "exports"
            yield Made(FILES, collection, (line.object_key, line.record), line.values)
        yield from self._made_at_desk(number)

    def _made_at_desk(self, number: int) -> Iterator[Made]:
        user = self.desk_user(number)
        if user is None:
            return
        yield Made(HELPDESK, "users", (str(user["id"]),), user)
        for ticket in self.desk_tickets(number):
            yield Made(HELPDESK, "tickets", (str(ticket.id),), ticket.fields)
            for said in ticket.comments:
                values = {"author_id": said.author_id, "body": said.body, "public": said.public}
                yield Made(HELPDESK, "comments", (str(ticket.id), str(said.id)), values)
                for file in said.files:
                    named = {"file_name": file.file_name, "size": len(file.body)}
                    key = (str(ticket.id), str(said.id), str(file.id))
                    yield Made(HELPDESK, "attachments", key, named, file.body)

    def _rng(self, number: int, facet: _Facet) -> random.Random:
        return random.Random((self.seed << 48) | (number << 3) | facet)

    def _has_desk(self, number: int) -> bool:
        return number < self.customers and desk.has_user(number)

    def _maybe(self, number: int | None) -> Person | None:
        return None if number is None else self.person(number)

    def _named(self, channel: _Channel, number: int) -> int | None:
        """Whom customer `number` names by this channel."""
        if number >= self.customers or number in self.CASE_PAIR:
            return None
        other = (number + channel.offset) % self.customers
        if not (number % channel.every == channel.rest or number == self.FULL):
            return None
        if channel in {_DESK_COMMENT, _DESK_COPY} and not self._has_desk(number):
            return None
        if channel is _DESK_COPY and not self._has_desk(other):
            return None
        return None if other in self.CASE_PAIR else other

    def _mentions_of(self, number: int) -> Iterator[tuple[Place, int]]:
        if number >= self.customers:
            return
        for offset in sorted({c.offset for c in _CHANNELS}):
            yield from self._mentions_by((number - offset) % self.customers)

    def _mentions_by(self, number: int) -> Iterator[tuple[Place, int]]:
        """Places in the records of `number` that name others, with whom they name."""
        for channel in _CHANNELS:
            other = self._named(channel, number)
            if other is not None:
                for place in self._places(channel, number, other):
                    yield place, other

    def _places(self, channel: _Channel, number: int, other: int) -> Iterator[Place]:
        if channel is _CALL_NOTE:
            key = (str(tables.call_id(number)),)
            yield Place(DATABASE, "support_calls", key, "notes")
        elif channel is _EVENT_DETAIL:
            line = next(self.lines(number))
            yield Place(FILES, "events", (line.object_key, line.record), "detail")
        elif channel is _DESK_COMMENT:
            yield Place(HELPDESK, "comments", _comment_key(number, 0), "body")
            yield Place(HELPDESK, "tickets", (str(desk.ticket_id(number)),), "description")
        else:
            yield Place(HELPDESK, "tickets", (str(desk.ticket_id(number)),), "collaborator_ids")
            yield Place(HELPDESK, "comments", _comment_key(number, 3), "author_id")

    def _is_uncertain(self, number: int, thing: Made) -> bool:
        return (
            number in self.SHARED_PHONE
            and thing.collection == "support_calls"
            and thing.values["customer_id"] is None
        )


_CHANNELS: Final = (_CALL_NOTE, _EVENT_DETAIL, _DESK_COMMENT, _DESK_COPY)


def _comment_key(number: int, index: int) -> tuple[str, str]:
    """The key of a comment in a customer's first ticket, as the data map has it."""
    return str(desk.ticket_id(number)), str(desk.comment_id(number, index))


def _identities(who: Person, *, desk_user: bool) -> dict[str, str]:
    found = {"email": who.email}
    if who.account:
        found |= {"customer_number": who.customer_number, "phone": who.phone}
    if desk_user:
        found["zendesk_user"] = str(desk.user_id(who.number))
    return found


def _flat(row: tables.Row) -> dict[str, Any]:
    """Spell fields inside the audit table's document as the data map names them."""
    if "payload" not in row:
        return row
    flat = {name: value for name, value in row.items() if name != "payload"}
    return flat | {f"payload->>{name}": row["payload"][name] for name in ("email", "ip")}
