"""Whether the paths of a map lead anywhere: a few objects of each collection, read as it says.

In: a bucket, the map. Out: findings: an owner field that meets a list, in which nobody would be
found; objects without a record; records that name nobody. Bounded ranges of the first objects; no
value leaves.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from connectors.s3.config import SharedLayout, layout_of
from connectors.s3.formats.content import EACH
from connectors.s3.formats.detecting import format_of
from connectors.s3.formats.entries import Broken, Entry, UnreadableError
from connectors.s3.proposing.documents import outline
from connectors.s3.proposing.sampling import Head
from connectors.s3.reading.equality import equality_of, is_typed
from connectors.s3.reading.owners import values_of
from connectors.s3.server.bucket import Bucket, Version, with_no_budget
from connectors.s3.server.refusals import ChangedError, GoneError
from dsr_worker.contract import Collection, ConnectorError, Finding, Severity, System

_OBJECTS, _ROWS = 3, 200
_JSON = frozenset({"json", "ndjson"})


@dataclass
class _Tried:
    """What the sampled objects of a collection gave."""

    objects: int = 0
    rows: int = 0
    named: int = 0
    without: list[str] = field(default_factory=list)  # of objects without a record, the reason
    met: dict[str, str] = field(default_factory=dict)  # by owner field, the list it meets
    led: set[str] = field(default_factory=set)  # owner fields that led to a value somewhere


def tried(bucket: Bucket, system: System) -> Iterator[Finding]:
    """What a few objects of each shared collection say of its map. Reads only."""
    for collection in system.collections.values():
        layout = layout_of(collection)
        if isinstance(layout, SharedLayout):
            yield from _told(collection, layout, _try(bucket, collection, layout))


def _told(collection: Collection, layout: SharedLayout, found: _Tried) -> Iterator[Finding]:
    for name, at in found.met.items():
        whole = f"write `{_listed(name, at)}` if each record is everybody's whom it names there"
        remedy = whole
        if layout.format == "avro":
            remedy = "take a field that stands in no array: no path of Avro enters one"
        elif name != at and layout.format in _JSON:
            inside = name.removeprefix(f"{at}.")
            remedy = (
                f"where each element is one person's, name the list: `format: json`, "
                f"`records: {at}` and the field `{inside}`; or {whole}"
            )
        some = name in found.led
        yield Finding(
            Severity.WARNING if some else Severity.ERROR,
            f"{collection.name}.{name}",
            f"meets a list at {at}: " + ("some are not found" if some else "nobody is found by it"),
            remedy,
        )
    if found.without:
        reasons = ", ".join(sorted(set(found.without)))
        yield Finding(
            Severity.WARNING,
            collection.name,
            f"{len(found.without)} of {found.objects} objects sampled give no record ({reasons})",
            "mend `format`, `records`, `dialect` or `encoding`; or narrow the prefix",
        )
    if found.rows and collection.takes and not found.named and not found.met:
        fields = ", ".join(sorted(taken.field for taken in collection.takes.values()))
        yield Finding(
            Severity.WARNING,
            collection.name,
            f"none of {found.rows} records sampled names anybody by {fields}",
            "take the fields that say whose a record is; JSON with its records in a list needs "
            "`records: PATH`",
        )


def _try(bucket: Bucket, collection: Collection, layout: SharedLayout) -> _Tried:
    found = _Tried()
    try:
        page: list[Version] = next(iter(bucket.pages(layout.prefix, with_no_budget)), [])
        read = [v for v in page if v.latest and v.size_bytes and not v.archived]
        for version in (*read[: _OBJECTS - 1], *read[_OBJECTS - 1 :][-1:]):
            _try_object(Head(bucket, version), collection, layout, found)
    except (ChangedError, GoneError, ConnectorError):
        pass  # what cannot be read now, reading itself tells
    return found


def _try_object(head: Head, collection: Collection, layout: SharedLayout, found: _Tried) -> None:
    owners = list(dict.fromkeys(taken.field for taken in collection.takes.values()))
    fields = dict.fromkeys((*owners, *collection.yields.values()))
    rows, broken, reason = 0, False, ""
    try:
        entries = format_of(head, layout, owners or collection.key).entries(head, None)
        for entry in islice(entries, _ROWS):
            if isinstance(entry, Broken):
                broken = True
                continue
            rows += 1
            document = json.loads(entry.body(frozenset()))
            led = {name for name in fields if _leads(collection, entry, name)}
            found.led |= led
            found.named += bool(led.intersection(owners))
            for name in fields:
                _note(name, _list_at(document, name, layout), found)
    except UnreadableError as error:
        reason = error.reason
    found.objects += 1
    found.rows += rows
    if rows:
        return
    if not head.cut:
        if broken or reason:
            found.without.append(reason or f"not-{layout.format}")
    elif layout.format in _JSON:
        _try_cut(head, layout, fields, found)


def _try_cut(head: Head, layout: SharedLayout, fields: Iterable[str], found: _Tried) -> None:
    """Of a document of which only the beginning is here: the lists that stand in it."""
    try:
        lists = outline(head.plain().decode("utf-8-sig", "ignore")).lists
    except UnreadableError:
        return
    if layout.records and lists and layout.records not in lists:
        found.without.append("no-records")
    for path in lists if not layout.records else ():
        for name in fields:
            _note(name, path if name.startswith(f"{path}.") else "", found)


def _note(name: str, at: str, found: _Tried) -> None:
    if at:
        found.met.setdefault(name, at)


def _leads(collection: Collection, entry: Entry, name: str) -> bool:
    """Whether a path leads to something that may name somebody, as the map compares values."""
    equality, typed = equality_of(collection, name), is_typed(collection)
    return any(equality.text_of(value, typed=typed) for value in values_of(entry, name))


def _list_at(document: Any, name: str, layout: SharedLayout) -> str:
    """The list that a path meets without a sign that one is meant; empty where it meets none."""
    if layout.format == "csv" or (isinstance(document, dict) and name in document and "." in name):
        return ""
    at, passed = [document], []
    for step in name.split("."):
        passed.append(step)
        at = [each.get(step.removesuffix(EACH)) for each in at if isinstance(each, dict)]
        lists = [each for each in at if isinstance(each, list)]
        plain = any(not isinstance(inner, dict | list) for each in lists for inner in each)
        if lists and not step.endswith(EACH) and (layout.format != "parquet" or plain):
            return ".".join(passed)
        at = [inner for each in lists for inner in each] + [e for e in at if isinstance(e, dict)]
    return ""


def _listed(name: str, at: str) -> str:
    """The path with the sign of a list behind the one that it meets."""
    return f"{at}{EACH}{name.removeprefix(at)}"
