"""What the server says about the mapped tables: columns, types, keys, references.

In: a system of the data map, and its server's catalogue. Out: `Table`s whose names can be quoted
with confidence because the catalogue knows them, and SQL for a field, a key, a comparison. A name
that the catalogue does not know never reaches a statement.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from psycopg2.sql import SQL, Composable, Identifier, Literal

from connectors.postgres.server.places import DOCUMENTS, Column, Place
from connectors.postgres.server.references import Reference, circles
from connectors.postgres.server.references import read as read_references
from connectors.postgres.server.session import Session, line
from dsr_worker.contract import Collection, Configuration, System

_Kept = TypeVar("_Kept")

_PATH = re.compile(r"->>?")


@dataclass(frozen=True, slots=True)
class Index:
    """The columns of an index, or none and the text of its expressions; whether it is unique."""

    columns: tuple[str, ...]
    unique: bool
    expressions: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """The table of one collection, with the collection's fields placed in it."""

    collection: Collection
    schema: str
    name: str
    columns: Mapping[str, Column]
    indexes: tuple[Index, ...] = ()
    split: bool = False  # partitioned or inherited: a ctid does not name one row

    @property
    def sql(self) -> Composable:
        """The table's name, quoted."""
        return Identifier(self.schema, self.name)

    def place(self, field_name: str) -> Place:
        """Where a field is. Raises Configuration when the catalogue does not know it."""
        parts = [part.strip().strip("'") for part in _PATH.split(field_name)]
        column = self.columns.get(field_name) or self.columns.get(parts[0])
        if column is None:
            raise Configuration(
                f"{self.collection.name}: no column for field {field_name!r} in table {self.name}"
            )
        if column.name == field_name:
            return Place(column)
        if column.base not in DOCUMENTS or not all(parts):
            raise Configuration(
                f"{self.collection.name}: {field_name!r} is no path into a json or jsonb column"
            )
        indexed = (f"{column.name} ->" in i.expressions.replace('"', "") for i in self.indexes)
        return Place(column, tuple(parts[1:]), sound=any(indexed))

    def names_somebody(self, field_name: str, alias: str) -> Composable:
        """Whether a field's text is none of those that the map declares to name nobody."""
        mapped = self.collection.fields.get(field_name)
        if mapped is None or not mapped.null_values:
            return SQL("true")
        texts = SQL(", ").join(map(Literal, sorted(mapped.null_values)))
        return SQL('{} COLLATE "C" NOT IN ({})').format(self.place(field_name).text(alias), texts)

    @property
    def large_objects(self) -> tuple[str, ...]:
        """The columns that name large objects, which go with their rows."""
        return tuple(self.collection.source.get("large_objects", ()))

    @property
    def triggers_erase(self) -> tuple[tuple[str, str], ...]:
        """Tables outside the map, as schema and name, in which triggers may erase derived rows."""
        named = (str(n).rpartition(".") for n in self.collection.source.get("triggers_erase", ()))
        return tuple((schema or self.schema, name) for schema, _, name in named)

    @property
    def keys(self) -> tuple[Place, ...]:
        """Where the parts of the key are."""
        return tuple(map(self.place, self.collection.key))

    def key_columns(self, alias: str, prefix: str = "k") -> Composable:
        """The key's columns in their own types, as k0, k1 and so on."""
        return SQL(", ").join(
            SQL("{} AS {}").format(place.value(alias), Identifier(f"{prefix}{n}"))
            for n, place in enumerate(self.keys)
        )

    def key_json(self, alias: str) -> Composable:
        """The key as a JSON array of texts."""
        parts = SQL(", ").join(place.text(alias) for place in self.keys)
        return SQL("json_build_array({})").format(parts)

    def same_key(self, alias: str, other: str) -> Composable:
        """Whether a row is the one of which `other` holds the key as k0, k1 and so on."""
        return SQL(" AND ").join(
            SQL("{} = {}.{}").format(place.value(alias), Identifier(other), Identifier(f"k{n}"))
            for n, place in enumerate(self.keys)
        )

    def same_key_columns(self, one: str, other: str) -> Composable:
        """Whether two rows hold the same key as k0, k1 and so on."""
        return SQL(" AND ").join(
            SQL("{} = {}").format(Identifier(one, f"k{n}"), Identifier(other, f"k{n}"))
            for n in range(len(self.keys))
        )

    def indexed(self, columns: Sequence[str]) -> bool:
        """Whether some index leads with these columns, in any order."""
        wanted = set(columns)
        return any(set(i.columns[: len(wanted)]) == wanted for i in self.indexes)

    def unique(self, columns: Iterable[str]) -> bool:
        """Whether some unique index covers no more than these columns."""
        return any(i.unique and i.columns and set(i.columns) <= set(columns) for i in self.indexes)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Every mapped table, and the references that point at them."""

    system: System
    tables: Mapping[str, Table]
    references: tuple[Reference, ...] = ()
    children: Mapping[str, tuple[Collection, ...]] = field(default_factory=dict)
    _kept: dict[tuple[Any, ...], Any] = field(default_factory=dict, repr=False, compare=False)

    def kept(self, what: tuple[Any, ...], make: Callable[[], _Kept]) -> _Kept:
        """What `make` gives, made once for this catalogue and all who read by it.

        Statements, mostly: to put one together costs as much as a small one takes.
        """
        if what not in self._kept:
            self._kept[what] = make()
        found: _Kept = self._kept[what]
        return found

    def table(self, collection: str) -> Table:
        """The table of a collection. Raises Configuration for an unknown one."""
        if collection not in self.tables:
            raise Configuration(f"{self.system.name}: no collection {collection!r} in its map")
        return self.tables[collection]

    def pointing_at(self, table: Table) -> tuple[Reference, ...]:
        """The foreign keys that refer to rows of a table."""
        return tuple(r for r in self.references if table.collection.name in r.targets)

    def referring(self, table: Table) -> frozenset[str]:
        """The columns by which a table's rows refer to mapped ones, enforced by foreign keys."""
        return frozenset(
            column
            for reference in self.references
            if table.collection.name in reference.sources
            for column in reference.columns
        )

    def groups(self) -> tuple[tuple[Table, ...], ...]:
        """Tables that refer to each other in a circle together, each group before what it needs.

        What refers is known from the map's parents and from foreign keys. Within a group, too, the
        map's children come before their parents.
        """
        below = {name: {c.name for c in self.children.get(name, ())} for name in self.tables}
        for reference in self.references:
            for name in reference.targets:
                below[name].update(reference.sources)
        order = [c.name for c in self.system.children_first()]
        return tuple(tuple(self.tables[name] for name in group) for group in circles(order, below))

    def children_first(self) -> tuple[Table, ...]:
        """Every table before those it refers to, as far as they form no circle."""
        return tuple(table for group in self.groups() for table in group)


def table_name(collection: Collection) -> tuple[str, str]:
    """Schema and table of a collection's `source`. Raises Configuration when there is no table."""
    name = collection.source.get("table")
    if not isinstance(name, str) or not name:
        raise Configuration(f"{collection.name}: source needs `table: NAME` (and `schema: NAME`)")
    return str(collection.source.get("schema", "public")), name


_COLUMNS = SQL("""
WITH RECURSIVE wanted AS (
  SELECT w.collection, c.oid, c.relkind, EXISTS (
      SELECT FROM pg_inherits i WHERE i.inhparent = c.oid OR i.inhrelid = c.oid) AS split
  FROM pg_temp.dsr_wanted w
  JOIN pg_namespace n ON n.nspname = w.schema
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name AND c.relkind IN ('r', 'p')
), kind AS (
  SELECT t.oid AS declared, t.oid, t.typtype, t.typbasetype, t.typname, t.typtypmod, t.typnotnull
  FROM pg_type t
  WHERE t.oid IN (SELECT atttypid FROM pg_attribute JOIN wanted ON attrelid = wanted.oid)
  UNION ALL
  SELECT k.declared, t.oid, t.typtype, t.typbasetype, t.typname,
    CASE WHEN k.typtypmod > -1 THEN k.typtypmod ELSE t.typtypmod END, k.typnotnull OR t.typnotnull
  FROM kind k JOIN pg_type t ON t.oid = k.typbasetype WHERE k.typtype = 'd'
)
SELECT w.collection, w.split OR w.relkind = 'p', a.attname, format_type(a.atttypid, a.atttypmod),
  k.typname, CASE WHEN k.typname = 'varchar' AND greatest(a.atttypmod, k.typtypmod) > 4
    THEN greatest(a.atttypmod, k.typtypmod) - 4 END,
  a.attnotnull OR k.typnotnull, a.attgenerated <> '' OR a.attidentity = 'a', cn.nspname,
  co.collname, coalesce(co.collisdeterministic, true), format_type(k.oid, -1),
  a.attgenerated <> ''
FROM wanted w
JOIN pg_attribute a ON a.attrelid = w.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN kind k ON k.declared = a.atttypid AND k.typtype <> 'd'
LEFT JOIN pg_collation co ON co.oid = a.attcollation
LEFT JOIN pg_namespace cn ON cn.oid = co.collnamespace
ORDER BY w.collection, a.attnum
""")

_NO_TABLES = {
    "v": "a view",
    "m": "a materialised view",
    "f": "a foreign table",
    "S": "a sequence",
}
_BEHIND = "Map the table behind it, where its rows can be locked and erased"

_INDEXES = SQL("""
SELECT w.collection, i.indisunique AND i.indpred IS NULL AND i.indimmediate, ARRAY(
    SELECT coalesce(a.attname::text, '')
    FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, n)
    LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum > 0
    WHERE k.n <= i.indnkeyatts ORDER BY k.n),
  CASE WHEN i.indpred IS NULL THEN coalesce(pg_get_expr(i.indexprs, i.indrelid), '') ELSE '' END
FROM pg_temp.dsr_wanted w
JOIN pg_namespace n ON n.nspname = w.schema
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
JOIN pg_index i ON i.indrelid = c.oid AND i.indisvalid
""")


def read(session: Session, system: System) -> Catalogue:
    """The catalogue as this transaction sees it. Raises Configuration for a missing table."""
    session.run(
        SQL("CREATE TEMP TABLE dsr_wanted (collection text, schema text, name text) ON COMMIT DROP")
    )
    session.fill(
        Identifier("dsr_wanted"),
        (line(c.name, *table_name(c)) for c in system.collections.values()),
    )
    columns: dict[str, dict[str, Column]] = {name: {} for name in system.collections}
    split: set[str] = set()
    for row in session.rows(_COLUMNS):
        columns[row[0]][row[2]] = _column(row[2:])
        if row[1]:
            split.add(row[0])
    indexes: dict[str, list[Index]] = {name: [] for name in system.collections}
    for collection, unique, names, expressions in session.rows(_INDEXES):
        columns_of = tuple(names) if all(names) else ()
        indexes[collection].append(Index(columns_of, unique, expressions))
    references = read_references(session)
    session.run(SQL("DROP TABLE pg_temp.dsr_wanted"))
    tables = {}
    for name, collection in system.collections.items():
        schema, table = table_name(collection)
        if not columns[name]:
            raise Configuration(
                f"{system.name}.{name}: there is no table {schema}.{table}"
                f"{_instead(session, schema, table)}"
            )
        found = tuple(indexes[name])
        tables[name] = Table(collection, schema, table, columns[name], found, name in split)
    return Catalogue(system, tables, references, _children(system))


def _instead(session: Session, schema: str, name: str) -> str:
    """What bears the name of a table that is none, and what to map."""
    query = SQL(
        "SELECT c.relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = {} AND c.relname = {}"
    ).format(Literal(schema), Literal(name))
    kinds = [_NO_TABLES.get(kind, "no table") for (kind,) in session.rows(query)]
    return f": it is {kinds[0]}. {_BEHIND}" if kinds else ""


def _column(row: Sequence[Any]) -> Column:
    name, declared, base, length, not_null, generated, schema, collation, *rest = row
    named = (schema, collation) if collation else None
    return Column(name, declared, base, length, not_null, generated, named, *rest)


def _children(system: System) -> dict[str, tuple[Collection, ...]]:
    children: dict[str, list[Collection]] = {}
    for collection in system.collections.values():
        if collection.parent:
            children.setdefault(collection.parent.collection, []).append(collection)
    return {name: tuple(found) for name, found in children.items()}
