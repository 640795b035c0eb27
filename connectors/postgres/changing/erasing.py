"""Applying decision tables to located rows: one transaction for the batch, all of it or nothing.

In: located keys, the guard's tables. Out: receipts that add up to the keys. The keys go into a
temporary table; the rows still there are locked. Each row's first matching rule is written beside
it, children first, so that a parent knows which children stay; what is somebody else's by now stays
as it is, and what a staying row refers to is spared as well; then rows go or are masked. Putting
right (`rectifying`) and restricting (`restricting`) differ in what is done then, `carrying` says
when all this happens.

What would reach beyond the plan (a cascade into other rows, a trigger that keeps a row, or erases
others) rolls everything back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from psycopg2.sql import SQL, Composable, Identifier, Literal

from connectors.postgres.changing import ambiguous, owning, plain, rewriting, sparing
from connectors.postgres.changing.applying import Changes, changes, goes
from connectors.postgres.changing.deciding import FALSE, Rules, any_of, by_rule, clock
from connectors.postgres.changing.sparing import PROTECTING
from connectors.postgres.server.catalogue import Catalogue, Table
from connectors.postgres.server.session import Session, typed_cells
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

_KEYS_BETWEEN_CHECKS = 5000


@dataclass
class Erasure:
    """One batch in one transaction: receive the keys, gather the rows, decide, carry out."""

    session: Session
    catalogue: Catalogue
    subjects: Sequence[Subject]
    ctx: Context
    located: Counter[tuple[str, int]] = field(default_factory=Counter)
    tables: dict[str, DecisionTable] = field(default_factory=dict)
    touched: tuple[Table, ...] = ()  # the tables with located keys, children first
    erases: ClassVar = True  # whether rows may go at all
    _parts: int = 0  # of the longest key
    _anothers: set[str] = field(default_factory=set)  # collections with rows of somebody else

    def __post_init__(self) -> None:
        self._numbers = {name: n for n, name in enumerate(self.catalogue.tables)}
        self.names = owning.Names(self.catalogue.system, self.subjects, self.ctx)
        self._rules = Rules(self.session, self.catalogue, self.ctx, self._stays, self._held)
        self.changes = Changes(self.session, self.catalogue, self._pseudonym, self._protected)

    def _pseudonym(self, number: int, value: str) -> str:
        return self.ctx.pseudonym(self.subjects[number].ref, value)

    def receive(self, keys: Iterable[Key]) -> None:
        """Take the located keys; one that comes twice for a subject counts once in the end."""
        parts = max(len(t.keys) for t in self.catalogue.tables.values())
        columns = ", ".join(f"v{n} text, n{n} int8, u{n} uuid" for n in range(parts))
        self.session.run(
            SQL("CREATE TEMP TABLE dsr_key (c int4, s int4, {}) ON COMMIT DROP").format(
                SQL(columns)
            )
        )
        self.session.fill(Identifier("dsr_key"), self._lines(keys, parts))
        self.session.run(SQL("ANALYZE pg_temp.dsr_key (c, s)"))
        self._parts = parts
        found = {name for name, _ in self.located}
        self.touched = tuple(
            t for t in self.catalogue.children_first() if t.collection.name in found
        )

    def count_once(self) -> None:
        """Count a key that came twice for a subject once."""
        names = list(self.catalogue.tables)
        values = ", ".join(f"v{n}" for n in range(self._parts))
        query = SQL(
            "SELECT c, s, count(*) FROM (SELECT DISTINCT c, s, {} FROM pg_temp.dsr_key) k"
            " GROUP BY c, s"
        ).format(SQL(values))
        self.located = Counter({(names[c], s): rows for c, s, rows in self.session.rows(query)})

    def _lines(self, keys: Iterable[Key], parts: int) -> Iterator[bytes]:
        subjects = {subject.ref: n for n, subject in enumerate(self.subjects)}
        lengths = {name: len(table.keys) for name, table in self.catalogue.tables.items()}
        rests = {name: "\t\\N" * (parts - length) * 3 for name, length in lengths.items()}
        for count, key in enumerate(keys, 1):
            if count % _KEYS_BETWEEN_CHECKS == 0:
                self.ctx.check()
            name, subject = key.collection, subjects.get(key.subject_ref)
            if subject is None or len(key.key) != lengths.get(name):
                raise Permanent(f"a located key does not fit collection {name}")
            if None in key.key:
                raise Permanent(
                    f"{name}: the key of a located row is null, so that it names no row;"
                    " map a key of NOT NULL columns"
                )
            self.located[name, subject] += 1
            cells = "\t".join(map(typed_cells, key.key))
            yield f"{self._numbers[name]}\t{subject}\t{cells}{rests[name]}\n".encode()

    def gather(self, *, lock: bool) -> None:
        """Find the rows that are still there, and lock them unless this is a dry run.

        Beside each stands what a rule that is the only one says of it, and, where the row is locked
        and an address names one row, its address.
        """
        self.count_once()
        for table in self.touched:
            row, moved = self._row(table), self._moved(table)
            addressed = lock and not table.split and moved is None
            there = self._there(table, lock=lock, addressed=addressed)
            self.session.run(SQL("CREATE TEMP TABLE {} ON COMMIT DROP AS {}").format(row, there))
            if moved is not None:
                there = self._there(moved, lock=lock, addressed=False)
                self.session.run(SQL("INSERT INTO pg_temp.{} {}").format(row, there))
            if addressed:
                self.changes.addressed.add(table.collection.name)

    def _there(self, table: Table, *, lock: bool, addressed: bool) -> Composable:
        """The keys of the located rows that are still in a table, with their subjects."""
        return SQL(
            "SELECT k.s, {keys}{address}, 0 AS rule, 0 AS fields, NULL::timestamptz AS clock"
            " FROM {wanted} k JOIN {table} t ON {match} {lock}"
        ).format(
            keys=table.key_columns("t"),
            address=SQL(", t.ctid AS address" if addressed else ""),
            wanted=self.wanted(table),
            table=table.sql,
            match=SQL(" AND ").join(p.equals_part("t", "k", n) for n, p in enumerate(table.keys)),
            lock=SQL("FOR UPDATE OF t" if lock else ""),
        )

    def wanted(self, table: Table) -> Composable:
        """The located keys of a collection, each once a subject: s and the compared columns."""
        return SQL("(SELECT DISTINCT s, {} FROM pg_temp.dsr_key WHERE c = {})").format(
            SQL(", ").join(self.parts(table)), Literal(self._numbers[table.collection.name])
        )

    def parts(self, table: Table) -> list[Composable]:
        """The columns by which located keys are compared."""
        return [Identifier(f"{place.compared}{n}") for n, place in enumerate(table.keys)]

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
        self._mark_anothers()
        for table in self.touched:
            self._refuse_ambiguous(table)
            self._decide(table)
        self._settle()
        return self._receipts()

    def refuse_rewriting(self) -> None:
        """Raise Configuration where rules of the schema would rewrite what is to be done.

        Likewise where a row may be of two collections, or of several owners.
        """
        ambiguous.refuse(self.session, self.catalogue, self.touched)
        rewriting.refuse(self.session, self.catalogue, self.touched)

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

    def _refuse_ambiguous(self, table: Table) -> None:
        """A key that names two rows says of neither whose it is."""
        if self._moved(table) is not None or (
            not table.split and table.unique(place.column.name for place in table.keys)
        ):
            return
        keys = SQL(", ".join(f"k{n}" for n in range(len(table.keys))))
        query = SQL(
            "SELECT count(*), coalesce(sum(rows), 0) FROM"
            " (SELECT max(rows) AS rows FROM (SELECT {keys}, count(*) AS rows FROM pg_temp.{row}"
            " GROUP BY s, {keys}) r GROUP BY {keys}) k"
        ).format(keys=keys, row=self._row(table))
        ((named, rows),) = self.session.rows(query)
        self.changes.agree(table, int(rows), named)

    def _decide(self, table: Table) -> None:
        rules = self.tables[table.collection.name].rules
        row, done = self._row(table), self.changes.done(table)
        anothers = table.collection.name in self._anothers
        if plain.is_settled(rules) and not anothers:
            self.session.run(SQL("ALTER TABLE pg_temp.{} RENAME TO {}").format(row, done))
        else:
            self._judge(table)
            self._ready(table, done, "s, rule")
        if anothers:
            self._leave_alone(table, len(rules))
            rules = (*rules, owning.LEFT_ALONE)
        self.changes.rules[table.collection.name] = rules

    def _mark_anothers(self) -> None:
        """Say beside each located row whether it is somebody else's by now, parents first."""
        self._anothers.clear()
        for table in reversed(self.touched):
            self._ready(table, self._row(table), "s, rule")
            tables = [t for t in (table, self._moved(table)) if t is not None]
            if owning.mark(self.session, self.names, tables, self._row(table), self._named):
                self._anothers.add(table.collection.name)

    def _named(self, table: Table) -> Composable:
        """Whom a row `t` names beside its located row `r`."""
        return owning.told(self.catalogue, table, "t", SQL("r.s"), self._rows_of_anothers)

    def _rows_of_anothers(self, table: Table) -> Identifier | None:
        return self._row(table) if table.collection.name in self._anothers else None

    def _leave_alone(self, table: Table, rule: int) -> None:
        """What is somebody else's by now stays as it is."""
        row, done = self._row(table), self.changes.done(table)
        self.session.run(
            SQL(
                "UPDATE pg_temp.{} d SET rule = {}, fields = 0, clock = NULL FROM pg_temp.{} r"
                " WHERE r.rule = {} AND r.s = d.s AND {}"
            ).format(
                done, Literal(rule), row, Literal(owning.ANOTHERS), table.same_key_columns("r", "d")
            )
        )

    def _judge(self, table: Table) -> None:
        done = self.changes.done(table)
        self.session.run(
            SQL("CREATE TEMP TABLE {} ON COMMIT DROP AS {}").format(done, self._judged(table))
        )
        if (moved := self._moved(table)) is not None:
            self.session.run(SQL("INSERT INTO pg_temp.{} {}").format(done, self._judged(moved)))

    def _judged(self, table: Table) -> Composable:
        rules = self.tables[table.collection.name].rules
        keys = SQL(", ").join(
            SQL("r.{}").format(Identifier(f"k{n}")) for n in range(len(table.keys))
        )
        addressed = table.collection.name in self.changes.addressed
        return SQL(
            "SELECT r.s, {keys}{address}, d.rule, {fields} AS fields, {clock} AS clock"
            " FROM pg_temp.{row} r JOIN {table} t ON {same}"
            " CROSS JOIN LATERAL (SELECT {rule} AS rule) d"
        ).format(
            keys=keys,
            address=SQL(", r.address" if addressed else ""),
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
            name = table.collection.name
            for number, count in self.changes.counts(table):
                counts.setdefault((name, number), []).append(count)
            for number, digest in self._kept(table):
                kept.setdefault((name, number), set()).add(digest)
        return self._accounted(counts, kept)

    def receipts_of(self, erased: plain.Counts, guard: Guard) -> list[Receipt]:
        """The receipts where so many rows went, each by its table's only rule."""
        grounds = {
            t.collection.name: guard.table(t.collection.name).rules[0].ground for t in self.touched
        }
        counts = {
            (name, number): [OutcomeCount(Outcome.ERASED, rows, ground=grounds[name])]
            for (name, number), rows in erased.items()
        }
        return self._accounted(counts, {})

    def _accounted(
        self,
        counts: Mapping[tuple[str, int], list[OutcomeCount]],
        kept: Mapping[tuple[str, int], set[str]],
    ) -> list[Receipt]:
        return [
            Receipt(
                subject.ref,
                name,
                _outcomes(counts.get((name, number), []), self.located[name, number]),
                frozenset(kept.get((name, number), ())),
            )
            for number, subject in enumerate(self.subjects)
            for name in self.catalogue.tables
        ]

    def _kept(self, table: Table) -> Iterator[tuple[int, str]]:
        if all(map(goes, self.changes.rules[table.collection.name])):
            return
        staying = self.changes.with_rule(table, "d", lambda rule: not goes(rule))
        parts = SQL(", ".join(f"d.k{n}::text" for n in range(len(table.keys))))
        query = SQL("SELECT json_build_array(d.s, {})::text FROM pg_temp.{} d WHERE {}").format(
            parts, self.changes.done(table), staying
        )
        for number, *key in self.session.arrays(query):
            yield number, self.ctx.digest(table.collection.name, key)

    def _row(self, table: Table) -> Identifier:
        return Identifier(f"dsr_row_{self._numbers[table.collection.name]}")


def _outcomes(counted: list[OutcomeCount], located: int) -> tuple[OutcomeCount, ...]:
    """The outcomes of a receipt, which add up to the rows located."""
    gone = located - sum(outcome.rows for outcome in counted)
    if gone:
        counted.append(OutcomeCount(Outcome.ALREADY_GONE, gone))
    return tuple(counted) or (OutcomeCount(Outcome.ABSENT, 0),)
