"""Applying decision tables to located rows: one transaction for the batch, all of it or nothing.

In: located keys, the guard's tables. Out: receipts that add up to the keys. The keys go into a
temporary table; the rows still there are locked; within the guard each row's first matching rule
is written beside it, children first, so that a parent knows which children stay; what a staying row
refers to is spared as well; then rows go or are masked, the intent is recorded, and the transaction
commits. Putting right (`rectifying`) and restricting (`restricting`) differ in what is done then.

What would reach beyond the plan (a cascade into other rows, a trigger that keeps a row) rolls
everything back.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from psycopg2.sql import SQL, Composable, Identifier, Literal

from connectors.postgres import sparing
from connectors.postgres.catalogue import Catalogue, Table
from connectors.postgres.changing import Changes, changes, goes
from connectors.postgres.deciding import FALSE, Rules, any_of, by_rule, clock
from connectors.postgres.session import Contended, Session, typed_cells
from connectors.postgres.sparing import PROTECTING
from dsr_worker.contract import (
    Context,
    DecisionTable,
    Guard,
    HeldSubjects,
    Key,
    Outcome,
    OutcomeCount,
    Permanent,
    Receipt,
    Rule,
    Subject,
)

_TRIES = 4
_KEYS_BETWEEN_CHECKS = 5000


@dataclass
class Erasure:
    """One batch in one transaction. `receipts` is empty until `locked` and `applied` have run."""

    session: Session
    catalogue: Catalogue
    subjects: Sequence[Subject]
    ctx: Context
    located: dict[tuple[str, int], int] = field(default_factory=dict)
    tables: dict[str, DecisionTable] = field(default_factory=dict)
    touched: tuple[Table, ...] = ()  # the tables with located keys, children first

    def __post_init__(self) -> None:
        self._numbers = {name: n for n, name in enumerate(self.catalogue.tables)}
        self._rules = Rules(self.session, self.catalogue, self.ctx, self._stays, self._held)
        self.changes = Changes(self.session, self.catalogue, self._pseudonym, self._protected)

    def _pseudonym(self, number: int, value: str) -> str:
        return self.ctx.pseudonym(self.subjects[number].ref, value)

    def receive(self, keys: Iterable[Key]) -> None:
        """Take the located keys, each once per subject."""
        parts = max(len(t.keys) for t in self.catalogue.tables.values())
        columns = ", ".join(f"v{n} text, n{n} int8, u{n} uuid" for n in range(parts))
        self.session.run(
            SQL("CREATE TEMP TABLE dsr_key (c int4, s int4, {}) ON COMMIT DROP").format(
                SQL(columns)
            )
        )
        self.session.fill(Identifier("dsr_key"), self._lines(keys, parts))
        self.session.run(SQL("ANALYZE pg_temp.dsr_key (c, s)"))
        names = list(self.catalogue.tables)
        values = ", ".join(f"v{n}" for n in range(parts))
        query = SQL(
            "SELECT c, s, count(*) FROM (SELECT DISTINCT c, s, {} FROM pg_temp.dsr_key) k"
            " GROUP BY c, s"
        ).format(SQL(values))
        self.located = {(names[c], s): rows for c, s, rows in self.session.rows(query)}
        found = {name for name, _ in self.located}
        self.touched = tuple(
            t for t in self.catalogue.children_first() if t.collection.name in found
        )

    def _lines(self, keys: Iterable[Key], parts: int) -> Iterator[bytes]:
        numbers = {subject.ref: n for n, subject in enumerate(self.subjects)}
        for count, key in enumerate(keys, 1):
            if count % _KEYS_BETWEEN_CHECKS == 0:
                self.ctx.check()
            table = self.catalogue.table(key.collection)
            if len(key.key) != len(table.keys) or key.subject_ref not in numbers:
                raise Permanent(f"a located key does not fit collection {key.collection}")
            if None in key.key:
                raise Permanent(
                    f"{key.collection}: the key of a located row is null, so that it names no row;"
                    " map a key of NOT NULL columns"
                )
            cells = map(typed_cells, (*key.key, *(None,) * (parts - len(key.key))))
            place = f"{self._numbers[key.collection]}\t{numbers[key.subject_ref]}"
            yield "\t".join((place, *cells)).encode() + b"\n"

    def gather(self, *, lock: bool) -> None:
        """Find the rows that are still there, and lock them unless this is a dry run."""
        for table in self.touched:
            row = self._row(table)
            self.session.run(
                SQL("CREATE TEMP TABLE {} ON COMMIT DROP AS {}").format(
                    row, self._there(table, lock=lock)
                )
            )
            if (moved := self._moved(table)) is not None:
                self.session.run(
                    SQL("INSERT INTO pg_temp.{} {}").format(row, self._there(moved, lock=lock))
                )
            self._ready(table, row, "s")

    def _there(self, table: Table, *, lock: bool) -> Composable:
        """The keys of the located rows that are still in a table, with their subjects."""
        parts = range(len(table.keys))
        wanted = SQL("(SELECT DISTINCT s, {} FROM pg_temp.dsr_key WHERE c = {})").format(
            SQL(", ".join(f"v{n}, n{n}, u{n}" for n in parts)),
            Literal(self._numbers[table.collection.name]),
        )
        match = SQL(" AND ").join(p.equals_part("t", "k", n) for n, p in enumerate(table.keys))
        return SQL("SELECT k.s, {keys} FROM {wanted} k JOIN {table} t ON {match} {lock}").format(
            keys=table.key_columns("t"),
            wanted=wanted,
            table=table.sql,
            match=match,
            lock=SQL("FOR UPDATE OF t" if lock else ""),
        )

    def rows_of(self, table: Table) -> Identifier | None:
        """The temporary table of located rows that are still there."""
        return self._row(table) if table in self.touched else None

    def still_there(self) -> Iterator[Key]:
        """The located keys whose rows are still there."""
        for table in self.touched:
            self.ctx.check()
            parts = SQL(", ".join(f"r.k{n}::text" for n in range(len(table.keys))))
            query = SQL("SELECT json_build_array(r.s, {})::text FROM pg_temp.{} r").format(
                parts, self._row(table)
            )
            for number, *key in self.session.arrays(query):
                yield Key(self.subjects[number].ref, table.collection.name, tuple(key))

    def decide(self, tables: Callable[[str], DecisionTable]) -> list[Receipt]:
        """Write beside each row the first rule that matches, children first; the receipts."""
        changed = (r for t in self.touched for r in self.catalogue.pointing_at(t) if r.changes)
        names = {t.collection.name for t in self.touched}.union(*(r.sources for r in changed))
        self.tables = {name: tables(name) for name in self.catalogue.tables if name in names}
        self._rules.load(self.tables)
        for table in self.touched:
            self._decide(table)
            self.changes.rules[table.collection.name] = self.tables[table.collection.name].rules
        self._settle()
        return self._receipts()

    # ---- where putting right and restricting go other ways

    def carry_out(self) -> None:
        """Change the rows as decided. Raises Permanent when a row resists."""
        self.changes.apply()

    def _settle(self) -> None:
        """What follows for the other rows of the batch from each row's rule."""
        sparing.spare(self.changes)

    def _changed(self, table: Table, rule: Rule) -> Composable | None:
        """How many values the rule changes in a row `t`."""
        return changes(table, rule)

    def _moved(self, _table: Table) -> Table | None:
        """Where a table's rows may have been moved to."""
        return None

    # ---- deciding

    def _decide(self, table: Table) -> None:
        done = self.changes.done(table)
        self.session.run(
            SQL("CREATE TEMP TABLE {} ON COMMIT DROP AS {}").format(done, self._decided(table))
        )
        if (moved := self._moved(table)) is not None:
            self.session.run(SQL("INSERT INTO pg_temp.{} {}").format(done, self._decided(moved)))
        self._ready(table, done, "s, rule")

    def _decided(self, table: Table) -> Composable:
        rules = self.tables[table.collection.name].rules
        return SQL(
            "SELECT r.*, d.rule, {fields} AS fields, {clock} AS clock FROM pg_temp.{row} r"
            " JOIN {table} t ON {same} CROSS JOIN LATERAL (SELECT {rule} AS rule) d"
        ).format(
            fields=by_rule(rules, lambda rule: self._changed(table, rule), SQL("0")),
            clock=by_rule(rules, lambda rule: clock(table, rule), SQL("NULL::timestamptz")),
            row=self._row(table),
            table=table.sql,
            same=table.same_key("t", "r"),
            rule=self._rules.deciding(table, rules, "t"),
        )

    def _ready(self, table: Table, rows: Identifier, numbers: str) -> None:
        """An index to ask for single rows, and statistics of numbers (never of keys)."""
        keys = SQL(", ".join(f"k{n}" for n in range(len(table.keys))))
        self.session.run(SQL("CREATE INDEX ON pg_temp.{} ({})").format(rows, keys))
        self.session.run(SQL("ANALYZE pg_temp.{} ({})").format(rows, SQL(numbers)))

    # ---- what Rules asks

    def _stays(self, child: Table, alias: str) -> Composable:
        """A child's row stays unless this batch erases it."""
        return SQL("NOT {}").format(self.changes.goes(child, alias))

    def _held(self, table: Table, when: HeldSubjects, alias: str) -> Composable:
        """A row that several subjects share is held when one of them is."""
        held = [n for n, subject in enumerate(self.subjects) if subject.ref in when.refs]
        if not held or all(t.collection is not table.collection for t in self.touched):
            return FALSE
        return SQL("EXISTS (SELECT FROM pg_temp.{} h WHERE {} AND h.s = ANY ({}::int4[]))").format(
            self._row(table), table.same_key(alias, "h"), Literal(held)
        )

    def _protected(self, table: Table, alias: str) -> Composable | None:
        """Whether a hold or a minimum protects a row, located or not; None where none can."""
        rules = self.tables[table.collection.name].rules
        protecting = [r for r in rules if r.code in PROTECTING]
        if not protecting:
            return None
        return any_of([self._rules.matches(table, rule, alias) for rule in protecting])

    # ---- counting

    def _receipts(self) -> list[Receipt]:
        counts: dict[tuple[str, int], list[OutcomeCount]] = {}
        kept: dict[tuple[str, int], set[str]] = {}
        for table in self.touched:
            for number, count in self.changes.counts(table):
                counts.setdefault((table.collection.name, number), []).append(count)
            for number, digest in self._kept(table):
                kept.setdefault((table.collection.name, number), set()).add(digest)
        return [
            self._receipt(subject, name, (name, number), counts, kept)
            for number, subject in enumerate(self.subjects)
            for name in self.catalogue.tables
        ]

    def _receipt(
        self,
        subject: Subject,
        collection: str,
        at: tuple[str, int],
        counts: Mapping[tuple[str, int], list[OutcomeCount]],
        kept: Mapping[tuple[str, int], set[str]],
    ) -> Receipt:
        outcomes = list(counts.get(at, ()))
        gone = self.located.get(at, 0) - sum(o.rows for o in outcomes)
        if gone:
            outcomes.append(OutcomeCount(Outcome.ALREADY_GONE, gone))
        outcomes = outcomes or [OutcomeCount(Outcome.ABSENT, 0)]
        return Receipt(subject.ref, collection, tuple(outcomes), frozenset(kept.get(at, ())))

    def _kept(self, table: Table) -> Iterator[tuple[int, str]]:
        staying = self.changes.with_rule(table, "d", lambda rule: not goes(rule))
        parts = SQL(", ".join(f"d.k{n}::text" for n in range(len(table.keys))))
        query = SQL("SELECT json_build_array(d.s, {})::text FROM pg_temp.{} d WHERE {}").format(
            parts, self.changes.done(table), staying
        )
        for number, *key in self.session.arrays(query):
            yield number, self.ctx.digest(table.collection.name, key)

    def _row(self, table: Table) -> Identifier:
        return Identifier(f"dsr_row_{self._numbers[table.collection.name]}")


def carried_out(erasure: Erasure) -> list[Receipt]:
    """Lock, decide, change and commit; a deadlock begins again after a short random wait."""
    erasure.session.run(SQL("SAVEPOINT received"))
    for attempt in range(1, _TRIES + 1):
        try:
            return _once(erasure)
        except Contended:
            if attempt == _TRIES:
                raise
            erasure.session.run(SQL("ROLLBACK TO SAVEPOINT received"))
            time.sleep(random.SystemRandom().uniform(0.02, 0.1) * 2**attempt)
    raise AssertionError("unreachable: the last try returns or raises")


def _once(erasure: Erasure) -> list[Receipt]:
    erasure.gather(lock=True)
    erasure.ctx.check()
    with erasure.ctx.guard() as guard:
        receipts = erasure.decide(guard.table)
        erasure.carry_out()
        _commit(erasure.session, guard, receipts)
    return receipts


def _commit(session: Session, guard: Guard, receipts: Sequence[Receipt]) -> None:
    guard.intend(receipts)
    session.commit()
