"""What the data map says about a bucket, checked once and typed.

In: the `config` of a system and the `source` of each of its collections. Out: `Config`, and one
layout per collection. A layout that does not fit is a `Configuration` error before any request.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError

from connectors.s3.templates import KeyTemplate, TemplateError, derived_texts
from dsr_worker.contract import Collection, Configuration

_GIB = 1 << 30
_MIB = 1 << 20
Derived = Annotated[str, Field(pattern=r"^[^{}]*\{(key|stem)\}[^{}]*$")]


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


class PrefixLayout(BaseModel):
    """Objects of one person: their keys name them, each identity as one whole segment.

    `derived`: what is made from an object and lies elsewhere, by `{key}` and `{stem}`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    layout: Literal["prefix"]
    template: str = Field(min_length=1)
    derived: tuple[Derived, ...] = ()

    @property
    def before(self) -> str:
        """The literal part of every key up to the first part that differs."""
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


class SharedLayout(BaseModel):
    """Shared objects with the records of many people."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layout: Literal["shared"]
    prefix: str
    format: Literal["ndjson", "csv"]
    compression: Literal["none", "gzip", "zstd", "bzip2", "xz"] = "none"  # the bytes decide
    delimiter: str = Field(default=",", pattern=r"^[^\"\r\n]$")
    clock: Literal["iso", "epoch_s", "epoch_ms"] = "iso"


AnyLayout = PrefixLayout | SharedLayout | LabelledLayout | LinkedLayout
_LAYOUT: TypeAdapter[AnyLayout] = TypeAdapter(Annotated[AnyLayout, Field(discriminator="layout")])


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
        layout.templates(collection)
    elif isinstance(layout, LabelledLayout):
        _check_taken(collection, ("tag:", "meta:"), "a tag or an entry of the user metadata")
    elif isinstance(layout, LinkedLayout):
        _check_taken(collection, ("row:",), f"an owner field of {layout.rows}")
    elif not (collection.key and (collection.takes or collection.review)):
        raise Configuration(
            f"collection {collection.name}: shared objects need `key` and `takes` fields"
        )
    elif not layout.delimiter.isascii():
        raise Configuration(
            f"collection {collection.name}: the delimiter must be an ASCII character"
        )
    return layout


def _check_taken(collection: Collection, ways: tuple[str, ...], what: str) -> None:
    fields = [taken.field for taken in collection.takes.values()]
    if not fields or not all(f.startswith(ways) and f not in ways for f in fields):
        told = " or ".join(f"`{way}…`" for way in ways)
        raise Configuration(
            f"collection {collection.name}: takes of this layout name {what}, as {told}"
        )
