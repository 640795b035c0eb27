"""How the server would carry out our statements: sequential scans of big tables.

In: the catalogue. Out: findings. The connector's own code for finding, locating, erasing, putting
right and restricting runs with invented names and values against a session that has each statement
explained instead of executed, so that what is looked at is what will run. Only temporary tables are
filled; no row of a mapped table is read or locked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NoReturn

from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with a small name
from psycopg2.sql import SQL, Composable, Literal

from connectors.postgres.changing.corrections import fixed
from connectors.postgres.changing.erasing import Erasure
from connectors.postgres.changing.rectifying import Rectification
from connectors.postgres.changing.restricting import Restricting
from connectors.postgres.changing.restrictions import destination, losing
from connectors.postgres.checking.indexing import BIG_ROWS, Sizes
from connectors.postgres.reading import finding
from connectors.postgres.reading.ownership import Ownership
from connectors.postgres.server import ddl
from connectors.postgres.server.catalogue import Catalogue, Table
from connectors.postgres.server.columns import changed
from connectors.postgres.server.copying import PARCEL_BYTES
from connectors.postgres.server.session import Session
from dsr_worker.contract import (
    Action,
    Always,
    Correction,
    DecisionTable,
    Finding,
    Identity,
    Key,
    NeededByKept,
    Rule,
    Severity,
    Subject,
)

_PEOPLE = 50
_OURS = "pg_temp"
_PREDICTED = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "DECLARE"})

_UNUSED = re.compile(r"alternatives: SubPlan \d+ or hashed SubPlan (\d+)")
"""Postgres 13 shows two plans of a subquery and takes the first for a few rows; later ones decide
while they plan."""

_MEMBERS = SQL("""
WITH RECURSIVE part AS (
  SELECT c.oid AS root, c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = {} AND c.relname = {}
  UNION ALL SELECT p.root, i.inhrelid FROM part p JOIN pg_inherits i ON i.inhparent = p.oid)
SELECT n.nspname::text, c.relname::text
FROM part JOIN pg_class c ON c.oid = part.oid JOIN pg_namespace n ON n.oid = c.relnamespace
""")


@dataclass
class Explained(Session):
    """A session whose statements on mapped tables are explained. `scanned` are the tables read."""

    explains: ClassVar = True
    scanned: set[tuple[str, str]] = field(default_factory=set)

    def run(self, statement: Composable) -> int:
        """Explain what reads or changes mapped tables; make temporary tables, without rows."""
        text = statement.as_string(self.connection).strip()
        command = text.split(None, 1)[0]
        if command == "CLOSE":
            return 0
        if command in _PREDICTED:
            self._look(text)
            return 0
        if text.startswith("CREATE TEMP TABLE") and " AS SELECT " in text:
            self._look(text)
            return super().run(SQL("{} WITH NO DATA").format(SQL(text)))
        return super().run(statement)

    def rows(self, statement: Composable) -> list[tuple[Any, ...]]:
        """The rows of temporary tables; of anything else none, told as one zero."""
        text = statement.as_string(self.connection).strip()
        if text.startswith("FETCH"):
            return []
        return super().rows(statement) if self._look(text) else [(0,)]

    def run_together(self, statements: Sequence[Composable]) -> None:
        """One by one: each is explained or executed."""
        for statement in statements:
            self.run(statement)

    def few(self, query: Composable) -> list[tuple[Any, ...]]:
        """Nothing: the statement is explained."""
        self._look(query.as_string(self.connection))
        return []

    def parcels(
        self,
        queries: Sequence[Composable],
        *,
        size_bytes: int = PARCEL_BYTES,
    ) -> Iterator[tuple[int, bytes]]:
        """Nothing: the statements are explained."""
        for query in queries:
            self._look(query.as_string(self.connection))
        yield from ()

    def commit(self) -> NoReturn:
        """Nothing that was explained is ever committed."""
        raise AssertionError("an explained transaction is rolled back")

    def _look(self, text: str) -> bool:
        """Note the sequential scans of a statement; whether it reads temporary tables alone."""
        query = SQL("EXPLAIN (FORMAT JSON, VERBOSE) {}").format(SQL(text))
        (((explained, *_),),) = super().rows(query)
        unused = _UNUSED.findall(json.dumps(explained))
        reads = list(_relations(explained["Plan"], {f"SubPlan {number}" for number in unused}))
        self.scanned.update(at for node, at in reads if node == "Seq Scan")
        return bool(reads) and all(schema.startswith(_OURS) for _, (schema, _) in reads)


def _relations(plan: Mapping[str, Any], unused: set[str]) -> Iterator[tuple[str, tuple[str, str]]]:
    if plan.get("Subplan Name") in unused:
        return
    if "Relation Name" in plan:
        yield plan["Node Type"], (plan["Schema"], plan["Relation Name"])
    for part in plan.get("Plans", ()):
        yield from _relations(part, unused)


@dataclass(frozen=True, slots=True)
class _Nobody:
    """The context of invented people, who are in no row."""

    tables: Mapping[str, DecisionTable]
    second_path: ClassVar = True  # nothing changes: rights are told apart

    def check(self) -> None:
        """Nothing can be taken away."""

    def canonical(self, _kind: str, value: str) -> str:
        """Any value means itself."""
        return value

    def digest(self, _collection: str, _key: Sequence[str]) -> str:
        """No row is named."""
        return ""

    def pseudonym(self, _ref: str, value: str) -> str:
        """No value is replaced."""
        return value


def findings(
    connection: Connection, tables: Catalogue, rows: Sizes, *, changing: bool
) -> Iterator[Finding]:
    """The big mapped tables that finding, locating or changing would read as a whole.

    Raises ConnectorError where the role may not do what would be done.
    """
    big = [t for t in tables.tables.values() if rows.get((t.schema, t.name), 0) >= BIG_ROWS]
    if not big:
        return
    for purpose, scanned in _purposes(connection, tables, changing=changing):
        for table in big:
            if scanned & _members(connection, table):
                about = rows[table.schema, table.name]
                yield Finding(
                    Severity.WARNING,
                    table.collection.name,
                    f"{purpose} reads all of {table.schema}.{table.name}, about {about:,} rows, for"
                    f" {_PEOPLE} people: no index serves (told from {BIG_ROWS:,} rows on)",
                    f"ANALYZE {ddl.relation(table.schema, table.name)}; if it stays so, make an"
                    " index without a WHERE on the columns of `key`, `parent` and `takes`",
                )


def _purposes(
    connection: Connection, tables: Catalogue, *, changing: bool
) -> Iterator[tuple[str, set[tuple[str, str]]]]:
    people = [_person(tables, n) for n in range(_PEOPLE)]
    ctx: Any = _Nobody(_decisions(tables))
    session = Explained(connection)
    own = Ownership(session, tables, people, ctx, "dsr_plan")
    own.prepare()
    list(finding.blocks(own))
    found = set(session.scanned)
    list(finding.keys(own))
    yield "finding", found
    yield "locating", session.scanned - found
    if not changing:
        return
    for purpose, change in (
        ("erasing", _erased),
        ("putting right", _rectified),
        ("restricting", _restricted),
    ):
        session = Explained(connection)
        session.run(SQL("SAVEPOINT explained"))  # each has temporary tables of the same names
        change(session, tables, people)
        session.run(SQL("ROLLBACK TO SAVEPOINT explained"))
        yield purpose, session.scanned - found
        found |= session.scanned


def _erased(session: Explained, tables: Catalogue, people: Sequence[Subject]) -> None:
    ctx: Any = _Nobody(_decisions(tables))
    erasure = Erasure(session, tables, people, ctx)
    _decided(erasure, tables.tables, ctx)
    erasure.changes.apply()


def _rectified(session: Explained, tables: Catalogue, people: Sequence[Subject]) -> None:
    """Every field that may be corrected gets a value of nobody's."""
    asked = {name: tuple(_corrections(tables, table)) for name, table in tables.tables.items()}
    asked = {name: corrections for name, corrections in asked.items() if corrections}
    rule = Rule("default", Always(), Action.RECTIFY)
    ctx: Any = _Nobody({name: DecisionTable(name, (rule,)) for name in tables.tables})
    asking = [replace(person, corrections=asked) for person in people]
    rectification = Rectification(session, tables, asking, ctx)
    _decided(rectification, asked, ctx)
    for statement in rectification.statements():
        session.run(statement)


def _restricted(session: Explained, tables: Catalogue, people: Sequence[Subject]) -> None:
    """By all the means that are mapped, and back."""
    names = [name for name, table in tables.tables.items() if _may_be_restricted(tables, table)]
    rules = (Rule("hold", Always(), Action.RESTRICT), Rule("default", Always(), Action.LIFT))
    ctx: Any = _Nobody({name: DecisionTable(name, rules) for name in tables.tables})
    restricting = Restricting(session, tables, people, ctx)
    _decided(restricting, names, ctx)
    for statement in restricting.statements():
        session.run(statement)


def _decided(change: Erasure, names: Iterable[str], ctx: Any) -> None:
    """Go as far as every change of located rows goes."""
    change.receive(
        Key(person.ref, name, (str(n),) * len(change.catalogue.table(name).keys))
        for name in names
        for n, person in enumerate(change.subjects)
    )
    change.gather(lock=True)
    change.decide(ctx.tables.__getitem__)


def _corrections(tables: Catalogue, table: Table) -> Iterator[Correction]:
    changing = changed(tables, table)
    for name in table.collection.fields:
        if fixed(tables, table, name) is None and table.place(name).column.name in changing:
            yield Correction(name, "nobody's")


def _may_be_restricted(tables: Catalogue, table: Table) -> bool:
    """Whether it has means that work: those that do not are told as such."""
    moved = destination(tables, table)
    return table.collection.restriction is not None and not (moved and losing(table, moved))


def _person(tables: Catalogue, number: int) -> Subject:
    kinds = sorted(tables.system.owner_kinds)
    return Subject(f"nobody-{number}", tuple(Identity(k, f"nobody-{number}") for k in kinds))


def _decisions(tables: Catalogue) -> dict[str, DecisionTable]:
    """What a needed row is masked by, and else erased: every kind of change once."""
    return {name: DecisionTable(name, _rules(tables, t)) for name, t in tables.tables.items()}


def _rules(tables: Catalogue, table: Table) -> tuple[Rule, ...]:
    fields = table.collection.fields.values()
    masks = {f.name: f.mask for f in fields if f.mask is not None}
    children = tuple(c.name for c in tables.children.get(table.collection.name, ()))
    needed = Rule("needed", NeededByKept(children), Action.MASK, "needed", masks)
    return needed, Rule("default", Always(), Action.ERASE)


def _members(connection: Connection, table: Table) -> set[tuple[str, str]]:
    """The table, its partitions and what inherits from it."""
    query = _MEMBERS.format(Literal(table.schema), Literal(table.name))
    return {(schema, name) for schema, name in Session(connection).rows(query)}
