"""Putting right what people say is wrong, in the located rows that the tables let be changed.

In: subjects with their corrections, located keys, the guard's tables. Out: receipts that add up to
the keys. Corrections travel by COPY, are cast to the column's own type inside the server, and are
compared with each row; one UPDATE a collection puts them in place.

Whatever the store refuses (a type, a length, a constraint) becomes NeedsHuman with the place alone.
What would reach beyond the plan, and what a trigger puts back, rolls everything back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

from psycopg2.sql import SQL, Composable, Identifier, Literal

from connectors.postgres.changing.attempting import Refusal, attempt
from connectors.postgres.changing.corrections import (
    Asked,
    given,
    prepared,
    refuse_without_rights,
    refused,
)
from connectors.postgres.changing.deciding import any_of
from connectors.postgres.changing.erasing import Erasure
from connectors.postgres.changing.referring import refers_to_any
from connectors.postgres.changing.sparing import PROTECTING
from connectors.postgres.server.catalogue import Table
from connectors.postgres.server.references import Reference
from dsr_worker.contract import STATED_OTHERWISE, Action, Key, NeedsHuman, Permanent, Rule

_BECOMES = range(4)
_ALL, _SOME, _NONE_ALLOWED, _OTHERWISE = _BECOMES
"""What becomes of a row that is to be put right: all of its corrections apply as far as they fit, a
kept field holds some back or all of them, or it says something else than the request."""


@dataclass
class Rectification(Erasure):
    """One batch in one transaction."""

    erases: ClassVar = False
    asked: Mapping[str, tuple[Asked, ...]] = field(default_factory=dict)  # by collection

    def receive(self, keys: Iterable[Key]) -> None:
        """Take the keys and the corrections. Raises NeedsHuman for values that no column takes."""
        super().receive(keys)
        self.asked = given(self.catalogue, self.subjects)
        if not self.ctx.second_path:  # by which nothing changes: it may be a reader's
            touched = {table.collection.name for table in self.touched}
            asked = {name: fields for name, fields in self.asked.items() if name in touched}
            refuse_without_rights(self.session, self.catalogue, asked)
        prepared(self.session, self.catalogue, self.subjects, self.asked)

    def carry_out(self) -> None:
        """Put the corrections in place, all or none."""
        self.session.run(SQL("SET CONSTRAINTS ALL DEFERRED"))
        changing = [(table, self._due(table)) for table in self._correcting()]
        changing = [(table, due) for table, due in changing if due]
        for table, due in changing:
            self._refuse_reach(table, due)
        done = attempt(self.session, [[self._update(table, due)] for table, due in changing])
        if isinstance(done, Refusal):
            raise self._culprit(changing, done)
        for (table, _), (touched,) in zip(changing, done, strict=True):
            self.changes.agree(table, touched, self._rows(table))
        for table, due in changing:
            self._confirm(table, due)

    def statements(self) -> Iterator[Composable]:
        """What puts every asked field in place, for the check to explain."""
        for table in self._correcting():
            yield self._update(table, list(range(len(self.asked[table.collection.name]))))

    def _correcting(self) -> Iterator[Table]:
        for table in self.touched:
            if table.collection.name in self.asked:
                yield table

    # ---- deciding

    def _settle(self) -> None:
        """Compare each row with the corrections, and write what becomes of it beside it."""
        for table in self.touched:
            name = table.collection.name
            rules = self.changes.rules[name]
            self._refuse_other_actions(table, rules)
            self.changes.rules[name] = (*rules, *(r for rule in rules for r in _becoming(rule)))
            if name in self.asked:
                self._compare(table, self.asked[name], rules)
            self._write(table, len(rules))

    def _refuse_other_actions(self, table: Table, rules: tuple[Rule, ...]) -> None:
        wrong = [n for n, r in enumerate(rules) if r.action not in {Action.KEEP, Action.RECTIFY}]
        decided = SQL("rule = ANY ({}::int4[])").format(Literal(wrong))
        if wrong and self.changes.count(table, decided):
            raise Permanent(
                f"{table.collection.name}: its decision table does not speak of putting right;"
                " nothing was changed"
            )

    def _compare(self, table: Table, asked: tuple[Asked, ...], rules: tuple[Rule, ...]) -> None:
        """Say per row and field: a corrected, o not kept, r spoken of, d to be changed.

        A second table names the rows to be changed, each once, and whose correction a field takes.
        """
        columns: list[Composable] = []
        for n, one in enumerate(asked):
            new, name = one.new, Identifier(one.alias)
            kept = [number for number, rule in enumerate(rules) if one.field in rule.kept_fields]
            allowed = SQL("{}.s IS NOT NULL AND d.rule <> ALL ({}::int4[])").format(
                name, Literal(kept)
            )
            differs = SQL("{} IS DISTINCT FROM {}").format(one.place.text("t"), new.text(one.alias))
            says = SQL('({was} IS NULL OR {told} = {was} COLLATE "C")').format(
                was=SQL("{}.was").format(name), told=one.told("t")
            )
            columns += [
                SQL("{}.s IS NOT NULL AS a{}").format(name, SQL(str(n))),
                SQL("({}) AS o{}").format(allowed, SQL(str(n))),
                SQL("({} AND coalesce({} OR NOT ({}), false)) AS r{}").format(
                    allowed, says, differs, SQL(str(n))
                ),
                SQL("({} AND coalesce({}, false) AND {}) AS d{}").format(
                    allowed, says, differs, SQL(str(n))
                ),
            ]
        correcting = [n for n, rule in enumerate(rules) if rule.action is Action.RECTIFY]
        self.session.run(
            SQL(
                "CREATE TEMP TABLE {asks} ON COMMIT DROP AS SELECT d.s, {keys}, {columns}"
                " FROM pg_temp.{done} d JOIN {table} t ON {same} {joins}"
                " WHERE d.rule = ANY ({correcting}::int4[])"
            ).format(
                asks=self._asks(table),
                keys=_keys(table, "d"),
                columns=SQL(", ").join(columns),
                done=self.changes.done(table),
                table=table.sql,
                same=table.same_key("t", "d"),
                joins=_news(asked),
                correcting=Literal(correcting),
            )
        )
        self._ready(table, self._asks(table), "s")
        self._refuse_contradictions(table, asked)
        self.session.run(
            SQL(
                "CREATE TEMP TABLE {puts} ON COMMIT DROP AS SELECT {keys}, {whose}"
                " FROM pg_temp.{asks} d GROUP BY {keys} HAVING bool_or({any})"
            ).format(
                puts=self._puts(table),
                keys=_keys(table, "d"),
                whose=_listed("min(s) FILTER (WHERE d{0}) AS s{0}", asked),
                asks=self._asks(table),
                any=_listed("d{0}", asked, " OR "),
            )
        )
        self._ready(table, self._puts(table), "s0")

    def _refuse_contradictions(self, table: Table, asked: tuple[Asked, ...]) -> None:
        """Two people who share a row may ask for one thing, not for two."""
        wanted = SQL(", ").join(
            SQL("count(DISTINCT coalesce('=' || {}, '')) FILTER (WHERE d.r{}) AS n{}").format(
                one.new.text(one.alias), SQL(str(n)), SQL(str(n))
            )
            for n, one in enumerate(asked)
        )
        query = SQL(
            "SELECT {several} FROM"
            " (SELECT {wanted} FROM pg_temp.{asks} d {joins} GROUP BY {keys}) g"
        ).format(
            several=_listed("coalesce(bool_or(n{0} > 1), false)", asked),
            wanted=wanted,
            asks=self._asks(table),
            joins=_news(asked),
            keys=_keys(table, "d"),
        )
        (found,) = self.session.rows(query)
        for one, several in zip(asked, found, strict=True):
            if several:
                places = {"collection": table.collection.name, "field": one.field}
                raise NeedsHuman("corrections_contradict", places)

    def _write(self, table: Table, rules: int) -> None:
        """Give each row that is to be put right the rule that says what becomes of it."""
        name = table.collection.name
        asked = self.asked.get(name, ())
        correcting = [
            n for n, r in enumerate(self.changes.rules[name][:rules]) if r.action is Action.RECTIFY
        ]
        becoming = SQL("{} + {} * d.rule").format(Literal(rules), Literal(len(_BECOMES)))
        done, which = self.changes.done(table), Literal(correcting)
        if not asked:
            self.session.run(
                SQL(
                    "UPDATE pg_temp.{} d SET rule = {} + {} WHERE d.rule = ANY ({}::int4[])"
                ).format(done, becoming, Literal(_OTHERWISE), which)
            )
            return
        self.session.run(
            SQL(
                "UPDATE pg_temp.{done} d SET rule = {becoming} + CASE WHEN {spoken} THEN"
                " CASE WHEN {held} THEN {some} ELSE {all} END"
                " WHEN ({any}) AND NOT ({allowed}) THEN {none} ELSE {otherwise} END,"
                " fields = {fields},"
                " clock = CASE WHEN ({spoken}) AND NOT ({held}) THEN NULL ELSE d.clock END"
                " FROM pg_temp.{asks} k WHERE k.s = d.s AND {same}"
            ).format(
                done=done,
                becoming=becoming,
                spoken=_listed("k.r{0}", asked, " OR "),
                held=_listed("(k.a{0} AND NOT k.o{0})", asked, " OR "),
                any=_listed("k.a{0}", asked, " OR "),
                allowed=_listed("k.o{0}", asked, " OR "),
                some=Literal(_SOME),
                all=Literal(_ALL),
                none=Literal(_NONE_ALLOWED),
                otherwise=Literal(_OTHERWISE),
                fields=_listed("k.d{0}::int", asked, " + "),
                asks=self._asks(table),
                same=table.same_key_columns("k", "d"),
            )
        )

    # ---- changing

    def _due(self, table: Table) -> list[int]:
        """The numbers of the fields that change in some row."""
        asked = self.asked[table.collection.name]
        query = SQL("SELECT {} FROM pg_temp.{}").format(
            _listed("coalesce(bool_or(s{0} IS NOT NULL), false)", asked), self._puts(table)
        )
        (found,) = self.session.rows(query)
        return [n for n, due in enumerate(found) if due]

    def _rows(self, table: Table) -> int:
        query = SQL("SELECT count(*) FROM pg_temp.{}").format(self._puts(table))
        return int(self.session.rows(query)[0][0])

    def _update(self, table: Table, due: list[int]) -> Composable:
        columns: dict[str, list[int]] = {}
        for n in due:
            place = self.asked[table.collection.name][n].place
            columns.setdefault(place.column.name, []).append(n)
        return SQL("UPDATE {} t SET {} FROM pg_temp.{} p WHERE {} AND NOT {}").format(
            table.sql,
            SQL(", ").join(
                SQL("{column} = CASE WHEN {none} THEN t.{column} ELSE {new} END").format(
                    column=Identifier(name), none=_none(numbers), new=self._new(table, numbers)
                )
                for name, numbers in columns.items()
            ),
            self._puts(table),
            table.same_key("t", "p"),
            _none(due),
        )

    def _new(self, table: Table, numbers: list[int]) -> Composable:
        """What a column is to hold: the value, or its document with all the new texts."""
        asked = [self.asked[table.collection.name][n] for n in numbers]
        values = [
            SQL("(SELECT y.v FROM pg_temp.{} y WHERE y.s = p.s{})").format(
                one.table, SQL(str(one.number))
            )
            for one in asked
        ]
        for one, value in zip(asked, values, strict=True):
            if not one.place.path:
                return value
        column = asked[0].place.column
        document: Composable = SQL("({})::jsonb").format(asked[0].place.document("t"))
        for one, value in zip(asked, values, strict=True):
            document = _written(document, one, value)
        return SQL("{}::{}").format(document, SQL(column.type))

    def _culprit(self, changing: list[tuple[Table, list[int]]], refusal: Refusal) -> NeedsHuman:
        """The field that is refused by itself; all of a collection's where none is."""
        for table, due in changing:
            for n in due:
                self.session.run(SQL("SAVEPOINT alone"))
                if isinstance(attempt(self.session, [[self._update(table, [n])]]), Refusal):
                    return refused(table, [self.asked[table.collection.name][n]])
                self.session.run(SQL("ROLLBACK TO SAVEPOINT alone"))
        table, due = changing[min(refusal.step, len(changing) - 1)]
        return refused(table, [self.asked[table.collection.name][n] for n in due])

    def _confirm(self, table: Table, due: list[int]) -> None:
        """A trigger may put back, in silence, what was put right; a document may lack the place."""
        asked = self.asked[table.collection.name]
        for n in due:
            one = asked[n]
            left = SQL(
                "SELECT EXISTS (SELECT FROM pg_temp.{} p JOIN {} t ON {} JOIN pg_temp.{} {} ON"
                " {}.s = p.s{} WHERE {} IS DISTINCT FROM {})"
            ).format(
                self._puts(table),
                table.sql,
                table.same_key("t", "p"),
                one.table,
                Identifier(one.alias),
                Identifier(one.alias),
                SQL(str(n)),
                one.place.text("t"),
                one.new.text(one.alias),
            )
            if not self.session.rows(left)[0][0]:
                continue
            if one.place.path:
                raise refused(table, [one])
            raise Permanent(
                f"{table.collection.name}.{one.field}: corrections did not stay in place; look for"
                " a trigger that writes the column back or alters it; nothing was changed"
            )

    def _refuse_reach(self, table: Table, due: list[int]) -> None:
        """What the schema does to rows that refer by a column which is put right."""
        asked = self.asked[table.collection.name]
        for reference in self.catalogue.pointing_at(table):
            changing = [n for n in due if asked[n].place.column.name in reference.target_columns]
            acts = reference.on_update in {"c", "n", "d"}
            if changing and acts and self._reaches(table, reference, changing):
                raise Permanent(
                    f"{table.collection.name}: ON UPDATE of {reference.name} would change rows of"
                    f" {reference.source} that are not among the person's, or that a hold or a"
                    f" minimum protects; nothing was changed. Map {reference.source}, or put the"
                    " rows right by hand"
                )

    def _reaches(self, table: Table, reference: Reference, changing: list[int]) -> bool:
        """Whether a row refers to one that changes and may not be changed itself."""
        sources = [self.catalogue.table(name) for name in reference.sources]
        located = [
            SQL("EXISTS (SELECT FROM pg_temp.{} g WHERE {} AND {})").format(
                self.changes.done(source),
                source.same_key("x", "g"),
                self.changes.with_rule(source, "g", lambda rule: rule.code not in PROTECTING),
            )
            for source in sources
            if source in self.touched
        ]
        where = SQL("NOT {} AND NOT {}").format(_none(changing, "d"), any_of(located))
        changed = SQL("pg_temp.{}").format(self._puts(table))
        return refers_to_any(self.changes, table, reference, changed, where)

    def _asks(self, table: Table) -> Identifier:
        return Identifier(f"dsr_asks_{list(self.catalogue.tables).index(table.collection.name)}")

    def _puts(self, table: Table) -> Identifier:
        return Identifier(f"dsr_puts_{list(self.catalogue.tables).index(table.collection.name)}")


def _becoming(rule: Rule) -> Iterator[Rule]:
    """What becomes of a row by a rule, in the order of the numbers above."""
    yield replace(rule, ground="")
    yield rule
    yield replace(rule, action=Action.KEEP)
    yield replace(rule, action=Action.KEEP, ground=STATED_OTHERWISE)


def _written(document: Composable, one: Asked, value: Composable) -> Composable:
    """A document with the new text in its place: as a number or truth value where one stands."""
    return SQL(
        "(SELECT CASE WHEN p.s{number} IS NULL THEN x.d WHEN x.v IS NULL THEN x.d #- x.at"
        " ELSE jsonb_set(x.d, x.at, CASE jsonb_typeof(x.d #> x.at)"
        " WHEN 'number' THEN to_jsonb(x.v::numeric) WHEN 'boolean' THEN to_jsonb(x.v::boolean)"
        " WHEN 'object' THEN x.d #> x.at WHEN 'array' THEN x.d #> x.at"
        " ELSE to_jsonb(x.v::text) END, true) END"
        " FROM (SELECT {document} AS d, {value} AS v, ARRAY[{path}]::text[] AS at OFFSET 0) x)"
    ).format(
        number=SQL(str(one.number)),
        document=document,
        value=value,
        path=SQL(", ").join(map(Literal, one.place.path)),
    )


def _none(numbers: Iterable[int], alias: str = "p") -> Composable:
    """Whether no field of these numbers changes in the row `alias` of `_puts`."""
    return SQL("({})").format(SQL(" AND ".join(f"{alias}.s{n} IS NULL" for n in numbers)))


def _news(asked: tuple[Asked, ...]) -> Composable:
    """Joins of each field's new value for the subject of a row `d`."""
    return SQL(" ").join(
        SQL("LEFT JOIN pg_temp.{} {alias} ON {alias}.s = d.s").format(
            one.table, alias=Identifier(one.alias)
        )
        for one in asked
    )


def _keys(table: Table, alias: str) -> Composable:
    return SQL(", ").join(Identifier(alias, f"k{n}") for n in range(len(table.keys)))


def _listed(template: str, asked: tuple[Asked, ...], between: str = ", ") -> Composable:
    """A template once per field, with the field's number in it."""
    return SQL(between.join(template.format(n) for n in range(len(asked))))
