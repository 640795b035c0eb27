"""Schemas with everything that foreign keys can do, as values, and the statements that make them.

A `World` has tables, links between them with and without a foreign key, rows as texts, a data map,
a batch of people and decision tables. `statements` makes it. Nothing here knows a connector.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from psycopg2.sql import SQL, Composable, Identifier, Literal

from dsr_worker.contract import (
    Collection,
    DecisionTable,
    Field,
    Mask,
    Parent,
    Subject,
    System,
    Taken,
)

SCHEMA = "world"
FOLDED = f"text COLLATE {SCHEMA}.folded"  # letter case does not tell its values apart
MOST_TABLES = 12
CUTOFF = datetime(2020, 1, 1, tzinfo=UTC)
ACTIONS = {
    "a": "NO ACTION",
    "r": "RESTRICT",
    "c": "CASCADE",
    "n": "SET NULL",
    "d": "SET DEFAULT",
}
TYPES = {
    "bigint": ("0", "-1", "1", "2", "9223372036854775807", "-9223372036854775808"),
    "smallint": ("0", "-1", "5", "6"),
    "text": ("", "0", " ", "a", "A", "null", "%", "a_b", "o'b", "\\N", "x\ty", "ß", "false"),
    "varchar(20)": ("", "0", "b", "B", "'", "-1"),
    "char(3)": ("", "0", "a", "bcd"),
    "boolean": ("false", "true"),
    "numeric": ("0", "-1", "0.50", "100", "0.0001"),
    "uuid": tuple(f"00000000-0000-0000-0000-{n:012d}" for n in range(5)),
    "date": ("1999-12-31", "2000-01-01", "2024-02-29"),
    "bytea": ("\\x", "\\x00", "\\xff"),
    "citext": ("", "0", "a", "B"),
    f"{SCHEMA}.mood": ("no", "yes", "0"),
    f"{SCHEMA}.code": ("", "0", "k", "K"),
    FOLDED: ("", "0", "a", "B", "é"),
}
NAMES = ("Anna", "Bert", "cleo", "ß-Name", "o'Hara", "%", "erased-0123456789abcdef", "erased")
MOMENTS = ("2010-06-01 00:00:00+00", "2020-01-01 00:00:00+00", "2024-02-29 12:00:00+00", None)
NUMBERS = ("0", "-1", "7", "8")
TEXTS = ("p0", "0", "P0", "both", "", " ", "elsewhere", "false")
Row = dict[str, str | None]


@dataclass(frozen=True)
class Column:
    """A column; `made_of` names the column that it is generated from."""

    name: str
    type: str
    not_null: bool = False
    unique: bool = False
    default: str | None = None
    longer_than: int | None = None  # CHECK (length(it) > …)
    made_of: str | None = None
    identity: bool = False
    mask: Mask | None = None


@dataclass(frozen=True)
class Link:
    """How rows refer to rows: by a foreign key, by the map's parent, or by both."""

    name: str
    source: str
    columns: tuple[str, ...]
    target: str
    target_columns: tuple[str, ...]
    enforced: bool
    parent: bool = False
    on_delete: str = "a"
    on_update: str = "a"
    deferrable: str = ""


@dataclass
class Table:
    """A table and its rows; `parts` says which rows lie in its heir instead of in itself."""

    name: str
    key: tuple[str, ...] = ()
    columns: dict[str, Column] = field(default_factory=dict)
    takes: dict[str, str] = field(default_factory=dict)
    nobody: frozenset[str] = frozenset()
    mapped: bool = True
    partitioned: bool = False
    heir: bool = False
    rows: list[Row] = field(default_factory=list)
    inherited: set[tuple[str | None, ...]] = field(default_factory=set)

    def key_of(self, row: Row) -> tuple[str | None, ...]:
        """The row's key."""
        return tuple(row[name] for name in self.key)

    def in_heir(self, row: Row) -> bool:
        """Whether the row lies in the heir."""
        return self.key_of(row) in self.inherited


@dataclass
class World:
    """All of one seed."""

    seed: int
    tables: dict[str, Table]
    links: list[Link]
    people: list[Subject]
    decisions: dict[str, DecisionTable]

    @property
    def mapped(self) -> list[Table]:
        """The tables of the map."""
        return [table for table in self.tables.values() if table.mapped]

    def parent_of(self, table: Table) -> Link | None:
        """The link to the collection that owns the table's rows."""
        return next((k for k in self.links if k.parent and k.source == table.name), None)

    def system(self) -> System:
        """The data map."""
        return System("world", "postgres", {t.name: self._collection(t) for t in self.mapped})

    def _collection(self, table: Table) -> Collection:
        link = self.parent_of(table)
        fields = {
            c.name: Field(c.name, "user", c.mask, null_values=table.nobody)
            if c.name in table.takes.values()
            else Field(c.name, "user", c.mask)
            for c in table.columns.values()
            if c.made_of is None
        }
        return Collection(
            table.name,
            table.key,
            fields,
            takes={kind: Taken(name) for kind, name in table.takes.items()},
            parent=None
            if link is None
            else Parent(link.target, dict(zip(link.columns, link.target_columns, strict=True))),
            clocks={"record_date": "at"},
            source={"table": table.name, "schema": SCHEMA},
        )

    def statements(self, *, icu: bool) -> Iterator[Composable]:
        """What makes the schema and its rows, as one transaction; without ICU case tells apart."""
        folding = "provider = icu, locale = 'und-u-ks-level2', deterministic = false"
        yield SQL(
            "DROP SCHEMA IF EXISTS world CASCADE; CREATE SCHEMA world;"
            " CREATE TYPE world.mood AS ENUM ('no', 'yes', '0');"
            " CREATE DOMAIN world.code AS varchar(9) CHECK (VALUE <> 'forbidden');"
            " CREATE COLLATION world.folded ({})"
        ).format(SQL(folding if icu else "locale = 'C'"))
        for table in self.tables.values():
            yield from _made(table)
        for table in self.tables.values():
            for row in table.rows:
                yield _inserted(table, row)
        for link in self.links:
            if link.enforced:
                yield _constrained(link)


def _made(table: Table) -> Iterator[Composable]:
    columns = [_declared(column) for column in table.columns.values()]
    columns.append(SQL("PRIMARY KEY ({})").format(_names(table.key)))
    name = Identifier(SCHEMA, table.name)
    by = SQL("PARTITION BY HASH ({})").format(Identifier(table.key[0]))
    yield SQL("CREATE TABLE {} ({}) {}").format(
        name, SQL(", ").join(columns), by if table.partitioned else SQL("")
    )
    if table.partitioned:
        for n in range(2):
            yield SQL(
                "CREATE TABLE {} PARTITION OF {} FOR VALUES WITH (MODULUS 2, REMAINDER {})"
            ).format(Identifier(SCHEMA, f"{table.name}_{n}"), name, Literal(n))
    if table.heir:
        heir = Identifier(SCHEMA, f"{table.name}_heir")
        yield SQL("CREATE TABLE {} () INHERITS ({})").format(heir, name)


def _declared(column: Column) -> Composable:
    parts: list[Composable] = [SQL("{} {}").format(Identifier(column.name), SQL(column.type))]
    if column.made_of is not None:
        made_of = Identifier(column.made_of)
        parts.append(SQL("GENERATED ALWAYS AS ({} || '!') STORED").format(made_of))
    if column.identity:
        parts.append(SQL("GENERATED ALWAYS AS IDENTITY"))
    if column.default is not None:
        parts.append(SQL("DEFAULT {}").format(Literal(column.default)))
    if column.not_null:
        parts.append(SQL("NOT NULL"))
    if column.unique:
        parts.append(SQL("UNIQUE"))
    if column.longer_than is not None:
        parts.append(
            SQL("CHECK (length({}) > {})").format(
                Identifier(column.name), Literal(column.longer_than)
            )
        )
    return SQL(" ").join(parts)


def _names(names: tuple[str, ...]) -> Composable:
    return SQL(", ").join(map(Identifier, names))


def _inserted(table: Table, row: Row) -> Composable:
    given = {n: v for n, v in row.items() if table.columns[n].made_of is None}
    place = f"{table.name}_heir" if table.in_heir(row) else table.name
    return SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE VALUES ({})").format(
        Identifier(SCHEMA, place),
        _names(tuple(given)),
        SQL(", ").join(map(Literal, given.values())),
    )


def _constrained(link: Link) -> Composable:
    return SQL(
        "ALTER TABLE {} ADD CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {} ({})"
        " ON DELETE {} ON UPDATE {} {}"
    ).format(
        Identifier(SCHEMA, link.source),
        Identifier(link.name),
        _names(link.columns),
        Identifier(SCHEMA, link.target),
        _names(link.target_columns),
        SQL(ACTIONS[link.on_delete]),
        SQL(ACTIONS[link.on_update]),
        SQL(link.deferrable),
    )


def same(kind: str, one: str | None, other: str | None) -> bool:
    """Whether the server holds two values of a type for equal; nothing equals a null."""
    if one is None or other is None:
        return False
    if kind in {"citext", FOLDED}:
        return one.lower() == other.lower()
    return one == other


def refers(world: World, link: Link, row: Row, to: Row) -> bool:
    """Whether a row refers to another by a link."""
    columns = world.tables[link.target].columns
    return all(
        same(columns[theirs].type, row[ours], to[theirs])
        for ours, theirs in zip(link.columns, link.target_columns, strict=True)
    )
