"""Every table that a person's rows could be in, as the catalogue tells it, before any map.

In: a read-only transaction. Out: an `Inventory`: tables with columns, keys, what the role may read;
foreign keys; and what is no table, by name. No row is read here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from psycopg2.sql import SQL

from connectors.naming.words import Part, part_of, words
from connectors.postgres.server.places import INSTANTS, WHOLE_NUMBERS
from connectors.postgres.server.session import Session

At = tuple[str, str]
"""Schema and name of a table."""

TEXTUAL = frozenset({"text", "varchar", "bpchar", "citext", "name", "xml"})

_DOCUMENTS = frozenset({"json", "jsonb"})


@dataclass(frozen=True, slots=True)
class Column:
    """A column; `base` is its type's name with domains followed, `bound` where values are tested.

    `element` is the type of an array's elements.
    """

    name: str
    base: str
    kind: str  # of its type: b base, e enum, c composite, …
    element: str | None
    length: int | None
    not_null: bool
    generated: bool
    bound: bool
    readable: bool

    @property
    def textual(self) -> bool:
        """Whether it holds text of one line or many."""
        return self.base in TEXTUAL

    @property
    def document(self) -> bool:
        """Whether values have an inside: JSON, arrays, rows."""
        return self.base in _DOCUMENTS or self.kind == "c" or self.element is not None

    @property
    def json(self) -> bool:
        """Whether a path can lead into it."""
        return self.base in _DOCUMENTS

    @property
    def instant(self) -> bool:
        """Whether a period can be counted from it."""
        return self.base in INSTANTS

    @property
    def family(self) -> str:
        """Types of one family can be compared as they are."""
        if self.base in WHOLE_NUMBERS:
            return "int"
        return "text" if self.base in TEXTUAL - {"xml"} else self.base


@dataclass(frozen=True, slots=True)
class Table:
    """A table; a partitioned one stands for its partitions. `rows` is the planner's estimate."""

    at: At
    columns: Mapping[str, Column]
    primary: tuple[str, ...] = ()
    uniques: tuple[tuple[str, ...], ...] = ()
    rows: float = -1
    readable: bool = True

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that find a row again: the primary key, or the shortest unique one."""
        if self.primary:
            return self.primary
        whole = [u for u in self.uniques if all(self.columns[name].not_null for name in u)]
        return min(whole, key=len, default=())

    def unique(self, columns: Sequence[str]) -> bool:
        """Whether rows are told apart by no more than these columns."""
        return any(set(u) <= set(columns) for u in (self.primary, *self.uniques) if u)


ELEMENTS = ("*",)
"""The path of keys that are the elements of an array."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Columns that point at a table. `sure` is 1 for a foreign key, less where it was inferred.

    `path` leads to the key inside a document; within an array it is `ELEMENTS`.
    """

    table: At
    columns: tuple[str, ...]
    target: At
    target_columns: tuple[str, ...]
    sure: float = 1.0
    matched: int = 0
    of: int = 0
    joins: bool = True  # the types can be compared as they are
    path: tuple[str, ...] = ()

    @property
    def declared(self) -> bool:
        """Whether the server enforces it."""
        return self.sure == 1.0


@dataclass(frozen=True, slots=True)
class Inventory:
    """All of it. `others` are views, foreign tables and the like, with a code."""

    tables: Mapping[At, Table]
    references: tuple[Reference, ...] = ()
    others: tuple[tuple[At, str], ...] = ()
    referring: Mapping[At, tuple[Reference, ...]] = field(default_factory=dict)  # by their table
    parts: Mapping[At, Part] = field(default_factory=dict)  # where they say else than the name

    def part(self, at: At) -> Part:
        """What the rows of a table are."""
        return self.parts.get(at) or part_of(at[1])


def of_any_kind(table: Table, column: str) -> bool:
    """Whether another column says into which table a reference leads: `owner_id`, `owner_type`."""
    said = words(column)
    kind = (*said[:-1], "type")
    return len(said) > 1 and said[-1] == "id" and kind in map(words, table.columns)


def place(*parts: str) -> str:
    """A place's name as a data map's `left_out` writes it: `public.orders.note`."""
    return ".".join('"' + p.replace('"', '""') + '"' if {".", '"'} & set(p) else p for p in parts)


_RELATIONS = SQL("""
SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text, c.reltuples::float8,
  has_schema_privilege(n.oid, 'USAGE') AND has_any_column_privilege(c.oid, 'SELECT'),
  EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid),
  EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
          AND d.deptype = 'e')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'
  AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
ORDER BY n.nspname, c.relname
""")

_COLUMNS = SQL("""
WITH RECURSIVE kind AS (
  SELECT t.oid AS declared, t.oid, t.typtype, t.typbasetype, t.typname, t.typtypmod, t.typelem,
    t.typlen, false AS bound
  FROM pg_type t
  UNION ALL
  SELECT k.declared, t.oid, t.typtype, t.typbasetype, t.typname, k.typtypmod, t.typelem, t.typlen,
    true
  FROM kind k JOIN pg_type t ON t.oid = k.typbasetype WHERE k.typtype = 'd'
)
SELECT a.attrelid, a.attname::text, k.typname::text, k.typtype::text,
  CASE WHEN k.typlen = -1 AND k.typelem <> 0 THEN (
    SELECT e.typname::text FROM pg_type e WHERE e.oid = k.typelem) END,
  CASE WHEN k.typname IN ('varchar', 'bpchar') THEN nullif(greatest(
    CASE WHEN k.bound THEN k.typtypmod ELSE a.atttypmod END - 4, 0), 0) END,
  a.attnotnull, a.attgenerated <> '' OR a.attidentity = 'a',
  k.bound OR EXISTS (SELECT FROM pg_constraint x WHERE x.conrelid = a.attrelid
    AND x.contype IN ('c', 'x') AND a.attnum = ANY (x.conkey)),
  has_column_privilege(a.attrelid, a.attnum, 'SELECT')
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname !~ '^pg_'
  AND n.nspname <> 'information_schema'
JOIN kind k ON k.declared = a.atttypid AND k.typtype <> 'd'
WHERE a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum
""")

_UNIQUES = SQL("""
SELECT i.indrelid, i.indisprimary, ARRAY(
    SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, n)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
    WHERE k.n <= i.indnkeyatts ORDER BY k.n)
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid AND c.relkind IN ('r', 'p')
WHERE i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
ORDER BY i.indrelid, i.indexrelid
""")

_REFERENCES = SQL("""
SELECT f.conrelid, ARRAY(
    SELECT a.attname::text FROM unnest(f.conkey) WITH ORDINALITY AS k(attnum, n)
    JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.attnum ORDER BY k.n),
  f.confrelid, ARRAY(
    SELECT a.attname::text FROM unnest(f.confkey) WITH ORDINALITY AS k(attnum, n)
    JOIN pg_attribute a ON a.attrelid = f.confrelid AND a.attnum = k.attnum ORDER BY k.n)
FROM pg_constraint f WHERE f.contype = 'f' AND f.conparentid = 0 ORDER BY f.oid
""")

_OTHERS = {"v": "view", "m": "materialised_view", "f": "foreign_table"}


def read(session: Session) -> Inventory:
    """The inventory as this transaction sees it."""
    ats: dict[int, At] = {}
    estimates: dict[int, tuple[float, bool]] = {}
    others: list[tuple[At, str]] = []
    for oid, schema, name, kind, rows, readable, inherits, extension in session.rows(_RELATIONS):
        code = "extension" if extension else _OTHERS.get(kind)
        code = code or ("partition" if inherits else None)
        if code is not None:
            others.append(((schema, name), code))
            continue
        ats[oid] = (schema, name)
        estimates[oid] = (rows, readable)
    columns: dict[int, dict[str, Column]] = {oid: {} for oid in ats}
    for oid, *told in session.rows(_COLUMNS):
        if oid in ats:
            columns[oid][told[0]] = Column(*told)
    primary, uniques = _keys(session.rows(_UNIQUES))
    tables = {
        at: Table(at, columns[oid], primary.get(oid, ()), uniques.get(oid, ()), *estimates[oid])
        for oid, at in ats.items()
    }
    references = tuple(
        Reference(ats[source], tuple(ours), ats[target], tuple(theirs))
        for source, ours, target, theirs in session.rows(_REFERENCES)
        if source in ats and target in ats
    )
    return with_references(Inventory(tables, (), tuple(others)), references)


def with_references(inventory: Inventory, references: Sequence[Reference]) -> Inventory:
    """The same tables with these references, sorted by the table that refers."""
    referring: dict[At, list[Reference]] = {}
    for reference in references:
        referring.setdefault(reference.table, []).append(reference)
    by_table = {at: tuple(found) for at, found in referring.items()}
    return replace(inventory, references=tuple(references), referring=by_table)


def _keys(
    rows: Sequence[tuple[Any, ...]],
) -> tuple[dict[int, tuple[str, ...]], dict[int, tuple[tuple[str, ...], ...]]]:
    primary: dict[int, tuple[str, ...]] = {}
    uniques: dict[int, tuple[tuple[str, ...], ...]] = {}
    for oid, is_primary, names in rows:
        if is_primary:
            primary[oid] = tuple(names)
        else:
            uniques[oid] = (*uniques.get(oid, ()), tuple(names))
    return primary, uniques
