"""Changing decided rows: masks put in place, rows erased, counts taken, surprises refused.

In: per collection a temporary table of keys with the number of the rule that decides each row
(made by an erasure or a sweep). Out: changed rows in the same transaction, and counts per subject
and rule.

A cascade into rows that stay, or a trigger or row security that keeps a row, raises: the caller
rolls back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from psycopg2.sql import SQL, Composable, Identifier, Literal

from connectors.postgres.catalogue import Catalogue, Reference, Table
from connectors.postgres.deciding import (
    TOMBSTONE_DOMAIN,
    any_of,
    assignments,
    changed_fields,
    is_keyed,
)
from connectors.postgres.session import Session, line
from dsr_worker.contract import (
    Action,
    Mask,
    MaskKind,
    Outcome,
    OutcomeCount,
    Permanent,
    Rule,
)

_VALUES_AT_ONCE = 5000


@dataclass
class Changes:
    """The decided rows of one transaction, table by table, children first.

    `done(table)` names a temporary table of columns s, k0 and so on, rule, fields, clock.
    `pseudonym` gives the keyed pseudonym of a value of subject number s.
    """

    session: Session
    catalogue: Catalogue
    pseudonym: Callable[[int, str], str]
    rules: dict[str, tuple[Rule, ...]] = field(default_factory=dict)

    @property
    def tables(self) -> tuple[Table, ...]:
        """The decided tables, children first."""
        return tuple(t for t in self.catalogue.children_first() if t.collection.name in self.rules)

    def apply(self) -> None:
        """Mask what stays, erase what goes. Raises Permanent when a row resists."""
        self.session.run(SQL("SET CONSTRAINTS ALL DEFERRED"))
        for table in self.tables:
            self._mask(table)
        for table in self.tables:
            self._refuse_cascades(table)
            self._erase(table)
        self.session.run(SQL("SET CONSTRAINTS ALL IMMEDIATE"))

    def goes(self, table: Table, alias: str) -> Composable:
        """Whether the row `alias` is erased here."""
        if table.collection.name not in self.rules:
            return SQL("false")
        return SQL("EXISTS (SELECT FROM pg_temp.{} g WHERE {} AND {})").format(
            self.done(table), table.same_key(alias, "g"), self.with_rule(table, "g", goes)
        )

    def _mask(self, table: Table) -> None:
        for number, rule in enumerate(self.rules[table.collection.name]):
            if rule.action is not Action.MASK or not rule.masks:
                continue
            if any(map(is_keyed, rule.masks.values())):
                self._pseudonyms(table, number, rule)
            keys = SQL(", ".join(f"k{n}" for n in range(len(table.keys))))
            rows = SQL(
                "(SELECT DISTINCT ON ({keys}) * FROM pg_temp.{done}"
                " WHERE rule = {rule} AND fields > 0 ORDER BY {keys}, s)"
            ).format(keys=keys, done=self.done(table), rule=Literal(number))
            changed = self.session.run(
                SQL("UPDATE {} t SET {} FROM {} d WHERE {}").format(
                    table.sql, assignments(table, rule), rows, table.same_key("t", "d")
                )
            )
            self._agree(
                table,
                changed,
                self._count(table, SQL("rule = {} AND fields > 0").format(Literal(number))),
            )

    def _pseudonyms(self, table: Table, number: int, rule: Rule) -> None:
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
            if is_keyed(mask)
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
            new = self.pseudonym(number, value)
            if masks[f][1].kind is MaskKind.TOMBSTONE:
                new += TOMBSTONE_DOMAIN
            yield line(f, number, value, new)

    def _erase(self, table: Table) -> None:
        going = self.with_rule(table, "d", goes)
        expected = self._count(table, self.with_rule(table, "", goes))
        if not expected:
            return
        if len(table.keys) == 1:
            which = SQL("{} = ANY (ARRAY(SELECT d.k0 FROM pg_temp.{} d WHERE {}))").format(
                table.keys[0].value("t"), self.done(table), going
            )
            statement = SQL("DELETE FROM {} t WHERE {}").format(table.sql, which)
        else:
            statement = SQL("DELETE FROM {} t USING pg_temp.{} d WHERE {} AND {}").format(
                table.sql, self.done(table), going, table.same_key("t", "d")
            )
        self._agree(table, self.session.run(statement), expected)

    def _refuse_cascades(self, table: Table) -> None:
        for reference in self.catalogue.pointing_at(table):
            if reference.on_delete == "c" and self._reaches(table, reference):
                raise Permanent(
                    f"{table.collection.name}: ON DELETE CASCADE of {reference.name} would reach"
                    f" rows of {reference.table} outside the plan; nothing was changed"
                )

    def _reaches(self, table: Table, reference: Reference) -> bool:
        """Whether a cascade would take rows that this batch does not erase itself."""
        pointing = SQL(" AND ").join(
            SQL("x.{} = t.{}").format(Identifier(ours), Identifier(theirs))
            for ours, theirs in zip(reference.columns, reference.target_columns, strict=True)
        )
        planned = [
            self.goes(other, "x") for other in self.catalogue.at(reference.schema, reference.table)
        ]
        query = SQL(
            "SELECT EXISTS (SELECT FROM {source} x JOIN {table} t ON {pointing}"
            " JOIN pg_temp.{done} d ON {same} WHERE {going} AND NOT {planned})"
        ).format(
            source=Identifier(reference.schema, reference.table),
            table=table.sql,
            pointing=pointing,
            done=self.done(table),
            same=table.same_key("t", "d"),
            going=self.with_rule(table, "d", goes),
            planned=any_of(planned),
        )
        return bool(self.session.rows(query)[0][0])

    def _agree(self, table: Table, changed: int, expected: int) -> None:
        if changed != expected:
            raise Permanent(
                f"{table.collection.name}: {expected - changed} of {expected} rows resisted (row"
                " security, a trigger, or a rule keeps them); nothing was changed"
            )

    def _count(self, table: Table, condition: Composable) -> int:
        keys = SQL(", ".join(f"k{n}" for n in range(len(table.keys))))
        query = SQL("SELECT count(*) FROM (SELECT DISTINCT {} FROM pg_temp.{} WHERE {}) k").format(
            keys, self.done(table), condition
        )
        return int(self.session.rows(query)[0][0])

    def counts(self, table: Table) -> Iterator[tuple[int, OutcomeCount]]:
        """Per subject and rule, what becomes of the rows."""
        rules = self.rules[table.collection.name]
        query = SQL(
            "SELECT json_build_array(s, rule, count(*), sum(fields), {}, {})::text FROM pg_temp.{}"
            " GROUP BY s, rule ORDER BY s, rule"
        ).format(*clock_range("clock"), self.done(table))
        for number, rule, *counted in self.session.arrays(query):
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
    """The newest and the oldest instant of a group as text, in UTC."""
    newest, oldest = (
        SQL("to_char({}({}) FILTER (WHERE isfinite({})), {})").format(
            SQL(end),
            Identifier(column),
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
    masked = rule.action is Action.MASK and bool(rule.masks)
    outcome = Outcome.MASKED if masked else Outcome.RETAINED
    if goes(rule):
        outcome = Outcome.ERASED
    return OutcomeCount(outcome, rows, fields, rule.ground, _instant(latest), _instant(earliest))


def _instant(told: str | None) -> datetime | None:
    return datetime.fromisoformat(told).replace(tzinfo=UTC) if told else None
