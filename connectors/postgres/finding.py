"""Reading what is the subjects': records, keys, contact points, mentions.

In: a prepared `Ownership`. Out: the contract's values, streamed; one statement per collection for
the whole batch, rows as JSON text that the server wrote, so that no row becomes a Python object
on the way.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from psycopg2.sql import SQL, Composable, Identifier, Literal

from connectors.postgres.catalogue import Place, Table, fold
from connectors.postgres.columns import named_columns
from connectors.postgres.ownership import Ownership
from connectors.postgres.session import line, sendable
from dsr_worker.contract import ContactPoint, Form, Key, Mention, Record, Withheld

_OF_OTHERS = "AC_RIGHTS_OF_OTHERS"  # Art. 15(4) GDPR
_ROWS_BETWEEN_CHECKS = 1000
_MENTIONED = ("email", "phone", "customer_number")
_SHORTEST_MENTION = 5
_LONGEST_MENTION = 1000


def records(own: Ownership) -> Iterator[Record]:
    """Every owned row of every collection, without other people's fields."""
    for table in own.catalogue.tables.values():
        own.ctx.check()
        others = [f.name for f in table.collection.fields.values() if f.third_party]
        columns = SQL(", ").join(
            [SQL("o.s"), table.key_json("t"), _present(table, others), _body(table)]
        )
        name = table.collection.name
        for count, row in enumerate(own.session.stream(own.rows(table, columns)), 1):
            if count % _ROWS_BETWEEN_CHECKS == 0:
                own.ctx.check()
            number, key, present, body = row
            flags = zip(others, present.decode()[1:], strict=True)
            withheld = tuple(Withheld(field, _OF_OTHERS) for field, flag in flags if flag == "1")
            ref = own.subjects[int(number)].ref
            yield Record(ref, name, tuple(json.loads(key)), body, withheld=withheld)


def keys(
    own: Ownership, except_in: Callable[[Table], Identifier | None] = lambda _table: None
) -> Iterator[Key]:
    """The key of every owned row, but for those in a table that `except_in` names."""
    for table in own.catalogue.tables.values():
        own.ctx.check()
        columns = SQL(", ").join(
            [SQL("o.s"), SQL("{} AS key").format(table.key_json("t")), table.key_columns("t")]
        )
        left: Composable = SQL("true")
        if (known := except_in(table)) is not None:
            left = SQL("NOT EXISTS (SELECT FROM pg_temp.{} d WHERE d.s = r.s AND {})").format(
                known, table.same_key_columns("r", "d")
            )
        query = SQL("SELECT s, key FROM ({}) r WHERE {}").format(own.rows(table, columns), left)
        for number, key in own.session.stream(query):
            ref = own.subjects[int(number)].ref
            yield Key(ref, table.collection.name, tuple(json.loads(key)))


def contact_points(own: Ownership) -> Iterator[ContactPoint]:
    """The stored contacts of rows that match a claimed identity themselves."""
    for table in own.catalogue.tables.values():
        for kind, field in table.collection.contact.items():
            value = table.place(field).text("t")
            query = SQL(
                "SELECT DISTINCT json_build_array(s, value)::text FROM ({}) r WHERE value <> ''"
            ).format(own.rows(table, SQL("o.s, {} AS value").format(value), direct=True))
            for number, stored in own.session.arrays(query):
                yield ContactPoint(own.subjects[number].ref, kind, stored)


def mentions(own: Ownership) -> Iterator[Mention]:
    """Free text in rows that are not the subject's and that hold one of the subject's names."""
    own.session.run(
        SQL("CREATE TEMP TABLE dsr_mention (s int4, v text, pattern text) ON COMMIT DROP")
    )
    own.session.fill(Identifier("dsr_mention"), _mentionable(own))
    for table in own.catalogue.tables.values():
        for field in table.collection.fields.values():
            if field.free_text:
                own.ctx.check()
                yield from _mentions(own, table, field.name)


def _mentions(own: Ownership, table: Table, field: str) -> Iterator[Mention]:
    query = SQL(
        "SELECT DISTINCT json_build_array(m.s, {key})::text FROM"
        " (SELECT {columns}, {text} AS dsr_text FROM {table} t OFFSET 0) t"
        " JOIN pg_temp.dsr_mention m ON CASE WHEN strpos(t.dsr_text, m.v) > 0"
        " THEN t.dsr_text ~ m.pattern ELSE false END"
        " WHERE NOT {owned}"
    ).format(
        key=table.key_json("t"),
        columns=named_columns(own.catalogue, table, "t"),
        text=table.place(field).folded("t", Form.ASCII_CASE),
        table=table.sql,
        owned=own.owns(table, "t", SQL("m.s")),
    )
    for number, key in own.session.arrays(query):
        yield Mention(own.subjects[number].ref, table.collection.name, tuple(key), field)


def _mentionable(own: Ownership) -> Iterator[bytes]:
    for number, subject in enumerate(own.subjects):
        folded = {
            fold(i.value, Form.ASCII_CASE)
            for i in subject.identities
            if i.kind in _MENTIONED and _SHORTEST_MENTION <= len(i.value) <= _LONGEST_MENTION
        }
        for value in sorted(filter(sendable, folded)):
            yield line(number, value, _bordered(value))


def _bordered(value: str) -> str:
    """A pattern for `value` standing by itself, not as a part of a longer name."""
    literal = "".join(c if c.isalnum() else f"\\{c}" for c in value)
    return rf"(?<![[:alnum:]._%+-]){literal}(?![[:alnum:]]|[-._][[:alnum:]])"


def _present(table: Table, fields: list[str]) -> Composable:
    """One character per field: whether the row has a value there."""
    flags = [SQL("({} IS NOT NULL)::int").format(table.place(f).value("t")) for f in fields]
    return SQL("concat({})").format(SQL(", ").join([SQL("'-'"), *flags])) if flags else SQL("'-'")


def _body(table: Table) -> Composable:
    """The mapped fields as one JSON object; a `json` column's own line breaks become blanks."""
    places = {
        f.name: table.place(f.name) for f in table.collection.fields.values() if not f.third_party
    }
    fields = [
        SQL("{} AS {}").format(_value(table, place), Identifier(name))
        for name, place in places.items()
    ]
    body = SQL("(SELECT row_to_json(r)::text FROM (SELECT {}) r)").format(SQL(", ").join(fields))
    if any(place.column.base == "json" and not place.path for place in places.values()):
        return SQL(r"replace(replace({}, E'\n', ' '), E'\r', ' ')").format(body)
    return body


def _value(table: Table, place: Place) -> Composable:
    """A field's value; a whole document comes without other people's parts."""
    if place.path or place.column.base not in {"json", "jsonb"}:
        return place.value("t")
    hidden = [
        other.path
        for other in (
            table.place(f.name) for f in table.collection.fields.values() if f.third_party
        )
        if other.path and other.column.name == place.column.name
    ]
    value = place.value("t")
    for path in hidden:
        value = SQL("({}::jsonb #- ARRAY[{}]::text[])").format(
            value, SQL(", ").join(map(Literal, path))
        )
    return value
