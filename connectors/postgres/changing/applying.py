"""Changing decided rows: masks put in place, rows erased, counts taken, surprises refused.

In: per collection a temporary table of keys with the number of the rule that decides each row
(made by an erasure or a sweep). Out: changed rows in the same transaction, and counts per subject
and rule.

What would reach rows outside the plan, a row that resists, and a mask that does not stay in place
raise: the caller rolls back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial

from psycopg2.sql import SQL, Composable, Identifier, Literal

from connectors.postgres.changing import attempting, large, referring
from connectors.postgres.changing.deciding import (
    FIRST_INSTANT,
    LAST_INSTANT,
    assignments,
    changed_fields,
    is_computed,
)
from connectors.postgres.server.catalogue import Catalogue, Table
from connectors.postgres.server.session import Session, line
from dsr_worker.contract import (
    Action,
    Mask,
    Outcome,
    OutcomeCount,
    Permanent,
    Rule,
)

_VALUES_AT_ONCE = 5000
_OUTCOMES = {
    Action.KEEP: Outcome.RETAINED,
    Action.MASK: Outcome.MASKED,
    Action.ERASE: Outcome.ERASED,
    Action.RECTIFY: Outcome.RECTIFIED,
    Action.RESTRICT: Outcome.RESTRICTED,
    Action.LIFT: Outcome.LIFTED,
}


@dataclass
class Changes:
    """The decided rows of one transaction, table by table, children first.

    `done(table)` names a temporary table of columns s, k0 and so on, rule, fields, clock.
    `pseudonym` gives the keyed pseudonym of a value of subject number s; `protected(table, alias)`
    says in SQL whether a hold or a minimum protects a row, whoever it belongs to; None: none does.
    """

    session: Session
    catalogue: Catalogue
    pseudonym: Callable[[int, str], str]
    protected: Callable[[Table, str], Composable | None] = lambda _table, _alias: None
    rules: dict[str, tuple[Rule, ...]] = field(default_factory=dict)
    addressed: set[str] = field(default_factory=set)  # collections whose locked rows' ctid is noted
    going: Counter[tuple[str, str]] = field(default_factory=Counter)  # rows by schema and table

    @property
    def tables(self) -> tuple[Table, ...]:
        """The decided tables, children first."""
        return tuple(t for t in self.catalogue.children_first() if t.collection.name in self.rules)

    def apply(self) -> None:
        """Mask what stays, erase what goes. Raises Permanent when a row resists.

        Masks of columns that refer come first, for then what they referred to may go; all others
        come last, for then nothing that goes still refers to what they replace.
        """
        self.session.run(SQL("SET CONSTRAINTS ALL DEFERRED"))
        large.note(self)
        for table in self.tables:
            for number, rule in self._masking(table, referring=True):
                referring.refuse_updates(self, table, number, rule)
                self._mask(table, number, rule)
        for group in self.catalogue.groups():
            going = [table for table in group if table.collection.name in self.rules]
            for table in going:
                referring.refuse_deletes(self, table)
            self._erase(going)
        for table in self.tables:
            for number, rule in self._masking(table, referring=False):
                referring.refuse_updates(self, table, number, rule)
                self._mask(table, number, rule)
        large.unlink(self)
        attempting.carried_out(self.session, SQL("SET CONSTRAINTS ALL IMMEDIATE"))
        for table in self.tables:
            self._confirm(table)

    def goes(self, table: Table, alias: str) -> Composable:
        """Whether the row `alias` is erased here."""
        if table.collection.name not in self.rules:
            return SQL("false")
        return SQL("EXISTS (SELECT FROM pg_temp.{} g WHERE {} AND {})").format(
            self.done(table), table.same_key(alias, "g"), self.with_rule(table, "g", goes)
        )

    def _masking(
        self, table: Table, *, referring: bool | None = None
    ) -> Iterator[tuple[int, Rule]]:
        """The masking rules with all their masks, or with those of columns that refer, or not."""
        refers = self.catalogue.referring(table)
        for number, rule in enumerate(self.rules[table.collection.name]):
            masks = {
                name: mask
                for name, mask in rule.masks.items()
                if referring in {None, table.place(name).column.name in refers}
            }
            if rule.action is Action.MASK and masks:
                yield number, replace(rule, masks=masks)

    def _mask(self, table: Table, number: int, rule: Rule) -> None:
        if any(map(is_computed, rule.masks.values())):
            self._compute(table, number, rule)
        keys = SQL(", ".join(f"k{n}" for n in range(len(table.keys))))
        rows = SQL(
            "(SELECT DISTINCT ON ({keys}) * FROM pg_temp.{done}"
            " WHERE rule = {rule} AND fields > 0 ORDER BY {keys}, s)"
        ).format(keys=keys, done=self.done(table), rule=Literal(number))
        changed = attempting.carried_out(
            self.session,
            SQL("UPDATE {} t SET {} FROM {} d WHERE {}").format(
                table.sql, assignments(table, rule), rows, table.same_key("t", "d")
            ),
        )
        expected = SQL("rule = {} AND fields > 0").format(Literal(number))
        self.agree(table, changed, self.count(table, expected))

    def _confirm(self, table: Table) -> None:
        """A trigger may put back, in silence, what a mask replaced."""
        for number, rule in self._masking(table):
            left = SQL(
                "SELECT EXISTS (SELECT FROM pg_temp.{} d JOIN {} t ON {}"
                " WHERE d.rule = {} AND {} > 0)"
            ).format(
                self.done(table),
                table.sql,
                table.same_key("t", "d"),
                Literal(number),
                changed_fields(table, rule) or Literal(0),
            )
            if self.session.rows(left)[0][0]:
                raise Permanent(
                    f"{table.collection.name}: masks did not stay in place; look for a trigger that"
                    " writes the columns back or alters them; nothing was changed"
                )

    def _compute(self, table: Table, number: int, rule: Rule) -> None:
        """Fill `dsr_mask` with what replaces each value, a part at a time."""
        self.session.run(SQL("DROP TABLE IF EXISTS pg_temp.dsr_mask"))
        self.session.run(
            SQL("CREATE TEMP TABLE dsr_mask (f int4, s int4, v text, new text) ON COMMIT DROP")
        )
        masks = list(rule.masks.items())
        selects = [
            SQL(
                "SELECT DISTINCT {f}, d.s, {value} FROM pg_temp.{done} d JOIN {table} t ON {same}"
                " WHERE d.rule = {rule} AND d.fields > 0 AND {value} IS NOT NULL"
            ).format(
                f=Literal(f),
                value=table.place(name).text("t"),
                done=self.done(table),
                table=table.sql,
                same=table.same_key("t", "d"),
                rule=Literal(number),
            )
            for f, (name, mask) in enumerate(masks)
            if is_computed(mask)
        ]
        self.session.run(
            SQL("DECLARE dsr_values NO SCROLL CURSOR FOR {}").format(
                SQL(" UNION ALL ").join(selects)
            )
        )
        fetch = SQL("FETCH {} FROM dsr_values").format(Literal(_VALUES_AT_ONCE))
        while values := self.session.rows(fetch):
            self.session.fill(Identifier("dsr_mask"), self._replacing(masks, values))
        self.session.run(SQL("CLOSE dsr_values"))
        self.session.run(SQL("CREATE INDEX ON pg_temp.dsr_mask (s, f)"))

    def _replacing(
        self, masks: Sequence[tuple[str, Mask]], values: Iterable[tuple[int, int, str]]
    ) -> Iterator[bytes]:
        for f, number, value in values:
            new = masks[f][1].replaced(value, partial(self.pseudonym, number))
            yield line(f, number, value, new)

    def _erase(self, group: Sequence[Table]) -> None:
        """Erase what goes of tables that refer to each other, in one statement.

        References are tested when a statement ends, so that those between rows that it erases
        itself, in a circle too, are no obstacle.
        """
        expected = [(t, self.count(t, self.with_rule(t, "", goes))) for t in group]
        going = [(table, rows) for table, rows in expected if rows]
        for table, rows in going:
            self.going[table.schema, table.name] += rows
        if len(going) == 1:
            table, rows = going[0]
            self.agree(table, self._erased(table, rows), rows)
        elif going:
            parts = SQL(", ").join(
                SQL("{} AS ({} RETURNING 1)").format(self.done(table), self._deletion(table))
                for table, _ in going
            )
            counts = SQL(", ").join(
                SQL("(SELECT count(*) FROM {})").format(self.done(table)) for table, _ in going
            )
            query = SQL("WITH {} SELECT json_build_array({})").format(parts, counts)
            erased = attempting.told(self.session, query)
            for (table, rows), changed in zip(going, erased, strict=True):
                self.agree(table, changed, rows)

    def _erased(self, table: Table, rows: int) -> int:
        """Erase by address, and by key what a trigger has moved since it was locked."""
        erased = 0
        if table.collection.name in self.addressed:
            erased = attempting.carried_out(
                self.session,
                SQL(
                    "DELETE FROM {} t WHERE t.ctid = ANY"
                    " (ARRAY(SELECT d.address FROM pg_temp.{} d WHERE {}))"
                ).format(table.sql, self.done(table), self.with_rule(table, "d", goes)),
            )
        if erased < rows:
            erased += attempting.carried_out(self.session, self._deletion(table))
        return erased

    def _deletion(self, table: Table) -> Composable:
        going = self.with_rule(table, "d", goes)
        if len(table.keys) == 1:
            return SQL(
                "DELETE FROM {} t WHERE {} = ANY (ARRAY(SELECT d.k0 FROM pg_temp.{} d WHERE {}))"
            ).format(table.sql, table.keys[0].value("t"), self.done(table), going)
        return SQL("DELETE FROM {} t USING pg_temp.{} d WHERE {} AND {}").format(
            table.sql, self.done(table), going, table.same_key("t", "d")
        )

    def agree(self, table: Table, changed: int, expected: int) -> None:
        """Raise Permanent where a statement touched more rows or fewer than were decided."""
        if changed < expected:
            raise Permanent(
                f"{table.collection.name}: {expected - changed} of {expected} rows resisted (row"
                " security, a trigger, or a rule keeps them); nothing was changed"
            )
        if changed > expected:
            raise Permanent(
                f"{table.collection.name}: {expected} keys name {changed} rows (tables that inherit"
                " from one another share no unique key); nothing was changed"
            )

    def count(self, table: Table, condition: Composable) -> int:
        """How many distinct rows were decided so."""
        keys = SQL(", ".join(f"k{n}" for n in range(len(table.keys))))
        query = SQL("SELECT count(*) FROM (SELECT DISTINCT {} FROM pg_temp.{} WHERE {}) k").format(
            keys, self.done(table), condition
        )
        return int(self.session.rows(query)[0][0])

    def counts(self, table: Table) -> Iterator[tuple[int, OutcomeCount]]:
        """Per subject and rule, what becomes of the rows."""
        rules = self.rules[table.collection.name]
        query = SQL(
            "SELECT s, rule, count(*), sum(fields), {}, {} FROM pg_temp.{} GROUP BY s, rule"
            " ORDER BY s, rule"
        ).format(*clock_range("clock"), self.done(table))
        for number, rule, *counted in self.session.rows(query):
            yield number, outcome_count(rules[rule], *counted)

    def with_rule(self, table: Table, alias: str, test: Callable[[Rule], bool]) -> Composable:
        """Whether a row's rule passes `test`."""
        rules = self.rules[table.collection.name]
        passing = [n for n, rule in enumerate(rules) if test(rule)]
        column = Identifier(alias, "rule") if alias else Identifier("rule")
        return SQL("{} = ANY ({}::int4[])").format(column, Literal(passing))

    def done(self, table: Table) -> Identifier:
        """The name of the table that holds a collection's decided rows."""
        return Identifier(f"dsr_done_{list(self.catalogue.tables).index(table.collection.name)}")


def goes(rule: Rule) -> bool:
    """Whether the rule erases its rows."""
    return rule.action is Action.ERASE


def changes(table: Table, rule: Rule) -> Composable | None:
    """How many values the rule changes in a row `t`."""
    return changed_fields(table, rule) if rule.action is Action.MASK else None


def clock_range(column: str) -> tuple[Composable, Composable]:
    """The newest and the oldest instant of a group as text, in UTC.

    What lies beyond the years 1 to 9999 is told as the first or last instant within them.
    """
    newest, oldest = (
        SQL(
            "to_char({}(least(greatest({}, {}::timestamptz), {}::timestamptz))"
            " FILTER (WHERE isfinite({})), {})"
        ).format(
            SQL(end),
            Identifier(column),
            Literal(FIRST_INSTANT),
            Literal(LAST_INSTANT),
            Identifier(column),
            Literal('YYYY-MM-DD"T"HH24:MI:SS.US'),
        )
        for end in ("max", "min")
    )
    return newest, oldest


def outcome_count(
    rule: Rule, rows: int, fields: int, latest: str | None, earliest: str | None
) -> OutcomeCount:
    """What a rule did to so many rows; the ends of `clock_range`."""
    masked = rule.action is not Action.MASK or bool(rule.masks)
    outcome = _OUTCOMES[rule.action] if masked else Outcome.RETAINED
    return OutcomeCount(outcome, rows, fields, rule.ground, _instant(latest), _instant(earliest))


def _instant(told: str | None) -> datetime | None:
    return datetime.fromisoformat(told).replace(tzinfo=UTC) if told else None
