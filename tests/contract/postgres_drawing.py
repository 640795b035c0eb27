"""Draws a `World` at random, filled, mapped and decided.

In: a seed. Out: tables with keys of many types (0, '', false and negative among their values),
references of every ON DELETE and ON UPDATE, in circles, to themselves, with and without a foreign
key, partitions, heirs, generated and identity columns, constraints.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

from dsr_worker.contract import (
    Action,
    Always,
    DecisionTable,
    Frozen,
    HeldRows,
    HeldSubjects,
    Identity,
    Mask,
    MaskKind,
    NeededByKept,
    Rule,
    Since,
    Subject,
)
from tests.contract.postgres_schemas import (
    CUTOFF,
    FOLDED,
    MOMENTS,
    MOST_TABLES,
    NAMES,
    NUMBERS,
    TEXTS,
    TYPES,
    Column,
    Link,
    Row,
    Table,
    World,
    same,
)


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
