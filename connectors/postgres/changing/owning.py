"""Whose located rows are by now: between being located and being changed a row may change hands.

In: an erasure's located keys, its subjects, its decided rows. Out: which rows name somebody else.
Those are no longer the subject's: they stay as they are, on the ground `owner_changed`.

A row is the subject's by a name of theirs, its own or of a row above it. Where the row above was
located for them too, that row answers for it. A row that names nobody (a null, what a mask left)
stays with whom it was located for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg2.sql import SQL, Composable, Identifier, Literal

from connectors.postgres.server.catalogue import Catalogue, Table
from connectors.postgres.server.session import Session, line
from dsr_worker.contract import (
    OWNER_CHANGED,
    Action,
    Always,
    Collection,
    Context,
    Identity,
    Rule,
    Subject,
    System,
)

LEFT_ALONE = Rule(OWNER_CHANGED, Always(), Action.KEEP, OWNER_CHANGED)
"""The rule of rows that are somebody else's by now."""
ANOTHERS = -1
"""Its number beside a located row, as long as no other rule has been looked for."""


def below_located(catalogue: Catalogue, table: Table, alias: str, keys: str) -> Composable | None:
    """Whether the row `alias` refers to the row of `keys` (columns c, v0, n0, u0, …) above it.

    None where rows have no parent, or refer to something else than its key.
    """
    parent = table.collection.parent
    if parent is None:
        return None
    key = catalogue.table(parent.collection).collection.key
    if not set(parent.on.values()) <= set(key):
        return None
    same = (
        table.place(ours).equals_part(alias, keys, key.index(theirs))
        for ours, theirs in parent.on.items()
    )
    return SQL("{}.c = {} AND {}").format(
        Identifier(keys),
        Literal(list(catalogue.tables).index(parent.collection)),
        SQL(" AND ").join(same),
    )


def told(
    catalogue: Catalogue,
    table: Table,
    alias: str,
    subject: Composable,
    anothers: Callable[[Table], Identifier | None] = lambda _table: None,
) -> Composable:
    """Whom the row `alias` names, for `Names`: a JSON text; null where the row above answers.

    `anothers` names the temporary table of a collection's rows where some have the rule ANOTHERS.
    """
    named, parent = _told(catalogue, table, alias), table.collection.parent
    below = below_located(catalogue, table, alias, "p")
    if below is None or parent is None:
        return named
    answers = SQL("EXISTS (SELECT FROM pg_temp.dsr_key p WHERE p.s = {} AND {})").format(
        subject, below
    )
    above = catalogue.table(parent.collection)
    if (rows := anothers(above)) is not None:
        same = (
            SQL("{} = {}").format(
                table.place(ours).value(alias),
                Identifier("x", f"k{above.collection.key.index(theirs)}"),
            )
            for ours, theirs in parent.on.items()
        )
        answers = SQL(
            "{} AND NOT EXISTS (SELECT FROM pg_temp.{} x WHERE x.s = {} AND x.rule = {} AND {})"
        ).format(answers, rows, subject, Literal(ANOTHERS), SQL(" AND ").join(same))
    return SQL("CASE WHEN {} THEN NULL ELSE {} END").format(answers, named)


def _told(catalogue: Catalogue, table: Table, alias: str) -> Composable:
    parts = [table.place(taken.field).text(alias) for taken in table.collection.takes.values()]
    parent = table.collection.parent
    if parent is not None:
        above, upper = catalogue.table(parent.collection), f"{alias}_"
        on = SQL(" AND ").join(
            SQL("{} = {}").format(table.place(ours).value(alias), above.place(theirs).value(upper))
            for ours, theirs in parent.on.items()
        )
        parts.append(
            SQL("(SELECT json_agg({}::json) FROM {} {} WHERE {})").format(
                _told(catalogue, above, upper), above.sql, Identifier(upper), on
            )
        )
    return SQL("json_build_array({})::text").format(SQL(", ").join(parts))


@dataclass(frozen=True, slots=True)
class Names:
    """What rows told of whom they name, against the subjects' own names."""

    system: System
    subjects: Sequence[Subject]
    ctx: Context

    def are_anothers(self, collection: Collection, number: int, text: str) -> bool:
        """Whether a row that told this names somebody else, and not this subject."""
        own = set(self._own(self.subjects[number]))
        named = [
            (spelled, self._identity(place, spelled, field))
            for place, field, spelled in self._spelled(collection, json.loads(text))
        ]
        if any(spelled in own or identity in own for spelled, identity in named):
            return False
        return any(identity is not None for _, identity in named)

    def _spelled(
        self, collection: Collection, told_: Sequence[Any]
    ) -> Iterator[tuple[Collection, str, Identity]]:
        """The names as they stand in a row and in those above it, with their fields."""
        for (kind, taken), text in zip(collection.takes.items(), told_, strict=False):
            if text is not None:
                yield collection, taken.field, Identity(kind, text)
        if collection.parent is not None:
            above = self.system.collections[collection.parent.collection]
            for one in told_[-1] or ():
                yield from self._spelled(above, one)

    def _identity(self, collection: Collection, spelled: Identity, field: str) -> Identity | None:
        """Whom a name means; None where it stands for none, or a mask left it."""
        mask = collection.fields[field].mask if field in collection.fields else None
        masked = mask is not None and mask.holds(spelled.value)
        if masked or collection.names_nobody(field, spelled.value):
            return None
        value = self.ctx.canonical(spelled.kind, spelled.value)
        return None if value is None else Identity(spelled.kind, value)

    def _own(self, subject: Subject) -> Iterator[Identity]:
        """The names that the subject came with, and those they ask to be put in their place."""
        yield from subject.identities
        for name, corrections in subject.corrections.items():
            kinds = {by.field: kind for kind, by in self.system.collections[name].takes.items()}
            for correction in corrections:
                kind = kinds.get(correction.field)
                if kind is not None and correction.value is not None:
                    value = self.ctx.canonical(kind, correction.value)
                    if value is not None:
                        yield Identity(kind, value)


def mark(
    session: Session,
    names: Names,
    tables: Sequence[Table],
    rows: Identifier,
    named: Callable[[Table], Composable],
) -> bool:
    """Give located rows that are somebody else's by now the rule ANOTHERS; whether any are.

    `tables` are those of one collection: its own, and where its rows may have moved. `rows` is the
    temporary table of its located rows, `named` what a row `t` tells for the subject of a row `r`.
    """
    marked = [_marked(session, names, table, rows, named(table)) for table in tables]
    return any(marked)


def _marked(
    session: Session, names: Names, table: Table, rows: Identifier, named: Composable
) -> bool:
    if not (table.collection.takes or table.collection.parent):
        return False
    query = SQL(  # OFFSET 0: told once a row, and not while rows are joined
        "SELECT DISTINCT json_build_array(s, told)::text FROM (SELECT r.s, {} AS told"
        " FROM pg_temp.{} r JOIN {} t ON {} OFFSET 0) x WHERE told IS NOT NULL"
    ).format(named, rows, table.sql, table.same_key("t", "r"))
    others = [
        line(number, text)
        for number, text in session.arrays(query)
        if names.are_anothers(table.collection, number, text)
    ]
    if not others:
        return False
    session.run(SQL("CREATE TEMP TABLE dsr_other (s int4, told text) ON COMMIT DROP"))
    session.fill(Identifier("dsr_other"), others)
    session.run(
        SQL(
            "UPDATE pg_temp.{} r SET rule = {} FROM {} t, pg_temp.dsr_other o"
            " WHERE {} AND o.s = r.s AND o.told = {}"
        ).format(rows, Literal(ANOTHERS), table.sql, table.same_key("t", "r"), named)
    )
    session.run(SQL("DROP TABLE pg_temp.dsr_other"))
    return True
