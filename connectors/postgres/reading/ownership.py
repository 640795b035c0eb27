"""Whose rows are whose: the batch's names as a table, and joins that reach every collection.

In: subjects, a catalogue, the one canonicaliser. Out: SQL that gives, for a collection, its rows
with the number of the subject who owns them, each once, in one statement for the whole batch.

Names match exactly. Where the map lets a store write a name in another form (letter case,
punctuation between digits), the spellings on file that may mean it come out, the canonicaliser
says which do, and those spellings then match exactly like any other name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from psycopg2.sql import SQL, Composable, Identifier, Literal

from connectors.postgres.reading import spelling
from connectors.postgres.reading.spelling import spellings
from connectors.postgres.server.catalogue import Catalogue, Table
from connectors.postgres.server.places import Place, fold
from connectors.postgres.server.session import Session, line, sendable, typed
from dsr_worker.contract import Collection, Context, Form, Identity, Subject, Taken

_Kept = TypeVar("_Kept")

_Columns = tuple[str, tuple[str, ...]]  # of a collection
_NOBODY = SQL("false")
# A temporary table whose rows cannot outgrow a page costs a third of one that could: it gets no
# second table for long values (TOAST_TUPLE_THRESHOLD, 2 kB; a character has up to 4 bytes).
_SHORT = 450
_SHORT_GIVEN = 150  # a spelling may have some more characters than the name
_LONGEST_NAME_BYTES = 63  # of the server's type for names, which is of fixed length


@dataclass(frozen=True, slots=True)
class Branch:
    """One way to own rows of a table `t`: a join giving `o.s`, and a test for a given subject."""

    via: str
    source: Composable  # what `o` is
    match: str  # the test of `t` against `o`, as a template of aliases
    table: Table
    slot: int | None = None
    on: tuple[tuple[str, str], ...] = ()

    def condition(self, alias: str, names: str) -> Composable:
        """Whether the row `alias` is matched by the row `names` of this branch's source."""
        if self.slot is not None:
            equal = self.table.place(self.match).equals(alias, names)
            named = self.table.names_somebody(self.match, alias)
            return SQL("{}.slot = {} AND {} AND {}").format(
                Identifier(names), Literal(self.slot), equal, named
            )
        return SQL(" AND ").join(
            SQL("{} = {}.{}").format(
                self.table.place(ours).value(alias), Identifier(names), Identifier(link)
            )
            for ours, link in self.on
        )

    def exists(self, alias: str, subject: Composable) -> Composable:
        """Whether `subject` owns the row `alias` by this branch."""
        return SQL("EXISTS (SELECT FROM {} x WHERE x.s = {} AND {})").format(
            self.source, subject, self.condition(alias, "x")
        )


@dataclass
class Ownership:
    """The owners of a batch within one transaction. Call `prepare` first."""

    session: Session
    catalogue: Catalogue
    subjects: Sequence[Subject]
    ctx: Context
    prefix: str = "dsr"
    beyond_parents: bool = False  # reach children by the names their parents had
    _slots: dict[tuple[str, ...], int] = field(default_factory=dict)
    _links: dict[_Columns, str] = field(default_factory=dict)

    def prepare(self) -> None:
        """Fill the names, find their spellings, follow parents: one pass for the whole batch."""
        self._create_names()
        self.session.fill(self._names, self._given())
        accepted = [name for found in self._approximate() for name in self._spelled(*found)]
        if accepted:
            self._make_room(max(map(len, accepted)))
            self.session.fill(self._names, accepted)
        statements, links = self.kept(("links",), self._linking)
        self._links = dict(links)
        self.session.run_together(statements)

    def kept(self, what: tuple[Any, ...], make: Callable[[], _Kept]) -> _Kept:
        """What `make` gives, once for all batches that are prepared alike; see the catalogue's."""
        alike = (self.prefix, self.beyond_parents, *self._slots.items(), *self._links.items())
        return self.catalogue.kept((*what, *alike), make)

    def takes(self, table: Table) -> Mapping[str, Taken]:
        """By which fields a collection takes names, and beyond parents those it inherits."""
        own = dict(table.collection.takes)
        parent = table.collection.parent
        if not self.beyond_parents or parent is None:
            return own
        above = self.catalogue.table(parent.collection)
        known = {taken.field: kind for kind, taken in self.takes(above).items()}
        if above.collection.person:
            known |= {name: kind for kind, name in above.collection.yields.items()}
        if len(parent.on) == 1:
            for ours, theirs in parent.on.items():
                if theirs in known and known[theirs] not in own:
                    own[known[theirs]] = Taken(ours)
        return own

    def branches(self, table: Table) -> tuple[Branch, ...]:
        """The ways in which rows of a collection are owned."""
        found = []
        parent = table.collection.parent
        if parent is not None:
            on = tuple(parent.on.items())
            link = self._links[parent.collection, tuple(theirs for _, theirs in on)]
            pairs = tuple((ours, f"p{n}") for n, (ours, _) in enumerate(on))
            source = Identifier("pg_temp", link)
            found.append(Branch("parent", source, "", table, on=pairs))
        for kind, taken in self.takes(table).items():
            slot = self._slots.get(_slot(table.collection, kind, taken))
            if slot is not None:
                source = Identifier("pg_temp", f"{self.prefix}_name")
                found.append(Branch(kind, source, taken.field, table, slot))
        return tuple(found)

    def rows(
        self,
        table: Table,
        columns: Composable,
        *,
        direct: bool = False,
        shown: Composable | None = None,
    ) -> Composable:
        """`columns` of every owned row `t`: `o.s` is the subject, `w.via` how it was reached.

        `shown` are columns of the row that `columns` may then take together, as `r`.
        """
        beside: Composable = SQL("")
        if shown is not None:
            beside = SQL(" CROSS JOIN LATERAL (SELECT {}) r").format(shown)
        branches = [b for b in self.branches(table) if not direct or b.slot is not None]
        selects = [
            SQL(
                "SELECT {columns} FROM {table} t JOIN {source} o ON {match}"
                " CROSS JOIN LATERAL (SELECT {via} AS via) w{beside} WHERE NOT ({before})"
            ).format(
                columns=columns,
                beside=beside,
                table=table.sql,
                source=branch.source,
                match=branch.condition("t", "o"),
                via=Literal(branch.via) if branch.slot is not None else SQL("o.via::text"),
                before=_any(b.exists("t", SQL("o.s")) for b in branches[:n]),
            )
            for n, branch in enumerate(branches)
        ]
        if not selects:
            return self._nothing(table, columns, beside)
        return SQL(" UNION ALL ").join(selects)

    def keys(self, table: Table) -> Composable:
        """Subject and key of every owned row as one JSON array.

        Where children refer to it by that key, it was read for them and is not read again.
        """
        link = self._links.get((table.collection.name, table.collection.key))
        if link is None or any(place.path for place in table.keys):
            return self.rows(table, told(place.text("t") for place in table.keys))
        linked = (
            Place(replace(place.column, name=f"p{n}")).text("o")
            for n, place in enumerate(table.keys)
        )
        return SQL("SELECT {} FROM pg_temp.{} o").format(told(linked), Identifier(link))

    def owns(self, table: Table, alias: str, subject: Composable) -> Composable:
        """Whether `subject` (a number, as SQL) owns the row `alias`."""
        return _any(b.exists(alias, subject) for b in self.branches(table))

    def came_with(self, place: Place, kind: str, alias: str, subject: Composable) -> Composable:
        """Whether a value is, as forms compare it, a name that the subject came with."""
        compared: dict[tuple[str, ...], Composable] = {("as is", kind): place.text(alias)}
        compared |= {("folded", kind, form): place.folded(alias, form) for form in Form}
        compared["beyond ascii", kind] = spelling.folded(place, alias)
        return _any(
            SQL(
                "EXISTS (SELECT FROM pg_temp.{} x WHERE x.s = {} AND x.slot = {}"
                ' AND x.v = {} COLLATE "C")'
            ).format(self._names, subject, Literal(self._slots[slot]), folded)
            for slot, folded in compared.items()
            if slot in self._slots
        )

    def _nothing(self, table: Table, columns: Composable, beside: Composable) -> Composable:
        return SQL(
            "SELECT {} FROM {} t CROSS JOIN (SELECT 0 AS s) o CROSS JOIN (SELECT ''::text AS via) w"
            "{} WHERE false"
        ).format(columns, table.sql, beside)

    @property
    def _names(self) -> Identifier:
        return Identifier(f"{self.prefix}_name")

    def _create_names(self) -> None:
        given = max((len(i.value) for s in self.subjects for i in s.identities), default=0)
        kind = SQL("varchar({})").format(Literal(_SHORT)) if given <= _SHORT_GIVEN else SQL("text")
        self.session.run(
            SQL(
                "CREATE TEMP TABLE {} (slot int4, s int4, v {}, n int8, u uuid) ON COMMIT DROP"
            ).format(self._names, kind)
        )

    def _make_room(self, longest_bytes: int) -> None:
        """Let the names' table hold longer ones than were given."""
        if longest_bytes > _SHORT:
            self.session.run(
                SQL("ALTER TABLE pg_temp.{} ALTER COLUMN v TYPE text").format(self._names)
            )

    def _number(self, slot: tuple[str, ...]) -> int:
        return self._slots.setdefault(slot, len(self._slots))

    def _wanted(self) -> Iterator[tuple[Table, str, Taken]]:
        for table in self.catalogue.tables.values():
            for kind, taken in self.takes(table).items():
                yield table, kind, taken

    def _given(self) -> Iterator[bytes]:
        forms = sorted({(kind, taken.form) for _, kind, taken in self._wanted()})
        slots = {
            (kind, form): self._number(
                ("as is", kind) if form is Form.EXACT else ("folded", kind, form)
            )
            for kind, form in forms
        }
        for number, subject in enumerate(self.subjects):
            for identity in dict.fromkeys(subject.identities):
                for (kind, form), slot in slots.items():
                    value = fold(identity.value, form) if identity.kind == kind else ""
                    if sendable(value):
                        yield line(slot, number, *typed(value))
                    if form is Form.ASCII_CASE:
                        yield from self._beyond_ascii(number, identity, kind)

    def _beyond_ascii(self, number: int, identity: Identity, kind: str) -> Iterator[bytes]:
        """The other spellings of an address, where it has any."""
        wide = spellings(kind, identity.value) if identity.kind == kind else ()
        for value in filter(sendable, wide):
            yield line(self._number(("beyond ascii", kind)), number, *typed(value))

    def _approximate(self) -> Iterator[tuple[Table, str, Taken]]:
        for table, kind, taken in self._wanted():
            if taken.form is not Form.EXACT:
                yield table, kind, taken

    def _spelled(self, table: Table, kind: str, taken: Taken) -> Iterator[bytes]:
        """The spellings on file that mean a subject, as names of a slot of their own."""
        place = table.place(taken.field)
        compared: dict[tuple[str, ...], Composable] = {}
        compared["folded", kind, taken.form] = place.folded("t", taken.form)
        if taken.form is Form.ASCII_CASE:
            compared["beyond ascii", kind] = spelling.folded(place, "t")
        slot = self._number(_slot(table.collection, kind, taken))
        told: set[tuple[int, str]] = set()
        for asked, folded in compared.items():
            if asked in self._slots:
                query = self.kept(
                    ("on file", table.collection.name, *asked),
                    partial(self._on_file, table, place, self._slots[asked], folded),
                )
                told.update(self.session.few(query))
        for number, text in told:
            if self.ctx.canonical(kind, text) in self.subjects[number].values(kind):
                yield line(slot, number, *typed(text))

    def _on_file(self, table: Table, place: Place, slot: int, folded: Composable) -> Composable:
        query = SQL(
            "SELECT DISTINCT o.s, {spelling} FROM {table} t"
            " JOIN pg_temp.{names} o ON o.slot = {slot} AND o.v = {folded}"
        ).format(
            spelling=place.text("t"),
            table=table.sql,
            names=self._names,
            slot=Literal(slot),
            folded=SQL('{} COLLATE "C"').format(folded),
        )
        return self.session.written(query)

    def _linking(self) -> tuple[Sequence[Composable], Mapping[_Columns, str]]:
        """Keep what children refer to: the owned rows' columns, once per subject."""
        # Only the numbers: statistics of the names themselves would outlive the transaction.
        statements: list[Composable] = [SQL("ANALYZE pg_temp.{} (s)").format(self._names)]
        for table in reversed(self.catalogue.children_first()):
            for child in self.catalogue.children.get(table.collection.name, ()):
                columns = tuple(child.parent.on.values()) if child.parent else ()
                if (table.collection.name, columns) not in self._links:
                    link = f"{self.prefix}_link_{len(self._links)}"
                    statements.append(self._link(table, columns, Identifier(link)))
                    statements.append(SQL("ANALYZE pg_temp.{} (s)").format(Identifier(link)))
                    self._links[table.collection.name, columns] = link
        return [self.session.written(one) for one in statements], self._links

    def _link(self, table: Table, columns: tuple[str, ...], link: Identifier) -> Composable:
        named = [
            SQL("{} AS {}").format(table.place(c).value("t"), Identifier(f"p{n}"))
            for n, c in enumerate(columns)
        ]
        return SQL(
            "CREATE TEMP TABLE {link} ON COMMIT DROP AS SELECT s, min(via){short} AS via, {names}"
            " FROM ({owned}) r GROUP BY s, {names}"
        ).format(
            link=link,
            short=SQL("::name" if self._are_kinds_short() else ""),
            names=SQL(", ").join(Identifier(f"p{n}") for n in range(len(columns))),
            owned=self.rows(table, SQL(", ").join([SQL("o.s"), SQL("w.via"), *named])),
        )

    def _are_kinds_short(self) -> bool:
        """Whether the kinds of identity fit into the server's own type for names."""
        return all(len(kind.encode()) <= _LONGEST_NAME_BYTES for _, kind, _ in self._wanted())


def told(parts: Iterable[Composable], subject: str = "o") -> Composable:
    """A subject's number and the texts of a key as one JSON array."""
    number = Identifier(subject, "s")
    return SQL("json_build_array({})").format(SQL(", ").join([number, *parts]))


def _slot(collection: Collection, kind: str, taken: Taken) -> tuple[str, ...]:
    if taken.form is Form.EXACT:
        return ("as is", kind)
    return ("on file", collection.name, kind)


def _any(conditions: Iterator[Composable]) -> Composable:
    found = list(conditions)
    return SQL("({})").format(SQL(" OR ").join(found)) if found else _NOBODY
