"""A customer's side of the helpdesk: user, tickets, comments, files, and who else takes part.

In: the person, that person's random numbers, today, whom a ticket is copied to and whom a comment
names. Out: one user and their tickets in the shape of the helpdesk's API. Ids follow from the
customer's number, so that ground truth can name places without asking the helpdesk.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from dsr_worker.testing.shop import people
from dsr_worker.testing.shop.bucket import pdf
from dsr_worker.testing.shop.people import Person
from dsr_worker.testing.shop.tables import noon

AGENTS: Final[tuple[dict[str, Any], ...]] = (
    {"id": 11, "name": "Agent Anders"},
    {"id": 12, "name": "Agent Ayo"},
)
_FIRST_USER: Final = 9_000_000_000
_MOST_TICKETS: Final = 4
_MOST_COMMENTS: Final = 8


@dataclass(frozen=True, slots=True)
class File:
    """A file that hangs on a comment."""

    id: int
    file_name: str
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Comment:
    """One comment of a ticket."""

    id: int
    author_id: int
    body: str
    public: bool
    created_at: str
    files: tuple[File, ...] = ()


@dataclass(frozen=True, slots=True)
class Ticket:
    """One ticket with all that hangs on it; `fields` are the ticket's own."""

    id: int
    fields: dict[str, Any]
    comments: tuple[Comment, ...]


def has_user(number: int) -> bool:
    """Whether the helpdesk knows this customer; never the two whose e-mails differ in case."""
    known = number % 3 == 0 or number in {people.FULL, people.DISPUTED, people.UNDERSCORE_NEIGHBOUR}
    return known and number not in people.CASE_PAIR


def user_id(number: int) -> int:
    """The helpdesk's own number for a customer."""
    return _FIRST_USER + number


def ticket_id(number: int, index: int = 0) -> int:
    """The id of a customer's ticket."""
    return _FIRST_USER + number * _MOST_TICKETS + index


def comment_id(number: int, index: int) -> int:
    """The id of a comment in a customer's first ticket."""
    return ticket_id(number) * _MOST_COMMENTS + index


def user(who: Person, today: date) -> dict[str, Any]:
    """The helpdesk's user for this customer."""
    return {
        "id": user_id(who.number),
        "name": who.name,
        "email": who.email,
        "phone": who.phone,
        "role": "end-user",
        "notes": f"polite, {who.marker}",
        "external_id": who.customer_number,
        "created_at": noon(today - timedelta(days=500)).isoformat(),
        "updated_at": noon(today - timedelta(days=20)).isoformat(),
    }


def agents(today: date) -> Iterator[dict[str, Any]]:
    """The people of the helpdesk itself."""
    for agent in AGENTS:
        yield {
            **agent,
            "email": f"agent-{agent['id']}@shop.example",
            "role": "agent",
            "created_at": noon(today - timedelta(days=2000)).isoformat(),
            "updated_at": noon(today - timedelta(days=2000)).isoformat(),
        }


def tickets(
    who: Person, rng: random.Random, today: date, copied: Person | None, names: Person | None
) -> Iterator[Ticket]:
    """The customer's tickets: in the first, an agent and one who is copied in speak as well."""
    count = max(rng.choice((0, 1, 1, 2)), int(_must_write(who, copied, names)))
    for index in range(count):
        on = today - timedelta(days=rng.randint(2, 600))
        first = index == 0
        at = noon(on).isoformat()
        comments = tuple(
            _comments(who, index, at, copied if first else None, names if first else None)
        )
        yield Ticket(
            ticket_id(who.number, index),
            {
                "id": ticket_id(who.number, index),
                "requester_id": user_id(who.number),
                "collaborator_ids": [user_id(copied.number)] if copied and first else [],
                "subject": _subject(who),
                "description": comments[0].body,
                "status": "open" if who.number == people.DISPUTED else "solved",
                "tags": ["shop"],
                "created_at": at,
                "updated_at": noon(on + timedelta(days=1)).isoformat(),
            },
            comments,
        )


def _must_write(who: Person, copied: Person | None, names: Person | None) -> bool:
    return copied is not None or names is not None or who.number in {people.FULL, people.DISPUTED}


def _subject(who: Person) -> str:
    about = "Disputed order" if who.number == people.DISPUTED else "Question"
    return f"{about} of {who.marker}"


def _comments(
    who: Person, index: int, at: str, copied: Person | None, names: Person | None
) -> Iterator[Comment]:
    first_id = ticket_id(who.number, index) * _MOST_COMMENTS
    about = "" if names is None else f" My neighbour {names.email} waits too."
    file = File(
        first_id, "receipt.pdf", "application/pdf", pdf(f"receipt of {who.marker} {first_id}")
    )
    yield Comment(
        first_id,
        user_id(who.number),
        f"Where is my parcel? Regards, {who.first_name}.{about}",
        public=True,
        created_at=at,
        files=(file,) if who.number % 2 else (),
    )
    yield Comment(first_id + 1, AGENTS[0]["id"], "We look into it.", public=True, created_at=at)
    yield Comment(
        first_id + 2,
        AGENTS[1]["id"],
        f"Customer {who.marker} sounds upset, send a voucher.",
        public=False,
        created_at=at,
    )
    if copied is not None:
        yield Comment(
            first_id + 3,
            user_id(copied.number),
            "The same happened to me.",
            public=True,
            created_at=at,
        )
