"""Reading what is the subjects': records, keys, contact points, mentions.

In: a prepared `Ownership`. Out: the contract's values, streamed; one statement per collection for
the whole batch, rows as JSON text that the server wrote. In blocks no row becomes a Python object
on the way: where all rows are one subject's and nothing is withheld, a parcel of COPY is a block.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from dataclasses import field as attribute

import orjson
from psycopg2.sql import SQL, Composable, Identifier, Literal

from connectors.postgres.reading.ownership import Ownership, told
from connectors.postgres.server.catalogue import Table
from connectors.postgres.server.columns import named_columns
from connectors.postgres.server.places import TEXTS, WHOLE_NUMBERS, Place, fold
from connectors.postgres.server.session import ARRAYS_BYTES, CELLS, arrays, line, sendable
from dsr_worker.contract import (
    ContactPoint,
    Form,
    Key,
    Mention,
    Record,
    RecordBlock,
    Residence,
    Withheld,
)

_OF_OTHERS = "AC_RIGHTS_OF_OTHERS"  # Art. 15(4) GDPR
_MENTIONED = ("email", "phone", "customer_number")
_SHORTEST_MENTION = 5
_LONGEST_MENTION = 1000


@dataclass(frozen=True, slots=True)
class _Asked:
    """How one collection is read: in blocks or by rows, and which fields are about others."""

    table: Table
    in_blocks: bool
    alone: bool
    others: tuple[str, ...]
    query: Composable


def records(own: Ownership) -> Iterator[Record]:
    """Every owned row of every collection, without other people's fields."""
    asked = own.kept(("records",), lambda: [_by_row(own, t) for t in _tables(own)])
    for number, parcel in _parcels(own, asked):
        yield from _records(own, asked[number], parcel)


def blocks(own: Ownership) -> Iterator[Record | RecordBlock]:
    """The same rows, many at once; one by one where a body does not tell its row's key."""
    alone = len(own.subjects) == 1
    asked = own.kept(
        ("blocks", alone),
        lambda: [
            _by_block(own, t, alone=alone) if _tells_its_key(t) else _by_row(own, t)
            for t in _tables(own)
        ],
    )
    for number, parcel in _parcels(own, asked):
        one = asked[number]
        yield from _blocks(own, one, parcel) if one.in_blocks else _records(own, one, parcel)


def _tables(own: Ownership) -> Iterable[Table]:
    return own.catalogue.tables.values()


def _parcels(own: Ownership, asked: Sequence[_Asked]) -> Iterator[tuple[int, bytes]]:
    own.ctx.check()
    for number, parcel in own.session.parcels([one.query for one in asked]):
        own.ctx.check()
        yield number, parcel


def _by_row(own: Ownership, table: Table) -> _Asked:
    others = _others(table)
    columns = SQL(", ").join(
        [SQL("o.s"), table.key_json("t"), _present(table, others), _body(table)]
    )
    query = own.session.written(own.rows(table, columns, shown=_shown(table)))
    return _Asked(table, in_blocks=False, alone=False, others=others, query=query)


def _by_block(own: Ownership, table: Table, *, alone: bool) -> _Asked:
    others = _others(table)
    columns: list[Composable] = [] if alone else [SQL("o.s")]
    columns += [_present(table, others)] if others else []
    columns.append(_body(table))
    query = own.session.written(own.rows(table, SQL(", ").join(columns), shown=_shown(table)))
    return _Asked(table, in_blocks=True, alone=alone, others=others, query=query)


def _records(own: Ownership, asked: _Asked, parcel: bytes) -> Iterator[Record]:
    name = asked.table.collection.name
    for row in parcel.split(b"\n"):
        number, key, present, body = row.split(CELLS)
        flags = zip(asked.others, present.decode()[1:], strict=True)
        withheld = tuple(Withheld(field, _OF_OTHERS) for field, flag in flags if flag == "1")
        ref = own.subjects[int(number)].ref
        yield Record(ref, name, tuple(orjson.loads(key)), body, withheld=withheld)


def _blocks(own: Ownership, asked: _Asked, parcel: bytes) -> Iterator[RecordBlock]:
    name, key = asked.table.collection.name, asked.table.collection.key
    if asked.alone and not asked.others:
        rows = parcel.count(b"\n") + 1
        yield RecordBlock(own.subjects[0].ref, name, key, parcel, rows)
        return
    for number, share in _by_subject(parcel, alone=asked.alone).items():
        had = ((other, share.having(n)) for n, other in enumerate(asked.others))
        withheld = tuple(Withheld(other, _OF_OTHERS, rows) for other, rows in had if rows)
        bodies, ref = b"\n".join(share.bodies), own.subjects[number].ref
        yield RecordBlock(ref, name, key, bodies, len(share.bodies), withheld)


@dataclass(slots=True)
class _Share:
    """One subject's rows of a parcel, and how many have which values of others."""

    bodies: list[bytes] = attribute(default_factory=list)
    flags: Counter[bytes] = attribute(default_factory=Counter)

    def having(self, number: int) -> int:
        """How many rows have a value in the field about others of this number."""
        at = number + 1  # after the dash
        return sum(rows for flags, rows in self.flags.items() if flags[at : at + 1] == b"1")


def _by_subject(parcel: bytes, *, alone: bool) -> dict[int, _Share]:
    """A parcel's rows by the subject's number; every row begins with it, with flags, or both."""
    shares: dict[bytes, _Share] = {}
    for row in parcel.split(b"\n"):
        about, _, body = row.rpartition(CELLS)
        number, _, flags = (b"0", b"", about) if alone else about.partition(CELLS)
        if (share := shares.get(number)) is None:
            share = shares[number] = _Share()
        share.bodies.append(body)
        if flags:
            share.flags[flags] += 1
    return {int(number): share for number, share in shares.items()}


def _others(table: Table) -> tuple[str, ...]:
    return tuple(f.name for f in table.collection.fields.values() if f.third_party)


def _tells_its_key(table: Table) -> bool:
    """Whether the key is in the body, in types that JSON writes as they are written in a key."""
    fields = table.collection.fields
    return all(
        name in fields
        and not fields[name].third_party
        and not place.path
        and place.column.base in WHOLE_NUMBERS | TEXTS | {"uuid"}
        for name, place in zip(table.collection.key, table.keys, strict=True)
    )


def keys(
    own: Ownership, except_in: Callable[[Table], Identifier | None] = lambda _table: None
) -> Iterator[Key]:
    """The key of every owned row, but for those in a table that `except_in` names."""
    refs = [subject.ref for subject in own.subjects]
    names, queries = list[str](), list[Composable]()
    for table in _tables(own):
        known = except_in(table)
        names.append(table.collection.name)
        queries.append(own.keys(table) if known is None else _keys_but(own, table, known))
    for at, parcel in own.session.parcels(queries, size_bytes=ARRAYS_BYTES):
        own.ctx.check()
        name = names[at]
        for number, *key in arrays(parcel):
            yield Key(refs[number], name, tuple(key))


def _keys_but(own: Ownership, table: Table, known: Identifier) -> Composable:
    texts = [Identifier("r", f"v{n}") for n in range(len(table.keys))]
    columns = [
        SQL("o.s"),
        table.key_columns("t"),
        *(
            SQL("{} AS {}").format(place.text("t"), Identifier(f"v{n}"))
            for n, place in enumerate(table.keys)
        ),
    ]
    return SQL(
        "SELECT {} FROM ({}) r WHERE NOT EXISTS (SELECT FROM pg_temp.{} d WHERE d.s = r.s AND {})"
    ).format(
        told(texts, "r"),
        own.rows(table, SQL(", ").join(columns)),
        known,
        table.same_key_columns("r", "d"),
    )


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


def residences(own: Ownership) -> Iterator[Residence]:
    """What the owned rows say of where people live: each text once for a person and collection."""
    for table in own.catalogue.tables.values():
        field = table.collection.residence
        if field is None:
            continue
        own.ctx.check()
        value = table.place(field).text("t")
        query = SQL(
            "SELECT DISTINCT json_build_array(s, value)::text FROM ({}) r WHERE value <> ''"
        ).format(own.rows(table, SQL("o.s, {} AS value").format(value)))
        for number, stated in own.session.arrays(query):
            yield Residence(own.subjects[number].ref, table.collection.name, stated)


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


def _present(table: Table, fields: Sequence[str]) -> Composable:
    """One character per field: whether the row has a value there."""
    flags = [SQL("({} IS NOT NULL)::int").format(table.place(f).value("t")) for f in fields]
    return SQL("concat({})").format(SQL(", ").join([SQL("'-'"), *flags])) if flags else SQL("'-'")


def _mapped(table: Table) -> dict[str, Place]:
    """Where the fields are that go into a body."""
    fields = table.collection.fields.values()
    return {f.name: table.place(f.name) for f in fields if not f.third_party}


def _shown(table: Table) -> Composable:
    """The mapped fields as columns."""
    return SQL(", ").join(
        SQL("{} AS {}").format(_value(table, place), Identifier(name))
        for name, place in _mapped(table).items()
    )


def _body(table: Table) -> Composable:
    """The shown columns as one JSON object; a `json` column's own line breaks become blanks."""
    body = SQL("row_to_json(r)::text")
    if any(p.column.base == "json" and not p.path for p in _mapped(table).values()):
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
    value = place.document("t") if hidden else place.value("t")
    for path in hidden:
        value = SQL("({}::jsonb #- ARRAY[{}]::text[])").format(
            value, SQL(", ").join(map(Literal, path))
        )
    return value
