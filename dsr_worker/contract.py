"""All that a connector author imports: values, protocols, errors.

A connector speaks to one kind of system (Postgres, S3, a helpdesk). The core hands it subjects, a
`Context` and decision tables; it hands back records, links, keys and receipts. It never sees the
ledger, the queue, or another system. Nothing here imports anything of ours.

The smallest connector has a `Config`, `check` and `find`. Further protocols declare what else it
can do, and the core asks by `isinstance`: `FindsBlocks`, `Contacts`, `Resolves`, `Erases`,
`Rectifies`, `Restricts`, `Mentions`, `Sweeps`, `Affected`, `Grants`, `Proposes`. Everything is a
stream: a connector holds no result in memory that grows with the data.

Errors state their consequence::

    ConnectorError
      Transient       the engine tries again later (`retry_after_s`)
      Permanent       this step has failed; the rest of the job goes on, and the answer says so
      NeedsHuman      the step stops for a person; its clocks go on
      Configuration   the system refuses to start, or stops
    LeaseLost         raised by `Context.check` and `Guard`: stop at once, change nothing more
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from dataclasses import field as attribute
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

from pydantic import BaseModel

NOTHING: Mapping[str, Any] = MappingProxyType({})
_AS_WRITTEN = json.JSONDecoder(parse_float=str, parse_int=str)

# ---- people


@dataclass(frozen=True, slots=True, order=True)
class Identity:
    """One name a person goes by: a kind (`email`, `customer_number`, …) and its canonical value."""

    kind: str
    value: str

    def __repr__(self) -> str:
        return f"Identity({self.kind})"


@dataclass(frozen=True, slots=True)
class Correction:
    """What a field of a person's rows is to say instead (Art. 16 GDPR), as texts.

    `value` None empties the field. With `was`, rows whose field says something else stay as they
    are: a person may have several addresses, and only one of them is wrong.
    """

    field: str
    value: str | None = attribute(repr=False)
    was: str | None = attribute(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Subject:
    """A person in a batch: an opaque `ref` and the closed set of identities resolved for them.

    `corrections` are what they ask to have put right, by collection; each field once.
    """

    ref: str
    identities: tuple[Identity, ...]
    corrections: Mapping[str, tuple[Correction, ...]] = attribute(
        default_factory=lambda: NOTHING, repr=False, hash=False
    )

    def values(self, kind: str) -> tuple[str, ...]:
        """The canonical values of one identity kind, in order."""
        return tuple(i.value for i in self.identities if i.kind == kind)

    def __repr__(self) -> str:
        return f"Subject({self.ref}, {len(self.identities)} identities)"


# ---- the data map


class Form(StrEnum):
    """How a store may write an identity; it selects a safe superset, the core decides equality."""

    EXACT = "exact"
    ASCII_CASE = "ascii-case"  # ASCII letters in any case
    DIGITS = "digits"  # any punctuation between the digits


_NO_MAILBOX = "@erased.invalid"  # RFC 2606, section 2: `.invalid` never resolves


class MaskKind(StrEnum):
    """What replaces a value whose row has to stay."""

    NULL = "null"
    CONSTANT = "constant"
    PSEUDONYM = "pseudonym"  # keyed, stable within one erasure, starts with "erased-"
    TOMBSTONE = "tombstone"  # unique and undeliverable: erased-…@erased.invalid
    YEAR = "year"  # of a date: the first day of its year
    NETWORK = "network"  # of an IP address: its /24, of IPv6 its /48

    @property
    def characters(self) -> int | None:
        """How long what it puts in place is, where that does not depend on the value."""
        pseudonym = len("erased-") + 16
        match self:
            case MaskKind.PSEUDONYM:
                return pseudonym
            case MaskKind.TOMBSTONE:
                return pseudonym + len(_NO_MAILBOX)
            case _:
                return None


@dataclass(frozen=True, slots=True)
class Mask:
    """A mask and, for `constant`, the text it puts in place."""

    kind: MaskKind
    constant: str | None = None

    def holds(self, value: object) -> bool:
        """Whether `value`, read back, is what this mask leaves behind.

        None shows nobody: it needs no mask, and every kind leaves it as it is. Stores that know no
        null have something empty in its place, which is what `null` leaves there.
        """
        if value is None:
            return True
        match self.kind:
            case MaskKind.NULL:
                return value in ("", [], {})
            case MaskKind.CONSTANT:
                return str(value) == self.constant
            case MaskKind.PSEUDONYM:
                return isinstance(value, str) and value.startswith("erased-")
            case MaskKind.TOMBSTONE:
                return isinstance(value, str) and value.endswith(_NO_MAILBOX)
            case MaskKind.YEAR | MaskKind.NETWORK:
                return isinstance(value, str) and value == self.generalised(value)

    def replaced(self, value: str, pseudonym: Callable[[str], str]) -> str | None:
        """What the mask puts in place of a stored value; `pseudonym` makes the value's."""
        match self.kind:
            case MaskKind.NULL:
                return None
            case MaskKind.CONSTANT:
                return self.constant
            case MaskKind.PSEUDONYM:
                return pseudonym(value)
            case MaskKind.TOMBSTONE:
                return pseudonym(value) + _NO_MAILBOX
            case MaskKind.YEAR | MaskKind.NETWORK:
                return self.generalised(value)

    def generalised(self, value: str) -> str | None:
        """What `year` or `network` leaves of a stored text; None where it is no date, no address.

        A moment becomes midnight of January 1st, in the form and with the offset it is written in.
        """
        if self.kind is MaskKind.NETWORK:
            return _network(value)
        written = _MOMENT.fullmatch(value)
        if self.kind is not MaskKind.YEAR or written is None:
            return None
        year, between, offset = written.groups()
        return f"{year}-01-01" + (f"{between}00:00:00{offset}" if between else "")


_MOMENT = re.compile(
    r"([0-9]{4})-[0-9]{2}-[0-9]{2}(?:([ T])[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.][0-9]+)?)?"
    r"(Z|[+-][0-9]{2}(?::?[0-9]{2})?|))?"
)


def _network(value: str) -> str | None:
    try:
        address = ipaddress.ip_interface(value).ip
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return str(ipaddress.IPv4Network((int(address), 24), strict=False))
    return str(ipaddress.IPv6Network((int(address), 48), strict=False))


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a collection, as mapped. `mask` says how it goes when its row must stay."""

    name: str
    category: str  # a Fideslang data category, e.g. user.contact.email
    mask: Mask | None = None  # None: not personal by itself, stays with its row
    third_party: bool = False  # about other people: withheld from an access package
    free_text: bool = False  # may mention other people: scanned by `Mentions`
    null_values: frozenset[str] = frozenset()  # texts that name nobody here, such as a guest's "0"
    review: bool = False  # proposed, and nobody has looked yet: nothing may be erased by this map


@dataclass(frozen=True, slots=True)
class Taken:
    """By which field (and in which form) a collection takes an identity of one kind."""

    field: str
    form: Form = Form.EXACT


@dataclass(frozen=True, slots=True)
class Parent:
    """The collection (of the same system) whose rows own these; `on` maps our field to its."""

    collection: str
    on: Mapping[str, str]


class RestrictionKind(StrEnum):
    """A means by which rows are stored on and no longer processed (recital 67 GDPR)."""

    FLAG = "flag"  # a field says so, and whoever processes the rows reads it
    MOVE = "move"  # the rows go to another collection, which others may not read
    LIST = "list"  # a row in another collection names them, and a view leaves those out


@dataclass(frozen=True, slots=True)
class Restriction:
    """How a collection's rows are restricted, and free again.

    `flag`: `field` gets `value`, and `free` when the restriction ends, both as texts (None: null).
    `move`: the rows go to `collection` of the same system, which has the same key and fields.
    `list`: `collection`, whose parent is this one, gets a row of the joined fields for each.
    """

    kind: RestrictionKind
    field: str = ""
    value: str | None = "true"
    free: str | None = "false"
    collection: str = ""


@dataclass(frozen=True, slots=True)
class Collection:
    """A table, a layout of objects, or a resource of an API, as the data map describes it.

    A row belongs to a subject when one of its `takes` fields equals one of the subject's
    identities, or when its parent row belongs to the subject. `yields` says which further
    identities such a row gives. Each row of a `person` collection is one person: a subject that
    matches two of them is ambiguous and stops for a human.
    """

    name: str
    key: tuple[str, ...]
    fields: Mapping[str, Field]
    takes: Mapping[str, Taken] = field(default_factory=dict)
    yields: Mapping[str, str] = field(default_factory=dict)  # identity kind -> field
    person: bool = False
    parent: Parent | None = None
    contact: Mapping[str, str] = field(default_factory=dict)  # email | phone -> field
    residence: str | None = None  # field with an ISO 3166 country
    clocks: Mapping[str, str] = field(default_factory=dict)  # start event (record_date, …) -> field
    record_class: str | None = None  # what retention policies speak of: voucher, cart, …
    kept_fields: frozenset[str] | None = None  # fields a statutory minimum protects; None: all
    purpose: str = ""  # Art. 15(1)(a) GDPR
    legal_basis: str = ""
    recipients: tuple[str, ...] = ()  # Art. 15(1)(c) GDPR
    origin: str = ""  # Art. 15(1)(g) GDPR: where the data came from
    restriction: Restriction | None = None  # None: no means, restricting leaves the rows as is
    review: bool = False  # whose rows these are was proposed, and nobody has looked yet
    source: Mapping[str, Any] = field(
        default_factory=dict
    )  # the connector's own part: table, layout …

    def names_nobody(self, field_name: str, text: str) -> bool:
        """Whether a field's text is declared to stand for none: it finds nobody, gives no name."""
        mapped = self.fields.get(field_name)
        return mapped is not None and text in mapped.null_values

    @property
    def identity_kinds(self) -> frozenset[str]:
        """The kinds of identity by which rows are found directly."""
        return frozenset(self.takes)


@dataclass(frozen=True, slots=True)
class System:
    """One system of the data map: its name, its connector's name and its collections."""

    name: str
    connector: str
    collections: Mapping[str, Collection]
    parallel: int = 2  # batches at once: as many slots
    calls_per_minute: int | None = None  # the rate budget that all workers share
    left_out: Mapping[str, str] = field(default_factory=dict)  # place in the store -> why unmapped

    @property
    def unreviewed(self) -> tuple[str, ...]:
        """Where `review` stands, as `collection` or `collection.field`, in the map's order."""
        return tuple(
            place
            for name, collection in self.collections.items()
            for place in (
                *((name,) if collection.review else ()),
                *(f"{name}.{f.name}" for f in collection.fields.values() if f.review),
            )
        )

    @property
    def owner_kinds(self) -> frozenset[str]:
        """The kinds of identity by which any of its collections finds rows."""
        return frozenset().union(*(c.takes for c in self.collections.values()))

    def children_first(self) -> tuple[Collection, ...]:
        """Every collection, each before its parent."""

        def depth(collection: Collection) -> int:
            above = collection.parent
            return 0 if above is None else 1 + depth(self.collections[above.collection])

        return tuple(sorted(self.collections.values(), key=lambda c: (-depth(c), c.name)))


# ---- decisions


class Action(StrEnum):
    """What a rule does with the rows it matches."""

    KEEP = "keep"
    MASK = "mask"  # the row stays, the masked fields go
    ERASE = "erase"
    RECTIFY = "rectify"  # the subject's corrections are put in place
    RESTRICT = "restrict"  # by the means that the collection maps
    LIFT = "lift"  # the restriction ends: the same means, backwards


@dataclass(frozen=True, slots=True)
class Always:
    """Matches every row."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """Matches every row: the whole collection is under a legal hold."""


@dataclass(frozen=True, slots=True)
class HeldSubjects:
    """Matches the rows of these subjects of the batch (by `ref`)."""

    refs: frozenset[str]


@dataclass(frozen=True, slots=True)
class HeldPeople:
    """Matches rows owned, directly or through parents, by any of these identities (sweeps)."""

    identities: tuple[Identity, ...]


@dataclass(frozen=True, slots=True)
class HeldRows:
    """Matches rows whose `field`, as text, is one of `values` (a row-set hold)."""

    field: str
    values: tuple[str, ...] = attribute(repr=False)


@dataclass(frozen=True, slots=True)
class Since:
    """Matches rows whose clock `field` is at or after `cutoff`, and those where it is null."""

    field: str
    cutoff: datetime


@dataclass(frozen=True, slots=True)
class Before:
    """Matches rows whose clock `field` is before `cutoff`; a null never matches."""

    field: str
    cutoff: datetime


@dataclass(frozen=True, slots=True)
class NeededByKept:
    """Matches rows that a staying row (kept or masked) of one of these children refers to."""

    children: tuple[str, ...]


Predicate = Always | Frozen | HeldSubjects | HeldPeople | HeldRows | Since | Before | NeededByKept


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of a decision table. `ground` says why a row stays (a code, never prose)."""

    code: str  # hold | minimum | needed | limit | default
    when: Predicate
    action: Action
    ground: str = ""
    masks: Mapping[str, Mask] = field(default_factory=dict)  # for MASK: field -> mask
    clock: str | None = None  # the clock field whose newest value dates the end of the keeping
    kept_fields: frozenset[str] = frozenset()  # for RECTIFY: these stay as they are, by `ground`


@dataclass(frozen=True, slots=True)
class DecisionTable:
    """The rules of one collection in order; the first that matches a row decides it.

    The last rule's predicate is `Always`, so that no row is left undecided.
    """

    collection: str
    rules: tuple[Rule, ...]


# ---- what connectors hand back


class Outcome(StrEnum):
    """What became of rows."""

    ERASED = "erased"
    MASKED = "masked"
    REDACTED = "redacted"
    RECTIFIED = "rectified"
    RESTRICTED = "restricted"
    LIFTED = "lifted"
    RETAINED = "retained"
    ALREADY_GONE = "already_gone"
    PENDING_REMOTE = "pending_remote"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class OutcomeCount:
    """Rows of one outcome and ground.

    `fields`: values changed; `latest_at` and `earliest_at`: the newest and the oldest clock value,
    None where no row has one. Each kept row is free when its own period has ended: the oldest says
    when the first of them is.
    """

    outcome: Outcome
    rows: int
    fields: int = 0
    ground: str = ""
    latest_at: datetime | None = None
    earliest_at: datetime | None = None

    @classmethod
    def one(
        cls, outcome: Outcome, *, fields: int = 0, ground: str = "", clock: datetime | None = None
    ) -> Self:
        """A single row, with its clock value."""
        return cls(outcome, 1, fields, ground, clock, clock)

    def plus(self, other: OutcomeCount) -> OutcomeCount:
        """Both together, as rows of this outcome and ground."""
        return OutcomeCount(
            self.outcome,
            self.rows + other.rows,
            self.fields + other.fields,
            self.ground,
            max(filter(None, (self.latest_at, other.latest_at)), default=None),
            min(filter(None, (self.earliest_at, other.earliest_at)), default=None),
        )


@dataclass(frozen=True, slots=True)
class Receipt:
    """Exactly one per subject and collection (`subject_ref` None in a sweep). No personal data.

    The outcomes add up to the rows located. `kept` holds `Context.digest`s of the keys of rows that
    stay (retained or masked), so that verification can subtract exactly those.
    """

    subject_ref: str | None
    collection: str
    outcomes: tuple[OutcomeCount, ...]
    kept: frozenset[str] = frozenset()

    @property
    def rows(self) -> int:
        """Every row it accounts for."""
        return sum(o.rows for o in self.outcomes)


@dataclass(frozen=True, slots=True)
class Key:
    """Where a row, object or ticket of a subject is: enough to reach it again, and no more."""

    subject_ref: str
    collection: str
    key: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Key({self.subject_ref}, {self.collection})"


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
    """Values left out of a record: which field, how many, and the ground's code."""

    field: str
    ground: str
    values: int = 1


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


@dataclass(frozen=True, slots=True)
class SweepOrder:
    """What a sweep is to do in one collection: the table decides, the limits stop it.

    `max_rows` is a brake: more matching rows than this changes nothing and raises `NeedsHuman`.
    """

    collection: str
    table: DecisionTable
    max_rows: int


@dataclass(frozen=True, slots=True)
class LeakScope:
    """What leaked from one collection: its fields, and the window in which rows existed."""

    collection: str
    fields: tuple[str, ...]
    from_at: datetime | None = None
    until_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AffectedPerson:
    """A person whose data was in a leaked scope: the row's identities, and where they live."""

    collection: str
    identities: tuple[Identity, ...]
    residence: str | None = None  # ISO 3166; None is unknown and counted as unknown
    rows: int = 1

    def __repr__(self) -> str:
        return f"AffectedPerson({self.collection}, {len(self.identities)} identities)"


class Severity(StrEnum):
    """How a finding of `check` stands."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `check`: what was looked at, how it stands, and what to do about it."""

    severity: Severity
    subject: str
    message: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One reason for a proposal: a code, and of how many sampled values how many bore it out.

    Never a value: codes and counts alone.
    """

    code: str
    matched: int = 0
    of: int = 0

    def __str__(self) -> str:
        return f"{self.code} {self.matched}/{self.of}" if self.of else self.code


@dataclass(frozen=True, slots=True)
class Ground:
    """Why something was proposed, and how sure that is, from 0 to 1."""

    confidence: float
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A place of the store that is not proposed for the map, and why (a code)."""

    place: str
    code: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """A data map as a connector would write it, for people to review.

    `collections` carry `review` marks wherever the connector is unsure. `grounds` are by collection
    and field; the collection's own is by the field "". `drift` says where the map that the
    connector was made with no longer fits the store; an error there fails a check.
    """

    collections: Mapping[str, Collection]
    grounds: Mapping[tuple[str, str], Ground]
    left_out: tuple[LeftOut, ...] = ()
    drift: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Role:
    """An account with no more rights than its purpose needs, as statements for an administrator.

    Running them again changes nothing. They set no password.
    """

    name: str
    purpose: str
    statements: tuple[str, ...]


# ---- what the core hands in


@runtime_checkable
class State(Protocol):
    """A small sealed store per system for cursors and remote job ids; values up to 64 KiB.

    Writes are fenced: `LeaseLost` when the batch no longer holds its lease.
    """

    def get(self, key: str) -> bytes | None:
        """The value last put; None where there is none."""
        ...

    def put(self, key: str, value: bytes) -> None:
        """Keep a value."""
        ...

    def forget(self, key: str) -> None:
        """Keep it no longer."""
        ...


class Guard(Protocol):
    """The moment of an effect: legal holds cannot be placed in this system until it ends."""

    def table(self, collection: str) -> DecisionTable:
        """The decision table as of this moment, holds included."""
        ...

    def intend(self, receipts: Sequence[Receipt]) -> None:
        """Record durably what is about to be committed, with counts; the last call before it.

        Raises LeaseLost when the batch may not go on: roll back.
        """
        ...


class Context(Protocol):
    """What a call may know and use beside its subjects."""

    @property
    def operation_id(self) -> str:
        """Stable over repeats of the same work: use it as an idempotency key."""
        ...

    @property
    def now(self) -> datetime:
        """The instant this call is decided by (aware UTC)."""
        ...

    @property
    def dry_run(self) -> bool:
        """Say what would happen, with counts, and change nothing."""
        ...

    @property
    def second_path(self) -> bool:
        """Verification: read by another connection, in every collection, for every identity."""
        ...

    @property
    def state(self) -> State:
        """The small store of this system."""
        ...

    def table(self, collection: str) -> DecisionTable:
        """The decision table for planning; at the moment of effect use the guard's."""
        ...

    def guard(self) -> AbstractContextManager[Guard]:
        """Enter around the committing call only (in Postgres: around the transaction)."""
        ...

    def part(self, subjects: Sequence[Subject]) -> Context:
        """The same call about some of its subjects, as if the others came in another one."""
        ...

    def check(self) -> None:
        """Call at unit borders. Raises LeaseLost when the work was taken away or is to stop."""
        ...

    def spend(self, calls: int = 1) -> None:
        """Take `calls` from the system's shared rate budget; Transient when it is used up."""
        ...

    def digest(self, collection: str, key: Sequence[str]) -> str:
        """A keyed digest of a key: the only form in which a receipt may name a row."""
        ...

    def pseudonym(self, subject_ref: str, value: str) -> str:
        """The keyed pseudonym for masks: `erased-`, 16 hex digits, stable per subject and value."""
        ...

    def canonical(self, kind: str, value: str) -> str | None:
        """The canonical form of a stored identity; None where it names nobody."""
        ...


# ---- what a connector can do


@runtime_checkable
class Connector(Protocol):
    """The smallest connector: made as `cls(system, config)`, used by many threads."""

    Config: ClassVar[type[BaseModel]]

    def check(self) -> Iterable[Finding]:
        """Whether the system can be reached and fits its map. Changes nothing."""
        ...

    def find(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Record]:
        """Every record of every subject, in any order. Reads only."""
        ...


@runtime_checkable
class FindsBlocks(Protocol):
    """Hands many rows over at once: a row need not become a Python object on the way."""

    def find_blocks(
        self, subjects: Sequence[Subject], ctx: Context
    ) -> Iterator[Record | RecordBlock]:
        """The same records as `find`, in blocks where that is possible. Reads only."""
        ...


@runtime_checkable
class Contacts(Protocol):
    """Knows where a person can be reached."""

    def contacts(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[ContactPoint]:
        """The contact points on file of those whose claimed identity matches exactly."""
        ...


@runtime_checkable
class Resolves(Protocol):
    """Knows by which further names a person goes."""

    def resolve(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Link]:
        """Further identities of the subjects, from the collections that yield them. Reads only.

        An identity that the subject came with is told as well where `owners` is above zero: a name
        that was verified may still be several people's. Every row of a subject in a `person`
        collection gives at least one link, if need be of the identity that found it, so that two
        rows are seen to be two people.
        """
        ...


@runtime_checkable
class Erases(Protocol):
    """Erases, masks and keeps by decision tables."""

    def locate(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Key]:
        """The key of everything of the subjects, in every collection. Reads only."""
        ...

    def erase(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Receipt]:
        """Apply the decision tables to the located keys, children first.

        `keys` were sealed before this call, so that a repeat after any crash works from the same
        ones: what is no longer there is `already_gone`. With `ctx.dry_run`, counts only. One
        receipt for every subject and collection, `absent` where nothing was located.
        """
        ...


@runtime_checkable
class Rectifies(Protocol):
    """Puts right what a person says is wrong."""

    def rectify(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Receipt]:
        """Put the subjects' corrections into the located rows that the tables let be changed.

        The receipts are those of `Erases.erase`, every row among `kept`. A row decided by RECTIFY
        is `rectified`, its `fields` the values that differ: 0 once all are in place, so that a
        repeat and a dry run by the second path say whether it has taken effect; it carries the
        rule's ground only where `kept_fields` hold one of its corrections back. It is `retained` on
        that ground where they leave nothing to change, and on the ground `stated_otherwise` where
        no field says what `was` says, or says it already. A value that the store refuses raises
        NeedsHuman("correction_refused", collection and field), changing nothing.
        """
        ...


@runtime_checkable
class Restricts(Protocol):
    """Stores rows on without processing them, and frees them again."""

    def restrict(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Receipt]:
        """Restrict the located rows that the tables say RESTRICT of, free those they say LIFT of.

        The receipts are those of `Erases.erase`, every row among `kept`. `restricted` and `lifted`
        count in `fields` the values changed, or one a row that is moved or listed: 0 where it was
        so already. Rows whose collection maps no means are decided KEEP by the core; a moved row
        is looked for where it went as well, under the key it had.
        """
        ...


@runtime_checkable
class Rechecks(Protocol):
    """Looks again by a second path."""

    def recheck(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Key]:
        """What is still there, by a second path: `ctx.second_path` is set.

        Every one of `keys` that still exists, and whatever else any identity of the subjects finds
        in any collection, never along references that the erasure cut. Each key once, in any order.
        """
        ...


@runtime_checkable
class Mentions(Protocol):
    """Finds where other people's records name somebody."""

    def mentions(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Mention]:
        """Places in other people's records that name a subject. Reads only."""
        ...


@runtime_checkable
class Sweeps(Protocol):
    """Applies retention limits."""

    def sweep(self, orders: Sequence[SweepOrder], ctx: Context) -> Iterator[Receipt]:
        """Apply each order in short transactions, children first; with `ctx.dry_run`, count only.

        May yield several receipts per collection (one per committed part); a repeat goes on.
        """
        ...


@runtime_checkable
class Affected(Protocol):
    """Tells whose data lay in a leaked scope."""

    def affected(self, scopes: Sequence[LeakScope], ctx: Context) -> Iterator[AffectedPerson]:
        """Everyone whose data lay in the leaked scopes. Reads only."""
        ...


@runtime_checkable
class Proposes(Protocol):
    """Reads what its system holds and proposes the map of it."""

    def propose(self) -> Proposal:
        """The map as the store suggests it, and where the present map does not fit. Reads only.

        Samples are bounded in rows and time. No value of the data leaves this call: neither in the
        proposal, nor in an error, a log line or a statement's text. The map that the connector was
        made with may be empty.
        """
        ...


@runtime_checkable
class Grants(Protocol):
    """Knows which rights it needs in its system."""

    def grants(self) -> Iterable[Role]:
        """The least privileged roles that serve the data map. Changes nothing."""
        ...


# ---- errors


class ConnectorError(Exception):
    """Root of what a connector may raise. Texts hold no personal data: they reach logs."""


class Transient(ConnectorError):  # noqa: N818 - says the consequence
    """The same call may succeed later."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Permanent(ConnectorError):  # noqa: N818 - says the consequence
    """Repeating the call cannot help."""


class NeedsHuman(ConnectorError):  # noqa: N818 - says the consequence
    """A person has to decide. `code` is stable; `fields` name what to look at (no values)."""

    def __init__(self, code: str, fields: Mapping[str, Any] = NOTHING) -> None:
        super().__init__(code)
        self.code = code
        self.fields = dict(fields)


class Configuration(ConnectorError):  # noqa: N818 - says the consequence
    """The system's configuration or data map is wrong: refuse to start."""


class LeaseLost(Exception):  # noqa: N818 - a state of affairs, not a fault
    """The work was taken away or the worker is stopping. Roll back and return."""
