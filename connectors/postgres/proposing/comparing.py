"""Where a reviewed map and the catalogue have grown apart.

In: the map as it stands, the inventory of today, today's proposal. Out: findings: a place that
looks personal and is neither mapped nor left out on purpose, a mapped one that is gone, a path that
no longer leads to an owner. Pure, and it names places and counts alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from connectors.naming.classifying import Looks, Weight
from connectors.naming.marks import marked, stale
from connectors.postgres.proposing.drafting import field_path
from connectors.postgres.proposing.inventory import At, Column, Inventory, place
from connectors.postgres.proposing.owning import Belonging
from connectors.postgres.server.catalogue import table_name
from dsr_worker.contract import Collection, Configuration, Finding, Severity, System

_PATH = re.compile(r"->>?")


def drift(
    system: System,
    inventory: Inventory,
    looks: Mapping[At, Looks],
    belonging: Mapping[At, Belonging],
) -> Iterator[Finding]:
    """Every place where they differ; what is missing from the map first."""
    mapped: dict[At, list[Collection]] = {}
    for collection in system.collections.values():
        try:
            mapped.setdefault(table_name(collection), []).append(collection)
        except Configuration as error:
            yield _error(collection.name, str(error), "name the table in the map")
    known = _places(inventory)
    written = _left_out(system, known)
    left = set(written.values())
    for at in {**belonging, **mapped}:
        if at in inventory.tables and place(*at) not in left:
            yield from _unmapped(left, looks[at], at, mapped.get(at, []))
    for at, collections in mapped.items():
        for collection in collections:
            yield from _gone(inventory, at, collection)
            yield from _broken(system, inventory, at, collection)
    yield from _stale(written, known)
    yield from marked(system)


def _left_out(system: System, known: set[str]) -> dict[str, str]:
    """The places that people left out, by how they wrote them: `orders.note` is public's."""
    return {
        left: f"public.{left}" if left not in known and f"public.{left}" in known else left
        for left in system.left_out
    }


def _places(inventory: Inventory) -> set[str]:
    known = {place(*at) for at, _ in inventory.others}
    for at, table in inventory.tables.items():
        known |= {place(*at), *(place(*at, column) for column in table.columns)}
    return known


def _unmapped(
    left: set[str], looks: Looks, at: At, collections: list[Collection]
) -> Iterator[Finding]:
    if not collections:
        remedy = f"map it, or name it with the reason: left_out: {{{place(*at)}: …}}"
        yield _error(place(*at), "its rows look like people's, and no collection maps it", remedy)
        return
    names = {name for collection in collections for name in collection.fields}
    for column, inner in looks.items():
        if column in names or place(*at, column) in left:
            continue
        for path, look in inner.items():
            named = field_path(column, path)
            covered = named in names if named else any(_column(n) == column for n in names)
            if look.weight is not Weight.NONE and not covered:
                told = place(*at, column) if named is None else f"{place(*at)}.{named}"
                why = ", ".join(map(str, look.evidence))
                yield _error(
                    told,
                    f"looks like {look.category} ({why}) and is not mapped",
                    f"add the field, or: left_out: {{{place(*at, column)}: why}}",
                )


def _column(name: str) -> str:
    return _PATH.split(name)[0].strip().strip("'")


def _found(columns: Mapping[str, Column], name: str) -> Column | None:
    return columns.get(name) or columns.get(_column(name))


def _gone(inventory: Inventory, at: At, collection: Collection) -> Iterator[Finding]:
    table = inventory.tables.get(at)
    if table is None:
        others = dict(inventory.others)
        what = f"is a {others[at].replace('_', ' ')}" if at in others else "is gone"
        yield _error(collection.name, f"its table {place(*at)} {what}", "map what is there now")
        return
    named = [
        *collection.fields,
        *collection.key,
        *(taken.field for taken in collection.takes.values()),
        *(collection.parent.on if collection.parent else ()),
    ]
    for name in dict.fromkeys(named):
        if _found(table.columns, name) is None:
            yield _error(
                f"{collection.name}.{name}",
                f"the column is gone from {place(*at)}",
                "take the field out, or map what took its place",
            )


def _broken(
    system: System, inventory: Inventory, at: At, collection: Collection
) -> Iterator[Finding]:
    parent, table = collection.parent, inventory.tables.get(at)
    if parent is None or table is None:
        return
    above = inventory.tables.get(table_name(system.collections[parent.collection]))
    where = f"{collection.name} → {parent.collection}"
    if above is None:
        yield _error(where, "the path is broken: the parent's table is gone", "map another way")
        return
    for ours, theirs in parent.on.items():
        own, other = _found(table.columns, ours), _found(above.columns, theirs)
        if own is None or other is None:
            missing = f"{place(*at)}.{ours}" if own is None else f"{place(*above.at)}.{theirs}"
            yield _error(where, f"the path is broken: {missing} is gone", "map another way")
        elif own.name == ours and other.name == theirs and own.family != other.family:
            message = f"the path is broken: {ours} and {theirs} are of types that do not compare"
            yield _error(where, message, "give both one type, or map another way")
    if not above.unique(tuple(parent.on.values())):
        message = "the path is broken: a row could have several parents"
        yield _error(where, message, "refer to a unique key of the parent")


def _stale(written: Mapping[str, str], known: set[str]) -> Iterator[Finding]:
    for left, meant in written.items():
        if meant not in known:
            yield stale(left)


def _error(subject: str, message: str, remedy: str) -> Finding:
    return Finding(Severity.ERROR, subject, message, remedy)
