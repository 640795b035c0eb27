"""What is found of a person: records, links to further names, mentions, contacts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dsr_worker.contract.people import Identity

_DENSE = (",", ":")
_AS_WRITTEN = json.JSONDecoder(parse_float=str, parse_int=str)


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that belongs to a record. `open` starts a fresh stream each time it is called."""

    name: str
    media_type: str
    open: Callable[[], Iterator[bytes]]

    def __repr__(self) -> str:
        return f"Attachment({self.media_type})"


@dataclass(frozen=True, slots=True)
class Withheld:
    """Values left out of a record: which field, how many, and the ground's code.

    On the ground of a `Remainder` they are owed: the answer goes out without them, and the engine
    asks again on the day of `until_at`, or where the store names none, from time to time.
    """

    field: str
    ground: str
    values: int = 1
    until_at: datetime | None = None


def body_of(content: object, *, sort_keys: bool = False) -> bytes:
    """JSON content as a record's body: UTF-8 without newlines, whatever its texts hold.

    Half of a surrogate pair, which a text cut short may end in, has no UTF-8: it stays an escape.
    """
    try:
        text = json.dumps(content, ensure_ascii=False, sort_keys=sort_keys, separators=_DENSE)
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(content, sort_keys=sort_keys, separators=_DENSE).encode()


def content_of(body: bytes) -> Any:
    """What a record's body holds: the one way to read it, and exact where `body_of` is.

    Half of a surrogate pair, which a JSON column may hold, is read as it stands, and whole numbers
    of any length stay whole. Faster readers refuse the one and round the other.
    """
    return json.loads(body)


@dataclass(frozen=True, slots=True)
class Record:
    """One row, object or ticket of a subject. `body` is a JSON object in UTF-8 without newlines."""

    subject_ref: str
    collection: str
    key: tuple[str, ...]
    body: bytes
    attachment: Attachment | None = None
    withheld: tuple[Withheld, ...] = ()

    def __repr__(self) -> str:
        return f"Record({self.subject_ref}, {self.collection}, {len(self.body)} bytes)"


@dataclass(frozen=True, slots=True)
class RecordBlock:
    """Many rows of one subject and collection, as the store wrote them and never parsed.

    `bodies` are JSON objects in UTF-8, one a line, `rows` of them (at least one), no line break
    after the last. `key` names the fields of a body that say where its row is: their values as
    texts, strings as they are and numbers as written, are the row's key. `withheld` counts what was
    left out of all the rows together, always whole fields. Some hundred KiB are a good size.
    """

    subject_ref: str
    collection: str
    key: tuple[str, ...]
    bodies: bytes
    rows: int
    withheld: tuple[Withheld, ...] = ()

    def lines(self) -> list[bytes]:
        """The bodies one by one."""
        return self.bodies.split(b"\n")

    def record(self, body: bytes) -> Record:
        """One of the bodies as a record of its own, without what `withheld` says of the block."""
        return Record(self.subject_ref, self.collection, key_within(body, self.key), body)

    def __repr__(self) -> str:
        return f"RecordBlock({self.subject_ref}, {self.collection}, {self.rows} rows)"


def key_within(body: bytes, fields: Sequence[str]) -> tuple[str, ...]:
    """The key that a block's body holds in these fields."""
    row = _AS_WRITTEN.decode(body.decode())
    return tuple(row[field] for field in fields)


@dataclass(frozen=True, slots=True)
class Residence:
    """Where a row says that a subject lives: the `residence` field as the store writes it."""

    subject_ref: str
    collection: str
    stated: str

    def __repr__(self) -> str:
        """Return where it was found, without what it says."""
        return f"Residence({self.collection})"


@dataclass(frozen=True, slots=True)
class Link:
    """An identity that a subject's row carries, with its ground.

    `owners` counts the distinct rows of others that carry the identity as well, over everything
    that `find` reads: above zero it is contested (a shared phone), stops for a human and never
    seeds a further hop. A row is another's when it is a person of its own, or carries, itself or by
    the rows above it, a further identity that is not the subject's, of a kind by which the system
    finds rows. A guest's row that nobody owns is nobody else's.

    `person` says, in a `person` collection whose rows may be copies (daily exports), which person
    the row is; empty, the row's key says it.
    """

    subject_ref: str
    identity: Identity
    collection: str
    key: tuple[str, ...]
    via: str  # the identity kind by which the row was found
    owners: int = 0
    person: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Link({self.subject_ref}, {self.identity!r} via {self.via})"


@dataclass(frozen=True, slots=True)
class Mention:
    """A place in another person's record that names the subject: for a human, never erased."""

    subject_ref: str
    collection: str
    key: tuple[str, ...]
    field: str

    def __repr__(self) -> str:
        return f"Mention({self.subject_ref}, {self.collection}.{self.field})"


@dataclass(frozen=True, slots=True)
class ContactPoint:
    """A contact *on file* of the subject who was claimed: where a verification code may go."""

    subject_ref: str
    kind: str  # email | phone
    value: str  # as stored, so that the message goes to the stored address

    def __repr__(self) -> str:
        return f"ContactPoint({self.subject_ref}, {self.kind})"
