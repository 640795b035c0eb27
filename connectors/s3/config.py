"""What the data map says about a bucket, checked once and typed.

In: the `config` of a system and the `source` of each of its collections. Out: `Config`, and one
layout per collection. A layout that does not fit is a `Configuration` error before any request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from connectors.s3.templates import KeyTemplate, TemplateError, derived_texts
from dsr_worker.contract import Collection, Configuration

_GIB = 1 << 30
_MIB = 1 << 20
Derived = Annotated[str, Field(pattern=r"^[^{}]*\{(key|stem)\}[^{}]*$")]


class Inventory(BaseModel):
    """Where S3 Inventory delivers its reports: `prefix` up to and with the configuration's name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bucket: str = Field(min_length=3)
    prefix: str = Field(min_length=1)
    max_age_days: float = Field(default=8.0, gt=0)


class Replica(BaseModel):
    """A bucket that holds copies of another one, and how to reach it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bucket: str = Field(min_length=3)
    endpoint_url: str | None = None
    region: str = "us-east-1"
    access_key_id: SecretStr | None = None
    secret_access_key: SecretStr | None = None
    expected_bucket_owner: str | None = Field(default=None, pattern=r"^[0-9]{12}$")


class Restore(BaseModel):
    """How archived objects are brought back: for how many days, and how fast."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    days: int = Field(default=7, ge=1, le=365)
    tier: Literal["Bulk", "Standard", "Expedited"] = "Bulk"


class Config(Replica):
    """How to reach one bucket. Without keys, the usual AWS credential chain decides."""

    replicas: tuple[Replica, ...] = ()
    bypass_governance: bool = False
    restore: Restore | None = None  # None: nothing is brought back by us
    abort_uploads_after_days: int | None = Field(default=None, ge=1)  # under shared prefixes
    connect_timeout_s: float = Field(default=5.0, gt=0)
    read_timeout_s: float = Field(default=30.0, gt=0)
    catalogs: dict[str, dict[str, SecretStr]] = Field(default_factory=dict)  # of Iceberg tables
    single_put_bytes: int = Field(default=_GIB, ge=5 * _MIB, le=5 * _GIB)  # above: multipart
    unit_objects: int = Field(default=1000, ge=1)  # what one unit reads, at most:
    unit_bytes: int = Field(default=256 * _MIB, ge=1)  # … unless one object is larger
    inventory: Inventory | None = None
    requester_pays: bool = False
    sse_customer_key: SecretStr | None = None  # base64 of the 32 bytes of SSE-C
    proofs: bool = False  # SHA-256 of shared objects before and after they are written anew
    mark_rewrites: bool = False  # metadata `dsr-rewritten`, for consumers of the bucket's events


class PrefixLayout(BaseModel):
    """Objects of one person: their keys name them, each identity as one whole segment.

    `derived`: what is made from an object and lies elsewhere, by `{key}` and `{stem}`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    layout: Literal["prefix"]
    template: str = Field(min_length=1)
    derived: tuple[Derived, ...] = ()
    lifecycle: bool = False  # all under the prefix is this collection's: a rule may let it go

    @property
    def prefix(self) -> str:
        """What all keys begin with: the template up to the first part that differs."""
        return re.split(r"[*{]", self.template, maxsplit=1)[0]

    def templates(self, collection: Collection) -> tuple[KeyTemplate, ...]:
        """The template, and those of what is derived. Raises `Configuration`."""
        kinds = frozenset(collection.takes)
        try:
            found = tuple(
                KeyTemplate(text, kinds)
                for text in (self.template, *derived_texts(self.template, self.derived))
            )
        except TemplateError as error:
            raise Configuration(f"collection {collection.name}: {error}") from None
        missing = sorted(kinds - set(found[0].kinds))
        if missing:
            raise Configuration(
                f"collection {collection.name}: takes {', '.join(missing)}, which its template does"
                " not hold: add the placeholder, or take it out of takes"
            )
        return found


class LabelledLayout(BaseModel):
    """Objects of one person: their tags (`tag:…`) or user metadata (`meta:…`) name them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layout: Literal["objects"]
    prefix: str
    derived: tuple[Derived, ...] = ()


class LinkedLayout(BaseModel):
    """Objects that rows of a shared collection (`from`) link in a field: the rows' owners own them.

    `hosts`: further hosts whose paths are keys of this bucket, such as a CDN's.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    layout: Literal["linked"]
    rows: str = Field(alias="from", min_length=1)
    field: str = Field(min_length=1)
    prefix: str = Field(min_length=1)
    hosts: tuple[str, ...] = ()
    derived: tuple[Derived, ...] = ()


_Sign = Annotated[str, Field(pattern=r"^[\x09\x20-\x7e]$")]


class CsvDialect(BaseModel):
    """The signs of a CSV object. `columns` names the fields by position, or what a header says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    delimiter: _Sign = ","
    quote: _Sign | None = '"'
    escape: _Sign | None = None  # else a quote inside quotes is doubled
    comment: _Sign | None = None  # a line that begins with it is no record
    header: bool = True
    columns: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        signs = [*filter(None, (self.delimiter, self.quote, self.escape, self.comment))]
        if len(set(signs)) < len(signs):
            raise ValueError("each sign of a dialect is another one")
        if len(set(self.columns)) < len(self.columns) or not (self.header or self.columns):
            raise ValueError("without a header `columns` names every field, each once")
        return self


class SharedLayout(BaseModel):
    """Shared objects with the records of many people."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layout: Literal["shared"]
    prefix: str
    format: Literal["ndjson", "json", "csv", "parquet", "avro"]
    compression: Literal["none", "gzip", "zstd", "bzip2", "xz", "snappy"] = (
        "none"  # for the reader of the map: the bytes decide
    )
    encoding: Literal["utf-8", "latin-1", "cp1252"] = "utf-8"
    dialect: CsvDialect = CsvDialect()  # of csv
    records: str = ""  # of json: the dotted path to the list of records; "": the document itself
    equals: Mapping[str, Literal["both", "text", "number", "decimal"]] = Field(
        default_factory=dict
    )  # by owner or yielded field: which values are compared at all
    emptied: Literal["keep", "erase"] = "keep"  # an object of which no record is left
    clock: Literal["iso", "epoch_s", "epoch_ms"] = "iso"


class TableLayout(BaseModel):
    """A Delta or Iceberg table whose files lie under a prefix."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layout: Literal["table"]
    format: Literal["delta", "iceberg", "hudi"]
    prefix: str = Field(pattern=r"^(.+/)$")
    catalog: str = ""  # of `catalogs` in the system's config
    table: str = ""  # as the catalogue calls it
    clock: Literal["iso", "epoch_s", "epoch_ms"] = "iso"


AnyLayout = PrefixLayout | SharedLayout | LabelledLayout | LinkedLayout | TableLayout
_LAYOUT: TypeAdapter[AnyLayout] = TypeAdapter(Annotated[AnyLayout, Field(discriminator="layout")])


def owner_columns(collection: Collection) -> set[str]:
    """The fields that say whose a record is."""
    return {taken.field for taken in collection.takes.values()}


def layout_of(collection: Collection) -> AnyLayout:
    """The layout of a collection. Raises `Configuration` when its map does not fit a bucket."""
    try:
        layout = _LAYOUT.validate_python(dict(collection.source))
    except ValidationError as error:
        places = ", ".join(".".join(map(str, e["loc"])) or "source" for e in error.errors())
        raise Configuration(
            f"collection {collection.name}: its source is wrong at {places}"
        ) from None
    if collection.parent is not None:
        raise Configuration(f"collection {collection.name}: objects in a bucket have no parent")
    match layout:
        case PrefixLayout():
            layout.templates(collection)
        case LabelledLayout():
            _check_taken(collection, ("tag:", "meta:"), "a tag or an entry of the user metadata")
        case LinkedLayout():
            _check_taken(collection, ("row:",), f"an owner field of {layout.rows}")
        case TableLayout():
            _check_named(collection)
            _check_table(collection.name, layout)
        case SharedLayout():
            _check_named(collection)
            _check_shared(collection, layout)
    return layout


def _check_named(collection: Collection) -> None:
    if not (collection.key and (collection.takes or collection.review)):
        raise Configuration(
            f"collection {collection.name}: shared objects need `key` and `takes` fields"
        )


def _check_shared(collection: Collection, layout: SharedLayout) -> None:
    owners, columns = owner_columns(collection), layout.dialect.columns
    if layout.format != "json" and layout.records:
        raise Configuration(f"collection {collection.name}: `records` is for `format: json`")
    if columns and not owners.intersection(columns):
        raise Configuration(f"collection {collection.name}: none of `columns` is in its `takes`")
    foreign = layout.equals.keys() - owners - set(collection.yields.values())
    if foreign:
        raise Configuration(
            f"collection {collection.name}: `equals` speaks of {', '.join(sorted(foreign))}, "
            "which neither `takes` nor `yields` names"
        )


def _check_table(name: str, layout: TableLayout) -> None:
    if layout.format == "hudi":
        raise Configuration(
            f"collection {name}: Hudi tables are changed by Hudi alone: erase there by its DELETE, "
            "run its cleaner, and leave the table out of the map with that as the reason"
        )
    if layout.format == "iceberg" and not (layout.catalog and layout.table):
        raise Configuration(
            f"collection {name}: an Iceberg table needs `catalog` (one of the system's `catalogs`) "
            "and `table`, as in 'shop.orders'"
        )


def _check_taken(collection: Collection, ways: tuple[str, ...], what: str) -> None:
    fields = [taken.field for taken in collection.takes.values()]
    if not fields or not all(f.startswith(ways) and f not in ways for f in fields):
        told = " or ".join(f"`{way}…`" for way in ways)
        raise Configuration(
            f"collection {collection.name}: takes of this layout name {what}, as {told}"
        )
