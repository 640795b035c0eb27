"""A proposed data map as the file that people review: YAML with its grounds beside each line.

Why this room exists: connectors propose in the contract's values and know no files, and the file is
the same for all of them. A proposal enters; the text of a system's file leaves, which the data map
reads as it stands. Comments hold codes and counts; values of the data are in neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from dsr_worker.contract import (
    Collection,
    Field,
    Form,
    Ground,
    Mask,
    MaskKind,
    Proposal,
    Restriction,
    RestrictionKind,
    System,
)

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_RESERVED = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf"})
_TEXTS = ("purpose", "legal_basis", "origin")


def written(system: System, config: Mapping[str, Any], proposal: Proposal) -> str:
    """The whole file of a system whose collections are the proposed ones."""
    return "\n".join(_lines(system, config, proposal)) + "\n"


def review_marks(proposal: Proposal) -> tuple[str, ...]:
    """Where the proposal is unsure, as `collection` or `collection.field`."""
    return System("", "", proposal.collections).unreviewed


def _lines(system: System, config: Mapping[str, Any], proposal: Proposal) -> Iterator[str]:
    marks = len(review_marks(proposal))
    yield "# Proposed from the catalogue and a sample; beside each line why, and how sure (0 to 1)."
    yield f"# {marks} places are marked `review: true`: nothing is erased while a mark stands."
    yield f"system: {_scalar(system.name)}"
    yield f"connector: {_scalar(system.connector)}"
    yield f"parallel: {system.parallel}"
    yield f"config: {_flow(dict(config))}"
    if system.left_out:
        yield f"left_out: {_flow(dict(system.left_out))}"
    yield "collections:" if proposal.collections else "collections: {}"
    for collection in proposal.collections.values():
        yield from _collection(collection, proposal)
    if proposal.left_out:
        yield "# Not proposed:"
        for left in proposal.left_out:
            yield f"#   {_comment(left.place)}: {left.code}"


def _collection(collection: Collection, proposal: Proposal) -> Iterator[str]:
    yield f"  {_scalar(collection.name)}:{_why(proposal.grounds.get((collection.name, '')))}"
    if collection.review:
        yield "    review: true"
    for name, value in _parts(collection):
        yield f"    {name}: {_flow(value)}"
    yield "    fields:"
    for field in collection.fields.values():
        why = _why(proposal.grounds.get((collection.name, field.name)))
        yield f"      {_scalar(field.name)}: {_flow(_field(field))}{why}"


def _parts(collection: Collection) -> Iterator[tuple[str, Any]]:
    yield "source", dict(collection.source)
    yield "key", list(collection.key)
    if collection.person:
        yield "person", True
    if collection.takes:
        taken = {
            kind: t.field if t.form is Form.EXACT else {"field": t.field, "form": str(t.form)}
            for kind, t in collection.takes.items()
        }
        yield "takes", taken
    parent = collection.parent
    optional = {
        "yields": dict(collection.yields),
        "parent": parent and {"collection": parent.collection, "on": dict(parent.on)},
        "contact": dict(collection.contact),
        "residence": collection.residence,
        "class": collection.record_class,
        "clocks": dict(collection.clocks),
        **{name: getattr(collection, name) for name in _TEXTS},
        "recipients": list(collection.recipients),
        "restrict": collection.restriction and _means(collection.restriction),
    }
    yield from ((name, value) for name, value in optional.items() if value)


def as_data(collection: Collection) -> dict[str, Any]:
    """A collection as the file's own values, for machines."""
    review = {"review": True} if collection.review else {}
    fields = {field.name: _field(field) for field in collection.fields.values()}
    return {**review, **dict(_parts(collection)), "fields": fields}


def _field(field: Field) -> Any:
    marks = ("third_party", "free_text", "review")
    long: dict[str, Any] = {name: True for name in marks if getattr(field, name)}
    if field.null_values:
        long["null_values"] = sorted(field.null_values)
    if field.mask is not None:
        long = {"mask": _mask(field.mask), **long}
    return {"category": field.category, **long} if long else field.category


def _mask(mask: Mask) -> Any:
    return {"constant": mask.constant} if mask.kind is MaskKind.CONSTANT else str(mask.kind)


def _means(means: Restriction) -> dict[str, Any]:
    if means.kind is RestrictionKind.FLAG:
        return {"flag": means.field, "value": means.value, "free": means.free}
    return {str(means.kind): means.collection}


def _why(ground: Ground | None) -> str:
    if ground is None:
        return ""
    told = ", ".join(map(_comment, map(str, ground.evidence)))
    return f"  # {told} ({ground.confidence:g})"


def _comment(text: str) -> str:
    """A text for a comment: one line, whatever a name holds."""
    return "".join(sign if sign.isprintable() else _escaped(sign) for sign in text)


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_scalar(k)}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    return "null" if value is None else _scalar(value)


def _scalar(text: str) -> str:
    """A text as YAML 1.2 reads it back, plain where that is safe."""
    if _PLAIN.fullmatch(text) and text.lower() not in _RESERVED:
        return text
    return '"' + "".join(_quoted(text)) + '"'


def _quoted(text: Iterable[str]) -> Iterator[str]:
    for sign in text:
        if sign in {'"', "\\"}:
            yield f"\\{sign}"
        else:
            yield sign if sign.isprintable() else _escaped(sign)


def _escaped(sign: str) -> str:
    number = ord(sign)
    return f"\\x{number:02x}" if number < 0x100 else f"\\U{number:08x}"  # noqa: PLR2004 - one byte
