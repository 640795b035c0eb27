"""Retention sweeps: rows past their limit go in short transactions, each decided anew.

In: sweep orders. Out: receipts, one per committed part and collection. A part takes the oldest
due rows by address, tests them again as it locks them, and takes along the rows that hang below
them. A row whose child has to stay (held, or inside a minimum) stays too, or is masked where its
table says so.

Parts are sized by time: a part that took longer than the target makes the next one smaller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from psycopg2.sql import SQL, Composable, Identifier, Literal

from connectors.postgres.catalogue import Catalogue, Table
from connectors.postgres.changing import Changes, changes, clock_range, goes, outcome_count
from connectors.postgres.columns import named_columns
from connectors.postgres.deciding import FALSE, TRUE, Rules, any_of, by_rule, clock, refers
from connectors.postgres.session import Session
from dsr_worker.contract import (
    Action,
    Always,
    Before,
    Context,
    DecisionTable,
    NeededByKept,
    NeedsHuman,
    Outcome,
    OutcomeCount,
    Receipt,
    Rule,
    SweepOrder,
)

_STAY = frozenset({"hold", "minimum", "needed"})
_ALONG = Rule("default", Always(), Action.ERASE)
_NEEDED = "needed_by_kept"


@dataclass
class Part:
    """The rules of one order within one transaction, as some source of tables gives them."""

    session: Session
    catalogue: Catalogue
    ctx: Context
    order: SweepOrder
    orders: Sequence[SweepOrder]
    tables: Callable[[str], DecisionTable]

    def __post_init__(self) -> None:
        self.table = self.catalogue.table(self.order.collection)
        self._rules = Rules(
            self.session,
            self.catalogue,
            self.ctx,
            self._stays,
            held=lambda _table, _when, _alias: FALSE,
            mark=self.order.collection,
        )
        below = (self.table, *self._below(self.table))
        self._current = {t.collection.name: self.tables(t.collection.name) for t in below}
        ordered = {o.collection: o.table for o in self.orders}
        self._staying = {
            name: tuple(
                r
                for r in (*table.rules, *(ordered[name].rules if name in ordered else ()))
                if r.code in _STAY
            )
            for name, table in self._current.items()
        }
        self.rules = self._effective()
        loaded = {name: DecisionTable(name, rules) for name, rules in self._staying.items()} | {
            f"{self.order.collection} itself": DecisionTable("", self.rules)
        }
        self._rules.load(loaded)

    def _effective(self) -> tuple[Rule, ...]:
        """What protects a row at this moment, staying children among it, then the order."""
        children = tuple(c.name for c in self.catalogue.children.get(self.order.collection, ()))
        rules = list(self.order.table.rules)
        protecting = [
            r
            for r in self._current[self.order.collection].rules
            if r.code in {"hold", "minimum"} and r not in rules
        ]
        first = next((n for n, r in enumerate(rules) if goes(r)), len(rules))
        known = any(isinstance(r.when, NeededByKept) for r in rules[:first])
        if children and not known:
            rules.insert(first, Rule("needed", NeededByKept(children), Action.KEEP, _NEEDED))
        return (*protecting, *rules)

    def _below(self, table: Table) -> Iterator[Table]:
        for child in self.catalogue.children.get(table.collection.name, ()):
            yield self.catalogue.table(child.name)
            yield from self._below(self.catalogue.table(child.name))

    def _stays(self, child: Table, alias: str) -> Composable:
        """Whether a child's row may not go with its parent."""
        tests = [
            self._rules.matches(child, rule, alias) for rule in self._staying[child.collection.name]
        ]
        below = tuple(c.name for c in self.catalogue.children.get(child.collection.name, ()))
        return any_of([*tests, self._rules.needed(child, below, alias)])

    # ---- which rows

    def count(self, most: int | None = None) -> int:
        """How many rows the order would change, counting no further than `most`."""
        limit = SQL("LIMIT {}").format(Literal(most)) if most is not None else SQL("")
        query = SQL("SELECT count(*) FROM (SELECT FROM {} t WHERE {} {}) r").format(
            self.table.sql, self.due(), limit
        )
        return int(self.session.rows(query)[0][0])

    def _deciding(self) -> Composable:
        return self._rules.deciding(self.table, self.rules, "t")

    def _fields(self) -> Composable:
        return by_rule(self.rules, self._changed, SQL("0"))

    def _changed(self, rule: Rule) -> Composable | None:
        return changes(self.table, rule)

    def due(self) -> Composable:
        """Whether the order changes the row `t`: it goes, or a mask is not yet in place."""
        masking = [n for n, rule in enumerate(self.rules) if rule.action is Action.MASK]
        erasing = [n for n, rule in enumerate(self.rules) if goes(rule)]
        return SQL(
            "({bound}) AND EXISTS (SELECT FROM (SELECT {rule} AS rule) d WHERE"
            " d.rule = ANY ({erasing}::int4[])"
            " OR d.rule = ANY ({masking}::int4[]) AND {fields} > 0)"
        ).format(
            bound=self._bound(),
            rule=self._deciding(),
            erasing=Literal(erasing),
            masking=Literal(masking),
            fields=self._fields(),
        )

    def _limits(self) -> list[Rule]:
        return [r for r in self.rules if r.action is not Action.KEEP and r.code != "needed"]

    def _bound(self) -> Composable:
        """A plain test of the clock for an index to serve; the rules themselves imply it."""
        limits = self._limits()
        if not limits or not all(isinstance(rule.when, Before) for rule in limits):
            return TRUE
        return any_of([self._rules.matches(self.table, rule, "t") for rule in limits])

    def _oldest_first(self) -> Composable:
        clocks = [rule.when.field for rule in self._limits() if isinstance(rule.when, Before)]
        places = [self.table.place(clocks[0])] if clocks else list(self.table.keys)
        return SQL(", ").join(place.value("t") for place in places)

    # ---- changing a part

    def apply(self, rows: int) -> tuple[Receipt, ...]:
        """Change up to `rows` of the oldest due rows and what hangs below; not yet committed."""
        changing = Changes(self.session, self.catalogue, self._pseudonym)
        if not self._pick(changing, rows):
            return ()
        self._take_along(changing, self.table)
        changing.apply()
        return tuple(
            Receipt(None, table.collection.name, tuple(count for _, count in counted))
            for table in changing.tables
            if (counted := list(changing.counts(table)))
        )

    def _pseudonym(self, number: int, value: str) -> str:
        return self.ctx.pseudonym(self.order.collection, value)

    def _pick(self, changing: Changes, rows: int) -> int:
        address = "(t.tableoid, t.ctid) IN (" if self.table.split else "t.ctid = ANY (ARRAY("
        chosen = "t.tableoid, t.ctid" if self.table.split else "t.ctid"
        statement = SQL(
            "CREATE TEMP TABLE {done} ON COMMIT DROP AS"
            " SELECT 0 AS s, {keys}, d.rule, {fields} AS fields, {clock} AS clock"
            " FROM {table} t CROSS JOIN LATERAL (SELECT {rule} AS rule) d"
            " WHERE {address} SELECT {chosen} FROM {table} t WHERE {due} ORDER BY {oldest}"
            " LIMIT {rows} {closed} AND {due} FOR UPDATE OF t"
        ).format(
            done=changing.done(self.table),
            keys=self.table.key_columns("t"),
            fields=self._fields(),
            clock=by_rule(self.rules, self._clock, SQL("NULL::timestamptz")),
            table=self.table.sql,
            rule=self._deciding(),
            address=SQL(address),
            chosen=SQL(chosen),
            due=self.due(),
            oldest=self._oldest_first(),
            rows=Literal(rows),
            closed=SQL(")" if self.table.split else "))"),
        )
        changing.rules[self.table.collection.name] = self.rules
        return self.session.run(statement)

    def _clock(self, rule: Rule) -> Composable | None:
        return clock(self.table, rule)

    def _take_along(self, changing: Changes, above: Table) -> None:
        """Gather the rows below those that go, level by level."""
        for collection in self.catalogue.children.get(above.collection.name, ()):
            child = self.catalogue.table(collection.name)
            self.session.run(
                SQL(
                    "CREATE TEMP TABLE {done} ON COMMIT DROP AS SELECT 0 AS s, {keys}, 0 AS rule,"
                    " 0 AS fields, NULL::timestamptz AS clock FROM {child} t"
                    " JOIN {above} p ON {refers} JOIN pg_temp.{going} d ON {same} WHERE {goes}"
                    " FOR UPDATE OF t"
                ).format(
                    done=changing.done(child),
                    keys=child.key_columns("t"),
                    child=child.sql,
                    above=above.sql,
                    refers=refers(child, "t", above, "p"),
                    going=changing.done(above),
                    same=above.same_key("p", "d"),
                    goes=changing.with_rule(above, "d", goes),
                )
            )
            changing.rules[child.collection.name] = (_ALONG,)
            self._take_along(changing, child)

    # ---- counting only

    def preview(self, parts: Mapping[str, Part]) -> Iterator[Receipt]:
        """What the order would change, and what goes along, by outcome."""
        counted = self._by_rule(kept=False)
        if counted:
            yield Receipt(None, self.table.collection.name, counted)
        chosen = SQL("{} AND {}").format(self.due(), self._erased())
        yield from self._along(self.table, "t", chosen, parts)

    def kept(self) -> Iterator[Receipt]:
        """What stays, by ground."""
        counted = self._by_rule(kept=True)
        if counted:
            yield Receipt(None, self.table.collection.name, counted)

    def _erased(self) -> Composable:
        erasing = [n for n, rule in enumerate(self.rules) if goes(rule)]
        return SQL("({}) = ANY ({}::int4[])").format(self._deciding(), Literal(erasing))

    def _by_rule(self, *, kept: bool) -> tuple[OutcomeCount, ...]:
        newest, oldest = clock_range("clock")
        query = SQL(
            "SELECT json_build_array(rule, count(*), sum(fields), {newest}, {oldest})::text FROM ("
            "SELECT d.rule, {fields} AS fields, {clock} AS clock FROM {table} t"
            " CROSS JOIN LATERAL (SELECT {rule} AS rule) d WHERE {which}) r"
            " GROUP BY rule ORDER BY rule"
        ).format(
            newest=newest,
            oldest=oldest,
            fields=self._fields(),
            clock=by_rule(self.rules, self._clock, SQL("NULL::timestamptz")),
            table=self.table.sql,
            rule=self._deciding(),
            which=SQL("({}) IS NOT TRUE").format(self.due()) if kept else self.due(),
        )
        return tuple(
            outcome_count(self.rules[rule], *counted)
            for rule, *counted in self.session.arrays(query)
            if not kept or self.rules[rule].action is Action.KEEP
        )

    def _along(
        self, above: Table, alias: str, chosen: Composable, parts: Mapping[str, Part]
    ) -> Iterator[Receipt]:
        """The rows below `chosen` rows that no order of their own takes before."""
        for collection in self.catalogue.children.get(above.collection.name, ()):
            child = self.catalogue.table(collection.name)
            own = parts.get(collection.name)
            left = SQL("({}) IS NOT TRUE").format(own.due()) if own else TRUE
            below = f"{alias}_{collection.name}"
            taken = SQL("EXISTS (SELECT FROM {} {} WHERE {} AND {})").format(
                above.sql, Identifier(alias), refers(child, below, above, alias), chosen
            )
            columns = named_columns(self.catalogue, child, "t")
            query = SQL("SELECT count(*) FROM (SELECT {} FROM {} t WHERE {}) {} WHERE {}").format(
                columns, child.sql, left, Identifier(below), taken
            )
            rows = int(self.session.rows(query)[0][0])
            if rows:
                yield Receipt(None, child.collection.name, (OutcomeCount(Outcome.ERASED, rows),))
            yield from self._along(child, below, taken, parts)


def preview(
    session: Session, catalogue: Catalogue, orders: Sequence[SweepOrder], ctx: Context
) -> Iterator[Receipt]:
    """What the orders would do, one snapshot for all; changes nothing."""
    parts = {
        order.collection: Part(session, catalogue, ctx, order, orders, ctx.table)
        for order in in_order(catalogue, orders)
    }
    for part in parts.values():
        ctx.check()
        yield from part.preview(parts)
        yield from part.kept()


def refuse_excess(
    session: Session, catalogue: Catalogue, orders: Sequence[SweepOrder], ctx: Context
) -> None:
    """The brake. Raises NeedsHuman when an order would change more rows than it may."""
    for order in orders:
        part = Part(session, catalogue, ctx, order, orders, ctx.table)
        rows = part.count(order.max_rows + 1)
        if rows > order.max_rows:
            fields = {"collection": order.collection, "rows": rows, "limit": order.max_rows}
            raise NeedsHuman("sweep_brake", fields)


def in_order(catalogue: Catalogue, orders: Sequence[SweepOrder]) -> list[SweepOrder]:
    """The orders, children before their parents."""
    place = {t.collection.name: n for n, t in enumerate(catalogue.children_first())}
    return sorted(
        orders, key=lambda order: place[catalogue.table(order.collection).collection.name]
    )
