"""Rehearsing a sweep: the same rules, part by part, on paper; nothing is locked or changed.

In: sweep orders, within one snapshot. Out: the receipts that the sweep would give, or the brake.
What a part would take is noted by key in temporary tables, and counts as gone from then on, so that
whatever only waits for it is found to go as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from psycopg2.sql import SQL, Composable, Identifier, Literal

from connectors.postgres.changing import referring
from connectors.postgres.changing.applying import Changes, goes
from connectors.postgres.changing.sparing import masked_columns
from connectors.postgres.changing.sweeping import Part, in_order, receipts
from connectors.postgres.server.catalogue import Catalogue, Table
from connectors.postgres.server.session import Session
from dsr_worker.contract import Action, Context, NeedsHuman, Receipt, SweepOrder


@dataclass
class Noted(Changes):
    """The chosen rows of one part. What earlier parts took is gone as well."""

    past: _Past = field(kw_only=True)

    def goes(self, table: Table, alias: str) -> Composable:
        """Whether the row would be erased by now."""
        return SQL("({} OR {})").format(super().goes(table, alias), self.past.gone(table, alias))

    def note(self) -> None:
        """Let the chosen rows count as done, and choose others."""
        for table in self.tables:
            self.past.note(self, table)
            self.session.run(SQL("DROP TABLE pg_temp.{}").format(self.done(table)))
        self.rules.clear()


@dataclass
class _Past:
    """By table, the keys of the rows that were dealt with, and what became of them."""

    session: Session
    catalogue: Catalogue

    def __post_init__(self) -> None:
        for table in self.catalogue.tables.values():
            self.session.run(
                SQL(
                    "CREATE TEMP TABLE {} ON COMMIT DROP AS SELECT {}, true AS goes,"
                    " ARRAY[]::text[] AS freed FROM {} t WITH NO DATA"
                ).format(self._name(table), table.key_columns("t"), table.sql)
            )
            keys = SQL(", ").join(Identifier(f"k{n}") for n in range(len(table.keys)))
            self.session.run(SQL("CREATE INDEX ON pg_temp.{} ({})").format(self._name(table), keys))

    def over(self, table: Table, alias: str) -> Composable:
        """Whether the row has been dealt with."""
        return self._noted(table, alias, SQL("true"))

    def gone(self, table: Table, alias: str, columns: frozenset[str] = frozenset()) -> Composable:
        """Whether the row has gone, or refers no more by these columns."""
        freed = SQL("g.goes OR g.freed && {}::text[]").format(Literal(sorted(columns)))
        return self._noted(table, alias, freed)

    def note(self, changes: Changes, table: Table) -> None:
        """Keep the chosen rows of one table."""
        rules = changes.rules[table.collection.name]
        freed = SQL(" ").join(
            SQL("WHEN {} THEN {}::text[]").format(
                Literal(n), Literal(sorted(masked_columns(table, rule)))
            )
            for n, rule in enumerate(rules)
            if rule.action is Action.MASK
        )
        keys = SQL(", ").join(Identifier("d", f"k{n}") for n in range(len(table.keys)))
        self.session.run(
            SQL(
                "INSERT INTO pg_temp.{} SELECT {}, {}, CASE d.rule {} END FROM pg_temp.{} d"
            ).format(
                self._name(table),
                keys,
                changes.with_rule(table, "d", goes),
                freed if freed.seq else SQL("WHEN NULL THEN ARRAY[]::text[]"),
                changes.done(table),
            )
        )

    def _noted(self, table: Table, alias: str, which: Composable) -> Composable:
        return SQL("EXISTS (SELECT FROM pg_temp.{} g WHERE {} AND ({}))").format(
            self._name(table), table.same_key(alias, "g"), which
        )

    def _name(self, table: Table) -> Identifier:
        return Identifier(f"dsr_past_{list(self.catalogue.tables).index(table.collection.name)}")


@dataclass
class Rehearsal:
    """The orders of one sweep within one snapshot."""

    session: Session
    catalogue: Catalogue
    orders: Sequence[SweepOrder]
    ctx: Context

    def receipts(self) -> Iterator[Receipt]:
        """What the orders would do and what would stay. Raises Permanent as they would."""
        past = _Past(self.session, self.catalogue)
        for order in in_order(self.catalogue, self.orders):
            part = self._part(order, past)
            yield from self._parts(part, past, None)
            yield from part.kept()

    def refuse_excess(self) -> None:
        """The brake. Raises NeedsHuman when an order would change more rows than it may."""
        past = _Past(self.session, self.catalogue)
        for order in in_order(self.catalogue, self.orders):
            rows = 0
            for receipt in self._parts(self._part(order, past), past, order.max_rows + 1):
                if receipt.collection == order.collection:
                    rows += sum(count.rows for count in receipt.outcomes)
                if rows > order.max_rows:
                    fields = {"collection": order.collection, "rows": rows, "limit": order.max_rows}
                    raise NeedsHuman("sweep_brake", fields)

    def _part(self, order: SweepOrder, past: _Past) -> Part:
        return Part(
            self.session,
            self.catalogue,
            self.ctx,
            order,
            self.orders,
            self.ctx.table,
            past=past,
        )

    def _parts(self, part: Part, past: _Past, most: int | None) -> Iterator[Receipt]:
        """One part after the other, each of up to `most` rows, until nothing is due."""
        for part.settled in (False, True):
            while True:
                self.ctx.check()
                noted = Noted(self.session, self.catalogue, _no_pseudonym, past=past)
                taken = part.rehearsed(most, noted)
                if taken:
                    for table in noted.tables:
                        referring.refuse_deletes(noted, table)
                        referring.refuse_shared_keys(noted, table)
                    yield from receipts(noted)
                noted.note()
                if not taken:
                    break


def _no_pseudonym(_number: int, value: str) -> str:
    """Nothing is replaced on paper."""
    return value
