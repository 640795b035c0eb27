"""Which collection of the data map is which resource of the API, and how rows become keys.

In: a `System`. Out: its users, tickets, comments and attachments, checked once. Comments get the
field `ticket_id`; attachments get `ticket_id`, `comment_id`, `author_id` and `created_at`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dsr_worker.contract import Collection, Configuration, System

Row = dict[str, Any]

NO_ID = 0  # nothing at the helpdesk has this number
RESOURCES = ("users", "tickets", "comments", "attachments")


@dataclass(frozen=True, slots=True)
class Layout:
    """The mapped collections by resource; None where the map leaves one out."""

    users: Collection | None
    tickets: Collection | None
    comments: Collection | None
    attachments: Collection | None

    @property
    def mapped(self) -> tuple[Collection, ...]:
        """The mapped collections, parents first."""
        every = (self.users, self.tickets, self.comments, self.attachments)
        return tuple(c for c in every if c is not None)

    @property
    def requester_kinds(self) -> tuple[str, ...]:
        """Identity kinds that tickets take by their requester."""
        if self.tickets is None:
            return ()
        takes = self.tickets.takes.items()
        return tuple(kind for kind, taken in takes if taken.field == "requester_id")


def layout(system: System) -> Layout:
    """Sort a system's collections by resource. Raises Configuration when the map does not fit."""
    found: dict[str, Collection] = {}
    for collection in system.collections.values():
        resource = str(collection.source.get("resource"))
        if resource not in RESOURCES:
            raise Configuration(
                f"{system.name}.{collection.name}: source.resource must be one of {RESOURCES}"
            )
        if resource in found:
            raise Configuration(f"{system.name}: two collections read {resource}; map one")
        if "id" not in collection.key:
            raise Configuration(f"{system.name}.{collection.name}: key must contain id")
        found[resource] = collection
    if "attachments" in found and "comments" not in found:
        raise Configuration(f"{system.name}: attachments need comments to be mapped as well")
    if "comments" in found and "tickets" not in found:
        raise Configuration(f"{system.name}: comments need tickets to be mapped as well")
    return Layout(*(found.get(resource) for resource in RESOURCES))


def value(row: Mapping[str, Any], path: str) -> Any:
    """A field of a row; `user_fields.country` reaches into a nested object; None when missing."""
    current: Any = row
    for part in path.split("."):
        current = current.get(part) if isinstance(current, Mapping) else None
    return current


def text_at(row: Mapping[str, Any], path: str) -> str | None:
    """A field of a row as text; None where nothing stands there. A field may hold a list."""
    found = value(row, path)
    return str(found) if found else None


def key_of(collection: Collection, row: Mapping[str, Any]) -> tuple[str, ...]:
    """The key of a row, as text."""
    return tuple(str(value(row, field)) for field in collection.key)


def as_id(text: str) -> int | None:
    """The number a helpdesk id stands for; None for anything that is not written as one."""
    if not text.isascii() or not text.isdigit() or len(text) > 18 or str(int(text)) != text:  # noqa: PLR2004 - 64 bit
        return None
    return int(text)


def id_of(collection: Collection, key: tuple[str, ...]) -> int:
    """The API's id within a key; `NO_ID` where the text is not exactly how an id is written."""
    return as_id(key[collection.key.index("id")]) or NO_ID


def part_of(collection: Collection, key: tuple[str, ...], field: str) -> int | None:
    """Another id within a key (`ticket_id` of a comment), when the map has it there."""
    return as_id(key[collection.key.index(field)]) if field in collection.key else None


def with_ticket(comment: Row, ticket_id: int) -> Row:
    """A comment that knows its ticket."""
    return comment | {"ticket_id": ticket_id}


def files_of(comment: Row) -> Iterator[Row]:
    """A comment's attachments, each knowing where it hangs."""
    for file in comment.get("attachments") or ():
        yield file | {
            "ticket_id": comment["ticket_id"],
            "comment_id": comment["id"],
            "author_id": comment["author_id"],
            "created_at": comment.get("created_at"),
        }
