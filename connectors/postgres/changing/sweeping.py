"""Retention sweeps: rows past their limit go in short transactions, each decided anew.

In: sweep orders. Out: receipts, one per committed part and collection. A part takes the oldest
due rows by address, tests them again as it locks them, takes along the rows that hang below them,
and tests once more when those are locked too: what came meanwhile begins the part again. A row
whose child has to stay (held, or inside a minimum) stays too, or is masked where its table says
so; so does one that a staying row refers to by a foreign key, directly or by what would go along.

What refers may be due itself: then it goes first, and what it referred to in a later part. Only
when nothing more can go is masked what is still needed, and refused what a cascade would take.

Parts are sized by time: a part that took longer than the target makes the next one smaller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol

from psycopg2.sql import SQL, Composable, Identifier, Literal

from connectors.postgres.changing import ambiguous, rewriting, tallying
from connectors.postgres.changing.applying import Changes, changes, clock_range, goes, outcome_count
from connectors.postgres.changing.deciding import FALSE, TRUE, Rules, any_of, by_rule, clock, refers
from connectors.postgres.changing.ordered import in_force
from connectors.postgres.changing.sparing import PROTECTING, Tie, by_keys
from connectors.postgres.server.catalogue import Catalogue, Table
from connectors.postgres.server.references import Reference
from connectors.postgres.server.session import Contended, Session
from dsr_worker.contract import (
    Action,
    Always,
    Before,
    Context,
    DecisionTable,
    Receipt,
    Rule,
    SweepOrder,
)

_STAY = frozenset({"hold", "minimum", "needed"})
_ALONG = Rule("default", Always(), Action.ERASE)


class Past(Protocol):
    """What a rehearsal counts as done although it is still there."""

    def over(self, table: Table, alias: str) -> Composable:
        """Whether the row has been dealt with."""
        ...

    def gone(self, table: Table, alias: str, columns: frozenset[str] = frozenset()) -> Composable:
        """Whether the row has gone, or refers no more by these columns."""
        ...


@dataclass
class Part:
    """The rules of one order within one transaction, as some source of tables gives them.

    `settled` says that nothing more goes by itself: what is still needed is masked then, and a
    cascade into what stays is refused. `past` is a rehearsal's.
    """

    session: Session
    catalogue: Catalogue
    ctx: Context
    order: SweepOrder
    orders: Sequence[SweepOrder]
    tables: Callable[[str], DecisionTable]
    settled: bool = True
    past: Past | None = None

    def __post_init__(self) -> None:
        self.table = self.catalogue.table(self.order.collection)
        self._rules = Rules(
            self.session,
            self.catalogue,
            self.ctx,
            self._stays,
            held=lambda _table, _when, _alias: FALSE,
            tied=self._tied,
            mark=self.order.collection,
        )
        family = set(self._family(self.order.collection))
        tables = [self.catalogue.table(name) for name in family]
        ambiguous.refuse(self.session, self.catalogue, tables)
        rewriting.refuse(self.session, self.catalogue, tables)
        self._ties = _ties(self.catalogue, family)
        changed = (r for name in family for r in self._pointing_at(name) if r.changes)
        names = family.union(*(r.sources for r in changed))
        self._current = {name: self.tables(name) for name in sorted(names)}
        ordered = {o.collection: o.table for o in self.orders}
        nothing = DecisionTable("", ())
        self._staying = {
            name: tuple(
                rule
                for table in (self._current[name], ordered.get(name, nothing))
                for rule in table.rules
                if rule.code in _STAY
            )
            for name in family
        }
        current = self._current[self.order.collection]
        tied = self.order.collection in self._ties
        self.rules = in_force(self.order, current, self._children(), tied=tied)
        loaded = {name: DecisionTable(name, rules) for name, rules in self._staying.items()}
        loaded |= {name: self._current[name] for name in names - family}
        self._rules.load(
            loaded | {f"{self.order.collection} itself": DecisionTable("", self.rules)}
        )

    def _pointing_at(self, collection: str) -> Sequence[Reference]:
        return self.catalogue.pointing_at(self.catalogue.table(collection))

    def _children(self) -> tuple[str, ...]:
        """The children that have rows which may not go along."""
        return tuple(
            child.name
            for child in self.catalogue.children.get(self.order.collection, ())
            if any(self._staying[name] or name in self._ties for name in self._family(child.name))
        )

    def _family(self, collection: str) -> Iterator[str]:
        """A collection and all that hang below it."""
        yield collection
        for child in self.catalogue.children.get(collection, ()):
            yield from self._family(child.name)

    def _stays(self, child: Table, alias: str) -> Composable:
        """Whether a child's row may not go with its parent."""
        tests = [
            self._rules.matches(child, rule, alias) for rule in self._staying[child.collection.name]
        ]
        below = tuple(c.name for c in self.catalogue.children.get(child.collection.name, ()))
        stays = any_of([*tests, self._rules.needed(child, below, alias)])
        return self._still(stays, child, alias)

    def _still(
        self, test: Composable, table: Table, alias: str, by: frozenset[str] = frozenset()
    ) -> Composable:
        """The same of a row that a rehearsal has not let go of."""
        if self.past is None:
            return test
        return SQL("({} AND NOT {})").format(test, self.past.gone(table, alias, by))

    def _tied(self, table: Table, alias: str) -> list[Composable]:
        """Whether a row that does not go along refers to this one by a foreign key."""
        return [
            self._refers(tie, f"{alias}_x{n}", table, alias)
            for n, tie in enumerate(self._ties.get(table.collection.name, ()))
            if not (self.settled and tie.on_delete == "c")
        ]

    def _refers(self, tie: Tie, other: str, table: Table, alias: str) -> Composable:
        points = tie.points(other, alias)
        if table.split:  # a reference sees the rows of one table, and not of all that inherit
            points = SQL(
                "EXISTS (SELECT FROM {} y WHERE {} AND y.tableoid = {}.tableoid"
                " AND y.ctid = {}.ctid)"
            ).format(tie.referred, tie.points(other, "y"), Identifier(alias), Identifier(alias))
        stays: Composable = TRUE
        if tie.source is not None:
            stays = SQL("{} IS NOT TRUE").format(self._along(tie.source, other))
            if tie.loose:
                protected = self._protected(tie.source, other) or FALSE
                stays = SQL("{} AND {}").format(stays, protected)
            stays = self._still(stays, tie.source, other, tie.columns)
        return SQL("EXISTS (SELECT FROM {} {} WHERE {} AND {})").format(
            tie.rows, Identifier(other), points, stays
        )

    def _along(self, table: Table, alias: str) -> Composable:
        """Whether a row is the deciding row `t` or hangs below it."""
        if table.collection.name == self.table.collection.name:
            return SQL("({})").format(
                SQL(" AND ").join(
                    SQL("{} = {}").format(key.value(alias), key.value("t")) for key in table.keys
                )
            )
        parent = table.collection.parent
        if parent is None or table.collection.name not in self._staying:
            return FALSE
        above, up = self.catalogue.table(parent.collection), f"{alias}_up"
        return SQL("EXISTS (SELECT FROM {} {} WHERE {} AND {})").format(
            above.sql, Identifier(up), refers(table, alias, above, up), self._along(above, up)
        )

    def _protected(self, table: Table, alias: str) -> Composable | None:
        """Whether a hold or a minimum protects a row; None where none can."""
        rules = self._current[table.collection.name].rules
        protecting = [r for r in rules if r.code in PROTECTING]
        if not protecting:
            return None
        return any_of([self._rules.matches(table, rule, alias) for rule in protecting])

    # ---- which rows

    def _deciding(self) -> Composable:
        return self._rules.deciding(self.table, self.rules, "t")

    def _fields(self) -> Composable:
        return by_rule(self.rules, self._changed, SQL("0"))

    def _changed(self, rule: Rule) -> Composable | None:
        return changes(self.table, rule)

    def due(self) -> Composable:
        """Whether the order changes the row `t`: it goes, or a mask is not yet in place."""
        masking = [
            n
            for n, rule in enumerate(self.rules)
            if rule.action is Action.MASK and (self.settled or rule.code != "needed")
        ]
        erasing = [n for n, rule in enumerate(self.rules) if goes(rule)]
        return SQL(
            "({bound}) AND NOT {over} AND EXISTS (SELECT FROM (SELECT {rule} AS rule) d WHERE"
            " d.rule = ANY ({erasing}::int4[])"
            " OR d.rule = ANY ({masking}::int4[]) AND {fields} > 0)"
        ).format(
            bound=self._bound(),
            over=self.past.over(self.table, "t") if self.past else FALSE,
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
        changing = Changes(self.session, self.catalogue, self._pseudonym, self._protected)
        if not self._pick(changing, rows) or not self._still_due(changing):
            return ()
        self._take_along(changing, self.table)
        self._refuse_outrun(changing)
        tally = tallying.begun(self.session, self.catalogue)
        changing.apply()
        tally.refuse_excess(changing.going)
        return receipts(changing)

    def rehearsed(self, rows: int | None, changing: Changes) -> int:
        """Choose what a part would take, and lock and change nothing; how many rows it takes."""
        taken = self._pick(changing, rows, lock=False)
        if taken:
            self._take_along(changing, self.table, lock=False)
        return taken

    def _pseudonym(self, number: int, value: str) -> str:
        return self.ctx.pseudonym(self.order.collection, value)

    def _pick(self, changing: Changes, rows: int | None, *, lock: bool = True) -> int:
        which = self._oldest(rows) if lock else self.due()
        statement = SQL(
            "CREATE TEMP TABLE {done} ON COMMIT DROP AS"
            " SELECT 0 AS s, {keys}, d.rule, {fields} AS fields, {clock} AS clock"
            " FROM {table} t CROSS JOIN LATERAL (SELECT {rule} AS rule) d"
            " WHERE {which} {limit} {lock}"
        ).format(
            done=changing.done(self.table),
            keys=self.table.key_columns("t"),
            fields=self._fields(),
            clock=by_rule(self.rules, self._clock, SQL("NULL::timestamptz")),
            table=self.table.sql,
            rule=self._deciding(),
            which=which,
            limit=SQL("" if lock or rows is None else f"LIMIT {rows}"),
            lock=SQL("FOR UPDATE OF t" if lock else ""),
        )
        changing.rules[self.table.collection.name] = self.rules
        return self.session.run(statement)

    def _oldest(self, rows: int | None) -> Composable:
        """The oldest due rows by address, and due still when they are locked."""
        address = "(t.tableoid, t.ctid) IN (" if self.table.split else "t.ctid = ANY (ARRAY("
        chosen = "t.tableoid, t.ctid" if self.table.split else "t.ctid"
        return SQL(
            "{address} SELECT {chosen} FROM {table} t WHERE {due} ORDER BY {oldest} LIMIT {rows}"
            " {closed} AND {due}"
        ).format(
            address=SQL(address),
            chosen=SQL(chosen),
            table=self.table.sql,
            due=self.due(),
            oldest=self._oldest_first(),
            rows=Literal(rows),
            closed=SQL(")" if self.table.split else "))"),
        )

    def _still_due(self, changing: Changes) -> bool:
        """Leave out what a transaction that ended while we locked has come to need."""
        if self._ties or self._children():
            self.session.run(
                SQL("DELETE FROM pg_temp.{} d USING {} t WHERE {}").format(
                    changing.done(self.table), self.table.sql, self._differs()
                )
            )
        left = SQL("SELECT EXISTS (SELECT FROM pg_temp.{})").format(changing.done(self.table))
        return bool(self.session.rows(left)[0][0])

    def _refuse_outrun(self, changing: Changes) -> None:
        """What hangs below is locked now as well: raise Contended where some of it has to stay.

        It came, or was changed, while rows were waited for.
        """
        if not self._children():
            return
        query = SQL("SELECT EXISTS (SELECT FROM pg_temp.{} d, {} t WHERE {})").format(
            changing.done(self.table), self.table.sql, self._differs()
        )
        if self.session.rows(query)[0][0]:
            raise Contended(
                f"{self.table.collection.name}: rows below those that were to go have come to stay"
                " while they were waited for; nothing was changed"
            )

    def _differs(self) -> Composable:
        """Whether the row `t` is decided otherwise by now than beside its key `d`."""
        return SQL("{} AND d.rule <> {}").format(self.table.same_key("t", "d"), self._deciding())

    def _clock(self, rule: Rule) -> Composable | None:
        return clock(self.table, rule)

    def _take_along(self, changing: Changes, above: Table, *, lock: bool = True) -> None:
        """Gather the rows below those that go, level by level."""
        for collection in self.catalogue.children.get(above.collection.name, ()):
            child = self.catalogue.table(collection.name)
            self.session.run(
                SQL(
                    "CREATE TEMP TABLE {done} ON COMMIT DROP AS SELECT 0 AS s, {keys}, 0 AS rule,"
                    " 0 AS fields, NULL::timestamptz AS clock FROM {child} t"
                    " JOIN {above} p ON {refers} JOIN pg_temp.{going} d ON {same} WHERE {goes}"
                    " AND NOT {over} {lock}"
                ).format(
                    done=changing.done(child),
                    keys=child.key_columns("t"),
                    child=child.sql,
                    above=above.sql,
                    refers=refers(child, "t", above, "p"),
                    going=changing.done(above),
                    same=above.same_key("p", "d"),
                    goes=changing.with_rule(above, "d", goes),
                    over=self.past.gone(child, "t") if self.past else FALSE,
                    lock=SQL("FOR UPDATE OF t" if lock else ""),
                )
            )
            changing.rules[child.collection.name] = (_ALONG,)
            self._take_along(changing, child, lock=lock)

    # ---- counting only

    def kept(self) -> Iterator[Receipt]:
        """What stays, by ground."""
        newest, oldest = clock_range("clock")
        query = SQL(
            "SELECT json_build_array(rule, count(*), sum(fields), {newest}, {oldest})::text FROM ("
            "SELECT d.rule, {fields} AS fields, {clock} AS clock FROM {table} t"
            " CROSS JOIN LATERAL (SELECT {rule} AS rule) d WHERE ({due}) IS NOT TRUE"
            " AND NOT {over}) r GROUP BY rule ORDER BY rule"
        ).format(
            newest=newest,
            oldest=oldest,
            fields=self._fields(),
            clock=by_rule(self.rules, self._clock, SQL("NULL::timestamptz")),
            table=self.table.sql,
            rule=self._deciding(),
            due=self.due(),
            over=self.past.over(self.table, "t") if self.past else FALSE,
        )
        counted = tuple(
            outcome_count(self.rules[rule], *counts)
            for rule, *counts in self.session.arrays(query)
            if self.rules[rule].action is Action.KEEP
        )
        if counted:
            yield Receipt(None, self.table.collection.name, counted)


def receipts(changing: Changes) -> tuple[Receipt, ...]:
    """What becomes of the chosen rows, by collection."""
    return tuple(
        Receipt(None, table.collection.name, tuple(count for _, count in counted))
        for table in changing.tables
        if (counted := list(changing.counts(table)))
    )


def _ties(catalogue: Catalogue, family: AbstractSet[str]) -> dict[str, tuple[Tie, ...]]:
    """By collection of the family, the foreign keys by which more than its own children refer."""
    found: dict[str, list[Tie]] = {}
    for tie in by_keys(catalogue):
        along = tie.is_parent() and tie.source is not None and tie.source.collection.name in family
        at_will = tie.loose and tie.source is None
        if tie.target.collection.name in family and not along and not at_will:
            found.setdefault(tie.target.collection.name, []).append(tie)
    return {name: tuple(ties) for name, ties in found.items()}


def in_order(catalogue: Catalogue, orders: Sequence[SweepOrder]) -> list[SweepOrder]:
    """The orders, children before their parents."""
    place = {t.collection.name: n for n, t in enumerate(catalogue.children_first())}
    return sorted(
        orders, key=lambda order: place[catalogue.table(order.collection).collection.name]
    )
