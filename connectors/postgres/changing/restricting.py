"""Storing rows on without processing them, and freeing them again, by the means that are mapped.

In: located keys, the guard's tables. Out: receipts that add up to the keys. A flag is set, a row is
listed in another table, or it moves to one, with all that its table holds; lifting goes backwards.
A moved row is looked for where it went as well, under the key it had.

A move that would lose a column, or leave a row behind that refers to a moved one, is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from psycopg2.sql import SQL, Composable, Identifier, Literal

from connectors.postgres.changing import ambiguous, rewriting
from connectors.postgres.changing.attempting import Refusal, attempt
from connectors.postgres.changing.deciding import any_of, refers
from connectors.postgres.changing.erasing import Erasure
from connectors.postgres.changing.referring import refers_to_any
from connectors.postgres.changing.restrictions import (
    destination,
    flag,
    joined,
    kept_columns,
    losing,
    unlinking,
)
from connectors.postgres.server.catalogue import Table
from connectors.postgres.server.references import Reference
from dsr_worker.contract import (
    Action,
    Configuration,
    Key,
    Permanent,
    Restriction,
    RestrictionKind,
    Rule,
)

_CHANGING = frozenset({Action.RESTRICT, Action.LIFT})


@dataclass(frozen=True, slots=True)
class _Way:
    """Rows of one collection that leave a table for another."""

    table: Table  # the collection's own: whose decided rows go
    action: Action
    source: Table
    target: Table


@dataclass
class Restricting(Erasure):
    """One batch in one transaction: rows restricted, others freed, as their tables say."""

    erases: ClassVar = False

    def receive(self, keys: Iterable[Key]) -> None:
        """Take the keys. Raises Configuration where a move would lose a column."""
        super().receive(keys)
        for table in self.touched:
            moved = self._moved(table)
            if moved is not None and (lost := losing(table, moved)):
                raise Configuration(
                    f"{table.collection.name}: {moved.schema}.{moved.name} cannot hold its"
                    f" {', '.join(lost)}; add the columns, of the same types. Nothing was moved"
                )

    def refuse_rewriting(self) -> None:
        """The same for the tables that rows move to, or are listed in."""
        means = (table.collection.restriction for table in self.touched)
        others = [self.catalogue.table(m.collection) for m in means if m and m.collection]
        changing = [*self.touched, *others]
        ambiguous.refuse(self.session, self.catalogue, changing)
        rewriting.refuse(self.session, self.catalogue, changing, inserting=True)

    def carry_out(self) -> None:
        """Restrict and free. Raises Permanent when a row resists or would be left behind."""
        self.session.run(SQL("SET CONSTRAINTS ALL DEFERRED"))
        ways = [way for way in self._ways() if self._rows(way.table, way.action)]
        for way in ways:
            self._refuse_unlinking(way)
            self._refuse_left_behind(way, ways)
        for table in self.touched:
            self._mark(table)
        self._move(ways)
        for table in self.touched:
            self._confirm(table)

    def statements(self) -> Iterator[Composable]:
        """What restricts and frees rows by each of the means, for the check to explain."""
        for table in self.touched:
            means = table.collection.restriction
            if means is not None and means.kind is RestrictionKind.FLAG:
                yield self._flag(table, Action.RESTRICT, means.value)
                yield self._flag(table, Action.LIFT, means.free)
            elif means is not None and means.kind is RestrictionKind.LIST:
                listing = self.catalogue.table(means.collection)
                yield self._list(table, listing)
                yield self._unlist(table, listing)
        for way in self._ways():
            yield self._copy(way)
            yield self._leave(way)

    # ---- deciding

    def _settle(self) -> None:
        """Nothing follows for other rows; what these tables cannot say is refused."""
        for table in self.touched:
            allowed = {Action.KEEP} | (_CHANGING if table.collection.restriction else set())
            rules = self.changes.rules[table.collection.name]
            wrong = [n for n, rule in enumerate(rules) if rule.action not in allowed]
            decided = SQL("rule = ANY ({}::int4[])").format(Literal(wrong))
            if wrong and self.changes.count(table, decided):
                raise Permanent(
                    f"{table.collection.name}: its decision table says what its means of"
                    " restriction cannot do; nothing was changed"
                )
            self._refuse_twice(table)

    def _refuse_twice(self, table: Table) -> None:
        """A row of one key in both places could not come back."""
        if self._moved(table) is None:
            return
        keys = SQL(", ").join(Identifier(f"k{n}") for n in range(len(table.keys)))
        query = SQL(
            "SELECT EXISTS (SELECT FROM pg_temp.{} GROUP BY s, {} HAVING count(*) > 1)"
        ).format(self.changes.done(table), keys)
        if self.session.rows(query)[0][0]:
            raise Permanent(
                f"{table.collection.name}: a key names a row here and one among the moved rows;"
                " nothing was changed. Settle which of them is right"
            )

    def _changed(self, table: Table, rule: Rule) -> Composable | None:
        means = table.collection.restriction
        if means is None or rule.action not in _CHANGING:
            return None
        restricts = rule.action is Action.RESTRICT
        if means.kind is RestrictionKind.MOVE:
            here = table == self.catalogue.table(table.collection.name)
            return Literal(int(here is restricts))
        marked = self._marked(table, means)
        return SQL("(NOT {})::int" if restricts else "{}::int").format(marked)

    def _marked(self, table: Table, means: Restriction) -> Composable:
        """Whether a row `t` is flagged or listed."""
        if means.kind is RestrictionKind.LIST:
            listing = self.catalogue.table(means.collection)
            return SQL("EXISTS (SELECT FROM {} x WHERE {})").format(
                listing.sql, refers(listing, "x", table, "t")
            )
        value = SQL("{}::{}").format(Literal(means.value), SQL(flag(table, means).type))
        return SQL("({}::text IS NOT DISTINCT FROM ({})::text)").format(
            Identifier("t", flag(table, means).name), value
        )

    def _moved(self, table: Table) -> Table | None:
        return destination(self.catalogue, table)

    # ---- flags and lists

    def _mark(self, table: Table) -> None:
        means = table.collection.restriction
        if means is None or means.kind is RestrictionKind.MOVE:
            return
        for action in Action.RESTRICT, Action.LIFT:
            rows = self._rows(table, action)
            if not rows:
                continue
            if means.kind is RestrictionKind.FLAG:
                value = means.value if action is Action.RESTRICT else means.free
                self._carried_out([self._flag(table, action, value)], [(table, rows)])
            elif action is Action.RESTRICT:
                listing = self.catalogue.table(means.collection)
                self._carried_out([self._list(table, listing)], [(listing, rows)])
            else:
                listing = self.catalogue.table(means.collection)
                listed = self._listed(table, listing)
                query = SQL("SELECT count(*) FROM {} x WHERE {}").format(listing.sql, listed)
                expected = int(self.session.rows(query)[0][0])
                self.changes.going[listing.schema, listing.name] += expected
                self._carried_out([self._unlist(table, listing)], [(listing, expected)])

    def _flag(self, table: Table, action: Action, value: str | None) -> Composable:
        column = flag(table, table.collection.restriction)
        return SQL("UPDATE {} t SET {} = {}::{} FROM {} d WHERE {}").format(
            table.sql,
            Identifier(column.name),
            Literal(value),
            SQL(column.bare),
            self._going(table, action),
            table.same_key("t", "d"),
        )

    def _list(self, table: Table, listing: Table) -> Composable:
        on = joined(listing)
        return SQL("INSERT INTO {} ({}) SELECT {} FROM {} t JOIN {} d ON {}").format(
            listing.sql,
            SQL(", ").join(Identifier(listing.place(ours).column.name) for ours, _ in on),
            SQL(", ").join(table.place(theirs).value("t") for _, theirs in on),
            table.sql,
            self._going(table, Action.RESTRICT),
            table.same_key("t", "d"),
        )

    def _unlist(self, table: Table, listing: Table) -> Composable:
        return SQL("DELETE FROM {} x WHERE {}").format(listing.sql, self._listed(table, listing))

    def _listed(self, table: Table, listing: Table) -> Composable:
        """Whether a row `x` of a list names a row that is freed."""
        return SQL("EXISTS (SELECT FROM {} t JOIN {} d ON {} WHERE {})").format(
            table.sql,
            self._going(table, Action.LIFT),
            table.same_key("t", "d"),
            refers(listing, "x", table, "t"),
        )

    # ---- moves

    def _ways(self) -> Iterator[_Way]:
        for table in self.touched:
            moved = self._moved(table)
            if moved is not None:
                yield _Way(table, Action.RESTRICT, table, moved)
                yield _Way(table, Action.LIFT, moved, table)

    def _move(self, ways: Sequence[_Way]) -> None:
        """Copy all, compare, then let all go: references among moved rows are no obstacle."""
        expected = [(way.target, self._rows(way.table, way.action)) for way in ways]
        self._carried_out([self._copy(way) for way in ways], expected)
        for way in ways:
            self._refuse_altered(way)
        expected = [(way.source, rows) for way, (_, rows) in zip(ways, expected, strict=True)]
        for left, rows in expected:
            self.changes.going[left.schema, left.name] += rows
        self._carried_out([self._leave(way) for way in ways], expected)

    def _copy(self, way: _Way) -> Composable:
        columns = kept_columns(way.table)
        return SQL(
            "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {} t JOIN {} d ON {}"
        ).format(
            way.target.sql,
            SQL(", ").join(map(Identifier, columns)),
            _of("t", columns),
            way.source.sql,
            self._going(way.table, way.action),
            way.source.same_key("t", "d"),
        )

    def _leave(self, way: _Way) -> Composable:
        return SQL("DELETE FROM {} t USING {} d WHERE {}").format(
            way.source.sql, self._going(way.table, way.action), way.source.same_key("t", "d")
        )

    def _refuse_altered(self, way: _Way) -> None:
        """A copy says, byte by byte, what its row says."""
        columns = kept_columns(way.table)
        query = SQL(
            "SELECT count(*) FROM {source} t JOIN {going} d ON {there} JOIN {target} u ON {here}"
            " WHERE ROW({old})::text = ROW({new})::text"
        ).format(
            source=way.source.sql,
            going=self._going(way.table, way.action),
            there=way.source.same_key("t", "d"),
            target=way.target.sql,
            here=way.target.same_key("u", "d"),
            old=_of("t", columns),
            new=_of("u", columns),
        )
        if self.session.rows(query)[0][0] != self._rows(way.table, way.action):
            raise Permanent(
                f"{way.table.collection.name}: moved rows did not arrive as they were; look for a"
                f" trigger or a default of {way.target.schema}.{way.target.name}. Nothing was moved"
            )

    def _refuse_unlinking(self, way: _Way) -> None:
        for trigger in unlinking(self.session, way.source):
            raise Permanent(
                f"{way.table.collection.name}: trigger {trigger} (lo_manage) would unlink the large"
                " objects of rows that only move; nothing was moved. Restrict by a flag or a list"
            )

    def _refuse_left_behind(self, way: _Way, ways: Sequence[_Way]) -> None:
        """Rows that stay where they are and refer to one that leaves."""
        for reference in self._pointing_at(way.source):
            leaving = [
                self._among(other, "x") for other in ways if self._is_of(reference, other.source)
            ]
            going, stays = self._going(way.table, way.action), SQL("NOT {}").format(any_of(leaving))
            if refers_to_any(self.changes, way.source, reference, going, stays):
                raise Permanent(
                    f"{way.table.collection.name}: rows of {reference.source} refer to rows that"
                    f" would move ({reference.name}) and stay where they are; nothing was moved."
                    f" Restrict {reference.source} by a move as well, or these rows by a flag or a"
                    " list"
                )

    def _pointing_at(self, table: Table) -> Iterator[Reference]:
        """The references to a table's rows, under whatever collection the table is mapped."""
        at = (table.schema, table.name)
        for other in self.catalogue.tables.values():
            if (other.schema, other.name) == at:
                yield from self.catalogue.pointing_at(other)

    def _is_of(self, reference: Reference, table: Table) -> bool:
        """Whether the rows that refer are a table's, or a part of it (a partition, an heir)."""
        at = (table.schema, table.name)
        mapped = (self.catalogue.table(name) for name in reference.sources)
        return any((other.schema, other.name) == at for other in mapped)

    def _among(self, way: _Way, alias: str) -> Composable:
        return SQL("EXISTS (SELECT FROM {} g WHERE {})").format(
            self._going(way.table, way.action), way.source.same_key(alias, "g")
        )

    # ---- all means

    def _confirm(self, table: Table) -> None:
        """What was done is so: no trigger put it back, no cascade took a moved row along."""
        means = table.collection.restriction
        for action in (Action.RESTRICT, Action.LIFT) if means is not None else ():
            rows = self.changes.count(table, self._by(table, action))
            if means is not None and rows != self._in_place(table, means, action):
                raise Permanent(
                    f"{table.collection.name}: what restricts or frees rows did not stay in place;"
                    " look for a trigger or a cascade that undoes it; nothing was changed"
                )

    def _in_place(self, table: Table, means: Restriction, action: Action) -> int:
        """How many of the rows that an action decides are now as it wants them."""
        restricts = action is Action.RESTRICT
        place, wanted = table, SQL("true").format()
        if means.kind is not RestrictionKind.MOVE:
            wanted = SQL("{}" if restricts else "NOT {}").format(self._marked(table, means))
        elif restricts:
            place = self._moved(table) or table
        keys = SQL(", ").join(Identifier(f"k{n}") for n in range(len(table.keys)))
        query = SQL(
            "SELECT count(*) FROM (SELECT DISTINCT {} FROM pg_temp.{} WHERE {}) d JOIN {} t ON {}"
            " WHERE {}"
        ).format(
            keys,
            self.changes.done(table),
            self._by(table, action),
            place.sql,
            place.same_key("t", "d"),
            wanted,
        )
        return int(self.session.rows(query)[0][0])

    def _carried_out(
        self, statements: Sequence[Composable], expected: Sequence[tuple[Table, int]]
    ) -> None:
        done = attempt(self.session, [statements])
        if isinstance(done, Refusal):
            names = ", ".join(dict.fromkeys(table.collection.name for table, _ in expected))
            raise Permanent(
                f"{names}: the server refused to restrict or free rows ({done}); nothing was"
                " changed. Run the check"
            )
        for (table, rows), touched in zip(expected, done[0], strict=True):
            self.changes.agree(table, touched, rows)

    def _going(self, table: Table, action: Action) -> Composable:
        """The keys of the rows that an action changes, each once."""
        keys = SQL(", ").join(Identifier(f"k{n}") for n in range(len(table.keys)))
        return SQL("(SELECT DISTINCT {} FROM pg_temp.{} WHERE fields > 0 AND {})").format(
            keys, self.changes.done(table), self._by(table, action)
        )

    def _by(self, table: Table, action: Action) -> Composable:
        return self.changes.with_rule(table, "", lambda rule: rule.action is action)

    def _rows(self, table: Table, action: Action) -> int:
        condition = SQL("fields > 0 AND {}").format(self._by(table, action))
        return self.changes.count(table, condition)


def _of(alias: str, columns: Sequence[str]) -> Composable:
    return SQL(", ").join(Identifier(alias, name) for name in columns)
