"""Whose rows they are: ownership in memory, by identities and by references to parents.

In: tables, collections of the data map, a subject. Out: keys of rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterator
from functools import partial
from typing import Any

from dsr_worker.contract import Collection, Context, Identity, RestrictionKind, Subject, System
from dsr_worker.testing.memory.rows import RowKey, Tables


def owned(
    system: System, tables: Tables, collection: Collection, subject: Subject, ctx: Context
) -> list[RowKey]:
    """The keys of the rows that belong to a subject, by their own fields or by their parents."""
    return list(reached(system, tables, collection, subject, ctx))


def reached(
    system: System, tables: Tables, collection: Collection, subject: Subject, ctx: Context
) -> dict[RowKey, str]:
    """Those keys, each with the kind of identity by which it, or the row above it, was found."""
    found: dict[RowKey, str] = {}
    for via, key in taken(tables, collection, subject, ctx):
        found.setdefault(key, via)
    if (parent := collection.parent) is not None:
        above = system.collections[parent.collection]
        for key, via in reached(system, tables, above, subject, ctx).items():
            for child in children(tables, collection, tables.rows[above.name][key]):
                found.setdefault(child, via)
    return found


def children(tables: Tables, collection: Collection, above: dict[str, Any]) -> list[RowKey]:
    """The keys of the rows of `collection` that refer to the row `above`."""
    assert collection.parent is not None, "only a collection with a parent has children's rows"
    (ours, theirs), *others = collection.parent.on.items()
    keys = tables.keys(collection.name, ours, str(above.get(theirs)), "=", str)
    rows = tables.rows[collection.name]
    return [k for k in keys if all(str(rows[k].get(o)) == str(above.get(t)) for o, t in others)]


def taken(
    tables: Tables, collection: Collection, subject: Subject, ctx: Context
) -> Iterator[tuple[str, RowKey]]:
    """Rows whose own fields carry an identity of the subject, with that identity's kind."""
    for kind, by in collection.takes.items():
        for value in subject.values(kind):
            if collection.names_nobody(by.field, value):
                continue
            spell = partial(ctx.canonical, kind)
            for key in tables.keys(collection.name, by.field, value, kind, spell):
                yield kind, key


def is_anothers(
    system: System,
    tables: Tables,
    collection: Collection,
    key: RowKey,
    known: Container[Identity],
    ctx: Context,
) -> bool:
    """Whether a row that is not the subject's is somebody else's: a person, or named otherwise.

    `known` are the subject's identities and the one that is asked about. A row without any owner,
    itself or by the rows above it, is nobody else's.
    """
    if collection.person:
        return True
    row = tables.rows[collection.name][key]
    named = identities(collection, row, ctx)
    if any(i.kind in system.owner_kinds and i not in known for i in named):
        return True
    if collection.parent is None:
        return False
    above = system.collections[collection.parent.collection]
    return any(
        is_anothers(system, tables, above, owner, known, ctx)
        for owner in parents(tables, collection, row)
    )


def named(
    system: System, tables: Tables, collection: Collection, row: dict[str, Any], ctx: Context
) -> Iterator[Identity]:
    """By whose names a row is found, itself or by the rows above it; masked ones name nobody."""
    for kind, by in collection.takes.items():
        mask = collection.fields[by.field].mask if by.field in collection.fields else None
        if mask is None or not mask.holds(row.get(by.field)):
            identity = identity_in(collection, row, kind, by.field, ctx)
            if identity is not None:
                yield identity
    if collection.parent is not None:
        above = system.collections[collection.parent.collection]
        for key in parents(tables, collection, row):
            yield from named(system, tables, above, tables.rows[above.name][key], ctx)


def identities(collection: Collection, row: dict[str, Any], ctx: Context) -> Iterator[Identity]:
    """The identities in the fields by which a row is found, and in those that it yields."""
    taken = [(kind, by.field) for kind, by in collection.takes.items()]
    for kind, name in (*taken, *collection.yields.items()):
        if (identity := identity_in(collection, row, kind, name, ctx)) is not None:
            yield identity


def identity_in(
    collection: Collection, row: dict[str, Any], kind: str, name: str, ctx: Context
) -> Identity | None:
    """The identity in a field of a row, if it names anybody."""
    text = None if row.get(name) is None else str(row[name])
    if text is None or collection.names_nobody(name, text):
        return None
    value = ctx.canonical(kind, text)
    return None if value is None else Identity(kind, value)


def parents(tables: Tables, collection: Collection, row: dict[str, Any]) -> list[RowKey]:
    """The keys of the rows above a row of `collection`."""
    assert collection.parent is not None, "only a collection with a parent has rows above"
    above, pairs = collection.parent.collection, collection.parent.on.items()
    (ours, theirs), *others = pairs
    keys = tables.keys(above, theirs, str(row.get(ours)), "=", str)
    rows = tables.rows[above]
    return [k for k in keys if all(str(rows[k].get(t)) == str(row.get(o)) for o, t in others)]


def top(
    system: System, tables: Tables, collection: Collection, key: RowKey
) -> tuple[Collection, RowKey]:
    """The topmost row above this one, itself where nothing is above it."""
    parent, row = collection.parent, tables.rows[collection.name][key]
    if parent is None:
        return collection, key
    above = system.collections[parent.collection]
    owners = parents(tables, collection, row)
    return top(system, tables, above, owners[0]) if owners else (collection, key)


def as_before_moves(system: System, tables: Tables) -> Tables:
    """The tables with what restrictions have moved back in its place."""
    moves = {
        collection.name: collection.restriction.collection
        for collection in system.collections.values()
        if collection.restriction and collection.restriction.kind is RestrictionKind.MOVE
    }
    if not moves:
        return tables
    rows = dict(tables.rows)
    for name, aside in moves.items():
        rows[name] = {**tables.rows[aside], **tables.rows[name]}
    return Tables(defaultdict(dict, rows))
