"""A system as the data map describes it: collections, fields, and whose the rows are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from dsr_worker.contract.masks import Mask


class Form(StrEnum):
    """How a store may write an identity; it selects a safe superset, the core decides equality."""

    EXACT = "exact"
    ASCII_CASE = "ascii-case"  # ASCII letters in any case
    DIGITS = "digits"  # any punctuation between the digits


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
