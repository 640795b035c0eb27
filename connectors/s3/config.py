"""What the data map says about a bucket, checked once and typed.

In: the `config` of a system and the `source` of each of its collections. Out: `Config`, and one
layout per collection. A layout that does not fit is a `Configuration` error before any request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
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

from dsr_worker.contract import Collection, Configuration

_GIB = 1 << 30
_MIB = 1 << 20
_TEMPLATE = re.compile(r"(?P<before>[^{}]*)\{(?P<kind>[a-z][a-z0-9_]*)\}(?P<after>/[^{}]*)")


class Replica(BaseModel):
    """A bucket that holds copies of another one, and how to reach it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bucket: str = Field(min_length=3)
    endpoint_url: str | None = None
    region: str = "us-east-1"
    access_key_id: SecretStr | None = None
    secret_access_key: SecretStr | None = None


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
    requester_pays: bool = False
    expected_bucket_owner: str | None = Field(default=None, pattern=r"^[0-9]{12}$")
    sse_customer_key: SecretStr | None = None  # base64 of the 32 bytes of SSE-C
    mark_rewrites: bool = False  # metadata `dsr-rewritten`, for consumers of the bucket's events


class PrefixLayout(BaseModel):
    """Objects of one person lie under a prefix in which the identity is one whole segment."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layout: Literal["prefix"]
    template: str = Field(pattern=r"^(.*/)?\{[a-z][a-z0-9_]*\}/.*$")
    lifecycle: bool = False  # all under the prefix is this collection's: a rule may let it go

    @cached_property
    def _parts(self) -> re.Match[str]:
        parts = _TEMPLATE.fullmatch(self.template)
        if parts is None:
            raise Configuration(
                "a prefix template holds one placeholder, which is a whole path segment followed "
                "by '/', as in 'customers/{customer_number}/'"
            )
        return parts

    @property
    def before(self) -> str:
        """The literal part of every key up to the identity."""
        return self._parts["before"]

    @property
    def kind(self) -> str:
        """The kind of identity that stands in the key."""
        return self._parts["kind"]

    @property
    def after(self) -> str:
        """The literal part of every key right after the identity; starts with '/'."""
        return self._parts["after"]


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
    compression: Literal["none", "gzip", "zstd", "bzip2", "xz"] = "none"  # the bytes decide
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


AnyLayout = PrefixLayout | SharedLayout | TableLayout
Layout = Annotated[AnyLayout, Field(discriminator="layout")]
_LAYOUT: TypeAdapter[AnyLayout] = TypeAdapter(Layout)


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
    if isinstance(layout, PrefixLayout):
        _ = layout.kind
    elif not (collection.takes and collection.key):
        raise Configuration(
            f"collection {collection.name}: shared objects need `key` and `takes` fields"
        )
    elif isinstance(layout, TableLayout):
        _fits(collection.name, layout)
    elif layout.format != "json" and layout.records:
        raise Configuration(f"collection {collection.name}: `records` is for `format: json`")
    elif layout.dialect.columns and not owner_columns(collection).intersection(
        layout.dialect.columns
    ):
        raise Configuration(f"collection {collection.name}: none of `columns` is in its `takes`")
    elif (
        foreign := layout.equals.keys()
        - owner_columns(collection)
        - set(collection.yields.values())
    ):
        raise Configuration(
            f"collection {collection.name}: `equals` speaks of {', '.join(sorted(foreign))}, "
            "which neither `takes` nor `yields` names"
        )
    return layout


def _fits(name: str, layout: TableLayout) -> None:
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
