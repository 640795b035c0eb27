"""One system's file as people write it: its keys, their shapes, their short forms.

Why this room exists: the shape of a file changes with what people may say, its rules and its
freezing do not. Plain data enters; models leave, or pydantic's faults, each with its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from dsr_worker import contract
from dsr_worker.contract import Form, MaskKind
from dsr_worker.documents import Strict

CATEGORY_TOPS = ("user", "system")
"""The two top keys of Fideslang's data categories."""

_NAME = r"^[a-z][a-z0-9_-]{0,62}$"
_KIND = r"^[a-z][a-z0-9_]{0,39}$"
_CATEGORY = rf"^({'|'.join(CATEGORY_TOPS)})(\.[a-z][a-z0-9_]*)*$"
Name = Annotated[str, Field(pattern=_NAME)]
Kind = Annotated[str, Field(pattern=_KIND)]
FieldName = Annotated[str, Field(min_length=1, max_length=200)]


def _mask(value: Any) -> Any:
    if value is None:
        raise ValueError('an empty mask is none: write mask: "null" in quotes, or leave it out')
    if isinstance(value, str):
        if value not in set(MaskKind) - {MaskKind.CONSTANT}:
            raise ValueError(
                'a mask is "null", pseudonym, tombstone, year, network or {constant: text}'
            )
        return {"kind": value}
    return value


class MaskFile(Strict):
    """A mask in its long form; files write the short ones."""

    kind: MaskKind = MaskKind.CONSTANT
    constant: str | None = None


class FieldFile(Strict):
    """A field: its category and how it goes when its row must stay."""

    category: Annotated[str, Field(pattern=_CATEGORY)]
    mask: Annotated[MaskFile | None, BeforeValidator(_mask)] = None
    third_party: bool = False
    free_text: bool = False
    null_values: list[str] = Field(default_factory=list)
    review: bool = False


class TakenFile(Strict):
    """By which field a collection takes an identity."""

    field: FieldName
    form: Form = Form.EXACT


class ParentFile(Strict):
    """The collection whose rows own these."""

    collection: Name
    on: Annotated[dict[FieldName, FieldName], Field(min_length=1)]


def _means(value: Any) -> Any:
    """The kind of a restriction is the key that says how: exactly one of them stands."""
    if not isinstance(value, Mapping):
        raise ValueError("restrict is {flag: field}, {move: collection} or {list: collection}")  # noqa: TRY004 - pydantic tells ValueErrors
    kinds = [kind for kind in contract.RestrictionKind if kind in value]
    if len(kinds) != 1:
        raise ValueError("restrict has one of flag, move and list; write the one that is meant")
    flagged = kinds == [contract.RestrictionKind.FLAG]
    if not flagged and {"value", "free"} & set(value):
        raise ValueError("value and free belong to a flag; take them out")
    return value


class RestrictFile(Strict):
    """By which means a collection's rows are restricted."""

    flag: FieldName | None = None
    value: str | None = "true"
    free: str | None = "false"
    move: Name | None = None
    listed_in: Annotated[Name | None, Field(alias="list")] = None


def _short(key: str) -> BeforeValidator:
    return BeforeValidator(lambda value: {key: value} if isinstance(value, str) else value)


class CollectionFile(Strict):
    """One collection of a system's file."""

    source: dict[str, Any]
    key: Annotated[tuple[FieldName, ...], Field(min_length=1)]
    fields: Annotated[
        dict[FieldName, Annotated[FieldFile, _short("category")]], Field(min_length=1)
    ]
    takes: dict[Kind, Annotated[TakenFile, _short("field")]] = Field(default_factory=dict)
    yields: dict[Kind, FieldName] = Field(default_factory=dict)
    person: bool = False
    parent: ParentFile | None = None
    contact: dict[Kind, FieldName] = Field(default_factory=dict)
    residence: FieldName | None = None
    clocks: dict[Kind, FieldName] = Field(default_factory=dict)
    record_class: Annotated[Name | None, Field(alias="class")] = None
    keeps: tuple[FieldName, ...] | None = None
    purpose: str = ""
    legal_basis: str = ""
    recipients: tuple[str, ...] = ()
    origin: str = ""
    restrict: Annotated[RestrictFile | None, BeforeValidator(_means)] = None
    review: bool = False


class SystemFile(Strict):
    """One file: a system, its connector and its collections."""

    system: Name
    connector: Name
    parallel: Annotated[int, Field(ge=1, le=64)] = 2
    config: dict[str, Any] = Field(default_factory=dict)
    left_out: dict[Annotated[str, Field(min_length=1)], Annotated[str, Field(min_length=1)]] = (
        Field(default_factory=dict)
    )
    collections: Annotated[dict[Name, CollectionFile], Field(min_length=1)]


class DraftFile(SystemFile):
    """A file that may have no collections yet: enough to ask its connector for a proposal."""

    collections: dict[Name, CollectionFile] = Field(default_factory=dict)
