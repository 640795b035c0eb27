"""Random schemas with everything that foreign keys can do, filled, mapped and decided at random.

In: a seed. Out: a `World`: tables with keys of many types (0, '', false and negative among their
values), references of every ON DELETE and ON UPDATE, in circles, to themselves, with and without a
foreign key, partitions, heirs, generated and identity columns, constraints; a data map; rows as
texts; a batch of people; decision tables. `statements` makes it. Nothing here knows a connector.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from psycopg2.sql import SQL, Composable, Identifier, Literal

from dsr_worker.contract import (
    Action,
    Always,
    Collection,
    DecisionTable,
    Field,
    Frozen,
    HeldRows,
    HeldSubjects,
    Identity,
    Mask,
    MaskKind,
    NeededByKept,
    Parent,
    Rule,
    Since,
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


# ---- drawing one


class _Drawing:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.world = World(seed, {}, [], [], {})

    def maybe(self, chance: float) -> bool:
        return self.random.random() < chance

    def world_of(self) -> World:
        count = min(self.random.randint(1, MOST_TABLES), self.random.randint(1, MOST_TABLES))
        for n in range(count):
            self._table(f"t{n}")
        for table in list(self.world.tables.values()):
            for n in range(self.random.choice((0, 0, 0, 1, 1, 2))):
                self._extra(table, n)
        self._fill()
        self._choose_people()
        self._decide()
        return self.world

    # ---- tables

    def _table(self, name: str) -> None:
        table = Table(name)
        above = [t for t in self.world.tables.values() if t.mapped]
        table.mapped = not above or self.maybe(0.9)
        columns: list[Column] = []
        parent = self.random.choice(above) if above and self.maybe(0.75) else None
        ups: tuple[str, ...] = ()
        if parent is not None:
            ups = tuple(f"up{n}" for n in range(len(parent.key)))
            into_key = self.maybe(0.3)
            required = into_key or self.maybe(0.4)
            for up, theirs in zip(ups, parent.key, strict=True):
                columns.append(Column(up, parent.columns[theirs].type, not_null=required))
            table.key = ups if into_key else ()
        columns += self._own_key(table)
        columns += self._data()
        table.columns = {column.name: column for column in columns}
        if parent is None or self.maybe(0.25):
            self._takes(table)
        table.partitioned = self._partitions(table)
        table.heir = not table.partitioned and self.maybe(0.12)
        self.world.tables[name] = table
        if parent is not None:
            self.world.links.append(self._parent(table, ups, parent))

    def _own_key(self, table: Table) -> list[Column]:
        count = self.random.choice((1, 1, 1, 2, 3)) if not table.key else 1
        columns = []
        for n in range(count):
            kind = self.random.choice(list(TYPES))
            identity = kind == "bigint" and self.maybe(0.4)
            columns.append(Column(f"k{n}", kind, not_null=True, identity=identity))
        table.key += tuple(c.name for c in columns)
        return columns

    def _partitions(self, table: Table) -> bool:
        fitting = not any(c.identity or c.unique for c in table.columns.values())
        unfit = {"citext", FOLDED}
        return fitting and table.columns[table.key[0]].type not in unfit and self.maybe(0.2)

    def _data(self) -> Iterator[Column]:
        yield Column("at", "timestamptz")
        masks: list[Mask | None] = [
            None,
            Mask(MaskKind.NULL),
            Mask(MaskKind.CONSTANT, "erased"),
            Mask(MaskKind.CONSTANT, "x"),
            Mask(MaskKind.PSEUDONYM),
            Mask(MaskKind.TOMBSTONE),
        ]
        if self.maybe(0.8):
            kind = self.random.choice(("text", "text", "text", "varchar(9)", "citext", FOLDED))
            mask = self.random.choice(masks)
            if kind == "varchar(9)" and self.maybe(0.7):
                mask = Mask(MaskKind.CONSTANT, "erased")
            yield Column(
                "name",
                kind,
                not_null=self.maybe(0.2),
                longer_than=3 if self.maybe(0.1) else None,
                mask=mask,
            )
            if kind == "text" and self.maybe(0.2):
                yield Column("loud", "text", made_of="name")
        if self.maybe(0.3):
            mask = self.random.choice((masks[1], masks[2], masks[4], masks[5], None))
            yield Column("tag", "text", unique=True, mask=mask)
        if self.maybe(0.3):
            kind = self.random.choice(("date", "timestamptz", "text"))
            yield Column("born", kind, mask=Mask(MaskKind.YEAR))
        if self.maybe(0.3):
            kind = self.random.choice(("inet", "text"))
            yield Column("seen_from", kind, mask=Mask(MaskKind.NETWORK))

    def _takes(self, table: Table) -> None:
        for kind, kinds in (("text", ("text", "citext", FOLDED)), ("number", ("bigint", "text"))):
            if self.maybe(0.7) or (kind == "number" and not table.takes):
                name = f"of_{kind}"
                table.columns[name] = Column(name, self.random.choice(kinds))
                table.takes[kind] = name
        if self.maybe(0.2):
            table.columns["of_flag"] = Column("of_flag", "boolean")
            table.takes["flag"] = "of_flag"
        if self.maybe(0.2):
            table.nobody = frozenset({"0"})

    def _parent(self, table: Table, ups: tuple[str, ...], parent: Table) -> Link:
        return Link(
            f"{table.name}_up",
            table.name,
            ups,
            parent.name,
            parent.key,
            enforced=self.maybe(0.7),
            parent=table.mapped,
            on_delete=self.random.choice("aaarcccn"),
            deferrable=self._deferrable(),
        )

    def _deferrable(self) -> str:
        return self.random.choice(
            ("", "", "DEFERRABLE INITIALLY IMMEDIATE", "DEFERRABLE INITIALLY DEFERRED")
        )

    def _extra(self, table: Table, n: int) -> None:
        """A reference to any table: its own, one above, one below."""
        target = self.random.choice(list(self.world.tables.values()))
        theirs = ("tag",) if "tag" in target.columns and self.maybe(0.5) else target.key
        names = tuple(f"ref{n}_{m}" for m in range(len(theirs)))
        enforced = self.maybe(0.9)
        required = self.maybe(0.2)
        action = self.random.choice("aaarrcnnd")
        hidden = Mask(MaskKind.NULL) if not required and self.maybe(0.3) else None
        for name, their in zip(names, theirs, strict=True):
            column = target.columns[their]
            default = None
            if action == "d" and self.maybe(0.6):
                default = self.random.choice(TYPES[column.type])
            table.columns[name] = Column(
                name, column.type, not_null=required, default=default, mask=hidden
            )
        self.world.links.append(
            Link(
                f"{table.name}_ref{n}",
                table.name,
                names,
                target.name,
                theirs,
                enforced,
                on_delete=action,
                on_update=self.random.choice("aarccnd"),
                deferrable=self._deferrable(),
            )
        )

    # ---- rows

    def _fill(self) -> None:
        for table in self.world.tables.values():
            for _ in range(self.random.choice((1, 2, 4, 6, 8))):
                self._row(table)
        for table in self.world.tables.values():
            for link in self.world.links:
                if link.source == table.name and not _into_key(table, link):
                    self._refer(table, link)

    def _row(self, table: Table) -> None:
        row: Row = dict.fromkeys(table.columns)
        for column in table.columns.values():
            row[column.name] = self._value(table, column)
        links = [k for k in self.world.links if k.source == table.name]
        up = next((k for k in links if _into_key(table, k)), None)
        if up is not None:
            target = self.world.tables[up.target]
            known = [r for r in target.rows if not (up.enforced and target.in_heir(r))]
            if not known:
                return
            chosen = self.random.choice(known)
            row |= dict(zip(up.columns, (chosen[name] for name in up.target_columns), strict=True))
        taken = [
            all(same(table.columns[n].type, row[n], other[n]) for n in table.key)
            for other in table.rows
        ]
        if any(taken):
            return
        if any(
            column.unique and same(column.type, row[column.name], other[column.name])
            for column in table.columns.values()
            for other in table.rows
        ):
            return
        for column in table.columns.values():
            made_of = row[column.made_of] if column.made_of is not None else None
            if made_of is not None:
                row[column.name] = f"{made_of}!"
        table.rows.append(row)
        if table.heir and self.maybe(0.4):
            table.inherited.add(table.key_of(row))

    def _value(self, table: Table, column: Column) -> str | None:
        if column.name in table.key:
            return self.random.choice(TYPES[column.type])
        pools: dict[str, tuple[str | None, ...]] = {
            "at": MOMENTS,
            "of_text": (*TEXTS, None),
            "of_number": (*NUMBERS, None),
            "of_flag": ("false", "true", None),
            "tag": (*NAMES, *(f"tag {n}" for n in range(9)), None),
        }
        pools["name"] = (*(n for n in NAMES if len(n) > (column.longer_than or 0)), None)
        if column.type == "varchar(9)":
            pools["name"] = ("Anna", "o'Hara", "erased", None)
        if column.not_null:
            pools["name"] = pools["name"][:-1]
        pools["born"] = {
            "date": ("1987-05-12", "2000-01-01", None),
            "timestamptz": ("1987-05-12 10:11:12.5+00", "2001-01-01 00:00:00+00", None),
            "text": ("1987-05-12", "1987-05-12T10:11:12+02:00", "twelfth of May", "", None),
        }.get(column.type, (None,))
        pools["seen_from"] = ("203.0.113.7", "2001:db8:1:2::5", "203.0.113.0/24", None)
        if column.type == "text":
            pools["seen_from"] += ("somewhere", "2001:DB8::1")
        return self.random.choice(pools.get(column.name, (None,)))

    def _refer(self, table: Table, link: Link) -> None:
        target = self.world.tables[link.target]
        known = [r for r in target.rows if not (link.enforced and target.in_heir(r))]
        known = [r for r in known if None not in [r[n] for n in link.target_columns]]
        required = table.columns[link.columns[0]].not_null
        if required and not known:
            for name in link.columns:
                table.columns[name] = replace(table.columns[name], not_null=False)
        for row in table.rows:
            if known and (table.columns[link.columns[0]].not_null or self.maybe(0.75)):
                chosen = self.random.choice(known)
                found = [chosen[name] for name in link.target_columns]
                row |= dict(zip(link.columns, found, strict=True))

    # ---- people and decisions

    def _choose_people(self) -> None:
        known = {
            "a": (("text", "p0"), ("number", "0"), ("text", "both")),
            "b": (("text", "0"), ("number", "-1"), ("text", "both")),
            "c": (("text", "P0"), ("flag", "false")),
            "d": (("text", ""), ("text", " "), ("number", "7")),
            "e": (("text", "nobody here"),),
        }
        refs = self.random.sample(sorted(known), self.random.randint(1, 4))
        self.world.people = [
            Subject(ref, tuple(Identity(kind, value) for kind, value in known[ref])) for ref in refs
        ]

    def _decide(self) -> None:
        for table in reversed(self.world.mapped):
            masks = {c.name: c.mask for c in table.columns.values() if c.mask is not None}
            rules = [*self._holds(table), *self._minimum(masks)]
            children = tuple(
                k.source
                for k in self.world.links
                if k.parent
                and k.target == table.name
                and any(r.code != "default" for r in self.world.decisions[k.source].rules)
            )
            if children and self.maybe(0.8):
                action = Action.MASK if masks else Action.KEEP
                rules.append(
                    Rule("needed", NeededByKept(children), action, "needed_by_kept", masks)
                )
            last = Action.MASK if masks and self.maybe(0.1) else Action.ERASE
            rules.append(Rule("default", Always(), last, "", masks if last is Action.MASK else {}))
            self.world.decisions[table.name] = DecisionTable(table.name, tuple(rules))

    def _holds(self, table: Table) -> Iterator[Rule]:
        if self.maybe(0.05):
            yield Rule("hold", Frozen(), Action.KEEP, "FROZEN")
        if self.maybe(0.12):
            ref = self.random.choice(self.world.people).ref
            yield Rule("hold", HeldSubjects(frozenset({ref})), Action.KEEP, "DISPUTE")
        if self.maybe(0.12):
            name = self.random.choice([*table.key, "at"])
            values = [row[name] for row in table.rows]
            chosen = {v for v in values if v is not None and self.maybe(0.3)}
            yield Rule("hold", HeldRows(name, tuple(sorted(chosen))), Action.KEEP, "RECALL")

    def _minimum(self, masks: dict[str, Mask]) -> Iterator[Rule]:
        if not self.maybe(0.25):
            return
        some = {name: mask for name, mask in masks.items() if self.maybe(0.7)}
        action = Action.MASK if some else Action.KEEP
        yield Rule("minimum", Since("at", CUTOFF), action, "tax", some, "at")


def _into_key(table: Table, link: Link) -> bool:
    return set(link.columns) <= set(table.key)


def drawn(seed: int) -> World:
    """The world of a seed."""
    return _Drawing(seed).world_of()
