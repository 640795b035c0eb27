"""What people ask to have put right, as typed values beside their numbers.

In: subjects with corrections, the catalogue. Out: per corrected field a temporary table of subject,
former text and new value, in the column's own type: what the column cannot take, or would round or
cut, is told here, before any row is looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from psycopg2.sql import SQL, Composable, Identifier, Literal

from connectors.postgres.changing.attempting import Refusal, attempt
from connectors.postgres.server import ddl
from connectors.postgres.server.catalogue import Catalogue, Table
from connectors.postgres.server.places import Column, Place
from connectors.postgres.server.session import Session, line, storable
from dsr_worker.contract import NeedsHuman, Permanent, Subject

_CUT = frozenset({"varchar", "name", "char"})
_ROUNDED = frozenset({"numeric", "timestamp", "timestamptz", "time", "timetz", "interval"})
"""Types that take a text by rounding or cutting it, without a word."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A field that somebody has corrected; `table` holds columns s, was and v."""

    collection: int
    number: int
    field: str
    place: Place

    @property
    def alias(self) -> str:
        """By which name a statement joins its table."""
        return f"n{self.number}"

    @property
    def table(self) -> Identifier:
        """The temporary table of subjects and values."""
        return Identifier(f"dsr_new_{self.collection}_{self.number}")

    @property
    def type(self) -> str:
        """What a new value is: the column's type, or text for a place in a document."""
        return "text" if self.place.path else self.place.column.type

    @property
    def new(self) -> Place:
        """Where the new value is, comparable with the field's."""
        if not self.place.path:
            return Place(replace(self.place.column, name="v"))
        return Place(
            Column(
                "v", "text", "text", None, not_null=False, generated=False, collation=None,
                deterministic=True, bare="text",
            )
        )  # fmt: skip

    def told(self, alias: str) -> Composable:
        """The field's text as a record of `find` says it."""
        if self.place.path:
            return self.place.value(alias)
        return SQL("(to_json({}) #>> '{{}}')").format(self.place.document(alias))


def given(tables: Catalogue, subjects: Sequence[Subject]) -> Mapping[str, tuple[Asked, ...]]:
    """The corrected fields, by collection. Raises Permanent for those that may not be corrected."""
    names: dict[str, dict[str, None]] = {}
    for subject in subjects:
        for collection, corrections in subject.corrections.items():
            fields = [c.field for c in corrections]
            if len(set(fields)) < len(fields):
                raise Permanent(f"{collection}: a field is corrected twice; say each once")
            names.setdefault(collection, {}).update(dict.fromkeys(fields))
    order = list(tables.tables)
    found: dict[str, tuple[Asked, ...]] = {}
    for collection, wanted in names.items():
        table = tables.table(collection)
        asked = (
            Asked(order.index(collection), n, name, _correctable(tables, table, name))
            for n, name in enumerate(wanted)
        )
        found[collection] = tuple(asked)
    return {collection: asked for collection, asked in found.items() if asked}


def refuse_without_rights(
    session: Session, tables: Catalogue, asked: Mapping[str, tuple[Asked, ...]]
) -> None:
    """Raises NeedsHuman with the GRANT where the role may not change a corrected column."""
    places = [(tables.table(collection), one) for collection, ones in asked.items() for one in ones]
    wanted = SQL(", ").join(
        SQL("({}, {}, {})").format(
            Literal(n),
            Literal(ddl.relation(table.schema, table.name)),
            Literal(one.place.column.name),
        )
        for n, (table, one) in enumerate(places)
    )
    query = SQL(
        "SELECT n, current_user::text FROM (VALUES {}) w (n, relation, name)"
        " WHERE NOT has_column_privilege(relation, name, 'UPDATE') ORDER BY n LIMIT 1"
    )
    for n, role in session.rows(query.format(wanted)) if places else ():
        table, one = places[n]
        relation = ddl.relation(table.schema, table.name)
        column = ddl.quoted(one.place.column.name)
        grant = f"GRANT UPDATE ({column}) ON {relation} TO {ddl.quoted(role)};"
        fields = {"collection": table.collection.name, "field": one.field, "remedy": grant}
        raise NeedsHuman("correction_not_granted", fields)


def _correctable(tables: Catalogue, table: Table, name: str) -> Place:
    reason = fixed(tables, table, name)
    if reason is not None:
        raise Permanent(f"{table.collection.name}.{name}: {reason}. Nothing was changed")
    return table.place(name)


def fixed(tables: Catalogue, table: Table, name: str) -> str | None:
    """Why a field is never corrected; None where it may be."""
    if name not in table.collection.fields:
        return "not a field of the data map"
    place = table.place(name)
    column = place.column.name
    if place.column.generated:
        return "the server makes this value itself; correct the columns it is made of"
    if column in {p.column.name for p in table.keys}:
        return "a key names its row and is not corrected"
    parent = table.collection.parent
    if parent is not None and column in {table.place(ours).column.name for ours in parent.on}:
        return "it says whose row this is and is not corrected"
    if children := ", ".join(_cut_off(tables, table, column)):
        return (
            f"rows of {children} are found by it and would be lost; make their reference a"
            " foreign key with ON UPDATE CASCADE"
        )
    return None


def _cut_off(tables: Catalogue, table: Table, column: str) -> Iterator[str]:
    """The children that refer by a column of their parent and do not follow it."""
    for child in tables.children.get(table.collection.name, ()):
        theirs = child.parent.on.values() if child.parent else ()
        follows = any(
            r.on_update == "c" and child.name in r.sources and column in r.target_columns
            for r in tables.pointing_at(table)
        )
        if column in {table.place(name).column.name for name in theirs} and not follows:
            yield child.name


def refused(table: Table, asked: Iterable[Asked]) -> NeedsHuman:
    """The store does not take a value: where, and nothing of what."""
    fields = ", ".join(one.field for one in asked)
    return NeedsHuman("correction_refused", {"collection": table.collection.name, "field": fields})


def prepared(
    session: Session,
    tables: Catalogue,
    subjects: Sequence[Subject],
    asked: Mapping[str, tuple[Asked, ...]],
) -> None:
    """Send the corrections and cast them. Raises NeedsHuman for what a column cannot hold."""
    session.run(
        SQL(
            "CREATE TEMP TABLE dsr_correction (c int4, f int4, s int4, was text, v text)"
            " ON COMMIT DROP"
        )
    )
    session.fill(Identifier("dsr_correction"), _lines(tables, subjects, asked))
    for collection, fields in asked.items():
        for one in fields:
            session.run(
                SQL(
                    "CREATE TEMP TABLE {} (s int4 PRIMARY KEY, was text, v {}) ON COMMIT DROP"
                ).format(one.table, SQL(one.type))
            )
            done = attempt(session, [[_cast(one)]])
            if isinstance(done, Refusal) or _altered(session, one):
                raise refused(tables.table(collection), [one])
            session.run(SQL("ANALYZE pg_temp.{} (s)").format(one.table))


def _lines(
    tables: Catalogue, subjects: Sequence[Subject], asked: Mapping[str, tuple[Asked, ...]]
) -> Iterator[bytes]:
    for number, subject in enumerate(subjects):
        for collection, corrections in subject.corrections.items():
            known = {one.field: one for one in asked.get(collection, ())}
            for correction in corrections:
                one = known[correction.field]
                texts = (correction.was, correction.value)
                empty = correction.value is None and one.place.column.not_null
                if (empty and not one.place.path) or not all(
                    t is None or storable(t) for t in texts
                ):
                    raise refused(tables.table(collection), [one])
                yield line(one.collection, one.number, number, *texts)


def _cast(one: Asked) -> Composable:
    return SQL(
        "INSERT INTO pg_temp.{} (s, was, v) SELECT c.s, c.was, {}"
        " FROM pg_temp.dsr_correction c WHERE c.c = {} AND c.f = {}"
    ).format(one.table, _bare(one), Literal(one.collection), Literal(one.number))


def _bare(one: Asked) -> Composable:
    return SQL("c.v::{}").format(SQL("text" if one.place.path else one.place.column.bare))


def _altered(session: Session, one: Asked) -> bool:
    """Whether the column would round or cut a value."""
    base = one.place.column.base
    if one.place.path or base not in _CUT | _ROUNDED:
        return False
    kept = SQL("n.v::text IS DISTINCT FROM c.v" if base in _CUT else "n.v IS DISTINCT FROM {}")
    query = SQL(
        "SELECT EXISTS (SELECT FROM pg_temp.{} n JOIN pg_temp.dsr_correction c ON c.s = n.s"
        " WHERE c.c = {} AND c.f = {} AND {})"
    ).format(one.table, Literal(one.collection), Literal(one.number), kept.format(_bare(one)))
    return bool(session.rows(query)[0][0])
