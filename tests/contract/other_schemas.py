"""Schemas that others wrote, built anew from their facts: tables, columns, keys, references.

In: the notes in `others/`. Out: tables in an empty database, each with some invented rows, and the
labels that people gave the columns. A note's line is a table: its columns, each `name type`, where
`!` is not null, `#` of the primary key, `=` unique, `>table` a foreign key (`>table.column` to
another unique column than the key), `~kind` the kind of invented value, `@` both of Rails' times,
`&` who made and changed a row, `=(a b)` unique together and `%column` a partition key.
Without a type, names ending in `id` are bigint, in `_at` timestamptz, and all others text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg2.extras import execute_values
from psycopg2.sql import SQL, Composed, Identifier

from tests.contract.invented import ROWS, shuffled, value
from tests.contract.postgres_shop import connected

FOLDER = Path(__file__).with_name("others")
MEASURED = ("pagila", "northwind", "chinook", "spree", "mastodon", "chatwoot", "zammad", "medusa")
KEPT_BACK = "fatfree"
"""Measured once, after the last change to the rules: no rule was made for it."""

_TIMES = ("created_at", "updated_at")
_MAKERS = ("updated_by_id", "created_by_id")
_ITEM = re.compile(
    r"(?P<name>\w+)(?: (?P<type>[a-z]\w*(?:\(\d+(?:,\d+)?\))?(?:\[\])?))?(?P<flags>[!#=]*)"
    r"(?: >(?P<target>\w+(?:\.\w+)?))?(?: ~(?P<kind>\w+))?"
)


@dataclass(frozen=True, slots=True)
class Column:
    """A column, as its note has it."""

    name: str
    type: str
    not_null: bool = False
    key: bool = False
    unique: bool = False
    target: str | None = None
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table, as its note has it."""

    name: str
    columns: tuple[Column, ...]
    uniques: tuple[tuple[str, ...], ...] = ()
    partitioned_by: str | None = None

    @property
    def key(self) -> tuple[Column, ...]:
        """The columns of its primary key."""
        return tuple(column for column in self.columns if column.key)

    def referred(self, target: str) -> Column:
        """The column that `table` or `table.column` refers to."""
        _, _, named = target.partition(".")
        (column,) = [c for c in self.columns if c.name == named] if named else self.key
        return column


def tables(name: str) -> dict[str, Table]:
    """The tables of a schema, by name."""
    return {table: _table(table, items) for table, items in _lines(name)}


def labels(name: str) -> set[tuple[str, str]]:
    """Table and column of everything personal, as people labelled it."""
    found: set[tuple[str, str]] = set()
    schema = ""
    for line in _joined("labels"):
        table, _, columns = line.partition(": ")
        if not columns:
            schema = line
        elif schema == name:
            found |= {(table, column) for column in columns.split()}
    return found


@dataclass(frozen=True, slots=True)
class Owners:
    """Whose the rows of a schema's tables are; those that stand nowhere are nobody's.

    `ways` are parent and column of each table, any of which is right; of an `unclear` table no
    single reference says whose its rows are.
    """

    people: frozenset[str]
    ways: Mapping[str, frozenset[tuple[str, str]]]
    unclear: frozenset[str]


def owners(name: str) -> Owners:
    """Whose the rows of a schema are, as people labelled it."""
    told: dict[str, list[str]] = {}
    schema = ""
    for line in _joined("owners"):
        parent, _, named = line.partition(": ")
        if not named:
            schema = line
        elif schema == name:
            told[parent] = named.split()
    people, unclear = told.pop("people"), told.pop("unclear", [])
    ways: dict[str, set[tuple[str, str]]] = {}
    for parent, named_ways in told.items():
        for way in named_ways:
            table, _, column = way.partition(".")
            ways.setdefault(table, set()).add((parent, column))
    return Owners(frozenset(people), {t: frozenset(w) for t, w in ways.items()}, frozenset(unclear))


def build(name: str, dsn: str) -> None:
    """Its tables with rows, in an empty database; references last, for some go in a circle."""
    made = tables(name)
    with connected(dsn) as connection, connection.cursor() as cursor:
        for table in made.values():
            for statement in _creation(table):
                cursor.execute(statement)
            rows = [tuple(_row(made, table, number)) for number in range(1, ROWS + 1)]
            into = SQL("INSERT INTO {} VALUES %s").format(Identifier(table.name))
            execute_values(cursor, into, rows)
        for statement in _references(made):
            cursor.execute(statement)
        cursor.execute("ANALYZE")


def _joined(name: str) -> Iterator[str]:
    """The note's lines, each with those that go on from it."""
    line = ""
    for part in (FOLDER / f"{name}.txt").read_text("utf-8").splitlines():
        if part.startswith(" "):
            line += f" {part.strip()}"
            continue
        if line and not line.startswith("#"):
            yield line
        line = part
    yield line


def _lines(name: str) -> Iterator[tuple[str, list[str]]]:
    for line in _joined(name):
        table, _, items = line.partition(": ")
        yield table, items.split(", ")


def _table(name: str, items: list[str]) -> Table:
    columns: list[Column] = []
    uniques: list[tuple[str, ...]] = []
    partitioned_by = None
    for item in items:
        if item == "@":
            columns += [Column(at, "timestamptz", not_null=True) for at in _TIMES]
        elif item == "&":
            columns += [Column(by, "int8", not_null=True, target="users") for by in _MAKERS]
        elif item.startswith("=("):
            uniques.append(tuple(item[2:-1].split()))
        elif item.startswith("%"):
            partitioned_by = item[1:]
        else:
            columns.append(_column(item))
    return Table(name, tuple(columns), tuple(uniques), partitioned_by)


def _column(item: str) -> Column:
    found = _ITEM.fullmatch(item)
    assert found is not None, f"cannot read the note: {item}"
    name, flags = found["name"], found["flags"]
    plain = "text"
    if name == "id" or name.endswith("_id"):
        plain = "int8"
    elif name.endswith("_at"):
        plain = "timestamptz"
    key = "#" in flags
    kind = found["type"] or plain
    return Column(
        name, kind, "!" in flags or key, key, "=" in flags, found["target"], found["kind"]
    )


def _creation(table: Table) -> Iterator[Composed]:
    parts = [
        SQL("{} {}{}{}").format(
            Identifier(column.name),
            SQL(column.type),
            SQL(" NOT NULL" if column.not_null else ""),
            SQL(" UNIQUE" if column.unique else ""),
        )
        for column in table.columns
    ]
    keys = [("PRIMARY KEY", tuple(c.name for c in table.key))] if table.key else []
    keys += [("UNIQUE", unique) for unique in table.uniques]
    parts += [
        SQL("{} ({})").format(SQL(kind), SQL(", ").join(map(Identifier, columns)))
        for kind, columns in keys
    ]
    name = Identifier(table.name)
    created = SQL("CREATE TABLE {} ({})").format(name, SQL(", ").join(parts))
    if table.partitioned_by is None:
        yield created
        return
    by = Identifier(table.partitioned_by)
    yield created + SQL(" PARTITION BY RANGE ({})").format(by)
    first = Identifier(f"{table.name}_first")
    span = SQL("FROM ('2020-01-01') TO ('2025-02-01')")
    yield SQL("CREATE TABLE {} PARTITION OF {} FOR VALUES {}").format(first, name, span)
    rest = Identifier(f"{table.name}_rest")
    yield SQL("CREATE TABLE {} PARTITION OF {} DEFAULT").format(rest, name)


def _references(made: Mapping[str, Table]) -> Iterator[Composed]:
    for table in made.values():
        for column in table.columns:
            if column.target is not None:
                target = made[column.target.partition(".")[0]]
                yield SQL("ALTER TABLE {} ADD FOREIGN KEY ({}) REFERENCES {} ({})").format(
                    Identifier(table.name),
                    Identifier(column.name),
                    Identifier(target.name),
                    Identifier(target.referred(column.target).name),
                )


def _row(made: Mapping[str, Table], table: Table, number: int) -> Iterator[Any]:
    """One invented row; a reference points at some row of its target."""
    for at, column in enumerate(table.columns):
        free = not (column.not_null or column.unique)
        if free and (number + at) % 6 == 0:
            yield None
        elif column.target is not None:
            key = made[column.target.partition(".")[0]].referred(column.target)
            yield value(key.type, key.kind, shuffled(number))
        elif column.type == "int8" and column.name.endswith("_id"):
            yield shuffled(number)
        else:
            yield value(column.type, column.kind, number)
