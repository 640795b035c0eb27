"""What the data map says about a bucket, checked once and typed.

In: the `config` of a system and the `source` of each of its collections. Out: `Config`, and one
layout per collection. A layout that does not fit is a `Configuration` error before any request.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError

from dsr_worker.contract import Collection, Configuration

_GIB = 1 << 30
_MIB = 1 << 20
_TEMPLATE = re.compile(r"(?P<before>[^{}]*)\{(?P<kind>[a-z][a-z0-9_]*)\}(?P<after>/[^{}]*)")


class Inventory(BaseModel):
    """Where S3 Inventory delivers its reports: `prefix` up to and with the configuration's name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bucket: str = Field(min_length=3)
    prefix: str = Field(min_length=1)
    max_age_days: float = Field(default=8.0, gt=0)


class Config(BaseModel):
    """How to reach one bucket. Without keys, the usual AWS credential chain decides."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bucket: str = Field(min_length=3)
    endpoint_url: str | None = None
    region: str = "us-east-1"
    access_key_id: SecretStr | None = None
    secret_access_key: SecretStr | None = None
    connect_timeout_s: float = Field(default=5.0, gt=0)
    read_timeout_s: float = Field(default=30.0, gt=0)
    single_put_bytes: int = Field(default=_GIB, ge=5 * _MIB, le=5 * _GIB)  # above: multipart
    unit_objects: int = Field(default=1000, ge=1)  # what one unit reads, at most:
    unit_bytes: int = Field(default=256 * _MIB, ge=1)  # … unless one object is larger
    inventory: Inventory | None = None


class PrefixLayout(BaseModel):
    """Objects of one person lie under a prefix in which the identity is one whole segment."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layout: Literal["prefix"]
    template: str = Field(pattern=r"^(.*/)?\{[a-z][a-z0-9_]*\}/.*$")

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


class SharedLayout(BaseModel):
    """Shared objects with the records of many people."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layout: Literal["shared"]
    prefix: str
    format: Literal["ndjson", "csv"]
    compression: Literal["none", "gzip", "zstd", "bzip2", "xz"] = "none"  # the bytes decide
    delimiter: str = Field(default=",", pattern=r"^[^\"\r\n]$")
    clock: Literal["iso", "epoch_s", "epoch_ms"] = "iso"


Layout = Annotated[PrefixLayout | SharedLayout, Field(discriminator="layout")]
_LAYOUT: TypeAdapter[PrefixLayout | SharedLayout] = TypeAdapter(Layout)


def layout_of(collection: Collection) -> PrefixLayout | SharedLayout:
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
    elif not layout.delimiter.isascii():
        raise Configuration(
            f"collection {collection.name}: the delimiter must be an ASCII character"
        )
    return layout
