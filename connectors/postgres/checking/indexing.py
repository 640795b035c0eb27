"""Missing indexes: what every batch, every erased row or every sweep would read whole tables for.

In: the catalogue. Out: findings with the statement that makes the index. A foreign key that refers
to mapped rows without an index is an error once its table is big: the server reads all of it for
each single row that is erased.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from psycopg2.sql import SQL

from connectors.postgres.server import ddl
from connectors.postgres.server.catalogue import Catalogue, Table
from connectors.postgres.server.places import (
    ASCII_LOWER,
    ASCII_UPPER,
    INSTANTS,
    TEXTS,
    WHOLE_NUMBERS,
    Place,
)
from connectors.postgres.server.session import Session
from dsr_worker.contract import Finding, Form, Severity

BIG_ROWS = 100_000
"""From so many rows on, reading a whole table for one person is told as a fault of its own."""
_SMALL_ROWS, _SMALL_BYTES = 1000, 8 * 1024 * 1024
"""Below both, a missing index is told and is nothing to warn of."""

_SIZES = SQL("""
WITH RECURSIVE part AS (
  SELECT c.oid AS root, c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  UNION
  SELECT p.root, i.inhrelid FROM part p JOIN pg_inherits i ON i.inhparent = p.oid
)
SELECT n.nspname::text, c.relname::text, sum(CASE
  WHEN r.relkind = 'p' THEN 0 WHEN r.reltuples >= 0 THEN r.reltuples
  ELSE pg_relation_size(r.oid) / 100 END)::int8, sum(pg_relation_size(r.oid))::int8
FROM part JOIN pg_class c ON c.oid = part.root JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_class r ON r.oid = part.oid
GROUP BY 1, 2
""")

_UNINDEXED = SQL("""
SELECT sn.nspname::text, s.relname::text, tn.nspname::text, t.relname::text, f.conname::text,
  s.relkind = 'p', ARRAY(
    SELECT a.attname::text FROM unnest(f.conkey) WITH ORDINALITY AS k(attnum, n)
    JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.attnum ORDER BY k.n)
FROM pg_constraint f
JOIN pg_class s ON s.oid = f.conrelid JOIN pg_namespace sn ON sn.oid = s.relnamespace
JOIN pg_class t ON t.oid = f.confrelid JOIN pg_namespace tn ON tn.oid = t.relnamespace
WHERE f.contype = 'f' AND f.conparentid = 0 AND NOT EXISTS (
  SELECT FROM pg_index i WHERE i.indrelid = f.conrelid AND i.indisvalid AND i.indpred IS NULL
    AND (i.indkey::int2[])[0:cardinality(f.conkey) - 1] @> f.conkey)
ORDER BY 1, 2, 5
""")

Sizes = Mapping[tuple[str, str], int]
"""About how many rows a table has with its partitions, by schema and name."""


def sizes(session: Session) -> Sizes:
    """The server's own estimates; by bytes where it has none yet."""
    return {(schema, name): rows for schema, name, rows, _ in session.rows(_SIZES)}


def _small(session: Session) -> frozenset[tuple[str, str]]:
    """The tables that are read as a whole as fast as by an index."""
    return frozenset(
        (schema, name)
        for schema, name, rows, size_bytes in session.rows(_SIZES)
        if rows < _SMALL_ROWS and size_bytes < _SMALL_BYTES
    )


def findings(session: Session, tables: Catalogue, rows: Sizes) -> Iterator[Finding]:
    """Every missing index of the mapped tables and of those that refer to them."""
    told: set[tuple[str, str, frozenset[str]]] = set()
    small, remedies = _small(session), set[str]()
    for table in tables.tables.values():
        for finding in _of_table(table, rows, told):
            if finding.remedy not in remedies:
                little = (table.schema, table.name) in small
                yield replace(finding, severity=Severity.OK) if little else finding
            remedies.add(finding.remedy)
    yield from _references(session, tables, rows, told)


def _of_table(
    table: Table, rows: Sizes, told: set[tuple[str, str, frozenset[str]]]
) -> Iterator[Finding]:
    """The columns by which the map itself finds a table's rows."""
    parent = table.collection.parent
    if parent is not None and not table.indexed(tuple(parent.on)):
        told.add((table.schema, table.name, frozenset(parent.on)))
        yield _slow(
            table,
            rows,
            "no index on the columns that refer to the parent: every batch reads the whole"
            " table, and erasing parents reads it once per row",
            _on(table, tuple(parent.on)),
        )
    yield from _names(table, rows)
    yield from _clocks(table, rows)


def _names(table: Table, rows: Sizes) -> Iterator[Finding]:
    """Whether indexes serve the names: the folded value to find spellings, the value for them."""
    for kind, taken in table.collection.takes.items():
        place = table.place(taken.field)
        direct = place.column.base in TEXTS | WHOLE_NUMBERS | {"uuid"} and not place.path
        message = f"no index to find {kind}"
        every = "every batch reads the whole table"
        if direct and not table.indexed((taken.field,)):
            yield _slow(table, rows, f"{message}: {every}", _on(table, (taken.field,)))
        if not direct and not _expressed(table, place, Form.EXACT):
            on = f"{_relation(table)} ({_expression(place, Form.EXACT)})"
            yield _slow(table, rows, f"{message}: {every}", on)
        if taken.form is not Form.EXACT and not _expressed(table, place, taken.form):
            on = f'{_relation(table)} (({_expression(place, taken.form)}) COLLATE "C")'
            yield _slow(table, rows, f"{message} in the form {taken.form}: {every}", on)


def _clocks(table: Table, rows: Sizes) -> Iterator[Finding]:
    for event, name in table.collection.clocks.items():
        place = table.place(name)
        plain = not place.path and place.column.base in INSTANTS
        if plain and not table.indexed((name,)):
            message = f"no index on the clock {event}: every part of a sweep reads the whole table"
            yield _slow(table, rows, message, _on(table, (name,)))


def _references(
    session: Session, tables: Catalogue, rows: Sizes, told: set[tuple[str, str, frozenset[str]]]
) -> Iterator[Finding]:
    """Foreign keys, of whatever table, for which erasing a mapped row reads that table."""
    mapped = {(t.schema, t.name): t.collection.name for t in tables.tables.values()}
    for row in session.rows(_UNINDEXED):
        schema, name, target_schema, target, constraint, partitioned, columns = row
        collection = mapped.get((target_schema, target))
        if collection is None or (schema, name, frozenset(columns)) in told:
            continue
        about = rows.get((schema, name), 0)
        big = about >= BIG_ROWS
        yield Finding(
            Severity.ERROR if big else Severity.WARNING,
            collection,
            f"no index on {schema}.{name} ({', '.join(columns)}), which refers here"
            f" ({constraint}): each erased row reads {_all(about)} of it",
            ddl.index_on(
                f"{ddl.relation(schema, name)} ({ddl.listed(columns)})", partitioned=partitioned
            ),
        )


def _slow(table: Table, rows: Sizes, message: str, on: str) -> Finding:
    about = rows.get((table.schema, table.name), 0)
    size = f" ({_all(about)} of it)" if about >= BIG_ROWS else ""
    remedy = ddl.index_on(on, partitioned=table.split)
    return Finding(Severity.WARNING, table.collection.name, f"{message}{size}", remedy)


def _all(about: int) -> str:
    return f"about {about:,} rows" if about >= BIG_ROWS else "all rows"


def _expressed(table: Table, place: Place, form: Form) -> bool:
    """Whether some index is on the expression that our statements compare, as far as is seen."""
    signs = {
        Form.EXACT: "->>" if place.path else _cast(place),
        Form.ASCII_CASE: "translate(",
        Form.DIGITS: "regexp_replace(",
    }
    wanted = [signs[form], place.column.name, *place.path]
    return any(all(sign in i.expressions for sign in wanted) for i in table.indexes)


def _cast(place: Place) -> str:
    return "abbrev(" if place.column.base == "inet" else "::text"


def _expression(place: Place, form: Form) -> str:
    """The expression that our statements compare, as DDL."""
    value = ddl.quoted(place.column.name)
    for step in place.path[:-1]:
        value = f"{value} -> {ddl.literal(step)}"
    if place.path:
        value = f"({value} ->> {ddl.literal(place.path[-1])})"
    else:
        value = f"{_cast(place)}{value})" if place.column.base == "inet" else f"{value}::text"
    if form is Form.ASCII_CASE:
        return f"translate({value}, '{ASCII_UPPER}', '{ASCII_LOWER}')"
    if form is Form.DIGITS:
        return f"regexp_replace({value}, '[^0-9]', '', 'g')"
    return value if place.path else f'({value}) COLLATE "C"'


def _relation(table: Table) -> str:
    return ddl.relation(table.schema, table.name)


def _on(table: Table, columns: tuple[str, ...]) -> str:
    return f"{_relation(table)} ({ddl.listed(columns)})"
