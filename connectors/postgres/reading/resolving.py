"""Further names of the subjects, with how many others carry each.

In: a prepared `Ownership`. Out: `Link`s for identities the subject did not come with, for those of
its own that others carry too, and for each of its rows that is a person. Counting is generous about
spelling where the data map names no form (letter case, punctuation between digits), since a name
wrongly held for somebody's own would reach other people's records.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from psycopg2.sql import SQL, Composable, Identifier, Literal

from connectors.postgres.reading import spelling
from connectors.postgres.reading.ownership import Ownership
from connectors.postgres.server.catalogue import Table
from connectors.postgres.server.places import TEXTS, Place, fold
from connectors.postgres.server.session import line, sendable, typed
from dsr_worker.contract import Form, Identity, Link

_FEWEST_DIGITS = 6


@dataclass(frozen=True, slots=True)
class _Found:
    number: int
    identity: Identity
    key: tuple[str, ...]
    via: str


def links(own: Ownership) -> Iterator[Link]:
    """A `Link` per subject, collection and identity, and one per row of a `person` collection."""
    own.session.run(
        SQL(
            "CREATE TEMP TABLE dsr_yield (slot int4, s int4, v text, n int8, u uuid) ON COMMIT DROP"
        )
    )
    slot = 0
    for table in own.catalogue.tables.values():
        for kind, field in table.collection.yields.items():
            own.ctx.check()
            found = list(_yielded(own, table, kind, field))
            others = _others(own, table, kind, field, found, slot)
            slot += len(Form)
            for one in found:
                subject, owners = own.subjects[one.number], others[one.number, one.identity]
                if owners or one.identity not in subject.identities:
                    name = table.collection.name
                    yield Link(subject.ref, one.identity, name, one.key, one.via, owners)
        if table.collection.person:
            yield from _people(own, table)


def _people(own: Ownership, table: Table) -> Iterator[Link]:
    """Each row that is a person, by an identity that found it."""
    columns = SQL("o.s, {} AS key, w.via").format(table.key_json("t"))
    query = SQL("SELECT json_build_array(s, key, via)::text FROM ({}) r").format(
        own.rows(table, columns)
    )
    for number, key, via in own.session.arrays(query):
        subject = own.subjects[number]
        found_by = Identity(via, subject.values(via)[0])
        yield Link(subject.ref, found_by, table.collection.name, tuple(key), via)


def _yielded(own: Ownership, table: Table, kind: str, field: str) -> Iterator[_Found]:
    columns = SQL("o.s, {} AS value, {}::text AS key, w.via").format(
        table.place(field).text("t"), table.key_json("t")
    )
    query = SQL(
        "SELECT json_build_array(s, value, min(key), min(via))::text FROM ({}) r"
        " WHERE value IS NOT NULL GROUP BY s, value"
    ).format(own.rows(table, columns))
    seen: set[tuple[int, Identity]] = set()
    for number, value, key, via in own.session.arrays(query):
        nobody = table.collection.names_nobody(field, value)
        canonical = None if nobody else own.ctx.canonical(kind, value)
        if canonical is None:
            continue
        identity = Identity(kind, canonical)
        if (number, identity) in seen:
            continue
        seen.add((number, identity))
        yield _Found(number, identity, tuple(json.loads(key)), via)


def _forms(own: Ownership, table: Table, kind: str, field: str) -> tuple[Form, ...]:
    """How this kind may be written: as the map says anywhere, else in any way that text allows."""
    declared = {
        taken.form
        for t in own.catalogue.tables.values()
        for name, taken in t.collection.takes.items()
        if name == kind
    } - {Form.EXACT}
    if declared:
        return tuple(sorted(declared))
    place = table.place(field)
    if place.path or place.column.base in TEXTS:
        return (Form.ASCII_CASE, Form.DIGITS)
    return (Form.EXACT,)


def _others(
    own: Ownership, table: Table, kind: str, field: str, found: list[_Found], slot: int
) -> Mapping[tuple[int, Identity], int]:
    """For each found name, how many rows of others carry it as well."""
    place = table.place(field)
    forms = _forms(own, table, kind, field)
    own.session.fill(Identifier("dsr_yield"), _lines(found, forms, slot))
    counts: Counter[tuple[int, Identity]] = Counter()
    spellings: set[tuple[int, str]] = set()
    for n, form in enumerate((*forms, None) if any(map(_wide, found)) else forms):
        equal = place.equals("t", "y") if form is Form.EXACT else _named(place, "t", form)
        query = SQL(
            "SELECT json_build_array(y.s, {value}, count(*))::text FROM {table} t"
            " JOIN pg_temp.dsr_yield y ON y.slot = {slot} AND {equal} WHERE NOT {owned}"
            " AND {anothers} GROUP BY y.s, {value}"
        ).format(
            value=place.text("t"),
            table=table.sql,
            slot=Literal(slot + n),
            equal=equal,
            owned=own.owns(table, "t", SQL("y.s")),
            anothers=_is_anothers(own, table, "t", kind, form),
        )
        for number, value, rows in own.session.arrays(query):
            canonical = own.ctx.canonical(kind, value)
            if canonical is not None and (number, value) not in spellings:
                spellings.add((number, value))
                counts[number, Identity(kind, canonical)] += rows
    return counts


def _named(place: Place, alias: str, form: Form | None) -> Composable:
    """Whether a value is the name `y` in this form; None: in the spellings beyond ASCII."""
    folded = spelling.folded(place, alias) if form is None else place.folded(alias, form)
    return SQL('y.v = {} COLLATE "C"').format(folded)


def _wide(one: _Found) -> frozenset[str]:
    return spelling.spellings(one.identity.kind, one.identity.value)


def _is_anothers(
    own: Ownership, table: Table, alias: str, kind: str, form: Form | None
) -> Composable:
    """Whether a row that is not the subject's is somebody else's: a person, or named otherwise.

    `y` is the name of `kind` that is asked about. A row without any owner, itself or by the rows
    above it, is nobody else's.
    """
    collection = table.collection
    if collection.person:
        return SQL("true")
    taken = {(k, by.field) for k, by in collection.takes.items()}
    conditions: list[Composable] = []
    for other, field in sorted(taken | set(collection.yields.items())):
        place = table.place(field)
        if other in own.catalogue.system.owner_kinds:
            conditions.append(
                SQL("({text} ~ '\\S' AND {named} AND NOT {known} AND NOT {same})").format(
                    text=place.text(alias),
                    named=table.names_somebody(field, alias),
                    known=own.came_with(place, other, alias, SQL("y.s")),
                    same=_named(place, alias, form) if other == kind else SQL("false"),
                )
            )
    if collection.parent is not None:
        above, owner = own.catalogue.table(collection.parent.collection), f"{alias}_"
        conditions.append(
            SQL("EXISTS (SELECT FROM {} {} WHERE {} AND {})").format(
                above.sql,
                Identifier(owner),
                SQL(" AND ").join(
                    SQL("{} = {}").format(
                        table.place(ours).value(alias), above.place(theirs).value(owner)
                    )
                    for ours, theirs in collection.parent.on.items()
                ),
                _is_anothers(own, above, owner, kind, form),
            )
        )
    return SQL("({})").format(SQL(" OR ").join(conditions)) if conditions else SQL("false")


def _lines(found: list[_Found], forms: tuple[Form, ...], slot: int) -> Iterator[bytes]:
    for number, value, n, form in {
        (one.number, fold(one.identity.value, form), n, form)
        for one in found
        for n, form in enumerate(forms)
    }:
        enough = len(value) >= _FEWEST_DIGITS or form is not Form.DIGITS
        if sendable(value) and enough:
            yield line(slot + n, number, *typed(value))
    for one in found:
        for value in filter(sendable, _wide(one)):
            yield line(slot + len(forms), one.number, *typed(value))
